"""CREATE INDEX CONCURRENTLY waits: for whom, and for how many more."""

import asyncio

import asyncpg
import pytest

from bot.domain.findings.model import AT_ONCE, Builds, Patience
from tests.integration.conftest import Sessions
from tests.integration.incidents.conftest import Ask, Waiters
from workspace.people import PATIENCE

pytestmark = pytest.mark.sql


WAITS = Patience(wait=AT_ONCE.wait)
"""The other writers are idle in a transaction, which is no news yet."""


@pytest.fixture
async def items(sessions: Sessions) -> None:
    owner = await sessions.open("postgres")
    await owner.execute(
        "drop table if exists items; create table items (id int, n int);"
        "insert into items select n, n from generate_series(1, 10) as n;"
        "alter table items owner to web; grant all on items to public;"
        "grant create on schema public to web"
    )


async def test_concurrent_build_waits_for_one_writer_after_the_other(
    items: None, ask: Ask, sessions: Sessions, waiters: Waiters, admin: asyncpg.Connection
) -> None:
    writers = [await sessions.open("batch", app=f"writer {n}") for n in (1, 2)]
    for n, writer in enumerate(writers, 1):
        await writer.execute(f"begin; update items set n = 0 where id = {n}")
    build = await waiters.wait(
        await sessions.open("web"), "create index concurrently items_n on items (n)"
    )

    answer = await ask(patience=WAITS)

    assert answer.names == [("concurrent_index", str(build))]
    evidence = answer.findings[0].evidence
    assert isinstance(evidence, Builds)
    assert (evidence.build.lockers_done, evidence.build.lockers_total) == (0, 2)
    assert evidence.locker is not None
    first = evidence.locker.pid
    assert first in {each.get_server_pid() for each in writers}
    assert answer.acts == [f"end {first}"]
    assert "CREATE INDEX CONCURRENTLY of public.items_n waits for other transactions" in (
        answer.screen
    )
    assert "0 of 2 done" in answer.screen
    assert "waiting for writers before build" in answer.screen
    assert "leaves an invalid index" in answer.screen
    assert "The build goes on, to wait for 1 more." in answer.screen

    (one,) = [each for each in writers if each.get_server_pid() == first]
    await one.execute("rollback")
    async with asyncio.timeout(PATIENCE):
        while "1 of 2 done" not in (answer := await ask(patience=WAITS)).screen:
            await asyncio.sleep(0.02)
    assert answer.names == [("concurrent_index", str(build))]
    assert answer.acts != [f"end {first}"]


async def test_concurrent_build_that_waits_for_its_table_is_behind_a_blocker(
    items: None, ask: Ask, sessions: Sessions, waiters: Waiters
) -> None:
    holder = await sessions.open("web")
    await holder.execute("begin; alter table items add m int")
    await waiters.wait(await sessions.open("web"), "create index concurrently on items (n)")
    assert (await ask()).names == [("blocker", str(holder.get_server_pid()))]


async def test_plain_build_that_others_wait_for_is_a_blocker(
    items: None, ask: Ask, sessions: Sessions, waiters: Waiters
) -> None:
    builder = await sessions.open("web")
    await builder.execute("begin; create index on items (n)")
    await waiters.wait(await sessions.open("batch"), "update items set n = 1 where id = 1")
    assert (await ask()).names == [("blocker", str(builder.get_server_pid()))]
