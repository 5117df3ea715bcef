"""What a cluster is told of a signal, and what it answers. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bot.domain.filters import Condition
from bot.domain.kept_names import Applications
from bot.domain.kills import Action, Basis
from bot.domain.sessions import BackendId, Cost, ServerId


class Verdict(StrEnum):
    """What the signalling statement says of its one target."""

    SIGNALLED = "signalled"
    GONE = "gone"  # no such backend: the pid is free, or another's
    NOT_VISIBLE = "not visible"  # the bot may not see enough to be sure
    NOT_CLIENT = "not a client backend"
    PROTECTED = "protected"
    FINISHED = "finished"  # to cancel: the query that was shown runs no more
    CHANGED = "changed"  # another transaction than shown
    COSTS_MORE = "costs more"  # it still matches, and its end would undo more than shown
    NO_LONGER_MATCHES = "no longer matches"
    SERVER_CHANGED = "server changed"
    LATE = "late"  # the deadline had passed; nothing was signalled
    NOT_PERMITTED = "not permitted"  # PostgreSQL refused the signal


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """Everything that a signalling statement checks, in the statement itself.

    `cost` is the most that its end may undo, None if that is not compared: what is named by
    its pid has its transaction compared instead.
    """

    server: ServerId
    target: BackendId
    action: Action
    basis: Basis
    xact_start: datetime | None
    backend_xid: int | None
    virtualtransaction: str | None
    query_start: datetime | None
    conditions: tuple[Condition, ...]
    cost: Cost | None
    protected_roles: frozenset[int]  # oids, the bot's own included
    protected_applications: Applications
    deadline: datetime  # on the server's clock


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back from the signalling statement.

    `detail` is PostgreSQL's own reason for a refusal; `xact_start`, `backend_xid` and `state`
    what the target was doing at that moment, `now` the server's clock.
    """

    verdict: Verdict
    now: datetime | None = None
    detail: str = ""
    xact_start: datetime | None = None
    state: str | None = None
    backend_xid: int | None = None


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """What a backend that was signalled does now; None in `state`: it may not be seen."""

    state: str | None
    wait_event_type: str | None
    wait_event: str | None
    query_start: datetime | None = None


@dataclass(frozen=True, slots=True)
class Sighting:
    """Which of some backends are still there, on the server as it is now, by its clock."""

    server: ServerId
    now: datetime
    there: Mapping[BackendId, Whereabouts]
