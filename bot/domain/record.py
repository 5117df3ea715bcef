"""What is read from the ledger, and what is written to it. Pure."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from bot.domain.kills import Actor, Proposal, Result
from bot.domain.people import Glob
from bot.domain.sessions import Limit
from bot.grammar.requests import Target

SEEN = "sessions, in the channel"
"""The `what` of a look that the channel saw: sessions that start later are new to the channel."""

ALONE = "sessions, for one alone"

ALL_CLUSTERS = "all clusters"

TREE = "tree"

IDENTITY_SHOWN = 8
"""How many digits of a ledger's identity let a person tell two ledgers apart."""


@dataclass(frozen=True, slots=True)
class LedgerHome:
    """The server, and the oid of the role, that a ledger in PostgreSQL connects to and as."""

    system_identifier: int
    usesysid: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A proposal in its current state in the ledger.

    `expired` is decided by the ledger's clock. `results` are as first recorded; `amendments` is
    what was learned about a target later.
    """

    proposal: Proposal
    expired: bool
    results: tuple[Result, ...] = ()
    amendments: tuple[Result, ...] = ()
    notes: tuple[str, ...] = ()
    began_at: datetime | None = None  # the cluster's clock, right before the claim
    concluded_at: datetime | None = None
    took: timedelta | None = None
    limits: tuple[tuple[Limit, Limit], ...] = ()
    waiting: tuple[int, int] | None = None
    arrivals: int = 0

    @property
    def number(self) -> int:
        """The kill's number, as people know it."""
        return self.proposal.id

    @property
    def latest(self) -> tuple[Result, ...]:
        """What became of each target, as last known."""
        later = {result.id: result for result in self.amendments}
        return tuple(later.get(result.id, result) for result in self.results)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A kill in the ledger that this version of the bot can't read, and why."""

    number: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryFilter:
    """Which kills to list: all given conditions must hold; globs as in the grammar."""

    target: Target = field(default_factory=Target)
    clusters: frozenset[str] | None = None  # of these; None: of any
    roles: tuple[tuple[Glob, bool], ...] = ()  # (parts, negated): any target's usename
    databases: tuple[tuple[Glob, bool], ...] = ()
    since: datetime | None = None
    open_only: bool = False  # previews that can still be confirmed


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """Something in the ledger besides the kills: a look, or an attempt that was refused.

    `why` is the reason for the refusal. `cluster` is the one that was looked at. `reference` marks
    the request's log lines; it is empty in records made before the log had it.
    """

    id: int
    at: datetime
    actor: Actor
    channel_id: str
    what: str
    why: str | None = None
    cluster: str | None = None
    reference: str = ""


KILLS = "kills"


class Record(StrEnum):
    """What the ledger holds besides kills."""

    REFUSALS = "refusals"
    LOOKS = "looks"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalNote:
    """A refused attempt, to be recorded; `reference` marks the request's log lines."""

    actor: Actor
    channel_id: str
    what: str
    why: str
    reference: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookNote:
    """A look, to be recorded: what was looked at (`what`), and the cluster's clock."""

    actor: Actor
    channel_id: str
    cluster: str
    cluster_at: datetime
    what: str
    reference: str = ""


@dataclass(frozen=True, slots=True)
class SignatureNote:
    """The signature of an accepted request, to be remembered for some minutes."""

    signature: str


Note = RefusalNote | LookNote | SignatureNote
