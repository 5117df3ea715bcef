"""A ledger in an SQLite file: its SQL, who may read it, and how to wait for its lock."""

import asyncio
import os
import re
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Self

import aiosqlite
import structlog
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    create_engine,
    event,
    literal_column,
    make_url,
    type_coerce,
)
from sqlalchemy.exc import DBAPIError

from bot.domain.people import Glob
from bot.domain.record import LedgerHome
from bot.errors import LedgerError
from bot.ledger.schema import Instant
from bot.ledger.store import AsyncConnection, AsyncEngine, Store

log = structlog.get_logger(__name__)

BUSY_TIMEOUT = 3.5
"""Seconds that a transaction waits for another process's lock."""

_BESIDE = ("", "-journal", "-wal", "-shm")
"""What SQLite appends to the file's name for the files that it keeps beside it."""

_FIRST_BYTES = b"SQLite format 3\0"

RETRY_AFTER = (0.001, 0.002, 0.005, 0.01, 0.02)
"""Seconds between two tries to get the lock; the last one is repeated. A commit takes a few ms."""

CLOSED_WITHIN = 0.5
"""Seconds for a connection to close: its thread may hang on a disk that doesn't answer."""


class SqliteStore(Store):
    """A ledger in a file.

    One connection writes: SQLite allows one writer at a time, so writers queue here. Two
    connections read, so that a reader never waits for a writer.

    The journal is SQLite's default rollback journal, not a write-ahead log. With a log, readers
    could also continue during a commit. But before SQLite 3.51.3 a log may corrupt the file when
    two connections write and checkpoint at the same instant
    (https://sqlite.org/wal.html#the_wal_reset_bug), and most systems have an older version. So the
    ledger is one file.
    """

    kind = "SQLite"
    size = 2
    is_server = False
    # SQLite's precision is a millisecond. The result is exact, though it is computed in days.
    clock = type_coerce(
        literal_column(
            "CAST(round((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER) * 1000"
        ),
        Instant,
    )
    # AUTOINCREMENT: the id of a deleted row is never used again.
    identity = "INTEGER PRIMARY KEY AUTOINCREMENT"
    random = "lower(hex(randomblob(16)))"

    def __init__(self, url: str) -> None:
        self._url = make_url(url).set(drivername="sqlite+aiosqlite")

    @property
    def _file(self) -> str:
        return self._url.database or ""

    @property
    def place(self) -> str:
        """The file's absolute path."""
        return str(Path(self._file).absolute())

    def exists(self) -> bool:
        return Path(self._file).exists()

    def is_absent(self) -> bool:
        """Whether there is no file yet. Raises `LedgerError` if its folder can't take one."""
        if self.exists():
            return False
        folder = Path(self._file).parent
        if not os.access(folder, os.W_OK | os.X_OK):
            raise LedgerError(f"can't create a file in the ledger's folder: {folder}")
        return True

    def check(self) -> None:
        """Raise `LedgerError` if the file's folder is missing, or something else has its name."""
        if not Path(self._file).parent.is_dir():
            raise LedgerError(f"the ledger's folder does not exist: {Path(self._file).parent}")
        if wrong := _what_else(self._file):
            raise LedgerError(f"the ledger's URL names {wrong}: {self.place}")

    @property
    def is_open_to_others(self) -> bool:
        """Whether anyone on this machine may read or write the file."""
        return _is_open_to_others(self._file)

    def make(self) -> None:
        """Create the file if there is none, for its owner only; close an existing one to others.

        Others can read it only because of the umask in use when it was made, not by a decision, and
        then so can the group. If only the group can read it, that may be meant. SQLite gives the
        files that it makes beside it the same mode.
        """
        with suppress(OSError):  # it exists, or SQLite will say why it can't
            os.close(os.open(self._file, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        # By path: opening and closing the file here would drop this process's locks on it.
        for each in (self._file + suffix for suffix in _BESIDE):
            with suppress(FileNotFoundError):
                if _is_open_to_others(each):
                    try:
                        Path(each).chmod(0o600)
                        log.warning("ledger.closed_to_others", file=each)
                    except OSError as error:
                        log.warning("ledger.open_to_others", file=each, problem=error.strerror)

    def engine(self) -> AsyncEngine:
        """An engine for the one writer."""
        return self._engine(1)

    def reader(self, engine: AsyncEngine) -> AsyncEngine:
        """A separate engine, whose transactions share the file's lock with other readers."""
        del engine
        return self._engine(self.size).execution_options(reads=True)

    def _engine(self, size: int) -> AsyncEngine:
        """An engine whose transactions take the lock that they need when they begin."""
        engine = create_engine(
            self._url,
            pool_size=size,
            max_overflow=0,
            hide_parameters=True,
            connect_args={
                "timeout": 0,  # `_patiently` waits
                # None: sqlite3 begins no transaction by itself; `_begin` does.
                "isolation_level": None,
                "async_creator_fn": opened,
            },
        )
        event.listen(engine, "connect", self._prepare)
        event.listen(engine, "begin", self._begin)
        event.listen(engine, "commit", self._commit)
        return AsyncEngine(engine)

    @staticmethod
    def _prepare(connection: Any, _record: object) -> None:  # noqa: ANN401  a DBAPI's
        # EXTRA: with FULL, a power cut may bring the journal back and undo the last commit.
        # secure_delete overwrites deleted rows.
        pragmas = ("synchronous = EXTRA", "foreign_keys = ON", "secure_delete = ON")
        # The first one reads the schema, which whoever commits doesn't allow.
        waiting = partial(_run_patiently, tuple(f"PRAGMA {each}" for each in pragmas))
        try:
            connection.run_async(waiting)
        except BaseException:
            connection.driver_connection.stop()  # nobody has it yet
            raise

    @staticmethod
    def _begin(connection: Connection) -> None:
        if connection.get_execution_options().get("reads", False):
            _patiently(connection, "BEGIN", "SELECT 1 FROM sqlite_master LIMIT 1")
        else:
            _patiently(connection, "BEGIN IMMEDIATE")

    @staticmethod
    def _commit(connection: Connection) -> None:
        # Whatever the driver does next commits nothing more. Readers may be in the way.
        _patiently(connection, "COMMIT")

    async def lock(self, connection: AsyncConnection) -> None:
        """Nothing to do: BEGIN IMMEDIATE already has the lock."""

    def like(self, column: Column[Any], parts: Glob) -> ColumnElement[bool]:
        """GLOB, because SQLite's LIKE ignores case."""
        if len(parts) == 1:
            return column == parts[0]
        pattern = "*".join(re.sub(r"[*?\[]", r"[\g<0>]", part) for part in parts)
        return column.op("GLOB", is_comparison=True)(pattern)

    async def home(self, connection: AsyncConnection) -> LedgerHome | None:
        """None: there is no server."""
        del connection
        return None

    def problem(self, error: Exception) -> str:
        """SQLite's own words: at most they name tables."""
        if isinstance(error, DBAPIError) and isinstance(error.orig, sqlite3.Error):
            return f"the ledger's file can't be used: {error.orig}"
        return f"the ledger's file can't be used: {type(error).__name__}"


def _what_else(path: str) -> str:
    """What is there, if it can't be a ledger; empty if it can.

    An empty file can: SQLite fills it.
    """
    place = Path(path)
    if place.is_dir():
        return "a folder, not a file in it"
    if not place.exists():
        return ""
    if not place.is_file():
        return "a device, a socket or a pipe, not a file"
    try:
        with place.open("rb") as file:
            first = file.read(len(_FIRST_BYTES))
    except OSError:
        return ""  # SQLite will say why it can't be read
    return "" if first in (b"", _FIRST_BYTES) else "a file that isn't SQLite's"


def _is_open_to_others(path: str) -> bool:
    """Whether anyone on this machine may read or write the file. Raises `OSError`."""
    return bool(Path(path).stat().st_mode & 0o007)


def _patiently(connection: Connection, *statements: str) -> None:
    """Run statements, the last of which takes a lock, and wait for whoever holds it.

    Each try runs all of them, in one turn of the connection's thread.

    The event loop waits, not the connection's thread, so a wait that is given up leaves nothing
    behind. (SQLite's own waiting can't be interrupted.) Raises `DBAPIError` after `BUSY_TIMEOUT`.
    """
    driver: Any = connection.connection.dbapi_connection
    try:
        driver.run_async(partial(_run_patiently, statements))
    except sqlite3.Error as error:
        raise DBAPIError.instance(statements[-1], None, error, sqlite3.Error) from error
    except BaseException:
        # Its thread may be at it still.
        connection.invalidate()
        raise


async def _run_patiently(statements: tuple[str, ...], driver: "_Driver") -> None:
    until = time.monotonic() + BUSY_TIMEOUT
    for pause in chain(RETRY_AFTER, repeat(RETRY_AFTER[-1])):
        try:
            await driver.run(statements)
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or time.monotonic() >= until:
                raise
        else:
            return
        await asyncio.sleep(pause)


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY  # the rest gives details


class _File(sqlite3.Connection):
    """Lets go of its locks when it closes."""

    def close(self) -> None:
        if self.in_transaction:
            self.rollback()
        super().close()


class _Cursor:
    """A statement, run and read in one turn of the connection's thread.

    A turn costs more than most statements do, and the driver takes four: for the cursor, the
    statement, its rows and the end. The cursor ends at once, whatever happens: while it lives,
    SQLite doesn't close the connection and keeps its locks.
    """

    arraysize = 1

    def __init__(self, driver: "_Driver") -> None:
        self._driver = driver
        self._rows: list[Any] = []
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, statement: str, parameters: Any = ()) -> Self:  # noqa: ANN401  a DBAPI's
        return await self._run("execute", statement, parameters)

    async def executemany(self, statement: str, parameters: Any) -> Self:  # noqa: ANN401  a DBAPI's
        return await self._run("executemany", statement, parameters)

    async def fetchall(self) -> list[Any]:
        return self._rows

    async def close(self) -> None:
        self._rows = []

    async def _run(self, how: str, statement: str, parameters: Any) -> Self:  # noqa: ANN401
        def run() -> None:
            with closing(self._driver._conn.cursor()) as cursor:  # noqa: SLF001
                getattr(cursor, how)(statement, parameters)
                self.description = cursor.description
                self.rowcount, self.lastrowid = cursor.rowcount, cursor.lastrowid
                if cursor.description:
                    self._rows = cursor.fetchall()

        await self._driver._execute(run)  # type: ignore[no-untyped-call]  # noqa: SLF001
        return self


class _Driver(aiosqlite.Connection):
    """Takes one turn for a statement, and closes without waiting for what its thread is doing."""

    def cursor(self) -> _Cursor:  # type: ignore[override]
        return _Cursor(self)

    async def run(self, statements: Sequence[str]) -> None:
        """Run them in one turn. If one fails, the transaction that the first began is undone."""
        first, *others = statements

        def run() -> None:
            self._conn.execute(first).close()
            try:
                for statement in others:
                    self._conn.execute(statement).close()
            except sqlite3.Error:
                self._conn.rollback()
                raise

        await self._execute(run)  # type: ignore[no-untyped-call]

    async def commit(self) -> None:
        if self.in_transaction:  # `_patiently` has committed it
            await super().commit()

    async def rollback(self) -> None:
        if self.in_transaction:  # the pool asks for it after each transaction
            await super().rollback()

    async def close(self) -> None:
        if self._connection is None:
            return
        with suppress(sqlite3.ProgrammingError):  # its thread was quicker, and has closed it
            self._connection.interrupt()
        if (closed := self.stop()) is not None:
            await asyncio.wait({closed}, timeout=CLOSED_WITHIN)


async def opened(path: str, **options: Any) -> aiosqlite.Connection:  # noqa: ANN401  a DBAPI's
    """A connection to the file, closed again if nobody waits for it any more.

    The driver itself leaves a connection open if its opening is cancelled.
    """
    connection = _Driver(
        lambda: sqlite3.connect(path, factory=_File, **options), iter_chunk_size=64
    )
    connection._thread.daemon = True  # noqa: SLF001  as in SQLAlchemy: it must not delay the end
    opening = asyncio.ensure_future(connection)
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close)
        raise
    except sqlite3.Error:
        # Its thread tells this loop that it ends, and the loop may be closed next.
        connection._thread.join()  # noqa: SLF001
        raise


def _close(opening: asyncio.Future[aiosqlite.Connection]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().stop()
