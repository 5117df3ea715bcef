"""What differs between a ledger in SQLite and one in PostgreSQL."""

import os
import re
import sqlite3
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import structlog
from asyncpg.transaction import Transaction
from sqlalchemy import (
    URL,
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    ExceptionContext,
    event,
    literal_column,
    make_url,
    text,
    type_coerce,
)
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    DisconnectionError,
    SQLAlchemyError,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from bot import driver, pg_url, tls
from bot.domain.people import Glob
from bot.domain.record import LedgerHome
from bot.errors import LedgerError
from bot.ledger import sqlite
from bot.ledger.schema import Instant, microseconds

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """How a server lets the ledger in.

    Attributes:
        connection_limit: of its role; -1 is none.
        is_encrypted: as the server sees its end of the connection; None for a file.
    """

    connection_limit: int = -1
    is_encrypted: bool | None = None


class Store(ABC):
    """One kind of database, and the place of one ledger in it.

    Attributes:
        kind: what to call it.
        size: how many connections are held for reading.
        is_server: whether these may be lost.
        clock: the database's own clock, read anew by each statement.
        identity: the type of an id that is given by the database and never used again.
        random: an expression for at least 122 random bits, as 32 hexadecimal digits or more.
    """

    kind: str
    size: int
    is_server: bool
    clock: ColumnElement[datetime]
    identity: str
    random: str

    @abstractmethod
    def engine(self) -> AsyncEngine:
        """An engine for writing, which opens nothing yet."""

    @property
    @abstractmethod
    def place(self) -> str:
        """Where the ledger is, for people: no user, no password."""

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine."""
        return True

    @property
    def left_out(self) -> tuple[str, ...]:
        """Parameters of its URL that have no effect."""
        return ()

    def exists(self) -> bool:
        """Whether it may be there: False only if it is known not to be."""
        return True

    def is_absent(self) -> bool:
        """Whether opening it would make it. Raises `LedgerError` where that can't be done."""
        return False

    @property
    def is_open_to_others(self) -> bool:
        """Whether anyone on this machine may read it."""
        return False

    def make(self) -> None:  # noqa: B027  most stores have nothing to do
        """Make what has to be there before a connection."""

    @abstractmethod
    def check(self) -> None:
        """Raise `LedgerError` for what the driver would say less clearly."""

    @abstractmethod
    def reader(self, engine: AsyncEngine) -> AsyncEngine:
        """An engine for transactions that read one snapshot and don't write.

        It may have the writing one's connections.
        """

    @abstractmethod
    async def lock(self, connection: AsyncConnection) -> None:
        """Keep every other process from migrating until the transaction ends."""

    @abstractmethod
    def like(self, column: Column[Any], parts: Glob) -> ColumnElement[bool]:
        """Whether a column matches, as `bot.grammar.parser.Pattern` does; NULL where it is NULL."""

    @abstractmethod
    async def home(self, connection: AsyncConnection) -> LedgerHome | None:
        """The server, if it is PostgreSQL."""

    async def terms(self, connection: AsyncConnection) -> Terms:
        """On what terms a server lets the ledger in."""
        del connection
        return Terms()

    @abstractmethod
    def problem(self, error: Exception) -> str:
        """What a driver's error means, in words that hold no address, secret or value."""

    def after(self, span: timedelta) -> ColumnElement[datetime]:
        """An instant on the database's clock, this far ahead."""
        return type_coerce(type_coerce(self.clock, BigInteger) + microseconds(span), Instant)


def store_of(url: str) -> Store:
    """The store that a LEDGER_URL names. Raises `LedgerError`, without showing the URL."""
    scheme = url.partition(":")[0]
    if scheme == "sqlite":
        return SqliteStore(url)
    if scheme.startswith("postgres"):
        return PostgresStore(url)
    raise LedgerError("the ledger's URL must begin with sqlite:/// or postgresql://")


