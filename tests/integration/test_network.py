"""A network in trouble, and servers behind it that come and go: what is said, what goes on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from bot.answers import Preview
from bot.errors import ClusterError
from bot.grammar import KillRequest, parse_kill
from bot.kills import Actor, Conclusion, Outcome
from bot.ledger.sql import SqlLedger
from bot.operations import Operations, Rules
from bot.postgres.cluster import PostgresCluster
from tests.integration.conftest import BOT, Sessions
from tests.integration.test_kills import QuickClock, lives
from tests.proxy import Proxy
from workspace.postgres import PostgresServer

ANA = Actor("UANA", "T1")
CHANNEL = "C1"
PATIENCE = 30.0
SIGNAL = b"pg_terminate_backend"


@dataclass
class Scene:
    """A cluster `main` behind a proxy, one `prod` beside it, and a session to be ended."""

    server: PostgresServer
    proxy: Proxy
    main: PostgresCluster
    ops: Operations
    victim: asyncpg.Connection

    async def preview(self) -> Preview:
        request = parse_kill("main/ app=victim")
        assert isinstance(request, KillRequest)
        shown = await self.ops.propose(ANA, CHANNEL, request)
        assert isinstance(shown, Preview), shown
        return shown

    async def confirm(self, shown: Preview) -> Conclusion:
        done = await self.ops.confirm(ANA, CHANNEL, shown.proposal.id)
        assert isinstance(done, Conclusion), done
        return done

    async def recovers(self) -> None:
        """Wait until the cluster answers by itself, and holds all of its connections."""
        async with asyncio.timeout(PATIENCE):
            while True:
                with suppress(ClusterError):
                    await self.main.names()
                    if self.main.connections == (4, 4):
                        return
                await asyncio.sleep(0.02)


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[SqlLedger]:
    ledger = SqlLedger(f"sqlite:///{tmp_path / 'ledger.db'}")
    await ledger.open()
    yield ledger
    await ledger.close()


@pytest.fixture
async def scene(
    pg: PostgresServer, cluster: PostgresCluster, ledger: SqlLedger, sessions: Sessions
) -> AsyncIterator[Scene]:
    async with Proxy(pg) as proxy:
        main = PostgresCluster("main", proxy.dsn(user=BOT), "db-1.internal")
        await main.open()
        clusters = {"main": main, "prod": cluster}
        ops = Operations(clusters, ledger, QuickClock(), rules=Rules(), owner="me")
        yield Scene(pg, proxy, main, ops, await sessions.open("batch", app="victim"))
        await main.close()


@pytest.mark.parametrize("arrives", [False, True])
async def test_a_signal_whose_reply_is_lost_with_its_connection_is_unknown(
    scene: Scene, arrives: bool
) -> None:
    """Whether the statement reached the server can't be known here: nothing else is said."""
    shown = await scene.preview()
    hold = scene.proxy.hold(b"signalled" if arrives else SIGNAL, answer=arrives)
    work = asyncio.ensure_future(scene.confirm(shown))
    await hold.reached()
    scene.proxy.cut()

    conclusion = await work

    assert conclusion.counts == {Outcome.UNKNOWN: 1}
    assert "the connection was lost" in conclusion.results[0].detail
    amended = await scene.ops.follow_up(conclusion)
    assert amended is not None
    assert amended.results[0].outcome is Outcome.UNKNOWN
    assert ("gone now" if arrives else "still there") in amended.results[0].detail
    assert await lives(scene.victim) is not arrives
