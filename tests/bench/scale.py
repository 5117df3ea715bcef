"""What grows with clusters, with sessions and with people."""

import asyncio
import time
from collections.abc import AsyncIterator
from statistics import quantiles

import asyncpg

from tests.bench.stage import APART, Stage, memory
from tests.bench.table import Line, alone
from tests.integration.conftest import BOT

CLUSTERS, SESSIONS, PEOPLE = (1, 30, 300), (10, 1000, 20_000), (1, 50, 1000)
ROUNDS = 5

ROWS_FOR_SESSIONS = """
    drop schema if exists crowd cascade;
    create schema crowd;
    create table crowd.activity as select * from pg_stat_get_activity(null) limit 0;
    create function crowd.pg_stat_get_activity(int) returns setof crowd.activity
    language sql stable as
        $$ select * from crowd.activity where $1 is null or $1 = -1 or pid = $1 $$;
    grant usage on schema crowd to public;
    grant select on crowd.activity to public;
"""
"""Sessions that are rows: a function that hides the system's own one of that name."""

FILL = """
    insert into crowd.activity
        (pid, datid, usesysid, application_name, client_addr, backend_type, backend_start,
         xact_start, query_start, state_change, state, wait_event_type, wait_event, query)
    select n, (select oid from pg_database where datname = 'some_db'),
        (select oid from pg_roles where rolname = 'batch'), 'worker-' || n % 40, '10.1.2.3',
        'client backend', now() - n * interval '1 s', now(), now(), now(),
        (array['idle', 'active', 'idle in transaction'])[1 + n % 3], 'Client', 'ClientRead',
        'update accounts set balance = balance - 1 where id = ' || n
    from generate_series(1, $1::int) as n
"""


async def clusters(stage: Stage) -> AsyncIterator[Line]:
    """Names for one server, each with connections of its own."""
    await stage.crowd(50)
    for count in CLUSTERS:
        began = time.perf_counter()
        async with stage.running(stage.new_bot(count)) as pid:
            opened = time.perf_counter() - began
            while len(await stage.bot_backends()) < 5 * count:
                await asyncio.sleep(0.1)
            held = time.perf_counter() - began
            took = []
            for _ in range(ROUNDS):
                await asyncio.sleep(APART)
                took += [(await stage.look("/pg-sessions"))[0]]
            used = memory(pid)
        await stage.nobody(BOT)
        what = f"{count} cluster{'s' if count > 1 else ''}"
        yield alone(f"{what}: start to ready", " s", [opened])
        yield alone(f"{what}: start to all connections held", " s", [held])
        yield alone(f"{what}: memory", " MB", [used])
        yield alone(f"{what}: `/pg-sessions`", " ms", [1000 * one for one in took])


async def sessions(stage: Stage) -> AsyncIterator[Line]:
    """The read of one look, of sessions that are rows."""
    await stage.crowd(10)
    look, parameters = max(await stage.reads_of_a_look(), key=lambda read: len(read[0]))
    await stage.admin.execute(ROWS_FOR_SESSIONS)
    bare = await asyncpg.connect(
        stage.pg.dsn(user=BOT, database="postgres"),
        server_settings={"search_path": "crowd, pg_catalog", "jit": "off"},
    )
    for count in SESSIONS:
        await stage.admin.execute("truncate crowd.activity")
        await stage.admin.execute(FILL, count)
        await stage.admin.execute("analyze crowd.activity")
        took = []
        for _ in range(1 + ROUNDS):
            began = time.perf_counter()
            await bare.fetch(look, *parameters)
            took.append(1000 * (time.perf_counter() - began))
        yield alone(f"{count:,} sessions as rows: the read of a look", " ms", took[1:])
    await bare.close()


async def people(stage: Stage) -> AsyncIterator[Line]:
    """Who ask the same at once, of a Slack that takes every message."""
    await stage.crowd(50)
    async with stage.running(stage.new_bot()) as pid:
        for count in PEOPLE:
            await stage.look()
            await asyncio.sleep(APART)
            took, waited, taken = await stage.at_once(count)
            tables = sum(b'"type": "data_table"' in one.body for one in taken)
            what = f"{count:,} {'people' if count > 1 else 'person'} at once"
            yield alone(f"{what}: all answered", " ms", [1000 * took])
            last = quantiles(waited, n=100)[98] if count > 1 else waited[0]
            yield alone(f"{what}: p99 of the acknowledgement", " ms", [1000 * last])
            yield alone(f"{what}: not answered by a table", "", [count - tables])
        yield alone("memory after that", " MB", [memory(pid)])


ROWS = {"clusters": clusters, "sessions": sessions, "people": people}
