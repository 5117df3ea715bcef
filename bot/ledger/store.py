"""What the ledger needs from a database of either kind."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Column, ColumnElement, type_coerce
from sqlalchemy.exc import SQLAlchemyError

from bot.domain.people import Glob
from bot.domain.record import LedgerHome
from bot.ledger.engine import AsyncConnection, AsyncEngine
from bot.ledger.schema import Instant, microseconds

CLOCK_TOLERANCE = timedelta(seconds=5)
"""How far back the ledger's clock may go, as an adjusted clock does, before it counts as set back.
Nothing expires twice within it."""

TROUBLE = (SQLAlchemyError, OSError, ValueError, OverflowError)
"""What the drivers raise: their own errors, the network's, and values that they can't encode.

A ValueError may also be a record that can't be read, such as another version's condition.
"""


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
