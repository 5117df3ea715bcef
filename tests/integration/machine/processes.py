"""Processes of the bot that stand still, lose replies and die, and the time that they share.

A process that is killed does nothing more: no `except`, no `finally`, no task in the
background. Here it is killed within a process that goes on, so each of its calls to the
ledger, the cluster and the clock is a step at which it can end, and from that step on
every call of it raises before it is made.
"""

import asyncio
import inspect
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

from bot.errors import BotError
from workspace.people import PATIENCE

T = TypeVar("T")

SHORT = 5.0
"""Seconds from which on a pause of the bot's own takes no real time: see `Time.skip`."""


SLOW = 1.5
"""Seconds of real time from which on the bot may give something up by itself: what takes so long
on a busy machine did not go on in calm."""


class ProcessDied(BaseException):
    """What the code of a dead process meets at whatever it would do next."""


class What(StrEnum):
    """What befalls a process at a step."""

    DIES = "dies"
    STOPS = "stops"  # SIGSTOP: all of it, until it is told to go on
    WAITS = "waits"  # this call takes long, and the process lives on
    FAILS = "fails"  # before the call it was not made; after it, the reply is lost
    ADRIFT = "adrift"  # the statement is on its way, and the process gets no reply
    NO_LEDGER = "no ledger"  # from here on, until it is mended
    CUT = "cut off"  # its connections to the cluster break, and are made anew
    MOVED = "led elsewhere"  # its address leads to another server, until it leads back
    SPLIT = "half led elsewhere"  # so do its new connections, and some that it holds do not
    LOCKED = "locked out"  # another holds its ledger, until this work rests
    TOLD = "told to stop"  # as by SIGTERM: the work is cancelled, the rest is settled


@dataclass(frozen=True)
class Fate:
    """What befalls a piece of work at its n-th call of that name, before its effect or after."""

    call: str
    nth: int
    after: bool
    what: What


@dataclass(eq=False)
class _Sleeper:
    until: float
    life: "Life"
    task: "asyncio.Task[Any] | None"
    woken: asyncio.Event = field(default_factory=asyncio.Event)


class Time:
    """One time for the processes, the ledger and the deadlines: real, but for what is skipped."""

    def __init__(self) -> None:
        self.skipped = 0.0
        self._sleepers: list[_Sleeper] = []

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time() + self.skipped

    def skipped_us(self) -> int:
        """What is skipped, as the ledger counts."""
        return round(self.skipped * 1e6)

    async def sleep(self, seconds: float, life: "Life") -> None:
        """Sleep until so much time has passed or was skipped."""
        sleeper = _Sleeper(self.now() + seconds, life, asyncio.current_task())
        self._sleepers.append(sleeper)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await sleeper.woken.wait()
        finally:
            self._sleepers.remove(sleeper)

    async def skip(self, seconds: float) -> None:
        """Let time pass. Whoever sleeps meanwhile wakes at its hour and does its work first."""
        until = self.skipped + seconds
        while True:
            asleep = [s for s in self._sleepers if s.life.runs and not s.woken.is_set()]
            first = min(asleep, key=lambda s: s.until, default=None)
            if first is None or first.until - time.time() > until:
                break
            self.skipped = max(self.skipped, first.until - time.time())
            first.woken.set()
            async with asyncio.timeout(PATIENCE):
                while not self._at_rest(first):
                    await asyncio.sleep(0.001)
        self.skipped = max(self.skipped, until)

    def _at_rest(self, sleeper: _Sleeper) -> bool:
        task = sleeper.task
        return (
            task is None
            or task.done()
            or not sleeper.life.runs
            or any(s.task is task and not s.woken.is_set() for s in self._sleepers)
        )


class Life:
    """One process: it runs, stands still, or is dead."""

    def __init__(self, owner: str, time: Time) -> None:
        self.owner = owner
        self.dead = False
        self.stopped = False
        self.told_to_stop = False
        self.has_ledger = True
        self.is_elsewhere = False
        self.works: list[Work] = []
        self._time = time
        self._going = asyncio.Event()
        self._going.set()

    @property
    def runs(self) -> bool:
        """Whether it would do anything now."""
        return not (self.dead or self.stopped)

    @property
    def is_well(self) -> bool:
        """Whether nothing that it needs is missing."""
        return self.has_ledger and not self.is_elsewhere

    def stop(self) -> None:
        """SIGSTOP."""
        self.stopped = True
        self._going.clear()
        self._disturb()

    def go_on(self) -> None:
        """SIGCONT."""
        self.stopped = False
        self._going.set()

    def die(self) -> None:
        """SIGKILL."""
        self.dead = True
        self.go_on()
        self._disturb()
        for work in self.works:
            work.release()

    def lose_the_ledger(self) -> None:
        """Its ledger can't be reached until `has_ledger` is set again."""
        self.has_ledger = False
        self._disturb()

    def lose_its_way(self) -> None:
        """Its address leads elsewhere until `is_elsewhere` is unset."""
        self.is_elsewhere = True
        self._disturb()

    def _disturb(self) -> None:
        for work in self.works:
            work.calm = work.keeps_its_lease = False

    async def breathe(self) -> None:
        """Return while it runs; stand still with it, and end with it."""
        await self._going.wait()
        if self.dead:
            raise ProcessDied


