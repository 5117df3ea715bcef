"""What the bot can't see, or can't read just now, it says; the rest it answers, in time."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from bot.domain.findings.model import AT_ONCE, Patience
from bot.errors import TargetError
from tests.integration.conftest import Bench, Sessions
from tests.integration.incidents.conftest import Ask, Waiters, asked, connected
from workspace.postgres import PostgresServer

pytestmark = pytest.mark.sql


WITHIN = 5.0


@pytest.fixture
async def roles(admin: asyncpg.Connection) -> AsyncIterator[None]:
    await admin.execute(
        "create role monitor login; grant pg_monitor to monitor; create role nobody login"
    )
    yield
    await admin.execute("drop role monitor, nobody")


async def test_role_that_only_monitors_names_the_blocker_and_offers_nothing(
    roles: None, pg: PostgresServer, ask: Ask, sessions: Sessions, waiters: Waiters
) -> None:
    root = await sessions.open("web")
    await root.execute("begin; update accounts set balance = balance where id = 7")
    await waiters.wait(await sessions.open("batch"), "update accounts set balance = 7 where id = 7")
    async with connected(pg, "monitor") as cluster:
        answer = await ask(main=cluster)
    assert answer.names == [("blocker", str(root.get_server_pid()))]
    assert answer.acts == []
    assert "the bot may not end this role's sessions: grant it pg_signal_backend" in answer.screen


@pytest.mark.parametrize("role", ["nobody", "blind"])
async def test_role_that_sees_little_says_how_much_it_does_not_see(
    roles: None,
    pg: PostgresServer,
    ask: Ask,
    sessions: Sessions,
    waiters: Waiters,
    role: str,
) -> None:
    root = await sessions.open("web")
    await root.execute("begin; update accounts set balance = balance where id = 7")
    await waiters.wait(await sessions.open("batch"), "update accounts set balance = 7 where id = 7")
    async with connected(pg, role) as cluster:
        answer = await ask(main=cluster)
    assert answer.names == []
    assert "nothing found in what the bot can see" in answer.screen
    assert "sessions (grant pg_read_all_stats)" in answer.screen


async def test_two_problems_at_once_the_worst_first(
    ask: Ask, sessions: Sessions, waiters: Waiters
) -> None:
    holder = await sessions.open("some_user")
    root = await sessions.open("web")
    await root.execute("begin; update accounts set balance = balance where id = 8")
    for _ in range(2):
        await waiters.wait(
            await sessions.open("batch"), "update accounts set balance = 8 where id = 8"
        )
    answer = await ask()
    assert answer.names == [("blocker", str(root.get_server_pid())), ("limit", "some_user")]
    assert answer.message.text.startswith("main: 2 problems")
    assert answer.acts == [f"end {root.get_server_pid()}", f"end {holder.get_server_pid()}"]
    # Each is only its own role's.
    assert (await ask("some_user")).names == [("limit", "some_user")]


@pytest.mark.parametrize(
    "catalogs",
    [
        "pg_database",
        "pg_authid",
        "pg_class",
        "pg_namespace",
        "pg_database, pg_authid, pg_class, pg_db_role_setting",
    ],
)
async def test_locked_catalog_costs_a_part_of_the_answer_and_no_time(
    pg: PostgresServer,
    bench: Bench,
    sessions: Sessions,
    waiters: Waiters,
    reads_ahead: None,
    catalogs: str,
) -> None:
    root = await sessions.open("web")
    await root.execute("begin; update accounts set balance = balance where id = 7")
    await waiters.wait(await sessions.open("batch"), "update accounts set balance = 7 where id = 7")
    locker = await sessions.open("postgres")
    async with connected(pg) as cluster:
        ops = bench(clusters={"main": cluster})
        await asked(ops, "")
        await locker.execute("set allow_system_table_mods = on")
        await locker.execute(f"begin; lock table {catalogs} in access exclusive mode")
        try:
            for text in ("", "some_db", "web"):
                async with asyncio.timeout(WITHIN):
                    answer = await asked(ops, text, Patience(wait=AT_ONCE.wait))
                pid = str(root.get_server_pid())
                assert ("blocker", pid) in answer.names  # the locker may block others
                if "pg_database" in catalogs or "pg_authid" in catalogs:
                    assert "a catalog is locked" in answer.screen
        finally:
            await locker.execute("rollback")


async def test_database_that_vanishes(
    pg: PostgresServer, admin: asyncpg.Connection, bench: Bench
) -> None:
    await admin.execute("create database fleeting")
    async with connected(pg) as cluster:
        ops = bench(clusters={"main": cluster})
        session = await asyncpg.connect(pg.dsn(user="web", database="fleeting"))
        assert (await asked(ops, "fleeting")).findings == []
        await admin.execute("drop database fleeting with (force)")
        with pytest.raises(TargetError):
            await asked(ops, "fleeting")
        assert (await asked(ops, "")).findings == []
        session.terminate()


async def test_function_that_was_revoked(
    pg: PostgresServer, admin: asyncpg.Connection, bench: Bench
) -> None:
    await admin.execute("revoke execute on function pg_get_replication_slots() from public")
    try:
        async with connected(pg) as cluster:
            answer = await asked(bench(clusters={"main": cluster}), "")
            assert answer.findings == []
            assert "slots (the bot's role may not read it)" in answer.screen
    finally:
        await admin.execute("grant execute on function pg_get_replication_slots() to public")
