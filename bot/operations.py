"""The use cases: look, propose, confirm, follow up, dismiss, history, recover.

Each reads gather, decide, act, record. Who may do it was asked right before, by the
caller, for every command and every click; what may die is asked by the statement that
signals.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from difflib import get_close_matches

import structlog

from bot import verdicts
from bot.answers import (
    Choice,
    ClusterCard,
    Confirmed,
    Gone,
    History,
    Inspection,
    Looked,
    NeedsSecondPerson,
    NotClaimed,
    NothingToKill,
    Overview,
    Preview,
    Proposed,
    Sessions,
    TooMany,
    Tree,
)
from bot.backends import CLIENT_BACKEND, Backend, BackendId, Limit, LimitOf, Look, Names
from bot.blocking import tree, under_leaders
from bot.conditions import Before, Condition, InTree, OidIn, PidIn, TextLike, freeze
from bot.errors import ClusterError, LedgerError, NotSent, TargetError
from bot.grammar import (
    AgeOf,
    Field,
    HistoryRequest,
    KillRequest,
    Match,
    SessionsRequest,
)
from bot.grammar import Target as Named
from bot.kills import (
    GONE_WITHIN,
    LEASE,
    MAX_TARGETS,
    OTHER_WORK,
    SIGNAL_WINDOW,
    Action,
    Actor,
    Basis,
    Conclusion,
    Draft,
    Outcome,
    Proposal,
    Result,
    Spared,
    State,
    Target,
)
from bot.policy import Glob, Protection
from bot.ports import (
    Clock,
    Cluster,
    Entry,
    Guard,
    HistoryFilter,
    Ledger,
    Sighting,
    Verdict,
)
from bot.redaction import redact

log = structlog.get_logger(__name__)

HISTORY_PAGE = 20
TREE_ROWS = 200
"""Backends of a tree that are fetched; the table shows fewer."""

INSPECTED_LOCKS = 50
"""Locks that are shown of one backend."""

FOLLOW_UP_AFTER = 10.0
"""Seconds from the outcome to the look at who came back."""

UNKNOWN_WATCH = 60.0
"""Seconds for which a server that stopped answering is asked again about its targets."""

_WATCH_STEPS = (0.005, 0.01, 0.02, 0.03, 0.05)
"""Seconds between two looks at what was signalled; the last one is repeated."""

_RECORD_TRIES = (0.2, 0.5, 1.0, 2.0)
"""Seconds before each further try to write an outcome."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings say of kills."""

    protected_roles: tuple[Glob, ...] = ()
    protected_applications: tuple[Glob, ...] = ()
    second_person: frozenset[str] = frozenset()
    confirm_ttl: timedelta = timedelta(seconds=600)


@dataclass(frozen=True, slots=True)
class Health:
    """What is known of a cluster in trouble, and of the others."""

    last_seen_ago: timedelta | None
    others: tuple[str, ...]


