"""How a bot ends: told to, or killed at the worst moment of a kill."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import asyncpg
import pytest

from tests.e2e.conftest import IN_BOTH_MODES, Bot, becomes
from tests.e2e.test_clicks import dead
from tests.e2e.test_faults import stopped
from tests.e2e.test_replicas import Ledger
from tests.integration.conftest import BOT, Sessions
from tests.proxy import Hold, Proxy
from workspace import Person, Workspace
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer
from workspace.state import Message

SIGNAL = b"verdict"
CLAIM = b"confirmed_action="
OUTCOME = b"took="


async def test_told_to_stop_it_takes_no_more_and_finishes_what_is_under_way(
    bot: Bot, slack: Workspace, ana: Person, ben: Person, vera: Person, sessions: Sessions
) -> None:
    """Told twice, even: a kill that is watched, one just clicked, a command at the door."""
    watched = await sessions.open("batch", app="watched to its end")
    clicked = await sessions.open("batch", app="clicked last")
    first = await ana.command('/pg-kill app="watched to its end"', channel="incidents")
    second = await ben.command('/pg-kill app="clicked last"', channel="incidents")
    with stopped(watched):
        await ana.click("Terminate 1 session", in_message=first)
        await ana.sees("Terminating 1 session")
        slack.faults.slow("conversations.info", seconds=1)
        at_the_door = asyncio.ensure_future(vera.command("/pg-sessions some_db", "war-room"))
        await slack.state.log.until(lambda: slack.faults.in_force() == [], PATIENCE)
        await ben.click("Terminate 1 session", in_message=second)

        assert bot.process is not None
        bot.process.send_signal(signal.SIGTERM)
        await bot.says("bot.stopping")
        async with asyncio.timeout(PATIENCE):
            while len(slack.server.sockets):
                await asyncio.sleep(0.01)
        await vera.command("/pg-sessions other_db", channel="incidents", wait=False)
        bot.process.send_signal(signal.SIGTERM)

    assert await bot.ended() == 0
    await vera.sees('failed with the error "dispatch_failed"')
    assert "some_db on main" in vera.text_of(await at_the_door)
    assert vera.does_not_see("other_db on main")
    await becomes(slack, ana, first, "Terminated 1 of 1 on main")
    await becomes(slack, ana, second, "Terminated 1 of 1 on main")
    assert await dead(watched)
    assert await dead(clicked)
    recorded = [json.loads(line) for line in (await bot.run("history")).splitlines()]
    assert [kill["state"] for kill in recorded] == ["done", "done"]
    assert "bot.stopped" in bot.output
    assert bot.errors == []


async def test_what_it_can_not_finish_is_recorded_and_shown_as_interrupted(
    start: Callable, server: PostgresServer, ana: Person, sessions: Sessions
) -> None:
    """Thirty signals over a slow network take longer than a bot that is told to stop has."""
    for _ in range(30):
        await sessions.open("web", app="thirty")
    async with Proxy(server) as proxy:
        bot: Bot = await start(DATABASE_URL=proxy.dsn(user=BOT))
        await ana.command("/pg-kill app=thirty", channel="incidents")
        proxy.delay = 0.3
        await ana.click("Terminate 30 sessions")
        await bot.says("kill.claimed")
        assert await bot.stop() == 0
    await ana.sees("interrupted", "the bot stopped before it was known")
    recorded = json.loads(await bot.run("history"))
    assert recorded["state"] == "done"
    assert {target["outcome"] for target in recorded["targets"]} == {"interrupted"}
    assert {target["detail"] for target in recorded["targets"]} == {
        "signalled, and not watched to its end",
        "not signalled: its deadline of 5 s had passed",
        "the bot stopped before it was known",
    }


async def test_a_kill_that_ends_while_slack_hangs_on_its_progress_is_shown_by_a_bot_that_stops(
    bot: Bot, slack: Workspace, ana: Person, sessions: Sessions
) -> None:
    victim = await sessions.open("batch", app="hung on")
    preview = await ana.command('/pg-kill app="hung on"', channel="incidents")
    await bot.says("request.finished")
    with stopped(victim):
        slack.faults.slow("chat.update", seconds=600)
        slack.faults.slow("response_url", seconds=600)  # the next way
        await ana.click("Terminate 1 session", in_message=preview)
        await bot.says("kill.claimed")
        await slack.state.log.until(lambda: len(slack.faults.in_force()) < 2, PATIENCE)
    await bot.says("kill.concluded")

    assert await bot.stop() == 0

    await becomes(slack, ana, preview, "Terminated 1 of 1 on main")
    assert bot.errors == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_the_next_bot_looks_again_where_one_ended_before_its_second_look(
    start: Callable,
    slack: Workspace,
    ledger_url: str,
    ana: Person,
    sessions: Sessions,
    number: signal.Signals,
) -> None:
    """Told to stop, a bot leaves it to the next at once; of one that died, its lease runs out."""
    victim = await sessions.open("batch", app="outlives the bot")
    bot: Bot = await start(LEDGER_URL=ledger_url)
    preview = await ana.command('/pg-kill app="outlives the bot"', channel="incidents")
    with stopped(victim):
        await ana.click("Terminate 1 session", in_message=preview)
        await becomes(slack, ana, preview, "Terminated 0 of 1 on main", "still running")
        await bot.stop(number)
    assert await dead(victim)
    if number is signal.SIGKILL:
        connection = await asyncpg.connect(ledger_url)
        await connection.execute("update kills set lease_until = lease_until - 90000000")
        await connection.close()

    heir: Bot = await start(LEDGER_URL=ledger_url)

    await becomes(slack, ana, preview, "Terminated 1 of 1 on main", "s later: no new session")
    await heir.says("kill.second_look_taken_over")
    assert bot.errors + heir.errors == []


@dataclass
class Doomed:
    """A bot behind two proxies, killed whenever one of them has seen enough, and its heirs."""

    start: Callable
    slack: Workspace
    cluster: Proxy
    book: Proxy
    ledger: Ledger
    environment: dict[str, str]
    bots: list[Bot] = field(default_factory=list)

    async def dies_at(self, hold: Hold, ana: Person, preview: Message, button: str) -> str:
        """Click, kill the bot at that moment, start another; the state of the kill then."""
        await ana.click(button, in_message=preview)
        await hold.reached()
        await self.bots[-1].stop(signal.SIGKILL)
        hold.release()
        state = (await self.ledger.last())["state"]
        await self.lives()
        return state

    async def lives(self) -> None:
        self.bots.append(await self.start(**self.environment))
        await self.bots[-1].says("cluster.connected", times=4)


@pytest.fixture
async def doomed(
    start: Callable, slack: Workspace, server: PostgresServer, ledger_url: str
) -> AsyncIterator[Doomed]:
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(Proxy(server))
        book = await stack.enter_async_context(Proxy(server))
        connection = await asyncpg.connect(ledger_url)
        stack.push_async_callback(connection.close)
        environment = {
            "DATABASE_URL": cluster.dsn(user=BOT),
            "LEDGER_URL": ledger_url.replace(f":{server.port}/", f":{book.port}/"),
        }
        one = Doomed(start, slack, cluster, book, Ledger(connection), environment)
        await one.lives()
        yield one


async def test_killed_at_any_moment_of_a_kill_no_intent_is_lost(
    doomed: Doomed, slack: Workspace, ana: Person, sessions: Sessions
) -> None:
    """Before the claim, before the first signal, between two, before the outcome is kept."""

    async def preview(app: str, victims: int) -> tuple[Message, list[asyncpg.Connection]]:
        opened = [await sessions.open("batch", app=app) for _ in range(victims)]
        words = f"Terminate {victims} session"
        await ana.command(f'/pg-kill app="{app}"', channel="incidents")
        return await ana.sees(words, app), opened

    unclaimed, spared = await preview("before the claim", 1)
    hold = doomed.book.hold(CLAIM)
    assert await doomed.dies_at(hold, ana, unclaimed, "Terminate 1") == "proposed"

    claimed, unsignalled = await preview("before the signal", 1)
    hold = doomed.cluster.hold(SIGNAL)
    assert await doomed.dies_at(hold, ana, claimed, "Terminate 1") == "claimed"

    between, mixed = await preview("between two signals", 2)
    hold = doomed.cluster.hold(b"signalled", answer=True)
    assert await doomed.dies_at(hold, ana, between, "Terminate 2") == "claimed"

    slack.faults.fail("chat.postMessage")  # where it stands is known from the click alone
    unkept, gone = await preview("before the outcome", 1)
    state = "proposed"
    while state == "proposed":  # what the others left may just be written, too
        hold = doomed.book.hold(OUTCOME)
        state = await doomed.dies_at(hold, ana, unkept, "Terminate 1")
    assert state == "claimed"

    async with asyncio.timeout(PATIENCE):
        while [kill["state"] for kill in await doomed.ledger.kills()].count("done") < 3:
            await asyncio.sleep(0.1)
    assert await doomed.ledger.outcomes() == [
        (2, "interrupted"),
        (3, "interrupted"),
        (3, "interrupted"),
        (4, "interrupted"),
    ]
    for message, words in (
        (claimed, ("the session is still there",)),
        (between, ("the session is still there", "the session is gone")),
        (unkept, ("the session is gone",)),
    ):
        amended = await becomes(slack, ana, message, "interrupted", *words)
        assert "actions" not in {block["type"] for block in amended.blocks}
    assert not await dead(unsignalled[0])
    assert sorted([await dead(one) for one in mixed]) == [False, True]
    assert await dead(gone[0])

    # What was not claimed was not touched, and can be claimed still.
    assert not await dead(spared[0])
    await ana.click("Terminate 1", in_message=unclaimed)
    await ana.sees("Terminated 1 of 1 on main")
    assert await dead(spared[0])


@pytest.mark.parametrize("hangs", ["the ledger", "the cluster"])
@pytest.mark.parametrize("at", ["rest", "a look", "a kill"])
async def test_a_server_that_hangs_does_not_keep_it_from_ending(
    start: Callable,
    server: PostgresServer,
    ledger_url: str,
    ana: Person,
    vera: Person,
    sessions: Sessions,
    hangs: str,
    at: str,
) -> None:
    """Nothing comes back, and nothing is closed: not even a farewell is heard."""
    victim = await sessions.open("batch", app="of a bot that ends")
    async with Proxy(server) as proxy:
        away = {
            "the ledger": {
                "LEDGER_URL": ledger_url.replace(f":{server.port}/", f":{proxy.port}/"),
            },
            "the cluster": {"DATABASE_URL": proxy.dsn(user=BOT), "LEDGER_URL": ledger_url},
        }
        bot: Bot = await start(**away[hangs])
        await bot.says("cluster.connected", times=4)
        await ana.command('/pg-kill app="of a bot that ends"', channel="incidents")
        await bot.says("request.finished")
        with stopped(victim):
            if at == "a kill":
                await ana.click("Terminate 1 session")
                await bot.says("kill.signal")
            proxy.swallow()
            if at == "a look":
                await vera.command("/pg-sessions some_db", channel="incidents", wait=False)
                await bot.says("request.started", times=2)
            assert await bot.stop() == 0
    assert "bot.stopped" in bot.output
    told = {json.loads(line)["event"] for line in bot.errors}
    unwritten = {"kill.outcome_not_in_ledger", "notes.lost"} if hangs == "the ledger" else set()
    assert told <= unwritten


async def half_a_request(port: int) -> asyncio.StreamWriter:
    """Whose body never comes."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /slack/events HTTP/1.1\r\nHost: bot\r\nContent-Length: 100\r\n\r\n")
    await writer.drain()
    return writer


