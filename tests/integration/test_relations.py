"""Locks are named in whichever database they are, and nothing waits for a name."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import asyncpg
import pytest

from bot.postgres.cluster import PostgresCluster
from tests.integration.conftest import BOT, SCHEMA, Sessions
from tests.servers import postgres
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer

pytestmark = pytest.mark.sql


async def names_of(cluster: PostgresCluster, session: asyncpg.Connection) -> set[str | None]:
    """The names of the relations that a session has locked."""
    locks, _ = await cluster.locks_of(session.get_server_pid(), await cluster.names(), limit=50)
    return {lock.relname for lock in locks if lock.relation is not None}


@pytest.fixture
async def fresh(pg: PostgresServer) -> AsyncIterator[PostgresCluster]:
    """A bot that has not asked other databases yet."""
    cluster = PostgresCluster("main", pg.dsn(user=BOT, database="postgres"), "db-1.internal")
    await cluster.open()
    yield cluster
    await cluster.close()


@pytest.mark.smoke
async def test_relation_of_another_database_is_named_in_the_tree_and_for_one_session(
    fresh: PostgresCluster, sessions: Sessions, admin: asyncpg.Connection
) -> None:
    holder, waiter = await sessions.open(), await sessions.open()
    await holder.execute("begin; lock table accounts in access exclusive mode")
    waiting = asyncio.ensure_future(waiter.execute("select * from accounts"))
    async with asyncio.timeout(PATIENCE):
        while not (waits := (await fresh.locks(await fresh.names())).waits):
            await asyncio.sleep(0.02)
    assert waits[waiter.get_server_pid()].on == "public.accounts"
    assert await names_of(fresh, holder) == {"public.accounts"}
    # The connection for this is closed again.
    own = "select count(*) from pg_stat_activity where usename = $1 and datname = 'some_db'"
    async with asyncio.timeout(PATIENCE):
        while await admin.fetchval(own, BOT):
            await asyncio.sleep(0.02)
    await holder.execute("rollback")
    await waiting


async def test_relation_that_is_renamed_keeps_its_name_for_a_while(
    fresh: PostgresCluster, sessions: Sessions, admin: asyncpg.Connection
) -> None:
    owner = await sessions.open("postgres")
    await owner.execute("create table before_the_name_changes (n int)")
    holder = await sessions.open("postgres")
    await holder.execute("begin; lock table before_the_name_changes in share mode")
    assert await names_of(fresh, holder) == {"public.before_the_name_changes"}
    asked = len(fresh._elsewhere._kept)
    assert await names_of(fresh, holder) == {"public.before_the_name_changes"}
    assert len(fresh._elsewhere._kept) == asked
    await holder.execute("rollback")
    await owner.execute("drop table before_the_name_changes")


async def test_database_that_refuses_the_bot_leaves_the_oid(
    fresh: PostgresCluster, sessions: Sessions, admin: asyncpg.Connection
) -> None:
    holder = await sessions.open()
    await holder.execute("begin; lock table accounts in row exclusive mode")
    await admin.execute("revoke connect on database some_db from public")
    try:
        assert await names_of(fresh, holder) == {None}
        await admin.execute("grant connect on database some_db to public")
        # It is not asked again right away.
        assert await names_of(fresh, holder) == {None}
        fresh._elsewhere._refused.clear()
        assert await names_of(fresh, holder) == {"public.accounts"}
    finally:
        await admin.execute("grant connect on database some_db to public")
        await holder.execute("rollback")


async def test_full_server_or_locked_catalog_leaves_the_oid() -> None:
    settings: dict[str, str | int] = {"max_connections": 10, "superuser_reserved_connections": 0}
    async with postgres(settings=settings) as pg:
        admin = await asyncpg.connect(pg.dsn())
        await admin.execute(f"create role {BOT} login")
        await admin.execute(f"grant pg_read_all_stats, pg_signal_backend to {BOT}")
        await admin.execute("create database some_db")
        cluster = PostgresCluster("main", pg.dsn(user=BOT), "db-1.internal")
        await cluster.open()
        holder = await asyncpg.connect(pg.dsn(database="some_db"))
        await holder.execute(SCHEMA)
        await holder.execute("begin; lock table accounts in row exclusive mode")
        crowd = [holder]
        with suppress(asyncpg.TooManyConnectionsError):
            while True:
                crowd.append(await asyncpg.connect(pg.dsn()))
        try:
            async with asyncio.timeout(PATIENCE):
                assert await names_of(cluster, holder) == {None}
            crowd.pop().terminate()
            cluster._elsewhere._refused.clear()
            await admin.execute("begin; lock table pg_class in access exclusive mode")
            async with asyncio.timeout(PATIENCE):
                await names_of(cluster, holder)
            await admin.execute("rollback")
        finally:
            for one in crowd:
                one.terminate()
            await cluster.close()
            await admin.close()
