"""Windows, pages and buttons that another version of the bot drew: nothing happens in silence."""

from typing import Any

import pytest

from tests.e2e.conftest import IN_BOTH_MODES, Bot
from tests.integration.conftest import Sessions
from workspace import Person, Workspace
from workspace.blocks import complete
from workspace.state import View

Json = dict[str, Any]

WINDOW = "Another version of the bot opened this window"
PAGE = "another version of the bot had drawn this page"


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def button(action_id: str, value: str = "v9") -> Json:
    element = {"type": "button", "text": plain("Press"), "action_id": action_id, "value": value}
    return {"type": "actions", "elements": [element]}


QUESTION: Json = {
    "type": "input",
    "block_id": "request",
    "label": plain("What"),
    "element": {"type": "plain_text_input", "action_id": "request"},
}


def opened(slack: Workspace, person: Person, block: Json, **body: Any) -> View:
    """A modal that is before somebody."""
    made = {"type": "modal", "title": plain("Old"), "submit": plain("Go"), **body}
    return slack.state.open_view(person.id, {**made, "blocks": complete([block])}, None)


@IN_BOTH_MODES
@pytest.mark.parametrize(
    ("callback_id", "metadata"),
    [
        ("sessions.ask", ""),
        ("sessions.kill_reason", "v9"),
        ("pg_sessions_here", "v9"),
        ("pg_kill_here", "v9"),
        ("home.asked", "/pg-all"),
    ],
)
async def test_window_that_cannot_be_read_says_so_when_it_is_submitted(
    bot: Bot, slack: Workspace, ana: Person, callback_id: str, metadata: str
) -> None:
    opened(slack, ana, QUESTION, callback_id=callback_id, private_metadata=metadata)
    await ana.submit({"request": "user=some_user"})
    await ana.sees_modal(WINDOW, "Nothing was done. Close it, and open it again.")
    await bot.says('"event": "request.other_version"')
    assert f'"id": "{callback_id}"' in bot.output
    assert ana.does_not_see("some_user", channel="incidents")
    assert bot.errors == []


@IN_BOTH_MODES
async def test_button_that_a_window_has_from_elsewhere_says_so_there(
    bot: Bot, slack: Workspace, ana: Person
) -> None:
    opened(slack, ana, button("session.kill_all"))
    await ana.click("Press")
    await ana.sees_modal(WINDOW)
    await bot.says('"id": "session.kill_all"')
    assert bot.errors == []


@IN_BOTH_MODES
@pytest.mark.parametrize("action_id", ["home.dismiss_all", "home.ask.0"])
async def test_page_of_another_version_is_drawn_anew_with_a_word(
    bot: Bot, slack: Workspace, ana: Person, sessions: Sessions, action_id: str
) -> None:
    body = {"type": "home", "blocks": complete([button(action_id)])}
    old = slack.state.publish_home(ana.id, body)
    await ana.opens_home()
    await ana.sees_home("main · ", after=old)
    old = slack.state.publish_home(ana.id, body)
    await ana.click("Press")
    await ana.sees_home(PAGE, "main · ", "press again", after=old)
    assert ana.modal is None
    assert bot.errors == []


async def test_page_of_another_version_names_nothing_to_a_stranger(
    bot: Bot, slack: Workspace
) -> None:
    gus = slack.person("gus")
    await gus.opens_home()
    await gus.sees_home("You are on none of its lists.")
    old = slack.state.publish_home(
        gus.id, {"type": "home", "blocks": complete([button("home.dismiss_all")])}
    )
    await gus.click("Press")
    await gus.sees_home(PAGE, "You are on none of its lists.", after=old)
    assert "main" not in gus.home_text()