class SqliteStore(Store):
    """A ledger in a file.

    One connection writes: SQLite has one writer, and here those who want to be it queue. Two
    read, so that a reader waits for no writer.

    The journal is SQLite's usual one, not a write-ahead log. A log would let readers go on
    during a commit as well; but before SQLite 3.51.3 it may corrupt the file when two
    connections write and checkpoint at the same instant
    (https://sqlite.org/wal.html#the_wal_reset_bug), and most systems have an older one. So the
    ledger is one file.
    """

    kind = "SQLite"
    size = 2
    is_server = False
    # To the millisecond, which is what SQLite has; exact, though it is computed in days.
    clock = type_coerce(
        literal_column(
            "CAST(round((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER) * 1000"
        ),
        Instant,
    )
    # AUTOINCREMENT: the id of a row that somebody deleted is not given again.
    identity = "INTEGER PRIMARY KEY AUTOINCREMENT"
    random = "lower(hex(randomblob(16)))"

    def __init__(self, url: str) -> None:
        try:
            self._url = make_url(url).set(drivername="sqlite+aiosqlite")
        except (ArgumentError, ValueError):
            raise LedgerError("the ledger's URL can't be read") from None
        if self._file in {"", ":memory:"} or self._url.host:
            raise LedgerError("the ledger's URL must name a file: sqlite:///ledger.db")

    @property
    def _file(self) -> str:
        return self._url.database or ""

    @property
    def place(self) -> str:
        """The file's whole path."""
        return self._file if self._is_uri else str(Path(self._file).absolute())

    @property
    def _is_uri(self) -> bool:
        return self._file.startswith("file:")

    def exists(self) -> bool:
        """Whether there is a file; a `file:` URI is SQLite's to resolve."""
        return self._is_uri or Path(self._file).exists()

    def is_absent(self) -> bool:
        """Whether there is no file yet. Raises `LedgerError` where its folder takes none."""
        if self.exists():
            return False
        folder = Path(self._file).parent
        if not os.access(folder, os.W_OK | os.X_OK):
            raise LedgerError(f"the ledger's folder takes no new file: {folder}")
        return True

    def check(self) -> None:
        """Raises `LedgerError` where the file's folder is missing."""
        if not self._is_uri and not Path(self._file).parent.is_dir():
            raise LedgerError(f"the ledger's folder does not exist: {Path(self._file).parent}")

    @property
    def is_open_to_others(self) -> bool:
        """Whether anyone on this machine may read the file."""
        return not self._is_uri and sqlite.is_open_to_others(self._file)

    def make(self) -> None:
        """Make the file, readable by its owner only."""
        if not self._is_uri:
            sqlite.make(self._file)

    def engine(self) -> AsyncEngine:
        """An engine for the one writer."""
        return self._engine(1)

    def reader(self, engine: AsyncEngine) -> AsyncEngine:
        """An engine of its own: its transactions share the file's lock with other readers."""
        del engine
        return self._engine(self.size).execution_options(reads=True)

    def _engine(self, size: int) -> AsyncEngine:
        """An engine whose transactions begin where they say so, with the lock that they need."""
        engine = create_async_engine(
            self._url,
            pool_size=size,
            max_overflow=0,
            hide_parameters=True,
            connect_args={
                "timeout": 0,  # `patiently` waits
                # None: sqlite3 begins no transaction of its own accord; `_begin` does.
                "isolation_level": None,
                "async_creator_fn": sqlite.opened,
            },
        )
        event.listen(engine.sync_engine, "connect", self._prepare)
        event.listen(engine.sync_engine, "begin", self._begin)
        event.listen(engine.sync_engine, "commit", self._commit)
        return engine

    @staticmethod
    def _prepare(connection: Any, _record: object) -> None:  # noqa: ANN401  a DBAPI's
        # EXTRA: after FULL a power cut may bring the journal back, and undo the last commit.
        # What is dropped is overwritten.
        for pragma in ("synchronous = EXTRA", "foreign_keys = ON", "secure_delete = ON"):
            connection.execute(f"PRAGMA {pragma}").close()

    @staticmethod
    def _begin(connection: Connection) -> None:
        if connection.get_execution_options().get("reads", False):
            sqlite.patiently(connection, "BEGIN", "SELECT 1 FROM sqlite_master LIMIT 1")
        else:
            sqlite.patiently(connection, "BEGIN IMMEDIATE")

    @staticmethod
    def _commit(connection: Connection) -> None:
        # What the driver does next commits nothing more. Readers may stand in the way.
        sqlite.patiently(connection, "COMMIT")

    async def lock(self, connection: AsyncConnection) -> None:
        """Nothing to do: BEGIN IMMEDIATE has the lock already."""

    def like(self, column: Column[Any], parts: Glob) -> ColumnElement[bool]:
        """GLOB: SQLite's LIKE takes `a` for `A`."""
        if len(parts) == 1:
            return column == parts[0]
        pattern = "*".join(re.sub(r"[*?\[]", r"[\g<0>]", part) for part in parts)
        return column.op("GLOB", is_comparison=True)(pattern)

    async def home(self, connection: AsyncConnection) -> LedgerHome | None:
        """No server."""
        del connection
        return None

    def problem(self, error: Exception) -> str:
        """SQLite's own words: they name tables at most."""
        if isinstance(error, DBAPIError) and isinstance(error.orig, sqlite3.Error):
            return f"the ledger's file can't be used: {error.orig}"
        return f"the ledger's file can't be used: {type(error).__name__}"


