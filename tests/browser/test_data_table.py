"""A look's table in the reader's hands: its order, its pages, its filter."""

from dataclasses import replace

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import PHONE, WIDE, Look, Say
from tests.browser.test_blocks import line, rich, words
from tests.browser.test_story import type_in
from tests.e2e.conftest import Bot
from tests.integration.conftest import Sessions
from workspace import Workspace
from workspace.blocks import Json


def text(words: str) -> Json:
    return {"type": "raw_text", "text": words}


def number(value: float, words: str) -> Json:
    return {"type": "raw_number", "value": value, "text": words}


def data_table(*rows: list[Json], **more: object) -> Json:
    return {"type": "data_table", "caption": "main · 6 of 6", "rows": list(rows), **more}


AGES = data_table(
    [text("pid"), text("xact_age"), text("why")],
    [number(9, "9"), number(540, "9 min"), text("b")],
    [number(10, "10"), number(-1, " "), number(1, "1")],
    [number(100, "100"), number(7200, "2 h"), text("a")],
    [number(11, "11"), number(40, "40 s"), rich(line(words("c")))],
    [number(12, "12"), number(41, "41 s"), text("d")],
    [number(13, "13"), number(42, "42 s"), text("e")],
)


async def to(tab: Page, wanted: Locator, key: str) -> None:
    """Press a key until the focus is there, if it isn't yet."""
    for _ in range(40):
        if await wanted.evaluate("element => element === document.activeElement"):
            return
        await tab.keyboard.press(key)
    raise AssertionError(f"{key} does not lead to {wanted}")


@pytest.mark.parametrize("size", [PHONE, WIDE])
async def test_look_is_sorted_paged_and_filtered_by_keyboard(
    bot: Bot, look: Look, sessions: Sessions, size: tuple[int, int]
) -> None:
    opened = [await sessions.open("web", app=f"job-{at}") for at in range(12)]
    for each in opened:
        await each.execute("begin")
    pids = sorted(each.get_server_pid() for each in opened)
    tab = await look("ana", size=size)
    keys = tab.keyboard
    await to(tab, tab.get_by_role("textbox"), "Tab")
    await keys.type("/pg-sessions some_db app=job-*")
    await keys.press("Enter")
    table = tab.get_by_role("table", name="12 of 12 sessions")
    await expect(table.locator("caption")).to_contain_text("some_db on main · app=")
    rows = table.get_by_role("rowheader")
    await expect(rows).to_have_count(10)
    told = await rows.all_text_contents()

    pid = table.get_by_role("button", name="pid")
    await to(tab, pid, "Shift+Tab")
    for order, first in (("ascending", pids[0]), ("descending", pids[-1]), ("none", told[0])):
        await keys.press("Enter")
        await expect(table.get_by_role("columnheader", name="pid")).to_have_attribute(
            "aria-sort", order
        )
        await expect(rows.first).to_have_text(str(first))
        await expect(pid).to_be_focused()
    assert await rows.all_text_contents() == told

    status = tab.locator(".data-bar").get_by_role("status")
    await expect(status).to_have_text("1–10 of 12")
    on = tab.get_by_role("button", name="Next rows")
    await to(tab, on, "Tab")
    await keys.press("Enter")
    await expect(status).to_have_text("11–12 of 12")
    await expect(rows).to_have_count(2)
    await keys.press("Enter")  # there is no more
    await expect(status).to_have_text("11–12 of 12")
    await expect(on).to_be_focused()
    await to(tab, tab.get_by_role("searchbox", name="Filter rows"), "Shift+Tab")
    await keys.type("JOB-7")
    await expect(status).to_have_text("1–1 of 1")
    await expect(rows).to_have_text([str(opened[7].get_server_pid())])
    await keys.press("Backspace")
    await keys.type("x")
    await expect(status).to_have_text("0 of 0")

    # None of that is the bot's: its own buttons are there, and the page is as wide as the screen.
    await expect(tab.get_by_role("button", name="Terminate a session…")).to_be_visible()
    assert await tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_a_caption_is_read_without_scrolling(look: Look, say: Say) -> None:
    cells = [text(f"a long name of column {at}") for at in range(20)]
    say(data_table(cells, cells, caption="some_db on main · user=web · 20 of 143 sessions"))
    tab = await look("ana", size=PHONE)
    caption = tab.locator("caption span")
    await expect(caption).to_be_in_viewport(ratio=1)
    await tab.get_by_role("region", name="some_db on main").evaluate(
        "scroller => scroller.scrollLeft = scroller.scrollWidth"
    )
    await expect(tab.get_by_text("more columns")).to_be_hidden()
    await expect(caption).to_be_in_viewport(ratio=1)


