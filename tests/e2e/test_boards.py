"""Boards: from the command to their end, over Slack's real protocol."""

import asyncio
import json
import signal
from collections.abc import Callable

import asyncpg
import pytest

from tests.e2e.conftest import IN_BOTH_MODES, Bot, becomes
from tests.e2e.test_past import measured
from tests.integration.conftest import BOT, Sessions
from tests.ports import free_port
from workspace import Person, Workspace
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer
from workspace.state import Message

WATCH = "/pg-sessions watch main/"


def boards(person: Person) -> list[Message]:
    """The messages that are being redrawn."""
    return [each for each in person.messages() if "Watching main" in person.text_of(each)]


def shown(slack: Workspace, person: Person, board: Message) -> str:
    """What a board's message shows now; empty if it is gone."""
    found = slack.state.message(board.channel, board.ts)
    return "" if found is None else person.text_of(found)


@IN_BOTH_MODES
async def test_board_shows_trouble_and_leads_to_its_end(
    bot: Bot, slack: Workspace, ana: Person, vera: Person, sessions: Sessions
) -> None:
    holder = await sessions.open("some_user")
    await holder.execute("begin; update accounts set balance = 4711 where id = 3")
    waiter = await sessions.open("web", app="behind")
    blocked = asyncio.create_task(waiter.execute("update accounts set balance = 1 where id = 3"))

    await vera.command(WATCH, channel="incidents")
    board = await ana.sees("Watching main", "waiting 1", "oldest xact", channel="incidents")
    assert "4711" not in str(board.blocks) + board.text
    first = ana.text_of(board)
    await slack.state.log.until(lambda: shown(slack, ana, board) != first, PATIENCE)

    await vera.click("Why", in_message=board)
    await vera.sees("main: 1 problem", "held by", str(holder.get_server_pid()))
    await ana.choose("Terminate a session…", f"{holder.get_server_pid()} · some_user")
    await ana.sees_modal("pid ")
    await ana.submit()
    await ana.sees("Terminate 1 session on main?", str(holder.get_server_pid()))
    await ana.click("Terminate 1 session")
    await ana.sees("Terminated 1 of 1 on main")
    await blocked
    await becomes(slack, ana, board, "waiting 0")

    await vera.click("Stop watching", in_message=board)
    await becomes(slack, ana, board, "Stopped watching main", "stopped it")
    assert boards(ana) == []
    assert bot.errors == []


def speaking(replicas: list[Bot]) -> list[Bot]:
    """The replicas that have not fallen silent since they last took the lease."""

    def said(bot: Bot, event: str) -> int:
        return sum(event in line for line in bot.lines)

    return [
        each for each in replicas if said(each, "speaker.speaks") > said(each, "speaker.silent")
    ]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_other_replica_goes_on_in_the_same_message(
    start: Callable, ledger_url: str, slack: Workspace, ana: Person, number: signal.Signals
) -> None:
    replicas = [await start(LEDGER_URL=ledger_url) for _ in range(2)]
    await slack.connected(2)
    await ana.command(WATCH, channel="incidents")
    board = await ana.sees("Watching main", "as of", channel="incidents")
    (speaker,) = speaking(replicas)
    (other,) = [each for each in replicas if each is not speaker]
    before = shown(slack, ana, board)

    await speaker.stop(number)
    await other.says("speaker.speaks")
    await slack.state.log.until(lambda: shown(slack, ana, board) != before, PATIENCE)

    assert [each.ts for each in boards(ana)] == [board.ts]
    await slack.connected(1)
    await ana.click("Stop watching", in_message=board)
    await becomes(slack, ana, board, "Stopped watching main")
    assert other.errors == []


async def killed_while_posting(
    start: Callable, ledger_url: str, slack: Workspace, person: Person, *, ago: int
) -> None:
    """A board is asked for, and its bot is killed while it posts it, as if so many seconds ago."""
    bot: Bot = await start(LEDGER_URL=ledger_url)
    slack.faults.slow("chat.postMessage", seconds=600)
    await person.command(WATCH, channel="incidents", wait=False)
    await slack.state.log.until(lambda: not slack.faults.in_force(), PATIENCE)
    await bot.stop(signal.SIGKILL)
    ledger = await asyncpg.connect(ledger_url)
    await ledger.execute(f"update boards set since = since - {ago} * 1000000")
    await ledger.execute("update leases set until = 0")
    await ledger.close()


