"""A connection on which the server itself ends what takes too long, behind a pooler too.

What the bot waits for it bounds by its own clock as well. That ends the wait, not the
statement: one that stands behind somebody's lock would stand there after the bot has given
up, in a slot of the server's, and the next look would add another.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from bot.domain.sessions import ServerId
from bot.driver import PATH, PINNED, PinnedConnection
from bot.postgres import queries

PINS = {
    **PATH,
    **PINNED,
    # None of our statements writes.
    "default_transaction_read_only": "on",
    # No text is converted on its way here (see `bot.driver.decoding`), and an error keeps its
    # SQLSTATE: one that can't be converted is replaced by that of the conversion.
    "client_encoding": "SQL_ASCII",
}
"""What every statement to a cluster runs under. Parameters that are texts must be ASCII."""

# A server that is slow ends a statement before the bot would give up the connection, whose
# slot others would take.
BOUNDS = {**PINS, "statement_timeout": "2500ms", "lock_timeout": "400ms"}

# Our own connections are never closed for being idle.
_SESSION = {**BOUNDS, "idle_session_timeout": "0"}


class BoundedConnection(PinnedConnection):
    """Reads and signals by `fetch`, `fetchrow` and `fetchval` are bounded; `execute` is not.

    On a backend of its own the bounds are the session's. Behind a pooler each statement comes
    in a transaction of its own that sets them for itself and is rolled back: two round trips
    more. `idle_session_timeout` is then the pooler's affair.

    Attributes:
        server: that it leads to; None behind a pooler, where each statement may lead elsewhere.
    """

    server: ServerId | None = None

    async def bound(self) -> asyncpg.Record:
        """Find out whether a pooler is in the way, and set the bounds; the row of `session`.

        A pooler hands out another backend key than the backend has. One that lends by the
        statement refuses transactions: found out here.
        """
        us = await self.fetchrow(queries.get("session"))
        assert us is not None  # noqa: S101  a backend always sees itself
        self.pooled = us["pid"] != self.get_server_pid()
        if not self.pooled:
            await self.execute(self.sets(_SESSION, "session"))
        return us

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:  # type: ignore[override]
        """The rows of one statement."""
        async with self._bounds():
            return await super().fetch(query, *args)

    async def fetchrow(self, query: str, *args: object) -> asyncpg.Record | None:  # type: ignore[override]
        """The first row of one statement."""
        async with self._bounds():
            return await super().fetchrow(query, *args)

    async def fetchval(self, query: str, *args: object) -> object:  # type: ignore[override]
        """The first value of one statement."""
        async with self._bounds():
            return await super().fetchval(query, *args)

    @asynccontextmanager
    async def _bounds(self) -> AsyncIterator[None]:
        if not self.pooled:
            yield
            return
        await self.begin(BOUNDS)
        try:
            yield
        except asyncpg.PostgresError:
            await self._roll_back()
            raise
        # After any other error the connection is given up, and with it the transaction.
        await self._roll_back()

    async def _roll_back(self) -> None:
        """Give the backend back. The reply is in: what goes wrong now takes nothing from it."""
        try:
            await self.execute("rollback")
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            self.terminate()


def server_id(row: asyncpg.Record) -> ServerId:
    """Which server a row is of, by the columns of `now.sql`."""
    return ServerId(row["system_identifier"], row["postmaster_start_time"])
