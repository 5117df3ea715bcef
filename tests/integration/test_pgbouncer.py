"""The bot behind a real PgBouncer, which lends it backends for a session or a transaction.

The sessions that are looked at and ended connect to PostgreSQL directly, unless a test says
otherwise.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text

from bot.domain.blocking import tree
from bot.domain.filters import InTree
from bot.domain.kills import Outcome
from bot.domain.sessions import SpareReason
from bot.domain.signals import Verdict
from bot.driver import APPLICATION_NAME
from bot.errors import ClusterError, ClusterTimeout, NotSent
from bot.grammar.requests import KillRequest
from bot.ledger import store
from bot.ledger.sql import SqlLedger
from bot.operations import Operations, Rules
from bot.operations.results import NothingToKill
from bot.postgres.cluster import PostgresCluster
from tests import servers
from tests.integration.conftest import BOT, Sessions, alive
from tests.integration.kills import (
    ANA,
    BEN,
    CHANNEL,
    QuickClock,
    ask_until_it_answers,
    confirm,
    lives,
    outcomes,
    preview,
)
from tests.integration.ledger.building import LONG, conclusion, draft
from tests.integration.test_looks import look, pids, settle
from tests.integration.test_signal import CASES, Scenario, Scene
from tests.integration.test_trouble import answers
from tests.pgbouncer import PgBouncer
from tests.rights import EVERYWHERE
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer

MODES = ("session", "transaction")

# The settings that PgBouncer itself makes on a backend, for the client to which it lends it.
TRACKED = {
    *("application_name", "client_encoding", "DateStyle", "TimeZone"),
    "standard_conforming_strings",
}


@pytest.fixture(scope="module", params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
async def bouncer(pg: PostgresServer, mode: str) -> AsyncIterator[PgBouncer]:
    async with PgBouncer(pg, pool_mode=mode) as running:
        yield running


@pytest.fixture(scope="module")
async def cluster(bouncer: PgBouncer) -> AsyncIterator[PostgresCluster]:
    """The bot's cluster, with the least privileged role that works."""
    async with through(bouncer.dsn(user=BOT)) as opened:
        yield opened


@asynccontextmanager
async def through(dsn: str) -> AsyncIterator[PostgresCluster]:
    cluster = PostgresCluster("main", dsn, "db-1.internal")
    await cluster.open()
    try:
        yield cluster
    finally:
        await cluster.close()


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[SqlLedger]:
    ledger = SqlLedger(f"sqlite:///{tmp_path / 'ledger.db'}")
    await ledger.open()
    yield ledger
    await ledger.close()


def operations(cluster: PostgresCluster, ledger: SqlLedger) -> Operations:
    return Operations(
        {"main": cluster}, ledger, QuickClock(), rules=Rules(), owner="me", reach=EVERYWHERE
    )


async def application(bouncer: PgBouncer, database: str = "some_db") -> asyncpg.Connection:
    """Another client of the pooler."""
    return await asyncpg.connect(bouncer.dsn(user="web", database=database), statement_cache_size=0)


async def fetchval(cluster: PostgresCluster, query: str) -> object:
    """A statement's result on one of the bot's own connections."""
    return await cluster._read(lambda connection: connection.fetchval(query))


# --- looks and kills -------------------------------------------------------------------


@pytest.mark.smoke
async def test_looks_work(cluster: PostgresCluster, sessions: Sessions) -> None:
    holder, waiter = await sessions.open(app="holder"), await sessions.open(app="waiter")
    await holder.execute("begin; lock table accounts in access exclusive mode")
    await waiter.execute("begin")
    task = asyncio.ensure_future(waiter.execute("lock table accounts in access exclusive mode"))
    sessions.stack.callback(task.cancel)
    await settle(cluster, "blocked", waiter.get_server_pid())

    assert pids(await look(cluster, "blocking")) == {holder.get_server_pid()}
    assert pids(await look(cluster, "user=web app=holder xact>0s")) == {holder.get_server_pid()}
    assert APPLICATION_NAME not in {r.application_name for r in (await look(cluster, "")).rows}
    names = await cluster.names()
    found = await cluster.look((InTree(),), names=names)
    assert tree(found.waits)[0].pid == holder.get_server_pid()
    assert set((await cluster.locks(names)).waits) == {waiter.get_server_pid()}
    assert await cluster.locks_of(waiter.get_server_pid(), await cluster.names(), limit=10)


