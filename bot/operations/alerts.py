"""Alerts: decide by the samples what to tell, record it, and then say it.

Every replica watches; only the one with the lease `speaker` records and says anything. What is said
was recorded before, so whoever speaks next goes on where this one stopped: see `telling.py`.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from bot.domain.alerts import (
    AN_HOUR,
    DEFAULT_AFTER,
    MENDED_WITHIN,
    MUTE_FOR,
    Alert,
    AlertState,
    Finish,
    Opening,
    Step,
    Tell,
    Thresholds,
    changed,
    decide,
    not_told,
)
from bot.domain.findings.model import SubjectOf
from bot.domain.kills import Actor
from bot.domain.samples import Sample, Seen
from bot.domain.tracks import Watch
from bot.errors import LedgerError
from bot.operations.speaker import Speaker
from bot.operations.telling import Now, Telling
from bot.ports import Alerts, Clock, Meter, Voice

log = structlog.get_logger(__name__)

UNDRAWN_FOR = timedelta(days=1)
"""How long the bot tries to show in a message that its alert is over."""

SEEN_EVERY = timedelta(seconds=30)
"""How often it is recorded that a finding is still there: another replica may have to say for how
long it was."""

UNSEEN_AFTER = timedelta(minutes=1)
"""How long a finding has to be out of sight before its alert says when it was last seen. Most are
over by then."""

LOOK_EVERY = timedelta(minutes=1)
"""How often the speaker reads the ledger while nothing is wrong."""

SET = timedelta(seconds=2)
"""By how much the bot's clock differs from its monotonic one when somebody has set it."""

BEFORE = timedelta(seconds=30)
"""A kill that ended a finding began at most this long before the finding was last seen."""


@dataclass(frozen=True, slots=True)
class AlertRules:
    """What the settings say: the channel of each cluster that has one, and the thresholds."""

    channels: Mapping[str, str] = field(default_factory=dict)
    after: Thresholds = field(default_factory=lambda: DEFAULT_AFTER)


NO_ALERTS = AlertRules()


