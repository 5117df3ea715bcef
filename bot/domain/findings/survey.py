"""What is read from a server for its diagnosis: all that the rules use. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from functools import cached_property

from bot.domain.blocking import HeldLock, Locks
from bot.domain.sessions import CLIENT_BACKEND, Address, Backend, Look, Names, Server, SpareReason
from bot.domain.waits import Waits


class Part(StrEnum):
    """What is read; the values are the words in messages."""

    SESSIONS = "sessions"
    LIMITS = "limits"
    LOCKS = "locks"
    TRANSACTIONS = "transactions"
    HORIZON = "horizon"
    PREPARED = "prepared transactions"
    SLOTS = "slots"
    INDEXES = "index builds"
    GROUPS = "applications"
    LOGIN = "NOLOGIN, VALID UNTIL, CONNECT"


@dataclass(frozen=True, slots=True)
class Unread:
    """A part that could not be read, and why, in our own words."""

    part: Part
    why: str


@dataclass(frozen=True, slots=True)
class Group:
    """How many client backends an application has in one state, with their role."""

    application_name: str
    usename: str | None
    state: str | None
    sessions: int


class Holder(StrEnum):
    """What can hold back vacuum."""

    SESSION = "session"
    PREPARED = "prepared transaction"
    SLOT = "replication slot"
    STANDBY = "standby"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Something that holds back vacuum by `xids` transactions, the `age()` of what it holds.

    `name` is that of a slot, a prepared transaction's gid, or a standby's `application_name`; for
    a session it is empty, and `pid` is set. `client_addr` is a standby's, which needn't have a
    name of its own. `since` is None for what PostgreSQL doesn't record: up to 16, when a slot was
    last read.

    Of a slot, `catalog_only` says that it holds back system catalogs further than any table. A
    `physical` slot is a standby's; others are those of logical consumers. One that `is_copy` is
    synchronized from this standby's primary, which alone can drop it; one with `failover` has such
    copies.
    """

    kind: Holder
    xids: int
    since: datetime | None = None
    name: str = ""
    pid: int | None = None
    client_addr: Address | None = None
    datname: str | None = None
    usename: str | None = None  # the owner of a prepared transaction
    active: bool | None = None  # for a slot
    wal_status: str | None = None  # for a slot
    catalog_only: bool = False
    physical: bool = False
    is_copy: bool = False
    failover: bool = False

    @property
    def is_unused_slot(self) -> bool:
        """Whether it is a slot that nobody reads now; whoever did may come back."""
        return self.kind is Holder.SLOT and self.active is False and not self.is_copy


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexBuild:
    """A row of `pg_stat_progress_create_index`: it has waited for `done` of `lockers_total`."""

    pid: int
    command: str
    phase: str
    lockers_done: int
    lockers_total: int
    current_locker_pid: int | None
    relname: str | None = None
    index_relname: str | None = None


@dataclass(frozen=True, slots=True)
class LoginDatabase:
    """A database, and whether a role has CONNECT on it."""

    datname: str
    datallowconn: bool
    datconnlimit: int
    may_connect: bool


@dataclass(frozen=True, slots=True)
class LoginFacts:
    """What the catalogs say about a role's logins; None for what wasn't asked."""

    rolname: str
    rolcanlogin: bool
    rolvaliduntil: datetime | None
    rolsuper: bool
    databases: tuple[LoginDatabase, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Survey:
    """One reading of a server. Its query texts are redacted.

    `look.rows` are the most harmful sessions, of `look.counts.total`. `held` are the locks on
    relations of sessions that are idle in transaction, by pid, of those whose locks were read.
    `spared` are those that the bot never ends, with the reason. `looked_at` and `unread` together
    are everything that was asked for.
    """

    look: Look
    locks: Locks = field(default_factory=Locks)
    held: Mapping[int, tuple[HeldLock, ...]] = field(default_factory=dict)
    holders: tuple[Held, ...] = ()
    builds: tuple[IndexBuild, ...] = ()
    groups: tuple[Group, ...] = ()
    login: LoginFacts | None = None
    spared: Mapping[int, SpareReason] = field(default_factory=dict)
    looked_at: frozenset[Part] = frozenset()
    unread: tuple[Unread, ...] = ()

    @property
    def server(self) -> Server:
        """The server that was read."""
        return self.look.server

    @property
    def names(self) -> Names:
        """Its roles and databases."""
        return self.look.names

    @property
    def waits(self) -> Waits:
        """Who waits for whom."""
        return self.look.waits

    @property
    def now(self) -> datetime:
        """When it was read, by the server's clock."""
        return self.look.server.now

    def of_database(self, datname: str) -> "Survey":
        """The same, with only what holds back the vacuum of that database's tables.

        A snapshot of another database doesn't, except on a standby (`ComputeXidHorizons`).
        """
        if self.server.in_recovery:
            return self
        anywhere = {Holder.SLOT, Holder.STANDBY}
        holders = (h for h in self.holders if h.kind in anywhere or h.datname in {datname, None})
        return replace(self, holders=tuple(holders))

    def backend(self, pid: int | None) -> Backend | None:
        """The session with that pid, if it was read."""
        return None if pid is None else self._by_pid.get(pid)

    @cached_property
    def _by_pid(self) -> Mapping[int, Backend]:
        return {row.pid: row for row in self.look.rows}

    def clients(self) -> Iterator[Backend]:
        """The client backends that were read."""
        return (row for row in self.look.rows if row.backend_type == CLIENT_BACKEND)
