"""What one sampling of a cluster saw, in the form in which the ring keeps it. Pure.

A sample of a server with 1,000 sessions takes megabytes as objects. The ring keeps 180 of them, so
all but the newest are packed.
"""

import pickle
import zlib
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from bot.domain.findings.diagnosis import Diagnosis, once
from bot.domain.findings.model import Finding, Question
from bot.domain.findings.survey import Survey
from bot.domain.groups import Groups
from bot.domain.sessions import Look, Names, ServerId
from bot.domain.waits import Waits

WORST = 20
"""How many sessions a past look shows: what hurt most."""

KEPT_FOR = timedelta(minutes=15)

APART = 4.5
"""Seconds between two samples that are kept, however often they are taken."""

MOST_BYTES = 9_000_000
"""How much the packed samples of one cluster may take; the newest one, unpacked, comes on top."""

_SMALL = 1_000
"""Bytes of a sample's figures."""

_NAME = 250
"""Bytes of a role or database in `Names`."""

_EPOCH = datetime.fromtimestamp(0, UTC)
_NO_NAMES = Names({}, {}, _EPOCH, ServerId(0, _EPOCH))

_FASTEST = 1
"""zlib's level."""


@dataclass(frozen=True)
class Seen:
    """What a server was like at one moment, with redacted queries.

    `survey.look.rows` are the sessions that hurt most. `findings` has even those that another one
    includes: what is told unasked depends on how long each has held. `crowd` counts all sessions by
    every `Field`, in their order, and by `wait_event_type`.
    """

    survey: Survey
    findings: tuple[Finding, ...]
    crowd: Groups

    @cached_property
    def look(self) -> Look:
        """What a look showed then, as far as it is kept: the worst twenty sessions."""
        look = self.survey.look
        return replace(look, rows=look.rows[:WORST])

    @cached_property
    def diagnosis(self) -> Diagnosis:
        """What `why` found then, asked about the whole server."""
        return Diagnosis(Question(), self.survey, tuple(once(self.findings)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One sampling. If the cluster didn't answer, `problem` says so, and nothing else is known.

    `taken_at` is by the server's clock, or by the bot's if there was no answer. `used` of `usable`
    connections are those that ordinary roles can have. `oldest_xact_age` is of the oldest open
    transaction.
    """

    cluster: str
    taken_at: datetime
    problem: str | None = None
    used: int = 0
    usable: int = 0
    total: int = 0  # sessions
    waiting: int = 0  # for a lock
    oldest_xact_age: timedelta | None = None
    by_state: Mapping[str, int] = field(default_factory=dict)
    _seen: Seen | None = field(default=None, repr=False, compare=False)
    _packed: bytes = field(default=b"", repr=False, compare=False)
    _names: Names | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, seen: Seen) -> "Sample":
        """The sample of a server that answered."""
        look = seen.survey.look
        server, counts = look.server, look.counts
        oldest = counts.oldest_xact
        return cls(
            cluster=server.cluster,
            taken_at=server.now,
            used=server.ordinary.taken,
            usable=server.ordinary.limit,
            total=counts.total,
            waiting=counts.waiting,
            oldest_xact_age=None if oldest is None else max(server.now - oldest, timedelta(0)),
            by_state=dict(counts.by_state),
            _seen=seen,
            _names=look.names,
        )

    @property
    def seen(self) -> Seen | None:
        """What was seen, or None without an answer.

        An older sample is unpacked at each call, which takes about a millisecond.
        """
        if self._seen is not None or self._names is None:
            return self._seen
        return _unpack(self._packed, self._names)

    @property
    def diagnosis(self) -> Diagnosis | None:
        """What `why` found then, or None without an answer; see `seen`."""
        seen = self.seen
        return None if seen is None else seen.diagnosis

    def packed(self) -> "Sample":
        """The same in little memory."""
        if self._seen is None:
            return self
        return replace(self, _seen=None, _packed=_pack(self._seen))

    @property
    def size(self) -> int:
        """Bytes that it is packed in."""
        return len(self._packed)

    @property
    def names(self) -> Names:
        """The roles and databases that there were; none without an answer."""
        return self._names or _NO_NAMES


def _pack(seen: Seen) -> bytes:
    """Without the names, which consecutive samples share, and without what can be computed."""
    look = seen.survey.look
    waits = Waits(look.waits.blocked_by, look.waits.since)
    survey = replace(seen.survey, look=replace(look, names=_NO_NAMES, waits=waits))
    bare = (survey, seen.findings, seen.crowd)
    return zlib.compress(pickle.dumps(bare, pickle.HIGHEST_PROTOCOL), _FASTEST)


def _unpack(packed: bytes, names: Names) -> Seen:
    # These bytes never leave the process.
    survey, findings, crowd = pickle.loads(zlib.decompress(packed))  # noqa: S301
    look = replace(survey.look, names=names)
    return Seen(replace(survey, look=look), findings, crowd)


_NONE = Sample(cluster="", taken_at=_EPOCH)


def _unshared(before: Names, later: Names) -> int:
    """How many roles and databases don't share the memory of an earlier reading."""
    roles = () if later.roles is before.roles else later.roles
    databases = () if later.databases is before.databases else later.databases
    return len(roles) + len(databases)


class Kept(NamedTuple):
    """A sample, and when it was taken on the bot's monotonic clock."""

    at: float
    sample: Sample


class Ring:
    """The samples of one cluster, the oldest first: those of `KEPT_FOR` that `MOST_BYTES` hold.

    However many sessions a server has, and whatever they call themselves, the oldest give way.
    """

    def __init__(self) -> None:
        self._kept: deque[Kept] = deque()
        self._cut_at = float("-inf")  # when the last one was taken that had to give way

    def __iter__(self) -> Iterator[Kept]:
        return iter(self._kept)

    @property
    def newest(self) -> Sample | None:
        return self._kept[-1].sample if self._kept else None

    @property
    def size(self) -> int:
        """About how many bytes they take without the newest, which isn't packed."""
        older = [each.sample for each in self._kept][:-1]
        return sum(
            later.size + _SMALL + _NAME * _unshared(before.names, later.names)
            for before, later in pairwise((_NONE, *older))
        )

    def is_cut(self, now: float) -> bool:
        """Whether some of the last 15 minutes had to give way."""
        return now - self._cut_at <= KEPT_FOR.total_seconds()

    def add(self, at: float, sample: Sample) -> None:
        """Keep another one; of two that are close together, the later."""
        kept = self._kept
        if len(kept) > 1 and kept[-1].at - kept[-2].at < APART:
            kept.pop()
        elif kept:
            kept[-1] = kept[-1]._replace(sample=kept[-1].sample.packed())
        kept.append(Kept(at, sample))
        while at - kept[0].at > KEPT_FOR.total_seconds():
            kept.popleft()
        while self.size > MOST_BYTES:
            self._cut_at = kept.popleft().at
