"""Alerts: which findings the bot tells unasked, when they got worse, and when they are over.

Pure. `decide` compares the findings of one cluster, which a `Watch` has followed, with the alerts
on record, and says what to do next; whoever does it records each step before it speaks. After a
start of the bot or of the server, a finding has to hold for its whole time again before it is told.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum, auto
from types import MappingProxyType

from bot.domain.findings.diagnosis import once
from bot.domain.findings.model import PATIENCE, Finding, Patience, Rule
from bot.domain.findings.survey import Survey
from bot.domain.kills import Actor, Place
from bot.domain.tracks import Topic, Track, Watch

Thresholds = Mapping[Rule, timedelta]
"""How long each finding has to hold. One that isn't here is never told."""

DEFAULT_AFTER: Thresholds = MappingProxyType(
    {
        Rule.LIMIT: timedelta(seconds=30),
        Rule.SERVER_FULL: timedelta(seconds=30),
        Rule.BLOCKER: timedelta(seconds=300),
        Rule.DDL_QUEUE: timedelta(seconds=60),
        Rule.WRAPAROUND_VACUUM: timedelta(seconds=300),
        Rule.PREPARED_TRANSACTION: timedelta(seconds=1800),
        Rule.IDLE_IN_TRANSACTION: timedelta(seconds=1800),
        Rule.HORIZON: timedelta(seconds=3600),
        Rule.CONCURRENT_INDEX: timedelta(seconds=1800),
        Rule.WAITING: timedelta(seconds=60),
    }
)
"""No sample has a `login`: somebody has to ask about the role."""


def patience(after: Thresholds) -> Patience:
    """What the findings of samples go by: one that is due to be told must have been found."""

    def at_most(usual: timedelta, rule: Rule) -> timedelta:
        return min(usual, after.get(rule, usual))

    return replace(
        PATIENCE,
        idle=at_most(PATIENCE.idle, Rule.IDLE_IN_TRANSACTION),
        event=at_most(PATIENCE.event, Rule.WAITING),
        prepared=at_most(PATIENCE.prepared, Rule.PREPARED_TRANSACTION),
        horizon=at_most(PATIENCE.horizon, Rule.HORIZON),
    )


QUIET = timedelta(seconds=30)
"""How long an alert's finding has to be gone before the alert is over. Each relapse doubles it."""

LONGEST_QUIET = timedelta(minutes=10)

RELAPSE_WITHIN = timedelta(minutes=15)
"""If a finding is back within this time after its alert was over, that alert goes on."""

AN_HOUR = timedelta(hours=1)

MOST_NEW = 6
"""How many new alerts are told one by one, per cluster, within an hour."""

MUTE_FOR = AN_HOUR

AGAIN_AFTER = timedelta(minutes=1)
"""The least time between two replies that something got worse, or is still there."""

LONGER = 10
"""An alert is told again once it has lasted this many times as long as when it was last told."""

MENDED_WITHIN = timedelta(minutes=1)
"""After a kill, its targets aren't told of for this long: the kill may be about to help."""


class AlertState(StrEnum):
    """Where an alert stands in the ledger."""

    TELLING = "telling"  # on record; its message may or may not have been posted
    OPEN = "open"
    OVER = "over"
    UNWATCHED = "unwatched"  # nobody looks any more: the settings have changed


