"""A board in a browser: redrawn in every tab, on a laptop and on a phone."""

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.browser.conftest import PHONE, Look
from tests.browser.test_story import type_in
from tests.e2e.conftest import Bot
from tests.integration.conftest import Sessions

LAPTOP = (1280, 800)


@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
async def test_board_is_redrawn_and_stopped_in_every_tab(
    bot: Bot, look: Look, sessions: Sessions, size: tuple[int, int], tmp_path: Path
) -> None:
    holder = await sessions.open("some_user", app="psql")
    await holder.execute("begin; update accounts set balance = balance - 987654 where id = 1")
    pid = str(holder.get_server_pid())
    ana, vera = await look("ana", size=size), await look("vera", size=size)

    await type_in(ana, "/pg-sessions watch main/")
    boards = [tab.locator(".message", has_text="Watching main") for tab in (ana, vera)]
    for board in boards:
        await expect(board).to_contain_text("waiting 0 ▁")
        await expect(board).to_contain_text("some_user 1 of 1: at its limit")
        await expect(board).not_to_contain_text("987654")
        await expect(board.get_by_role("rowheader", name=pid)).to_be_visible()
    waiter = await sessions.open("web")
    blocked = asyncio.create_task(
        waiter.execute("update accounts set balance = balance + 1 where id = 1")
    )
    for board in boards:
        await expect(board).to_contain_text("waiting 1 ▇")
        await expect(board).to_contain_text("blocks 1")
    await ana.screenshot(path=tmp_path / "board.png")
    assert await ana.evaluate("document.documentElement.scrollWidth <= innerWidth")

    await vera.get_by_role("button", name="Stop watching").click()
    for tab in (ana, vera):
        ended = tab.locator(".message", has_text="Stopped watching main")
        await expect(ended).to_contain_text("@vera stopped it")
        await expect(ended.locator(".button")).to_have_count(0)
        await expect(tab.locator(".unknown")).to_have_count(0)
    await holder.execute("rollback")
    await blocked
