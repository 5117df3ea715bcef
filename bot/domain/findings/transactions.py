"""Transactions that stay open: what they hold, and whom they affect."""

from collections.abc import Iterable
from datetime import timedelta

from bot.domain.findings.locks import timeouts, ways_out
from bot.domain.findings.model import (
    PATIENCE,
    Act,
    Finding,
    HoldsBack,
    Idle,
    Patience,
    Question,
    Rule,
    Run,
    Severity,
    Subject,
    SubjectOf,
)
from bot.domain.findings.survey import Held, Holder, Survey
from bot.domain.sessions import Backend
from bot.domain.sql_text import literal, rollback_prepared


def idle_in_transaction(survey: Survey, question: Question) -> Iterable[Finding]:
    """Sessions idle in a transaction; one that pins nothing only if it is asked about.

    Leaves out those that hold others up: they are blockers.
    """
    for row in survey.clients():
        length = row.state_age(survey.now)
        if not row.is_idle_in_transaction or length is None or length < question.patience.idle:
            continue
        if survey.waits.holds_up(row.pid):
            continue
        evidence = _held(survey, row)
        if not evidence.pins_nothing or question.is_narrow:
            yield _finding(survey, row, evidence)


def _held(survey: Survey, row: Backend) -> Idle:
    by_session = {held.pid: held for held in survey.holders if held.kind is Holder.SESSION}
    held = by_session.get(row.pid)
    return Idle(
        backend=row,
        locks=survey.held.get(row.pid),
        xids=None if held is None else held.xids,
    )


def _finding(survey: Survey, row: Backend, evidence: Idle) -> Finding:
    return Finding(
        rule=Rule.IDLE_IN_TRANSACTION,
        severity=Severity.NOTICE if evidence.pins_nothing else Severity.WARNING,
        subject=Subject.session(row.pid, row),
        evidence=evidence,
        since=row.state_change,
        involved=frozenset({row.pid}),
        acts=ways_out(survey, row),
        prevention=timeouts(row),
    )


UNKNOWN_SINCE = 10
"""If PostgreSQL doesn't say since when, something must be this many times as far behind."""


def horizon(survey: Survey, question: Question) -> Iterable[Finding]:
    """What holds back vacuum most, of all that do so far enough and for long enough.

    A slot that is in use is no reason to stay silent about the transaction it waits for.
    """
    for held in survey.holders:
        row = survey.backend(held.pid) if held.kind is Holder.SESSION else None
        if not counts(row):
            continue
        most = question.patience.horizon_xids
        if held.since is None and held.active is not False:
            most *= UNKNOWN_SINCE
        length = timedelta.max if held.since is None else survey.now - held.since
        if held.xids >= most and length >= question.patience.horizon:
            yield _holds_back(survey, held, row, question.patience)
            return


def counts(row: Backend | None) -> bool:
    """Whether vacuum waits for it at all.

    It doesn't wait for another vacuum (`PROC_IN_VACUUM`), but it does for an autovacuum worker that
    only analyzes.
    """
    if row is None or row.backend_type != "autovacuum worker":
        return True
    return (row.query or "").startswith("autovacuum: ANALYZE ")


def _holds_back(survey: Survey, held: Held, row: Backend | None, patience: Patience) -> Finding:
    subject = {
        Holder.SESSION: SubjectOf.SESSION,
        Holder.PREPARED: SubjectOf.PREPARED,
        Holder.SLOT: SubjectOf.SLOT,
        Holder.STANDBY: SubjectOf.STANDBY,
    }[held.kind]
    name = held.name if held.pid is None or held.kind is Holder.STANDBY else str(held.pid)
    pids = () if held.pid is None else (held.pid,)
    return Finding(
        rule=Rule.HORIZON,
        severity=Severity.WARNING,
        subject=Subject(subject, name, None if row is None else row.id),
        evidence=HoldsBack(held=held, backend=row),
        since=held.since,
        involved=frozenset(pids),
        covers=frozenset(pids),
        acts=lets_go(survey, held, patience),
        prevention=_against(survey, held, row),
    )


def lets_go(survey: Survey, held: Held, patience: Patience = PATIENCE) -> tuple[Act, ...]:
    """What makes it let go; empty if it ends by itself or no statement here ends it.

    A slot is dropped once nobody has read it for long: its consumer can't go on without it.
    """
    match held.kind:
        case Holder.SESSION:
            return ways_out(survey, survey.backend(held.pid))
        case Holder.PREPARED:
            return (Run(rollback_prepared(held.name), held.datname, held.usename),)
        case Holder.SLOT if _is_abandoned(survey, held, patience):
            return (drop(held),)
        case _:
            return ()


def drop(held: Held) -> Run:
    """What drops a slot: its consumer or standby can't go on without it."""
    return Run(f"select pg_drop_replication_slot({literal(held.name)});")


def _is_abandoned(survey: Survey, held: Held, patience: Patience) -> bool:
    if not held.is_unused_slot:
        return False
    if held.since is None:
        return held.xids >= patience.horizon_xids * UNKNOWN_SINCE
    return survey.now - held.since >= patience.horizon


def _against(survey: Survey, held: Held, row: Backend | None) -> tuple[str, ...]:
    if held.kind is Holder.SLOT:
        if not held.is_unused_slot:
            return ()
        is_18 = int(survey.server.version.partition(".")[0]) >= 18
        limit = (
            "idle_replication_slot_timeout = '1d'" if is_18 else "max_slot_wal_keep_size = '50GB'"
        )
        return (f"alter system set {limit};  -- for every slot", "select pg_reload_conf();")
    return timeouts(row)
