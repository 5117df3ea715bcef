"""The real process, a real PostgreSQL, and Slack's real protocol on loopback."""

import asyncio
import json
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import pytest

from tests.e2e.warm import Forked, Warm
from tests.integration.conftest import BOT, SCHEMA, SETUP, Sessions, everybody_left
from tests.ports import free_port
from tests.processes import TIED
from tests.servers import ROOT, postgres
from workspace import Person, Workspace
from workspace.blocks import elements
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer
from workspace.state import Message


@dataclass
class Bot:
    """`python -m bot` as a subprocess, configured only by its environment.

    With `warm` it starts faster; see there. The tests of how a process begins do without.
    """

    environment: Mapping[str, str]
    folder: Path
    within: Sequence[str] = ()  # a program that runs the one named after it
    module: str = "bot"
    python: str = sys.executable
    program: Sequence[str] = ()  # an installed one, in place of the checkout's module
    warm: Warm | None = None
    process: asyncio.subprocess.Process | Forked | None = None
    lines: list[str] = field(default_factory=list)
    _reader: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.process = await self._process()
        self._reader = asyncio.create_task(self._read())

    async def run(self, *arguments: str, status: int = 0) -> str:
        """Run another command of the bot in the same folder; return what it prints."""
        process = await self._process(*arguments, all_output=False)
        printed, _ = await process.communicate()
        assert process.returncode == status, printed.decode()
        return printed.decode()

    async def _process(
        self, *arguments: str, all_output: bool = True
    ) -> asyncio.subprocess.Process | Forked:
        environment = {**_inherited(), **self.environment}
        started = self.program or (self.python, "-m", self.module)
        if not self.program:
            environment["PYTHONPATH"] = str(ROOT)
        limit = 2**24  # per line
        if self.warm is not None:
            return await self.warm.start(
                *arguments,
                folder=self.folder,
                environment=environment,
                limit=limit,
                errors=None if all_output else 2,
            )
        return await asyncio.create_subprocess_exec(
            *(*self.within, *TIED, *started, *arguments),
            cwd=self.folder,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT if all_output else None,
            limit=limit,
        )

    async def ready(self) -> None:
        await self.says("bot.ready")

    async def says(self, words: str, *, within: float = PATIENCE, times: int = 1) -> str:
        """Wait for a line of the log, or for several."""
        async with asyncio.timeout(within):
            while True:
                found = [line for line in self.lines if words in line]
                if len(found) >= times:
                    return found[-1]
                if self.process is not None and self.process.returncode is not None:
                    raise AssertionError(f"the bot ended: {self.output}")
                await asyncio.sleep(0.02)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send it a signal and wait for its end; return its exit status."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await self.ended()

    async def ended(self) -> int:
        assert self.process is not None
        assert self._reader is not None
        try:
            async with asyncio.timeout(PATIENCE):
                status = await self.process.wait()
                await self._reader
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
            raise
        return status

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    @property
    def errors(self) -> list[str]:
        """The log's error lines, and anything that isn't a log line."""
        return [
            line
            for line in self.lines
            if not line.startswith("{") or json.loads(line)["level"] in ("error", "critical")
        ]

    async def _read(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(line.decode().rstrip())


def _inherited() -> dict[str, str]:
    """What a process needs from the machine, and nothing that configures a bot."""
    kept = ("PATH", "HOME", "TZ", "LANG", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")
    return {name: os.environ[name] for name in kept if name in os.environ}


@pytest.fixture(scope="session")
async def server() -> AsyncIterator[PostgresServer]:
    """One server for the end-to-end tests, set up for the story."""
    async with postgres(settings={"max_connections": 60, "max_prepared_transactions": 5}) as pg:
        connection = await asyncpg.connect(pg.dsn())
        for statement in filter(str.strip, SETUP.split(";")):
            await connection.execute(statement)
        await connection.close()
        connection = await asyncpg.connect(pg.dsn(database="some_db"))
        await connection.execute(SCHEMA)
        await connection.close()
        yield pg


@pytest.fixture
async def ledger_url(server: PostgresServer) -> AsyncIterator[str]:
    """A LEDGER_URL for bots that share a ledger: a new empty database."""
    name = f"ledger_{secrets.token_hex(4)}"
    connection = await asyncpg.connect(server.dsn())
    await connection.execute(f"create role {name} login")
    await connection.execute(f"create database {name} owner {name}")
    yield server.dsn(user=name, database=name)
    await connection.execute(f"drop database {name} with (force)")
    await connection.execute(f"drop role {name}")
    await connection.close()


MODES = ("socket", "http")
"""How Slack reaches the bot."""

IN_BOTH_MODES = pytest.mark.parametrize(
    "mode", MODES[:1] if "TEST_POSTGRES" in os.environ else MODES
)
"""Parametrizes a test that covers each kind of request. Behind the transport, both modes are the
same, and so is the behaviour of an older PostgreSQL."""


@pytest.fixture
def mode() -> str:
    """The default: the mode that needs no port."""
    return MODES[0]


@pytest.fixture
def port() -> int:
    """The port of a bot in HTTP mode."""
    return free_port()


@pytest.fixture
async def slack(mode: str, port: int) -> AsyncIterator[Workspace]:
    url = f"http://127.0.0.1:{port}/slack/events" if mode == "http" else None
    async with Workspace(request_url=url) as workspace:
        yield workspace


@pytest.fixture
async def sessions(server: PostgresServer) -> AsyncIterator[Sessions]:
    await everybody_left(server)
    opened = Sessions(server)
    async with opened.stack:
        yield opened


@pytest.fixture
def environment(slack: Workspace, server: PostgresServer, mode: str, port: int) -> dict[str, str]:
    """A bot's environment: ben and the group `oncall` may kill, vera may look."""
    way_in = (
        {"SLACK_APP_TOKEN": slack.app_token}
        if mode == "socket"
        else {"SLACK_SIGNING_SECRET": slack.signing_secret, "PORT": str(port)}
    )
    return {
        "SLACK_API_URL": slack.api_url,
        "SLACK_BOT_TOKEN": slack.bot_token,
        **way_in,
        "DATABASE_URL": server.dsn(user=BOT, database="postgres"),
        "PG_KILL_ALLOWLIST": f"{slack.user('ben').id},{slack.group('oncall').id}",
        "PG_SESSIONS_ALLOWLIST": slack.user("vera").id,
    }


def buttons(message: Message) -> list[str]:
    """The labels of a message's buttons."""
    return [each.element["text"]["text"] for each in elements(list(message.blocks))]


Start = Callable[..., "asyncio.Future[Bot]"]


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    with Warm() as process:
        yield process


@pytest.fixture
async def start(
    environment: dict[str, str], tmp_path: Path, slack: Workspace, warm: Warm
) -> AsyncIterator[Callable]:
    """Start a bot with a test's changes to its environment; stopped when the test ends."""
    async with AsyncExitStack() as stack:

        async def start(*, wait: bool = True, module: str = "", **changes: str) -> Bot:
            settings = {**environment, **changes}
            bot = (
                Bot(settings, tmp_path, module=module)
                if module
                else Bot(settings, tmp_path, warm=warm)
            )
            await bot.start()
            stack.push_async_callback(bot.stop)
            if wait:
                await bot.ready()
                if "SLACK_APP_TOKEN" in bot.environment:
                    await slack.connected()
            return bot

        yield start


@pytest.fixture
async def bot(start: Callable) -> Bot:
    return await start()


@pytest.fixture
def ana(slack: Workspace) -> Person:
    return slack.person("ana")


@pytest.fixture
def ben(slack: Workspace) -> Person:
    return slack.person("ben")


@pytest.fixture
def vera(slack: Workspace) -> Person:
    return slack.person("vera")


async def becomes(slack: Workspace, person: Person, message: Message, *words: str) -> Message:
    """Wait until exactly that message shows these words."""

    def now() -> Message | None:
        found = slack.state.message(message.channel, message.ts)
        drawn = "" if found is None else person.text_of(found)
        return found if all(word in drawn for word in words) else None

    await slack.state.log.until(lambda: now() is not None, PATIENCE)
    changed = now()
    assert changed is not None, person.screen(message.channel)
    return changed
