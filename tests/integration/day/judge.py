"""Whether the bots say what is so, when it is due, and once: by what is known to be wrong.

Looked at after every step, and strictly: nobody may speak too early or twice, close what isn't
over, or say anything else. What must have been said by now is asked only while nothing has gone
wrong with the bots themselves for a while.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from textwrap import dedent

from bot.domain.alerts import AN_HOUR, MOST_NEW, QUIET, RELAPSE_WITHIN, Alert
from bot.domain.findings.model import Rule, Severity
from bot.domain.kills import Conclusion, Outcome
from bot.domain.samples import Sample
from bot.ledger.sql import SqlLedger
from bot.slack.alerts import EVENT
from bot.slack.views.text import age
from tests.integration.day.bots import AFTER, CHANNEL, TICK, Bot
from tests.integration.day.cast import Named, Wrong
from tests.integration.day.clock import DayClock
from workspace import Workspace
from workspace.state import Message

WITHIN = 15.0
"""Seconds for which what is due may be untold."""

CALM = 60.0
"""Seconds after the last trouble of the bots from which on all must be as it should be."""

MUTED_LAG = 120.0
"""Seconds after a mute in which what came before it may still be said, while there is trouble."""

REDRAWN, REDRAWN_LATER = 90, 300
"""Seconds by which the age in a message may be behind: at first, and how much more after 10 min."""

NOW = timedelta(0)

_SAYS: Mapping[Rule, str] = {
    Rule.LIMIT: "{name} is at its limit, 1 of 1",
    Rule.DDL_QUEUE: "pid {name} waits for a lock and holds up others: {hurt}",
    Rule.BLOCKER: "pid {name} holds up others: {hurt}",
    Rule.IDLE_IN_TRANSACTION: "pid {name} is idle in transaction",
}


@dataclass
class Told:
    """An alert's message, as it was last seen, and its thread."""

    alert: Alert
    text: str
    at: float
    closed_at: float | None = None
    told_at: float = 0.0
    hurt: int = 0  # when it was told last
    relapses: int = 0
    replies: list[str] = field(default_factory=list)
    muted_at: float | None = None

    def is_past(self, now: float) -> bool:
        """Whether another message is due if it comes back."""
        then = self.closed_at
        return then is not None and now - then >= RELAPSE_WITHIN.total_seconds()

    @property
    def topic(self) -> Named | None:
        rule = self.alert.topic.rule
        return None if rule is None else (rule, self.alert.topic.subject.name)


