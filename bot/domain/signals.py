"""What the bot tells a cluster when it signals, and what the cluster answers. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bot.domain.filters import Condition
from bot.domain.kept_names import Applications
from bot.domain.kills import Action, Basis
from bot.domain.sessions import BackendId, Cost, ServerId


class Verdict(StrEnum):
    """What the signalling statement says about its one target."""

    SIGNALLED = "signalled"
    GONE = "gone"  # no such backend: the pid is free, or another backend has it
    NOT_VISIBLE = "not visible"  # the bot may not see enough of it to be sure
    NOT_CLIENT = "not a client backend"
    PROTECTED = "protected"
    FINISHED = "finished"  # for a cancel and what follows it: the query shown no longer runs
    CHANGED = "changed"  # it is in another transaction than shown
    COSTS_MORE = "costs more"  # it still matches, but ending it would undo more than shown
    NO_LONGER_MATCHES = "no longer matches"
    SERVER_CHANGED = "server changed"
    LATE = "late"  # the deadline had passed, so nothing was signalled
    NOT_PERMITTED = "not permitted"  # PostgreSQL refused the signal


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """Everything that a signalling statement checks, in the statement itself.

    With CANCEL_THEN_TERMINATE it is the guard of the second step: it ends a session that still runs
    the query that was shown, in the transaction that was shown. The first step's has CANCEL.

    `cost` is the most that ending the target may undo. It is None if the cost isn't compared: for a
    target named by its pid, the transaction is compared instead.
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
    protected_roles: frozenset[int]  # oids, including the bot's own roles
    protected_applications: Applications
    deadline: datetime  # on the server's clock


@dataclass(frozen=True, slots=True)
class Reply:
    """What the signalling statement answered.

    `detail` is PostgreSQL's own reason for refusing. `xact_start`, `backend_xid` and `state` say
    what the target was doing at that moment, and `now` is the server's clock.
    """

    verdict: Verdict
    now: datetime | None = None
    detail: str = ""
    xact_start: datetime | None = None
    state: str | None = None
    backend_xid: int | None = None


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """What a signalled backend does now. A `state` of None means that the bot may not see it."""

    state: str | None
    wait_event_type: str | None
    wait_event: str | None
    query_start: datetime | None = None


@dataclass(frozen=True, slots=True)
class Sighting:
    """Which of some backends still exist, by the clock of the server that answers now."""

    server: ServerId
    now: datetime
    there: Mapping[BackendId, Whereabouts]
