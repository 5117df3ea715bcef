"""What a look at one PostgreSQL server brings back, and what follows from it alone.

Pure. Field names are PostgreSQL's column names. Instants are aware datetimes in UTC with
PostgreSQL's microseconds; all of them are readings of the server's clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from bot.domain.waits import Waits

CLIENT_BACKEND = "client backend"
"""The one `backend_type` that the bot ever signals."""


@dataclass(frozen=True, slots=True, order=True)
class BackendId:
    """One backend, not to be mistaken for a later one that gets the same pid."""

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
    """What the end of a session undoes, from the least to the most."""

    NOTHING = 0  # nothing is open
    OPEN = 1  # it runs a query, or has an open transaction that has written nothing
    WRITTEN = 2  # its transaction has written: it has a backend_xid
    UNSEEN = 3  # PostgreSQL doesn't say: track_activities is off for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """A row of `pg_stat_activity`, without its name lookups failing on a locked catalog.

    A None in `state`, `backend_start` or `backend_type` means that the bot's role may not
    see it (it lacks `pg_read_all_stats`), or that PostgreSQL has no value there.
    `virtualtransaction` is of `pg_locks`: the number of its transaction, which even one that
    only reads has. It is read only for a kill, and only of who may begin another one with the
    same `xact_start`.
    """

    pid: int
    datid: int | None = None
    datname: str | None = None
    leader_pid: int | None = None
    usesysid: int | None = None
    usename: str | None = None
    application_name: str | None = None
    client_addr: IPv4Address | IPv6Address | None = None
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
        """Its identity, or None where the bot may not see `backend_start`."""
        if self.backend_start is None:
            return None
        return BackendId(self.pid, self.backend_start)

    @property
    def cost(self) -> Cost:
        """What its end undoes. What isn't known counts as more.

        The statement that signals computes the same (`bot.postgres.where.COST`).
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
        return self.wait_event_type == "Lock" or self.wait_event == "SafeSnapshot"

    @property
    def is_idle(self) -> bool:
        """Whether it waits for its client, in a transaction or not."""
        return self.state is not None and self.state.startswith("idle")

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


def since(then: datetime | None, now: datetime) -> timedelta | None:
    """The time since an instant, by the clock of the look."""
    # A backend may write a timestamp after the look's own clock was read.
    return None if then is None else max(now - then, timedelta(0))


class Role(NamedTuple):
    """A row of `pg_roles`. `rolconnlimit` -1 is no limit; superusers are exempt from it.

    `may_end` is whether the bot's role may signal this role's sessions: `pg_terminate_backend`
    asks for its privileges or those of `pg_signal_backend`, and for a superuser's session for
    a superuser.
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
    """A row of `pg_database`. `datconnlimit` -1 is no limit, -2 an invalid database.

    `encoding` is PostgreSQL's name for it: `UTF8`, `WIN1251`.
    """

    oid: int
    datname: str
    datconnlimit: int
    datistemplate: bool = False
    encoding: str = "UTF8"

    @property
    def limit(self) -> int | None:
        """How many connections it may have; None if there is no limit."""
        return self.datconnlimit if self.datconnlimit >= 0 else None


@dataclass(frozen=True, slots=True)
class Names:
    """The roles and databases of one server, as of `read_at` on its clock.

    `stale` is true where the catalogs could not be read just now (somebody holds ACCESS
    EXCLUSIVE on one of them) and an earlier reading stands in: of `known_at`, or none at
    all where that is None.
    """

    roles: Mapping[int, Role]
    databases: Mapping[int, Database]
    read_at: datetime
    server: ServerId
    stale: bool = False
    known_at: datetime | None = None

    def database_named(self, datname: str) -> Database | None:
        """The database of that exact name."""
        return next((d for d in self.databases.values() if d.datname == datname), None)


class SpareReason(StrEnum):
    """Why the bot never ends a backend. The values stand in ledgers."""

    UNSEEN = "unseen"  # the bot's role may not see enough of it
    NOT_A_CLIENT = "not a client backend"
    ROLE_UNSEEN = "role unseen"
    ROLE_NAME_UNSEEN = "role name unseen"  # and roles are protected by their names
    OWN_ROLE = "own role"
    PROTECTED_ROLES = "PROTECTED_ROLES"
    PROTECTED_APPLICATIONS = "PROTECTED_APPLICATIONS"
    SUPERUSER = "superuser"  # and the bot is none
    NO_RIGHT = "no right"  # its role lacks pg_signal_backend


class LimitOf(StrEnum):
    """Whose limit it is. A role and a database may have the same name."""

    ROLE = "role"
    DATABASE = "database"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class Limit:
    """How many connections count against a limit, and the limit."""

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
    """What a server last said of itself: enough to tell it from others."""

    host: str  # the name that the URL has
    version: str
    in_recovery: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What a server says of itself, as of `now` on its clock.

    `unseen` are other roles' sessions that the bot may not see whole, since its role lacks
    `pg_read_all_stats`. PostgreSQL doesn't tell what they are, so that no limit counts them.
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
        """What tells it from others."""
        return About(self.host, self.version, self.in_recovery)

    @property
    def ordinary(self) -> Limit:
        """Connections used, of what ordinary roles may use."""
        return Limit(
            "connections",
            self.client_backends,
            self.max_connections - self.superuser_reserved_connections - self.reserved_connections,
            LimitOf.SERVER,
            self.logging_in,
        )

    def role_limit(self, rolname: str | None) -> Limit | None:
        """The limit of a role, if it has one and sessions."""
        return next((limit for limit in self.roles if limit.name == rolname), None)

    @property
    def pressing(self) -> tuple[Limit, ...]:
        """The limits of roles and databases that stand at 80 % or over."""
        return tuple(limit for limit in (*self.roles, *self.databases) if limit.near)


@dataclass(frozen=True, slots=True)
class Counts:
    """The sessions that a look matched, by what they do.

    `hidden` are the bot's own that match, and are not among them.
    """

    total: int
    by_state: Mapping[str, int]
    waiting: int  # for a lock
    oldest_xact: datetime | None
    hidden: int = 0


@dataclass(frozen=True, slots=True)
class Look:
    """One look at one server: everything in it is of the same snapshot.

    `rows` is the part asked for, in the order asked for; `counts` are of all that matched;
    `waits` are empty where nobody asked for them.
    """

    server: Server
    names: Names
    counts: Counts
    waits: Waits
    rows: tuple[Backend, ...]

    def limit(self, of: LimitOf, name: str) -> Limit | None:
        """The limit of a role, a database or the server, whether it has sessions or not."""
        server = self.server
        limits = (*server.roles, *server.databases, server.ordinary)
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
        """Whose limit has no connection left that this backend counts against."""
        if backend.backend_type != CLIENT_BACKEND:
            return None
        role = self.server.role_limit(backend.usename)
        if role is not None and role.reached:
            return LimitOf.ROLE
        databases = (d for d in self.server.databases if d.name == backend.datname)
        return LimitOf.DATABASE if any(database.reached for database in databases) else None
