"""What the use cases need of the outside: a cluster, the ledger, a clock.

The adapters (`bot.postgres`, `bot.ledger`) fulfil these and never meet each other.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Protocol

from bot.domain.blocking import HeldLock, Locks
from bot.domain.filters import Condition
from bot.domain.kills import (
    Action,
    Actor,
    Conclusion,
    Draft,
    Proposal,
    Result,
)
from bot.domain.record import Entry, HistoryFilter, LedgerHome, Note, Noted, Record, Unreadable
from bot.domain.sessions import About, BackendId, Look, Names
from bot.domain.signals import Guard, Reply, Sighting
from bot.grammar.requests import SortKey


class Urgency(IntEnum):
    """What may wait behind what, when many ask one server at once.

    Whatever is more urgent has connections that the less urgent leave free: any number of
    looks hold up no preview, and no preview that hangs holds up a kill.
    """

    LOOK = 0
    PREVIEW = 1
    KILL = 2


class Cluster(Protocol):
    """One PostgreSQL server. Every method raises `ClusterError` when it is in trouble.

    What takes names, or a server, reads of that server only, and raises `TwoServers` if another
    one answers.
    """

    @property
    def name(self) -> str:
        """The name that the settings give it."""

    @property
    def host(self) -> str:
        """The host that its URL names, shown on every card."""

    @property
    def last_seen(self) -> datetime | None:
        """When it last answered, by the bot's clock."""

    @property
    def about(self) -> About | None:
        """What it last said of itself, if it ever did."""

    @property
    def last_names(self) -> Names | None:
        """The last reading of its roles and databases, if there was one."""

    async def names(self, *, urgency: Urgency = Urgency.LOOK) -> Names:
        """Roles and databases, read now; or the last reading, marked stale."""

    @property
    def system_identifier(self) -> int | None:
        """Of the server that answered last; None if none has since the start."""

    @property
    def own_roles(self) -> Mapping[int, frozenset[int]]:
        """The oids of the roles that the bot's own connections have, by system identifier."""

    async def look(  # noqa: PLR0913  one statement, one call
        self,
        conditions: tuple[Condition, ...] = (),
        *,
        names: Names,
        everything: bool = False,
        strict: bool = False,
        sort: tuple[SortKey, ...] = (),
        waits: bool = True,
        logins: bool = True,
        limit: int = 100,
        offset: int = 0,
        urgency: Urgency = Urgency.LOOK,
    ) -> Look:
        """One statement, one snapshot: the rows that hold all conditions, and the counts.

        Without `everything`, background processes that belong to no database and the
        bot's own connections are left out. `strict` is a kill's reading: an unknown
        (NULL) value satisfies nothing, and the bot's own connections are in it, for the
        preview to say that they are spared. Without `waits` nobody asks who waits for whom:
        that takes the server's lock table, as up to PostgreSQL 17 do those who are logging in,
        who are not counted there without `logins`.
        """

    async def signal(self, guard: Guard) -> Reply:
        """Verdict and signal in one statement, for one target.

        Raises `NotSent` where no connection took the statement, so that nothing can have
        been signalled; any other `ClusterError` means that no reply came and the signal
        may have gone out or may still go out until the guard's deadline.
        """

    async def sight(self, ids: Iterable[BackendId]) -> Sighting:
        """Which of these backends are still there."""

    async def locks(self, names: Names) -> Locks:
        """Who waits for which lock since when, and the prepared transactions in the way."""

    async def locks_of(
        self, pid: int, names: Names, *, limit: int
    ) -> tuple[tuple[HeldLock, ...], int]:
        """The locks that one backend holds and waits for, and how many there are of them.

        Those it waits for come first, then the strongest on relations.
        """


