"""Conclude what a dead process had claimed."""

from dataclasses import replace
from datetime import timedelta

import structlog

from bot.domain import outcomes
from bot.domain.kills import Conclusion, Outcome, Proposal, Result
from bot.errors import ClusterError, LedgerError, TargetError
from bot.operations.claims import Claims, log_values
from bot.operations.clusters import Clusters
from bot.ports import Clock

log = structlog.get_logger(__name__)


class Recovering:
    """Takes over claims. Never signals."""

    def __init__(self, clusters: Clusters, claims: Claims, clock: Clock) -> None:
        self._clusters = clusters
        self._claims = claims
        self._clock = clock

    async def is_due(self) -> bool:
        """Whether there may be a kill to conclude, or a second look to take over.

        Usually there is nothing, so this only reads. Raises `LedgerError`.
        """
        return await self._claims.is_left(self._clusters.by_name)

    async def recover(self) -> tuple[Conclusion, ...]:
        """Conclude the kills that a dead process had claimed, without signalling anything.

        Takes only claims whose lease has expired and that this process is not working on. It looks
        at their targets and records them as `interrupted`, with what it saw. First it tries again
        to write outcomes of this process that could not be written. Don't run it twice at once: it
        would take over its own work.
        """
        conclusions = await self._claims.write_unwritten()
        try:
            lapsed = await self._claims.lapsed()
        except LedgerError:
            if not conclusions:
                raise
            lapsed = ()
        for proposal in lapsed:
            with structlog.contextvars.bound_contextvars(**log_values(proposal)):
                conclusions.append(await self._recovered(proposal))
        return tuple(conclusions)

    async def _recovered(self, proposal: Proposal) -> Conclusion:
        log.warning("kill.lapsed", cluster=proposal.cluster)
        results = await self._interrupted(proposal)
        conclusion = Conclusion(
            proposal=proposal,
            results=results,
            took=timedelta(0),
            concluded_at=self._clock.now(),
        )
        return await self._claims.record(conclusion)

    async def _interrupted(self, proposal: Proposal) -> tuple[Result, ...]:
        stopped = "the bot stopped while it was at work"
        results = [Result(t.id, Outcome.INTERRUPTED, stopped) for t in proposal.targets]
        try:
            seen = await self._clusters.on_record(proposal.cluster).sight([r.id for r in results])
        except (ClusterError, TargetError) as error:
            detail = f"{stopped}; looked at again: {error}"
            return tuple(replace(result, detail=detail) for result in results)
        return tuple(outcomes.left_behind(result, proposal, seen) for result in results)
