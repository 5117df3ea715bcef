"""Propose a kill: freeze what a request names, and record it to be confirmed."""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from bot.background import answers_of, in_background
from bot.domain.filters import Condition, PidIn
from bot.domain.holdings import Holdings
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
from bot.domain.people import Right
from bot.domain.protection import Protection, require_narrow
from bot.domain.sessions import Backend, BackendId, Limit, Look, Names, ServerId, SpareReason
from bot.domain.shown import as_shown
from bot.errors import ClusterError, TargetError
from bot.grammar.requests import KillRequest
from bot.grammar.requests import Target as Named
from bot.operations.claims import Previews, bind_log
from bot.operations.clusters import Clusters, answer_by, but_for, read_together
from bot.operations.conditions import conditions_of, names_type
from bot.operations.journal import Journal
from bot.operations.results import (
    Choice,
    NotClaimed,
    NothingToKill,
    Preview,
    Proposed,
    TooMany,
    closed,
)
from bot.ports import Clock, Cluster, Ledger, Urgency

log = structlog.get_logger(__name__)

EXPIRED_AFTER = timedelta(seconds=1)
"""How long after its expiry a preview is checked: clocks differ a little."""

HOLDINGS_WITHIN = 1.0
"""Seconds that a preview waits for what goes with its targets besides their transactions."""

_NEVER_MEANT = frozenset({SpareReason.OWN_ROLE, SpareReason.NOT_A_CLIENT})

KEPT_QUERY = 300
"""Characters of a target's redacted query that the ledger keeps; a preview shows fewer."""


