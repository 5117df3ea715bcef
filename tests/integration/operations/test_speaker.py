"""One replica speaks: two processes' clocks, one lease."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from bot.errors import LedgerError
from bot.ledger.sql import SqlLedger
from bot.operations import speaker as speaking
from bot.operations.speaker import Speaker
from tests.integration.ledger.test_leases import pass_time
from workspace.people import PATIENCE

LEASE = speaking.LEASE.total_seconds()


class StillClock:
    """A clock that moves only when a test says so."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.waiting: list[tuple[float, asyncio.Event]] = []

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        over = asyncio.Event()
        self.waiting.append((self.seconds + seconds, over))
        await over.wait()

    def pass_by(self, seconds: float) -> None:
        self.seconds += seconds
        for until, over in self.waiting:
            if until <= self.seconds:
                over.set()


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
async def pair(ledger: SqlLedger, clock: StillClock) -> tuple[Speaker, Speaker]:
    return Speaker(ledger.leases, clock, "one"), Speaker(ledger.leases, clock, "two")


def speaks(each: Speaker) -> bool:
    return each.speaks


async def test_other_replica_is_silent_and_speaks_once_the_lease_has_run_out(
    pair: tuple[Speaker, Speaker], ledger: SqlLedger, clock: StillClock
):
    one, two = pair
    for each in pair:
        await each.hold()
    assert (speaks(one), speaks(two)) == (True, False)

    clock.pass_by(LEASE - 4)  # one is dead: it renews nothing
    await pass_time(ledger, LEASE - 4)
    await two.hold()
    assert (speaks(one), speaks(two)) == (False, False)

    clock.pass_by(4)
    await pass_time(ledger, 4)
    await two.hold()
    assert (speaks(one), speaks(two)) == (False, True)


async def test_holder_that_cannot_ask_the_ledger_stops_before_its_lease_ends(
    pair: tuple[Speaker, Speaker], ledger: SqlLedger, clock: StillClock
):
    one, _ = pair
    await one.hold()
    await ledger.close()
    clock.pass_by(10)
    await one.hold()
    assert speaks(one)
    clock.pass_by(LEASE - 10 - speaking.MARGIN)
    await one.hold()
    assert not speaks(one)
    async with one.turn() as mine:
        assert not mine


async def test_what_is_being_said_stops_when_the_lease_is_lost(
    pair: tuple[Speaker, Speaker], ledger: SqlLedger
):
    one, two = pair
    await one.hold()

    async def say() -> None:
        async with one.turn() as mine:
            assert mine
            await pass_time(ledger, LEASE + 1)  # the ledger's clock was set forward
            await two.hold()
            assert speaks(two)
            await one.hold()
            (turn,) = one._turns
            assert (turn.when() or 0) <= asyncio.get_running_loop().time()
            await asyncio.Event().wait()

    async with asyncio.timeout(PATIENCE) as waiting:
        with pytest.raises(TimeoutError):
            await say()
    assert not waiting.expired()


async def test_renewed_lease_lets_what_is_being_said_go_on(
    pair: tuple[Speaker, Speaker], clock: StillClock
):
    one, _ = pair
    await one.hold()
    async with one.turn():
        (turn,) = one._turns
        before = turn.when()
        clock.pass_by(5)
        await asyncio.sleep(0)
        await one.hold()
        after = turn.when()
    assert before is not None
    assert after is not None
    assert after > before


async def test_replica_that_is_told_to_stop_gives_the_lease_back_at_once(
    pair: tuple[Speaker, Speaker], clock: StillClock
):
    one, two = pair
    keeping = asyncio.create_task(one.keep())
    async with asyncio.timeout(PATIENCE):
        while not speaks(one):
            await asyncio.sleep(0.01)
    await two.hold()
    assert not speaks(two)
    keeping.cancel()
    with suppress(asyncio.CancelledError):
        await keeping
    assert not speaks(one)
    await two.hold()
    assert speaks(two)


async def test_lease_is_renewed_as_long_as_the_process_runs(
    pair: tuple[Speaker, Speaker], ledger: SqlLedger, clock: StillClock
):
    one, two = pair
    keeping = asyncio.create_task(one.keep())
    async with asyncio.timeout(PATIENCE):
        for _ in range(10):
            while not clock.waiting:
                await asyncio.sleep(0.01)
            assert speaks(one)
            await pass_time(ledger, speaking.RENEW_EVERY)
            clock.waiting, asleep = [], clock.waiting
            clock.seconds += speaking.RENEW_EVERY
            await two.hold()
            assert not speaks(two)
            for _, over in asleep:
                over.set()
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


async def test_error_of_the_ledger_does_not_end_the_keeping(clock: StillClock):
    class Away:
        asked = 0

        async def hold(self, name: str, owner: str, lease: timedelta) -> bool:
            self.asked += 1
            raise LedgerError("away") if self.asked % 2 else RuntimeError("a defect")

        async def release(self, name: str, owner: str) -> None:
            raise LedgerError("away")

    away = Away()
    keeping = asyncio.create_task(Speaker(away, clock, "one").keep())
    async with asyncio.timeout(PATIENCE):
        while away.asked < 4:
            clock.pass_by(speaking.TRY_EVERY)
            await asyncio.sleep(0)
    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping
