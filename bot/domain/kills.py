"""The life of a kill: proposed -> claimed -> done, or proposed -> dismissed, or expired.

Pure. A proposal freezes what a person was shown. A claim records the intent, and one process owns
it. A conclusion says what became of each target. Nothing is rewritten: each step adds what the
step before left open.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, StrEnum, auto

from bot.domain.filters import Condition
from bot.domain.sessions import Backend, BackendId, Limit, ServerId, SpareReason

MAX_TARGETS = 100
"""The most targets that one preview shows; for more, the bot asks for a narrower filter."""

SIGNAL_WINDOW = timedelta(seconds=5)
"""How far ahead, on the server's clock, a signalling statement's deadline lies.

A statement that was held up (a stopped server, a lost network) and wakes after its deadline signals
nothing. So nobody dies after the bot has said that the server did not answer.
"""

GONE_WITHIN = timedelta(seconds=5)
"""How long the bot watches a signalled backend before it calls it `still running`."""

LEASE = timedelta(seconds=15)
"""How long a claim lasts without being renewed; then another process may take it."""

SECOND_LOOK_AFTER = timedelta(seconds=10)
"""Time from the outcome to the second look, at open targets and at who came back."""

SECOND_LOOK_LEASE = timedelta(seconds=90)
"""How long the second look is reserved for the process that concluded the kill. That process waits
up to a minute for a silent server. After the lease, the first process to record the look has it."""

SECOND_LOOK_UNTIL = timedelta(hours=1)
"""After this there is no second look: what it would see no longer says anything about the kill."""


class Action(StrEnum):
    """What the bot does to each target."""

    TERMINATE = "terminate"
    CANCEL = "cancel"
    CANCEL_THEN_TERMINATE = "cancel_then_terminate"  # in two steps: see `bot.domain.steps`


class Basis(StrEnum):
    """What must still be true of a target, besides its identity, when the signal goes out."""

    FILTER = "filter"  # it still matches the frozen filter
    PID = "pid"  # it is still in the transaction that was shown
    IDENTITY = "identity"  # it is the same backend, whatever it runs


class State(StrEnum):
    """Where a proposal stands. Expiry isn't a state: the ledger's clock decides it."""

    PROPOSED = "proposed"
    CLAIMED = "claimed"
    DONE = "done"
    DISMISSED = "dismissed"


class Unclaimable(Enum):
    """Why a preview can't be claimed or dismissed."""

    EXPIRED = auto()
    CLAIMED = auto()
    DONE = auto()
    DISMISSED = auto()
    ANOTHER_CHANNEL = auto()
    ANOTHER_LEDGER = auto()  # another ledger made its key
    MISSING = auto()  # this ledger made its key, but no longer has the preview


class Outcome(StrEnum):
    """What became of one target. They are shown in this order: those that need someone first."""

    UNKNOWN = "unknown"
    STILL_RUNNING = "still running"
    INTERRUPTED = "interrupted"
    CHANGED = "changed"
    NO_LONGER_MATCHES = "no longer matches"
    NOT_PERMITTED = "not permitted"
    PROTECTED = "protected"
    SERVER_CHANGED = "server changed"
    ALREADY_FINISHED = "already finished"
    ALREADY_GONE = "already gone"
    CANCELLED = "cancelled"
    TERMINATED = "terminated"


class Reason(StrEnum):
    """The reason for an outcome as a value; `Result.detail` has the words."""

    OTHER_WORK = "other work"  # it ended in another transaction than the preview showed
    UNWATCHED = "unwatched"  # it was signalled, but not watched to its end
    NOT_KNOWN = "not known"  # the bot stopped before it knew
    GONE_SINCE = "gone since"  # it was gone when the bot looked later


SUCCEEDED = frozenset({Outcome.TERMINATED, Outcome.CANCELLED})

LIVING = frozenset({Outcome.STILL_RUNNING, Outcome.INTERRUPTED, Outcome.UNKNOWN})
"""The outcomes of targets that may still run: none of these was seen to end."""


