"""What a survey says of what it didn't read."""

from bot.domain.findings.survey import Part
from bot.postgres.survey import MOST_IDLE, Reading
from tests.unit.builders import backend, look


def test_locks_of_more_sessions_than_are_asked_for_are_unknown() -> None:
    idle = [backend(pid, state="idle in transaction") for pid in range(1, MOST_IDLE + 2)]
    reading = Reading(look(*idle), until=0)
    reading.rows[Part.TRANSACTIONS] = []
    held = reading.survey(lambda _: None).held
    assert held[1] == ()
    assert MOST_IDLE + 1 not in held
