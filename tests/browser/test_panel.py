"""Beside the channel: the login, the guide, what PostgreSQL says, and what can be broken."""

import asyncio
from dataclasses import replace

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import PHONE, WIDE, Look, Say, Story
from workspace import Workspace
from workspace.people import PATIENCE

TABLET = (900, 700)
LAPTOP = (1280, 800)


@pytest.fixture
def scenario() -> Story:
    return Story()


async def from_the_end(tab: Page) -> float:
    """How many pixels are hidden below the last message."""
    return await tab.locator("#messages").evaluate(
        "place => place.scrollHeight - place.scrollTop - place.clientHeight"
    )


async def until_at_the_end(tab: Page) -> None:
    async with asyncio.timeout(PATIENCE):
        while await from_the_end(tab) > 1:
            await asyncio.sleep(0.05)


def long_messages(say: Say) -> None:
    """Text that wraps in a narrower channel, and a table with a scroll hint: both grow."""
    words = {"type": "section", "text": {"type": "plain_text", "text": "what is going on " * 60}}
    cells = [{"type": "raw_text", "text": f"column {number}"} for number in range(15)]
    button = {"type": "button", "text": {"type": "plain_text", "text": "Terminate"}}
    for _ in range(4):
        say(
            words, {"type": "table", "rows": [cells] * 4}, {"type": "actions", "elements": [button]}
        )


@pytest.mark.parametrize("size", [LAPTOP, PHONE])
async def test_a_new_tab_begins_at_the_newest_message(
    look: Look, say: Say, size: tuple[int, int]
) -> None:
    long_messages(say)
    tab = await look("ana", size=size)
    await expect(tab.locator(".login-head")).to_have_count(1)
    await until_at_the_end(tab)
    await expect(tab.get_by_role("button", name="Terminate").last).to_be_in_viewport()


async def test_growing_content_is_not_taken_for_scrolling(look: Look, say: Say) -> None:
    long_messages(say)
    tab = await look("ana")
    await until_at_the_end(tab)
    # The event of a scroll to the end comes a frame later; by then there may be more content.
    await tab.locator(".message-content").last.evaluate(
        """content => {
            content.append(...["a", "b", "c", "d", "e", "f", "g"].map(each => {
                const line = document.createElement("p");
                line.textContent = each;
                return line;
            }));
            document.getElementById("messages").dispatchEvent(new Event("scroll"));
        }"""
    )
    await until_at_the_end(tab)


async def test_newest_message_stays_in_view_when_its_space_changes(
    look: Look, say: Say, scenario: Story
) -> None:
    long_messages(say)
    tab = await look("ana", size=WIDE)
    await until_at_the_end(tab)
    for size in (PHONE, LAPTOP, TABLET, WIDE):
        await tab.set_viewport_size({"width": size[0], "height": size[1]})
        await until_at_the_end(tab)
    await tab.get_by_role("button", name="Behind the scenes").click()  # the channel gets wider
    await until_at_the_end(tab)
    await tab.get_by_role("textbox").fill("/pg-sessions\n\n\n")  # the usage, and a taller box
    await until_at_the_end(tab)


@pytest.mark.parametrize("way", ["wheel", "keys", "button"])
async def test_reader_who_scrolls_up_is_not_moved(
    look: Look, say: Say, slack: Workspace, way: str
) -> None:
    first = say(text="first")
    long_messages(say)
    tab = await look("ana")
    await until_at_the_end(tab)
    match way:
        case "wheel":
            await tab.mouse.move(600, 400)
            await tab.mouse.wheel(0, -120)
        case "keys":
            await tab.locator("#messages").focus()
            await tab.keyboard.press("PageUp")
        case _:
            await tab.get_by_role("button", name="Terminate").first.focus()
    async with asyncio.timeout(PATIENCE):
        while await from_the_end(tab) < 100:
            await asyncio.sleep(0.05)
    # The page hears of it a frame later; until then, what is new may move it.
    await expect(tab.locator("#messages.stuck")).to_have_count(0)
    slack.state.change(replace(first, text="grown\n" * 30))
    say(text="the news")
    await expect(tab.get_by_role("button", name="New messages")).to_be_visible()
    assert await from_the_end(tab) > 100


async def test_the_login_turns_green_by_itself(look: Look, scenario: Story) -> None:
    tab = await look("ana")
    login = tab.get_by_role("region", name="The login")
    await expect(login).to_contain_text('FATAL:  too many connections for role "some_user"')
    await expect(login.get_by_role("status")).to_have_text("some_user can’t log in")
    red = await login.evaluate("place => getComputedStyle(place).backgroundColor")
    await scenario.let_in()
    await expect(login.get_by_role("status")).to_have_text("some_user logs in")
    await expect(login).not_to_contain_text("FATAL")
    await expect(login).not_to_have_css("background-color", red)
    pill = tab.get_by_role("button", name="Behind the scenes: login works")
    await expect(pill).to_be_visible()


