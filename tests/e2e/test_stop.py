"""How a bot ends: told to stop, or killed at the worst moment of a kill."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import asyncpg
import pytest

from tests.e2e.conftest import IN_BOTH_MODES, Bot, becomes, buttons
from tests.e2e.test_faults import stopped
from tests.e2e.test_replicas import Ledger
from tests.integration.conftest import BOT, Sessions
from tests.integration.kills import STUBBORN, lives
from tests.proxy import Hold, Proxy, signal_to
from workspace import Person, Workspace
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer
from workspace.state import Message

CLAIM = b"confirmed_action="
OUTCOME = b"took="


async def test_stop_takes_no_more_requests_and_finishes_pending_ones(
    bot: Bot, slack: Workspace, ana: Person, ben: Person, vera: Person, sessions: Sessions
) -> None:
    """Told even twice: with a kill being watched, one just clicked, and a command arriving."""
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
    assert not await lives(watched)
    assert not await lives(clicked)
    recorded = [json.loads(line) for line in (await bot.run("history")).splitlines()]
    assert [kill["state"] for kill in recorded] == ["done", "done"]
    assert "bot.stopped" in bot.output
    assert bot.errors == []


async def test_unfinished_kill_is_recorded_and_shown_as_interrupted(
    start: Callable, server: PostgresServer, ana: Person, sessions: Sessions
) -> None:
    """Thirty signals over a slow network take longer than the time a stopping bot has."""
    for _ in range(30):
        await sessions.open("web", app="thirty")
    async with Proxy(server) as proxy:
        # Not a warm one: what it reads and prepares ahead needs no round trips later.
        bot: Bot = await start(module="bot", DATABASE_URL=proxy.dsn(user=BOT))
        await ana.command("/pg-kill app=thirty", channel="incidents")
        proxy.delay = 0.6
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


async def test_stopping_bot_shows_a_kill_whose_progress_message_hangs(
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
async def test_next_bot_makes_the_second_look_of_a_stopped_one(
    start: Callable,
    slack: Workspace,
    ledger_url: str,
    ana: Person,
    sessions: Sessions,
    number: signal.Signals,
) -> None:
    """A stopping bot leaves it to the next at once; a dead one's lease must end first."""
    victim = await sessions.open("batch", app="outlives the bot")
    bot: Bot = await start(LEDGER_URL=ledger_url)
    preview = await ana.command('/pg-kill app="outlives the bot"', channel="incidents")
    with stopped(victim):
        await ana.click("Terminate 1 session", in_message=preview)
        await becomes(slack, ana, preview, "Terminated 0 of 1 on main", "still running")
        await bot.stop(number)
    assert not await lives(victim)
    if number is signal.SIGKILL:
        connection = await asyncpg.connect(ledger_url)
        await connection.execute("update kills set lease_until = lease_until - 90000000")
        await connection.close()

    heir: Bot = await start(LEDGER_URL=ledger_url)

    await becomes(slack, ana, preview, "Terminated 1 of 1 on main", "s later: no new session")
    await heir.says("kill.second_look_taken_over")
    assert bot.errors + heir.errors == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_no_second_step_if_the_bot_ends_after_the_first(
    start: Callable,
    slack: Workspace,
    server: PostgresServer,
    ledger_url: str,
    ana: Person,
    sessions: Sessions,
    number: signal.Signals,
) -> None:
    """Told to stop, it records that. Killed, the next one records what is left, and ends nobody."""
    app = f"one step {number.name}"
    stubborn = await sessions.open("batch", app=app)
    query = asyncio.ensure_future(stubborn.execute(STUBBORN))
    bot: Bot = await start(LEDGER_URL=ledger_url)
    preview = await ana.command(f'/pg-kill app="{app}" state=active', channel="incidents")
    await ana.click("Cancel, then terminate", in_message=preview)
    await bot.says("kill.signal")

    assert await bot.stop(number) == (0 if number is signal.SIGTERM else -number)

    if number is signal.SIGTERM:
        said, cancel = "not ended by the cancel; not terminated: the bot was told to stop", "still"
    else:
        said, cancel = "the bot stopped while it was at work; the session is still there", None
        connection = await asyncpg.connect(ledger_url)
        await connection.execute("update kills set lease_until = lease_until - 15000000")
        await connection.close()
        bot = await start(LEDGER_URL=ledger_url)
    await becomes(slack, ana, preview, "Cancelled 0, then terminated 0 of 1 on main", said)
    recorded = json.loads(await bot.run("history"))
    (target,) = recorded["targets"]
    assert (recorded["state"], recorded["action"]) == ("done", "cancel_then_terminate")
    assert (target["outcome"], target["detail"]) == ("interrupted", said)
    assert target["cancel"] == (cancel and f"{cancel} running")
    assert not query.done()
    assert bot.errors == []
    admin = await asyncpg.connect(server.dsn())
    await admin.execute("select pg_terminate_backend($1)", stubborn.get_server_pid())
    await admin.close()
    await asyncio.gather(query, return_exceptions=True)


