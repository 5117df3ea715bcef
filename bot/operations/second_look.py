"""After the outcome: who still runs, what became of the unknown, who came back."""

from dataclasses import replace

import structlog

from bot.domain import outcomes
from bot.domain.filters import OidIn, arrived_since
from bot.domain.kills import MAX_TARGETS, SECOND_LOOK_AFTER, Conclusion, Outcome, Result
from bot.domain.sessions import Look
from bot.errors import ClusterError
from bot.operations.claims import Claims
from bot.operations.clusters import Clusters, read_together
from bot.operations.results import conclusion_of
from bot.ports import Clock, Cluster

log = structlog.get_logger(__name__)

UNKNOWN_WATCH = 60.0
"""How long a server that stopped answering is asked again about its targets, in seconds."""


class Following:
    """The second look, ten seconds after the outcome."""

    def __init__(self, clusters: Clusters, claims: Claims, clock: Clock) -> None:
        self._clusters = clusters
        self._claims = claims
        self._clock = clock

    async def follow_up(self, conclusion: Conclusion) -> Conclusion | None:
        """Look again ten seconds later: who still runs, what became of the unknown, who came back.

        None if there is nothing to add. If the process stops meanwhile, another one takes over: at
        once if this one was told to stop (`settle`), after a lease if it died.
        """
        with self._claims.following(conclusion.proposal.id):
            await self._clock.sleep(SECOND_LOOK_AFTER.total_seconds())
            later, is_news = await self._second_look(conclusion)
            return later if is_news else None

    async def left_behind(self) -> tuple[Conclusion, ...]:
        """Take over the outcomes whose second look is due and whose process has stopped.

        Raises `LedgerError`. Call `catch_up` with each.
        """
        entries = await self._claims.left_behind(self._clusters.by_name)
        return tuple(map(conclusion_of, entries))

    async def catch_up(self, conclusion: Conclusion) -> Conclusion | None:
        """Make the second look that another process left; None if that one made it after all.

        The result must be shown even if it adds nothing: the process that stopped may not have
        shown the outcome.
        """
        log.info("kill.second_look_taken_over", kill=conclusion.proposal.id)
        with self._claims.following(conclusion.proposal.id):
            later, _ = await self._second_look(conclusion)
            return later

    async def _second_look(self, conclusion: Conclusion) -> tuple[Conclusion | None, bool]:
        """Look, and record what is seen; return the outcome, and whether the look adds anything."""
        proposal = conclusion.proposal
        cluster = self._clusters.on_record(proposal.cluster)
        amendments = await self._look_again(cluster, conclusion)
        amended = replace(conclusion, results=conclusion.amended(amendments))
        notes = await self._who_came_back(cluster, amended)
        if not await self._claims.amend(proposal.id, amendments, notes):
            return None, False  # another process has looked and reported it
        if amendments:
            # Numbers measured while they were still there no longer mean anything.
            amended = replace(amended, limits=(), waiting=None)
        # It may have been written meanwhile.
        recorded = conclusion.recorded or proposal.id not in self._claims.unwritten
        later = replace(amended, notes=(*conclusion.notes, *notes), recorded=recorded)
        return later, bool(amendments or notes)

    def _when(self, conclusion: Conclusion) -> str:
        """How long ago the outcome was, in words."""
        now = self._clock.now()
        return outcomes.later_by(now - (conclusion.concluded_at or now))

    async def _look_again(self, cluster: Cluster, conclusion: Conclusion) -> tuple[Result, ...]:
        """What is seen now of the open targets."""
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
            return (f"{self._when(conclusion)}: who came back isn't known ({error})",)
        when = self._when(conclusion)
        if look.server.id != conclusion.proposal.server:
            # All of these are on another server: nobody "came back".
            return (f"{when}: {outcomes.ELSEWHERE}",)
        if not look.rows:
            who = roles[next(iter(roles))] if len(roles) == 1 else "the same roles"
            return (outcomes.stayed_away(who, look.server, when),)
        return tuple(
            outcomes.came_back(name, [row for row in look.rows if row.usesysid == oid], when)
            for oid, name in roles.items()
            if any(row.usesysid == oid for row in look.rows)
        )
