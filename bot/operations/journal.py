"""The record beside the kills themselves: looks, refusals, signatures, dismissals, history."""

import asyncio
from datetime import datetime

import structlog

from bot.domain.kills import Actor, Proposal, Unclaimable
from bot.domain.people import Glob
from bot.domain.record import Entry, HistoryFilter, LookNote, RefusalNote
from bot.domain.sessions import Look
from bot.errors import LedgerError
from bot.grammar.requests import Field, HistoryRequest, Match
from bot.operations.notes import Notes
from bot.operations.results import History, NotClaimed, closed
from bot.operations.signatures import Signatures
from bot.ports import Clock, Ledger

log = structlog.get_logger(__name__)

NOTE_WITHIN = 2.0
"""Seconds that an answer waits for the ledger to take notes that it depends on."""

HISTORY_PAGE = 20
REFUSED_MOST = 300
"""Characters that are kept of what was refused."""


class Journal:
    """What goes into the ledger and comes out of it beside the kills themselves."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._notes = Notes(ledger, clock)
        self._signatures = Signatures(ledger, clock, self._notes)

    def remember(
        self, actor: Actor, channel_id: str, look: Look, what: str, *, reference: str
    ) -> None:
        """Note the look; a ledger in trouble must not keep anyone from looking."""
        self._notes.add(_look_note(actor, channel_id, look, what, reference))

    async def is_recorded(
        self, actor: Actor, channel_id: str, look: Look, what: str, *, reference: str
    ) -> bool:
        """Record the look at once, before what was seen is shown; whether it is on record."""
        note = _look_note(actor, channel_id, look, what, reference)
        try:
            async with asyncio.timeout(NOTE_WITHIN):
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
        """Have an attempt that was refused recorded. Whoever was refused waits for nothing.

        `what` comes from outside: of a long one the head is kept. `reference` is what the
        log has of it.
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

    async def entry(self, key: str) -> Entry | None:
        """The proposal of this key as the ledger has it."""
        return await self._ledger.get(key)

    def not_claimed(self, key: str, entry: Entry | None) -> NotClaimed:
        """Why a click on a preview that is not open did nothing."""
        if entry is not None:
            return NotClaimed(why=closed(entry) or Unclaimable.MISSING, entry=entry)
        made_here = self._ledger.made(key)
        why = Unclaimable.MISSING if made_here else Unclaimable.ANOTHER_LEDGER
        return NotClaimed(why=why, entry=None)

    async def dismiss(self, actor: Actor, channel_id: str, key: str) -> Proposal | NotClaimed:
        """Close an open preview, for the asker and for those who may kill, in its channel."""
        entry = await self._ledger.get(key)
        if entry is not None and entry.proposal.channel_id != channel_id:
            return NotClaimed(why=Unclaimable.ANOTHER_CHANNEL, entry=entry)
        dismissed = await self._ledger.dismiss(key, actor)
        entry = await self._ledger.get(key)
        if not dismissed or entry is None:
            return self.not_claimed(key, entry)
        return entry.proposal

    async def history(self, request: HistoryRequest, *, before_id: int | None = None) -> History:
        """The last kills. Raises `LedgerError`."""
        page = min(request.limit or HISTORY_PAGE, HISTORY_PAGE)
        entries = await self._ledger.history(
            _history_filter(request), limit=page + 1, before_id=before_id
        )
        return History(
            request=request,
            entries=entries[:page],
            more=len(entries) > page,
            before_id=before_id,
        )

    async def settle(self) -> None:
        """Write what waits to be written, before the end. Raises `LedgerError`."""
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


def _history_filter(request: HistoryRequest) -> HistoryFilter:
    def of(column: Field) -> tuple[tuple[Glob, bool], ...]:
        return tuple(
            (term.pattern.parts, term.negated)
            for term in request.terms
            if isinstance(term, Match) and term.field is column
        )

    return HistoryFilter(
        target=request.target, roles=of(Field.USENAME), databases=of(Field.DATNAME)
    )
