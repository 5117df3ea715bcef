"""The signalling statement on a real PostgreSQL: what it spares, and that each guard counts.

Every case is a scenario in which the target must live. It runs twice: with the real statement,
where the target lives and the verdict says why; and with that one guard removed from the
statement, where the target is signalled. So no guard here can be lost unnoticed.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from bot.domain.filters import Before, Condition, OidIn, TextLike
from bot.domain.kept_names import Applications
from bot.domain.kills import Action, Basis
from bot.domain.sessions import Backend
from bot.domain.signals import Guard, Verdict
from bot.errors import ClusterDown, ClusterTimeout, NotSent
from bot.grammar.terms import AgeOf
from bot.postgres import cluster as module
from bot.postgres.cluster import PostgresCluster
from bot.postgres.statements import signal_statement
from tests.integration.conftest import BOT, Sessions, alive
from tests.proxy import signal_to
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer

pytestmark = pytest.mark.sql


@dataclass
class Scene:
    """One target on a server, and the guard of a preview that showed it."""

    pg: PostgresServer
    cluster: PostgresCluster
    admin: asyncpg.Connection
    sessions: Sessions

    async def row(self, connection: asyncpg.Connection) -> Backend:
        return await self.row_of(connection.get_server_pid())

    async def row_of(self, pid: int) -> Backend:
        look = await self.cluster.look(
            (), names=await self.cluster.names(), everything=True, strict=True, limit=1000
        )
        return next(row for row in look.rows if row.pid == pid)

    async def guard(self, backend: Backend, **changes: Any) -> Guard:
        look = await self.cluster.look((), names=await self.cluster.names(), limit=0)
        assert backend.id is not None
        guard = Guard(
            server=look.server.id,
            target=backend.id,
            action=Action.TERMINATE,
            basis=Basis.PID,
            xact_start=backend.xact_start,
            backend_xid=backend.backend_xid,
            virtualtransaction=None,  # one guard per case
            query_start=backend.query_start,
            conditions=(),
            cost=None,
            protected_roles=frozenset(),
            protected_applications=Applications(),
            deadline=look.server.now + timedelta(seconds=5),
        )
        return replace(guard, **changes)

    async def now(self):
        return await self.admin.fetchval("select clock_timestamp()")


@pytest.fixture
async def scene(
    pg: PostgresServer,
    cluster: PostgresCluster,
    admin: asyncpg.Connection,
    sessions: Sessions,
) -> Scene:
    return Scene(pg, cluster, admin, sessions)


# --- each returns the backend that must live, and the guard of a click on it ----------

Scenario = Callable[[Scene], Awaitable[tuple[Backend, Guard]]]


async def another_backend_under_that_pid(scene: Scene) -> tuple[Backend, Guard]:
    backend = await scene.row(await scene.sessions.open())
    assert backend.backend_start is not None
    shown = replace(backend, backend_start=backend.backend_start - timedelta(microseconds=1))
    return backend, await scene.guard(shown)


async def another_server(scene: Scene) -> tuple[Backend, Guard]:
    backend = await scene.row(await scene.sessions.open())
    guard = await scene.guard(backend)
    server = replace(guard.server, system_identifier=guard.server.system_identifier + 1)
    return backend, replace(guard, server=server)


async def a_restart_since(scene: Scene) -> tuple[Backend, Guard]:
    backend = await scene.row(await scene.sessions.open())
    guard = await scene.guard(backend)
    started = guard.server.postmaster_start_time - timedelta(seconds=1)
    return backend, replace(guard, server=replace(guard.server, postmaster_start_time=started))


async def a_walsender(scene: Scene) -> tuple[Backend, Guard]:
    connection = await scene.sessions.open("postgres", "some_db", replication="database")
    pid = connection.get_server_pid()
    # Even if PostgreSQL would let the bot signal it, because it isn't a superuser's.
    backend = await scene.row_of(pid)
    assert backend.backend_type == "walsender"
    return backend, await scene.guard(backend)


async def a_protected_role(scene: Scene) -> tuple[Backend, Guard]:
    backend = await scene.row(await scene.sessions.open())
    return backend, await scene.guard(backend, protected_roles=frozenset({backend.usesysid}))


async def a_protected_application(scene: Scene) -> tuple[Backend, Guard]:
    backend = await scene.row(await scene.sessions.open(app="backup_50%"))
    guard = await scene.guard(backend, protected_applications=Applications((("backup_", "%"),)))
    return backend, guard


async def another_transaction(scene: Scene) -> tuple[Backend, Guard]:
    connection = await scene.sessions.open()
    await connection.execute("begin; select 1")
    backend = await scene.row(connection)
    await connection.execute("commit")
    await connection.execute("begin; select 1")
    return backend, await scene.guard(backend)


async def idle_then_and_in_a_transaction_now(scene: Scene) -> tuple[Backend, Guard]:
    connection = await scene.sessions.open()
    backend = await scene.row(connection)
    await connection.execute("begin; select 1")
    return backend, await scene.guard(backend)


GATE = "select pg_advisory_xact_lock(1)"
"""A statement that waits while the gate is shut."""


async def shut_gate(scene: Scene) -> Callable[[], Awaitable[None]]:
    """Shut the gate; return what opens it. Within one message, nothing else can be waited for."""
    keeper = await scene.sessions.open("web")
    await keeper.execute(f"begin; {GATE}")

    async def open_gate() -> None:
        await keeper.execute("commit")

    return open_gate


async def one_message_that_commits_and_begins(scene: Scene) -> tuple[Backend, Guard]:
    """`xact_start` stays the same within one message; the transaction id does not."""
    connection = await scene.sessions.open()
    holder = await scene.sessions.open()
    await holder.execute("begin; update accounts set balance = 0 where id = 2")
    open_gate = await shut_gate(scene)
    task = asyncio.ensure_future(
        connection.execute(
            f"begin; update accounts set balance = 1 where id = 1; {GATE}; commit;"
            "begin; update accounts set balance = 1 where id = 2"
        )
    )
    scene.sessions.stack.callback(task.cancel)
    while (backend := await scene.row(connection)).backend_xid is None:
        await asyncio.sleep(0.01)
    await open_gate()
    while (now := await scene.row(connection)).backend_xid in (None, backend.backend_xid):
        await asyncio.sleep(0.01)
    assert now.xact_start == backend.xact_start
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return backend, await scene.guard(backend)


async def one_message_that_only_reads(scene: Scene) -> tuple[Backend, Guard]:
    """Nothing is written, so neither transaction has an id; but each has a number."""
    connection = await scene.sessions.open()
    open_gate = await shut_gate(scene)
    task = asyncio.ensure_future(
        connection.execute(f"begin; {GATE}; commit; begin; select pg_sleep(600)")
    )
    scene.sessions.stack.callback(task.cancel)
    while (backend := await scene.row(connection)).virtualtransaction is None:
        await asyncio.sleep(0.01)
    await open_gate()
    while (now := await scene.row(connection)).virtualtransaction in (
        None,
        backend.virtualtransaction,
    ):
        await asyncio.sleep(0.01)
    assert now.xact_start == backend.xact_start
    assert now.backend_xid is None
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    guard = await scene.guard(backend, virtualtransaction=backend.virtualtransaction)
    return backend, guard


async def no_longer_in_the_filter(scene: Scene) -> tuple[Backend, Guard]:
    """After `xact>5m` was frozen, it committed and began again: other work, whatever its age."""
    connection = await scene.sessions.open()
    await connection.execute("begin; select 1")
    backend = await scene.row(connection)
    old: tuple[Condition, ...] = (Before(AgeOf.XACT, await scene.now()),)
    await connection.execute("commit")
    await connection.execute("begin; select 1")
    return backend, await scene.guard(backend, basis=Basis.FILTER, conditions=old)


async def an_unknown_value_and_a_negation(scene: Scene) -> tuple[Backend, Guard]:
    """`wait!=Lock` on a session that waits for nothing: NULL isn't a match."""
    connection = await scene.sessions.open()
    task = asyncio.ensure_future(connection.execute("do $$ begin loop perform 1; end loop; end $$"))
    scene.sessions.stack.callback(task.cancel)
    while (backend := await scene.row(connection)).state != "active":
        await asyncio.sleep(0.01)
    conditions = (TextLike("wait_event", ("Lock",), negated=True),)
    return backend, await scene.guard(backend, basis=Basis.FILTER, conditions=conditions)


