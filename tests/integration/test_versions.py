"""The differences between PostgreSQL 14 and 18 that matter to the bot."""

from dataclasses import fields

import asyncpg
import pytest

from bot.domain.sessions import Backend, Limit, LimitOf
from bot.postgres.cluster import PostgresCluster
from tests import servers
from tests.integration.conftest import BOT

pytestmark = pytest.mark.smoke


async def test_server_has_the_requested_version(cluster: PostgresCluster) -> None:
    look = await cluster.look(names=await cluster.names())

    assert look.server.version.partition(".")[0] == str(servers.MAJOR)
    assert look.server.reserved_connections == 0


async def test_the_view_has_the_columns_that_the_bot_knows(admin: asyncpg.Connection) -> None:
    columns = await admin.fetch(
        "select attname from pg_attribute"
        " where attrelid = 'pg_stat_activity'::regclass and attnum > 0"
    )

    known = {field.name for field in fields(Backend)}
    assert {row["attname"] for row in columns} == known - {"virtualtransaction"}  # from pg_locks


@pytest.mark.skipif(servers.MAJOR < 16, reason="reserved_connections came with PostgreSQL 16")
async def test_reserved_slots_admit_the_bot_and_are_not_free_for_others() -> None:
    slots = {"max_connections": 12, "superuser_reserved_connections": 3, "reserved_connections": 5}
    async with servers.postgres(settings=slots) as server:
        admin = await asyncpg.connect(server.dsn())
        await admin.execute(f"create role {BOT} login; create role web login")
        await admin.execute(f"grant pg_read_all_stats, pg_use_reserved_connections to {BOT}")
        await admin.close()
        crowd = [await asyncpg.connect(server.dsn(user="web")) for _ in range(4)]
        with pytest.raises(asyncpg.TooManyConnectionsError):
            await asyncpg.connect(server.dsn(user="web"))
        cluster = PostgresCluster("main", server.dsn(user=BOT), "db-1.internal")
        await cluster.open()
        try:
            assert cluster.connections == (4, 4)
            look = await cluster.look(names=await cluster.names())
            assert look.server.ordinary == Limit("connections", 8, 4, LimitOf.SERVER)
        finally:
            await cluster.close()
            for connection in crowd:
                connection.terminate()
