"""`at=`: the past in the channel, and that nothing in it can be ended."""

import asyncio
import json

import aiohttp

from tests.e2e.conftest import IN_BOTH_MODES, Bot, Start
from tests.integration.conftest import Sessions
from tests.ports import free_port
from workspace import Person, Workspace
from workspace.people import PATIENCE


async def metrics(port: int) -> str:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/metrics") as answer,
    ):
        return await answer.text()


async def measured(port: int, *words: str) -> str:
    """Wait until the metrics say so."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found = await metrics(port)
            if all(word in found for word in words):
                return found
            await asyncio.sleep(0.1)


ANSWERED = 'pg_sessions_samples_total{answered="yes",cluster="main"}'


@IN_BOTH_MODES
async def test_past_look_has_what_has_gone_and_only_looks_now(
    start: Start, slack: Workspace, ana: Person, vera: Person, sessions: Sessions, mode: str
) -> None:
    gone = await sessions.open("batch", "other_db", app="gone")
    await gone.execute("begin; select 424242")
    pid = gone.get_server_pid()
    port = free_port()
    bot = await start(SAMPLE_EVERY="300", HEALTH_PORT=str(port))
    found = await measured(port, f"{ANSWERED} 1.0", "pg_sessions_sample_late_seconds")
    assert 'pg_sessions_findings{cluster="main",finding="server_full"} 0.0' in found
    await gone.close()

    await ana.command("/pg-sessions other_db at=-1s", channel="incidents")
    shown = await vera.sees(
        "s ago, ", " UTC", "other_db on main", "gone", str(pid), channel="incidents"
    )
    assert "s ago, " in shown.text.splitlines()[0]
    assert "424242" not in str(shown.blocks) + shown.text
    assert "kept, what hurt most" in vera.text_of(shown)
    assert "terminate" not in str(shown.blocks).lower()
    for button in ("Refresh", "Terminate", "Blocking tree"):
        assert button not in vera.text_of(shown)

    await vera.click("Look now", in_message=shown)
    now = await ana.sees("no session matches", "other_db on main")
    assert now.ts != shown.ts
    assert now.thread_ts is None
    assert "request.failed" not in bot.output
    assert await bot.stop() == 0
    assert not bot.errors


async def test_why_groups_and_tree_of_the_past(
    start: Start, ana: Person, vera: Person, sessions: Sessions
) -> None:
    holder = await sessions.open("some_user")
    port = free_port()
    await start(SAMPLE_EVERY="300", HEALTH_PORT=str(port))
    await measured(port, 'pg_sessions_findings{cluster="main",finding="limit"} 1.0')
    await holder.close()
    await ana.command("/pg-sessions why some_user at=-1s", channel="incidents")
    shown = await vera.sees("s ago, ", "some_user can't log in on main", channel="incidents")
    assert "Preview" not in vera.text_of(shown)
    await ana.command("/pg-sessions by=user some_db at=-1s", channel="incidents")
    await vera.sees("s ago, ", "some_db on main: ", "some_user")
    await ana.command("/pg-sessions tree at=-1s", channel="incidents")
    await vera.sees("s ago, ", "No session waits for a lock")
    await vera.click("Look now")
    await vera.sees("No session waits for a lock", "Refresh")


async def test_past_is_refused_where_the_present_is(
    start: Start, slack: Workspace, ana: Person
) -> None:
    await start(SAMPLE_EVERY="0")
    await ana.command("/pg-sessions at=-3m private", channel="incidents")
    await ana.sees("no samples are taken (SAMPLE_EVERY=0)", "Only visible to you")
    await ana.command("/pg-kill 33507 at=-3m", channel="incidents")
    await ana.sees("/pg-kill takes no at=", "Only visible to you")
    await ana.command("/pg-sessions horizon at=-3m", channel="incidents")
    await ana.sees("horizon takes no at=", "Only visible to you")
    sam = slack.person("sam")
    await sam.command("/pg-sessions at=-3m", channel="incidents")
    await sam.sees("You may not look at sessions here", "Only visible to you")


async def test_tree_can_be_typed(bot: Bot, vera: Person, ana: Person) -> None:
    await vera.command("/pg-sessions tree main", channel="incidents")
    await ana.sees("No session waits for a lock", "Refresh", channel="incidents")
    await vera.command("/pg-sessions tree prod/", channel="incidents")
    await vera.sees("no such cluster", "main/")


async def test_log_has_no_trouble_if_only_the_samples_do_not_go_back_so_far(
    bot: Bot, ana: Person, vera: Person
) -> None:
    await ana.command("/pg-sessions at=-3m", channel="incidents")
    await vera.sees("SAMPLE_EVERY", channel="incidents")
    line = json.loads(await bot.says("request.no_sample"))
    assert (line["level"], line["cluster"]) == ("info", "main")
    assert '"warning"' not in bot.output