class News(StrEnum):
    """What is said in an alert's thread."""

    WORSE = auto()  # more are affected
    STILL = auto()  # it only goes on
    AGAIN = auto()
    OVER = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An alert on record. Instants are by the clock of the bot that wrote them.

    Attributes:
        key: what its buttons carry: random, like a kill's.
        since: when its finding began.
        told_at: when people were last told of it; `told_hurt` is how many were affected then.
        worst: the most that were affected.
        relapses: how often its finding came back.
        seen_at: when a sample last had it, as known at the last change.
        ended_by: the kill that ended it, and who confirmed that.
        news: what has yet to be said in its thread; `replies` numbers it.
        revision: counts the changes. `drawn` is the one that its message shows.
    """

    id: int
    key: str
    topic: Topic
    channel_id: str
    message_ts: str
    state: AlertState
    since: datetime
    opened_at: datetime
    told_at: datetime
    told_hurt: int
    worst: int
    seen_at: datetime
    relapses: int = 0
    over_at: datetime | None = None
    ended_by: tuple[int, Actor] | None = None
    muted_until: datetime | None = None
    muted_by: Actor | None = None
    news: News | None = None
    replies: int = 0
    revision: int = 0
    drawn: int = -1

    @property
    def place(self) -> Place:
        """Its message."""
        return Place(self.channel_id, self.message_ts)

    @property
    def has_ended(self) -> bool:
        """Whether nothing more happens to it, but for a relapse."""
        return self.over_at is not None

    def is_muted(self, now: datetime) -> bool:
        """Whether its thread is to stay silent; no longer if the clock was set far back."""
        if self.muted_until is None:
            return False
        return timedelta(0) < self.muted_until - now < 2 * MUTE_FOR

    def may_relapse(self, now: datetime) -> bool:
        """Whether it goes on if its finding comes back."""
        if self.state is not AlertState.OVER or self.over_at is None:
            return False
        return now < max(self.over_at + RELAPSE_WITHIN, self.muted_until or self.over_at)

    @property
    def quiet(self) -> timedelta:
        """How long its finding has to be gone before it is over."""
        doubled: timedelta = QUIET * 2 ** min(self.relapses, 10)
        return min(doubled, LONGEST_QUIET)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """An alert that is to be told."""

    topic: Topic
    channel_id: str
    since: datetime
    hurt: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Saying:
    """An alert, and what its finding is like now.

    `finding` and `survey` are None if that isn't known, and for the line that says how many more
    there are: `hurt` is their number, and otherwise how many are affected. `last` is when a sample
    last had the finding, if the newest one doesn't have it or had no answer.
    """

    alert: Alert
    now: datetime
    hurt: int
    finding: Finding | None = None
    survey: Survey | None = None
    last: datetime | None = None


@dataclass(frozen=True, slots=True)
class KillSeen:
    """A recent kill: the pids of its targets, and of those that it ended.

    `aimed` leaves out the targets that it left alone.
    """

    number: int
    by: Actor
    aimed: frozenset[int]
    ended: frozenset[int]


# --- what to do next -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tell:
    """Open an alert, and post it. A `finding` of None: the line that says how many more."""

    topic: Topic
    since: datetime
    hurt: int
    finding: Finding | None = None


@dataclass(frozen=True, slots=True)
class Worsen:
    """Say in its thread that it got worse: `hurt` are affected now."""

    alert: Alert
    hurt: int


@dataclass(frozen=True, slots=True)
class Remind:
    """Say in its thread that it is still there."""

    alert: Alert
    hurt: int


@dataclass(frozen=True, slots=True)
class Resume:
    """Its finding is back: it goes on in its message."""

    alert: Alert
    hurt: int


@dataclass(frozen=True, slots=True)
class Finish:
    """It is over; `seen_at` is when it was last seen. `unwatched`: nobody looks any more."""

    alert: Alert
    seen_at: datetime
    involved: frozenset[int] = frozenset()
    unwatched: bool = False


Step = Tell | Worsen | Remind | Resume | Finish


def decide(
    watch: Watch,
    alerts: Sequence[Alert],
    now: datetime,
    after: Thresholds,
    *,
    killed: Collection[int] = (),
) -> list[Step]:
    """What to do about one cluster now.

    `alerts` are those on record: all that aren't over, and those that were opened or over within
    the last hour or are muted. `killed` are the pids of the targets of the last minute's kills.
    """
    if not watch.answers:
        return []
    living = {each.topic: each for each in alerts if not each.has_ended}
    told = [each for each in living.values() if each.topic.rule is not None]
    steps = [step for each in told if (step := _of_one(watch, each, now, after))]
    ended = _may_relapse(alerts, now)
    due = _due(watch, now, after, killed)
    steps += [
        Resume(ended[each.topic], each.finding.hurt)
        for each in due
        if each.topic in ended and each.topic not in living and ended[each.topic].news is None
    ]
    new = _new(due, alerts, now)
    left = _left(alerts, now)
    steps += [Tell(each.topic, each.since, each.worst, each.finding) for each in new[:left]]
    steps += _more(watch, alerts, now, new[left:])
    return steps


def not_told(
    watch: Watch, alerts: Sequence[Alert], now: datetime, after: Thresholds
) -> Sequence[Track]:
    """What is due, beyond the number of alerts that are told one by one."""
    return _new(_due(watch, now, after), alerts, now)[_left(alerts, now) :]


def _new(due: Iterable[Track], alerts: Iterable[Alert], now: datetime) -> list[Track]:
    """Those that have no alert yet."""
    known = {each.topic for each in alerts if not each.has_ended or each.may_relapse(now)}
    return [each for each in due if each.topic not in known]


def _left(alerts: Iterable[Alert], now: datetime) -> int:
    """How many more may be told one by one."""
    recent = [each for each in alerts if each.topic.rule and _is_near(each.opened_at, now, AN_HOUR)]
    return max(0, MOST_NEW - len(recent))


def _is_near(then: datetime, now: datetime, span: timedelta) -> bool:
    """Whether it is less than that ago. What is far ahead isn't: the clock was set back."""
    return abs(now - then) < span


