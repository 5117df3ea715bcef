"""A kill from the preview to the record, on a real PostgreSQL and a real ledger."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
import structlog

from bot.domain.kept_names import Applications
from bot.domain.kills import LEASE, Action, Basis, Conclusion, Outcome, State, Unclaimable
from bot.domain.record import Record
from bot.domain.sessions import BackendId, SpareReason
from bot.domain.signals import Guard, Reply, Sighting, Verdict
from bot.errors import LedgerError, NotSent, TargetError, UsageError
from bot.grammar.requests import KillRequest, SessionsRequest, Target
from bot.ledger.sql import SqlLedger
from bot.operations import Operations, Rules
from bot.operations.results import (
    Choice,
    NeedsSecondPerson,
    NotClaimed,
    NothingToKill,
    Preview,
    TooMany,
)
from bot.ports import Urgency
from bot.postgres import cluster as cluster_module
from bot.postgres.cluster import PostgresCluster
from bot.service.metrics import Metrics
from bot.slack.views.choice import choice
from tests.integration.conftest import BOT, Bench, Sessions
from tests.integration.kills import (
    ANA,
    BEN,
    CHANNEL,
    QuickClock,
    ask_until_it_answers,
    confirm,
    later,
    lives,
    outcomes,
    preview,
    recorded,
    typed,
)
from tests.servers import postgres
from tests.unit.reading import walk
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer


@pytest.mark.smoke
async def test_the_story(bench: Bench, pg, admin, sessions: Sessions, ledger) -> None:
    holder = await sessions.open("some_user")
    await holder.execute("begin; update accounts set balance = balance - 1 where id = 1")
    with pytest.raises(asyncpg.TooManyConnectionsError):
        await sessions.open("some_user")
    ops = bench()

    shown = await preview(ops, "user=some_user -- blocks the deploy")
    assert [t.id.pid for t in shown.proposal.targets] == [holder.get_server_pid()]
    conclusion = await confirm(ops, shown, actor=BEN)

    assert outcomes(conclusion) == {holder.get_server_pid(): Outcome.TERMINATED}
    assert not await lives(holder)
    assert await lives(await sessions.open("some_user"))
    before, after = conclusion.limits[0]
    assert (before.name, before.used, after.used) == ("some_user", 1, 0)
    entry = await recorded(ledger, shown)
    assert entry.proposal.state is State.DONE
    assert (entry.proposal.asked_by, entry.proposal.confirmed_by) == (ANA, BEN)
    assert entry.proposal.reason == "blocks the deploy"
    assert "balance = balance - ?" in (entry.proposal.targets[0].seen.query or "")
    assert [r.outcome for r in entry.results] == [Outcome.TERMINATED]


async def test_who_came_later_is_counted_and_left_alone(bench: Bench, sessions: Sessions) -> None:
    early = await sessions.open("batch", app="etl")
    ops = bench()
    shown = await preview(ops, "user=batch app=etl")
    late = await sessions.open("batch", app="etl")

    conclusion = await confirm(ops, shown)

    assert outcomes(conclusion) == {early.get_server_pid(): Outcome.TERMINATED}
    assert conclusion.arrivals == 1
    assert await lives(late)


@pytest.mark.smoke
async def test_changed_then_previewed_again_goes_whatever_it_runs(
    bench: Bench, sessions: Sessions
) -> None:
    busy = await sessions.open("web")
    await busy.execute("begin; select 1")
    ops = bench()
    shown = await preview(ops, f"{busy.get_server_pid()}")
    await busy.execute("commit")
    await busy.execute("begin; select 1")

    conclusion = await confirm(ops, shown)
    assert outcomes(conclusion) == {busy.get_server_pid(): Outcome.CHANGED}
    assert await lives(busy)

    again = await ops.preview_again(ANA, CHANNEL, shown.proposal.key)
    assert isinstance(again, Preview)
    assert again.proposal.basis is Basis.IDENTITY
    await busy.execute("commit")
    await busy.execute("begin; select 1")
    conclusion = await confirm(ops, again)
    assert outcomes(conclusion) == {busy.get_server_pid(): Outcome.TERMINATED}


async def test_two_clicks_at_once_are_one_kill(bench: Bench, sessions: Sessions) -> None:
    await sessions.open("batch", app="twice")
    ops, replica = bench(), bench(owner="another replica")
    shown = await preview(ops, "app=twice")

    answers = await asyncio.gather(
        *(o.confirm(ANA, CHANNEL, shown.proposal.key) for o in (ops, replica, ops, replica))
    )

    assert sum(isinstance(answer, Conclusion) for answer in answers) == 1
    assert sum(isinstance(answer, NotClaimed) for answer in answers) == 3


async def test_an_expired_preview_signals_nothing_and_can_be_renewed(
    bench: Bench, sessions: Sessions
) -> None:
    victim = await sessions.open("batch", app="slow")
    ops = bench(confirm_ttl=timedelta(0))
    shown = await preview(ops, "app=slow")

    answer = await ops.confirm(ANA, CHANNEL, shown.proposal.key)

    assert isinstance(answer, NotClaimed)
    assert answer.why == Unclaimable.EXPIRED
    assert await lives(victim)
    again = await bench().preview_again(ANA, CHANNEL, shown.proposal.key)
    assert isinstance(again, Preview)
    assert [t.id for t in again.proposal.targets] == [t.id for t in shown.proposal.targets]


async def test_a_dismissed_preview_can_not_be_confirmed(bench: Bench, sessions: Sessions) -> None:
    victim = await sessions.open("batch", app="spare")
    ops = bench()
    shown = await preview(ops, "app=spare")

    elsewhere = await ops.dismiss(BEN, "another channel", shown.proposal.key)
    assert isinstance(elsewhere, NotClaimed)
    assert elsewhere.why == Unclaimable.ANOTHER_CHANNEL
    await ops.dismiss(BEN, CHANNEL, shown.proposal.key)

    answer = await ops.confirm(ANA, CHANNEL, shown.proposal.key)
    assert isinstance(answer, NotClaimed)
    assert answer.why == Unclaimable.DISMISSED
    assert answer.entry is not None
    assert answer.entry.proposal.dismissed_by == BEN
    assert await lives(victim)


async def test_a_click_in_another_channel_is_not_this_preview(
    bench: Bench, sessions: Sessions
) -> None:
    victim = await sessions.open("batch", app="elsewhere")
    ops = bench()
    shown = await preview(ops, "app=elsewhere")

    answer = await ops.confirm(ANA, "C2", shown.proposal.key)

    assert isinstance(answer, NotClaimed)
    assert await lives(victim)


class Watched(PostgresCluster):
    """A cluster that runs something right before each signal."""

    before_signal: Callable[[Guard], Awaitable[None]] | None = None

    async def signal(self, guard: Guard) -> Reply:
        if self.before_signal is not None:
            await self.before_signal(guard)
        return await super().signal(guard)


@pytest.fixture
async def watched(pg: PostgresServer) -> AsyncIterator[Watched]:
    cluster = Watched("main", pg.dsn(user=BOT), "db-1.internal")
    await cluster.open()
    yield cluster
    await cluster.close()


async def test_the_intent_is_in_the_ledger_before_the_first_signal(
    bench: Bench, sessions: Sessions, ledger: SqlLedger, watched: Watched
) -> None:
    await sessions.open("batch", app="intent")
    ops = bench(clusters={"main": watched})
    shown = await preview(ops, "app=intent")
    at_signal = []

    async def ask(_: Guard) -> None:
        at_signal.append(await recorded(ledger, shown))

    watched.before_signal = ask
    await confirm(ops, shown, actor=BEN)

    assert [e.proposal.state for e in at_signal] == [State.CLAIMED]
    assert at_signal[0].proposal.confirmed_by == BEN


async def test_an_intent_that_can_not_be_written_signals_nothing(
    bench: Bench, sessions: Sessions, tmp_path: Path
) -> None:
    class Full(SqlLedger):
        async def claim(self, *_: object, **__: object):
            raise LedgerError("the disk is full")

    ledger = Full(f"sqlite:///{tmp_path / 'full.db'}")
    await ledger.open()
    try:
        victim = await sessions.open("batch", app="nointent")
        ops = bench(ledger=ledger)
        shown = await preview(ops, "app=nointent")
        with pytest.raises(LedgerError):
            await ops.confirm(ANA, CHANNEL, shown.proposal.key)
        assert await lives(victim)
    finally:
        await ledger.close()


async def test_an_outcome_that_can_not_be_written_is_retried_and_marked(
    bench: Bench, sessions: Sessions, tmp_path: Path
) -> None:
    class Failing(SqlLedger):
        left = 2

        async def conclude(self, conclusion: Conclusion, owner: str) -> bool:
            if self.left:
                self.left -= 1
                raise LedgerError("the disk is full")
            return await super().conclude(conclusion, owner)

    ledger = Failing(f"sqlite:///{tmp_path / 'failing.db'}")
    await ledger.open()
    try:
        ops = bench(ledger=ledger)
        await sessions.open("batch", app="retried")
        assert (await confirm(ops, await preview(ops, "app=retried"))).recorded

        ledger.left = 1000
        await sessions.open("batch", app="lost")
        conclusion = await confirm(ops, await preview(ops, "app=lost"))
        assert not conclusion.recorded
        assert conclusion.counts == {Outcome.TERMINATED: 1}
    finally:
        await ledger.close()


async def test_terminated_is_said_only_of_what_is_seen_to_be_gone(
    bench: Bench, sessions: Sessions
) -> None:
    """A stopped process takes no signal: still running, and gone at the second look."""
    victim = await sessions.open("batch", app="stopped")
    pid = victim.get_server_pid()
    ops = bench()
    shown = await preview(ops, "app=stopped")
    os.kill(pid, signal.SIGSTOP)
    try:
        conclusion = await confirm(ops, shown)
        assert outcomes(conclusion) == {pid: Outcome.STILL_RUNNING}
    finally:
        os.kill(pid, signal.SIGCONT)
    amended = await later(ops, conclusion)
    assert outcomes(amended) == {pid: Outcome.TERMINATED}


async def test_a_signal_that_hangs_past_its_deadline_spares_the_session(
    bench: Bench, sessions: Sessions, watched: Watched, admin: asyncpg.Connection
) -> None:
    """The bot's own backends stand still at the signal and go on after the deadline."""
    victim = await sessions.open("batch", app="hang")
    ops = bench(clusters={"main": watched})
    shown = await preview(ops, "app=hang")
    own = await admin.fetch(
        "select pid from pg_stat_activity where usename = $1 and application_name = $2",
        BOT,
        "pg-sessions-bot",
    )
    own_pids = [row["pid"] for row in own]

    async def stop(_: Guard) -> None:
        for pid in own_pids:
            os.kill(pid, signal.SIGSTOP)

    watched.before_signal = stop
    try:
        conclusion = await confirm(ops, shown)
        assert outcomes(conclusion) == {victim.get_server_pid(): Outcome.UNKNOWN}
    finally:
        for pid in own_pids:
            os.kill(pid, signal.SIGCONT)
    amended = await later(ops, conclusion)
    assert outcomes(amended) == {victim.get_server_pid(): Outcome.UNKNOWN}
    assert "still there after the deadline" in amended.results[0].detail
    assert await lives(victim)


