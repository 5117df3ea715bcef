"""The diagnosis: from the question to the end of the session that it names."""

import asyncio
from collections.abc import Callable

import asyncpg
import pytest

from tests.e2e.conftest import IN_BOTH_MODES, Bot
from tests.integration.conftest import Sessions
from workspace import Person, Workspace
from workspace.people import PATIENCE


@IN_BOTH_MODES
async def test_why_a_login_fails_and_the_end_of_who_is_in_the_way(
    bot: Bot, slack: Workspace, ana: Person, vera: Person, sessions: Sessions
) -> None:
    holder = await sessions.open("some_user")
    await holder.execute("begin; update accounts set balance = 4711 where id = 3")
    pid = holder.get_server_pid()

    await ana.command("/pg-sessions why some_user", channel="incidents")
    shown = await vera.sees("some_user can't log in on main", channel="incidents")
    assert 'FATAL: too many connections for role "some_user"' in vera.text_of(shown)
    assert "4711" not in str(shown.blocks) + shown.text

    # Who may only look is refused by a button that another sees.
    await vera.click(f"Preview the end of pid {pid}")
    await vera.sees("You may not end sessions here")
    await ana.click(f"Preview the end of pid {pid}")
    await ana.sees("Terminate 1 session on main?", str(pid))
    await ana.click("Terminate 1 session")
    await ana.sees("Terminated 1 of 1 on main")
    await ana.click("Refresh", in_message=shown)
    await ana.sees("some_user on main: nothing found")
    await ana.click("Sessions", in_message=shown)
    await ana.sees("no session matches")
    assert "request.failed" not in bot.output


async def test_button_of_a_session_that_has_gone_ends_nobody(
    bot: Bot, ana: Person, sessions: Sessions
) -> None:
    holder = await sessions.open("some_user")
    pid = holder.get_server_pid()
    await ana.command("/pg-sessions why some_user", channel="incidents")
    await ana.sees("held by", str(pid))
    await holder.close()
    another = await sessions.open("some_user")
    await ana.click(f"Preview the end of pid {pid}")
    await ana.sees(str(pid), "gone")
    assert await another.fetchval("select true")


async def until_it_waits(asking: asyncpg.Connection, waiter: asyncpg.Connection) -> None:
    """Wait until it has waited for longer than is ordinary."""
    query = (
        "select exists (select from pg_locks where not granted and pid = $1"
        " and clock_timestamp() - waitstart > '1 s')"
    )
    async with asyncio.timeout(PATIENCE):
        while not await asking.fetchval(query, waiter.get_server_pid()):
            await asyncio.sleep(0.05)


async def test_cancel_that_a_finding_advises_comes_first_in_its_preview(
    bot: Bot, ana: Person, sessions: Sessions
) -> None:
    asking = await sessions.open("web", "other_db")
    holder, migrator, *others = [
        await sessions.open("batch", app=app) for app in ("report", "migration", "one", "two")
    ]
    pid = migrator.get_server_pid()
    await holder.execute("begin; select from accounts")
    queue = [asyncio.ensure_future(migrator.execute("begin; lock table accounts"))]
    await until_it_waits(asking, migrator)
    for other in others:
        queue.append(asyncio.ensure_future(other.execute("select from accounts")))
        await until_it_waits(asking, other)
    try:
        await ana.command("/pg-sessions why", channel="incidents")
        await ana.click(f"cancel of pid {pid}")
        await ana.sees("Cancel 1 query on main, or terminate the session?", str(pid))
        await ana.click("Cancel query")
        await ana.sees("Cancelled 1 of 1 on main")
        await migrator.execute("rollback")  # its session stays
    finally:
        for connection in (holder, migrator):
            connection.terminate()
        await asyncio.gather(*queue, return_exceptions=True)


