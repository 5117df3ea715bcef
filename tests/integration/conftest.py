"""A real PostgreSQL, and sessions on it that do what a test says."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from bot.domain.sessions import Backend, ServerId
from bot.errors import LedgerError
from bot.ledger.sql import SqlLedger
from bot.operations import Operations, Rules
from bot.ports import UNMEASURED, Meter
from bot.postgres import cluster as cluster_module
from bot.postgres.cluster import PostgresCluster
from bot.slack.api_errors import Client
from tests.integration import rehearsal
from tests.integration.kills import QuickClock
from tests.rights import EVERYWHERE
from tests.servers import postgres
from workspace import Workspace
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer

BOT = "sessions_bot"
Bench = Callable[..., Operations]

SETUP = f"""
    create role {BOT} login;
    grant pg_read_all_stats, pg_signal_backend to {BOT};
    create role blind login;
    grant pg_signal_backend to blind;
    create role some_user login connection limit 1;
    create role web login;
    create role batch login connection limit 20;
    create database some_db;
    create database other_db;
"""

SCHEMA = """
    create table accounts (id int primary key, balance int not null);
    insert into accounts select n, 100 from generate_series(1, 10) as n;
    grant all on accounts to public;
"""


CLIENTS = "select client_port from pg_stat_activity where client_port > 0"
END = "select pg_terminate_backend(pid) from pg_stat_activity where client_port = any($1::int[])"
ESTABLISHED, CLOSE_WAIT = "01", "08"


async def everybody_left(server: PostgresServer, admin: asyncpg.Connection | None = None) -> None:
    """End the sessions whose client has gone, and wait until none is left.

    A session outlives its client by a moment, in which it is seen, is counted, and takes up what
    its role may have; while it waits for a lock, it outlives it for as long as that takes. Who has
    gone, the kernel knows; see proc_pid_net(5).
    """
    if admin is None:
        admin = await asyncpg.connect(server.dsn())
        await everybody_left(server, admin)
        await admin.close()
        return
    async with asyncio.timeout(PATIENCE):
        while True:
            clients = {row["client_port"] for row in await admin.fetch(CLIENTS)}
            sockets = set(sockets_of(server.port))
            left = clients - {port for port, state in sockets if state == ESTABLISHED}
            if not left and CLOSE_WAIT not in {state for _, state in sockets}:
                return
            await admin.execute(END, list(left))
            await asyncio.sleep(0.005)


def sockets_of(server: int) -> Iterator[tuple[int, str]]:
    """The client's port and the state of each socket of a server."""
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        _, local, remote, state, *_ = line.split()
        if int(local.partition(":")[2], 16) == server:
            yield int(remote.partition(":")[2], 16), state


@dataclass
class Sessions:
    """Connections that a test opens; all are closed when it ends."""

    pg: PostgresServer
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    opened: list[asyncpg.Connection] = field(default_factory=list)

    async def open(
        self, user: str = "web", database: str = "some_db", app: str = "psql", **options: str
    ) -> asyncpg.Connection:
        connection = await asyncpg.connect(
            self.pg.dsn(user=user, database=database),
            server_settings={"application_name": app, **options},
        )
        self.stack.callback(connection.terminate)
        self.opened.append(connection)
        return connection


async def alive(admin: asyncpg.Connection, backend: Backend) -> bool:
    """Whether exactly that backend exists, as a superuser sees it."""
    return await admin.fetchval(
        "select exists (select from pg_stat_activity where pid = $1 and backend_start = $2)",
        backend.pid,
        backend.backend_start,
    )


@pytest.fixture(scope="session", autouse=True)
def lazy() -> Iterator[float]:
    """Let new connections read no catalogs ahead: most tests use few of the statements.

    A connection that does costs the server ten times as much.
    """
    usual = cluster_module.READ_AHEAD_WITHIN
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster_module, "READ_AHEAD_WITHIN", 0.0)
        yield usual


