"""The life of a kill: proposed -> claimed -> done, or proposed -> dismissed, or expired.

Pure. A proposal freezes what a person was shown; a claim is the intent, owned by one
process; a conclusion says what became of each target. Nothing is ever rewritten: each
step completes what the step before left open.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, StrEnum, auto

from bot.domain.filters import Condition
from bot.domain.sessions import Backend, BackendId, Limit, ServerId, SpareReason

MAX_TARGETS = 100
"""Targets that one preview shows; more asks for a narrower filter."""

SIGNAL_WINDOW = timedelta(seconds=5)
"""How far ahead on the server's clock a signalling statement's deadline lies.

A statement that hangs (a stopped server, a lost network) and wakes after it signals
nothing, so that nobody dies after the bot has said that the server did not answer.
"""

GONE_WITHIN = timedelta(seconds=5)
"""How long a signalled backend is watched before it is called `still running`."""

LEASE = timedelta(seconds=15)
"""How long a claim stands without being renewed before another process may take it."""

SECOND_LOOK_AFTER = timedelta(seconds=10)
"""From the outcome to the look at what became of those left open, and at who came back."""

SECOND_LOOK_LEASE = timedelta(seconds=90)
"""How long the second look is left to the process that concluded, which asks a server that is
silent for a minute. Should it take longer yet, the first who records it has it."""

SECOND_LOOK_UNTIL = timedelta(hours=1)
"""After this nobody looks a second time: what is seen then says nothing of the kill."""


class Action(StrEnum):
    """What is done to each target."""

    TERMINATE = "terminate"
    CANCEL = "cancel"


class Basis(StrEnum):
    """What a target must still be, besides the same backend, when the signal goes out."""

    FILTER = "filter"  # still matching the frozen filter
    PID = "pid"  # still in the transaction that was shown
    IDENTITY = "identity"  # the same backend, whatever it runs


class State(StrEnum):
    """Where a proposal stands. Expiry is a matter of the ledger's clock, not a state."""

    PROPOSED = "proposed"
    CLAIMED = "claimed"
    DONE = "done"
    DISMISSED = "dismissed"


class Unclaimable(Enum):
    """Why a preview can't be claimed, or dismissed."""

    EXPIRED = auto()
    CLAIMED = auto()
    DONE = auto()
    DISMISSED = auto()
    ANOTHER_CHANNEL = auto()
    ANOTHER_LEDGER = auto()  # its key was made by another ledger than this one
    MISSING = auto()  # this ledger made its key, and has no such preview any more


class Outcome(StrEnum):
    """What became of one target."""

    TERMINATED = "terminated"
    CANCELLED = "cancelled"
    ALREADY_GONE = "already gone"
    ALREADY_FINISHED = "already finished"
    CHANGED = "changed"
    NO_LONGER_MATCHES = "no longer matches"
    NOT_PERMITTED = "not permitted"
    PROTECTED = "protected"
    STILL_RUNNING = "still running"
    SERVER_CHANGED = "server changed"
    INTERRUPTED = "interrupted"
    UNKNOWN = "unknown"


class Reason(StrEnum):
    """What the code goes by in what became of a target; the words are in `Result.detail`."""

    OTHER_WORK = "other work"  # ended in another transaction than the preview showed
    UNWATCHED = "unwatched"  # signalled, and not watched to its end
    NOT_KNOWN = "not known"  # the bot stopped before it was known
    GONE_SINCE = "gone since"  # looked at later, and gone by then


NEEDS_SOMEONE: tuple[Outcome, ...] = (
    Outcome.UNKNOWN,
    Outcome.STILL_RUNNING,
    Outcome.INTERRUPTED,
    Outcome.CHANGED,
    Outcome.NO_LONGER_MATCHES,
    Outcome.NOT_PERMITTED,
    Outcome.PROTECTED,
    Outcome.SERVER_CHANGED,
    Outcome.ALREADY_FINISHED,
    Outcome.ALREADY_GONE,
    Outcome.CANCELLED,
    Outcome.TERMINATED,
)
"""The outcomes, those that need someone first: the order of an outcome's table."""

SUCCEEDED = frozenset({Outcome.TERMINATED, Outcome.CANCELLED})

