"""What a use case answers with. The views draw these; nothing here knows of Slack's blocks.

Pure. Each is an expected result; what can't go on raises one of `bot.errors`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bot.domain.blocking import Branch, HeldLock, Locks
from bot.domain.kills import Actor, Basis, Conclusion, Proposal, Spared, State, Unclaimable
from bot.domain.protection import Barrier
from bot.domain.record import Entry, Unreadable
from bot.domain.sessions import About, Backend, BackendId, Look, Names, Server
from bot.errors import ClusterError, TargetError
from bot.grammar.requests import HistoryRequest, KillRequest, SessionsRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """`/pg-sessions some_db`: one page of one server's sessions.

    `look.rows` are the page, `endable` the pids of those that the bot may end; `matched` is
    how many there are to page through (the total, or the request's own limit if that is
    less). Queries are redacted.
    """

    request: SessionsRequest
    cluster: str
    database: str | None
    look: Look
    endable: frozenset[int]
    offset: int
    matched: int
    asked_by: Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """The tree of blockers of one server, roots first.

    `rows` are the backends in it; `barriers` says why one is not to be ended here, and who can
    end it. `freed` is how many go on when only one root ends.
    """

    look: Look
    branches: tuple[Branch, ...]
    rows: Mapping[int, Backend]
    locks: Locks
    barriers: Mapping[int, Barrier]
    freed: Mapping[int, int]
    asked_by: Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """Everything about one backend. `backend.query` is in full where `full`, else redacted.

    `branches` is the part of the tree of blockers that it stands in, `around` the backends
    there, as far as they are known.
    """

    cluster: str
    server: Server
    names: Names
    backend: Backend
    full: bool
    locks: tuple[HeldLock, ...]
    all_locks: int  # how many there are of them
    branches: tuple[Branch, ...]
    around: Mapping[int, Backend]
    since: datetime | None  # it has waited for a lock since then
    barrier: Barrier | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """The backend that was asked for is no longer there."""

    cluster: str
    id: BackendId


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterCard:
    """One row of the table of clusters: what it is like, or what is wrong with it.

    Without a look `trouble` says why: the cluster's own, or that it has no such role or
    database as a filter names.
    """

    cluster: str
    host: str
    look: Look | None
    trouble: ClusterError | TargetError | None
    last_seen: datetime | None  # by the bot's clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """`/pg-sessions` with no target: every cluster, asked at the same time."""

    request: SessionsRequest
    cards: tuple[ClusterCard, ...]
    asked_by: Actor
    now: datetime  # the bot's clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What was named is on several clusters: one of these requests has to be chosen.

    `what` says what was found on each (`some_db`, `pid 33507`, `3 sessions`), `about` what
    tells the clusters apart.
    """

    what: str
    requests: tuple[SessionsRequest, ...] | tuple[KillRequest, ...]
    troubles: tuple[ClusterError, ...] = ()  # clusters that could not be asked
    about: Mapping[str, About] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NothingToKill:
    """A kill was asked for and nothing would die.

    `spared` are the sessions that were named and that the bot never ends; `gone` the pids that
    no backend has, or by `basis` none that still matches.
    """

    request: KillRequest | None
    server: Server
    wording: str
    basis: Basis
    spared: tuple[Spared, ...] = ()
    gone: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TooMany:
    """More sessions match than one preview shows."""

    server: Server
    wording: str
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A proposal in the ledger, ready to be shown and confirmed.

    `second_person` is whether the cluster asks that another person confirms, `names` what
    the limits were read from. `gone` are pids that were asked for and that no backend has.
    """

    proposal: Proposal
    server: Server
    second_person: bool
    names: Names
    gone: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NotClaimed:
    """A click came and the proposal was not there to be claimed.

    `entry` is the preview as the ledger has it, None where it has none.
    """

    why: Unclaimable
    entry: Entry | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsSecondPerson:
    """The one who asked clicked, on a cluster where another has to confirm."""

    proposal: Proposal


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """`/pg-kill history`: the last kills, newest first; `more` if older ones follow."""

    request: HistoryRequest
    entries: tuple[Entry | Unreadable, ...]
    more: bool
    before_id: int | None


Looked = Sessions | Overview | Choice
Proposed = Preview | NothingToKill | TooMany | Choice
Confirmed = Conclusion | NotClaimed | NeedsSecondPerson


def conclusion_of(entry: Entry) -> Conclusion:
    """The outcome that the ledger holds, with what was learned since."""
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
    """Why a proposal can't be claimed, or None where it is open."""
    match entry.proposal.state:
        case State.PROPOSED:
            return Unclaimable.EXPIRED if entry.expired else None
        case State.CLAIMED:
            return Unclaimable.CLAIMED
        case State.DONE:
            return Unclaimable.DONE
        case State.DISMISSED:
            return Unclaimable.DISMISSED
