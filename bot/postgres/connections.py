"""Connections that are opened before they are needed, and kept.

A full server refuses new connections, but open ones keep working (`sorry, too many clients already`
comes only at the start of a session). So the bot holds a fixed number from the start and never adds
to it in an incident. If one is lost, it is remade in the background at once, before others take its
slot. A caller that finds all of them in use waits for its turn: the most urgent first, then in
order of arrival.
"""

import asyncio
import heapq
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count

import structlog

from bot.errors import NotSent
from bot.ports import Urgency
from bot.postgres import trouble
from bot.postgres.bounded import BoundedConnection

log = structlog.get_logger(__name__)

PROBE_EVERY = 30.0
"""Seconds between two trivial round trips on an unused connection."""

PROBE_TIMEOUT = 5.0
RETRY_EVERY = ((10.0, 0.2), (60.0, 1.0))
"""Pairs: for this many seconds after a loss, this many seconds between two attempts to reconnect. A
server that comes back may be full within a second."""

RETRY_AT_LAST = 5.0


@dataclass(slots=True)
class Slot:
    """A place for one connection. Only its keeper puts a new connection there."""

    number: int
    connection: BoundedConnection | None = None
    busy: bool = False
    doubted: bool = False  # another one got no reply: check this one before lending it
    retired: bool = False  # to be remade once whoever uses it is done
    used_at: float = 0.0
    wake: asyncio.Event = field(default_factory=asyncio.Event)  # wakes its keeper

    @property
    def free(self) -> bool:
        """Whether it has a live connection that nobody uses or doubts."""
        return self.live and not self.busy and not self.doubted and not self.retired

    @property
    def live(self) -> bool:
        """Whether it has a live connection, in use or not."""
        return self.connection is not None and not self.connection.is_closed()


@dataclass(slots=True, order=True)
class Turn:
    """A caller's place in the queue. `leave` is how many connections it leaves to others."""

    rank: tuple[int, int]
    leave: int = field(compare=False)
    lent: asyncio.Future[Slot] = field(compare=False)


