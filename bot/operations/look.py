"""Looking: sessions, all clusters, the tree of blockers, one session whole."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace

from bot.domain.blocking import Branch, HeldLock, Locks, tree, worst_first
from bot.domain.filters import InTree, PidIn
from bot.domain.kills import Actor
from bot.domain.record import ALONE, SEEN
from bot.domain.sessions import Backend, BackendId, Look
from bot.domain.shown import ROW_QUERY, as_shown
from bot.errors import ClusterError, TargetError
from bot.grammar.requests import SessionsRequest
from bot.grammar.requests import Target as Named
from bot.operations.clusters import Clusters, answer_by, conditions_of, names_type, read_together
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
"""Backends of a tree that are fetched; the table shows fewer."""

INSPECTED_LOCKS = 50
"""Locks that are shown of one backend."""

INSPECTED_QUERY = 3001
"""Characters of the redacted query of one backend: one more than are shown."""


class Looking:
    """What anyone who may look can ask for. Every query text is redacted, but one."""

    def __init__(self, clusters: Clusters, journal: Journal, clock: Clock) -> None:
        self._clusters = clusters
        self._journal = journal
        self._clock = clock

    async def look(  # noqa: PLR0913  keyword-only, each with its own meaning
        self,
        actor: Actor,
        channel_id: str,
        request: SessionsRequest,
        *,
        offset: int = 0,
        page_size: int = 20,
        alone: bool = False,
        reference: str = "",
    ) -> Looked:
        """What `/pg-sessions` asks for; `alone` where the channel does not see the answer.

        `reference` is what the log has of the request, and the record of the look, here and
        in what follows.

        Raises `TargetError` for an unknown name, `ClusterError` where the one cluster that
        was asked is in trouble.
        """
        until = answer_by()
        if request.target == Named() and len(self._clusters.by_name) > 1:
            overview = await self._overview(actor, channel_id, request, reference)
            if not isinstance(overview, SessionsRequest):
                return overview
            request = overview
        found = await self._clusters.resolve(request.target)
        targets = [Named(c.name, request.target.database) for c in found.clusters]
        if request.target.cluster is None and request.target.database in self._clusters.by_name:
            # A cluster has the database's name, and may be meant.
            targets.append(Named(request.target.database))
        if len(targets) > 1 or found.troubles or not found.clusters:
            return self._clusters.choice(
                request.target.database or "",
                tuple(replace(request, target=target) for target in targets),
                found.troubles,
            )
        cluster = found.clusters[0]
        if request.limit is not None:
            page_size = max(0, min(page_size, request.limit - offset))

        async def read() -> Look:
            names = await cluster.names()
            return await cluster.look(
                conditions_of(cluster, request, names),
                names=names,
                everything=request.all or bool(request.pids) or names_type(request),
                sort=request.sort,
                limit=page_size,
                offset=offset,
            )

        look = await read_together(cluster, read, until)
        if not request.sort:
            look = replace(look, rows=worst_first(look.rows, look.waits))
        self._journal.remember(
            actor, channel_id, look, ALONE if alone else SEEN, reference=reference
        )
        protection = await self._clusters.protection(cluster, look)
        matched = look.counts.total
        return Sessions(
            request=request,
            cluster=cluster.name,
            database=request.target.database,
            look=_redacted(look),
            endable=frozenset(row.pid for row in look.rows if protection.why(row) is None),
            offset=offset,
            matched=matched if request.limit is None else min(matched, request.limit),
            asked_by=actor,
        )

    async def _overview(
        self, actor: Actor, channel_id: str, request: SessionsRequest, reference: str
    ) -> Overview | Choice | SessionsRequest:
        async def card(cluster: Cluster) -> ClusterCard:
            look: Look | None = None
            trouble: ClusterError | TargetError | None = None

            async def read() -> Look:
                names = await cluster.names()
                return await cluster.look(
                    conditions_of(cluster, request, names),
                    names=names,
                    everything=request.all or bool(request.pids) or names_type(request),
                    waits=False,
                    limit=0,
                )

            try:
                look = await read_together(cluster, read)
            except (ClusterError, TargetError) as error:
                trouble = error
            return ClusterCard(
                cluster=cluster.name,
                host=cluster.host,
                look=look,
                trouble=trouble,
                last_seen=cluster.last_seen,
            )

        cards = await asyncio.gather(
            *(card(cluster) for cluster in self._clusters.by_name.values())
        )
        if all(isinstance(answer.trouble, TargetError) for answer in cards):
            # A role or database that no cluster has: the first one's nearest names.
            raise next(answer.trouble for answer in cards if answer.trouble is not None)
        if request.pids and (found := self._that_have(request, cards)) is not None:
            return found
        for answer in cards:
            if answer.look is not None:
                self._journal.remember(actor, channel_id, answer.look, ALONE, reference=reference)
        return Overview(request=request, cards=tuple(cards), asked_by=actor, now=self._clock.now())

    def _that_have(
        self, request: SessionsRequest, cards: Iterable[ClusterCard]
    ) -> Choice | SessionsRequest | None:
        """The one cluster that has a session of these pids, or the choice; None for none."""
        having = [card for card in cards if card.look is not None and card.look.counts.total]
        if not having:
            return None
        requests = tuple(replace(request, target=Named(card.cluster)) for card in having)
        troubles = tuple(c.trouble for c in cards if isinstance(c.trouble, ClusterError))
        if len(requests) == 1 and not troubles:
            return requests[0]
        return self._clusters.choice(f"pid {', '.join(map(str, request.pids))}", requests, troubles)

    async def tree(
        self, actor: Actor, channel_id: str, cluster_name: str, *, reference: str = ""
    ) -> Tree:
        """Who blocks whom on a cluster, roots first."""
        cluster = self._clusters.named(cluster_name)

        async def read() -> tuple[Look, Locks]:
            names = await cluster.names()
            look = await cluster.look((InTree(),), names=names, everything=True, limit=TREE_ROWS)
            return look, await cluster.locks(names)

        look, locks = await read_together(cluster, read)
        self._journal.remember(actor, channel_id, look, ALONE, reference=reference)
        protection = await self._clusters.protection(cluster, look)
        barriers = {row.pid: protection.barrier(row) for row in look.rows}
        branches = tree(look.waits)
        redacted = _redacted(look)
        return Tree(
            look=redacted,
            branches=branches,
            rows={row.pid: row for row in redacted.rows},
            locks=locks,
            barriers={pid: each for pid, each in barriers.items() if each is not None},
            freed={b.pid: len(look.waits.freed_by([b.pid])) for b in branches if b.is_root},
            asked_by=actor,
        )

    async def inspect(  # noqa: PLR0913  keyword-only, each with its own meaning
        self,
        actor: Actor,
        channel_id: str,
        *,
        cluster_name: str,
        backend_id: BackendId,
        full: bool,
        reference: str = "",
    ) -> Inspection | Gone:
        """Everything about one backend; its query in full for those who may kill.

        The look at a full query is recorded first: without the record it is redacted.
        """
        cluster = self._clusters.named(cluster_name)

        async def read() -> _Inspected | None:
            names = await cluster.names()
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
            since=look.waits.since.get(row.pid),
            barrier=protection.barrier(row),
        )

    async def _around(
        self, cluster: Cluster, look: Look, pid: int
    ) -> tuple[tuple[Branch, ...], dict[int, Backend]]:
        """The part of the tree that a backend stands in; the server is asked only if it may."""
        if not look.waits.blocked_by:
            return (), {}
        found = await cluster.look((InTree(),), names=look.names, everything=True, limit=TREE_ROWS)
        branches = tree(found.waits.around(pid))
        return branches, {row.pid: row for row in _redacted(found).rows}


@dataclass(frozen=True, slots=True)
class _Inspected:
    look: Look
    row: Backend
    locks: tuple[HeldLock, ...]
    all_locks: int
    branches: tuple[Branch, ...]
    around: dict[int, Backend]


def _redacted(look: Look) -> Look:
    return replace(look, rows=tuple(as_shown(row, ROW_QUERY) for row in look.rows))
