"""The rows of the table: each measures the bot and its floor, in turns."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from statistics import quantiles
from typing import Any

import asyncpg
from pgactivity import data as pg_activity

from bot.postgres import queries
from tests.bench.slack import PEOPLE
from tests.bench.stage import APART, Record, Stage, cpu, memory
from tests.bench.table import Line, against, alone
from tests.integration.conftest import BOT
from tests.raw import Raw

Row = Callable[[Stage], AsyncIterator[Line]]

WARM_UP = 3
"""Rounds that don't count: caches fill, plans are made."""

LOOK_ROUNDS, KILL_ROUNDS, CROWD_ROUNDS, START_ROUNDS = 25, 15, 8, 9

CROWD = 200
COMMANDS = 1000
"""Commands after which the memory is taken."""

IDLE_FOR = 60.0

LOOK_READ = "at_limit as materialized"
assert LOOK_READ in queries.get("look")


async def look_50(stage: Stage) -> AsyncIterator[Line]:
    """One look at a time, on a server with few sessions."""
    async for line in _looks(stage, 50, 2.0):
        yield line


async def look_1000(stage: Stage) -> AsyncIterator[Line]:
    """The same on a server with many."""
    async for line in _looks(stage, 1000, 1.6):
        yield line


async def _looks(stage: Stage, sessions: int, most: float) -> AsyncIterator[Line]:
    await stage.crowd(sessions)
    reads = await stage.reads_of_a_look()
    ours, floors, busy, reading = [], [], [], []
    bare = await asyncpg.connect(
        stage.pg.dsn(user=BOT, database="postgres"),
        server_settings={"jit": "off"},  # which makes it slower
        max_cacheable_statement_size=0,  # as the bot, which keeps all statements prepared
    )
    async with stage.running(stage.new_bot()) as pid:
        for _ in range(WARM_UP + LOOK_ROUNDS):
            before = cpu(pid)
            taken_in, answer = await stage.look()
            ours.append(taken_in)
            began = time.perf_counter()
            for statement, parameters in reads:
                await bare.fetch(statement, *parameters)
            reading.append(time.perf_counter() - began)
            floors.append(await stage.post(answer) - began)
            await asyncio.sleep(APART)
            busy.append(cpu(pid) - before)
    await bare.close()
    what = f"one look, {sessions:,} sessions"
    yield against(f"{what}: command to message", " ms", _ms(ours), _ms(floors), most)
    yield alone(f"{what}: the bot's CPU", " ms", _ms(busy))
    yield alone(f"{what}: the reads of the floor, without the POST", " ms", _ms(reading))


async def kill_50(stage: Stage) -> AsyncIterator[Line]:
    """Fifty sessions by one click."""
    async for line in _kills(stage, 50, durable=False):
        yield line


async def kill_1(stage: Stage) -> AsyncIterator[Line]:
    """One session by one click."""
    async for line in _kills(stage, 1, durable=True):
        yield line


async def _kills(stage: Stage, count: int, *, durable: bool) -> AsyncIterator[Line]:
    await stage.crowd(50)
    ours, firsts, floors = [], [], []
    bare = await asyncpg.connect(stage.pg.dsn())
    record = Record(stage.folder)
    async with stage.running(stage.new_bot()):
        for number in range(WARM_UP + KILL_ROUNDS):
            app = f"bench{number}"
            ends = await _victims(stage, app, count)
            before = len(stage.slack.taken)
            await stage.slack.send(stage.slack.command(f"/pg-kill app={app} -- for the bench"))
            preview = await stage.slack.takes_one(f"Terminate {count} session", app, since=before)
            click = stage.slack.click(preview, f"Terminate {count} session", PEOPLE[1])
            await asyncio.sleep(0.5)  # nobody reads faster
            sent, _ = await stage.slack.send(click)
            gone = await ends
            ours.append(max(gone) - sent)
            firsts.append(min(gone) - sent)
            await stage.slack.takes_one(f"Terminated {count} of {count}", preview.ts, since=before)
            await asyncio.sleep(0.5)

            ends = await _victims(stage, app, count)
            began = time.perf_counter()
            if durable:
                record.write()
            await bare.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                f" where application_name = '{app}'"
            )
            floors.append(max(await ends) - began)
    record.close()
    await bare.close()
    what = "one session killed" if count == 1 else f"{count} sessions killed"
    yield against(f"{what}: click to the last one gone", " ms", _ms(ours), _ms(floors), 2.0)
    yield alone(f"{what}: click to the first one gone", " ms", _ms(firsts))


async def _victims(stage: Stage, app: str, count: int) -> "asyncio.Future[list[float]]":
    """Sessions to be ended, and when each was."""

    async def end(one: Raw) -> float:
        await one.closed()
        at = time.perf_counter()
        one.close()
        return at

    every = await asyncio.gather(*(stage.opened(app.encode()) for _ in range(count)))
    return asyncio.gather(*map(end, every))