@pytest.fixture
def reads_ahead(lazy: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the test's own connections read ahead, as those of a bot do, and wait until they have."""
    opened = PostgresCluster.open

    async def open_and_wait(cluster: PostgresCluster) -> None:
        await opened(cluster)
        assert cluster._reading_ahead is not None
        await cluster._reading_ahead

    monkeypatch.setattr(cluster_module, "READ_AHEAD_WITHIN", lazy)
    monkeypatch.setattr(PostgresCluster, "open", open_and_wait)


@pytest.fixture(scope="session")
async def pg() -> AsyncIterator[PostgresServer]:
    async with postgres(
        settings={
            "max_connections": 60,
            "max_prepared_transactions": 5,
            "wal_level": "logical",
            "autovacuum": "off",  # its workers come and go
        }
    ) as server:
        connection = await asyncpg.connect(server.dsn())
        for statement in SETUP.strip().split(";"):
            if statement.strip():
                await connection.execute(statement)
        await connection.close()
        connection = await asyncpg.connect(server.dsn(database="some_db"))
        await connection.execute(SCHEMA)
        await connection.close()
        yield server


@pytest.fixture(scope="session")
async def admin(pg: PostgresServer) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection, to check the truth."""
    connection = await asyncpg.connect(pg.dsn(), server_settings={"application_name": "admin"})
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
async def cluster(pg: PostgresServer) -> AsyncIterator[PostgresCluster]:
    """The bot's cluster, with the least privileged role that works."""
    cluster = PostgresCluster("main", pg.dsn(user=BOT), "db-1.internal")
    await cluster.open()
    yield cluster
    await cluster.close()


@pytest.fixture
async def at_rest(pg: PostgresServer, admin: asyncpg.Connection, cluster: PostgresCluster) -> None:
    """Begin on a server on which no earlier test's session is ending, and none is remade."""
    async with asyncio.timeout(PATIENCE):
        while cluster.connections != (4, 4):
            await asyncio.sleep(0.01)
    await everybody_left(pg, admin)


@pytest.fixture
async def sampled(pg: PostgresServer, at_rest: None) -> AsyncIterator[PostgresCluster]:
    """A cluster of which samples are taken."""
    cluster = PostgresCluster("main", pg.dsn(user=BOT), "db-1.internal", sampled=True)
    await cluster.open()
    yield cluster
    await cluster.close()


@pytest.fixture
async def sessions(pg: PostgresServer, at_rest: None) -> AsyncIterator[Sessions]:
    opened = Sessions(pg)
    async with opened.stack:
        yield opened


@pytest.fixture(scope="module")
async def stage(pg: PostgresServer) -> AsyncIterator[asyncpg.Connection]:
    """A connection to a PostgreSQL that sees what a test says; see `rehearsal`."""
    connection = await asyncpg.connect(pg.dsn(database="other_db"))
    await connection.execute(rehearsal.SCHEMA)
    yield connection
    await connection.close()


@pytest.fixture(scope="module")
async def server_id(stage: asyncpg.Connection) -> ServerId:
    row = await stage.fetchrow(
        "select system_identifier, pg_postmaster_start_time() from pg_control_system()"
    )
    assert row is not None
    return ServerId(*row)


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[SqlLedger]:
    ledger = SqlLedger(f"sqlite:///{tmp_path / 'ledger.db'}", time_limit=PATIENCE)
    await ledger.open()
    yield ledger
    await ledger.close()


@pytest.fixture
async def bench(cluster: PostgresCluster, ledger: SqlLedger, at_rest: None) -> AsyncIterator[Bench]:
    """Operations on the real cluster and ledger, with a test's changes."""
    built: list[Operations] = []

    def build(
        *,
        clusters: dict | None = None,
        ledger: SqlLedger = ledger,
        owner: str = "me",
        meter: Meter = UNMEASURED,
        **rules,
    ) -> Operations:
        operations = Operations(
            clusters or {"main": cluster},
            ledger,
            QuickClock(),
            rules=Rules(**rules),
            owner=owner,
            meter=meter,
            reach=EVERYWHERE,
        )
        built.append(operations)
        return operations

    yield build
    for operations in built:
        with suppress(LedgerError):  # a test's ledger may be closed
            await operations.settle()


@pytest.fixture
async def slack() -> AsyncIterator[Workspace]:
    async with Workspace() as workspace:
        yield workspace


@pytest.fixture
async def client(slack: Workspace) -> AsyncIterator[Client]:
    """A client of the bot's that repeats nothing by itself."""
    async with aiohttp.ClientSession() as session:
        yield Client(
            token=slack.bot_token, base_url=slack.api_url, session=session, retry_handlers=[]
        )