async def test_board_whose_bot_was_killed_while_it_posted_appears_after_the_restart(
    start: Callable, ledger_url: str, slack: Workspace, ana: Person
) -> None:
    await killed_while_posting(start, ledger_url, slack, ana, ago=30)
    await start(LEDGER_URL=ledger_url)
    await ana.sees("Watching main", "redrawn every", "as of", channel="incidents")
    assert len(boards(ana)) == 1


async def test_unposted_board_is_not_posted_once_the_right_is_gone(
    start: Callable, ledger_url: str, slack: Workspace, vera: Person
) -> None:
    await killed_while_posting(start, ledger_url, slack, vera, ago=40)
    bot = await start(LEDGER_URL=ledger_url, PG_SESSIONS_ALLOWLIST="")
    assert '"why": "right"' in await bot.says("board.ended")
    await bot.stop()
    assert [m for m in slack.messages("incidents") if "board of main" in m.text] == []


async def test_only_who_may_look_stops_a_board_and_the_attempt_is_recorded(
    bot: Bot, slack: Workspace, ana: Person, sessions: Sessions
) -> None:
    sam = slack.person("sam")
    slack.state.join("C0INCIDENTS", sam.id)
    await ana.command(WATCH, channel="incidents")
    board = await ana.sees("Watching main", "as of")
    await sam.click("Stop watching", in_message=board, channel="incidents")
    await sam.sees("You may not look at sessions here", channel="incidents")
    assert "Watching main" in shown(slack, ana, board)
    await ana.opens_home()
    await ana.sees_home("Boards", "main · since", "open it")
    await ana.click("Stop watching", in_message=board)
    await becomes(slack, ana, board, "Stopped watching main")
    assert await bot.stop() == 0
    refused = json.loads(await bot.run("history", "--of", "refusals"))
    assert (refused["by"], refused["what"]) == (sam.id, "board.stop main")


@pytest.mark.parametrize("channel", ["shared", "secret", "bot"])
async def test_board_is_refused_where_the_channel_would_not_see_it(
    bot: Bot, slack: Workspace, ana: Person, channel: str
) -> None:
    await ana.command(WATCH, channel=channel)
    refusal = await ana.sees("there can't be one here", channel=channel)
    assert refusal.receiver == ana.id
    assert not [each for each in ana.messages() if "Watching" in ana.text_of(each)]
    assert "Watching" not in ana.screen(channel)
    assert bot.errors == []


async def test_without_samples_there_are_no_boards(
    start: Callable, slack: Workspace, ana: Person, ledger_url: str
) -> None:
    bot: Bot = await start(LEDGER_URL=ledger_url)
    await ana.command(WATCH, channel="incidents")
    board = await ana.sees("Watching main", "as of")
    await bot.stop()
    await start(LEDGER_URL=ledger_url, SAMPLE_EVERY="0")
    await becomes(slack, ana, board, "the bot's version or settings have changed")
    await ana.command(WATCH, channel="incidents")
    await ana.sees("there are no boards, because SAMPLE_EVERY is 0")
    await ana.command("/pg-sessions watch main/ private", channel="incidents")
    await ana.sees("a board is a message that the whole channel sees")


async def test_metrics_count_the_boards_that_are_drawn(
    start: Callable, ana: Person, ledger_url: str
) -> None:
    port = free_port()
    await start(LEDGER_URL=ledger_url, HEALTH_PORT=str(port))
    await ana.command(WATCH, channel="incidents")
    await ana.sees("Watching main", "as of")
    await measured(port, "pg_sessions_boards_open 1.0")


async def test_cluster_of_a_board_is_chosen_if_there_are_several(
    start: Callable, server: PostgresServer, slack: Workspace, ana: Person, vera: Person
) -> None:
    bot: Bot = await start(DATABASE_URL_PROD=server.dsn(user=BOT, database="some_db"))
    await ana.command("/pg-sessions watch", channel="incidents")
    choice = await ana.sees("A board watches one cluster. Which one do you mean?")
    assert choice.receiver == ana.id
    await ana.click("prod/", in_message=choice)
    await vera.sees("Watching prod", "as of", channel="incidents")
    assert boards(ana) == []
    assert bot.errors == []