@pytest.mark.smoke
@pytest.mark.parametrize("by", ["filter", "pid"])
async def test_a_kill_ends_what_was_confirmed_and_nothing_else(
    cluster: PostgresCluster, sessions: Sessions, ledger: SqlLedger, by: str
) -> None:
    target = await sessions.open("batch", app="target")
    await target.execute("begin; select 1")
    other = await sessions.open("batch", app="other")
    ops = operations(cluster, ledger)
    pid = target.get_server_pid()

    shown = await preview(ops, "user=batch app=target" if by == "filter" else f"{pid}")
    late = await sessions.open("batch", app="target")
    conclusion = await confirm(ops, shown, actor=BEN)

    assert outcomes(conclusion) == {pid: Outcome.TERMINATED}
    assert not await lives(target)
    assert await lives(other)
    assert await lives(late)


async def test_nothing_is_prepared_on_a_backend_that_is_lent(
    cluster: PostgresCluster, sessions: Sessions, ledger: SqlLedger
) -> None:
    await sessions.open("batch", app="unprepared")
    ops = operations(cluster, ledger)
    await confirm(ops, await preview(ops, "user=batch app=unprepared"))
    assert await fetchval(cluster, "select count(*) from pg_prepared_statements") == 0


@pytest.fixture(scope="module")
async def as_superuser(bouncer: PgBouncer) -> AsyncIterator[PostgresCluster]:
    """A bot with every right, so that only the guard can stop it from signalling."""
    async with through(bouncer.dsn(user="postgres")) as opened:
        yield opened


@pytest.mark.parametrize(("scenario", "verdict"), [case[:2] for case in CASES])
async def test_the_guards_hold(
    pg: PostgresServer,
    cluster: PostgresCluster,
    as_superuser: PostgresCluster,
    admin: asyncpg.Connection,
    sessions: Sessions,
    scenario: Scenario,
    verdict: Verdict,
) -> None:
    backend, guard = await scenario(Scene(pg, cluster, admin, sessions))

    reply = await as_superuser.signal(guard)

    assert reply.verdict is verdict
    assert await alive(admin, backend)


async def test_the_bots_own_sessions_are_never_offered(
    cluster: PostgresCluster, ledger: SqlLedger, admin: asyncpg.Connection
) -> None:
    own = await admin.fetch("select pid from pg_stat_activity where usename = $1", BOT)
    request = KillRequest(pids=tuple(row["pid"] for row in own))

    answer = await operations(cluster, ledger).propose(ANA, CHANNEL, request)

    assert isinstance(answer, NothingToKill)
    assert len(answer.spared) == len(own)
    assert {spared.why for spared in answer.spared} == {SpareReason.OWN_ROLE}


async def test_applications_role_lent_by_the_pooler_is_the_bots_own(
    bouncer: PgBouncer, sessions: Sessions, ledger: SqlLedger
) -> None:
    web = await sessions.open("web")
    async with through(bouncer.dsn(user=BOT, database="shared")) as cluster:
        answer = await operations(cluster, ledger).propose(
            ANA, CHANNEL, KillRequest(pids=(web.get_server_pid(),))
        )

    assert isinstance(answer, NothingToKill)
    assert [spared.why for spared in answer.spared] == [SpareReason.OWN_ROLE]
    assert await lives(web)


async def test_a_session_that_came_through_the_pooler_dies_like_any_other(
    bouncer: PgBouncer, cluster: PostgresCluster, ledger: SqlLedger
) -> None:
    client = await application(bouncer)
    await client.execute("begin")
    pid = await client.fetchval("select pg_backend_pid()")
    ops = operations(cluster, ledger)

    conclusion = await confirm(ops, await preview(ops, f"{pid}"))

    assert outcomes(conclusion) == {pid: Outcome.TERMINATED}
    assert not await lives(client)
    another = await application(bouncer)
    assert await lives(another)
    await another.close()


