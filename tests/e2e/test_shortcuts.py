"""Message shortcuts: a form on a message, and everything that follows in the message's thread."""

import json
import os
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.conftest import IN_BOTH_MODES, Bot, becomes
from tests.integration.conftest import Sessions
from tests.integration.kills import lives
from workspace import Person, Workspace
from workspace.state import Message

SHOW, END = "Show PostgreSQL sessions", "End a PostgreSQL session"


@pytest.fixture
def alarm(ana: Person) -> Message:
    """The message about which a thread begins."""
    return ana.say("Logins of web fail", "incidents")


async def use(person: Person, shortcut: str, message: Message, text: str) -> None:
    await person.shortcut(shortcut, message)
    await person.sees_modal(shortcut)
    await person.submit({"request": text})


def of_the_bot(slack: Workspace, channel: str = "incidents") -> list[Message]:
    return [m for m in slack.messages(channel) if m.user == slack.state.app.user_id]


@IN_BOTH_MODES
async def test_sessions_are_shown_in_the_thread_of_the_message(
    bot: Bot, slack: Workspace, ana: Person, alarm: Message
) -> None:
    await use(ana, SHOW, alarm, "some_db")
    shown = await ana.sees("some_db on main", "asked by")
    assert ana.modal is None
    assert (shown.thread_ts, shown.broadcast) == (alarm.ts, False)
    await bot.says('"what": "/pg-sessions"')


@IN_BOTH_MODES
async def test_kill_stays_in_its_thread_and_the_channel_sees_it(
    bot: Bot, slack: Workspace, ana: Person, vera: Person, sessions: Sessions, alarm: Message
) -> None:
    victim = await sessions.open("batch", app="threaded")
    await use(ana, END, alarm, "app=threaded -- blocks the deploy")
    preview = await ana.sees("Terminate 1 session on main?", "blocks the deploy")
    assert (preview.thread_ts, preview.broadcast) == (alarm.ts, True)
    await vera.click("Terminate 1 session", in_message=preview)
    assert (await vera.sees("You may not end sessions here")).thread_ts == alarm.ts
    await ana.click("Terminate 1 session", in_message=preview)
    outcome = await becomes(slack, ana, preview, "Terminated 1 of 1 on main")
    assert (outcome.thread_ts, outcome.broadcast) == (alarm.ts, True)
    assert not await lives(victim)


@pytest.mark.parametrize("in_a_thread", [True, False])
async def test_reply_leads_to_the_thread_that_it_is_in(
    bot: Bot, ana: Person, alarm: Message, in_a_thread: bool
) -> None:
    message = ana.say("since 12:00", under=alarm) if in_a_thread else alarm
    await use(ana, SHOW, message, "")
    assert (await ana.sees("main · PostgreSQL")).thread_ts == alarm.ts


@pytest.mark.parametrize(
    ("shortcut", "typed", "words"),
    [
        (SHOW, "stat=idle", "stat=idle: no such filter. Did you mean state=?"),
        (END, "user=batch 33507", "pids"),
        (END, "some_db", "all"),
    ],
)
async def test_what_cant_be_understood_is_told_under_the_field(
    bot: Bot, slack: Workspace, ana: Person, alarm: Message, shortcut: str, typed: str, words: str
) -> None:
    await use(ana, shortcut, alarm, typed)
    view = await ana.sees_modal(shortcut, "⚠", words, typed)
    assert [block for block, _ in view.errors] == ["request"]
    assert of_the_bot(slack) == []


@pytest.mark.parametrize(
    ("shortcut", "typed"), [(SHOW, "/pg-sessions some_db"), (END, "/pg-kill user=batch")]
)
async def test_pasted_command_is_taken_without_its_name(
    bot: Bot, ana: Person, sessions: Sessions, alarm: Message, shortcut: str, typed: str
) -> None:
    await sessions.open("batch", app="pasted")
    await use(ana, shortcut, alarm, typed)
    answer = await ana.sees("on main")
    assert answer.thread_ts == alarm.ts


async def test_form_takes_each_character_as_it_was_typed(
    bot: Bot, slack: Workspace, ana: Person, sessions: Sessions, alarm: Message
) -> None:
    # Slack escapes what is typed after a command, and nothing that is typed in a form.
    meant = await sessions.open("batch", app="a&lt;b")
    other = await sessions.open("batch", app="a<b")
    await use(ana, END, alarm, 'app="a&lt;b"')
    preview = await ana.sees("Terminate 1 session on main?", str(meant.get_server_pid()))
    assert str(other.get_server_pid()) not in ana.text_of(preview)

    await ana.opens_home()
    await ana.sees_home("main · ")
    await ana.click("End a session…")
    await ana.sees_modal("Preview a kill")
    await ana.submit({"request": 'app="a<b"', "channel": "C0INCIDENTS"})
    await ana.close_modal()
    await ana.sees("Terminate 1 session on main?", str(other.get_server_pid()), after=preview)
    await ana.opens_home()
    await ana.click("End a session…")
    await ana.sees_modal("Preview a kill")
    await ana.submit({"request": 'app="a&amp;lt;b"', "channel": "C0INCIDENTS"})
    await ana.close_modal()
    await ana.sees("Nothing to terminate on main", channel="incidents")


