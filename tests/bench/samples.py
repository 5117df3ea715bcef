"""What the sampler costs: the server, the bot, and in memory."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from pgactivity import data as pg_activity

from bot.domain.samples import KEPT_FOR
from bot.ledger.sql import SqlLedger
from bot.operations import Operations, Rules
from bot.postgres.cluster import PostgresCluster
from bot.service.clock import SystemClock
from tests.bench.stage import Stage, cpu
from tests.bench.table import Line, against, alone
from tests.integration.conftest import BOT

SESSIONS, CLUSTERS = (50, 1000), (1, 30, 300)
EVERY = 5
WARM_UP, ROUNDS = 3, 25
APART = 0.2
WATCHED_FOR = 30.0


async def sample(stage: Stage) -> AsyncIterator[Line]:
    """One sample, and what asking as much takes pg_activity."""
    for count in SESSIONS:
        await stage.crowd(count)
        async for line in _samples(stage, count):
            yield line


async def _samples(stage: Stage, count: int) -> AsyncIterator[Line]:
    beside = pg_activity.Data.pg_connect(host=stage.pg.host, port=stage.pg.port, user=BOT)
    (theirs,) = await stage.bot_backends()
    url = stage.pg.dsn(user=BOT, database="postgres")
    cluster = PostgresCluster("main", url, "127.0.0.1", sampled=True)
    ledger = SqlLedger(f"sqlite:///{stage.folder / 'samples.db'}")
    await ledger.open()
    await cluster.open()
    rules = Rules(sample_every=timedelta(seconds=EVERY))
    samples = Operations(
        {"main": cluster}, ledger, SystemClock(), rules=rules, owner="bench"
    ).samples
    mine = [pid for pid in await stage.bot_backends() if pid != theirs]
    ours, floors, here, sizes = [], [], [], []
    before: Any = None
    for _ in range(WARM_UP + ROUNDS):
        spent, busy = cpu(*mine), time.process_time()
        taken = await samples.take("main")
        here.append(1000 * (time.process_time() - busy))
        ours.append(1000 * (cpu(*mine) - spent))
        sizes.append(taken.packed().size * KEPT_FOR.total_seconds() / EVERY / 1e6)
        spent = cpu(theirs)
        # As its loop does with its default options.
        before = beside.pg_get_server_information(
            before, skip_db_size=True, skip_tempfile=True, skip_walreceiver=True
        )
        beside.pg_get_activities()
        floors.append(1000 * (cpu(theirs) - spent))
        await asyncio.sleep(APART)
    beside.pg_conn.close()
    await cluster.close()
    await ledger.close()
    await stage.nobody(BOT)
    what = f"{count:,} sessions"
    yield against(
        f"the server's CPU for a sample, {what}; for pg_activity's refresh",
        " ms",
        ours[WARM_UP:],
        floors[WARM_UP:],
        0.5,
    )
    yield alone(f"the bot's CPU for a sample, {what}", " ms", here[WARM_UP:])
    yield alone(f"the samples of 15 min, {what}", " MB", sizes[WARM_UP:], 10)


async def sampling(stage: Stage) -> AsyncIterator[Line]:
    """A bot that samples and is asked nothing; its clusters are names for one server."""
    await stage.crowd(50)
    for count in CLUSTERS:
        async with stage.running(stage.new_bot(count)) as pid:
            while len(backends := await stage.bot_backends()) < 5 * count:
                await asyncio.sleep(0.1)
            await asyncio.sleep(2 * EVERY)
            here, there = cpu(pid), {each: cpu(each) for each in backends}
            await asyncio.sleep(WATCHED_FOR)
            here = cpu(pid) - here
            spent = sum(max(0.0, cpu(each) - before) for each, before in there.items())
        await stage.nobody(BOT)
        what = f"sampling {count} cluster{'s' if count > 1 else ''} of 50 sessions"
        yield alone(f"{what}: part of a core, the bot", " %", [100 * here / WATCHED_FOR])
        yield alone(f"{what}: part of a core, the servers", " %", [100 * spent / WATCHED_FOR])


ROWS = {"sample": sample, "sampling": sampling}