async def test_the_guide_ticks_itself_off_and_types_for_a_visitor(
    look: Look, scenario: Story
) -> None:
    tab = await look("ana")
    guide = tab.get_by_role("region", name="Guide")
    await expect(guide).to_contain_text("1 of 2")
    await expect(guide.locator("code").first).to_have_text("some_user")
    await guide.get_by_role("button", name="/pg-sessions some_db").click()
    await expect(tab.get_by_role("textbox")).to_have_value("/pg-sessions some_db")
    await expect(tab.get_by_role("textbox")).to_be_focused()
    await scenario.let_in()
    await expect(guide).to_contain_text("2 of 2")
    await expect(guide.locator(".done")).to_have_count(2)


async def test_the_guide_leads_to_another_person(look: Look, scenario: Story) -> None:
    await scenario.go_on(done=1)
    tab = await look("ana")
    async with tab.context.expect_page() as opened:
        await tab.get_by_role("link", name="Be Vera Vogel in a new tab").click()
    beside = await opened.value
    await expect(beside.locator(".me .me-name")).to_have_text("Vera Vogel")
    await expect(beside.get_by_role("link", name="Be Vera Vogel")).to_have_count(0)


async def test_person_who_can_do_a_step_is_not_sent_to_another(look: Look, scenario: Story) -> None:
    for name, link in (("ben", 0), ("ana", 0), ("vera", 1)):
        tab = await look(name)
        await expect(tab.get_by_role("button", name="/pg-sessions some_db")).to_be_visible()
        await expect(tab.get_by_role("link", name="Be Ana Alvarez")).to_have_count(link)


async def test_the_guide_goes_past_a_step_and_ends_in_what_to_try_next(
    look: Look, scenario: Story
) -> None:
    tab = await look("ana")
    guide = tab.get_by_role("region", name="Guide")
    await expect(guide.locator(".ending")).to_have_text("What to try next")
    steps = [{**step, "state": "passed"} for step in scenario.view()["guide"]]
    await scenario.show(guide=steps)
    await expect(guide).to_contain_text("2 of 2")
    await expect(guide.locator(".passed")).to_contain_text(["(passed over)", "(passed over)"])
    await expect(guide.locator("[aria-current]")).to_contain_text("What to try next")
    await guide.get_by_role("button", name="/pg-sessions").click()
    await expect(tab.get_by_role("textbox")).to_have_value("/pg-sessions")


@pytest.mark.parametrize("size", [TABLET, PHONE])
async def test_next_step_is_above_the_composer_if_the_panel_is_a_drawer(
    look: Look, scenario: Story, size: tuple[int, int]
) -> None:
    tab = await look("ana", size=size)
    bar = tab.get_by_role("region", name="Next step")
    await bar.get_by_role("button", name="Type it: /pg-sessions some_db").click()
    await expect(tab.get_by_role("textbox")).to_have_value("/pg-sessions some_db")
    await expect(tab.get_by_role("textbox")).to_be_focused()
    step = bar.get_by_role("button", name="1 of 2 See who is connected")
    await step.click()
    await expect(tab.get_by_role("region", name="Guide")).to_be_visible()
    await tab.keyboard.press("Escape")
    await expect(step).to_be_focused()

    await scenario.go_on(done=1)
    await expect(bar).to_contain_text("2 of 2")
    await expect(bar.locator(".bar-step")).to_be_focused()
    async with tab.context.expect_page() as opened:
        await bar.get_by_role("link", name="Be Vera in a new tab").click()
    await expect((await opened.value).locator(".channel-title h1")).to_be_visible()

    await scenario.go_on(done=2)
    await expect(bar.get_by_role("button", name="Guide What to try next")).to_be_visible()


async def test_step_is_not_repeated_beside_the_panel(look: Look, scenario: Story) -> None:
    tab = await look("ana")
    bar = tab.get_by_role("region", name="Next step")
    await expect(tab.get_by_role("region", name="Guide")).to_be_visible()
    await expect(bar).to_be_hidden()
    await tab.get_by_role("button", name="Behind the scenes").click()
    await expect(bar).to_be_visible()
    await bar.get_by_role("button", name="See who is connected").click()
    await expect(bar).to_be_hidden()


async def test_pg_stat_activity_is_printed_as_psql_does(look: Look, scenario: Story) -> None:
    await scenario.print(("7", "some_user", "idle in transaction"), ("33507", "web", None))
    tab = await look("ana")
    print_out = tab.get_by_role("region", name="pg_stat_activity, as psql prints it")
    assert await print_out.text_content() == (
        "  pid  |  usename  |        state        \n"
        "-------+-----------+---------------------\n"
        "     7 | some_user | idle in transaction\n"
        " 33507 | web       |\n"
        "(2 rows)"
    )


async def test_disappearing_row_is_struck_out_first(look: Look, scenario: Story) -> None:
    await scenario.print(("7", "some_user", "idle"), ("8", "web", "active"))
    tab = await look("ana")
    rows = tab.locator(".psql-row")
    await expect(rows).to_have_count(2)
    await scenario.print(("8", "web", "active"), ("9", "<img src=x>", "active"))
    await expect(tab.locator(".psql-row.gone")).to_contain_text("some_user")
    await expect(tab.locator(".psql-row.new")).to_contain_text("<img src=x>")
    await expect(tab.locator(".psql-row.gone")).to_have_count(0)
    await expect(tab.locator(".truth")).to_contain_text("(2 rows)")


