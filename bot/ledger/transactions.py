"""The ledger's connections: held open, lent for one transaction each, and replaced when lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress

from bot.errors import LedgerError
from bot.ledger.engine import AsyncConnection, AsyncEngine
from bot.ledger.store import TROUBLE, Store

RETRY_EVERY = 0.02
"""Seconds between two tries for a connection that another call is using."""

CLOSED_WITHIN = 1.0
"""Seconds that a running call has to end when the ledger is closed."""

KEEP_EVERY = 1.0
"""Seconds between two checks of the held connections; a lost one is replaced."""


class Transactions:
    """One ledger's transactions, each committed at its end.

    `time_limit` is the seconds that one may take, including its wait for a connection. Each raises
    a driver's error as `LedgerError`. Nothing is opened until the first one.
    """

    def __init__(self, store: Store, time_limit: float) -> None:
        self.store = store
        self._time_limit = time_limit
        self._writer = store.engine()
        self._reader = store.reader(self._writer)
        self._keeper: asyncio.Task[None] | None = None
        self._is_closed = False
        self._at_work = 0

    def write(self, within: float | None = None) -> AbstractAsyncContextManager[AsyncConnection]:
        """A transaction that may write; `within` is its own limit in seconds."""
        return self._transaction(self._writer, self._time_limit if within is None else within)

    def read(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A transaction that reads one snapshot."""
        return self._transaction(self._reader, self._time_limit)

    def reopen(self) -> None:
        """Take transactions again after `close`."""
        self._is_closed = False

    async def hold(self) -> None:
        """Open all connections, and hold them from here on. Raises `LedgerError`."""
        async with self._in_time(self._time_limit) as all_at_once:
            for _ in range(self.store.size):
                await self._connect(self._reader, all_at_once)
        if self.store.is_server:
            self._keeper = asyncio.create_task(self._keep(), name="ledger")

    async def close(self) -> None:
        """Close the connections, if any are open. Calls under way have a second to end."""
        self._is_closed = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
            self._keeper = None
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSED_WITHIN):
                while self._at_work:  # noqa: ASYNC110  not worth an event
                    await asyncio.sleep(RETRY_EVERY)
        await self.dispose()

    async def dispose(self) -> None:
        """Close the connections now."""
        for engine in (self._writer, self._reader):
            await engine.dispose()

    @asynccontextmanager
    async def _transaction(
        self, engine: AsyncEngine, within: float
    ) -> AsyncIterator[AsyncConnection]:
        async with self._in_time(within) as stack:
            connection = await self._connect(engine, stack)
            await stack.enter_async_context(connection.begin())
            yield connection

    @asynccontextmanager
    async def _in_time(self, within: float) -> AsyncIterator[AsyncExitStack]:
        """Whatever is opened on the stack has this many seconds until its end."""
        if self._is_closed:
            raise LedgerError("the ledger is closed")
        self._at_work += 1
        try:
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(asyncio.timeout(within))
                yield stack
        except TimeoutError as error:
            raise LedgerError(f"the ledger did not answer within {within:g} s") from error
        except TROUBLE as error:
            raise LedgerError(self.store.problem(error)) from error
        finally:
            self._at_work -= 1

    async def _connect(self, engine: AsyncEngine, stack: AsyncExitStack) -> AsyncConnection:
        """A live connection; if one of those held is lost for good, another.

        If another call is using that one, this waits for it: a full server may refuse a new one.
        """
        alone = 0
        while True:
            try:
                return await stack.enter_async_context(engine.connect())
            except TROUBLE:
                in_use = engine.pool.checkedout()
                alone = 0 if in_use else alone + 1
                if alone == self.store.size:  # the pool hands them out in turn
                    raise
            if in_use:
                await asyncio.sleep(RETRY_EVERY)

    async def _keep(self) -> None:
        """Replace lost connections soon, before others take their slots on the server.

        The pool hands connections out in turn, and checks each one when it does.
        """
        while True:
            await asyncio.sleep(KEEP_EVERY)
            for _ in range(self.store.size):
                with suppress(LedgerError):
                    async with self.read():
                        pass
