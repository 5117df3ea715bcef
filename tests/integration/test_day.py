"""A day of incidents: what the bots say unasked is so, is due, and is said once.

Sessions of a real PostgreSQL fill up limits, forget transactions, wait for each other and give up,
in any order, while two bots watch them, speak, die and lose answers. An hour passes in seconds.
The judge (`day.judge`) knows what is wrong, because the day brought it about:

- What held for its time is told, within 15 s, by one bot, in one message. What didn't isn't.
- A message is worded as it is now, and closed once it is over, never before. What comes back goes
  on in its message. Its thread has each change once, and nothing while it is muted.
- More than six an hour are counted in one line.
- A board is redrawn in its place, and never older than it says.
- The timeline has all that happened.

    DAYS=100 pytest tests/integration/test_day.py

lives that many days; a failing one names its number.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from random import Random

import aiohttp
import asyncpg
import pytest

from bot.domain.timeline import Step, Timeline
from bot.ledger.sql import SqlLedger
from bot.operations import glances
from bot.operations.timeline import read
from bot.postgres.cluster import PostgresCluster
from tests.integration.day.bots import ANA, Bot, Bots
from tests.integration.day.cast import DATABASE, SCHEMA, Cast
from tests.integration.day.judge import Judge
from tests.integration.test_alerts import Crash
from workspace import Workspace
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer

pytestmark = pytest.mark.usefixtures("tables", "at_rest")

DAYS = int(os.environ.get("DAYS", "3"))

SPANS = (1, 1, 1, 2, 3, 5, 9)
"""Ticks between two events."""

DECK = (
    *("fills_up", "frees") * 2,
    *("holds a row", "holds a table") * 3,
    *("waits",) * 10,
    *("gives_up", "presses") * 2,
    *("lets_go",) * 4,
    *("dies", "dies in a while"),
    *("weather", "silence", "mutes", "mutes", "watches"),
)


@pytest.fixture(scope="module")
async def tables(pg: PostgresServer) -> None:
    connection = await asyncpg.connect(pg.dsn(database=DATABASE))
    await connection.execute(SCHEMA)
    await connection.close()


class Day:
    """One day; `chance` decides what happens."""

    def __init__(self, bots: Bots, cast: Cast, judge: Judge, chance: Random) -> None:
        self.bots, self.cast, self.judge, self.chance = bots, cast, judge, chance
        self.clock = bots.clock
        self.tally: list[str] = []

    async def live(self) -> None:
        """A morning, hours in which nothing happens, and an afternoon; then it is over."""
        for _ in range(2):
            deck = [*DECK]
            self.chance.shuffle(deck)
            for event in deck:
                if await self._happens(event):
                    self.tally.append(f"{self.clock.seconds:.0f} s: {event}")
                    await self.pass_by(self.chance.choice(SPANS))
            await self.cast.everyone_leaves()
            await self.pass_by(12)
            while any(not told.text.startswith("✓") for told in self.judge.told.values()):
                await self.pass_by(1)
                assert self.clock.seconds < 24 * 3600, "never over"
            for _ in range(12):
                self.clock.skip(300)
                self.judge.trouble()  # nobody was awake meanwhile
                await self.pass_by(1)

    async def _happens(self, event: str) -> bool:
        """Let it happen; False if it can't now."""
        number = self.chance.randrange(1000)
        cast = self.cast
        cards: dict[str, Callable[[], Awaitable[bool]]] = {
            "fills_up": cast.fills_up,
            "frees": cast.frees,
            "holds a row": lambda: cast.holds(number, table=False),
            "holds a table": lambda: cast.holds(number, table=True),
            "waits": lambda: cast.waits(number),
            "gives_up": lambda: cast.gives_up(number),
            "lets_go": lambda: cast.lets_go(number),
            "presses": lambda: self._presses(number),
            "dies": lambda: self._dies(number),
            "dies in a while": lambda: self._dies_in_a_while(number),
            "weather": lambda: self._weather(number),
            "silence": lambda: self._silence(number),
            "mutes": lambda: self._mutes(number),
            "watches": lambda: self._watches(number),
        }
        return await cards[event]()

    def times(self, event: str) -> int:
        """How often something has happened."""
        return sum(each.endswith(f": {event}") for each in self.tally)

    # --- time

    async def pass_by(self, ticks: int) -> None:
        """Let the bots sample and speak."""
        for _ in range(ticks):
            await self.bots.time_passes(drawing=bool(self.judge.boards))
            if self.cast.changed:
                self.bots.cluster.has_changed()
                self.cast.changed = False
            for bot in [*self.bots.alive]:
                await self._turn(bot)
            speaking = [bot for bot in self.bots.alive if bot.operations.speaker.speaks]
            assert len(speaking) <= 1, "both speak"
            speaker = speaking[0] if speaking else None
            self.judge.all_is_said(speaker)
            self.judge.boards_are_fresh()

    async def _turn(self, bot: Bot) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                sample = await bot.sample()
                self.judge.sampled(bot, sample, self.cast.wrong())
                await bot.work()
        except Crash:
            self._is_dead(bot)
        if self.bots.weather.bad:
            self.judge.trouble()
        await self.judge.look()

    # --- what else happens

    async def _presses(self, number: int) -> bool:
        """Somebody does what an alert proposes."""
        told = [each for each in self.judge.told.values() if each.topic in self.judge.wrong]
        if not told:
            return False
        kill = await self.bots.press(told[number % len(told)].alert)
        if kill is None:
            return False
        self.judge.ended(kill)
        for result in kill.results:
            await self.cast.was_ended(result.id.pid)
        return True

    async def _dies(self, number: int) -> bool:
        self._is_dead(self.bots.alive[number % 2])
        return True

    def _is_dead(self, bot: Bot) -> None:
        self.bots.dies(bot)
        self.judge.trouble()

    async def _dies_in_a_while(self, number: int) -> bool:
        """The one that speaks ends at one of its next steps."""
        self.bots.weather.dies_in = number % 12 + 1
        return True

    async def _weather(self, number: int) -> bool:
        self.bots.weather.bad = True
        await self.pass_by(number % 12 + 1)
        self.bots.weather.bad = False
        return True

    async def _silence(self, number: int) -> bool:
        self.bots.cluster.answers = False
        await self.pass_by(number % 6 + 1)
        self.bots.cluster.answers = True
        return True

    async def _mutes(self, number: int) -> bool:
        told = [each for each in self.judge.told.values() if each.topic in self.judge.wrong]
        if not told:
            return False
        chosen = told[number % len(told)]
        try:
            muted = await self.bots.alive[0].operations.alerting.mute(chosen.alert.key, ANA)
        except Crash:
            self._is_dead(self.bots.alive[0])
            return True
        if muted is not None:
            chosen.muted_at = self.clock.seconds
        return muted is not None

    async def _watches(self, number: int) -> bool:
        await self.bots.alive[number % 2].watch()
        return True


