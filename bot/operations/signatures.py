"""Recognize requests that this process or another replica has seen before."""

import asyncio
from itertools import takewhile

import structlog

from bot.domain.record import SignatureNote
from bot.errors import LedgerError
from bot.operations.notes import Notes
from bot.ports import Clock, Ledger

log = structlog.get_logger(__name__)

SEEN_FOR = 600.0
"""Seconds. Slack's signatures are valid for 300 s before and after their timestamp."""

WITHIN = 0.5
"""Seconds that the ledger has to check a signature: an acknowledgement waits for it."""

ASK_AGAIN_AFTER = 5.0
"""Seconds for which nobody waits for a ledger that took longer."""


class Signatures:
    """Remembers each signature in the process at once, and in the ledger for other replicas."""

    def __init__(self, ledger: Ledger, clock: Clock, notes: Notes) -> None:
        self._ledger = ledger
        self._clock = clock
        self._notes = notes
        self._seen: dict[str, float] = {}  # oldest first
        self._ask_again_at = 0.0

    async def first_time(self, signature: str) -> bool:
        """Remember a signature that Slack made; False if it was seen before.

        A ledger in trouble must not stop anyone from looking. Then only this process knows the
        signature, and the ledger gets it as soon as it takes notes again. That is safe for a kill:
        it needs the ledger, and is claimed only once.
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