def _of_one(watch: Watch, alert: Alert, now: datetime, after: Thresholds) -> Step | None:
    """What to do about an alert that isn't over."""
    topic = alert.topic
    track = watch.tracks.get(topic)
    if topic.rule not in after:
        return Finish(alert, alert.seen_at, unwatched=True)
    gone = watch.gone_for(topic, now)
    if gone is not None:
        if gone < alert.quiet:
            return None
        seen_at = alert.seen_at if track is None else track.last
        return Finish(alert, seen_at, frozenset() if track is None else track.finding.involved)
    if track is None or alert.state is AlertState.TELLING or alert.is_muted(now):
        return None
    if alert.news is not None or _is_near(alert.told_at, now, AGAIN_AFTER):
        return None
    hurt = track.finding.hurt
    if hurt >= alert.told_hurt + 2 and hurt >= 2 * alert.told_hurt:
        return Worsen(alert, hurt)
    lasted = alert.told_at - alert.since  # less than nothing if the clock was set back
    is_due = lasted > timedelta(0) and now - alert.since >= LONGER * lasted
    return Remind(alert, hurt) if is_due else None


def _due(
    watch: Watch, now: datetime, after: Thresholds, killed: Collection[int] = ()
) -> list[Track]:
    """What has held for its time, the worst first; nothing that another one of these includes."""
    found = [
        track
        for track in watch.tracks.values()
        if track.finding.rule in after
        and track.gone is None
        and min(watch.held(track, now), watch.watched(now)) >= after[track.finding.rule]
        and track.finding.involved.isdisjoint(killed)
    ]
    told = {(each.rule, each.subject) for each in once([track.finding for track in found])}
    found = [each for each in found if (each.finding.rule, each.finding.subject) in told]
    return sorted(found, key=lambda each: (each.finding.severity, -each.worst, each.since))


def _may_relapse(alerts: Iterable[Alert], now: datetime) -> Mapping[Topic, Alert]:
    """The last alert about each topic that goes on if its finding is back."""
    ended = [each for each in alerts if each.may_relapse(now)]
    return {each.topic: each for each in sorted(ended, key=lambda each: each.id)}


def _more(
    watch: Watch, alerts: Iterable[Alert], now: datetime, untold: Sequence[Track]
) -> Iterable[Step]:
    """The line that says how many more there are than are told one by one."""
    topic = Topic.more(watch.cluster)
    number = len(untold)
    mine = max((a for a in alerts if a.topic == topic), key=lambda each: each.id, default=None)
    if mine is None or (mine.has_ended and not mine.may_relapse(now)):
        if number:
            yield Tell(topic, min(each.since for each in untold), number)
    elif mine.has_ended:
        if number and mine.news is None:
            yield Resume(mine, number)
    elif not number:
        yield Finish(mine, now)


def changed(
    step: Worsen | Remind | Resume | Finish,
    now: datetime,
    ended_by: tuple[int, Actor] | None = None,
) -> Alert:
    """The alert after a step, to be recorded. What is muted gets no reply in its thread."""
    alert = step.alert
    silent = alert.is_muted(now) or alert.topic.rule is None or not alert.message_ts
    silent |= isinstance(step, Finish) and step.unwatched
    if isinstance(step, Worsen | Remind):
        news = News.WORSE if isinstance(step, Worsen) else News.STILL
        new = replace(alert, told_at=now, told_hurt=step.hurt, news=news)
    elif isinstance(step, Resume):
        new = replace(
            alert,
            state=AlertState.OPEN if alert.message_ts else AlertState.TELLING,
            told_at=now,
            told_hurt=step.hurt,
            relapses=alert.relapses + 1,
            over_at=None,
            ended_by=None,
            news=News.AGAIN,
        )
    else:
        new = replace(
            alert,
            state=AlertState.UNWATCHED if step.unwatched else AlertState.OVER,
            seen_at=step.seen_at,
            over_at=now,
            ended_by=ended_by,
            news=News.OVER,
        )
    new = replace(new, worst=max(new.worst, new.told_hurt))
    return replace(new, news=None) if silent else replace(new, replies=alert.replies + 1)
