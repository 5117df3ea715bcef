"""Connections that are opened before they are needed, and kept.

When a server is full a new connection is refused, and one that is open goes on working
(`sorry, too many clients already` comes at the start of a session only). So a fixed number
is held from the start, never grown in an incident, and re-made in the background at once
when one is lost, before the crowd takes its slot.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from bot.driver import Connection
from bot.errors import NotSent
from bot.postgres import trouble

log = structlog.get_logger(__name__)

PROBE_EVERY = 30.0
"""Seconds between two trivial round trips on a connection that nobody uses."""

PROBE_TIMEOUT = 5.0
RETRY_EVERY = ((10.0, 0.2), (60.0, 1.0))
"""For so many seconds after a loss, so many between two attempts to make the connection anew:
a server that comes back is full within a second, of those who asked first."""

RETRY_AT_LAST = 5.0


@dataclass(slots=True)
class Slot:
    """One place for a connection. Only its keeper puts a new connection there."""

    number: int
    connection: Connection | None = None
    busy: bool = False
    doubted: bool = False  # another one got no reply: this one is asked before it is lent
    retired: bool = False  # to be re-made, once whoever has it is done
    used_at: float = 0.0
    wake: asyncio.Event = field(default_factory=asyncio.Event)  # its keeper is to look at it

    @property
    def free(self) -> bool:
        """Whether there is a live connection that nobody uses and nobody doubts."""
        return self.live and not self.busy and not self.doubted and not self.retired

    @property
    def live(self) -> bool:
        """Whether there is a live connection, used or not."""
        return self.connection is not None and not self.connection.is_closed()


class HeldConnections:
    """A fixed number of connections to one server.

    `connect` opens and prepares one connection; whatever it raises is remembered as the
    cluster's trouble and tried again.
    """

    def __init__(
        self, cluster: str, size: int, connect: Callable[[], Awaitable[Connection]]
    ) -> None:
        self._cluster = cluster
        self._connect = connect
        self._slots = [Slot(number) for number in range(size)]
        self._changed = asyncio.Condition()
        self._keepers: list[asyncio.Task[None]] = []
        self._trouble = "it has not answered yet"
        self._waiting = 0  # those who wait for one
        self._wanted = asyncio.Event()

    @property
    def live(self) -> int:
        """How many connections live now."""
        return sum(slot.live for slot in self._slots)

    @property
    def free(self) -> bool:
        """Whether one could be lent at once."""
        return any(slot.free for slot in self._slots)

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for one."""
        return self._waiting > 0

    @property
    def size(self) -> int:
        """How many there should be."""
        return len(self._slots)

    @property
    def trouble(self) -> str:
        """Why the last attempt to connect failed, in words fit for a channel."""
        return self._trouble

    def doubt(self) -> None:
        """Ask each connection that is not used whether it lives, before it is lent again.

        For where one of them got no reply: a network that lost it may have lost them all, and
        each person who asked would find out about one more.
        """
        for slot in self._slots:
            if slot.free:
                slot.doubted = True
                slot.wake.set()

    def retire(self, is_old: Callable[[Connection], bool]) -> None:
        """Have these connections re-made: now, or when whoever uses one is done with it."""
        for slot in self._slots:
            if slot.connection is not None and is_old(slot.connection):
                slot.retired = True
                if not slot.busy:
                    slot.connection.terminate()

    async def open(self, *, within: timedelta) -> None:
        """Start the keepers, and give them a little time. Does not raise when it is down."""
        self._keepers = [
            asyncio.create_task(self._keep(slot), name=f"{self._cluster}-{slot.number}")
            for slot in self._slots
        ]
        with suppress(TimeoutError):
            async with asyncio.timeout(within.total_seconds()), self._changed:
                await self._changed.wait_for(lambda: self.live == self.size)

    async def close(self) -> None:
        """Stop the keepers and drop the connections."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for slot in self._slots:
            if slot.connection is not None:
                slot.connection.terminate()

    @asynccontextmanager
    async def acquire(self, *, within: float, leave: int = 0) -> AsyncIterator[Connection]:
        """Lend a connection; waits at most `within` seconds for one.

        So many of those that work are left to others, but for the last one. Raises `NotSent`
        if none lives, or all that may be lent are busy for so long.
        """
        slot = await self._take(within, leave)
        connection = slot.connection
        assert connection is not None  # noqa: S101  a slot is taken only while it has one
        try:
            yield connection
        finally:
            slot.busy = False
            slot.used_at = time.monotonic()
            if slot.retired:
                connection.terminate()
            await self._notify()

    async def _take(self, within: float, leave: int) -> Slot:
        def pick() -> Slot | None:
            usable = [slot for slot in self._slots if slot.live and not slot.doubted]
            if sum(slot.busy for slot in usable) >= max(1, len(usable) - leave):
                return None
            # The longest unused first, so that a quiet death is found out early.
            free = [slot for slot in self._slots if slot.free]
            return min(free, key=lambda slot: slot.used_at, default=None)

        self._waiting += 1
        self._wanted.set()
        try:
            async with asyncio.timeout(within), self._changed:
                await self._changed.wait_for(lambda: pick() is not None)
                slot = pick()
                assert slot is not None  # noqa: S101  the condition is held since
                slot.busy = True
                return slot
        except TimeoutError:
            raise NotSent(self._cluster, self._why_none()) from None
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._wanted.clear()

    def _why_none(self) -> str:
        live = [slot for slot in self._slots if slot.live]
        if not live:
            return self._trouble
        if all(slot.doubted for slot in live):
            return trouble.NO_REPLY
        return "all of the bot's connections are busy"

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _keep(self, slot: Slot) -> None:
        lost_at = time.monotonic()
        while True:
            try:
                slot.connection = await self._connect()
            except Exception as error:  # noqa: BLE001  whatever it is, the next try is the remedy
                words = trouble.of_connecting(error)
                if words != self._trouble:
                    log.warning("cluster.down", cluster=self._cluster, problem=words)
                self._trouble = words
                await self._rest(_pause(time.monotonic() - lost_at))
                continue
            log.info("cluster.connected", cluster=self._cluster, slot=slot.number)
            slot.used_at = time.monotonic()
            slot.doubted = slot.retired = False
            slot.wake.clear()
            await self._notify()
            await self._watch(slot)
            log.warning("cluster.connection_lost", cluster=self._cluster, slot=slot.number)
            self._trouble = "the connection was lost"
            lost_at = time.monotonic()
            # Also where each new one dies at once: no hot loop.
            await self._rest(_pause(0.0))

    async def _rest(self, pause: float) -> None:
        """Wait before the next attempt; not as long if somebody waits for a connection."""
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

    async def _probe(self, slot: Slot, connection: Connection) -> None:
        slot.busy = True
        try:
            async with asyncio.timeout(PROBE_TIMEOUT):
                await connection.fetchval("select 1")
        except Exception as error:  # noqa: BLE001  whatever it is, the connection is of no use
            log.info("cluster.probe_failed", cluster=self._cluster, error=type(error).__name__)
            connection.terminate()
        finally:
            slot.busy = slot.doubted = False
            slot.used_at = time.monotonic()
            await self._notify()


def _pause(lost_for: float) -> float:
    return next((pause for until, pause in RETRY_EVERY if lost_for < until), RETRY_AT_LAST)
