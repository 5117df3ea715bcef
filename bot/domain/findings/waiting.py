"""What sessions wait for other than locks, by the name of the wait event."""

from collections.abc import Iterable, Iterator

from bot.domain.findings.model import (
    Finding,
    Question,
    Rule,
    Severity,
    Subject,
    SubjectOf,
    Waits,
)
from bot.domain.findings.survey import Survey
from bot.domain.sessions import Backend

SHOWN = 3
"""How many sessions of one event are named."""

HANGING = frozenset({("IPC", "SyncRep"), ("Client", "ClientWrite"), ("BufferPin", "BufferPin")})
"""Events that are reported without being asked about, of statements that have run for long: they
may hang. Others come and go while PostgreSQL works."""


def waiting(survey: Survey, question: Question) -> Iterable[Finding]:
    """What the requested session waits for; if none is requested, the sessions that may hang.

    PostgreSQL doesn't record since when: a statement that has run for long may have begun to wait
    just now.
    """
    by_event: dict[tuple[str, str], list[Backend]] = {}
    for row in _asked(survey, question):
        if row.wait_event_type is not None and row.wait_event is not None:
            by_event.setdefault((row.wait_event_type, row.wait_event), []).append(row)
    for (event_type, event), rows in by_event.items():
        rows.sort(key=lambda row: (row.query_start or survey.now, row.pid))
        hangs = (event_type, event) == ("IPC", "SyncRep")
        yield Finding(
            rule=Rule.WAITING,
            severity=Severity.ERROR if hangs else Severity.NOTICE,
            subject=Subject(SubjectOf.EVENT, event),
            evidence=Waits(
                event_type=event_type,
                event=event,
                backends=tuple(rows[:SHOWN]),
                number=len(rows),
            ),
            hurt=len(rows) if hangs else 0,
            involved=frozenset(row.pid for row in rows),
        )


def _asked(survey: Survey, question: Question) -> Iterator[Backend]:
    for row in survey.look.rows:
        if question.pid is not None:
            # Other rules report waits for locks; waiting for the client isn't a wait.
            if row.pid == question.pid and not row.is_waiting and row.state == "active":
                yield row
        elif (row.wait_event_type, row.wait_event) in HANGING and row.state == "active":
            length = row.query_age(survey.now)
            if length is not None and length >= question.patience.event:
                yield row
