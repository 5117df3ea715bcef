"""What the use cases return. The views draw these; nothing here knows Slack's blocks.

Pure. Each is an expected result; an error raises one of `bot.errors`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bot.domain.blocking import Branch, HeldLock, Locks
from bot.domain.findings.diagnosis import Diagnosis
from bot.domain.findings.survey import Survey
from bot.domain.groups import Groups
from bot.domain.holdings import Holdings
from bot.domain.kills import Action, Actor, Basis, Conclusion, Proposal, Spared, State, Unclaimable
from bot.domain.protection import Barrier
from bot.domain.record import Entry, Unreadable
from bot.domain.sessions import About, Backend, BackendId, Look, Names, Server
from bot.errors import ClusterError, TargetError
from bot.grammar.requests import (
    GroupsRequest,
    HistoryRequest,
    HorizonRequest,
    KillRequest,
    Sampled,
    SessionsRequest,
    WhyRequest,
)
from bot.grammar.requests import Target as Named


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """`/pg-sessions some_db`: one page of one server's sessions.

    `look.rows` is the page, and `endable` holds the pids of those that the bot may end. `matched`
    is how many there are to page through (the total, or the request's own limit if that is lower).
    Queries are redacted. Two that are equal differ only in who asked: they share one look.
    """

    request: SessionsRequest
    cluster: str
    database: str | None
    look: Look = field(hash=False)
    endable: frozenset[int]
    offset: int
    matched: int
    asked_by: Actor = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """The tree of blockers of one server, roots first.

    `rows` are the backends in it. `barriers` says for some backends why the bot can't end them,
    and who can. `freed` is how many sessions can go on if only one root ends.
    """

    look: Look
    branches: tuple[Branch, ...]
    rows: Mapping[int, Backend]
    locks: Locks
    barriers: Mapping[int, Barrier]
    freed: Mapping[int, int]
    asked_by: Actor
    past: bool = False  # nothing can be done about it any more


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """Everything about one backend. `backend.query` is complete if `full`, otherwise redacted.

    `branches` is the part of the tree of blockers around it, and `around` the backends there that
    are known.
    """

    cluster: str
    server: Server
    names: Names
    backend: Backend
    full: bool
    locks: tuple[HeldLock, ...]
    all_locks: int  # how many there are in all
    branches: tuple[Branch, ...]
    around: Mapping[int, Backend]
    through_pooler: bool = False
    since: datetime | None  # when it began to wait for a lock
    barrier: Barrier | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """The backend that was asked for is no longer there."""

    cluster: str
    id: BackendId


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterCard:
    """One row of the table of clusters: the cluster's state, or what is wrong with it.

    If there is no look, `trouble` says why: the cluster is in trouble, or lacks a role or database
    that a filter names.
    """

    cluster: str
    host: str
    look: Look | None
    trouble: ClusterError | TargetError | None
    last_seen: datetime | None  # by the bot's clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """`/pg-sessions` without a target: all clusters that the person may look at, at once."""

    request: SessionsRequest
    cards: tuple[ClusterCard, ...]
    left_out: int = 0  # clusters that the one who asks may not look at
    asked_by: Actor
    now: datetime  # the bot's clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """The groups of one cluster; `target` is what was asked of it, the cluster included.

    `look` has no rows.
    """

    target: Named
    look: Look
    groups: Groups


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouped:
    """`/pg-sessions by=`: sessions counted by columns, on each cluster that was asked."""

    request: GroupsRequest
    counted: tuple[Counted, ...]
    troubles: tuple[ClusterError, ...]
    left_out: int = 0  # clusters that the person may not look at
    asked_by: Actor
    now: datetime  # the bot's clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """`/pg-sessions why`: what was found on each cluster that was asked.

    A name that is a role's and a database's has two diagnoses on the same cluster. `troubles` are
    of the clusters that didn't answer. `now` is the bot's clock.
    """

    request: WhyRequest
    diagnoses: tuple[Diagnosis, ...]
    troubles: tuple[ClusterError, ...]
    left_out: int = 0  # clusters that the person may not look at
    asked_by: Actor
    now: datetime
    past: bool = False  # nothing can be done about it any more


@dataclass(frozen=True, slots=True, kw_only=True)
class Horizon:
    """`/pg-sessions horizon`: what holds back vacuum on each cluster that was asked.

    If a `database` was named, `elsewhere` counts what holds back only others, and isn't told.
    """

    request: HorizonRequest
    surveys: tuple[Survey, ...]
    database: str | None = None
    elsewhere: int = 0
    troubles: tuple[ClusterError, ...]
    left_out: int = 0  # clusters that the person may not look at
    asked_by: Actor
    now: datetime  # the bot's clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What was there some time ago, by samples.

    `request` asks the same about now. `kept` has for each cluster how many sessions its sample
    kept for looks, and of how many.
    """

    request: Sampled
    shown: "Sessions | Overview | Grouped | Why | Tree"
    ago: timedelta
    taken_at: datetime
    kept: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What was named exists on several clusters: the person must choose one of these requests.

    `what` says what was found on each (`some_db`, `pid 33507`, `3 sessions`); `about`
    distinguishes the clusters.
    """

    what: str
    requests: tuple[SessionsRequest, ...] | tuple[KillRequest, ...]
    troubles: tuple[ClusterError, ...] = ()  # clusters that could not be asked
    about: Mapping[str, About] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NothingToKill:
    """A kill was asked for, but nothing would die.

    `spared` are the named sessions that the bot never ends. `gone` are the pids that no backend
    has or, depending on `basis`, whose backends no longer match.
    """

    request: KillRequest | None
    server: Server
    wording: str
    basis: Basis
    action: Action = Action.TERMINATE
    spared: tuple[Spared, ...] = ()
    gone: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TooMany:
    """More sessions match than one preview can show."""

    server: Server
    wording: str
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A proposal in the ledger, ready to be shown and confirmed.

    `second_person` is whether another person must confirm on this cluster. `names` is the reading
    that the limits came from. `gone` are requested pids that no backend has.
    """

    proposal: Proposal
    server: Server
    second_person: bool
    names: Names
    gone: tuple[int, ...] = ()
    through_pooler: frozenset[int] = frozenset()  # pids of targets whose client is a pooler
    holdings: Mapping[int, Holdings] = field(default_factory=dict)  # of targets, by pid
    holdings_unread: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NotClaimed:
    """Someone clicked, but the proposal could not be claimed.

    `entry` is the preview as the ledger has it, or None if it has none.
    """

    why: Unclaimable
    entry: Entry | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsSecondPerson:
    """The person who asked clicked, on a cluster where someone else has to confirm."""

    proposal: Proposal


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """`/pg-kill history`: the latest kills, newest first; `more` if older ones follow."""

    request: HistoryRequest
    entries: tuple[Entry | Unreadable, ...]
    more: bool
    before_id: int | None


Looked = Sessions | Overview | Choice
Proposed = Preview | NothingToKill | TooMany | Choice
Confirmed = Conclusion | NotClaimed | NeedsSecondPerson


def conclusion_of(entry: Entry) -> Conclusion:
    """The outcome in the ledger, with what was learned since."""
    return Conclusion(
        proposal=entry.proposal,
        results=entry.latest,
        took=entry.took or timedelta(0),
        limits=entry.limits,
        waiting=entry.waiting,
        arrivals=entry.arrivals,
        began_at=entry.began_at,
        concluded_at=entry.concluded_at,
        notes=entry.notes,
    )


def closed(entry: Entry) -> Unclaimable | None:
    """Why a proposal can't be claimed, or None if it is open."""
    match entry.proposal.state:
        case State.PROPOSED:
            return Unclaimable.EXPIRED if entry.expired else None
        case State.CLAIMED:
            return Unclaimable.CLAIMED
        case State.DONE:
            return Unclaimable.DONE
        case State.DISMISSED:
            return Unclaimable.DISMISSED
