"""Who takes part, what they do, and what can be seen of it."""

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bot.domain.kills import Action, Actor, Basis, Outcome, Result
from bot.domain.sessions import BackendId, Cost
from bot.domain.signals import Verdict
from tests.integration.machine.processes import Work
from tests.integration.machine.victims import (
    Holds,
    Maybe,
    Message,
    Session,
    Span,
    Transaction,
    Victim,
)

Kind = Literal["sqlite", "postgresql"]
"""Where the ledger is."""

SUPERUSER, BOT, KEEPER = "postgres", "sessions_bot", "ledger_keeper"
ROLES = ("web", "batch", "web", "batch", "web", "vip", SUPERUSER, BOT, KEEPER)
APPS = ("psql", "etl", "psql", "etl", "backup of the night")

HOME = "T0ACME"
HERE, ELSEWHERE = "C0INCIDENTS", "C0RANDOM"
ANA, BEN, VERA, SAM = (Actor(f"U0{name}", HOME) for name in ("ANA", "BEN", "VERA", "SAM"))
OLGA = Actor("U0OLGA", "T0GLOBEX")
CORA, IDA = (Actor(f"U0{name}", HOME) for name in ("CORA", "IDA"))
"""Cora may only cancel. Ida may kill, but on another cluster than the one there is."""

PEOPLE = (*(9 * (ANA, BEN)), VERA, SAM, OLGA, CORA, CORA, IDA, IDA)
ASKERS = (*(6 * (ANA, BEN)), SAM, CORA, IDA)


@dataclass(frozen=True)
class Frozen:
    """A target as it was shown. Without a victim: a session that was there before."""

    victim: Victim | None
    transaction: Transaction | None = None
    message: Message | None = None
    cost: Cost | None = None  # None: unknown


@dataclass(eq=False)
class Shown:
    """A preview as people saw it, and what became of it."""

    id: int
    key: str
    asked_by: Actor
    channel: str
    basis: Basis
    holds: Holds
    cutoff: Span
    expires: Span
    targets: dict[BackendId, Frozen]
    action: Action = Action.TERMINATE  # one to cancel offers nothing else
    of_this_server: bool = True
    dismissed: bool = False
    claimed_by: "Doing | None" = None
    claimed_at: float = 0.0
    lease: Span = (0.0, 0.0)
    owner: str = ""
    said: tuple[Result, ...] | None = None
    amended: bool = False

    @property
    def is_open(self) -> bool:
        """Whether a click can have an effect, apart from expiry."""
        return self.claimed_by is None and not self.dismissed


@dataclass(eq=False)
class Shot:
    """A signalling statement on its way to a pid; `right` if it should signal it."""

    doing: "Doing"
    action: Action  # of its step
    victim: Victim | None
    right: Maybe
    becomes: frozenset[Outcome]
    message: Message | None = None
    verdict: Verdict | None = None
    moving: bool = False  # earlier signals have set others going

    @property
    def ends_it(self) -> bool:
        """Whether it ends the session, not only its query."""
        return self.action is not Action.CANCEL

    @property
    def explains(self) -> bool:
        """Whether it can explain what happened to its victim."""
        return self.right is not False and self.verdict in (None, Verdict.SIGNALLED)


@dataclass(eq=False)
class Doing(Work):
    """What a person or a process does, with what the judge sees of it."""

    name: str = ""
    actor: Actor | None = None
    channel: str = HERE
    action: Action = Action.TERMINATE
    shown: Shown | None = None
    allowed: bool = True
    background: bool = False
    judged: bool = False
    stray: bool = False  # at another bot than the preview's, with its own ledger
    should: str = ""  # the expected answer, if nothing happens to it
    holds: Holds | None = None  # the condition of a preview's targets
    basis: Basis = Basis.FILTER
    cutoff: Span | None = None  # given by an earlier preview
    names_read: Span = (0.0, 0.0)
    kept: Span = (0.0, 0.0)
    seen: dict[Victim, tuple[Frozen, Maybe]] = field(default_factory=dict)
    shots: dict[BackendId, Shot] = field(default_factory=dict)
    seconds: dict[BackendId, Shot] = field(default_factory=dict)  # of the second step
    looked_at: float = 0.0
    taken: set[int] = field(default_factory=set)  # kills that it took over


class Eyes:
    """A superuser's connection, used by one caller at a time."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = asyncio.Lock()

    async def fetch(self, statement: str, *values: object) -> list[Any]:
        async with self._lock:
            return await self._session.fetch(statement, *values)


class Record:
    """The ledger, read directly from its database."""

    def __init__(self, ledger: Path | Eyes) -> None:
        self._ledger = ledger

    async def rows(self, statement: str, *values: int) -> list[dict[str, Any]]:
        """The rows of a statement with parameters `$1`, …"""
        ledger = self._ledger
        if not isinstance(ledger, Path):
            return [dict(row) for row in await ledger.fetch(statement, *values)]

        def read() -> list[dict[str, Any]]:
            with closing(sqlite3.connect(ledger, timeout=10, isolation_level=None)) as connection:
                connection.row_factory = sqlite3.Row
                found = connection.execute(statement.replace("$", "?"), values)
                return [dict(row) for row in found]

        # Whoever holds the file's lock may need the event loop to release it.
        return await asyncio.to_thread(read)

    async def kill(self, kill_id: int) -> dict[str, Any]:
        """A kill's own row."""
        (row,) = await self.rows("select * from kills where id = $1", kill_id)
        return row
