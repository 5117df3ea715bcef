"""Take the README's pictures of the demo: `.venv/bin/python scripts/screenshot.py URL [FOLDER]`.

URL is the page of a running `make demo`; the pictures go to `docs/`. In each theme the bot speaks
first, and Ana previews the way out; then she looks, and asks for a kill, with what the guide
suggests. The scenario is reset before and after each.
"""

# ruff: noqa: INP001 - a script

import argparse
import asyncio
import shutil
import sys
from pathlib import Path
from typing import Literal

from playwright.async_api import Browser, Page, async_playwright, expect

SIZE = (1440, 1000)
OLD_ENOUGH = 40.0  # seconds: sessions that began just now would be an odd incident
TOLD_WITHIN = 150_000  # milliseconds: an incident begins by itself a minute after a reset
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--hide-scrollbars")

Theme = Literal["light", "dark"]

expect.set_options(timeout=20_000)


async def take(url: str, folder: Path) -> None:
    """Play the story and take its pictures in both themes."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=ARGUMENTS
        )
        for theme in ("light", "dark"):
            await _play(browser, url, theme, folder)
        await browser.close()


async def _play(browser: Browser, url: str, theme: Theme, folder: Path) -> None:
    context = await browser.new_context(
        viewport={"width": SIZE[0], "height": SIZE[1]}, color_scheme=theme, reduced_motion="reduce"
    )
    ana = await context.new_page()
    await ana.goto(f"{url.rstrip('/')}/?as=ana&in=incidents")
    await _begin_anew(ana)
    alert = ana.get_by_role("button", name="Preview the cancel")
    await expect(alert).to_be_visible(timeout=TOLD_WITHIN)
    await alert.click()
    await expect(ana.locator(".message .button.danger")).to_be_visible()
    await _picture(ana, folder / f"demo-alert-{theme}.png")

    await _begin_anew(ana)
    await asyncio.sleep(OLD_ENOUGH)
    await _type(ana, "/pg-sessions main/some_db")
    await expect(ana.locator(".message table")).to_be_visible()
    await _picture(ana, folder / f"demo-look-{theme}.png")
    await _type(ana, "/pg-kill main/some_db user=some_user -- blocks the deploy")
    await expect(ana.locator(".message .button.danger")).to_be_visible()
    await _picture(ana, folder / f"demo-preview-{theme}.png")

    await _begin_anew(ana)
    await context.close()


async def _begin_anew(page: Page) -> None:
    await page.get_by_role("button", name="Reset").click()
    await expect(page.locator(".reset[aria-busy]")).to_have_count(0)
    await expect(page.locator(".message")).to_have_count(0)
    await expect(page.locator(".login:not(.good)")).to_be_visible()


async def _type(page: Page, text: str) -> None:
    await page.get_by_role("textbox").fill(text)
    await page.keyboard.press("Enter")


async def _picture(page: Page, path: Path) -> None:
    await page.mouse.move(0, 0)
    # The panel refreshes once a second: wait one more, so that it shows the same moment.
    await asyncio.sleep(1.5)
    await page.screenshot(path=path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Take the README's pictures of a running demo.")
    parser.add_argument("url", help="the page's address, as `make demo` prints it")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("docs"))
    given = parser.parse_args()
    if shutil.which("chromium") is None:
        sys.exit("chromium is missing (apt-get install chromium)")
    asyncio.run(take(given.url, given.folder))
