"""Who may, and where: on the command, and again on every click."""

import asyncio
import json
from collections.abc import Callable

import pytest

from tests.e2e.conftest import Bot
from tests.integration.conftest import Sessions
from workspace import Person, Workspace

NOT_HERE = "You may not end sessions here"


async def test_a_stranger_is_refused_alone_and_on_record(
    bot: Bot, slack: Workspace, sessions: Sessions
) -> None:
    sam = slack.person("sam")
    await sam.command("/pg-kill  user='batch' -- s3cret", channel="incidents")
    refusal = await sam.sees(NOT_HERE, "PG_KILL_ALLOWLIST", "Only visible to you")
    assert refusal.receiver == sam.id
    await sam.command("/pg-sessions some_db", channel="incidents")
    await sam.sees("You may not look at sessions here", "PG_SESSIONS_ALLOWLIST")
    await sam.command("/pg-sessions password=s3cret", channel="incidents")
    assert slack.person("ana").does_not_see("/pg-kill", channel="incidents")
    assert await bot.stop() == 0
    printed = await bot.run("history", "--of", "refusals")
    assert [json.loads(line)["what"] for line in reversed(printed.splitlines())] == [
        "/pg-kill user=batch",
        "/pg-sessions some_db",
        "/pg-sessions (not understood)",
    ]


async def test_an_empty_allowlist_means_nobody(start: Callable, ana: Person) -> None:
    await start(PG_KILL_ALLOWLIST="", PG_SESSIONS_ALLOWLIST="")
    await ana.command("/pg-kill user=batch", channel="incidents")
    await ana.sees(NOT_HERE, "Nobody may")
    await ana.command("/pg-sessions", channel="incidents")
    await ana.sees("You may not look at sessions here")


async def test_everyone_may_look_but_guests_and_outsiders(
    start: Callable, slack: Workspace
) -> None:
    await start(PG_SESSIONS_ALLOWLIST="*")
    sam, gus = slack.person("sam"), slack.person("gus")
    await sam.command("/pg-sessions some_db", channel="incidents")
    await sam.sees("some_db on main")
    await gus.command("/pg-sessions some_db", channel="incidents")
    await gus.sees("You may not look at sessions here", "Only visible to you")


async def test_a_disabled_group_is_empty(start: Callable, slack: Workspace) -> None:
    await start(PG_KILL_ALLOWLIST=slack.group("old").id)
    sam = slack.person("sam")
    await sam.command("/pg-kill user=batch", channel="incidents")
    await sam.sees(NOT_HERE)


async def test_a_group_counts_by_its_members_of_the_start(
    start: Callable, slack: Workspace, ana: Person, sessions: Sessions
) -> None:
    await sessions.open("batch", app="grouped")
    await start(PG_KILL_ALLOWLIST=slack.group("oncall").id)
    await ana.command("/pg-kill app=grouped", channel="incidents")
    await ana.sees("Terminate 1 session on main?")


async def test_a_click_of_another_workspace_is_refused_though_listed(
    start: Callable, slack: Workspace, ana: Person, sessions: Sessions
) -> None:
    victim = await sessions.open("batch", app="foreign")
    olga = slack.person("olga")
    await start(
        PG_KILL_ALLOWLIST=f"{ana.id},{olga.id}", ALLOWED_CHANNELS=slack.channel("shared").id
    )
    await ana.command("/pg-kill app=foreign", channel="shared")
    await ana.sees("Terminate 1 session on main?", channel="shared")

    await olga.click("Terminate 1 session", channel="shared")

    await olga.sees("You may not end sessions here", "own workspace", channel="shared")
    assert await victim.fetchval("select true")


async def test_a_shared_channel_sees_neither_an_answer_nor_a_kill(
    bot: Bot, slack: Workspace, ana: Person
) -> None:
    answer = await ana.command("/pg-sessions some_db", channel="shared")
    assert answer.receiver == ana.id
    await ana.sees("another workspace shares this channel")
    await ana.command("/pg-kill user=batch", channel="shared")
    await ana.sees("no session is ended here", "Only visible to you", channel="shared")
    assert slack.person("olga").messages("shared") == []


async def test_a_private_channel_without_the_bot_gets_the_hint_to_invite_it(
    bot: Bot, ana: Person
) -> None:
    answer = await ana.command("/pg-sessions some_db", channel="secret")
    assert answer.receiver == ana.id
    await ana.command("/pg-kill user=batch", channel="secret")
    await ana.sees("nvite", channel="secret", after=answer)


async def test_a_direct_message_is_no_place_for_a_kill(bot: Bot, ana: Person) -> None:
    await ana.command("/pg-kill user=batch", channel="ana-ben")
    await ana.sees("happens where others see it", channel="ana-ben")


async def test_commands_are_confined_to_the_channels_that_are_allowed(
    start: Callable, slack: Workspace, ana: Person
) -> None:
    await start(ALLOWED_CHANNELS=slack.channel("war-room").id)
    await ana.command("/pg-sessions some_db", channel="incidents")
    await ana.sees("ALLOWED_CHANNELS", channel="incidents")
    await ana.command("/pg-sessions some_db", channel="war-room")
    await ana.sees("some_db on main", channel="war-room")


async def test_a_right_that_is_lost_between_preview_and_click_counts(
    start: Callable, slack: Workspace, ana: Person, ben: Person, sessions: Sessions, tmp_path
) -> None:
    """Every click is authorized afresh: another allowlist after a restart refuses it."""
    victim = await sessions.open("batch", app="afresh")
    bot = await start()
    await ana.command("/pg-kill app=afresh", channel="incidents")
    await bot.stop()
    await start(PG_KILL_ALLOWLIST=ana.id)

    await ben.click("Terminate 1 session", channel="incidents")

    await ben.sees(NOT_HERE)
    assert await victim.fetchval("select true")
    await ana.click("Terminate 1 session", channel="incidents")
    await ana.sees("Terminated 1 of 1 on main")


@pytest.mark.parametrize("channel", ["random", "war-room"])
async def test_public_and_private_channels_are_answered_in_the_channel(
    bot: Bot, ana: Person, channel: str
) -> None:
    answer = await ana.command("/pg-sessions some_db", channel=channel)
    assert not answer.is_ephemeral
    await asyncio.sleep(0)
