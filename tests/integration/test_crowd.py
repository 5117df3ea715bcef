"""Hundreds of sessions wait for one row: the incident that the bot exists for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest

from bot.domain.kills import MAX_TARGETS, Action, Actor, Conclusion, Outcome, Proposal
from bot.grammar.parser import parse_kill
from bot.grammar.requests import KillRequest, SessionsRequest, Target
from bot.ledger.sql import SqlLedger
from bot.operations import Operations, Rules
from bot.operations.results import Preview
from bot.operations.results import Sessions as Shown
from bot.postgres.cluster import PostgresCluster
from bot.service.clock import SystemClock
from bot.slack.views.sessions import sessions
from bot.slack.views.tree import tree
from tests.integration.conftest import BOT
from tests.rights import EVERYWHERE
from tests.servers import postgres
from workspace.people import PATIENCE

WAITERS = 500
ANA = Actor("UANA", "T1")


@pytest.fixture(scope="module")
async def crowd() -> AsyncIterator[tuple[str, asyncpg.Connection]]:
    """The server's address, and the session that holds the row that all others want."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            postgres(
                settings={
                    "max_connections": WAITERS + 20,
                    "deadlock_timeout": "1h",
                }
            )
        )
        holder = await asyncpg.connect(server.dsn())
        stack.callback(holder.terminate)
        await holder.execute(
            f"create role {BOT} login; grant pg_read_all_stats, pg_signal_backend to {BOT};"
            "create role web login; create table t (n int); insert into t values (0);"
            "grant all on t to web"
        )
        holder = await asyncpg.connect(server.dsn(user="web", database="postgres"))
        stack.callback(holder.terminate)
        await holder.execute("begin; update t set n = 1")
        opening = asyncio.Semaphore(8)

        async def wait() -> None:
            async with opening:
                one = await asyncpg.connect(server.dsn(user="web"), timeout=PATIENCE)
                stack.callback(one.terminate)
            await one.execute("update t set n = 2")

        tasks = [asyncio.create_task(wait()) for _ in range(WAITERS)]
        stack.callback(lambda: [task.cancel() for task in tasks])
        watch = await asyncpg.connect(server.dsn())
        stack.callback(watch.terminate)
        while await watch.fetchval("select count(*) from pg_locks where not granted") < WAITERS:
            await asyncio.sleep(0.05)
        yield server.dsn(user=BOT), holder


async def preview(ops: Operations, text: str) -> Proposal:
    request = parse_kill(text)
    assert isinstance(request, KillRequest)
    answer = await ops.propose(ANA, "C1", request)
    assert isinstance(answer, Preview)
    return answer.proposal


async def test_crowd_is_seen_and_its_root_ended(
    crowd: tuple[str, asyncpg.Connection], tmp_path: Path
) -> None:
    """Within the bot's time for an answer; asking about every pair would take many times longer."""
    dsn, holder = crowd
    root = holder.get_server_pid()
    cluster = PostgresCluster("main", dsn, "db-1")
    ledger = SqlLedger(f"sqlite:///{tmp_path / 'ledger.db'}")
    async with AsyncExitStack() as stack:
        await cluster.open()
        stack.push_async_callback(cluster.close)
        await ledger.open()
        stack.push_async_callback(ledger.close)
        ops = Operations(
            {"main": cluster}, ledger, SystemClock(), rules=Rules(), owner="me", reach=EVERYWHERE
        )

        shown = await ops.look(ANA, "C1", SessionsRequest(target=Target("main")))
        assert isinstance(shown, Shown)
        assert shown.look.counts.waiting == WAITERS
        assert shown.look.rows[0].pid == root
        assert f"blocks {WAITERS}" in str(sessions(shown).blocks)
        # Sessions that hold up most come first, across all pages.
        behind = [shown.look.waits.holds_up(row.pid) for row in shown.look.rows]
        assert behind == list(range(WAITERS, WAITERS - len(behind), -1))

        drawn = await ops.tree(ANA, "C1", "main")
        assert len(drawn.branches) == WAITERS + 1
        assert drawn.freed == {root: WAITERS}
        assert f"{WAITERS} sessions wait behind 1 root" in str(tree(drawn, Action.TERMINATE).blocks)

        asked = [await preview(ops, text) for text in (str(root), "main/ blocking state=idle_tx")]
        for proposal in asked:
            assert [target.id.pid for target in proposal.targets] == [root]
            assert (proposal.waiting, proposal.freed) == (WAITERS, WAITERS)

        done = await ops.confirm(ANA, "C1", asked[-1].key)
        assert isinstance(done, Conclusion)
        assert [result.outcome for result in done.results] == [Outcome.TERMINATED]
        assert done.waiting is not None
        assert done.waiting[0] == WAITERS


