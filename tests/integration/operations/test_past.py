"""Looks at the past on a real PostgreSQL: what they show, and that nothing can act on it."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

import asyncpg
import pytest

from bot.domain.people import NOWHERE, Reach, Right
from bot.domain.record import Record
from bot.errors import NoSample, NotAllowed, TargetError
from bot.grammar.parser import read_sessions
from bot.grammar.requests import GroupsRequest, PastRequest, SessionsRequest
from bot.grammar.watching import WatchRequest
from bot.ledger.sql import SqlLedger
from bot.operations import Operations, Rules
from bot.operations.boards import Which
from bot.operations.results import Choice, Grouped, Overview, Past, Tree, Why
from bot.operations.results import Sessions as Shown
from bot.postgres.cluster import PostgresCluster
from bot.slack.buttons import ActionId, unseal
from bot.slack.views.past import past as drawn
from tests.integration.conftest import BOT, Sessions
from tests.integration.kills import ANA, CHANNEL
from tests.integration.steps import Steps
from tests.rights import EVERYWHERE
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer

_T = TypeVar("_T")


@pytest.fixture
def clock() -> Steps:
    return Steps()


@pytest.fixture
async def ops(
    sampled: PostgresCluster, ledger: SqlLedger, clock: Steps
) -> AsyncIterator[Operations]:
    built = operations(ledger, clock, sampled)
    yield built
    await built.settle()


def operations(
    ledger: SqlLedger, clock: Steps, *clusters: PostgresCluster, every: int = 5
) -> Operations:
    return Operations(
        {cluster.name: cluster for cluster in clusters},
        ledger,
        clock,
        rules=Rules(sample_every=timedelta(seconds=every)),
        owner="me",
        reach=EVERYWHERE,
    )


async def ask(ops: Operations, text: str) -> Past:
    request = read_sessions(text)
    assert isinstance(request, PastRequest)
    answer = await ops.past(ANA, CHANNEL, request)
    message = drawn(answer)
    # Whatever is asked, the past is marked, and nothing can be pressed but one button.
    assert message.text.startswith(f"3 min ago, {answer.taken_at:%H:%M:%S} UTC\n")
    (actions,) = [block for block in message.blocks if block["type"] == "actions"]
    (only,) = actions["elements"]
    assert (only["action_id"], only["text"]["text"]) == (ActionId.ANSWER_SHOW, "Look now")
    assert json.dumps(message.blocks).count("action_id") == 1
    assert read_sessions(unseal(only["value"])) == request.now
    assert "pg_terminate_backend" not in json.dumps(message.blocks)
    return answer


async def until_somebody_waits(ops: Operations, clock: Steps) -> None:
    """Sample until the last sample has a waiter, and everyone else waits for their client.

    Who has just been answered doesn't wait yet.
    """
    async with asyncio.timeout(PATIENCE):
        while True:
            sample = await ops.samples.take("main")
            assert sample.seen is not None
            if sample.waiting and all(row.wait_event for row in sample.seen.survey.look.rows):
                return
            clock.skip(5.0)
            await asyncio.sleep(0.01)


async def sample_and_wait(ops: Operations, clock: Steps) -> None:
    """Sample now; then three minutes pass."""
    sample = await ops.samples.take("main")
    assert sample.problem is None
    clock.skip(180.0)


async def test_look_shows_what_has_gone(ops: Operations, clock: Steps, sessions: Sessions) -> None:
    gone = await sessions.open("web", app="gone")
    await gone.execute("begin; select 'secret-424242'")
    pid = gone.get_server_pid()
    await sample_and_wait(ops, clock)
    await gone.close()
    answer = await ask(ops, "some_db at=-3m")
    assert isinstance(answer.shown, Shown)
    (row,) = [row for row in answer.shown.look.rows if row.pid == pid]
    assert (row.application_name, row.state) == ("gone", "idle in transaction")
    assert answer.shown.endable == frozenset()
    assert answer.ago == timedelta(minutes=3)
    text = json.dumps(drawn(answer).blocks)
    assert "secret" not in text
    assert f"{answer.shown.look.counts.total}" in text


FILTERS = (
    "user=web",
    "user!=web",
    "user=w*",
    "db=some_db",
    "app=job-*",
    "app!=job-1",
    'app=""',
    "client=127.0.0.1",
    "client=127.0.0.0/8",
    "client!=10.0.0.0/8",
    "client=127.*",
    "state=idle_tx",
    "state!=idle",
    "state=idle*",
    "type=client",
    "wait=Lock",
    "wait=transactionid",
    "wait!=Client",
    "xact>0s",
    "xact<1h",
    "age>1h",
    "idle<1h",
    "query<1h",
    "blocked",
    "blocking",
    "tag.job=Mailer",
    "tag.job!=Mail*",
    "some_db user=batch state=active",
)


async def test_filters_mean_what_they_mean_now(
    ops: Operations, clock: Steps, sessions: Sessions, admin: asyncpg.Connection
) -> None:
    web = await sessions.open("web", app="web-1")
    holder, waiter, other = [await sessions.open("batch", app=f"job-{n}") for n in range(3)]
    await sessions.open("web", "other_db", app="")
    await holder.execute("begin; update accounts set balance = 1 where id = 3")
    await web.execute("begin; select 1 /* job:Mailer */")
    await other.execute("select 1 /* job:Other */")
    waiting = asyncio.create_task(waiter.execute("update accounts set balance = 2 where id = 3"))
    await until_somebody_waits(ops, clock)
    own = {connection.get_server_pid() for connection in sessions.opened}
    clock.skip(180.0)
    for text in FILTERS:
        answer = await ask(ops, f"{text} at=-3m")
        request = read_sessions(text)
        assert isinstance(request, SessionsRequest)
        look = await ops.look(ANA, CHANNEL, request, afresh=True)
        assert isinstance(answer.shown, Shown)
        assert isinstance(look, Shown)
        then = {row.pid for row in answer.shown.look.rows} & own
        now = {row.pid for row in look.look.rows} & own
        assert then == now, text
        shown = answer.shown.look
        assert shown.counts.total == len(shown.rows), text
        assert shown.counts.waiting == sum(row.is_waiting for row in shown.rows), text
    await holder.execute("rollback")
    await waiting


async def test_counts_are_of_all_and_rows_of_the_worst_twenty(
    ops: Operations, clock: Steps, sessions: Sessions
) -> None:
    for _ in range(15):
        await sessions.open("batch", app="crowd")
    for _ in range(10):
        await (await sessions.open("web", app="busy")).execute("begin")
    await sample_and_wait(ops, clock)
    answer = await ask(ops, "at=-3m")
    assert isinstance(answer.shown, Shown)
    assert len(answer.shown.look.rows) == 20
    total = answer.shown.look.counts.total
    assert total >= 25
    assert f"20 of {total} kept, what hurt most" in json.dumps(drawn(answer).blocks)
    crowd = await ask(ops, "user=batch at=-3m")
    assert isinstance(crowd.shown, Shown)
    assert crowd.shown.look.counts.total == 15
    assert crowd.shown.look.counts.by_state == {"idle": 15}
    groups = (await ask(ops, "by=app,user user=batch at=-3m")).shown
    assert isinstance(groups, Grouped)
    (counted,) = groups.counted
    (group,) = counted.groups.largest
    assert (group.values, group.sessions) == (("crowd", "batch"), 15)


@pytest.mark.parametrize("text", ["by=user,db", "by=client", "by=app client=127.0.0.0/8", "by=db"])
async def test_past_counts_are_those_of_then(
    ops: Operations, clock: Steps, sessions: Sessions, text: str
) -> None:
    await sessions.open("batch", app="a")
    await sessions.open("web", "other_db", app="b")
    await sample_and_wait(ops, clock)
    answer = await ask(ops, f"{text} at=-3m")
    past, said = answer.shown, json.dumps(drawn(answer).blocks)
    assert "by the bot's samples, which leave out its own sessions" in said
    assert "`all`" not in said  # which no question about the past takes
    request = read_sessions(text)
    now = await ops.groups(ANA, CHANNEL, request)  # type: ignore[arg-type]
    assert isinstance(past, Grouped)

    def told(answer: Grouped) -> object:
        return {(group.values, group.sessions) for group in answer.counted[0].groups.largest}

    assert told(past) == told(now)
    assert past.counted[0].groups.sessions == now.counted[0].groups.sessions


async def test_why_and_tree_say_who_was_in_the_way(
    ops: Operations, clock: Steps, sessions: Sessions
) -> None:
    holder, waiter = await sessions.open("some_user"), await sessions.open("web")
    await holder.execute("begin; update accounts set balance = 1 where id = 4")
    waiting = asyncio.create_task(waiter.execute("update accounts set balance = 2 where id = 4"))
    await until_somebody_waits(ops, clock)
    clock.skip(180.0)
    await holder.execute("rollback")
    await waiting
    holding, asking = holder.get_server_pid(), waiter.get_server_pid()

    tree = (await ask(ops, "tree at=-3m")).shown
    assert isinstance(tree, Tree)
    assert [(branch.pid, branch.depth) for branch in tree.branches] == [(holding, 0), (asking, 1)]
    assert tree.rows[asking].usename == "web"
    assert tree.locks.waits[asking].locktype == "transactionid"

    found = await ask(ops, "why at=-3m")
    assert isinstance(found.shown, Why)
    assert "limit" in [f.rule for d in found.shown.diagnoses for f in d.findings]
    assert "Cheapest" not in drawn(found).text + json.dumps(drawn(found).blocks)
    narrow = await ask(ops, "why some_user at=-3m")
    assert isinstance(narrow.shown, Why)
    assert "samples don't have it" in json.dumps(drawn(narrow).blocks)
    one = await ask(ops, f"why {asking} at=-3m")
    assert isinstance(one.shown, Why)
    assert f"pid {asking}" in drawn(one).text
    with pytest.raises(TargetError, match="not among the sessions that the sample kept"):
        await ask(ops, "why 1 at=-3m")


async def test_names_are_those_of_then(ops: Operations, clock: Steps, sessions: Sessions) -> None:
    await sample_and_wait(ops, clock)
    with pytest.raises(TargetError) as caught:
        await ask(ops, "some_bd at=-3m")
    assert "some_db" in caught.value.nearest
    with pytest.raises(TargetError, match="no such role"):
        await ask(ops, "user=webb at=-3m")
    with pytest.raises(TargetError, match="no such role"):
        await ask(ops, "by=app user=webb at=-3m")
    with pytest.raises(TargetError, match="QUERY_TAGS doesn't have this key"):
        await ask(ops, "tag.secret=1 at=-3m")
    with pytest.raises(TargetError, match="no such cluster"):
        await ask(ops, "prod/ at=-3m")


async def test_without_a_sample_it_says_why(
    ops: Operations, clock: Steps, ledger: SqlLedger, sampled: PostgresCluster
) -> None:
    for text in ("at=-3m", "some_db at=-3m", "by=app at=-3m", "why at=-3m", "tree at=-3m"):
        with pytest.raises(NoSample, match="SAMPLE_EVERY") as caught:
            await ask(ops, text)
        assert "there is none yet" in caught.value.problem
    await ops.samples.take("main")
    clock.skip(103.0)
    with pytest.raises(NoSample, match="no sample is 3 min old: the oldest is 1 min 43 s old"):
        await ask(ops, "at=-3m")
    never = operations(ledger, clock, sampled, every=0)
    with pytest.raises(NoSample, match="SAMPLE_EVERY=0"):
        await ask(never, "at=-3m")


async def test_moment_without_an_answer_says_so(
    pg: PostgresServer, ledger: SqlLedger, clock: Steps
) -> None:
    down = PostgresCluster("main", "postgresql://x@127.0.0.1:1/x", "db-1.internal", sampled=True)
    ops = operations(ledger, clock, down)
    await ops.samples.take("main")
    clock.skip(180.0)
    with pytest.raises(NoSample, match=r"no answer.*SAMPLE_EVERY"):
        await ask(ops, "at=-3m")


async def test_right_is_asked_for_now(
    ops: Operations, clock: Steps, sampled: PostgresCluster
) -> None:
    await sample_and_wait(ops, clock)
    nobody = ops.within(NOWHERE)
    for text in ("at=-3m", "main/ at=-3m", "by=app at=-3m", "why at=-3m", "tree at=-3m"):
        with pytest.raises(NotAllowed) as caught:
            await ask(nobody, text)
        assert caught.value.right == Right.LOOK


async def test_past_look_is_on_record_and_is_no_look_of_the_channel(
    ops: Operations, clock: Steps, ledger: SqlLedger
) -> None:
    await sample_and_wait(ops, clock)
    await ask(ops, "main/ at=-3m")
    await ops.settle()
    noted = await ledger.noted(Record.LOOKS, since=None, limit=9)
    assert [note.what for note in noted] == ["main/ at=-3m"]
    assert await ledger.last_look(CHANNEL, "main") is None


async def test_several_clusters_stand_side_by_side(
    pg: PostgresServer, sampled: PostgresCluster, ledger: SqlLedger, clock: Steps
) -> None:
    silent = PostgresCluster("silent", "postgresql://x@127.0.0.1:1/x", "db-2", sampled=True)
    ops = operations(ledger, clock, sampled, silent)
    for name in ("main", "silent"):
        await ops.samples.take(name)
    clock.skip(180.0)
    answer = await ask(ops, "at=-3m")
    assert isinstance(answer.shown, Overview)
    main, other = answer.shown.cards
    assert main.look is not None
    assert other.look is None
    assert isinstance(other.trouble, NoSample)
    groups = (await ask(ops, "by=app at=-3m")).shown
    assert isinstance(groups, Grouped)
    assert len(groups.counted) == len(groups.troubles) == 1
    for text, word in (("tree at=-3m", "name the cluster"), ("7 at=-3m", "name the cluster")):
        with pytest.raises(TargetError, match=word):
            await ask(ops, text)


async def test_clusters_without_the_right_are_counted(
    sampled: PostgresCluster, ledger: SqlLedger, clock: Steps
) -> None:
    silent, closed = [
        PostgresCluster(name, "postgresql://x@127.0.0.1:1/x", f"{name}.internal", sampled=True)
        for name in ("silent", "closed")
    ]
    ops = operations(ledger, clock, sampled, silent, closed)
    await ops.samples.take("silent")
    await sample_and_wait(ops, clock)
    theirs = ops.within(Reach({Right.LOOK: frozenset({"main", "silent"})}))
    for text in ("at=-3m", "by=app at=-3m"):
        answer = (await ask(theirs, text)).shown
        assert isinstance(answer, Overview | Grouped)
        assert answer.left_out == 1
    one = (await ask(theirs, "by=app main/ at=-3m")).shown
    assert isinstance(one, Grouped)
    assert one.left_out == 0


async def test_right_goes_by_the_server_that_was_sampled(
    pg: PostgresServer, sampled: PostgresCluster, ledger: SqlLedger, clock: Steps
) -> None:
    """As for a look of now, it must be held under each name of the server."""
    twin = PostgresCluster("prod", pg.dsn(user=BOT), "db-2.internal")
    ops = operations(ledger, clock, sampled, twin)
    await sample_and_wait(ops, clock)
    theirs = ops.within(Reach({Right.LOOK: frozenset({"main"})}))
    await ask(theirs, "main/ at=-3m")
    await twin.open()
    try:
        for text in ("main/ at=-3m", "why main/ at=-3m", "tree main/ at=-3m"):
            with pytest.raises(NotAllowed) as caught:
                await ask(theirs, text)
            assert caught.value.cluster == "prod"
        # Its address has moved since; what was sampled is the server that `prod` leads to.
        assert sampled.server is not None
        there = sampled.server.system_identifier
        sampled._server = replace(sampled.server, system_identifier=there + 1)
        ops.clusters.within(theirs.clusters.reach).named("main", Right.LOOK)
        with pytest.raises(NotAllowed):
            await ask(theirs, "main/ at=-3m")
    finally:
        await twin.close()


async def test_database_that_a_cluster_is_named_like_is_a_choice_and_counts_no_session_twice(
    sampled: PostgresCluster, pg: PostgresServer, ledger: SqlLedger, clock: Steps
) -> None:
    namesake = PostgresCluster("some_db", pg.dsn(user=BOT), "db-2.internal", sampled=True)
    await namesake.open()
    ops = operations(ledger, clock, sampled, namesake)
    try:
        await ops.samples.take("some_db")
        await sample_and_wait(ops, clock)
        databases = ["main/some_db", "some_db/some_db"]
        meant = [*databases, "some_db/"]

        answer = await ops.look(ANA, CHANNEL, _read(SessionsRequest, "some_db"))
        assert isinstance(answer, Choice)
        assert [str(each) for each in answer.requests] == meant
        which = await ops.watch(ANA, CHANNEL, _read(WatchRequest, "watch some_db"))
        assert isinstance(which, Which)
        assert [str(each.of) for each in which.requests] == meant
        with pytest.raises(TargetError) as caught:
            await ops.past(ANA, CHANNEL, _read(PastRequest, "some_db at=-3m"))
        assert [*caught.value.nearest] == meant

        counted = await ops.groups(ANA, CHANNEL, _read(GroupsRequest, "by=state some_db"))
        assert [str(each.target) for each in counted.counted] == databases
        past = await ops.past(ANA, CHANNEL, _read(PastRequest, "by=state some_db at=-3m"))
        assert isinstance(past.shown, Grouped)
        assert [str(each.target) for each in past.shown.counted] == databases
    finally:
        await ops.settle()
        await namesake.close()


def _read(kind: type[_T], text: str) -> _T:
    request = read_sessions(text)
    assert isinstance(request, kind)
    return request
