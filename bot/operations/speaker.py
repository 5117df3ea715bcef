"""One replica speaks unasked: it draws the boards and tells the alerts.

The ledger's lease `speaker` says which one, by the ledger's clock. Its holder goes by its own clock
since it last asked, and stops in time: two replicas don't speak at once while the lease passes on.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import NoReturn

import structlog

from bot.errors import LedgerError
from bot.ports import Clock, Leases

log = structlog.get_logger(__name__)

NAME = "speaker"

LEASE = timedelta(seconds=20)

RENEW_EVERY = 5.0

TRY_EVERY = 2.0
"""Seconds between two tries to take another's lease: it passes on within 22 s of a death."""

MARGIN = 2.0
"""Seconds before the lease's end from which on its holder says nothing more."""

SHORTEST = 3.0
"""Seconds that a turn has at least."""


class Speaker:
    """This process's part in the lease. `owner` names the process."""

    def __init__(self, leases: Leases, clock: Clock, owner: str) -> None:
        self._leases = leases
        self._clock = clock
        self._owner = owner
        self._until = float("-inf")  # on the monotonic clock
        self._turns: set[asyncio.Timeout] = set()
        self._news = asyncio.Event()

    def wake(self) -> None:
        """Tell those who `rest` that there is something to say."""
        self._news.set()

    async def rest(self, seconds: float) -> None:
        """Wait, but no longer than until there is something to say."""
        resting = asyncio.ensure_future(self._clock.sleep(seconds))
        waking = asyncio.ensure_future(self._news.wait())
        try:
            await asyncio.wait((resting, waking), return_when=asyncio.FIRST_COMPLETED)
        finally:
            resting.cancel()
            waking.cancel()
        self._news.clear()

    @property
    def lease(self) -> tuple[str, str]:
        """The lease's name, and this process: for changes that only the speaker may make."""
        return NAME, self._owner

    @property
    def speaks(self) -> bool:
        """Whether this process has the lease, for long enough to say something."""
        return self._left() >= SHORTEST

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[bool]:
        """Whether this process may speak in the block, which ends before another process may.

        Raises `TimeoutError` if the block takes longer than the lease, which is renewed meanwhile.
        """
        if not self.speaks:
            yield False
            return
        async with asyncio.timeout(self._left()) as turn:
            self._turns.add(turn)
            try:
                yield True
            finally:
                self._turns.discard(turn)

    async def keep(self) -> NoReturn:
        """Take the lease when it is free, and renew it; when cancelled, give it back at once."""
        try:
            while True:
                try:
                    await self.hold()
                except Exception:
                    log.exception("speaker.failed")
                await self._clock.sleep(RENEW_EVERY if self.speaks else TRY_EVERY)
        finally:
            self._set(float("-inf"))
            with suppress(LedgerError):
                await self._leases.release(NAME, self._owner)

    async def hold(self) -> None:
        """Take or renew the lease, if it isn't another's."""
        asked_at = self._clock.monotonic()
        spoke = self.speaks
        try:
            mine = await self._leases.hold(NAME, self._owner, LEASE)
        except LedgerError as error:
            log.debug("speaker.no_ledger", problem=str(error))
            return  # what was granted still holds
        self._set(asked_at + LEASE.total_seconds() - MARGIN if mine else float("-inf"))
        if mine != spoke:
            log.info("speaker.speaks" if mine else "speaker.silent")

    def _left(self) -> float:
        return self._until - self._clock.monotonic()

    def _set(self, until: float) -> None:
        self._until = until
        when = asyncio.get_running_loop().time() + max(self._left(), 0.0)
        for turn in self._turns:
            if not turn.expired():
                turn.reschedule(when)
