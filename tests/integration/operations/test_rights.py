"""Who may do what on which cluster: each use case, for people with a right on one of two."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest

from bot.domain.kills import Action, Actor, Conclusion, Outcome, Proposal, State
from bot.domain.people import NOWHERE, Reach, Right
from bot.domain.record import Entry, Noted, RefusalNote
from bot.domain.sessions import BackendId, ServerId, SpareReason
from bot.domain.timeline import Step, Timeline
from bot.errors import NotAllowed, TargetError, UsageError
from bot.grammar.parser import parse_kill, parse_sessions
from bot.grammar.requests import GroupsRequest, HistoryRequest, SessionsRequest
from bot.grammar.requests import Target as Named
from bot.ledger.sql import SqlLedger
from bot.operations import Operations
from bot.operations.results import (
    Choice,
    Inspection,
    NotClaimed,
    NothingToKill,
    Overview,
    Preview,
    Sessions,
    Tree,
)
from bot.postgres.cluster import PostgresCluster
from tests.integration.conftest import BOT, Bench
from tests.integration.conftest import Sessions as Opened
from tests.integration.kills import ANA, BEN, CHANNEL, confirm, lives, preview, typed
from tests.integration.operations.test_cancel import run
from tests.servers import postgres
from workspace.postgres import PostgresServer


def on(right: Right, *clusters: str) -> Reach:
    return Reach({right: frozenset(clusters)})


LOOKS, CANCELS, KILLS = (on(right, "main") for right in Right)
KILLS_MAIN_CANCELS_PROD = Reach(
    {Right.KILL: frozenset({"main"}), Right.CANCEL: frozenset({"prod"})}
)
EVERY = on(Right.KILL, "main", "prod")


@pytest.fixture(scope="module")
async def other() -> AsyncIterator[PostgresServer]:
    """The server of `prod`."""
    async with postgres() as server:
        admin = await asyncpg.connect(server.dsn())
        await admin.execute(f"create role {BOT} login")
        await admin.execute(f"grant pg_read_all_stats, pg_signal_backend to {BOT}")
        await admin.execute("create role web login")
        await admin.execute("create database some_db")
        await admin.execute("create database prod_db")
        await admin.close()
        yield server


@pytest.fixture(scope="module")
async def prod(other: PostgresServer) -> AsyncIterator[PostgresCluster]:
    cluster = PostgresCluster("prod", other.dsn(user=BOT), "db-2.internal")
    await cluster.open()
    yield cluster
    await cluster.close()


@pytest.fixture
async def on_prod(other: PostgresServer) -> AsyncIterator[asyncpg.Connection]:
    """A session there."""
    connection = await asyncpg.connect(other.dsn(user="web", database="some_db"))
    yield connection
    connection.terminate()


@pytest.fixture
def ops(bench: Bench, cluster: PostgresCluster, prod: PostgresCluster) -> Operations:
    return bench(clusters={"main": cluster, "prod": prod})


def asked(text: str) -> SessionsRequest:
    request = parse_sessions(text)
    assert isinstance(request, SessionsRequest)
    return request


async def identity(connection: asyncpg.Connection) -> BackendId:
    return BackendId(
        connection.get_server_pid(),
        await connection.fetchval(
            "select backend_start from pg_stat_activity where pid = pg_backend_pid()"
        ),
    )


# --- looks


async def test_nobodys_reach_is_nowhere(ops: Operations) -> None:
    nobody = ops.within(NOWHERE)
    for request in ("", "main/", "some_db", "no_such_db", "nowhere/"):
        with pytest.raises(NotAllowed):
            await nobody.look(ANA, CHANNEL, asked(request))


async def test_a_look_at_all_covers_those_that_they_may_look_at(ops: Operations) -> None:
    every = await ops.within(on(Right.LOOK, "main", "prod")).look(ANA, CHANNEL, asked(""))
    assert isinstance(every, Overview)
    assert ([card.cluster for card in every.cards], every.left_out) == (["main", "prod"], 0)

    third = PostgresCluster("third", "postgresql://bot@127.0.0.1:1/x", "db-3.internal")
    ops.clusters.by_name = {**ops.clusters.by_name, "third": third}
    some = await ops.within(on(Right.LOOK, "main", "prod")).look(ANA, CHANNEL, asked(""))
    assert isinstance(some, Overview)
    assert ([card.cluster for card in some.cards], some.left_out) == (["main", "prod"], 1)


async def test_who_may_look_at_one_sees_its_sessions_and_so_does_its_refresh(
    ops: Operations,
) -> None:
    answer = await ops.within(LOOKS).look(ANA, CHANNEL, asked(""))
    assert isinstance(answer, Sessions)
    assert answer.cluster == "main"
    assert str(answer.request) == "main/"


async def test_a_cluster_that_is_named_is_refused_and_no_other_name_is_told(
    ops: Operations,
) -> None:
    with pytest.raises(NotAllowed) as refused:
        await ops.within(LOOKS).look(ANA, CHANNEL, asked("prod/some_db"))
    assert (refused.value.right, refused.value.cluster) == (Right.LOOK, "prod")
    with pytest.raises(TargetError) as unknown:
        await ops.within(LOOKS).look(ANA, CHANNEL, asked("prodd/"))
    assert unknown.value.nearest == ("main/",)
    for name in ("prod_db", "prod"):
        with pytest.raises(TargetError) as nothing:
            await ops.within(LOOKS).look(ANA, CHANNEL, asked(name))
        assert nothing.value.problem == "no such database on main"
        assert not {"prod_db", "prod/"} & set(nothing.value.nearest)


async def test_a_database_is_found_only_where_they_may_look(ops: Operations) -> None:
    one = await ops.within(LOOKS).look(ANA, CHANNEL, asked("some_db"))
    assert isinstance(one, Sessions)
    assert one.cluster == "main"
    both = await ops.within(on(Right.LOOK, "main", "prod")).look(ANA, CHANNEL, asked("some_db"))
    assert isinstance(both, Choice)
    assert [request.target.cluster for request in both.requests] == ["main", "prod"]


async def test_trouble_names_only_other_clusters_that_they_may_look_at(
    ops: Operations,
) -> None:
    await ops.within(EVERY).look(ANA, CHANNEL, asked("main/"))
    await ops.within(EVERY).look(ANA, CHANNEL, asked("prod/"))
    assert ops.within(EVERY).health("main").others == ("prod",)
    assert ops.within(LOOKS).health("main").others == ()


async def test_groups_are_counted_only_where_they_may_look(ops: Operations) -> None:
    def grouped(text: str) -> GroupsRequest:
        request = parse_sessions(f"by=state {text}".strip())
        assert isinstance(request, GroupsRequest)
        return request

    both = await ops.within(on(Right.LOOK, "main", "prod")).groups(ANA, CHANNEL, grouped(""))
    assert [str(each.target) for each in both.counted] == ["main/", "prod/"]
    one = await ops.within(LOOKS).groups(ANA, CHANNEL, grouped(""))
    assert [str(each.target) for each in one.counted] == ["main/"]
    with pytest.raises(NotAllowed):
        await ops.within(LOOKS).groups(ANA, CHANNEL, grouped("prod/"))
    with pytest.raises(TargetError):
        await ops.within(LOOKS).groups(ANA, CHANNEL, grouped("prod"))


async def test_the_tree_and_one_session_are_of_a_cluster_too(
    ops: Operations, on_prod: asyncpg.Connection
) -> None:
    whom = await identity(on_prod)
    assert isinstance(await ops.within(on(Right.LOOK, "prod")).tree(ANA, CHANNEL, "prod"), Tree)
    for use in (
        lambda mine: mine.tree(ANA, CHANNEL, "prod"),
        lambda mine: mine.inspect(ANA, CHANNEL, cluster_name="prod", backend_id=whom),
    ):
        with pytest.raises(NotAllowed):
            await use(ops.within(KILLS))


@pytest.mark.parametrize(
    ("reach", "full"),
    [
        (on(Right.KILL, "prod"), True),
        (on(Right.CANCEL, "prod"), False),
        (Reach({Right.KILL: frozenset({"main"}), Right.LOOK: frozenset({"prod"})}), False),
    ],
)
async def test_the_full_query_is_for_those_who_may_kill_on_that_cluster(
    ops: Operations, on_prod: asyncpg.Connection, reach: Reach, full: bool
) -> None:
    await on_prod.execute("select 'a secret'")
    whom = BackendId(on_prod.get_server_pid(), (await identity(on_prod)).backend_start)
    await on_prod.execute("select 'a secret'")
    seen = await ops.within(reach).inspect(ANA, CHANNEL, cluster_name="prod", backend_id=whom)
    assert isinstance(seen, Inspection)
    assert seen.full is full
    assert ("a secret" in str(seen.backend.query)) is full


# --- previews


@pytest.mark.parametrize("text", ["prod/ user=web", "prod/some_db user=web"])
async def test_a_preview_takes_a_right_on_its_cluster(ops: Operations, text: str) -> None:
    with pytest.raises(NotAllowed) as refused:
        await ops.within(KILLS).propose(ANA, CHANNEL, typed(text))
    assert (refused.value.right, refused.value.cluster) == (Right.CANCEL, "prod")


async def test_a_pid_and_a_filter_are_looked_for_where_they_may(
    ops: Operations, sessions: Opened, on_prod: asyncpg.Connection
) -> None:
    mine = await sessions.open("web")
    one = await preview(ops.within(KILLS), "user=web")
    assert one.proposal.cluster == "main"
    assert mine.get_server_pid() in {target.id.pid for target in one.proposal.targets}
    both = await ops.within(EVERY).propose(ANA, CHANNEL, typed("user=web"))
    assert isinstance(both, Choice)
    pid = on_prod.get_server_pid()
    answer = await ops.within(KILLS).propose(ANA, CHANNEL, typed(str(pid)))
    assert isinstance(answer, Preview | NothingToKill)
    assert answer.server.cluster == "main"


async def test_a_database_on_several_clusters_is_a_choice_though_one_matches(
    ops: Operations, sessions: Opened
) -> None:
    mine = await sessions.open("web", app="only on main")
    every = ops.within(EVERY)
    answer = await every.propose(ANA, CHANNEL, typed("some_db app='only on main' -- why"))
    assert isinstance(answer, Choice)
    assert [str(each) for each in answer.requests] == [
        'main/some_db app="only on main" -- why',
        'prod/some_db app="only on main" -- why',
    ]
    shown = await preview(every, f"some_db {mine.get_server_pid()}")
    assert shown.proposal.cluster == "main"
    shown = await preview(ops.within(KILLS), "some_db app='only on main'")
    assert shown.proposal.cluster == "main"


async def test_cluster_with_only_the_bots_own_sessions_is_not_offered(
    ops: Operations, sessions: Opened
) -> None:
    mine = await sessions.open("web", app="only on main")
    shown = await preview(ops.within(EVERY), "app!=psql user!=postgres age<1d")
    assert shown.proposal.cluster == "main"
    assert mine.get_server_pid() in {target.id.pid for target in shown.proposal.targets}
    nobody = await ops.within(EVERY).propose(ANA, CHANNEL, typed(f"user={BOT}"))
    assert isinstance(nobody, Choice)


async def test_who_may_only_cancel_gets_a_preview_of_that(
    ops: Operations, cluster: PostgresCluster, sessions: Opened
) -> None:
    busy, idle = await sessions.open(app="tier"), await sessions.open(app="tier")
    query = await run(busy, cluster)
    mine = ops.within(CANCELS)

    shown = await preview(mine, "app=tier")

    assert shown.proposal.action is Action.CANCEL
    assert [target.id.pid for target in shown.proposal.targets] == [busy.get_server_pid()]
    assert [(one.seen.pid, one.why) for one in shown.proposal.spared] == [
        (idle.get_server_pid(), SpareReason.NO_QUERY)
    ]
    answer = await mine.confirm(ANA, CHANNEL, shown.proposal.key, action=Action.CANCEL)
    assert isinstance(answer, Conclusion)
    assert answer.counts == {Outcome.CANCELLED: 1}
    with pytest.raises(asyncpg.QueryCanceledError):
        await query
    assert await lives(busy)
    with pytest.raises(NotAllowed):  # the next step ends the session
        await mine.preview_again(ANA, CHANNEL, shown.proposal.key)
    following = await ops.within(KILLS).preview_again(ANA, CHANNEL, shown.proposal.key)
    assert isinstance(following, Preview)
    assert following.proposal.action is Action.TERMINATE


async def test_where_nothing_runs_there_is_nothing_to_cancel(
    ops: Operations, sessions: Opened
) -> None:
    await sessions.open(app="at rest")
    answer = await ops.within(CANCELS).propose(ANA, CHANNEL, typed('app="at rest"'))
    assert isinstance(answer, NothingToKill)
    assert answer.action is Action.CANCEL
    assert [one.why for one in answer.spared] == [SpareReason.NO_QUERY]


async def test_a_menu_and_preview_again_take_the_right_on_the_cluster_too(
    ops: Operations, on_prod: asyncpg.Connection
) -> None:
    shown = await preview(ops.within(EVERY), f"prod/ {on_prod.get_server_pid()}")
    mine = ops.within(KILLS)
    with pytest.raises(NotAllowed):
        await mine.propose_backends(
            ANA, CHANNEL, cluster_name="prod", ids=[await identity(on_prod)]
        )
    with pytest.raises(NotAllowed):
        await mine.preview_again(ANA, CHANNEL, shown.proposal.key)
    with pytest.raises(NotAllowed):
        await mine.preview_again(ANA, "another channel", shown.proposal.key)


# --- clicks


@pytest.mark.parametrize(
    ("reach", "action", "may"),
    [
        (on(Right.KILL, "prod"), Action.TERMINATE, True),
        (on(Right.CANCEL, "prod"), Action.TERMINATE, False),
        (on(Right.CANCEL, "prod"), Action.CANCEL, True),
        (KILLS_MAIN_CANCELS_PROD, Action.TERMINATE, False),
        (KILLS_MAIN_CANCELS_PROD, Action.CANCEL, True),
        (on(Right.LOOK, "prod"), Action.CANCEL, False),
        (KILLS, Action.TERMINATE, False),
        (KILLS, Action.CANCEL, False),
        (NOWHERE, Action.CANCEL, False),
    ],
)
async def test_a_click_is_authorized_for_the_previews_cluster(
    ops: Operations, on_prod: asyncpg.Connection, reach: Reach, action: Action, may: bool
) -> None:
    """On a preview that somebody else opened, who may kill there."""
    shown = await preview(ops.within(EVERY), f"prod/ {on_prod.get_server_pid()}", actor=BEN)
    mine = ops.within(reach)
    if may:
        answer = await mine.confirm(ANA, CHANNEL, shown.proposal.key, action=action)
        assert isinstance(answer, Conclusion)
        return
    for channel in (CHANNEL, "another channel"):
        with pytest.raises(NotAllowed) as refused:
            await mine.confirm(ANA, channel, shown.proposal.key, action=action)
        assert refused.value.cluster == "prod"
    assert await lives(on_prod)
    entry = await ops.entry(shown.proposal.key)
    assert entry is not None
    assert entry.proposal.state is State.PROPOSED


async def test_preview_cant_confirm_what_it_did_not_show(
    ops: Operations, cluster: PostgresCluster, sessions: Opened
) -> None:
    busy = await sessions.open(app="only cancels")
    query = await run(busy, cluster)
    shown = await preview(ops.within(CANCELS), 'app="only cancels"')
    with pytest.raises(UsageError, match="only cancels: nothing was done"):
        await ops.within(KILLS).confirm(BEN, CHANNEL, shown.proposal.key)
    assert not query.done()
    answer = await ops.within(KILLS).confirm(BEN, CHANNEL, shown.proposal.key, action=Action.CANCEL)
    assert isinstance(answer, Conclusion)
    with pytest.raises(asyncpg.QueryCanceledError):
        await query


@pytest.mark.parametrize(
    ("actor", "reach", "may"),
    [
        (ANA, NOWHERE, True),  # her own
        (BEN, on(Right.KILL, "prod"), True),
        (BEN, on(Right.CANCEL, "prod"), False),
        (BEN, KILLS, False),
    ],
)
async def test_a_preview_is_dismissed_by_its_asker_and_by_those_who_may_kill_there(
    ops: Operations, on_prod: asyncpg.Connection, actor: Actor, reach: Reach, may: bool
) -> None:
    shown = await preview(ops.within(EVERY), f"prod/ {on_prod.get_server_pid()}")
    mine = ops.within(reach)
    if may:
        assert isinstance(await mine.dismiss(actor, CHANNEL, shown.proposal.key), Proposal)
    else:
        with pytest.raises(NotAllowed):
            await mine.dismiss(actor, CHANNEL, shown.proposal.key)


# --- the record


async def test_the_history_has_the_kills_of_the_clusters_where_they_may(
    ops: Operations, ledger: SqlLedger, sessions: Opened, on_prod: asyncpg.Connection
) -> None:
    every = ops.within(EVERY)
    here = await preview(every, f"main/ {(await sessions.open()).get_server_pid()}")
    there = await preview(every, f"prod/ {on_prod.get_server_pid()}")

    async def numbers(reach: Reach, text: str = "history") -> list[int]:
        request = parse_kill(text)
        assert isinstance(request, HistoryRequest)
        return [entry.number for entry in (await ops.within(reach).history(request)).entries]

    assert await numbers(EVERY) == [there.proposal.id, here.proposal.id]
    assert await numbers(CANCELS) == [here.proposal.id]
    assert await numbers(KILLS_MAIN_CANCELS_PROD, "history prod/") == [there.proposal.id]
    for reach, text in ((LOOKS, "history"), (CANCELS, "history prod/")):
        with pytest.raises(NotAllowed):
            await numbers(reach, text)
    assert await numbers(CANCELS, "history gone/") == []


async def test_home_tells_of_clusters_where_they_may_look(
    ops: Operations, sessions: Opened, on_prod: asyncpg.Connection
) -> None:
    every = ops.within(EVERY)
    here = await preview(every, f"main/ {(await sessions.open()).get_server_pid()}")
    there = await preview(every, f"prod/ {on_prod.get_server_pid()}")

    async def shown(reach: Reach) -> tuple[list[str], list[int], int]:
        mine = ops.within(reach)
        standing, previews = await mine.standing(ANA, CHANNEL), await mine.open_previews()
        clusters = [card.cluster for card in standing.cards]
        return clusters, [each.id for each in previews], standing.left_out

    assert await shown(EVERY) == (["main", "prod"], [there.proposal.id, here.proposal.id], 0)
    assert await shown(LOOKS) == (["main"], [here.proposal.id], 1)
    nobody = ops.within(NOWHERE)
    for refused in (nobody.standing(ANA, CHANNEL), nobody.open_previews()):
        with pytest.raises(NotAllowed):
            await refused
    await confirm(every, here)
    assert await shown(EVERY) == (["main", "prod"], [there.proposal.id], 0)


async def test_an_outcome_is_paged_by_those_who_may_look_there(
    ops: Operations, on_prod: asyncpg.Connection
) -> None:
    every = ops.within(EVERY)
    shown = await preview(every, f"prod/ {on_prod.get_server_pid()}")
    await confirm(every, shown)
    entry = await ops.within(on(Right.LOOK, "prod")).outcome(CHANNEL, shown.proposal.key)
    assert isinstance(entry, Entry)
    assert isinstance(await every.outcome("another channel", shown.proposal.key), NotClaimed)
    with pytest.raises(NotAllowed):
        await ops.within(KILLS).outcome(CHANNEL, shown.proposal.key)


async def test_a_timeline_is_of_the_kills_cluster_for_those_who_may_look_there(
    ops: Operations, ledger: SqlLedger, sessions: Opened, on_prod: asyncpg.Connection
) -> None:
    """A refusal that names no cluster may have been meant for one that they may not look at."""
    every = ops.within(EVERY)
    await preview(every, f"main/ {(await sessions.open()).get_server_pid()}")
    shown = await preview(every, f"prod/ {on_prod.get_server_pid()}")
    key = shown.proposal.key
    refused = [f"kill.terminate {key}", "/pg-kill 33507", "/pg-kill main/ 33507"]
    refusals = [RefusalNote(actor=BEN, channel_id=CHANNEL, what=each, why="") for each in refused]
    elsewhere = RefusalNote(actor=BEN, channel_id="D0BEN", what="/pg-kill prod/ 1", why="")
    await ledger.note([(0, each) for each in (*refusals, elsewhere)])

    async def told(reach: Reach) -> list[tuple[Step, str]]:
        found = await ops.within(reach).timeline(CHANNEL, key)
        assert isinstance(found, Timeline)
        return [
            (event.step, event.of.what if isinstance(event.of, Noted) else event.cluster or "")
            for event in found.events
        ]

    own = [(Step.PREVIEW, "prod"), (Step.REFUSED, refused[0])]
    assert await told(on(Right.LOOK, "prod")) == own
    assert await told(on(Right.LOOK, "main", "prod")) == [*own, (Step.REFUSED, refused[1])]
    assert await told(on(Right.CANCEL, "prod")) == [*own, (Step.REFUSED, elsewhere.what)]
    assert isinstance(await every.timeline("another channel", key), NotClaimed)
    with pytest.raises(NotAllowed):
        await ops.within(KILLS).timeline(CHANNEL, key)


# --- one server under two names


async def test_a_right_on_a_server_is_asked_for_under_each_of_its_names(
    bench: Bench, cluster: PostgresCluster, pg: PostgresServer, sessions: Opened
) -> None:
    victim = await sessions.open(app="twin")
    async with AsyncExitStack() as stack:
        twin = PostgresCluster("twin", pg.dsn(user=BOT), "db-1.example.com")
        stack.push_async_callback(twin.close)
        await twin.open()
        ops = bench(clusters={"main": cluster, "twin": twin})
        for text in ("main/ app=twin", "twin/ app=twin", "app=twin"):
            with pytest.raises(NotAllowed) as refused:
                await ops.within(KILLS).propose(ANA, CHANNEL, typed(text))
            assert refused.value.cluster == "twin"
        both = ops.within(on(Right.KILL, "main", "twin"))
        shown = await preview(both, "main/ app=twin")
        with pytest.raises(NotAllowed):
            await ops.within(KILLS).confirm(ANA, CHANNEL, shown.proposal.key)
        with pytest.raises(NotAllowed):
            await ops.within(KILLS).look(ANA, CHANNEL, SessionsRequest(target=Named("main")))
        assert await lives(victim)


async def test_a_restart_that_one_name_has_not_seen_leaves_it_a_name_of_the_server(
    bench: Bench, cluster: PostgresCluster, pg: PostgresServer
) -> None:
    async with AsyncExitStack() as stack:
        twin = PostgresCluster("twin", pg.dsn(user=BOT), "db-1.example.com")
        stack.push_async_callback(twin.close)
        await twin.open()
        clusters = bench(clusters={"main": cluster, "twin": twin}).within(KILLS).clusters
        assert twin.server is not None
        assert twin.server_known_at is not None

        def started(when: datetime) -> ServerId:
            assert twin.server is not None
            return ServerId(twin.server.system_identifier, when)

        restarted = started(twin.server_known_at + timedelta(seconds=1))
        assert not clusters.may(Right.KILL, "main", restarted)
        standby = started(twin.server.postmaster_start_time - timedelta(days=1))
        assert clusters.may(Right.KILL, "main", standby)


USES = {
    "look": lambda mine: mine.look(ANA, CHANNEL, asked("twin/")),
    "look at a database": lambda mine: mine.look(ANA, CHANNEL, asked("some_db")),
    "look for a role": lambda mine: mine.look(ANA, CHANNEL, asked("twin/ user=wbe")),
    "why": lambda mine: mine.why(ANA, CHANNEL, parse_sessions("why twin/")),
    "why a role": lambda mine: mine.why(ANA, CHANNEL, parse_sessions("why wbe")),
    "horizon": lambda mine: mine.horizon(ANA, CHANNEL, parse_sessions("horizon twin/")),
    "by": lambda mine: mine.groups(ANA, CHANNEL, parse_sessions("by=state twin/")),
    "tree": lambda mine: mine.tree(ANA, CHANNEL, "twin"),
    "preview": lambda mine: mine.propose(ANA, CHANNEL, typed("twin/ user=wbe")),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
async def test_a_right_is_asked_of_the_server_that_was_read(
    bench: Bench, cluster: PostgresCluster, pg: PostgresServer, use: Any
) -> None:
    """Where `twin` leads is not known before it is read: to `main`, which is denied to them."""
    async with AsyncExitStack() as stack:
        twin = PostgresCluster("twin", pg.dsn(user=BOT), "db-1.example.com")
        stack.push_async_callback(twin.close)
        ops = bench(clusters={"main": cluster, "twin": twin})
        stack.push_async_callback(ops.settle)
        opening = asyncio.create_task(twin.open())
        stack.push_async_callback(asyncio.wait_for, opening, None)
        assert twin.server is None
        with pytest.raises(NotAllowed) as refused:
            await use(ops.within(on(Right.KILL, "twin")))
        assert refused.value.cluster == "main"


async def test_answer_about_all_leaves_out_a_server_that_is_denied(
    bench: Bench, cluster: PostgresCluster, prod: PostgresCluster, pg: PostgresServer
) -> None:
    for use in (
        lambda mine: mine.look(ANA, CHANNEL, asked("")),
        lambda mine: mine.why(ANA, CHANNEL, parse_sessions("why")),
        lambda mine: mine.horizon(ANA, CHANNEL, parse_sessions("horizon")),
        lambda mine: mine.groups(ANA, CHANNEL, parse_sessions("by=app")),
    ):
        async with AsyncExitStack() as stack:
            twin = PostgresCluster("twin", pg.dsn(user=BOT), "db-1.example.com")
            stack.push_async_callback(twin.close)
            ops = bench(clusters={"main": cluster, "prod": prod, "twin": twin})
            stack.push_async_callback(ops.settle)
            opening = asyncio.create_task(twin.open())
            stack.push_async_callback(asyncio.wait_for, opening, None)
            answer = await use(ops.within(on(Right.LOOK, "prod", "twin")))
            assert answer.left_out == 2


@pytest.mark.parametrize(("host", "is_same"), [("DB-1.internal", True), ("db-9", False)])
async def test_a_name_that_has_not_answered_is_known_by_its_address(
    bench: Bench, cluster: PostgresCluster, host: str, is_same: bool
) -> None:
    silent = PostgresCluster("silent", "postgresql://bot@127.0.0.1:1/x", host)
    ops = bench(clusters={"main": cluster, "silent": silent})
    assert ops.within(KILLS).clusters.may(Right.KILL, "main") is not is_same
