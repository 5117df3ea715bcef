"""The record: dismissals, history, refusals."""

from bot.domain.kills import Actor, Proposal, Unclaimable
from bot.domain.people import Glob
from bot.domain.record import Entry, HistoryFilter, RefusalNote
from bot.grammar.requests import Field, HistoryRequest, Match
from bot.operations.parts import Parts
from bot.operations.results import History, NotClaimed

HISTORY_PAGE = 20
REFUSED_MOST = 300
"""Characters that are kept of what was refused."""


class Recording(Parts):
    """What goes into the ledger and comes out of it beside the kills themselves."""

    async def dismiss(self, actor: Actor, channel_id: str, key: str) -> Proposal | NotClaimed:
        """Close an open preview, for the asker and for those who may kill, in its channel."""
        entry = await self._ledger.get(key)
        if entry is not None and entry.proposal.channel_id != channel_id:
            return NotClaimed(why=Unclaimable.ANOTHER_CHANNEL, entry=entry)
        dismissed = await self._ledger.dismiss(key, actor)
        entry = await self._ledger.get(key)
        if not dismissed or entry is None:
            return self._not_claimed(key, entry)
        return entry.proposal

    async def entry(self, key: str) -> Entry | None:
        """The proposal of this key as the ledger has it."""
        return await self._ledger.get(key)

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
