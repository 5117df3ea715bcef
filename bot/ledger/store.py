"""The ledger's database: its connections and transactions, and what is asked of either kind.

`sqlalchemy.ext.asyncio` imports the ORM, which takes 6 MB and a sixteenth of the start. So what
is needed of it is here. As there, what SQLAlchemy does runs in a greenlet, from which it awaits the
driver.
"""

import asyncio
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    nullcontext,
    suppress,
)
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar

import structlog
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    CursorResult,
    Engine,
    Executable,
    ScalarResult,
    type_coerce,
)
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.pool import AsyncAdaptedQueuePool
from sqlalchemy.util import greenlet_spawn

from bot.domain.people import Glob
from bot.domain.record import LedgerHome
from bot.errors import LedgerError, OtherVersion
from bot.ledger.schema import Instant, microseconds

log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
Parameters = Mapping[str, Any]

CLOCK_TOLERANCE = timedelta(seconds=5)
"""How far back the ledger's clock may go, as an adjusted clock does, before it counts as set back.
Nothing expires twice within it."""

TROUBLE = (SQLAlchemyError, OSError, ValueError, OverflowError)
"""What the drivers raise: their own errors, the network's, and values that they can't encode.

A ValueError may also be a record that can't be read, such as another version's condition.
"""

RETRY_EVERY = 0.02
"""Seconds between two tries for a connection that another call is using."""

CLOSED_WITHIN = 1.0
"""Seconds that a running call has to end when the ledger is closed."""

KEEP_EVERY = 1.0
"""Seconds between two checks of the held connections; a lost one is replaced."""


REMIND_EVERY = 300.0
"""Seconds between two lines of the log about the same trouble."""

WELL_AFTER = 10.0
"""Seconds without trouble after which it is over: a file that can't be written can be read."""

_EFFECT = (
    "previews and kills are refused, boards and alerts wait, looks are recorded later (for up to 10"
    " minutes); the bot keeps trying"
)


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


@dataclass(frozen=True, slots=True)
class Terms:
    """How a server lets the ledger in.

    Attributes:
        connection_limit: its role's limit; -1 means none.
        is_encrypted: the server's view of the connection; None for a file.
    """

    connection_limit: int = -1
    is_encrypted: bool | None = None


class Store(ABC):
    """One kind of database, and the location of one ledger in it.

    Attributes:
        kind: its name for people.
        size: how many connections are held for reading.
        is_server: whether connections to it can be lost.
        clock: the database's own clock, read again by each statement.
        identity: the type of an id that the database assigns and never reuses.
        random: an expression for at least 122 random bits, as 32 or more hexadecimal digits.
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
        """Where the ledger is, for people: without user or password."""

    @property
    def is_local(self) -> bool:
        return True

    @property
    def left_out(self) -> tuple[str, ...]:
        """Parameters of its URL that have no effect."""
        return ()

    def exists(self) -> bool:
        """Whether it may exist: False only if it is known not to."""
        return True

    def is_absent(self) -> bool:
        """Whether opening it would create it. Raises `LedgerError` if that can't be done."""
        return False

    @property
    def is_open_to_others(self) -> bool:
        """Whether anyone on this machine may read it."""
        return False

    def make(self) -> None:  # noqa: B027  most stores have nothing to do
        """Create whatever must exist before a connection."""

    @abstractmethod
    def check(self) -> None:
        """Raise `LedgerError` for problems that the driver would explain less clearly."""

    @abstractmethod
    def reader(self, engine: AsyncEngine) -> AsyncEngine:
        """An engine for transactions that read one snapshot and don't write.

        It may share the writing engine's connections.
        """

    @abstractmethod
    async def lock(self, connection: AsyncConnection) -> None:
        """Keep every other process that asks for it waiting until the transaction ends."""

    @abstractmethod
    def like(self, column: Column[Any], parts: Glob) -> ColumnElement[bool]:
        """Whether a column matches a `grammar.requests.Pattern`; NULL if the column is NULL."""

    @abstractmethod
    async def home(self, connection: AsyncConnection) -> LedgerHome | None:
        """The server, if it is PostgreSQL."""

    async def terms(self, connection: AsyncConnection) -> Terms:
        """The terms on which a server lets the ledger in."""
        del connection
        return Terms()

    @abstractmethod
    def problem(self, error: Exception) -> str:
        """What a driver's error means, in words that contain no address, secret or value."""

    def after(self, span: timedelta | ColumnElement[int]) -> ColumnElement[datetime]:
        """This far ahead on the database's clock; an expression is in microseconds."""
        ahead = microseconds(span) if isinstance(span, timedelta) else span
        return type_coerce(type_coerce(self.clock, BigInteger) + ahead, Instant)

    def before(self, span: ColumnElement[int]) -> ColumnElement[datetime]:
        """So many microseconds ago on the database's clock."""
        return type_coerce(type_coerce(self.clock, BigInteger) - span, Instant)


class _Standing:
    """Around each transaction: logs once that the ledger is in trouble, and once that it is well.

    Many try again every few seconds. None of them says so.
    """

    def __init__(self) -> None:
        self._since: float | None = None
        self._failed_at = 0.0
        self._told: dict[str, float] = {}  # when, by the problem

    def __enter__(self) -> None:
        """A transaction begins."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None:
            self._worked()
        elif isinstance(error, LedgerError) and not _is_expected(error):
            self._failed(str(error))

    def _failed(self, problem: str) -> None:
        now = self._failed_at = time.monotonic()
        self._since = now if self._since is None else self._since
        if now - self._told.get(problem, float("-inf")) >= REMIND_EVERY:
            self._told[problem] = now
            seconds = round(now - self._since)
            log.warning("ledger.trouble", problem=problem, seconds=seconds, effect=_EFFECT)

    def _worked(self) -> None:
        if self._since is None or time.monotonic() - self._failed_at < WELL_AFTER:
            return
        log.info("ledger.well_again", seconds=round(self._failed_at - self._since))
        self._since = None
        self._told.clear()


def _is_expected(error: LedgerError) -> bool:
    """Whether it says nothing about the ledger: two replicas met, or a later version has it."""
    return isinstance(error, OtherVersion) or isinstance(error.__cause__, IntegrityError)


class Transactions:
    """One ledger's transactions, each committed at its end.

    The connections are held open, lent for one transaction each, and replaced when lost.

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
        self._standing: AbstractContextManager[object] = nullcontext()
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
        self._standing = _Standing()
        if self.store.is_server:
            self._keeper = asyncio.create_task(self._keep(), name="ledger")

    async def close(self) -> None:
        """Close the connections, if any are open. Calls under way have a second to end."""
        self._is_closed = True
        self._standing = nullcontext()
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
        with self._standing:
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
