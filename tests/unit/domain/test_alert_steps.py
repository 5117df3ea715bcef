"""Each step of an alert by itself: when it is due, and what it records."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from bot.domain.alerts import (
    DEFAULT_AFTER,
    LONGEST_QUIET,
    MENDED_WITHIN,
    MUTE_FOR,
    Alert,
    AlertState,
    Finish,
    News,
    Remind,
    Resume,
    Saying,
    Step,
    Tell,
    Worsen,
    changed,
    decide,
    not_told,
)
from bot.domain.findings.model import Finding, Rule, Severity, Subject, SubjectOf
from bot.domain.kills import Actor, Place
from bot.domain.tracks import Topic, Watch
from tests.unit.builders import NOW, SERVER_ID, full_role

ROLE = Subject(SubjectOf.ROLE, "some_user")
TOPIC = Topic("main", Rule.LIMIT, ROLE)
ANA = Actor("U0ANA")


def at(**length: float) -> datetime:
    return NOW + timedelta(**length)


def told(**values: object) -> Alert:
    story: dict[str, object] = {
        "id": 1,
        "key": "1",
        "topic": TOPIC,
        "channel_id": "C0OPS",
        "message_ts": "1.000001",
        "state": AlertState.OPEN,
        "since": NOW,
        "opened_at": NOW,
        "told_at": NOW,
        "told_hurt": 2,
        "worst": 2,
        "seen_at": NOW,
    }
    return Alert(**{**story, **values})  # type: ignore[arg-type]


def over(**values: object) -> Alert:
    return told(**{"state": AlertState.OVER, "over_at": NOW, **values})


def watched(*findings: Finding, until: datetime, since: datetime = NOW) -> Watch:
    """A watch that has seen these findings since then, and before that nothing for an hour."""
    watch = Watch("main")
    for when, seen in ((since - timedelta(hours=1), ()), (since, findings), (until, findings)):
        watch.answered(when, seen, server=SERVER_ID, taken_at=when)
    return watch


def steps(watch: Watch, *alerts: Alert, now: datetime, **values: object) -> list[Step]:
    return decide(watch, alerts, now, DEFAULT_AFTER, **values)  # type: ignore[arg-type]


def test_words_are_those_in_existing_ledgers() -> None:
    assert [*AlertState] == ["telling", "open", "over", "unwatched"]
    assert [*News] == ["worse", "still", "again", "over"]


def test_each_finding_is_told_after_the_time_in_the_manual() -> None:
    seconds = {str(rule): after.total_seconds() for rule, after in DEFAULT_AFTER.items()}
    assert seconds == {
        **dict.fromkeys(("limit", "server_full"), 30),
        **dict.fromkeys(("ddl_queue", "waiting"), 60),
        **dict.fromkeys(("blocker", "wraparound_vacuum"), 300),
        **dict.fromkeys(("prepared_transaction", "idle_in_transaction", "concurrent_index"), 1800),
        "horizon": 3600,
    }
    assert timedelta(hours=1) == MUTE_FOR
    assert timedelta(minutes=1) == MENDED_WITHIN


def test_new_alert_has_no_past() -> None:
    alert = told()
    assert alert.place == Place("C0OPS", "1.000001")
    assert (alert.relapses, alert.replies, alert.revision, alert.drawn) == (0, 0, 0, -1)
    assert (alert.over_at, alert.ended_by, alert.muted_until, alert.muted_by) == (None,) * 4
    assert alert.news is None
    assert not alert.has_ended
    saying = Saying(alert=alert, now=NOW, hurt=1)
    assert (saying.finding, saying.survey, saying.last) == (None,) * 3


def test_finding_is_told_at_the_moment_when_it_has_held_for_its_time() -> None:
    before, then = at(seconds=29.999), at(seconds=30)
    assert steps(watched(full_role(), until=before), now=before) == []
    assert steps(watched(full_role(), until=then), now=then) == [Tell(TOPIC, NOW, 1, full_role())]


def test_worst_is_told_first() -> None:
    now = at(minutes=1)
    many = [
        full_role("mild", hurt=9, severity=Severity.WARNING),
        full_role("few", hurt=1),
        full_role("many", hurt=5),
        full_role("old", hurt=1, since=at(minutes=-9)),
    ]
    found = steps(watched(*many, until=now), now=now)
    names = [each.topic.subject.name for each in found if isinstance(each, Tell)]
    assert names == ["many", "old", "few", "mild"]


def test_finding_under_way_or_on_record_is_not_told_anew() -> None:
    now = at(minutes=2)
    watch = watched(full_role(), until=now)
    assert steps(watch, told(told_at=now), now=now) == []
    assert steps(watch, over(topic=replace(TOPIC, cluster="prod")), now=now) == [
        Tell(TOPIC, NOW, 1, full_role())
    ]


@pytest.mark.parametrize(
    ("alert", "resumes"),
    [
        (over(over_at=at(minutes=1)), True),
        (over(over_at=at(minutes=1), news=News.OVER), False),
        (over(over_at=at(minutes=-13)), False),
        (over(over_at=at(minutes=-13, microseconds=1)), True),
        (over(over_at=at(minutes=-60), muted_until=at(minutes=2, microseconds=1)), True),
        (over(over_at=at(minutes=-60), muted_until=at(minutes=2)), False),
        (over(over_at=at(minutes=1), state=AlertState.UNWATCHED), False),
    ],
)
def test_alert_goes_on_if_its_finding_is_back_in_time(alert: Alert, resumes: bool) -> None:
    now = at(minutes=2)
    watch = watched(full_role(hurt=3), until=now)
    assert (Resume(alert, 3) in steps(watch, alert, now=now)) is resumes


def test_latest_alert_about_it_goes_on() -> None:
    now = at(minutes=2)
    first, last = over(id=1), over(id=2)
    assert steps(watched(full_role(), until=now), last, first, now=now) == [Resume(last, 1)]


def test_alert_is_over_at_the_moment_when_its_finding_has_been_gone_for_long_enough() -> None:
    watch = watched(full_role(involved=frozenset({1, 2})), until=at(minutes=2))
    watch.answered(at(minutes=3), (), server=SERVER_ID, taken_at=at(minutes=3))
    alert = told(seen_at=at(minutes=1))
    assert steps(watch, alert, now=at(minutes=3, seconds=29.999)) == []
    assert steps(watch, alert, now=at(minutes=3, seconds=30)) == [
        Finish(alert, at(minutes=2), frozenset({1, 2}))
    ]


def test_alert_that_this_bot_never_saw_is_over_with_what_is_on_record() -> None:
    watch = watched(until=at(minutes=3))
    alert = told(seen_at=at(minutes=1))
    assert steps(watch, alert, now=at(minutes=3)) == [Finish(alert, at(minutes=1))]
    assert Finish(alert, NOW) == Finish(alert, NOW, frozenset(), unwatched=False)


def test_alert_whose_finding_is_no_longer_told_is_closed_unwatched() -> None:
    alert = told(seen_at=at(minutes=1))
    watch = watched(full_role(), until=at(minutes=3))
    blockers = {Rule.BLOCKER: timedelta(minutes=5)}
    closed = Finish(alert, at(minutes=1), unwatched=True)
    assert decide(watch, [alert], at(minutes=3), blockers) == [closed]


@pytest.mark.parametrize(
    ("left", "is_muted"),
    [
        (timedelta(0), False),
        (timedelta(microseconds=1), True),
        (timedelta(hours=2, microseconds=-1), True),
        (timedelta(hours=2), False),
    ],
)
def test_mute_that_would_last_twice_as_long_as_any_is_over(left: timedelta, is_muted: bool) -> None:
    """The clock was set back meanwhile."""
    assert told(muted_until=NOW + left).is_muted(NOW) is is_muted


def test_alert_that_was_told_as_it_began_does_not_last_ten_times_as_long() -> None:
    alert, now = told(since=NOW, told_at=NOW), at(hours=9)
    assert steps(watched(full_role(), until=now), alert, now=now) == []


def test_each_relapse_doubles_the_quiet_up_to_ten_minutes() -> None:
    quiet = [told(relapses=times).quiet.total_seconds() for times in (0, 1, 4, 5, 10_000)]
    assert quiet == [30, 60, 480, 600, 600]
    assert LONGEST_QUIET.total_seconds() == 600


@pytest.mark.parametrize(
    ("before", "hurt", "worse"),
    [(1, 2, False), (1, 3, True), (2, 3, False), (2, 4, True), (5, 9, False), (5, 10, True)],
)
def test_twice_as_many_and_two_more_are_worse(before: int, hurt: int, worse: bool) -> None:
    now = at(minutes=3)
    alert = told(told_hurt=before, told_at=at(minutes=2), since=at(minutes=-5))
    found = steps(watched(full_role(hurt=hurt), until=now), alert, now=now)
    assert found == ([Worsen(alert, hurt)] if worse else [])


@pytest.mark.parametrize(
    ("change", "worse"),
    [
        ({}, True),
        ({"told_at": at(minutes=2, microseconds=1)}, False),
        ({"news": News.WORSE}, False),
        ({"state": AlertState.TELLING}, False),
        ({"muted_until": at(minutes=3, microseconds=1)}, False),
        ({"muted_until": at(minutes=3)}, True),
    ],
)
def test_what_got_worse_is_told_once_a_minute_unless_it_is_silent(
    change: dict[str, object], worse: bool
) -> None:
    now = at(minutes=3)
    alert = told(**{"told_at": at(minutes=2), "since": at(minutes=-5), **change})
    found = steps(watched(full_role(hurt=9), until=now), alert, now=now)
    assert found == ([Worsen(alert, 9)] if worse else [])


def test_ten_times_as_long_is_told_again_from_that_moment_on() -> None:
    alert = told(told_at=at(minutes=1))
    for now, is_due in ((at(minutes=9, seconds=59), False), (at(minutes=10), True)):
        found = steps(watched(full_role(), until=now), alert, now=now)
        assert found == ([Remind(alert, 1)] if is_due else [])
        more = steps(watched(full_role(hurt=9), until=now), alert, now=now)
        assert more == [Worsen(alert, 9)]


def test_targets_of_a_kill_are_not_told_of() -> None:
    now = at(minutes=1)
    watch = watched(full_role(involved=frozenset({1, 2})), until=now)
    assert steps(watch, now=now, killed={2, 3}) == []
    assert steps(watch, now=now, killed={3}) != []


def test_only_alerts_of_the_last_hour_count_against_six() -> None:
    now = at(minutes=1)
    watch = watched(full_role(), until=now)
    six = [
        told(
            id=n, topic=replace(TOPIC, rule=Rule.BLOCKER), opened_at=at(minutes=-59, microseconds=1)
        )
        for n in range(6)
    ]
    assert [each.topic for each in not_told(watch, six, now, DEFAULT_AFTER)] == [TOPIC]
    old = [replace(six[0], opened_at=at(minutes=-59)), *six[1:]]
    assert not_told(watch, old, now, DEFAULT_AFTER) == []
    assert not_told(watch, [*six, over()], now, DEFAULT_AFTER) == []  # that one goes on
    line = replace(six[0], topic=Topic.more("main"))
    assert not_told(watch, [line, *six[1:]], now, DEFAULT_AFTER) == []


def test_line_of_how_many_more_begins_goes_on_and_ends() -> None:
    now = at(minutes=1)
    many = watched(*(full_role(f"role_{n}") for n in range(8)), until=now)
    more = Topic.more("main")
    line = told(id=9, topic=more)
    assert steps(many, now=now)[6:] == [Tell(more, NOW, 2)]
    assert Tell(more, NOW, 2).finding is None
    assert steps(many, line, now=now)[6:] == []
    ended = replace(line, state=AlertState.OVER, over_at=NOW)
    assert steps(many, ended, now=now)[6:] == [Resume(ended, 2)]
    assert steps(many, replace(ended, news=News.OVER), now=now)[6:] == []
    long_ago = replace(ended, over_at=at(minutes=-14))
    assert steps(many, long_ago, now=now)[6:] == [Tell(more, NOW, 2)]
    few = watched(until=now)
    assert steps(few, line, now=now) == [Finish(line, now)]
    assert steps(few, ended, now=now) == []
    before = replace(ended, id=8)
    assert steps(few, line, before, now=now) == steps(few, before, line, now=now)
    assert steps(few, before, line, now=now) == [Finish(line, now)]
    assert steps(few, now=now) == []


def test_alert_that_is_told_again_is_recorded_with_a_reply() -> None:
    alert = told(replies=3, worst=9)
    for step, news in ((Worsen(alert, 5), News.WORSE), (Remind(alert, 5), News.STILL)):
        assert changed(step, at(minutes=1)) == replace(
            alert, told_at=at(minutes=1), told_hurt=5, news=news, replies=4
        )
    assert changed(Worsen(alert, 12), at(minutes=1)).worst == 12


@pytest.mark.parametrize(
    ("message_ts", "state", "news", "replies"),
    [("1.000001", AlertState.OPEN, News.AGAIN, 1), ("", AlertState.TELLING, None, 0)],
)
def test_alert_that_is_back_goes_on_in_its_message(
    message_ts: str, state: AlertState, news: News | None, replies: int
) -> None:
    alert = over(message_ts=message_ts, ended_by=(41, ANA), relapses=2)
    assert changed(Resume(alert, 1), at(minutes=1)) == replace(
        alert,
        state=state,
        told_at=at(minutes=1),
        told_hurt=1,
        relapses=3,
        over_at=None,
        ended_by=None,
        news=news,
        replies=replies,
    )


def test_alert_that_is_over_is_recorded_with_who_ended_it() -> None:
    alert = told()
    assert changed(Finish(alert, at(seconds=30)), at(minutes=1), (41, ANA)) == replace(
        alert,
        state=AlertState.OVER,
        seen_at=at(seconds=30),
        over_at=at(minutes=1),
        ended_by=(41, ANA),
        news=News.OVER,
        replies=1,
    )


@pytest.mark.parametrize(
    ("alert", "unwatched"),
    [
        (told(), True),
        (told(topic=Topic.more("main")), False),
        (told(message_ts=""), False),
        (told(muted_until=at(minutes=2)), False),
    ],
)
def test_end_without_a_reply(alert: Alert, unwatched: bool) -> None:
    ended = changed(Finish(alert, NOW, unwatched=unwatched), at(minutes=1))
    assert (ended.news, ended.replies) == (None, 0)
    assert ended.state is (AlertState.UNWATCHED if unwatched else AlertState.OVER)
