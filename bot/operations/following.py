"""After the outcome: who still runs, what the unknown became, who came back."""

from dataclasses import replace

import structlog

from bot import verdicts
from bot.conditions import OidIn
from bot.errors import ClusterError, LedgerError
from bot.kills import MAX_TARGETS, Conclusion, Outcome, Proposal, Result
from bot.operations.parts import Parts, arrived_since
from bot.ports import Cluster

log = structlog.get_logger(__name__)

FOLLOW_UP_AFTER = 10.0
"""Seconds from the outcome to the look at who came back."""

UNKNOWN_WATCH = 60.0
"""Seconds for which a server that stopped answering is asked again about its targets."""


class Following(Parts):
    """The second look, ten seconds after the first."""

    async def follow_up(self, conclusion: Conclusion) -> Conclusion | None:
        """Ten seconds later: who still runs, what the unknown became, who came back.

        None where there is nothing to add.
        """
        proposal = conclusion.proposal
        await self._clock.sleep(FOLLOW_UP_AFTER)
        cluster = self._cluster(proposal.cluster)
        open_ends = [
            r for r in conclusion.results if r.outcome in (Outcome.UNKNOWN, Outcome.STILL_RUNNING)
        ]
        amendments = await self._look_again(cluster, proposal, open_ends) if open_ends else ()
        amended = replace(conclusion, results=conclusion.amended(amendments))
        notes = await self._who_came_back(cluster, amended)
        if not amendments and not notes:
            return None
        try:
            await self._ledger.amend(proposal.id, amendments, notes)
        except LedgerError:
            log.warning("kill.amendment_not_recorded", kill=proposal.id, exc_info=True)
        if amendments:
            # What was measured while they were still there says nothing any more.
            amended = replace(amended, limits=(), waiting=None)
        # It may have been written since.
        recorded = conclusion.recorded or proposal.id not in self._unwritten
        return replace(amended, notes=(*conclusion.notes, *notes), recorded=recorded)

    async def _look_again(
        self, cluster: Cluster, proposal: Proposal, open_ends: list[Result]
    ) -> tuple[Result, ...]:
        until = self._clock.monotonic() + UNKNOWN_WATCH
        while True:
            try:
                seen = await cluster.sight([result.id for result in open_ends])
            except ClusterError as error:
                problem = error.problem
            else:
                return tuple(verdicts.later(result, seen, proposal) for result in open_ends)
            if self._clock.monotonic() >= until:
                return tuple(
                    replace(result, detail=f"{result.detail}; looked at again: {problem}")
                    for result in open_ends
                )
            await self._clock.sleep(2.0)

    async def _who_came_back(self, cluster: Cluster, conclusion: Conclusion) -> tuple[str, ...]:
        ended = [
            conclusion.target(r.id).seen
            for r in conclusion.results
            if r.outcome is Outcome.TERMINATED
        ]
        roles = {b.usesysid: b.usename or "" for b in ended if b.usesysid is not None}
        if not roles:
            return ()
        try:
            look = await cluster.look(
                (
                    OidIn("usesysid", tuple(sorted(roles))),
                    *arrived_since(conclusion.began_at or conclusion.proposal.seen_at),
                ),
                names=await cluster.names(),
                strict=True,
                limit=MAX_TARGETS,
            )
        except ClusterError as error:
            return (f"10 s later: {cluster.name} {error.problem}",)
        if not look.rows:
            who = roles[next(iter(roles))] if len(roles) == 1 else "the same roles"
            return (verdicts.stayed_away(who, look.server),)
        return tuple(
            verdicts.came_back(name, [row for row in look.rows if row.usesysid == oid])
            for oid, name in roles.items()
            if any(row.usesysid == oid for row in look.rows)
        )
