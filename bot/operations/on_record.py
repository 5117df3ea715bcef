"""What is on record of kills: one preview or outcome, its dismissal, the history, a timeline."""

from dataclasses import dataclass
from datetime import timedelta

from bot.domain.alerts import AN_HOUR, Alert
from bot.domain.kills import Actor, Proposal, Unclaimable
from bot.domain.people import Glob, Right
from bot.domain.record import Entry, HistoryFilter
from bot.domain.timeline import Timeline
from bot.grammar.requests import HistoryRequest
from bot.grammar.terms import Field, Match
from bot.operations.clusters import Clusters
from bot.operations.journal import Journal
from bot.operations.results import History, NotClaimed, closed
from bot.operations.timeline import read
from bot.ports import Clock, Ledger

HISTORY_PAGE = 20

HOURS = timedelta(hours=2)
"""How far back a timeline goes that a button asks for."""


@dataclass(frozen=True, slots=True)
class OnRecord:
    """What people may read and close in the record, on the clusters that they may see."""

    _clusters: Clusters
    _ledger: Ledger
    _journal: Journal
    _clock: Clock

    async def entry(self, key: str) -> Entry | None:
        """The proposal of this key as the ledger has it, without asking for anybody's right."""
        return await self._ledger.get(key)

    async def outcome(self, channel_id: str, key: str) -> Entry | NotClaimed:
        """What became of a kill of this channel, for those who may look, or why it isn't told."""
        entry = await self._ledger.get(key)
        if entry is None:
            return self._journal.not_claimed(key, None)
        if entry.proposal.channel_id != channel_id:
            return NotClaimed(why=Unclaimable.ANOTHER_CHANNEL, entry=entry)
        self._clusters.named(entry.proposal.cluster, Right.LOOK)
        return entry

    async def timeline(self, channel_id: str, key: str) -> Timeline | NotClaimed:
        """`recent` for the cluster of a kill of this channel, or why it isn't told."""
        entry = await self.outcome(channel_id, key)
        if isinstance(entry, NotClaimed):
            return entry
        return await self.recent(entry.proposal.cluster, channel_id)

    async def recent(self, cluster: str, channel_id: str) -> Timeline:
        """The last hours on a cluster, for those who may look there. Raises `LedgerError`.

        Those who may only look get what was asked in this channel, and the alerts: like `history`,
        the record of other channels is for those who may cancel or kill.
        """
        self._clusters.named(cluster, Right.LOOK)
        now = self._clock.now()
        found = await read(
            self._ledger,
            Timeline(since=now - HOURS, until=now, cluster=cluster),
            without_a_cluster=not self._clusters.left_out(),
        )
        if self._clusters.may(Right.CANCEL, cluster):
            return found
        return found.asked_in(channel_id)

    async def dismiss(self, actor: Actor, channel_id: str, key: str) -> Proposal | NotClaimed:
        """Close an open preview, for the asker and for those who may kill there, in its channel."""
        entry = await self._ledger.get(key)
        if entry is not None and entry.proposal.asked_by != actor:
            self._clusters.named(entry.proposal.cluster, Right.KILL)
        if entry is not None and entry.proposal.channel_id != channel_id:
            return NotClaimed(why=Unclaimable.ANOTHER_CHANNEL, entry=entry)
        dismissed = await self._ledger.dismiss(key, actor)
        entry = await self._ledger.get(key)
        if not dismissed or entry is None:
            return self._journal.not_claimed(key, entry)
        return entry.proposal

    async def open_previews(self) -> tuple[Proposal, ...]:
        """The previews that wait for a click, newest first, on clusters where the person may look.

        At most `HISTORY_PAGE`. Raises `LedgerError`, and `NotAllowed`.
        """
        allowed = self._clusters.allowed(Right.LOOK)
        entries = await self._ledger.history(
            HistoryFilter(clusters=frozenset(allowed), open_only=True), limit=HISTORY_PAGE
        )
        return tuple(
            each.proposal
            for each in entries
            if isinstance(each, Entry)
            and self._clusters.may(Right.LOOK, each.proposal.cluster, each.proposal.server)
        )

    async def unanswered(self) -> tuple[tuple[Proposal, timedelta], ...]:
        """The last previews, in any channel, that nobody has confirmed or dismissed.

        They are open, or have expired within the last hour. Each comes with how much of its time is
        left, by this process's clock; none, if it has expired by the ledger's. Raises
        `LedgerError`.
        """
        now = self._clock.now()
        since = now - self._clusters.rules.confirm_ttl - AN_HOUR
        entries = await self._ledger.history(HistoryFilter(since=since), limit=HISTORY_PAGE)
        return tuple(
            (each.proposal, timedelta(0) if each.expired else each.proposal.expires_at - now)
            for each in entries
            if isinstance(each, Entry)
            and closed(each) in {None, Unclaimable.EXPIRED}
            and each.proposal.message_ts
        )

    async def open_alerts(self) -> tuple[Alert, ...]:
        """The alerts that aren't over, on clusters where the person may look.

        Raises `LedgerError`.
        """
        now = self._clock.now()
        return tuple(
            each
            for each in await self._ledger.alerts.current(now, now)
            if not each.has_ended and self._clusters.may(Right.LOOK, each.topic.cluster)
        )

    async def history(self, request: HistoryRequest, *, before_id: int | None = None) -> History:
        """The last kills on the clusters where the person may cancel or kill. Raises `LedgerError`.

        Kills on a cluster that the settings no longer name are shown to those who may do so on all
        that they do name.
        """
        allowed = self._clusters.allowed(Right.CANCEL)
        if (name := request.target.cluster) is not None and name in self._clusters.by_name:
            self._clusters.require(Right.CANCEL, name)
        page = min(request.limit or HISTORY_PAGE, HISTORY_PAGE)
        sees_all = len(allowed) == len(self._clusters.by_name)
        entries = await self._ledger.history(
            _filter(request, clusters=None if sees_all else frozenset(allowed)),
            limit=page + 1,
            before_id=before_id,
        )
        return History(
            request=request,
            entries=entries[:page],
            more=len(entries) > page,
            before_id=before_id,
        )


def _filter(request: HistoryRequest, *, clusters: frozenset[str] | None) -> HistoryFilter:
    def of(column: Field) -> tuple[tuple[Glob, bool], ...]:
        return tuple(
            (term.pattern.parts, term.negated)
            for term in request.terms
            if isinstance(term, Match) and term.field is column
        )

    return HistoryFilter(
        target=request.target,
        clusters=clusters,
        roles=of(Field.USENAME),
        databases=of(Field.DATNAME),
    )
