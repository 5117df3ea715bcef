"""Somebody can't log in: the limit and who uses it up, or what the catalogs say."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from bot.domain.findings.model import PATIENCE, Full, Refusal, Refused
from bot.domain.sessions import LimitOf
from tests.integration.conftest import SETUP, Sessions, everybody_left
from tests.integration.incidents.conftest import Ask, Waiters, connected
from tests.servers import MAJOR, postgres
from workspace.postgres import PostgresServer

pytestmark = pytest.mark.sql


async def refusal(pg: PostgresServer, user: str, database: str = "some_db") -> str:
    """PostgreSQL's message for a login that it refuses."""
    with pytest.raises(asyncpg.PostgresError) as caught:
        await asyncpg.connect(pg.dsn(user=user, database=database))
    return f"FATAL: {str(caught.value).splitlines()[0]}"


async def test_role_at_its_limit_names_its_holders_and_their_effects(
    pg: PostgresServer, ask: Ask, sessions: Sessions, waiters: Waiters
) -> None:
    holder = await sessions.open("some_user")
    await holder.execute("begin; update accounts set balance = balance where id = 1")
    statement = "update accounts set balance = 4711 where id = 1"
    await waiters.wait(await sessions.open("web"), statement)
    await waiters.wait(await sessions.open("web"), statement)
    pid = holder.get_server_pid()

    answer = await ask("some_user")

    assert answer.names == [("limit", "some_user")]
    (finding,) = answer.findings
    assert isinstance(finding.evidence, Full)
    assert (finding.evidence.limit.used, finding.evidence.limit.limit) == (1, 1)
    assert finding.evidence.error == await refusal(pg, "some_user")
    assert answer.acts == [f"end {pid}"]
    assert answer.prevention[0] == (
        "alter role some_user set idle_in_transaction_session_timeout = '5min';"
    )
    assert "some_user can't log in on main: it is at its limit, 1 of 1" in answer.screen
    assert "and 2 sessions wait behind it" in answer.screen
    assert "Login works again, 2 sessions go on." in answer.screen
    assert f"Preview the end of pid {pid}" in answer.buttons
    assert "4711" not in answer.screen

    # Without a specific question it is one problem, not two.
    assert (await ask()).names == [("limit", "some_user")]


async def test_who_waits_for_somebody_else_too_is_not_promised_to_go_on(
    ask: Ask, sessions: Sessions, waiters: Waiters
) -> None:
    for user in ("some_user", "batch"):
        await (await sessions.open(user)).execute("begin; select from accounts")
    await waiters.wait(await sessions.open("web"), "begin; lock table accounts")
    answer = await ask("user=some_user")
    assert "and 1 session waits behind it" in answer.screen
    assert "Login works again, 1 session waits on, for somebody else, too." in answer.screen


async def test_role_below_its_limit_can_log_in(ask: Ask, sessions: Sessions) -> None:
    await sessions.open("batch")
    answer = await ask("batch")
    assert answer.findings == []
    assert "batch on main: nothing found" in answer.screen
    assert "pg_hba.conf" in answer.screen


async def test_cheapest_session_of_a_role_at_its_limit_has_nothing_open(
    admin: asyncpg.Connection, ask: Ask, sessions: Sessions
) -> None:
    await admin.execute("alter role batch connection limit 3")
    try:
        writer, idle, reader = [await sessions.open("batch") for _ in range(3)]
        await writer.execute("begin; update accounts set balance = balance where id = 2")
        await reader.execute("begin; select from accounts")
        answer = await ask("user=batch", patience=PATIENCE)
        assert answer.names == [("limit", "batch")]
        assert answer.acts == [f"end {idle.get_server_pid()}"]
        assert "It has no open transaction. Login works again." in answer.screen
        assert answer.prevention == [
            "alter role batch set idle_session_timeout = '10min';",
            "alter role batch connection limit 6;",
        ]
    finally:
        await admin.execute("alter role batch connection limit 20")


async def test_limit_of_0_keeps_out_a_role_without_sessions(
    pg: PostgresServer, admin: asyncpg.Connection, ask: Ask
) -> None:
    await admin.execute("create role kept_out login connection limit 0")
    try:
        answer = await ask("kept_out")
        assert answer.names == [("limit", "kept_out")]
        assert answer.findings[0].evidence.error == await refusal(pg, "kept_out")  # type: ignore[union-attr]
        assert answer.acts == []
        assert "raise the limit, if it isn't 0 on purpose" in answer.screen
        assert ("limit", "kept_out") not in (await ask()).names
    finally:
        await admin.execute("drop role kept_out")


