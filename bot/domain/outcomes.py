"""What PostgreSQL's answers say about each target, and what keeps it from coming back.

Pure. An outcome says what was seen, never what is likely. `terminated` is a backend that is gone,
`unknown` one whose statement got no reply.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from bot.domain.findings.locks import timeouts
from bot.domain.kills import (
    Action,
    Conclusion,
    Outcome,
    Proposal,
    Reason,
    Result,
)
from bot.domain.sessions import Backend, BackendId, LimitOf, Server
from bot.domain.signals import Guard, Reply, Sighting, Verdict, Whereabouts
from bot.domain.sql_text import identifier
from bot.errors import ClusterError

_SAID = {
    Reason.OTHER_WORK: "had begun other work since the preview",
    Reason.UNWATCHED: "signalled, and not watched to its end",
    Reason.NOT_KNOWN: "the bot stopped before it was known",
}

ELSEWHERE = "the server was restarted, or another one answers at its address now"


MOST_STATEMENTS = 3
"""How many statements that keep what was ended from coming back are shown."""


def _because(backend_id: BackendId, outcome: Outcome, reason: Reason) -> Result:
    return Result(backend_id, outcome, _SAID[reason], reason)


def signalled(backend_id: BackendId) -> Result:
    """The result between the signal and its effect; it stays if nothing more is learned."""
    return _because(backend_id, Outcome.INTERRUPTED, Reason.UNWATCHED)


def not_known(backend_id: BackendId) -> Result:
    """The result of a target whose statement may be under way as the bot stops."""
    return _because(backend_id, Outcome.INTERRUPTED, Reason.NOT_KNOWN)


def broken_off(claimed: Proposal, results: Mapping[BackendId, Result], now: datetime) -> Conclusion:
    """The outcome of a kill that could not be completed."""
    return Conclusion(
        proposal=claimed,
        results=tuple(results.get(target.id, not_known(target.id)) for target in claimed.targets),
        took=timedelta(0),
        concluded_at=now,
    )


def without_a_query(claimed: Proposal) -> dict[BackendId, Result]:
    """The targets that ran no query, if the kill begins with a cancel: it would have no effect."""
    if claimed.action is Action.TERMINATE:
        return {}
    return {
        target.id: Result(target.id, Outcome.ALREADY_FINISHED, "no query was running")
        for target in claimed.targets
        if target.seen.state != "active"
    }


def not_sent(guard: Guard, error: ClusterError | None) -> Result:
    """No statement was sent for this target, because of an error at it or at an earlier one."""
    problem = error.problem if error else "the server did not answer for the target before it"
    return Result(guard.target, Outcome.INTERRUPTED, f"not signalled: {problem}")


def refused(guard: Guard, reply: Reply) -> Result:  # noqa: C901  one case a verdict
    """The outcome of a target that the statement left alone, from its verdict."""
    match reply.verdict:
        case Verdict.GONE:
            return Result(guard.target, Outcome.ALREADY_GONE)
        case Verdict.NOT_VISIBLE:
            detail = "the bot can no longer see it: grant pg_read_all_stats"
            return Result(guard.target, Outcome.NOT_PERMITTED, detail)
        case Verdict.NOT_CLIENT:
            return Result(guard.target, Outcome.PROTECTED, "not a client backend")
        case Verdict.PROTECTED:
            detail = "the bot's own role, PROTECTED_ROLES or PROTECTED_APPLICATIONS"
            return Result(guard.target, Outcome.PROTECTED, detail)
        case Verdict.FINISHED:
            return Result(guard.target, Outcome.ALREADY_FINISHED)
        case Verdict.CHANGED | Verdict.COSTS_MORE:
            return Result(guard.target, Outcome.CHANGED, _what_now(reply))
        case Verdict.NO_LONGER_MATCHES:
            return Result(guard.target, Outcome.NO_LONGER_MATCHES, f"now {reply.state}")
        case Verdict.SERVER_CHANGED:
            return elsewhere(guard)
        case Verdict.LATE:
            detail = "not signalled: its deadline of 5 s had passed"
            return Result(guard.target, Outcome.INTERRUPTED, detail)
        case Verdict.NOT_PERMITTED:
            return Result(guard.target, Outcome.NOT_PERMITTED, reply.detail)
        case Verdict.SIGNALLED:
            raise AssertionError("a signalled target is watched, not refused")
        case _:
            assert_never(reply.verdict)


def elsewhere(guard: Guard) -> Result:
    """The server that answers is not the target's server, or has restarted."""
    detail = "restarted or failed over since the preview"
    return Result(guard.target, Outcome.SERVER_CHANGED, detail)


