"""Findings in time: what is told, what got worse, and what is over."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.alerts import (
    AN_HOUR,
    DEFAULT_AFTER,
    MOST_NEW,
    QUIET,
    RELAPSE_WITHIN,
    Alert,
    AlertState,
    Finish,
    News,
    Resume,
    Step,
    Tell,
    changed,
    decide,
    patience,
)
from bot.domain.findings.model import PATIENCE, Finding, Rule, Severity, Subject, SubjectOf
from bot.domain.kills import Actor
from bot.domain.sessions import BackendId, ServerId
from bot.domain.tracks import HICCUP, Topic, Watch
from tests.unit.builders import NOW, SERVER_ID, full_role

EVERY = timedelta(seconds=5)
TOLD_WITHIN = timedelta(seconds=15)
AFTER = DEFAULT_AFTER[Rule.LIMIT]


@dataclass
class Bot:
    """The watch of one cluster, and a ledger; takes every step at once."""

    def __init__(self) -> None:
        self.now = NOW
        self.watch = Watch("main")
        self.alerts: list[Alert] = []
        self.steps: list[tuple[datetime, Step]] = []
        self.server = SERVER_ID
        self.killed: Collection[int] = ()
        self.after = DEFAULT_AFTER

    def restart(self) -> None:
        """Only the ledger remains."""
        self.watch = Watch("main")

    def sample(self, *findings: Finding) -> list[Step]:
        """One sample, `EVERY` after the one before; returns what was done about it."""
        self.now += EVERY
        self.watch.answered(self.now, findings, server=self.server, taken_at=self.now)
        return self._act()

    def silence(self, span: timedelta) -> list[Step]:
        """Samples without an answer."""
        done = []
        for _ in range(span // EVERY):
            self.now += EVERY
            self.watch.unanswered(self.now)
            done += self._act()
        return done

    def samples(self, span: timedelta, *findings: Finding) -> list[Step]:
        """As many as there are in that time."""
        return [step for _ in range(span // EVERY) for step in self.sample(*findings)]

    def _act(self) -> list[Step]:
        steps = decide(self.watch, self.alerts, self.now, self.after, killed=self.killed)
        for step in steps:
            self.steps.append((self.now, step))
            if isinstance(step, Tell):
                self.alerts.append(_told(step, len(self.alerts), self.now))
            else:
                at = self.alerts.index(step.alert)
                self.alerts[at] = replace(changed(step, self.now), news=None)
        self.watch.forget({each.topic for each in self.living}, self.now)
        return steps

    @property
    def living(self) -> list[Alert]:
        return [each for each in self.alerts if each.state is not AlertState.OVER]


def _told(step: Tell, number: int, now: datetime) -> Alert:
    return Alert(
        id=number,
        key=str(number),
        topic=step.topic,
        channel_id="C0OPS",
        message_ts="1.000001",
        state=AlertState.OPEN,
        since=step.since,
        opened_at=now,
        told_at=now,
        told_hurt=step.hurt,
        worst=step.hurt,
        seen_at=now,
    )


def kinds(steps: Iterable[Step]) -> list[str]:
    return [type(step).__name__ for step in steps]


def test_finding_is_told_once_it_has_held_for_its_time() -> None:
    bot = Bot()
    bot.samples(AN_HOUR)
    assert bot.samples(AFTER, full_role()) == []
    (step,) = bot.samples(AFTER, full_role())
    assert isinstance(step, Tell)
    assert bot.samples(timedelta(minutes=3), full_role()) == []


def test_what_is_to_be_told_sooner_than_it_is_usually_found_is_found_sooner() -> None:
    sooner = {
        Rule.IDLE_IN_TRANSACTION: timedelta(seconds=5),
        Rule.WAITING: timedelta(seconds=2),
        Rule.PREPARED_TRANSACTION: timedelta(seconds=7),
        Rule.HORIZON: timedelta(seconds=8),
    }
    assert patience(sooner) == replace(
        PATIENCE,
        idle=timedelta(seconds=5),
        event=timedelta(seconds=2),
        prepared=timedelta(seconds=7),
        horizon=timedelta(seconds=8),
    )
    assert patience({Rule.HORIZON: timedelta(seconds=9000)}) == PATIENCE


def test_finding_that_held_less_long_is_not_told() -> None:
    bot = Bot()
    bot.samples(AN_HOUR)
    for _ in range(20):
        assert bot.samples(AFTER - EVERY, full_role()) == []
        assert bot.samples(HICCUP + EVERY) == []


def test_gap_of_one_sample_does_not_stop_it_from_holding() -> None:
    bot = Bot()
    bot.samples(AN_HOUR)
    bot.samples(AFTER / 2, full_role())
    bot.sample()
    assert kinds(bot.samples(AFTER / 2, full_role())) == ["Tell"]


def test_what_the_server_says_of_its_age_counts() -> None:
    bot = Bot()
    bot.samples(AN_HOUR)
    old = full_role(rule=Rule.BLOCKER, since=bot.now - timedelta(minutes=6))
    (step,) = bot.sample(old)
    assert isinstance(step, Tell)
    assert step.since == old.since


def test_nothing_is_told_for_the_first_threshold_after_the_start() -> None:
    bot = Bot()
    old = full_role(rule=Rule.BLOCKER, since=bot.now - timedelta(hours=6))
    after = DEFAULT_AFTER[Rule.BLOCKER]
    assert bot.samples(after, old) == []
    assert kinds(bot.samples(after, old)) == ["Tell"]


def test_nothing_is_told_for_the_first_threshold_after_the_servers_start() -> None:
    bot = Bot()
    bot.samples(AN_HOUR, full_role("other"))
    bot.server = ServerId(SERVER_ID.system_identifier, bot.now)
    assert bot.samples(AFTER, full_role()) == []
    assert sorted(kinds(bot.samples(AFTER, full_role()))) == ["Finish", "Tell"]


def test_alert_is_over_once_its_finding_is_gone_for_long_enough() -> None:
    bot = Bot()
    bot.samples(AN_HOUR)
    bot.samples(2 * AFTER, full_role())
    seen_at = bot.now
    assert bot.samples(QUIET) == []
    (step,) = bot.sample()
    assert isinstance(step, Finish)
    assert step.seen_at == seen_at
    assert step.involved == {33507}
    assert bot.living == []


def test_flapping_finding_is_one_alert() -> None:
    bot = Bot()
    bot.samples(AN_HOUR)
    for _ in range(30):
        bot.samples(timedelta(minutes=1), full_role())
        bot.samples(timedelta(minutes=1))
    assert len(bot.alerts) == 1
    said = [type(step).__name__ for _, step in bot.steps]
    assert said.count("Resume") <= 3
    bot.samples(timedelta(minutes=20))
    assert bot.living == []


def test_finding_that_comes_back_much_later_is_a_new_alert() -> None:
    bot = Bot()
    bot.samples(AN_HOUR)
    for _ in range(2):
        bot.samples(2 * AFTER, full_role())
        bot.samples(RELAPSE_WITHIN + 2 * QUIET)
    assert kinds(step for _, step in bot.steps) == ["Tell", "Finish"] * 2


def test_no_answer_neither_holds_nor_ends_anything() -> None:
    bot = Bot()
    bot.samples(AN_HOUR)
    bot.samples(AFTER / 2, full_role())
    assert bot.silence(AN_HOUR) == []
    bot.samples(AFTER / 2, full_role())
    assert kinds(step for _, step in bot.steps) == []
    assert kinds(bot.sample(full_role())) == ["Tell"]
    bot.sample()
    assert bot.silence(AN_HOUR) == []
    assert bot.samples(QUIET - EVERY) == []
    assert kinds(bot.sample()) == ["Finish"]


def test_twice_as_many_affected_is_worse_but_not_every_minute() -> None:
    bot = Bot()
    bot.samples(AN_HOUR)
    bot.samples(2 * AFTER, full_role(hurt=2))
    assert bot.samples(timedelta(minutes=2), full_role(hurt=3)) == []
    assert kinds(bot.sample(full_role(hurt=4))) == ["Worsen"]
    (told,) = bot.alerts
    assert (told.told_hurt, told.worst) == (4, 4)
    assert bot.samples(timedelta(seconds=55), full_role(hurt=90)) == []
    assert kinds(bot.sample(full_role(hurt=90))) == ["Worsen"]


def test_ten_times_as_long_is_told_again() -> None:
    bot = Bot()
    bot.samples(AN_HOUR)
    bot.samples(2 * AFTER, full_role())
    steps = bot.samples(24 * AN_HOUR, full_role())
    assert kinds(steps) == ["Remind"] * 3  # after 5 min, 50 min, 8 h


def test_muted_alert_says_nothing_until_the_mute_is_over() -> None:
    bot = Bot()
    bot.samples(AN_HOUR)
    bot.samples(2 * AFTER, full_role(hurt=2))
    bot.alerts[0] = replace(bot.alerts[0], muted_until=bot.now + AN_HOUR)
    assert bot.samples(AN_HOUR - EVERY, full_role(hurt=20)) == []
    assert kinds(bot.sample(full_role(hurt=20))) == ["Worsen"]


@pytest.mark.parametrize("is_muted", [False, True])
def test_end_of_a_muted_alert_is_no_reply(is_muted: bool) -> None:
    bot = Bot()
    bot.samples(AN_HOUR)
    bot.samples(2 * AFTER, full_role())
    until = bot.now + AN_HOUR if is_muted else None
    alert = replace(bot.alerts[0], muted_until=until)
    over = changed(Finish(alert, bot.now), bot.now, (41, Actor("U0CAROL")))
    assert over.news is (None if is_muted else News.OVER)
    assert over.replies == (0 if is_muted else 1)
    assert over.ended_by == (41, Actor("U0CAROL"))


def test_muted_finding_that_is_over_and_back_is_the_same_muted_alert() -> None:
    bot = Bot()
    bot.samples(AN_HOUR)
    bot.samples(2 * AFTER, full_role())
    bot.alerts[0] = replace(bot.alerts[0], muted_until=bot.now + AN_HOUR)
    bot.samples(timedelta(minutes=30))
    assert bot.living == []
    (step,) = bot.samples(2 * AFTER, full_role())
    assert isinstance(step, Resume)
    assert changed(step, bot.now).news is None


def test_clock_that_is_set_back_silences_nothing() -> None:
    bot = Bot()
    bot.samples(AN_HOUR)
    many = [full_role(f"role_{number}", hurt=2) for number in range(MOST_NEW)]
    bot.samples(2 * AFTER, *many)
    bot.alerts[0] = replace(bot.alerts[0], muted_until=bot.now + AN_HOUR)
    bot.now -= timedelta(days=1)
    bot.watch.shift(-timedelta(days=1))
    worse = [full_role(f"role_{number}", hurt=20) for number in range(MOST_NEW)]
    assert kinds(bot.sample(*worse)) == ["Worsen"] * MOST_NEW
    assert kinds(bot.samples(2 * AFTER, *worse, full_role())) == ["Tell"]
    assert bot.alerts[-1].topic.subject.name == "some_user"


def test_finding_that_a_kill_may_be_about_to_end_is_not_told() -> None:
    bot = Bot()
    bot.samples(AN_HOUR)
    bot.killed = {33507}
    assert bot.samples(2 * AFTER, full_role()) == []
    bot.killed = {1}
    assert kinds(bot.sample(full_role())) == ["Tell"]


def test_notice_and_finding_that_is_off_are_never_told() -> None:
    bot = Bot()
    notice = full_role(severity=Severity.NOTICE)
    off = full_role(rule=Rule.LOGIN)
    assert bot.samples(AN_HOUR, notice, off) == []


def _role_whose_session_blocks() -> tuple[Finding, Finding]:
    """A role at its limit, and a session of it that others wait for."""
    session = Subject(SubjectOf.SESSION, "33507", BackendId(33507, NOW))
    limit = full_role(hurt=3, covers=frozenset({33507}))
    return limit, full_role(rule=Rule.BLOCKER, subject=session, hurt=2)


def told(bot: Bot) -> list[tuple[Rule | None, timedelta]]:
    return [(each.topic.rule, each.opened_at - each.since) for each in bot.alerts]


def test_finding_that_another_one_includes_is_not_told_besides() -> None:
    bot = Bot()
    bot.samples(AN_HOUR)
    bot.samples(AN_HOUR, *_role_whose_session_blocks())
    assert [rule for rule, _ in told(bot)] == [Rule.LIMIT]


def test_finding_is_told_although_one_that_includes_it_is_off() -> None:
    bot = Bot()
    bot.after = {Rule.BLOCKER: AFTER}
    bot.samples(AN_HOUR)
    bot.samples(2 * AFTER, *_role_whose_session_blocks())
    assert told(bot) == [(Rule.BLOCKER, AFTER)]


def test_finding_is_told_before_one_that_includes_it_and_is_told_later() -> None:
    bot = Bot()
    bot.after = {Rule.BLOCKER: AFTER, Rule.LIMIT: 4 * AFTER}
    bot.samples(AN_HOUR)
    bot.samples(AN_HOUR, *_role_whose_session_blocks())
    assert told(bot) == [(Rule.BLOCKER, AFTER), (Rule.LIMIT, 4 * AFTER)]


def test_alert_goes_on_when_another_finding_includes_its_own() -> None:
    bot = Bot()
    limit, blocker = _role_whose_session_blocks()
    bot.samples(AN_HOUR)
    bot.samples(2 * DEFAULT_AFTER[Rule.BLOCKER], blocker)
    bot.samples(2 * QUIET, limit, blocker)
    assert [each.topic.rule for each in bot.living] == [Rule.BLOCKER, Rule.LIMIT]


def test_alert_whose_finding_was_switched_off_ends_unwatched() -> None:
    bot = Bot()
    bot.samples(AN_HOUR)
    bot.samples(2 * AFTER, full_role())
    (step,) = decide(bot.watch, bot.alerts, bot.now, {Rule.BLOCKER: AFTER})
    assert isinstance(step, Finish)
    assert step.unwatched


def test_over_six_new_ones_an_hour_one_line_says_how_many_more() -> None:
    bot = Bot()
    bot.samples(AN_HOUR)
    many = [full_role(f"role_{number}") for number in range(9)]
    bot.samples(2 * AFTER, *many)
    told = [each.topic for each in bot.alerts]
    assert len(told) == MOST_NEW + 1
    assert told[-1] == Topic.more("main")
    assert bot.alerts[-1].told_hurt == 3
    # An hour later there is room for them.
    bot.samples(AN_HOUR, *many)
    assert {each.topic.subject.name for each in bot.living} == {f"role_{n}" for n in range(9)}


def test_restarted_bot_goes_on_with_the_alerts_on_record() -> None:
    bot = Bot()
    bot.samples(AN_HOUR)
    bot.samples(2 * AFTER, full_role(), full_role("other"))
    bot.restart()
    assert kinds(bot.samples(timedelta(minutes=2), full_role())) == ["Finish"]
    assert [each.topic.subject.name for each in bot.living] == ["some_user"]
    assert len(bot.alerts) == 2


# --- a day, judged -------------------------------------------------------------------


@dataclass(frozen=True)
class Span:
    """A finding of a day, or a time without answers (`name` is empty)."""

    name: str
    begin: int  # samples since the day began
    length: int

    def __contains__(self, sample: int) -> bool:
        return self.begin <= sample < self.begin + self.length


DAY = timedelta(hours=24) // EVERY
LENGTHS = st.one_of(st.integers(1, 30), st.integers(1, 400), st.integers(100, 3000))
SPANS = st.builds(Span, st.sampled_from([*"abcdefghij", ""]), st.integers(0, DAY - 1), LENGTHS)


class Judge:
    """What was promised, checked after each sample."""

    def __init__(self, bot: Bot) -> None:
        self._bot = bot
        self._there: dict[str, int] = {}  # samples in a row that had it
        self._gone: dict[str, int] = {}
        self._restarted = 0

    def restarted(self) -> None:
        """From here on it has to hold for its time again."""
        self._there = {}
        self._gone = {}

    def answered(self, present: Collection[str]) -> None:
        living = {each.topic.subject.name for each in self._bot.living if each.topic.rule}
        more = [each for each in self._bot.living if each.topic.rule is None]
        untold = []
        for name in "abcdefghij":
            self._there[name] = self._there.get(name, 0) + 1 if name in present else 0
            self._gone[name] = self._gone.get(name, 0) + 1 if name not in present else 0
            if (self._there[name] - 1) * EVERY >= AFTER + TOLD_WITHIN and name not in living:
                untold.append(name)
            if name in living:
                quiet = max(a.quiet for a in self._bot.alerts if a.topic.subject.name == name)
                gone_for = (self._gone[name] - 1) * EVERY
                assert gone_for < quiet + TOLD_WITHIN, f"{name} stays open"
        assert not untold or more, f"untold: {untold}"

    def in_the_end(self) -> None:
        topics = [each.topic for each in self._bot.living]
        assert len(topics) == len(set(topics))
        told = [(at, s.topic) for at, s in self._bot.steps if isinstance(s, Tell)]
        for at, topic in told:
            if topic.rule is not None:
                within = [t for t, o in told if o.rule is not None and at <= t < at + AN_HOUR]
                assert len(within) <= MOST_NEW
        for topic in {each for _, each in told}:
            times = [at for at, each in told if each == topic]
            overs = [
                at for at, s in self._bot.steps if isinstance(s, Finish) and s.alert.topic == topic
            ]
            for before, then in pairwise(times):
                ended = [at for at in overs if before < at <= then]
                assert ended, f"{topic} was told twice"
                assert then - ended[-1] >= RELAPSE_WITHIN, f"{topic} was told anew too soon"


@settings(max_examples=8, deadline=None)
@given(
    spans=st.lists(SPANS, min_size=3, max_size=40),
    restarts=st.lists(st.integers(0, DAY - 1), max_size=3),
)
def test_day_of_incidents_is_told_completely_and_once(
    spans: list[Span], restarts: list[int]
) -> None:
    bot = Bot()
    judge = Judge(bot)
    changes = {0, *restarts}
    for span in spans:
        changes |= {span.begin, span.begin + span.length}
    present: set[str] = set()
    silent = False
    for sample in range(DAY):
        if sample in changes:
            present = {span.name for span in spans if span.name and sample in span}
            silent = any(not span.name and sample in span for span in spans)
        if sample in restarts:
            bot.restart()
            judge.restarted()
        if silent:
            before = len(bot.steps)
            bot.silence(EVERY)
            assert len(bot.steps) == before
        else:
            bot.sample(*(full_role(name) for name in present))
            judge.answered(present)
    judge.in_the_end()
