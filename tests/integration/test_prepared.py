"""What a connection keeps prepared, and that it prepares it again if the server has lost it."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from bot.domain.filters import OidIn
from bot.domain.kills import Action, Basis
from bot.domain.signals import Verdict
from bot.postgres import bounded
from bot.postgres.bounded import BoundedConnection
from bot.postgres.cluster import PostgresCluster
from bot.postgres.statements import every_statement, signal_statement
from tests.integration.conftest import BOT, Sessions, alive
from tests.integration.test_signal import Scene, gone, scene  # noqa: F401  a fixture
from workspace.postgres import PostgresServer

KEPT = "select statement from pg_prepared_statements"


@pytest.fixture
async def own(pg: PostgresServer, reads_ahead: None) -> AsyncIterator[PostgresCluster]:
    """A cluster whose connections nobody has used yet."""
    cluster = PostgresCluster("main", pg.dsn(user=BOT), "db-1.internal")
    await cluster.open()
    yield cluster
    await cluster.close()


def kept_back(cluster: PostgresCluster) -> BoundedConnection:
    """The connection that signals."""
    (slot,) = cluster._kept._slots
    assert slot.connection is not None
    return slot.connection


async def statements(connection: BoundedConnection) -> set[str]:
    return {row["statement"] for row in await connection.fetch(KEPT)}


async def test_each_connection_has_its_statements_prepared_from_the_start(
    own: PostgresCluster,
) -> None:
    for slot in (*own._work._slots, *own._kept._slots):
        assert slot.connection is not None
        kept = await statements(slot.connection)
        assert kept >= {slot.connection.sent(statement) for statement, _ in every_statement()}
        for function in ("pg_terminate_backend", "pg_cancel_backend"):
            assert any(f"when {function}(a.pid)" in statement for statement in kept)


async def test_only_a_signal_reads_again_which_server_it_is_on(own: PostgresCluster) -> None:
    kept = await statements(kept_back(own))
    assert {each for each in kept if "pg_control_system()" in each} == {
        each for each in kept if "'signalled'" in each
    }
    assert not [each for each in kept if "own_role" in each and "pg_backend_pid()" in each]


async def test_only_the_role_that_we_have_counts_as_our_own(
    own: PostgresCluster, admin: asyncpg.Connection
) -> None:
    await own.names()
    role = await admin.fetchval("select oid from pg_roles where rolname = $1", BOT)
    assert [*own.own_roles.values()] == [{role}]


async def test_statement_is_planned_once_for_all_parameters(own: PostgresCluster) -> None:
    connection = kept_back(own)
    for number in range(10):
        assert await connection.fetchval("select $1::int + 1", number) == number + 1
    plans = "select custom_plans, generic_plans from pg_prepared_statements where statement like $1"
    assert tuple(await connection.fetchrow(plans, "select $1::int + 1%") or ()) == (0, 10)


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("basis", Basis)
async def test_signals_of_a_kill_use_a_prepared_statement(
    scene: Scene,  # noqa: F811
    own: PostgresCluster,
    basis: Basis,
    action: Action,
) -> None:
    backend = await scene.row(await scene.sessions.open())
    conditions = (OidIn("usesysid", (backend.usesysid or 0,)),)
    guard = await scene.guard(backend, action=action, basis=basis, conditions=conditions)

    await own.ready([guard])

    before = await statements(kept_back(own))
    assert signal_statement(guard)[0] in before
    await own.signal(guard)
    assert await statements(kept_back(own)) == before


async def test_prepared_statement_leaves_no_transaction_open(
    own: PostgresCluster, admin: asyncpg.Connection
) -> None:
    """Its locks and its time limit would last until the next statement, however long that is."""
    connection = kept_back(own)
    pid = connection.get_server_pid()
    state = "select state, xact_start from pg_stat_activity where pid = $1"
    locks = "select count(*) from pg_locks where pid = $1"

    await connection.ready(["select count(*) from pg_stat_activity where pid > $1"])

    assert tuple(await admin.fetchrow(state, pid) or ()) == ("idle", None)
    assert await admin.fetchval(locks, pid) == 0


async def test_value_that_the_driver_cant_send_leaves_no_transaction_open(
    own: PostgresCluster, admin: asyncpg.Connection
) -> None:
    connection = kept_back(own)
    state = "select state, xact_start from pg_stat_activity where pid = $1"
    for _ in range(2):  # its statement is prepared in the first
        with pytest.raises(asyncpg.DataError):
            await connection.fetch("select from pg_stat_activity where pid = $1::int", 2**40)
        seen = await admin.fetchrow(state, connection.get_server_pid())
        assert tuple(seen or ()) == ("idle", None)
    # What the server itself refuses about a value has ended its transaction.
    with pytest.raises(asyncpg.DataError):
        await connection.fetchval("select $1::text::int", "x")
    assert await connection.fetchval("select 1") == 1


async def test_least_recently_used_statement_is_dropped(
    own: PostgresCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = kept_back(own)
    monkeypatch.setattr(bounded, "KEPT_STATEMENTS", len(connection._prepared) + 5)
    first = {statement for statement, _ in every_statement()}
    for number in range(100):
        await connection.fetch(f"select {number}")
        if number % 5 == 0:
            await connection.fetch("select 0")
    kept = await statements(connection)
    assert {"select 0", "select 99"} < kept
    assert "select 1" not in kept
    assert not first <= kept
    # A discarded statement is closed when the next one is prepared.
    assert len(kept) <= bounded.KEPT_STATEMENTS + 1


LOST = {
    "forgotten by the server": "deallocate all",
    "with a result of another type": "alter table pg_temp.changing add column more int",
}


@pytest.mark.parametrize("how", LOST)
async def test_statement_that_the_server_refuses_is_prepared_again(
    own: PostgresCluster, how: str
) -> None:
    connection = kept_back(own)
    await connection.execute("set default_transaction_read_only = off")
    await connection.execute("create temp table changing (n int); insert into changing values (7)")
    query = "select * from pg_temp.changing"
    assert await connection.fetchval(query) == 7

    await connection.execute(LOST[how])

    assert await connection.fetchval(query) == 7
    assert not connection.is_closed()


async def test_signal_with_a_lost_statement_is_sent_once(
    scene: Scene,  # noqa: F811
    own: PostgresCluster,
    sessions: Sessions,
    admin: asyncpg.Connection,
) -> None:
    backend = await scene.row(await sessions.open())
    guard = await scene.guard(backend)
    await own.ready([guard])
    connection = kept_back(own)
    await connection.execute("deallocate all")

    assert (await own.signal(guard)).verdict is Verdict.SIGNALLED

    await gone(scene, backend)
    assert not connection.is_closed()
    assert (await own.signal(guard)).verdict is Verdict.GONE
    assert not await alive(admin, backend)


async def test_statement_that_has_run_is_not_run_again(own: PostgresCluster) -> None:
    """Not even if it fails with the same code as a lost one."""
    connection = kept_back(own)
    await connection.execute("set default_transaction_read_only = off")
    await connection.execute("create temp sequence runs")
    await connection.execute(
        "create function pg_temp.fails() returns void language plpgsql as $$ begin"
        " perform nextval('pg_temp.runs'); raise 'no' using errcode = '26000'; end $$"
    )
    with pytest.raises(asyncpg.InvalidSQLStatementNameError):
        await connection.fetchval("select pg_temp.fails()")
    assert await connection.fetchval("select last_value from pg_temp.runs") == 1
    assert await connection.fetchval("select is_called from pg_temp.runs")
