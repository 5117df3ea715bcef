"""Everyone waits: who is at the root, and which way out is the cheapest."""

import asyncio

import asyncpg
import pytest

from bot.domain.findings.model import PATIENCE, Blocks, Patience, Queue
from bot.operations import clusters
from tests.integration.conftest import Sessions
from tests.integration.incidents.conftest import Ask, Waiters
from workspace.people import PATIENCE as PATIENT

pytestmark = pytest.mark.sql


async def wait_until(connection: asyncpg.Connection, query: str, *parameters: object) -> None:
    async with asyncio.timeout(PATIENT):
        while not await connection.fetchval(query, *parameters):
            await asyncio.sleep(0.01)


async def test_blocker_is_found_although_the_wait_has_just_begun(
    ask: Ask, sessions: Sessions, waiters: Waiters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "ANSWER_WITHIN", 60.0)  # on any machine
    root, other = await sessions.open("web"), await sessions.open("web")
    await root.execute("begin; update accounts set balance = balance where id = 3")
    await waiters.wait(other, "update accounts set balance = 0 where id = 3")
    answer = await ask(patience=PATIENCE)
    assert answer.names == [("blocker", str(root.get_server_pid()))]


async def test_blocker_that_is_idle_in_its_transaction(
    ask: Ask, sessions: Sessions, waiters: Waiters
) -> None:
    root, other = await sessions.open("web", app="cron"), await sessions.open("web")
    await root.execute("begin; update accounts set balance = balance where id = 3")
    first = await waiters.wait(other, "update accounts set balance = 0 where id = 3")
    second = await waiters.wait(
        await sessions.open("web"), "update accounts set balance = 1 where id = 3"
    )
    pid = root.get_server_pid()

    answer = await ask()

    assert answer.names == [("blocker", str(pid))]
    (finding,) = answer.findings
    assert isinstance(finding.evidence, Blocks)
    assert (finding.hurt, finding.evidence.behind, finding.evidence.freed) == (2, 2, 2)
    assert finding.involved == {pid, first, second}
    assert answer.acts == [f"end {pid}"]
    assert answer.prevention == ["alter role web set idle_in_transaction_session_timeout = '5min';"]
    assert f"pid {pid} holds up 2 sessions on main" in answer.screen
    assert "Its transaction rolls back; it has written. 2 sessions go on." in answer.screen
    assert {"Blocking tree", "Sessions", "Refresh"} <= set(answer.buttons)

    # The same by each who is in it, and by nobody else.
    for text in (str(pid), str(first), str(second), "web", "some_db", "some_db user=web"):
        assert (await ask(text)).names == [("blocker", str(pid))], text
    assert (await ask("batch")).findings == []
    assert (await ask("other_db")).findings == []


async def test_session_that_holds_an_advisory_lock_between_transactions(
    ask: Ask, sessions: Sessions, waiters: Waiters
) -> None:
    root = await sessions.open("web", app="leader")
    await root.execute("select pg_advisory_lock(4711)")
    await waiters.wait(await sessions.open("web"), "select pg_advisory_lock(4711)")
    pid = root.get_server_pid()

    answer = await ask()

    assert answer.names == [("blocker", str(pid))]
    assert answer.acts == [f"end {pid}"]
    # A timeout of idle transactions would never end it: it has none.
    assert answer.prevention == ["alter role web set idle_session_timeout = '10min';"]
    assert "its session holds that lock until it unlocks it" in answer.screen

    # It looks alike while its lock is one of a transaction.
    await root.execute("select pg_advisory_unlock_all()")
    await waiters.tasks.pop()
    await root.execute("begin; select pg_advisory_xact_lock(42)")
    await waiters.wait(await sessions.open("web"), "select pg_advisory_lock(42)")
    answer = await ask()
    assert answer.names == [("blocker", str(pid))]
    assert answer.prevention == ["alter role web set idle_in_transaction_session_timeout = '5min';"]
    assert "its session holds that lock" not in answer.screen


async def test_wait_that_has_just_begun_is_an_ordinary_one(
    ask: Ask, sessions: Sessions, waiters: Waiters
) -> None:
    root = await sessions.open("web")
    await root.execute("begin; update accounts set balance = balance where id = 3")
    await waiters.wait(await sessions.open("web"), "update accounts set balance = 2 where id = 3")
    answer = await ask(patience=Patience(wait=PATIENCE.horizon))
    assert answer.findings == []
    assert "1 waiting for a lock" in answer.screen


