"""Every button and menu."""

import asyncio
import json
import os
import secrets
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest

from bot.domain.kills import SIGNAL_WINDOW
from tests.e2e.conftest import IN_BOTH_MODES, Bot, becomes, buttons
from tests.integration.conftest import BOT, Sessions, everybody_left
from tests.integration.kills import STUBBORN, lives
from tests.proxy import Proxy, signal_to
from workspace import NotSeen, Person, Workspace
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer
from workspace.rules import Where


@IN_BOTH_MODES
async def test_a_click_that_is_delivered_twice_kills_once(
    bot: Bot, slack: Workspace, ana: Person, sessions: Sessions, mode: str
) -> None:
    victim = await sessions.open("batch", app="twice")
    await ana.command("/pg-kill app=twice", channel="incidents")
    slack.faults.deliver_twice()

    await ana.click("Terminate 1 session", channel="incidents")

    await ana.sees("Terminated 1 of 1 on main")
    if mode == "http":
        # The same request again is a replay, and is dropped.
        await bot.says("http.replayed")
    else:
        await ana.sees("Only visible to you", "confirmed")
    assert not await lives(victim)


async def test_a_preview_survives_a_restart_of_the_bot(
    start: Callable, ana: Person, sessions: Sessions
) -> None:
    victim = await sessions.open("batch", app="restart")
    bot = await start()
    await ana.command("/pg-kill app=restart", channel="incidents")
    assert await bot.stop() == 0
    await start()

    await ana.click("Terminate 1 session", channel="incidents")

    await ana.sees("Terminated 1 of 1 on main")
    assert not await lives(victim)


async def test_keep_it_button_sends_nothing(bot: Bot, ana: Person, sessions: Sessions) -> None:
    victim = await sessions.open("batch", app="kept")
    await ana.command("/pg-kill app=kept", channel="incidents")

    await ana.click("Terminate 1 session", channel="incidents", confirm=False)

    assert ana.dialog is not None
    assert "main" in ana.dialog.title
    assert ana.dialog.deny == "Keep it"
    assert await lives(victim)


async def test_asker_and_people_who_may_kill_can_dismiss(
    bot: Bot, slack: Workspace, ana: Person, ben: Person, vera: Person, sessions: Sessions
) -> None:
    victim = await sessions.open("batch", app="dismissed")
    await ana.command("/pg-kill app=dismissed", channel="incidents")
    await vera.click("Dismiss", channel="incidents")
    await vera.sees("You may not end sessions here")
    await ben.click("Dismiss", channel="incidents")
    message = await ana.sees("Dismissed", "nothing was done", "@ben")
    assert "actions" not in {block["type"] for block in message.blocks}
    assert await lives(victim)


@IN_BOTH_MODES
async def test_session_can_be_ended_from_its_rows_menu(
    bot: Bot, ana: Person, sessions: Sessions
) -> None:
    victim = await sessions.open("batch", "other_db", app="from the menu")
    await ana.command("/pg-sessions other_db", channel="incidents")
    pid = victim.get_server_pid()
    await ana.choose("Terminate a session", str(pid))
    await ana.sees_modal(f"pid {pid} on main", "Nothing ends until someone confirms")
    await ana.submit({"Reason": "blocks <!channel> & the deploy"})
    await ana.sees("Terminate 1 session on main?", str(pid), "blocks <!channel> & the deploy")
    assert ana.modal is None
    await ana.click("Terminate 1 session")
    await ana.sees("Terminated 1 of 1 on main", "reason: · blocks <!channel> & the deploy")
    assert not await lives(victim)


@pytest.mark.parametrize("how", ["without a reason", "without the modal"])
async def test_reason_in_the_row_modal_is_optional(
    bot: Bot, slack: Workspace, ana: Person, sessions: Sessions, how: str
) -> None:
    victim = await sessions.open("batch", "other_db", app="no reason")
    await ana.command("/pg-sessions other_db", channel="incidents")
    if how == "without the modal":  # Slack refuses it: the preview comes at once
        slack.faults.refuse("views.open", "exchanged_trigger_id")
    await ana.choose("Terminate a session", str(victim.get_server_pid()))
    if how == "without a reason":
        await ana.sees_modal("Reason")
        await ana.submit()
    preview = await ana.sees("Terminate 1 session on main?", str(victim.get_server_pid()))
    assert "Reason" not in ana.text_of(preview)


