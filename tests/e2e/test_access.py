"""Who may do what, and where: at the command, and again at every click."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.e2e.conftest import IN_BOTH_MODES, Bot
from tests.integration.conftest import Sessions
from workspace import Person, Workspace

NOT_HERE = "You may not end sessions here"


@IN_BOTH_MODES
async def test_stranger_is_refused_privately_and_on_record(
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


async def test_everyone_may_look_except_guests_and_outsiders(
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


async def test_group_members_are_known_from_the_start(
    start: Callable, slack: Workspace, ana: Person, sessions: Sessions
) -> None:
    await sessions.open("batch", app="grouped")
    await start(PG_KILL_ALLOWLIST=slack.group("oncall").id)
    await ana.command("/pg-kill app=grouped", channel="incidents")
    await ana.sees("Terminate 1 session on main?")


async def test_click_from_another_workspace_is_refused_even_if_listed(
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


async def test_shared_channel_gets_no_answer_and_no_kill(
    bot: Bot, slack: Workspace, ana: Person
) -> None:
    answer = await ana.command("/pg-sessions some_db", channel="shared")
    assert answer.receiver == ana.id
    await ana.sees("another workspace shares this channel")
    await ana.command("/pg-kill user=batch", channel="shared")
    await ana.sees("the bot ends no session here", "Only visible to you", channel="shared")
    assert slack.person("olga").messages("shared") == []


async def test_channel_that_becomes_shared_can_no_longer_kill(
    bot: Bot, slack: Workspace, ana: Person, sessions: Sessions
) -> None:
    """What Slack said a moment ago does not count: it is asked again before each kill."""
    victim = await sessions.open("batch", app="shared now")
    incidents = slack.channel("incidents")
    await ana.command('/pg-kill app="shared now"', channel="incidents")
    slack.state.put_channel(replace(incidents, connected_team_ids=("T0GLOBEX",)))

    await ana.click("Terminate 1 session")
    refusal = await ana.sees("the bot ends no session here", "Only visible to you")
    await ana.command('/pg-kill app="shared now"', channel="incidents")
    await ana.sees("the bot ends no session here", after=refusal)
    assert await victim.fetchval("select true")

    slack.state.put_channel(incidents)
    await ana.click("Terminate 1 session")
    await ana.sees("Terminated 1 of 1 on main")


@pytest.mark.parametrize("path", [None, "channel", "channel.is_ext_shared"])
async def test_no_kill_if_slack_does_not_say_who_reads_the_channel(
    bot: Bot, slack: Workspace, ana: Person, sessions: Sessions, path: str | None
) -> None:
    victim = await sessions.open("batch", app="not told")
    await ana.command('/pg-kill app="not told"', channel="incidents")
    if path is None:
        slack.faults.fail("conversations.info", times=2)
    else:
        slack.faults.leave_out("conversations.info", path)

    await ana.click("Terminate 1 session")
    await ana.sees("Slack did not say just now", "Try again", "Only visible to you")
    assert await victim.fetchval("select true")

    await ana.click("Terminate 1 session")
    await ana.sees("Terminated 1 of 1 on main")


async def test_look_is_private_if_slack_does_not_say_who_reads_the_channel(
    bot: Bot, slack: Workspace, ana: Person
) -> None:
    slack.faults.leave_out("conversations.info", "channel.is_ext_shared")
    answer = await ana.command("/pg-sessions some_db", channel="incidents")
    assert answer.receiver == ana.id
    await ana.sees("only you see this: Slack did not say just now who shares this channel")


async def test_a_private_channel_without_the_bot_gets_the_hint_to_invite_it(
    bot: Bot, ana: Person
) -> None:
    answer = await ana.command("/pg-sessions some_db", channel="secret")
    assert answer.receiver == ana.id
    await ana.command("/pg-kill user=batch", channel="secret")
    await ana.sees("nvite", channel="secret", after=answer)


async def test_kill_is_refused_in_a_direct_message(bot: Bot, ana: Person) -> None:
    await ana.command("/pg-kill user=batch", channel="ana-ben")
    await ana.sees("happens only where others can see it", channel="ana-ben")


async def test_kill_is_refused_in_a_group_direct_message(
    bot: Bot, slack: Workspace, ana: Person, sessions: Sessions
) -> None:
    """Nobody can invite the bot there, so nobody is told to."""
    group = slack.channel("mpdm-ana--ben--vera-1").name
    session = await sessions.open("batch", "other_db")
    answer = await ana.command("/pg-sessions other_db", channel=group)
    assert answer.receiver == ana.id
    await ana.command("/pg-kill user=batch", channel=group)
    await ana.sees("happens only where others can see it: ask in a channel", channel=group)
    await ana.choose("Show a session", str(session.get_server_pid()))
    await ana.sees_modal("other_db")
    await ana.click("Terminate…")
    await ana.sees_modal("happens only where others can see it: ask in a channel")
    assert ana.does_not_see("nvite", channel=group)
    assert slack.calls("conversations.info") == []


async def test_on_enterprise_grid_sister_workspace_members_may_if_named(
    start: Callable, slack: Workspace, ana: Person, sessions: Sessions
) -> None:
    slack.form_enterprise()
    uma = slack.person("uma")
    victim = await sessions.open("batch", app="grid")
    await start(PG_KILL_ALLOWLIST=f"{ana.id},{uma.id}", PG_SESSIONS_ALLOWLIST="*")
    await ana.command("/pg-kill app=grid", channel="org")

    slack.faults.refuse("users.info", "user_not_found")
    await uma.click("Terminate 1 session", channel="org")
    refusal = await uma.sees("Slack did not say who you are", "Try again", channel="org")
    assert "own workspace" not in uma.text_of(refusal)
    assert await victim.fetchval("select true")

    await uma.click("Terminate 1 session", channel="org")
    await uma.sees("Terminated 1 of 1 on main", "confirmed by @uma", channel="org")


async def test_on_enterprise_grid_star_covers_only_the_own_workspace(
    start: Callable, slack: Workspace, ana: Person
) -> None:
    slack.form_enterprise()
    uma = slack.person("uma")
    await start(PG_KILL_ALLOWLIST=slack.user("ben").id, PG_SESSIONS_ALLOWLIST="*")
    await ana.command("/pg-sessions some_db", channel="org")
    await uma.click("Refresh", channel="org")
    await uma.sees("You may not look at sessions here", "everyone in this workspace except guests")


async def test_commands_work_only_in_allowed_channels(
    start: Callable, slack: Workspace, ana: Person
) -> None:
    await start(ALLOWED_CHANNELS=slack.channel("war-room").id)
    await ana.command("/pg-sessions some_db", channel="incidents")
    await ana.sees("ALLOWED_CHANNELS", channel="incidents")
    await ana.command("/pg-sessions some_db", channel="war-room")
    await ana.sees("some_db on main", channel="war-room")


async def test_right_lost_between_preview_and_click_is_missing(
    start: Callable, slack: Workspace, ana: Person, ben: Person, sessions: Sessions, tmp_path
) -> None:
    """Every click is authorized again: after a restart with another allowlist it is refused."""
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