async def test_blocker_that_runs_is_cancelled_before_it_is_ended(
    ask: Ask, sessions: Sessions, waiters: Waiters, admin: asyncpg.Connection
) -> None:
    root = await sessions.open("web")
    await root.execute("begin; update accounts set balance = balance where id = 3")
    pid = root.get_server_pid()
    waiters.tasks.append(asyncio.ensure_future(root.execute("select pg_sleep(600)")))
    await wait_until(
        admin,
        "select exists (select from pg_stat_activity where pid = $1 and state = 'active')",
        pid,
    )
    await waiters.wait(await sessions.open("batch"), "update accounts set balance = 2 where id = 3")
    answer = await ask()
    assert answer.names == [("blocker", str(pid))]
    assert answer.acts == [f"cancel {pid}", f"end {pid}"]
    assert f"Preview the cancel of pid {pid}" in answer.buttons


async def test_blocker_that_is_not_the_only_one_in_the_way(
    ask: Ask, sessions: Sessions, waiters: Waiters
) -> None:
    first, second = await sessions.open("web"), await sessions.open("web")
    for reader in (first, second):
        await reader.execute("begin; lock table accounts in share mode")
    await waiters.wait(await sessions.open("batch"), "update accounts set balance = 2 where id = 3")
    answer = await ask()
    pids = {str(each.get_server_pid()) for each in (first, second)}
    assert set(answer.names) == {("blocker", pid) for pid in pids}
    assert "1 session waits on, for somebody else, too." in answer.screen


async def test_superusers_session_is_not_offered(
    ask: Ask, sessions: Sessions, waiters: Waiters
) -> None:
    root = await sessions.open("postgres")
    await root.execute("begin; update accounts set balance = balance where id = 3")
    await waiters.wait(await sessions.open("web"), "update accounts set balance = 2 where id = 3")
    answer = await ask()
    assert answer.names == [("blocker", str(root.get_server_pid()))]
    assert answer.acts == []
    assert "the bot won't end" in answer.screen
    assert "a superuser's session" in answer.screen


# A migration


async def test_migration_at_the_head_of_a_queue_is_withdrawn(
    ask: Ask, sessions: Sessions, waiters: Waiters
) -> None:
    report = await sessions.open("web", app="report")
    await report.execute("begin; select from accounts")
    migration = await sessions.open("postgres", app="migration")
    owner = migration.get_server_pid()
    await waiters.wait(migration, "alter table accounts add column note text")
    for _ in range(3):
        await waiters.wait(await sessions.open("web"), "select from accounts")

    answer = await ask()

    assert answer.names == [("ddl_queue", str(owner))]
    (finding,) = answer.findings
    assert isinstance(finding.evidence, Queue)
    assert (finding.evidence.behind, finding.evidence.freed) == (3, 3)
    assert finding.evidence.wait.mode == "AccessExclusiveLock"
    assert finding.evidence.wait.relname == "public.accounts"
    # Its role is a superuser's: the bot can't cancel it, but can end the report.
    assert answer.acts == [f"end {report.get_server_pid()}"]
    assert f"pid {owner} waits, and 3 sessions wait behind it on main" in answer.screen
    assert "all of them only because of it" in answer.screen
    assert (
        "the bot may not cancel it: if you can, withdraw it where it was started" in answer.screen
    )


async def test_report_whose_end_frees_nobody_is_not_proposed(
    ask: Ask, sessions: Sessions, waiters: Waiters
) -> None:
    for _ in range(2):
        await (await sessions.open("web", app="report")).execute("begin; select from accounts")
    migration = await sessions.open("postgres", app="migration")
    await waiters.wait(migration, "alter table accounts add column note text")
    await waiters.wait(await sessions.open("web"), "select from accounts")
    answer = await ask()
    assert ("ddl_queue", str(migration.get_server_pid())) in answer.names
    (queue,) = (each for each in answer.findings if each.rule == "ddl_queue")
    assert queue.acts == ()


@pytest.fixture
async def orders(sessions: Sessions) -> None:
    """A table of web's own, for web's migrations."""
    owner = await sessions.open("postgres")
    await owner.execute(
        "drop table if exists orders; create table orders (id int primary key, n int);"
        "insert into orders select n, n from generate_series(1, 10) as n;"
        "alter table orders owner to web; grant all on orders to public"
    )


async def test_cancel_of_the_migration_frees_those_who_wait_only_because_of_it(
    orders: None, ask: Ask, sessions: Sessions, waiters: Waiters
) -> None:
    report = await sessions.open("batch", app="report")
    await report.execute("begin; select from orders; update orders set n = 0 where id = 1")
    migration = await waiters.wait(
        await sessions.open("web", app="migration"), "alter table orders add column note text"
    )
    crowd = [
        await waiters.wait(await sessions.open("batch"), "select from orders") for _ in range(2)
    ]

    answer = await ask()

    assert answer.names == [("ddl_queue", str(migration))]
    assert "withdraw it where" not in answer.screen
    assert answer.acts == [f"cancel {migration}", f"end {report.get_server_pid()}"]
    assert answer.prevention[0].startswith("set lock_timeout")
    assert answer.buttons[:2] == [
        f"Preview the cancel of pid {migration}",
        f"Preview the end of pid {report.get_server_pid()}",
    ]
    (finding,) = answer.findings
    assert finding.involved == {migration, report.get_server_pid(), *crowd}
    for pid in crowd:
        assert (await ask(str(pid))).names == [("ddl_queue", str(migration))]