async def test_column_sorts_by_value_only_if_all_its_cells_are_numbers(
    look: Look, say: Say
) -> None:
    say({**AGES, "page_size": 6})
    tab = await look("ana")
    rows = tab.get_by_role("rowheader")
    for name, order in (
        ("pid", ["9", "10", "11", "12", "13", "100"]),
        ("xact_age", ["10", "11", "12", "13", "9", "100"]),
        ("why", ["10", "100", "9", "11", "12", "13"]),
    ):
        await tab.get_by_role("button", name=name).click()
        await expect(rows).to_have_text(order)
    sorts = [await each.get_attribute("aria-sort") for each in await tab.locator("thead th").all()]
    assert sorts == ["none", "none", "ascending"]


async def test_five_rows_are_a_page_unless_the_app_says_otherwise(look: Look, say: Say) -> None:
    say({**AGES, "row_header_column_index": 1})
    tab = await look("ana")
    await expect(tab.get_by_role("rowheader")).to_have_text(["9 min", "", "2 h", "40 s", "41 s"])
    await tab.get_by_role("button", name="Next rows").click()
    await expect(tab.get_by_role("rowheader")).to_have_text(["42 s"])
    await tab.get_by_role("button", name="xact_age").click()  # begins at the first page
    await expect(tab.get_by_role("rowheader").nth(1)).to_have_text("40 s")
    await tab.get_by_role("button", name="Next rows").click()
    await tab.get_by_role("button", name="Previous rows").click()
    await expect(tab.get_by_role("rowheader")).to_have_count(5)


async def test_one_page_has_no_pages_to_turn(look: Look, say: Say) -> None:
    say({**AGES, "page_size": 6})
    tab = await look("ana")
    await expect(tab.get_by_role("rowheader")).to_have_count(6)
    await expect(tab.get_by_role("button", name="Next rows")).to_have_count(0)
    await expect(tab.get_by_role("searchbox")).to_have_count(0)


async def test_redrawn_table_begins_anew_and_keeps_the_focus(
    look: Look, say: Say, slack: Workspace
) -> None:
    message = say(AGES)
    tab = await look("ana")
    pid = tab.get_by_role("button", name="pid")
    await pid.click()
    await expect(tab.get_by_role("rowheader").nth(1)).to_have_text("10")
    await pid.click()
    await expect(tab.get_by_role("rowheader").first).to_have_text("100")
    slack.state.change(replace(message, edited_ts=slack.state.new_ts()))
    await expect(tab.locator(".edited")).to_be_visible()
    await expect(tab.get_by_role("rowheader").first).to_have_text("9")
    await expect(pid).to_be_focused()


async def test_look_is_a_plain_table_where_slack_takes_no_other(
    bot: Bot, look: Look, slack: Workspace, sessions: Sessions
) -> None:
    pid = (await sessions.open("web")).get_server_pid()
    slack.faults.refuse_blocks("data_table")
    tab = await look("ana", size=PHONE)
    for looks in (1, 2):
        await type_in(tab, "/pg-sessions some_db")
        await expect(tab.locator(".block-table").get_by_role("cell", name=str(pid))).to_have_count(
            looks
        )
        await expect(tab.locator("caption")).to_have_count(0)
    # The first look was refused once, and the second knows it.
    assert len(slack.calls("chat.postMessage")) == 3
