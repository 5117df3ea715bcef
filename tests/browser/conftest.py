"""The page in a real browser: Debian's chromium without a window, driven by Playwright.

If it is missing, these tests skip; with `CI` set they fail.
"""

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import pytest
from aiohttp import hdrs
from playwright.async_api import (
    Browser,
    ConsoleMessage,
    Error,
    Page,
    Request,
    async_playwright,
    expect,
)

from tests.e2e.conftest import (  # noqa: F401 - the fixtures of the real process
    bot,
    environment,
    mode,  # in Socket Mode: the page supports no other
    port,
    server,
    sessions,
    slack,
    start,
    warm,
)
from tests.ports import free_port
from workspace import Workspace
from workspace.blocks import Json, complete, problems_of_message
from workspace.page import Page as Site
from workspace.page import Scenario, ScenarioView
from workspace.page.contract import FaultButton, Login, Step, StepState
from workspace.page.guard import _HEADERS
from workspace.people import PATIENCE
from workspace.state import Message

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDE = (1440, 900)
PHONE = (390, 844)

expect.set_options(timeout=PATIENCE * 1000)

Look = Callable[..., Awaitable[Page]]


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """One browser for all tests."""
    # The whole chromium draws a window around each page, which costs more than most tests do.
    path = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if path is None:
        missing = "chromium is missing (apt-get install chromium-headless-shell)"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture(scope="session")
def idle() -> list[Page]:
    """Tabs that tests have left. To start a renderer costs more than what most tests do in it."""
    return []


@pytest.fixture(scope="session")
def site_port() -> Iterator[int]:
    """The port of each site: the browser keeps the page's files, and compiled, by its address."""
    with socket.socket() as reserved:  # it doesn't listen, so sites can
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", port := free_port()))
        yield port


@pytest.fixture
def scenario() -> Scenario | None:
    """The scenario beside the channel; a test that needs one overrides this fixture."""
    return None


@pytest.fixture
async def site(
    slack: Workspace,  # noqa: F811
    scenario: Scenario | None,
    site_port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Site]:
    monkeypatch.setitem(_HEADERS, hdrs.CACHE_CONTROL, "max-age=3600")
    async with Site(slack, scenario, port=site_port) as served:
        yield served


@pytest.fixture
def complaints() -> list[str]:
    """The browser's error messages: none, except those that a test expects and removes."""
    return []