async def test_modal_from_someone_without_the_right_is_refused(
    bot: Bot, slack: Workspace, ana: Person, vera: Person, sessions: Sessions
) -> None:
    """A button's value proves nothing: the person's right is checked again."""
    victim = await sessions.open("batch", "other_db", app="not hers")
    await ana.command("/pg-sessions other_db", channel="incidents")
    await ana.choose("Terminate a session", str(victim.get_server_pid()))
    view = await ana.sees_modal("Reason")
    await slack.interactions.submit(vera.user, view)
    await bot.says('"why": "not in PG_KILL_ALLOWLIST"')
    assert ana.does_not_see("Terminate 1 session on main")


async def test_no_kill_buttons_for_people_who_may_only_look(
    bot: Bot, ana: Person, vera: Person, sessions: Sessions
) -> None:
    held = await sessions.open("batch", "other_db", app="only look")
    pid = str(held.get_server_pid())
    looked = await vera.command("/pg-sessions other_db", channel="incidents")
    looked = await vera.sees(pid)
    assert "Terminate a session" not in vera.text_of(looked)
    await ana.click("Refresh", in_message=looked)
    await ana.sees("Terminate a session", pid)
    # Others may need it, whoever presses Refresh.
    await vera.click("Refresh", in_message=looked)
    await vera.sees("Terminate a session", pid)


async def test_changed_then_preview_again_then_whatever_it_runs(
    bot: Bot, ana: Person, sessions: Sessions
) -> None:
    busy = await sessions.open("web", app="busy")
    await busy.execute("begin; select 1")
    await ana.command(f"/pg-kill {busy.get_server_pid()}", channel="incidents")
    await busy.execute("commit")
    await busy.execute("begin; select 1")
    await ana.click("Terminate 1 session")
    await ana.sees("changed", str(busy.get_server_pid()))
    assert await lives(busy)

    await ana.click("Preview again")
    await ana.sees("whatever it runs")
    await ana.click("Terminate, whatever it runs")

    await ana.sees("Terminated 1 of 1 on main")
    assert not await lives(busy)


async def test_expired_preview_loses_its_buttons(
    start: Callable, ana: Person, ben: Person, sessions: Sessions
) -> None:
    left, used, dismissed = [
        await sessions.open("batch", app=app) for app in ("left", "used", "dismissed")
    ]
    bot = await start(CONFIRM_TTL="10")
    for app, button in (("dismissed", "Dismiss"), ("used", "Terminate 1 session")):
        preview = await ana.command(f"/pg-kill app={app}", channel="incidents")
        await ana.click(button, in_message=preview)
    await ana.command("/pg-kill app=left", channel="incidents")
    preview = await ben.sees("app=left", "good until", channel="incidents")

    await ben.sees("Expired at", "nothing was done", "app=left")
    with pytest.raises(NotSeen):
        await ben.click("Terminate 1 session", in_message=preview)

    # The others had already expired.
    await ana.sees("Terminated 1 of 1 on main")
    await ana.sees("app=dismissed", "ismissed by @ana")
    assert sum("kill.expired" in line for line in bot.lines) == 1
    assert (await lives(left), await lives(used), await lives(dismissed)) == (True, False, True)
    await ben.click("Preview again", channel="incidents")
    await ben.sees("Terminate 1 session on main?", "app=left", "good until")


