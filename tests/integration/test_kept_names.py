"""Names as a real PostgreSQL keeps them, compared with the settings that name them."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.domain.kept_names import names_role, of_applications
from bot.domain.protection import Protection
from bot.domain.sessions import Backend
from bot.postgres.cluster import PostgresCluster
from bot.postgres.where import likes
from tests.integration.conftest import Sessions
from workspace.postgres import PostgresServer

pytestmark = pytest.mark.smoke

ENCODINGS = ("UTF8", "LATIN1", "SQL_ASCII")
NAMES = [
    "Rückmeldung",
    "x" * 71,
    "x" * 62 + "ü",
    "x" * 60 + "üß-and-more",
    "ü" * 40,
    "a?bc",
    "a\\xc3b",
    "100%_\\",
    "pod-with-a-very-long-name-7f9c5b6d8f-x2x4z-" + "y" * 40,
]


@pytest.fixture(scope="module")
async def databases(admin: asyncpg.Connection) -> AsyncIterator[None]:
    """A database in each encoding, named after it."""
    for encoding in ENCODINGS:
        await admin.execute(
            f"create database \"{encoding}\" encoding '{encoding}' template template0 locale 'C'"
        )
    yield
    for encoding in ENCODINGS:
        await admin.execute(f'drop database "{encoding}" with (force)')


async def shown(admin: asyncpg.Connection, connection: asyncpg.Connection) -> str:
    """How PostgreSQL shows the name that a client gave itself."""
    name = await admin.fetchval(
        "select application_name from pg_stat_activity where pid = $1",
        connection.get_server_pid(),
    )
    assert isinstance(name, str)
    return name


async def protects(admin: asyncpg.Connection, glob: tuple[str, ...], name: str) -> bool:
    """Whether a setting protects a session with this name; preview and click must agree."""
    applications = of_applications((glob,))
    at_the_click = await admin.fetchval("select $1 like any($2::text[])", name, likes(applications))
    assert applications.match(name) == at_the_click
    return bool(at_the_click)


def quoted(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", NAMES)
async def test_a_session_is_protected_by_the_name_that_its_client_gave_it(
    databases: None, admin: asyncpg.Connection, sessions: Sessions, encoding: str, name: str
) -> None:
    for at_startup in (True, False):
        try:
            if at_startup:
                connection = await sessions.open("web", encoding, name)
            else:
                connection = await sessions.open("web", encoding, "psql")
                await connection.execute(
                    f"set client_min_messages = error; set application_name = {quoted(name)}"
                )
        except (UnicodeDecodeError, asyncpg.DataError):
            continue  # the driver can't read its own name back, or PostgreSQL refuses a cut one
        found = await shown(admin, connection)
        for glob in ((name,), (name[:2], ""), (name[:2], name[-2:]), ("", name[-2:])):
            assert await protects(admin, glob, found), (glob, found)
        assert not await protects(admin, ("another",), found)
        assert not await protects(admin, ("another", ""), found)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.text(st.characters(exclude_categories=("Cs", "Cc"))) | st.just("x" * 30), max_size=4
    )
)
async def test_setting_protects_any_name(admin: asyncpg.Connection, parts: list[str]) -> None:
    name = "".join(parts)
    await admin.execute(f"set client_min_messages = error; set application_name = {quoted(name)}")
    found = await shown(admin, admin)
    assert await protects(admin, (name,), found)
    for cut in range(0, len(name), 7):
        assert await protects(admin, (name[:cut], name[cut:]), found)


@pytest.mark.parametrize(
    "glob", [("Rückmeldung",), ("Rück", ""), ("", "meldung"), ("x" * 71,), ("x" * 70, "y")]
)
async def test_protected_session_is_left_out_of_a_kill(
    cluster: PostgresCluster, sessions: Sessions, glob: tuple[str, ...]
) -> None:
    name = "".join(glob).replace("y", "") if glob[0].startswith("x") else "Rückmeldung"
    connection = await sessions.open(app=name)
    names = await cluster.names()
    look = await cluster.look(names=names, strict=True)
    row: Backend = next(row for row in look.rows if row.pid == connection.get_server_pid())
    assert Protection(applications=(glob,)).why(row) == "PROTECTED_APPLICATIONS"
    assert Protection(applications=(("pg_dump",),)).why(row) is None


async def test_session_counts_as_its_login_role_after_set_role(
    cluster: PostgresCluster, sessions: Sessions
) -> None:
    """As the README says about SET ROLE: PROTECTED_ROLES can't see it."""
    connection = await sessions.open("postgres")
    for statement in ("set role web", "set session authorization web"):
        await connection.execute(statement)
        look = await cluster.look(names=await cluster.names(), strict=True)
        row = next(row for row in look.rows if row.pid == connection.get_server_pid())
        assert row.usename == "postgres"
        assert Protection(roles=(("web",),)).why(row) is None


ROLES = ["Rück", "r" * 71, "ü" * 40, "Night_Batch"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", ROLES)
async def test_a_role_is_protected_by_the_name_that_it_was_created_with(
    databases: None,
    pg: PostgresServer,
    cluster: PostgresCluster,
    encoding: str,
    name: str,
) -> None:
    connection = await asyncpg.connect(pg.dsn(database=encoding))
    try:
        await connection.execute("set client_min_messages = error")
        before = set((await cluster.names()).roles)
        for created in (f'"{name}"', name):
            await connection.execute(f"create role {created}")
            names = await cluster.names()
            (oid,) = set(names.roles) - before
            assert names_role(names.roles[oid].rolname, ((name,),)), names.roles[oid]
            assert oid in Protection(roles=((name,),)).role_oids(names, ())
            await connection.execute(f"drop role {created}")
    finally:
        await connection.close()
