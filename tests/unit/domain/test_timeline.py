"""The order of what happened."""

from datetime import UTC, datetime, timedelta

from bot.domain.kills import Actor
from bot.domain.record import Noted
from bot.domain.timeline import Event, Step, Timeline

NOW = datetime(2026, 7, 1, 3, 0, tzinfo=UTC)
NOTE = Noted(id=1, at=NOW, actor=Actor("U1", "T1"), channel_id="C1", what="/pg-sessions")


def test_kills_of_one_instant_stay_in_the_order_of_the_record() -> None:
    recorded = (Step.PREVIEW, Step.DISMISSED, Step.PREVIEW, Step.CONFIRMED, Step.LOOK, Step.ALERT)
    events = [Event(at=NOW, step=step, cluster=None, by=None, of=NOTE) for step in recorded]
    found = Timeline(since=NOW, until=NOW + timedelta(hours=1)).of(iter(events))
    assert [each.step for each in found] == [
        Step.ALERT,
        Step.LOOK,
        Step.PREVIEW,
        Step.DISMISSED,
        Step.PREVIEW,
        Step.CONFIRMED,
    ]