async def test_who_may_only_look_gets_no_buttons_that_end(
    bot: Bot, vera: Person, sessions: Sessions
) -> None:
    holder = await sessions.open("some_user")
    await vera.command("/pg-sessions why some_user", channel="incidents")
    shown = await vera.sees("some_user can't log in on main")
    assert str(holder.get_server_pid()) in vera.text_of(shown)
    assert "Preview" not in vera.text_of(shown)
    assert "Sessions" in vera.text_of(shown)


async def test_a_blocked_migration_is_cancelled_from_its_diagnosis(
    bot: Bot, ana: Person, sessions: Sessions
) -> None:
    owner = await sessions.open("postgres")
    await owner.execute(
        "drop table if exists queued; create table queued (id int);"
        "alter table queued owner to web; grant all on queued to public"
    )
    report = await sessions.open("batch", app="report")
    await report.execute("begin; select from queued")
    migration, reader = await sessions.open("web", app="migration"), await sessions.open("batch")
    tasks = [asyncio.ensure_future(migration.execute("alter table queued add column n int"))]
    asking = await sessions.open("web", "other_db")

    async def waits(pid: int) -> None:
        while not await asking.fetchval("select cardinality(pg_blocking_pids($1)) > 0", pid):
            await asyncio.sleep(0.01)

    await waits(migration.get_server_pid())
    tasks.append(asyncio.ensure_future(reader.execute("select from queued")))
    await waits(reader.get_server_pid())
    pid = migration.get_server_pid()

    await ana.command(f"/pg-sessions why {pid}", channel="incidents")
    await ana.sees(f"pid {pid} waits, and 1 session waits behind it")
    await ana.click(f"cancel of pid {pid}")
    await ana.sees("Cancel query", str(pid))
    await ana.click("Cancel query")
    await ana.sees("Cancelled")
    await tasks[1]
    await report.execute("rollback")
    await asyncio.gather(*tasks, return_exceptions=True)
    await owner.execute("drop table queued")


@pytest.mark.smoke
async def test_private_diagnosis_and_horizon_are_seen_by_one(
    bot: Bot, ana: Person, vera: Person
) -> None:
    await ana.command("/pg-sessions why main/ private", channel="incidents")
    await ana.sees("Only visible to you", "main")
    await ana.command("/pg-sessions horizon main/ private", channel="incidents")
    await ana.sees("Only visible to you", "vacuum")
    assert "vacuum" not in vera.screen("incidents")


async def test_horizon_ends_the_session_that_holds_back_vacuum(
    bot: Bot, ana: Person, sessions: Sessions
) -> None:
    reader = await sessions.open("web", app="report")
    await reader.execute("begin isolation level repeatable read; select from accounts")
    pid = str(reader.get_server_pid())
    await ana.command("/pg-sessions horizon", channel="incidents")
    await ana.sees("nothing holds back vacuum yet", f"pid {pid}")
    await (await sessions.open("postgres")).execute("select pg_current_xact_id()")
    await ana.command("/pg-sessions horizon", channel="incidents")
    shown = await ana.sees("vacuum can't remove", f"pid {pid}")
    await ana.choose("Terminate a session", pid, in_message=shown)
    await ana.sees_modal("Reason")
    await ana.submit()
    await ana.sees("Terminate 1 session on main", pid)
    await ana.click("Refresh", in_message=shown)


async def test_database_of_the_name_why_is_reached_by_quotes(
    start: Callable, ana: Person, sessions: Sessions
) -> None:
    owner = await sessions.open("postgres", "postgres")
    await owner.execute('create database "why"')
    try:
        await start()
        await sessions.open("web", "why")
        for typed in ('"why"', "db=why", "main/why"):
            shown = await ana.command(f"/pg-sessions {typed}", channel="incidents")
            assert "1 session" in ana.text_of(shown)
        await ana.command('/pg-sessions why "why"', channel="incidents")
        await ana.sees("why on main: nothing found")
    finally:
        await owner.execute('drop database "why" with (force)')