async def crowd(stage: Stage) -> AsyncIterator[Line]:
    """Two hundred people ask the same at once."""
    await stage.crowd(50)
    ours, floors, acks, answered, looks = [], [], [], [], []
    bot, bare = stage.new_bot(), stage.new_bare()
    for number in range(1 + CROWD_ROUNDS):
        async with stage.running(bot):
            _, answer = await stage.look()
            await asyncio.sleep(APART)
            asked = await stage.statements_of_the_bot(f"%{LOOK_READ}%")
            took, waited, taken = await stage.at_once(CROWD)
            looks.append(await stage.statements_of_the_bot(f"%{LOOK_READ}%") - asked)
        ours.append(took)
        acks.append(quantiles(waited, n=100)[98])
        answered.append(sum(b'"type": "data_table"' in one.body for one in taken))
        await stage.keep_message(answer)
        async with stage.running(bare):
            await stage.look()
            floors.append((await stage.at_once(CROWD))[0])
        if number == 0:
            for values in (ours, floors, acks, answered, looks):
                values.clear()
    what = f"{CROWD} looks at once"
    yield against(f"{what}: all answered", " ms", _all_ms(ours), _all_ms(floors), 1.5)
    yield alone(f"{what}: not answered by a table", "", [CROWD - one for one in answered], 0)
    yield alone(f"{what}: p99 of the acknowledgement", " ms", _all_ms(acks), 100)
    yield alone(f"{what}: looks that reached the server", "", looks, 19)


async def start(stage: Stage) -> AsyncIterator[Line]:
    """From the process's start to its socket, with a ledger that is there."""
    ours: list[float] = []
    floors: list[float] = []
    path = stage.folder / "message.json"
    path.write_text("{}")
    for _ in range(WARM_UP + START_ROUNDS):
        for program, took in ((stage.new_bot(), ours), (stage.new_bare(), floors)):
            began = time.perf_counter()
            await program.start()
            await stage.slack.connected()
            took.append(time.perf_counter() - began)
            await program.stop()
            await stage.disconnected()
    yield against("process start to socket open", " ms", _ms(ours), _ms(floors), 2.2)
    yield alone("process start to socket open, in all", " ms", _ms(ours), 1000)


async def ram(stage: Stage) -> AsyncIterator[Line]:
    """The memory of the process after many commands."""
    await stage.crowd(50)
    async with stage.running(stage.new_bot()) as pid:
        _, answer = await stage.look()
        await _commands(stage, 100)
        early = memory(pid)
        await _commands(stage, COMMANDS - 100)
        ours = memory(pid)
    await stage.keep_message(answer)
    async with stage.running(stage.new_bare()) as pid:
        await _commands(stage, COMMANDS)
        floor = memory(pid)
    yield against(f"memory after {COMMANDS:,} commands", " MB", [ours], [floor], 1.8)
    grown = ours - early
    yield alone(f"memory gained from the 100th command to the {COMMANDS:,}th", " MB", [grown], 2)


async def _commands(stage: Stage, count: int) -> None:
    """So many looks, four at a time, at fifty different things."""
    for first in range(0, count, 4):
        every = [
            stage.slack.command(f"/pg-sessions some_db app!=app{number % 50}")
            for number in range(first, min(first + 4, count))
        ]
        before = len(stage.slack.taken)
        await asyncio.gather(*map(stage.slack.send, every))
        await stage.slack.takes(before + len(every))


async def server(stage: Stage) -> AsyncIterator[Line]:
    """What the server spends on a look: the CPU time of the backends that answer."""
    await stage.crowd(50)
    ours, floors = [], []
    beside = pg_activity.Data.pg_connect(host=stage.pg.host, port=stage.pg.port, user=BOT)
    (theirs,) = await stage.bot_backends()
    before: Any = None
    async with stage.running(stage.new_bot(SAMPLE_EVERY="0")):
        backends = [pid for pid in await stage.bot_backends() if pid != theirs]
        for _ in range(WARM_UP + LOOK_ROUNDS):
            spent = cpu(*backends)
            await stage.look()
            await asyncio.sleep(APART)
            ours.append(cpu(*backends) - spent)
            spent = cpu(theirs)
            # As its loop does with its default options.
            before = beside.pg_get_server_information(
                before, skip_db_size=True, skip_tempfile=True, skip_walreceiver=True
            )
            beside.pg_get_activities()
            floors.append(cpu(theirs) - spent)
    beside.pg_conn.close()
    what = "the server's CPU for a look; for pg_activity's refresh"
    yield against(what, " ms", _ms(ours), _ms(floors), 0.5)


async def idle(stage: Stage) -> AsyncIterator[Line]:
    """What a bot does while nobody asks anything, besides sampling."""
    await stage.crowd(0)
    async with stage.running(stage.new_bot(SAMPLE_EVERY="0")) as pid:
        await stage.look()
        await asyncio.sleep(12.0)
        connections = len(await stage.bot_backends())
        spent, asked = cpu(pid), await stage.statements_of_the_bot()
        await asyncio.sleep(IDLE_FOR)
        spent, asked = cpu(pid) - spent, await stage.statements_of_the_bot() - asked
    rate = asked / connections / IDLE_FOR * 30
    yield alone("idle: part of a core", " %", [100 * spent / IDLE_FOR], 0.2)
    yield alone("idle: statements a connection in 30 s", "", [rate], 1.0)


ROWS: dict[str, Row] = {
    "look": look_50,
    "look1000": look_1000,
    "kill50": kill_50,
    "kill": kill_1,
    "crowd": crowd,
    "start": start,
    "memory": ram,
    "server": server,
    "idle": idle,
}


def _ms(seconds: list[float]) -> list[float]:
    return _all_ms(seconds[WARM_UP:])


def _all_ms(seconds: list[float]) -> list[float]:
    return [1000 * one for one in seconds]
