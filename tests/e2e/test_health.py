"""The port for machines: is the bot alive, is it ready, what has it done?"""

import asyncio
import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from bot.domain.findings.model import Rule
from bot.domain.kills import Outcome
from bot.slack.buttons import ActionId
from tests.e2e.conftest import IN_BOTH_MODES, Bot
from tests.integration.conftest import Sessions
from tests.ports import free_port
from workspace import Person, Workspace
from workspace.people import PATIENCE

CLUSTERS = {"main", "down"}
FEW = {"/pg-sessions", "/pg-kill", "unknown", *ActionId, *Outcome, *Rule, *CLUSTERS, "yes", "no"}
"""All possible values of labels: nobody else can choose one."""


async def get(port: int, path: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}{path}") as answer,
    ):
        return answer.status, await answer.text()


async def ready(port: int) -> dict[str, bool]:
    status, text = await get(port, "/readyz")
    found: dict[str, bool] = json.loads(text)
    assert (status == 200) == all(found.values())
    return found


async def numbers(port: int) -> dict[tuple[str, str], float]:
    """Every sample by its name and its labels, except for a histogram's buckets."""
    _, text = await get(port, "/metrics")
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = {name: value for name, value in sample.labels.items() if name != "le"}
            assert set(labels.values()) <= FEW, sample
            if not sample.name.endswith(("_bucket", "_created")):
                name = sample.name.removeprefix("pg_sessions_")
                found[name, "".join(labels.values())] = sample.value
    return found


@IN_BOTH_MODES
async def test_health_readiness_and_metrics(
    start: Callable, slack: Workspace, ana: Person, sessions: Sessions
) -> None:
    await sessions.open("batch", app="counted")
    port = free_port()
    await start(HEALTH_PORT=str(port), DATABASE_URL_DOWN="postgresql://bot@127.0.0.1:1/postgres")
    assert await get(port, "/healthz") == (200, '{"status": "ok"}')
    # A cluster that is down shows in the metrics, but the bot stays ready: the others are needed.
    assert await ready(port) == {"slack": True, "ledger": True}

    sam = slack.person("sam")
    await sam.command("/pg-kill app=counted", channel="incidents")
    await ana.command("/pg-kill help", channel="incidents")
    await ana.command("/pg-kill pid=1", channel="incidents")
    await ana.command("/pg-kill down/ app=counted", channel="incidents")
    await ana.command("/pg-kill main/ app=counted", channel="incidents")
    await sam.click("Terminate 1 session", channel="incidents")
    await sam.sees("You may not", channel="incidents")
    await ana.click("Terminate 1 session")
    await ana.sees("Terminated 1 of 1 on main")

    command, click = "/pg-kill", "kill.terminate"
    expected = {
        ("refusals_total", command): 1,
        ("refusals_total", click): 1,
        ("kill_targets_total", "terminated"): 1,
        ("gone_seconds_count", ""): 1,
        ("cluster_connections", "main"): 5,
        ("cluster_connections_wanted", "main"): 5,
        ("cluster_connections", "down"): 0,
        ("cluster_connections_wanted", "down"): 5,
    }
    for name in ("commands_total", "ack_seconds_count", "answer_seconds_count"):
        expected |= {(name, command): 5, (name, click): 2}
    async with asyncio.timeout(PATIENCE):  # an answer is counted after it is seen
        while not expected.items() <= (found := await numbers(port)).items():
            await asyncio.sleep(0.02)
    gone, answer = found["gone_seconds_sum", ""], "answer_seconds_sum"
    assert 0 < found["ack_seconds_sum", click] < found[answer, click]
    assert 0 < gone < found[answer, click]


async def test_not_ready_without_slack(start: Callable, slack: Workspace) -> None:
    port = free_port()
    await start(HEALTH_PORT=str(port))
    slack.faults.fail("apps.connections.open", times=1000)
    slack.server.sockets.cut()
    while (await ready(port))["slack"]:
        await asyncio.sleep(0.05)
    assert await ready(port) == {"slack": False, "ledger": True}
    assert (await get(port, "/healthz"))[0] == 200


async def test_a_bot_that_is_starting_is_healthy_but_not_ready(
    start: Callable, slack: Workspace
) -> None:
    slack.faults.slow("auth.test", seconds=60)
    port = free_port()
    bot: Bot = await start(wait=False, HEALTH_PORT=str(port))
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(aiohttp.ClientConnectorError):  # not yet
                assert (await get(port, "/healthz"))[0] == 200
                break
            await asyncio.sleep(0.02)
    assert not (await ready(port))["slack"]
    assert await bot.stop() == 0
    assert "bot.ready" not in bot.output


async def test_not_ready_if_the_ledger_is_not_writable(
    start: Callable, slack: Workspace, tmp_path: Path
) -> None:
    port = free_port()
    bot = await start(HEALTH_PORT=str(port))
    locking = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    locking.execute("begin immediate")
    assert await ready(port) == {"slack": True, "ledger": False}
    assert (await get(port, "/healthz"))[0] == 200
    # Which of the two comes depends on who waits for the lock already.
    whys = re.compile('.*("check": "ledger"|"ledger.trouble").*')
    while not (told := whys.findall(bot.output)):
        await ready(port)
    assert "frames" not in "".join(told)  # asked every second, they would fill the log
    locking.execute("rollback")
    locking.close()
    while not (await ready(port))["ledger"]:
        await asyncio.sleep(0.05)
    assert not re.search('"level": "(error|critical)"', bot.output)
