"""Looks at a real PostgreSQL: filters, order, blockers, and locked catalogs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

from bot.domain.blocking import tree
from bot.domain.filters import InTree, freeze
from bot.domain.kills import Actor
from bot.domain.protection import Barrier, Ender
from bot.domain.sessions import BackendId, LimitOf, Look, SpareReason
from bot.grammar.parser import parse_sessions
from bot.grammar.requests import SessionsRequest, SortKey
from bot.grammar.requests import Target as Named
from bot.ledger.sql import SqlLedger
from bot.operations import Operations, Rules
from bot.operations.results import Inspection
from bot.operations.results import Sessions as Shown
from bot.postgres.cluster import PostgresCluster
from tests.integration.conftest import BOT, Sessions
from tests.integration.kills import QuickClock
from tests.rights import EVERYWHERE
from tests.servers import postgres
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer

pytestmark = pytest.mark.sql


async def look(cluster: PostgresCluster, text: str, *, strict: bool = False) -> Look:
    request = parse_sessions(text)
    assert isinstance(request, SessionsRequest)
    names = await cluster.names()
    return await cluster.look(
        freeze(request.terms, names, names.read_at),
        names=names,
        everything=request.all,
        strict=strict,
        sort=request.sort,
    )


def pids(found: Look) -> set[int]:
    return {row.pid for row in found.rows}


async def settle(cluster: PostgresCluster, text: str, pid: int) -> Look:
    """Look until a session that was just told to do something is seen doing it."""
    async with asyncio.timeout(PATIENCE):
        while pid not in pids(found := await look(cluster, text)):
            await asyncio.sleep(0.01)
    return found


@pytest.fixture
async def chain(sessions: Sessions, cluster: PostgresCluster) -> AsyncIterator[list[int]]:
    """A holder, a session that waits for it, and one that waits for that one."""
    holder, first, second = [await sessions.open(app=f"chain {n}") for n in range(3)]
    await holder.execute("begin; lock table accounts in access exclusive mode")
    tasks = []
    for waiter in (first, second):
        await waiter.execute("begin")
        tasks.append(
            asyncio.ensure_future(waiter.execute("lock table accounts in access exclusive mode"))
        )
        await settle(cluster, "blocked", waiter.get_server_pid())
    yield [c.get_server_pid() for c in (holder, first, second)]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("app=filters", True),
        ("app=filt*", True),
        ("app=Filters", False),
        ("app!=filters", False),
        ("user=batch app=filters", True),
        ("user!=batch app=filters", False),
        ("user=ba* app=filters", True),
        ("db=some_db app=filters", True),
        ("db!=some_db app=filters", False),
        ("client=127.0.0.1 app=filters", True),
        ("client=127.0.0.0/8 app=filters", True),
        ("client=10.0.0.0/8 app=filters", False),
        ("client=127.* app=filters", True),
        ("state=idle_tx app=filters", True),
        ("state=idle* app=filters", True),
        ("state=idle app=filters", False),
        ("type=client app=filters", True),
        ("type!=client app=filters", False),
        ("wait=Client app=filters", True),
        ("wait=ClientRead app=filters", True),
        ("wait!=ClientRead app=filters", False),
        ("age>0s app=filters", True),
        ("age>1h app=filters", False),
        ("age<1h app=filters", True),
        ("xact>0s app=filters", True),
        ("xact<1h app=filters", True),
        ("query>0s app=filters", False),  # it runs nothing now
        ("idle>0s app=filters", True),
        ("idle>1h app=filters", False),
        ("blocked app=filters", False),
        ("blocking app=filters", False),
    ],
)
async def test_each_filter_finds_what_it_says(
    cluster: PostgresCluster, sessions: Sessions, text: str, found: bool
) -> None:
    session = await sessions.open("batch", app="filters")
    await session.execute("begin; select 1")
    # It gets its answer a moment before it waits for its client.
    await settle(cluster, "app=filters state=idle_tx wait=ClientRead", session.get_server_pid())

    answer = await look(cluster, text)

    assert (session.get_server_pid() in pids(answer)) is found


async def test_like_wildcards_in_names_are_literal(
    cluster: PostgresCluster, sessions: Sessions
) -> None:
    percent = await sessions.open(app=r"50%_of\all")
    other = await sessions.open(app="50x_of-all")
    found = pids(await look(cluster, r"app=50%_of\*"))
    assert percent.get_server_pid() in found
    assert other.get_server_pid() not in found


async def test_unknown_value_satisfies_a_negation_in_looks_only(
    cluster: PostgresCluster,
) -> None:
    background = {row.pid for row in (await look(cluster, "all")).rows if row.usename is None}
    assert background
    assert background <= pids(await look(cluster, "user!=batch all"))
    assert not background & pids(await look(cluster, "user!=batch all", strict=True))


async def test_background_and_own_connections_need_the_word_all(
    cluster: PostgresCluster, sessions: Sessions
) -> None:
    usual = await look(cluster, "")
    assert all(row.application_name != "pg-sessions-bot" for row in usual.rows)
    assert all(row.backend_type == "client backend" for row in usual.rows)
    everything = await look(cluster, "all")
    assert "checkpointer" in {row.backend_type for row in everything.rows}
    assert "pg-sessions-bot" in {row.application_name for row in everything.rows}


async def test_counts_cover_all_matches_and_rows_only_the_page(
    cluster: PostgresCluster, sessions: Sessions
) -> None:
    opened = [await sessions.open("batch", app="counted") for _ in range(5)]
    await opened[0].execute("begin; select 1")
    names = await cluster.names()
    terms = parse_sessions("app=counted sort=pid")
    assert isinstance(terms, SessionsRequest)
    conditions = freeze(terms.terms, names, names.read_at)

    page = await cluster.look(conditions, names=names, sort=(SortKey("pid"),), limit=2, offset=1)
    beyond = await cluster.look(conditions, names=names, limit=2, offset=99)

    wanted = sorted(c.get_server_pid() for c in opened)
    assert [row.pid for row in page.rows] == wanted[1:3]
    assert page.counts.total == beyond.counts.total == 5
    assert page.counts.by_state == beyond.counts.by_state == {"idle": 4, "idle in transaction": 1}
    assert beyond.rows == ()


@pytest.mark.smoke
@pytest.mark.parametrize("column", [
    "pid", "usename", "datname", "application_name", "client_addr", "client_port", "state",
    "backend_xid", "age", "xact_age", "query_age", "state_age", "blocked_by", "query",
])  # fmt: skip
@pytest.mark.parametrize("sign", ["", "-"])
async def test_every_column_sorts(
    cluster: PostgresCluster, sessions: Sessions, column: str, sign: str
) -> None:
    await sessions.open()
    assert (await look(cluster, f"sort={sign}{column}")).rows


async def test_most_harmful_sessions_come_first(
    cluster: PostgresCluster, sessions: Sessions, chain: list[int]
) -> None:
    await sessions.open("some_user")
    rows = (await look(cluster, "")).rows
    assert rows[0].pid == chain[0]
    order = [row.usename for row in rows]
    assert order.index("some_user") < max(at for at, name in enumerate(order) if name == "web") + 2


async def test_sessions_holding_up_most_come_first_and_roots_before_waiters(
    cluster: PostgresCluster, sessions: Sessions, chain: list[int], looking: Operations
) -> None:
    """The root of the chain holds up two, one directly; the other root two directly."""
    root, *waiters = [await sessions.open() for _ in range(3)]
    await root.execute("begin; select pg_advisory_xact_lock(1)")
    tasks = [
        asyncio.ensure_future(each.execute("select pg_advisory_lock_shared(1)")) for each in waiters
    ]
    last = await sessions.open()
    await last.execute("begin")
    tasks.append(asyncio.ensure_future(last.execute("lock table accounts in share mode")))
    for each in (*waiters, last):
        await settle(cluster, "blocked", each.get_server_pid())
    answer = await looking.look(ANA, "C1", SessionsRequest(target=Named("main")))
    assert isinstance(answer, Shown)
    assert [row.pid for row in answer.look.rows][:3] == [
        chain[0],
        root.get_server_pid(),
        chain[1],
    ]
    await root.execute("rollback")
    await asyncio.gather(*tasks[:2])
    tasks[2].cancel()


async def test_sessions_of_a_full_database_come_first(
    cluster: PostgresCluster, sessions: Sessions, admin: asyncpg.Connection, looking: Operations
) -> None:
    inside = await sessions.open("web", "other_db")
    await sessions.open("batch")
    await admin.execute("alter database other_db connection limit 1")
    try:
        answer = await looking.look(ANA, "C1", SessionsRequest(target=Named("main")))
        assert isinstance(answer, Shown)
        assert answer.look.rows[0].pid == inside.get_server_pid()
        assert answer.look.at_limit(answer.look.rows[0]) is LimitOf.DATABASE
    finally:
        await admin.execute("alter database other_db connection limit -1")


async def test_hidden_own_sessions_are_counted(
    cluster: PostgresCluster, sessions: Sessions
) -> None:
    assert (await look(cluster, "")).counts.hidden == 4
    assert (await look(cluster, "user=web")).counts.hidden == 0
    assert (await look(cluster, "all")).counts.hidden == 0


@pytest.mark.smoke
async def test_the_chain_is_a_tree(cluster: PostgresCluster, chain: list[int]) -> None:
    names = await cluster.names()
    found = await cluster.look((InTree(),), names=names, everything=True)
    branches = tree(found.waits)
    assert branches[0].pid == chain[0]
    assert branches[0].behind == 2
    assert pids(found) == set(chain)
    locks = await cluster.locks(names)
    assert set(locks.waits) == set(chain[1:])
    assert {wait.mode for wait in locks.waits.values()} == {"AccessExclusiveLock"}
    assert pids(await look(cluster, "blocking")) == set(chain[:2])
    assert pids(await look(cluster, "blocked")) == set(chain[1:])


@pytest.mark.parametrize(
    ("running", "may_begin_another"),
    [
        ("select pg_sleep(600)", False),
        ("select pg_sleep(600); ", False),
        ("/* not a doer */ select pg_sleep(600)", False),
        ("begin; select pg_sleep(600)", True),
        ("select pg_sleep(600); select 2", True),
        ("do $$ begin perform pg_sleep(600); end $$", True),
        ("\n/**/CALL sleeps()", True),
        ("Execute sleeping", True),
        (f"select pg_sleep(600) /* {'é' * 500} */", True),  # nobody knows where it was cut
    ],
)
async def test_virtualtransaction_is_read_if_a_message_may_begin_another(
    cluster: PostgresCluster, sessions: Sessions, running: str, may_begin_another: bool
) -> None:
    session = await sessions.open("web", app="numbered")
    await session.execute("prepare sleeping as select pg_sleep(600)")
    await session.execute(
        "create or replace procedure pg_temp.sleeps() language plpgsql"
        " as $$ begin perform pg_sleep(600); end $$"
    )
    running = running.replace("sleeps()", "pg_temp.sleeps()")
    if running.startswith("Execute"):
        await session.execute("begin")
    task = asyncio.ensure_future(session.execute(running))
    try:
        await settle(cluster, "app=numbered wait=PgSleep", session.get_server_pid())
        for strict in (True, False):
            rows = (await look(cluster, "app=numbered", strict=strict)).rows
            row = next(row for row in rows if row.pid == session.get_server_pid())
            assert (row.virtualtransaction is not None) is (strict and may_begin_another)
    finally:
        session.terminate()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("kept", [100, 512])
async def test_virtualtransaction_is_read_if_the_server_keeps_too_little_of_a_message(
    kept: int,
) -> None:
    settings: dict[str, str | int] = {"track_activity_query_size": kept}
    async with postgres(settings=settings) as server, AsyncExitStack() as stack:
        running = {
            "whole": "select pg_sleep(600)",
            "cut": f"/* {'é' * kept} */ begin; commit; begin; select pg_sleep(600)",
        }
        cluster = PostgresCluster("main", server.dsn(), "db-1")
        await cluster.open()
        stack.push_async_callback(cluster.close)
        for app, message in running.items():
            one = await asyncpg.connect(server.dsn(), server_settings={"application_name": app})
            task = asyncio.ensure_future(one.execute(message))
            ended = asyncio.gather(task, return_exceptions=True)
            stack.push_async_callback(asyncio.wait_for, ended, None)
            stack.callback(one.terminate)
            await settle(cluster, "wait=PgSleep", one.get_server_pid())
        rows = (await look(cluster, "wait=PgSleep", strict=True)).rows
        numbered = {row.application_name: row.virtualtransaction is not None for row in rows}
        assert numbered == {"whole": False, "cut": True}


@pytest.mark.smoke
async def test_blocking_prepared_transaction_is_named(
    cluster: PostgresCluster, sessions: Sessions
) -> None:
    session, waiter = await sessions.open(), await sessions.open()
    await session.execute(
        "begin; update accounts set balance = 1 where id = 5; prepare transaction 'it''s stuck'"
    )
    task = asyncio.ensure_future(waiter.execute("update accounts set balance = 2 where id = 5"))
    try:
        found = await settle(cluster, "blocked", waiter.get_server_pid())
        (prepared,) = found.waits.blocked_by[waiter.get_server_pid()]
        locks = await cluster.locks(await cluster.names())
        assert locks.prepared[prepared].gid == "it's stuck"
        assert locks.prepared[prepared].owner == "web"
    finally:
        await session.execute("rollback prepared 'it''s stuck'")
        await task


async def test_prepared_transaction_that_blocks_nobody_is_not_named(
    pg: PostgresServer, cluster: PostgresCluster, sessions: Sessions
) -> None:
    """It holds a lock on the same table, with which the waiter's lock doesn't conflict."""
    session, holder, waiter = [await sessions.open() for _ in range(3)]
    await session.execute("begin; select * from accounts; prepare transaction 'innocent'")
    await holder.execute("begin; lock table accounts in exclusive mode")
    task = asyncio.ensure_future(
        waiter.execute("begin; update accounts set balance = 0 where id = 1; rollback")
    )
    try:
        found = await settle(cluster, "blocked", waiter.get_server_pid())
        assert found.waits.blocked_by == {waiter.get_server_pid(): (holder.get_server_pid(),)}
        locks = await cluster.locks(await cluster.names())
        assert locks.waits[waiter.get_server_pid()].relation is not None
    finally:
        await session.execute("rollback prepared 'innocent'")
        await holder.execute("rollback")
        await task


async def test_only_the_conflicting_prepared_transaction_is_named(
    pg: PostgresServer, cluster: PostgresCluster, sessions: Sessions
) -> None:
    innocent, guilty, waiter = [await sessions.open() for _ in range(3)]
    await innocent.execute("begin; select * from accounts; prepare transaction 'innocent'")
    await guilty.execute("begin; lock table accounts in share mode; prepare transaction 'guilty'")
    task = asyncio.ensure_future(
        waiter.execute("begin; update accounts set balance = 0 where id = 1; rollback")
    )
    try:
        found = await settle(cluster, "blocked", waiter.get_server_pid())
        (prepared,) = found.waits.blocked_by[waiter.get_server_pid()]
        locks = await cluster.locks(await cluster.names())
        one = locks.prepared[prepared]
        assert (one.gid, one.datname) == ("guilty", "some_db")
    finally:
        await innocent.execute("rollback prepared 'innocent'")
        await guilty.execute("rollback prepared 'guilty'")
        await task


async def test_safe_snapshot_wait_names_the_transactions_it_waits_for(
    cluster: PostgresCluster, sessions: Sessions
) -> None:
    writer, waiter = await sessions.open(), await sessions.open()
    await writer.execute(
        "begin isolation level serializable; update accounts set balance = 1 where id = 6"
    )
    task = asyncio.ensure_future(
        waiter.execute(
            "begin isolation level serializable, read only, deferrable; select * from accounts"
        )
    )
    try:
        found = await settle(cluster, "blocked", waiter.get_server_pid())
        assert found.waits.blocked_by == {waiter.get_server_pid(): (writer.get_server_pid(),)}
        assert pids(await look(cluster, "wait=SafeSnapshot")) == {waiter.get_server_pid()}
        assert pids(await look(cluster, "blocking")) == {writer.get_server_pid()}
    finally:
        await writer.execute("rollback")
        await task


@pytest.mark.smoke
async def test_the_locks_of_one_backend(cluster: PostgresCluster, chain: list[int]) -> None:
    holder, number = await cluster.locks_of(chain[0], await cluster.names(), limit=50)
    assert holder[0].mode == "AccessExclusiveLock"  # the strongest on a relation comes first
    assert number == len(holder)
    waiter, number = await cluster.locks_of(chain[1], await cluster.names(), limit=1)
    assert not waiter[0].granted
    assert number > 1
    assert await cluster.locks_of(0, await cluster.names(), limit=50) == ((), 0)


@pytest.mark.smoke
@pytest.mark.parametrize("catalog", ["pg_database", "pg_authid", "pg_class"])
async def test_a_look_does_not_hang_behind_a_lock_on_a_catalog(
    pg: PostgresServer, cluster: PostgresCluster, sessions: Sessions, catalog: str
) -> None:
    session = await sessions.open(app="in the dark")
    before = await cluster.names()
    ddl = await asyncpg.connect(pg.dsn())
    await ddl.execute(f"begin; lock table {catalog} in access exclusive mode")
    try:
        async with asyncio.timeout(PATIENCE):
            found = await look(cluster, 'app="in the dark"')
        assert pids(found) == {session.get_server_pid()}
        assert found.rows[0].usename == "web"
        # A backend that has read the names before needs nothing of pg_class for them; one that a
        # connection was just made for does.
        assert found.names.stale or catalog == "pg_class"
        assert found.names.roles == before.roles
        assert found.names.databases == before.databases
        # Their age counts from when they were read, not from the failed attempt.
        if found.names.stale:
            assert found.names.known_at == before.known_at
    finally:
        await ddl.execute("rollback")
        await ddl.close()


@pytest.mark.parametrize("catalog", ["pg_database", "pg_authid", "pg_class", "pg_proc"])
async def test_the_first_look_of_a_connection_does_not_hang_behind_it_either(
    pg: PostgresServer, sessions: Sessions, reads_ahead: None, catalog: str
) -> None:
    """What a backend has not read before, it can't read now; the sessions still show."""
    session = await sessions.open()
    ddl = await asyncpg.connect(pg.dsn())
    fresh = PostgresCluster("main", pg.dsn(user=BOT), "db-1.internal")
    await fresh.open()
    await ddl.execute(f"begin; lock table {catalog} in access exclusive mode")
    try:
        async with asyncio.timeout(PATIENCE):
            found = await look(fresh, "user=web")  # the names were read at the start
            assert session.get_server_pid() in pids(found)
            await fresh.locks(found.names)
            await fresh.locks_of(session.get_server_pid(), await fresh.names(), limit=5)
    finally:
        await ddl.execute("rollback")
        await ddl.close()
        await fresh.close()


