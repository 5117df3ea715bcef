"""The tree of blockers, and one session in full."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import asyncpg
import pytest

from tests.e2e.conftest import IN_BOTH_MODES, Bot
from tests.integration.conftest import Sessions
from workspace import Person, Workspace
from workspace.blocks import elements


@pytest.fixture
async def queue(sessions: Sessions) -> AsyncIterator[list[asyncpg.Connection]]:
    """One session that holds a row lock, and two that wait for it."""
    holder, first, second = [await sessions.open("web", app=f"queue {n}") for n in range(3)]
    asking = await sessions.open("web", "other_db")
    statement = "update accounts set balance = 4711 where id = 7"
    await holder.execute(f"begin; {statement}")
    tasks = []
    for waiter in (first, second):
        tasks.append(asyncio.ensure_future(waiter.execute(statement)))
        while not await asking.fetchval(
            "select cardinality(pg_blocking_pids($1)) > 0", waiter.get_server_pid()
        ):
            await asyncio.sleep(0.01)
    yield [holder, first, second]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_the_tree_shows_the_root_and_ends_it(
    bot: Bot, ana: Person, vera: Person, queue: list[asyncpg.Connection]
) -> None:
    root, first, _ = (connection.get_server_pid() for connection in queue)
    await vera.command("/pg-sessions some_db", channel="incidents")
    await vera.click("Blocking tree")
    shown = await ana.sees("Who waits for whom on main", f"└ {first}", channel="incidents")
    assert "2 sessions wait behind 1 root" in ana.text_of(shown)

    # Vera may only look; Refresh offers the menu to those who may end sessions.
    assert "Terminate a blocker" not in ana.text_of(shown)
    await ana.click("Refresh", in_message=shown, channel="incidents")
    await ana.sees("Terminate a blocker")
    await ana.choose("Terminate a blocker", str(root), channel="incidents")
    await ana.sees_modal("Reason")
    await ana.submit()
    await ana.sees("Terminate 1 session on main?", "2 waiting sessions go on")
    await ana.click("Terminate 1 session")
    await ana.sees("Terminated 1 of 1 on main", "waiting 2 → 0")

    await vera.click("Refresh", in_message=shown)
    await vera.sees("Who waits for whom", "No session waits for a lock")


@pytest.mark.smoke
async def test_tree_of_a_look_in_a_thread_is_in_that_thread(
    bot: Bot, ana: Person, queue: list[asyncpg.Connection]
) -> None:
    alarm = ana.say("Everything waits", "incidents")
    await ana.shortcut("Show PostgreSQL sessions", alarm)
    await ana.sees_modal("Show PostgreSQL sessions")
    await ana.submit({"request": "some_db"})
    await ana.click("Blocking tree", in_message=await ana.sees("some_db on main"))
    assert (await ana.sees("Who waits for whom on main")).thread_ts == alarm.ts


async def test_who_has_just_left_the_group_sees_no_query_in_full(
    start: Callable, slack: Workspace, ana: Person, sessions: Sessions
) -> None:
    oncall, vera = slack.group("oncall"), slack.user("vera").id
    await start(PG_KILL_ALLOWLIST=oncall.id, PG_SESSIONS_ALLOWLIST=f"{vera},{ana.id}")
    session = await sessions.open("web")
    await session.execute("select 'a literal'")
    pid = str(session.get_server_pid())
    await ana.command("/pg-sessions user=web", channel="incidents")
    await ana.choose("Show a session", pid)
    await ana.sees_modal("a literal")
    slack.state.put_group(replace(oncall, users=()))
    await ana.click("Refresh")
    await ana.sees_modal("query without its literals")


async def test_a_prepared_transaction_at_the_root_gets_its_rollback(
    bot: Bot, ana: Person, sessions: Sessions
) -> None:
    holder, waiter = await sessions.open("web"), await sessions.open("web")
    await holder.execute(
        "begin; update accounts set balance = 1 where id = 8; prepare transaction 'it''s me'"
    )
    task = asyncio.ensure_future(waiter.execute("update accounts set balance = 2 where id = 8"))
    try:
        while not await holder.fetchval(
            "select cardinality(pg_blocking_pids($1)) > 0", waiter.get_server_pid()
        ):
            await asyncio.sleep(0.01)
        await ana.command("/pg-sessions some_db", channel="incidents")
        await ana.click("Blocking tree")
        await ana.sees("rollback prepared 'it''s me';")
    finally:
        await holder.execute("rollback prepared 'it''s me'")
        await task


@IN_BOTH_MODES
async def test_session_in_full_in_a_modal(
    bot: Bot, slack: Workspace, ana: Person, vera: Person, queue: list[asyncpg.Connection]
) -> None:
    root = str(queue[0].get_server_pid())
    await ana.command("/pg-sessions some_db", channel="incidents")

    await vera.choose("Show a session", root, channel="incidents")
    await vera.sees_modal("balance = ?", "2 sessions wait behind it", "RowExclusiveLock")
    assert "4711" not in vera.modal_text()
    await ana.choose("Show a session", root, channel="incidents")
    await ana.sees_modal("balance = 4711", "only you see it")
    await ana.click("Refresh")
    await ana.sees_modal("balance = 4711")

    assert "Terminate…" not in vera.modal_text()
    assert ana.modal is not None
    assert vera.modal is not None
    hers = next(e for e in elements(ana.modal.body["blocks"]) if e.action_id == "session.kill")
    await slack.interactions.click_in_view(vera.user, vera.modal, hers, {})
    await vera.sees_modal("You may not end sessions here", "the attempt is on record")
    await vera.click("Refresh")
    await vera.sees_modal("balance = ?")
    await ana.click("Terminate…")
    await ana.sees_modal("preview is in the channel")
    await ana.close_modal()
    await ana.click("Terminate 1 session", channel="incidents")
    await ana.sees("Terminated 1 of 1 on main", root)
    for message in slack.messages("incidents"):
        assert "4711" not in str(message.blocks) + message.text


async def test_gone_session_is_reported_as_gone(bot: Bot, ana: Person, sessions: Sessions) -> None:
    session = await sessions.open("web", "other_db")
    pid = str(session.get_server_pid())
    await ana.command("/pg-sessions other_db", channel="incidents")
    await session.close()
    await ana.choose("Show a session", pid)
    await ana.sees_modal("already gone")


async def test_modal_that_slack_refuses_is_reported(
    bot: Bot, slack: Workspace, ana: Person, sessions: Sessions
) -> None:
    session = await sessions.open("web", "other_db")
    pid = str(session.get_server_pid())
    await ana.command("/pg-sessions other_db", channel="incidents")
    slack.faults.fail("views.open", times=2)
    await ana.choose("Show a session", pid)
    said = await ana.sees("did not show the window (internal_error)", "Only visible to you")
    await ana.click("Refresh")
    await slack.called("chat.update")
    await ana.choose("Show a session", pid)
    await ana.sees_modal(pid, "as of")
    slack.faults.fail("views.update", times=2)
    await ana.click("Refresh")
    await ana.sees("did not show the window", channel="incidents", after=said)
    assert "request.failed" not in bot.output
