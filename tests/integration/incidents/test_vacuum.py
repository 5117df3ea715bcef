"""A vacuum that must not be ended holds up a migration."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.integration.conftest import SETUP
from tests.integration.incidents.conftest import Ask, connected
from tests.servers import postgres
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer

pytestmark = pytest.mark.sql

OLD = """
    -- Without it only what prevents wraparound vacuums the table.
    create table old (id int, filler text) with (
        autovacuum_enabled = off,
        autovacuum_freeze_max_age = 100000,
        autovacuum_vacuum_cost_delay = 100,
        autovacuum_vacuum_cost_limit = 1
    );
    insert into old select n, repeat('x', 500) from generate_series(1, 60000) as n;
    alter table old owner to web;
    create procedure burn(n int) language plpgsql as $$
    begin
        for i in 1..n loop
            perform pg_current_xact_id();
            commit;
        end loop;
    end $$;
"""


@pytest.fixture(scope="module")
async def vacuuming() -> AsyncIterator[PostgresServer]:
    """A server that vacuums one table to prevent wraparound, slowly."""
    settings: dict[str, str | int] = {
        "max_connections": 20,
        "autovacuum_naptime": "1s",
        "synchronous_commit": "off",
    }
    async with postgres(settings=settings) as pg:
        admin = await asyncpg.connect(pg.dsn())
        for statement in filter(str.strip, SETUP.split(";")):
            await admin.execute(statement)
        owner = await asyncpg.connect(pg.dsn(database="some_db"))
        await owner.execute(OLD)
        await owner.execute("call burn(101000)")
        async with asyncio.timeout(PATIENCE):
            while not await admin.fetchval(
                "select exists (select from pg_stat_activity"
                " where query like '%public.old (to prevent wraparound)')"
            ):
                await asyncio.sleep(0.05)
        yield pg
        await owner.close()
        await admin.close()


async def test_migration_gives_way_to_a_vacuum_against_wraparound(
    vacuuming: PostgresServer, ask: Ask
) -> None:
    admin = await asyncpg.connect(vacuuming.dsn(database="some_db"))
    worker = await admin.fetchval(
        "select pid from pg_stat_activity where backend_type = 'autovacuum worker'"
        " and query like '%public.old%'"
    )
    migration = await asyncpg.connect(vacuuming.dsn(user="web", database="some_db"))
    pid = migration.get_server_pid()
    task = asyncio.ensure_future(migration.execute("alter table old add column note text"))
    try:
        async with connected(vacuuming) as cluster, asyncio.timeout(PATIENCE):
            while not (answer := await ask(main=cluster)).findings:
                await asyncio.sleep(0.05)
            assert answer.names == [("wraparound_vacuum", str(worker))]
            assert answer.acts == [f"cancel {pid}"]
            assert answer.prevention == []
            assert "leave the vacuum alone" in answer.screen
            assert "Try it again when the vacuum is done." in answer.screen
            buttons = [each for each in answer.buttons if each.startswith("Preview")]
            assert len(buttons) == 1
            assert buttons[0].endswith(str(pid))
            assert "pg_terminate" not in answer.screen
            assert "pg_cancel" not in answer.screen

            # The bot never offers to end it, whoever is asked about.
            for text in (str(worker), str(pid), "some_db"):
                told = await ask(text, main=cluster)
                assert told.acts == [f"cancel {pid}"], (text, told.screen)
    finally:
        await admin.fetchval("select pg_terminate_backend($1, 60000)", pid)
        await asyncio.gather(task, return_exceptions=True)
        await admin.close()


async def test_vacuum_by_hand_is_an_ordinary_blocker(vacuuming: PostgresServer, ask: Ask) -> None:
    web = vacuuming.dsn(user="web", database="some_db")
    vacuum, migration = await asyncpg.connect(web), await asyncpg.connect(web)
    admin = await asyncpg.connect(vacuuming.dsn(database="some_db"))
    await admin.execute(
        "create table slow as select n from generate_series(1, 10000) as n;"
        "alter table slow owner to web"
    )
    await vacuum.execute("set vacuum_cost_delay = 100; set vacuum_cost_limit = 1")
    tasks = [asyncio.ensure_future(vacuum.execute("vacuum (freeze) slow"))]
    try:
        async with connected(vacuuming) as cluster, asyncio.timeout(PATIENCE):
            while not await admin.fetchval(
                "select exists (select from pg_locks where pid = $1 and granted"
                " and relation = 'slow'::regclass)",
                vacuum.get_server_pid(),
            ):
                await asyncio.sleep(0.01)
            tasks.append(asyncio.ensure_future(migration.execute("alter table slow add m int")))
            while not (answer := await ask(main=cluster)).findings:
                await asyncio.sleep(0.05)
            pid = vacuum.get_server_pid()
            assert answer.names == [("blocker", str(pid))]
            assert answer.acts == [f"cancel {pid}", f"end {pid}"]
    finally:
        vacuum.terminate()
        migration.terminate()
        await asyncio.gather(*tasks, return_exceptions=True)
        await admin.close()
