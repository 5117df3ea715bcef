"""Records that nobody waits for: looks, refusals, signatures."""

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
"""How many notes may wait to be written. Further ones are only counted and logged."""

BATCH = 100
"""How many notes are written at once: a kill must not wait long for the ledger."""

GATHERED_FOR = 0.5
"""Seconds for which notes gather before they are written: one write costs more than a look."""

RETRY_EVERY = 2.0
"""Seconds between two attempts to write when the ledger is in trouble."""

KEPT_FOR = 600.0
"""Seconds after which a note that the ledger never took is given up."""


class Notes:
    """A bounded queue that one task writes, in batches and in order.

    A batch whose reply is lost is written again, so the record may have a note twice.
    """

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._waiting: deque[tuple[float, Note]] = deque()
        self._lost = 0
        self._turn = asyncio.Lock()
        self._writer: asyncio.Task[None] | None = None

    def add(self, note: Note) -> None:
        """Have a note written soon. This must not wait: strangers can cause notes."""
        if len(self._waiting) >= MOST:
            self._lost += 1
            return
        self._waiting.append((self._clock.monotonic(), note))
        if self._writer is None or self._writer.done():
            # A context of its own: its log lines belong to no single request.
            self._writer = asyncio.create_task(self._keep(), name="notes", context=Context())

    async def written(self, *, within: float) -> None:
        """Wait for the notes that wait now; at most `within` seconds."""
        with suppress(LedgerError, TimeoutError):
            async with asyncio.timeout(within):
                await self._write()

    async def settle(self) -> None:
        """Write the waiting notes before the process ends. Raises `LedgerError`."""
        try:
            await self._write()
        finally:
            if self._writer is not None:
                self._writer.cancel()
                await asyncio.gather(self._writer, return_exceptions=True)
            self._tell_lost(len(self._waiting))

    async def _keep(self) -> None:
        pause = GATHERED_FOR
        while self._waiting:
            await self._clock.sleep(pause)
            self._give_up_the_old()
            pause = RETRY_EVERY
            try:
                await self._write()
            except LedgerError as error:
                log.warning("notes.waiting", notes=len(self._waiting), problem=str(error))
            except Exception:
                log.exception("notes.failed", notes=len(self._waiting))
            else:
                pause = GATHERED_FOR

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
