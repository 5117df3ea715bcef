"""What a rule finds: its name, whom it is about, the evidence, and what to do. Pure."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, IntEnum, StrEnum

from bot.domain.blocking import HeldLock, LockWait, Prepared
from bot.domain.findings.survey import Group, Held, IndexBuild
from bot.domain.sessions import Backend, BackendId, Limit


class Rule(StrEnum):
    """The names of findings. People, settings and outside programs rely on them."""

    LIMIT = "limit"
    SERVER_FULL = "server_full"
    BLOCKER = "blocker"
    DDL_QUEUE = "ddl_queue"
    WRAPAROUND_VACUUM = "wraparound_vacuum"
    PREPARED_TRANSACTION = "prepared_transaction"
    IDLE_IN_TRANSACTION = "idle_in_transaction"
    HORIZON = "horizon"
    CONCURRENT_INDEX = "concurrent_index"
    LOGIN = "login"
    WAITING = "waiting"


class Severity(IntEnum):
    """How bad it is, the worst first."""

    CRITICAL = 0  # nobody can log in
    ERROR = 1  # sessions wait, or a role can't log in
    WARNING = 2  # nobody is affected yet
    NOTICE = 3  # it explains what is seen


class SubjectOf(StrEnum):
    """What a finding is about."""

    SERVER = "server"
    ROLE = "role"
    DATABASE = "database"
    SESSION = "session"
    PREPARED = "prepared transaction"
    SLOT = "replication slot"
    STANDBY = "standby"
    EVENT = "wait event"


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom or what a finding is about: the same in each reading as long as it lasts.

    `name` is that of a role, database or slot, a gid, or a pid. `backend` is a session's identity,
    None if `backend_start` can't be seen.
    """

    of: SubjectOf
    name: str
    backend: BackendId | None = None

    @classmethod
    def session(cls, pid: int, backend: Backend | None) -> "Subject":
        """A session, as far as it is known."""
        return cls(SubjectOf.SESSION, str(pid), None if backend is None else backend.id)


@dataclass(frozen=True, slots=True)
class End:
    """Preview ending exactly this backend."""

    backend: Backend


@dataclass(frozen=True, slots=True)
class Cancel:
    """Preview cancelling exactly this backend's query."""

    backend: Backend


@dataclass(frozen=True, slots=True)
class Run:
    """SQL that people run themselves, in this database, as this role or a superuser."""

    sql: str
    datname: str | None = None
    owner: str | None = None


Act = End | Cancel | Run


# --- evidence ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Full:
    """A limit that is reached. `holders` are the first few sessions, the cheapest to end first."""

    limit: Limit
    error: str
    holders: tuple[Backend, ...] = ()
    behind: int = 0  # how many wait behind the first of them
    freed: int = 0  # how many of these only for it
    groups: tuple[Group, ...] = ()


class Refusal(Enum):
    """Why a login is refused."""

    NOLOGIN = "nologin"
    VALID_UNTIL = "valid until"
    NO_CONNECT = "no connect"
    NOT_ALLOWED = "datallowconn"
    INVALID = "invalid database"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A login that is refused, but not by a limit; `error` is PostgreSQL's text."""

    why: Refusal
    error: str
    rolname: str | None = None
    datname: str | None = None
    valid_until: datetime | None = None

    @property
    def is_predefined(self) -> bool:
        """Whether nobody logs in as the role because it is one of PostgreSQL's own.

        Only their names begin with `pg_`. They can be granted, never altered.
        """
        return self.why is Refusal.NOLOGIN and (self.rolname or "").startswith("pg_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """A root of the tree of blockers: `behind` wait for it, `freed` of them only for it.

    `on` is what the session that has waited longest waits for.
    """

    pid: int
    behind: int
    freed: int
    backend: Backend | None = None
    prepared: Prepared | None = None
    on: LockWait | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A waiting request, and those who wait only because of it: `freed` of `behind`.

    `further` are other requests in the same queue that must be withdrawn with it.
    """

    head: Backend
    wait: LockWait
    behind: int
    freed: int
    blocker: Blocks
    further: tuple[Backend, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """An open transaction that does nothing.

    `locks` are those on relations, None if they weren't read. `xids` is by how many transactions
    it holds back vacuum, None if it doesn't or if that wasn't read.
    """

    backend: Backend
    locks: tuple[HeldLock, ...] | None
    xids: int | None

    @property
    def holds_back(self) -> bool:
        """Whether it holds back vacuum, by however much."""
        row = self.backend
        return self.xids is not None or row.backend_xid is not None or row.backend_xmin is not None

    @property
    def pins_nothing(self) -> bool:
        """Whether it is known to hold up nothing."""
        return self.locks == () and not self.holds_back


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldsBack:
    """Whatever holds back vacuum most and, if it is a session, that session."""

    held: Held
    backend: Backend | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Builds:
    """A concurrent index build that waits for others."""

    build: IndexBuild
    backend: Backend | None
    locker: Backend | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """Sessions that wait for one event; `number` is how many there are.

    First come those whose statements have run longest; nothing says how long they have waited.
    """

    event_type: str
    event: str
    backends: tuple[Backend, ...]
    number: int


Evidence = Full | Refused | Blocks | Queue | Idle | HoldsBack | Builds | Waits


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong.

    `hurt` is how many sessions are affected now, `since` when that began, None if nothing says.
    `involved` are the pids of all sessions concerned. `covers` are pids about which this finding
    says everything that a lesser one would. `acts` begin with the cheapest. `prevention` is SQL
    that keeps the problem from coming back.
    """

    rule: Rule
    severity: Severity
    subject: Subject
    evidence: Evidence
    hurt: int = 0
    since: datetime | None = None
    involved: frozenset[int] = frozenset()
    covers: frozenset[int] = frozenset()
    acts: tuple[Act, ...] = ()
    prevention: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long something must last before a rule mentions it without being asked about it.

    PostgreSQL itself considers a wait shorter than `deadlock_timeout` ordinary. Something holds
    back vacuum if it is `horizon` old and `horizon_xids` transactions behind.
    """

    wait: timedelta = timedelta(seconds=1)
    idle: timedelta = timedelta(minutes=1)
    event: timedelta = timedelta(seconds=5)
    prepared: timedelta = timedelta(minutes=10)
    horizon: timedelta = timedelta(minutes=10)
    horizon_xids: int = 100_000


PATIENCE = Patience()

_NO_TIME = timedelta(0)

AT_ONCE = Patience(wait=_NO_TIME, idle=_NO_TIME, event=_NO_TIME, prepared=_NO_TIME)
"""For a session that was asked about."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about: a role, a database, a session, or else the whole server."""

    role: str | None = None
    database: str | None = None
    pid: int | None = None
    patience: Patience = field(default=PATIENCE)

    @property
    def is_narrow(self) -> bool:
        """Whether it asks about a part of the server."""
        return self != Question(patience=self.patience)
