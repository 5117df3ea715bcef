"""A ledger in an SQLite file."""

import os
import re
import sqlite3
from pathlib import Path
from typing import Any

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
from bot.ledger import sqlite
from bot.ledger.engine import AsyncConnection, AsyncEngine
from bot.ledger.schema import Instant
from bot.ledger.store import Store


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
        if wrong := sqlite.what_else(self._file):
            raise LedgerError(f"the ledger's URL names {wrong}: {self.place}")

    @property
    def is_open_to_others(self) -> bool:
        """Whether anyone on this machine may read or write the file."""
        return sqlite.is_open_to_others(self._file)

    def make(self) -> None:
        """Create the file, readable only by its owner."""
        sqlite.make(self._file)

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
                "timeout": 0,  # `patiently` waits
                # None: sqlite3 begins no transaction by itself; `_begin` does.
                "isolation_level": None,
                "async_creator_fn": sqlite.opened,
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
        # Whatever the driver does next commits nothing more. Readers may be in the way.
        sqlite.patiently(connection, "COMMIT")

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