async def test_what_is_protected_is_spared_in_the_preview_and_again_at_the_click(
    bench: Bench, sessions: Sessions
) -> None:
    kept = await sessions.open("web", app="group")
    other = await sessions.open("batch", app="group")
    ops = bench(protected_roles=(("we", ""),), protected_applications=(("backup", ""),))
    shown = await preview(ops, "user!=some_user client=127.0.0.1 app=group")
    assert [(s.seen.usename, s.why) for s in shown.proposal.spared] == [("web", "PROTECTED_ROLES")]

    by_pid = await preview(ops, f"{other.get_server_pid()}")
    await other.execute("set application_name = 'backup of the night'")
    conclusion = await confirm(ops, by_pid)

    assert outcomes(conclusion) == {other.get_server_pid(): Outcome.PROTECTED}
    assert await lives(other)
    assert await lives(kept)


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("glob", "name"),
    [
        (("Rückmeldung",), "Rückmeldung"),
        (("x" * 71,), "x" * 71),
        (("payments", "-nightly"), f"payments-{'x' * 60}-nightly"),
    ],
)
async def test_an_application_is_protected_by_the_name_that_its_client_said(
    bench: Bench, sessions: Sessions, glob: tuple[str, ...], name: str
) -> None:
    """Not by what PostgreSQL makes of it."""
    kept, other = await sessions.open("web", app=name), await sessions.open("web", app="group")
    pids = f"{kept.get_server_pid()} {other.get_server_pid()}"
    ops = bench(protected_applications=(glob,))
    shown = await preview(ops, pids)
    assert [spared.why for spared in shown.proposal.spared] == ["PROTECTED_APPLICATIONS"]
    assert [target.id.pid for target in shown.proposal.targets] == [other.get_server_pid()]

    await other.execute(f"set client_min_messages = error; set application_name = '{name}'")
    conclusion = await confirm(ops, shown)
    assert outcomes(conclusion) == {other.get_server_pid(): Outcome.PROTECTED}
    assert await lives(other)
    assert await lives(kept)