LIVING = frozenset({Outcome.STILL_RUNNING, Outcome.INTERRUPTED, Outcome.UNKNOWN})
"""The outcomes of targets that may still run: signalled or not, none was seen to end."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something, as Slack's payload names them."""

    user_id: str
    team_id: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a preview stands. `message_ts` is empty where Slack gave none."""

    channel_id: str
    message_ts: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """One backend as it was shown. Its `seen.query` is redacted already."""

    id: BackendId
    seen: Backend
    waiting_behind: int = 0
    is_new: bool = False  # it started after the channel's last look at the cluster


@dataclass(frozen=True, slots=True)
class Spared:
    """A backend that the request named and that is never signalled, with the reason.

    A ledger that another version wrote may have the reason in words that it has no value for.
    """

    seen: Backend
    why: SpareReason | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A preview before the ledger has it.

    `seen_at` is the server's clock at the snapshot; `wording` the request in the grammar's
    own canonical text, without the reason.
    """

    cluster: str
    host: str
    server: ServerId
    action: Action
    basis: Basis
    wording: str
    conditions: tuple[Condition, ...]
    targets: tuple[Target, ...]
    spared: tuple[Spared, ...] = ()
    reason: str | None = None
    asked_by: Actor
    channel_id: str
    seen_at: datetime
    before: tuple[Limit, ...] = ()  # the limits that the targets count against
    waiting: int = 0  # sessions that wait for a lock, on the whole server
    freed: int = 0  # of these, how many go on when the targets end
    reference: str = ""  # under which the log has all that belongs to it


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal(Draft):
    """A preview that the ledger holds. Instants here are of the ledger's clock.

    `id` is its number, for people. `key` is its identity: random, made with it, carried by
    each of its buttons and compared when one acts. Another ledger has the same numbers, and
    none of the keys.
    """

    id: int
    key: str
    created_at: datetime
    expires_at: datetime
    state: State = State.PROPOSED
    message_ts: str = ""
    confirmed_by: Actor | None = None
    claimed_at: datetime | None = None
    dismissed_by: Actor | None = None

    @property
    def place(self) -> Place:
        """Where its message stands."""
        return Place(self.channel_id, self.message_ts)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one target; `detail` in words fit for a table's cell."""

    id: BackendId
    outcome: Outcome
    detail: str = ""
    reason: Reason | None = None

    @property
    def is_open(self) -> bool:
        """Whether a second look can tell more of it."""
        return self.outcome in (Outcome.UNKNOWN, Outcome.STILL_RUNNING) or (
            self.outcome is Outcome.INTERRUPTED
            and self.reason in (Reason.UNWATCHED, Reason.NOT_KNOWN)
        )

    @property
    def may_live(self) -> bool:
        """Whether it may still run, as far as is known."""
        return self.outcome in LIVING and self.reason is not Reason.GONE_SINCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """What a confirmed kill did.

    `took` is the time from the first signal to the last target seen gone. `limits` pairs
    each limit before the first signal with itself after the last. `began_at` is the
    server's clock right before the claim, `concluded_at` the bot's clock at the end.
    """

    proposal: Proposal
    results: tuple[Result, ...]
    took: timedelta
    limits: tuple[tuple[Limit, Limit], ...] = ()
    waiting: tuple[int, int] | None = None
    arrivals: int = 0  # sessions that match the filter now and came after the preview
    recorded: bool = True  # whether the ledger has the outcome
    began_at: datetime | None = None
    concluded_at: datetime | None = None
    notes: tuple[str, ...] = field(default=())  # lines added later: who came back
    watched_until: float | None = None  # on the bot's monotonic clock, for its numbers

    @property
    def counts(self) -> Counter[Outcome]:
        """How many targets met each outcome."""
        return Counter(result.outcome for result in self.results)

    @property
    def other_work(self) -> int:
        """How many were ended in another transaction than the preview showed."""
        return sum(result.reason is Reason.OTHER_WORK for result in self.results)

    @property
    def in_order(self) -> tuple[Result, ...]:
        """The results, those that need someone first."""
        return tuple(sorted(self.results, key=lambda r: (NEEDS_SOMEONE.index(r.outcome), r.id.pid)))

    def target(self, backend_id: BackendId) -> Target:
        """The target that a result speaks of."""
        return next(t for t in self.proposal.targets if t.id == backend_id)

    def amended(self, results: Iterable[Result]) -> "tuple[Result, ...]":
        """The results with some of them replaced by later knowledge."""
        later = {result.id: result for result in results}
        return tuple(later.get(result.id, result) for result in self.results)
