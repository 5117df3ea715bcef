"""The timeline: by a button on an outcome, for the person who presses it, and at a terminal."""

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import Bot
from tests.e2e.test_command_line import run
from tests.integration.conftest import Sessions
from workspace import Person, Workspace

HOSTILE = "<!channel> `@here` **x**"


@pytest.fixture
async def killed(bot: Bot, ana: Person, sessions: Sessions) -> None:
    """A kill on record, with a name and a reason that somebody chose to act in messages."""
    victim = await sessions.open("batch", "other_db", app=HOSTILE)
    await ana.command("/pg-sessions other_db", channel="incidents")
    pid = victim.get_server_pid()
    await ana.command(f"/pg-kill {pid} -- {HOSTILE}", channel="incidents")
    await ana.click("Terminate 1 session", channel="incidents")
    await ana.sees("Terminated 1 of 1 on main", channel="incidents")


async def test_presser_alone_gets_the_last_hours_as_text(
    killed: None, ana: Person, vera: Person, slack: Workspace
) -> None:
    await vera.click("Timeline", channel="incidents")
    said = await vera.sees("The last two hours on main", "## Timeline of `main`")
    text = vera.text_of(said)
    assert f"look at `main` by `{ana.id}`" in text
    assert f"preview for `{ana.id}`" in text
    assert "Reason: `<!channel> ˋ@hereˋ **x**`" in text
    assert f"`{ana.id}` confirmed (terminate)" in text
    assert ": 1 terminated in " in text
    assert ana.does_not_see("The last two hours on main")
    assert "<!channel>" not in said.text
    assert {block["type"] for block in said.blocks} == {"rich_text"}


async def test_history_leads_to_the_timeline(killed: None, ana: Person, slack: Workspace) -> None:
    await ana.command("/pg-kill history", channel="incidents")
    await ana.click("Timeline", in_message=await ana.sees("The last request: 1 kill"))
    text = ana.text_of(await ana.sees("## Timeline of `main`"))
    assert f"look at `main` by `{ana.id}`" in text
    assert ": 1 terminated in " in text


async def test_right_to_look_is_asked_for_at_the_click(
    killed: None, slack: Workspace, bot: Bot
) -> None:
    other = slack.person("sam")
    await other.click("Timeline", channel="incidents")
    await other.sees("PG_SESSIONS_ALLOWLIST")
    assert other.does_not_see("## Timeline")


async def test_timeline_is_printed_without_tokens(killed: None, bot: Bot, tmp_path: Path) -> None:
    await bot.stop()  # what it has noted is on record now
    printed = await run(tmp_path, "timeline", "--cluster", "Main")
    assert (printed.status, printed.said) == (0, "")
    assert printed.printed.startswith("## Timeline of `main`, ")
    assert "kill 1: 1 terminated" in printed.printed
    as_json = await run(tmp_path, "timeline", "--json", "--since", "30m")
    events = [json.loads(line) for line in as_json.printed.splitlines()]
    assert [each["event"] for each in events] == ["look", "preview", "confirmed", "outcome"]
    assert events[1]["targets"][0]["application_name"] == HOSTILE
    nothing = await run(tmp_path, "timeline", "--cluster", "prod")
    assert (nothing.printed, nothing.said[:22]) == ("", "nothing of prod on rec")