async def test_the_bots_own_sessions_are_never_offered(bench: Bench, sessions: Sessions) -> None:
    mine = await sessions.open(BOT, "postgres", app="anything")
    answer = await bench().propose(ANA, CHANNEL, KillRequest(pids=(mine.get_server_pid(),)))

    assert isinstance(answer, NothingToKill)
    assert [spared.why for spared in answer.spared] == [SpareReason.OWN_ROLE]


async def test_the_second_person_is_another_one(bench: Bench, sessions: Sessions) -> None:
    victim = await sessions.open("batch", app="two")
    ops = bench(second_person=frozenset({"main"}))
    shown = await preview(ops, "app=two", actor=ANA)
    assert shown.second_person

    assert isinstance(await ops.confirm(ANA, CHANNEL, shown.proposal.key), NeedsSecondPerson)
    assert await lives(victim)
    conclusion = await confirm(ops, shown, actor=BEN)
    assert outcomes(conclusion) == {victim.get_server_pid(): Outcome.TERMINATED}


async def test_only_the_lapsed_claim_of_a_dead_process_is_concluded_for_it(
    bench: Bench, sessions: Sessions, ledger: SqlLedger
) -> None:
    victim = await sessions.open("batch", app="orphan")
    dead, ops = bench(owner="dead"), bench(owner="survivor")
    orphan, held = await preview(dead, "app=orphan"), await preview(dead, "app=orphan")
    await ledger.claim(orphan.proposal.key, ANA, "dead", timedelta(0))
    await ledger.claim(held.proposal.key, ANA, "alive", LEASE)

    concluded = await ops.recover()

    assert [c.proposal.id for c in concluded] == [orphan.proposal.id]
    assert outcomes(concluded[0]) == {victim.get_server_pid(): Outcome.INTERRUPTED}
    assert "still there" in concluded[0].results[0].detail
    assert (await recorded(ledger, held)).proposal.state is State.CLAIMED
    assert await lives(victim)