@pytest.mark.parametrize("number", range(DAYS))
async def test_day_of_incidents(
    number: int,
    pg: PostgresServer,
    admin: asyncpg.Connection,
    sampled: PostgresCluster,
    slack: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Looks are shared for a second of real time, in which minutes pass here.
    monkeypatch.setattr(glances, "SHARED_FOR", 0.0)
    chance = Random(number)
    ledger = SqlLedger(f"sqlite:///{tmp_path / 'ledger.db'}")
    await ledger.open()
    async with aiohttp.ClientSession() as session:
        bots = Bots(sampled, ledger, slack, session, weather=Random(number))
        day = Day(bots, Cast(pg, admin, bots.clock), Judge(slack, ledger, bots.clock), chance)
        try:
            await day.live()
            await _timeline_has_it_all(ledger, day)
        finally:
            sys.stdout.write("\n".join(day.tally))
            await day.cast.everyone_leaves()
            await bots.settle()
            await ledger.close()


async def _timeline_has_it_all(ledger: SqlLedger, day: Day) -> None:
    morning = day.clock.now() - timedelta(seconds=day.clock.seconds)
    until = day.clock.now() + timedelta(days=36500)
    events = (await read(ledger, Timeline(since=morning, until=until))).events
    told = [each.of.key for each in events if each.step is Step.ALERT]  # type: ignore[union-attr]
    assert sorted(told) == sorted(each.alert.key for each in day.judge.told.values())
    over = [each for each in events if each.step is Step.ALERT_OVER]
    assert len(over) == len(told)
    assert len([each for each in events if each.step is Step.OUTCOME]) == day.times("presses")
