"""Slack at its worst: people still get answers."""

import json
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from tests.e2e.conftest import Bot, becomes
from tests.integration.conftest import Sessions
from tests.integration.kills import lives
from tests.servers import postgres
from workspace import Person, Workspace
from workspace.faults import TABLE_ERRORS
from workspace.state import Message


async def test_after_the_socket_is_cut_the_bot_comes_back(
    bot: Bot, slack: Workspace, ana: Person
) -> None:
    slack.server.sockets.cut()
    await slack.connected()
    await ana.command("/pg-sessions some_db", channel="incidents")
    await ana.sees("some_db on main")


async def test_after_slack_refreshes_the_socket_the_bot_goes_on(
    bot: Bot, slack: Workspace, ana: Person
) -> None:
    await slack.server.sockets.disconnect("refresh_requested")
    await slack.connected()
    await ana.command("/pg-sessions some_db", channel="incidents")
    await ana.sees("some_db on main")


async def test_refused_socket_url_is_requested_again(
    bot: Bot, slack: Workspace, ana: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its URL works once, and not for long: after that it must be requested again."""
    with monkeypatch.context() as late:
        late.setattr(slack.server.sockets, "new_ticket", lambda: "a-ticket-of-yesterday")
        slack.server.sockets.cut()
        await bot.says("Failed to connect")
    await slack.connected()
    await ana.command("/pg-sessions some_db", channel="incidents")
    await ana.sees("some_db on main")
    assert "a-ticket-of-yesterday" not in bot.output


async def test_a_rate_limit_is_waited_out(bot: Bot, slack: Workspace, ana: Person) -> None:
    slack.faults.rate_limit("chat.postMessage", retry_after=1)
    await ana.command("/pg-sessions some_db", channel="incidents")
    await ana.sees("some_db on main")
    assert len(slack.calls("chat.postMessage")) == 2


async def test_answer_uses_the_response_url_if_posting_fails(
    bot: Bot, slack: Workspace, ana: Person, vera: Person
) -> None:
    slack.faults.fail("chat.postMessage", times=100)
    await ana.command("/pg-sessions some_db", channel="incidents")
    await vera.sees("some_db on main", channel="incidents")


async def test_outcome_of_a_deleted_preview_is_a_new_message(
    bot: Bot, slack: Workspace, ana: Person, sessions: Sessions
) -> None:
    await sessions.open("batch", app="deleted")
    preview = await ana.command("/pg-kill app=deleted", channel="incidents")
    slack.faults.slow("chat.update", seconds=0.5)
    slack.faults.drop("chat.update", times=1)
    await ana.click("Terminate 1 session")
    slack.state.delete(preview)
    await ana.sees("Terminated 1 of 1 on main")


async def test_in_a_channel_without_the_bot_the_outcome_replaces_the_preview(
    bot: Bot, slack: Workspace, ana: Person, sessions: Sessions
) -> None:
    """Without `chat:write.public`, only the response_url can post there."""
    await sessions.open("batch", app="no member")
    slack.state.set_scopes("commands", "chat:write", "channels:read", "users:read")
    await ana.command('/pg-kill app="no member"', channel="random")
    await ana.click("Terminate 1 session", channel="random")
    await ana.sees("Terminated 1 of 1 on main", channel="random")
    assert ana.does_not_see("Terminate 1 session on main", channel="random")


async def test_proxys_page_in_slacks_place_is_a_failure(
    bot: Bot, slack: Workspace, ana: Person, vera: Person, sessions: Sessions
) -> None:
    """A 503 with a text as its body: the SDK gives no code for it."""
    await sessions.open("batch", app="proxy")
    slack.faults.fail("chat.postMessage", times=1)
    await ana.command("/pg-kill app=proxy", channel="incidents")
    await vera.sees("Terminate 1 session on main?", channel="incidents")
    slack.faults.fail("chat.update", times=100)
    await ana.click("Terminate 1 session")
    await vera.sees("Terminated 1 of 1 on main")
    assert vera.does_not_see("Terminate 1 session on main")


async def test_a_long_rate_limit_is_not_waited_out(
    bot: Bot, slack: Workspace, ana: Person, vera: Person
) -> None:
    slack.faults.rate_limit("chat.postMessage", times=100, retry_after=60)
    await ana.command("/pg-sessions some_db", channel="incidents")
    await vera.sees("some_db on main", channel="incidents")


async def test_rate_limit_is_waited_out_on_every_way(
    bot: Bot, slack: Workspace, ana: Person, sessions: Sessions
) -> None:
    """The same table arrives after the wait, by chat.update and by the response_url."""
    await sessions.open("batch", app="limited")
    slack.faults.rate_limit("response_url", retry_after=1)
    answer = await ana.command("/pg-sessions some_db private", channel="incidents")
    assert "data_table" in {block["type"] for block in answer.blocks}
    assert [call.status for call in slack.calls("response_url")] == [429, 200]

    preview = await ana.command("/pg-kill app=limited", channel="incidents")
    slack.faults.rate_limit("chat.update", retry_after=1)
    await ana.click("Terminate 1 session")
    outcome = await ana.sees("Terminated 1 of 1 on main")
    assert outcome.ts == preview.ts
    assert [call.status for call in slack.calls("chat.update")][:2] == [429, 200]
    assert len(slack.calls("response_url")) == 2


def answers(slack: Workspace, words: str) -> list[Message]:
    """The bot's messages in the channel that contain these words."""
    return [each for each in slack.messages("incidents") if words in each.text]


async def test_answer_that_failed_every_way_is_retried_and_posted_once(
    bot: Bot, slack: Workspace, ana: Person, vera: Person, sessions: Sessions
) -> None:
    await sessions.open("batch", app="stubborn slack")
    slack.faults.drop("chat.postMessage")
    slack.faults.fail("response_url")
    await ana.command('/pg-kill app="stubborn slack"', channel="incidents")
    await vera.sees("Terminate 1 session on main?", channel="incidents")
    assert len(answers(slack, "Terminate 1 session on main")) == 1

    # Slack did it, but the answer was lost: what replaces a message may be sent again.
    slack.faults.drop("chat.update", after=True)
    slack.faults.drop("response_url")
    slack.faults.fail("chat.update", status=500)
    await ana.click("Terminate 1 session")
    await vera.sees("Terminated 1 of 1 on main")
    await ana.command("/pg-sessions some_db private", channel="incidents")
    assert len(answers(slack, "Terminated 1 of 1 on main")) == 1
    assert answers(slack, "Terminate 1 session on main") == []

    slack.faults.fail("response_url", status=500, times=2)
    answer = await ana.command("/pg-sessions other_db private", channel="incidents")
    assert answer.receiver == ana.id


@contextmanager
def stopped(victim: asyncpg.Connection) -> Iterator[None]:
    """A stopped process takes no signal: the kill isn't over until it is resumed."""
    os.kill(victim.get_server_pid(), signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(victim.get_server_pid(), signal.SIGCONT)


async def test_a_kill_goes_on_while_its_socket_is_refreshed_and_cut(
    bot: Bot, slack: Workspace, ana: Person, sessions: Sessions
) -> None:
    victim = await sessions.open("batch", app="cut")
    await ana.command("/pg-kill app=cut", channel="incidents")
    with stopped(victim):
        await ana.click("Terminate 1 session")
        await ana.sees("Terminating 1 session")
        await slack.server.sockets.disconnect("refresh_requested")
        await slack.connected()
        slack.server.sockets.cut()
    await ana.sees("Terminated 1 of 1 on main")
    assert not await lives(victim)
    await slack.connected()
    await ana.command("/pg-sessions some_db", channel="incidents")


async def test_message_deleted_during_a_kill_is_posted_again_for_all(
    bot: Bot, slack: Workspace, ana: Person, vera: Person, sessions: Sessions
) -> None:
    victim = await sessions.open("batch", app="deleted by a person")
    preview = await ana.command('/pg-kill app="deleted by a person"', channel="incidents")
    with stopped(victim):
        await ana.click("Terminate 1 session")
        await ana.sees("Terminating 1 session")
        slack.state.delete(preview)
    outcome = await vera.sees("Terminated 1 of 1 on main", channel="incidents")
    assert outcome.ts != preview.ts


async def test_private_channel_without_the_bot_uses_the_response_url(
    start: Callable, slack: Workspace, ana: Person, sessions: Sessions
) -> None:
    """It is allowed by its id, since Slack says nothing about it. A url has five uses."""
    victim = await sessions.open("some_user", app="secret")
    await start(ALLOWED_CHANNELS=slack.channel("secret").id)
    await ana.command("/pg-kill app=secret", channel="secret")
    with stopped(victim):
        await ana.click("Terminate 1 session")
        await ana.sees("Terminating 1 session")
    await ana.sees("Terminated 1 of 1 on main", "10 s later")
    assert len([m for m in slack.messages("secret") if "on main" in m.text]) == 1
    assert {call.status for call in slack.calls("response_url")} == {200}


async def test_answer_avoids_an_expired_response_url(
    bot: Bot, slack: Workspace, ana: Person, vera: Person, sessions: Sessions
) -> None:
    await sessions.open("batch", app="expired")
    slack.faults.fail("response_url", status=404, times=1000)
    answer = await ana.command("/pg-sessions some_db private", channel="incidents")
    assert answer.receiver == ana.id
    assert len(slack.calls("response_url")) == 2  # a retry, but in the same layout

    preview = await ana.command("/pg-kill app=expired", channel="incidents")
    slack.faults.fail("chat.update", times=1000)
    await ana.click("Terminate 1 session")
    outcome = await vera.sees("Terminated 1 of 1 on main", channel="incidents")
    assert outcome.ts != preview.ts


async def test_undeliverable_outcome_is_in_the_log_and_the_ledger(
    bot: Bot, slack: Workspace, ana: Person, sessions: Sessions
) -> None:
    victim = await sessions.open("batch", app="unheard")
    await ana.command("/pg-kill app=unheard", channel="incidents")
    for way in ("chat.update", "chat.postMessage", "chat.postEphemeral", "response_url"):
        slack.faults.fail(way, times=1000)
    await ana.click("Terminate 1 session")

    said = json.loads(await bot.says("delivery.failed"))

    assert not await lives(victim)
    recorded = json.loads(await bot.run("history"))
    assert (said["kill"], said["channel"]) == (recorded["kill"], slack.channel("incidents").id)
    assert [each["outcome"] for each in recorded["targets"]] == ["terminated"]
    assert recorded["state"] == "done"


async def test_locked_ledger_ends_nobody_and_keeps_the_preview(
    bot: Bot, ana: Person, sessions: Sessions, tmp_path: Path
) -> None:
    """Its message isn't on record yet either: the click records it."""
    victim = await sessions.open("batch", app="locked out")
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
        await ana.command('/pg-kill app="locked out"', channel="incidents")
        other.execute("begin exclusive")
        await ana.click("Terminate 1 session")
        await ana.sees("The record of kills can't be reached")
        other.execute("rollback")
    assert await lives(victim)
    await ana.click("Terminate 1 session")
    await ana.sees("Terminated 1 of 1 on main")
    assert not await lives(victim)


@pytest.mark.parametrize("error", TABLE_ERRORS[1::3])
async def test_refused_table_loses_no_answer_or_outcome(
    bot: Bot, slack: Workspace, ana: Person, vera: Person, sessions: Sessions, error: str
) -> None:
    """Whatever code Slack refuses it with, it arrives once, without the table."""
    victims = [await sessions.open("batch", app="two of them") for _ in range(2)]
    pids = [str(victim.get_server_pid()) for victim in victims]
    slack.faults.refuse_tables(error=error)
    private = await ana.command("/pg-sessions some_db private", channel="incidents")
    public = await ana.command("/pg-sessions some_db", channel="incidents")
    preview = await ana.command('/pg-kill app="two of them"', channel="incidents")
    for message in (private, public, preview):
        assert all(pid in ana.text_of(message) for pid in pids)
    await ana.click("Terminate 2 sessions")
    outcome = await vera.sees("Terminated 2 of 2 on main", *pids, channel="incidents")
    assert outcome.ts == preview.ts
    assert len(answers(slack, "Terminated 2 of 2 on main")) == 1
    assert len(answers(slack, "some_db on main")) == 2


@pytest.mark.parametrize("error", ["invalid_attachments", "internal_error"])
async def test_refused_table_loses_no_outcome_without_a_click(
    start: Callable,
    slack: Workspace,
    ana: Person,
    sessions: Sessions,
    ledger_url: str,
    error: str,
) -> None:
    victims = [await sessions.open("batch", app="left behind") for _ in range(2)]
    first: Bot = await start(LEDGER_URL=ledger_url)
    preview = await ana.command('/pg-kill app="left behind"', channel="incidents")
    with stopped(victims[0]), stopped(victims[1]):
        await ana.click("Terminate 2 sessions")
        await first.says("kill.signal", times=2)
        await first.stop(signal.SIGKILL)
    connection = await asyncpg.connect(ledger_url)
    await connection.execute("update kills set lease_until = lease_until - 90000000")
    await connection.close()
    slack.faults.refuse_tables(error=error)
    heir: Bot = await start(LEDGER_URL=ledger_url)
    await becomes(slack, ana, preview, "2 interrupted", str(victims[1].get_server_pid()))
    assert len(answers(slack, "2 interrupted")) == 1
    assert heir.errors == []


async def test_slack_trouble_leaves_a_preview_its_buttons(
    bot: Bot, slack: Workspace, ana: Person, sessions: Sessions
) -> None:
    await sessions.open("batch", app="pressed")
    slack.faults.refuse("chat.postMessage", "internal_error", times=2)
    slack.faults.refuse("response_url", "internal_error", times=2, status=500)
    await ana.command("/pg-kill app=pressed", channel="incidents")
    await ana.click("Terminate 1 session")
    await ana.sees("Terminated 1 of 1 on main")


async def test_asker_is_told_if_the_channel_restricts_posting(
    bot: Bot, slack: Workspace, ana: Person, sessions: Sessions
) -> None:
    """Neither the Web API nor the response_url can post there."""
    victim = await sessions.open("batch", "other_db", app="unpostable")
    await ana.command("/pg-sessions other_db", channel="announcements", wait=False)
    look = await ana.sees("other_db on main", "The channel restricts who may post", channel="bot")
    assert "about #announcements" in ana.text_of(look)

    await ana.command("/pg-kill app=unpostable", channel="announcements", wait=False)
    said = await ana.sees("nothing can be confirmed there", "restricts who may post", channel="bot")
    assert "Whoever manages the channel can allow it" in ana.text_of(said)
    assert "actions" not in {block["type"] for block in said.blocks}
    assert await lives(victim)

    assert {m.kind for m in slack.messages("announcements")} == {"command"}
    assert bot.errors == []


async def test_outcome_refused_by_its_channel_reaches_both_people(
    bot: Bot, slack: Workspace, ana: Person, ben: Person, sessions: Sessions
) -> None:
    """Posting was restricted after the preview, and its message can't be edited any more."""
    victim = await sessions.open("batch", app="told to both")
    await ana.command('/pg-kill app="told to both"', channel="incidents")
    incidents = slack.channel("incidents")
    slack.state.put_channel(replace(incidents, posters=frozenset({ana.id})))
    slack.faults.refuse("chat.update", "edit_window_closed", times=1000)
    await ben.click("Terminate 1 session", channel="incidents")
    for person in (ben, ana):
        told = await person.sees(
            "Terminated 1 of 1 on main", "restricts who may post", channel="bot"
        )
        assert "about #incidents" in person.text_of(told)
    assert not await lives(victim)


async def test_modal_says_what_became_of_its_preview(
    bot: Bot, slack: Workspace, ana: Person, sessions: Sessions
) -> None:
    session = await sessions.open("batch", "other_db")
    pid = str(session.get_server_pid())
    await ana.command("/pg-sessions other_db", channel="incidents")
    await ana.choose("Show a session", pid)
    await ana.sees_modal("as of")
    slack.faults.refuse("chat.postMessage", "restricted_action")
    await ana.click("Terminate…")  # a click in a modal has no response_url
    await ana.sees_modal("The preview could not be posted", "restricts who may post")
    await ana.click("Refresh")
    await ana.sees_modal("as of")
    await session.close()
    await ana.click("Terminate…")
    await ana.sees_modal("Nothing would end: the channel shows why")
    await ana.close_modal()
    await ana.sees("Nothing to terminate on main", pid)


async def test_modal_unknown_to_slack_at_first_is_filled(
    bot: Bot, slack: Workspace, ana: Person, sessions: Sessions
) -> None:
    session = await sessions.open("batch", "other_db")
    pid = str(session.get_server_pid())
    await ana.command("/pg-sessions other_db", channel="incidents")
    slack.faults.refuse("views.update", "not_found")
    await ana.choose("Show a session", pid)
    await ana.sees_modal("as of")
    await ana.close_modal()
    await ana.click("Refresh")
    await slack.called("chat.update")
    slack.faults.refuse("views.update", "not_found", times=2)
    await ana.choose("Show a session", pid)
    await ana.sees_modal("Looking at pid")
    await slack.called("views.update", times=4)
    await ana.click("Refresh")  # the placeholder has a button to ask again
    await ana.sees_modal("as of")
    await ana.close_modal()
    await ana.click("Refresh")
    await slack.called("chat.update", times=2)
    slack.faults.leave_out("views.open", "view")  # Slack doesn't say either which one it opened
    await ana.choose("Show a session", pid)
    await bot.says("modal.not_filled")
    await ana.click("Refresh")
    await ana.sees_modal("as of")
    assert bot.errors == []


async def test_a_modal_whose_layout_slack_refuses_is_shown_as_plain_text(
    bot: Bot, slack: Workspace, ana: Person, sessions: Sessions
) -> None:
    session = await sessions.open("batch", "other_db", app="in plain text")
    await ana.command("/pg-sessions other_db", channel="incidents")
    slack.faults.refuse_blocks("rich_text", error="internal_error")
    await ana.choose("Show a session", str(session.get_server_pid()))
    await ana.sees_modal("in plain text", "as of", "[Terminate…]")


async def test_reason_modal_works_without_its_layout(
    bot: Bot, slack: Workspace, ana: Person, sessions: Sessions
) -> None:
    session = await sessions.open("batch", "other_db", app="asks plainly")
    await ana.command("/pg-sessions other_db", channel="incidents")
    slack.faults.refuse_blocks("rich_text", error="internal_error")
    await ana.choose("Terminate a session", str(session.get_server_pid()))
    await ana.sees_modal("Reason")
    slack.faults.clear()
    await ana.submit({"Reason": "in the way"})
    await ana.sees("Terminate 1 session on main?", "in the way")
    assert bot.errors == []


async def test_recovery_writes_nothing_while_nothing_is_left(
    start: Callable, tmp_path: Path
) -> None:
    bot: Bot = await start(LOG_LEVEL="DEBUG")
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
        other.execute("begin immediate")  # nobody else can write
        await bot.says("speaker.no_ledger", times=2)
        other.execute("rollback")
    assert "recovery.no_ledger" not in bot.output


async def test_log_says_once_that_the_ledger_is_down_and_once_that_it_is_back(
    start: Callable, slack: Workspace, ana: Person
) -> None:
    async with postgres() as server:
        bot: Bot = await start(LEDGER_URL=server.dsn(), LOG_LEVEL="DEBUG")
        await ana.command("/pg-sessions watch some_db", channel="incidents")
        await bot.says("speaker.speaks")
        before = len(bot.lines)
        await server.shut_down()
        await ana.command("/pg-sessions other_db", channel="incidents")
        for each in ("speaker.no_ledger", "recovery.no_ledger", "boards.no_ledger"):
            await bot.says(each)
        await bot.says("notes.waiting", times=2)
        told = [json.loads(each) for each in bot.lines[before:] if '"warning"' in each]
        await server.restart()
        await bot.says("ledger.well_again")
        events = {each["event"] for each in told}
        assert events == {"ledger.trouble"}, told
        assert len({each["problem"] for each in told}) == len(told)
        look = next(json.loads(each) for each in bot.lines[before:] if "request.started" in each)
        assert look["reference"] in await bot.run("history", "--of", "looks")
    assert bot.errors == []
