"""A ledger's file: who may read it, who waits for its lock, and how whoever gives up lets go."""

import asyncio
import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakSet

import aiosqlite
import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

log = structlog.get_logger(__name__)

BUSY_TIMEOUT = 3.5
"""Seconds that a transaction waits for a lock of another process."""

_BESIDE = ("", "-journal", "-wal", "-shm")
"""What SQLite adds to the file's name for those that it keeps beside it."""

RETRY_EVERY = 0.02
"""Seconds between two tries to get it."""

CLOSED_WITHIN = 0.5
"""Seconds for a connection to close: its thread may stand in a disk that doesn't answer."""


def is_open_to_others(path: str) -> bool:
    """Whether anyone on this machine may read or write the file. Raises `OSError`."""
    return bool(Path(path).stat().st_mode & 0o007)


def make(path: str) -> None:
    """Make the file if there is none, for its owner only; close one that is open to others.

    Others had it by the umask of before, not by a decision: then the group had it so, too. A
    group alone may be meant. What SQLite makes beside the file gets the file's mode.
    """
    with suppress(OSError):  # it exists, or SQLite says why there is none
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    # By the path: to open and close the file here would drop this process's locks on it.
    for each in (path + suffix for suffix in _BESIDE):
        with suppress(FileNotFoundError):
            if is_open_to_others(each):
                try:
                    Path(each).chmod(0o600)
                    log.warning("ledger.closed_to_others", file=each)
                except OSError as error:
                    log.warning("ledger.open_to_others", file=each, problem=error.strerror)


def patiently(connection: Connection, *statements: str) -> None:
    """Run statements the last of which takes a lock, and wait for whoever has it.

    All are run anew: SQLAlchemy rolls back what fails before there is a transaction.

    The event loop waits, not the connection's thread: a wait that is given up leaves nothing
    behind. (SQLite's own waiting can't be interrupted.) Raises `DBAPIError` after
    `BUSY_TIMEOUT`.
    """
    until = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            for statement in statements:
                connection.exec_driver_sql(statement).close()
        except DBAPIError as error:
            if not _is_busy(error) or time.monotonic() >= until:
                raise
        else:
            return
        driver: Any = connection.connection.dbapi_connection
        driver.run_async(lambda _: asyncio.sleep(RETRY_EVERY))


def _is_busy(error: DBAPIError) -> bool:
    code = getattr(error.orig, "sqlite_errorcode", 0)
    return code & 0xFF == sqlite3.SQLITE_BUSY  # the rest of an extended code says why


class _File(sqlite3.Connection):
    """Ends every statement before it closes.

    SQLite closes a connection only when its last statement is finalized, and keeps its locks
    until then. Python finalizes a statement with its cursor, and a cursor may live in the
    traceback of the error by which its statement was given up.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401  sqlite3's
        super().__init__(*arguments, **options)
        self._cursors: WeakSet[sqlite3.Cursor] = WeakSet()

    def cursor(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401  sqlite3's
        cursor = super().cursor(*arguments, **options)
        self._cursors.add(cursor)
        return cursor

    def close(self) -> None:
        for cursor in list(self._cursors):
            cursor.close()
        if self.in_transaction:
            self.rollback()
        super().close()


class _Driver(aiosqlite.Connection):
    """Closes without waiting for what its thread is at."""

    async def close(self) -> None:
        if self._connection is None:
            return
        with suppress(sqlite3.ProgrammingError):  # its thread was quicker, and has closed it
            self._connection.interrupt()
        if (closed := self.stop()) is not None:
            await asyncio.wait({closed}, timeout=CLOSED_WITHIN)


async def opened(path: str, **options: Any) -> aiosqlite.Connection:  # noqa: ANN401  a DBAPI's
    """A connection to the file; closed if nobody waits for it any more.

    The driver leaves one open whose opening is cancelled.
    """
    connection = _Driver(
        lambda: sqlite3.connect(path, factory=_File, **options), iter_chunk_size=64
    )
    connection._thread.daemon = True  # noqa: SLF001  as SQLAlchemy has it: it must hold up no end
    opening = asyncio.ensure_future(connection)
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close)
        raise


def _close(opening: asyncio.Future[aiosqlite.Connection]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().stop()
