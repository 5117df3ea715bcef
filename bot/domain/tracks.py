"""The findings of one cluster in time, from sample to sample. Pure.

A finding holds while every sample has it, but for a gap of up to `HICCUP`. A sample without an
answer neither holds nor ends anything: the watch's clock stands still.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.domain.findings.model import Finding, Rule, Severity, Subject, SubjectOf
from bot.domain.instants import from_us, to_us
from bot.domain.sessions import BackendId, ServerId

HICCUP = timedelta(seconds=10)
"""A finding that no sample has for this long has stopped holding."""


@dataclass(frozen=True, slots=True)
class Topic:
    """What an alert is about. A `rule` of None means all those beyond `MOST_NEW`, in one line."""

    cluster: str
    rule: Rule | None
    subject: Subject

    @classmethod
    def more(cls, cluster: str) -> "Topic":
        """The topic of the line that says how many more there are."""
        return cls(cluster, None, Subject(SubjectOf.SERVER, cluster))


def encoded(subject: Subject) -> str:
    """A subject as the ledger keeps it: `role|-|some_user`, `session|1767225600000000|33507`."""
    backend = subject.backend
    since = "-" if backend is None else str(to_us(backend.backend_start))
    return f"{subject.of}|{since}|{subject.name}"


def decoded(text: str) -> Subject:
    """The inverse. Raises `ValueError`."""
    of, since, name = text.split("|", 2)
    backend = None if since == "-" else BackendId(int(name), from_us(int(since)))
    return Subject(SubjectOf(of), name, backend)


@dataclass(slots=True)
class Track:
    """One finding in time, as a sample last had it.

    Attributes:
        since: when it began, and `last`, when it was last seen; both by the bot's clock.
        lasted: for how long it had lasted by then, as the server says; 0 if it doesn't say.
        first: when it was first seen, and `gone`, since when it hasn't been; both by the watch's.
    """

    topic: Topic
    finding: Finding
    since: datetime
    last: datetime
    lasted: timedelta
    first: datetime
    worst: int
    gone: datetime | None = None


class Watch:
    """The findings of one cluster, from sample to sample."""

    def __init__(self, cluster: str) -> None:
        self.cluster = cluster
        self.tracks: dict[Topic, Track] = {}
        self._server: ServerId | None = None
        self._began: datetime | None = None
        self._stood_still = timedelta(0)
        self._silent_since: datetime | None = None

    def clock(self, now: datetime) -> datetime:
        """The time without the spans in which the cluster didn't answer."""
        until = now if self._silent_since is None else self._silent_since
        return until - self._stood_still

    def watched(self, now: datetime) -> timedelta:
        """How long this server has been watched."""
        return timedelta(0) if self._began is None else self.clock(now) - self._began

    @property
    def answers(self) -> bool:
        """Whether the last sample had an answer."""
        return self._began is not None and self._silent_since is None

    def shift(self, by: timedelta) -> None:
        """Go on after the bot's clock was set forward by this much, or back.

        No time has passed by that, for a finding to hold or to be gone.
        """
        self._stood_still += by
        if self._silent_since is not None:
            self._silent_since += by
        for track in self.tracks.values():
            track.since += by
            track.last += by

    def unanswered(self, now: datetime) -> None:
        """Take in a sample without an answer."""
        if self._silent_since is None:
            self._silent_since = now

    def answered(
        self, now: datetime, findings: Iterable[Finding], *, server: ServerId, taken_at: datetime
    ) -> None:
        """Take in a sample. `taken_at` is by the server's clock, as the findings' instants are."""
        if self._silent_since is not None:
            self._stood_still += now - self._silent_since
            self._silent_since = None
        clock = self.clock(now)
        if self._server != server or self._began is None:
            self._server, self._began = server, clock
        seen = set()
        for finding in findings:
            if finding.severity is not Severity.NOTICE:
                topic = Topic(self.cluster, finding.rule, finding.subject)
                lasted = taken_at - (finding.since or taken_at)
                self._see(topic, finding, now, max(lasted, timedelta(0)))
                seen.add(topic)
        for topic, track in self.tracks.items():
            if topic not in seen and track.gone is None:
                track.gone = clock

    def _see(self, topic: Topic, finding: Finding, now: datetime, lasted: timedelta) -> None:
        clock = self.clock(now)
        track = self.tracks.get(topic)
        if track is None or (track.gone is not None and clock - track.gone >= HICCUP):
            first = clock
            since = now - lasted
        else:
            first, since = track.first, min(track.since, now - lasted)
        worst = max(finding.hurt, 0 if track is None else track.worst)
        self.tracks[topic] = Track(topic, finding, since, now, lasted, first, worst)

    def held(self, track: Track, now: datetime) -> timedelta:
        """For how long it has held: by the samples, or by what the server says."""
        return max(self.clock(now) - track.first, track.lasted)

    def gone_for(self, topic: Topic, now: datetime) -> timedelta | None:
        """For how long no sample has had it; None if the last one had it."""
        track = self.tracks.get(topic)
        if track is None:
            return self.watched(now)
        return None if track.gone is None else self.clock(now) - track.gone

    def forget(self, keep: Collection[Topic], now: datetime) -> None:
        """Drop what is gone, unless there is an alert about it."""
        clock = self.clock(now)
        for topic, track in [*self.tracks.items()]:
            gone = track.gone is not None and clock - track.gone >= HICCUP
            if gone and topic not in keep:
                del self.tracks[topic]