def other_work(guard: Guard, reply: Reply) -> bool:
    """Whether a terminated target was in another transaction than shown."""
    if guard.action is not Action.TERMINATE:
        return False  # the query is the one that was shown
    if guard.backend_xid is not None and reply.backend_xid != guard.backend_xid:
        return True
    return reply.xact_start != guard.xact_start


def _what_now(reply: Reply) -> str:
    if reply.state == "disabled":
        return "track_activities is off for it, so the bot can't see its transaction"
    if reply.xact_start is None or reply.now is None:
        return "its transaction has ended"
    seconds = max(0, int((reply.now - reply.xact_start).total_seconds()))
    doing = f"{reply.state}, in a transaction that began {seconds} s ago"
    if reply.verdict is Verdict.COSTS_MORE and reply.backend_xid is not None:
        return f"has written since the preview; {doing}"
    return doing


def succeeded(guard: Guard, *, other_work: bool) -> Result:
    """The signal had its effect; `other_work` if the target was in another transaction by then.

    A target that a filter named and that still matched is ended even so, if that costs no more than
    was shown. That is within what was confirmed, and the outcome says so.
    """
    if other_work:
        return _because(guard.target, success(guard.action), Reason.OTHER_WORK)
    return Result(guard.target, success(guard.action))


def success(action: Action) -> Outcome:
    """The outcome of a signal that had its effect."""
    match action:
        case Action.TERMINATE | Action.CANCEL_THEN_TERMINATE:
            return Outcome.TERMINATED
        case Action.CANCEL:
            return Outcome.CANCELLED


def ended(guard: Guard, seen: Sighting) -> bool:
    """Whether a signal is seen to have had its effect.

    False if another server answers (a failover, an address that moved) or this one has restarted:
    the old server, with its sessions, may still run.
    """
    if seen.server != guard.server:
        return False
    return _has_ended(seen.there.get(guard.target), guard.action, guard.query_start)


def _has_ended(found: Whereabouts | None, action: Action, query_start: datetime | None) -> bool:
    if found is None:
        return True
    if action is not Action.CANCEL or found.state is None:
        return False
    return found.state != "active" or found.query_start != query_start


def not_ended(guard: Guard, seen: Sighting | None, trouble: ClusterError | None) -> Result:
    """The outcome of a target that was signalled and not seen to end in time."""
    if seen is None or trouble is not None:
        problem = trouble.problem if trouble else "not looked at"
        return Result(guard.target, Outcome.UNKNOWN, f"signalled, and then: {problem}")
    if seen.server != guard.server:
        return Result(guard.target, Outcome.UNKNOWN, f"signalled; {ELSEWHERE}")
    return still_running(guard.target, seen.there[guard.target])


def still_running(backend_id: BackendId, found: Whereabouts) -> Result:
    """The outcome of a target that has not ended in time; says what it waits for."""
    return Result(backend_id, Outcome.STILL_RUNNING, _waits_on(found))


def _waits_on(found: Whereabouts) -> str:
    if found.wait_event is not None:
        return f"signalled; {found.state}, waits on {found.wait_event_type}/{found.wait_event}"
    if found.state is not None:
        return f"signalled; {found.state}, waits on nothing"
    return "signalled; the bot can no longer see what it does"


def left_behind(result: Result, proposal: Proposal, seen: Sighting) -> Result:
    """What is seen now of a target about which a stopped process knew too little."""
    found, reason = "the session is still there", None
    if seen.server != proposal.server:
        found = ELSEWHERE
    elif result.id not in seen.there:
        found, reason = "the session is gone", Reason.GONE_SINCE
    return replace(result, detail=f"{result.detail}; {found}", reason=reason)


def not_seen(result: Result, problem: str) -> Result:
    """The same result when the second look failed; there won't be another look."""
    return replace(result, detail=f"{result.detail}; looked at again: {problem}", reason=None)


