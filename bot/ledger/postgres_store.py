"""A ledger in PostgreSQL, over the same kind of pinned connections as the clusters."""

import re
from typing import Any

import asyncpg
import structlog
from asyncpg.transaction import Transaction
from sqlalchemy import (
    URL,
    Column,
    ColumnElement,
    ExceptionContext,
    create_engine,
    event,
    literal_column,
    text,
    type_coerce,
)
from sqlalchemy.exc import DBAPIError, DisconnectionError

from bot import driver, pg_url
from bot.domain.people import Glob
from bot.domain.record import LedgerHome
from bot.driver import login, tls
from bot.errors import LedgerError
from bot.ledger.schema import Instant
from bot.ledger.store import AsyncConnection, AsyncEngine, Store, Terms

log = structlog.get_logger(__name__)

_BROKEN = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)

_LOCK_KEY = 0x6B696C6C  # "kill"

CONNECT_TIMEOUT = 60.0
"""Seconds. Each of the ledger's calls has a shorter limit of its own."""

_PINNED = {
    **driver.PINNED,
    # Ends a statement that was given up on the server too.
    "statement_timeout": "5s",
    "lock_timeout": "0",
}

_SESSION = {**_PINNED, **driver.PATH, **driver.LOST_AFTER}

_HOLD_ALL = frozenset({"UTF8", "SQL_ASCII"})
"""The encodings that take any UTF-8 text: SQL_ASCII checks nothing."""

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
"""Finds the schema of the tables, or for the tables, through the search path that the role, the
database or the URL sets. Whoever set it can't make this query call their functions or operators."""

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
    # PgBouncer uses this code for everything that it refuses; PostgreSQL hardly uses it.
    "08P01": "the ledger's server or a pooler in front of it refuses the connection",
    "22": "the ledger's server can't store such a value",
    "25006": "the ledger's server accepts no writes: it is read-only or a standby",
    "3D": "the ledger's database does not exist",
    "3F": "the ledger's schema does not exist, or its role may not use it",
    "42501": "the ledger's role lacks a right in its database, which it should own",
    "42P07": "another program's tables are in the way: give the ledger its own database",
    "53100": "the disk of the ledger's server is full",
    "53300": "the ledger's server has no free connection for it",
    "57": "the ledger's server is starting or stopping, or ended the session",
}
"""SQLSTATEs, or classes of them: https://www.postgresql.org/docs/current/errcodes-appendix.html"""


class PostgresStore(Store):
    """A ledger on a PostgreSQL server, over two connections held from the start.

    If the server is full or the role is at its limit, these go on working while new ones are
    refused.
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
        # The schema of the tables, set by the first connection. SQLAlchemy writes it before their
        # names, because the search path holds only pg_catalog.
        self._schemas: dict[None, str] = {}

    @property
    def place(self) -> str:
        """The server's host, and the database if the URL names one."""
        return "/".join(filter(None, (self._url.shown, self._url.database)))

    @property
    def is_local(self) -> bool:
        """Whether the server is reached over loopback or a Unix socket."""
        return self._url.is_local

    @property
    def left_out(self) -> tuple[str, ...]:
        """Parameters of the URL that have no effect."""
        return self._url.left_out

    def check(self) -> None:
        """Log the ignored parameters. The URL was read already; the server checks the rest."""
        if self.left_out:
            log.info("ledger.url_parameters_ignored", parameters=self.left_out)

    def engine(self) -> AsyncEngine:
        """An engine whose driver gets the URL's values."""
        engine = create_engine(
            URL.create("postgresql+asyncpg"),
            pool_size=self.size,
            max_overflow=0,
            hide_parameters=True,
            # A role's or server's default may differ; the guards don't need more.
            isolation_level="READ COMMITTED",
            execution_options={"schema_translate_map": self._schemas},
            connect_args={
                "async_creator_fn": self._connect,
                # Unnamed statements: a pooler may switch servers between transactions.
                "prepared_statement_cache_size": 0,
            },
        )
        event.listen(engine, "checkout", self._ping)
        event.listen(engine, "close", self._drop)
        event.listen(engine, "handle_error", self._keep_the_others)
        return AsyncEngine(engine)

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
        """Make the pool replace a dead connection, and only that one.

        The pool's own `pool_pre_ping` drops the healthy ones too, and a full server would let none
        of them back in.
        """
        try:
            # One round trip. The dialect's own ping takes four, and keeps waiting after a time
            # limit.
            connection.run_async(lambda driver: driver.execute("SELECT 1"))
        except _BROKEN as error:
            raise DisconnectionError from error

    @staticmethod
    def _drop(connection: Any, _record: object) -> None:  # noqa: ANN401  a DBAPI's
        """Close without waiting for an answer, which a silent server would never send."""
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
        """The terms for the session's role. A superuser has no limit."""
        row = (await connection.execute(text(_TERMS))).one()
        return Terms(row.connection_limit, row.is_encrypted)

    def problem(self, error: Exception) -> str:
        """Words for an SQLSTATE. PostgreSQL's own text may hold an address or a value."""
        if isinstance(error, DBAPIError):
            sqlstate = getattr(error.orig, "sqlstate", None)
            if (refused := login.refusal(sqlstate)) is not None:
                return f"the ledger's server {refused}"
            if sqlstate is not None:
                words = _SQLSTATES.get(sqlstate) or _SQLSTATES.get(sqlstate[:2])
                return words or f"the ledger's server refused: SQLSTATE {sqlstate}"
            if error.connection_invalidated:
                return _SQLSTATES["08"]
            if error.statement is None and error.orig is not None:
                # The driver raised it before any statement: it can't use the URL.
                return f"the ledger's server can't be used: {error.orig}"
        if (refused := tls.problem(error)) is not None:
            return f"the ledger's server {refused}"
        if isinstance(error, pg_url.UnreadableFileError):
            return f"the ledger's server can't be used: {error}"
        if isinstance(error, OSError) or login.is_unknown_name(error):
            return _unreachable(error)
        return f"the ledger's server can't be used: {type(error).__name__}"


