"""Which requests this process and the other replicas have seen before."""

import asyncio
from itertools import takewhile

import structlog

from bot.domain.record import SignatureNote
from bot.errors import LedgerError
from bot.operations.notes import Notes
from bot.ports import Clock, Ledger

log = structlog.get_logger(__name__)

SEEN_FOR = 600.0
"""Seconds: Slack's signatures are good for 300 before and after their timestamp."""

WITHIN = 0.5
"""Seconds that the ledger has to know a signature: an acknowledgement waits for it."""

ASK_AGAIN_AFTER = 5.0
"""Seconds for which a ledger that took longer is not waited for again."""


class Signatures:
    """Remembers each in the process at once, and in the ledger for the other replicas."""

    def __init__(self, ledger: Ledger, clock: Clock, notes: Notes) -> None:
        self._ledger = ledger
        self._clock = clock
        self._notes = notes
        self._seen: dict[str, float] = {}  # the oldest first
        self._ask_again_at = 0.0

    async def first_time(self, signature: str) -> bool:
        """Remember a signature that Slack made; False if it was seen before.

        A ledger in trouble must not keep anyone from looking. Then only this process knows,
        and the ledger is told as soon as it takes notes again. A kill needs the ledger, and is
        claimed once in any case.
        """
        now = self._clock.monotonic()
        for old in list(takewhile(lambda each: self._seen[each] < now - SEEN_FOR, self._seen)):
            del self._seen[old]
        if signature in self._seen:
            return False
        self._seen[signature] = now
        if now >= self._ask_again_at:
            try:
                async with asyncio.timeout(WITHIN):
                    return await self._ledger.first_time(signature)
            except (LedgerError, TimeoutError):
                log.warning("ledger.signature_not_kept")
                self._ask_again_at = self._clock.monotonic() + ASK_AGAIN_AFTER
        self._notes.add(SignatureNote(signature))
        return True