# --- what the bot leaves behind --------------------------------------------------------


async def test_bot_leaves_no_settings_on_a_shared_backend(
    pg: PostgresServer, admin: asyncpg.Connection, sessions: Sessions, mode: str
) -> None:
    """One pool for the bot and the applications, and no reset that would hide a leak."""
    size = {"session": 4, "transaction": 1}[mode]
    async with PgBouncer(
        pg, pool_mode=mode, default_pool_size=size, server_reset_query=""
    ) as bouncer:
        async with through(bouncer.dsn(user=BOT, database="shared")) as cluster:
            scene = Scene(pg, cluster, admin, sessions)
            target = await scene.row(await sessions.open("web"))
            reply = await cluster.signal(await scene.guard(target))
            assert reply.verdict is Verdict.SIGNALLED
            await look(cluster, "all")
            used = await admin.fetch(
                "select pid from pg_stat_activity where usename = 'web' and application_name = $1",
                APPLICATION_NAME,
            )
        client = await application(bouncer, "shared")
        assert await client.fetchval("select pg_backend_pid()") in {row["pid"] for row in used}
        left = await client.fetch("select name from pg_settings where source = 'session'")
        assert {row["name"] for row in left} <= TRACKED
        assert await client.fetchval("select count(*) from pg_prepared_statements") == 0
        await client.close()


async def test_refused_signal_returns_its_backend_to_the_pooler(
    pg: PostgresServer, admin: asyncpg.Connection, sessions: Sessions
) -> None:
    async with (
        PgBouncer(pg, pool_mode="transaction", default_pool_size=1) as bouncer,
        through(bouncer.dsn(user=BOT)) as cluster,
    ):
        scene = Scene(pg, cluster, admin, sessions)
        guard = await scene.guard(await scene.row(await sessions.open("postgres")))
        reply = await cluster.signal(guard)
        assert reply.verdict is Verdict.NOT_PERMITTED
        for _ in range(4):
            await cluster.names()


async def test_many_at_once_share_one_backend(pg: PostgresServer) -> None:
    """Two bots and an application; none ever uses what another prepared."""
    async with (
        PgBouncer(pg, pool_mode="transaction", default_pool_size=1) as bouncer,
        through(bouncer.dsn(user=BOT, database="shared")) as one,
        through(bouncer.dsn(user=BOT, database="shared")) as other,
    ):
        client = await application(bouncer, "shared")
        for n in range(10):
            _, _, number = await asyncio.gather(
                look(one, "all"), look(other, "all"), client.fetchval("select $1::int", n)
            )
            assert number == n
        await client.close()


# --- time ------------------------------------------------------------------------------


async def waiting_of_the_bots(admin: asyncpg.Connection) -> int:
    # The function, because the view hangs behind the lock.
    return await admin.fetchval(
        "select count(*) from pg_stat_get_activity(null)"
        " where application_name = $1 and state = 'active'",
        APPLICATION_NAME,
    )


@pytest.mark.parametrize("catalog", ["pg_database", "pg_authid"])
async def test_a_look_does_not_hang_behind_a_lock_on_a_catalog(
    pg: PostgresServer, cluster: PostgresCluster, sessions: Sessions, catalog: str
) -> None:
    session = await sessions.open(app="in the dark")
    await cluster.names()
    ddl = await asyncpg.connect(pg.dsn())
    await ddl.execute(f"begin; lock table {catalog} in access exclusive mode")
    try:
        found = await look(cluster, 'app="in the dark"')
        assert pids(found) == {session.get_server_pid()}
        assert found.names.stale
        assert await waiting_of_the_bots(ddl) == 0
        assert cluster.connections == (4, 4)
    finally:
        await ddl.execute("rollback")
        await ddl.close()


