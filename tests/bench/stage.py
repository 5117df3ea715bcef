"""What the rows are measured on: a PostgreSQL with sessions, a Slack, a bot and a bare app."""

import asyncio
import itertools
import json
import os
import resource
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import asyncpg

from bot import driver
from bot.domain.kills import Actor
from bot.grammar.parser import read_sessions
from bot.grammar.requests import SessionsRequest
from bot.ledger.sql import SqlLedger
from bot.operations import Operations, Rules
from bot.postgres.cluster import PostgresCluster
from bot.service.clock import SystemClock
from tests.bench.slack import CHANNEL, PEOPLE, QuickSlack, Taken, fixed
from tests.e2e.conftest import Bot
from tests.integration.conftest import BOT, SETUP
from tests.raw import Raw
from tests.rights import EVERYWHERE
from tests.servers import ROOT, postgres
from workspace.postgres import PostgresServer

APART = 1.1
"""Seconds between two rounds of the same question: an answer may be shared for one."""

DO_NOTHING, WAIT, HOLD = b"", b"select pg_sleep(86400)", b"begin; select 1"
WORK = (DO_NOTHING, DO_NOTHING, DO_NOTHING, HOLD, WAIT)
"""What sessions are at, in turn: most of a pool is idle."""

RUN_ONLY = ROOT / ".venv-run/bin/python"
PYTHON = str(RUN_ONLY) if RUN_ONLY.exists() else sys.executable
"""With the bot's own packages and no others: some import what they find, such as rich."""

MOST_CONNECTIONS = 1700

DISK = Path("/var/tmp")  #  on a disk, as a ledger is; /tmp may be in memory


@dataclass
class Stage:
    """All the parts, running."""

    pg: PostgresServer
    slack: QuickSlack
    folder: Path
    admin: asyncpg.Connection
    http: aiohttp.ClientSession
    sessions: list[Raw] = field(default_factory=list)

    async def crowd(self, size: int) -> None:
        """Have so many sessions in some_db, no more and no fewer."""
        while len(self.sessions) > size:
            one = self.sessions.pop()
            one.close()
            await one.closed()
        while len(self.sessions) < size:
            wanted = range(len(self.sessions), min(len(self.sessions) + 20, size))
            more = await asyncio.gather(*(self.opened(b"crowd") for _ in wanted))
            for number, session in zip(wanted, more, strict=True):
                if work := WORK[number % len(WORK)]:
                    session.say(work)
            self.sessions += more
        query = "select count(*) from pg_stat_activity where application_name = 'crowd'"
        while await self.admin.fetchval(query) != size:
            await asyncio.sleep(0.05)

    async def opened(self, app: bytes) -> Raw:
        """A session of the role that batch jobs have."""
        return await Raw.open(self.pg, b"batch", b"some_db", app)

    # The two programs

    @property
    def environment(self) -> dict[str, str]:
        """Of the bot: the group of those on call may kill, and so look."""
        return {
            **self.slack.env,
            "DATABASE_URL": self.pg.dsn(user=BOT, database="postgres"),
            "PG_KILL_ALLOWLIST": self.slack.group("oncall").id,
            "PG_SESSIONS_ALLOWLIST": self.slack.user("vera").id,
        }

    def new_bot(self, clusters: int = 1, **settings: str) -> Bot:
        """The bot, not yet started; its clusters are further names of one server."""
        url = self.environment["DATABASE_URL"]
        more = {f"DATABASE_URL_C{number:03}": url for number in range(1, clusters)}
        return Bot({**self.environment, **more, **settings}, self.folder, python=PYTHON)

    def new_bare(self) -> Bot:
        """The bare Bolt app, not yet started."""
        path = self.folder / "message.json"
        environment = {**self.slack.env, "MESSAGE": str(path)}
        return Bot(environment, self.folder, module="tests.bench.bare", python=PYTHON)

    @asynccontextmanager
    async def running(self, program: Bot) -> AsyncIterator[int]:
        """Run a program from its start to its end; its process id."""
        await program.start()
        try:
            await self.slack.connected()
            if program.module == "bot":
                await program.ready()
            assert program.process is not None
            yield program.process.pid
        finally:
            await program.stop()
            await self.disconnected()

    async def disconnected(self) -> None:
        """Wait until nobody holds a socket."""
        sockets = self.slack.server.sockets
        await self.slack.state.log.until(lambda: len(sockets) == 0, 60.0)

    # One look, and its parts

    async def look(self, text: str = "/pg-sessions some_db") -> tuple[float, Taken]:
        """Seconds from a command to its answer, and the answer."""
        envelope, before = self.slack.command(text), len(self.slack.taken)
        (sent, _), taken = await asyncio.gather(
            self.slack.send(envelope), self.slack.takes(before + 1)
        )
        return taken[before].at - sent, taken[before]

    async def at_once(self, count: int) -> tuple[float, list[float], list[Taken]]:
        """So many looks at once.

        Returns how long until all were answered, how long each waited to be acknowledged, and the
        answers.
        """
        people = itertools.cycle(PEOPLE)
        every = [self.slack.command("/pg-sessions some_db", next(people)) for _ in range(count)]
        before = len(self.slack.taken)
        began = time.perf_counter()
        sent = await asyncio.gather(*map(self.slack.send, every))
        taken = (await self.slack.takes(before + count))[before:]
        return taken[-1].at - began, [acked - at for at, acked in sent], taken

    async def keep_message(self, taken: Taken) -> None:
        """Have the bare app post this, whoever's it was."""
        (self.folder / "message.json").write_text(json.dumps(fixed(taken)))

    async def post(self, taken: Taken) -> float:
        """POST the same bytes again, on a connection that is kept; when they had come."""
        before = len(self.slack.taken)
        headers = {
            "Content-Type": "application/json;charset=utf-8",
            "Authorization": f"Bearer {self.slack.bot_token}",
        }
        url = f"{self.slack.api_url}chat.postMessage"
        async with self.http.post(url, data=taken.body, headers=headers) as response:
            await response.read()
        return self.slack.taken[before].at

    async def reads_of_a_look(self, text: str = "some_db") -> list[tuple[str, tuple[Any, ...]]]:
        """What the bot asks the server for one more look at what it has looked at just before."""
        reads: list[tuple[str, tuple[Any, ...]]] = []
        connect = driver.connect

        async def connected(*args: Any, **options: Any) -> Any:
            connection = await connect(*args, **options)
            for name in ("fetch", "fetchrow", "fetchval"):
                setattr(connection, name, recorded(getattr(connection, name)))
            return connection

        def recorded(fetch: Callable[..., Any]) -> Callable[..., Any]:
            def asked(query: str, *parameters: Any) -> Any:
                reads.append((query, parameters))
                return fetch(query, *parameters)

            return asked

        driver.connect = connected
        cluster = PostgresCluster("main", self.pg.dsn(user=BOT, database="postgres"), "127.0.0.1")
        ledger = SqlLedger(f"sqlite:///{self.folder / 'reads.db'}")
        try:
            await ledger.open()
            await cluster.open()
            operations = Operations(
                {"main": cluster},
                ledger,
                SystemClock(),
                rules=Rules(),
                owner="bench",
                reach=EVERYWHERE,
            )
            request = read_sessions(text)
            assert isinstance(request, SessionsRequest)
            await operations.look(Actor("U0ANA", "T0ACME"), CHANNEL, request)
            await asyncio.sleep(APART)
            reads.clear()
            await operations.look(Actor("U0ANA", "T0ACME"), CHANNEL, request)
            found = list(reads)
            await operations.settle()
            return found
        finally:
            driver.connect = connect
            await cluster.close()
            await ledger.close()

    async def bot_backends(self) -> list[int]:
        """The pids of the bot's own sessions."""
        query = "select pid from pg_stat_activity where usename = $1 order by pid"
        return [row["pid"] for row in await self.admin.fetch(query, BOT)]

    async def nobody(self, role: str) -> None:
        """Wait until the server has ended the sessions of a role."""
        query = "select exists (select from pg_stat_activity where usename = $1)"
        while await self.admin.fetchval(query, role):
            await asyncio.sleep(0.1)

    async def statements_of_the_bot(self, like: str = "%") -> int:
        """How often the server was asked something by the bot's role since it was last reset."""
        query = (
            "select coalesce(sum(calls), 0)::int from pg_stat_statements as s"
            " join pg_roles as r on r.oid = s.userid where r.rolname = $1 and s.query like $2"
        )
        return int(await self.admin.fetchval(query, BOT, like))


