"""The story, from the failing login to the working one."""

import json
import sqlite3
from pathlib import Path

import asyncpg
import pytest

from tests.e2e.conftest import IN_BOTH_MODES, Bot, Start
from tests.integration.conftest import Sessions
from workspace import Person


@pytest.fixture
async def bot(start: Start) -> Bot:
    """A process of its own from the first import, as an operator starts it."""
    return await start(module="bot")


@pytest.mark.smoke
@IN_BOTH_MODES
async def test_the_story(
    bot: Bot,
    ana: Person,
    ben: Person,
    vera: Person,
    sessions: Sessions,
    tmp_path: Path,
) -> None:
    holder = await sessions.open("some_user", app="psql")
    await holder.execute("begin; update accounts set balance = balance - 987654 where id = 1")
    with pytest.raises(asyncpg.TooManyConnectionsError, match='for role "some_user"'):
        await sessions.open("some_user")

    seen = await vera.command("/pg-sessions some_db", channel="incidents")
    text = vera.text_of(seen)
    assert "some_user 1 of 1" in text
    assert str(holder.get_server_pid()) in text
    assert "balance = balance - ?" in text
    assert "987654" not in text

    preview = await ana.command("/pg-kill user=some_user -- blocks the deploy", channel="incidents")
    text = ana.text_of(preview)
    assert "Terminate 1 session on main?" in text
    assert "blocks the deploy" in text
    assert str(holder.get_server_pid()) in text

    await vera.click("Terminate 1 session", channel="incidents")
    await vera.sees("You may not end sessions here", "PG_KILL_ALLOWLIST")
    assert await holder.fetchval("select true")

    await ben.click("Terminate 1 session", channel="incidents")
    await vera.sees("Terminated 1 of 1 on main", "some_user 1 of 1 → 0 of 1")
    assert ben.dialog is not None
    assert "main" in ben.dialog.title
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await holder.execute("commit")

    login = await sessions.open("some_user")
    assert await login.fetchval("select balance from accounts where id = 1") == 100

    await ana.command("/pg-kill history", channel="incidents")
    await ana.sees("kill", "blocks the deploy", "terminated")
    with sqlite3.connect(tmp_path / "ledger.db") as ledger:
        rows = ledger.execute("select asked_by, confirmed_by, reason, state from kills").fetchall()
    ledger.close()
    assert rows == [(ana.id, ben.id, "blocks the deploy", "done")]
    assert await bot.stop() == 0

    printed = await bot.run("history", "--since", "1h")
    (kill,) = (json.loads(line) for line in printed.splitlines())
    assert kill["confirmed_by"] == ben.id
    assert [target["outcome"] for target in kill["targets"]] == ["terminated"]
    printed = await bot.run("history", "--of", "looks")
    assert "sessions, in the channel" in [json.loads(line)["what"] for line in printed.splitlines()]
    printed = await bot.run("history", "--of", "refusals", "--format", "csv")
    header, *refused = printed.splitlines()
    assert header == "id,at,by,team,channel,what,why,cluster,reference"
    assert "PG_KILL_ALLOWLIST" in refused[0]
    assert vera.id in refused[0]