async def test_abandoned_statement_ends_on_the_server_too(
    cluster: PostgresCluster, admin: asyncpg.Connection
) -> None:
    with pytest.raises(ClusterTimeout):
        await fetchval(cluster, "select pg_sleep(600)")
    async with asyncio.timeout(PATIENCE):
        while await waiting_of_the_bots(admin):
            await asyncio.sleep(0.05)
    await answers(cluster)


# --- a pooler, or a server behind it, in trouble ---------------------------------------


async def test_after_a_restart_of_the_pooler_the_connections_come_back(
    pg: PostgresServer, mode: str
) -> None:
    async with (
        PgBouncer(pg, pool_mode=mode) as bouncer,
        through(bouncer.dsn(user=BOT)) as cluster,
    ):
        await bouncer.stop()
        with pytest.raises(ClusterError):
            await cluster.names()
        await bouncer.start()
        await answers(cluster)
        async with asyncio.timeout(PATIENCE):
            while cluster.connections != (4, 4):
                await asyncio.sleep(0.05)


async def test_stopped_pooler_is_an_error_in_time(pg: PostgresServer, mode: str) -> None:
    async with (
        PgBouncer(pg, pool_mode=mode) as bouncer,
        through(bouncer.dsn(user=BOT)) as cluster,
    ):
        os.kill(bouncer.pid, signal.SIGSTOP)
        try:
            with pytest.raises(ClusterTimeout, match="did not answer in time"):
                await cluster.names()
        finally:
            os.kill(bouncer.pid, signal.SIGCONT)
        await answers(cluster)


@pytest.mark.parametrize("first", ["the bot", "the application"])
async def test_exhausted_pool_is_an_error_in_time(pg: PostgresServer, first: str) -> None:
    """PgBouncer's own patience is two minutes."""
    async with PgBouncer(pg, pool_mode="transaction", default_pool_size=1) as bouncer:
        client = await application(bouncer, "shared")
        if first == "the application":
            await client.execute("begin")
        async with through(bouncer.dsn(user=BOT, database="shared")) as cluster:
            await client.execute("begin" if first == "the bot" else "select 1")
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(ClusterTimeout if first == "the bot" else NotSent):
                    await cluster.names()
            await client.execute("commit")
            await answers(cluster)
        await client.close()


async def test_pooler_may_switch_backends(
    pg: PostgresServer,
) -> None:
    async with (
        PgBouncer(pg, pool_mode="transaction", server_lifetime=1) as bouncer,
        through(bouncer.dsn(user=BOT)) as cluster,
    ):
        first = await fetchval(cluster, "select pg_backend_pid()")
        async with asyncio.timeout(PATIENCE):
            while await fetchval(cluster, "select pg_backend_pid()") == first:
                await look(cluster, "")
        assert cluster.connections == (4, 4)


@asynccontextmanager
async def server_of_its_own(**settings: int) -> AsyncIterator[PostgresServer]:
    async with servers.postgres(settings=settings) as own:
        admin = await asyncpg.connect(own.dsn())
        await admin.execute(f"create role web login; create role {BOT} login")
        await admin.execute(f"grant pg_read_all_stats, pg_signal_backend to {BOT}")
        await admin.close()
        yield own


async def test_lent_backends_work_with_every_slot_taken(ledger: SqlLedger, mode: str) -> None:
    """In transaction mode it is what the pool has not given up yet, which isn't guaranteed."""
    async with (
        server_of_its_own(max_connections=20) as full,
        PgBouncer(full, pool_mode=mode) as bouncer,
        through(bouncer.dsn(user=BOT)) as cluster,
    ):
        crowd = [await asyncpg.connect(full.dsn(user="web")) for _ in range(10)]
        with suppress(asyncpg.TooManyConnectionsError):
            while True:
                crowd.append(await asyncpg.connect(full.dsn()))
        ops = operations(cluster, ledger)
        conclusion = await confirm(ops, await preview(ops, "user=web"))
        assert conclusion.counts == {Outcome.TERMINATED: 10}
        for connection in crowd:
            connection.terminate()


