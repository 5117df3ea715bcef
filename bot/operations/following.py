"""After the outcome: who still runs, what the unknown became, who came back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta

import structlog

from bot import verdicts
from bot.answers import conclusion_of
from bot.conditions import OidIn
from bot.errors import ClusterError, LedgerError
from bot.kills import (
    MAX_TARGETS,
    SECOND_LOOK_AFTER,
    Conclusion,
    Outcome,
    Proposal,
    Result,
)
from bot.operations.parts import Parts, arrived_since
from bot.ports import Cluster

log = structlog.get_logger(__name__)

UNKNOWN_WATCH = 60.0
"""Seconds for which a server that stopped answering is asked again about its targets."""

LEAVE_WITHIN = 1.0
"""Seconds that a process which stops has to leave its second look to another."""


class Following(Parts):
    """The second look, ten seconds after the first."""

    async def follow_up(self, conclusion: Conclusion) -> Conclusion | None:
        """Ten seconds later: who still runs, what the unknown became, who came back.

        None where there is nothing to add. A process that stops meanwhile leaves it to the
        next, at once where it is told to and by a lease where it dies.
        """
        async with self._at_work(conclusion.proposal.id):
            await self._clock.sleep(SECOND_LOOK_AFTER.total_seconds())
            return await self._second_look(conclusion, SECOND_LOOK_AFTER)

    async def left_behind(self) -> tuple[Conclusion, ...]:
        """Outcomes whose second look is due, and whose process has stopped since.

        Raises `LedgerError`. Each is this process's now, to `catch_up` with.
        """
        entries = await self._ledger.unfollowed(self._owner, working=self._following)
        known = [entry for entry in entries if entry.proposal.cluster in self._clusters]
        self._following.update(entry.proposal.id for entry in known)
        return tuple(map(conclusion_of, known))

    async def catch_up(self, conclusion: Conclusion) -> Conclusion | None:
        """The second look that another process left behind; None where it adds nothing."""
        log.info("kill.second_look_taken_over", kill=conclusion.proposal.id)
        async with self._at_work(conclusion.proposal.id):
            now = self._clock.now()
            since = now - (conclusion.concluded_at or now)
            return await self._second_look(conclusion, max(since, SECOND_LOOK_AFTER))

    @asynccontextmanager
    async def _at_work(self, kill: int) -> AsyncIterator[None]:
        """Keep a second look; one that this process is told to give up goes to another."""
        self._following.add(kill)
        try:
            yield
        except asyncio.CancelledError:
            with suppress(LedgerError, TimeoutError):
                async with asyncio.timeout(LEAVE_WITHIN):
                    await self._ledger.leave(kill, self._owner)
            raise
        finally:
            self._following.discard(kill)

    async def _second_look(self, conclusion: Conclusion, since: timedelta) -> Conclusion | None:
        """Look, so long after the outcome, and record what is seen."""
        proposal = conclusion.proposal
        when = verdicts.later_by(since)
        cluster = self._cluster(proposal.cluster)
        open_ends = [
            r for r in conclusion.results if r.outcome in (Outcome.UNKNOWN, Outcome.STILL_RUNNING)
        ]
        amendments = await self._look_again(cluster, proposal, open_ends, when)
        amended = replace(conclusion, results=conclusion.amended(amendments))
        notes = await self._who_came_back(cluster, amended, when)
        try:
            if not await self._ledger.amend(proposal.id, amendments, notes):
                return None  # another has looked, and has said so
        except LedgerError:
            log.warning("kill.amendment_not_recorded", kill=proposal.id, exc_info=True)
        if not amendments and not notes:
            return None
        if amendments:
            # What was measured while they were still there says nothing any more.
            amended = replace(amended, limits=(), waiting=None)
        # It may have been written since.
        recorded = conclusion.recorded or proposal.id not in self._unwritten
        return replace(amended, notes=(*conclusion.notes, *notes), recorded=recorded)

    async def _look_again(
        self, cluster: Cluster, proposal: Proposal, open_ends: list[Result], when: str
    ) -> tuple[Result, ...]:
        if not open_ends:
            return ()
        until = self._clock.monotonic() + UNKNOWN_WATCH
        while True:
            try:
                seen = await cluster.sight([result.id for result in open_ends])
            except ClusterError as error:
                problem = error.problem
            else:
                return tuple(verdicts.later(result, seen, proposal, when) for result in open_ends)
            if self._clock.monotonic() >= until:
                return tuple(
                    replace(result, detail=f"{result.detail}; looked at again: {problem}")
                    for result in open_ends
                )
            await self._clock.sleep(2.0)

    async def _who_came_back(
        self, cluster: Cluster, conclusion: Conclusion, when: str
    ) -> tuple[str, ...]:
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
            return (f"{when}: {cluster.name} {error.problem}",)
        if look.server.id != conclusion.proposal.server:
            # Whoever is there came to another server, with all of its sessions.
            return (f"{when}: {verdicts.ELSEWHERE}",)
        if not look.rows:
            who = roles[next(iter(roles))] if len(roles) == 1 else "the same roles"
            return (verdicts.stayed_away(who, look.server, when),)
        return tuple(
            verdicts.came_back(name, [row for row in look.rows if row.usesysid == oid], when)
            for oid, name in roles.items()
            if any(row.usesysid == oid for row in look.rows)
        )
