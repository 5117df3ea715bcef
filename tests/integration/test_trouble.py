"""A server that is full, gone, silent, stopped or refuses: what is said, and what goes on."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from bot.domain.kills import Actor, Conclusion, Outcome
from bot.domain.sessions import Database, Look, Names, ServerId
from bot.driver import APPLICATION_NAME
from bot.errors import ClusterError, ClusterRefused, ClusterTimeout, TargetError
from bot.grammar.parser import parse_kill, parse_sessions
from bot.grammar.requests import KillRequest, SessionsRequest, WhyRequest
from bot.grammar.requests import Target as Named
from bot.grammar.terms import Field, Match, Pattern
from bot.ledger.sql import SqlLedger
from bot.operations import Operations, Rules, clusters
from bot.operations.results import Choice, Overview, Preview
from bot.operations.results import Sessions as Shown
from bot.postgres.cluster import PostgresCluster
from tests.integration.conftest import BOT, Sessions
from tests.integration.kills import QuickClock
from tests.rights import EVERYWHERE
from tests.servers import postgres
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer

ANA = Actor("UANA", "T1")


@pytest.fixture
async def own(pg: PostgresServer, at_rest: None) -> AsyncIterator[PostgresCluster]:
    cluster = PostgresCluster("main", pg.dsn(user=BOT), "db-1.internal")
    await cluster.open()
    yield cluster
    await cluster.close()


async def answers(cluster: PostgresCluster) -> None:
    """Wait until the cluster answers by itself."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(ClusterError):
                await cluster.names()
                return
            await asyncio.sleep(0.05)


@pytest.mark.smoke
async def test_with_every_slot_taken_both_commands_work(tmp_path: Path) -> None:
    """Forty sessions die on a server that would let nobody in, not even superusers."""
    async with postgres(settings={"max_connections": 50}) as full:
        admin = await asyncpg.connect(full.dsn())
        await admin.execute(f"create role {BOT} login")
        await admin.execute(f"grant pg_read_all_stats, pg_signal_backend to {BOT}")
        await admin.execute("create role web login")
        cluster = PostgresCluster("main", full.dsn(user=BOT), "db-1.internal")
        await cluster.open()
        async with asyncio.timeout(PATIENCE):  # a busy machine may need longer than the bot waits
            while cluster.connections != (4, 4):
                await asyncio.sleep(0.05)
        ledger = SqlLedger(f"sqlite:///{tmp_path / 'ledger.db'}")
        await ledger.open()
        crowd = [await asyncpg.connect(full.dsn(user="web")) for _ in range(40)]
        with suppress(asyncpg.TooManyConnectionsError):
            while True:
                crowd.append(await asyncpg.connect(full.dsn()))
        with pytest.raises(asyncpg.TooManyConnectionsError):
            await asyncpg.connect(full.dsn())
        ops = Operations(
            {"main": cluster}, ledger, QuickClock(), rules=Rules(), owner="me", reach=EVERYWHERE
        )
        try:
            shown = await ops.look(ANA, "C1", SessionsRequest())
            assert not isinstance(shown, Overview)
            request = parse_kill("user=web")
            assert isinstance(request, KillRequest)
            preview = await ops.propose(ANA, "C1", request)
            assert isinstance(preview, Preview)
            done = await ops.confirm(ANA, "C1", preview.proposal.key)
            assert isinstance(done, Conclusion)
            assert done.counts == {Outcome.TERMINATED: 40}
        finally:
            for connection in (*crowd, admin):
                connection.terminate()
            await ledger.close()
            await cluster.close()


async def test_connections_are_made_anew_after_they_are_cut(
    own: PostgresCluster, admin: asyncpg.Connection
) -> None:
    assert own.connections == (4, 4)
    await admin.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where usename = $1 and application_name = $2",
        BOT,
        APPLICATION_NAME,
    )
    await answers(own)
    async with asyncio.timeout(PATIENCE):
        while own.connections != (4, 4):
            await asyncio.sleep(0.05)


async def test_stopped_server_is_reported_and_works_again_later(
    own: PostgresCluster, admin: asyncpg.Connection
) -> None:
    rows = await admin.fetch(
        "select pid from pg_stat_activity where usename = $1 and application_name = $2",
        BOT,
        APPLICATION_NAME,
    )
    for row in rows:
        os.kill(row["pid"], signal.SIGSTOP)
    try:
        with pytest.raises(ClusterTimeout, match="did not answer in time"):
            await own.names()
    finally:
        for row in rows:
            os.kill(row["pid"], signal.SIGCONT)
    await answers(own)


