"""Sessions that do what the machine says, and what the machine knows about them.

None of this reads what the bot reads: the machine knows a session's transaction because it began
it. If it can't know (a lock has just become free), it says None.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any, Protocol, TypeAlias

import asyncpg

from bot.domain.sessions import Cost
from bot.grammar.requests import KillRequest, Target
from bot.grammar.terms import Aged, AgeOf, Field, Match, Pattern, Term, Word
from workspace.people import PATIENCE

Session: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class Asks(Protocol):
    """Whoever can ask PostgreSQL: here, a superuser."""

    async def fetch(self, statement: str, *values: object) -> list[Any]: ...


Span = tuple[float, float]
"""Two readings of the clock between which something happened."""

Maybe = bool | None

ROWS = 4

DEAF = """
    do $$ begin loop
        begin perform pg_sleep(600); exception when query_canceled then end;
        exit when pg_try_advisory_xact_lock({});
    end loop; end $$
"""

_LOCKS = count(2**40)
"""The numbers of the locks that keep such queries deaf: no session has another's."""

LOST = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError)


@dataclass(eq=False)
class Transaction:
    """One transaction; `explicit` if it outlives its message."""

    began: Span
    explicit: bool = True
    writes: bool = False  # besides the rows that its session has written


@dataclass(eq=False)
class Message:
    """A message under way: its one query, by `query_start`.

    A `deaf` one heeds no cancel, as long as the lock with that number is held.
    """

    sent: float
    done: "asyncio.Task[str]"
    wants: int | None = None  # the row that it waits for
    given_up: bool = False  # by its own client
    deaf: int | None = None