class Operations:
    """The use cases over the clusters and the ledger. `owner` names this process."""

    def __init__(
        self,
        clusters: Mapping[str, Cluster],
        ledger: Ledger,
        clock: Clock,
        *,
        rules: Rules,
        owner: str,
    ) -> None:
        self._clusters = clusters
        self._ledger = ledger
        self._clock = clock
        self._rules = rules
        self._owner = owner

    # --- looking -------------------------------------------------------------------

    async def look(
        self,
        actor: Actor,
        channel_id: str,
        request: SessionsRequest,
        *,
        offset: int = 0,
        page_size: int = 20,
    ) -> Looked:
        """What `/pg-sessions` asks for.

        Raises `TargetError` for an unknown name, `ClusterError` where the one cluster that
        was asked is in trouble.
        """
        if request.target == Named() and len(self._clusters) > 1:
            return await self._overview(actor, channel_id, request)
        found = await self._resolve(request.target)
        if len(found.clusters) > 1 or found.troubles:
            return Choice(
                what=request.target.database or "",
                requests=tuple(
                    replace(request, target=Named(c.name, request.target.database))
                    for c in found.clusters
                ),
                troubles=found.troubles,
            )
        cluster = found.clusters[0]
        names = await cluster.names()
        conditions = self._conditions(request, names)
        if request.limit is not None:
            page_size = max(0, min(page_size, request.limit - offset))
        look = await cluster.look(
            conditions,
            names=names,
            everything=request.all or bool(request.pids) or _names_type(request),
            sort=request.sort,
            limit=page_size,
            offset=offset,
        )
        await self._remember(actor, channel_id, look)
        matched = look.counts.total
        return Sessions(
            request=request,
            cluster=cluster.name,
            database=request.target.database,
            look=_redacted(look),
            offset=offset,
            matched=matched if request.limit is None else min(matched, request.limit),
            asked_by=actor,
        )

    async def _overview(self, actor: Actor, channel_id: str, request: SessionsRequest) -> Overview:
        async def card(cluster: Cluster) -> ClusterCard:
            look, trouble = None, None
            try:
                names = await cluster.names()
                look = await cluster.look(
                    self._conditions(request, names),
                    names=names,
                    everything=request.all or bool(request.pids) or _names_type(request),
                    limit=0,
                )
            except ClusterError as error:
                trouble = error
            return ClusterCard(
                cluster=cluster.name,
                host=cluster.host,
                look=look,
                trouble=trouble,
                last_seen=cluster.last_seen,
            )

        asked = await asyncio.gather(
            *(card(cluster) for cluster in self._clusters.values()), return_exceptions=True
        )
        unknown = [error for error in asked if isinstance(error, TargetError)]
        cards = tuple(answer for answer in asked if isinstance(answer, ClusterCard))
        for error in asked:
            if isinstance(error, BaseException) and not isinstance(error, TargetError):
                raise error
        if not cards:
            # A role or database that no cluster has: the first one's nearest names.
            raise unknown[0]
        for answer in cards:
            if answer.look is not None:
                await self._remember(actor, channel_id, answer.look)
        return Overview(request=request, cards=cards, asked_by=actor, now=self._clock.now())

    async def tree(self, actor: Actor, channel_id: str, cluster_name: str) -> Tree:
        """Who blocks whom on a cluster, roots first."""
        cluster = self._cluster(cluster_name)
        names = await cluster.names()
        look = await cluster.look((InTree(),), names=names, everything=True, limit=TREE_ROWS)
        locks = await cluster.locks(names)
        await self._remember(actor, channel_id, look, "tree")
        protection = await self._protection(cluster, look)
        spared = {row.pid: protection.why(row) for row in look.rows}
        return Tree(
            look=_redacted(look),
            branches=tree(under_leaders(look.waits, look.rows)),
            rows={row.pid: row for row in _redacted(look).rows},
            locks=locks,
            spared={pid: why for pid, why in spared.items() if why is not None},
            more=look.counts.total - len(look.rows),
            asked_by=actor,
        )

    async def inspect(
        self,
        actor: Actor,
        channel_id: str,
        *,
        cluster_name: str,
        backend_id: BackendId,
        full: bool,
    ) -> Inspection | Gone:
        """Everything about one backend; its query in full for those who may kill.

        The look at a full query is recorded first: without the record it is redacted.
        """
        cluster = self._cluster(cluster_name)
        names = await cluster.names()
        look = await cluster.look((PidIn((backend_id.pid,)),), names=names, everything=True)
        row = next((row for row in look.rows if row.id == backend_id), None)
        if row is None:
            return Gone(cluster=cluster_name, id=backend_id)
        what = f"pid {row.pid}, {'with its full query' if full else 'redacted'}"
        recorded = await self._remember(actor, channel_id, look, what)
        full = full and recorded
        protection = await self._protection(cluster, look)
        return Inspection(
            cluster=cluster_name,
            server=look.server,
            names=names,
            backend=row if full else replace(row, query=redact(row.query)),
            full=full,
            locks=await cluster.locks_of(row.pid, limit=INSPECTED_LOCKS),
            blocked_by=look.waits.blocked_by.get(row.pid, ()),
            waiting_behind=tuple(sorted(look.waits.behind([row.pid]))),
            why_spared=protection.why(row),
        )

    async def _remember(
        self, actor: Actor, channel_id: str, look: Look, what: str = "sessions"
    ) -> bool:
        """Note the look; a ledger in trouble must not keep anyone from looking."""
        server = look.server
        try:
            await self._ledger.looked(actor, channel_id, server.cluster, server.now, what)
        except LedgerError:
            log.warning("ledger.look_not_recorded", cluster=look.server.cluster, exc_info=True)
            return False
        return True

    # --- proposing a kill ----------------------------------------------------------

    async def propose(self, actor: Actor, channel_id: str, request: KillRequest) -> Proposed:
        """Freeze what `/pg-kill` names and keep it in the ledger, to be confirmed.

        Raises `TargetError`, `ClusterError` (the one cluster asked is in trouble) and
        `LedgerError` (what can't be recorded can't be confirmed).
        """
        found = await self._resolve(request.target)

        async def gather(cluster: Cluster) -> _Gathered | ClusterError | TargetError:
            try:
                return await self._gather(cluster, request)
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
            return Choice(
                what=str(replace(request, reason=None)),
                requests=tuple(
                    replace(request, target=Named(g.cluster.name, request.target.database))
                    for g in matching
                ),
                troubles=troubles,
            )
        one = matching[0] if matching else gathered[0]
        return await self._freeze(actor, channel_id, one, request)

    async def _gather(self, cluster: Cluster, request: KillRequest) -> "_Gathered":
        names = await cluster.names()
        conditions = self._conditions(request, names)
        look = await cluster.look(
            conditions,
            names=names,
            everything=bool(request.pids) or _names_type(request),
            strict=True,
            limit=MAX_TARGETS + 1,
        )
        return _Gathered(cluster, look, conditions)

    async def propose_backends(  # noqa: PLR0913  keyword-only, each with its own meaning
        self,
        actor: Actor,
        channel_id: str,
        *,
        cluster_name: str,
        ids: Iterable[BackendId],
        basis: Basis = Basis.PID,
        conditions: tuple[Condition, ...] = (),
        reason: str | None = None,
    ) -> Proposed:
        """A preview of exactly these backends: a row's menu, `Preview again`.

        Another backend under one of the pids is not taken for it: the one asked for is
        gone.
        """
        cluster = self._cluster(cluster_name)
        wanted = {backend.pid: backend for backend in ids}
        names = await cluster.names()
        look = await cluster.look(
            (*conditions, PidIn(tuple(wanted))),
            names=names,
            everything=True,
            strict=True,
            limit=MAX_TARGETS + 1,
        )
        same = tuple(row for row in look.rows if row.id == wanted[row.pid])
        request = KillRequest(target=Named(cluster=cluster_name), pids=tuple(wanted), reason=reason)
        gathered = _Gathered(cluster, replace(look, rows=same), conditions)
        return await self._freeze(actor, channel_id, gathered, request, basis=basis)

    async def preview_again(self, actor: Actor, channel_id: str, proposal_id: int) -> Proposed:
        """A new preview: of one that expired, of what had changed, or after a cancel.

        What had changed is offered whatever it runs now: identity and protection only.
        """
        entry = await self._ledger.get(proposal_id)
        if entry is None:
            raise TargetError(f"kill {proposal_id}", "there is no such preview on record")
        old = entry.proposal
        changed = [r.id for r in entry.latest if r.outcome is Outcome.CHANGED]
        conditions: tuple[Condition, ...]
        if old.state is State.DONE and changed:
            basis, ids, conditions = Basis.IDENTITY, changed, ()
        else:
            basis, ids = old.basis, [target.id for target in old.targets]
            conditions = old.conditions if basis is Basis.FILTER else ()
        return await self.propose_backends(
            actor,
            channel_id,
            cluster_name=old.cluster,
            ids=ids,
            basis=basis,
            conditions=conditions,
            reason=old.reason,
        )

    async def _freeze(
        self,
        actor: Actor,
        channel_id: str,
        gathered: "_Gathered",
        request: KillRequest,
        *,
        basis: Basis | None = None,
    ) -> Proposed:
        look, cluster = gathered.look, gathered.cluster
        wording = str(replace(request, reason=None))
        if len(look.rows) > MAX_TARGETS:
            return TooMany(server=look.server, wording=wording, total=look.counts.total)
        protection = await self._protection(cluster, look)
        gone = tuple(sorted(set(request.pids) - {row.pid for row in look.rows}))
        spared, rows = [], []
        for row in look.rows:
            why = protection.why(row)
            shown = replace(row, query=redact(row.query))
            if why is None:
                rows.append(shown)
            else:
                spared.append(Spared(shown, why))
        if not rows:
            return NothingToKill(
                request=request,
                server=look.server,
                wording=wording,
                spared=tuple(spared),
                gone=gone,
            )
        last_look = await self._ledger.last_look(channel_id, cluster.name)
        pids = [row.pid for row in rows]
        draft = Draft(
            cluster=cluster.name,
            host=cluster.host,
            server=look.server.id,
            action=Action.TERMINATE,
            basis=basis or (Basis.PID if request.pids else Basis.FILTER),
            wording=wording,
            conditions=gathered.conditions,
            targets=tuple(_target(row, look, last_look) for row in rows),
            spared=tuple(spared),
            reason=request.reason,
            asked_by=actor,
            channel_id=channel_id,
            seen_at=look.server.now,
            before=_limits_of(look, rows),
            waiting=len(look.waits.blocked_by),
            freed=len(look.waits.freed_by(pids)),
        )
        proposal = await self._ledger.propose(draft, self._rules.confirm_ttl)
        return Preview(
            proposal=proposal,
            server=look.server,
            second_person=cluster.name in self._rules.second_person,
            gone=gone,
        )

    async def posted(self, proposal: Proposal, message_ts: str) -> None:
        """Keep where a preview's message stands."""
        await self._ledger.posted(proposal.id, message_ts)

    # --- confirming ----------------------------------------------------------------

    async def confirm(
        self,
        actor: Actor,
        channel_id: str,
        proposal_id: int,
        *,
        action: Action = Action.TERMINATE,
    ) -> Confirmed:
        """Do what a preview showed, to exactly what it showed; the click is authorized.

        To cancel is another thing to do to the same targets: those that ran a query are
        asked to end that very query.

        Raises `ClusterError` where the cluster could not be asked, in which case nothing
        was claimed and the preview still stands, and `LedgerError` where the intent could
        not be written, in which case nothing was signalled.
        """
        entry = await self._ledger.get(proposal_id)
        if entry is None:
            return NotClaimed(why="missing", entry=None)
        proposal = entry.proposal
        if proposal.channel_id != channel_id:
            return NotClaimed(why="another channel", entry=entry)
        if (why := _closed(entry)) is not None:
            return NotClaimed(why=why, entry=entry)
        if (
            proposal.cluster in self._rules.second_person
            and actor.user_id == proposal.asked_by.user_id
        ):
            return NeedsSecondPerson(proposal=proposal)
        cluster = self._cluster(proposal.cluster)
        before = await cluster.look((), names=await cluster.names(), limit=0)
        guards = await self._guards(cluster, replace(proposal, action=action), before)

        claimed = await self._ledger.claim(proposal_id, actor, self._owner, LEASE, action=action)
        if claimed is None:
            entry = await self._ledger.get(proposal_id)
            return NotClaimed(why=(entry and _closed(entry)) or "missing", entry=entry)
        log.info("kill.claimed", kill=claimed.id, cluster=cluster.name, targets=len(guards))
        results = verdicts.without_a_query(claimed)
        guards = [guard for guard in guards if guard.target not in results]
        async with self._renewing(claimed):
            started = self._clock.monotonic()
            try:
                await self._execute(cluster, guards, results)
            except BaseException:
                # A defect, or the process is told to stop: what is known is recorded.
                await self._record(verdicts.broken_off(claimed, results, self._clock.now()))
                raise
            took = timedelta(seconds=self._clock.monotonic() - started)
            conclusion = await self._conclusion(cluster, claimed, before, results, took)
            return await self._record(conclusion)

    async def _guards(self, cluster: Cluster, proposal: Proposal, before: Look) -> list[Guard]:
        protection = await self._protection(cluster, before)
        roles = protection.role_oids(before.names, (t.seen for t in proposal.targets))
        return [
            Guard(
                server=proposal.server,
                target=target.id,
                action=proposal.action,
                basis=proposal.basis,
                xact_start=target.seen.xact_start,
                backend_xid=target.seen.backend_xid,
                query_start=target.seen.query_start,
                conditions=proposal.conditions,
                protected_roles=roles,
                protected_applications=protection.applications,
                # One deadline for all, fixed before the claim: a process that was stopped
                # and goes on after its lease has been taken signals nothing.
                deadline=before.server.now + SIGNAL_WINDOW,
            )
            for target in proposal.targets
        ]

    async def _execute(
        self, cluster: Cluster, guards: list[Guard], results: dict[BackendId, Result]
    ) -> None:
        """Signal all, back to back; then watch until they are gone. Fills `results`."""
        signalled: dict[Guard, str] = {}
        for guard in guards:
            try:
                reply = await cluster.signal(guard)
            except NotSent as error:
                results[guard.target] = verdicts.not_sent(guard, error)
                break
            except ClusterError as error:
                log.warning("kill.no_reply", cluster=cluster.name, pid=guard.target.pid)
                results[guard.target] = Result(guard.target, Outcome.UNKNOWN, error.problem)
                break
            if reply.verdict is Verdict.SIGNALLED:
                signalled[guard] = OTHER_WORK if reply.xact_start != guard.xact_start else ""
                results[guard.target] = verdicts.signalled(guard.target)
            else:
                results[guard.target] = verdicts.refused(guard, reply)
        for guard in guards:
            if guard.target not in results:
                results[guard.target] = verdicts.not_sent(guard, None)
        for result in await self._watch(cluster, signalled):
            results[result.id] = result

    async def _watch(self, cluster: Cluster, signalled: Mapping[Guard, str]) -> list[Result]:
        """What became of the backends that were signalled, within `GONE_WITHIN`.

        With each guard comes what to tell of a target that ended.
        """
        pending = {guard.target: guard for guard in signalled}
        results: list[Result] = []
        until = self._clock.monotonic() + GONE_WITHIN.total_seconds()
        seen: Sighting | None = None
        trouble: ClusterError | None = None
        steps = iter(_WATCH_STEPS)
        while pending:
            try:
                seen, trouble = await cluster.sight(pending), None
            except ClusterError as error:
                trouble = error
            else:
                for backend_id, guard in list(pending.items()):
                    if verdicts.ended(guard, seen):
                        ended = Result(backend_id, verdicts.success(guard.action), signalled[guard])
                        results.append(ended)
                        del pending[backend_id]
            if not pending or self._clock.monotonic() >= until:
                break
            await self._clock.sleep(next(steps, _WATCH_STEPS[-1]))
        for backend_id in pending:
            if trouble is not None or seen is None:
                problem = trouble.problem if trouble else "not looked at"
                detail = f"signalled, and then: {problem}"
                results.append(Result(backend_id, Outcome.UNKNOWN, detail))
            else:
                results.append(verdicts.still_running(backend_id, seen.there[backend_id]))
        return results

    async def _conclusion(
        self,
        cluster: Cluster,
        claimed: Proposal,
        before: Look,
        results: Mapping[BackendId, Result],
        took: timedelta,
    ) -> Conclusion:
        conclusion = Conclusion(
            proposal=claimed,
            results=tuple(results[target.id] for target in claimed.targets),
            took=took,
            began_at=before.server.now,
            concluded_at=self._clock.now(),
        )
        arrived: tuple[Condition, ...] = ()
        if claimed.basis is Basis.FILTER:
            arrived = (*claimed.conditions, *_arrived_since(claimed.seen_at))
        try:
            after = await cluster.look(arrived, names=before.names, strict=True, limit=0)
        except ClusterError as error:
            log.warning("kill.no_look_after", kill=claimed.id, problem=error.problem)
            return conclusion
        return replace(
            conclusion,
            limits=_paired(claimed.before, before, after),
            waiting=(len(before.waits.blocked_by), len(after.waits.blocked_by)),
            arrivals=after.counts.total if arrived else 0,
        )

    async def _record(self, conclusion: Conclusion) -> Conclusion:
        """Write the outcome, trying again; what can't be written is said in the message."""
        for pause in (0.0, *_RECORD_TRIES):
            await self._clock.sleep(pause)
            try:
                if await self._ledger.conclude(conclusion, self._owner):
                    return conclusion
            except LedgerError:
                log.warning("kill.not_recorded", kill=conclusion.proposal.id, exc_info=True)
            else:
                log.error("kill.claim_lost", kill=conclusion.proposal.id)
                break
        log.error(
            "kill.outcome_not_in_ledger",
            kill=conclusion.proposal.id,
            outcomes={r.id.pid: r.outcome.value for r in conclusion.results},
        )
        return replace(conclusion, recorded=False)

    @asynccontextmanager
    async def _renewing(self, claimed: Proposal) -> AsyncIterator[None]:
        """Hold the claim's lease while its work goes on."""

        async def renew() -> None:
            while True:
                await self._clock.sleep(LEASE.total_seconds() / 3)
                try:
                    if not await self._ledger.renew(claimed.id, self._owner, LEASE):
                        log.error("kill.lease_lost", kill=claimed.id)
                        return
                except LedgerError:
                    log.warning("kill.lease_not_renewed", kill=claimed.id, exc_info=True)

        renewer = asyncio.create_task(renew(), name=f"lease-{claimed.id}")
        try:
            yield
        finally:
            renewer.cancel()
            with suppress(asyncio.CancelledError):
                await renewer

    # --- after the outcome ---------------------------------------------------------

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
        return replace(amended, notes=(*conclusion.notes, *notes))

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
                    *_arrived_since(conclusion.began_at or conclusion.proposal.seen_at),
                ),
                names=await cluster.names(),
                strict=True,
                limit=MAX_TARGETS,
            )
        except ClusterError as error:
            return (f"10 s later: {cluster.name} {error.problem}",)
        if not look.rows:
            who = roles[next(iter(roles))] if len(roles) == 1 else "the same roles"
            return (f"10 s later: no new session of {who}; what was freed is still free.",)
        return tuple(
            verdicts.came_back(name, [row for row in look.rows if row.usesysid == oid])
            for oid, name in roles.items()
            if any(row.usesysid == oid for row in look.rows)
        )

    async def recover(self) -> tuple[Conclusion, ...]:
        """Conclude what a process that died had claimed: nothing is signalled any more.

        Only a claim whose lease has expired is taken. Its targets are looked at, and what
        is seen is recorded as `interrupted`.
        """
        conclusions = []
        for proposal in await self._ledger.lapsed(self._owner, LEASE):
            log.warning("kill.lapsed", kill=proposal.id, cluster=proposal.cluster)
            results = await self._interrupted(proposal)
            conclusion = Conclusion(
                proposal=proposal,
                results=results,
                took=timedelta(0),
                concluded_at=self._clock.now(),
            )
            conclusions.append(await self._record(conclusion))
        return tuple(conclusions)

    async def _interrupted(self, proposal: Proposal) -> tuple[Result, ...]:
        ids = [target.id for target in proposal.targets]
        try:
            seen = await self._cluster(proposal.cluster).sight(ids)
        except (ClusterError, TargetError) as error:
            detail = f"the bot stopped while it was at work; looked at since: {error}"
            return tuple(Result(i, Outcome.INTERRUPTED, detail) for i in ids)
        return tuple(
            Result(
                i,
                Outcome.INTERRUPTED,
                "the bot stopped while it was at work; the session is "
                + ("still there" if verdicts.is_there(i, proposal, seen) else "gone"),
            )
            for i in ids
        )

    # --- dismissing, history, refusals ---------------------------------------------

    async def dismiss(self, actor: Actor, proposal_id: int) -> Proposal | NotClaimed:
        """Close an open preview, for the asker and for those who may kill."""
        if await self._ledger.dismiss(proposal_id, actor):
            entry = await self._ledger.get(proposal_id)
            assert entry is not None  # noqa: S101  it was just closed
            return entry.proposal
        entry = await self._ledger.get(proposal_id)
        return NotClaimed(why=(entry and _closed(entry)) or "missing", entry=entry)

    async def entry(self, proposal_id: int) -> Entry | None:
        """A proposal as the ledger has it."""
        return await self._ledger.get(proposal_id)

    async def history(self, request: HistoryRequest, *, before_id: int | None = None) -> History:
        """The last kills. Raises `LedgerError`."""
        entries = await self._ledger.history(
            _history_filter(request), limit=HISTORY_PAGE + 1, before_id=before_id
        )
        return History(
            request=request,
            entries=entries[:HISTORY_PAGE],
            more=len(entries) > HISTORY_PAGE,
            before_id=before_id,
        )

    async def refused(self, actor: Actor, channel_id: str, what: str, why: str) -> bool:
        """Record an attempt that was refused; False where the ledger can't be written."""
        try:
            await self._ledger.refused(actor, channel_id, what, why)
        except LedgerError:
            log.warning("refusal.not_recorded", user=actor.user_id, exc_info=True)
            return False
        return True

    async def first_time(self, signature: str) -> bool:
        """Whether no replica has seen this request before.

        A ledger in trouble must not keep anyone from looking: then it counts as new, and
        a kill, which needs the ledger, is claimed once in any case.
        """
        try:
            return await self._ledger.first_time(signature)
        except LedgerError:
            log.warning("ledger.signature_not_kept", exc_info=True)
            return True

    # --- names ---------------------------------------------------------------------

    def health(self, cluster_name: str) -> Health:
        """When a cluster last answered, and which others have done so since."""
        last_seen = {name: cluster.last_seen for name, cluster in self._clusters.items()}
        mine, now = last_seen.get(cluster_name), self._clock.now()
        return Health(
            last_seen_ago=None if mine is None else now - mine,
            others=tuple(
                name
                for name, seen in last_seen.items()
                if name != cluster_name and seen is not None and (mine is None or seen > mine)
            ),
        )

    def _cluster(self, name: str) -> Cluster:
        try:
            return self._clusters[name]
        except KeyError:
            nearest = get_close_matches(name, self._clusters, n=3)
            raise TargetError(
                f"{name}/", "no such cluster", tuple(f"{n}/" for n in nearest or self._clusters)
            ) from None

    async def _resolve(self, target: Named) -> "_Found":
        """The clusters that a target may mean. Raises `TargetError` where none does."""
        if target.cluster is not None:
            cluster = self._cluster(target.cluster)
            if target.database is not None:
                _database(await cluster.names(), target.database)
            return _Found((cluster,))
        if target.database is None:
            return _Found(tuple(self._clusters.values()))

        async def names(cluster: Cluster) -> Names | ClusterError:
            try:
                return await cluster.names()
            except ClusterError as error:
                return error

        clusters = tuple(self._clusters.values())
        answers = await asyncio.gather(*(names(cluster) for cluster in clusters))
        known = [(c, a) for c, a in zip(clusters, answers, strict=True) if isinstance(a, Names)]
        troubles = tuple(a for a in answers if isinstance(a, ClusterError))
        having = tuple(c for c, a in known if a.database_named(target.database) is not None)
        if having:
            return _Found(having, troubles)
        if troubles:
            raise troubles[0]
        everywhere = {d.datname for _, a in known for d in a.databases.values()}
        nearest = get_close_matches(target.database, sorted(everywhere), n=3)
        if target.database in self._clusters:
            nearest.insert(0, f"{target.database}/")
        raise TargetError(target.database, "no such database", tuple(nearest))

    def _conditions(
        self, request: SessionsRequest | KillRequest, names: Names
    ) -> tuple[Condition, ...]:
        datid = None
        if request.target.database is not None:
            datid = _database(names, request.target.database)
        conditions = freeze(request.terms, names, names.read_at, datid=datid)
        return (*conditions, PidIn(request.pids)) if request.pids else conditions

    async def _protection(self, cluster: Cluster, look: Look) -> Protection:
        own = set(await cluster.own_roles())
        home = await self._ledger.home()
        if home is not None and home.system_identifier == look.server.id.system_identifier:
            role = look.names.role_named(home.rolname)
            if role is not None:
                own.add(role.oid)
        return Protection(
            roles=self._rules.protected_roles,
            applications=self._rules.protected_applications,
            own_roles=frozenset(own),
        )


