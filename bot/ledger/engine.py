"""SQLAlchemy's engine for asyncio, as far as the ledger needs it.

`sqlalchemy.ext.asyncio` imports the ORM, which takes 6 MB and a sixteenth of the start. As there,
what SQLAlchemy does runs in a greenlet, from which it awaits the driver.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, CursorResult, Engine, Executable, ScalarResult
from sqlalchemy.pool import AsyncAdaptedQueuePool
from sqlalchemy.util import greenlet_spawn

P = ParamSpec("P")
T = TypeVar("T")
Parameters = Mapping[str, Any]


class AsyncConnection:
    """A connection; `run_sync` is for what has no method here."""

    def __init__(self, sync_connection: Connection) -> None:
        self.sync_connection = sync_connection

    async def execute(
        self, statement: Executable, parameters: Parameters | list[dict[str, Any]] | None = None
    ) -> CursorResult[*tuple[Any, ...]]:
        """Run a statement, and read all that it returns."""
        return await greenlet_spawn(self.sync_connection.execute, statement, parameters)

    async def scalar(self, statement: Executable) -> Any:  # noqa: ANN401  a column's
        """The first column of the first row; None if there is none."""
        return (await self.execute(statement)).scalar()

    async def scalars(
        self, statement: Executable, parameters: Parameters | None = None
    ) -> ScalarResult[Any]:
        """The first column of each row."""
        return (await self.execute(statement, parameters)).scalars()

    async def run_sync(
        self, call: Callable[Concatenate[Connection, P], T], *args: P.args, **options: P.kwargs
    ) -> T:
        """Call a function that takes SQLAlchemy's own connection."""
        return await greenlet_spawn(partial(call, self.sync_connection, *args, **options))

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[None]:
        """A transaction: committed at its end, undone by an error."""
        transaction = await greenlet_spawn(self.sync_connection.begin)
        transaction.__enter__()
        try:
            yield
        except BaseException:
            await greenlet_spawn(transaction.__exit__, *sys.exc_info())
            raise
        await greenlet_spawn(transaction.__exit__, None, None, None)

    async def rollback(self) -> None:
        """Undo the transaction before its end."""
        await greenlet_spawn(self.sync_connection.rollback)


class AsyncEngine:
    """An engine whose driver is asynchronous. `sync_engine` takes listeners to events."""

    def __init__(self, sync_engine: Engine) -> None:
        self.sync_engine = sync_engine

    @property
    def pool(self) -> AsyncAdaptedQueuePool:
        pool = self.sync_engine.pool
        assert isinstance(pool, AsyncAdaptedQueuePool)  # noqa: S101  as for any such driver
        return pool

    def execution_options(self, **options: Any) -> "AsyncEngine":  # noqa: ANN401  each its own
        """The same engine, whose connections have these options."""
        return AsyncEngine(self.sync_engine.execution_options(**options))

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncConnection]:
        """Lend a connection of the pool."""
        connection = await greenlet_spawn(self.sync_engine.connect)
        try:
            yield AsyncConnection(connection)
        finally:
            await _ended(greenlet_spawn(connection.close))

    async def dispose(self) -> None:
        """Close the connections that nobody uses."""
        await greenlet_spawn(self.sync_engine.dispose)


async def _ended(giving_back: Coroutine[Any, Any, None]) -> None:
    """Wait until a connection is given back, also if whoever waits is cancelled meanwhile."""
    task, cancelled = asyncio.create_task(giving_back), False
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            cancelled = True
    task.result()
    if cancelled:
        raise asyncio.CancelledError
