"""The composer: completion, hints and history."""

from playwright.async_api import expect

from tests.browser.conftest import Look
from workspace.page.cast import COMMANDS


async def test_a_slash_offers_the_commands_and_their_hints(look: Look) -> None:
    tab = await look("ana")
    box = tab.get_by_role("textbox")
    await expect(box).to_be_focused()
    await tab.keyboard.type("/")
    offers = tab.get_by_role("listbox", name="Commands").get_by_role("option")
    await expect(offers).to_have_count(len(COMMANDS))
    for command in COMMANDS:
        offer = offers.filter(has_text=command.name)
        await expect(offer).to_contain_text(command.usage_hint)
        await expect(offer).to_contain_text(command.description)
    await tab.keyboard.press("ArrowDown")
    await expect(box).to_have_attribute("aria-activedescendant", "offer-1")
    await tab.keyboard.press("Enter")
    await expect(box).to_have_value("/pg-kill ")
    await expect(offers).to_have_count(0)
    await expect(tab.locator("#usage")).to_contain_text("user=some_user … [-- reason]")
    await box.fill("hello")
    await expect(tab.locator("#usage")).to_be_hidden()


async def test_a_click_on_an_offer_takes_it(look: Look) -> None:
    tab = await look("ana")
    await tab.keyboard.type("/pg")
    await tab.get_by_role("option", name="/pg-sessions").click()
    await expect(tab.get_by_role("textbox")).to_have_value("/pg-sessions ")
    await expect(tab.get_by_role("textbox")).to_be_focused()


async def test_arrow_up_brings_back_what_was_sent(look: Look) -> None:
    tab = await look("ana")
    box = tab.get_by_role("textbox")
    for text in ("first", "/pg-kill 33507", "first"):
        await box.fill(text)
        await tab.keyboard.press("Enter")
        await expect(box).to_have_value("")
    await tab.keyboard.press("ArrowUp")
    await expect(box).to_have_value("first")
    await tab.keyboard.press("ArrowUp")
    await expect(box).to_have_value("/pg-kill 33507")
    await tab.keyboard.press("ArrowUp")
    await expect(box).to_have_value("/pg-kill 33507")
    await tab.keyboard.press("ArrowDown")
    await tab.keyboard.press("ArrowDown")
    await expect(box).to_have_value("")
    await box.fill("half a thought")
    await tab.keyboard.press("ArrowUp")
    await expect(box).to_have_value("half a thought")


async def test_shift_enter_makes_a_new_line(look: Look) -> None:
    tab = await look("ana")
    await tab.keyboard.type("one")
    await tab.keyboard.press("Shift+Enter")
    await tab.keyboard.type("two")
    await expect(tab.get_by_role("textbox")).to_have_value("one\ntwo")
    await tab.keyboard.press("Enter")
    await expect(tab.locator(".words br")).to_have_count(1)


async def test_an_empty_box_sends_nothing(look: Look) -> None:
    tab = await look("ana")
    await expect(tab.get_by_role("button", name="Send")).to_be_disabled()
    await tab.keyboard.type("  ")
    await tab.keyboard.press("Enter")
    await tab.keyboard.type("x")
    await tab.get_by_role("button", name="Send").click()
    await expect(tab.locator(".message")).to_have_count(1)
