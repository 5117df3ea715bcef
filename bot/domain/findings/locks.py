"""Who holds up whom: the roots of the tree of waiters, and the cheapest way out."""

from collections.abc import Iterable
from datetime import datetime

from bot.domain.blocking import LockWait
from bot.domain.findings.model import (
    Act,
    Blocks,
    Cancel,
    End,
    Finding,
    Question,
    Rule,
    Run,
    Severity,
    Subject,
    SubjectOf,
)
from bot.domain.findings.survey import Survey
from bot.domain.sessions import CLIENT_BACKEND, Backend
from bot.domain.sql_text import role_timeout, rollback_prepared


def blocker(survey: Survey, question: Question) -> Iterable[Finding]:
    """Backends that others wait for, and that wait for nobody."""
    for pid in roots(survey):
        backend = survey.backend(pid)
        if pid > 0 and not is_against_wraparound(backend):
            found = blocks(survey, pid)
            if not is_short(survey, question, found.since):
                yield _blocker(survey, found)


def _blocker(survey: Survey, found: Blocks) -> Finding:
    return Finding(
        rule=Rule.BLOCKER,
        severity=Severity.ERROR,
        subject=Subject.session(found.pid, found.backend),
        evidence=found,
        hurt=found.behind,
        since=found.since,
        involved=frozenset({found.pid, *survey.waits.behind([found.pid])}),
        acts=ways_out(survey, found.backend),
        prevention=timeouts(found.backend),
    )


def prepared_transaction(survey: Survey, question: Question) -> Iterable[Finding]:
    """Prepared transactions that others wait for, or that nobody has finished."""
    for pid, prepared in survey.locks.prepared.items():
        found = blocks(survey, pid)
        waited_for = found.behind and not is_short(survey, question, found.since)
        if not waited_for and survey.now - prepared.prepared < question.patience.prepared:
            continue
        yield Finding(
            rule=Rule.PREPARED_TRANSACTION,
            severity=Severity.ERROR if waited_for else Severity.WARNING,
            subject=Subject(SubjectOf.PREPARED, prepared.gid),
            evidence=found,
            hurt=found.behind,
            since=found.since if waited_for else prepared.prepared,
            involved=frozenset({pid, *survey.waits.behind([pid])}),
            acts=(Run(rollback_prepared(prepared.gid), prepared.datname, prepared.owner),),
        )


def roots(survey: Survey) -> Iterable[int]:
    """Sessions that hold up others and wait for nobody: pids, or -xid of prepared transactions."""
    waits = survey.waits
    return sorted(pid for pid in waits.pids if pid not in waits.blocked_by and waits.holds_up(pid))


def blocks(survey: Survey, pid: int) -> Blocks:
    """What is known about a root."""
    behind = survey.waits.behind([pid])
    first = first_wait(survey, behind)
    return Blocks(
        pid=pid,
        behind=len(behind),
        freed=len(survey.waits.freed_by([pid])),
        backend=survey.backend(pid),
        prepared=survey.locks.prepared.get(pid),
        on=None if first is None else survey.locks.waits.get(first),
        since=None if first is None else waits_since(survey, first),
    )


def first_wait(survey: Survey, pids: Iterable[int]) -> int | None:
    """The session that has waited longest, of those whose wait PostgreSQL has recorded."""
    known = {pid: since for pid in pids if (since := waits_since(survey, pid)) is not None}
    return min(known, key=lambda pid: (known[pid], pid), default=None)


def waits_since(survey: Survey, pid: int) -> datetime | None:
    """When a session began to wait for a lock."""
    wait: LockWait | None = survey.locks.waits.get(pid)
    if wait is not None and wait.since is not None:
        return wait.since
    since = survey.waits.since.get(pid)
    backend = survey.backend(pid)
    if since is None and backend is not None and backend.wait_event == "SafeSnapshot":
        return backend.query_start  # it doesn't wait for a lock, so its wait isn't recorded
    return since


def is_short(survey: Survey, question: Question, since: datetime | None) -> bool:
    """Whether a wait is too short to mention: an ordinary one ends by itself."""
    begun = survey.now if since is None else since  # PostgreSQL records it a moment later
    return survey.now - begun < question.patience.wait


def is_against_wraparound(backend: Backend | None) -> bool:
    """Whether this is the vacuum that must not be ended."""
    return (
        backend is not None
        and backend.backend_type == "autovacuum worker"
        and "(to prevent wraparound)" in (backend.query or "")
    )


def ways_out(survey: Survey, backend: Backend | None) -> tuple[Act, ...]:
    """What can be done about a session that is in the way, the cheapest first."""
    if backend is None or backend.backend_type != CLIENT_BACKEND or backend.pid in survey.spared:
        return ()
    return (Cancel(backend), End(backend)) if backend.state == "active" else (End(backend),)


def timeouts(backend: Backend | None) -> tuple[str, ...]:
    """The timeout that would have ended what a session does now."""
    if backend is None or backend.usename is None:
        return ()
    if backend.is_idle_in_transaction:
        return (role_timeout(backend.usename, "idle_in_transaction_session_timeout", "5min"),)
    if backend.state == "idle":  # if it is in the way, it holds an advisory lock of its session
        return (role_timeout(backend.usename, "idle_session_timeout", "10min"),)
    if backend.state == "active":
        return (role_timeout(backend.usename, "statement_timeout", "10min"),)
    return ()
