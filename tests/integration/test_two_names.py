"""One server under two names in the settings: its rules apply under both."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from structlog.testing import capture_logs

from bot.domain.kills import Outcome
from bot.domain.sessions import SpareReason
from bot.ledger.sql import SqlLedger
from bot.operations import Operations, Rules
from bot.operations.results import NeedsSecondPerson, NothingToKill
from bot.postgres.cluster import PostgresCluster
from bot.postgres.fleet import fleet_of, open_fleet
from tests.integration.kills import ANA, BEN, CHANNEL, QuickClock, confirm, lives, preview, typed
from tests.rights import EVERYWHERE
from tests.servers import postgres
from workspace.postgres import PostgresServer

ROLES = ("main_bot", "prod_bot")
KEEPER = "ledger_keeper"


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[PostgresServer]:
    async with postgres() as running:
        await set_up(running)
        yield running


async def set_up(server: PostgresServer) -> None:
    admin = await asyncpg.connect(server.dsn())
    for role in (*ROLES, KEEPER, "web"):
        await admin.execute(f"create role {role} login")
    await admin.execute(f"grant pg_read_all_stats, pg_signal_backend to {', '.join(ROLES)}")
    await admin.execute(f"create database ledger owner {KEEPER}")
    await admin.close()


@dataclass
class Bench:
    """A bot with the clusters that a test names, on a ledger in a file."""

    stack: AsyncExitStack
    ledger: SqlLedger

    def ops(self, *clusters: PostgresCluster) -> Operations:
        ops = Operations(
            {cluster.name: cluster for cluster in clusters},
            self.ledger,
            QuickClock(),
            rules=Rules(second_person=frozenset({"prod"})),
            owner="me",
            reach=EVERYWHERE,
        )
        self.stack.push_async_callback(ops.settle)
        return ops

    async def cluster(self, name: str, dsn: str, host: str, *, opens: bool = True):
        cluster = PostgresCluster(name, dsn, host)
        self.stack.push_async_callback(cluster.close)
        if opens:
            await cluster.open()
        return cluster

    async def session(self, server: PostgresServer, user: str = "web") -> asyncpg.Connection:
        connection = await asyncpg.connect(server.dsn(user=user))
        self.stack.callback(connection.terminate)
        return connection


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        ledger = SqlLedger(f"sqlite:///{tmp_path / 'ledger.db'}")
        await ledger.open()
        stack.push_async_callback(ledger.close)
        yield Bench(stack, ledger)


async def test_a_second_person_is_needed_whatever_name_the_server_was_reached_by(
    bench: Bench, server: PostgresServer
) -> None:
    main = await bench.cluster("main", server.dsn(user="main_bot"), "db-1.internal")
    prod = await bench.cluster("prod", server.dsn(user="prod_bot"), "db-1.example.com")
    ops = bench.ops(main, prod)
    victim = await bench.session(server)
    shown = await preview(ops, f"main/ {victim.get_server_pid()}")

    assert shown.second_person
    answer = await ops.confirm(ANA, CHANNEL, shown.proposal.key)
    assert isinstance(answer, NeedsSecondPerson)
    assert await lives(victim)
    assert (await confirm(ops, shown, actor=BEN)).counts == {Outcome.TERMINATED: 1}


@pytest.mark.parametrize(("host", "needed"), [("DB-1.internal", True), ("db-2.internal", False)])
async def test_cluster_that_has_not_answered_is_recognized_by_address(
    bench: Bench, server: PostgresServer, host: str, needed: bool
) -> None:
    main = await bench.cluster("main", server.dsn(user="main_bot"), "db-1.internal")
    prod = await bench.cluster("prod", server.dsn(user="prod_bot"), host, opens=False)
    victim = await bench.session(server)

    shown = await preview(bench.ops(main, prod), f"main/ {victim.get_server_pid()}")

    assert shown.second_person is needed


async def test_another_server_keeps_its_own_rule(bench: Bench, server: PostgresServer) -> None:
    async with postgres() as other:
        await set_up(other)
        main = await bench.cluster("main", server.dsn(user="main_bot"), "db-1.internal")
        # Its address is the one in main's URL, where another server answers.
        prod = await bench.cluster("prod", other.dsn(user="prod_bot"), "db-1.internal")
        victim = await bench.session(server)

        shown = await preview(bench.ops(main, prod), f"main/ {victim.get_server_pid()}")

        assert not shown.second_person


async def test_bots_sessions_cant_be_ended_through_another_name(
    bench: Bench, server: PostgresServer
) -> None:
    main = await bench.cluster("main", server.dsn(user="main_bot"), "db-1.internal")
    prod = await bench.cluster("prod", server.dsn(user="prod_bot"), "db-1.example.com")
    ops = bench.ops(main, prod)

    for name, of_the_other in (("main", "prod_bot"), ("prod", "main_bot")):
        answer = await ops.propose(ANA, CHANNEL, typed(f"{name}/ user={of_the_other}"))
        assert isinstance(answer, NothingToKill)
        assert [each.why for each in answer.spared] == [SpareReason.OWN_ROLE] * 4


async def test_start_logs_that_two_names_are_one_server(
    bench: Bench, server: PostgresServer
) -> None:
    async with postgres() as other:
        await set_up(other)
        urls = {
            "main": server.dsn(user="main_bot"),
            "prod": server.dsn(user="prod_bot", database="ledger"),
            "else": other.dsn(user="main_bot"),
        }
        with capture_logs() as logs:
            clusters = fleet_of(urls).values()
            for cluster in clusters:
                bench.stack.push_async_callback(cluster.close)
            await open_fleet(clusters)
    found = [line for line in logs if line["event"] == "cluster.one_server_under_two_names"]
    assert [line["clusters"] for line in found] == [["main", "prod"]]
