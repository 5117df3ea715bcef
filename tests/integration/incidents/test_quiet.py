"""Nothing is wrong: on an idle server, on a healthy one, on one that is busy."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest

from bot.domain.findings.model import PATIENCE, Patience
from tests.integration.conftest import Bench, Sessions
from tests.integration.incidents.conftest import Ask, asked

pytestmark = pytest.mark.sql


async def test_idle_server(ask: Ask) -> None:
    answer = await ask()
    assert answer.findings == []
    assert "main: nothing found" in answer.screen
    assert "checked: " in answer.screen
    assert "not visible: nothing" in answer.screen
    assert "Preview" not in "".join(answer.buttons)


async def test_healthy_server_with_sessions_in_every_state(ask: Ask, sessions: Sessions) -> None:
    idle, reader, writer, failed = [await sessions.open("batch") for _ in range(4)]
    await idle.execute("select 1")
    await reader.execute("begin; select from accounts")
    await writer.execute("begin; update accounts set balance = balance where id = 5")
    await failed.execute("begin")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await failed.execute("select 1 / 0")
    for text in ("", "batch", "some_db", "some_db user=batch"):
        answer = await ask(text, patience=PATIENCE)
        assert answer.findings == [], text
        assert "nothing found" in answer.screen


async def test_busy_server(bench: Bench, sessions: Sessions) -> None:
    """Many short transactions want the same row: somebody waits at each moment, nobody for long."""
    longer = Patience(wait=timedelta(minutes=1))  # whatever the machine is doing
    crowd = [await sessions.open("batch") for _ in range(8)]
    stop = False

    async def work(one: asyncpg.Connection) -> None:
        while not stop:
            await one.execute("begin; update accounts set balance = balance where id = 6")
            await one.execute("select pg_sleep(0.001); commit")

    tasks = [asyncio.ensure_future(work(one)) for one in crowd]
    seen_waiting = 0
    try:
        while seen_waiting < 20:
            answer = await asked(bench(), "", longer)
            assert answer.findings == [], answer.screen
            seen_waiting += answer.why.diagnoses[0].survey.server.waiting
    finally:
        stop = True
        await asyncio.gather(*tasks)