async def test_help_lies_over_the_form_which_keeps_its_text(
    bot: Bot, ana: Person, alarm: Message
) -> None:
    await use(ana, END, alarm, "help")
    await ana.sees_modal("/pg-kill history", "[Back]")
    await ana.close_modal()
    await ana.sees_modal(END, "= help")


async def test_stranger_is_refused_in_the_form_when_it_opens(
    bot: Bot, slack: Workspace, alarm: Message
) -> None:
    sam = slack.person("sam")
    await sam.shortcut(END, alarm)
    await sam.sees_modal("You may not end sessions here", "PG_KILL_ALLOWLIST")
    assert sam.modal is not None
    assert "submit" not in sam.modal.body
    assert await bot.stop() == 0
    printed = await bot.run("history", "--of", "refusals")
    assert [json.loads(line)["what"] for line in printed.splitlines()] == ["pg_kill_here"]


async def test_right_lost_while_the_form_is_open_is_refused_at_submission(
    bot: Bot, slack: Workspace, ana: Person, vera: Person, sessions: Sessions, alarm: Message
) -> None:
    """A form's metadata is no authority either: vera submits what ana opened."""
    await sessions.open("batch", app="not hers")
    await ana.shortcut(END, alarm)
    view = await ana.sees_modal(END)
    ana.fill({"request": "app='not hers' -- s3cret"})
    slack.state.set_input(
        view.id, vera.id, ("request", "request"), {"type": "plain_text_input", "value": "x"}
    )
    await slack.interactions.submit(vera.user, view)
    await bot.says('"why": "not in PG_KILL_ALLOWLIST')
    assert of_the_bot(slack) == []


async def test_kill_of_a_cluster_without_the_right_keeps_the_form(
    start: Callable, ana: Person, ben: Person, environment: dict[str, str], alarm: Message
) -> None:
    await start(
        DATABASE_URL_PROD=environment["DATABASE_URL"].replace("127.0.0.1", "localhost"),
        PG_KILL_ALLOWLIST_PROD=ben.id,
    )
    await use(ana, END, alarm, "prod/ user=batch")
    await ana.sees_modal("You may not", "PG_KILL_ALLOWLIST_PROD", "[Back]")
    await ana.close_modal()
    await ana.sees_modal(END, "= prod/ user=batch")


async def test_only_named_channels_take_shortcuts(
    start: Callable, slack: Workspace, ana: Person, alarm: Message
) -> None:
    await start(ALLOWED_CHANNELS=slack.channel("war-room").id)
    await ana.shortcut(SHOW, alarm)
    await ana.sees_modal("does not answer in this channel", "#war-room")


@pytest.mark.parametrize("channel", ["ana-ben", "shared", "secret"])
async def test_kill_is_refused_where_others_may_read_or_nobody_does(
    bot: Bot, slack: Workspace, ana: Person, channel: str
) -> None:
    words = {
        "ana-ben": "A kill happens only where others can see it",
        "shared": "Another workspace shares this channel",
        "secret": "Invite the bot to it",
    }[channel]
    message = ana.say("Logins of web fail", channel)
    await ana.shortcut(END, message)
    await ana.sees_modal(words)
    assert of_the_bot(slack, channel) == []


@pytest.mark.parametrize("is_begun", [False, True])
@pytest.mark.parametrize("channel", ["shared", "secret"])
async def test_look_is_for_one_person_where_others_may_read(
    bot: Bot, ana: Person, channel: str, is_begun: bool
) -> None:
    """An ephemeral reply shows only in a thread that has replies."""
    message = ana.say("Logins of web fail", channel)
    if is_begun:
        message = ana.say("since 12:00", under=message)
    await use(ana, SHOW, message, "some_db")
    shown = await ana.sees("some_db on main", "only you see this")
    assert shown.is_ephemeral
    in_thread = is_begun and channel == "shared"  # the bot is not in the other one
    assert shown.thread_ts == (message.thread_ts if in_thread else None)


async def test_channel_without_the_bot_gets_the_answer_in_its_thread(bot: Bot, ana: Person) -> None:
    message = ana.say("Logins of web fail", "random")
    await use(ana, SHOW, message, "some_db")
    assert (await ana.sees("some_db on main")).thread_ts == message.ts


