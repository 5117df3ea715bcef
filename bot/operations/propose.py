"""Proposing a kill: freeze what a request names, and keep it to be confirmed."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from bot.domain.filters import Condition, PidIn
from bot.domain.kills import (
    MAX_TARGETS,
    Action,
    Actor,
    Basis,
    Draft,
    Outcome,
    Proposal,
    Spared,
    State,
    Target,
    Unclaimable,
)
from bot.domain.protection import require_narrow
from bot.domain.sessions import Backend, BackendId, Limit, Look, ServerId
from bot.domain.shown import as_shown
from bot.errors import ClusterError, TargetError
from bot.grammar.requests import KillRequest
from bot.grammar.requests import Target as Named
from bot.operations.clusters import Clusters, answer_by, conditions_of, names_type, read_together
from bot.operations.journal import Journal
from bot.operations.log_context import follow
from bot.operations.results import NotClaimed, NothingToKill, Preview, Proposed, TooMany, closed
from bot.ports import Clock, Cluster, Ledger, Urgency

log = structlog.get_logger(__name__)

EXPIRED_AFTER = timedelta(seconds=1)
"""How long after its time a preview is asked for: clocks differ a little."""

KEPT_QUERY = 300
"""Characters of a target's redacted query that the ledger keeps; a preview shows fewer."""