async def test_each_target_is_counted_once_by_its_outcome_whoever_records_it(
    bench: Bench, sessions: Sessions, ledger: SqlLedger
) -> None:
    for _ in range(2):
        await sessions.open("batch", app="counted")
    numbers = Metrics(dict)
    dead, ops = bench(owner="dead"), bench(owner="survivor", meter=numbers)
    orphan = await preview(dead, "app=counted")
    await ledger.claim(orphan.proposal.key, ANA, "dead", timedelta(0))

    await ops.recover()
    await confirm(ops, await preview(ops, "app=counted"))
    assert await ops.recover() == ()

    counted = {
        line.partition(" ")[0]: line.partition(" ")[2]
        for line in numbers.exposed().decode().splitlines()
        if line.startswith("pg_sessions_kill_targets_total")
    }
    assert counted == {
        'pg_sessions_kill_targets_total{outcome="interrupted"}': "2.0",
        'pg_sessions_kill_targets_total{outcome="terminated"}': "2.0",
    }


async def test_a_kill_and_its_dead_processes_keep_the_reference_that_asked(
    bench: Bench, sessions: Sessions, ledger: SqlLedger
) -> None:
    """The log's lines carry it; another process has it of the ledger."""
    await sessions.open("batch", app="referred")
    ops = bench(owner="survivor")
    answer = await ops.propose(ANA, CHANNEL, typed("app=referred"), reference="0badcafe")
    assert isinstance(answer, Preview)
    await ledger.claim(answer.proposal.key, ANA, "dead", timedelta(0))
    with structlog.testing.capture_logs([structlog.contextvars.merge_contextvars]) as lines:
        await bench(owner="survivor").recover()
    told = [(line["event"], line["reference"], line["kill"]) for line in lines]
    assert told == [
        (event, "0badcafe", answer.proposal.id) for event in ("kill.lapsed", "kill.concluded")
    ]


async def test_whoever_is_refused_can_not_fill_the_ledger(bench: Bench, ledger: SqlLedger) -> None:
    ops = bench()
    ops.refused(ANA, CHANNEL, "kill.terminate " + "9" * 60_000, "not in it")
    await ops.settle()
    (noted,) = await ledger.noted(Record.REFUSALS, since=None, limit=2)
    assert noted.what.startswith("kill.terminate 999")
    assert len(noted.what) == 300


async def test_a_restart_since_the_preview_signals_nothing(ledger: SqlLedger) -> None:
    async with postgres() as own:
        cluster = PostgresCluster("main", own.dsn(), "db-1.internal")
        admin = await asyncpg.connect(own.dsn())
        await admin.execute("create role web login")
        await admin.close()
        victim = await asyncpg.connect(own.dsn(user="web"))
        await cluster.open()
        ops = Operations({"main": cluster}, ledger, QuickClock(), rules=Rules(), owner="me")
        shown = await preview(ops, "user=web")
        victim.terminate()
        await own.restart()
        successor = await asyncpg.connect(own.dsn(user="web"))
        try:
            conclusion = await ask_until_it_answers(ops, shown)
            assert conclusion.counts == {Outcome.SERVER_CHANGED: 1}
            assert await lives(successor)
        finally:
            successor.terminate()
            await cluster.close()