async def test_database_at_its_limit(
    pg: PostgresServer, admin: asyncpg.Connection, ask: Ask, sessions: Sessions
) -> None:
    await admin.execute("create database small connection limit 1")
    try:
        holder = await sessions.open("web", "small")
        answer = await ask("small")
        assert answer.names == [("limit", "small")]
        evidence = answer.findings[0].evidence
        assert isinstance(evidence, Full)
        assert evidence.limit.of is LimitOf.DATABASE
        assert evidence.error == await refusal(pg, "web", "small")
        assert answer.acts == [f"end {holder.get_server_pid()}"]
        assert "alter database small connection limit 2;" in answer.prevention
        holder.terminate()
    finally:
        await admin.execute("drop database small with (force)")


async def test_role_and_database_with_the_same_name_are_both_covered(
    admin: asyncpg.Connection, ask: Ask
) -> None:
    await admin.execute("create role shared nologin")
    await admin.execute("create database shared allow_connections false")
    try:
        answer = await ask("shared")
        assert answer.names == [("login", "shared"), ("login", "shared")]
        assert [each.question.role for each in answer.why.diagnoses] == ["shared", None]
        assert "it has NOLOGIN" in answer.screen
        assert "it has ALLOW_CONNECTIONS false" in answer.screen
    finally:
        await admin.execute("drop database shared")
        await admin.execute("drop role shared")


async def test_template0_is_left_closed(ask: Ask) -> None:
    answer = await ask("template0")
    assert answer.names == [("login", "template0")]
    assert answer.acts == []
    assert "It is closed on purpose" in answer.screen


async def test_predefined_role_is_not_offered_a_login(admin: asyncpg.Connection, ask: Ask) -> None:
    answer = await ask("pg_monitor")
    assert answer.names == [("login", "pg_monitor")]
    assert answer.acts == []
    assert "nobody logs in as it, others are granted it" in answer.screen
    assert "Cheapest: log in as a role that it is granted to." in answer.screen
    with pytest.raises(asyncpg.ReservedNameError):
        await admin.execute("alter role pg_monitor login")


HOSTILE = 'O"Hara; drop role web --'


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@pytest.mark.parametrize("name", ["turned_away", HOSTILE])
async def test_role_without_login(
    pg: PostgresServer, admin: asyncpg.Connection, ask: Ask, name: str
) -> None:
    await admin.execute(f"create role {quoted(name)} nologin")
    try:
        answer = await ask(f"'{name}'")
        assert answer.names == [("login", name)]
        evidence = answer.findings[0].evidence
        assert isinstance(evidence, Refused)
        assert evidence.why is Refusal.NOLOGIN
        assert evidence.error == await refusal(pg, name)
        assert "if it should log in itself, and wasn't locked out on purpose, run" in answer.screen
        # The remedy is one statement, and it works.
        await admin.execute(answer.acts[0])
        assert (await ask(f"'{name}'")).findings == []
    finally:
        await admin.execute(f"drop role {quoted(name)}")


@pytest.mark.parametrize("name", ["turned_away", HOSTILE])
async def test_role_without_connect(
    pg: PostgresServer, admin: asyncpg.Connection, ask: Ask, name: str
) -> None:
    await admin.execute(f"create role {quoted(name)} login")
    await admin.execute("create database closed")
    await admin.execute("revoke connect on database closed from public")
    try:
        # It may connect to other databases: only this one is a problem.
        assert (await ask(f"'{name}'")).findings == []
        answer = await ask(f"closed user='{name}'")
        assert answer.names == [("login", name)]
        evidence = answer.findings[0].evidence
        assert isinstance(evidence, Refused)
        assert evidence.why is Refusal.NO_CONNECT
        assert evidence.error == await refusal(pg, name, "closed")
        await admin.execute(answer.acts[0])
        assert (await ask(f"closed user='{name}'")).findings == []
    finally:
        await admin.execute("drop database closed")
        await admin.execute(f"drop role {quoted(name)}")


async def test_expired_password(admin: asyncpg.Connection, ask: Ask) -> None:
    await admin.execute("create role expired login password 'x' valid until '2020-01-31'")
    await admin.execute("create role fresh login password 'x' valid until 'infinity'")
    try:
        answer = await ask("expired")
        assert answer.names == [("login", "expired")]
        assert "VALID UNTIL passed" in answer.screen
        assert "Only logins by password are refused" in answer.screen
        assert (await ask("fresh")).findings == []
    finally:
        await admin.execute("drop role expired, fresh")


