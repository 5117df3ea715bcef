"""Sessions that get into each other's way, and what is wrong because of them.

None of this reads what the bot reads: who is in whose way is known because it was brought about.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import asyncpg

from bot.domain.findings.model import PATIENCE as PATIENT
from bot.domain.findings.model import Rule
from tests.integration.day.clock import DayClock
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer

Named = tuple[Rule, str]
"""A problem: the rule that finds it, and the role or the pid that it is about."""

LIMITED, DATABASE, APP = "some_user", "some_db", "a day"
ROWS, TABLES = 4, 2

SCHEMA = f"""
    create table if not exists day (id int primary key, n int not null);
    insert into day select n, 0 from generate_series(1, {ROWS}) as n on conflict do nothing;
    create table if not exists day_1 (id int);
    create table if not exists day_2 (id int);
    grant all on day, day_1, day_2 to public;
    alter table day_1 owner to web;
    alter table day_2 owner to web;
"""

WAITS = """
    select exists (
        select from pg_locks
        where pid = $1 and not granted and waitstart is not null and locktype = any($2)
    )
"""
THERE = "select exists (select from pg_stat_activity where pid = any($1) and application_name = $2)"


@dataclass(eq=False)
class Session:
    """One connection; `since` is when it became idle, or began to wait, on the day's clock."""

    connection: asyncpg.Connection
    since: float
    running: asyncio.Task[str] | None = None
    pid: int = field(init=False)

    def __post_init__(self) -> None:
        self.pid = self.connection.get_server_pid()


@dataclass(eq=False)
class Held:
    """A row or table that a session holds in an idle transaction, and who waits for it.

    `waiters` are in the order of the queue. For a table, the first of them is a migration.
    """

    what: str
    holder: Session
    waiters: list[Session] = field(default_factory=list)

    @property
    def is_table(self) -> bool:
        return not self.what.isdigit()


@dataclass(frozen=True)
class Wrong:
    """A problem: how many are affected, and since when at the least.

    What another problem includes isn't told, unless it was told before.
    """

    hurt: int
    since: float
    is_included: bool = False


