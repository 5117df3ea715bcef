"""Confirm a kill: claim, signal, watch, record. The click was authorized right before."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from bot.domain import outcomes
from bot.domain.filters import Condition, arrived_since
from bot.domain.kills import (
    Action,
    Actor,
    Basis,
    Conclusion,
    Outcome,
    Proposal,
    Result,
    Unclaimable,
)
from bot.domain.people import Right
from bot.domain.record import Entry
from bot.domain.sessions import BackendId, Limit, Look
from bot.domain.signals import Guard
from bot.errors import ClusterError, UsageError
from bot.operations.claims import Claims, bind_log
from bot.operations.clusters import Clusters
from bot.operations.journal import Journal
from bot.operations.results import Confirmed, NeedsSecondPerson, NotClaimed, closed
from bot.operations.second_step import SecondStep
from bot.operations.signalling import Signalling
from bot.ports import Clock, Cluster, Ledger, Urgency

log = structlog.get_logger(__name__)

SETTLING = 0.05
"""Seconds that waiters have to take their locks and go on, before they are counted."""

_RIGHTS = {
    Action.TERMINATE: Right.KILL,
    Action.CANCEL: Right.CANCEL,
    Action.CANCEL_THEN_TERMINATE: Right.KILL,
}


@dataclass(frozen=True, slots=True)
class Executing:
    """From a click to the outcome in the ledger.

    `_acted` is called after a kill, so that whoever looks then sees what it has changed.
    """

    _clusters: Clusters
    _ledger: Ledger
    _journal: Journal
    _claims: Claims
    _clock: Clock
    _acted: Callable[[], None]

    async def confirm(
        self,
        actor: Actor,
        channel_id: str,
        key: str,
        *,
        action: Action = Action.TERMINATE,
        message_ts: str = "",
    ) -> Confirmed:
        """Do what the preview with this key showed, to exactly what it showed.

        `message_ts` is the message that was clicked. It is recorded, so that whoever concludes the
        kill can amend the message.

        Cancelling acts on the same targets: those that ran a query are asked to end exactly that
        query. What still runs it after `GONE_WITHIN` is ended if that is the action's second step.

        Raises `NotAllowed`. Raises `ClusterError` if the cluster could not be asked; then nothing
        was claimed and the preview stays open. Raises `LedgerError` if the claim could not be
        written; then nothing was signalled.
        """
        entry = self._claims.previews.take(key)
        if entry is None or self._obstacle(actor, entry.proposal, action) is not None:
            # Whether it is still open, which the ledger knows, would be said first.
            entry = await self._ledger.get(key)
        if entry is None:
            return self._journal.not_claimed(key, None)
        proposal = entry.proposal
        log.info("kill.confirming", kill=proposal.id, proposed_as=proposal.reference)
        bind_log(proposal)
        cluster = self._clusters.named(proposal.cluster, _RIGHTS[action])
        refused = self._refused(actor, channel_id, entry, action)
        if refused is not None:
            return refused

        signalling = Signalling(self._clusters, self._clock)
        before = await signalling.read(cluster)
        guards = await signalling.guards(cluster, replace(proposal, action=action), before)
        await signalling.prepare(cluster, guards)

        claimed = await self._claims.claim(proposal, actor, action=action, message_ts=message_ts)
        if claimed is None:
            return self._journal.not_claimed(key, await self._ledger.get(key))
        log.info("kill.claimed", cluster=cluster.name, action=action, targets=len(guards))
        async with self._claims.held(claimed):
            try:
                return await self._carry_out(cluster, claimed, signalling, guards, before)
            finally:
                self._acted()

    def _refused(
        self, actor: Actor, channel_id: str, entry: Entry, action: Action
    ) -> NotClaimed | NeedsSecondPerson | None:
        """Why this person can't confirm this here, if so. Raises `NotAllowed` and `UsageError`."""
        proposal = entry.proposal
        self._clusters.require(_RIGHTS[action], proposal.cluster, proposal.server)
        if proposal.channel_id != channel_id:
            return NotClaimed(why=Unclaimable.ANOTHER_CHANNEL, entry=entry)
        if closed(entry) is not None:
            return self._journal.not_claimed(proposal.key, entry)
        obstacle = self._obstacle(actor, proposal, action)
        if isinstance(obstacle, UsageError):
            raise obstacle
        return obstacle

    def _obstacle(
        self, actor: Actor, proposal: Proposal, action: Action
    ) -> NeedsSecondPerson | UsageError | None:
        """Why this person can't confirm this, even if it is open."""
        is_asker = actor.user_id == proposal.asked_by.user_id
        if is_asker and self._clusters.needs_second_person(proposal.cluster, proposal.server):
            return NeedsSecondPerson(proposal=proposal)
        if proposal.action is Action.CANCEL and action is not Action.CANCEL:
            # It was never shown what that would cost.
            return UsageError("", "this preview only cancels: nothing was done")
        return None

    async def _carry_out(
        self,
        cluster: Cluster,
        claimed: Proposal,
        signalling: Signalling,
        guards: list[Guard],
        before: Look,
    ) -> Conclusion:
        results = outcomes.without_a_query(claimed)
        if before.server.id != claimed.server:
            # The protected roles in the guards belong to another server than the targets.
            results = {guard.target: outcomes.elsewhere(guard) for guard in guards}
        guards = [guard for guard in guards if guard.target not in results]
        started = self._clock.monotonic()
        try:
            await signalling.execute(cluster, guards, results)
            if claimed.action is Action.CANCEL_THEN_TERMINATE:
                await SecondStep(signalling, self._claims).take(cluster, claimed, results)
            until = self._clock.monotonic()
            took = timedelta(seconds=until - started)
            conclusion = await self._conclusion(cluster, claimed, before, results, took)
            conclusion = replace(conclusion, watched_until=until)
        except BaseException:
            # A defect, or the process is told to stop: record what is known.
            await self._claims.record(outcomes.broken_off(claimed, results, self._clock.now()))
            raise
        return await self._claims.record(conclusion)

    async def _conclusion(
        self,
        cluster: Cluster,
        claimed: Proposal,
        before: Look,
        results: Mapping[BackendId, Result],
        took: timedelta,
    ) -> Conclusion:
        conclusion = Conclusion(
            proposal=claimed,
            results=tuple(results[target.id] for target in claimed.targets),
            took=took,
            began_at=before.server.now,
            concluded_at=self._clock.now(),
        )
        arrived: tuple[Condition, ...] = ()
        if any(result.outcome is Outcome.UNKNOWN for result in results.values()):
            # The server did not answer, or another one does; the wait is over already.
            return conclusion
        if claimed.basis is Basis.FILTER:
            arrived = (*claimed.conditions, *arrived_since(claimed.seen_at))
        if before.server.waiting:
            await self._clock.sleep(SETTLING)
        try:
            after = await cluster.look(
                arrived,
                names=before.names,
                strict=True,
                waits=False,
                logins=False,
                limit=0,
                urgency=Urgency.PREVIEW,
            )
        except ClusterError as error:
            log.warning("kill.effect_not_measured", kill=claimed.id, problem=error.problem)
            return conclusion
        if after.server.id != before.server.id:
            return conclusion  # another server's numbers say nothing about this kill
        unseen = before.server.unseen or after.server.unseen
        return replace(
            conclusion,
            limits=() if unseen else _paired(claimed.before, before, after),
            waiting=(before.server.waiting, after.server.waiting),
            arrivals=after.counts.total if arrived else 0,
        )


def _paired(shown: tuple[Limit, ...], before: Look, after: Look) -> tuple[tuple[Limit, Limit], ...]:
    pairs = (
        (before.limit(limit.of, limit.name), after.limit(limit.of, limit.name)) for limit in shown
    )
    return tuple((earlier, later) for earlier, later in pairs if earlier and later)