class Record:
    """The least that a durable record takes: one row in a file of SQLite, safe from a crash."""

    def __init__(self, folder: Path) -> None:
        self._file = sqlite3.connect(folder / "floor.db", isolation_level=None)
        self._file.execute("pragma synchronous = extra")
        self._file.execute("create table if not exists kills (key text primary key, intent text)")
        self._written = 0

    def write(self) -> None:
        """Write about as much as a kill of one session does."""
        self._written += 1
        row = (f"{id(self)}-{self._written}", 1000 * "x")
        self._file.execute("insert into kills values (?, ?)", row)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    """Everything but the bot and the bare app, which start and end with their rows."""
    _take_files()
    settings: dict[str, str | int] = {
        "max_connections": MOST_CONNECTIONS,
        "shared_preload_libraries": "pg_stat_statements",
        "client_connection_check_interval": "1s",
        "shared_buffers": "128MB",
    }
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(dir=DISK, prefix="pg-bench-")))
        pg = await stack.enter_async_context(postgres(settings=settings))
        slack = await stack.enter_async_context(QuickSlack())
        http = await stack.enter_async_context(aiohttp.ClientSession())
        admin = await asyncpg.connect(pg.dsn())
        stack.callback(admin.terminate)
        for statement in filter(str.strip, SETUP.split(";")):
            await admin.execute(statement)
        await admin.execute(
            "alter role batch connection limit -1; create extension pg_stat_statements"
        )
        made = Stage(pg, slack, folder, admin, http)
        try:
            yield made
        finally:
            for session in made.sessions:
                session.close()


def _take_files() -> None:
    """As many open files as the machine gives."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def cpu(*pids: int) -> float:
    """Seconds that the threads of these processes were on a processor, to the nanosecond."""
    return sum(int(path.read_text().split()[0]) for pid in pids for path in _threads(pid)) / 1e9


def _threads(pid: int) -> Iterator[Path]:
    return Path(f"/proc/{pid}/task").glob("*/schedstat")


def memory(pid: int) -> float:
    """MB of memory that a process has resident."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
