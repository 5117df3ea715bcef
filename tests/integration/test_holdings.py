"""What a preview says of a session's end besides its transaction, on a real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from bot.domain.holdings import Build, Holdings, Slot
from bot.operations.results import Preview
from bot.slack.views import preview as preview_view
from tests.integration.conftest import Bench, Sessions
from tests.integration.kills import preview
from tests.rights import rights
from tests.unit.reading import lines, problems
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer

pytestmark = pytest.mark.sql


def read(shown: Preview) -> list[str]:
    message = preview_view.preview(shown, rights=rights({}))
    assert problems(message) == []
    return lines(message)


@pytest.fixture
async def in_some_db(pg: PostgresServer) -> AsyncIterator[asyncpg.Connection]:
    """A superuser in some_db, with a table that belongs to `web`."""
    connection = await asyncpg.connect(pg.dsn(database="some_db"))
    await connection.execute('create schema "a b"; grant all on schema "a b" to web')
    await connection.execute(
        'create table "a b".built (id int); alter table "a b".built owner to web'
    )
    yield connection
    await connection.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'web'"
    )
    await connection.execute('drop schema "a b" cascade')
    await connection.close()


async def until(admin: asyncpg.Connection, query: str, *parameters: object) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await admin.fetchval(query, *parameters):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("command", ["create", "reindex"])
async def test_what_ends_a_concurrent_build_leaves_an_index_to_drop(
    bench: Bench,
    sessions: Sessions,
    in_some_db: asyncpg.Connection,
    command: str,
) -> None:
    statement = 'create index concurrently "I" on "a b".built (id)'
    if command == "reindex":
        await in_some_db.execute('create index "I" on "a b".built (id)')
        statement = 'reindex index concurrently "a b"."I"'
    holder, builder = [await sessions.open("web", app=app) for app in ("holder", "builder")]
    await holder.execute('begin; insert into "a b".built values (1)')
    task = asyncio.ensure_future(builder.execute(statement))
    pid = builder.get_server_pid()
    await until(
        in_some_db,
        "select phase like 'waiting for writers before%' from pg_stat_progress_create_index"
        " where pid = $1",
        pid,
    )

    shown = await preview(bench(), "app=builder")

    left = '"a b"."I"' if command == "create" else '"a b"."I_ccnew"'
    build = shown.holdings[pid].build
    assert build is not None
    assert build.command == f"{command.upper()} {'INDEX ' * (command == 'create')}CONCURRENTLY"
    said = read(shown)
    assert f"⚠ it runs {build.command}: its end leaves an invalid index." in said
    # REINDEX says which one it will leave only once that exists.
    drop = f"drop index concurrently {left};"
    if build.drop is not None:
        assert build.drop == drop
        assert drop in said
    await builder_ends(in_some_db, pid)
    with pytest.raises(asyncpg.PostgresError):
        await task
    invalid = await in_some_db.fetchval(
        "select format('%I.%I', nspname, relname) from pg_index"
        " join pg_class on pg_class.oid = indexrelid"
        " join pg_namespace on pg_namespace.oid = relnamespace where not indisvalid"
    )
    assert invalid == left
    await holder.execute("rollback")
    await in_some_db.execute(drop)


async def builder_ends(admin: asyncpg.Connection, pid: int) -> None:
    await admin.fetchval("select pg_terminate_backend($1)", pid)
    await until(admin, "select not exists (select from pg_stat_activity where pid = $1)", pid)


async def test_advisory_locks_are_counted(bench: Bench, sessions: Sessions) -> None:
    holder = await sessions.open("web", app="guards")
    await holder.execute("select pg_advisory_lock(n) from generate_series(1, 12) as n")
    shown = await preview(bench(), "app=guards")
    assert shown.holdings == {holder.get_server_pid(): Holdings(advisory=12)}
    assert "⚠ it holds 12 advisory locks, which others can then take." in read(shown)


async def test_a_temporary_slot_goes_with_its_session(
    bench: Bench, sessions: Sessions, admin: asyncpg.Connection
) -> None:
    await admin.execute("create role copier login replication")
    try:
        copier = await sessions.open("copier", app="copier")
        await copier.execute("select pg_create_physical_replication_slot('mine', false, true)")
        shown = await preview(bench(), "app=copier")
        held = shown.holdings[copier.get_server_pid()]
        assert held == Holdings(slots=(Slot("mine", temporary=True),))
        assert "⚠ its temporary replication slot mine is dropped." in read(shown)
        await copier.close()
        await until(admin, "select count(*) = 0 from pg_replication_slots")
    finally:
        await admin.execute("drop role copier")


async def test_prepared_transactions_of_the_role_outlive_it(
    bench: Bench, sessions: Sessions, in_some_db: asyncpg.Connection
) -> None:
    preparer = await sessions.open("web", app="preparer")
    other = await sessions.open("batch", app="preparer")
    await preparer.execute('begin; insert into "a b".built values (1)')
    await preparer.execute("prepare transaction 'tx7'")
    try:
        shown = await preview(bench(), "app=preparer")
        assert shown.holdings == {preparer.get_server_pid(): Holdings(prepared=("tx7",))}
        pid = preparer.get_server_pid()
        assert f"⚠ pid {pid}: 1 prepared transaction of its role stays: tx7." in read(shown)
        assert other.get_server_pid() not in shown.holdings
    finally:
        await in_some_db.execute("rollback prepared 'tx7'")


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("listen news", "its last statement was LISTEN: its client gets no more notifications."),
        (
            "create temporary table t (id int)",
            "its last statement made a temporary table, which goes with it.",
        ),
    ],
)
async def test_the_last_statement_tells_what_postgresql_does_not_show(
    bench: Bench, sessions: Sessions, statement: str, said: str
) -> None:
    await (await sessions.open("web", app="tells")).execute(statement)
    shown = await preview(bench(), "app=tells")
    assert shown.holdings == {}
    assert f"⚠ {said}" in read(shown)


async def test_a_session_that_has_nothing_says_nothing(bench: Bench, sessions: Sessions) -> None:
    await (await sessions.open("web", app="plain")).execute("select 'listen'")
    shown = await preview(bench(), "app=plain")
    assert shown.holdings == {}
    assert not shown.holdings_unread
    assert not [line for line in read(shown) if line.startswith("⚠")]


async def test_a_locked_catalog_does_not_hide_it(
    bench: Bench, sessions: Sessions, admin: asyncpg.Connection
) -> None:
    holder = await sessions.open("web", app="guards")
    await holder.execute("select pg_advisory_lock(1)")
    ops = bench()
    async with admin.transaction():
        await admin.execute("lock table pg_database in access exclusive mode")
        shown = await preview(ops, "app=guards")
    assert shown.holdings == {holder.get_server_pid(): Holdings(advisory=1)}


@pytest.mark.parametrize(
    ("build", "drop"),
    [
        (Build("CREATE INDEX CONCURRENTLY", "public.i"), "drop index concurrently public.i;"),
        (Build("CREATE INDEX CONCURRENTLY"), None),
        (Build("CREATE INDEX CONCURRENTLY", '"a\u202eb".i'), None),
        # The index that is in use: never to be dropped.
        (Build("REINDEX CONCURRENTLY", "public.i"), None),
        (
            Build("REINDEX CONCURRENTLY", "public.i_ccnew"),
            "drop index concurrently public.i_ccnew;",
        ),
        (
            Build("REINDEX CONCURRENTLY", '"a b"."I_ccold1"'),
            'drop index concurrently "a b"."I_ccold1";',
        ),
    ],
)
def test_only_what_a_build_left_is_ever_dropped(build: Build, drop: str | None) -> None:
    assert build.drop == drop