@dataclass(frozen=True, slots=True)
class Actor:
    """The person who acts, as Slack's payload names them."""

    user_id: str
    team_id: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message is. `message_ts` is empty if Slack gave none.

    `thread_ts` is the message whose thread it is in; empty if it stands in the channel itself.
    """

    channel_id: str
    message_ts: str = ""
    thread_ts: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """One backend as it was shown, with `seen.query` already redacted."""

    id: BackendId
    seen: Backend
    waiting_behind: int = 0
    is_new: bool = False  # it started after the channel last looked at the cluster


@dataclass(frozen=True, slots=True)
class Spared:
    """A backend that the request named and that won't be signalled, with the reason.

    A ledger written by another version may hold a reason that this version has no value for; then
    `reason` is its text.
    """

    seen: Backend
    why: SpareReason | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A preview before it is in the ledger.

    `seen_at` is the server's clock at the snapshot. `wording` is the request in the grammar's
    canonical text, without the reason.
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
    thread_ts: str = ""  # the message in whose thread it was asked for
    seen_at: datetime
    before: tuple[Limit, ...] = ()  # the limits that the targets count against
    waiting: int = 0  # sessions that wait for a lock, on the whole server
    freed: int = 0  # how many of these can go on when the targets end
    reference: str = ""  # the log lines about this preview carry it


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal(Draft):
    """A preview in the ledger. Instants here are read from the ledger's clock.

    `id` is its number, for people. `key` is its identity: it is random, each of its buttons carries
    it, and each click compares it. Another ledger may have the same number, but not the same key.
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
    dismissed_at: datetime | None = None

    @property
    def place(self) -> Place:
        """Where its message is."""
        return Place(self.channel_id, self.message_ts, self.thread_ts)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one target; `detail` is short enough for a table's cell.

    `first_step` is what the cancel came to, in a kill of two steps. It is None if that isn't known.
    """

    id: BackendId
    outcome: Outcome
    detail: str = ""
    reason: Reason | None = None
    first_step: Outcome | None = None

    @property
    def is_open(self) -> bool:
        """Whether a second look may learn more about it."""
        return self.outcome in (Outcome.UNKNOWN, Outcome.STILL_RUNNING) or (
            self.outcome is Outcome.INTERRUPTED
            and self.reason in (Reason.UNWATCHED, Reason.NOT_KNOWN)
        )

    @property
    def may_live(self) -> bool:
        """Whether it may still run, as far as the bot knows."""
        return self.outcome in LIVING and self.reason is not Reason.GONE_SINCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """What a confirmed kill did.

    `took` is the time from the first signal until the last target was seen to be gone. `limits`
    pairs each limit before the first signal with the same limit after the last. `began_at` is read
    from the server's clock right before the claim, `concluded_at` from the bot's clock at the end.
    """

    proposal: Proposal
    results: tuple[Result, ...]
    took: timedelta
    limits: tuple[tuple[Limit, Limit], ...] = ()
    waiting: tuple[int, int] | None = None
    arrivals: int = 0  # sessions that match the filter now but started after the preview
    recorded: bool = True  # whether the ledger has the outcome
    began_at: datetime | None = None
    concluded_at: datetime | None = None
    notes: tuple[str, ...] = field(default=())  # lines added later: who came back
    watched_until: float | None = None  # on the bot's monotonic clock, for the metrics

    @property
    def counts(self) -> Counter[Outcome]:
        """How many targets had each outcome."""
        return Counter(result.outcome for result in self.results)

    @property
    def other_work(self) -> int:
        """How many ended in another transaction than the preview showed."""
        return sum(result.reason is Reason.OTHER_WORK for result in self.results)

    @property
    def in_order(self) -> tuple[Result, ...]:
        """The results, with those that need someone first."""
        order = list(Outcome)
        return tuple(sorted(self.results, key=lambda r: (order.index(r.outcome), r.id.pid)))

    def target(self, backend_id: BackendId) -> Target:
        """The target that a result is about."""
        return next(t for t in self.proposal.targets if t.id == backend_id)

    def amended(self, results: Iterable[Result]) -> "tuple[Result, ...]":
        """The results, with some replaced by what was learned later."""
        later = {result.id: result for result in results}
        return tuple(later.get(result.id, result) for result in self.results)
