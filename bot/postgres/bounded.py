"""A connection on which the server itself ends what takes too long, behind a pooler too.

What the bot waits for it bounds by its own clock as well. That ends the wait, not the
statement: one that stands behind somebody's lock would stand there after the bot has given
up, in a slot of the server's, and the next look would add another.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from bot.postgres.connections import Connection

# A server that is slow ends a statement before the bot would give up the connection, whose
# slot others would take.
_BOUNDS = {
    "statement_timeout": "2500ms",
    "lock_timeout": "400ms",
    "jit": "off",
}

# Our own connections are never closed for being idle.
_SESSION = "".join(
    f"set {name} = '{value}';" for name, value in {**_BOUNDS, "idle_session_timeout": "0"}.items()
)

# A bot that stands still between two statements must not keep a backend from the pool.
_TRANSACTION = "begin;" + "".join(
    f"set local {name} = '{value}';"
    for name, value in {**_BOUNDS, "idle_in_transaction_session_timeout": "5s"}.items()
)


class BoundedConnection(Connection):
    """Reads and signals by `fetch`, `fetchrow` and `fetchval` are bounded; `execute` is not.

    On a backend of its own the bounds are the session's. A pooler lends its backends, and
    what is SET there stays for the application that gets it next. So behind one (`pooled`)
    each statement comes in a transaction of its own that sets them for itself and is rolled
    back: two round trips more. `idle_session_timeout` is then the pooler's affair.
    """

    pooled = False

    async def bound(self, pid: int) -> None:
        """Set the bounds; `pid` is what the backend says its pid is.

        A pooler hands out another backend key than the backend has.
        """
        self.pooled = pid != self.get_server_pid()
        if self.pooled:
            # One that lends by the statement refuses transactions: found out here.
            async with self._bounds():
                pass
        else:
            await self.execute(_SESSION)

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
        await self.execute(_TRANSACTION)
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
