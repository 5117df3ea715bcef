"""Waiters whose requests block others: withdrawing one is cheaper than ending a holder."""

from collections.abc import Iterable

from bot.domain.findings.locks import (
    blocks,
    first_wait,
    is_against_wraparound,
    is_short,
    roots,
    waits_since,
    ways_out,
)
from bot.domain.findings.model import (
    Act,
    Blocks,
    Builds,
    Cancel,
    Finding,
    Question,
    Queue,
    Rule,
    Severity,
    Subject,
)
from bot.domain.findings.survey import Survey
from bot.domain.sessions import Backend

STRONG = frozenset(
    f"{mode}Lock" for mode in ("Share", "ShareRowExclusive", "Exclusive", "AccessExclusive")
)
"""Modes that DDL takes, and that ordinary reads or writes wait for."""

ANY_DDL = STRONG | {"ShareUpdateExclusiveLock"}

LOCK_TIMEOUT = "set lock_timeout = '5s';  -- in the session of the migration, before it"


def ddl_queue(survey: Survey, question: Question) -> Iterable[Finding]:
    """A waiting request for a relation, if others wait only because of it."""
    for pids in _requests(survey, STRONG):
        freed = survey.waits.freed_by(pids)
        if not freed:
            continue
        # One is enough if the others, which then come first, are in nobody's way.
        asking = pids[:1] if len(survey.waits.freed_by(pids[:1]) - {*pids}) == len(freed) else pids
        head = survey.backend(asking[0])
        holder = _holder(survey, asking[0])
        if head is None or is_against_wraparound(survey.backend(holder)):
            continue
        if is_short(survey, question, waits_since(survey, asking[0])):
            continue
        yield _queue(survey, asking, holder)


def _queue(survey: Survey, asking: list[int], holder: int) -> Finding:
    waits = survey.waits
    backends = [row for row in map(survey.backend, asking) if row is not None]
    behind, freed = waits.behind(asking), waits.freed_by(asking)
    in_the_way = blocks(survey, holder)
    only_these = waits.behind([holder]) <= {*asking, *freed}
    since = first_wait(survey, freed)
    return Finding(
        rule=Rule.DDL_QUEUE,
        severity=Severity.ERROR,
        subject=Subject.session(backends[0].pid, backends[0]),
        evidence=Queue(
            head=backends[0],
            wait=survey.locks.waits[asking[0]],
            behind=len(behind),
            freed=len(freed),
            blocker=in_the_way,
            further=tuple(backends[1:]),
        ),
        hurt=len(behind),
        since=waits_since(survey, asking[0]) if since is None else waits_since(survey, since),
        involved=frozenset({holder, *asking, *behind}),
        covers=frozenset({holder}) if only_these else frozenset(),
        acts=(*_cancels(survey, backends), *_end(survey, in_the_way)),
        prevention=(LOCK_TIMEOUT,),
    )


def _end(survey: Survey, in_the_way: Blocks) -> Iterable[Act]:
    """The end of what the queue waits for, if anybody goes on then: there may be others."""
    return ways_out(survey, in_the_way.backend)[-1:] if in_the_way.freed else ()


def _requests(survey: Survey, modes: Iterable[str]) -> Iterable[list[int]]:
    """Sessions that wait for one relation in such a mode, in the order of the queue."""
    by_relation: dict[tuple[int | None, int | None], list[int]] = {}
    for pid, wait in survey.locks.waits.items():
        if wait.locktype == "relation" and wait.mode in modes:
            by_relation.setdefault((wait.database, wait.relation), []).append(pid)
    for pids in by_relation.values():
        yield sorted(pids, key=lambda pid: (waits_since(survey, pid) or survey.now, pid))


def _holder(survey: Survey, pid: int) -> int:
    """The first session that blocks it."""
    first = survey.waits.blockers_of(pid).first
    return first[0] if first else 0


def _cancels(survey: Survey, backends: Iterable[Backend]) -> tuple[Act, ...]:
    ways = (ways_out(survey, row) for row in backends)
    return tuple(way for each in ways for way in each[:1] if isinstance(way, Cancel))[:3]


def wraparound_vacuum(survey: Survey, question: Question) -> Iterable[Finding]:
    """A vacuum that must not be ended blocks a DDL statement, which must give way."""
    for pid in roots(survey):
        worker = survey.backend(pid)
        if not is_against_wraparound(worker):
            continue
        found = blocks(survey, pid)
        if is_short(survey, question, found.since):
            continue
        asking = [
            each
            for pids in _requests(survey, ANY_DDL)
            for each in pids
            if pid in survey.waits.blockers_of(each).first
        ]
        backends = [row for row in map(survey.backend, asking) if row is not None]
        yield Finding(
            rule=Rule.WRAPAROUND_VACUUM,
            severity=Severity.ERROR,
            subject=Subject.session(pid, worker),
            evidence=found,
            hurt=found.behind,
            since=found.since,
            involved=frozenset({pid, *survey.waits.behind([pid])}),
            covers=frozenset(asking),
            acts=_cancels(survey, backends),
        )


def concurrent_index(survey: Survey, question: Question) -> Iterable[Finding]:
    """A concurrent index build that waits for transactions to end."""
    for build in survey.builds:
        backend = survey.backend(build.pid)
        waits = "CONCURRENTLY" in build.command and build.phase.startswith("waiting for")
        if not waits or build.lockers_done >= build.lockers_total:
            continue
        since = waits_since(survey, build.pid)
        if is_short(survey, question, since):
            continue
        locker = survey.backend(build.current_locker_pid)
        behind = survey.waits.behind([build.pid])
        lockers = [] if build.current_locker_pid is None else [build.current_locker_pid]
        only_this = survey.waits.behind(lockers) <= {build.pid, *behind}
        yield Finding(
            rule=Rule.CONCURRENT_INDEX,
            severity=Severity.ERROR if behind else Severity.WARNING,
            subject=Subject.session(build.pid, backend),
            evidence=Builds(build=build, backend=backend, locker=locker),
            hurt=1 + len(behind),
            since=since,
            involved=frozenset({build.pid, *lockers, *behind}),
            covers=frozenset(lockers) if only_this else frozenset(),
            acts=ways_out(survey, locker),
        )