async def past_the_deadline(scene: Scene) -> tuple[Backend, Guard]:
    backend = await scene.row(await scene.sessions.open())
    return backend, await scene.guard(backend, deadline=await scene.now())


async def another_query_to_cancel(scene: Scene) -> tuple[Backend, Guard]:
    connection = await scene.sessions.open()
    task = asyncio.ensure_future(connection.execute("select pg_sleep(600)"))
    scene.sessions.stack.callback(task.cancel)
    while (backend := await scene.row(connection)).state != "active":
        await asyncio.sleep(0.01)
    assert backend.query_start is not None
    earlier = backend.query_start - timedelta(seconds=1)
    guard = await scene.guard(
        backend, action=Action.CANCEL, basis=Basis.IDENTITY, query_start=earlier
    )
    return backend, guard


SERVER = (
    "(select system_identifier from pg_control_system()) is distinct from $1::bigint",
    "pg_postmaster_start_time() is distinct from $2::timestamptz",
)
PROTECTED = (
    "a.usesysid = any($5::oid[])",
    "coalesce(a.application_name, '') like any($6::text[])",
)

CASES: list[tuple[Scenario, Verdict, str, str]] = [
    # scenario, verdict, the guard in the statement, what it says without the guard
    (
        another_backend_under_that_pid,
        Verdict.GONE,
        "a.backend_start <> $4::timestamptz",
        "$4::timestamptz is null",
    ),
    (another_server, Verdict.SERVER_CHANGED, SERVER[0], "$1::bigint is null"),
    (a_restart_since, Verdict.SERVER_CHANGED, SERVER[1], "$2::timestamptz is null"),
    (a_walsender, Verdict.NOT_CLIENT, "a.backend_type <> 'client backend'", "false"),
    (a_protected_role, Verdict.PROTECTED, PROTECTED[0], "$5::oid[] is null"),
    (a_protected_application, Verdict.PROTECTED, PROTECTED[1], "$6::text[] is null"),
    (
        another_transaction,
        Verdict.CHANGED,
        "a.xact_start is not distinct from $8::timestamptz",
        "$8::timestamptz is null or true",
    ),
    (
        idle_then_and_in_a_transaction_now,
        Verdict.CHANGED,
        "a.xact_start is not distinct from $8::timestamptz",
        "$8::timestamptz is null or true",
    ),
    (
        one_message_that_commits_and_begins,
        Verdict.CHANGED,
        "a.backend_xid::text = $9::text",
        "$9::text is not null",
    ),
    (
        one_message_that_only_reads,
        Verdict.CHANGED,
        "limit 1) = $9::text",
        "limit 1) is not null and $9::text is not null",
    ),
    (
        no_longer_in_the_filter,
        Verdict.NO_LONGER_MATCHES,
        "a.xact_start < $8::timestamptz",
        "$8::timestamptz is not null",
    ),
    (
        an_unknown_value_and_a_negation,
        Verdict.NO_LONGER_MATCHES,
        "is not true then 'no longer matches'",
        "is false then 'no longer matches'",
    ),
    (
        past_the_deadline,
        Verdict.LATE,
        "clock_timestamp() >= $7::timestamptz",
        "$7::timestamptz is null",
    ),
    (
        another_query_to_cancel,
        Verdict.FINISHED,
        "a.query_start = $8::timestamptz",
        "$8::timestamptz is not null",
    ),
]


