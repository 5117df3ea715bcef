"""A real PostgreSQL, and sessions on it that do what a test says."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import pytest

from bot.domain.sessions import Backend, ServerId
from bot.ledger.sql import SqlLedger
from bot.operations import Operations, Rules
from bot.postgres.cluster import PostgresCluster
from bot.service.metrics import Metrics
from tests.integration import rehearsal
from tests.integration.kills import QuickClock
from tests.servers import postgres
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


@dataclass
class Sessions:
    """Connections that a test opens; all are closed when it ends."""

    pg: PostgresServer
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def open(
        self, user: str = "web", database: str = "some_db", app: str = "psql", **options: str
    ) -> asyncpg.Connection:
        connection = await asyncpg.connect(
            self.pg.dsn(user=user, database=database),
            server_settings={"application_name": app, **options},
        )
        self.stack.callback(connection.terminate)
        return connection


async def alive(admin: asyncpg.Connection, backend: Backend) -> bool:
    """Whether that very backend is there, as a superuser sees it."""
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
            # A session whose test has ended must not go on by itself.
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
    """A superuser's own look, to see what is true."""
    connection = await asyncpg.connect(pg.dsn(), server_settings={"application_name": "admin"})
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
async def cluster(pg: PostgresServer) -> AsyncIterator[PostgresCluster]:
    """The bot's cluster, as the least role that works."""
    cluster = PostgresCluster("main", pg.dsn(user=BOT), "db-1.internal")
    await cluster.open()
    yield cluster
    await cluster.close()


@pytest.fixture
async def sessions(pg: PostgresServer) -> AsyncIterator[Sessions]:
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
    ledger = SqlLedger(f"sqlite:///{tmp_path / 'ledger.db'}")
    await ledger.open()
    yield ledger
    await ledger.close()


@pytest.fixture
def bench(cluster: PostgresCluster, ledger: SqlLedger) -> Bench:
    """Operations on the real cluster and ledger, with what a test changes of them."""

    def build(
        *,
        clusters: dict | None = None,
        ledger: SqlLedger = ledger,
        owner: str = "me",
        meter: Metrics | None = None,
        **rules,
    ) -> Operations:
        return Operations(
            clusters or {"main": cluster},
            ledger,
            QuickClock(),
            rules=Rules(**rules),
            owner=owner,
            meter=meter,
        )

    return build
