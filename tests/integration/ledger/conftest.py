"""A ledger of either kind, in its own file or its own database."""

from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from bot.ledger.sql import SqlLedger
from tests.integration.ledger.building import Make, Opened, administer
from tests.servers import postgres
from workspace.postgres import PostgresServer


@pytest.fixture(scope="session")
async def server() -> AsyncIterator[PostgresServer]:
    async with postgres(settings={"max_connections": 40}) as running:
        yield running


numbers = count()


@pytest.fixture
async def postgres_url(server: PostgresServer) -> str:
    """A new schema, which is quicker to make than a database."""
    name = f"ledger_{next(numbers)}"
    await administer(server, f"CREATE SCHEMA {name}")
    return f"{server.dsn()}?search_path={name}"


@pytest.fixture
async def database(server: PostgresServer) -> AsyncIterator[str]:
    """The name of a new database."""
    name = f"ledger_{next(numbers)}"
    await administer(server, f"CREATE DATABASE {name}")
    yield name
    await administer(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/ledger.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    fixture = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param]
    return str(request.getfixturevalue(fixture))


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """`SqlLedger`, which is closed when the test is over."""
    made: list[SqlLedger] = []

    def make_one(url: str, **limits: Any) -> SqlLedger:
        made.append(SqlLedger(url, **limits))
        return made[-1]

    yield make_one
    for each in made:
        await each.close()


@pytest.fixture
async def opened(make: Make) -> Opened:
    """An open ledger; closed when the test is over."""

    async def open_one(url: str, **limits: Any) -> SqlLedger:
        ledger = make(url, **limits)
        await ledger.open()
        return ledger

    return open_one


@pytest.fixture
async def ledger(url: str, opened: Opened) -> SqlLedger:
    """An empty, open ledger for one test."""
    return await opened(url)


@pytest.fixture
async def replica(ledger: SqlLedger, url: str, opened: Opened) -> SqlLedger:
    """The same ledger, as another process opens it."""
    return await opened(url)
