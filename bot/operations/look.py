"""Looks: sessions, all clusters, the tree of blockers, one session in full."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from bot.background import answers_of
from bot.domain.blocking import Branch, HeldLock, Locks, tree, worst_first
from bot.domain.filters import InTree, PidIn
from bot.domain.kills import Actor
from bot.domain.people import Right
from bot.domain.record import ALL_CLUSTERS, ALONE, SEEN, TREE
from bot.domain.sessions import Backend, BackendId, Look, Names
from bot.domain.shown import as_shown, redacted
from bot.errors import ClusterError, NotAllowed, TargetError
from bot.grammar.requests import SessionsRequest
from bot.grammar.requests import Target as Named
from bot.operations.clusters import Clusters, answer_by, read_together
from bot.operations.conditions import conditions_with_tags, names_type
from bot.operations.glances import Fresh, Glance, Glances, Question, Shared
from bot.operations.journal import Journal
from bot.operations.results import (
    Choice,
    ClusterCard,
    Gone,
    Inspection,
    Looked,
    Overview,
    Sessions,
    Tree,
)
from bot.ports import Clock, Cluster

TREE_ROWS = 200
"""How many backends of a tree are fetched; the table shows fewer."""

INSPECTED_LOCKS = 50
"""How many locks of one backend are shown."""

INSPECTED_QUERY = 3001
"""Characters of one backend's redacted query: one more than are shown."""