@dataclass(frozen=True, slots=True)
class Proposing:
    """From a request, a row or an earlier preview to a proposal in the ledger."""

    _clusters: Clusters
    _ledger: Ledger
    _journal: Journal
    _clock: Clock
    _previews: Previews

    async def propose(
        self,
        actor: Actor,
        channel_id: str,
        request: KillRequest,
        *,
        thread_ts: str = "",
        reference: str = "",
    ) -> Proposed:
        """Freeze what `/pg-kill` names and record it in the ledger, to be confirmed.

        `thread_ts` is the message in whose thread it was asked for; empty for the channel itself.
        `reference` marks the log lines of the request, and later of the kill.

        Raises `TargetError`, `ClusterError` (the only cluster that was asked is in trouble) and
        `LedgerError` (what can't be recorded can't be confirmed).
        """
        until = answer_by()
        found = await self._clusters.resolve(request.target, Right.CANCEL, _names_of)
        if not found.clusters:
            meant = replace(request, target=Named(request.target.database))
            require_narrow(meant)  # `all` means a whole database, never a whole cluster
            return self._clusters.choice(request.target.database or "", (meant,), found.troubles)
        if request.target.database is not None and not request.pids and len(found.clusters) > 1:
            # The person says which one is meant, even if sessions match on only one of them.
            what = request.target.database
            return self._choice(what, request, found.clusters, found.troubles)

        def read(cluster: Cluster) -> Awaitable[_Gathered]:
            return read_together(cluster, lambda: self._gather(cluster, request), until)

        gathered, failed = await answers_of(map(read, found.clusters), ClusterError, TargetError)
        troubles = (*found.troubles, *(each for each in failed if isinstance(each, ClusterError)))
        if not gathered:
            raise (*failed, *troubles)[0]
        matching = [g for g in gathered if g.look.counts.total]
        if not matching and troubles:
            what = "no session matches" if request.terms else "no such session"
            what += but_for((g.cluster.name for g in gathered), troubles)
            raise TargetError(str(replace(request, reason=None)), what)
        if len(matching) > 1 and not request.pids:
            matching = [g for g in matching if await self._is_in_reach(g)] or matching
        if len(matching) > 1 or (matching and troubles):
            # If one cluster could not be asked, a person must choose the one that could.
            what = str(replace(request, reason=None))
            return self._choice(what, request, (g.cluster for g in matching), troubles)
        asked = _Asked(actor, channel_id, thread_ts, reference)
        return await self._freeze(asked, matching[0] if matching else gathered[0], request)

    def _choice(
        self,
        what: str,
        request: KillRequest,
        clusters: Iterable[Cluster],
        troubles: tuple[ClusterError, ...],
    ) -> Choice:
        """The same request for each of these clusters."""
        database = request.target.database
        requests = tuple(replace(request, target=Named(each.name, database)) for each in clusters)
        return self._clusters.choice(what, requests, troubles)

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
        thread_ts: str = "",
        reference: str = "",
    ) -> Proposed:
        """A preview of exactly these backends, for a row's menu and for `Preview again`.

        A person who may only cancel there is offered to cancel. Another backend with one of the
        pids is not a substitute: the one that was asked for is gone. All of them are gone if
        another server answers than the one on which they were seen.
        """
        cluster = self._clusters.named(cluster_name, Right.CANCEL)
        wanted = {backend.pid: backend for backend in ids}

        async def read() -> Look:
            return await cluster.look(
                (*conditions, PidIn(tuple(wanted))),
                names=await _names_of(cluster),
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
        asked = _Asked(actor, channel_id, thread_ts, reference)
        return await self._freeze(asked, gathered, request, basis=basis, wording=wording)

    async def preview_again(
        self,
        actor: Actor,
        channel_id: str,
        key: str,
        *,
        thread_ts: str = "",
        reference: str = "",
    ) -> Proposed | NotClaimed:
        """A new preview: of one that expired, of targets that had changed, or after a cancel.

        For targets of a filter that cost more by now: the same filter, with the cost as it is now.
        For targets named by pid that are in another transaction: only identity and protection
        count, whatever they run.
        """
        entry = await self._ledger.get(key)
        if entry is None:
            return self._journal.not_claimed(key, None)
        old = entry.proposal
        changed = [r.id for r in entry.latest if r.outcome is Outcome.CHANGED]
        is_next_step = old.state is State.DONE and old.action is Action.CANCEL and not changed
        self._clusters.named(old.cluster, Right.KILL if is_next_step else Right.CANCEL)
        if old.channel_id != channel_id:
            return NotClaimed(why=Unclaimable.ANOTHER_CHANNEL, entry=entry)
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
            # The original request stays on record with its outcome.
            wording=old.wording if basis is Basis.FILTER else None,
            thread_ts=thread_ts,
            reference=reference,
        )

    async def posted(self, proposal: Proposal, message_ts: str) -> None:
        """Record where a preview's message is. Raises `LedgerError`."""
        await self._ledger.posted(proposal.id, message_ts)

    async def left_to_expire(
        self, proposal: Proposal, left: timedelta | None = None
    ) -> Unclaimable | None:
        """Wait until a preview should have expired; return why it isn't open, or None if it is.

        The ledger's clock decides, as it does for a click, so an expired preview can't be used any
        more. `left` is how much of its time is left, if that isn't all. Raises `LedgerError`.
        """
        # All of it, by whatever setting: this clock may be another one than the ledger's.
        lasts = proposal.expires_at - proposal.created_at
        wait = (lasts if left is None else min(left, lasts)) + EXPIRED_AFTER
        await self._clock.sleep(max(0.0, wait.total_seconds()))
        entry = await self._ledger.get(proposal.key)
        return Unclaimable.MISSING if entry is None else closed(entry)

    async def _gather(self, cluster: Cluster, request: KillRequest) -> "_Gathered":
        names = await _names_of(cluster)
        self._clusters.require(Right.CANCEL, cluster.name, names.server)
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

    async def _is_in_reach(self, gathered: "_Gathered") -> bool:
        """Whether more matches than what nobody means: the bot's own sessions, and replication."""
        look = gathered.look
        protection = await self._clusters.protection(gathered.cluster, look)
        never = sum(protection.why(row) in _NEVER_MEANT for row in look.rows)
        return never < look.counts.total

    async def _freeze(
        self,
        asked: "_Asked",
        gathered: "_Gathered",
        request: KillRequest,
        *,
        basis: Basis | None = None,
        wording: str | None = None,
    ) -> Proposed:
        look, cluster = gathered.look, gathered.cluster
        wording = wording or str(replace(request, reason=None))
        basis = basis or (Basis.PID if request.pids else Basis.FILTER)
        self._clusters.require(Right.CANCEL, cluster.name, look.server.id)
        may_kill = self._clusters.may(Right.KILL, cluster.name, look.server.id)
        action = Action.TERMINATE if may_kill else Action.CANCEL
        if action is Action.CANCEL and basis is Basis.IDENTITY:
            basis = Basis.PID  # a cancel ends the query that is shown, and none that follows
        gone = tuple(sorted(set(request.pids) - {row.pid for row in look.rows}))
        rows, spared = _parted(look, await self._clusters.protection(cluster, look), action)
        if len(rows) > MAX_TARGETS or look.counts.total > len(look.rows) + len(gone):
            return TooMany(server=look.server, wording=wording, total=look.counts.total)
        if not rows:
            return NothingToKill(
                request=request,
                server=look.server,
                wording=wording,
                basis=basis,
                action=action,
                spared=spared,
                gone=gone,
            )
        last_look, holdings = await asyncio.gather(
            self._journal.last_look(asked.channel_id, cluster.name),
            _holdings(cluster, look, rows),
        )
        draft = Draft(
            cluster=cluster.name,
            host=cluster.host,
            server=look.server.id,
            action=action,
            basis=basis,
            wording=wording,
            conditions=gathered.conditions,
            targets=tuple(_target(row, look, last_look) for row in rows),
            spared=spared,
            reason=request.reason,
            asked_by=asked.actor,
            channel_id=asked.channel_id,
            thread_ts=asked.thread_ts,
            seen_at=look.server.now,
            before=_limits_of(look, rows),
            waiting=look.server.waiting,
            freed=len(look.waits.freed_by([row.pid for row in rows])),
            reference=asked.reference,
        )
        return await self._offered(draft, look, gone, holdings)

    async def _offered(
        self,
        draft: Draft,
        look: Look,
        gone: tuple[int, ...],
        holdings: Mapping[int, Holdings] | None,
    ) -> Preview:
        """Record a draft, to be confirmed."""
        rules, cluster = self._clusters.rules, draft.cluster
        proposal = await self._ledger.propose(draft, rules.confirm_ttl)
        self._previews.keep(proposal)
        bind_log(proposal)
        log.info(
            "kill.proposed",
            cluster=cluster,
            targets=len(draft.targets),
            spared=len(draft.spared),
        )
        seen = [target.seen for target in draft.targets]
        return Preview(
            proposal=proposal,
            server=look.server,
            names=look.names,
            second_person=self._clusters.needs_second_person(cluster, look.server.id),
            gone=gone,
            holdings=holdings or {},
            holdings_unread=holdings is None,
            through_pooler=frozenset(row.pid for row in seen if rules.poolers.serve(row)),
        )


