"""A real PostgreSQL, and sessions on it that do what a test says."""

import asyncio
from collections.abc import AsyncIterator, Callable
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
from bot.postgres.cluster import PostgresCluster
from bot.service.metrics import Metrics
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


LIMITED = "some_user"

OPENED = f"""
    select exists (
        select from pg_stat_activity where pid = any($1) and usename = '{LIMITED}'
    )
"""


@dataclass
class Sessions:
    """Connections that a test opens; all are closed when it ends."""

    pg: PostgresServer
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    opened: list[asyncpg.Connection] = field(default_factory=list)
    limited: list[int] = field(default_factory=list)

    async def open(
        self, user: str = "web", database: str = "some_db", app: str = "psql", **options: str
    ) -> asyncpg.Connection:
        connection = await asyncpg.connect(
            self.pg.dsn(user=user, database=database),
            server_settings={"application_name": app, **options},
        )
        self.stack.callback(connection.terminate)
        self.opened.append(connection)
        if user == LIMITED:
            self.limited.append(connection.get_server_pid())
        return connection

    async def gone(self) -> None:
        """Wait until the one connection that `some_user` may have is free for the next test."""
        if not self.limited:
            return
        try:
            admin = await asyncpg.connect(self.pg.dsn())
        except OSError:
            return  # so is the server
        async with asyncio.timeout(PATIENCE):
            while await admin.fetchval(OPENED, self.limited):
                await asyncio.sleep(0.01)
        await admin.close()


async def alive(admin: asyncpg.Connection, backend: Backend) -> bool:
    """Whether exactly that backend exists, as a superuser sees it."""
    return await admin.fetchval(
        "select exists (select from pg_stat_activity where pid = $1 and backend_start = $2)",
        backend.pid,
        backend.backend_start,
    )


@pytest.fixture(scope="session")
async def pg() -> AsyncIterator[PostgresServer]:
    async with postgres(
        settings={
            "max_connections": 60,
            "max_prepared_transactions": 5,
            # A session must not continue after its test.
            "client_connection_check_interval": "200ms",
            "wal_level": "logical",
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
async def sampled(pg: PostgresServer) -> AsyncIterator[PostgresCluster]:
    """A cluster of which samples are taken."""
    cluster = PostgresCluster("main", pg.dsn(user=BOT), "db-1.internal", sampled=True)
    await cluster.open()
    yield cluster
    await cluster.close()


@pytest.fixture
async def sessions(pg: PostgresServer) -> AsyncIterator[Sessions]:
    opened = Sessions(pg)
    async with opened.stack:
        yield opened
    await opened.gone()


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
    ledger = SqlLedger(f"sqlite:///{tmp_path / 'ledger.db'}")
    await ledger.open()
    yield ledger
    await ledger.close()


@pytest.fixture
async def bench(cluster: PostgresCluster, ledger: SqlLedger) -> AsyncIterator[Bench]:
    """Operations on the real cluster and ledger, with a test's changes."""
    built: list[Operations] = []

    def build(
        *,
        clusters: dict | None = None,
        ledger: SqlLedger = ledger,
        owner: str = "me",
        meter: Metrics | None = None,
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
