"""Processes of the bot that pause, lose replies and die, and the time that they share.

A killed process does nothing more: no `except`, no `finally`, no background task. Here it is
killed within a process that goes on. So each of its calls to the ledger, the cluster and the clock
is a step at which it can end, and from that step on every call raises before it is made.
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

from bot.domain.kills import Action
from bot.errors import BotError
from workspace.people import PATIENCE

T = TypeVar("T")

SHORT = 5.0
"""Seconds; from this length on, the bot's own pauses take no real time: see `Time.skip`."""


SLOW = 1.5
"""Seconds of real time after which the bot may give something up by itself: what takes so long on a
busy machine was not undisturbed."""


AGAIN = "signal_again"
"""The call that signals a target in the second step."""


class ProcessDied(BaseException):
    """Raised in a dead process at whatever it would do next."""


class What(StrEnum):
    """What happens to a process at a step."""

    DIES = "dies"
    STOPS = "stops"  # SIGSTOP: all of it, until it is resumed
    WAITS = "waits"  # this call is slow, and the process lives on
    FAILS = "fails"  # before the call: it is not made; after it: its reply is lost
    ADRIFT = "adrift"  # the statement is on its way, and the process gets no reply
    NO_LEDGER = "no ledger"  # from here on, until it is restored
    CUT = "cut off"  # its connections to the cluster break, and are remade
    MOVED = "led elsewhere"  # its address leads to another server, until it leads back
    SPLIT = "half led elsewhere"  # so do its new connections, but not all that it holds
    LOCKED = "locked out"  # another process locks its ledger, until this work rests
    TOLD = "told to stop"  # as by SIGTERM: the work is cancelled, the rest is settled


@dataclass(frozen=True)
class Fate:
    """What happens to some work at its n-th call with that name, before its effect or after."""

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
    """One time for the processes, the ledger and the deadlines: real time plus what is skipped."""

    def __init__(self) -> None:
        self.skipped = 0.0
        self._sleepers: list[_Sleeper] = []

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time() + self.skipped

    def skipped_us(self) -> int:
        """The skipped time, in the ledger's unit."""
        return round(self.skipped * 1e6)

    async def sleep(self, seconds: float, life: "Life") -> None:
        """Sleep until this much time has passed or been skipped."""
        sleeper = _Sleeper(self.now() + seconds, life, asyncio.current_task())
        self._sleepers.append(sleeper)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await sleeper.woken.wait()
        finally:
            self._sleepers.remove(sleeper)

    async def skip(self, seconds: float) -> None:
        """Let time pass. Sleepers wake at their time and do their work first."""
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
    """One process: it runs, is paused, or is dead."""

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
        """Whether it can do anything now."""
        return not (self.dead or self.stopped)

    @property
    def is_well(self) -> bool:
        """Whether it has everything that it needs."""
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
        """It can't reach its ledger until `has_ledger` is set again."""
        self.has_ledger = False
        self._disturb()

    def lose_its_way(self) -> None:
        """Its address leads elsewhere until `is_elsewhere` is reset."""
        self.is_elsewhere = True
        self._disturb()

    def _disturb(self) -> None:
        for work in self.works:
            work.calm = work.keeps_its_lease = False

    async def breathe(self) -> None:
        """Return while it runs; pause and end with it."""
        await self._going.wait()
        if self.dead:
            if (task := asyncio.current_task()) is not None:
                task.add_done_callback(_mourn)
            raise ProcessDied


def _mourn(task: asyncio.Task[Any]) -> None:
    """Take note that a task of a dead process has failed, or asyncio would log it much later."""
    if not task.cancelled():
        task.exception()


@dataclass(eq=False)
class Work:
    """What one command, click or round of recovery has started, in a task and its children.

    It is `calm` if nothing happened to it: then it must do everything that it should. It
    `keeps_its_lease` if nothing prevented that either.
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
        """Whether it goes on, or would if it could."""
        return self.task is not None and not self.task.done()

    def release(self) -> None:
        """Let the slow call finish."""
        if self.held is not None:
            self.held.set()
            self.held = None

    def start(self, work: Callable[[], Awaitable[Any]]) -> None:
        """Start it in a separate task."""

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
        """Return when it is done or paused."""
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
"""The error of a port whose call failed before (or after) its effect."""

Mischief = Mapping[What, Callable[[], Awaitable[None]]]
"""What the world does to a process, rather than the process itself."""


class Mortal:
    """A port as one process has it: each call is a step of that process."""

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
        work = WORK.get(None) or Work(life)  # or what nobody is waiting for
        again = name == "signal" and arguments[0].action is Action.CANCEL_THEN_TERMINATE
        fate = _due(work, AGAIN if again else name)
        if fate is not None and not fate.after:
            await self._befall(name, arguments, work, fate)
        if self._is_ledger and not life.has_ledger:
            work.calm = False
            raise self._trouble(False)
        try:
            reply = await call()
        except BaseException:
            # Its sockets may have been closed under it, and nobody is left to see that.
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
    """The fate of some work at this step. The task that renews its lease has its own pace."""
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
        """Whether short pauses count for much more, for something that will not end anyway."""

    def now(self) -> datetime:
        """The instant, in UTC."""
        return datetime.now(UTC) + timedelta(seconds=self._time.skipped)

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        return time.monotonic() + self._time.skipped + self._ahead

    async def sleep(self, seconds: float) -> None:
        await self._life.breathe()
        if seconds >= SHORT:
            await self._time.sleep(seconds, self._life)
        else:
            await asyncio.sleep(seconds if seconds < 0.1 else seconds / 10)
            if self.hurry:
                self._ahead += 1.0
        await self._life.breathe()