@dataclass
class Doomed:
    """A bot behind two proxies, killed when one of them has seen enough, and its successors."""

    start: Callable
    slack: Workspace
    cluster: Proxy
    book: Proxy
    ledger: Ledger
    environment: dict[str, str]
    bots: list[Bot] = field(default_factory=list)

    async def dies_at(self, hold: Hold, ana: Person, preview: Message, button: str) -> str:
        """Click, kill the bot at that moment, start another; return the state of the kill then."""
        await ana.click(button, in_message=preview)
        await hold.reached()
        await self.bots[-1].stop(signal.SIGKILL)
        self.cluster.cut()  # what is held is lost with it
        self.book.cut()
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


async def test_no_claim_is_lost_if_the_bot_is_killed_at_any_moment(
    doomed: Doomed, slack: Workspace, ana: Person, sessions: Sessions
) -> None:
    """Before the claim, before the first signal, between two, before the outcome is recorded."""

    async def preview(app: str, victims: int) -> tuple[Message, list[asyncpg.Connection]]:
        opened = [await sessions.open("batch", app=app) for _ in range(victims)]
        words = f"Terminate {victims} session"
        await ana.command(f'/pg-kill app="{app}"', channel="incidents")
        return await ana.sees(words, app), opened

    unclaimed, spared = await preview("before the claim", 1)
    hold = doomed.book.hold(CLAIM)
    assert await doomed.dies_at(hold, ana, unclaimed, "Terminate 1") == "proposed"

    claimed, unsignalled = await preview("before the signal", 1)
    hold = doomed.cluster.hold(signal_to(unsignalled[0].get_server_pid()))
    assert await doomed.dies_at(hold, ana, claimed, "Terminate 1") == "claimed"

    between, mixed = await preview("between two signals", 2)
    hold = doomed.cluster.hold(b"signalled", answer=True)
    assert await doomed.dies_at(hold, ana, between, "Terminate 2") == "claimed"

    slack.faults.fail("chat.postMessage")  # only the click knows where its message is
    unkept, gone = await preview("before the outcome", 1)
    state = "proposed"
    while state == "proposed":  # what the others left may still be being written
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
        assert buttons(amended) == ["Timeline"]
    assert await lives(unsignalled[0])
    assert sorted([await lives(one) for one in mixed]) == [False, True]
    assert not await lives(gone[0])

    # Whatever was not claimed was not touched, and can still be claimed.
    assert await lives(spared[0])
    await ana.click("Terminate 1", in_message=unclaimed)
    await ana.sees("Terminated 1 of 1 on main")
    assert not await lives(spared[0])


@pytest.mark.parametrize("hangs", ["the ledger", "the cluster"])
@pytest.mark.parametrize("at", ["rest", "a look", "a kill"])
async def test_bot_stops_although_a_server_hangs(
    start: Callable,
    server: PostgresServer,
    ledger_url: str,
    ana: Person,
    vera: Person,
    sessions: Sessions,
    hangs: str,
    at: str,
) -> None:
    """Nothing comes back, and nothing is closed: not even a goodbye is answered."""
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
    """A request whose body never comes."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /slack/events HTTP/1.1\r\nHost: bot\r\nContent-Length: 100\r\n\r\n")
    await writer.drain()
    return writer


@IN_BOTH_MODES
async def test_bot_stops_although_slack_hangs(
    bot: Bot, slack: Workspace, ana: Person, sessions: Sessions, mode: str, port: int
) -> None:
    """A kill is done and recorded, although nobody can be told."""
    victim = await sessions.open("batch", app="nobody is told")
    await ana.command('/pg-kill app="nobody is told"', channel="incidents")
    await bot.says("request.finished")
    # Slack answers its questions before the kill: otherwise there would be none.
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
    assert not await lives(victim)
    recorded = json.loads(await bot.run("history"))
    assert recorded["state"] == "done"
    assert [target["outcome"] for target in recorded["targets"]] == ["terminated"]
    assert json.loads(await bot.says("delivery.failed"))["kill"] == recorded["kill"]
    assert "bot.stopped" in bot.output
    assert [line for line in bot.errors if "delivery.failed" not in line] == []