@pytest.fixture
async def as_superuser(pg: PostgresServer) -> AsyncIterator[PostgresCluster]:
    """A bot with every right, so that only the guard can keep it from signalling."""
    cluster = PostgresCluster("main", pg.dsn(), "db-1.internal")
    await cluster.open()
    yield cluster
    await cluster.close()


@pytest.mark.smoke
@pytest.mark.parametrize(("scenario", "verdict", "guard_sql", "_without"), CASES)
async def test_the_target_lives(
    scene: Scene,
    as_superuser: PostgresCluster,
    scenario: Scenario,
    verdict: Verdict,
    guard_sql: str,
    _without: str,
) -> None:
    backend, guard = await scenario(scene)

    reply = await as_superuser.signal(guard)

    assert reply.verdict is verdict
    assert await alive(scene.admin, backend)


@pytest.mark.parametrize(("scenario", "_verdict", "guard_sql", "without"), CASES)
async def test_without_its_guard_it_would_have_been_signalled(
    scene: Scene,
    as_superuser: PostgresCluster,
    monkeypatch: pytest.MonkeyPatch,
    scenario: Scenario,
    _verdict: Verdict,
    guard_sql: str,
    without: str,
) -> None:
    _, guard = await scenario(scene)
    statement, parameters = signal_statement(guard)
    assert statement.count(guard_sql) == 1
    weakened = statement.replace(guard_sql, without)
    monkeypatch.setattr(module, "signal_statement", lambda _: (weakened, parameters))

    reply = await as_superuser.signal(guard)

    assert reply.verdict is Verdict.SIGNALLED


