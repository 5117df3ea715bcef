"""Findings from sample to sample: since when each holds, and when it has stopped."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from bot.domain.findings.model import Finding, Full, Rule, Severity, Subject, SubjectOf
from bot.domain.sessions import BackendId, Limit, ServerId
from bot.domain.tracks import Topic, Track, Watch, decoded, encoded
from tests.unit.builders import NOW, SERVER_ID

FULL = Finding(
    rule=Rule.LIMIT,
    severity=Severity.ERROR,
    subject=Subject(SubjectOf.ROLE, "some_user"),
    evidence=Full(limit=Limit("some_user", 1, 1), error="FATAL"),
    hurt=1,
    involved=frozenset({33507}),
)
TOPIC = Topic("main", Rule.LIMIT, FULL.subject)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def sampled(watch: Watch, now: datetime, *findings: Finding, server: ServerId = SERVER_ID) -> None:
    watch.answered(now, findings, server=server, taken_at=now)


def test_watch_knows_nothing_before_its_first_sample() -> None:
    watch = Watch("main")
    assert not watch.answers
    assert watch.watched(NOW) == seconds(0)
    assert watch.clock(NOW) == NOW
    sampled(watch, NOW)
    assert watch.answers


def test_line_of_how_many_more_is_about_its_cluster() -> None:
    assert Topic.more("main") == Topic("main", None, Subject(SubjectOf.SERVER, "main"))


def test_watch_begins_again_when_another_server_answers() -> None:
    watch = Watch("main")
    sampled(watch, at(0))
    assert watch.watched(at(7)) == seconds(7)
    sampled(watch, at(9), server=ServerId(SERVER_ID.system_identifier, at(8)))
    assert watch.watched(at(10)) == seconds(1)


def test_clock_stands_still_without_an_answer() -> None:
    watch = Watch("main")
    sampled(watch, at(0), FULL)
    watch.unanswered(at(5))
    watch.unanswered(at(60))
    assert not watch.answers
    assert watch.clock(at(100)) == at(5)
    assert watch.watched(at(100)) == seconds(5)
    sampled(watch, at(100), FULL)
    assert watch.clock(at(103)) == at(8)
    assert watch.held(watch.tracks[TOPIC], at(103)) == seconds(8)
    watch.unanswered(at(105))
    sampled(watch, at(205), FULL)
    assert watch.clock(at(205)) == at(10)


def test_track_goes_by_the_earliest_beginning_that_the_server_told() -> None:
    watch = Watch("main")
    sampled(watch, at(0), FULL)
    assert watch.tracks == {TOPIC: Track(TOPIC, FULL, at(0), at(0), seconds(0), at(0), 1)}
    earlier = replace(FULL, since=at(-40))
    sampled(watch, at(5), earlier)
    later = replace(FULL, since=at(-10), hurt=0)
    sampled(watch, at(10), later)
    assert watch.tracks == {TOPIC: Track(TOPIC, later, at(-40), at(10), seconds(20), at(0), 1)}
    assert watch.held(watch.tracks[TOPIC], at(10)) == seconds(20)
    assert watch.held(watch.tracks[TOPIC], at(30)) == seconds(30)


def test_new_track_begins_when_the_server_says() -> None:
    watch = Watch("main")
    sampled(watch, at(0), replace(FULL, since=at(-40)))
    (track,) = watch.tracks.values()
    assert (track.since, track.lasted, track.first) == (at(-40), seconds(40), at(0))


def test_beginning_that_lies_ahead_counts_as_now() -> None:
    watch = Watch("main")
    sampled(watch, at(0), replace(FULL, since=at(3), hurt=0))
    (track,) = watch.tracks.values()
    assert (track.since, track.lasted, track.worst) == (at(0), seconds(0), 0)


def test_finding_holds_over_a_gap_shorter_than_ten_seconds() -> None:
    watch = Watch("main")
    for second, findings in ((0, [FULL]), (1, []), (2, []), (10.5, [FULL])):
        sampled(watch, at(second), *findings)
    assert watch.tracks[TOPIC].first == at(0)
    assert watch.gone_for(TOPIC, at(11)) is None
    for second, findings in ((11, []), (21, [FULL])):
        sampled(watch, at(second), *findings)
    assert watch.tracks[TOPIC].first == at(21)


@pytest.mark.parametrize("answers", [True, False])
def test_no_time_passes_when_the_clock_is_set(answers: bool) -> None:
    watch = Watch("main")
    sampled(watch, at(0), FULL)
    if not answers:
        watch.unanswered(at(5))
    for _ in range(2):
        watch.shift(seconds(-1800))
    assert watch.tracks[TOPIC].last == at(-3600)
    sampled(watch, at(-3595), FULL)
    assert watch.held(watch.tracks[TOPIC], at(-3590)) == seconds(10)
    assert watch.tracks[TOPIC].since == at(-3600)
    assert watch.tracks[TOPIC].last == at(-3595)


def test_gone_finding_is_dropped_after_ten_seconds_unless_it_has_an_alert() -> None:
    watch = Watch("main")
    sampled(watch, at(0), FULL)
    watch.forget((), at(60))
    assert watch.tracks
    sampled(watch, at(1))
    assert watch.gone_for(TOPIC, at(4)) == seconds(3)
    watch.forget((), at(10.9))
    assert watch.tracks
    watch.forget({TOPIC}, at(11))
    assert watch.tracks
    watch.forget((), at(11))
    assert not watch.tracks
    assert watch.gone_for(TOPIC, at(30)) == seconds(30)  # for as long as was looked


def test_notice_has_no_track() -> None:
    watch = Watch("main")
    sampled(watch, at(0), replace(FULL, severity=Severity.NOTICE))
    assert not watch.tracks


def test_subject_is_written_as_in_existing_ledgers() -> None:
    assert encoded(FULL.subject) == "role|-|some_user"
    session = Subject(SubjectOf.SESSION, "33507", BackendId(33507, NOW))
    assert encoded(session) == "session|1769860801000000|33507"


def test_subject_is_read_back_as_it_was_written() -> None:
    for subject in (
        Subject(SubjectOf.ROLE, "a|b"),
        Subject(SubjectOf.SESSION, "33507", BackendId(33507, NOW)),
        Subject(SubjectOf.SESSION, "33507"),
    ):
        assert decoded(encoded(subject)) == subject
        assert decoded(encoded(replace(subject, name="7"))).name == "7"