class Judge:
    """Knows what is wrong, and reads what was said."""

    def __init__(self, slack: Workspace, ledger: SqlLedger, clock: DayClock) -> None:
        self._slack, self._ledger, self._clock = slack, ledger, clock
        self._vera = slack.person("vera")
        self.told: dict[str, Told] = {}  # by the message's ts
        self.wrong: Mapping[Named, Wrong] = {}
        self._began: dict[Named, float] = {}
        self._gone: dict[Named, float] = {}
        self._changed: dict[Named, float] = {}
        self._waiting: list[tuple[float, int]] = []
        self._seen: dict[str, Message] = {}  # the last version
        self.boards: dict[str, str] = {}
        self.trouble_at = 0.0
        self.kills: dict[int, int] = {}  # by the pid that one ended

    # --- what is so

    def sampled(self, bot: Bot, sample: Sample, wrong: Mapping[Named, Wrong]) -> None:
        """A bot has sampled while this was wrong."""
        now = self._clock.seconds
        for topic in {*self.wrong, *wrong}:
            before, after = self.wrong.get(topic), wrong.get(topic)
            if after is None:
                self._began.pop(topic, None)
                self._gone.setdefault(topic, now)
            else:
                self._gone.pop(topic, None)
                self._began.setdefault(topic, min(now, after.since))
            if before is None or after is None or before.hurt != after.hurt:
                self._changed[topic] = now
        self.wrong = wrong
        if sample.seen is None:
            bot.first.clear()
            self.trouble()
            return
        found = {
            (each.rule, each.subject.name): each.hurt
            for each in sample.seen.findings
            if each.severity is not Severity.NOTICE
        }
        expected = {topic: each.hurt for topic, each in wrong.items()}
        assert found == expected, f"found {found}, but so it is: {expected}"
        self._waiting.append((now, sample.waiting))
        bot.first = {topic: bot.first.get(topic, now) for topic in wrong}

    def trouble(self) -> None:
        """Something has gone wrong with the bots themselves, or with what they need."""
        self.trouble_at = self._clock.seconds

    def ended(self, kill: Conclusion) -> None:
        for result in kill.results:
            if result.outcome is Outcome.TERMINATED:
                self.kills[result.id.pid] = kill.proposal.id

    # --- what is said

    async def look(self) -> None:
        """Read what is new in the channel, and check it."""
        for message in self._slack.state.messages(CHANNEL):
            if self._seen.get(message.ts) is message:
                continue
            self._seen[message.ts] = message
            text = dedent(self._vera.text_of(message).partition(":\n")[2])  # without its author
            metadata = message.metadata or {}
            if metadata.get("event_type") != EVENT and message.thread_ts is None:
                assert "atching main" in text or "board of main" in text, f"said: {text}"
                self.boards[message.ts] = text
            elif message.thread_ts is not None:
                self._reply(message, text)
            elif message.ts in self.told:
                self._edited(self.told[message.ts], text)
            else:
                await self._new(message, text)

    async def _new(self, message: Message, text: str) -> None:
        assert message.metadata is not None
        now = self._clock.seconds
        alert = await self._ledger.alerts.get(message.metadata["event_payload"]["key"])
        assert alert is not None, f"told, but not on record: {text}"
        told = Told(alert, text, now, told_at=now)
        recent = [each for each in self._one_by_one() if now - each.at < AN_HOUR.total_seconds()]
        for other in self.told.values():
            twice = other.topic == told.topic and not other.is_past(now)
            assert not twice, f"told twice: {text}"
            assert other.alert.key != alert.key, f"posted twice: {text}"
        if told.topic is None:
            assert len(recent) >= MOST_NEW, f"not that many: {text}"
        else:
            assert len(recent) < MOST_NEW, f"too many: {text}"
            self._is_due(told.topic, text)
            told.hurt = self.wrong[told.topic].hurt
        self.told[message.ts] = told

    def _one_by_one(self) -> list[Told]:
        return [each for each in self.told.values() if each.topic is not None]

    def _is_due(self, topic: Named, text: str) -> None:
        assert topic in self.wrong, f"nothing is wrong: {text}"
        held = self._clock.seconds - self._began[topic]
        assert held >= AFTER[topic[0]].total_seconds(), f"too early, after {held:.0f} s: {text}"

    def _edited(self, told: Told, text: str) -> None:
        was, told.text = told.text, text
        if text.startswith("✓") and not was.startswith("✓"):
            self._closed(told)
        elif was.startswith("✓") and was != text:  # it is drawn twice if its bot died meanwhile
            assert text.startswith("⚠"), f"after it was over: {text}; was {was}"
            told.closed_at = None
            told.relapses += 1
            if told.topic is not None:
                self._is_due(told.topic, text)

    def _closed(self, told: Told) -> None:
        told.closed_at = self._clock.seconds
        if told.topic is None:
            return
        assert told.topic not in self.wrong, f"not over: {told.text}"
        gone = self._clock.seconds - self._gone[told.topic]
        assert gone >= QUIET.total_seconds(), f"over after {gone:.0f} s: {told.text}"
        rule, name = told.topic
        if rule is not Rule.LIMIT and int(name) in self.kills:
            by = f"Ended by kill {self.kills[int(name)]}, @ana."
            assert by in told.text, f"{by} is missing: {told.text}"

    def _reply(self, message: Message, text: str) -> None:
        assert message.thread_ts in self.told, f"in no alert's thread: {text}"
        told, now = self.told[message.thread_ts or ""], self._clock.seconds
        assert told.topic is not None, f"nobody is told how many more there are: {text}"
        kinds = ("✓", "⚠ Again", "⚠ Still", "⚠ Worse")
        kind = next(each for each in kinds if text.startswith(each))
        is_open = not told.replies or not told.replies[-1].startswith("✓")
        assert (kind == "⚠ Again") is not is_open, f"after {told.replies}: {text}"
        if told.muted_at is not None:
            lag = TICK if self.is_calm() else MUTED_LAG
            assert now - told.muted_at <= lag, f"muted: {text}"
        if kind in {"⚠ Still", "⚠ Worse"}:
            assert now - told.told_at >= 60, f"told again at once: {text}"
        if kind != "✓":
            wrong = self.wrong.get(told.topic)
            told.told_at, told.hurt = now, told.hurt if wrong is None else wrong.hurt
        told.replies.append(text)

    # --- what must have been said

    def is_calm(self) -> bool:
        return self._clock.seconds - self.trouble_at >= CALM

    def all_is_said(self, speaker: Bot | None) -> None:
        """Check that nothing is missing, and that nothing is worded as it no longer is."""
        if not self.is_calm():
            return
        assert speaker is not None, "nobody speaks"
        now = self._clock.seconds
        told = {each.topic: each for each in self.told.values()}  # the last about each
        recent = [each for each in self._one_by_one() if now - each.at < AN_HOUR.total_seconds()]
        more = 0
        for topic, wrong in self.wrong.items():
            due = max(speaker.first[topic], self._calm_since()) + AFTER[topic[0]].total_seconds()
            if now < due + WITHIN + TICK:
                continue
            mine = told.get(topic)
            if mine is not None and mine.is_past(now):
                mine = None
            if wrong.is_included and (mine is None or mine.closed_at is not None):
                continue
            if mine is None and len(recent) >= MOST_NEW:
                more += 1
                continue
            assert mine is not None, f"untold: {topic}"
            assert mine.text.startswith("⚠"), f"not open any more: {topic}, {mine.text}"
            self._is_worded(mine, wrong)
        for each in self.told.values():
            if each.topic is not None and each.topic not in self.wrong and each is told[each.topic]:
                self._is_over(each)
        if more:
            assert told[None].text.startswith("⚠"), f"{more} more are not told"

    def _calm_since(self) -> float:
        return self.trouble_at

    def _is_worded(self, told: Told, wrong: Wrong) -> None:
        now, (rule, name) = self._clock.seconds, told.topic or (Rule.LOGIN, "")
        if now - max(self._changed[rule, name], self.trouble_at) < 2 * WITHIN + TICK:
            return
        hurt = f"{wrong.hurt} session{' waits' if wrong.hurt == 1 else 's wait'}"
        says = _SAYS[rule].format(name=name, hurt=hurt)
        assert says in told.text, f"worded otherwise than {says!r}: {told.text}"
        lasted = self._clock.now() - told.alert.since
        behind = REDRAWN if lasted < timedelta(minutes=10) else REDRAWN + REDRAWN_LATER
        ages = {age(max(lasted - timedelta(seconds=each), NOW)) for each in range(behind)}
        is_so = re.search(f"[( ](?:{'|'.join(map(re.escape, ages))}) so far\\)\\.", told.text)
        assert is_so, f"{age(lasted)} old: {told.text}"

    def _is_over(self, told: Told) -> None:
        assert told.topic is not None
        quiet = min(QUIET.total_seconds() * 2**told.relapses, 600)
        since = max(self._gone[told.topic], self._calm_since())
        if self._clock.seconds - since >= quiet + WITHIN + TICK:
            assert told.text.startswith("✓"), f"not over: {told.text}"
            said = told.replies and told.replies[-1].startswith("✓")
            assert said or told.muted_at is not None, f"nobody was told: {told.text}"

    def boards_are_fresh(self) -> None:
        """Check that no board is older than it says, and shows what was so then."""
        if not self.is_calm():
            return
        for text in self.boards.values():
            if "redrawn every" not in text:
                continue
            every = text.partition("redrawn every ")[2].partition(" · ")[0].split()
            units = {"s": 1, "min": 60}
            most = sum(int(n) * units[u] for n, u in zip(every[::2], every[1::2], strict=True))
            drawn = self._of_day(re.findall(r"as of (\d\d:\d\d:\d\d) UTC", text)[-1])
            old = self._clock.seconds - drawn
            assert old <= most + WITHIN, f"{old:.0f} s old: {text}"
            waiting = {
                number for at, number in self._waiting if drawn - 2 * TICK <= at <= drawn + 3
            }
            said = re.search(r"waiting (\d+)", text)
            assert said is not None, text
            assert int(said[1]) in waiting, f"at {drawn:.0f} s {waiting} waited: {text}"

    def _of_day(self, clock: str) -> float:
        hours, minutes, seconds = map(int, clock.split(":"))
        morning = self._clock.now() - timedelta(seconds=self._clock.seconds)
        return (hours - morning.hour) * 3600.0 + minutes * 60 + seconds