@pytest.mark.parametrize("is_over", [False, True], ids=["later", "meanwhile"])
async def test_preview_of_a_bot_that_was_killed_loses_its_buttons(
    start: Callable, ana: Person, sessions: Sessions, tmp_path: Path, is_over: bool
) -> None:
    victim = await sessions.open("batch", app="left")
    bot = await start()
    await ana.command("/pg-kill app=left", channel="incidents")
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as ledger:
        async with asyncio.timeout(PATIENCE):
            while not ledger.execute("select message_ts from kills").fetchone()[0]:
                await asyncio.sleep(0.02)
        await bot.stop(signal.SIGKILL)
        past = 1_000_000 * (700 if is_over else 597)
        moved = "created_at = created_at - ?, expires_at = expires_at - ?"
        ledger.execute(f"update kills set {moved}", (past, past))
        ledger.commit()
    await start()
    await ana.sees("Expired at", "nothing was done", "app=left")
    assert await lives(victim)


async def test_expiry_that_could_not_be_shown_is_shown_later(
    start: Callable, slack: Workspace, ana: Person, sessions: Sessions
) -> None:
    await sessions.open("batch", app="old")
    bot = await start(CONFIRM_TTL="1")
    slack.faults.fail("chat.update")
    preview = await ana.command("/pg-kill app=old", channel="incidents")
    await bot.says("kill.expired")
    await becomes(slack, ana, preview, "Expired at")


async def test_expiry_refused_by_slack_is_shown_at_the_next_click(
    start: Callable, slack: Workspace, ana: Person, sessions: Sessions
) -> None:
    victim = await sessions.open("batch", app="old")
    bot = await start(CONFIRM_TTL="1")
    slack.faults.refuse("chat.update", "is_archived")
    preview = await ana.command("/pg-kill app=old", channel="incidents")
    await bot.says("kill.expired")
    await slack.state.log.until(lambda: slack.faults.in_force() == [], PATIENCE)
    await asyncio.sleep(0.2)  # it is tried once, and posts no new message
    assert len(slack.messages("incidents")) == 2
    await ana.click("Terminate 1 session", in_message=preview)
    await ana.sees("Expired")
    assert await lives(victim)


async def test_an_old_button_says_expired_and_offers_a_fresh_preview(
    start: Callable, ana: Person, sessions: Sessions, tmp_path: Path
) -> None:
    victim = await sessions.open("batch", app="old")
    bot = await start()
    await ana.command("/pg-kill app=old", channel="incidents")
    await bot.stop(signal.SIGKILL)  # otherwise it would remove the button
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as ledger, ledger:
        ledger.execute("update kills set expires_at = created_at")
    await start()
    await ana.click("Terminate 1 session")
    await ana.sees("xpired")
    assert await lives(victim)
    await ana.click("Preview again")
    await ana.sees("Terminate 1 session on main?", "good until")
    await ana.click("Terminate 1 session")
    await ana.sees("Terminated 1 of 1 on main")


async def test_on_a_second_person_cluster_the_asker_can_not_confirm(
    start: Callable, ana: Person, ben: Person, sessions: Sessions
) -> None:
    victim = await sessions.open("batch", app="two people")
    await start(SECOND_PERSON_CLUSTERS="main")
    await ana.command('/pg-kill app="two people"', channel="incidents")
    await ana.click("Terminate 1 (2nd person)")
    await ana.sees("second person", "Only visible to you")
    assert await lives(victim)
    await ben.click("Terminate 1 (2nd person)", channel="incidents")
    await ana.sees("Terminated 1 of 1 on main", "asked by @ana", "confirmed by @ben")


async def test_the_sessions_table_is_refreshed_and_paged_in_place(
    bot: Bot, ana: Person, vera: Person, sessions: Sessions
) -> None:
    for _ in range(23):
        await sessions.open("web", "other_db", app="many")
    shown = await vera.command("/pg-sessions other_db sort=pid", channel="incidents")
    assert "20 of 23 shown" in vera.text_of(shown)
    await vera.click("Next")
    await vera.sees("3 of 23 shown")
    await vera.click("Previous")
    await vera.sees("20 of 23 shown")
    await sessions.open("web", "other_db", app="one more")
    await ana.click("Refresh", channel="incidents")
    await vera.sees("20 of 24 shown", "asked by @ana")


async def test_private_look_stays_private(
    bot: Bot, slack: Workspace, ana: Person, vera: Person
) -> None:
    answer = await ana.command("/pg-sessions some_db private", channel="incidents")
    assert answer.receiver == ana.id
    await ana.click("Refresh")
    await ana.sees("some_db on main")
    assert vera.messages("incidents") == []


