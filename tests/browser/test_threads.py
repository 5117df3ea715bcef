"""Threads and message shortcuts on the page, with the real bot."""

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import PHONE, WIDE, Look, Say
from tests.browser.test_accessibility import held_to_the_rules
from tests.e2e.conftest import Bot
from tests.integration.conftest import Sessions
from tests.integration.kills import lives
from workspace import Person, Workspace
from workspace.state import Message


@pytest.fixture
def ana(slack: Workspace) -> Person:
    return slack.person("ana")


@pytest.fixture
def alarm(ana: Person) -> Message:
    return ana.say("Logins of web fail", "incidents")


@pytest.fixture(params=["phone", "wide"])
async def tab(look: Look, alarm: Message, request: pytest.FixtureRequest) -> Page:
    return await look("ana", size=PHONE if request.param == "phone" else WIDE)


async def go_to(tab: Page, control: Locator, key: str = "Tab") -> None:
    """Go there by keyboard alone."""
    await expect(control).to_be_visible()
    for _ in range(60):
        if await control.evaluate("node => node === document.activeElement"):
            return
        await tab.keyboard.press(key)
    raise AssertionError(f"no way to {control} by {key}")


async def use_shortcut(tab: Page, words: str) -> Locator:
    message = tab.locator(".message", has_text="Logins of web fail").first
    await go_to(tab, message.get_by_role("button", name="Message actions"), "Shift+Tab")
    await tab.keyboard.press("Enter")
    await tab.keyboard.type(words)
    await expect(tab.locator(".menu-item:focus")).to_contain_text(words)
    await tab.keyboard.press("Enter")
    dialog = tab.get_by_role("dialog")
    await expect(dialog.get_by_role("textbox")).to_be_focused()
    return dialog


async def test_kill_in_a_thread_using_only_the_keyboard(
    bot: Bot, tab: Page, sessions: Sessions
) -> None:
    victim = await sessions.open("batch", app="threaded")
    dialog = await use_shortcut(tab, "End a PostgreSQL")
    await tab.keyboard.type("stat=idle app=threaded")
    await tab.keyboard.press("Enter")
    field = dialog.get_by_role("textbox", name="Which session")
    await expect(field).to_have_attribute("aria-invalid", "true")
    await expect(dialog).to_contain_text("Did you mean state=?")
    await expect(field).to_have_value("stat=idle app=threaded")
    await expect(field).to_be_focused()
    await tab.keyboard.press("ControlOrMeta+a")
    await tab.keyboard.type("app=threaded -- blocks the deploy")
    await tab.keyboard.press("Enter")
    await expect(dialog).to_have_count(0)

    # The channel sees the preview. Its thread has it too, and there it is confirmed.
    preview = tab.locator(".message", has_text="Terminate 1 session on main?")
    await expect(preview).to_contain_text("replied to a thread")
    await go_to(tab, tab.get_by_role("button", name="1 reply"), "Shift+Tab")
    await tab.keyboard.press("Enter")
    await expect(tab.get_by_role("region", name="Thread in incidents")).to_be_focused()
    await expect(tab.locator(".message")).to_have_count(2)
    await expect(preview).to_contain_text("also sent to the channel")
    await go_to(tab, preview.get_by_role("button", name="Terminate 1 session"))
    await tab.keyboard.press("Enter")
    await tab.keyboard.press("Tab")
    await tab.keyboard.press("Enter")
    outcome = tab.locator(".message", has_text="Terminated 1 of 1 on main")
    await expect(outcome).to_be_visible()
    await go_to(tab, tab.get_by_role("button", name="Back to #incidents"), "Shift+Tab")
    await tab.keyboard.press("Enter")
    await expect(tab.get_by_role("button", name="1 reply")).to_be_focused()
    await expect(outcome).to_contain_text("replied to a thread")
    assert not await lives(victim)


async def test_look_stays_out_of_the_channel(bot: Bot, tab: Page) -> None:
    await use_shortcut(tab, "Show PostgreSQL")
    await tab.keyboard.type("some_db")
    await tab.keyboard.press("Enter")
    await expect(tab.get_by_role("dialog")).to_have_count(0)
    await expect(tab.get_by_role("button", name="1 reply")).to_be_visible()
    await expect(tab.get_by_text("some_db on main")).to_have_count(0)
    await tab.get_by_role("button", name="1 reply").click()
    await expect(tab.get_by_text("some_db on main")).to_be_visible()
    await expect(tab.get_by_role("listitem").get_by_text("1 reply")).to_be_visible()
    await held_to_the_rules(tab)


async def test_help_is_laid_over_the_form(bot: Bot, tab: Page) -> None:
    dialog = await use_shortcut(tab, "End a PostgreSQL")
    await held_to_the_rules(tab)
    await tab.keyboard.type("help")
    await tab.keyboard.press("Enter")
    await expect(dialog).to_contain_text("/pg-kill history")
    await tab.get_by_role("button", name="Back").click()
    await expect(dialog.get_by_role("textbox")).to_have_value("help")


async def test_reply_is_written_in_the_thread_where_commands_fail(
    look: Look, alarm: Message, slack: Workspace
) -> None:
    tab = await look("ana", size=PHONE)
    await tab.get_by_role("button", name="Message actions").click()
    await tab.get_by_role("menuitem", name="Reply in thread").click()
    await expect(tab.get_by_role("textbox", name="Reply…")).to_be_focused()
    await tab.keyboard.type("since 12:00")
    await tab.keyboard.press("Enter")
    await expect(tab.locator(".message")).to_have_count(2)
    assert slack.messages("incidents")[-1].thread_ts == alarm.ts
    await tab.keyboard.type("/pg-kill 1 ")
    await tab.keyboard.press("Enter")
    sorry = tab.locator(".message", has_text="is not supported in threads. Sorry!")
    await expect(sorry).to_be_visible()
    await tab.reload()
    await expect(tab.locator(".message", has_text="since 12:00")).to_be_visible()
    await tab.go_back()
    await expect(tab.get_by_role("button", name="1 reply")).to_be_visible()
    await expect(tab.get_by_text("since 12:00")).to_have_count(0)


async def test_thread_is_seen_by_others_as_it_grows(
    look: Look, alarm: Message, ana: Person
) -> None:
    vera = await look("vera")
    await expect(vera.get_by_text("Logins of web fail")).to_be_visible()
    reply = ana.say("since 12:00", under=alarm)
    await expect(vera.get_by_role("button", name="1 reply")).to_be_visible()
    ana.say("all of them", under=alarm)
    await vera.get_by_role("button", name="2 replies").click()
    await expect(vera.locator(".message")).to_have_count(3)
    ana.delete(alarm)
    await expect(vera.get_by_text("This message was deleted.")).to_be_visible()
    ana.delete(reply)
    await expect(vera.locator(".message")).to_have_count(2)


async def test_message_for_one_person_has_no_menu(look: Look, say: Say) -> None:
    say(text="for you alone", receiver="U0ANA")
    tab = await look("ana")
    await expect(tab.get_by_text("for you alone")).to_be_visible()
    await expect(tab.get_by_role("button", name="Message actions")).to_have_count(0)


async def test_own_reply_begins_anew_below_the_first_message(
    look: Look, ana: Person, alarm: Message
) -> None:
    ana.say("since 12:00", under=alarm)
    tab = await look("ana")
    await tab.get_by_role("button", name="1 reply").click()
    reply = tab.locator(".message", has_text="since 12:00")
    await expect(reply.locator(".message-head")).to_be_visible()
    await expect(tab.get_by_role("listitem").filter(has_text="1 reply")).to_be_visible()