class HeldConnections:
    """A fixed number of connections to one server.

    `connect` opens and prepares one connection. If it raises, the error becomes the cluster's
    trouble, and it is tried again.
    """

    def __init__(
        self, cluster: str, size: int, connect: Callable[[], Awaitable[BoundedConnection]]
    ) -> None:
        self._cluster = cluster
        self._connect = connect
        self._slots = [Slot(number) for number in range(size)]
        self._all_stand = asyncio.Event()
        self._keepers: list[asyncio.Task[None]] = []
        self._trouble = "it has not answered yet"
        self._told = set[str]()  # the log, since one was connected: attempts may fail in turn
        self._queue: list[Turn] = []  # a heap
        self._arrivals = count()
        self._wanted = asyncio.Event()

    @property
    def live(self) -> int:
        """How many connections are alive."""
        return sum(slot.live for slot in self._slots)

    @property
    def free(self) -> bool:
        """Whether one could be lent at once."""
        return any(slot.free for slot in self._slots)

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for one."""
        return bool(self._queue)

    @property
    def size(self) -> int:
        """How many connections there should be."""
        return len(self._slots)

    @property
    def trouble(self) -> str:
        """Why the last attempt to connect failed, in words fit for a channel."""
        return self._trouble

    def doubt(self) -> None:
        """Have each unused connection checked before it is lent again.

        Called when one got no reply. A network that lost it may have lost them all, and otherwise
        each request would find out about only one more.
        """
        for slot in self._slots:
            if slot.free:
                slot.doubted = True
                slot.wake.set()

    def retire(self, is_old: Callable[[BoundedConnection], bool]) -> None:
        """Remake these connections: now, or once whoever uses one is done with it."""
        for slot in self._slots:
            if slot.connection is not None and is_old(slot.connection):
                slot.retired = True
                if not slot.busy:
                    slot.connection.terminate()

    async def open(self, *, within: timedelta) -> None:
        """Start the keepers, and wait up to `within`. Doesn't raise if the server is down."""
        self._keepers = [
            asyncio.create_task(self._keep(slot), name=f"{self._cluster}-{slot.number}")
            for slot in self._slots
        ]
        with suppress(TimeoutError):
            async with asyncio.timeout(within.total_seconds()):
                await self._all_stand.wait()

    async def close(self) -> None:
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for slot in self._slots:
            if slot.connection is not None:
                slot.connection.terminate()

    @asynccontextmanager
    async def acquire(
        self,
        *,
        within: float,
        alive_within: float | None = None,
        urgency: Urgency = Urgency.LOOK,
        leave: int = 0,
    ) -> AsyncIterator[BoundedConnection]:
        """Lend a connection; wait at most `within` seconds for a turn.

        Leaves `leave` of the live ones to others, except that it may take the last one. Raises
        `NotSent` if all that it may lend stay in use for that long, or if none is known to be
        alive after `alive_within` seconds.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + within
        alive_by = until if alive_within is None else loop.time() + alive_within
        slot = await self._turn(alive_by, until, urgency, leave)
        while not slot.live:  # it was lost while it was handed over
            self._give_back(slot)
            slot = await self._turn(alive_by, until, urgency, leave)
        connection = slot.connection
        assert connection is not None  # noqa: S101  it lives
        try:
            yield connection
        finally:
            slot.used_at = time.monotonic()
            if slot.retired:
                connection.terminate()
            self._give_back(slot)

    async def _turn(self, alive_by: float, until: float, urgency: Urgency, leave: int) -> Slot:
        if not self._queue and (free := self._pick(leave)) is not None:
            free.busy = True
            return free
        lent: asyncio.Future[Slot] = asyncio.get_running_loop().create_future()
        turn = Turn((-urgency, next(self._arrivals)), leave, lent)
        heapq.heappush(self._queue, turn)
        self._wanted.set()
        self._hand_out()
        slot: Slot | None = None
        try:
            for by in (min(alive_by, until), until):
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(by):
                        slot = await asyncio.shield(lent)
                        return slot
                if not any(slot.live and not slot.doubted for slot in self._slots):
                    break
        finally:
            if slot is None:
                self._step_out(lent)
        raise NotSent(self._cluster, self._why_none())

    def _step_out(self, lent: "asyncio.Future[Slot]") -> None:
        """Leave the queue; a connection that was lent a moment too late goes to the next."""
        if lent.cancel():
            self._hand_out()
        elif not lent.cancelled():
            self._give_back(lent.result())

    def _hand_out(self) -> None:
        """Lend the free connections to those whose turn it is."""
        while self._queue:
            turn = self._queue[0]
            if not turn.lent.done():
                slot = self._pick(turn.leave)
                if slot is None:
                    return
                slot.busy = True
                turn.lent.set_result(slot)
            heapq.heappop(self._queue)
        self._wanted.clear()

    def _pick(self, leave: int) -> Slot | None:
        usable = [slot for slot in self._slots if slot.live and not slot.doubted]
        if sum(slot.busy for slot in usable) >= max(1, len(usable) - leave):
            return None
        # The one unused for longest first, so that a silently dead one is noticed early.
        free = [slot for slot in self._slots if slot.free]
        return min(free, key=lambda slot: slot.used_at, default=None)

    def _give_back(self, slot: Slot) -> None:
        slot.busy = False
        self._hand_out()

    def _why_none(self) -> str:
        live = [slot for slot in self._slots if slot.live]
        if not live:
            return self._trouble
        if all(slot.doubted for slot in live):
            return trouble.NO_REPLY
        return "all of the bot's connections are busy"

    async def _keep(self, slot: Slot) -> None:
        lost_at = time.monotonic()
        while True:
            try:
                slot.connection = await self._connect()
            except Exception as error:  # noqa: BLE001  whatever it is, the next try is the remedy
                words = trouble.of_connecting(error)
                if words not in self._told:
                    self._told.add(words)
                    log.warning("cluster.down", cluster=self._cluster, problem=words)
                self._trouble = words
                await self._rest(_pause(time.monotonic() - lost_at))
                continue
            log.info("cluster.connected", cluster=self._cluster, slot=slot.number)
            self._told.clear()
            slot.used_at = time.monotonic()
            slot.doubted = slot.retired = False
            slot.wake.clear()
            if self.live == self.size:
                self._all_stand.set()
            self._hand_out()
            await self._watch(slot)
            log.warning("cluster.connection_lost", cluster=self._cluster, slot=slot.number)
            self._trouble = "the connection was lost"
            lost_at = time.monotonic()
            # Pause even if each new one dies at once, to avoid a busy loop.
            await self._rest(_pause(0.0))

    async def _rest(self, pause: float) -> None:
        """Wait before the next attempt, but less if somebody waits for a connection."""
        least = min(pause, RETRY_EVERY[0][1])
        await asyncio.sleep(least)
        with suppress(TimeoutError):
            async with asyncio.timeout(pause - least):
                await self._wanted.wait()

    async def _watch(self, slot: Slot) -> None:
        """Return when the slot's connection is dead."""
        connection = slot.connection
        assert connection is not None  # noqa: S101
        connection.add_termination_listener(lambda _: slot.wake.set())
        while not connection.is_closed():
            # Not wait_for: before Python 3.12 it may swallow a cancellation.
            with suppress(TimeoutError):
                async with asyncio.timeout(PROBE_EVERY):
                    await slot.wake.wait()
            slot.wake.clear()
            if connection.is_closed():
                return
            unused = slot.free and time.monotonic() - slot.used_at >= PROBE_EVERY
            if slot.doubted or unused:
                await self._probe(slot, connection)

    async def _probe(self, slot: Slot, connection: BoundedConnection) -> None:
        slot.busy = True
        try:
            async with asyncio.timeout(PROBE_TIMEOUT):
                await connection.fetchval("select 1")
        except Exception as error:  # noqa: BLE001  whatever it is, the connection is of no use
            log.info("cluster.probe_failed", cluster=self._cluster, error=type(error).__name__)
            connection.terminate()
        finally:
            slot.doubted = False
            slot.used_at = time.monotonic()
            self._give_back(slot)


def _pause(lost_for: float) -> float:
    return next((pause for until, pause in RETRY_EVERY if lost_for < until), RETRY_AT_LAST)
