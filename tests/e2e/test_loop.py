"""Nothing blocks the event loop, even with the worst that others can write.

Hundreds of sessions in one queue, queries of 100 kB, names of 63 bytes that are mostly combining
characters, thousands of roles with a limit each, and a kill of as many sessions as allowed. A
callback that blocks the loop is named.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress

import asyncpg
import pytest

from bot.domain.kills import MAX_TARGETS
from tests.e2e.conftest import Bot
from tests.e2e.watched import HELD
from tests.integration.conftest import BOT
from tests.servers import ROOT, postgres
from workspace import Person, Workspace
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer

WAITERS = 600
ROLES = 10_000
ROLE = "o" + 31 * "\u0301"
"""63 bytes that take one column."""

SIZE = 100_000
MANY_LEXEMES = f"select where $1 in ({', '.join(map(str, range(SIZE // 7)))})"


def named(bot: Bot) -> list[str]:
    """Whatever blocked the loop, according to the log."""
    held = [json.loads(line) for line in bot.lines if f'"event": "{HELD}"' in line]
    return [f"{each['seconds']} s: {each['what']}\n{''.join(each['stack'])}" for each in held]


def test_callback_that_blocks_the_loop_is_named() -> None:
    planted = """
import asyncio, time
from tests.e2e.watched import watch

async def planted():
    until = time.thread_time() + 1
    while time.thread_time() < until:
        pass

async def main():
    await asyncio.sleep(0)
    await asyncio.create_task(planted())

watch()
asyncio.run(main())
"""
    ran = subprocess.run(
        [sys.executable, "-c", planted], cwd=ROOT, capture_output=True, check=True, text=True
    )
    (line,) = map(json.loads, ran.stdout.splitlines())
    assert line["seconds"] >= 1
    assert "planted" in line["what"]
    assert "time.thread_time() < until" in line["stack"][-1] or "planted" in line["stack"][-1]


@pytest.fixture
async def server() -> AsyncIterator[PostgresServer]:
    """A server where everything is at its worst."""
    settings: dict[str, str | int] = {
        "max_connections": WAITERS + MAX_TARGETS + 20,
        "track_activity_query_size": "100kB",
        "deadlock_timeout": "1h",
    }
    async with postgres(settings=settings) as running, AsyncExitStack() as stack:
        admin = await asyncpg.connect(running.dsn())
        stack.callback(admin.terminate)
        await admin.execute(
            f'create role {BOT} login; create role "{ROLE}" login; create role batch login;'
            f"grant pg_read_all_stats, pg_signal_backend to {BOT};"
            "create table t (n int); insert into t values (0);"
            "grant all on t to public;"
            f"do $$ begin for n in 1..{ROLES} loop"
            " execute format('create role %I login connection limit 3',"
            " 'application_of_the_accounting_department_number_' || n); end loop; end $$"
        )
        await admin.execute(f'create database "{ROLE}"')
        opening = asyncio.Semaphore(8)

        async def opened(user: str) -> asyncpg.Connection:
            async with opening:
                one = await asyncpg.connect(
                    running.dsn(user=user, database="postgres"),
                    timeout=PATIENCE,
                    statement_cache_size=0,
                )
            stack.callback(one.terminate)
            return one

        async def wait() -> None:
            waiter = await opened(ROLE)
            with suppress(asyncpg.AdminShutdownError):
                await waiter.execute("update t set n = n + 1 where 'a' <> 'b'")

        async def work() -> None:
            one = await opened("batch")
            await one.execute("begin")
            await one.fetch(MANY_LEXEMES, 1)

        holder = await opened(ROLE)
        await holder.execute("begin; update t set n = 1")
        tasks = [asyncio.create_task(wait()) for _ in range(WAITERS)]
        stack.callback(lambda: [task.cancel() for task in tasks])
        await asyncio.gather(*(work() for _ in range(MAX_TARGETS)))
        while await admin.fetchval("select count(*) from pg_locks where not granted") < WAITERS:
            await asyncio.sleep(0.05)
        yield running


async def test_nothing_blocks_the_loop(
    start: Callable, server: PostgresServer, slack: Workspace, ana: Person, ben: Person
) -> None:
    bot = await start(
        module="tests.e2e.watched",
        PROTECTED_ROLES="*admin*,*backup*_*,repl*,application_of_*_number_1*7",
        PROTECTED_APPLICATIONS="*pg_dump*,*backup*",
        LOOP_LIMIT=os.environ.get("LOOP_LIMIT", "0.1"),
    )

    # The queue, its pages, its tree, and one session in it.
    async with asyncio.timeout(PATIENCE):
        while True:
            shown = await ana.command("/pg-sessions main/", channel="incidents")
            # What waits is in the table of locks before it is seen to wait.
            if f"{WAITERS} waiting for a lock" in ana.text_of(shown):
                break
    await ana.click("Next")
    await ana.command("/pg-sessions main/ columns=all sort=query", channel="incidents")
    shown = await ana.command("/pg-sessions main/ blocked sort=pid", channel="incidents")
    await ana.click("Blocking tree", in_message=shown)
    await ana.sees(f"{WAITERS} sessions wait behind 1 root", channel="incidents")
    await ben.choose("Show a session", "", in_message=shown)
    await ben.sees_modal("who waits for whom around it")
    await ben.close_modal()

    # Long queries, in full and in part.
    shown = await ana.command("/pg-sessions main/ user=batch", channel="incidents")
    await ben.choose("Show a session", "", in_message=shown)
    await ben.sees_modal("query in full", f"of {len(MANY_LEXEMES)} characters")
    await ben.close_modal()

    # The largest kill, and everything on record.
    await ana.command("/pg-kill main/ user=batch state=idle_tx", channel="incidents")
    await ana.sees(f"Terminate {MAX_TARGETS} sessions on main?")
    await ben.click(f"Terminate {MAX_TARGETS} sessions", channel="incidents")
    await ana.sees(f"Terminated {MAX_TARGETS} of {MAX_TARGETS} on main")
    await ana.command("/pg-kill history", channel="incidents")

    # What follows reads nothing of the queue, and each look at it takes PostgreSQL a second.
    admin = await asyncpg.connect(server.dsn())
    await admin.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where usename = $1", ROLE
    )
    await admin.close()

    # Suggestions from ten thousand names.
    for text in (
        "user=application_of_the_accounting_department_number",
        f"user={ROLE}x",
        f"user={'x' * 63}",
        "user=*nobody*",
        f"{'y' * 63}",
        "user=app* db!=post*",
    ):
        await ana.command(f"/pg-sessions {text}", channel="incidents")
        await ana.command(f"/pg-kill {text} all", channel="incidents")

    # The longest command that Slack accepts.
    for text in (
        "a" * 7900,
        " ".join("a" * 3900),
        "columns=" + ",".join("p" * 3900),
        "sort=" + ",".join("pid" for _ in range(1900)),
        "user=" + "*a" * 3900,
        '"' * 7900,
        "“x" * 3900,
        " ".join(str(at) for at in range(1500)),
        "app=" + "&amp;" * 1500,
        "-- " + "\u0301" * 7900,
        *(f"{key}={'a' * 7900}" for key in ("type", "state", "client", "wait", "columns", "at")),
        f"{'a' * 7900}=x",
    ):
        await ana.command(f"/pg-sessions {text}", channel="incidents")
        await ana.command(f"/pg-kill {text}", channel="incidents")

    if held := named(bot):
        pytest.fail("\n".join(held), pytrace=False)