async def test_look_copies_only_the_queries_of_its_page() -> None:
    """PostgreSQL copies all queries once, 1 MB each; not once for each of our steps."""
    settings: dict[str, str | int] = {"track_activity_query_size": "1MB", "max_connections": 40}
    async with postgres(settings=settings) as server, AsyncExitStack() as stack:
        for at in range(20):
            one = await asyncpg.connect(server.dsn(), statement_cache_size=0)
            stack.callback(one.terminate)
            if not at:
                await one.execute(
                    f"create role {BOT} login; grant pg_read_all_stats, pg_signal_backend to {BOT};"
                    f"alter role {BOT} set temp_file_limit = '30MB'"
                )
            await one.execute(f"select 1 /* {'x' * 1_000_000} */")
        cluster = PostgresCluster("main", server.dsn(user=BOT), "db-1")
        await cluster.open()
        stack.push_async_callback(cluster.close)
        found = await cluster.look((), names=await cluster.names(), limit=2)
        assert [len(row.query or "") for row in found.rows] == [
            1_000_000 + len("select 1 /*  */")
        ] * 2


async def test_a_hundred_thousand_locks_of_one_client_delay_no_kill(tmp_path: Path) -> None:
    """The largest kill, in which half of the targets run a query: all end in time."""
    settings: dict[str, str | int] = {
        "max_connections": MAX_TARGETS + 20,
        "max_locks_per_transaction": 1024,
    }
    async with postgres(settings=settings) as server, AsyncExitStack() as stack:
        admin = await asyncpg.connect(server.dsn())
        stack.callback(admin.terminate)
        await admin.execute(
            f"create role {BOT} login; create role web login;"
            f"grant pg_read_all_stats, pg_signal_backend to {BOT}"
        )
        await admin.execute("begin; select pg_advisory_lock(n) from generate_series(1, 100000) n")
        running = []
        for at in range(MAX_TARGETS):
            one = await asyncpg.connect(server.dsn(user="web", database="postgres"))
            stack.callback(one.terminate)
            await one.execute("begin; select 1")
            if at % 2:
                running.append(asyncio.ensure_future(one.execute("select pg_sleep(600)")))
        cluster = PostgresCluster("main", server.dsn(user=BOT), "db-1")
        ledger = SqlLedger(f"sqlite:///{tmp_path / 'ledger.db'}")
        await cluster.open()
        stack.push_async_callback(cluster.close)
        await ledger.open()
        stack.push_async_callback(ledger.close)
        ops = Operations(
            {"main": cluster}, ledger, SystemClock(), rules=Rules(), owner="me", reach=EVERYWHERE
        )

        found = await cluster.look((), names=await cluster.names(), strict=True, limit=200)
        pids = [str(row.pid) for row in found.rows if row.usename == "web"]
        shown = await preview(ops, f"main/ {' '.join(pids)}")
        done = await ops.confirm(ANA, "C1", shown.key)

        assert isinstance(done, Conclusion)
        assert {result.outcome for result in done.results} == {Outcome.TERMINATED}
        assert len(done.results) == MAX_TARGETS
        await asyncio.gather(*running, return_exceptions=True)
