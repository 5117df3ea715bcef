"""Databases in several encodings: the bot's own, and those of the sessions that it sees."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta

import asyncpg
import pytest

from bot import driver, pg_url
from bot.check.facts import Answer, Untold
from bot.domain.blocking import Locks
from bot.domain.filters import OidIn, TextLike
from bot.domain.kept_names import of_applications
from bot.domain.kills import Action, Basis
from bot.domain.sessions import Backend, Look
from bot.domain.signals import Guard, Verdict
from bot.errors import LedgerError, NotSent
from bot.ledger.probe import probe as probe_ledger
from bot.ledger.sql import SqlLedger
from bot.postgres import queries
from bot.postgres.bounded import BOUNDS
from bot.postgres.cluster import PostgresCluster
from bot.postgres.probe import probe
from tests.proxy import Proxy
from tests.raw import Raw
from tests.servers import postgres
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer

pytestmark = pytest.mark.sql

BOT = "sessions_bot"
ENCODINGS = ("UTF8", "LATIN1", "WIN1251", "SQL_ASCII", "EUC_JP")

SAID = {
    "UTF8": "naïve Привет 日本語",
    "LATIN1": "naïve café",
    "WIN1251": "Привет",
    "EUC_JP": "日本語",
}
"""What a session sends, in its own database's encoding."""

FOREIGN = b"select pg_sleep(600) /* */ as \"caf\xe9 it''s \\\x98 \xe2\x82\""
"""In SQL_ASCII, which accepts any bytes: LATIN1, invalid ones, and a truncated character."""

FOREIGN_READ = r'''select pg_sleep(600) /* */ as "caf\xe9 it''s \\x98 \xe2\x82"'''


@dataclass
class Babel:
    """A server on which each session uses another encoding."""

    server: PostgresServer
    sessions: dict[str, Raw]


@pytest.fixture(scope="module")
async def babel() -> AsyncIterator[Babel]:
    async with postgres(settings={"max_prepared_transactions": 5}) as server, AsyncExitStack() as s:
        admin = await asyncpg.connect(server.dsn())
        await admin.execute(f"create role {BOT} login")
        await admin.execute(f"grant pg_read_all_stats, pg_signal_backend to {BOT}")
        for encoding in ENCODINGS:
            await admin.execute(
                f"create database in_{encoding.lower()} encoding '{encoding}'"
                " template template0 locale 'C'"
            )
        await admin.close()

        async def session(encoding: str, user: bytes = b"postgres", app: bytes = b"raw") -> Raw:
            raw = await Raw.open(server, user, f"in_{encoding}".lower().encode(), app)
            s.callback(raw.close)
            return raw

        setup = await session("sql_ascii")
        await setup.run(b'create role "caf\xe9" login')
        await setup.run(b'create role "b\xd0\xb8\xd0\xb3" login')
        await setup.run(
            b"create database \"base \xe9\" encoding UTF8 template template0 locale 'C'"
        )
        await setup.run(
            b"create table t (id int); insert into t values (1); grant all on t to public"
        )
        await setup.run(b"begin; update t set id = 2; prepare transaction 'gid \xe9'")

        sessions = {encoding: await session(encoding) for encoding in ENCODINGS}
        for encoding, said in SAID.items():
            codec = {"WIN1251": "cp1251"}.get(encoding, encoding)
            sessions[encoding].say(f'select pg_sleep(600) as "{said}"'.encode(codec))
        sessions["SQL_ASCII"].say(FOREIGN)
        # `query` ends after 1023 bytes, here in the middle of a character.
        sessions["cut UTF8"] = await session("utf8")
        sessions["cut UTF8"].say(f"select pg_sleep(600) {'é' * 2000}".encode())
        sessions["cut EUC_JP"] = await session("euc_jp")
        sessions["cut EUC_JP"].say(f"select pg_sleep(600) /*{'語' * 2000}*/".encode("euc_jp"))
        sessions["waits"] = await session("sql_ascii", b"caf\xe9")
        sessions["waits"].say(b"update t set id = 3")
        sessions["app"] = await session("utf8", b"b\xd0\xb8\xd0\xb3", "Rückmeldung".encode())
        yield Babel(server, sessions)
        sessions["waits"].close()
        await setup.run(b"rollback prepared 'gid \xe9'")


