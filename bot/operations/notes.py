"""What goes on record without anyone waiting for it: looks, refusals, signatures."""

import asyncio
from collections import deque
from contextlib import suppress
from contextvars import Context
from itertools import islice

import structlog

from bot.domain.record import Note
from bot.errors import LedgerError
from bot.ports import Clock, Ledger

log = structlog.get_logger(__name__)

MOST = 1000
"""Notes that wait to be written. What comes on top of them is counted, and is in the log only."""

BATCH = 100
"""Notes that are written at once: the ledger is soon free again for a kill."""

RETRY_EVERY = 2.0
"""Seconds between two tries to write, when the ledger is in trouble."""

KEPT_FOR = 600.0
"""Seconds after which a note that the ledger never took is given up."""


class Notes:
    """A bounded queue, written in batches, in order, by one task.

    A batch whose reply is lost is written once more: the record may have a note twice.
    """

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._waiting: deque[tuple[float, Note]] = deque()
        self._lost = 0
        self._turn = asyncio.Lock()
        self._writer: asyncio.Task[None] | None = None

    def add(self, note: Note) -> None:
        """Have it written soon. It must not wait: strangers are among those who cause notes."""
        if len(self._waiting) >= MOST:
            self._lost += 1
            return
        self._waiting.append((self._clock.monotonic(), note))
        if self._writer is None or self._writer.done():
            # A context of its own: its lines in the log are of no one request.
            self._writer = asyncio.create_task(self._keep(), name="notes", context=Context())

    async def written(self, *, within: float) -> None:
        """Wait for those that wait now; at most `within` seconds."""
        with suppress(LedgerError, TimeoutError):
            async with asyncio.timeout(within):
                await self._write()

    async def settle(self) -> None:
        """Write what waits, before the end. Raises `LedgerError`."""
        try:
            await self._write()
        finally:
            if self._writer is not None:
                self._writer.cancel()
                await asyncio.gather(self._writer, return_exceptions=True)
            self._tell_lost(len(self._waiting))

    async def _keep(self) -> None:
        while self._waiting:
            try:
                await self._write()
            except LedgerError as error:
                log.warning("notes.wait", notes=len(self._waiting), problem=str(error))
            except Exception:
                log.exception("notes.failed", notes=len(self._waiting))
            else:
                return
            await self._clock.sleep(RETRY_EVERY)
            self._give_up_the_old()

    async def _write(self) -> None:
        async with self._turn:
            while batch := list(islice(self._waiting, BATCH)):
                now = self._clock.monotonic()
                await self._ledger.note([(now - since, note) for since, note in batch])
                for _ in batch:
                    self._waiting.popleft()
        self._tell_lost()

    def _give_up_the_old(self) -> None:
        before = self._clock.monotonic() - KEPT_FOR
        while self._waiting and self._waiting[0][0] < before:
            self._waiting.popleft()
            self._lost += 1

    def _tell_lost(self, more: int = 0) -> None:
        if lost := self._lost + more:
            log.error("notes.lost", notes=lost)
            self._lost = 0