class Proposing:
    """From a request, a row or an earlier preview to a proposal in the ledger."""

    def __init__(self, clusters: Clusters, ledger: Ledger, journal: Journal, clock: Clock) -> None:
        self._clusters = clusters
        self._ledger = ledger
        self._journal = journal
        self._clock = clock

    async def propose(
        self, actor: Actor, channel_id: str, request: KillRequest, *, reference: str = ""
    ) -> Proposed:
        """Freeze what `/pg-kill` names and keep it in the ledger, to be confirmed.

        `reference` is what the log has of the request, and will have of the kill.

        Raises `TargetError`, `ClusterError` (the one cluster asked is in trouble) and
        `LedgerError` (what can't be recorded can't be confirmed).
        """
        until = answer_by()
        found = await self._clusters.resolve(request.target, Urgency.PREVIEW)
        if not found.clusters:
            meant = replace(request, target=Named(request.target.database))
            require_narrow(meant)  # `all` is of a database, never of a cluster
            return self._clusters.choice(request.target.database or "", (meant,), found.troubles)

        async def gather(cluster: Cluster) -> _Gathered | ClusterError | TargetError:
            try:
                return await read_together(cluster, lambda: self._gather(cluster, request), until)
            except (ClusterError, TargetError) as error:
                return error

        answers = await asyncio.gather(*(gather(cluster) for cluster in found.clusters))
        gathered = [a for a in answers if isinstance(a, _Gathered)]
        troubles = (*found.troubles, *(a for a in answers if isinstance(a, ClusterError)))
        if not gathered:
            raise next(a for a in (*answers, *troubles) if isinstance(a, Exception))
        matching = [g for g in gathered if g.look.counts.total]
        if not matching and troubles:
            raise troubles[0]
        if len(matching) > 1 or (matching and troubles):
            # Where one cluster could not be asked, the one that did is chosen by a person.
            return self._clusters.choice(
                str(replace(request, reason=None)),
                tuple(
                    replace(request, target=Named(g.cluster.name, request.target.database))
                    for g in matching
                ),
                troubles,
            )
        one = matching[0] if matching else gathered[0]
        return await self._freeze(actor, channel_id, one, request, reference=reference)

    async def propose_backends(  # noqa: PLR0913  keyword-only, each with its own meaning
        self,
        actor: Actor,
        channel_id: str,
        *,
        cluster_name: str,
        ids: Iterable[BackendId],
        server: ServerId | None = None,
        basis: Basis = Basis.PID,
        conditions: tuple[Condition, ...] = (),
        reason: str | None = None,
        wording: str | None = None,
        reference: str = "",
    ) -> Proposed:
        """A preview of exactly these backends: a row's menu, `Preview again`.

        Another backend under one of the pids is not taken for it: the one asked for is
        gone. So are all of them if another server answers than the one that they were seen on.
        """
        cluster = self._clusters.named(cluster_name)
        wanted = {backend.pid: backend for backend in ids}

        async def read() -> Look:
            return await cluster.look(
                (*conditions, PidIn(tuple(wanted))),
                names=await cluster.names(urgency=Urgency.PREVIEW),
                everything=True,
                strict=True,
                urgency=Urgency.PREVIEW,
                limit=2 * MAX_TARGETS,  # some may be spared
            )

        look = await read_together(cluster, read)
        is_there = server is None or look.server.id == server
        same = tuple(row for row in look.rows if is_there and row.id == wanted[row.pid])
        request = KillRequest(target=Named(cluster=cluster_name), pids=tuple(wanted), reason=reason)
        gathered = _Gathered(cluster, replace(look, rows=same), conditions)
        return await self._freeze(
            actor,
            channel_id,
            gathered,
            request,
            basis=basis,
            wording=wording,
            reference=reference,
        )

    async def preview_again(
        self, actor: Actor, channel_id: str, key: str, *, reference: str = ""
    ) -> Proposed | NotClaimed:
        """A new preview: of one that expired, of what had changed, or after a cancel.

        Of what a filter named and what costs more by now: the same filter, at its cost of
        now. Of what was named by pid and is in another transaction: identity and protection
        only, whatever it runs.
        """
        entry = await self._ledger.get(key)
        if entry is None:
            return self._journal.not_claimed(key, None)
        if entry.proposal.channel_id != channel_id:
            return NotClaimed(why=Unclaimable.ANOTHER_CHANNEL, entry=entry)
        old = entry.proposal
        changed = [r.id for r in entry.latest if r.outcome is Outcome.CHANGED]
        basis, ids = old.basis, [target.id for target in old.targets]
        if old.state is State.DONE and changed:
            ids = changed
            basis = Basis.FILTER if old.basis is Basis.FILTER else Basis.IDENTITY
        conditions = old.conditions if basis is Basis.FILTER else ()
        return await self.propose_backends(
            actor,
            channel_id,
            cluster_name=old.cluster,
            ids=ids,
            server=old.server,
            basis=basis,
            conditions=conditions,
            reason=old.reason,
            # What was asked for stays on record with what became of it.
            wording=old.wording if basis is Basis.FILTER else None,
            reference=reference,
        )

    async def posted(self, proposal: Proposal, message_ts: str) -> None:
        """Keep where a preview's message stands."""
        await self._ledger.posted(proposal.id, message_ts)

    async def left_to_expire(self, proposal: Proposal) -> bool:
        """Wait until a preview is no longer good; whether nobody confirmed or dismissed it.

        The ledger's clock decides, as it does for a click: nothing can become of it any more.
        Raises `LedgerError`.
        """
        await self._clock.sleep((self._clusters.rules.confirm_ttl + EXPIRED_AFTER).total_seconds())
        entry = await self._ledger.get(proposal.key)
        return entry is not None and closed(entry) is Unclaimable.EXPIRED

    async def _gather(self, cluster: Cluster, request: KillRequest) -> "_Gathered":
        names = await cluster.names(urgency=Urgency.PREVIEW)
        conditions = conditions_of(cluster, request, names)
        look = await cluster.look(
            conditions,
            names=names,
            everything=bool(request.pids) or names_type(request),
            strict=True,
            urgency=Urgency.PREVIEW,
            limit=2 * MAX_TARGETS,  # some may be spared
        )
        return _Gathered(cluster, look, conditions)

    async def _freeze(  # noqa: PLR0913  keyword-only, each with its own meaning
        self,
        actor: Actor,
        channel_id: str,
        gathered: "_Gathered",
        request: KillRequest,
        *,
        basis: Basis | None = None,
        wording: str | None = None,
        reference: str = "",
    ) -> Proposed:
        look, cluster = gathered.look, gathered.cluster
        wording = wording or str(replace(request, reason=None))
        basis = basis or (Basis.PID if request.pids else Basis.FILTER)
        protection = await self._clusters.protection(cluster, look)
        gone = tuple(sorted(set(request.pids) - {row.pid for row in look.rows}))
        spared, rows = [], []
        for row in look.rows:
            why = protection.why(row)
            shown = as_shown(row, KEPT_QUERY)
            if why is None:
                rows.append(shown)
            else:
                spared.append(Spared(shown, why))
        if len(rows) > MAX_TARGETS or look.counts.total > len(look.rows) + len(gone):
            return TooMany(server=look.server, wording=wording, total=look.counts.total)
        if not rows:
            return NothingToKill(
                request=request,
                server=look.server,
                wording=wording,
                basis=basis,
                spared=tuple(spared),
                gone=gone,
            )
        last_look = await self._journal.last_look(channel_id, cluster.name)
        pids = [row.pid for row in rows]
        draft = Draft(
            cluster=cluster.name,
            host=cluster.host,
            server=look.server.id,
            action=Action.TERMINATE,
            basis=basis,
            wording=wording,
            conditions=gathered.conditions,
            targets=tuple(_target(row, look, last_look) for row in rows),
            spared=tuple(spared),
            reason=request.reason,
            asked_by=actor,
            channel_id=channel_id,
            seen_at=look.server.now,
            before=_limits_of(look, rows),
            waiting=look.server.waiting,
            freed=len(look.waits.freed_by(pids)),
            reference=reference,
        )
        proposal = await self._ledger.propose(draft, self._clusters.rules.confirm_ttl)
        follow(proposal)
        log.info("kill.proposed", cluster=cluster.name, targets=len(rows), spared=len(spared))
        return Preview(
            proposal=proposal,
            server=look.server,
            names=look.names,
            second_person=self._clusters.takes_two(cluster.name, look.server.id),
            gone=gone,
        )


@dataclass(frozen=True, slots=True)
class _Gathered:
    cluster: Cluster
    look: Look
    conditions: tuple[Condition, ...]


def _target(row: Backend, look: Look, last_look: datetime | None) -> Target:
    assert row.id is not None  # noqa: S101  what may not be seen is spared, not a target
    return Target(
        id=row.id,
        seen=row,
        waiting_behind=look.waits.holds_up(row.pid),
        is_new=last_look is not None and row.id.backend_start > last_look,
    )


def _limits_of(look: Look, rows: Iterable[Backend]) -> tuple[Limit, ...]:
    """The limits that these rows count against, and the server's own."""
    roles = {row.usename for row in rows}
    databases = {row.datname for row in rows}
    return (
        *(limit for limit in look.server.roles if limit.name in roles),
        *(limit for limit in look.server.databases if limit.name in databases),
        look.server.ordinary,
    )
