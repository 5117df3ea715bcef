"""The record besides the kills themselves: looks, refusals, signatures.

Nobody waits for most of it, so it is noted, and written soon after.
"""

import asyncio
from collections import deque
from contextlib import suppress
from contextvars import Context
from datetime import datetime
from itertools import islice, takewhile

import structlog

from bot.domain.kills import Actor, Unclaimable
from bot.domain.record import Entry, LookNote, Note, RefusalNote, SignatureNote
from bot.domain.sessions import Look
from bot.errors import LedgerError
from bot.operations.results import NotClaimed, closed
from bot.ports import Clock, Ledger

log = structlog.get_logger(__name__)

NOTE_WITHIN = 2.0
"""Seconds that an answer waits for the ledger to take notes that the answer depends on."""

REFUSED_MOST = 300
"""How many characters of a refused attempt are kept."""

MOST_NOTES = 1000
"""How many notes may wait to be written. Further ones are only counted and logged."""

BATCH = 100
"""How many notes are written at once: a kill must not wait long for the ledger."""

GATHERED_FOR = 0.5
"""Seconds for which notes gather before they are written: one write costs more than a look."""

RETRY_EVERY = 2.0
"""Seconds between two attempts to write when the ledger is in trouble."""

NOTES_KEPT_FOR = 600.0
"""Seconds after which a note that the ledger never took is given up."""

SIGNATURES_KEPT_FOR = 600.0
"""Seconds. Slack's signatures are valid for 300 s before and after their timestamp."""

SIGNATURE_WITHIN = 0.5
"""Seconds that the ledger has to check a signature: an acknowledgement waits for it."""

ASK_AGAIN_AFTER = 5.0
"""Seconds for which nobody waits for a ledger that took longer."""


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
        if len(self._waiting) >= MOST_NOTES:
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
                log.debug("notes.waiting", notes=len(self._waiting), problem=str(error))
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
        before = self._clock.monotonic() - NOTES_KEPT_FOR
        while self._waiting and self._waiting[0][0] < before:
            self._waiting.popleft()
            self._lost += 1

    def _tell_lost(self, more: int = 0) -> None:
        if lost := self._lost + more:
            log.error("notes.lost", notes=lost)
            self._lost = 0


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
        for old in list(
            takewhile(lambda each: self._seen[each] < now - SIGNATURES_KEPT_FOR, self._seen)
        ):
            del self._seen[old]
        if signature in self._seen:
            return False
        self._seen[signature] = now
        if now >= self._ask_again_at:
            try:
                async with asyncio.timeout(SIGNATURE_WITHIN):
                    return await self._ledger.first_time(signature)
            except (LedgerError, TimeoutError):
                log.warning("ledger.signature_not_kept")
                self._ask_again_at = self._clock.monotonic() + ASK_AGAIN_AFTER
        self._notes.add(SignatureNote(signature))
        return True