async def test_more_than_a_hundred_ask_for_a_narrower_filter(ledger: SqlLedger) -> None:
    async with postgres(settings={"max_connections": 130}) as own:
        cluster = PostgresCluster("main", own.dsn(), "db-1.internal")
        await cluster.open()
        admin = await asyncpg.connect(own.dsn())
        await admin.execute("create role web login")
        crowd = [await asyncpg.connect(own.dsn(user="web")) for _ in range(101)]
        ops = Operations({"main": cluster}, ledger, QuickClock(), rules=Rules(), owner="me")
        try:
            answer = await ops.propose(ANA, CHANNEL, typed("user=web"))
            assert isinstance(answer, TooMany)
            assert answer.total == 101
            crowd.pop().terminate()
            while await admin.fetchval(
                "select count(*) > 100 from pg_stat_activity where usename = 'web'"
            ):
                await asyncio.sleep(0.01)
            conclusion = await confirm(ops, await preview(ops, "user=web"))
            assert conclusion.counts == {Outcome.TERMINATED: 100}
        finally:
            for connection in crowd:
                connection.terminate()
            await admin.close()
            await cluster.close()


async def test_a_rows_menu_never_reaches_another_backend_under_that_pid(
    bench: Bench, sessions: Sessions
) -> None:
    victim = await sessions.open("batch", app="recycled")
    shown = (await preview(bench(), "app=recycled")).proposal.targets[0].id
    earlier = BackendId(shown.pid, shown.backend_start - timedelta(seconds=1))

    answer = await bench().propose_backends(ANA, CHANNEL, cluster_name="main", ids=(earlier,))

    assert isinstance(answer, NothingToKill)
    assert answer.gone == (shown.pid,)
    assert await lives(victim)


async def test_a_database_on_two_clusters_is_a_choice(
    bench: Bench, pg: PostgresServer, cluster: PostgresCluster, sessions: Sessions
) -> None:
    await sessions.open("batch", app="both")
    prod = PostgresCluster("prod", pg.dsn(user=BOT), "db-2.internal")
    await prod.open()
    sessions.stack.push_async_callback(prod.close)
    ops = bench(clusters={"main": cluster, "prod": prod})

    answer = await ops.look(ANA, CHANNEL, SessionsRequest(target=Target(database="some_db")))
    assert isinstance(answer, Choice)
    assert [r.target for r in answer.requests] == [
        Target("main", "some_db"),
        Target("prod", "some_db"),
    ]
    kill = await ops.propose(ANA, CHANNEL, typed("app=both"))
    assert isinstance(kill, Choice)
    assert len(kill.requests) == 2


async def test_name_that_only_a_cluster_has_is_offered_as_the_cluster(
    bench: Bench, cluster: PostgresCluster
) -> None:
    ops = bench(clusters={"main": cluster, "prod": cluster})

    look = await ops.look(ANA, CHANNEL, SessionsRequest(target=Target(database="prod")))
    assert isinstance(look, Choice)
    assert [request.target for request in look.requests] == [Target("prod")]
    message = choice(look)
    assert message.text.startswith("prod is a cluster; no database with that name was found")
    assert len([each for each in walk(message.blocks) if each.get("type") == "button"]) == 1

    kill = await ops.propose(ANA, CHANNEL, typed("prod user=web -- why"))
    assert isinstance(kill, Choice)
    assert [str(request) for request in kill.requests] == ["prod/ user=web -- why"]
    with pytest.raises(UsageError, match="ends every session of a database"):
        await ops.propose(ANA, CHANNEL, typed("prod all"))


async def test_an_unknown_name_brings_the_nearest(bench: Bench) -> None:
    with pytest.raises(TargetError) as unknown:
        await bench().look(ANA, CHANNEL, SessionsRequest(target=Target(database="some_bd")))
    assert unknown.value.nearest[0] == "some_db"
    with pytest.raises(TargetError) as role:
        await bench().propose(ANA, CHANNEL, typed("user!=some_usr"))
    assert role.value.nearest[0] == "user!=some_user"


async def test_what_started_after_the_channels_last_look_is_marked(
    bench: Bench, sessions: Sessions
) -> None:
    ops = bench()
    old = await sessions.open("batch", app="seen")
    await ops.look(ANA, CHANNEL, SessionsRequest(target=Target(database="some_db")))
    new = await sessions.open("batch", app="seen")

    shown = await preview(ops, "app=seen")

    marks = {t.id.pid: t.is_new for t in shown.proposal.targets}
    assert marks == {old.get_server_pid(): False, new.get_server_pid(): True}