@dataclass(eq=False)
class Victim:
    """One session. `gone` is what the bot did, `left` what the session did itself."""

    connection: Session
    pid: int
    backend_start: datetime
    usename: str
    app: str
    changed: Span
    transaction: Transaction | None = None
    message: Message | None = None
    aborted: bool = False
    was: str | None = None  # its application_name before its transaction
    rows: set[int] = field(default_factory=set)
    left: bool = False
    gone: bool = False
    stopped: bool = False
    cancelled: list[Message] = field(default_factory=list)
    gates: list[int] = field(default_factory=list)  # locks that its message still has to get

    @property
    def there(self) -> bool:
        """Whether it exists, as far as the machine knows."""
        return not (self.left or self.gone)

    @property
    def free(self) -> bool:
        """Whether it can be told to do something."""
        return self.there and not self.stopped and self.message is None

    @property
    def goes_on(self) -> bool:
        """Whether its message of two transactions can be told to continue."""
        return self.there and not self.stopped and bool(self.gates)

    @property
    def is_deaf(self) -> bool:
        """Whether it runs a query that heeds no cancel."""
        return self.there and self.message is not None and self.message.deaf is not None

    @property
    def waits(self) -> bool:
        """Whether its client could cancel its only query."""
        busy = self.message is not None and not self.gates and not self.is_deaf
        return self.there and not self.stopped and busy

    @property
    def state(self) -> str:
        """Its `state`, if nothing moves."""
        if self.message is not None:
            return "active"
        if self.aborted:
            return "idle in transaction (aborted)"
        return "idle" if self.transaction is None else "idle in transaction"

    def cost(self, *, still: bool) -> Cost | None:
        """What ending it would undo; None if it moves by itself, so that nobody can know."""
        if self.message is not None and not still:
            return None
        wants = self.message is not None and self.message.wants is not None
        if self.rows or wants or (self.transaction is not None and self.transaction.writes):
            return Cost.WRITTEN
        return Cost.OPEN if self.transaction or self.message else Cost.NOTHING

    async def say(self, *statements: str) -> Span:
        """Send one message and wait for its end."""
        sent = time.time()
        with suppress(*LOST):  # it may be about to end; another check decides whether it should
            await self.connection.execute("; ".join(statements))
        self.changed = (sent, time.time())
        return self.changed

    async def begin(self) -> None:
        """Be in a transaction that isn't aborted."""
        if self.aborted:
            await self.end(rollback=True)
        if self.transaction is None:
            self.transaction = Transaction(await self.say("begin", "select 1"))
        else:
            await self.say("select 1")

    async def end(self, *, rollback: bool = False, begin: bool = False) -> None:
        """End its transaction; with `begin` the same message begins another one."""
        statements = ["rollback" if rollback else "commit"]
        if begin:
            statements += ["begin", "select 1"]
        span = await self.say(*statements)
        if rollback or self.aborted:
            self._rolled_back()
        self.aborted, self.was = False, None
        self.rows.clear()
        self.transaction = Transaction(span) if begin else None

    def send(self, *statements: str, wants: int | None = None) -> Message:
        """Send one message, and don't wait."""
        work = asyncio.ensure_future(self.connection.execute("; ".join(statements)))
        self.message = Message(time.time(), work, wants)
        return self.message

    def write(self, row: int) -> None:
        """Write a row, or wait for a session that has written it before."""
        self.send(f"update accounts set balance = balance + 1 where id = {row}", wants=row)

    async def run(self, eyes: Asks) -> None:
        """Begin a long query, in the current transaction or in its own."""
        await self._long(self.send("select pg_sleep(600)"), eyes)

    async def run_deaf(self, holder: Session, eyes: Asks) -> None:
        """Begin a query that goes on after a cancel."""
        number = next(_LOCKS)
        await holder.execute(f"select pg_advisory_lock({number})")
        message = self.send(DEAF.format(number))
        message.deaf = number
        await self._long(message, eyes)

    async def hear(self, holder: Session, eyes: Asks) -> None:
        """Let such a query end."""
        assert self.message is not None
        await holder.execute(f"select pg_advisory_unlock({self.message.deaf})")
        await eyes.fetch("select pg_cancel_backend($1)", self.pid)
        await asyncio.wait({self.message.done}, timeout=PATIENCE)
        await settled([self], eyes)

    async def _long(self, message: Message, eyes: Asks) -> None:
        await settled([self], eyes)
        if self.message is not None and self.transaction is None:
            self.transaction = Transaction((message.sent, time.time()), explicit=False)

    async def send_another(self, eyes: Asks) -> None:
        """Its client cancels the running query and sends another one."""
        assert self.message is not None
        self.message.given_up = True
        await eyes.fetch("select pg_cancel_backend($1)", self.pid)
        await asyncio.wait({self.message.done}, timeout=PATIENCE)
        await settled([self], eyes)
        if self.aborted:
            await self.end(rollback=True)
        await self.run(eyes)

    async def send_two_transactions(self, holder: Session, eyes: Asks, *, writes: bool) -> None:
        """One message that begins, commits and begins again; it waits in either transaction.

        PostgreSQL gives both the same `xact_start`: that of the message.
        """
        self.gates = [10 * self.pid, 10 * self.pid + 1]
        for gate in self.gates:
            await holder.execute(f"select pg_advisory_lock({gate})")
        work = "select pg_current_xact_id()" if writes else "select 1"
        one, other = (f"begin; {work}; select pg_advisory_xact_lock({gate})" for gate in self.gates)
        message = self.send(one, "commit", other)
        await settled([self], eyes)
        if self.message is not None:
            self.transaction = Transaction((message.sent, time.time()), writes=writes)

    async def rename(self, app: str) -> None:
        """Change its application_name, as any client may; a rollback undoes that."""
        await self.say(f"set application_name = '{app}'")
        if self.transaction is not None and self.was is None:
            self.was = self.app
        self.app = app

    def _rolled_back(self) -> None:
        self.app, self.was = self.was or self.app, None

    async def pass_gate(self, holder: Session) -> None:
        """Let such a message go on to its next transaction or its end."""
        gate = self.gates.pop(0)
        assert self.transaction is not None
        if self.gates:
            self.transaction = Transaction(self.transaction.began, writes=self.transaction.writes)
        await holder.execute(f"select pg_advisory_unlock({gate})")

    def finish(self) -> None:
        """Note how its message ended."""
        message = self.message
        assert message is not None
        self.message = None
        self.gates.clear()
        self.changed = (message.sent, time.time())
        error = message.done.exception()
        if error is None:
            if message.wants is not None:
                self.rows.add(message.wants)
        else:
            if isinstance(error, asyncpg.QueryCanceledError) and not message.given_up:
                self.cancelled.append(message)
            self.aborted = self.transaction is not None and self.transaction.explicit
            self.transaction = None
            self._rolled_back()
            self.rows.clear()
        if self.transaction is not None and not self.transaction.explicit:
            self.transaction = None


@dataclass(frozen=True)
class Moment:
    """The state of the sessions when they are judged; `still` if nothing moves by itself."""

    still: bool
    blocked: frozenset[int]
    blocking: frozenset[int]


Holds = Callable[[Victim, Span, Moment], Maybe]
"""Whether a session matches, by ages that count from an instant within a span."""


def _all(conditions: tuple[Holds, ...]) -> Holds:
    def holds(victim: Victim, cutoff: Span, moment: Moment) -> Maybe:
        answers = [one(victim, cutoff, moment) for one in conditions]
        if False in answers:
            return False
        return None if None in answers else True

    return holds


