"""Signal the targets of a kill, one after the other, and watch what becomes of them."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import structlog

from bot.domain import outcomes
from bot.domain.kept_names import of_applications
from bot.domain.kills import (
    GONE_WITHIN,
    SIGNAL_WINDOW,
    Action,
    Basis,
    Outcome,
    Proposal,
    Result,
    Target,
)
from bot.domain.sessions import BackendId, Cost, Look
from bot.domain.signals import Guard, Reply, Sighting, Verdict
from bot.errors import ClusterError, ClusterRefused, NotSent
from bot.operations.clusters import Clusters, in_time, read_together
from bot.ports import Clock, Cluster, Urgency

log = structlog.get_logger(__name__)

_WATCH_STEPS = (0.002, 0.003, 0.005, 0.01, 0.02, 0.03, 0.05)
"""Seconds between two looks at what was signalled; the last value is repeated."""

LAST_LOOK = 1.0
"""Seconds for the last look at what was signalled, after its time is over."""


@dataclass(frozen=True, slots=True)
class Signalling:
    """One step of a kill that was claimed."""

    _clusters: Clusters
    _clock: Clock

    async def read(self, cluster: Cluster) -> Look:
        """What the guards go by, read by the connection that will signal.

        So if that connection is dead, this fails, and nothing is signalled. Raises `ClusterError`.
        """

        async def read() -> Look:
            names = await cluster.names(urgency=Urgency.KILL)
            return await cluster.look(
                (), names=names, waits=False, logins=False, limit=0, urgency=Urgency.KILL
            )

        return await read_together(cluster, read)

    async def prepare(self, cluster: Cluster, guards: Iterable[Guard]) -> None:
        """Have the slow part done before the first signal. Raises `ClusterError`."""
        # With its own time: the guards' deadline bounds what comes of it.
        async with in_time(cluster):
            await cluster.ready(guards)

    async def guards(
        self,
        cluster: Cluster,
        proposal: Proposal,
        before: Look,
        *,
        second_step: bool = False,
    ) -> list[Guard]:
        """The guards of a step, for all targets; `proposal` has the action that was confirmed."""
        action = proposal.action
        if action is Action.CANCEL_THEN_TERMINATE and not second_step:
            action = Action.CANCEL
        protection = await self._clusters.protection(cluster, before)
        roles = protection.role_oids(before.names, (t.seen for t in proposal.targets))
        applications = of_applications(protection.applications)
        return [
            Guard(
                server=proposal.server,
                target=target.id,
                action=action,
                basis=proposal.basis,
                xact_start=target.seen.xact_start,
                backend_xid=target.seen.backend_xid,
                virtualtransaction=target.seen.virtualtransaction,
                query_start=target.seen.query_start,
                conditions=proposal.conditions,
                cost=_most(proposal, target),
                protected_roles=roles,
                protected_applications=applications,
                # One deadline for all, fixed before the lease is taken or renewed: a process that
                # was paused and continues after another has taken its lease signals nothing.
                deadline=before.server.now + SIGNAL_WINDOW,
            )
            for target in proposal.targets
        ]

    async def execute(
        self, cluster: Cluster, guards: list[Guard], results: dict[BackendId, Result]
    ) -> None:
        """Signal all in a row, then watch until they are gone. Fills `results`."""
        replies: dict[Guard, Reply] = {}
        try:
            stopped_by = await _signal(cluster, guards, results, replies)
        finally:
            # Only now: a line of the log takes as long as a signal.
            for guard, reply in replies.items():
                log.info("kill.signal", pid=guard.target.pid, verdict=reply.verdict)
        for guard in guards:
            if guard.target not in results:
                results[guard.target] = outcomes.not_sent(guard, stopped_by)
        signalled = {
            guard: outcomes.other_work(guard, reply)
            for guard, reply in replies.items()
            if reply.verdict is Verdict.SIGNALLED
        }
        for result in await self._watch(cluster, signalled):
            results[result.id] = result

    async def _watch(self, cluster: Cluster, signalled: Mapping[Guard, bool]) -> list[Result]:
        """What became of the signalled backends, within `GONE_WITHIN`.

        Each guard comes with whether its target had begun other work.
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


async def _signal(
    cluster: Cluster,
    guards: Iterable[Guard],
    results: dict[BackendId, Result],
    replies: dict[Guard, Reply],
) -> ClusterError | None:
    """Signal one after the other; return what stopped it, if anything did.

    Fills `results` and `replies` as it goes, so that they stand even if it is broken off.
    """
    for guard in guards:
        try:
            replies[guard] = reply = await cluster.signal(guard)
        except NotSent as error:
            log.warning("kill.not_sent", pid=guard.target.pid, why=error.problem)
            return error
        except ClusterRefused as error:
            # An error reply ends the statement before its signal, and affects no other target.
            log.warning("kill.refused", pid=guard.target.pid, why=error.problem)
            results[guard.target] = outcomes.not_sent(guard, error)
        except ClusterError as error:
            log.warning("kill.no_reply", cluster=cluster.name, pid=guard.target.pid)
            results[guard.target] = Result(guard.target, Outcome.UNKNOWN, error.problem)
            return error
        else:
            is_sent = reply.verdict is Verdict.SIGNALLED
            results[guard.target] = (
                outcomes.signalled(guard.target) if is_sent else outcomes.refused(guard, reply)
            )
    return None


def _most(proposal: Proposal, target: Target) -> Cost | None:
    """The most that ending a target may undo: for a target of a filter, what was shown.

    A cancel alone ends exactly the query that was shown, whatever it has done since.
    """
    by_filter = proposal.basis is Basis.FILTER and proposal.action is not Action.CANCEL
    return target.seen.cost if by_filter else None