@pytest.fixture
async def silent() -> AsyncIterator[PostgresCluster]:
    """A cluster whose server accepts and never answers."""
    connections: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: connections.append(writer), "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    prod = PostgresCluster("prod", f"postgresql://bot@127.0.0.1:{port}/postgres", "db-2.internal")
    opening = asyncio.ensure_future(prod.open())
    yield prod
    await opening
    await prod.close()
    server.close()
    for writer in connections:
        writer.close()


@pytest.fixture
async def both(
    own: PostgresCluster, silent: PostgresCluster, tmp_path: Path
) -> AsyncIterator[Operations]:
    """Operations on a cluster that answers and one that doesn't."""
    ledger = SqlLedger(f"sqlite:///{tmp_path / 'ledger.db'}")
    await ledger.open()
    clusters = {"main": own, "prod": silent}
    operations = Operations(
        clusters, ledger, QuickClock(), rules=Rules(), owner="me", reach=EVERYWHERE
    )
    yield operations
    await operations.settle()
    await ledger.close()


async def test_silent_server_does_not_affect_the_others(
    both: Operations,
) -> None:
    answer = await both.look(ANA, "C1", SessionsRequest())
    assert isinstance(answer, Overview)
    main, other = answer.cards
    assert main.look is not None
    assert other.trouble is not None


async def test_database_is_found_although_another_cluster_is_silent(
    both: Operations,
) -> None:
    answer = await both.look(ANA, "C1", SessionsRequest(target=Named(database="some_db")))
    assert isinstance(answer, Choice)
    assert [request.target for request in answer.requests] == [Named("main", "some_db")]
    assert [trouble.cluster for trouble in answer.troubles] == ["prod"]


async def test_a_cluster_that_had_no_such_database_is_not_waited_for(
    both: Operations, silent: PostgresCluster
) -> None:
    """What it last said about its databases counts while it is silent."""
    at = datetime.now(UTC)
    silent.last_names = Names({}, {5: Database(5, "postgres", -1)}, at, ServerId(1, at))
    answer = await both.look(ANA, "C1", SessionsRequest(target=Named(database="some_db")))
    assert isinstance(answer, Shown)
    assert answer.cluster == "main"

    silent.last_names = Names({}, {5: Database(5, "some_db", -1)}, at, ServerId(1, at))
    answer = await both.look(ANA, "C1", SessionsRequest(target=Named(database="some_db")))
    assert isinstance(answer, Choice)


async def test_silence_of_all_clusters_is_reported(
    both: Operations, silent: PostgresCluster
) -> None:
    """The only cluster is silent, and had no such database when it last answered."""
    at = datetime.now(UTC)
    silent.last_names = Names({}, {5: Database(5, "postgres", -1)}, at, ServerId(1, at))
    both.clusters.by_name = {"prod": silent}
    with pytest.raises(ClusterError):
        await both.look(ANA, "C1", SessionsRequest(target=Named(database="some_db")))


async def test_typo_is_reported_although_a_cluster_is_silent(
    both: Operations,
) -> None:
    with pytest.raises(TargetError, match="no such database on main; no answer from prod") as slip:
        await both.look(ANA, "C1", SessionsRequest(target=Named(database="Some_bd")))
    assert slip.value.nearest == ("some_db",)
    with pytest.raises(TargetError) as slip:
        await both.look(ANA, "C1", SessionsRequest(target=Named(database="mian")))
    assert slip.value.nearest == ("main/",)
    with pytest.raises(TargetError) as slip:
        await both.look(ANA, "C1", SessionsRequest(target=Named(database="blocekd")))
    assert slip.value.nearest == ("blocked",)


async def test_typos_are_reported_although_a_cluster_is_silent_by_why_and_kill(
    both: Operations,
) -> None:
    """What was asked of all clusters is told of those that answered."""
    nobody = WhyRequest(target=Named(), terms=(Match(Field.USENAME, Pattern(("wbe",))),))
    with pytest.raises(TargetError, match="no such role on main; no answer from prod") as slip:
        await both.why(ANA, "C1", nobody)
    assert slip.value.nearest == ("web",)
    gone = "no such session on main; no answer from prod"
    with pytest.raises(TargetError, match=f"^99999999: {gone}"):
        await both.why(ANA, "C1", WhyRequest(target=Named(), pid=99999999))
    with pytest.raises(TargetError, match=f"^99999999: {gone}"):
        await both.propose(ANA, "C1", KillRequest(pids=(99999999,), reason="slow"))
    nothing = parse_kill("xact>9d")
    assert isinstance(nothing, KillRequest)
    with pytest.raises(TargetError, match="no session matches on main; no answer from prod"):
        await both.propose(ANA, "C1", nothing)