async def test_a_look_does_not_hang_behind_a_lock_on_a_users_table(
    pg: PostgresServer, cluster: PostgresCluster, sessions: Sessions, looking: Operations
) -> None:
    """Not the table, the tree or one session in full, with or without its locks' names."""
    ddl, waiter = await sessions.open(app="ddl"), await sessions.open(app="waiter")
    await ddl.execute("begin; lock table accounts in access exclusive mode")
    task = asyncio.ensure_future(waiter.execute("select * from accounts"))
    try:
        found = await settle(cluster, "blocked", waiter.get_server_pid())
        assert found.waits.blocked_by == {waiter.get_server_pid(): (ddl.get_server_pid(),)}
        waited = found.waits.since
        while not waited:  # PostgreSQL records it a moment after the wait began
            waited = (await look(cluster, "blocked")).waits.since
        assert set(waited) == {waiter.get_server_pid()}
        assert found.server.now - waited[waiter.get_server_pid()] < timedelta(minutes=1)

        drawn = await looking.tree(ANA, "C1", "main")
        assert [branch.pid for branch in drawn.branches] == [
            ddl.get_server_pid(),
            waiter.get_server_pid(),
        ]
        whole = await looking.inspect(ANA, "C1", cluster_name="main", backend_id=identity(found))
        assert isinstance(whole, Inspection)
        assert whole.branches == drawn.branches
        assert set(whole.around) == {ddl.get_server_pid(), waiter.get_server_pid()}
        assert whole.since == waited[waiter.get_server_pid()]
        assert whole.locks[0].relation is not None
        # The bot is connected to another database.
        assert whole.locks[0].relname == "public.accounts"
    finally:
        await ddl.execute("rollback")
        await task