# --- and what it does ------------------------------------------------------------------


async def gone(scene: Scene, backend: Backend) -> None:
    async with asyncio.timeout(PATIENCE):
        while await alive(scene.admin, backend):
            await asyncio.sleep(0.01)


async def test_transaction_that_has_written_since_is_still_the_shown_one(
    scene: Scene,
) -> None:
    connection = await scene.sessions.open("some_user")
    open_gate = await shut_gate(scene)
    task = asyncio.ensure_future(
        connection.execute(
            f"begin; {GATE}; update accounts set balance = 0 where id = 4; select pg_sleep(600)"
        )
    )
    scene.sessions.stack.callback(task.cancel)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    while (backend := await scene.row(connection)).virtualtransaction is None:
        await asyncio.sleep(0.01)
    guard = await scene.guard(backend, virtualtransaction=backend.virtualtransaction)
    await open_gate()
    while (await scene.row(connection)).backend_xid is None:
        await asyncio.sleep(0.01)
    assert (await scene.cluster.signal(guard)).verdict is Verdict.SIGNALLED
    await gone(scene, backend)


@pytest.mark.smoke
async def test_the_session_that_was_shown_is_terminated(scene: Scene) -> None:
    connection = await scene.sessions.open("some_user")
    await connection.execute("begin; select 1")
    backend = await scene.row(connection)

    reply = await scene.cluster.signal(await scene.guard(backend))

    assert reply.verdict is Verdict.SIGNALLED
    await gone(scene, backend)


async def test_idle_before_and_now_counts_as_the_same(scene: Scene) -> None:
    connection = await scene.sessions.open()
    backend = await scene.row(connection)
    await connection.execute("select 1")

    reply = await scene.cluster.signal(await scene.guard(backend))

    assert reply.verdict is Verdict.SIGNALLED
    await gone(scene, backend)


async def test_identity_basis_ignores_what_the_session_runs(scene: Scene) -> None:
    backend, guard = await another_transaction(scene)

    reply = await scene.cluster.signal(replace(guard, basis=Basis.IDENTITY))

    assert reply.verdict is Verdict.SIGNALLED
    await gone(scene, backend)


@pytest.mark.smoke
async def test_a_filter_that_still_holds_lets_the_signal_through(scene: Scene) -> None:
    backend = await scene.row(await scene.sessions.open())
    conditions = (
        OidIn("usesysid", (backend.usesysid or 0,)),
        TextLike("application_name", ("ps", "l")),
        Before(AgeOf.AGE, await scene.now()),
    )

    reply = await scene.cluster.signal(
        await scene.guard(backend, basis=Basis.FILTER, conditions=conditions)
    )

    assert reply.verdict is Verdict.SIGNALLED
    await gone(scene, backend)


@pytest.mark.smoke
async def test_cancel_ends_the_query_and_not_the_session(scene: Scene) -> None:
    connection = await scene.sessions.open()
    query = asyncio.ensure_future(connection.execute("select pg_sleep(600)"))
    while (backend := await scene.row(connection)).state != "active":
        await asyncio.sleep(0.01)

    reply = await scene.cluster.signal(await scene.guard(backend, action=Action.CANCEL))

    assert reply.verdict is Verdict.SIGNALLED
    with pytest.raises(asyncpg.QueryCanceledError):
        await query
    assert await alive(scene.admin, backend)


