"""Clients that hold a slot and have not logged in: counted and shown, on every version."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from bot.check.facts import Answer
from bot.domain.findings.diagnosis import diagnose
from bot.domain.findings.model import Question, Rule
from bot.domain.sessions import Limit, LimitOf
from bot.grammar.parser import read_sessions
from bot.grammar.requests import SessionsRequest
from bot.ledger.sql import SqlLedger
from bot.operations import Operations, Rules
from bot.operations.results import Overview, Preview
from bot.operations.results import Sessions as Shown
from bot.postgres.cluster import PostgresCluster
from bot.postgres.probe import probe
from bot.slack.views import overview as overview_view
from bot.slack.views import preview as preview_view
from bot.slack.views import sessions as sessions_view
from tests.integration.conftest import BOT, everybody_left
from tests.integration.kills import ANA, CHANNEL, QuickClock, confirm, preview
from tests.rights import EVERYWHERE, rights
from tests.servers import MAJOR, postgres
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer

pytestmark = pytest.mark.sql

SECRET = "s3cret"
SLOTS = 17
"""What ordinary roles may use of 20: three are reserved for superusers."""

PROTOCOL = 3 << 16


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[PostgresServer]:
    async with postgres(auth="scram-sha-256", settings={"max_connections": SLOTS + 3}) as running:
        admin = await asyncpg.connect(running.dsn())
        for role in (BOT, "web"):
            await admin.execute(f"create role {role} login password '{SECRET}'")
        await admin.execute(f"grant pg_read_all_stats, pg_signal_backend to {BOT}")
        await admin.close()
        yield running


@pytest.fixture
async def at_rest(server: PostgresServer) -> None:
    """Begin without those who logged in, or didn't, in another test."""
    await everybody_left(server)


@pytest.fixture
async def ops(server: PostgresServer, tmp_path: Path, at_rest: None) -> AsyncIterator[Operations]:
    ledger = SqlLedger(f"sqlite:///{tmp_path}/ledger.db")
    await ledger.open()
    cluster = PostgresCluster("main", server.dsn(user=BOT, password=SECRET), "db-1.internal")
    await cluster.open()
    operations = Operations(
        {"main": cluster}, ledger, QuickClock(), rules=Rules(), owner="me", reach=EVERYWHERE
    )
    yield operations
    await operations.settle()
    await cluster.close()
    await ledger.close()


@asynccontextmanager
async def logging_in(server: PostgresServer, number: int, **startup: str) -> AsyncIterator[None]:
    """Clients that sent a startup packet, were asked for a password, and stay silent."""
    pairs = {"user": "web", "database": "postgres", **startup}
    body = b"".join(f"{key}\0{value}\0".encode() for key, value in pairs.items()) + b"\0"
    async with AsyncExitStack() as stack:
        for _ in range(number):
            reader, writer = await asyncio.open_connection(server.host, server.port)
            stack.callback(writer.close)
            writer.write(struct.pack("!ii", 8 + len(body), PROTOCOL) + body)
            assert await reader.read(1) == b"R"  # an authentication request
        yield


async def look(ops: Operations, text: str = "") -> Shown:
    request = read_sessions(text)
    assert isinstance(request, SessionsRequest)
    answer = await ops.look(ANA, CHANNEL, request, afresh=True)
    assert isinstance(answer, Shown)
    return answer


async def test_sample_counts_them_too(server: PostgresServer, at_rest: None) -> None:
    url = server.dsn(user=BOT, password=SECRET)
    cluster = PostgresCluster("main", url, "db-1.internal", sampled=True)
    await cluster.open()
    try:
        until = asyncio.get_running_loop().time() + PATIENCE
        async with logging_in(server, SLOTS - 5):
            survey, _ = await cluster.sample(until=until, idle_for=Rules().patience.idle)
            assert survey.server.ordinary == Limit(
                "connections", 5, SLOTS, LimitOf.SERVER, SLOTS - 5
            )
            found = diagnose(survey, Question()).findings
            assert [finding.rule for finding in found] == [Rule.SERVER_FULL]
            again, _ = await cluster.sample(until=until, idle_for=Rules().patience.idle)
            assert again.server.ordinary == survey.server.ordinary
    finally:
        await cluster.close()