def _parted(
    look: Look, protection: Protection, action: Action
) -> tuple[list[Backend], tuple[Spared, ...]]:
    """Those that the action is for, and those that it leaves alone; queries are redacted."""
    targets, spared = [], []
    for row in look.rows:
        why = protection.why(row)
        if why is None and action is Action.CANCEL and row.state != "active":
            why = SpareReason.NO_QUERY
        shown = as_shown(row, KEPT_QUERY)
        if why is None:
            targets.append(shown)
        else:
            spared.append(Spared(shown, why))
    return targets, tuple(spared)


async def _holdings(
    cluster: Cluster, look: Look, rows: Sequence[Backend]
) -> Mapping[int, Holdings] | None:
    """None if it can't be read in time: then the preview says so."""
    # It goes on if it takes longer: giving up a slow answer costs a held connection.
    task = in_background(cluster.holdings(look, rows), f"holdings-{cluster.name}")
    await asyncio.wait({task}, timeout=HOLDINGS_WITHIN)
    try:
        return task.result() if task.done() else None
    except ClusterError as error:
        log.warning("kill.holdings_unread", cluster=cluster.name, problem=error.problem)
        return None


async def _names_of(cluster: Cluster) -> Names:
    return await cluster.names(urgency=Urgency.PREVIEW)


@dataclass(frozen=True, slots=True)
class _Asked:
    actor: Actor
    channel_id: str
    thread_ts: str
    reference: str


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