class Cast:
    """Everyone who is there."""

    def __init__(self, pg: PostgresServer, admin: asyncpg.Connection, clock: DayClock) -> None:
        self._pg, self._admin, self._clock = pg, admin, clock
        self.limited: Session | None = None
        self.held: list[Held] = []
        self.changed = True  # since this was last set to False
        self._pids: set[int] = set()  # of all sessions so far

    # --- what is wrong

    def wrong(self) -> Mapping[Named, Wrong]:
        """What is wrong by now."""
        now = self._clock.seconds
        found: dict[Named, Wrong] = {}
        if self.limited is not None:
            found[Rule.LIMIT, LIMITED] = Wrong(1, self.limited.since)
        for held in self.held:
            holder, waiters = held.holder, held.waiters
            if held.is_table and len(waiters) > 1:
                behind = waiters[1:]
                since = min(each.since for each in behind)
                found[Rule.DDL_QUEUE, str(waiters[0].pid)] = Wrong(len(behind), since)
            if waiters:
                since = min(each.since for each in waiters)
                is_included = held.is_table and len(waiters) > 1
                found[Rule.BLOCKER, str(holder.pid)] = Wrong(len(waiters), since, is_included)
            elif now - holder.since >= PATIENT.idle.total_seconds():
                found[Rule.IDLE_IN_TRANSACTION, str(holder.pid)] = Wrong(0, holder.since)
        return found

    # --- what they do; each returns whether it could be done

    async def fills_up(self) -> bool:
        """The one connection of a role is taken."""
        if self.limited is not None:
            return False
        self.limited = await self._open(LIMITED)
        return True

    async def frees(self) -> bool:
        if self.limited is None:
            return False
        session, self.limited = self.limited, None
        await self._leave(session)
        return True

    async def holds(self, number: int, *, table: bool) -> bool:
        """Somebody begins a transaction, and goes away."""
        every = [f"day_{n + 1}" for n in range(TABLES)] if table else map(str, range(1, ROWS + 1))
        free = [each for each in every if each not in {held.what for held in self.held}]
        if not free:
            return False
        what = free[number % len(free)]
        session = await self._open()
        doing = f"select from {what}" if table else f"update day set n = n where id = {what}"
        await session.connection.execute(f"begin; {doing}")
        self.held.append(Held(what, session))
        return True

    async def waits(self, number: int) -> bool:
        """Somebody comes to wait for a row, or behind the migration of a table."""
        if not self.held:
            return False
        held = self.held[number % len(self.held)]
        if len(held.waiters) > 4:
            return False
        if not held.is_table:
            statement = f"update day set n = n + 1 where id = {held.what}"
        elif held.waiters:
            statement = f"select from {held.what}"
        else:
            statement = f"alter table {held.what} add column if not exists later int"
        session = await self._open()
        session.running = asyncio.ensure_future(session.connection.execute(statement))
        held.waiters.append(session)
        await self._until_it_waits(session)
        return True

    async def gives_up(self, number: int) -> bool:
        """One of those who wait goes away."""
        held = [each for each in self.held if each.waiters]
        if not held:
            return False
        chosen = held[number % len(held)]
        await self._gives_up(chosen, number // len(held) % len(chosen.waiters))
        return True

    async def _gives_up(self, held: Held, at: int) -> None:
        session = held.waiters.pop(at)
        await self._leave(session)
        if held.is_table and at == 0:  # the migration: those behind it go on
            await self._go_on(held.waiters)
            held.waiters.clear()
        elif at == 0 and held.waiters:  # the next one waits for the transaction instead
            held.waiters[0].since = self._clock.seconds
            await self._until_it_waits(held.waiters[0], "transactionid")

    async def lets_go(self, number: int) -> bool:
        """A transaction ends, and those behind it go on."""
        if not self.held:
            return False
        held = self.held.pop(number % len(self.held))
        await held.holder.connection.execute("rollback")
        await self._leave(held.holder)
        await self._go_on(held.waiters)
        return True

    async def everyone_leaves(self) -> None:
        while await self.lets_go(0) or await self.frees():
            pass

    async def was_ended(self, pid: int) -> None:
        """The bot has ended this session, or cancelled its query."""
        self.changed = True
        if self.limited is not None and self.limited.pid == pid:
            session, self.limited = self.limited, None
            await self._leave(session)
            return
        for held in self.held:
            if held.holder.pid == pid:
                self.held.remove(held)
                await self._leave(held.holder)
                await self._go_on(held.waiters)
                return
            for at, waiter in enumerate(held.waiters):
                if waiter.pid == pid:
                    await self._gives_up(held, at)
                    return
        raise AssertionError(f"pid {pid} is none of these")

    # --- how

    async def _open(self, user: str = "web") -> Session:
        self.changed = True
        dsn, named = self._pg.dsn(user=user, database=DATABASE), {"application_name": APP}
        while True:
            connection = await asyncpg.connect(dsn, server_settings=named)
            session = Session(connection, self._clock.seconds)
            if session.pid not in self._pids:
                self._pids.add(session.pid)
                return session
            # Minutes of the day are moments, in which a pid of an ended session may come again.
            await connection.close()

    async def _until_it_waits(self, session: Session, *types: str) -> None:
        wanted = types or ("transactionid", "tuple", "relation")
        async with asyncio.timeout(PATIENCE):
            while not await self._admin.fetchval(WAITS, session.pid, wanted):
                assert session.running is not None
                assert not session.running.done(), session.running
                await asyncio.sleep(0.002)

    async def _go_on(self, sessions: list[Session]) -> None:
        """Those who waited do what they came for, and leave."""
        for session in sessions:
            assert session.running is not None
            async with asyncio.timeout(PATIENCE):
                await session.running
        await self._leave(*sessions)

    async def _leave(self, *sessions: Session) -> None:
        self.changed = True
        if not sessions:
            return
        pids = [session.pid for session in sessions]
        for session in sessions:
            session.connection.terminate()
        await self._admin.execute(
            "select pg_terminate_backend(pid) from unnest($1::int[]) as pid", pids
        )
        async with asyncio.timeout(PATIENCE):
            while await self._admin.fetchval(THERE, pids, APP):
                await asyncio.sleep(0.002)
        for session in sessions:
            if session.running is not None:
                with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                    await session.running