@pytest.fixture(params=ENCODINGS)
async def own(request: pytest.FixtureRequest) -> str:
    """The encoding of the bot's own database."""
    return str(request.param)


@pytest.fixture
async def cluster(babel: Babel, own: str) -> AsyncIterator[PostgresCluster]:
    dsn = babel.server.dsn(user=BOT, database=f"in_{own}".lower())
    cluster = PostgresCluster("main", dsn, "db-1.internal")
    await cluster.open()
    yield cluster
    await cluster.close()


async def look(cluster: PostgresCluster) -> Look:
    return await cluster.look((), names=await cluster.names(), strict=True, limit=1000)


def found(seen: Look, encoding: str, of: str) -> Backend:
    return next(
        row
        for row in seen.rows
        if row.datname == f"in_{encoding}".lower() and of in (row.query or "")
    )


@pytest.mark.smoke
async def test_every_query_is_read_in_the_encoding_of_its_database(
    cluster: PostgresCluster,
) -> None:
    seen = await look(cluster)
    for encoding, said in SAID.items():
        assert found(seen, encoding, said).query == f'select pg_sleep(600) as "{said}"'
    assert found(seen, "SQL_ASCII", "caf").query == FOREIGN_READ
    assert found(seen, "UTF8", "éé").query == f"select pg_sleep(600) {'é' * 501}"
    assert found(seen, "EUC_JP", "語語").query == f"select pg_sleep(600) /*{'語' * 500}"


async def test_names_of_roles_and_databases_in_any_encoding_are_shown(
    cluster: PostgresCluster,
) -> None:
    """The same results, whichever database the URL names."""
    names = await cluster.names()
    assert {r"caf\xe9", "bиг"} <= {role.rolname for role in names.roles.values()}
    assert {r"base \xe9", "in_utf8"} <= {each.datname for each in names.databases.values()}


async def test_blocking_prepared_transaction_is_named(cluster: PostgresCluster) -> None:
    async with asyncio.timeout(PATIENCE):
        locks = Locks()
        while not locks.prepared:
            locks = await cluster.locks(await cluster.names())
    assert [one.gid for one in locks.prepared.values()] == [r"gid \xe9"]


async def test_a_filter_and_a_protection_may_have_any_character(cluster: PostgresCluster) -> None:
    """PostgreSQL keeps application_name in ASCII, whatever its client sends."""
    names = await cluster.names()
    for parts in (("Ω",), ("Rück", ""), ("\0",), ("日本語", "語")):
        condition = TextLike("application_name", parts)
        assert (await cluster.look((condition,), names=names)).counts.total == 0
    anybody = await cluster.look((TextLike("application_name", ("Ω",), True),), names=names)
    assert anybody.counts.total > 0


async def guard(cluster: PostgresCluster, shown: Backend, own: Look) -> Guard:
    assert shown.id is not None
    return Guard(
        server=own.server.id,
        target=shown.id,
        action=Action.TERMINATE,
        basis=Basis.FILTER,
        xact_start=None,
        backend_xid=None,
        virtualtransaction=None,
        query_start=None,
        conditions=(OidIn("usesysid", (shown.usesysid or 0,)), TextLike("state", ("Ω",), True)),
        cost=None,
        protected_roles=frozenset(),
        protected_applications=of_applications((("Ω",), ("語", ""))),
        deadline=own.server.now + timedelta(seconds=5),
    )


async def test_session_is_ended_whatever_text_it_and_others_send(
    babel: Babel, cluster: PostgresCluster, own: str
) -> None:
    victim = await Raw.open(babel.server, b"caf\xe9", b"in_" + own.lower().encode(), b"victim")
    seen = await look(cluster)
    shown = next(row for row in seen.rows if row.application_name == "victim")

    reply = await cluster.signal(await guard(cluster, shown, seen))

    assert reply.verdict is Verdict.SIGNALLED
    assert await victim.closed()
    victim.close()