async def test_those_who_wait_for_the_holder_as_well_are_not_counted(
    orders: None, ask: Ask, sessions: Sessions, waiters: Waiters
) -> None:
    report = await sessions.open("batch", app="report")
    await report.execute("begin; lock table orders in row exclusive mode")
    migration = await waiters.wait(
        await sessions.open("web"), "alter table orders add column note text"
    )
    await waiters.wait(await sessions.open("batch"), "select from orders")
    # SHARE conflicts with what the report holds: the migration's end doesn't let it go on.
    await waiters.wait(await sessions.open("batch"), "begin; lock table orders in share mode")

    answer = await ask()

    assert ("ddl_queue", str(migration)) in answer.names
    queue = next(each.evidence for each in answer.findings if each.rule == "ddl_queue")
    assert isinstance(queue, Queue)
    assert (queue.behind, queue.freed) == (2, 1)
    # So the report is in somebody's way whatever becomes of the migration.
    assert ("blocker", str(report.get_server_pid())) in answer.names


async def test_two_migrations_in_one_queue_are_withdrawn_together(
    orders: None, ask: Ask, sessions: Sessions, waiters: Waiters
) -> None:
    report = await sessions.open("batch")
    await report.execute("begin; select from orders")
    both = [
        await waiters.wait(await sessions.open("web"), f"alter table orders add column {name} int")
        for name in ("a", "b")
    ]
    await waiters.wait(await sessions.open("batch"), "select from orders")
    answer = await ask()
    assert answer.names == [("ddl_queue", str(both[0]))]
    assert answer.acts[:2] == [f"cancel {pid}" for pid in both]
    assert f"behind it the same is asked by pid {both[1]}: withdraw all of them" in answer.screen
    assert "Once all 2 such requests are cancelled, 1 session goes on." in answer.screen
    here = await report.fetchval("select oid from pg_database where datname = 'some_db'")
    (diagnosis,) = answer.why.diagnoses
    assert {wait.database for wait in diagnosis.survey.locks.waits.values()} == {here}


async def test_migration_that_holds_its_lock_is_a_blocker(
    orders: None, ask: Ask, sessions: Sessions, waiters: Waiters
) -> None:
    migration = await sessions.open("web")
    await migration.execute("begin; alter table orders add column note text")
    await waiters.wait(await sessions.open("batch"), "select from orders")
    await waiters.wait(await sessions.open("batch"), "select from orders")
    answer = await ask()
    assert answer.names == [("blocker", str(migration.get_server_pid()))]
    assert "they wait for AccessShareLock on public.orders" in answer.screen


async def test_migration_that_waits_with_nobody_behind_it_is_no_queue(
    orders: None, ask: Ask, sessions: Sessions, waiters: Waiters
) -> None:
    report = await sessions.open("batch")
    await report.execute("begin; select from orders")
    await waiters.wait(await sessions.open("web"), "alter table orders add column note text")
    assert (await ask()).names == [("blocker", str(report.get_server_pid()))]


# Prepared transactions


async def test_prepared_transaction_that_others_wait_for(
    orders: None, ask: Ask, sessions: Sessions, waiters: Waiters
) -> None:
    session = await sessions.open("web")
    await session.execute("begin; update orders set n = 1 where id = 1")
    await session.execute("prepare transaction 'it''s tx7'")
    owner = await sessions.open("web")
    try:
        await waiters.wait(await sessions.open("batch"), "update orders set n = 2 where id = 1")
        answer = await ask()
        assert answer.names == [("prepared_transaction", "it's tx7")]
        assert answer.acts == ["rollback prepared 'it''s tx7';"]
        assert "run this in some_db as web or a superuser. 1 session goes on." in answer.screen
        assert (await ask("other_db")).findings == []
    finally:
        await owner.execute("rollback prepared 'it''s tx7'")


async def test_prepared_transaction_of_this_moment_is_no_finding(
    orders: None, ask: Ask, sessions: Sessions
) -> None:
    session = await sessions.open("web")
    await session.execute("begin; update orders set n = 1 where id = 1; prepare transaction 'now'")
    try:
        assert (await ask(patience=PATIENCE)).findings == []
        assert (await ask()).names == [("prepared_transaction", "now")]
        # Nobody waits for it, and it has no session: it is its owner's and its database's.
        for text in ("web", "some_db"):
            assert (await ask(text)).names == [("prepared_transaction", "now")], text
        for text in ("batch", "other_db"):
            assert (await ask(text)).names == [], text
    finally:
        await session.execute("rollback prepared 'now'")
