"""Cancelling ends the query that was shown, and no other."""

import asyncio

import asyncpg
import pytest

from bot.domain.kills import Action, Conclusion, Outcome
from bot.operations.results import (
    Preview,
)
from bot.postgres.cluster import PostgresCluster
from tests.integration.conftest import Bench, Sessions
from tests.integration.kills import (
    ANA,
    CHANNEL,
    lives,
    outcomes,
    preview,
    typed,
)
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer


async def run(connection: asyncpg.Connection, cluster: PostgresCluster) -> asyncio.Task[str]:
    """Make a session run a long query; return when it is seen to run."""
    task = asyncio.ensure_future(connection.execute("select pg_sleep(600)"))
    names = await cluster.names()
    while not any(
        row.pid == connection.get_server_pid() and row.state == "active"
        for row in (await cluster.look((), names=names)).rows
    ):
        await asyncio.sleep(0.01)
    return task


async def test_cancel_ends_the_query_that_was_shown_and_keeps_the_session(
    bench: Bench, cluster: PostgresCluster, sessions: Sessions
) -> None:
    busy, idle = await sessions.open("batch", app="cancel"), await sessions.open(app="cancel")
    query = await run(busy, cluster)
    ops = bench()
    shown = await preview(ops, "app=cancel")

    answer = await ops.confirm(ANA, CHANNEL, shown.proposal.key, action=Action.CANCEL)

    assert isinstance(answer, Conclusion)
    assert outcomes(answer) == {
        busy.get_server_pid(): Outcome.CANCELLED,
        idle.get_server_pid(): Outcome.ALREADY_FINISHED,
    }
    with pytest.raises(asyncpg.QueryCanceledError):
        await query
    assert await lives(busy)
    assert await lives(idle)
    again = await ops.preview_again(ANA, CHANNEL, shown.proposal.key)
    assert isinstance(again, Preview)
    assert again.proposal.action is Action.TERMINATE


async def test_cancel_ends_the_shown_call_in_any_transaction(
    bench: Bench, sessions: Sessions, admin: asyncpg.Connection, pg: PostgresServer
) -> None:
    """A procedure that commits continues in another transaction: by pid and by filter."""
    owner = await asyncpg.connect(pg.dsn(database="some_db"))
    await owner.execute(
        "create or replace procedure looper() language plpgsql as $$"
        " begin loop perform pg_sleep(0.05); commit; end loop; end $$"
    )
    await owner.close()
    ops = bench()
    for text in ("{pid}", "app=looper state=active"):
        session = await sessions.open("batch", app="looper")
        call = asyncio.ensure_future(session.execute("call looper()"))
        request = text.format(pid=session.get_server_pid())
        await active(admin, session)
        shown = await preview(ops, request)
        await asyncio.sleep(0.2)
        done = await ops.confirm(ANA, CHANNEL, shown.proposal.key, action=Action.CANCEL)
        assert isinstance(done, Conclusion)
        assert outcomes(done) == {session.get_server_pid(): Outcome.CANCELLED}
        assert done.other_work == 0
        with pytest.raises(asyncpg.QueryCanceledError):
            await call
        await session.close()


async def active(admin: asyncpg.Connection, session: asyncpg.Connection) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await admin.fetchval(
            "select state = 'active' from pg_stat_activity where pid = $1",
            session.get_server_pid(),
        ):
            await asyncio.sleep(0.01)


async def test_query_that_no_longer_matches_is_not_reported_as_finished(
    bench: Bench, sessions: Sessions, cluster: PostgresCluster
) -> None:
    """It waited for a lock, has it by now, and still runs."""
    holder, waiter = await sessions.open("batch"), await sessions.open("batch", app="waits")
    await holder.execute("begin; select pg_advisory_xact_lock(7)")
    query = asyncio.ensure_future(
        waiter.execute("select pg_advisory_lock(7); select pg_sleep(600)")
    )
    ops = bench()
    while not isinstance(
        shown := await ops.propose(ANA, CHANNEL, typed("app=waits blocked")), Preview
    ):
        await asyncio.sleep(0.02)
    await holder.execute("rollback")
    while isinstance(await ops.propose(ANA, CHANNEL, typed("app=waits blocked")), Preview):
        await asyncio.sleep(0.02)

    done = await ops.confirm(ANA, CHANNEL, shown.proposal.key, action=Action.CANCEL)

    assert isinstance(done, Conclusion)
    assert outcomes(done) == {waiter.get_server_pid(): Outcome.NO_LONGER_MATCHES}
    assert not query.done()
    query.cancel()


async def test_cancel_spares_the_query_that_came_after(
    bench: Bench, cluster: PostgresCluster, sessions: Sessions, admin: asyncpg.Connection
) -> None:
    busy = await sessions.open("batch", app="next query")
    query = await run(busy, cluster)
    ops = bench()
    shown = await preview(ops, 'app="next query"')
    await admin.execute("select pg_cancel_backend($1)", busy.get_server_pid())
    with pytest.raises(asyncpg.QueryCanceledError):
        await query
    query = await run(busy, cluster)

    answer = await ops.confirm(ANA, CHANNEL, shown.proposal.key, action=Action.CANCEL)

    assert isinstance(answer, Conclusion)
    assert outcomes(answer) == {busy.get_server_pid(): Outcome.ALREADY_FINISHED}
    assert not query.done()
    query.cancel()