class PostgresStore(Store):
    """A ledger on a PostgreSQL server. Two connections, held from the start.

    On a server that is full, or where the role is at its limit, these go on working while
    a new one is refused.
    """

    kind = "PostgreSQL"
    size = 2
    is_server = True
    clock = type_coerce(
        literal_column("CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)"), Instant
    )
    identity = "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
    random = "replace(CAST(gen_random_uuid() AS text), '-', '')"

    def __init__(self, url: str) -> None:
        try:
            self._url = pg_url.read(url, of_ledger=True)
        except ValueError as error:
            raise LedgerError(f"the ledger's URL {error}") from None
        # Where the tables are, known from the first connection on: SQLAlchemy puts it before
        # their names, since the path has nothing but pg_catalog.
        self._schemas: dict[None, str] = {}

    @property
    def place(self) -> str:
        """The server's host, and the database if the URL names one."""
        return "/".join(filter(None, (self._url.shown, self._url.database)))

    @property
    def is_local(self) -> bool:
        """Whether the server is reached by loopback or a Unix socket."""
        return self._url.is_local

    @property
    def left_out(self) -> tuple[str, ...]:
        """Parameters of the URL that have no effect."""
        return self._url.left_out

    def check(self) -> None:
        """Nothing to refuse: the URL was read already; the rest is the server's to say."""
        if self.left_out:
            log.info("ledger.url_left_out", parameters=self.left_out)

    def engine(self) -> AsyncEngine:
        """An engine whose driver is given what the URL says."""
        engine = create_async_engine(
            URL.create("postgresql+asyncpg"),
            pool_size=self.size,
            max_overflow=0,
            hide_parameters=True,
            # A role's or server's default may be another; the guards need no more.
            isolation_level="READ COMMITTED",
            execution_options={"schema_translate_map": self._schemas},
            connect_args={
                "async_creator_fn": self._connect,
                # Unnamed statements, so that a pooler between transactions may switch servers.
                "prepared_statement_cache_size": 0,
            },
        )
        event.listen(engine.sync_engine, "checkout", self._ping)
        event.listen(engine.sync_engine, "close", self._drop)
        event.listen(engine.sync_engine, "handle_error", self._keep_the_others)
        return engine

    async def _connect(self, **_options: object) -> "_LedgerConnection":
        path = {"search_path": self._url.search_path} if self._url.search_path else {}
        connection = await driver.connect(
            self._url.arguments(),
            _PINNED,
            required=path,
            connection_class=_LedgerConnection,
            timeout=CONNECT_TIMEOUT,
        )
        try:
            self._schemas.setdefault(None, await connection.settle())
        except BaseException:
            connection.terminate()
            raise
        return connection

    @staticmethod
    def _ping(connection: Any, _record: object, _proxy: object) -> None:  # noqa: ANN401  a DBAPI's
        """Have the pool make a new connection for one that is dead, and for that one only.

        The pool's own `pool_pre_ping` drops the healthy ones with it, and a server that is
        full would let none of them back in.
        """
        try:
            # One round trip; the dialect's own ping takes four, and waits on after a time limit.
            connection.run_async(lambda driver: driver.execute("SELECT 1"))
        except _BROKEN as error:
            raise DisconnectionError from error

    @staticmethod
    def _drop(connection: Any, _record: object) -> None:  # noqa: ANN401  a DBAPI's
        """Say farewell and go: to wait for its answer is to wait for a server that is silent."""
        connection.driver_connection.terminate()

    @staticmethod
    def _keep_the_others(context: ExceptionContext) -> None:
        context.invalidate_pool_on_disconnect = False

    def reader(self, engine: AsyncEngine) -> AsyncEngine:
        """One snapshot for all statements of a transaction."""
        return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    async def lock(self, connection: AsyncConnection) -> None:
        """An advisory lock, until the end of the transaction."""
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})

    def like(self, column: Column[Any], parts: Glob) -> ColumnElement[bool]:
        """LIKE, with its own wildcards escaped."""
        if len(parts) == 1:
            return column == parts[0]
        pattern = "%".join(re.sub(r"[%_\\]", r"\\\g<0>", part) for part in parts)
        return column.like(pattern, escape="\\")

    async def home(self, connection: AsyncConnection) -> LedgerHome | None:
        """The role is the session's: `usesysid` in `pg_stat_activity`."""
        row = (await connection.execute(text(_HOME))).one()
        return LedgerHome(row.system_identifier, row.usesysid)

    async def terms(self, connection: AsyncConnection) -> Terms:
        """By the session's role. A superuser has no limit."""
        row = (await connection.execute(text(_TERMS))).one()
        return Terms(row.connection_limit, row.is_encrypted)

    def problem(self, error: Exception) -> str:
        """By SQLSTATE: PostgreSQL's own text may hold an address or a value."""
        if isinstance(error, DBAPIError):
            sqlstate = getattr(error.orig, "sqlstate", None)
            if sqlstate is not None:
                words = _SQLSTATES.get(sqlstate) or _SQLSTATES.get(sqlstate[:2])
                return words or f"the ledger's server refused: SQLSTATE {sqlstate}"
            if error.connection_invalidated:
                return _SQLSTATES["08"]
            if error.statement is None and error.orig is not None:
                # The driver, before there is a statement: what it can't do with the URL.
                return f"the ledger's server can't be used: {error.orig}"
        if (refused := tls.problem(error)) is not None:
            return f"the ledger's server {refused}"
        if isinstance(error, pg_url.UnreadableFileError):
            return f"the ledger's server can't be used: {error}"
        if isinstance(error, FileNotFoundError | PermissionError):
            return "the socket of the ledger's server is missing, or closed to the bot"
        if isinstance(error, OSError):
            return "no connection to the ledger's server"
        return f"the ledger's server can't be used: {type(error).__name__}"


