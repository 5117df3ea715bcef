"""What a look at one PostgreSQL server returns, and what can be derived from it.

Pure. Field names are PostgreSQL's column names. Instants are aware datetimes in UTC, with
PostgreSQL's microseconds, and are all read from the server's clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from bot.domain.waits import Waits

Address = IPv4Address | IPv6Address

CLIENT_BACKEND = "client backend"
"""The only `backend_type` that the bot ever signals."""


@dataclass(frozen=True, slots=True, order=True)
class BackendId:
    """One backend, distinct from a later one that gets the same pid."""

    pid: int
    backend_start: datetime


@dataclass(frozen=True, slots=True)
class ServerId:
    """One run of one server.

    `system_identifier` is the same on a primary and its standbys and survives a restart;
    `postmaster_start_time` tells these apart.
    """

    system_identifier: int
    postmaster_start_time: datetime


class Cost(IntEnum):
    """What ending a session undoes, from the least to the most."""

    NOTHING = 0  # nothing is open
    OPEN = 1  # it runs a query, or has an open transaction that has written nothing
    WRITTEN = 2  # its transaction has written: it has a backend_xid
    UNSEEN = 3  # PostgreSQL doesn't say: track_activities is off for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """A row of `pg_stat_activity`, read so that a locked catalog can't make name lookups fail.

    None in `state`, `backend_start` or `backend_type` means that the bot's role may not see the
    value (it lacks `pg_read_all_stats`), or that PostgreSQL has none. `virtualtransaction` comes
    from `pg_locks` and is the number of the session's transaction; a read-only transaction has one
    too. It is read only for a kill, and only for sessions that could begin another transaction with
    the same `xact_start`.
    """

    pid: int
    datid: int | None = None
    datname: str | None = None
    leader_pid: int | None = None
    usesysid: int | None = None
    usename: str | None = None
    application_name: str | None = None
    client_addr: Address | None = None
    client_hostname: str | None = None
    client_port: int | None = None  # -1: a Unix socket
    backend_start: datetime | None = None
    xact_start: datetime | None = None
    query_start: datetime | None = None
    state_change: datetime | None = None
    wait_event_type: str | None = None
    wait_event: str | None = None
    state: str | None = None
    backend_xid: int | None = None
    backend_xmin: int | None = None
    query_id: int | None = None
    query: str | None = None
    backend_type: str | None = None
    virtualtransaction: str | None = None

    @property
    def id(self) -> BackendId | None:
        """Its identity, or None if the bot may not see `backend_start`."""
        if self.backend_start is None:
            return None
        return BackendId(self.pid, self.backend_start)

    @property
    def cost(self) -> Cost:
        """What ending it undoes. What isn't known counts as the greater cost.

        The signalling statement computes the same (`bot.postgres.where.COST`).
        """
        if self.backend_xid is not None:
            return Cost.WRITTEN
        if self.state in (None, "disabled"):
            return Cost.UNSEEN
        if self.xact_start is None and self.state in ("idle", "idle in transaction (aborted)"):
            return Cost.NOTHING  # what is aborted has been rolled back
        return Cost.OPEN

    @property
    def is_waiting(self) -> bool:
        """Whether it waits for a lock, or for a safe snapshot."""
        return is_held_up(self.wait_event_type, self.wait_event)

    @property
    def is_idle(self) -> bool:
        """Whether it waits for its client, in a transaction or not."""
        return self.state is not None and self.state.startswith("idle")

    @property
    def is_idle_in_transaction(self) -> bool:
        """Whether it waits for its client in a transaction, failed (`aborted`) or not."""
        return self.state is not None and self.state.startswith("idle in transaction")

    def age(self, now: datetime) -> timedelta | None:
        """Time since `backend_start`."""
        return since(self.backend_start, now)

    def query_age(self, now: datetime) -> timedelta | None:
        """Time since `query_start`: of the running query, or of the last one."""
        return since(self.query_start, now)

    def xact_age(self, now: datetime) -> timedelta | None:
        """Time since `xact_start`; None outside a transaction."""
        return since(self.xact_start, now)

    def state_age(self, now: datetime) -> timedelta | None:
        """Time since `state_change`."""
        return since(self.state_change, now)


def is_held_up(wait_event_type: str | None, wait_event: str | None) -> bool:
    """Whether these are of a wait for a lock, or for a safe snapshot."""
    return wait_event_type == "Lock" or wait_event == "SafeSnapshot"


def since(then: datetime | None, now: datetime) -> timedelta | None:
    """The time since an instant, by the look's clock; never negative."""
    # A backend may write a timestamp after the look's own clock was read.
    return None if then is None else max(now - then, timedelta(0))


