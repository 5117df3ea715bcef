"""The owner of a URL's database can't run code as the bot, nor hinder it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import asyncpg
import pytest

from bot.check.facts import Answer, Untold
from bot.domain.filters import InTree, freeze
from bot.domain.kept_names import Applications
from bot.domain.kills import Action, Basis, Outcome
from bot.domain.record import ALONE, HistoryFilter, Record
from bot.domain.sessions import Backend, Look
from bot.domain.shown import HIDES
from bot.domain.signals import Guard, Verdict
from bot.grammar.columns import COLUMNS, TAGS
from bot.grammar.parser import parse_sessions
from bot.grammar.requests import SessionsRequest, SortKey
from bot.ledger import probe as ledger_probe
from bot.ledger import sql as ledger_module
from bot.ledger.sql import SqlLedger
from bot.postgres.cluster import PostgresCluster
from bot.postgres.probe import probe
from tests.integration import hostile
from tests.integration.conftest import BOT, SCHEMA, SETUP, Sessions
from tests.integration.ledger.building import (
    ANA,
    BEN,
    LONG,
    THEN,
    conclusion,
    draft,
    history,
    look_note,
    refusal_note,
)
from tests.integration.test_looks import settle
from tests.pgbouncer import PgBouncer
from tests.servers import postgres
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer

pytestmark = [pytest.mark.sql, pytest.mark.usefixtures("reads_ahead")]

OWNER = "landlord"
LEDGER = "bookkeeper"

PATHS = {
    "the path as it is": {},
    "the owner's schema first": {"search_path": "public, pg_catalog"},
    "whatever an owner may set": hostile.SETTINGS,
    "and its limits": hostile.WITH_LIMITS,
}
WAYS = ("directly", "session", "transaction", "transaction, and settings dropped")
CASES = [
    (path, way)
    for path, settings in PATHS.items()
    for way in (WAYS if settings is not hostile.WITH_LIMITS else WAYS[:1])
]


@dataclass
class Land:
    """A database in which its owner has planted code."""

    server: PostgresServer
    owner: asyncpg.Connection
    name: str = "land"

    def dsn(self, user: str) -> str:
        return self.server.dsn(user=user, database=self.name)


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[PostgresServer]:
    settings: dict[str, str | int] = {
        "max_connections": 60,
        "max_prepared_transactions": 5,
    }
    async with postgres(settings=settings) as running:
        admin = await asyncpg.connect(running.dsn())
        for statement in filter(str.strip, SETUP.split(";")):
            await admin.execute(statement)
        await admin.execute(f"create role {OWNER} login; create role {LEDGER} login")
        elsewhere = await asyncpg.connect(running.dsn(database="some_db"))
        await elsewhere.execute(SCHEMA)
        await elsewhere.close()
        await admin.execute(f"create database planted owner {OWNER}")
        # With its own path, so that it doesn't catch itself.
        planter = await asyncpg.connect(
            running.dsn(user=OWNER, database="planted"),
            server_settings={"search_path": "pg_catalog"},
        )
        await planter.execute(f"grant create on schema public to {LEDGER}")
        await hostile.plant(planter)
        await planter.close()
        await admin.close()
        yield running


@pytest.fixture(scope="module")
async def land(request: pytest.FixtureRequest, server: PostgresServer) -> AsyncIterator[Land]:
    """A copy, because planting takes a second."""
    admin = await asyncpg.connect(server.dsn())
    await admin.execute(f"create database land template planted owner {OWNER}")
    # With its own path, so that it doesn't catch itself.
    owner = await asyncpg.connect(
        server.dsn(user=OWNER, database="land"), server_settings={"search_path": "pg_catalog"}
    )
    await hostile.set_all(owner, "land", PATHS[request.param])
    yield Land(server, owner)
    await owner.close()
    await admin.execute("drop database land with (force)")
    await admin.close()


@asynccontextmanager
async def way_to(land: Land, user: str, way: str) -> AsyncIterator[str]:
    """A URL that leads there."""
    if way == "directly":
        yield land.dsn(user)
        return
    mode, _, drops = way.partition(",")
    dropped = "search_path, default_transaction_isolation, standard_conforming_strings, jit"
    dropped += ", quote_all_identifiers, client_min_messages, exit_on_error, lock_timeout"
    dropped += ", max_parallel_workers_per_gather, default_transaction_read_only"
    dropped += ", statement_timeout, local_preload_libraries, idle_session_timeout"
    dropped += ", idle_in_transaction_session_timeout"
    async with PgBouncer(
        land.server,
        users=(BOT, LEDGER),
        pool_mode=mode,
        default_pool_size=5,
        ignore_startup_parameters=dropped if drops else "extra_float_digits",
    ) as bouncer:
        yield bouncer.dsn(user=user, database=land.name)


@pytest.fixture
async def sessions(server: PostgresServer) -> AsyncIterator[Sessions]:
    opened = Sessions(server)
    async with opened.stack:
        yield opened


@dataclass
class Queue:
    """Somebody holds a lock, two wait for it, and a prepared transaction holds another."""

    holder: asyncpg.Connection
    waiter: asyncpg.Connection


@pytest.fixture
async def queue(server: PostgresServer, sessions: Sessions) -> AsyncIterator[Queue]:
    holder, waiter, behind, preparer = [await sessions.open(app=f"q {n}") for n in range(4)]
    await holder.execute("begin; update accounts set balance = 1 where id = 1")
    await preparer.execute(
        "begin; update accounts set balance = 1 where id = 2; prepare transaction 'gone'"
    )
    tasks = [
        asyncio.ensure_future(waiter.execute("update accounts set balance = 2 where id = 1")),
        asyncio.ensure_future(behind.execute("update accounts set balance = 2 where id = 2")),
    ]
    yield Queue(holder, waiter)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await preparer.execute("rollback prepared 'gone'")


async def look(cluster: PostgresCluster, text: str, *, strict: bool) -> Look:
    request = parse_sessions(text)
    assert isinstance(request, SessionsRequest)
    names = await cluster.names()
    return await cluster.look(
        freeze(request.terms, names, names.read_at), names=names, strict=strict, everything=True
    )


FILTERS = (
    "user=web",
    "user!=batch db=some_db app=q* client=127.0.0.0/8 client=127.* type=client wait!=IO",
    "state=idle_tx xact>0s age>0s",
    "query>0s",
    "idle>0s idle<1h",
    "blocked",
    "blocking",
)


async def guard(cluster: PostgresCluster, connection: asyncpg.Connection, text: str) -> Guard:
    request = parse_sessions(text)
    assert isinstance(request, SessionsRequest)
    names = await cluster.names()
    found = await cluster.look((), names=names, strict=True, everything=True, limit=1000)
    shown: Backend = next(row for row in found.rows if row.pid == connection.get_server_pid())
    assert shown.id is not None
    return Guard(
        server=found.server.id,
        target=shown.id,
        action=Action.TERMINATE,
        basis=Basis.FILTER if text else Basis.PID,
        xact_start=shown.xact_start,
        backend_xid=shown.backend_xid,
        virtualtransaction=shown.virtualtransaction,
        query_start=shown.query_start,
        conditions=freeze(request.terms, names, names.read_at),
        cost=shown.cost if text else None,
        protected_roles=frozenset({1}),
        protected_applications=Applications((("backup", ""),)),
        deadline=found.server.now + timedelta(seconds=5),
    )


@pytest.mark.smoke
@pytest.mark.parametrize(("land", "way"), CASES, indirect=["land"])
async def test_owners_code_never_runs_in_a_look_or_kill(
    land: Land, sessions: Sessions, queue: Queue, way: str
) -> None:
    async with way_to(land, BOT, way) as dsn, AsyncExitStack() as stack:
        cluster = PostgresCluster("main", dsn, "db-1.internal")
        await cluster.open()
        stack.push_async_callback(cluster.close)
        assert cluster.connections == (4, 4)

        await settle(cluster, "blocked", queue.waiter.get_server_pid())
        names = await cluster.names()
        assert {"landlord", "web"} <= {role.rolname for role in names.roles.values()}
        for text in FILTERS:
            for strict in (False, True):
                assert (await look(cluster, text, strict=strict)).rows, text
        for column in (each for each in COLUMNS if each not in {*HIDES, TAGS}):
            for descending in (False, True):
                await cluster.look((), names=names, sort=(SortKey(column, descending),))
        assert (await cluster.look((InTree(),), names=names)).waits.blocked_by
        locks = await cluster.locks(names)
        assert [one.gid for one in locks.prepared.values()] == ["gone"]
        assert await cluster.locks_of(queue.holder.get_server_pid(), names, limit=10)

        spared = await sessions.open("batch", app="backup 1")
        targets = {text: await sessions.open("batch", app="dies") for text in ("user=batch", "")}
        await targets[""].execute("begin; select 1")
        refused = await cluster.signal(await guard(cluster, spared, ""))
        assert refused.verdict is Verdict.PROTECTED
        for text, connection in targets.items():
            one = await guard(cluster, connection, text)
            stays = replace(one, action=Action.CANCEL)
            assert (await cluster.signal(stays)).verdict is Verdict.FINISHED
            assert (await cluster.signal(one)).verdict is Verdict.SIGNALLED
            async with asyncio.timeout(PATIENCE):
                while (await cluster.sight([one.target])).there:
                    await asyncio.sleep(0.01)
        assert not spared.is_closed()

    assert await hostile.calls(land.owner) == set()


@pytest.mark.parametrize("land", PATHS, indirect=True)
async def test_owners_code_never_runs_when_relations_are_named(land: Land) -> None:
    """For this the bot connects to other databases than its URL's, whoever owns them."""
    await land.owner.execute("create table public.locked ()")
    await land.owner.execute("begin; lock table public.locked")
    cluster = PostgresCluster("main", land.server.dsn(user=BOT), "db-1.internal")
    await cluster.open()
    try:
        pid = land.owner.get_server_pid()
        locks, _ = await cluster.locks_of(pid, await cluster.names(), limit=50)
    finally:
        await cluster.close()
        await land.owner.execute("rollback")
        await land.owner.execute("drop table public.locked")
    assert "public.locked" in {lock.relname for lock in locks}
    assert await hostile.calls(land.owner) == set()


