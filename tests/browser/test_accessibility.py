"""axe-core's rules for everything that people see, in both themes and on a phone's width."""

from typing import Any, Literal

import pytest
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import Page, expect

from tests.browser.conftest import PHONE, WIDE, Look, Say, Story
from workspace import Workspace
from workspace.blocks import complete

VIEWS: list[tuple[Literal["light", "dark"], tuple[int, int]]] = [
    ("light", WIDE),
    ("dark", WIDE),
    ("light", PHONE),
]

CONFIRM = {
    "title": {"type": "plain_text", "text": "Terminate 1 session on main?"},
    "text": {"type": "plain_text", "text": "Its transaction rolls back."},
    "confirm": {"type": "plain_text", "text": "Terminate"},
    "deny": {"type": "plain_text", "text": "Keep it"},
    "style": "danger",
}
OPTIONS = [
    {"text": {"type": "plain_text", "text": text}, "value": text} for text in ("33507", "33911")
]


@pytest.fixture
def scenario() -> Story:
    return Story()


async def held_to_the_rules(tab: Page) -> None:
    # What fades in has less contrast until it is there.
    await tab.evaluate(
        """() => Promise.all(document.getAnimations()
            .filter(each => each.effect.getComputedTiming().endTime !== Infinity)
            .map(each => each.finished.catch(() => {})))"""
    )
    found = (
        await Axe().run(tab, options={"resultTypes": ["violations"], "reporter": "no-passes"})
    ).response
    problems = [
        f"{rule['id']} ({rule['impact']}): {rule['help']}: {node['html'][:200]}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]
    assert problems == []


def plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text}


@pytest.mark.parametrize(("scheme", "size"), VIEWS)
async def test_channel_and_everything_that_opens_in_it_is_accessible(
    look: Look,
    say: Say,
    slack: Workspace,
    scenario: Story,
    scheme: Literal["light", "dark"],
    size: tuple[int, int],
) -> None:
    await scenario.print(("33507", "some_user", "idle in transaction"), ("33911", "web", None))
    cells = [{"type": "raw_text", "text": f"column {number}"} for number in range(15)]
    button = {"type": "button", "text": plain("Terminate"), "style": "danger", "confirm": CONFIRM}
    select = {"type": "static_select", "placeholder": plain("Show a session…"), "options": OPTIONS}
    rich = [
        {"type": "text", "text": "update accounts", "style": {"code": True}},
        {"type": "user", "user_id": "U0BEN"},
        {"type": "user", "user_id": "U0ANA"},
        {"type": "link", "url": "https://www.postgresql.org/", "text": "the docs"},
    ]
    say(
        {"type": "header", "text": plain("Sessions")},
        {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": rich}]},
        {"type": "table", "rows": [cells, cells]},
        {"type": "section", "fields": [plain("pid\n33507"), plain("state\nidle")]},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": "asked by <@U0ANA>"}]},
        {"type": "actions", "elements": [button, {"type": "button", "text": plain("Dismiss")}]},
        {"type": "actions", "elements": [select, {"type": "overflow", "options": OPTIONS}]},
    )
    say({"type": "data_table", "caption": "some_db on main", "rows": [cells] * 9})
    say(text="```pid  usename```\n> for you alone", receiver="U0ANA")
    tab = await look("ana", scheme=scheme, size=size)
    await expect(tab.locator(".message")).to_have_count(3)
    await tab.get_by_role("button", name="column 1", exact=True).click()
    await held_to_the_rules(tab)

    await tab.get_by_role("button", name="Terminate").click()
    await held_to_the_rules(tab)
    await tab.keyboard.press("Escape")

    await tab.get_by_role("button", name="Show a session…").click()
    await held_to_the_rules(tab)
    await tab.keyboard.press("Escape")

    await tab.get_by_role("textbox").fill("/")
    await held_to_the_rules(tab)
    await tab.get_by_role("textbox").fill("")

    if size == PHONE:
        await tab.get_by_role("button", name="Behind the scenes: login fails").click()
        await held_to_the_rules(tab)
        await tab.keyboard.press("Escape")
        await tab.get_by_role("button", name="Channels and people").click()
    await tab.locator(".me").click()
    await held_to_the_rules(tab)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_working_login_and_a_fault_are_accessible(
    look: Look, scenario: Story, scheme: Literal["light", "dark"]
) -> None:
    await scenario.let_in()
    await scenario.fault("hang")
    await scenario.show(database={"state": "hung"})
    tab = await look("ana", scheme=scheme)
    await expect(tab.get_by_text("PostgreSQL hangs")).to_be_visible()
    await held_to_the_rules(tab)


@pytest.mark.parametrize(("scheme", "size"), VIEWS)
async def test_modal_is_accessible(
    look: Look, slack: Workspace, scheme: Literal["light", "dark"], size: tuple[int, int]
) -> None:
    elements: list[dict[str, Any]] = [
        {"type": "plain_text_input", "placeholder": plain("Why")},
        {"type": "static_select", "options": OPTIONS},
        {"type": "checkboxes", "options": OPTIONS},
        {"type": "radio_buttons", "options": OPTIONS},
        {"type": "datepicker"},
    ]
    inputs = [
        {
            "type": "input",
            "block_id": f"field {at}",
            "label": plain(f"Field {at}"),
            "hint": plain("A hint"),
            "element": element,
        }
        for at, element in enumerate(elements)
    ]
    body = {
        "type": "modal",
        "title": plain("Filter"),
        "submit": plain("Show"),
        "blocks": complete([{"type": "section", "text": plain("All must hold")}, *inputs]),
    }
    slack.state.show_errors(slack.state.open_view("U0ANA", body, None), {"field 0": "Say why"})
    tab = await look("ana", scheme=scheme, size=size)
    await expect(tab.get_by_role("dialog", name="Filter")).to_be_visible()
    await held_to_the_rules(tab)


async def test_read_only_page_is_accessible(look: Look) -> None:
    tab = await look("olga", "shared")
    await expect(tab.locator(".message-list")).to_be_visible()
    await held_to_the_rules(tab)