class Role(NamedTuple):
    """A row of `pg_roles`. A `rolconnlimit` of -1 means no limit; superusers are exempt.

    `may_end` is whether the bot's role may signal this role's sessions. `pg_terminate_backend`
    requires this role's privileges or those of `pg_signal_backend`; for a superuser's session it
    requires a superuser.
    """

    oid: int
    rolname: str
    rolsuper: bool
    rolconnlimit: int
    may_end: bool = True

    @property
    def limit(self) -> int | None:
        """How many connections it may have; None if there is no limit."""
        return self.rolconnlimit if self.rolconnlimit >= 0 and not self.rolsuper else None


@dataclass(frozen=True, slots=True)
class Database:
    """A row of `pg_database`. A `datconnlimit` of -1 means no limit, -2 an invalid database.

    `encoding` is PostgreSQL's name for it: `UTF8`, `WIN1251`.
    """

    oid: int
    datname: str
    datconnlimit: int
    encoding: str = "UTF8"

    @property
    def limit(self) -> int | None:
        """How many connections it may have; None if there is no limit."""
        return self.datconnlimit if self.datconnlimit >= 0 else None


@dataclass(frozen=True, slots=True)
class Names:
    """The roles and databases of one server, as of `read_at` on its clock.

    `stale` is true if the catalogs could not be read just now (somebody holds ACCESS EXCLUSIVE on
    one of them). Then this is an earlier reading, made at `known_at`, or empty if `known_at` is
    None.
    """

    roles: Mapping[int, Role]
    databases: Mapping[int, Database]
    read_at: datetime
    server: ServerId
    stale: bool = False
    known_at: datetime | None = None

    def database_named(self, datname: str) -> Database | None:
        return next((d for d in self.databases.values() if d.datname == datname), None)

    def sharing(self, last: "Names") -> "Names":
        """The same names, in the memory of an earlier reading as far as they are equal."""
        roles = last.roles if last.roles == self.roles else self.roles
        databases = last.databases if last.databases == self.databases else self.databases
        return replace(self, roles=roles, databases=databases)


class SpareReason(StrEnum):
    """Why a kill leaves a backend alone. The ledger stores these values."""

    UNSEEN = "unseen"  # the bot's role may not see enough of it
    NOT_A_CLIENT = "not a client backend"
    ROLE_UNSEEN = "role unseen"
    ROLE_NAME_UNSEEN = "role name unseen"  # and roles are protected by their names
    OWN_ROLE = "own role"
    PROTECTED_ROLES = "PROTECTED_ROLES"
    PROTECTED_APPLICATIONS = "PROTECTED_APPLICATIONS"
    SUPERUSER = "superuser"  # and the bot is none
    NO_RIGHT = "no right"  # its role lacks pg_signal_backend
    NO_QUERY = "no query"  # and who asks may only cancel queries


class LimitOf(StrEnum):
    """Whose limit it is. A role and a database may have the same name."""

    ROLE = "role"
    DATABASE = "database"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class Limit:
    """The number of connections that count against a limit, and the limit."""

    name: str
    used: int
    limit: int
    of: LimitOf = LimitOf.ROLE
    logging_in: int = 0  # of a server: they hold a slot each before PostgreSQL knows their role

    @property
    def taken(self) -> int:
        """The slots that are not free."""
        return self.used + self.logging_in

    @property
    def reached(self) -> bool:
        """Whether one more connection would be refused."""
        return self.taken >= self.limit

    @property
    def near(self) -> bool:
        """Whether 80 % or more of it is used. A limit of 0 keeps everyone out on purpose."""
        return self.taken > 0 and self.taken * 5 >= self.limit * 4