@pytest.mark.parametrize("shortcut", [SHOW, END])
async def test_deleted_message_leaves_the_answer_to_the_channel(
    bot: Bot, ana: Person, sessions: Sessions, alarm: Message, shortcut: str
) -> None:
    await sessions.open("batch", app="deleted")
    await ana.shortcut(shortcut, alarm)
    await ana.sees_modal(shortcut)
    ana.delete(alarm)
    await ana.submit({"request": "user=batch"})
    told = await ana.sees("in the channel, not in the thread", "first message is gone")
    assert told.is_ephemeral
    assert (await ana.sees("on main" if shortcut == END else "main · PostgreSQL")).thread_ts is None


async def test_form_that_slack_does_not_open_is_told(
    bot: Bot, slack: Workspace, ana: Person, alarm: Message
) -> None:
    slack.faults.refuse("views.open", "expired_trigger_id")
    await ana.shortcut(SHOW, alarm)
    told = await ana.sees("Slack did not show the window", "Use the shortcut again")
    assert told.is_ephemeral


async def test_form_opens_before_slack_answers_about_the_channel(
    bot: Bot, slack: Workspace, ana: Person, alarm: Message
) -> None:
    slack.faults.slow("conversations.info", seconds=2)
    await ana.shortcut(END, alarm)
    await ana.sees_modal(END)
    assert slack.calls("conversations.info") == []


async def test_preview_of_a_row_and_preview_again_stay_in_the_thread(
    start: Callable,
    slack: Workspace,
    ana: Person,
    sessions: Sessions,
    alarm: Message,
    tmp_path: Path,
) -> None:
    victim = await sessions.open("batch", "other_db", app="row")
    pid = str(victim.get_server_pid())
    await start(CONFIRM_TTL="1")
    await use(ana, SHOW, alarm, "other_db")
    shown = await ana.sees("other_db on main", pid)
    await ana.choose("Terminate a session", pid, in_message=shown)
    await ana.sees_modal("Reason")
    await ana.submit()
    preview = await ana.sees("Terminate 1 session on main?", pid)
    assert (preview.thread_ts, preview.broadcast) == (alarm.ts, True)
    preview = await becomes(slack, ana, preview, "Preview again")
    await ana.click("Preview again", in_message=preview)
    again = await ana.sees("Terminate 1 session on main?", after=preview)
    assert (again.thread_ts, again.broadcast) == (alarm.ts, True)
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as ledger:
        assert ledger.execute("select thread_ts from kills").fetchall() == [(alarm.ts,)] * 2


async def test_preview_from_the_session_modal_stays_in_the_thread(
    bot: Bot, ana: Person, sessions: Sessions, alarm: Message
) -> None:
    victim = await sessions.open("batch", "other_db", app="inspected")
    pid = str(victim.get_server_pid())
    await use(ana, SHOW, alarm, "other_db")
    shown = await ana.sees("other_db on main", pid)
    await ana.choose("Show a session", pid, in_message=shown)
    await ana.sees_modal(f"pid {pid}", "batch")
    await ana.click("Terminate")
    assert (await ana.sees("Terminate 1 session on main?")).thread_ts == alarm.ts


async def test_board_stands_in_the_thread_where_it_was_asked_for(
    bot: Bot, slack: Workspace, ana: Person, alarm: Message
) -> None:
    await use(ana, SHOW, alarm, "watch main/")
    board = await ana.sees("Watching main", "Stop watching")
    assert (board.thread_ts, board.broadcast) == (alarm.ts, False)
    await ana.click("Stop watching", in_message=board)
    await becomes(slack, ana, board, "Stopped watching main")


async def test_another_replica_shows_an_outcome_in_its_thread(
    ledger_url: str,
    start: Callable,
    slack: Workspace,
    ana: Person,
    sessions: Sessions,
    alarm: Message,
) -> None:
    """The bot that signalled died, and the preview's message was deleted."""
    victim = await sessions.open("batch", app="orphan")
    died = await start(LEDGER_URL=ledger_url)
    await use(ana, END, alarm, "app=orphan")
    preview = await ana.sees("Terminate 1 session on main?")
    os.kill(victim.get_server_pid(), signal.SIGSTOP)
    try:
        await ana.click("Terminate 1 session", in_message=preview)
        await died.says("kill.signal")
        await died.stop(signal.SIGKILL)
        slack.state.delete(slack.state.message(preview.channel, preview.ts) or preview)
        await start(LEDGER_URL=ledger_url)
        outcome = await ana.sees("interrupted")
        assert (outcome.thread_ts, outcome.broadcast) == (alarm.ts, True)
    finally:
        os.kill(victim.get_server_pid(), signal.SIGCONT)
