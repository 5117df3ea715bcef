"""Which replica speaks, as the ledger decides."""

import asyncio
from datetime import timedelta

import pytest
import sqlalchemy

from bot.ledger import leases, migrations, schema
from bot.ledger.sql import SqlLedger
from tests.integration.ledger.building import LONG, OVER, Make, Opened
from tests.integration.ledger.test_schema import of_version, serve

pytestmark = pytest.mark.sql

SHORT = timedelta(seconds=20)


async def is_held(ledger: SqlLedger, owner: str) -> bool:
    async with ledger._transactions.read() as connection:
        condition = leases.held(ledger._store, "speaker", owner)
        return bool(await connection.scalar(sqlalchemy.select(condition)))


async def pass_time(ledger: SqlLedger, seconds: float) -> None:
    """Make the lease end this much sooner, as if that time had passed."""
    until = sqlalchemy.type_coerce(schema.leases.c.until, sqlalchemy.BigInteger)
    earlier = until - schema.microseconds(timedelta(seconds=seconds))
    async with ledger._transactions.write() as connection:
        await connection.execute(sqlalchemy.update(schema.leases).values(until=earlier))


async def test_only_one_of_those_that_ask_at_once_gets_the_lease(url: str, opened: Opened):
    replicas = [await opened(url) for _ in range(3)]
    held = await asyncio.gather(
        *(each.leases.hold("speaker", str(n), SHORT) for n, each in enumerate(replicas))
    )
    assert sorted(held) == [False, False, True]
    assert [await is_held(replicas[0], str(n)) for n in range(3)] == held


async def test_lease_is_renewed_by_its_owner_and_taken_once_it_has_run_out(
    ledger: SqlLedger, replica: SqlLedger
):
    assert await ledger.leases.hold("speaker", "one", SHORT)
    assert not await replica.leases.hold("speaker", "two", SHORT)
    await pass_time(ledger, 15)
    assert await ledger.leases.hold("speaker", "one", SHORT)
    await pass_time(ledger, 15)
    assert not await replica.leases.hold("speaker", "two", SHORT)
    await pass_time(ledger, 6)
    assert not await is_held(ledger, "one")
    assert await replica.leases.hold("speaker", "two", SHORT)
    assert not await ledger.leases.hold("speaker", "one", SHORT)


async def test_released_lease_is_free_at_once(ledger: SqlLedger, replica: SqlLedger):
    assert await ledger.leases.hold("speaker", "one", SHORT)
    await replica.leases.release("speaker", "two")  # not its own
    assert not await replica.leases.hold("speaker", "two", SHORT)
    await ledger.leases.release("speaker", "one")
    assert not await is_held(ledger, "one")
    assert await replica.leases.hold("speaker", "two", SHORT)


async def test_clock_set_back_keeps_no_lease_for_longer_than_one_lasts(
    ledger: SqlLedger, replica: SqlLedger
):
    assert await ledger.leases.hold("speaker", "one", LONG)
    # Its owner may go by its own clock for as long as a lease lasts.
    assert not await replica.leases.hold("speaker", "two", SHORT)
    await pass_time(ledger, 21)
    assert await replica.leases.hold("speaker", "two", SHORT)


async def test_replica_that_the_ledger_no_longer_serves_is_silent(ledger: SqlLedger):
    await serve(ledger, migrations.SCHEMA_VERSION + 1)
    assert not await ledger.leases.hold("speaker", "one", SHORT)


async def test_unknown_lease_is_nobodys(ledger: SqlLedger):
    assert not await ledger.leases.hold("unheard of", "one", OVER)


@pytest.mark.parametrize("version", range(1, migrations.SCHEMA_VERSION))
async def test_ledger_of_every_version_gets_leases_and_boards(
    url: str, version: int, monkeypatch: pytest.MonkeyPatch, make: Make, opened: Opened
):
    async with of_version(version, make(url), monkeypatch):
        pass
    ledger = await opened(url)
    assert await ledger.leases.hold("speaker", "one", SHORT) is True
    assert await ledger.boards.unclosed() == ()
