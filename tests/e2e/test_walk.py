"""How many files a request walks through, because whoever reads the code follows it."""

import json
import signal
from collections.abc import Callable
from dataclasses import dataclass

from tests.e2e.conftest import Bot
from tests.e2e.walked import WALKED
from tests.integration.conftest import Sessions
from workspace import Person

LOOK_FILES, LOOK_CHANGES = 52, 340
KILL_FILES, KILL_CHANGES = 74, 830
"""These must not get worse: 52, 326, 74 and 771 were counted. A slow machine checks more often who
has ended. A preview and its click count as one kill."""


@dataclass
class Walk:
    """What one request was seen to walk through."""

    files: list[str]
    changes: int
    steps: list[tuple[str, int]]


async def walk(bot: Bot) -> Walk:
    """The walk since the last time."""
    assert bot.process is not None
    times = sum(WALKED in line for line in bot.lines)
    bot.process.send_signal(signal.SIGUSR1)
    line = json.loads(await bot.says(WALKED, times=times + 1))
    return Walk(line["files"], line["changes"], line["steps"])


async def test_request_walks_through_few_files(
    start: Callable, ana: Person, sessions: Sessions
) -> None:
    await sessions.open("batch", app="walked")
    bot: Bot = await start(module="tests.e2e.walked")
    await bot.says("cluster.connected", times=4)
    await ana.command("/pg-sessions main/", channel="incidents")  # a warm-up
    await bot.says("request.finished")
    await walk(bot)

    await ana.command("/pg-sessions some_db", channel="incidents")
    await bot.says("request.finished", times=2)
    looked = await walk(bot)
    preview = await ana.command("/pg-kill app=walked", channel="incidents")
    await bot.says("request.finished", times=3)
    await ana.click("Terminate 1 session", in_message=preview)
    await ana.sees("Terminated 1 of 1 on main")
    await bot.says("request.finished", times=4)
    killed = await walk(bot)
    print(looked, killed, sep="\n")  # noqa: T201  for whoever counts again
    assert len(looked.files) <= LOOK_FILES
    assert looked.changes <= LOOK_CHANGES
    assert len(killed.files) <= KILL_FILES
    assert killed.changes <= KILL_CHANGES