class Alerting:
    """The alerts of all clusters that have a channel."""

    def __init__(
        self, alerts: Alerts, speaker: Speaker, clock: Clock, rules: AlertRules, meter: Meter
    ) -> None:
        self._alerts = alerts
        self._speaker = speaker
        self._clock = clock
        self._rules = rules
        self._meter = meter
        self._watches = {name: Watch(name) for name in rules.channels}
        self._seen: dict[str, Seen] = {}
        self._untold: dict[str, int] = {}
        self._telling = Telling(alerts, clock, meter)
        self._clocks = clock.now(), clock.monotonic()  # when both were last read
        self._read_at: float | None = None  # on the monotonic clock
        self._is_quiet = False  # nothing on record is open or unsaid

    def sampled(self, cluster: str, sample: Sample) -> None:
        """Take in a sample."""
        watch = self._watches.get(cluster)
        if watch is None:
            return
        now, seen = self._time(), sample.seen
        if seen is None:
            watch.unanswered(now)
            return
        self._seen[cluster] = seen
        server = seen.survey.server
        watch.answered(now, seen.findings, server=server.id, taken_at=sample.taken_at)

    def _time(self) -> datetime:
        """The time now. If the clock was set meanwhile, no time passed by that for the watches."""
        now, steady = self._clock.now(), self._clock.monotonic()
        before, steady_before = self._clocks
        self._clocks = now, steady
        by = now - before - timedelta(seconds=steady - steady_before)
        if abs(by) >= SET and self._watches:
            log.warning("alerts.clock_set", seconds=round(by.total_seconds(), 3))
            for watch in self._watches.values():
                watch.shift(by)
        return now

    async def work(self, voice: Voice) -> None:
        """Decide, record and say what is due, if this process is the one that speaks."""
        try:
            async with self._speaker.turn() as mine:
                if not mine:
                    self._read_at = None
                    self._telling.forget()
                elif self._is_due():
                    await self._work(voice)
        except LedgerError as error:
            self._read_at = None
            log.debug("alerts.no_ledger", problem=str(error))
        except TimeoutError:
            log.warning("alerts.not_ours")  # the lease has run out meanwhile

    def _is_due(self) -> bool:
        """Whether the ledger has to be read: something is to be told, or something isn't over."""
        now = self._clock.monotonic()
        if self._read_at is None or not self._is_quiet:
            return True
        if now - self._read_at >= LOOK_EVERY.total_seconds():
            return True
        return any(self._decided(watch, ()) for watch in self._watches.values())

    async def _work(self, voice: Voice) -> None:
        now = self._time()
        alerts = {a.id: a for a in await self._alerts.current(now - AN_HOUR, now - UNDRAWN_FOR)}
        self._read_at = self._clock.monotonic()
        for alert in [*alerts.values()]:
            if alert.topic.cluster not in self._watches and not alert.has_ended:
                await self._take(Finish(alert, alert.seen_at, unwatched=True), alerts)
        for watch in self._watches.values():
            for step in await self._steps(watch, alerts.values()):
                await self._take(step, alerts)
            watch.forget({a.topic for a in alerts.values() if not a.has_ended}, now)
        for alert in alerts.values():
            await self._note_seen(alert)
        said = [await self._telling.say(voice, each, self._now) for each in self._sorted(alerts)]
        self._is_quiet = all(said) and all(each.has_ended for each in alerts.values())

    def _sorted(self, alerts: Mapping[int, Alert]) -> list[Alert]:
        """New ones first."""
        return sorted(alerts.values(), key=lambda a: (a.state is not AlertState.TELLING, a.id))

    # --- decide and record -----------------------------------------------------------

    def _decided(
        self, watch: Watch, alerts: Sequence[Alert], killed: Collection[int] = ()
    ) -> list[Step]:
        return decide(watch, alerts, self._time(), self._rules.after, killed=killed)

    async def _steps(self, watch: Watch, alerts: Iterable[Alert]) -> list[Step]:
        """What to do about one cluster; what a kill is about to mend isn't told."""
        mine = [each for each in alerts if each.topic.cluster == watch.cluster]
        steps = self._decided(watch, mine)
        if any(isinstance(step, Tell) for step in steps):
            kills = await self._alerts.kills(watch.cluster, MENDED_WITHIN)
            if killed := {pid for kill in kills for pid in kill.aimed}:
                steps = self._decided(watch, mine, killed)
        untold = not_told(watch, mine, self._time(), self._rules.after)
        self._untold[watch.cluster] = len(untold)
        return steps

    async def _take(self, step: Step, alerts: dict[int, Alert]) -> None:
        """Record a step."""
        if isinstance(step, Tell):
            topic = step.topic
            opening = Opening(
                topic=topic,
                channel_id=self._rules.channels[topic.cluster],
                since=step.since,
                hurt=step.hurt,
                at=self._clock.now(),
            )
            new = await self._alerts.open(opening, self._speaker.lease)
            if new is not None:
                self._telling.is_new(new)
                self._log("alert.opened", new)
        elif isinstance(step, Finish) and self._telling.may_be_posted(step.alert):
            return  # whether anyone was told must be known first
        else:
            by = await self._ended_by(step) if isinstance(step, Finish) else None
            after = changed(step, self._clock.now(), by)
            new = await self._alerts.change(after, self._speaker.lease)
            if new is not None:
                self._telling.is_changed(new)
                self._log(f"alert.{type(step).__name__.lower()}", new)
        if new is not None:
            alerts[new.id] = new

    def _log(self, event: str, alert: Alert) -> None:
        finding = str(alert.topic.rule or "more")
        log.info(event, alert=alert.id, cluster=alert.topic.cluster, finding=finding)
        if event in {"alert.opened", "alert.resume"}:
            self._meter.alert_opened(finding)
        if event == "alert.finish":
            self._meter.alert_closed(finding)

    async def _note_seen(self, alert: Alert) -> None:
        watch = self._watches.get(alert.topic.cluster)
        track = None if watch is None or alert.has_ended else watch.tracks.get(alert.topic)
        if track is not None and track.last - alert.seen_at >= SEEN_EVERY:
            await self._alerts.seen(alert, track.last)

    async def _ended_by(self, step: Finish) -> tuple[int, Actor] | None:
        """The kill that ended one of the sessions concerned, right after they were last seen."""
        subject = step.alert.topic.subject
        pids = set(step.involved)
        if subject.of is SubjectOf.SESSION:
            pids.add(int(subject.name))
        if not pids or step.unwatched:
            return None
        ago = self._clock.now() - step.seen_at + BEFORE
        kills = await self._alerts.kills(step.alert.topic.cluster, ago)
        return next(((kill.number, kill.by) for kill in kills if kill.ended & pids), None)

    def _now(self, alert: Alert) -> Now:
        """What an alert's finding is like by the last sample."""
        watch = self._watches.get(alert.topic.cluster)
        if watch is None:
            return Now()
        if alert.topic.rule is None:
            return Now(self._untold.get(watch.cluster) or None)
        track = watch.tracks.get(alert.topic)
        if track is None or track.gone is not None or not watch.answers:
            last = alert.seen_at if track is None else track.last
            return Now(last=last if self._clock.now() - last >= UNSEEN_AFTER else None)
        return Now(track.finding.hurt, finding=track.finding, seen=self._seen[watch.cluster])

    # --- what people ask for ---------------------------------------------------------

    async def get(self, key: str) -> Alert | None:
        """The alert that a button carries. Raises `LedgerError`."""
        return await self._alerts.get(key)

    async def mute(self, key: str, by: Actor) -> Alert | None:
        """Keep an alert's thread silent for an hour; None if it is over. Raises `LedgerError`."""
        return await self._alerts.mute(key, self._clock.now() + MUTE_FOR, by)