@pytest.mark.parametrize("where", ["everywhere", "ephemeral"])
async def test_answer_comes_as_text_if_slack_refuses_tables(
    bot: Bot, slack: Workspace, ana: Person, sessions: Sessions, where: Where
) -> None:
    held = await sessions.open("batch", app="as text")
    slack.faults.refuse_tables(where)
    public = await ana.command("/pg-sessions some_db", channel="incidents")
    private = await ana.command("/pg-sessions some_db private", channel="incidents")
    for message in (public, private):
        assert str(held.get_server_pid()) in ana.text_of(message)
        assert "as text" in ana.text_of(message)


async def test_the_same_database_on_two_clusters_is_a_choice_by_button(
    start: Callable, ana: Person, environment: dict[str, str], sessions: Sessions
) -> None:
    await sessions.open("batch", app="on both")
    await start(DATABASE_URL_PROD=environment["DATABASE_URL"])
    await ana.command("/pg-sessions some_db", channel="incidents")
    await ana.sees("main/some_db", "prod/some_db")
    await ana.click("prod/some_db")
    await ana.sees("some_db on prod")
    await ana.command('/pg-kill app="on both"', channel="incidents")
    await ana.click("main/")
    await ana.sees("Terminate 1 session on main")


async def test_a_query_is_cancelled_and_its_session_then_terminated(
    bot: Bot, ana: Person, sessions: Sessions
) -> None:
    busy = await sessions.open("batch", "other_db", app="long query")
    query = asyncio.ensure_future(busy.execute("select pg_sleep(600)"))
    await ana.command("/pg-sessions other_db", channel="incidents")
    await ana.command('/pg-kill app="long query" state=active', channel="incidents")
    await ana.click("Cancel query")
    await ana.sees("Cancelled 1 of 1 on main", "cancelled")
    with pytest.raises(asyncpg.QueryCanceledError):
        await query
    assert await lives(busy)

    await ana.command('/pg-kill app="long query"', channel="incidents")
    await ana.sees("Terminate 1 session on main", "good until")
    with pytest.raises(NotSeen):
        await ana.click("Cancel query")
    await ana.click("Terminate 1 session")
    await ana.sees("Terminated 1 of 1 on main")
    assert not await lives(busy)


async def test_what_a_cancel_does_not_end_is_terminated_by_the_same_kill(
    bot: Bot, ana: Person, sessions: Sessions
) -> None:
    stubborn, meek = [await sessions.open("batch", "other_db", app="two steps") for _ in range(2)]
    queries = [
        asyncio.ensure_future(session.execute(query))
        for session, query in ((stubborn, STUBBORN), (meek, "select pg_sleep(600)"))
    ]
    await ana.command('/pg-kill app="two steps" state=active', channel="incidents")
    await ana.sees("Terminate 2 sessions on main")

    await ana.click("Cancel, then terminate")

    assert ana.dialog is not None
    assert ana.dialog.title == "Cancel 2 queries on main, then terminate what still runs?"
    await ana.sees("Cancelling 2 queries on main, then terminating what still runs")
    outcome = await ana.sees("Cancelled 1, then terminated 1 of 2 on main in 5.")
    assert "not ended by the cancel" in ana.text_of(outcome)
    assert buttons(outcome) == ["Timeline"]
    with pytest.raises(asyncpg.QueryCanceledError):
        await queries[1]
    assert (await lives(stubborn), await lives(meek)) == (False, True)
    await ana.sees("Cancelled 1, then terminated 1 of 2", "10 s later: no new session of batch")
    await ana.command("/pg-kill history", channel="incidents")
    await ana.sees("cancel, then terminate: 1 cancelled · 1 terminated")
    kill = json.loads(await bot.run("history"))
    assert kill["action"] == "cancel_then_terminate"
    assert {t["pid"]: (t["cancel"], t["terminate"]) for t in kill["targets"]} == {
        stubborn.get_server_pid(): ("still running", "terminated"),
        meek.get_server_pid(): ("cancelled", None),
    }
    await asyncio.gather(*queries, return_exceptions=True)


