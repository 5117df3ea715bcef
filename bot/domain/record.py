"""What the ledger holds, as it is read and as it is written. Pure."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from bot.domain.kills import Actor, Proposal, Result
from bot.domain.people import Glob
from bot.domain.sessions import Limit
from bot.grammar.requests import Target

SEEN = "sessions, in the channel"
"""A look at sessions that the channel saw: who starts after it is new to the channel."""

ALONE = "sessions, for one alone"


@dataclass(frozen=True, slots=True)
class LedgerHome:
    """The server and the role (its oid) that a ledger in PostgreSQL connects as."""

    system_identifier: int
    usesysid: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A proposal as the ledger has it now.

    `expired` is by the ledger's clock. `results` are as first recorded; `amendments` is
    what was learned of a target later.
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
        """What people call the kill by."""
        return self.proposal.id

    @property
    def latest(self) -> tuple[Result, ...]:
        """What became of each target, by the latest knowledge."""
        later = {result.id: result for result in self.amendments}
        return tuple(later.get(result.id, result) for result in self.results)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A kill on record that this version of the bot can't read, and why."""

    number: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryFilter:
    """Which kills to list: all that are given must hold; globs as in the grammar."""

    target: Target = field(default_factory=Target)
    roles: tuple[tuple[Glob, bool], ...] = ()  # (parts, negated): any target's usename
    databases: tuple[tuple[Glob, bool], ...] = ()
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """Something on record beside the kills: an attempt that was refused, or a look.

    `why` is why it was refused; `cluster` where was looked; `reference` what the log has
    of the request, empty where it was recorded before logs had it.
    """

    id: int
    at: datetime
    actor: Actor
    channel_id: str
    what: str
    why: str | None = None
    cluster: str | None = None
    reference: str = ""


class Record(StrEnum):
    """What else the ledger holds."""

    REFUSALS = "refusals"
    LOOKS = "looks"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalNote:
    """An attempt that was refused, to be recorded; `reference` is what the log has of it."""

    actor: Actor
    channel_id: str
    what: str
    why: str
    reference: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookNote:
    """A look, to be recorded. `cluster_at` is the cluster's clock, `what` what was looked at."""

    actor: Actor
    channel_id: str
    cluster: str
    cluster_at: datetime
    what: str
    reference: str = ""


@dataclass(frozen=True, slots=True)
class SignatureNote:
    """The signature of a request that was taken, to be remembered for some minutes."""

    signature: str


Note = RefusalNote | LookNote | SignatureNote