async def run(connection: asyncpg.Connection, cluster: PostgresCluster) -> asyncio.Task[str]:
    """Let a session run a long query, and return when it is seen to run."""
    task = asyncio.ensure_future(connection.execute("select pg_sleep(600)"))
    names = await cluster.names()
    while not any(
        row.pid == connection.get_server_pid() and row.state == "active"
        for row in (await cluster.look((), names=names)).rows
    ):
        await asyncio.sleep(0.01)
    return task


async def test_cancel_ends_the_query_that_was_shown_and_keeps_the_session(
    bench: Bench, cluster: PostgresCluster, sessions: Sessions
) -> None:
    busy, idle = await sessions.open("batch", app="cancel"), await sessions.open(app="cancel")
    query = await run(busy, cluster)
    ops = bench()
    shown = await preview(ops, "app=cancel")

    answer = await ops.confirm(ANA, CHANNEL, shown.proposal.key, action=Action.CANCEL)

    assert isinstance(answer, Conclusion)
    assert outcomes(answer) == {
        busy.get_server_pid(): Outcome.CANCELLED,
        idle.get_server_pid(): Outcome.ALREADY_FINISHED,
    }
    with pytest.raises(asyncpg.QueryCanceledError):
        await query
    assert await lives(busy)
    assert await lives(idle)
    again = await ops.preview_again(ANA, CHANNEL, shown.proposal.key)
    assert isinstance(again, Preview)
    assert again.proposal.action is Action.TERMINATE


async def test_cancel_ends_the_call_that_was_shown_in_whatever_transaction_it_is(
    bench: Bench, sessions: Sessions, admin: asyncpg.Connection, pg: PostgresServer
) -> None:
    """A procedure that commits goes on in another transaction: by pid and by filter."""
    owner = await asyncpg.connect(pg.dsn(database="some_db"))
    await owner.execute(
        "create or replace procedure looper() language plpgsql as $$"
        " begin loop perform pg_sleep(0.05); commit; end loop; end $$"
    )
    await owner.close()
    ops = bench()
    for text in ("{pid}", "app=looper state=active"):
        session = await sessions.open("batch", app="looper")
        call = asyncio.ensure_future(session.execute("call looper()"))
        request = text.format(pid=session.get_server_pid())
        await active(admin, session)
        shown = await preview(ops, request)
        await asyncio.sleep(0.2)
        done = await ops.confirm(ANA, CHANNEL, shown.proposal.key, action=Action.CANCEL)
        assert isinstance(done, Conclusion)
        assert outcomes(done) == {session.get_server_pid(): Outcome.CANCELLED}
        assert done.other_work == 0
        with pytest.raises(asyncpg.QueryCanceledError):
            await call
        await session.close()


async def active(admin: asyncpg.Connection, session: asyncpg.Connection) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await admin.fetchval(
            "select state = 'active' from pg_stat_activity where pid = $1",
            session.get_server_pid(),
        ):
            await asyncio.sleep(0.01)


async def test_a_query_that_no_longer_matches_is_not_said_to_have_finished(
    bench: Bench, sessions: Sessions, cluster: PostgresCluster
) -> None:
    """It waited for a lock, has it by now, and still runs."""
    holder, waiter = await sessions.open("batch"), await sessions.open("batch", app="waits")
    await holder.execute("begin; select pg_advisory_xact_lock(7)")
    query = asyncio.ensure_future(
        waiter.execute("select pg_advisory_lock(7); select pg_sleep(600)")
    )
    ops = bench()
    while not isinstance(
        shown := await ops.propose(ANA, CHANNEL, typed("app=waits blocked")), Preview
    ):
        await asyncio.sleep(0.02)
    await holder.execute("rollback")
    while isinstance(await ops.propose(ANA, CHANNEL, typed("app=waits blocked")), Preview):
        await asyncio.sleep(0.02)

    done = await ops.confirm(ANA, CHANNEL, shown.proposal.key, action=Action.CANCEL)

    assert isinstance(done, Conclusion)
    assert outcomes(done) == {waiter.get_server_pid(): Outcome.NO_LONGER_MATCHES}
    assert not query.done()
    query.cancel()


async def test_cancel_spares_the_query_that_came_after(
    bench: Bench, cluster: PostgresCluster, sessions: Sessions, admin: asyncpg.Connection
) -> None:
    busy = await sessions.open("batch", app="next query")
    query = await run(busy, cluster)
    ops = bench()
    shown = await preview(ops, 'app="next query"')
    await admin.execute("select pg_cancel_backend($1)", busy.get_server_pid())
    with pytest.raises(asyncpg.QueryCanceledError):
        await query
    query = await run(busy, cluster)

    answer = await ops.confirm(ANA, CHANNEL, shown.proposal.key, action=Action.CANCEL)

    assert isinstance(answer, Conclusion)
    assert outcomes(answer) == {busy.get_server_pid(): Outcome.ALREADY_FINISHED}
    assert not query.done()
    query.cancel()


