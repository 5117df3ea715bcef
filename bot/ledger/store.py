"""What the ledger needs of a database, whichever it is kept in."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Column, ColumnElement, type_coerce
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bot.domain.people import Glob
from bot.domain.record import LedgerHome
from bot.ledger.schema import Instant, microseconds

TROUBLE = (SQLAlchemyError, OSError, ValueError, OverflowError)
"""What the drivers raise: theirs, the network's, and values that they can't encode.

A ValueError is also a record that can't be read, a condition of another version.
"""


@dataclass(frozen=True, slots=True)
class Terms:
    """How a server lets the ledger in.

    Attributes:
        connection_limit: of its role; -1 is none.
        is_encrypted: as the server sees its end of the connection; None for a file.
    """

    connection_limit: int = -1
    is_encrypted: bool | None = None


class Store(ABC):
    """One kind of database, and the place of one ledger in it.

    Attributes:
        kind: what to call it.
        size: how many connections are held for reading.
        is_server: whether these may be lost.
        clock: the database's own clock, read anew by each statement.
        identity: the type of an id that is given by the database and never used again.
        random: an expression for at least 122 random bits, as 32 hexadecimal digits or more.
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
        """Where the ledger is, for people: no user, no password."""

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine."""
        return True

    @property
    def left_out(self) -> tuple[str, ...]:
        """Parameters of its URL that have no effect."""
        return ()

    def exists(self) -> bool:
        """Whether it may be there: False only if it is known not to be."""
        return True

    def is_absent(self) -> bool:
        """Whether opening it would make it. Raises `LedgerError` where that can't be done."""
        return False

    @property
    def is_open_to_others(self) -> bool:
        """Whether anyone on this machine may read it."""
        return False

    def make(self) -> None:  # noqa: B027  most stores have nothing to do
        """Make what has to be there before a connection."""

    @abstractmethod
    def check(self) -> None:
        """Raise `LedgerError` for what the driver would say less clearly."""

    @abstractmethod
    def reader(self, engine: AsyncEngine) -> AsyncEngine:
        """An engine for transactions that read one snapshot and don't write.

        It may have the writing one's connections.
        """

    @abstractmethod
    async def lock(self, connection: AsyncConnection) -> None:
        """Keep every other process from migrating until the transaction ends."""

    @abstractmethod
    def like(self, column: Column[Any], parts: Glob) -> ColumnElement[bool]:
        """Whether a column matches, as a `grammar.requests.Pattern` does; NULL where it is NULL."""

    @abstractmethod
    async def home(self, connection: AsyncConnection) -> LedgerHome | None:
        """The server, if it is PostgreSQL."""

    async def terms(self, connection: AsyncConnection) -> Terms:
        """On what terms a server lets the ledger in."""
        del connection
        return Terms()

    @abstractmethod
    def problem(self, error: Exception) -> str:
        """What a driver's error means, in words that hold no address, secret or value."""

    def after(self, span: timedelta) -> ColumnElement[datetime]:
        """An instant on the database's clock, this far ahead."""
        return type_coerce(type_coerce(self.clock, BigInteger) + microseconds(span), Instant)
