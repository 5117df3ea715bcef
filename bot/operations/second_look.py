"""After the outcome: who still runs, what the unknown became, who came back."""

from dataclasses import replace

import structlog

from bot.domain import outcomes
from bot.domain.filters import OidIn
from bot.domain.kills import MAX_TARGETS, SECOND_LOOK_AFTER, Conclusion, Outcome, Result
from bot.domain.sessions import Look
from bot.errors import ClusterError
from bot.operations.claims import Claims
from bot.operations.clusters import Clusters, arrived_since, read_together
from bot.operations.results import conclusion_of
from bot.ports import Clock, Cluster

log = structlog.get_logger(__name__)

UNKNOWN_WATCH = 60.0
"""Seconds for which a server that stopped answering is asked again about its targets."""


class Following:
    """The second look, ten seconds after the first."""

    def __init__(self, clusters: Clusters, claims: Claims, clock: Clock) -> None:
        self._clusters = clusters
        self._claims = claims
        self._clock = clock

    async def follow_up(self, conclusion: Conclusion) -> Conclusion | None:
        """Ten seconds later: who still runs, what the unknown became, who came back.

        None where there is nothing to add. Where the process stops meanwhile it is the next
        one's: at once where it was told to (`settle`), by a lease where it died.
        """
        with self._claims.following(conclusion.proposal.id):
            await self._clock.sleep(SECOND_LOOK_AFTER.total_seconds())
            later, is_news = await self._second_look(conclusion)
            return later if is_news else None

    async def left_behind(self) -> tuple[Conclusion, ...]:
        """Outcomes whose second look is due, and whose process has stopped since.

        Raises `LedgerError`. Each is this process's now, to `catch_up` with.
        """
        entries = await self._claims.left_behind(self._clusters.by_name)
        return tuple(map(conclusion_of, entries))

    async def catch_up(self, conclusion: Conclusion) -> Conclusion | None:
        """The second look that another process left behind; None where it had one after all.

        It is to be shown even where it adds nothing: whoever stopped may not have shown what
        it did.
        """
        log.info("kill.second_look_taken_over", kill=conclusion.proposal.id)
        with self._claims.following(conclusion.proposal.id):
            later, _ = await self._second_look(conclusion)
            return later

    async def _second_look(self, conclusion: Conclusion) -> tuple[Conclusion | None, bool]:
        """Look, and record what is seen; and whether that adds anything."""
        proposal = conclusion.proposal
        cluster = self._clusters.named(proposal.cluster)
        amendments = await self._look_again(cluster, conclusion)
        amended = replace(conclusion, results=conclusion.amended(amendments))
        notes = await self._who_came_back(cluster, amended)
        if not await self._claims.amend(proposal.id, amendments, notes):
            return None, False  # another has looked, and has said so
        if amendments:
            # What was measured while they were still there says nothing any more.
            amended = replace(amended, limits=(), waiting=None)
        # It may have been written since.
        recorded = conclusion.recorded or proposal.id not in self._claims.unwritten
        later = replace(amended, notes=(*conclusion.notes, *notes), recorded=recorded)
        return later, bool(amendments or notes)

    def _when(self, conclusion: Conclusion) -> str:
        """How long after the outcome it is now."""
        now = self._clock.now()
        return outcomes.later_by(now - (conclusion.concluded_at or now))

    async def _look_again(self, cluster: Cluster, conclusion: Conclusion) -> tuple[Result, ...]:
        """What is seen now of the targets that were left open."""
        proposal = conclusion.proposal
        open_ends = [result for result in conclusion.results if result.is_open]
        if not open_ends:
            return ()
        until = self._clock.monotonic() + UNKNOWN_WATCH
        while True:
            try:
                seen = await cluster.sight([result.id for result in open_ends])
            except ClusterError as error:
                problem = error.problem
            else:
                when = self._when(conclusion)
                return tuple(outcomes.later(result, seen, proposal, when) for result in open_ends)
            if self._clock.monotonic() >= until:
                return tuple(outcomes.not_seen(result, problem) for result in open_ends)
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

        async def read() -> Look:
            return await cluster.look(
                (
                    OidIn("usesysid", tuple(sorted(roles))),
                    *arrived_since(conclusion.began_at or conclusion.proposal.seen_at),
                ),
                names=await cluster.names(),
                strict=True,
                waits=False,
                limit=MAX_TARGETS,
            )

        try:
            look = await read_together(cluster, read)
        except ClusterError as error:
            return (f"{self._when(conclusion)}: {cluster.name} {error.problem}",)
        when = self._when(conclusion)
        if look.server.id != conclusion.proposal.server:
            # Whoever is there came to another server, with all of its sessions.
            return (f"{when}: {outcomes.ELSEWHERE}",)
        if not look.rows:
            who = roles[next(iter(roles))] if len(roles) == 1 else "the same roles"
            return (outcomes.stayed_away(who, look.server, when),)
        return tuple(
            outcomes.came_back(name, [row for row in look.rows if row.usesysid == oid], when)
            for oid, name in roles.items()
            if any(row.usesysid == oid for row in look.rows)
        )
