"""Alerts on record: opened once, changed by the speaker only, and gone on with by another."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy
import structlog

from bot.domain.alerts import Alert, AlertState, News, Opening
from bot.domain.findings.model import Rule, Subject, SubjectOf
from bot.domain.kills import Outcome
from bot.domain.sessions import BackendId
from bot.domain.tracks import Topic
from bot.ledger import schema
from bot.ledger.sql import SqlLedger
from tests.integration.ledger.building import (
    BEN,
    LONG,
    THEN,
    Opened,
    claimed,
    conclusion,
    rows,
)

pytestmark = pytest.mark.sql

ME, OTHER = ("speaker", "one"), ("speaker", "two")
MINUTE = timedelta(minutes=1)
SUBJECT = Subject(SubjectOf.SESSION, "33507", BackendId(33507, THEN))


def opening(name: str = "some_user", **other: object) -> Opening:
    usual: dict[str, object] = {
        "topic": Topic("main", Rule.LIMIT, Subject(SubjectOf.ROLE, name)),
        "channel_id": "C1",
        "since": THEN - MINUTE,
        "hurt": 2,
        "at": THEN,
    }
    return Opening(**usual | other)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
async def speaking(ledger: SqlLedger) -> None:
    assert await ledger.leases.hold(*ME, LONG)


async def opened_one(ledger: SqlLedger, name: str = "some_user", **other: object) -> Alert:
    alert = await ledger.alerts.open(opening(name, **other), ME)
    assert alert is not None
    return alert


@pytest.mark.parametrize(
    "topic",
    [
        Topic("main", Rule.BLOCKER, SUBJECT),
        Topic("main", Rule.LIMIT, Subject(SubjectOf.ROLE, "a|b 'c'")),
        Topic.more("main"),
    ],
)
async def test_alert_is_kept_as_it_was_opened(
    ledger: SqlLedger, replica: SqlLedger, topic: Topic
) -> None:
    alert = await opened_one(ledger, topic=topic)
    assert ledger.made(alert.key)
    assert alert == Alert(
        id=alert.id,
        key=alert.key,
        topic=topic,
        channel_id="C1",
        message_ts="",
        state=AlertState.TELLING,
        since=THEN - MINUTE,
        opened_at=THEN,
        told_at=THEN,
        told_hurt=2,
        worst=2,
        seen_at=THEN,
    )
    await ledger.alerts.posted(alert, "1.1")
    await replica.alerts.posted(alert, "2.2")
    told = replace(alert, message_ts="1.1", state=AlertState.OPEN, drawn=0)
    assert await replica.alerts.get(alert.key) == told
    assert await replica.alerts.get("no such key") is None


async def test_only_the_speaker_opens_and_changes_alerts(ledger: SqlLedger) -> None:
    assert await ledger.alerts.open(opening(), OTHER) is None
    alert = await opened_one(ledger)
    worse = replace(alert, told_hurt=9, news=News.WORSE, replies=1)
    assert await ledger.alerts.change(worse, OTHER) is None
    changed = await ledger.alerts.change(worse, ME)
    assert changed == replace(worse, revision=1)


async def test_alert_is_seen_again_only_while_it_is_open_and_never_earlier(
    ledger: SqlLedger, replica: SqlLedger
) -> None:
    alert = await opened_one(ledger)
    await replica.alerts.seen(alert, THEN + MINUTE)
    await ledger.alerts.seen(alert, THEN)
    seen = replace(alert, seen_at=THEN + MINUTE)
    assert await ledger.alerts.get(alert.key) == seen
    over = await ledger.alerts.change(replace(seen, state=AlertState.OVER, over_at=THEN), ME)
    await replica.alerts.seen(alert, THEN + 2 * MINUTE)
    assert await ledger.alerts.get(alert.key) == over


async def test_topic_has_one_open_alert_however_many_tell_it(
    ledger: SqlLedger, replica: SqlLedger
) -> None:
    both = await asyncio.gather(
        *(each.alerts.open(opening(), ME) for each in (ledger, replica, ledger, replica))
    )
    (alert,) = [each for each in both if each is not None]
    over = replace(alert, state=AlertState.OVER, over_at=THEN)
    assert await ledger.alerts.change(over, ME)
    again = await opened_one(replica)
    assert again.key != alert.key
    # The one that is over can't go on beside it.
    back = replace(alert, revision=1, relapses=1)
    assert await ledger.alerts.change(back, ME) is None


async def test_change_of_what_was_changed_meanwhile_does_nothing(
    ledger: SqlLedger, replica: SqlLedger
) -> None:
    alert = await opened_one(ledger)
    until = THEN + LONG
    muted = await replica.alerts.mute(alert.key, until, BEN)
    assert muted == replace(alert, muted_until=until, muted_by=BEN, revision=1)
    over = replace(alert, state=AlertState.OVER, over_at=THEN)
    assert await ledger.alerts.change(over, ME) is None
    ended = await ledger.alerts.change(replace(over, revision=1, ended_by=(41, BEN)), ME)
    assert ended is not None
    assert (ended.muted_by, ended.ended_by) == (BEN, (41, BEN))
    assert await ledger.alerts.mute(alert.key, until, BEN) is None


async def test_only_the_reply_that_was_said_is_done(ledger: SqlLedger) -> None:
    alert = await opened_one(ledger)
    first = await ledger.alerts.change(replace(alert, news=News.WORSE, replies=1), ME)
    assert first is not None
    second = await ledger.alerts.change(replace(first, news=News.OVER, replies=2), ME)
    assert second is not None
    await ledger.alerts.replied(first)
    assert (await ledger.alerts.get(alert.key) or alert).news is News.OVER
    await ledger.alerts.replied(second)
    assert (await ledger.alerts.get(alert.key) or alert).news is None


async def test_drawing_of_an_older_revision_is_not_the_last(ledger: SqlLedger) -> None:
    alert = await opened_one(ledger)
    await ledger.alerts.drawn(replace(alert, revision=3))
    await ledger.alerts.drawn(replace(alert, revision=2))
    assert (await ledger.alerts.get(alert.key) or alert).drawn == 3


async def test_current_alerts_are_those_that_still_matter(ledger: SqlLedger) -> None:
    async def over(name: str, at: object, **other: object) -> Alert:
        alert = await opened_one(ledger, name)
        await ledger.alerts.posted(alert, "1.1")
        ended = replace(alert, state=AlertState.OVER, over_at=at, **other)  # type: ignore[arg-type]
        changed = await ledger.alerts.change(ended, ME)
        assert changed is not None
        return changed

    living = await opened_one(ledger, "living")
    recent = await over("recent", THEN - MINUTE)
    undrawn = await over("undrawn", THEN - 3 * LONG)
    drawn = await over("drawn", THEN - 3 * LONG)
    await ledger.alerts.drawn(drawn)
    unsaid = await over("unsaid", THEN - 3 * LONG, news=News.OVER, replies=1)
    await ledger.alerts.drawn(unsaid)
    await over("old", THEN - 30 * LONG)
    found = await ledger.alerts.current(THEN - LONG, THEN - 24 * LONG)
    assert [each.id for each in found] == [living.id, recent.id, undrawn.id, unsaid.id]


async def test_alert_of_a_later_version_hides_none_of_the_others(ledger: SqlLedger) -> None:
    known, unknown = await opened_one(ledger), await opened_one(ledger, "other")
    async with ledger._transactions.write() as connection:
        await connection.execute(
            sqlalchemy.update(schema.alerts)
            .where(schema.alerts.c.id == unknown.id)
            .values(finding="sunspots")
        )
    with structlog.testing.capture_logs() as lines:
        found = await ledger.alerts.current(THEN, THEN)
        assert [each.id for each in found] == [known.id]
        assert await ledger.alerts.get(unknown.key) is None
    (line,) = lines
    assert (line["event"], line["alert"]) == ("ledger.alert_unreadable", unknown.id)


async def test_recent_kills_tell_what_they_were_aimed_at_and_what_they_ended(
    ledger: SqlLedger,
) -> None:
    assert await ledger.alerts.kills("main", MINUTE) == ()
    claim = await claimed(ledger, "one")
    (kill,) = await ledger.alerts.kills("main", MINUTE)
    assert (kill.number, kill.by) == (claim.id, BEN)
    assert [*kill.aimed] == [33507]
    assert not kill.ended
    assert await ledger.conclude(conclusion(claim, Outcome.TERMINATED), "one")
    left_alone = await claimed(ledger, "one")
    assert await ledger.conclude(conclusion(left_alone, Outcome.CHANGED), "one")
    later, first = await ledger.alerts.kills("main", MINUTE)
    assert [*first.aimed] == [*first.ended] == [33507]
    assert not later.aimed | later.ended
    assert await ledger.alerts.kills("main", timedelta(0)) == ()
    assert await ledger.alerts.kills("prod", MINUTE) == ()


async def test_alert_that_is_over_is_dropped_in_time(url: str, opened: Opened) -> None:
    ledger = await opened(url, keep=timedelta(days=1))
    assert await ledger.leases.hold(*ME, LONG)
    alert = await opened_one(ledger)
    await opened_one(ledger, "living")
    over = replace(alert, state=AlertState.OVER, over_at=THEN)
    assert await ledger.alerts.change(over, ME)
    await ledger.drop_old()
    assert [row["subject"] for row in await rows(ledger, schema.alerts)] == ["role|-|living"]
