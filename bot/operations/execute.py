"""Confirming a kill: claim, signal, watch, record. The click was authorized right before."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import structlog

from bot.domain import outcomes
from bot.domain.filters import Condition
from bot.domain.kept_names import of_applications
from bot.domain.kills import (
    GONE_WITHIN,
    SIGNAL_WINDOW,
    Action,
    Actor,
    Basis,
    Conclusion,
    Outcome,
    Proposal,
    Result,
    Target,
    Unclaimable,
)
from bot.domain.sessions import BackendId, Cost, Limit, Look
from bot.domain.signals import Guard, Sighting, Verdict
from bot.errors import ClusterError, ClusterRefused, NotSent
from bot.operations.claims import Claims
from bot.operations.clusters import Clusters, arrived_since, in_time, read_together
from bot.operations.journal import Journal
from bot.operations.log_context import follow
from bot.operations.results import Confirmed, NeedsSecondPerson, NotClaimed, closed
from bot.ports import Clock, Cluster, Ledger, Urgency

log = structlog.get_logger(__name__)

_WATCH_STEPS = (0.005, 0.01, 0.02, 0.03, 0.05)
"""Seconds between two looks at what was signalled; the last one is repeated."""

SETTLING = 0.05
"""Seconds that those who waited have to take their locks and go on, before they are counted."""

LAST_LOOK = 1.0
"""Seconds that the last look at what was signalled may take, when its time is over."""


class Executing:
    """From a click to the outcome in the ledger."""

    def __init__(
        self,
        clusters: Clusters,
        ledger: Ledger,
        journal: Journal,
        claims: Claims,
        clock: Clock,
    ) -> None:
        self._clusters = clusters
        self._ledger = ledger
        self._journal = journal
        self._claims = claims
        self._clock = clock

    async def confirm(
        self,
        actor: Actor,
        channel_id: str,
        key: str,
        *,
        action: Action = Action.TERMINATE,
        message_ts: str = "",
    ) -> Confirmed:
        """Do what the preview of this key showed, to exactly what it showed.

        The click is authorized.

        `message_ts` is where it was clicked: kept for a preview of which that is not known
        yet, so that whoever concludes the kill can amend its message.

        To cancel is another thing to do to the same targets: those that ran a query are
        asked to end that very query.

        Raises `ClusterError` where the cluster could not be asked, in which case nothing
        was claimed and the preview still stands, and `LedgerError` where the intent could
        not be written, in which case nothing was signalled.
        """
        entry = await self._ledger.get(key)
        if entry is None:
            return self._journal.not_claimed(key, None)
        proposal = entry.proposal
        log.info("kill.confirming", kill=proposal.id, of=proposal.reference)
        follow(proposal)
        if proposal.channel_id != channel_id:
            return NotClaimed(why=Unclaimable.ANOTHER_CHANNEL, entry=entry)
        if closed(entry) is not None:
            return self._journal.not_claimed(key, entry)
        is_asker = actor.user_id == proposal.asked_by.user_id
        if is_asker and self._clusters.takes_two(proposal.cluster, proposal.server):
            return NeedsSecondPerson(proposal=proposal)
        cluster = self._clusters.named(proposal.cluster)

        async def read() -> Look:
            # By the connection that will signal: if it is dead, that is known before the claim.
            names = await cluster.names(urgency=Urgency.KILL)
            return await cluster.look(
                (), names=names, waits=False, logins=False, limit=0, urgency=Urgency.KILL
            )

        before = await read_together(cluster, read)
        guards = await self._guards(cluster, replace(proposal, action=action), before)

        claimed = await self._claims.claim(key, actor, action=action, message_ts=message_ts)
        if claimed is None:
            return self._journal.not_claimed(key, await self._ledger.get(key))
        log.info("kill.claimed", cluster=cluster.name, action=action, targets=len(guards))
        async with self._claims.held(claimed):
            return await self._carry_out(cluster, claimed, guards, before)

    async def _carry_out(
        self, cluster: Cluster, claimed: Proposal, guards: list[Guard], before: Look
    ) -> Conclusion:
        results = outcomes.without_a_query(claimed)
        if before.server.id != claimed.server:
            # The guards protect by the roles of a server that is not the targets' own.
            results = {guard.target: outcomes.elsewhere(guard) for guard in guards}
        guards = [guard for guard in guards if guard.target not in results]
        started = self._clock.monotonic()
        try:
            await self._execute(cluster, guards, results)
            until = self._clock.monotonic()
            took = timedelta(seconds=until - started)
            conclusion = await self._conclusion(cluster, claimed, before, results, took)
            conclusion = replace(conclusion, watched_until=until)
        except BaseException:
            # A defect, or the process is told to stop: what is known is recorded.
            await self._claims.record(outcomes.broken_off(claimed, results, self._clock.now()))
            raise
        return await self._claims.record(conclusion)

    async def _guards(self, cluster: Cluster, proposal: Proposal, before: Look) -> list[Guard]:
        protection = await self._clusters.protection(cluster, before)
        roles = protection.role_oids(before.names, (t.seen for t in proposal.targets))
        applications = of_applications(protection.applications)
        return [
            Guard(
                server=proposal.server,
                target=target.id,
                action=proposal.action,
                basis=proposal.basis,
                xact_start=target.seen.xact_start,
                backend_xid=target.seen.backend_xid,
                virtualtransaction=target.seen.virtualtransaction,
                query_start=target.seen.query_start,
                conditions=proposal.conditions,
                cost=_most(proposal, target),
                protected_roles=roles,
                protected_applications=applications,
                # One deadline for all, fixed before the claim: a process that was stopped
                # and goes on after its lease has been taken signals nothing.
                deadline=before.server.now + SIGNAL_WINDOW,
            )
            for target in proposal.targets
        ]

    async def _execute(
        self, cluster: Cluster, guards: list[Guard], results: dict[BackendId, Result]
    ) -> None:
        """Signal all, back to back; then watch until they are gone. Fills `results`."""
        signalled: dict[Guard, bool] = {}  # and whether it was in another transaction
        stopped_by: ClusterError | None = None
        for guard in guards:
            try:
                reply = await cluster.signal(guard)
            except NotSent as error:
                log.warning("kill.not_sent", pid=guard.target.pid, why=error.problem)
                stopped_by = error
                break
            except ClusterRefused as error:
                # An error reply ends the statement before its signal, and no other's.
                log.warning("kill.refused", pid=guard.target.pid, why=error.problem)
                results[guard.target] = outcomes.not_sent(guard, error)
                continue
            except ClusterError as error:
                log.warning("kill.no_reply", cluster=cluster.name, pid=guard.target.pid)
                results[guard.target] = Result(guard.target, Outcome.UNKNOWN, error.problem)
                stopped_by = error
                break
            log.info("kill.signal", pid=guard.target.pid, verdict=reply.verdict)
            if reply.verdict is Verdict.SIGNALLED:
                signalled[guard] = outcomes.other_work(guard, reply)
                results[guard.target] = outcomes.signalled(guard.target)
            else:
                results[guard.target] = outcomes.refused(guard, reply)
        for guard in guards:
            if guard.target not in results:
                results[guard.target] = outcomes.not_sent(guard, stopped_by)
        for result in await self._watch(cluster, signalled):
            results[result.id] = result

    async def _watch(self, cluster: Cluster, signalled: Mapping[Guard, bool]) -> list[Result]:
        """What became of the backends that were signalled, within `GONE_WITHIN`.

        With each guard comes whether its target had begun other work.
        """
        pending = {guard.target: guard for guard in signalled}
        results: list[Result] = []
        until = self._clock.monotonic() + GONE_WITHIN.total_seconds()
        seen: Sighting | None = None
        trouble: ClusterError | None = None
        steps = iter(_WATCH_STEPS)
        while pending:
            try:
                left = max(LAST_LOOK, until - self._clock.monotonic())
                async with in_time(cluster, asyncio.get_running_loop().time() + left):
                    seen, trouble = await cluster.sight(pending), None
            except ClusterError as error:
                trouble = error
            else:
                for backend_id, guard in list(pending.items()):
                    if outcomes.ended(guard, seen):
                        ended = outcomes.succeeded(guard, other_work=signalled[guard])
                        results.append(ended)
                        del pending[backend_id]
            if not pending or self._clock.monotonic() >= until:
                break
            await self._clock.sleep(next(steps, _WATCH_STEPS[-1]))
        results += (
            outcomes.not_ended(guard, None if trouble else seen, trouble)
            for guard in pending.values()
        )
        return results

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
            # The server did not answer, or another one does: that has been waited for.
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
            log.warning("kill.no_look_after", kill=claimed.id, problem=error.problem)
            return conclusion
        if after.server.id != before.server.id:
            return conclusion  # another server's numbers say nothing of this kill
        unseen = before.server.unseen or after.server.unseen
        return replace(
            conclusion,
            limits=() if unseen else _paired(claimed.before, before, after),
            waiting=(before.server.waiting, after.server.waiting),
            arrivals=after.counts.total if arrived else 0,
        )


def _most(proposal: Proposal, target: Target) -> Cost | None:
    """The most that a target's end may undo: by rule 2, what was shown of one of a filter.

    A cancel ends the very query that was shown, whatever it has done since.
    """
    by_filter = proposal.basis is Basis.FILTER and proposal.action is Action.TERMINATE
    return target.seen.cost if by_filter else None


def _paired(shown: tuple[Limit, ...], before: Look, after: Look) -> tuple[tuple[Limit, Limit], ...]:
    pairs = (
        (before.limit(limit.of, limit.name), after.limit(limit.of, limit.name)) for limit in shown
    )
    return tuple((earlier, later) for earlier, later in pairs if earlier and later)
