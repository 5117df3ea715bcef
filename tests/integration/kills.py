"""Helpers for the tests of kills: people, a fast clock, and a kill step by step."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg

from bot.domain.kills import Actor, Conclusion, Outcome
from bot.domain.record import Entry
from bot.errors import ClusterError
from bot.grammar.parser import parse_kill
from bot.grammar.requests import KillRequest
from bot.ledger.sql import SqlLedger
from bot.operations import Operations
from bot.operations.results import Preview
from workspace.people import PATIENCE

ANA, BEN = Actor("UANA", "T1"), Actor("UBEN", "T1")
CHANNEL = "C1"
SPEED = 10.0

STUBBORN = """
    do $$ begin
        loop
            begin
                perform pg_sleep(600);
            exception when query_canceled then
            end;
        end loop;
    end $$
"""
"""A query that a cancel doesn't end."""


@dataclass
class HandClock:
    """A clock that only the test moves, and whoever sleeps; `ahead` is by how much it was set."""

    seconds: float = 0.0
    ahead: timedelta = timedelta(0)

    def now(self) -> datetime:
        return datetime(2026, 1, 31, 12, tzinfo=UTC) + timedelta(seconds=self.seconds) + self.ahead

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        await asyncio.sleep(0)


class QuickClock:
    """A clock on which ten seconds take one."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic() * SPEED

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / SPEED)


def typed(text: str) -> KillRequest:
    request = parse_kill(text)
    assert isinstance(request, KillRequest)
    return request


async def preview(ops: Operations, text: str, *, actor: Actor = ANA) -> Preview:
    answer = await ops.propose(actor, CHANNEL, typed(text))
    assert isinstance(answer, Preview), answer
    return answer


async def recorded(ledger: SqlLedger, shown: Preview) -> Entry:
    entry = await ledger.get(shown.proposal.key)
    assert entry is not None
    return entry


async def later(ops: Operations, conclusion: Conclusion) -> Conclusion:
    amended = await ops.follow_up(conclusion)
    assert amended is not None
    return amended


async def confirm(ops: Operations, shown: Preview, *, actor: Actor = ANA) -> Conclusion:
    answer = await ops.confirm(actor, CHANNEL, shown.proposal.key)
    assert isinstance(answer, Conclusion), answer
    return answer


def outcomes(conclusion: Conclusion) -> dict[int, Outcome]:
    return {result.id.pid: result.outcome for result in conclusion.results}


async def lives(connection: asyncpg.Connection) -> bool:
    """Whether the session still answers its client."""
    try:
        return await connection.fetchval("select true")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        return False
    except asyncpg.InternalClientError:
        # The driver is receiving the server's goodbye.
        await asyncio.sleep(0.01)
        return await lives(connection)


async def exited(connection: asyncpg.Connection) -> None:
    """Wait until its backend's process has ended: its role's limit may count it until then."""
    process = Path(f"/proc/{connection.get_server_pid()}")
    async with asyncio.timeout(PATIENCE):
        while await asyncio.to_thread(process.exists):
            await asyncio.sleep(0.005)


async def ask_until_it_answers(ops: Operations, shown: Preview) -> Conclusion:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await confirm(ops, shown)
            except ClusterError:
                await asyncio.sleep(0.1)