def _unreachable(error: Exception) -> str:
    if isinstance(error, FileNotFoundError | PermissionError):
        return "the socket of the ledger's server is missing, or closed to the bot"
    if login.has_too_many_files(error):
        return login.TOO_MANY_FILES
    if login.is_refused(error):
        return "nothing listens at the address of the ledger's server; it may not be running"
    if login.is_unknown_name(error):
        return "the name of the ledger's server is not found (DNS)"
    return "no connection to the ledger's server"


def _durable(*, local: bool) -> str:
    """Make a commit that was reported survive a crash."""
    return (
        "SELECT set_config('synchronous_commit', "
        f"replace(current_setting('synchronous_commit'), 'off', 'on'), {local});"
    )


class _LedgerConnection(driver.PinnedConnection):
    """A connection whose transactions see only pg_catalog, even behind a pooler."""

    async def settle(self) -> str:
        """Pin the settings that the session inherits; return the schema of the ledger's tables.

        Raises `LedgerError` if there is none, or if the database can't store every text.
        """
        encoding = driver.encoding_of(self)
        if encoding not in _HOLD_ALL:
            raise LedgerError(
                f"the ledger's database is in {encoding}, which can't store every name:"
                " give the ledger a database in UTF8"
            )
        await self.begin(_PINNED)
        found = await self.fetchrow(_FIRST)
        assert found is not None  # noqa: S101  it is one row
        # A pooler hands out a backend key that differs from the backend's.
        self.pooled = found["pid"] != self.get_server_pid()
        if found["schema"] is None:
            raise LedgerError(_SQLSTATES["3F"])
        await self.execute("ROLLBACK;" if self.pooled else f"ROLLBACK;{self.pins()}")
        return str(found["schema"])

    def pins(self) -> str:
        """The settings for the session or, behind a pooler, for one transaction."""
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
        """A transaction, for each that SQLAlchemy begins."""
        begun = _PinnedTransaction if self.pooled else Transaction
        return begun(self, isolation, readonly, deferrable)


class _PinnedTransaction(Transaction):
    """A transaction on a backend that a pooler lends."""

    def __init__(self, connection: _LedgerConnection, *options: Any) -> None:  # noqa: ANN401
        super().__init__(connection, *options)
        self._of = connection

    async def start(self) -> None:
        """Begin, and apply the settings that a session of one's own would keep."""
        await super().start()
        try:
            await self._of.execute(self._of.pins())
        except BaseException:
            self._of.terminate()  # nobody knows what state the transaction is in
            raise
