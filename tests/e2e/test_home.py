"""The Home tab: what each person sees there, and how they ask from it."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.e2e.conftest import IN_BOTH_MODES, Bot
from tests.integration.conftest import Sessions
from tests.integration.kills import lives
from workspace import Person, Workspace
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer
from workspace.state import View


@IN_BOTH_MODES
async def test_home_says_what_its_person_may_do_and_why(
    bot: Bot, slack: Workspace, ana: Person, ben: Person, vera: Person
) -> None:
    await ana.opens_home()
    await ana.sees_home("main · PostgreSQL", "end sessions: PG_KILL_ALLOWLIST has @oncall")
    assert "None waits for a click." in ana.home_text()
    await ben.opens_home()
    await ben.sees_home("PG_KILL_ALLOWLIST has you by name and @oncall")
    await vera.opens_home()
    await vera.sees_home("You may look: PG_SESSIONS_ALLOWLIST has you by name")
    assert "pg-kill" not in vera.home_text()
    assert "End a session" not in vera.home_text()
    assert bot.errors == []


async def test_home_refuses_strangers_guests_and_other_workspaces_plainly(
    start: Callable, slack: Workspace
) -> None:
    bot = await start(PG_SESSIONS_ALLOWLIST="*")
    gus, olga, sam = slack.people("gus", "olga", "sam")
    await sam.opens_home()
    await sam.sees_home("main · ", "everyone in this workspace except guests")
    for person, why in ((gus, "A guest must be on a list by name."), (olga, "only people of the")):
        await person.opens_home()
        await person.sees_home(why)
        shown = person.home_text()
        assert "main" not in shown
        assert slack.user("ben").name not in shown
        assert "[" not in shown  # nothing to press
    assert bot.errors == []


@IN_BOTH_MODES
async def test_look_asked_from_home_goes_to_the_chosen_channel(
    bot: Bot, slack: Workspace, vera: Person, sessions: Sessions
) -> None:
    await sessions.open("some_user", app="holder")
    await vera.opens_home()
    await vera.sees_home("main · ")
    await vera.click("Sessions")
    form = await vera.sees_modal("Look at sessions", "/pg-sessions")
    assert "initial_value': 'main/'" in str(form.body)
    await vera.submit({"request": "some_db", "channel": slack.channel("incidents").id})
    await vera.sees_modal("The answer is on its way to #incidents.")
    await vera.close_modal()
    await vera.sees("some_user", "asked by @vera", channel="incidents")
    assert bot.errors == []


async def test_kill_asked_from_home_is_a_preview_that_others_confirm(
    bot: Bot, slack: Workspace, ana: Person, ben: Person, sessions: Sessions, server: PostgresServer
) -> None:
    session = await sessions.open("some_user", app="holder")
    await ana.opens_home()
    await ana.sees_home("main · ")
    await ana.click("End a session…")
    await ana.sees_modal("Preview a kill")
    await ana.submit({"request": "user=some_user -- holds the slot", "channel": "C0INCIDENTS"})
    preview = await ana.sees("Terminate 1 session", channel="incidents")
    await ana.close_modal()
    assert await lives(session)

    before = await _home_of(ben)
    link = f"https://acme.slack.com/archives/{preview.channel}/p{preview.ts.replace('.', '')}"
    await ben.sees_home("Terminate 1 session on main · asked by @ana", "open it in #incidents")
    assert link in str(before.body)

    await ben.click("Terminate", channel="incidents")
    await ben.sees("Terminated 1 of 1", channel="incidents")
    await ben.opens_home()
    await ben.sees_home("None waits for a click.", after=before)
    assert bot.errors == []


async def _home_of(person: Person) -> View:
    """Their Home tab, once it links to a preview: where that is goes on record after it is seen."""
    async with asyncio.timeout(PATIENCE):
        while "open it" not in person.home_text():
            await person.opens_home()
            await asyncio.sleep(0.05)
    return await person.sees_home("open it")


@pytest.mark.parametrize(
    ("channel", "words"),
    [
        ("shared", "Another workspace shares this channel"),
        ("secret", "Invite the bot"),
    ],
)
async def test_kill_asked_from_home_keeps_to_the_rules_of_places(
    bot: Bot, slack: Workspace, ana: Person, sessions: Sessions, channel: str, words: str
) -> None:
    await sessions.open("some_user", app="holder")
    await ana.opens_home()
    await ana.sees_home("main · ")
    await ana.click("End a session…")
    await ana.sees_modal("Preview a kill")
    await ana.submit({"request": "user=some_user", "channel": slack.channel(channel).id})
    await ana.sees_modal(words)
    assert ana.does_not_see("Terminate", channel=channel)


@IN_BOTH_MODES
async def test_answer_goes_to_no_channel_that_its_person_is_not_in(
    bot: Bot, slack: Workspace, ana: Person, ben: Person, sessions: Sessions
) -> None:
    session = await sessions.open("some_user", app="holder")
    random = slack.channel("random").id
    slack.state.leave(random, ana.id)
    for button, request in (("Look at sessions", "some_db"), ("End a session…", "user=some_user")):
        await ana.opens_home()
        await ana.sees_home("main · ")
        await ana.click(button)
        await ana.sees_modal("Where the answer goes")
        await ana.submit({"request": request, "channel": random})
        await ana.sees_modal("You aren't in this channel. Join it first, or choose one")
        await ana.close_modal()
    assert not [each for each in slack.messages("random") if "holder" in ben.text_of(each)]
    assert "kill.proposed" not in bot.output

    slack.state.join(random, ana.id)
    await ana.click("End a session…")
    await ana.sees_modal("Preview a kill")
    await ana.submit({"request": "user=some_user", "channel": random})
    await ben.sees("Terminate 1 session", channel="random")
    assert await lives(session)
    assert bot.errors == []


async def test_channel_counts_if_slack_does_not_say_who_is_in_it(
    bot: Bot, slack: Workspace, ana: Person, ben: Person
) -> None:
    random = slack.channel("random").id
    slack.state.leave(random, ana.id)
    for lacking in ("internal_error", ""):
        if lacking:
            slack.faults.refuse("conversations.members", lacking, times=2)
        else:
            slack.faults.leave_out("conversations.members", "members")
        await ana.opens_home()
        await ana.sees_home("main · ")
        await ana.click("Look at sessions")
        await ana.sees_modal("Look at sessions")
        await ana.submit({"request": "some_db", "channel": random})
        await ana.sees_modal("The answer is on its way")
        await ana.close_modal()
    assert bot.errors == []


async def test_member_of_a_large_channel_is_found_on_its_last_page(
    bot: Bot, slack: Workspace, ana: Person
) -> None:
    channel = slack.channel("random")
    crowd = {f"U0A{number:05d}" for number in range(2500)}
    slack.state.put_channel(replace(channel, members=channel.members | crowd))
    await ana.opens_home()
    await ana.sees_home("main · ")
    await ana.click("Look at sessions")
    await ana.sees_modal("Look at sessions")
    await ana.submit({"request": "some_db", "channel": channel.id})
    await ana.sees_modal("The answer is on its way")
    assert len(slack.calls("conversations.members")) == 3


async def test_mistake_is_told_under_its_field_and_can_be_mended(
    bot: Bot, slack: Workspace, ana: Person, sessions: Sessions
) -> None:
    await ana.opens_home()
    await ana.sees_home("main · ")
    await ana.click("Look at sessions")
    await ana.sees_modal("/pg-sessions")
    await ana.submit({"request": "some_db stat=idle", "channel": "C0INCIDENTS"})
    await ana.sees_modal("stat", "Did you mean state")
    await ana.submit({"request": "help", "channel": "C0INCIDENTS"})
    await ana.sees_modal("Shows who is connected")
    assert ana.does_not_see("pg-sessions", channel="incidents")


async def test_lost_right_is_noticed_when_the_modal_is_submitted(
    start: Callable, slack: Workspace, ana: Person, sessions: Sessions
) -> None:
    await start(PG_KILL_ALLOWLIST=slack.user("ben").id, PG_SESSIONS_ALLOWLIST=ana.id)
    await ana.opens_home()
    await ana.sees_home("You may look: ")
    await ana.click("Look at sessions")
    view = await ana.sees_modal("/pg-sessions")
    slack.state.change_view(view, {**view.body, "private_metadata": "/pg-kill"})
    await ana.submit({"request": "user=some_user", "channel": "C0INCIDENTS"})
    await ana.sees_modal("You may not end sessions here", "PG_KILL_ALLOWLIST")


async def test_flood_of_openings_is_drawn_a_few_times(
    bot: Bot, slack: Workspace, ana: Person
) -> None:
    await asyncio.gather(*(ana.opens_home() for _ in range(60)))
    first = await ana.sees_home("main · ")
    await ana.sees_home("main · ", after=first)  # what was noted meanwhile
    assert len(slack.calls("views.publish")) <= 4
    assert len([line for line in bot.lines if "request.started" in line]) <= 4


async def test_cluster_in_trouble_is_told_first(
    start: Callable, slack: Workspace, ana: Person, server: PostgresServer
) -> None:
    bot = await start(DATABASE_URL_PROD="postgresql://nobody@127.0.0.1:1/postgres")
    await ana.opens_home()
    home = await ana.sees_home("main · PostgreSQL", "prod · ⚠ ")
    assert ana.home_text().index("prod · ⚠") < ana.home_text().index("main · PostgreSQL")
    del home, bot


async def test_home_that_slack_refuses_is_drawn_plainly(
    bot: Bot, slack: Workspace, ana: Person
) -> None:
    slack.faults.refuse_blocks("rich_text", "header", error="invalid_blocks")
    await ana.opens_home()
    await ana.sees_home("pg-sessions", "main", "[Sessions]", "[Ask]")


async def test_open_alert_is_linked_in_home(
    start: Callable, slack: Workspace, vera: Person, sessions: Sessions
) -> None:
    await sessions.open("some_user")
    sampled = {"SAMPLE_EVERY": "1", "ALERT_AFTER": "limit=2,idle_in_transaction=off"}
    await start(**sampled, ALERT_CHANNEL=slack.channel("incidents").id)
    told = await vera.sees("main: some_user is at its limit", channel="incidents")
    home = await _home_of(vera)
    assert "⚠ main: some_user is at its limit" in vera.home_text()
    assert f"/archives/{told.channel}/p{told.ts.replace('.', '')}" in str(home.body)