async def test_a_restart_of_the_server_behind_it_is_found_and_signals_nothing(
    ledger: SqlLedger, mode: str
) -> None:
    async with (
        server_of_its_own() as own,
        PgBouncer(own, pool_mode=mode) as bouncer,
        through(bouncer.dsn(user=BOT)) as cluster,
    ):
        victim = await asyncpg.connect(own.dsn(user="web"))
        ops = operations(cluster, ledger)
        shown = await preview(ops, "user=web")
        victim.terminate()
        await own.restart()
        successor = await asyncpg.connect(own.dsn(user="web"))
        conclusion = await ask_until_it_answers(ops, shown)
        assert conclusion.counts == {Outcome.SERVER_CHANGED: 1}
        assert await lives(successor)
        successor.terminate()


async def test_statement_pooling_is_refused_from_the_start(pg: PostgresServer) -> None:
    async with (
        PgBouncer(pg, pool_mode="statement") as bouncer,
        through(bouncer.dsn(user=BOT)) as cluster,
    ):
        assert cluster.connections == (0, 4)
        with pytest.raises(NotSent, match="a pooler in front of it"):
            await cluster.names()


async def test_parameter_that_the_pooler_refuses_is_reported(
    pg: PostgresServer,
) -> None:
    async with (
        PgBouncer(pg) as bouncer,
        through(bouncer.dsn(user=BOT) + "?options=endpoint%3Dx") as cluster,
    ):
        with pytest.raises(NotSent, match="a pooler in front of it refuses the connection"):
            await cluster.names()


# --- the ledger ------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def ledger_db(admin: asyncpg.Connection) -> AsyncIterator[str]:
    """A database of the role `web`, whose commits don't wait for the disk unless told to."""
    await admin.execute("create database ledger_db owner web")
    await admin.execute("alter database ledger_db set synchronous_commit = off")
    yield "ledger_db"
    await admin.execute("drop database ledger_db with (force)")


async def test_ledger_behind_a_pooler_is_claimed_once(bouncer: PgBouncer, ledger_db: str) -> None:
    replicas = [SqlLedger(bouncer.dsn(user="web", database=ledger_db)) for _ in range(2)]
    for replica in replicas:
        await replica.open()
    try:
        for _ in range(20):
            proposal = await replicas[0].propose(draft(), LONG)
            claims = await asyncio.gather(
                *(
                    replica.claim(proposal.key, BEN, f"{n}", LONG)
                    for n, replica in enumerate(replicas)
                )
            )
            (won,) = (claim for claim in claims if claim is not None)
            assert await replicas[claims.index(won)].conclude(
                conclusion(won), f"{claims.index(won)}"
            )
        await replicas[1].ready()
    finally:
        for replica in replicas:
            await replica.close()


async def test_ledger_leaves_no_settings_on_a_backend_and_its_commits_last(
    pg: PostgresServer,
    admin: asyncpg.Connection,
    ledger_db: str,
    mode: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # If it were closed during a check of its connections, that would cost the pool a backend.
    monkeypatch.setattr(store, "KEEP_EVERY", 600.0)
    async with PgBouncer(pg, pool_mode=mode, default_pool_size=2, server_reset_query="") as bouncer:
        ledger = SqlLedger(bouncer.dsn(user="web", database=ledger_db))
        await ledger.open()
        try:
            async with ledger._transactions.write() as connection:
                shown = await connection.scalar(text("show synchronous_commit"))
            assert shown == "on"
            used = await admin.fetch(
                "select pid from pg_stat_activity where datname = $1", ledger_db
            )
        finally:
            await ledger.close()
        client = await application(bouncer, ledger_db)
        assert await client.fetchval("select pg_backend_pid()") in {row["pid"] for row in used}
        left = await client.fetch("select name from pg_settings where source = 'session'")
        assert {row["name"] for row in left} <= TRACKED
        assert await client.fetchval("show synchronous_commit") == "off"
        await client.close()
