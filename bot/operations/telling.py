"""Say what is on record about alerts, once as far as Slack allows.

Each thing is on record before it is said, and recorded as said afterwards. If this process doesn't
know whether it was said, because another one stopped in between or Slack didn't answer, it looks
in the channel first. If the bot may not look there, it says it again: an alert that is told twice
does less harm than one that nobody gets.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog

from bot.domain.alerts import Alert, AlertState, Saying
from bot.domain.findings.model import Finding, Run
from bot.domain.samples import Seen
from bot.errors import Unsaid
from bot.ports import Alerts, Clock, Meter, Voice

log = structlog.get_logger(__name__)

AGE_EVERY = 60.0
"""Seconds between two drawings of an alert only because it got older."""

DRAW_EVERY = 15.0
"""Seconds between two drawings of an alert whose finding has changed."""

REDRAWS_A_MINUTE = 10
"""For all alerts together, beside those of the boards. Slack allows about 50."""

FIRST_PAUSE, LONGEST_PAUSE = 2.0, 60.0
"""Seconds before the next try; doubled at each further failure."""


@dataclass(frozen=True, slots=True)
class Now:
    """What an alert's finding is like by the last sample.

    If it isn't there, or there was no answer, `hurt` is None; and if that has been so for a while,
    `last` is when it was last seen.
    """

    hurt: int | None = None
    last: datetime | None = None
    finding: Finding | None = None
    seen: Seen | None = None


class _Shown(NamedTuple):
    """What a message shows, and since when on the monotonic clock."""

    revision: int
    what: tuple[object, ...]
    minutes: int
    at: float


class _Trouble(NamedTuple):
    """What couldn't be said, and when to try again."""

    why: str
    failures: int
    until: float


_About = tuple[str, int]
"""A channel, and an alert in it; 0 for all."""


