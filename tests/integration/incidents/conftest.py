"""Incidents on a real PostgreSQL: a test causes one and asks the bot why."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import asyncpg
import pytest

from bot.domain.findings.model import AT_ONCE, PATIENCE, Finding, Patience, Run
from bot.domain.kills import Action
from bot.grammar.parser import parse_sessions
from bot.grammar.requests import WhyRequest
from bot.operations import Operations
from bot.operations.results import Why
from bot.postgres.cluster import PostgresCluster
from bot.slack.views import why as why_view
from bot.slack.views.message import Message
from tests.integration.conftest import BOT, Bench, Sessions
from tests.integration.kills import ANA, CHANNEL
from tests.unit.reading import lines, pressable, problems
from workspace.people import PATIENCE as PATIENT
from workspace.postgres import PostgresServer


@dataclass
class Answer:
    """The bot's answer, as parts and as people read it."""

    why: Why
    message: Message

    @property
    def findings(self) -> list[Finding]:
        return [finding for each in self.why.diagnoses for finding in each.findings]

    @property
    def names(self) -> list[tuple[str, str]]:
        """Each finding's name and subject."""
        return [(str(each.rule), each.subject.name) for each in self.findings]

    @property
    def acts(self) -> list[str]:
        """What the findings propose: `end 33507`, `cancel 812`, or SQL."""
        return [
            act.sql if isinstance(act, Run) else f"{type(act).__name__.lower()} {act.backend.pid}"
            for each in self.findings
            for act in each.acts
        ]

    @property
    def prevention(self) -> list[str]:
        return [sql for each in self.findings for sql in each.prevention]

    @property
    def screen(self) -> str:
        return "\n".join(lines(self.message))

    @property
    def buttons(self) -> list[str]:
        return list(pressable(self.message))


class Ask(Protocol):
    async def __call__(
        self, text: str = "", *, patience: Patience = ..., **clusters: PostgresCluster
    ) -> Answer: ...


@pytest.fixture
def ask(bench: Bench) -> Ask:
    """Ask why, with no minimum age: what has just begun counts as if it had lasted."""

    async def ask(
        text: str = "", *, patience: Patience = AT_ONCE, **clusters: PostgresCluster
    ) -> Answer:
        return await asked(bench(clusters=clusters or None), text, patience)

    return ask


async def asked(ops: Operations, text: str, patience: Patience = PATIENCE) -> Answer:
    """Ask these use cases; checks that Slack would accept the answer."""
    request = parse_sessions(f"why {text}".strip())
    assert isinstance(request, WhyRequest)
    why = await ops.why(ANA, CHANNEL, request, patience=patience)
    message = why_view.why(why, lambda _: Action.TERMINATE)
    assert problems(message) == []
    return Answer(why, message)


@asynccontextmanager
async def connected(pg: PostgresServer, user: str = BOT) -> AsyncIterator[PostgresCluster]:
    """The bot's cluster on another server, or as another role."""
    cluster = PostgresCluster("main", pg.dsn(user=user), "db-1.internal")
    await cluster.open()
    yield cluster
    await cluster.close()


@dataclass
class Waiters:
    """Statements that wait for a lock. All have ended when the test ends."""

    admin: asyncpg.Connection
    tasks: list[asyncio.Task[str]] = field(default_factory=list)

    async def wait(self, connection: asyncpg.Connection, statement: str) -> int:
        """Run a statement that has to wait; its pid, once it is seen to."""
        task = asyncio.ensure_future(connection.execute(statement))
        self.tasks.append(task)
        pid: int = connection.get_server_pid()
        async with asyncio.timeout(PATIENT):
            while not await self.admin.fetchval(
                "select exists (select from pg_locks where pid = $1 and not granted"
                " and waitstart is not null)",
                pid,
            ):
                assert not task.done(), task
                await asyncio.sleep(0.01)
        return pid


@pytest.fixture
async def waiters(admin: asyncpg.Connection, sessions: Sessions) -> AsyncIterator[Waiters]:
    waiters = Waiters(admin)
    yield waiters
    for connection in list(sessions.opened):
        connection.terminate()
    await asyncio.gather(*waiters.tasks, return_exceptions=True)
