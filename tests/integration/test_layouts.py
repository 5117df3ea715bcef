"""A look's table where Slack takes no `data_table`: found out once, and again the next day."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from bot.domain.kills import Place
from bot.slack import delivery as module
from bot.slack.api_errors import Client
from bot.slack.delivery import Delivery
from bot.slack.layouts import AGAIN_AFTER, Layouts
from bot.slack.speech import Speech
from bot.slack.views import blocks
from bot.slack.views.message import Message, message
from bot.slack.views.tables import data_table
from tests.integration.kills import HandClock
from workspace import Workspace
from workspace.faults import TABLE_ERRORS

CHANNEL, ANA = "C0INCIDENTS", "U0ANA"
ROWS = [["pid", "usename"], ["33507", "web"], ["33508", "batch"]]
LOOK = message(
    [("some_db on main",)],
    data_table(ROWS, ["main"], numbers={"pid": [33507, 33508]}, row_header="pid"),
    blocks.actions([blocks.button("Refresh", "sessions.refresh", "key")]),
)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@dataclass
class Bot:
    """What the bot says by, without the rest of it."""

    slack: Workspace
    client: Client
    delivery: Delivery
    speech: Speech

    def url(self, ts: str | None = None) -> str:
        secret = self.slack.state.new_response_url(CHANNEL, ANA, ts).secret
        return f"{self.slack.server.base_url}/{'actions' if ts else 'commands'}/T0ACME/{secret}"

    async def posted(self, drawn: Message = LOOK) -> Place:
        place = await self.delivery.post(CHANNEL, drawn, response_url="")
        assert isinstance(place, Place)
        return place

    def table(self) -> str:
        """How the newest message shows its rows: the kind of the block after its first line."""
        newest = self.slack.messages("incidents")[-1]
        assert "33508" in str(newest.blocks)
        return str(newest.blocks[1]["type"])


@pytest.fixture
async def bot(
    slack: Workspace, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Bot]:
    monkeypatch.setattr(module, "PAUSES", (0.0, 0.0, 0.0))
    async with aiohttp.ClientSession() as session:
        client = Client(
            token=slack.bot_token, base_url=slack.api_url, session=session, retry_handlers=[]
        )
        layouts = Layouts(clock, "T0ACME")
        yield Bot(slack, client, Delivery(client, session, layouts), Speech(client, layouts))


async def _update(bot: Bot) -> Any:
    return await bot.delivery.update(await bot.posted(message([("x",)])), LOOK)


async def _by_url(bot: Bot) -> Any:
    ts = (await bot.posted(message([("x",)]))).message_ts
    return await bot.delivery.update(Place(CHANNEL), LOOK, response_url=bot.url(ts))


async def _reply(bot: Bot) -> Any:
    ts = bot.slack.person("ana").say("Logins fail", "incidents").ts
    return await bot.delivery.post(CHANNEL, LOOK, response_url="", thread_ts=ts)


async def _board(bot: Bot) -> Any:
    place = await bot.posted(message([("x",)]))
    return await bot.speech.redraw(place, LOOK, before=_at_once, team_id="T0ACME")


async def _at_once() -> None: ...


WAYS: dict[str, tuple[str, Callable[[Bot], Awaitable[Any]]]] = {
    "post": ("chat.postMessage", Bot.posted),
    "reply": ("chat.postMessage", _reply),
    "update": ("chat.update", _update),
    "update by url": ("response_url", _by_url),
    "board": ("chat.update", _board),
    "whisper": (
        "response_url",
        lambda bot: bot.delivery.whisper(CHANNEL, ANA, LOOK, response_url=bot.url()),
    ),
    "whisper by api": (
        "chat.postEphemeral",
        lambda bot: bot.delivery.whisper(CHANNEL, ANA, LOOK, response_url=""),
    ),
}


TROUBLE = ("internal_error", "fatal_error")
"""Codes that Slack gives for trouble of its own, and has given for tables, too."""


@pytest.mark.parametrize("error", [each for each in TABLE_ERRORS if each not in TROUBLE])
@pytest.mark.parametrize("way", WAYS)
async def test_refused_data_table_costs_one_call_more_once_a_day(
    bot: Bot, slack: Workspace, clock: HandClock, way: str, error: str
) -> None:
    method, send = WAYS[way]

    async def calls() -> int:
        """How many calls a look takes."""
        before = len(slack.calls(method))
        assert await send(bot)
        return len(slack.calls(method)) - before

    slack.faults.refuse_blocks("data_table", error=error)
    assert (await calls(), bot.table()) == (2, "table")
    assert (await calls(), bot.table()) == (1, "table")
    clock.seconds += AGAIN_AFTER - 1
    assert (await calls(), bot.table()) == (1, "table")
    clock.seconds += 1
    assert (await calls(), bot.table()) == (2, "table")
    assert (await calls(), bot.table()) == (1, "table")
    slack.faults.clear()
    assert (await calls(), bot.table()) == (1, "table")
    clock.seconds += AGAIN_AFTER
    assert (await calls(), bot.table()) == (1, "data_table")


@pytest.mark.parametrize("error", TROUBLE)
@pytest.mark.parametrize("way", WAYS)
async def test_trouble_counts_as_a_refusal_only_the_second_time_in_a_row(
    bot: Bot, slack: Workspace, way: str, error: str
) -> None:
    method, send = WAYS[way]
    for again in (False, True):
        slack.faults.refuse_blocks("data_table", error=error)
        assert await send(bot)
        assert bot.table() == "table"
        slack.faults.clear()
        assert await send(bot)
        assert bot.table() == "data_table", f"again: {again}"
    slack.faults.refuse_blocks("data_table", error=error)
    for calls in (2, 2, 1):
        before = len(slack.calls(method))
        assert await send(bot)
        assert (len(slack.calls(method)) - before, bot.table()) == (calls, "table")


async def test_another_workspace_is_asked_by_itself(bot: Bot, slack: Workspace) -> None:
    slack.faults.refuse_blocks("data_table")
    await bot.posted()
    slack.faults.clear()
    other = await bot.delivery.of("T0PARTNER").post(CHANNEL, LOOK, response_url="")
    assert isinstance(other, Place)
    assert bot.table() == "data_table"
    await bot.posted()
    assert bot.table() == "table"
    assert len(slack.calls("chat.postMessage")) == 4


async def test_refusal_to_one_person_takes_nothing_from_the_channel(
    bot: Bot, slack: Workspace
) -> None:
    slack.faults.refuse_blocks("data_table", where="ephemeral")
    await bot.delivery.whisper(CHANNEL, ANA, LOOK, response_url=bot.url())
    assert bot.table() == "table"
    await bot.posted()
    assert bot.table() == "data_table"


async def test_where_every_table_is_refused_there_is_text(bot: Bot, slack: Workspace) -> None:
    slack.faults.refuse_tables()
    await bot.posted()
    assert bot.table() == "rich_text"
    await bot.posted()
    assert bot.table() == "rich_text"
    # A `table` is tried each time: what a kill is decided by has no other.
    assert len(slack.calls("chat.postMessage")) == 3 + 2


async def test_refusal_of_every_block_says_nothing_about_tables(bot: Bot, slack: Workspace) -> None:
    slack.faults.refuse_blocks()
    await bot.posted()
    slack.faults.clear()
    await bot.posted()
    assert bot.table() == "data_table"


async def test_a_board_without_rows_keeps_its_buttons_after_a_refusal(
    bot: Bot, slack: Workspace
) -> None:
    """Its message has fewer layouts than one with a table."""
    slack.faults.refuse_tables()
    place = await bot.posted(message([("x",)]))
    most = await bot.speech.redraw(place, LOOK, before=_at_once, team_id="T0ACME")
    empty = Message(LOOK.text, (LOOK.blocks[0], LOOK.blocks[2]))
    await bot.speech.redraw(place, empty, before=_at_once, team_id="T0ACME", most=most)
    assert [block["type"] for block in slack.messages("incidents")[-1].blocks] == [
        *("rich_text", "actions")
    ]