class Telling:
    """Says what is due, and knows what was said since this process has been the one that speaks."""

    def __init__(self, alerts: Alerts, clock: Clock, meter: Meter) -> None:
        self._alerts = alerts
        self._clock = clock
        self._meter = meter
        self.forget()

    def forget(self) -> None:
        """Another process may have spoken meanwhile."""
        self._unposted: set[int] = set()  # certainly
        self._posted: dict[int, str] = {}  # but not yet recorded
        self._unsaid: set[tuple[int, int]] = set()  # certainly: an alert, and the reply's number
        self._said: set[tuple[int, int]] = set()  # but not yet recorded
        self._lost: set[int] = set()  # their messages were deleted
        self._shown: dict[int, _Shown] = {}
        self._trouble: dict[_About, _Trouble] = {}
        self._redraws: deque[float] = deque(maxlen=REDRAWS_A_MINUTE)

    def is_new(self, alert: Alert) -> None:
        """It was just recorded, by this process."""
        self._unposted.add(alert.id)

    def is_changed(self, alert: Alert) -> None:
        """The same of its news."""
        if alert.news is not None:
            self._unsaid.add((alert.id, alert.replies))
        if not alert.message_ts:
            self._unposted.add(alert.id)

    def may_be_posted(self, alert: Alert) -> bool:
        """Whether it was perhaps posted, without that being on record."""
        return alert.state is AlertState.TELLING and alert.id not in self._unposted

    async def say(self, voice: Voice, alert: Alert, now: Callable[[Alert], Now]) -> bool:
        """Say what is due; return whether nothing is left. Raises `LedgerError`."""
        if not _has_more(alert):
            return True
        at = self._clock.monotonic()
        if any(at < self._trouble[each].until for each in _about(alert) if each in self._trouble):
            return False
        try:
            await self._say(voice, alert, now(alert))
        except Unsaid as error:
            self._failed(alert, error)
            return False
        return alert.has_ended

    async def _say(self, voice: Voice, alert: Alert, now: Now) -> None:
        if alert.state is AlertState.TELLING:
            await self._post(voice, alert, now)
        elif alert.message_ts:
            await self._draw(voice, alert, now)
            if alert.news is not None:
                await self._reply(voice, alert, now)

    async def _post(self, voice: Voice, alert: Alert, now: Now) -> None:
        if alert.id not in self._posted:
            if alert.id not in self._unposted:
                ts = await voice.posted(alert)
                if ts is not None:
                    log.info("alert.found", alert=alert.id)
                    self._posted[alert.id] = ts
                else:
                    self._unposted.add(alert.id)
            if alert.id in self._unposted and now.hurt is not None:
                self._unposted.discard(alert.id)
                try:
                    self._posted[alert.id] = await voice.post(self._saying(alert, now))
                except Unsaid as error:
                    if error.surely:
                        self._unposted.add(alert.id)
                    raise
                self._worked(alert)
                self._remember(alert, now)
        if alert.id in self._posted:
            hurt = alert.told_hurt if now.hurt is None else now.hurt
            worst, at = max(alert.worst, hurt), self._clock.now()
            told = replace(alert, told_at=at, told_hurt=hurt, worst=worst)
            await self._alerts.posted(told, self._posted[alert.id])
            del self._posted[alert.id]

    async def _draw(self, voice: Voice, alert: Alert, now: Now) -> None:
        if not self._is_to_draw(alert, now):
            return
        if alert.id not in self._lost:
            if not alert.has_ended:
                self._redraws.append(self._clock.monotonic())
            try:
                await voice.redraw(self._saying(alert, now))
            except Unsaid as error:
                if not error.lost:
                    raise
                log.warning("alert.message_gone", alert=alert.id, error=error.why)
                self._lost.add(alert.id)
            self._worked(alert)
        self._remember(alert, now)
        if alert.drawn < alert.revision:
            await self._alerts.drawn(alert)

    def _is_to_draw(self, alert: Alert, now: Now) -> bool:
        if alert.has_ended:
            return alert.drawn < alert.revision
        shown = self._shown.get(alert.id)
        if (alert.drawn if shown is None else shown.revision) < alert.revision:
            return True
        if alert.id in self._lost or (now.hurt is None and now.last is None):
            return False
        at = self._clock.monotonic()
        if len(self._redraws) == REDRAWS_A_MINUTE and at - self._redraws[0] < 60:
            return False
        if shown is None:
            return True
        if shown.what != _what(now):
            return at - shown.at >= DRAW_EVERY
        if now.hurt is None:
            return False
        return shown.minutes != self._minutes(alert) and at - shown.at >= AGE_EVERY

    async def _reply(self, voice: Voice, alert: Alert, now: Now) -> None:
        this = (alert.id, alert.replies)
        if this not in self._said and alert.id not in self._lost:
            if this not in self._unsaid and await voice.replied(alert):
                log.info("alert.reply_found", alert=alert.id)
            else:
                self._unsaid.discard(this)
                try:
                    await voice.reply(self._saying(alert, now))
                except Unsaid as error:
                    if error.surely:
                        self._unsaid.add(this)
                    raise
                self._worked(alert)
            self._said.add(this)
        await self._alerts.replied(alert)
        self._said.discard(this)

    def _saying(self, alert: Alert, now: Now) -> Saying:
        return Saying(
            alert=alert,
            now=self._clock.now(),
            hurt=alert.told_hurt if now.hurt is None else now.hurt,
            finding=now.finding,
            survey=None if now.seen is None else now.seen.survey,
            last=now.last,
        )

    def _remember(self, alert: Alert, now: Now) -> None:
        at = self._clock.monotonic()
        self._shown[alert.id] = _Shown(alert.revision, _what(now), self._minutes(alert), at)

    def _minutes(self, alert: Alert) -> int:
        """Its age, as exactly as it is drawn."""
        minutes = (self._clock.now() - alert.since) // timedelta(minutes=1)
        return minutes if minutes < 10 else minutes - minutes % 5

    # --- failures -------------------------------------------------------------------

    def _failed(self, alert: Alert, error: Unsaid) -> None:
        """Try again later: this alert, if Slack certainly refused it; otherwise its channel."""
        self._meter.alert_unsaid()
        channel, this = _about(alert)
        about = this if error.surely and not error.retry_after else channel
        before = self._trouble.get(about)
        failures = 1 if before is None else before.failures + 1
        pause = min(FIRST_PAUSE * 2 ** (failures - 1), LONGEST_PAUSE)
        until = self._clock.monotonic() + max(pause, error.retry_after)
        self._trouble[about] = _Trouble(error.why, failures, until)
        if before is None or before.why != error.why:
            log.error("alerts.unsaid", channel=alert.channel_id, alert=alert.id, error=error.why)

    def _worked(self, alert: Alert) -> None:
        over = [self._trouble.pop(each, None) for each in _about(alert)]
        if any(each is not None for each in over):
            log.info("alerts.said_again", channel=alert.channel_id)


def _about(alert: Alert) -> tuple[_About, _About]:
    """What a failure may be about: the channel, or only this alert."""
    return (alert.channel_id, 0), (alert.channel_id, alert.id)


def _has_more(alert: Alert) -> bool:
    """Whether there is, or may be, something to say about it."""
    if not alert.has_ended:
        return True
    return bool(alert.message_ts) and (alert.drawn < alert.revision or alert.news is not None)


def _what(now: Now) -> tuple[object, ...]:
    """What a drawing shows besides the age."""
    acts = () if now.finding is None else now.finding.acts[:1]
    pids = (None if isinstance(act, Run) else act.backend.pid for act in acts)
    return (now.hurt, now.last, *pids)