@pytest.mark.parametrize(("land", "way"), CASES, indirect=["land"])
async def test_owners_code_never_runs_in_a_check(land: Land, way: str) -> None:
    async with way_to(land, BOT, way) as dsn:
        facts = await probe("main", dsn)
    assert isinstance(facts.answer, Answer), facts.answer
    assert facts.answer.roles is not None
    assert facts.answer.pooled is (way != "directly")
    assert await hostile.calls(land.owner) == set()


@pytest.mark.parametrize(("land", "way"), CASES, indirect=["land"])
async def test_owners_code_never_runs_in_the_ledger(
    land: Land, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A busy machine takes longer than people would wait.
    monkeypatch.setattr(ledger_probe, "WITHIN", PATIENCE)
    monkeypatch.setattr(ledger_module, "START_LIMIT", PATIENCE)
    async with way_to(land, LEDGER, way) as dsn:
        assert (await ledger_probe.probe(dsn)).problem is None
        ledger = SqlLedger(dsn, time_limit=PATIENCE)
        await ledger.open()
        try:
            proposal = await ledger.propose(draft(), LONG)
            claim = await ledger.claim(proposal.key, BEN, "one", LONG)
            assert claim is not None
            assert await ledger.renew(claim.id, "one", LONG)
            await ledger.lapsed("two", LONG, working=())
            assert await ledger.conclude(conclusion(claim, Outcome.UNKNOWN), "one")
            assert await ledger.amend(claim.id, (), ("seen later",))
            await ledger.unfollowed("two", clusters=("main",), working=(7,))
            await ledger.leave("one")
            await ledger.dismiss((await ledger.propose(draft(), LONG)).key, ANA)
            assert await ledger.first_time(f"signature {way}")
            await ledger.note([(0.0, refusal_note("text")), (0.0, look_note(ALONE))])
            await ledger.last_look("C1", "main")
            some = HistoryFilter(roles=((("some_", ""), False),), since=THEN)
            entries = await history(ledger, some, limit=9, before_id=claim.id + 1)
            assert entries[0].notes == ("seen later",)
            assert await ledger.noted(Record.REFUSALS, since=THEN, limit=9)
            await ledger.ready()
            assert (await ledger_probe.probe(dsn)).problem is None
        finally:
            await ledger.close()
    assert await hostile.calls(land.owner) == set()


SNARE = """
    create function public.{name} language sql as $$
        select case when pg_catalog.pg_terminate_backend({pid}) then {result} end
    $$
"""


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("array_position(oid[], oid) returns int", "1"),
        ("unnest(integer[]) returns setof integer", "1"),
    ],
)
async def test_look_never_ends_a_session_for_an_owner(
    server: PostgresServer, sessions: Sessions, queue: Queue, name: str, result: str
) -> None:
    """The owner may not end it, but the bot may, and would be tricked into doing so."""
    admin = await asyncpg.connect(server.dsn())
    await admin.execute(f"create database snare owner {OWNER}")
    stranger = await sessions.open("web")
    owner = await asyncpg.connect(server.dsn(user=OWNER, database="snare"))
    await owner.execute(SNARE.format(name=name, pid=stranger.get_server_pid(), result=result))
    await owner.close()
    cluster = PostgresCluster("main", server.dsn(user=BOT, database="snare"), "db-1.internal")
    await cluster.open()
    try:
        names = await cluster.names()
        await settle(cluster, "blocked", queue.waiter.get_server_pid())
        await cluster.look((), names=names, sort=(SortKey("usename"),))
        await cluster.locks(names)
        assert await stranger.fetchval("select 1") == 1
    finally:
        await cluster.close()
        await admin.execute("drop database snare with (force)")
        await admin.close()


async def test_standby_with_serializable_default_is_read() -> None:
    async with postgres() as standby:
        admin = await asyncpg.connect(standby.dsn())
        await admin.execute("alter system set default_transaction_isolation = 'serializable'")
        await admin.close()
        await standby.become_standby()
        async with PgBouncer(standby, pool_mode="transaction") as bouncer:
            for dsn in (standby.dsn(), bouncer.dsn(user="postgres")):
                facts = await probe("main", dsn)
                assert not isinstance(facts.answer, Untold), facts.answer.problem
                cluster = PostgresCluster("main", dsn, "db-1.internal")
                await cluster.open()
                try:
                    assert (await look(cluster, "", strict=True)).server.in_recovery
                finally:
                    await cluster.close()
