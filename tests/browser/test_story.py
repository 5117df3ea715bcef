"""The story in a browser: the real bot on a real PostgreSQL, each person in their own tab."""

from collections.abc import Callable

import asyncpg
import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Look
from tests.e2e.conftest import Bot
from tests.integration.conftest import Sessions
from workspace import Workspace

KILL = "/pg-kill user=some_user -- blocks the deploy"


async def type_in(tab: Page, text: str) -> None:
    await tab.get_by_role("textbox").fill(text)
    await tab.keyboard.press("Enter")


@pytest.fixture
async def holder(sessions: Sessions) -> asyncpg.Connection:
    """The session that holds the only slot of `some_user`."""
    held = await sessions.open("some_user", app="psql")
    await held.execute("begin; update accounts set balance = balance - 987654 where id = 1")
    return held


async def test_the_story(
    bot: Bot, look: Look, sessions: Sessions, holder: asyncpg.Connection
) -> None:
    pid = str(holder.get_server_pid())
    balance = "select balance from accounts where id = 1"
    before = await (await sessions.open("web")).fetchval(balance)
    with pytest.raises(asyncpg.TooManyConnectionsError, match='for role "some_user"'):
        await sessions.open("some_user")
    ana, ben, vera = await look("ana"), await look("ben"), await look("vera")

    await type_in(ana, "/pg-sessions some_db")
    for tab in (ana, ben, vera):
        await expect(tab.locator(".typed")).to_have_text("/pg-sessions some_db")
        await expect(tab.locator(".message").last).to_contain_text("some_user 1 of 1: at its limit")
        await expect(tab.get_by_role("rowheader", name=pid)).to_be_visible()

    await type_in(ana, KILL)
    for tab in (ana, ben, vera):
        preview = tab.locator(".message").last
        await expect(preview).to_contain_text("Terminate 1 session on main?")
        await expect(preview).to_contain_text("blocks the deploy")
        await expect(preview).not_to_contain_text("987654")

    await vera.get_by_role("button", name="Terminate 1 session").click()
    await vera.get_by_role("alertdialog").get_by_role("button", name="Terminate").click()
    refusal = vera.locator(".message").last
    await expect(refusal).to_contain_text("You may not end sessions")
    await expect(refusal).to_contain_text("Only visible to you")
    await expect(ana.get_by_text("You may not end sessions")).to_have_count(0)
    assert await holder.fetchval("select true")

    await ben.get_by_role("button", name="Terminate 1 session").click()
    dialog = ben.get_by_role("alertdialog", name="Terminate 1 session on main?")
    await expect(dialog).to_contain_text(f"pid {pid}, some_user")
    await expect(dialog.get_by_role("button", name="Keep it")).to_be_focused()
    await dialog.get_by_role("button", name="Terminate").click()
    for tab in (ana, ben, vera):
        outcome = tab.locator(".message", has_text="Terminated 1 of 1 on main")
        await expect(outcome).to_contain_text("some_user 1 of 1 → 0 of 1")
        await expect(outcome).to_contain_text("confirmed by @ben")
        pressable = outcome.locator(".message-content").get_by_role("button")
        await expect(pressable).to_have_text(["Timeline"])
        await expect(tab.locator(".unknown")).to_have_count(0)
    await vera.get_by_role("button", name="Timeline").click()
    timeline = vera.locator(".message", has_text="The last two hours on main")
    await expect(timeline).to_contain_text("Only visible to you")
    await expect(timeline).to_contain_text("kill 1: 1 terminated in")
    await expect(ana.get_by_text("The last two hours on main")).to_have_count(0)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await holder.execute("commit")
    login = await sessions.open("some_user")
    assert await login.fetchval(balance) == before


async def test_a_preview_that_expires_loses_its_red_button_by_itself(
    start: Callable, look: Look, holder: asyncpg.Connection
) -> None:
    await start(CONFIRM_TTL="4")
    tab = await look("ana")
    await type_in(tab, KILL)
    await expect(tab.locator(".message .button.danger")).to_be_visible()
    await expect(tab.locator(".message").last).to_contain_text("Expired at")
    await expect(tab.locator(".message .button.danger")).to_have_count(0)
    await expect(tab.get_by_role("button", name="Preview again")).to_be_visible()
    assert await holder.fetchval("select true")


async def test_the_story_using_only_the_keyboard(
    bot: Bot, look: Look, slack: Workspace, holder: asyncpg.Connection
) -> None:
    tab = await look("ana")
    keys = tab.keyboard
    await keys.type("/pg-s")
    await keys.press("Tab")
    await expect(tab.get_by_role("textbox")).to_have_value("/pg-sessions ")
    await keys.type("some_db")
    await keys.press("Enter")
    await expect(tab.get_by_role("table")).to_be_visible()

    for _ in range(12):  # back from the composer: "asked by", the menus, the buttons
        await keys.press("Shift+Tab")
        if await tab.get_by_role("button", name="Terminate a session…").evaluate(
            "button => button === document.activeElement"
        ):
            break
    await keys.press("ArrowDown")
    await keys.type(str(holder.get_server_pid()))
    await expect(tab.locator(".menu-item:focus")).to_contain_text("some_user")
    await keys.press("Enter")
    reason = tab.get_by_role("textbox", name="Reason")
    await expect(reason).to_be_focused()
    await keys.type("blocks the deploy")
    await keys.press("Enter")
    await expect(tab.get_by_text("Reason: blocks the deploy", exact=True)).to_be_visible()

    terminate = tab.get_by_role("button", name="Terminate 1 session")
    for _ in range(12):
        await keys.press("Tab")
        if await terminate.evaluate("button => button === document.activeElement"):
            break
    await expect(terminate).to_have_css("outline-style", "solid")
    await keys.press("Enter")
    await expect(tab.get_by_role("alertdialog")).to_be_visible()
    await keys.press("Escape")
    await expect(tab.get_by_role("alertdialog")).to_have_count(0)
    await expect(terminate).to_be_focused()
    assert await holder.fetchval("select true")
    await keys.press("Enter")
    await keys.press("Tab")
    await keys.press("Enter")
    await expect(tab.get_by_text("Terminated 1 of 1 on main")).to_be_visible()
    assert holder.is_closed() or not await _lives(holder)


async def _lives(connection: asyncpg.Connection) -> bool:
    try:
        return await connection.fetchval("select true")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        return False


NAMES = [
    "<img src=x onerror=document.title='broken'>",
    "<!channel> <@U0ANA>",
    "*bold* _it_ `code` https://evil.example :warning:",
]


async def test_a_name_that_a_client_chose_is_text_and_nothing_else(
    bot: Bot, look: Look, sessions: Sessions
) -> None:
    for name in NAMES:
        held = await sessions.open("web", app=name)
        await held.execute("begin")
    ana = await look("ana")
    await type_in(ana, "/pg-sessions some_db columns=pid,application_name")
    for name in NAMES:
        await expect(ana.get_by_role("cell", name=name, exact=True)).to_be_visible()
    await type_in(ana, '/pg-kill user=web -- <img src=x onerror="alert(1)"> <!here> *now*')
    message = ana.locator(".message").last
    for name in NAMES:
        await expect(message.get_by_role("cell", name=name, exact=True)).to_be_visible()
    await expect(message).to_contain_text('<img src=x onerror="alert(1)"> <!here> *now*')
    await expect(ana.locator(".message img, .message script, td .mention, td a")).to_have_count(0)
    await expect(ana.locator("#announcer")).to_contain_text("Terminate 3 sessions on main?")
    assert await ana.title() == "incidents · ana · Acme"