class Looking:
    """What anyone who may look can ask for. All query texts are redacted, with one exception."""

    def __init__(
        self, clusters: Clusters, journal: Journal, clock: Clock, shared: Shared | None = None
    ) -> None:
        self._clusters = clusters
        self._journal = journal
        self._clock = clock
        self._shared, self._fresh = shared or Shared(), Fresh()

    def within(self, clusters: Clusters) -> "Looking":
        """The same on a person's clusters, where they share looks with the others."""
        return Looking(clusters, self._journal, self._clock, self._shared)

    def forget(self) -> None:
        """Give nobody a look from before now."""
        self._shared.forget()

    async def look(  # noqa: PLR0913  keyword-only, each with its own meaning
        self,
        actor: Actor,
        channel_id: str,
        request: SessionsRequest,
        *,
        offset: int = 0,
        page_size: int = 20,
        alone: bool = False,
        afresh: bool = False,
        recorded: bool = True,
        reference: str = "",
    ) -> Looked:
        """The answer to `/pg-sessions`; `alone` if the channel doesn't see it.

        Unless it is read `afresh`, it may be the one that somebody else was given in the last
        second. A board that is drawn every few seconds isn't `recorded` each time.

        `reference` marks the request's log lines, and the record of this look and what follows
        from it.

        Raises `TargetError` for an unknown name, `ClusterError` if the only cluster that was asked
        is in trouble.
        """
        until, glances = answer_by(), self._fresh if afresh else self._shared
        allowed = self._clusters.allowed(Right.LOOK)
        if request.target == Named() and len(self._clusters.by_name) > len(allowed) == 1:
            # The only one that they may look at is all that there is to tell.
            request = replace(request, target=Named(next(iter(allowed))))
        if request.target == Named() and len(allowed) > 1:
            overview = await self._overview(actor, channel_id, request, glances, reference)
            if not isinstance(overview, SessionsRequest):
                return overview
            request = overview
        found = await glances.resolve(self._clusters, request.target)
        if len(found.clusters) != 1 or found.namesake or found.troubles:
            database = request.target.database
            targets = (target for _, target in found.targets(database))
            requests = tuple(replace(request, target=target) for target in targets)
            return self._clusters.choice(database or "", requests, found.troubles)
        cluster = found.clusters[0]
        if request.limit is not None:
            page_size = max(0, min(page_size, request.limit - offset))

        question = _question(cluster, request, limit=page_size, offset=offset)
        glance = await self._glance(glances, cluster, question, until)
        if recorded:
            self._journal.remember(
                actor, channel_id, glance.look, ALONE if alone else SEEN, reference=reference
            )
        matched = glance.look.counts.total
        return Sessions(
            request=request,
            cluster=cluster.name,
            database=request.target.database,
            look=glance.look,
            endable=glance.endable,
            offset=offset,
            matched=matched if request.limit is None else min(matched, request.limit),
            asked_by=actor,
        )

    async def _glance(
        self, glances: Glances, cluster: Cluster, question: Question, until: float | None = None
    ) -> Glance:
        request, keys = question.request, self._clusters.rules.query_tags

        async def ask(names: Names) -> Glance:
            look = await cluster.look(
                await conditions_with_tags(cluster, request, names, keys),
                names=names,
                everything=request.all or bool(request.pids) or names_type(request),
                sort=request.sort,
                waits=question.waits,
                limit=question.limit,
                offset=question.offset,
            )
            if not request.sort:
                look = replace(look, rows=worst_first(look.rows, look.waits))
            if not look.rows:
                return Glance(look, frozenset())
            protection = await self._clusters.protection(cluster, look)
            endable = frozenset(row.pid for row in look.rows if protection.why(row) is None)
            return Glance(self._redacted(look), endable)

        try:
            glance = await glances.glance(cluster, question, ask, until)
        except TargetError:  # which tells the nearest names
            self._clusters.require(Right.LOOK, cluster.name)
            raise
        # Of the server that was read, and of this person: the reading may be shared.
        self._clusters.require(Right.LOOK, cluster.name, glance.look.server.id)
        return glance

    async def standing(self, actor: Actor, channel_id: str, *, reference: str = "") -> Overview:
        """How each cluster stands that somebody may look at, as `look` tells of all of them.

        Raises `NotAllowed` if there are none.
        """
        request = SessionsRequest()
        cards = await self._cards(request, self._shared)
        self._remember(actor, channel_id, cards, reference)
        return self._all(request, cards, actor)

    async def _cards(self, request: SessionsRequest, glances: Glances) -> list[ClusterCard]:
        """Each cluster that they may look at. Raises `NotAllowed` if there are none."""

        async def card(cluster: Cluster) -> ClusterCard:
            look: Look | None = None
            trouble: ClusterError | TargetError | None = None

            question = _question(cluster, request, limit=0, waits=False)
            try:
                look = (await self._glance(glances, cluster, question)).look
            except (ClusterError, TargetError) as error:
                trouble = error
            return ClusterCard(
                cluster=cluster.name,
                host=cluster.host,
                look=look,
                trouble=trouble,
                last_seen=cluster.last_seen,
            )

        allowed = self._clusters.allowed(Right.LOOK).values()
        cards, not_allowed = await answers_of(map(card, allowed), NotAllowed)
        if not cards:
            raise not_allowed[0]
        return cards

    async def _overview(
        self,
        actor: Actor,
        channel_id: str,
        request: SessionsRequest,
        glances: Glances,
        reference: str,
    ) -> Overview | Choice | SessionsRequest:
        cards = await self._cards(request, glances)
        if all(isinstance(answer.trouble, TargetError) for answer in cards):
            # No cluster has this role or database: suggest the first one's nearest names.
            raise next(answer.trouble for answer in cards if answer.trouble is not None)
        if request.pids and (found := self._that_have(request, cards)) is not None:
            return found
        self._remember(actor, channel_id, cards, reference)
        return self._all(request, cards, actor)

    def _remember(
        self, actor: Actor, channel_id: str, cards: Iterable[ClusterCard], reference: str
    ) -> None:
        for each in cards:
            if each.look is not None:
                self._journal.remember(
                    actor, channel_id, each.look, ALL_CLUSTERS, reference=reference
                )

    def _all(
        self, request: SessionsRequest, cards: Sequence[ClusterCard], actor: Actor
    ) -> Overview:
        return Overview(
            request=request,
            cards=tuple(cards),
            left_out=len(self._clusters.by_name) - len(cards),
            asked_by=actor,
            now=self._clock.now(),
        )

    def _that_have(
        self, request: SessionsRequest, cards: Iterable[ClusterCard]
    ) -> Choice | SessionsRequest | None:
        """The one cluster with a session of these pids, or the choice; None if there are none."""
        having = [card for card in cards if card.look is not None and card.look.counts.total]
        if not having:
            return None
        requests = tuple(replace(request, target=Named(card.cluster)) for card in having)
        troubles = tuple(c.trouble for c in cards if isinstance(c.trouble, ClusterError))
        if len(requests) == 1 and not troubles:
            return requests[0]
        return self._clusters.choice(f"pid {', '.join(map(str, request.pids))}", requests, troubles)

    def _redacted(self, look: Look) -> Look:
        rules = self._clusters.rules
        return redacted(look, rules.query_tags, rules.poolers)

    async def tree(
        self, actor: Actor, channel_id: str, cluster_name: str | None, *, reference: str = ""
    ) -> Tree:
        """Who blocks whom on a cluster, or on the only one, roots first."""
        cluster = self._clusters.only(cluster_name, Right.LOOK)

        async def read() -> tuple[Look, Locks]:
            names = await self._clusters.names_to_look(cluster)
            look = await cluster.look((InTree(),), names=names, everything=True, limit=TREE_ROWS)
            return look, await cluster.locks(names)

        look, locks = await read_together(cluster, read)
        self._journal.remember(actor, channel_id, look, TREE, reference=reference)
        protection = await self._clusters.protection(cluster, look)
        barriers = {row.pid: protection.barrier(row) for row in look.rows}
        branches = tree(look.waits)
        shown = self._redacted(look)
        return Tree(
            look=shown,
            branches=branches,
            rows={row.pid: row for row in shown.rows},
            locks=locks,
            barriers={pid: each for pid, each in barriers.items() if each is not None},
            freed={b.pid: len(look.waits.freed_by([b.pid])) for b in branches if b.is_root},
            asked_by=actor,
        )

    async def inspect(
        self,
        actor: Actor,
        channel_id: str,
        *,
        cluster_name: str,
        backend_id: BackendId,
        reference: str = "",
    ) -> Inspection | Gone:
        """Everything about one backend; for those who may kill there, with its query in full.

        A look at a full query is recorded first; if it can't be recorded, the query is redacted.
        """
        cluster = self._clusters.named(cluster_name, Right.LOOK)

        async def read() -> _Inspected | None:
            # Of the server that is read: the address may have moved to one with another name.
            names = await self._clusters.names_to_look(cluster)
            look = await cluster.look((PidIn((backend_id.pid,)),), names=names, everything=True)
            row = next((row for row in look.rows if row.id == backend_id), None)
            if row is None:
                return None
            locks, all_locks = await cluster.locks_of(row.pid, names, limit=INSPECTED_LOCKS)
            branches, rows = await self._around(cluster, look, row.pid)
            return _Inspected(look, row, locks, all_locks, branches, rows)

        seen = await read_together(cluster, read)
        if seen is None:
            return Gone(cluster=cluster_name, id=backend_id)
        look, row = seen.look, seen.row
        full = self._clusters.may(Right.KILL, cluster_name, look.server.id)
        what = f"pid {row.pid}, {'with its full query' if full else 'redacted'}"
        if full:
            full = await self._journal.is_recorded(
                actor, channel_id, look, what, reference=reference
            )
        else:
            self._journal.remember(actor, channel_id, look, what, reference=reference)
        protection = await self._clusters.protection(cluster, look)
        return Inspection(
            cluster=cluster_name,
            server=look.server,
            names=look.names,
            backend=row if full else as_shown(row, INSPECTED_QUERY),
            full=full,
            locks=seen.locks,
            all_locks=seen.all_locks,
            branches=seen.branches,
            around=seen.around,
            through_pooler=self._clusters.rules.poolers.serve(row),
            since=look.waits.since.get(row.pid),
            barrier=protection.barrier(row),
        )

    async def _around(
        self, cluster: Cluster, look: Look, pid: int
    ) -> tuple[tuple[Branch, ...], dict[int, Backend]]:
        """The part of the tree around a backend; reads the server only if there may be one."""
        if not look.waits.blocked_by:
            return (), {}
        found = await cluster.look((InTree(),), names=look.names, everything=True, limit=TREE_ROWS)
        branches = tree(found.waits.around(pid))
        return branches, {row.pid: row for row in self._redacted(found).rows}


@dataclass(frozen=True, slots=True)
class _Inspected:
    look: Look
    row: Backend
    locks: tuple[HeldLock, ...]
    all_locks: int
    branches: tuple[Branch, ...]
    around: dict[int, Backend]


def _question(
    cluster: Cluster,
    request: SessionsRequest,
    *,
    limit: int,
    offset: int = 0,
    waits: bool = True,
) -> Question:
    """What of a request is asked of a cluster: not what is shown of it, nor to whom."""
    target = Named(cluster.name, request.target.database)
    asked = replace(request, target=target, columns=(), limit=None, private=False)
    return Question(cluster, asked, limit, offset, waits)