def _earlier(one: Span, other: Span) -> Maybe:
    if one[1] < other[0]:
        return True
    return False if one[0] > other[1] else None


def _role(name: str) -> tuple[Term, Holds]:
    return (
        Match(Field.USENAME, Pattern((name,))),
        lambda victim, cutoff, moment: victim.usename == name,
    )


def _not_role(name: str) -> tuple[Term, Holds]:
    return (
        Match(Field.USENAME, Pattern((name,)), negated=True),
        lambda victim, cutoff, moment: victim.usename != name,
    )


def _app(name: str) -> tuple[Term, Holds]:
    return (
        Match(Field.APPLICATION_NAME, Pattern((name,))),
        lambda victim, cutoff, moment: victim.app == name,
    )


def _state(name: str) -> tuple[Term, Holds]:
    def holds(victim: Victim, _: Span, moment: Moment) -> Maybe:
        if victim.message is not None and not moment.still:
            return None
        return victim.state == name

    return Match(Field.STATE, Pattern((name,))), holds


def _word(word: Word) -> tuple[Term, Holds]:
    def holds(victim: Victim, _: Span, moment: Moment) -> Maybe:
        if not moment.still:
            return None
        return victim.pid in (moment.blocked if word is Word.BLOCKED else moment.blocking)

    return word, holds


def _xact(*, older: bool) -> tuple[Term, Holds]:
    """In a transaction that had begun before the preview, or within the last hour."""

    def holds(victim: Victim, cutoff: Span, _: Moment) -> Maybe:
        if victim.transaction is None:
            return False
        return _earlier(victim.transaction.began, cutoff) if older else True

    return Aged(AgeOf.XACT, 0 if older else 3600, older), holds


def _idle() -> tuple[Term, Holds]:
    """Idle since before the preview."""

    def holds(victim: Victim, cutoff: Span, moment: Moment) -> Maybe:
        if victim.message is not None:
            return False if moment.still else None
        return _earlier(victim.changed, cutoff)

    return Aged(AgeOf.IDLE, 0), holds


def _ask(*parts: tuple[Term, Holds], all_of: str | None = None) -> tuple[KillRequest, Holds]:
    terms = tuple(term for term, _ in parts)
    request = KillRequest(Target(database=all_of), terms=terms, all=all_of is not None)
    return request, _all(tuple(holds for _, holds in parts))


ASKS: dict[str, tuple[KillRequest, Holds]] = {
    str(request): (request, holds)
    for request, holds in (
        _ask(_role("web")),
        _ask(_app("etl")),
        _ask(_xact(older=True)),
        _ask(_role("web"), _xact(older=True)),
        _ask(_role("batch"), _xact(older=True)),
        _ask(_state("idle in transaction")),
        _ask(_xact(older=False), _not_role("web")),
        _ask(_idle(), _app("psql")),
        _ask(_word(Word.BLOCKED)),
        _ask(_word(Word.BLOCKING)),
        _ask(_state("active")),
        _ask(all_of="some_db"),
    )
}
"""What people ask for, and whom they mean by it."""


async def settled(victims: list[Victim], eyes: Asks) -> None:
    """Return when every message has ended or is blocked, and note those that ended."""
    async with asyncio.timeout(PATIENCE):
        while moving := [v for v in victims if v.message is not None and not v.stopped]:
            standing = await _standing(eyes, moving)
            for victim in moving:
                message = victim.message
                assert message is not None
                if message.done.done():
                    victim.finish()
            if all(v.message is None or v.pid in standing for v in moving):
                return
            await asyncio.sleep(0.002)


async def _standing(eyes: Asks, victims: list[Victim]) -> set[int]:
    """The pids that sleep, or wait for a lock that another session holds."""
    rows = await eyes.fetch(
        """
        select pid from pg_stat_activity
        where pid = any($1::int[]) and state = 'active' and (
            wait_event = 'PgSleep' or (wait_event_type = 'Lock' and pg_blocking_pids(pid) <> '{}')
        )
        """,
        [victim.pid for victim in victims],
    )
    return {row["pid"] for row in rows}


async def moment(eyes: Asks, *, still: bool) -> Moment:
    """Who waits for whom, as a superuser sees it."""
    rows = await eyes.fetch(
        """
        select pid, pg_blocking_pids(pid) as blockers
        from pg_stat_activity where wait_event_type = 'Lock'
        """
    )
    return Moment(
        still,
        frozenset(row["pid"] for row in rows if row["blockers"]),
        frozenset(pid for row in rows for pid in row["blockers"]),
    )
