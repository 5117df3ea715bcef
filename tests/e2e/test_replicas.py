"""Two real bots share a ledger in PostgreSQL. Slack may send each click to either."""

import asyncio
import itertools
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest

from bot.domain.kills import LEASE
from tests.e2e.conftest import Bot, becomes, buttons
from tests.integration.conftest import BOT, Sessions
from tests.integration.kills import lives
from tests.proxy import Proxy, signal_to
from workspace import Person, Workspace
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer

LEASE_US = int(LEASE.total_seconds() * 1_000_000)


@dataclass
class Ledger:
    """The ledger, read from outside."""

    connection: asyncpg.Connection

    async def kills(self) -> list[asyncpg.Record]:
        """Every kill, with the ledger's clock; instants are in microseconds."""
        return await self.connection.fetch(
            "select *, (extract(epoch from clock_timestamp()) * 1000000)::bigint as now"
            " from kills order by id"
        )

    async def last(self) -> asyncpg.Record:
        return (await self.kills())[-1]

    async def outcomes(self) -> list[tuple[int, str]]:
        """Which kill had which outcomes, one for each target."""
        rows = await self.connection.fetch(
            "select kill_id, outcome from outcomes union all select kill_id, outcome"
            " from amendments order by kill_id"
        )
        return [(row["kill_id"], row["outcome"]) for row in rows]


@pytest.fixture
async def ledger(ledger_url: str) -> AsyncIterator[Ledger]:
    connection = await asyncpg.connect(ledger_url)
    yield Ledger(connection)
    await connection.close()


@pytest.fixture
async def replicas(ledger_url: str, start: Callable, slack: Workspace) -> list[Bot]:
    started = [await start(LEDGER_URL=ledger_url) for _ in range(2)]
    await slack.connected(2)
    return started