@pytest.mark.smoke
async def test_superusers_session_is_refused_with_postgresqls_reason(
    scene: Scene,
) -> None:
    backend = await scene.row(await scene.sessions.open("postgres"))

    reply = await scene.cluster.signal(await scene.guard(backend))

    assert reply.verdict is Verdict.NOT_PERMITTED
    assert "SUPERUSER" in reply.detail.upper()
    assert await alive(scene.admin, backend)


async def test_a_pid_that_nobody_has_is_gone(scene: Scene) -> None:
    connection = await scene.sessions.open()
    backend = await scene.row(connection)
    await connection.close()
    await gone(scene, backend)

    reply = await scene.cluster.signal(await scene.guard(backend))

    assert reply.verdict is Verdict.GONE


@pytest.mark.smoke
async def test_session_that_the_bot_may_not_see_is_left_alone(scene: Scene) -> None:
    backend = await scene.row(await scene.sessions.open())
    guard = await scene.guard(backend)
    blind = PostgresCluster("main", scene.pg.dsn(user="blind"), "db-1.internal")
    await blind.open()
    try:
        reply = await blind.signal(guard)
    finally:
        await blind.close()

    assert reply.verdict is Verdict.NOT_VISIBLE
    assert await alive(scene.admin, backend)


async def test_connection_broken_during_a_signal_is_not_a_refusal(scene: Scene) -> None:
    """The signal may have been sent: only a reply of the server can say that it wasn't."""
    guard = await scene.guard(await scene.row(await scene.sessions.open()))
    wires: list[asyncio.StreamWriter] = []
    is_open, sent = asyncio.Event(), asyncio.Event()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, on = await asyncio.open_connection(scene.pg.host, scene.pg.port)
        wires.extend((writer, on))
        returned = asyncio.ensure_future(pump(back, writer))
        await pump(reader, on)
        await returned

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(65536):
                if is_open.is_set() and signal_to(guard.target.pid) in chunk:
                    sent.set()
                    return
                writer.write(chunk)
        writer.close()

    server = await asyncio.start_server(relay, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    far = PostgresCluster("main", f"postgresql://{BOT}@127.0.0.1:{port}/postgres", "db-1.internal")
    await far.open()
    is_open.set()
    try:
        signalling = asyncio.ensure_future(far.signal(guard))
        await sent.wait()
        for wire in wires:
            wire.close()
        with pytest.raises(ClusterDown, match="the connection was lost"):
            await signalling
    finally:
        await far.close()
        server.close()


async def test_the_reply_says_what_the_target_was_doing_and_when(scene: Scene) -> None:
    connection = await scene.sessions.open()
    await connection.execute("begin; select pg_current_xact_id()")
    backend = await scene.row(connection)
    before = await scene.now()

    reply = await scene.cluster.signal(await scene.guard(backend))

    assert (reply.xact_start, reply.state) == (backend.xact_start, "idle in transaction")
    assert reply.backend_xid == backend.backend_xid is not None
    assert reply.now is not None
    assert before < reply.now < await scene.now()


# --- trouble on the way


@dataclass
class Apart:
    """A cluster whose backends are separate from the others': in its own database."""

    cluster: PostgresCluster
    admin: asyncpg.Connection

    async def backends(self) -> list[int]:
        rows = await self.admin.fetch(
            "select pid from pg_stat_activity where datname = 'apart' and usename = $1", BOT
        )
        return [row["pid"] for row in rows]

    @asynccontextmanager
    async def stopped(self) -> AsyncIterator[None]:
        """The server doesn't read from these connections, whatever is sent."""
        backends = await self.backends()
        for pid in backends:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in backends:
                os.kill(pid, signal.SIGCONT)


@pytest.fixture
async def apart(pg: PostgresServer, admin: asyncpg.Connection) -> AsyncIterator[Apart]:
    await admin.execute("create database apart")
    cluster = PostgresCluster("main", pg.dsn(user=BOT, database="apart"), "db-1.internal")
    await cluster.open()
    yield Apart(cluster, admin)
    await cluster.close()
    await admin.execute("drop database apart with (force)")


async def test_signal_never_waits_for_a_look(scene: Scene, apart: Apart) -> None:
    backend = await scene.row(await scene.sessions.open())
    guard = await scene.guard(backend)
    async with AsyncExitStack() as looks:
        for _ in range(module.WORK_CONNECTIONS):
            await looks.enter_async_context(apart.cluster._work.acquire(within=1))

        reply = await apart.cluster.signal(guard)

    assert reply.verdict is Verdict.SIGNALLED
    await gone(scene, backend)


async def test_signal_without_a_reply_does_nothing_when_it_wakes(
    scene: Scene, apart: Apart, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = await scene.row(await scene.sessions.open())
    guard = await scene.guard(backend, deadline=await scene.now() + timedelta(seconds=0.5))
    monkeypatch.setattr(module, "SIGNAL_TIMEOUT", 0.5)
    async with apart.stopped():
        with pytest.raises(ClusterTimeout) as silent:
            async with asyncio.timeout(PATIENCE):
                await apart.cluster.signal(guard)
        assert silent.value.cluster == "main"
        while await scene.now() < guard.deadline:
            await asyncio.sleep(0.01)
    await apart.cluster.names()
    assert await alive(scene.admin, backend)


async def test_signal_may_have_been_sent_if_the_server_ends_the_connection(
    scene: Scene, apart: Apart
) -> None:
    backend = await scene.row(await scene.sessions.open())
    guard = await scene.guard(backend)
    async with apart.stopped():
        signalling = asyncio.ensure_future(apart.cluster.signal(guard))
        for _ in range(100):  # turns of the loop: until it is sent, it waits for nobody
            await asyncio.sleep(0)
        for pid in await apart.backends():
            await scene.admin.execute(f"select pg_terminate_backend({pid})")
    with pytest.raises(ClusterDown) as ended:
        await signalling
    assert not isinstance(ended.value, NotSent)
    assert ended.value.cluster == "main"


async def test_signal_may_have_been_sent_if_the_reply_is_lost(
    scene: Scene, pg: PostgresServer
) -> None:
    """It was sent: to say that nothing was signalled would be a lie."""
    writers: list[asyncio.StreamWriter] = []

    async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65_536):
                sink.write(data)

    async def carry_all_but_the_reply(
        source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            while (data := await source.read(65_536)) and b"signalled" not in data:
                sink.write(data)
        sink.transport.abort()

    async def between(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection(pg.host, pg.port)
        writers.extend((to_client, to_server))
        await asyncio.gather(carry(client, to_server), carry_all_but_the_reply(server, to_client))

    wire = await asyncio.start_server(between, "127.0.0.1")
    port = wire.sockets[0].getsockname()[1]
    cluster = PostgresCluster("main", f"postgresql://{BOT}@127.0.0.1:{port}/postgres", "db-1")
    await cluster.open()
    backend = await scene.row(await scene.sessions.open())
    guard = await scene.guard(backend)
    try:
        with pytest.raises(ClusterDown, match="the connection was lost") as lost:
            await cluster.signal(guard)
        assert not isinstance(lost.value, NotSent)
        await gone(scene, backend)
    finally:
        wire.close()
        await cluster.close()
        for writer in writers:
            writer.transport.abort()


async def test_refusal_without_a_detail_uses_postgresqls_message(
    scene: Scene, pg: PostgresServer, apart: Apart
) -> None:
    backend = await scene.row(await scene.sessions.open())
    guard = await scene.guard(backend)
    owner = await asyncpg.connect(pg.dsn(database="apart"))
    await owner.execute("revoke execute on function pg_control_system() from public")
    await owner.close()

    reply = await apart.cluster.signal(guard)

    assert reply.verdict is Verdict.NOT_PERMITTED
    assert reply.detail == "permission denied for function pg_control_system"
    assert await alive(scene.admin, backend)


async def test_the_bots_own_role_is_known_by_its_oid(scene: Scene) -> None:
    oid = await scene.admin.fetchval("select oid from pg_roles where rolname = $1", BOT)

    system = (await scene.cluster.names()).server.system_identifier
    assert scene.cluster.own_roles == {system: {oid}}