@dataclass(eq=False)
class Work:
    """What one command, click or round of recovery has set going, in a task and its children.

    `calm` is whether nothing befell it: then it has to do all that it should. It
    `keeps_its_lease` where nothing kept it from that either.
    """

    life: Life
    fate: Fate | None = None
    calm: bool = True
    keeps_its_lease: bool = True
    befell: bool = False
    calls: Counter[str] = field(default_factory=Counter)
    answer: Any = None
    error: BaseException | None = None
    held: asyncio.Event | None = None
    task: "asyncio.Task[None] | None" = None

    @property
    def under_way(self) -> bool:
        """Whether it goes on, or would if it were let."""
        return self.task is not None and not self.task.done()

    def release(self) -> None:
        """Let the call that takes long come to its end."""
        if self.held is not None:
            self.held.set()
            self.held = None

    def start(self, work: Callable[[], Awaitable[Any]]) -> None:
        """Set it going in a task of its own."""

        async def run() -> None:
            WORK.set(self)
            began = time.monotonic()
            try:
                self.answer = await work()
            except (BotError, ProcessDied, asyncio.CancelledError) as error:
                self.error = error
            finally:
                self.calm &= time.monotonic() - began < SLOW

        self.life.works.append(self)
        self.task = asyncio.create_task(run(), name="work")

    async def until_it_rests(self) -> None:
        """Return when it is done, or held up."""
        assert self.task is not None
        async with asyncio.timeout(PATIENCE):
            while not self.task.done() and self.held is None and self.life.runs:
                await asyncio.wait({self.task}, timeout=0.002)
        if self.task.done():
            with suppress(ValueError):
                self.life.works.remove(self)
            self.task.result()


WORK: ContextVar[Work] = ContextVar("WORK")

Trouble = Callable[[bool], BotError]
"""The error of a port whose call failed before (or after) it had its effect."""

Mischief = Mapping[What, Callable[[], Awaitable[None]]]
"""What the world does to a process, and not the process itself."""


class Mortal:
    """A port as one process has it: each call of it is a step of that process."""

    def __init__(
        self,
        port: object,
        life: Life,
        trouble: Trouble,
        mischief: Mischief,
        set_adrift: Callable[..., None] | None = None,
    ) -> None:
        self._port = port
        self._life = life
        self._trouble = trouble
        self._mischief = mischief
        self._set_adrift = set_adrift
        self._is_ledger = set_adrift is None

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._port, name)
        if not inspect.iscoroutinefunction(attribute):
            return attribute

        async def step(*args: Any, **kwargs: Any) -> Any:
            return await self._step(name, args, lambda: attribute(*args, **kwargs))

        return step

    async def _step(
        self, name: str, arguments: tuple[Any, ...], call: Callable[[], Awaitable[T]]
    ) -> T:
        life = self._life
        await life.breathe()
        work = WORK.get(None) or Work(life)  # or what is noted in nobody's time
        fate = _due(work, name)
        if fate is not None and not fate.after:
            await self._befall(name, arguments, work, fate)
        if self._is_ledger and not life.has_ledger:
            work.calm = False
            raise self._trouble(False)
        try:
            reply = await call()
        except BaseException:
            # Its sockets may have been closed under it, which nobody is left to see.
            await life.breathe()
            raise
        if fate is not None and fate.after:
            await self._befall(name, arguments, work, fate)
        await life.breathe()
        return reply

    async def _befall(self, name: str, arguments: tuple[Any, ...], work: Work, fate: Fate) -> None:
        work.calm, work.befell = False, True
        match fate.what:
            case What.DIES:
                self._life.die()
            case What.STOPS:
                self._life.stop()
            case What.WAITS:
                # Its lease is renewed once it knows that it has one.
                work.keeps_its_lease &= name != "claim"
                held = work.held = asyncio.Event()
                try:
                    await held.wait()
                finally:
                    work.held = None  # the bot may have given it up
            case What.NO_LEDGER:
                self._life.lose_the_ledger()
            case What.CUT | What.MOVED | What.SPLIT | What.LOCKED:
                await self._mischief[fate.what]()
            case What.TOLD:
                self._life.told_to_stop = True
                raise asyncio.CancelledError
            case What.ADRIFT if name == "signal" and self._set_adrift is not None:
                if not fate.after:
                    self._set_adrift(work, *arguments)
                raise self._trouble(True)
            case What.FAILS | What.ADRIFT:
                raise self._trouble(fate.after)
        await self._life.breathe()


def _due(work: Work, call: str) -> Fate | None:
    """The fate of a work at this step of it. What renews its lease has its own pace."""
    task = asyncio.current_task()
    if task is not None and task.get_name().startswith("lease-"):
        return None
    work.calls[call] += 1
    fate = work.fate
    return fate if fate is not None and (fate.call, fate.nth) == (call, work.calls[call]) else None


class LifeClock:
    """A `bot.ports.Clock` of one process. Long pauses take no real time."""

    def __init__(self, life: Life, time: Time) -> None:
        self._life = life
        self._time = time
        self._ahead = 0.0
        self.hurry = False
        """Whether short pauses count for much more, where something will not end anyway."""

    def now(self) -> datetime:
        """The instant, in UTC."""
        return datetime.now(UTC) + timedelta(seconds=self._time.skipped)

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        return time.monotonic() + self._time.skipped + self._ahead

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._life.breathe()
        if seconds >= SHORT:
            await self._time.sleep(seconds, self._life)
        else:
            await asyncio.sleep(seconds if seconds < 0.1 else seconds / 10)
            if self.hurry:
                self._ahead += 1.0
        await self._life.breathe()