def later_by(span: timedelta) -> str:
    """How long after the outcome a second look was: `10 s later`, `3 min later`."""
    seconds = int(span.total_seconds())
    if seconds < 15:
        return "10 s later"  # the intended time, even if a busy machine was late
    return f"{seconds} s later" if seconds < 120 else f"{seconds // 60} min later"


def later(result: Result, seen: Sighting, proposal: Proposal, when: str) -> Result:
    """What a second look says about a target that was left open."""
    return replace(_later(result, seen, proposal, when), first_step=result.first_step)


def _later(result: Result, seen: Sighting, proposal: Proposal, when: str) -> Result:
    if result.outcome is Outcome.INTERRUPTED:
        return left_behind(result, proposal, seen)
    if seen.server != proposal.server:
        return Result(result.id, Outcome.UNKNOWN, f"looked at again: {ELSEWHERE}")
    found = seen.there.get(result.id)
    if result.outcome is Outcome.STILL_RUNNING:
        target = next(t for t in proposal.targets if t.id == result.id)
        if _has_ended(found, proposal.action, target.seen.query_start):
            return Result(result.id, success(proposal.action), "seen at the second look")
        detail = _waits_on(found) if found is not None else ""
        return Result(result.id, Outcome.STILL_RUNNING, f"{detail}; the same {when}")
    if found is None:
        gone = "gone now; whether by this signal is not known"
        return Result(result.id, Outcome.UNKNOWN, gone, Reason.GONE_SINCE)
    there = "still there after the deadline; the bot won't signal it any more"
    return Result(result.id, Outcome.UNKNOWN, there)


def came_back(rolname: str, rows: list[Backend], when: str) -> str:
    """The line about a role whose sessions are back; `rows` are the new ones."""
    pids = ", ".join(str(row.pid) for row in rows[:3]) + (", …" if len(rows) > 3 else "")
    sessions = "1 session" if len(rows) == 1 else f"{len(rows)} sessions"
    return (
        f"{when}: {rolname} is back with {sessions} (pid {pids}). "
        "Stop the client or pause its pool, or it will keep coming back."
    )


def stayed_away(who: str, server: Server, when: str) -> str:
    """The line if nobody came back: whether the freed connections are still free."""
    if server.unseen:
        return f"{when}: the bot sees no new session of {who}, but it lacks pg_read_all_stats."
    role, ordinary = server.role_limit(who), server.ordinary
    full = next((limit for limit in (role, ordinary) if limit and limit.reached), None)
    if full is not None:
        more = f" and {full.logging_in} logging in" if full.logging_in else ""
        return (
            f"{when}: no new session of {who}, but {full.name} {full.used} of {full.limit}{more}: "
            "what was freed is in use again."
        )
    return f"{when}: no new session of {who}; what was freed is still free."


def prevention(conclusion: Conclusion) -> tuple[str, ...]:
    """SQL that keeps what was ended from coming back. It is shown; the bot never runs it.

    Of the roles whose sessions were ended; empty if nothing suggests any.
    """
    ended = [
        conclusion.target(result.id).seen
        for result in conclusion.results
        if result.outcome is Outcome.TERMINATED
    ]
    return (*_timeouts(ended), *_limits(conclusion, ended))[:MOST_STATEMENTS]


def _timeouts(ended: list[Backend]) -> Iterable[str]:
    return dict.fromkeys(
        statement for seen in ended if seen.is_idle_in_transaction for statement in timeouts(seen)
    )


def _limits(conclusion: Conclusion, ended: list[Backend]) -> Iterator[str]:
    """If connections ran out: half of them, for the role whose sessions were ended most.

    Not if it has a limit already.
    """
    before = [limit for limit, _ in conclusion.limits]
    server = next((limit for limit in before if limit.of is LimitOf.SERVER), None)
    limited = {limit.name for limit in before if limit.of is LimitOf.ROLE}
    roles = Counter(seen.usename for seen in ended if seen.usename is not None)
    if server is None or not server.near or not roles:
        return
    role, number = roles.most_common(1)[0]
    if number > 1 and role not in limited:
        yield f"alter role {identifier(role)} connection limit {max(1, server.limit // 2)};"