@dataclass(frozen=True, slots=True)
class About:
    """What a server last said about itself: enough to tell it from others."""

    host: str  # the name that the URL has
    version: str
    in_recovery: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What a server says about itself, as of `now` on its clock.

    `unseen` counts other roles' sessions that the bot may not fully see because its role lacks
    `pg_read_all_stats`. PostgreSQL doesn't say what they are, so no limit counts them.
    """

    cluster: str
    host: str  # the name that the URL has
    id: ServerId
    version: str  # "18.6"
    in_recovery: bool
    now: datetime
    max_connections: int
    superuser_reserved_connections: int
    reserved_connections: int  # 0 before PostgreSQL 16, which has no such reserve
    client_backends: int  # those that have logged in
    logging_in: int = 0  # those that have not, if that was asked for
    waiting: int = 0  # sessions that wait for a lock
    unseen: int = 0
    # Those that have sessions and a limit, most pressing first.
    roles: tuple[Limit, ...] = ()
    databases: tuple[Limit, ...] = ()

    @property
    def about(self) -> About:
        """The part that tells it from other servers."""
        return About(self.host, self.version, self.in_recovery)

    @property
    def ordinary(self) -> Limit:
        """The connections in use, against those that ordinary roles may use."""
        return Limit(
            "connections",
            self.client_backends,
            self.max_connections - self.superuser_reserved_connections - self.reserved_connections,
            LimitOf.SERVER,
            self.logging_in,
        )

    @property
    def limits(self) -> tuple[Limit, ...]:
        """Its own limit, and those of roles and databases that have sessions."""
        return (self.ordinary, *self.roles, *self.databases)

    def role_limit(self, rolname: str | None) -> Limit | None:
        """The limit of a role, if it has one and sessions."""
        return next((limit for limit in self.roles if limit.name == rolname), None)

    @property
    def pressing(self) -> tuple[Limit, ...]:
        """The limits of roles and databases that are at least 80 % used."""
        return tuple(limit for limit in (*self.roles, *self.databases) if limit.near)


@dataclass(frozen=True, slots=True)
class Counts:
    """The sessions that a look matched, by what they do.

    `hidden` counts the bot's own sessions that match; `total` leaves them out.
    """

    total: int
    by_state: Mapping[str, int]
    waiting: int  # for a lock
    oldest_xact: datetime | None
    hidden: int = 0


@dataclass(frozen=True, slots=True)
class Look:
    """One look at one server: everything in it comes from the same snapshot.

    `rows` is the part that was asked for, in the order asked for; `counts` covers everything that
    matched; `waits` is empty if nobody asked for it. `tags` are the query tags that may be shown,
    by pid, and `through_pooler` the pids of sessions whose client is a pooler.
    """

    server: Server
    names: Names
    counts: Counts
    waits: Waits
    rows: tuple[Backend, ...]
    tags: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    through_pooler: frozenset[int] = frozenset()

    def limit(self, of: LimitOf, name: str) -> Limit | None:
        """The limit of a role, a database or the server, whether it has sessions or not."""
        limits = self.server.limits
        used = next((each for each in limits if (each.of, each.name) == (of, name)), None)
        if used is not None or of is LimitOf.SERVER:
            return used
        if of is LimitOf.ROLE:
            roles = (role for role in self.names.roles.values() if role.rolname == name)
            limit = next((role.limit for role in roles), None)
        else:
            database = self.names.database_named(name)
            limit = None if database is None else database.limit
        return None if limit is None else Limit(name, 0, limit, of)

    def at_limit(self, backend: Backend) -> LimitOf | None:
        """Whose connection limit, of those that this backend counts against, is reached."""
        if backend.backend_type != CLIENT_BACKEND:
            return None
        role = self.server.role_limit(backend.usename)
        if role is not None and role.reached:
            return LimitOf.ROLE
        databases = (d for d in self.server.databases if d.name == backend.datname)
        return LimitOf.DATABASE if any(database.reached for database in databases) else None