_BROKEN = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)

_LOCK_KEY = 0x6B696C6C  # "kill"

CONNECT_TIMEOUT = 60.0
"""Seconds. Each call of the ledger's has a shorter limit of its own."""

_PINNED = {
    **driver.PINNED,
    # A statement that is given up ends there, too.
    "statement_timeout": "5s",
    "lock_timeout": "0",
}

_SESSION = {**_PINNED, **driver.PATH, "idle_session_timeout": "0"}
"""A held connection is idle."""

_HOLD_ALL = frozenset({"UTF8", "SQL_ASCII"})
"""The encodings that take any text of UTF-8: the second one looks at none."""

_FIRST = """
    SELECT
        pg_catalog.pg_backend_pid() AS pid,
        coalesce(
            (
                SELECT nspname
                FROM pg_catalog.pg_class
                JOIN pg_catalog.pg_namespace
                    ON pg_namespace.oid OPERATOR(pg_catalog.=) pg_class.relnamespace
                WHERE pg_class.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass('ledger_version')
            ),
            pg_catalog.current_schema()
        ) AS schema
"""
"""Under the path of the role, the database or the URL, which says where the tables are, or are
to be. Whoever chose it chooses no function or operator here."""


def _durable(*, local: bool) -> str:
    """A commit that was reported survives a crash."""
    return (
        "SELECT set_config('synchronous_commit', "
        f"replace(current_setting('synchronous_commit'), 'off', 'on'), {local});"
    )