async def test_fault_is_shown_in_the_channel_until_it_ends(look: Look, scenario: Story) -> None:
    tab, other = await look("ana"), await look("ben", size=PHONE)
    hang = tab.get_by_role("group", name="PostgreSQL").get_by_role("button", name="Hang for 15 s")
    await expect(hang).to_have_attribute("aria-pressed", "false")
    await hang.click()
    await expect(hang).to_have_attribute("aria-pressed", "true")
    for each in (tab, other):
        await expect(each.locator("main")).to_contain_text("PostgreSQL answers nobody.")
    await other.get_by_role("button", name="End it").click()
    for each in (tab, other):
        await expect(each.locator("main")).not_to_contain_text("PostgreSQL answers nobody.")
    await expect(hang).to_have_attribute("aria-pressed", "false")
    assert scenario.pressed == ["hang", "hang"]


async def test_fault_that_ends_by_itself_is_not_a_switch(look: Look, scenario: Story) -> None:
    tab = await look("ana")
    cut = tab.get_by_role("group", name="Slack").get_by_role("button", name="Cut the socket")
    await cut.click()
    await expect(tab.locator("main")).to_contain_text("The socket is cut.")
    assert await cut.get_attribute("aria-pressed") is None
    await expect(tab.get_by_role("button", name="End it")).to_have_count(0)


async def test_reset_shows_the_guide_from_its_beginning(look: Look, scenario: Story) -> None:
    tab = await look("ana")
    await scenario.fault("hang")
    await tab.set_viewport_size({"width": 1280, "height": 400})
    await tab.get_by_role("button", name="Reset").click()
    await expect(tab.get_by_role("region", name="Guide")).to_be_in_viewport()
    await expect(tab.get_by_role("region", name="The login")).to_be_in_viewport()
    await expect(tab.get_by_text("PostgreSQL answers nobody.")).to_have_count(0)
    assert scenario.pressed == ["hang", "reset"]


async def test_a_database_in_trouble_is_named(look: Look, scenario: Story) -> None:
    tab = await look("ana")
    await expect(tab.get_by_text("PostgreSQL answers")).to_be_visible()
    await scenario.show(database={"state": "hung"})
    await expect(tab.get_by_text("PostgreSQL hangs")).to_be_visible()


async def test_interactions_are_listed_without_their_contents(look: Look, slack: Workspace) -> None:
    tab = await look("vera")
    ana = slack.person("ana")
    await ana.command("/pg-kill 1 -- secret", channel="secret")
    wire = tab.get_by_role("region", name="On the wire")
    await expect(wire.get_by_role("listitem").nth(1)).to_contain_text("/pg-kill")
    await expect(wire.locator(".bad")).to_contain_text("dispatch_failed")
    await expect(wire).not_to_contain_text("secret")


@pytest.mark.parametrize("size", [TABLET, PHONE])
async def test_on_a_narrow_screen_the_panel_is_a_drawer(
    look: Look, scenario: Story, size: tuple[int, int]
) -> None:
    tab = await look("ana", size=size)
    guide = tab.get_by_role("region", name="Guide")
    await expect(guide).to_be_hidden()
    pill = tab.get_by_role("button", name="Behind the scenes: login fails")
    await pill.click()
    await expect(guide).to_be_visible()
    await expect(tab.locator("main")).to_have_js_property("inert", value=True)
    await tab.keyboard.press("Escape")
    await expect(guide).to_be_hidden()
    await expect(tab.locator("main")).to_have_js_property("inert", value=False)
    await expect(pill).to_be_focused()
    await pill.click()
    await guide.get_by_role("button", name="/pg-sessions some_db").click()
    await expect(guide).to_be_hidden()
    await expect(tab.get_by_role("textbox")).to_be_focused()


async def test_on_a_phone_the_channels_are_a_drawer(look: Look) -> None:
    tab = await look("ana", size=PHONE)
    await expect(tab.get_by_role("link", name="random")).to_be_hidden()
    await tab.get_by_role("button", name="Channels and people").click()
    await tab.get_by_role("link", name="random").click()
    await expect(tab.locator(".channel-title h1")).to_have_text("random")
    await expect(tab.get_by_role("link", name="random")).to_be_hidden()
    async with asyncio.timeout(PATIENCE):  # the drawer slides
        while not await tab.evaluate("document.documentElement.scrollWidth <= innerWidth"):
            await asyncio.sleep(0.05)


async def test_on_a_wide_screen_the_panel_folds_away(look: Look) -> None:
    tab = await look("ana")
    pill = tab.get_by_role("button", name="Behind the scenes: login fails")
    await expect(pill).to_have_attribute("aria-expanded", "true")
    await pill.click()
    await expect(tab.get_by_role("region", name="Guide")).to_be_hidden()
    await pill.click()
    await expect(tab.get_by_role("region", name="Guide")).to_be_visible()