class Ledger(Protocol):
    """The record of kills. Every method raises `LedgerError` when it can't do its work.

    Times are of the ledger's own clock, one for all replicas. Rows are added and
    completed, and dropped when they have been kept for long enough.
    What a click may do to a kill goes by the kill's key, never by its number.
    """

    @property
    def identity(self) -> str:
        """What tells this ledger from every other: random, made with it, copied with it."""

    def made(self, key: str) -> bool:
        """Whether a kill's key was made by this ledger."""

    async def propose(self, draft: Draft, ttl: timedelta) -> Proposal:
        """Keep a preview; gives it its id, its key and the instant at which it expires."""

    async def posted(self, proposal_id: int, message_ts: str) -> None:
        """Add where the preview's message stands, once."""

    async def get(self, key: str) -> Entry | None:
        """A proposal and what is known of it, or None if the ledger has none of that key."""

    async def claim(  # noqa: PLR0913  one update, one call
        self,
        key: str,
        actor: Actor,
        owner: str,
        lease: timedelta,
        *,
        action: Action = Action.TERMINATE,
        message_ts: str = "",
    ) -> Proposal | None:
        """Claim a proposal, once: by one guarded update that checks its key and its expiry.

        `action` is what was confirmed, of what the preview gave the choice; `message_ts` where
        it stands, kept if that is not known yet. The claim is the intent: once this returns,
        who confirmed what is on record. None: it is not there to be claimed (`get` says why).
        """

    async def renew(self, proposal_id: int, owner: str, lease: timedelta) -> bool:
        """Extend a lease; False where this owner no longer holds the claim."""

    async def lapsed(
        self, owner: str, lease: timedelta, *, working: Collection[int]
    ) -> tuple[Proposal, ...]:
        """Take over, one guarded update each, the claims whose lease has expired.

        But those of the owner's own that it is still at work on.
        """

    async def conclude(self, conclusion: Conclusion, owner: str) -> bool:
        """Record the outcome; False where this owner no longer holds the claim."""

    async def amend(
        self, proposal_id: int, amendments: Iterable[Result], notes: Iterable[str]
    ) -> bool:
        """Record the second look, which may have found nothing; False where there was one."""

    async def unfollowed(
        self, owner: str, *, clusters: Collection[str], working: Collection[int]
    ) -> tuple[Entry, ...]:
        """Take over, one guarded update each, the second looks that nobody is at work on.

        Those are due, on one of these clusters, and whoever had concluded has stopped since.
        Not those that the caller is still at work on.
        """

    async def leave(self, owner: str) -> None:
        """Leave the second looks of an owner that stops to whoever lives."""

    async def dismiss(self, key: str, actor: Actor) -> bool:
        """Close an open proposal; False where it was not open."""

    async def note(self, notes: Sequence[tuple[float, Note]]) -> None:
        """Record all of these, in order; with each, how many seconds ago it was."""

    async def first_time(self, signature: str) -> bool:
        """Remember a request's signature; False where it was seen in the last minutes."""

    async def last_look(self, channel_id: str, cluster: str) -> datetime | None:
        """The cluster's clock at this channel's last look at it."""

    async def history(
        self, where: HistoryFilter, *, limit: int, before_id: int | None = None
    ) -> tuple[Entry | Unreadable, ...]:
        """The last kills that were asked for, newest first."""

    async def noted(
        self, record: Record, *, since: datetime | None, limit: int, before_id: int | None = None
    ) -> tuple[Noted, ...]:
        """The last refusals or looks, newest first."""

    @property
    def home(self) -> LedgerHome | None:
        """Where the ledger lives, if that is a PostgreSQL server."""

    async def ready(self) -> None:
        """Raise `LedgerError` unless it can be written."""


class Meter(Protocol):
    """Where the bot counts and times what it does. `what` is a command or an action's id."""

    def acknowledged(self, what: str, seconds: float) -> None:
        """A command or click was acknowledged, after so long."""

    def answered(self, what: str, seconds: float) -> None:
        """A command or click was answered, after so long."""

    def refused(self, what: str) -> None:
        """An attempt was refused."""

    def concluded(self, outcomes: Mapping[str, int]) -> None:
        """A kill came to its end: how many targets met each outcome."""

    def gone(self, seconds: float) -> None:
        """All that a kill signalled have ended, so long after the click."""


class Clock(Protocol):
    """The bot's own clock, for what is not a matter of a server's or the ledger's."""

    def now(self) -> datetime:
        """The instant, in UTC."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""