class _LedgerConnection(driver.PinnedConnection):
    """A connection whose transactions see nothing but pg_catalog, behind a pooler as well."""

    async def settle(self) -> str:
        """Pin what the session inherits; the schema of the ledger's tables.

        Raises `LedgerError` if there is none, or if the database can't hold every text.
        """
        encoding = driver.encoding_of(self)
        if encoding not in _HOLD_ALL:
            raise LedgerError(
                f"the ledger's database is in {encoding}, which has no room for every name:"
                " give the ledger a database in UTF8"
            )
        await self.begin(_PINNED)
        found = await self.fetchrow(_FIRST)
        assert found is not None  # noqa: S101  it is one row
        # A pooler hands out another backend key than the backend has.
        self.pooled = found["pid"] != self.get_server_pid()
        if found["schema"] is None:
            raise LedgerError(_SQLSTATES["3F"])
        await self.execute("ROLLBACK;" if self.pooled else f"ROLLBACK;{self.pins()}")
        return str(found["schema"])

    def pins(self) -> str:
        """What is set for the session; behind a pooler, for a transaction."""
        if self.pooled:
            return self.sets({**_PINNED, **driver.PATH}, "local") + _durable(local=True)
        return self.sets(_SESSION, "session") + _durable(local=False)

    def transaction(
        self,
        *,
        isolation: Any = None,  # noqa: ANN401  the driver's own names for it
        readonly: bool = False,
        deferrable: bool = False,
    ) -> Transaction:
        """A transaction, as SQLAlchemy begins each of its own."""
        begun = _PinnedTransaction if self.pooled else Transaction
        return begun(self, isolation, readonly, deferrable)


class _PinnedTransaction(Transaction):
    """A transaction on a pooler's backend."""

    def __init__(self, connection: _LedgerConnection, *options: Any) -> None:  # noqa: ANN401
        super().__init__(connection, *options)
        self._of = connection

    async def start(self) -> None:
        """Begin, and set what a session of its own would have."""
        await super().start()
        try:
            await self._of.execute(self._of.pins())
        except BaseException:
            self._of.terminate()  # nobody knows of the transaction
            raise


_HOME = """
    SELECT system_identifier, usesysid
    FROM pg_control_system(), pg_stat_get_activity(pg_backend_pid())
"""

_TERMS = """
    SELECT CASE WHEN rolsuper THEN -1 ELSE rolconnlimit END AS connection_limit,
           ssl AS is_encrypted
    FROM pg_stat_get_activity(pg_backend_pid()) AS me
    JOIN pg_roles ON pg_roles.oid = me.usesysid
"""

_SQLSTATES = {
    "08": "the connection to the ledger's server broke",
    # PgBouncer's code for whatever it refuses, and PostgreSQL's for next to nothing.
    "08P01": "the ledger's server or a pooler in front of it refuses the connection",
    "22": "the ledger's server can't keep such a value",
    "25006": "the ledger's server takes no writes: it is read-only or a standby",
    "28": "the ledger's server refuses the login",
    "3D": "the ledger's database does not exist",
    "3F": "the ledger's schema does not exist, or its role may not use it",
    "42501": "the ledger's role lacks a right in its database",
    "42P07": "another program's tables stand in the way: give the ledger a database of its own",
    "53100": "the disk of the ledger's server is full",
    "53300": "the ledger's server has no connection left for it",
    "57": "the ledger's server is starting, stopping, or ended the session",
}
"""SQLSTATEs and classes of them: https://www.postgresql.org/docs/current/errcodes-appendix.html"""


TROUBLE = (SQLAlchemyError, OSError, ValueError, OverflowError)
"""What the drivers raise: theirs, the network's, and values that they can't encode.

A ValueError is also a record that can't be read, a condition of another version.
"""