def events(bot: Bot, event: str) -> list[dict[str, Any]]:
    """The lines of this event in a bot's log."""
    lines = [json.loads(line) for line in bot.lines if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


async def taken_by(replicas: list[Bot], doing: Awaitable[object]) -> Bot:
    """Do something, and find the replica that handled it."""
    before = [len(events(bot, "request.started")) for bot in replicas]
    await doing
    async with asyncio.timeout(PATIENCE):
        while True:
            after = [len(events(bot, "request.started")) for bot in replicas]
            took = [bot for bot, a, b in zip(replicas, before, after, strict=True) if b > a]
            if took:
                assert sum(after) == sum(before) + 1
                return took[0]
            await asyncio.sleep(0.01)


async def claimer(replicas: list[Bot]) -> Bot:
    """The first replica that claims a kill."""
    async with asyncio.timeout(PATIENCE):
        while True:
            for bot in replicas:
                if events(bot, "kill.claimed"):
                    return bot
            await asyncio.sleep(0.01)


async def test_any_replica_can_execute_anothers_preview(
    replicas: list[Bot], ana: Person, vera: Person, sessions: Sessions, ledger: Ledger
) -> None:
    seen = set()
    for number in range(4):
        victim = await sessions.open("batch", app=f"any {number}")
        command = ana.command(f'/pg-kill app="any {number}"', channel="incidents")
        made = await taken_by(replicas, command)
        if number % 2:
            # Slack takes turns here: with one look in between, the click goes to the other replica.
            await taken_by(replicas, vera.command("/pg-sessions private", channel="incidents"))
        confirmed = await taken_by(replicas, ana.click("Terminate 1 session"))
        await ana.sees("Terminated 1 of 1 on main", f"pid {victim.get_server_pid()} ")
        assert not await lives(victim)
        seen.add((replicas.index(made), replicas.index(confirmed)))
    assert seen == set(itertools.product(range(2), repeat=2))
    assert await ledger.outcomes() == [(number, "terminated") for number in range(1, 5)]
    # There is only one record, whichever replica is asked.
    told = [await bot.run("history", "--format", "csv") for bot in replicas]
    assert told[0] == told[1]
    # The latest state of each, and what was said first.
    assert told[0].count(",terminated,terminated,") == 4


async def test_concurrent_clicks_execute_a_kill_once(
    replicas: list[Bot],
    slack: Workspace,
    ana: Person,
    ben: Person,
    sessions: Sessions,
    ledger: Ledger,
) -> None:
    races = 10
    for number in range(1, races + 1):
        victim = await sessions.open("batch", app=f"race {number}")
        preview = await ana.command(f'/pg-kill app="race {number}"', channel="incidents")
        slack.faults.deliver_twice(2)
        await asyncio.gather(
            ana.click("Terminate 1 session", in_message=preview),
            ben.click("Terminate 1 session", in_message=preview),
        )
        # In exactly this message: other tests may run at the same time, and pids come again.
        await becomes(slack, ana, preview, "Terminated 1 of 1 on main")
        assert not await lives(victim)
        # The other three are told so, each by the replica that handled it.
        await told_nothing_more(slack, f"Kill {number} is ", times=3)
    claims = [[line["kill"] for line in events(bot, "kill.claimed")] for bot in replicas]
    assert sorted(itertools.chain(*claims)) == list(range(1, races + 1))
    assert await ledger.outcomes() == [(number, "terminated") for number in range(1, races + 1)]


async def told_nothing_more(slack: Workspace, words: str, *, times: int) -> None:
    """Wait until this many clicks were answered without doing anything."""

    def told() -> int:
        alone = [message.text for message in slack.messages("incidents") if message.is_ephemeral]
        return sum(words in text and "did nothing more" in text for text in alone)

    assert await slack.state.log.until(lambda: told() >= times, PATIENCE)
    assert told() == times


async def test_a_preview_outlives_the_replica_that_made_it(
    replicas: list[Bot], slack: Workspace, ana: Person, sessions: Sessions
) -> None:
    victim = await sessions.open("batch", app="rolled out")
    command = ana.command('/pg-kill app="rolled out"', channel="incidents")
    made = await taken_by(replicas, command)
    assert await made.stop() == 0
    (left,) = (bot for bot in replicas if bot is not made)
    assert await taken_by([left], ana.click("Terminate 1 session")) is left
    await ana.sees("Terminated 1 of 1 on main")
    assert not await lives(victim)


async def taken_over(ledger: Ledger, claimed: asyncpg.Record) -> asyncpg.Record:
    """Wait until the kill is concluded; until its lease is over it stays as it was claimed."""
    async with asyncio.timeout(PATIENCE):
        while True:
            now = await ledger.last()
            if now["now"] <= claimed["lease_until"]:
                assert {**now, "now": 0} == {**claimed, "now": 0}
            if now["state"] == "done":
                return now
            await asyncio.sleep(0.1)


async def test_kill_of_a_dead_replica_is_taken_over_after_its_lease(
    replicas: list[Bot], ana: Person, sessions: Sessions, ledger: Ledger
) -> None:
    """A stopped process takes no signal, so the kill isn't over when its bot dies."""
    victim = await sessions.open("batch", app="watched")
    pid = victim.get_server_pid()
    await ana.command("/pg-kill app=watched", channel="incidents")
    os.kill(pid, signal.SIGSTOP)
    try:
        await ana.click("Terminate 1 session")
        died = await claimer(replicas)
        await ana.sees("Terminating 1 session")
        await died.stop(signal.SIGKILL)
        claimed = await ledger.last()
        assert claimed["state"] == "claimed"
        assert claimed["concluded_at"] is None

        done = await taken_over(ledger, claimed)

        # A takeover begins a new lease, by the ledger's clock.
        assert done["lease_until"] - LEASE_US >= claimed["lease_until"]
        assert done["owner"] != claimed["owner"]
        assert await ledger.outcomes() == [(1, "interrupted")]
        message = await ana.sees("interrupted", str(pid), "the session is still there")
        assert buttons(message) == ["Timeline"]
    finally:
        os.kill(pid, signal.SIGCONT)
    (left,) = (bot for bot in replicas if bot is not died)
    assert [line["kill"] for line in events(left, "kill.lapsed")] == [1]
    assert events(left, "kill.claimed") == []


async def test_claimed_but_unsignalled_kill_is_not_signalled_by_another(
    ledger_url: str,
    start: Callable,
    slack: Workspace,
    server: PostgresServer,
    ana: Person,
    sessions: Sessions,
    ledger: Ledger,
) -> None:
    """The signalling statement is held on its way, and lost with its bot."""
    victim = await sessions.open("batch", app="spared")
    async with Proxy(server) as proxy:
        through = {"DATABASE_URL": proxy.dsn(user=BOT), "LEDGER_URL": ledger_url}
        replicas = [await start(**through) for _ in range(2)]
        await slack.connected(2)
        for bot in replicas:
            await bot.says("cluster.connected", times=4)
        await ana.command("/pg-kill app=spared", channel="incidents")
        hold = proxy.hold(signal_to(victim.get_server_pid()))
        await ana.click("Terminate 1 session")
        died = await claimer(replicas)
        await hold.reached()
        await died.stop(signal.SIGKILL)
        proxy.cut()
        hold.release()
        claimed = await ledger.last()
        assert claimed["state"] == "claimed"

        done = await taken_over(ledger, claimed)

        assert done["confirmed_by"] == ana.id
        assert await ledger.outcomes() == [(1, "interrupted")]
        await ana.sees("interrupted", str(victim.get_server_pid()), "the session is still there")
        assert await lives(victim)