def identity(found: Look) -> BackendId:
    assert found.rows[0].id is not None
    return found.rows[0].id


ANA = Actor("UANA", "T1")


@pytest.fixture
async def looking(cluster: PostgresCluster, tmp_path: Path) -> AsyncIterator[Operations]:
    ledger = SqlLedger(f"sqlite:///{tmp_path / 'ledger.db'}")
    await ledger.open()
    operations = Operations(
        {"main": cluster}, ledger, QuickClock(), rules=Rules(), owner="me", reach=EVERYWHERE
    )
    yield operations
    await operations.settle()
    await ledger.close()


async def test_locks_are_named_in_the_bots_own_database(
    pg: PostgresServer, sessions: Sessions
) -> None:
    own = PostgresCluster("main", pg.dsn(user=BOT, database="some_db"), "db-1.internal")
    await own.open()
    holder = await sessions.open()
    ddl = await asyncpg.connect(pg.dsn(database="some_db"))
    try:
        await holder.execute("begin; lock table accounts in row exclusive mode")
        locks, _ = await own.locks_of(holder.get_server_pid(), await own.names(), limit=50)
        assert "public.accounts" in {lock.relname for lock in locks}
        # While the catalog is locked, the oid replaces the name, and nothing hangs.
        await ddl.execute("begin; lock table pg_class in access exclusive mode")
        async with asyncio.timeout(PATIENCE):
            locks, _ = await own.locks_of(holder.get_server_pid(), await own.names(), limit=50)
        assert {lock.relname for lock in locks} == {None}
        await ddl.execute("rollback")
    finally:
        ddl.terminate()
        await own.close()