async def test_postgresqls_reason_for_a_refusal_is_shown(
    cluster: PostgresCluster,
) -> None:
    seen = await look(cluster)
    superuser = found(seen, "UTF8", "naïve")
    reply = await cluster.signal(await guard(cluster, superuser, seen))
    assert reply.verdict is Verdict.NOT_PERMITTED
    assert "SUPERUSER" in reply.detail.upper()


async def test_check_runs_what_the_bot_runs(babel: Babel, own: str) -> None:
    dsn = babel.server.dsn(user=BOT, database=f"in_{own}".lower())
    facts = await probe("main", dsn)
    assert isinstance(facts.answer, Answer), facts.answer
    assert facts.answer.roles is not None
    assert "bиг" in facts.answer.roles


async def test_check_finds_a_statement_that_the_server_refuses(
    babel: Babel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        queries,
        "get",
        lambda name, get=queries.get: (
            "select nothing_of_the_kind" if name == "sight" else get(name)
        ),
    )
    facts = await probe("main", babel.server.dsn(user=BOT, database="in_latin1"))
    assert facts.answer == Untold("it refused a statement (SQLSTATE 42703)")


# --- the server's own messages ------------------------------------------------------


async def test_error_that_is_not_utf8_keeps_its_sqlstate(babel: Babel) -> None:
    """In SQL_ASCII the server passes on the bytes that it was given."""
    url = pg_url.read(babel.server.dsn(user=BOT, database="in_sql_ascii"))
    connection = await driver.connect(
        url.arguments(), BOUNDS, connection_class=driver.PinnedConnection, timeout=5
    )
    async with asyncio.timeout(PATIENCE):
        for statement in (r"select E'caf\xe9'::int", r"select (E'caf\xe9' || $1)::int"):
            with pytest.raises(asyncpg.InvalidTextRepresentationError) as refused:
                await connection.fetch(statement, *(["1"] if "$1" in statement else []))
            assert r"caf\xe9" in str(refused.value)
        assert await connection.fetchval("select 1") == 1
    await connection.close()


@pytest.fixture(scope="module")
async def strict() -> AsyncIterator[PostgresServer]:
    async with postgres(auth="scram-sha-256", password="right") as server:
        yield server


@pytest.mark.parametrize(
    ("words", "password", "database", "cluster_says", "ledger_says"),
    [
        (
            (b"password authentication", b"Pa\xdfwort-Authentifizie.."),
            "wrong",
            "postgres",
            "it refuses the bot's login",
            "refuses the bot's login",
        ),
        (
            (b"does not exist", b"gibt es n\xf6cht."),
            "right",
            "nowhere",
            "the database that its URL names does not exist there",
            "the ledger's database does not exist",
        ),
    ],
)
async def test_refusal_that_is_not_utf8_is_recognized(
    strict: PostgresServer,
    words: tuple[bytes, bytes],
    password: str,
    database: str,
    cluster_says: str,
    ledger_says: str,
) -> None:
    assert len(words[0]) == len(words[1])
    async with Proxy(strict) as proxy:
        proxy.words = words
        dsn = proxy.dsn(user="postgres", password=password, database=database)
        answer = (await probe("main", dsn)).answer
        assert isinstance(answer, Untold)
        assert answer.problem.startswith(cluster_says)
        cluster = PostgresCluster("main", dsn, "db-1.internal")
        await cluster.open()
        with pytest.raises(NotSent, match=cluster_says):
            await cluster.names()
        await cluster.close()
        with pytest.raises(LedgerError, match=ledger_says):
            await SqlLedger(dsn).open()


async def test_a_ledger_in_an_encoding_that_lacks_characters_is_refused(babel: Babel) -> None:
    for encoding in ("latin1", "win1251", "euc_jp"):
        dsn = babel.server.dsn(database=f"in_{encoding}")
        facts = await probe_ledger(dsn)
        assert facts.problem is not None
        assert f"is in {encoding.upper()}" in facts.problem
        with pytest.raises(LedgerError, match="give the ledger a database in UTF8"):
            await SqlLedger(dsn).open()
