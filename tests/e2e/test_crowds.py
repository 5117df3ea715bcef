"""Many requests at once and a ledger locked by another process: those who may still get answers."""

import asyncio
import json
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import aiohttp

from bot.service.health import MOST_CONNECTIONS
from tests.e2e.conftest import IN_BOTH_MODES, Bot
from tests.e2e.test_health import get, ready
from tests.integration.conftest import Sessions
from tests.ports import free_port
from workspace import Person, Workspace
from workspace.people import PATIENCE
from workspace.state import Message


async def answers(port: int) -> bool:
    """Whether the health port answers a new client."""
    try:
        return (await get(port, "/healthz"))[0] == 200
    except aiohttp.ClientError:
        return False


async def ended(reader: asyncio.StreamReader) -> None:
    """Wait until the other side closes a connection."""
    with suppress(ConnectionError):
        assert await reader.read() == b""


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Another process has locked the ledger's file."""
    with closing(sqlite3.connect(folder / "ledger.db", isolation_level=None)) as other:
        other.execute("begin exclusive")
        yield
        other.execute("rollback")


async def test_everyone_in_a_crowd_gets_the_sessions_and_the_controls_of_their_own(
    bot: Bot, slack: Workspace, ana: Person, vera: Person, sessions: Sessions
) -> None:
    """They share what is read, and nothing that depends on who they are."""
    await sessions.open("batch")
    crowd = [ana, vera] * 50
    await asyncio.gather(
        *(one.command("/pg-sessions some_db", channel="incidents", wait=False) for one in crowd)
    )

    def answered() -> list[Message]:
        return [m for m in ana.messages("incidents") if "as of" in ana.text_of(m)]

    assert await slack.state.log.until(lambda: len(answered()) == len(crowd), PATIENCE)
    by_asker = Counter[str]()
    for message in answered():
        drawn = ana.text_of(message)
        assert "batch" in drawn
        asker = next(one for one in (ana, vera) if f"asked by @{one.user.name}" in drawn)
        by_asker[asker.user.name] += 1
        assert ("Terminate a session" in drawn) is (asker is ana)
    assert by_asker == {"ana": 50, "vera": 50}


@IN_BOTH_MODES
async def test_strangers_delay_nobody_while_the_ledger_is_locked(
    bot: Bot, slack: Workspace, ana: Person, sessions: Sessions, tmp_path: Path
) -> None:
    sam = slack.person("sam")
    previews = []
    for number in range(10):
        await sessions.open("batch", app=f"held {number}")
        previews.append(await ana.command(f'/pg-kill app="held {number}"', channel="incidents"))
    with held(tmp_path):
        refused = [
            sam.command(f"/pg-kill user=batch query>{number}s", channel="incidents", wait=False)
            for number in range(200)
        ]
        clicks = [ana.click("Terminate 1 session", in_message=preview) for preview in previews]
        await asyncio.gather(*refused, *clicks)
        await ana.command("/pg-sessions some_db", channel="incidents")
        await ana.sees("some_db on main")

        def told() -> int:
            return sum("record of kills can't be reached" in m.text for m in ana.messages())

        assert await slack.state.log.until(lambda: told() == 10, PATIENCE), told()
    await ana.click("Terminate 1 session", in_message=previews[0])
    await ana.sees("Terminated 1 of 1 on main")
    assert await bot.stop() == 0
    printed = await bot.run("history", "--of", "refusals")
    asked = [json.loads(line)["what"] for line in printed.splitlines()]
    assert len(asked) == len(set(asked)) == 200


async def test_readiness_probes_delay_nobody_while_the_ledger_is_locked(
    start: Callable, slack: Workspace, ana: Person, tmp_path: Path
) -> None:
    port = free_port()
    await start(HEALTH_PORT=str(port))
    with held(tmp_path):
        async with asyncio.timeout(PATIENCE):
            for _ in range(24):
                asked = await asyncio.gather(*(get(port, "/readyz") for _ in range(50)))
                assert set(asked) == {(503, '{"slack": true, "ledger": false}')}
        await ana.command("/pg-sessions some_db", channel="incidents")
        await ana.sees("some_db on main")
    while not (await ready(port))["ledger"]:
        await asyncio.sleep(0.05)


async def test_connections_to_the_health_port_do_not_use_up_the_bot(
    start: Callable, slack: Workspace, ana: Person
) -> None:
    port = free_port()
    bot = await start(HEALTH_PORT=str(port))
    crowd = [await asyncio.open_connection("127.0.0.1", port) for _ in range(1100)]
    while not await answers(port):
        await asyncio.sleep(0.1)
    assert bot.process is not None
    files = os.listdir(f"/proc/{bot.process.pid}/fd")  # noqa: PTH208
    assert len(files) < 2 * MOST_CONNECTIONS + 100
    await ana.command("/pg-sessions some_db", channel="incidents")
    await ana.sees("some_db on main")
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(ended(reader) for reader, _ in crowd))
    for _, writer in crowd:
        writer.close()
