"""The record besides the kills themselves: looks, refusals, signatures."""

import asyncio
from datetime import datetime

import structlog

from bot.domain.kills import Actor, Unclaimable
from bot.domain.record import Entry, LookNote, RefusalNote
from bot.domain.sessions import Look
from bot.errors import LedgerError
from bot.operations.notes import Notes
from bot.operations.results import NotClaimed, closed
from bot.operations.signatures import Signatures
from bot.ports import Clock, Ledger

log = structlog.get_logger(__name__)

NOTE_WITHIN = 2.0
"""Seconds that an answer waits for the ledger to take notes that the answer depends on."""

REFUSED_MOST = 300
"""How many characters of a refused attempt are kept."""


class Journal:
    """Writes to and reads from the ledger, except for the kills themselves."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._notes = Notes(ledger, clock)
        self._signatures = Signatures(ledger, clock, self._notes)

    def remember(
        self, actor: Actor, channel_id: str, look: Look, what: str, *, reference: str
    ) -> None:
        """Note the look; a ledger in trouble must not stop anyone from looking."""
        self._notes.add(_look_note(actor, channel_id, look, what, reference))

    async def is_recorded(
        self, actor: Actor, channel_id: str, look: Look, what: str, *, reference: str
    ) -> bool:
        """Record the look now, before its result is shown; return whether it is recorded."""
        note = _look_note(actor, channel_id, look, what, reference)
        try:
            async with asyncio.timeout(NOTE_WITHIN):
                await self._notes.written(within=NOTE_WITHIN)  # earlier notes come first
                await self._ledger.note([(0.0, note)])
        except (LedgerError, TimeoutError) as error:
            problem = str(error) or f"the ledger did not answer within {NOTE_WITHIN:.0f} s"
            log.warning("ledger.look_not_recorded", cluster=look.server.cluster, problem=problem)
            return False
        return True

    async def last_look(self, channel_id: str, cluster_name: str) -> datetime | None:
        """When the channel last saw a cluster's sessions, by that cluster's clock.

        Raises `LedgerError`.
        """
        await self._notes.written(within=NOTE_WITHIN)  # the last look may be among them
        return await self._ledger.last_look(channel_id, cluster_name)

    def refused(
        self, actor: Actor, channel_id: str, what: str, why: str, *, reference: str = ""
    ) -> None:
        """Have a refused attempt recorded, without making anyone wait.

        `what` comes from outside; only the beginning of a long one is kept. `reference` marks the
        request's log lines.
        """
        self._notes.add(
            RefusalNote(
                actor=actor,
                channel_id=channel_id,
                what=what[:REFUSED_MOST],
                why=why,
                reference=reference,
            )
        )

    async def first_time(self, signature: str) -> bool:
        """Whether neither this process nor another replica has seen this request before."""
        return await self._signatures.first_time(signature)

    def not_claimed(self, key: str, entry: Entry | None) -> NotClaimed:
        """Why a click did nothing on a preview that is not open."""
        if entry is not None:
            return NotClaimed(why=closed(entry) or Unclaimable.MISSING, entry=entry)
        made_here = self._ledger.made(key)
        why = Unclaimable.MISSING if made_here else Unclaimable.ANOTHER_LEDGER
        return NotClaimed(why=why, entry=None)

    async def settle(self) -> None:
        """Write the waiting notes before the process ends. Raises `LedgerError`."""
        await self._notes.settle()


def _look_note(actor: Actor, channel_id: str, look: Look, what: str, reference: str) -> LookNote:
    return LookNote(
        actor=actor,
        channel_id=channel_id,
        cluster=look.server.cluster,
        cluster_at=look.server.now,
        what=what,
        reference=reference,
    )