async def test_a_superusers_session_at_the_root_says_who_can_end_it(
    pg: PostgresServer, cluster: PostgresCluster, sessions: Sessions, looking: Operations
) -> None:
    root = await asyncpg.connect(pg.dsn(database="some_db"))
    waiter = await sessions.open()
    await root.execute("begin; update accounts set balance = 1 where id = 9")
    task = asyncio.ensure_future(waiter.execute("update accounts set balance = 2 where id = 9"))
    try:
        await settle(cluster, "blocked", waiter.get_server_pid())
        drawn = await looking.tree(ANA, "C1", "main")
        assert drawn.barriers == {
            root.get_server_pid(): Barrier(SpareReason.SUPERUSER, Ender.SUPERUSER)
        }
    finally:
        await root.execute("rollback")
        await root.close()
        await task


async def test_standby_is_labelled_and_looked_at_like_any_server() -> None:
    async with postgres() as standby:
        await standby.become_standby()
        cluster = PostgresCluster("prod", standby.dsn(), "db-2.internal")
        await cluster.open()
        try:
            found = await look(cluster, "all")
            assert found.server.in_recovery
            assert "startup" in {row.backend_type for row in found.rows}
        finally:
            await cluster.close()


@pytest.mark.smoke
async def test_a_query_in_another_encoding_is_shown_and_breaks_nothing(
    pg: PostgresServer, cluster: PostgresCluster, admin: asyncpg.Connection
) -> None:
    """A database in SQL_ASCII accepts bytes that aren't UTF-8."""
    await admin.execute(
        "create database ascii_db encoding 'SQL_ASCII' template template0 locale 'C'"
    )
    writer = await raw_query(pg, b"select pg_sleep(600) as caf\xe9")
    try:
        found = await settle_on(cluster, "db=ascii_db state=active")
        assert r"caf\xe9" in (found.rows[0].query or "")
    finally:
        await admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'ascii_db'"
        )
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def settle_on(cluster: PostgresCluster, text: str) -> Look:
    async with asyncio.timeout(PATIENCE):
        while not (found := await look(cluster, text)).rows:
            await asyncio.sleep(0.01)
    return found


