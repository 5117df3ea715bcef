"""Count sessions by columns."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from bot.background import answers_of
from bot.domain.groups import MOST_GROUPS, Groups
from bot.domain.kills import Actor
from bot.domain.people import Right
from bot.domain.sessions import Look
from bot.errors import ClusterError, NotAllowed, TargetError
from bot.grammar.requests import GroupsRequest
from bot.grammar.requests import Target as Named
from bot.grammar.terms import Field
from bot.operations.clusters import Clusters, answer_by, read_together
from bot.operations.conditions import conditions_with_tags, names_type
from bot.operations.journal import Journal
from bot.operations.results import Counted, Grouped
from bot.ports import Clock, Cluster


@dataclass(frozen=True, slots=True)
class Grouping:
    """What anyone who may look can ask. Ends nothing."""

    _clusters: Clusters
    _journal: Journal
    _clock: Clock

    async def groups(
        self, actor: Actor, channel_id: str, request: GroupsRequest, *, reference: str = ""
    ) -> Grouped:
        """The answer to `/pg-sessions by=`, on every cluster that the target may mean.

        Raises `TargetError` for a name that no cluster has, `ClusterError` if none answers.
        """
        until = answer_by()
        targets, silent = await self._asked(request)
        asked = (self._counted(cluster, target, request, until) for cluster, target in targets)
        counted, failed = await answers_of(asked, ClusterError, NotAllowed, TargetError)
        troubles = (*silent, *(each for each in failed if isinstance(each, ClusterError)))
        if not counted:
            failed.sort(key=lambda error: isinstance(error, NotAllowed))
            raise (*troubles, *failed)[0]
        for each in counted:
            self._journal.remember(actor, channel_id, each.look, str(request), reference=reference)
        return Grouped(
            request=request,
            counted=tuple(counted),
            troubles=troubles,
            left_out=self._clusters.left_out() if of_all(request, targets) else 0,
            asked_by=actor,
            now=self._clock.now(),
        )

    async def _asked(
        self, request: GroupsRequest
    ) -> tuple[list[tuple[Cluster, Named]], tuple[ClusterError, ...]]:
        """The clusters, each with what is asked of it; and those that could not be asked."""
        found = await self._clusters.resolve(request.target, Right.LOOK)
        return found.counted(request.target.database), found.troubles

    async def _counted(
        self, cluster: Cluster, target: Named, request: GroupsRequest, until: float
    ) -> Counted:
        of = replace(request.of, target=target)
        everything = of.all or names_type(of) or Field.BACKEND_TYPE in request.by

        async def read() -> tuple[Look, Groups]:
            names = await self._clusters.names_to_look(cluster)
            keys = self._clusters.rules.query_tags
            conditions = await conditions_with_tags(cluster, of, names, keys)
            look = await cluster.look(
                conditions, names=names, everything=everything, waits=False, limit=0
            )
            groups = await cluster.groups(
                request.by, conditions, names=names, everything=everything, limit=MOST_GROUPS
            )
            return look, groups

        look, groups = await read_together(cluster, read, until)
        return Counted(target=target, look=look, groups=groups)


def of_all(request: GroupsRequest, targets: Iterable[tuple[Cluster, Named]]) -> bool:
    """Whether it asks about every cluster: it names none, not even by what might be a database."""
    asked = request.target
    return asked.cluster is None and any(of.database == asked.database for _, of in targets)
