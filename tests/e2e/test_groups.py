"""`/pg-sessions by=`: the table, its menu, and who sees it."""

from tests.e2e.conftest import IN_BOTH_MODES, Bot
from tests.integration.conftest import Sessions
from workspace import Person, Workspace


@IN_BOTH_MODES
async def test_a_group_opens_as_a_look(
    bot: Bot, vera: Person, ana: Person, sessions: Sessions, mode: str
) -> None:
    for app in ("crowd", "crowd", ""):
        await sessions.open("batch", "other_db", app=app)
    await vera.command("/pg-sessions by=app,state other_db", channel="incidents")
    await ana.sees("other_db on main: 3 sessions", channel="incidents")
    await ana.sees("application_name", "crowd", "67 %")

    await sessions.open("batch", "other_db", app="crowd")
    await vera.click("Refresh", channel="incidents")
    await ana.sees("other_db on main: 4 sessions", "75 %")

    await vera.choose("Show a group", '"" · idle · 1', channel="incidents")
    await ana.sees("1 session: 1 idle", str(sessions.opened[2].get_server_pid()))


async def test_groups_are_private_and_refused_as_a_look_is(
    bot: Bot, slack: Workspace, vera: Person, ana: Person, sessions: Sessions
) -> None:
    await sessions.open("batch", "other_db", app="crowd")
    await vera.command("/pg-sessions by=app other_db private", channel="incidents")
    await vera.sees("other_db on main: 1 session", "Only visible to you")
    await vera.choose("Show a group", "crowd · 1", channel="incidents")
    await vera.sees("1 session: 1 idle", "Only visible to you")
    assert ana.does_not_see("other_db on main", channel="incidents")

    sam = slack.person("sam")
    await sam.command("/pg-sessions by=app other_db", channel="incidents")
    await sam.sees("You may not look at sessions here", "Only visible to you")


async def test_kill_takes_no_groups(bot: Bot, ana: Person) -> None:
    await ana.command("/pg-kill by=app some_db", channel="incidents")
    await ana.sees("a kill takes one group, by its own filter", "Only visible to you")