@pytest.mark.smoke
async def test_logins_that_fill_the_server_are_shown(
    server: PostgresServer, ops: Operations
) -> None:
    async with logging_in(server, 14):
        found = await look(ops)
        there = found.look.server
        assert there.logging_in == 14
        assert there.client_backends == 4  # the bot's own
        assert there.ordinary == Limit("connections", 4, SLOTS, LimitOf.SERVER, 14)
        assert there.ordinary.reached
        with pytest.raises(asyncpg.TooManyConnectionsError):
            await asyncpg.connect(server.dsn(user="web", password=SECRET))

        seen = str(sessions_view.sessions(found))
        assert "4 of 17 and 14 logging in: full, new logins fail" in seen
        assert "set aside: 3 for superusers, 1 of them in use" in seen
        if MAJOR >= 18:
            assert "the bot's own 4 left out" in seen
            assert "14 sessions: 14 starting" in seen
            assert "logging in for" in seen
            assert "oldest transaction" not in seen
            assert {row.state for row in found.look.rows} == {"starting"}
            assert {row.state for row in (await look(ops, "state=starting")).look.rows} == {
                "starting"
            }
        else:
            assert "0 sessions" in seen
            assert "no session matches except the bot's own 4" in seen
    await everybody_left(server)
    left = (await look(ops)).look.server.ordinary
    assert left == Limit("connections", 4, SLOTS, LimitOf.SERVER)


async def test_gain_of_a_kill_counts_logins(server: PostgresServer, ops: Operations) -> None:
    victim = await asyncpg.connect(server.dsn(user="web", password=SECRET))
    try:
        async with logging_in(server, 12):
            shown = await preview(ops, f"{victim.get_server_pid()}")
            assert isinstance(shown, Preview)
            seen = str(preview_view.preview(shown, rights=rights({})))
            assert "connections 5 → 4 of 17 and 12 logging in" in seen
            by_address = await preview(ops, "client=127.0.0.1")
            assert [target.id.pid for target in by_address.proposal.targets] == [
                victim.get_server_pid()
            ]
            conclusion = await confirm(ops, shown)
            before, after = conclusion.limits[-1]
            assert (before.used, after.used, after.limit) == (5, 4, SLOTS)
    finally:
        victim.terminate()


async def test_overview_shows_logins(server: PostgresServer, ops: Operations) -> None:
    other = PostgresCluster("prod", "postgresql://bot@127.0.0.1:1/postgres", "db-2.internal")
    ops.clusters.by_name = {**ops.clusters.by_name, "prod": other}
    async with logging_in(server, 3):
        answer = await ops.look(ANA, CHANNEL, SessionsRequest())
        assert isinstance(answer, Overview)
        assert "4 of 17 and 3 logging in" in str(overview_view.overview(answer))
    await other.close()


async def probed(server: PostgresServer):
    facts = await probe("main", server.dsn(user=BOT, password=SECRET))
    assert isinstance(facts.answer, Answer)
    assert facts.answer.slots is not None
    return facts.answer.slots


async def test_check_counts_logins(server: PostgresServer, at_rest: None) -> None:
    async with logging_in(server, 5):
        slots = await probed(server)
        assert (slots.logging_in, slots.taken) == (5, slots.used + 5)


@pytest.mark.skipif(MAJOR < 18, reason="PostgreSQL tells a walsender from a client since 18")
async def test_standby_logging_in_takes_no_such_slot(
    server: PostgresServer, ops: Operations
) -> None:
    async with logging_in(server, 2, replication="true"):
        found = (await look(ops)).look
        assert found.server.logging_in == 0
        assert found.server.client_backends == 4