async def test_name_missing_on_some_clusters_leaves_none_out(
    own: PostgresCluster, silent: PostgresCluster, both: Operations
) -> None:
    async with postgres() as other:
        prod = PostgresCluster("prod", other.dsn(), "db-2.internal")
        await prod.open()
        both.clusters.by_name = {"main": own, "prod": prod}
        try:
            request = parse_sessions("user=some_user")
            assert isinstance(request, SessionsRequest)
            answer = await both.look(ANA, "C1", request)
            assert isinstance(answer, Overview)
            assert answer.cards[0].look is not None
            assert isinstance(answer.cards[1].trouble, TargetError)
            with pytest.raises(TargetError, match="no such role"):
                await both.look(ANA, "C1", replace(request, terms=(unknown_role(),)))
        finally:
            await prod.close()


def unknown_role() -> Match:
    return Match(Field.USENAME, Pattern(("nobody at all",)))


async def test_a_pid_is_found_on_the_cluster_that_has_it(
    own: PostgresCluster, both: Operations, sessions: Sessions
) -> None:
    session = await sessions.open()
    request = SessionsRequest(pids=(session.get_server_pid(),))
    answer = await both.look(ANA, "C1", request)
    assert isinstance(answer, Choice)  # the other may have it too, but doesn't say
    assert [each.target for each in answer.requests] == [Named("main")]
    assert answer.about["main"].host == "db-1.internal"

    async with postgres() as other:
        prod = PostgresCluster("prod", other.dsn(), "db-2.internal")
        await prod.open()
        both.clusters.by_name = {"main": own, "prod": prod}
        try:
            answer = await both.look(ANA, "C1", request)
            assert isinstance(answer, Shown)
            assert [row.pid for row in answer.look.rows] == [session.get_server_pid()]
            nobody = await both.look(ANA, "C1", SessionsRequest(pids=(2**31 - 1,)))
            assert isinstance(nobody, Overview)
        finally:
            await prod.close()


async def test_a_cluster_named_like_a_database_may_be_meant(
    own: PostgresCluster, both: Operations
) -> None:
    both.clusters.by_name = {"some_db": own}
    answer = await both.look(ANA, "C1", SessionsRequest(target=Named(database="some_db")))
    assert isinstance(answer, Choice)
    assert [each.target for each in answer.requests] == [
        Named("main", "some_db"),
        Named("some_db"),
    ]


async def test_name_hidden_by_a_lock_is_not_reported_missing(
    own: PostgresCluster, pg: PostgresServer
) -> None:
    """The bot has never read them, so it can't know."""
    own.last_names = None
    ops = Operations(
        {"main": own}, Unused(), QuickClock(), rules=Rules(), owner="me", reach=EVERYWHERE
    )
    ddl = await asyncpg.connect(pg.dsn())
    try:
        await ddl.execute("begin; lock table pg_database, pg_authid in access exclusive mode")
        for text in ("some_db", "main/some_db", "main/ user=web"):
            request = parse_sessions(text)
            assert isinstance(request, SessionsRequest)
            with pytest.raises(ClusterRefused, match="lock on a catalog hides the names"):
                await ops.look(ANA, "C1", request)
    finally:
        ddl.terminate()


class Unused(SqlLedger):
    """A ledger that must not be used."""

    def __init__(self) -> None:
        super().__init__("sqlite:///never-opened.db")


async def test_answer_never_waits_too_long_for_a_hanging_cluster(
    both: Operations, own: PostgresCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The names come late and the look never: the time limits must not add up."""
    monkeypatch.setattr(clusters, "ANSWER_WITHIN", 0.2)

    async def for_ever(*_: object, **__: object) -> Look:
        return await asyncio.Future()

    monkeypatch.setattr(own, "look", for_ever)
    with pytest.raises(ClusterTimeout, match="did not answer within 5 s"):
        await both.look(ANA, "C1", SessionsRequest(target=Named("main")))


async def test_refused_password_is_reported_without_showing_it() -> None:
    async with postgres(auth="scram-sha-256", password="right") as strict:
        dsn = f"postgresql://postgres:guessed@{strict.host}:{strict.port}/postgres"
        cluster = PostgresCluster("main", dsn, "db-1.internal")
        await cluster.open()
        try:
            with pytest.raises(ClusterError, match="its password is wrong") as refused:
                await cluster.names()
            assert "guessed" not in str(refused.value)
        finally:
            await cluster.close()


async def test_a_cluster_that_is_restarted_is_found_again(sessions: Sessions) -> None:
    async with postgres() as server:
        cluster = PostgresCluster("main", server.dsn(), "db-1.internal")
        await cluster.open()
        try:
            await cluster.names()
            await server.restart()
            await answers(cluster)
        finally:
            await cluster.close()
