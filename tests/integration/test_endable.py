"""Sessions that the bot's role can't end are never targets; PostgreSQL decides the unknown ones."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from bot.domain.kills import Outcome, Spared
from bot.domain.sessions import BackendId, SpareReason
from bot.grammar.requests import SessionsRequest, Target
from bot.operations.results import NothingToKill, Preview, Sessions
from bot.postgres.cluster import PostgresCluster
from tests.integration.conftest import Bench
from tests.integration.conftest import Sessions as Clients
from tests.integration.kills import ANA, CHANNEL, confirm, lives, outcomes, preview, typed
from workspace.postgres import PostgresServer

pytestmark = pytest.mark.sql


def reasons(spared: tuple[Spared, ...]) -> dict[str | None, SpareReason | str]:
    return {each.seen.usename: each.why for each in spared}


@pytest.mark.smoke
async def test_superusers_session_is_spared_and_says_why(bench: Bench, sessions: Clients) -> None:
    mortals = [await sessions.open("batch", app="mixed") for _ in range(3)]
    superuser = await sessions.open("postgres", app="mixed")
    ops = bench()

    shown = await preview(ops, "app=mixed")
    assert len(shown.proposal.targets) == 3
    assert reasons(shown.proposal.spared) == {"postgres": SpareReason.SUPERUSER}
    conclusion = await confirm(ops, shown)

    assert conclusion.counts == {Outcome.TERMINATED: 3}
    assert reasons(conclusion.proposal.spared) == {"postgres": SpareReason.SUPERUSER}
    assert await lives(superuser)
    assert not any([await lives(mortal) for mortal in mortals])


@pytest.mark.parametrize("named", ["filter", "pid", "row"])
async def test_nothing_is_offered_if_only_a_superuser_could_end_it(
    bench: Bench, sessions: Clients, admin: asyncpg.Connection, named: str
) -> None:
    superuser = await sessions.open("postgres", app="alone")
    pid = superuser.get_server_pid()
    ops = bench()

    if named == "row":
        start = await admin.fetchval(
            "select backend_start from pg_stat_activity where pid = $1", pid
        )
        answer = await ops.propose_backends(
            ANA, CHANNEL, cluster_name="main", ids=(BackendId(pid, start),)
        )
    else:
        request = typed("app=alone" if named == "filter" else str(pid))
        answer = await ops.propose(ANA, CHANNEL, request)

    assert isinstance(answer, NothingToKill)
    assert reasons(answer.spared) == {"postgres": SpareReason.SUPERUSER}


async def test_menu_of_a_look_has_only_what_the_bot_may_end(
    bench: Bench, sessions: Clients
) -> None:
    mortal = await sessions.open("batch", app="menu")
    await sessions.open("postgres", app="menu")
    ops = bench(protected_applications=(("menu 2",),))
    await sessions.open("batch", app="menu 2")

    answer = await ops.look(ANA, CHANNEL, SessionsRequest(target=Target(database="some_db")))

    assert isinstance(answer, Sessions)
    assert {"menu", "menu 2"} <= {row.application_name for row in answer.look.rows}
    offered = [row for row in answer.look.rows if row.pid in answer.endable]
    assert [row.pid for row in offered if (row.application_name or "").startswith("menu")] == [
        mortal.get_server_pid()
    ]


@pytest.fixture
async def lesser(pg: PostgresServer, admin: asyncpg.Connection) -> AsyncIterator[PostgresCluster]:
    """The bot with a role that sees everything, but may end only `batch`'s sessions."""
    await admin.execute("create role lesser login in role pg_read_all_stats, batch")
    await admin.execute("create role inherits_nothing login noinherit in role pg_signal_backend")
    cluster = PostgresCluster("main", pg.dsn(user="lesser"), "db-1.internal")
    await cluster.open()
    yield cluster
    await cluster.close()
    await admin.execute("drop role lesser, inherits_nothing")


async def test_role_without_pg_signal_backend_ends_only_its_own_roles_sessions(
    bench: Bench, sessions: Clients, lesser: PostgresCluster
) -> None:
    may, may_not = await sessions.open("batch", app="rights"), await sessions.open(app="rights")
    ops = bench(clusters={"main": lesser})

    shown = await preview(ops, "app=rights")
    assert reasons(shown.proposal.spared) == {"web": SpareReason.NO_RIGHT}

    assert outcomes(await confirm(ops, shown)) == {may.get_server_pid(): Outcome.TERMINATED}
    assert await lives(may_not)


@pytest.mark.parametrize(
    ("role", "may_end"),
    [
        ("sessions_bot", {"batch": True, "postgres": False}),
        ("postgres", {"batch": True, "postgres": True}),
        ("lesser", {"batch": True, "web": False, "postgres": False}),
        ("inherits_nothing", {"batch": False, "inherits_nothing": True, "postgres": False}),
    ],
)
async def test_what_a_role_may_end_is_what_postgresql_lets_it_signal(
    pg: PostgresServer,
    sessions: Clients,
    lesser: PostgresCluster,
    role: str,
    may_end: dict[str, bool],
) -> None:
    """Compare what was read with an attempt: `pg_cancel_backend` requires the same right."""
    cluster = PostgresCluster("main", pg.dsn(user=role), "db-1.internal")
    await cluster.open()
    own = await asyncpg.connect(pg.dsn(user=role))
    try:
        known = {each.rolname: each.may_end for each in (await cluster.names()).roles.values()}
        assert {name: known[name] for name in may_end} == may_end
        for name, expected in may_end.items():
            other = await sessions.open(name)
            try:
                allowed = await own.fetchval("select pg_cancel_backend($1)", other.get_server_pid())
            except asyncpg.InsufficientPrivilegeError:
                allowed = False
            assert allowed is expected
    finally:
        await own.close()
        await cluster.close()


async def test_postgresql_decides_at_the_click_about_unknown_rights(
    bench: Bench, sessions: Clients, admin: asyncpg.Connection
) -> None:
    await admin.execute("create role promoted login")
    try:
        promoted = await sessions.open("promoted", app="refused")
        mortals = [await sessions.open("batch", app="refused") for _ in range(3)]
        ops = bench()
        shown = await preview(ops, "app=refused")
        assert isinstance(shown, Preview)
        await admin.execute("alter role promoted superuser")

        conclusion = await confirm(ops, shown)

        # One that PostgreSQL refuses doesn't hide the others.
        assert conclusion.counts == {Outcome.TERMINATED: 3, Outcome.NOT_PERMITTED: 1}
        assert outcomes(conclusion)[promoted.get_server_pid()] is Outcome.NOT_PERMITTED
        assert await lives(promoted)
        assert not any([await lives(mortal) for mortal in mortals])
        promoted.terminate()
    finally:
        await admin.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
            " where usename = 'promoted'"
        )
        await admin.execute("drop role promoted")