@dataclass(frozen=True, slots=True)
class _Found:
    clusters: tuple[Cluster, ...]
    troubles: tuple[ClusterError, ...] = ()


@dataclass(frozen=True, slots=True)
class _Gathered:
    cluster: Cluster
    look: Look
    conditions: tuple[Condition, ...]


def _database(names: Names, datname: str) -> int:
    database = names.database_named(datname)
    if database is None:
        every = sorted(d.datname for d in names.databases.values())
        raise TargetError(
            datname, "no such database", tuple(get_close_matches(datname, every, n=3))
        )
    return database.oid


def _names_type(request: SessionsRequest | KillRequest) -> bool:
    return any(
        isinstance(term, Match) and term.field is Field.BACKEND_TYPE for term in request.terms
    )


def _redacted(look: Look) -> Look:
    return replace(look, rows=tuple(replace(row, query=redact(row.query)) for row in look.rows))


def _target(row: Backend, look: Look, last_look: datetime | None) -> Target:
    assert row.id is not None  # noqa: S101  what may not be seen is spared, not a target
    return Target(
        id=row.id,
        seen=row,
        waiting_behind=len(look.waits.behind([row.pid])),
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


def _paired(shown: tuple[Limit, ...], before: Look, after: Look) -> tuple[tuple[Limit, Limit], ...]:
    def of(look: Look) -> dict[tuple[LimitOf, str], Limit]:
        limits = (*look.server.databases, *look.server.roles, look.server.ordinary)
        return {(limit.of, limit.name): limit for limit in limits}

    earlier, later = of(before), of(after)
    return tuple(
        (earlier[key], later[key])
        for key in ((limit.of, limit.name) for limit in shown)
        if key in earlier and key in later
    )


def _arrived_since(instant: datetime) -> tuple[Condition, ...]:
    return (
        Before(AgeOf.AGE, instant, older=False),
        TextLike("backend_type", (CLIENT_BACKEND,)),
    )


def _closed(entry: Entry) -> str | None:
    """Why a proposal can't be claimed, or None where it is open."""
    match entry.proposal.state:
        case State.PROPOSED:
            return "expired" if entry.expired else None
        case State.CLAIMED:
            return "claimed"
        case State.DONE:
            return "done"
        case State.DISMISSED:
            return "dismissed"


def _history_filter(request: HistoryRequest) -> HistoryFilter:
    def of(column: Field) -> tuple[tuple[Glob, bool], ...]:
        return tuple(
            (term.pattern.parts, term.negated)
            for term in request.terms
            if isinstance(term, Match) and term.field is column
        )

    return HistoryFilter(
        target=request.target, roles=of(Field.USENAME), databases=of(Field.DATNAME)
    )
