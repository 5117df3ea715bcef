"""PostgreSQL reads a statement, and what `pg_stat_activity` then has of it is redacted."""

import asyncpg
import pytest

from bot.domain.redaction import redact

pytestmark = pytest.mark.sql

SECRET = "qzxwvkj"

EITHER_WAY = [
    f"select '{SECRET}', 'it''s {SECRET}'",
    f"select 'a'\n  '{SECRET}'",
    rf"select E'\'{SECRET}', E'\\\'{SECRET}''', e'\\' || '{SECRET}'",
    f"select E'a\\\\'\n'\\'{SECRET}'",
    f"select N'{SECRET}', date '2020-01-01', X'1F', b'01'",
    f"select $$it's '{SECRET}$$, $a$ $b$ $$ ' {SECRET} $a$, $é_1${SECRET}$é_1$",
    f"/* {SECRET} /* ' */ {SECRET} */ select 1 -- '{SECRET}",
    f'select 1 as "it\'s", \'{SECRET}\' as """"',
    f"select 1-/* ' */-1, '{SECRET}' --",
    rf"select '\\', '{SECRET}', '\\'",
    f"do $do$ begin perform '{SECRET}', $x${SECRET}$x$; end $do$",
    f"create temporary table t (a text default '{SECRET}')",
    f"prepare p (text) as select $1 || '{SECRET}'; execute p('{SECRET}'); deallocate p",
    f"set application_name to {SECRET}",
    f"set local my.x = {SECRET}; reset my.x",
    f"notify channel, '{SECRET}'",
    f"copy (select '{SECRET}') to program 'cat >/dev/null; : {SECRET}'",
    f"create role some_one password '{SECRET}'; drop role some_one",
    f"alter role web set my.x to {SECRET}; alter role web reset my.x",
]
CONFORMING = [
    rf"select 'a\', '{SECRET}', 'b\'",
    rf"select 'a\''{SECRET}'",
    rf"select U&'a\' uescape '!', U&'!0061{SECRET}' uescape '!'",
    f"select 'a\\'\n'{SECRET}'",
]
NOT_CONFORMING = [
    rf"select 'a\'{SECRET}', '\\\'{SECRET}'",
    rf"select 'a\' || {SECRET} || \'b'",
    rf"select N'a\' {SECRET}'",
    f"select 'a'\n'\\' {SECRET}'",
]


async def query_seen(admin: asyncpg.Connection, connection: asyncpg.Connection) -> str:
    query = await admin.fetchval(
        "select query from pg_stat_activity where pid = $1", connection.get_server_pid()
    )
    return str(query)


@pytest.mark.parametrize(
    ("conforming", "statement"),
    [("on", statement) for statement in EITHER_WAY + CONFORMING]
    + [("off", statement) for statement in EITHER_WAY + NOT_CONFORMING],
)
async def test_no_secret_remains_of_executed_statements(admin, sessions, conforming, statement):
    connection = await sessions.open(
        user="postgres",
        standard_conforming_strings=conforming,
        escape_string_warning="off",
    )
    await connection.execute(statement)
    assert await query_seen(admin, connection) == statement
    assert SECRET not in str(redact(statement))


async def test_no_secret_remains_of_truncated_statements(admin, sessions):
    size = await admin.fetchval(
        "select setting::int from pg_settings where name = 'track_activity_query_size'"
    )
    connection = await sessions.open(user="postgres")
    for spaces in range(len(SECRET) + 4):
        before = "select 'é'," + " " * (size - 30 + spaces)
        await connection.execute(f"{before}'it''s {SECRET} {SECRET}'")
        seen = await query_seen(admin, connection)
        assert len(seen.encode()) < size
        assert redact(seen) == "select ?, ?"


@pytest.mark.parametrize(
    "statement",
    [
        f"select 1a '{SECRET}'",
        rf"select 'a\' {SECRET} '",
        f"select $a$ {SECRET} $b$",
        f"select U&'\\zz{SECRET}'",
        f"set my.x {SECRET}",
        f"alter role web password {SECRET}",
    ],
)
async def test_no_secret_remains_of_refused_statements(admin, sessions, statement):
    connection = await sessions.open(user="postgres")
    with pytest.raises(asyncpg.PostgresSyntaxError):
        await connection.execute(statement)
    assert await query_seen(admin, connection) == statement
    assert SECRET not in str(redact(statement))