async def test_who_comes_back_is_said_ten_seconds_later(bench: Bench, sessions: Sessions) -> None:
    await sessions.open("some_user")
    ops = bench()
    conclusion = await confirm(ops, await preview(ops, "user=some_user"))
    assert "still free" in (await later(ops, conclusion)).notes[0]

    await sessions.open("some_user")
    conclusion = await confirm(ops, await preview(ops, "user=some_user"))
    again = await sessions.open("some_user")
    amended = await later(ops, conclusion)
    assert "10 s later: some_user is back with 1 session" in amended.notes[0]
    assert str(again.get_server_pid()) in amended.notes[0]


async def test_a_second_look_that_a_process_left_behind_is_taken_by_another(
    bench: Bench, sessions: Sessions, ledger: SqlLedger
) -> None:
    """It sees who came since the kill, and says how much later that is."""
    await sessions.open("some_user")
    first, second = bench(), bench(owner="you")
    conclusion = await confirm(first, await preview(first, "user=some_user"))
    looking = asyncio.ensure_future(first.follow_up(conclusion))
    await asyncio.sleep(0)
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    await first.settle()
    assert await second.left_behind() == ()  # not due yet
    await sessions.open("some_user")
    await after_a_while(ledger, 180)

    (left,) = await second.left_behind()
    assert (await first.left_behind(), await second.left_behind()) == ((), ())
    caught_up = await second.catch_up(left)

    assert caught_up is not None
    (note,) = caught_up.notes
    assert note.startswith("3 min later: some_user is back with 1 session")
    assert await first.follow_up(conclusion) is None
    entry = await ledger.get(conclusion.proposal.key)
    assert entry is not None
    assert entry.notes == (note,)


async def test_a_target_of_a_filter_that_began_other_work_is_counted(
    bench: Bench, sessions: Sessions
) -> None:
    busy = await sessions.open("batch", app="other work")
    calm = await sessions.open("batch", app="other work")
    for session in (busy, calm):
        await session.execute("begin; select 1")
    ops = bench()
    shown = await preview(ops, 'app="other work"')
    await busy.execute("commit")
    await busy.execute("begin; select 1")

    conclusion = await confirm(ops, shown)

    assert conclusion.counts == {Outcome.TERMINATED: 2}
    assert conclusion.other_work == 1


LAST_PID = Path("/proc/sys/kernel/ns_last_pid")


async def test_a_pid_that_the_system_gave_to_another_backend_is_left_alone(
    bench: Bench, sessions: Sessions
) -> None:
    """The kernel is told to hand out the victim's pid again; only root may tell it so."""
    victim = await sessions.open("batch", app="recycled")
    pid = victim.get_server_pid()
    ops = bench()
    shown = await preview(ops, f"{pid}")
    await victim.close()
    successor = await recycle(pid, sessions)
    if successor is None:
        pytest.skip("this system does not let a test choose the next pid")

    conclusion = await confirm(ops, shown)

    assert outcomes(conclusion) == {pid: Outcome.ALREADY_GONE}
    assert await lives(successor)


async def recycle(pid: int, sessions: Sessions) -> asyncpg.Connection | None:
    """A new session whose backend has this pid; None where that can't be had."""
    for _ in range(50):
        try:
            await asyncio.to_thread(LAST_PID.write_text, str(pid - 1))
        except OSError:
            return None
        session = await sessions.open("batch", app="recycled")
        if session.get_server_pid() == pid:
            return session
        await session.close()
    return None


async def test_where_another_server_answers_nothing_is_said_to_be_gone(
    bench: Bench, sessions: Sessions, pg: PostgresServer
) -> None:
    """The address moved between the signal and the look: the old server may still live."""
    victim = await sessions.open("batch", app="moved")
    async with postgres() as other:
        elsewhere = PostgresCluster("main", other.dsn(), "db-1.internal")
        await elsewhere.open()

        class Moved(Watched):
            async def signal(self, guard: Guard) -> Reply:
                return Reply(Verdict.SIGNALLED, xact_start=guard.xact_start)

            async def sight(self, ids: Iterable[BackendId]) -> Sighting:
                return await elsewhere.sight(ids)

        moved = Moved("main", pg.dsn(user=BOT), "db-1.internal")
        await moved.open()
        try:
            ops = bench(clusters={"main": moved})
            conclusion = await confirm(ops, await preview(ops, "app=moved"))
            assert outcomes(conclusion) == {victim.get_server_pid(): Outcome.UNKNOWN}
            amended = await later(ops, conclusion)
            assert outcomes(amended) == {victim.get_server_pid(): Outcome.UNKNOWN}
            assert "another one answers at its address" in amended.results[0].detail
        finally:
            await moved.close()
            await elsewhere.close()


