"""An address that leads to another server while connections to the first one still exist.

Both servers have a role with the same oid, `cron` and `payroll`, and payroll is protected.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest

from bot.domain.kills import Actor, Conclusion, Outcome
from bot.domain.sessions import SpareReason
from bot.errors import ClusterError, TwoServers
from bot.grammar.parser import parse_kill
from bot.grammar.requests import KillRequest, SessionsRequest, Target
from bot.ledger.sql import SqlLedger
from bot.operations import Operations, Rules
from bot.operations.results import NothingToKill, Preview
from bot.operations.results import Sessions as Shown
from bot.postgres.cluster import PostgresCluster
from tests.integration.conftest import BOT
from tests.integration.kills import QuickClock, lives
from tests.pgbouncer import PgBouncer
from tests.proxy import HOST, Proxy
from tests.rights import EVERYWHERE
from tests.servers import postgres
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer

ANA = Actor("UANA", "T1")
WORDS = "its address leads to more than one server"


@dataclass
class Scene:
    """A blue server, which the address led to, and a green one, with a session on each."""

    blue: PostgresServer
    green: PostgresServer
    cron: asyncpg.Connection
    payroll: asyncpg.Connection
    proxy: Proxy
    cluster: PostgresCluster
    ops: Operations

    @property
    def slots(self) -> list[Any]:
        return [*self.cluster._kept._slots, *self.cluster._work._slots]

    async def move(self, *places: int) -> None:
        """Make these connections lead to the green server: 0 is the reserved one."""
        self.proxy.lead_to(self.green)
        for place in places:
            held = self.slots[place].connection
            self.proxy.cut_from(held._transport.get_extra_info("sockname")[1])
        async with asyncio.timeout(PATIENCE):
            while not all(self.slots[n].live and self.leads_to(n) is self.green for n in places):
                await asyncio.sleep(0.02)

    def leads_to(self, place: int) -> PostgresServer:
        started = self.slots[place].connection.server.postmaster_start_time
        return self.blue if started == self.began_at else self.green

    @property
    def began_at(self) -> object:
        return self.cron.began_at  # type: ignore[attr-defined]


class Marked(asyncpg.Connection):
    began_at: object = None


@pytest.fixture(scope="module")
async def servers() -> AsyncIterator[tuple[PostgresServer, PostgresServer]]:
    async with postgres() as blue, postgres() as green:
        oids = []
        for server, role in ((blue, "cron"), (green, "payroll")):
            admin = await asyncpg.connect(server.dsn())
            await admin.execute(f"create role {BOT} login; create role {role} login")
            await admin.execute(f"grant pg_read_all_stats, pg_signal_backend to {BOT}")
            oids.append(await admin.fetchval("select oid from pg_roles where rolname = $1", role))
            await admin.close()
        assert oids[0] == oids[1]
        yield blue, green


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[SqlLedger]:
    ledger = SqlLedger(f"sqlite:///{tmp_path / 'ledger.db'}")
    await ledger.open()
    yield ledger
    await ledger.close()


@pytest.fixture
async def scene(
    servers: tuple[PostgresServer, PostgresServer], ledger: SqlLedger
) -> AsyncIterator[Scene]:
    blue, green = servers
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(Proxy(blue))
        cluster = PostgresCluster("main", proxy.dsn(user=BOT), "db-1.internal")
        await cluster.open()
        stack.push_async_callback(cluster.close)
        rules = Rules(protected_roles=(("payroll",),))
        ops = Operations(
            {"main": cluster}, ledger, QuickClock(), rules=rules, owner="me", reach=EVERYWHERE
        )
        stack.push_async_callback(ops.settle)
        opened = []
        for server, role in ((blue, "cron"), (green, "payroll")):
            connection = await asyncpg.connect(
                server.dsn(user=role),
                server_settings={"application_name": "job"},
                connection_class=Marked,
            )
            connection.began_at = await connection.fetchval("select pg_postmaster_start_time()")
            stack.callback(connection.terminate)
            opened.append(connection)
        yield Scene(blue, green, opened[0], opened[1], proxy, cluster, ops)


async def look(ops: Operations) -> Shown:
    request = SessionsRequest(target=Target("main"))
    shown = await ops.look(ANA, "C1", request)
    assert isinstance(shown, Shown)
    return shown


async def preview(ops: Operations) -> Preview | NothingToKill:
    request = parse_kill("main/ app=job")
    assert isinstance(request, KillRequest)
    shown = await ops.propose(ANA, "C1", request)
    assert isinstance(shown, Preview | NothingToKill)
    return shown


async def agrees(scene: Scene) -> int:
    """Ask for looks and previews, each from one server; return how many were refused."""
    refused = 0
    for _ in range(8):
        for ask in (look, preview):
            try:
                shown = await ask(scene.ops)
            except ClusterError as error:
                assert WORDS in str(error)  # noqa: PT017  most of them answer
                refused += 1
                continue
            server = shown.look.server if isinstance(shown, Shown) else shown.server
            is_blue = server.id.postmaster_start_time == scene.began_at
            if isinstance(shown, Shown):
                (row,) = (row for row in shown.look.rows if row.application_name == "job")
                assert row.usename == ("cron" if is_blue else "payroll")
            elif isinstance(shown, Preview):
                assert is_blue
            else:
                assert not is_blue
                assert [each.why for each in shown.spared] == [SpareReason.PROTECTED_ROLES]
    return refused


async def test_names_and_sessions_come_from_one_server_while_an_address_moves(scene: Scene) -> None:
    scene.cluster._moved_at = time.monotonic()  # it just moved: connections stay
    await scene.move(1)

    assert await agrees(scene) > 0
    assert await lives(scene.payroll)


async def test_connections_to_another_server_than_the_newest_are_remade(scene: Scene) -> None:
    before = await preview(scene.ops)
    assert isinstance(before, Preview)
    await scene.move(2)

    async with asyncio.timeout(PATIENCE):
        while {scene.leads_to(n) for n in range(4) if scene.slots[n].live} != {scene.green}:
            await asyncio.sleep(0.02)
        while scene.cluster.connections != (4, 4):
            await asyncio.sleep(0.02)
    assert await agrees(scene) == 0
    conclusion = await scene.ops.confirm(ANA, "C1", before.proposal.key)
    assert isinstance(conclusion, Conclusion)
    assert conclusion.counts == {Outcome.SERVER_CHANGED: 1}
    assert await lives(scene.cron)
    assert await lives(scene.payroll)


async def test_connection_in_use_is_remade_when_it_is_returned(scene: Scene) -> None:
    async with scene.cluster._kept.acquire(within=1) as kept:
        await scene.move(1)
        assert await kept.fetchval("select 1") == 1
        assert not kept.is_closed()
    assert kept.is_closed()


async def test_click_uses_the_roles_of_the_server_that_was_shown(scene: Scene) -> None:
    """It reads from the green server, and its signal would reach the blue one."""
    shown = await preview(scene.ops)
    assert isinstance(shown, Preview)
    scene.cluster._moved_at = time.monotonic()
    await scene.move(1, 2)
    async with scene.cluster._kept.acquire(within=1):
        for place, used_at in ((1, 0.0), (2, 1.0), (3, 2.0)):
            scene.slots[place].used_at = used_at
        conclusion = await scene.ops.confirm(ANA, "C1", shown.proposal.key)

    assert isinstance(conclusion, Conclusion)
    assert conclusion.counts == {Outcome.SERVER_CHANGED: 1}
    assert await lives(scene.cron)


async def test_preview_again_ignores_another_servers_sessions(scene: Scene) -> None:
    shown = await preview(scene.ops)
    assert isinstance(shown, Preview)
    scene.proxy.lead_to(scene.green)
    scene.proxy.cut()
    async with asyncio.timeout(PATIENCE):
        while scene.cluster.connections != (4, 4):
            await asyncio.sleep(0.02)

    again = await scene.ops.preview_again(ANA, "C1", shown.proposal.key)

    assert isinstance(again, NothingToKill)


async def test_locks_come_from_the_same_server_as_the_names(scene: Scene) -> None:
    scene.cluster._moved_at = time.monotonic()
    names = await scene.cluster.names()
    await scene.payroll.execute("begin; select 1")
    await scene.move(1, 2, 3)
    with pytest.raises(TwoServers, match=WORDS):
        await scene.cluster.locks_of(scene.payroll.get_server_pid(), names, limit=9)
    await scene.payroll.execute("rollback")


async def test_statements_behind_a_pooler_may_reach_two_servers(
    scene: Scene,
) -> None:
    behind: Any = SimpleNamespace(host=HOST, port=scene.proxy.port)
    direct = set(scene.proxy._links)
    async with PgBouncer(
        behind, pool_mode="transaction", default_pool_size=2, server_round_robin=1
    ) as bouncer:
        cluster = PostgresCluster("main", bouncer.dsn(user=BOT), "db-1.internal")
        await cluster.open()
        try:
            await two_backends(bouncer)
            scene.proxy.lead_to(scene.green)
            next(iter(set(scene.proxy._links) - direct)).cut()
            await two_backends(bouncer)
            for _ in range(8):  # lost connections are noticed
                with suppress(ClusterError):
                    await cluster.names()
            scene.ops.clusters.by_name = {"main": cluster}
            assert await agrees(scene) > 0
        finally:
            await cluster.close()
    assert await lives(scene.payroll)


async def two_backends(bouncer: PgBouncer) -> None:
    """Make the pool hold two at once."""
    async with asyncio.timeout(PATIENCE):
        while True:
            both = [
                await asyncpg.connect(bouncer.dsn(user=BOT), statement_cache_size=0)
                for _ in range(2)
            ]
            try:
                for statement in ("begin", "rollback"):
                    for each in both:
                        await each.execute(statement)
            except (asyncpg.PostgresError, asyncpg.InterfaceError):
                continue
            else:
                return
            finally:
                for each in both:
                    each.terminate()
