"""A timeline is what the ledger has, on SQLite and on PostgreSQL."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.alerts import Opening
from bot.domain.findings.model import Rule, Subject, SubjectOf
from bot.domain.timeline import Step, Timeline
from bot.domain.tracks import Topic
from bot.ledger.sql import SqlLedger
from bot.operations import timeline
from tests.integration.ledger.building import (
    ANA,
    BEN,
    LONG,
    OVER,
    claimed,
    conclusion,
    draft,
    look_note,
    refusal_note,
)

pytestmark = pytest.mark.sql

DAY = timedelta(days=1)
SPEAKER = ("speaker", "one")
TOPIC = Topic("main", Rule.LIMIT, Subject(SubjectOf.ROLE, "some_user"))


def asked(cluster: str | None = None) -> Timeline:
    now = datetime.now(UTC)
    return Timeline(since=now - LONG, until=now + LONG, cluster=cluster)


def told(found: Timeline) -> Sequence[tuple[Step, str | None]]:
    return [(event.step, event.by.user_id if event.by else None) for event in found.events]


async def test_everything_on_record_is_in_one_list(ledger: SqlLedger) -> None:
    await ledger.note([(30, look_note("sessions")), (20, refusal_note("/pg-kill 33507"))])
    dismissed = await ledger.propose(draft(), LONG)
    assert await ledger.dismiss(dismissed.key, BEN)
    await ledger.propose(draft(), OVER)
    claim = await claimed(ledger, "one")
    assert await ledger.conclude(conclusion(claim), "one")
    await ledger.propose(draft(), LONG)

    assert told(await timeline.read(ledger, asked())) == [
        (Step.LOOK, ANA.user_id),
        (Step.REFUSED, ANA.user_id),
        (Step.PREVIEW, ANA.user_id),
        (Step.DISMISSED, BEN.user_id),
        (Step.PREVIEW, ANA.user_id),
        (Step.EXPIRED, None),
        (Step.PREVIEW, ANA.user_id),
        (Step.CONFIRMED, BEN.user_id),
        (Step.OUTCOME, None),
        (Step.PREVIEW, ANA.user_id),
    ]


async def test_a_step_counts_when_it_was_made(ledger: SqlLedger) -> None:
    """The preview was made before; what became of it is listed all the same."""
    claim = await claimed(ledger, "one")
    between = datetime.now(UTC)
    assert await ledger.conclude(conclusion(claim), "one")
    later = Timeline(since=between, until=between + LONG)
    assert told(await timeline.read(ledger, later)) == [(Step.OUTCOME, None)]
    earlier = Timeline(since=between - LONG, until=between)
    assert told(await timeline.read(ledger, earlier)) == [
        (Step.PREVIEW, ANA.user_id),
        (Step.CONFIRMED, BEN.user_id),
    ]


async def test_more_than_is_read_at_once_is_all_there(ledger: SqlLedger) -> None:
    notes = [(at, look_note(f"look {at}")) for at in reversed(range(timeline.CHUNK * 2 + 1))]
    await ledger.note(notes)
    assert len((await timeline.read(ledger, asked())).events) == len(notes)


async def test_one_clusters_timeline_leaves_out_the_others(ledger: SqlLedger) -> None:
    await ledger.note([(9, look_note("here")), (8, look_note("there", cluster="prod"))])
    here, there = [await ledger.propose(draft(cluster=c), LONG) for c in ("main", "prod")]
    refused = {
        f"kill.terminate {here.key}": "main",
        f"kill.terminate {there.key}": "prod",
        f"kill.page {there.key} 1": "prod",
        "/pg-kill main/some_db user=web": "main",
        "/pg-sessions prod/": "prod",
        "/pg-sessions why prod/": "prod",
        "/pg-kill history prod/": "prod",
        "/pg-kill 33507": None,
        "/pg-kill help": None,
        "/pg-sessions (not understood)": None,
        "kill.terminate of-no-kill": None,
        "": None,
    }
    await ledger.note([(1, refusal_note(what)) for what in refused])

    async def refusals(cluster: str | None, *, every: bool = True) -> list[str]:
        found = await timeline.read(ledger, asked(cluster), without_a_cluster=every)
        others = {event.cluster for event in found.events} - {cluster, None}
        assert not others or cluster is None
        return [event.of.what for event in found.events if event.step is Step.REFUSED]  # type: ignore[union-attr]

    assert await refusals(None) == list(refused)
    for name in ("main", "prod"):
        own = [what for what, cluster in refused.items() if cluster == name]
        assert await refusals(name, every=False) == own
        assert await refusals(name) == [
            what for what, cluster in refused.items() if cluster in (name, None)
        ]


async def test_alerts_are_told_and_over(ledger: SqlLedger) -> None:
    assert await ledger.leases.hold(*SPEAKER, LONG)
    now = datetime.now(UTC)
    opening = Opening(topic=TOPIC, channel_id="C1", since=now - LONG, hurt=2, at=now)
    alert = await ledger.alerts.open(opening, SPEAKER)
    assert alert is not None
    found = await timeline.read(ledger, asked("main"))
    assert told(found) == [(Step.ALERT, None)]
    assert found.events[0].of == alert
    assert told(await timeline.read(ledger, asked("prod"))) == []
    before = Timeline(since=now - DAY, until=now - LONG)
    assert told(await timeline.read(ledger, before)) == []


async def test_refused_press_on_an_alert_is_of_its_cluster(ledger: SqlLedger) -> None:
    assert await ledger.leases.hold(*SPEAKER, LONG)
    now = datetime.now(UTC)
    opening = Opening(topic=TOPIC, channel_id="C1", since=now - LONG, hurt=2, at=now)
    alert = await ledger.alerts.open(opening, SPEAKER)
    assert alert is not None
    await ledger.note([(1, refusal_note(f"alert.mute {alert.key}"))])
    for cluster, steps in (("main", {Step.ALERT, Step.REFUSED}), ("prod", set())):
        found = await timeline.read(ledger, asked(cluster), without_a_cluster=False)
        assert {event.step for event in found.events} == steps
