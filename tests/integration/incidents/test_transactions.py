"""Transactions that stay open, and sessions that wait for something that is no lock."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from bot.domain.findings.model import PATIENCE, Idle
from bot.domain.findings.wait_events import EVENTS, TYPES, meaning
from tests.integration.conftest import SETUP, Sessions
from tests.integration.incidents.conftest import Ask, connected
from tests.raw import Raw
from tests.servers import MAJOR, postgres
from workspace.people import PATIENCE as PATIENT
from workspace.postgres import PostgresServer

pytestmark = pytest.mark.sql


async def test_idle_transaction_tells_what_it_has_locked(ask: Ask, sessions: Sessions) -> None:
    idle = await sessions.open("web", app="cron")
    await idle.execute("begin; update accounts set balance = 4711 where id = 4")
    await idle.execute("select pg_advisory_lock(7)")
    pid = idle.get_server_pid()

    answer = await ask()

    assert answer.names == [("idle_in_transaction", str(pid))]
    evidence = answer.findings[0].evidence
    assert isinstance(evidence, Idle)
    assert evidence.locks is not None
    assert {(lock.mode, lock.relname) for lock in evidence.locks} >= {
        ("RowExclusiveLock", "public.accounts")
    }
    assert "RowExclusiveLock on public.accounts" in answer.screen
    assert evidence.xids is not None
    assert answer.acts == [f"end {pid}"]
    assert "Its transaction rolls back; it has written." in answer.screen
    assert answer.prevention == ["alter role web set idle_in_transaction_session_timeout = '5min';"]
    assert "4711" not in answer.screen
    # Of this moment it is nothing to speak of.
    assert (await ask(patience=PATIENCE)).findings == []


async def test_idle_transaction_that_pins_nothing_says_so_to_who_asks(
    ask: Ask, sessions: Sessions
) -> None:
    idle = await sessions.open("web")
    await idle.execute("begin")
    assert (await ask()).findings == []
    for text in ("web", str(idle.get_server_pid())):
        answer = await ask(text)
        assert answer.names == [("idle_in_transaction", str(idle.get_server_pid()))]
        assert "holds up nothing" in answer.screen


async def test_snapshot_of_an_idle_transaction_holds_back_vacuum(
    ask: Ask, sessions: Sessions
) -> None:
    idle = await sessions.open("web")
    await idle.execute("begin isolation level repeatable read; select 1")
    answer = await ask()
    assert answer.names == [("idle_in_transaction", str(idle.get_server_pid()))]
    assert "it holds no lock on a relation" in answer.screen
    assert "it holds back vacuum" in answer.screen
    assert "0 transactions" not in answer.screen


async def test_idle_session_outside_a_transaction_is_no_finding(
    ask: Ask, sessions: Sessions, admin: asyncpg.Connection
) -> None:
    idle = await sessions.open("web")
    await idle.execute("select 1")
    async with asyncio.timeout(PATIENT):
        while not await admin.fetchval(
            "select wait_event = 'ClientRead' from pg_stat_activity where pid = $1",
            idle.get_server_pid(),
        ):
            await asyncio.sleep(0.01)
    answer = await ask(str(idle.get_server_pid()))
    assert answer.findings == []
    assert "nothing found" in answer.screen
    assert "ClientRead" in answer.screen


async def test_wait_event_of_a_session_is_explained(
    ask: Ask, sessions: Sessions, admin: asyncpg.Connection
) -> None:
    sleeper = await sessions.open("web")
    pid = sleeper.get_server_pid()
    task = asyncio.ensure_future(sleeper.execute("select pg_sleep(600)"))
    async with asyncio.timeout(PATIENT):
        while not await admin.fetchval(
            "select wait_event = 'PgSleep' from pg_stat_activity where pid = $1",
            pid,
        ):
            await asyncio.sleep(0.01)
    answer = await ask(str(pid))
    assert answer.names == [("waiting", "PgSleep")]
    assert "it runs pg_sleep" in answer.screen
    assert (await ask()).findings == []
    sleeper.terminate()
    await asyncio.gather(task, return_exceptions=True)


async def test_large_result_is_not_said_to_have_waited_for_its_client_all_along(
    pg: PostgresServer, ask: Ask, admin: asyncpg.Connection
) -> None:
    export = await Raw.open(pg, b"web", b"some_db", b"export")
    try:
        export.say(b"copy (select repeat('x', 999) from generate_series(1, 1000000)) to stdout")
        async with asyncio.timeout(PATIENT):
            while not await admin.fetchval(
                "select wait_event = 'ClientWrite' from pg_stat_activity where pid = $1", export.pid
            ):
                await asyncio.sleep(0.01)
        answer = await ask()
        assert answer.names == [("waiting", "ClientWrite")]
        assert answer.findings[0].since is None
        assert "the result is large, the client doesn't read, or the network" in answer.screen
        assert "how long it has waited for this, PostgreSQL doesn't say" in answer.screen
        assert (await ask(patience=PATIENCE)).findings == []
    finally:
        export.close()


@pytest.fixture
async def without_a_standby() -> AsyncIterator[PostgresServer]:
    async with postgres(settings={"synchronous_standby_names": "nobody"}) as pg:
        admin = await asyncpg.connect(pg.dsn(), server_settings={"synchronous_commit": "local"})
        for statement in filter(str.strip, SETUP.split(";")):
            await admin.execute(statement)
        await admin.execute("create table kept (n int); grant all on kept to public")
        await admin.close()
        yield pg


async def test_commits_that_wait_for_a_synchronous_standby(
    without_a_standby: PostgresServer, ask: Ask
) -> None:
    clients = [await asyncpg.connect(without_a_standby.dsn(user="web")) for _ in range(2)]
    tasks = [asyncio.ensure_future(each.execute("insert into kept values (1)")) for each in clients]
    async with connected(without_a_standby) as cluster, asyncio.timeout(PATIENT):
        while (answer := await ask(main=cluster)).screen.count("SyncRep") < 1 or (
            answer.findings[0].hurt < 2
        ):
            await asyncio.sleep(0.02)
        assert answer.names == [("waiting", "SyncRep")]
        assert "2 sessions wait for SyncRep on main" in answer.screen
        assert "a synchronous standby that isn't answering" in answer.screen
    for each in clients:
        each.terminate()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.skipif(MAJOR < 17, reason="pg_wait_events is of PostgreSQL 17 and later")
async def test_every_event_that_is_explained_is_postgresqls(admin: asyncpg.Connection) -> None:
    rows = await admin.fetch("select type, name from pg_wait_events")
    assert {row["type"] for row in rows} <= TYPES.keys()
    names = {row["name"].casefold() for row in rows}
    assert [name for name in EVENTS if name.casefold() not in names] == []
    assert all(meaning(row["type"], row["name"]) for row in rows)