@IN_BOTH_MODES
async def test_slack_that_hangs_does_not_keep_it_from_ending(
    bot: Bot, slack: Workspace, ana: Person, sessions: Sessions, mode: str, port: int
) -> None:
    """A kill is done and recorded, though nobody can be told."""
    victim = await sessions.open("batch", app="nobody is told")
    await ana.command('/pg-kill app="nobody is told"', channel="incidents")
    await bot.says("request.finished")
    # What Slack is asked before a kill it answers: else there would be none.
    for way in ("chat.update", "chat.postMessage", "chat.postEphemeral", "response_url"):
        slack.faults.slow(way, seconds=600, times=1000)
    await ana.click("Terminate 1 session")
    await bot.says("kill.concluded")
    slack.server.sockets.freeze()
    half = await half_a_request(port) if mode == "http" else None

    assert await bot.stop() == 0

    slack.server.sockets.cut()
    if half is not None:
        half.close()
    assert await dead(victim)
    recorded = json.loads(await bot.run("history"))
    assert recorded["state"] == "done"
    assert [target["outcome"] for target in recorded["targets"]] == ["terminated"]
    assert json.loads(await bot.says("delivery.failed"))["kill"] == recorded["kill"]
    assert "bot.stopped" in bot.output
    assert [line for line in bot.errors if "delivery.failed" not in line] == []