@pytest.mark.parametrize("until", ["9999-12-31 23:59:59-05", "20000-01-01", "infinity"])
async def test_password_valid_for_millennia(
    admin: asyncpg.Connection, ask: Ask, until: str
) -> None:
    await admin.execute(f"create role lasting login password 'x' valid until '{until}'")
    try:
        assert (await ask("lasting")).findings == []
    finally:
        await admin.execute("drop role lasting")


async def test_superuser_needs_no_connect(admin: asyncpg.Connection, ask: Ask) -> None:
    await admin.execute("create role boss login superuser")
    await admin.execute("revoke connect on database other_db from public")
    try:
        assert (await ask("other_db user=boss")).findings == []
    finally:
        await admin.execute("grant connect on database other_db to public")
        await admin.execute("drop role boss")


@pytest.fixture(scope="module")
async def few_slots() -> AsyncIterator[PostgresServer]:
    async with postgres(
        settings={"max_connections": 12, "superuser_reserved_connections": 2}
    ) as pg:
        connection = await asyncpg.connect(pg.dsn())
        for statement in filter(str.strip, SETUP.split(";")):
            await connection.execute(statement)
        await connection.close()
        yield pg


@pytest.fixture
async def small(few_slots: PostgresServer) -> PostgresServer:
    """A server with few slots, all of them free."""
    await everybody_left(few_slots)
    return few_slots


async def fill(pg: PostgresServer, crowd: list[asyncpg.Connection]) -> None:
    dsn, named = pg.dsn(user="web", database="some_db"), {"application_name": "gunicorn"}
    while True:
        crowd.append(await asyncpg.connect(dsn, server_settings=named))


async def test_full_server_names_who_fills_it(small: PostgresServer, ask: Ask) -> None:
    async with connected(small) as cluster:
        crowd: list[asyncpg.Connection] = []
        with pytest.raises(asyncpg.TooManyConnectionsError) as caught:
            await fill(small, crowd)
        try:
            answer = await ask(main=cluster)
            assert answer.names == [("server_full", "main")]
            (finding,) = answer.findings
            assert isinstance(finding.evidence, Full)
            assert finding.evidence.error == f"FATAL: {caught.value}"
            assert f"all of them: {len(crowd)} gunicorn idle" in answer.screen
            assert answer.acts == [f"end {crowd[0].get_server_pid()}"]
            assert "alter role web connection limit" in answer.prevention[-1]
            # A question about a role also reports it.
            assert (await ask("batch", main=cluster)).names == [("server_full", "main")]
            assert (await ask(str(crowd[1].get_server_pid()), main=cluster)).findings == []
        finally:
            for connection in crowd:
                connection.terminate()


@pytest.mark.skipif(MAJOR < 16, reason="slots are reserved for roles from PostgreSQL 16 on")
async def test_full_server_says_whose_slots_are_left(ask: Ask) -> None:
    async with postgres(
        settings={
            "max_connections": 14,
            "superuser_reserved_connections": 2,
            "reserved_connections": 3,
        }
    ) as pg:
        admin = await asyncpg.connect(pg.dsn())
        for statement in filter(str.strip, SETUP.split(";")):
            await admin.execute(statement)
        crowd: list[asyncpg.Connection] = [admin]
        async with connected(pg) as cluster:
            told = []
            for _ in range(2):
                with pytest.raises(asyncpg.TooManyConnectionsError) as caught:
                    await fill(pg, crowd)
                await everybody_left(pg, admin)  # also who was refused
                (finding,) = (await ask(main=cluster)).findings
                assert isinstance(finding.evidence, Full)
                assert finding.evidence.error == f"FATAL: {caught.value}"
                told.append(finding.evidence.error)
                await admin.execute("grant pg_use_reserved_connections to web")
            assert "pg_use_reserved_connections" in told[0]
            assert "SUPERUSER" in told[1]
        for connection in crowd:
            connection.terminate()


async def test_server_with_one_slot_left_is_not_full(small: PostgresServer, ask: Ask) -> None:
    async with connected(small) as cluster:
        crowd: list[asyncpg.Connection] = []
        try:
            while (await cluster.look((), names=await cluster.names())).server.ordinary.taken < 9:
                crowd.append(await asyncpg.connect(small.dsn(user="web", database="some_db")))
            assert (await ask(main=cluster)).findings == []
        finally:
            for connection in crowd:
                connection.terminate()
