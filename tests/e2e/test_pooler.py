"""The story again, with a pooler between the bot and its PostgreSQL."""

from collections.abc import Callable

import pytest

from tests.e2e.conftest import Bot
from tests.integration.conftest import BOT, Sessions
from tests.pgbouncer import PgBouncer
from workspace import Person
from workspace.postgres import PostgresServer


@pytest.mark.parametrize("pool_mode", ["session", "transaction"])
async def test_the_slot_is_free_again(
    start: Callable,
    server: PostgresServer,
    sessions: Sessions,
    ana: Person,
    ben: Person,
    pool_mode: str,
) -> None:
    holder = await sessions.open("some_user")
    await holder.execute("begin; select 1")
    async with PgBouncer(server, pool_mode=pool_mode) as bouncer:
        bot: Bot = await start(DATABASE_URL=bouncer.dsn(user=BOT))
        await bot.says("cluster.behind_a_pooler")
        seen = await ana.command("/pg-sessions some_db", channel="incidents")
        assert "some_user 1 of 1" in ana.text_of(seen)
        await ana.command(f"/pg-kill {holder.get_server_pid()}", channel="incidents")
        await ben.click("Terminate 1 session", channel="incidents")
        await ana.sees("Terminated 1 of 1 on main", "some_user 1 of 1 → 0 of 1")
        assert await (await sessions.open("some_user")).fetchval("select true")
        assert await bot.stop() == 0
