"""Who gets one of a server's few connections when many want one."""

import asyncio
import itertools
import random
from collections import Counter
from contextlib import AsyncExitStack, suppress
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from bot.domain.kept_names import Applications
from bot.domain.kills import Action, Basis, Outcome
from bot.domain.signals import Guard, Verdict
from bot.errors import NotSent
from bot.operations.results import (
    Preview,
)
from bot.ports import Urgency
from bot.postgres import cluster as cluster_module
from bot.postgres.bounded import BoundedConnection
from bot.postgres.cluster import PostgresCluster
from bot.postgres.connections import HeldConnections
from bot.postgres.trouble import of_connecting
from tests.integration.conftest import BOT, Bench, Sessions
from tests.integration.kills import (
    ANA,
    CHANNEL,
    confirm,
    outcomes,
    preview,
)
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer


async def test_preview_does_not_wait_for_looks(
    cluster: PostgresCluster, bench: Bench, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One connection stays for previews however many looks there are, and one for kills."""
    monkeypatch.setattr(cluster_module, "TURN_WITHIN", 0.1)
    victim = await sessions.open("batch", app="crowded")
    ops = bench()
    async with AsyncExitStack() as lent:
        for _ in range(cluster_module.WORK_CONNECTIONS - cluster_module.LEFT_BY_LOOKS):
            await lent.enter_async_context(cluster._lent(Urgency.LOOK))
        with pytest.raises(NotSent, match="busy"):
            await cluster.names()
        shown = await preview(ops, "app=crowded")
        row = shown.proposal.targets[0].id
        again = await ops.propose_backends(ANA, CHANNEL, cluster_name="main", ids=[row])
        assert isinstance(again, Preview)
        assert isinstance(await ops.preview_again(ANA, CHANNEL, shown.proposal.key), Preview)

        await lent.enter_async_context(cluster._lent(Urgency.PREVIEW))
        with pytest.raises(NotSent, match="busy"):
            await cluster.names(urgency=Urgency.PREVIEW)
        done = await confirm(ops, shown)
    assert outcomes(done) == {victim.get_server_pid(): Outcome.TERMINATED}


async def test_nobody_in_a_crowd_of_looks_is_refused(cluster: PostgresCluster) -> None:
    names = await cluster.names()
    looks = await asyncio.gather(*(cluster.look((), names=names) for _ in range(60)))
    assert all(look.counts.hidden for look in looks)  # the bot's own, which are always there


async def test_the_most_urgent_comes_first_and_among_equals_who_came_first(
    cluster: PostgresCluster,
) -> None:
    served: list[str] = []

    async def use(what: str, urgency: Urgency) -> None:
        async with cluster._lent(urgency):
            served.append(what)

    async with AsyncExitStack() as others:
        for _ in range(cluster_module.WORK_CONNECTIONS):
            await others.enter_async_context(cluster._work.acquire(within=1))
        await others.enter_async_context(cluster._kept.acquire(within=1))
        async with asyncio.TaskGroup() as crowd:
            for at in range(3):
                crowd.create_task(use(f"look {at}", Urgency.LOOK))
            for at in range(3):
                crowd.create_task(use(f"preview {at}", Urgency.PREVIEW))
            leaving = crowd.create_task(use("who leaves", Urgency.KILL))
            for at in range(2):
                crowd.create_task(use(f"kill {at}", Urgency.KILL))
            while len(cluster._work._queue) < 9:
                await asyncio.sleep(0)
            leaving.cancel()
            await others.aclose()
    kinds = ("kill", "preview", "look")
    assert served == [
        f"{kind} {at}" for kind in kinds for at in range(3) if f"{kind} {at}" != "kill 2"
    ]


async def test_log_says_each_reason_once_however_often_they_take_turns() -> None:
    tries = itertools.count()
    errors = ConnectionRefusedError(), TimeoutError()

    async def connect() -> BoundedConnection:
        raise errors[next(tries) % 2]

    held = HeldConnections("main", 2, connect)
    with capture_logs() as logs:
        await held.open(within=timedelta(0))
        while next(tries) < 12:
            await asyncio.sleep(0.05)
        await held.close()
    told = [each["problem"] for each in logs if each["event"] == "cluster.down"]
    assert sorted(told) == ["did not answer within 5 s", of_connecting(errors[0])]


@pytest.mark.parametrize("seed", range(3))
async def test_no_connection_is_lost_whatever_becomes_of_those_who_wait(
    pg: PostgresServer, seed: int
) -> None:
    chance = random.Random(seed)
    crowded = PostgresCluster("main", pg.dsn(user=BOT), "db-1.internal")
    await crowded.open()
    held, using = crowded._work, Counter[Urgency]()

    async def use(urgency: Urgency) -> None:
        leave = cluster_module.LEFT_BY_LOOKS if urgency is Urgency.LOOK else 0
        with suppress(NotSent):
            async with held.acquire(
                within=chance.random() / 50, alive_within=5, urgency=urgency, leave=leave
            ) as connection:
                using[urgency] += 1
                assert using.total() <= held.size
                assert using[Urgency.LOOK] <= held.size - cluster_module.LEFT_BY_LOOKS
                try:
                    if not chance.randrange(20):
                        connection.terminate()
                    await asyncio.sleep(chance.random() / 100)
                finally:
                    using[urgency] -= 1

    users = []
    for _ in range(400):
        users.append(
            asyncio.create_task(use(chance.choice((Urgency.LOOK, Urgency.PREVIEW, Urgency.KILL))))
        )
        if not chance.randrange(3):
            await asyncio.sleep(chance.random() / 100)
        chance.choice(users).cancel()
    for ended in await asyncio.gather(*users, return_exceptions=True):
        assert ended is None or isinstance(ended, asyncio.CancelledError), ended
    async with AsyncExitStack() as lent:
        for _ in range(held.size):
            await lent.enter_async_context(held.acquire(within=PATIENCE))
    assert not held.wanted
    await crowded.close()


async def test_with_one_connection_left_all_share_it(
    pg: PostgresServer, sessions: Sessions
) -> None:
    await sessions.open("batch")
    lonely = PostgresCluster("main", pg.dsn(user=BOT), "db-1.internal")
    await lonely.open()
    try:
        *others, _ = lonely._work._slots
        for slot in others:
            slot.retired = True
        for slot in (*others, *lonely._kept._slots):
            assert slot.connection is not None
            slot.connection.terminate()
        for keeper in (*lonely._work._keepers[:-1], *lonely._kept._keepers):
            keeper.cancel()
        names = await lonely.names()
        for urgency in (Urgency.LOOK, Urgency.PREVIEW, Urgency.KILL):
            look = await lonely.look((), names=names, urgency=urgency)
            assert look.counts.total > 0
    finally:
        await lonely.close()


async def test_kill_does_not_wait_for_looks(cluster: PostgresCluster, sessions: Sessions) -> None:
    """Three looks may take all working connections; one is reserved for signals."""
    victim = await sessions.open("batch", app="starved")
    look = await cluster.look((), names=await cluster.names())
    row = next(row for row in look.rows if row.pid == victim.get_server_pid())
    assert row.id is not None
    async with AsyncExitStack() as looks:
        for _ in range(3):
            await looks.enter_async_context(cluster._work.acquire(within=5))
        guard = Guard(
            server=look.server.id,
            target=row.id,
            action=Action.TERMINATE,
            basis=Basis.PID,
            xact_start=row.xact_start,
            backend_xid=row.backend_xid,
            virtualtransaction=row.virtualtransaction,
            query_start=row.query_start,
            conditions=(),
            cost=None,
            protected_roles=frozenset(),
            protected_applications=Applications(),
            deadline=look.server.now + timedelta(minutes=1),
        )
        assert (await cluster.signal(guard)).verdict is Verdict.SIGNALLED