@pytest.fixture
async def look(
    chromium: Browser, site: Site, idle: list[Page], complaints: list[str]
) -> AsyncIterator[Look]:
    """Open the page as somebody: `await look("ana")`. Fails if it contacts any other server."""
    tabs = []

    def heard(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            complaints.append(message.text)

    def failed(error: Error) -> None:
        complaints.append(str(error))

    def asked(request: Request) -> None:
        if not request.url.startswith(site.url):
            complaints.append(f"asked {request.url}")

    async def look(
        name: str = "ana",
        channel: str = "incidents",
        *,
        scheme: Literal["light", "dark"] = "light",
        size: tuple[int, int] = WIDE,
    ) -> Page:
        tab = idle.pop() if idle else await new_tab(chromium)
        tabs.append(tab)
        await tab.set_viewport_size({"width": size[0], "height": size[1]})
        await tab.emulate_media(color_scheme=scheme)
        tab.on("console", heard)
        tab.on("pageerror", failed)
        tab.on("request", asked)
        await tab.goto(f"{site.url}?as={name}&in={channel}")
        await expect(tab.locator(".channel-title h1")).to_be_visible()
        return tab

    yield look
    for tab in reversed(tabs):  # the one that knows the page best is the next to be taken
        if not tab.is_closed():
            tab.remove_listener("console", heard)
            tab.remove_listener("pageerror", failed)
            tab.remove_listener("request", asked)
            await leave(tab, site)
            idle.append(tab)
    assert complaints == []


async def new_tab(chromium: Browser) -> Page:
    """A tab that shares nothing with others."""
    context = await chromium.new_context(reduced_motion="reduce")
    context.set_default_timeout(PATIENCE * 1000)
    return await context.new_page()


async def leave(tab: Page, site: Site) -> None:
    """Make a tab like new; only its renderer and what the browser keeps of the files stay."""
    for other in tab.context.pages:
        if other is not tab:
            await other.close()
    await tab.evaluate("sessionStorage.clear(); localStorage.clear()")
    await tab.goto(f"{site.url}static/icon.svg")  # a blank page has another renderer


Say = Callable[..., Message]


@pytest.fixture
def say(slack: Workspace) -> Say:  # noqa: F811
    """Post a message of the app's directly into the workspace, if Slack would accept it."""

    def say(
        *blocks: Json, text: str = "", channel: str = "incidents", receiver: str | None = None
    ) -> Message:
        assert problems_of_message(list(blocks)) == [] or not blocks
        message = Message(
            channel=slack.channel(channel).id,
            ts=slack.state.new_ts(),
            user=slack.state.app.user_id,
            text=text,
            blocks=tuple(complete(list(blocks))),
            receiver=receiver,
        )
        return slack.state.post(message)

    return say


class Story:
    """A scenario whose contents a test sets."""

    def __init__(self) -> None:
        self.pressed: list[str] = []
        self._news = asyncio.Condition()
        self._view: ScenarioView = {
            "login": _login(ok=False),
            "activity": {"columns": ["pid", "usename", "state"], "rows": []},
            "guide": _steps(done=0),
            "ending": {"title": "What to try next", "text": "More.", "commands": ["/pg-sessions"]},
            "database": {"state": "up"},
            "faults": _faults(),
        }

    def view(self) -> ScenarioView:
        return self._view

    async def fault(self, fault_id: str, /) -> None:
        self.pressed.append(fault_id)
        is_on = {fault["id"] for fault in self._view["faults"] if fault["active"]}
        await self.show(faults=_faults(active=None if fault_id in is_on else fault_id))

    async def reset(self) -> None:
        self.pressed.append("reset")
        await self.show(faults=_faults(), guide=_steps(done=0))

    async def subscribe(self) -> AsyncIterator[ScenarioView]:
        while True:
            async with self._news:
                await self._news.wait()
            yield self._view

    # What a test sets

    async def show(self, **changes: Any) -> None:
        self._view = {**self._view, **changes}  # type: ignore[typeddict-item]
        async with self._news:
            self._news.notify_all()

    async def go_on(self, *, done: int) -> None:
        await self.show(guide=_steps(done=done))

    async def let_in(self) -> None:
        await self.show(login=_login(ok=True), guide=_steps(done=2))

    async def print(self, *rows: Sequence[str | None]) -> None:
        columns = ["pid", "usename", "state"]
        await self.show(activity={"columns": columns, "rows": [list(row) for row in rows]})


def _login(*, ok: bool) -> Login:
    text = 'FATAL:  too many connections for role "some_user"'
    return {
        "ok": ok,
        "text": 'You are connected to database "some_db" as user "some_user".' if ok else text,
        "at": datetime.now(UTC).isoformat(),
        "attempts": 12 if ok else 11,
    }


def _steps(*, done: int) -> list[Step]:
    all_states: tuple[StepState, ...] = ("done", "done", "now", "later")
    look, refused = all_states[2 - done :][:2]
    return [
        {
            "id": "look",
            "title": "See who is connected",
            "text": "`some_user` stands at 1 of 1.",
            "commands": ["/pg-sessions some_db"],
            "people": ["ana", "ben"],
            "state": look,
        },
        {
            "id": "refused",
            "title": "Press the button as Vera",
            "text": "She is refused.",
            "commands": [],
            "people": ["vera"],
            "state": refused,
        },
    ]


def _faults(active: str | None = None) -> list[FaultButton]:
    return [
        {
            "id": "cut",
            "label": "Cut the socket",
            "effect": "The socket is cut.",
            "where": "slack",
            "can_end": False,
            "active": active == "cut",
        },
        {
            "id": "hang",
            "label": "Hang for 15 s",
            "effect": "PostgreSQL answers nobody.",
            "where": "postgres",
            "can_end": True,
            "active": active == "hang",
        },
    ]
