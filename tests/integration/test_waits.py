"""Who waits for whom, from the lock table and from PostgreSQL itself, whatever is locked."""

import asyncio
from contextlib import suppress
from random import Random

import asyncpg
import pytest

from bot.domain.filters import InLock, InTree
from bot.domain.sessions import Look
from bot.domain.waits import FIRST_BLOCKERS, FIRST_PLACE
from bot.grammar.terms import Word
from bot.postgres.cluster import PostgresCluster
from tests.integration.conftest import Sessions
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer

pytestmark = pytest.mark.sql

MODES = (
    *("access share", "row share", "row exclusive", "share update exclusive", "share"),
    *("share row exclusive", "exclusive", "access exclusive"),
)
SESSIONS = 9
assert SESSIONS <= FIRST_BLOCKERS

PEOPLE = """
    select pid, pg_blocking_pids(pid) as blockers
    from pg_locks
    where not granted and waitstart is not null
"""


def wish(random: Random) -> str:
    """A statement that takes a lock."""
    return random.choice(
        (
            f"lock table t{random.randint(1, 2)} in {random.choice(MODES)} mode",
            f"lock table t1 in {random.choice(MODES)} mode",
            f"update t{random.randint(1, 2)} set n = n + 1 where id = {random.randint(1, 2)}",
            f"select from t1 where id = {random.randint(1, 2)} for share",
            f"select pg_advisory_xact_lock({random.randint(1, 2)})",
            f"select pg_advisory_xact_lock_shared({random.randint(1, 2)})",
        )
    )


async def settled(admin: asyncpg.Connection, tasks: dict[asyncpg.Connection, asyncio.Task]) -> None:
    """Wait until everyone has what they asked for, or is seen to wait for it."""
    async with asyncio.timeout(PATIENCE):
        while True:
            asking = {c.get_server_pid() for c, task in tasks.items() if not task.done()}
            waiting = {row["pid"] for row in await admin.fetch(PEOPLE)}
            seen = {
                row["pid"]
                for row in await admin.fetch(
                    "select pid from pg_stat_activity where wait_event_type = 'Lock'"
                )
            }
            if asking == waiting == seen:
                return
            await asyncio.sleep(0.005)


async def both(
    cluster: PostgresCluster, admin: asyncpg.Connection
) -> tuple[Look, dict[int, set[int]]]:
    """A look, and PostgreSQL's own answer at the same moment."""
    while True:
        before = await admin.fetch(PEOPLE)
        found = await cluster.look((), names=await cluster.names(), everything=True)
        if before == await admin.fetch(PEOPLE):
            return found, {row["pid"]: set(row["blockers"]) for row in before}


# In 8 and 12 a session that already holds the lock asks for more, and goes before others.
@pytest.mark.parametrize("seed", [1, 8, 12])
async def test_lock_table_says_what_pg_blocking_pids_says(
    pg: PostgresServer, cluster: PostgresCluster, sessions: Sessions, seed: int
) -> None:
    random = Random(seed)
    admin = await sessions.open(pg.superuser, "other_db")
    await admin.execute(
        "drop table if exists t1, t2; create table t1 (id int primary key, n int);"
        "create table t2 (like t1 including all); insert into t1 values (1, 0), (2, 0);"
        "insert into t2 values (1, 0), (2, 0)"
    )
    # The deadlock detector must not change anyone's place in a queue.
    people = [
        await sessions.open(pg.superuser, "other_db", deadlock_timeout="1h")
        for _ in range(SESSIONS)
    ]
    tasks: dict[asyncpg.Connection, asyncio.Task] = {}
    compared = 0
    try:
        for _ in range(40):
            free = [one for one in people if one not in tasks or tasks[one].done()]
            for one in free:
                with suppress(asyncpg.PostgresError):
                    if (task := tasks.pop(one, None)) is not None:
                        await task
            if not free or random.random() < 0.05:
                for one in random.sample(free, len(free) // 2):
                    await one.execute("rollback")
                if not free:
                    break
            one = random.choice(free)
            if not one.is_in_transaction():
                await one.execute("begin")
            tasks[one] = asyncio.ensure_future(one.execute(wish(random)))
            await settled(admin, tasks)

            found, said = await both(cluster, admin)
            assert {
                pid: set(found.waits.blockers_of(pid).first)
                for pid in found.waits.blocked_by
                if pid < FIRST_PLACE
            } == said
            for pid, blockers in said.items():
                assert found.waits.blockers_of(pid).number == len(blockers)
            compared += len(said)
    finally:
        for one in people:
            one.terminate()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
    assert compared > 20


async def test_parallel_workers_wait_as_their_leader(
    pg: PostgresServer, cluster: PostgresCluster, sessions: Sessions
) -> None:
    holder = await sessions.open(pg.superuser, "other_db")
    await holder.execute(
        "drop table if exists many, locked; create table many as select generate_series(1, 1000);"
        "alter table many set (parallel_workers = 2); create table locked (id int);"
        "create or replace function slow(int) returns int parallel safe language plpgsql as"
        " $$ begin perform 1 from locked; return $1; end $$"
    )
    await holder.execute("begin; lock table locked")
    leader = await sessions.open(
        pg.superuser,
        "other_db",
        parallel_leader_participation="off",
        parallel_setup_cost="0",
        parallel_tuple_cost="0",
        min_parallel_table_scan_size="0",
    )
    task = asyncio.ensure_future(leader.fetch("select sum(slow(generate_series)) from many"))
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                found = await cluster.look(
                    (InLock(Word.BLOCKED),), names=await cluster.names(), everything=True
                )
                if found.counts.total == 2 and len(found.waits.since) == 2:
                    break
                await asyncio.sleep(0.01)
        assert {row.leader_pid for row in found.rows} == {leader.get_server_pid()}
        assert found.waits.blocked_by == {leader.get_server_pid(): (holder.get_server_pid(),)}
        whole = await cluster.look((InTree(),), names=found.names, everything=True)
        assert {row.pid for row in whole.rows} == {leader.get_server_pid(), holder.get_server_pid()}
        locks = await cluster.locks(found.names)
        assert {pid: wait.mode for pid, wait in locks.waits.items()} == {
            leader.get_server_pid(): "AccessShareLock"
        }
    finally:
        await holder.execute("rollback")
        await task
