"""A connection on which the server itself ends whatever takes too long, even behind a pooler.

Without a pooler it keeps its statements prepared: to parse and plan one takes the server several
times as long as to run it.

The bot also limits its waits by its own clock. But that ends only the wait, not the statement. A
statement stuck behind somebody's lock would stay there after the bot has given up, in one of the
server's slots, and the next look would add another.
"""

import itertools
import sys
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg
from asyncpg.prepared_stmt import PreparedStatement

from bot.domain.sessions import ServerId
from bot.driver import LOST_AFTER, PATH, PINNED, PinnedConnection
from bot.postgres import queries
from bot.postgres.rows import server_id

PINS = {
    **PATH,
    **PINNED,
    # None of our statements write.
    "default_transaction_read_only": "on",
    # The server converts no text (see `bot.driver.decoding`), and errors keep their SQLSTATE: if
    # one can't be converted, the conversion's own error would replace it.
    "client_encoding": "SQL_ASCII",
}
"""The settings of every statement to a cluster. Text parameters must be ASCII."""

# A slow server ends a statement before the bot would give up the connection, whose slot others
# would take.
BOUNDS = {**PINS, "statement_timeout": "2500ms", "lock_timeout": "400ms"}

_SESSION = {
    **BOUNDS,
    **LOST_AFTER,
    # Our parameters never make a custom plan worthwhile: what we read has no statistics.
    "plan_cache_mode": "force_generic_plan",
}

KEPT_STATEMENTS = 64
"""How many statements a connection keeps prepared. Each filter, order and guard has its own text;
the least recently used one makes room."""

_NOT_BEGUN = frozenset({"FetchPreparedStatement", "RevalidateCachedQuery"})
"""The server's functions that refuse a prepared statement before it runs: its name is unknown, or
its result would now have another type. Nothing was done, so it may be sent again.

https://github.com/postgres/postgres/blob/REL_18_STABLE/src/backend/tcop/postgres.c
(`exec_bind_message`)
"""

_T = TypeVar("_T")

if TYPE_CHECKING:
    _Prepared = PreparedStatement[asyncpg.Record]
else:
    _Prepared = PreparedStatement  # generic only in its stubs


class BoundedConnection(PinnedConnection):
    """`fetch`, `fetchrow` and `fetchval`, which read and signal, are bounded; `execute` is not.

    With a backend of its own, the session has the bounds, and statements are prepared. Behind a
    pooler, each statement runs in its own transaction, which sets the bounds and is rolled back:
    two more round trips. Nothing is prepared then, since the next backend may be another one, and
    `idle_session_timeout` is up to the pooler.

    Attributes:
        server: the server at the other end; None behind a pooler, where it may differ by statement.
    """

    server: ServerId | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401  the driver's own
        super().__init__(*arguments, **options)
        self._prepared: OrderedDict[str, _Prepared] = OrderedDict()  # least recently used first
        self._numbers = itertools.count(1)
        self._known: dict[str, str] = {}  # parts of statements, and what they give

    async def bound(self) -> asyncpg.Record:
        """Detect a pooler, and set the bounds; returns the row of `session`.

        A pooler hands out a backend key that differs from the backend's. A pooler that lends
        backends by the statement refuses transactions; that is detected here too.
        """
        us = await self.fetchrow(queries.get("session"))
        assert us is not None  # noqa: S101  a backend always sees itself
        self.pooled = us["pid"] != self.get_server_pid()
        if not self.pooled:
            self.server = server_id(us)
            self._known = {
                queries.part("system_identifier"): f"{self.server.system_identifier}::bigint",
                queries.part("own"): f"select {us['usesysid']}::oid as own_role",
            }
            await self.execute(self.sets(_SESSION, "session"))
        return us

    async def ready(self, queries: Iterable[str]) -> None:
        """Prepare statements that will soon be needed; does nothing behind a pooler."""
        texts = () if self.pooled else map(self.sent, queries)
        missing = [each for each in texts if each not in self._prepared]
        for query in missing:
            await self._statement(query)
        if missing:
            await self._end_prepare()

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:  # type: ignore[override]
        if self.pooled:
            async with self._bounds():
                return await super().fetch(query, *args)
        return await self._run(query, lambda statement: statement.fetch(*args))

    async def fetchrow(self, query: str, *args: object) -> asyncpg.Record | None:  # type: ignore[override]
        if self.pooled:
            async with self._bounds():
                return await super().fetchrow(query, *args)
        return await self._run(query, lambda statement: statement.fetchrow(*args))

    async def fetchval(self, query: str, *args: object) -> object:  # type: ignore[override]
        if self.pooled:
            async with self._bounds():
                return await super().fetchval(query, *args)
        return await self._run(query, lambda statement: statement.fetchval(*args))

    async def _run(self, query: str, ask: Callable[[_Prepared], Awaitable[_T]]) -> _T:
        query = self.sent(query)
        try:
            return await ask(await self._statement(query))
        except (asyncpg.InvalidCachedStatementError, asyncpg.InvalidSQLStatementNameError) as error:
            if getattr(error, "server_source_function", None) not in _NOT_BEGUN:
                raise
            del self._prepared[query]
            return await ask(await self._statement(query))
        except asyncpg.DataError as error:
            if error.severity is None:  # the driver's own, of a value that it can't send
                await self._end_prepare()
            raise

    async def _end_prepare(self) -> None:
        """End the transaction that a prepare has begun, unless its statement has run.

        The driver ends a prepare with Flush, not Sync: the transaction would keep its locks, and
        statement_timeout would run until the next statement, and end that.
        """
        await self.execute("select")

    async def _statement(self, query: str) -> _Prepared:
        statement = self._prepared.pop(query, None)
        if statement is None:
            # With our own name: without its cache, which guesses, the driver would use none.
            statement = await self.prepare(query, name=f"statement_{next(self._numbers)}")
        self._prepared[query] = statement
        if len(self._prepared) > KEPT_STATEMENTS:
            self._prepared.popitem(last=False)
        return statement

    def sent(self, query: str) -> str:
        """A statement as the server gets it: a backend has one server and one role for life.

        It is one string for all connections: a look takes 15 kB, and each filter has its own.
        """
        for part, known in self._known.items():
            query = query.replace(part, known)
        return sys.intern(query)

    @asynccontextmanager
    async def _bounds(self) -> AsyncIterator[None]:
        await self.begin(BOUNDS)
        try:
            yield
        except asyncpg.PostgresError:
            await self._roll_back()
            raise
        # Any other error makes the bot give up the connection, which ends the transaction.
        await self._roll_back()

    async def _roll_back(self) -> None:
        """Return the backend to the pooler. An error now doesn't invalidate the reply."""
        try:
            await self.execute("rollback")
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            self.terminate()