async def test_a_kill_that_is_stopped_records_what_it_knew(
    bench: Bench, sessions: Sessions, ledger: SqlLedger
) -> None:
    victim = await sessions.open("batch", app="broken off")
    ops = bench()
    shown = await preview(ops, 'app="broken off"')
    os.kill(victim.get_server_pid(), signal.SIGSTOP)
    try:
        work = asyncio.ensure_future(ops.confirm(ANA, CHANNEL, shown.proposal.key))
        while (await recorded(ledger, shown)).proposal.state is State.PROPOSED:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
    finally:
        os.kill(victim.get_server_pid(), signal.SIGCONT)
    entry = await recorded(ledger, shown)
    assert entry.proposal.state is State.DONE
    assert [r.outcome for r in entry.results] == [Outcome.INTERRUPTED]

    # What became of it is for the next process to look up.
    await ops.settle()
    await after_a_while(ledger, 11)
    heir = bench(owner="heir")
    (left,) = await heir.left_behind()
    caught_up = await heir.catch_up(left)
    assert caught_up is not None
    (result,) = caught_up.results
    assert result.outcome is Outcome.INTERRUPTED
    assert result.detail == "signalled, and not watched to its end; the session is gone"
    assert (await recorded(ledger, shown)).latest == (result,)


async def after_a_while(ledger: SqlLedger, seconds: int) -> None:
    """Put the outcomes on record so much further back."""
    async with ledger._transaction(ledger._writer) as connection:
        await connection.exec_driver_sql(
            f"UPDATE kills SET concluded_at = concluded_at - {seconds * 1_000_000}"
        )


class Down(SqlLedger):
    """A ledger that takes no outcome while it is down."""

    is_down = False

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.tried = asyncio.Event()

    async def conclude(self, conclusion: Conclusion, owner: str) -> bool:
        self.tried.set()
        if self.is_down:
            raise LedgerError("the disk is full")
        return await super().conclude(conclusion, owner)


@pytest.fixture
async def down(tmp_path: Path) -> AsyncIterator[Down]:
    """A ledger of the test's own that can be put down, open."""
    ledger = Down(f"sqlite:///{tmp_path / 'down.db'}")
    await ledger.open()
    yield ledger
    await ledger.close()


async def test_an_outcome_that_is_being_written_when_the_bot_stops_is_written_at_the_end(
    bench: Bench, sessions: Sessions, down: Down
) -> None:
    ops = bench(ledger=down)
    await sessions.open("batch", app="at the end")
    shown = await preview(ops, 'app="at the end"')
    down.is_down = True
    work = asyncio.ensure_future(ops.confirm(ANA, CHANNEL, shown.proposal.key))
    await down.tried.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work

    down.is_down = False
    await ops.settle()

    entry = await recorded(down, shown)
    assert [r.outcome for r in entry.results] == [Outcome.TERMINATED]


async def test_an_outcome_that_was_not_written_is_written_when_the_ledger_is_back(
    bench: Bench, sessions: Sessions, down: Down
) -> None:
    ops = bench(ledger=down)
    await sessions.open("batch", app="written late")
    shown = await preview(ops, 'app="written late"')
    down.is_down = True
    unwritten = await confirm(ops, shown)
    assert not unwritten.recorded
    assert await ops.recover() == ()
    seen_since = await later(ops, unwritten)
    assert not seen_since.recorded
    assert "no new session of batch" in seen_since.notes[0]

    down.is_down = False
    (conclusion,) = await ops.recover()

    assert conclusion.recorded
    assert conclusion.notes == seen_since.notes
    entry = await recorded(down, shown)
    assert [r.outcome for r in entry.results] == [Outcome.TERMINATED]
    assert entry.notes == seen_since.notes
    assert await ops.recover() == ()
    await ops.settle()
    await after_a_while(down, 11)
    assert await bench(ledger=down, owner="you").left_behind() == ()


async def test_an_operator_does_not_wait_behind_looks(
    cluster: PostgresCluster, bench: Bench, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any number of looks leave a connection to previews; what hangs leaves one to kills."""
    monkeypatch.setattr(cluster_module, "ACQUIRE_TIMEOUT", 0.1)
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
        for urgency in Urgency:
            look = await lonely.look((), names=names, urgency=urgency)
            assert look.counts.total > 0
    finally:
        await lonely.close()


async def test_a_kill_does_not_wait_behind_looks(
    cluster: PostgresCluster, sessions: Sessions
) -> None:
    """Three looks may take all of the working connections; one is kept back for signals."""
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
