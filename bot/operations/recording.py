"""The record: dismissals, history, refusals."""

import asyncio

import structlog

from bot.answers import History, NotClaimed
from bot.errors import LedgerError
from bot.grammar import Field, HistoryRequest, Match
from bot.kills import Actor, Proposal
from bot.operations.parts import NOTE_WITHIN, Parts, closed
from bot.policy import Glob
from bot.ports import Entry, HistoryFilter

log = structlog.get_logger(__name__)

HISTORY_PAGE = 20
REFUSED_MOST = 300
"""Characters that are kept of what was refused."""

SIGNATURE_WITHIN = 1.0
"""Seconds: an acknowledgement is due in three."""


class Recording(Parts):
    """What goes into the ledger and comes out of it beside the kills themselves."""

    async def dismiss(
        self, actor: Actor, channel_id: str, proposal_id: int
    ) -> Proposal | NotClaimed:
        """Close an open preview, for the asker and for those who may kill, in its channel."""
        entry = await self._ledger.get(proposal_id)
        if entry is not None and entry.proposal.channel_id != channel_id:
            return NotClaimed(why="another channel", entry=entry)
        if await self._ledger.dismiss(proposal_id, actor):
            entry = await self._ledger.get(proposal_id)
            assert entry is not None  # noqa: S101  it was just closed
            return entry.proposal
        entry = await self._ledger.get(proposal_id)
        return NotClaimed(why=(entry and closed(entry)) or "missing", entry=entry)

    async def entry(self, proposal_id: int) -> Entry | None:
        """A proposal as the ledger has it."""
        return await self._ledger.get(proposal_id)

    async def history(self, request: HistoryRequest, *, before_id: int | None = None) -> History:
        """The last kills. Raises `LedgerError`."""
        entries = await self._ledger.history(
            _history_filter(request), limit=HISTORY_PAGE + 1, before_id=before_id
        )
        return History(
            request=request,
            entries=entries[:HISTORY_PAGE],
            more=len(entries) > HISTORY_PAGE,
            before_id=before_id,
        )

    async def refused(
        self, actor: Actor, channel_id: str, what: str, why: str, *, reference: str = ""
    ) -> bool:
        """Record an attempt that was refused; False where the ledger can't be written.

        `what` comes from outside: of a long one the head is kept. `reference` is what the
        log has of it.
        """
        try:
            async with asyncio.timeout(NOTE_WITHIN):
                await self._ledger.refused(
                    actor, channel_id, what[:REFUSED_MOST], why, reference=reference
                )
        except (LedgerError, TimeoutError):
            log.warning("refusal.not_recorded", user=actor.user_id, exc_info=True)
            return False
        return True

    async def first_time(self, signature: str) -> bool:
        """Whether no replica has seen this request before.

        A ledger in trouble must not keep anyone from looking: then it counts as new, and
        a kill, which needs the ledger, is claimed once in any case.
        """
        try:
            async with asyncio.timeout(SIGNATURE_WITHIN):
                return await self._ledger.first_time(signature)
        except (LedgerError, TimeoutError):
            log.warning("ledger.signature_not_kept")
            return True


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
