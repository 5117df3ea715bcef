"""`by=` on a real PostgreSQL: the counts, and that a group opens exactly its sessions."""

import asyncio
from ipaddress import ip_address

import pytest

from bot.domain.groups import members
from bot.errors import TargetError
from bot.grammar.parser import parse_sessions
from bot.grammar.requests import GroupsRequest
from bot.operations.results import Counted
from bot.operations.results import Sessions as Shown
from bot.postgres.cluster import PostgresCluster
from tests.integration.conftest import Bench, Sessions
from tests.integration.kills import ANA, CHANNEL
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer


def by(text: str) -> GroupsRequest:
    request = parse_sessions(text)
    assert isinstance(request, GroupsRequest)
    return request


async def counted(bench: Bench, text: str) -> Counted:
    answer = await bench().groups(ANA, CHANNEL, by(text))
    (one,) = answer.counted
    return one


def groups(found: Counted) -> dict[tuple[str | None, ...], int]:
    return {group.values: group.sessions for group in found.groups.largest}


@pytest.fixture
async def crowd(sessions: Sessions) -> Sessions:
    """Three of one application, one of them in a transaction; one with no name; one of two."""
    for _ in range(3):
        await sessions.open(app="crowd one")
    await sessions.opened[0].execute("begin; select 1")
    await sessions.open(app="")
    await sessions.open(app='crowd, "two" *\'')
    return sessions


async def test_groups_count_sessions_by_values(bench: Bench, crowd: Sessions) -> None:
    found = await counted(bench, "by=app,state some_db")
    assert groups(found) == {
        ("crowd one", "idle"): 2,
        ("crowd one", "idle in transaction"): 1,
        ("", "idle"): 1,
        ('crowd, "two" *\'', "idle"): 1,
    }
    assert [each.sessions for each in found.groups.largest] == [2, 1, 1, 1]
    assert (found.groups.number, found.groups.sessions) == (4, 5)
    in_transaction = found.groups.largest[1]
    assert in_transaction.values == ("crowd one", "idle in transaction")
    assert in_transaction.oldest_xact is not None
    assert found.groups.largest[0].oldest_xact is None


@pytest.mark.parametrize(
    "text",
    [
        "by=app,state some_db",
        "by=user,db main/",
        "by=client,app some_db",
        "by=wait some_db",
        "by=type,state main/ type!=autovacuum_worker",
        "by=user,state main/ type!=autovacuum_worker",
        "by=type some_db",
        "by=app some_db state=idle",
    ],
)
async def test_a_group_opens_exactly_its_sessions(bench: Bench, crowd: Sessions, text: str) -> None:
    found = await counted(bench, text)
    assert found.groups.largest
    opened = 0
    for group in found.groups.largest:
        request = members(by(text), found.target, group)
        assert request is not None, group
        shown = await bench().look(ANA, CHANNEL, request)
        assert isinstance(shown, Shown)
        assert shown.look.counts.total == group.sessions, str(request)
        opened += group.sessions
    assert opened == found.groups.sessions


async def test_values_that_are_null_are_a_group_of_their_own(
    bench: Bench, pg: PostgresServer, crowd: Sessions
) -> None:
    found = await counted(bench, "by=user,client main/ all")
    assert (None, None) in groups(found)  # the server's background processes
    address = str(ip_address(pg.host)) if pg.host[0].isdigit() else None
    assert groups(found)["web", address] == 5


async def test_groups_beyond_the_limit_are_counted(
    cluster: PostgresCluster, crowd: Sessions
) -> None:
    names = await cluster.names()
    request = by("by=app,state")
    found = await cluster.groups(request.by, (), names=names, everything=False, limit=2)
    every = await cluster.groups(request.by, (), names=names, everything=False, limit=99)
    assert len(found.largest) == 2
    assert (found.number, found.sessions) == (every.number, every.sessions)
    assert found.largest == every.largest[:2]


async def test_filters_narrow_groups_also_by_locks(bench: Bench, sessions: Sessions) -> None:
    holder, waiter = [await sessions.open(app=name) for name in ("holder", "waiter")]
    await holder.execute("begin; lock table accounts")
    waiting = asyncio.ensure_future(waiter.execute("select from accounts"))
    async with asyncio.timeout(PATIENCE):
        while groups(await counted(bench, "by=app some_db blocked")) != {("waiter",): 1}:
            await asyncio.sleep(0.01)
    assert groups(await counted(bench, "by=app some_db blocking")) == {("holder",): 1}
    await holder.execute("rollback")
    await waiting


async def test_no_match_is_no_group(bench: Bench) -> None:
    found = await counted(bench, "by=app,db some_db app=nobody")
    assert (found.groups.largest, found.groups.number, found.groups.sessions) == ((), 0, 0)


async def test_the_bots_own_sessions_are_left_out_unless_asked_for(bench: Bench) -> None:
    own = ("pg-sessions-bot",)
    assert own not in groups(await counted(bench, "by=app main/"))
    assert own in groups(await counted(bench, "by=app main/ all"))


async def test_a_name_that_does_not_exist_gets_the_nearest(bench: Bench) -> None:
    with pytest.raises(TargetError) as caught:
        await counted(bench, "by=app some_dbb")
    assert "some_db" in caught.value.nearest
    with pytest.raises(TargetError):
        await counted(bench, "by=app some_db user=webb")


async def test_a_database_on_several_clusters_is_counted_on_each(
    bench: Bench, cluster: PostgresCluster, crowd: Sessions
) -> None:
    ops = bench(clusters={"main": cluster, "prod": cluster})
    answer = await ops.groups(ANA, CHANNEL, by("by=state some_db"))
    assert [str(each.target) for each in answer.counted] == ["main/some_db", "main/some_db"]
    answer = await ops.groups(ANA, CHANNEL, by("by=state main"))
    assert [str(each.target) for each in answer.counted] == ["main/"]