async def test_long_kill_shows_progress_and_is_amended(
    bot: Bot, ana: Person, sessions: Sessions
) -> None:
    """A stopped process takes no signal: it keeps running until it is resumed."""
    victim = await sessions.open("batch", app="stubborn")
    pid = victim.get_server_pid()
    await ana.command("/pg-kill app=stubborn", channel="incidents")
    os.kill(pid, signal.SIGSTOP)
    try:
        await ana.click("Terminate 1 session")
        await ana.sees("Terminating 1 session")
        await ana.sees("still running", str(pid))
    finally:
        os.kill(pid, signal.SIGCONT)
    await ana.sees("Terminated 1 of 1 on main", "10 s later")


async def test_a_signal_without_a_reply_is_unknown_spares_the_session_and_is_amended(
    start: Callable, ana: Person, sessions: Sessions, server: PostgresServer
) -> None:
    """The bot's own backend is stopped with the signal, and resumes after the deadline."""
    victim = await sessions.open("batch", app="late")
    async with Proxy(server) as proxy:
        bot: Bot = await start(DATABASE_URL=proxy.dsn(user=BOT))
        await bot.says("cluster.connected", times=4)
        await ana.command("/pg-kill app=late", channel="incidents")
        hold = proxy.hold(signal_to(victim.get_server_pid()))
        await ana.click("Terminate 1 session")
        await hold.reached()
        await everybody_left(server)
        own = await backends(server)
        for pid in own:
            os.kill(pid, signal.SIGSTOP)
        try:
            hold.release()
            await ana.sees("Terminated 0 of 1 on main", "1 unknown")
            await asyncio.sleep(SIGNAL_WINDOW.total_seconds())  # by the server's own clock
        finally:
            for pid in own:
                os.kill(pid, signal.SIGCONT)
        await ana.sees("still there after the deadline")
        assert await lives(victim)


async def backends(server: PostgresServer) -> list[int]:
    """The pids of the bot's own backends."""
    admin = await asyncpg.connect(server.dsn())
    rows = await admin.fetch(
        "select pid from pg_stat_activity where usename = $1 and application_name = $2",
        BOT,
        "pg-sessions-bot",
    )
    await admin.close()
    return [row["pid"] for row in rows]


async def test_group_dies_and_each_refused_target_is_in_its_row(
    bot: Bot, ana: Person, sessions: Sessions, server: PostgresServer
) -> None:
    admin = await asyncpg.connect(server.dsn())
    sessions.stack.callback(admin.terminate)
    refused = f"refused_{secrets.token_hex(4)}"
    await admin.execute(f"create role {refused} login")
    crowd = [await sessions.open("web", "other_db", app="group") for _ in range(50)]
    await sessions.open(refused, "other_db", app="group")
    superuser = await sessions.open(server.superuser, "other_db", app="group")
    await ana.command("/pg-kill other_db app=group", channel="incidents")
    left = f"pid {superuser.get_server_pid()} · postgres, a superuser's session: only a superuser"
    await ana.sees("Terminate 51 sessions on main?", left)
    # PostgreSQL decides at the click what isn't known before.
    await admin.execute(f"alter role {refused} superuser")

    await ana.click("Terminate 51 sessions")

    outcome = await ana.sees("Terminated 50 of 51 on main", "1 not permitted", "page 1 of 2", left)
    # The one that needs someone comes first, with PostgreSQL's reason, also for screen readers.
    assert "not permitted" in outcome.text
    assert "SUPERUSER" in outcome.text.upper()  # lower case before PostgreSQL 16
    first = next(block for block in outcome.blocks if block["type"] == "table")["rows"][1]
    assert "SUPERUSER" in first[-1]["text"].upper()
    await ana.click("Next")
    await ana.sees("page 2 of 2")
    with pytest.raises(NotSeen):
        await ana.click("Terminate 51 sessions")
    assert all([not await lives(each) for each in crowd])