async def raw_query(pg: PostgresServer, query: bytes) -> asyncio.StreamWriter:
    """Send a query whose bytes no driver would send, and leave it running."""
    _, writer = await asyncio.open_connection(pg.host, pg.port)
    startup = b"user\0web\0database\0ascii_db\0client_encoding\0SQL_ASCII\0\0"
    writer.write((len(startup) + 8).to_bytes(4) + (196608).to_bytes(4) + startup)
    message = query + b"\0"
    writer.write(b"Q" + (len(message) + 4).to_bytes(4) + message)
    await writer.drain()
    return writer


async def test_partly_visible_sessions_are_counted_as_unseen(
    pg: PostgresServer, cluster: PostgresCluster, sessions: Sessions
) -> None:
    """Its role lacks pg_read_all_stats: sessions that it can't identify are in no other number."""
    for _ in range(3):
        await sessions.open("batch", app="dim")
    blind = PostgresCluster("main", pg.dsn(user="blind"), "db-1.internal")
    await blind.open()
    try:
        dim = (await look(blind, "")).server
    finally:
        await blind.close()
    seen = await look(cluster, "")
    assert seen.server.unseen == 0
    assert dim.unseen >= 3
    assert dim.client_backends < seen.server.client_backends
    assert dim.role_limit("batch") is None
