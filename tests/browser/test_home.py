"""The Home tab in the browser: with the keyboard alone, on a phone's width, by the rules of axe."""

import asyncio
from collections.abc import Callable
from typing import Literal

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import PHONE, Look
from tests.browser.test_accessibility import VIEWS, held_to_the_rules
from tests.e2e.conftest import Bot
from tests.integration.conftest import Sessions
from workspace import Workspace
from workspace.people import PATIENCE


async def home_of(tab: Page) -> None:
    """Go there by the list of channels, as one does on a phone."""
    await tab.get_by_role("button", name="Channels and people").press("Enter")
    await tab.get_by_role("link", name="pg-sessions Home").press("Enter")
    await expect(tab.get_by_role("heading", name="Clusters")).to_be_visible()


async def test_home_is_used_with_the_keyboard_on_a_phone(
    bot: Bot, look: Look, slack: Workspace, sessions: Sessions
) -> None:
    await sessions.open("some_user", app="holder")
    tab = await look("ana", size=PHONE)
    await home_of(tab)
    home = tab.get_by_role("tabpanel", name="Home")
    await expect(home).to_contain_text("PG_KILL_ALLOWLIST has @oncall")
    assert await home.evaluate("each => each.scrollWidth <= each.clientWidth")

    await home.get_by_role("button", name="End a session…").first.press("Enter")
    form = tab.get_by_role("dialog", name="Preview a kill")
    await expect(form.get_by_label("/pg-kill")).to_be_focused()
    await tab.keyboard.type("usr=some_user")
    await tab.keyboard.press("Tab")
    await tab.keyboard.press("Enter")
    await tab.keyboard.type("inc")
    await tab.keyboard.press("Enter")
    await form.get_by_role("button", name="Preview").press("Enter")
    await expect(form).to_contain_text("Did you mean user")

    await form.get_by_label("/pg-kill").fill("user=some_user")
    await tab.keyboard.press("Enter")
    await expect(tab.get_by_role("dialog")).to_contain_text(
        "The preview is on its way to #incidents."
    )
    await tab.keyboard.press("Escape")
    await expect(tab.get_by_role("dialog")).to_have_count(0)

    link = home.get_by_role("link", name="open it")
    async with asyncio.timeout(PATIENCE):
        while not await link.count():  # it was on its way
            await home.get_by_role("button", name="Refresh").press("Enter")
            await asyncio.sleep(0.2)
    await link.press("Enter")
    preview = tab.locator(".message:focus")
    await expect(preview).to_contain_text("Terminate 1 session on main")
    await preview.get_by_role("button", name="Terminate").press("Enter")
    await tab.get_by_role("alertdialog").get_by_role("button", name="Terminate").press("Enter")
    await expect(tab.locator(".message").last).to_contain_text("Terminated 1 of 1")
    assert bot.errors == []


async def test_home_keeps_its_place_when_it_is_drawn_again_and_in_the_address(
    bot: Bot, look: Look
) -> None:
    tab = await look("vera", size=PHONE)
    await home_of(tab)
    ask = tab.get_by_role("button", name="Ask").last
    await ask.focus()
    before = await tab.locator("#home").evaluate("each => each.scrollTop")
    assert before > 0
    shown = await tab.locator("#home .home-content").element_handle()
    assert shown is not None
    await tab.evaluate("""() => fetch("/act/home", {method: "POST", headers:
        {"Content-Type": "application/json"}, body: '{"person": "vera"}'})""")
    await shown.wait_for_element_state("hidden")
    await expect(ask).to_be_focused()
    assert await tab.locator("#home").evaluate("each => each.scrollTop") == before

    await tab.get_by_role("tab", name="Home").press("ArrowRight")
    await expect(tab.get_by_role("tab", name="Messages")).to_be_focused()
    await expect(tab.get_by_role("textbox", name="Message pg-sessions")).to_be_visible()
    await tab.go_back()
    await expect(tab.get_by_role("heading", name="Clusters")).to_be_visible()
    await tab.reload()
    await expect(tab.get_by_role("heading", name="Clusters")).to_be_visible()


@pytest.mark.parametrize(("scheme", "size"), VIEWS)
async def test_home_and_its_modal_are_accessible(
    start: Callable,
    look: Look,
    scheme: Literal["light", "dark"],
    size: tuple[int, int],
) -> None:
    await start(DATABASE_URL_PROD="postgresql://nobody@127.0.0.1:1/postgres")
    tab = await look("ana", scheme=scheme, size=size)
    if size == PHONE:
        await tab.get_by_role("button", name="Channels and people").click()
    await tab.get_by_role("link", name="pg-sessions Home").click()
    await expect(tab.get_by_role("heading", name="Commands by example")).to_be_visible()
    await held_to_the_rules(tab)

    await tab.get_by_role("button", name="Look at sessions").click()
    await expect(tab.get_by_role("dialog", name="Look at sessions")).to_be_visible()
    await tab.get_by_role("dialog").get_by_role("button", name="Choose a channel").click()
    await held_to_the_rules(tab)
