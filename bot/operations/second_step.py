"""The second step of a kill: terminate what still runs its query after the cancel."""

from collections.abc import Collection
from dataclasses import dataclass

import structlog

from bot.domain import outcomes, steps
from bot.domain.kills import Proposal, Result
from bot.domain.sessions import BackendId
from bot.domain.signals import Guard
from bot.errors import ClusterError, LedgerError
from bot.operations.claims import Claims
from bot.operations.signalling import Signalling
from bot.ports import Cluster

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SecondStep:
    """What follows the cancel, within the same claim."""

    _signalling: Signalling
    _claims: Claims

    async def take(
        self, cluster: Cluster, claimed: Proposal, results: dict[BackendId, Result]
    ) -> None:
        """Terminate the targets that were seen to run on, and no others.

        `results` are those of the cancel, and become those of both steps. They are right at every
        moment, so that they stand even if this is broken off.
        """
        for backend_id, result in results.items():
            results[backend_id] = steps.after_cancel(result)
        running = {each for each, result in results.items() if steps.goes_on(result)}
        if not running:
            return
        guards = await self._guards(cluster, claimed, running)
        if isinstance(guards, str):
            log.warning("kill.second_step_not_taken", why=guards)
            for each in running:
                results[each] = steps.not_taken(results[each], guards)
            return
        log.info("kill.second_step", targets=len(guards))
        came_to: dict[BackendId, Result] = {}
        try:
            await self._signalling.execute(cluster, guards, came_to)
        finally:
            for each in running:
                of_this = came_to.get(each, outcomes.not_known(each))
                results[each] = steps.after_terminate(of_this)

    async def _guards(
        self, cluster: Cluster, claimed: Proposal, running: Collection[BackendId]
    ) -> list[Guard] | str:
        """The guards of the second step, or why there is none.

        In this order: the server's clock is read, which sets a new deadline; then the lease is
        renewed, if this process still has it. So whenever a signal can still go out, no other
        process can have taken the claim, however long this one was paused before.
        """
        if self._claims.stopping.is_set():
            return steps.STOPPING
        try:
            before = await self._signalling.read(cluster)
            if before.server.id != claimed.server:
                return outcomes.ELSEWHERE
            guards = await self._signalling.guards(cluster, claimed, before, second_step=True)
            guards = [guard for guard in guards if guard.target in running]
            await self._signalling.prepare(cluster, guards)
            if not await self._claims.renew(claimed):
                return steps.LEASE_LOST
        except ClusterError as error:
            return str(error)
        except LedgerError as error:
            log.warning("kill.lease_not_renewed", problem=str(error))
            return steps.NO_LEDGER
        return steps.STOPPING if self._claims.stopping.is_set() else guards
