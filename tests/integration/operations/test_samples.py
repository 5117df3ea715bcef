"""Samples of a real PostgreSQL, on a clock that the test moves."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest
from structlog.testing import capture_logs

from bot.domain.blocking import worst_first
from bot.domain.findings.model import AT_ONCE, Idle, Question, Rule
from bot.domain.findings.survey import Part
from bot.domain.findings.transactions import idle_in_transaction
from bot.domain.samples import Sample
from bot.domain.sessions import Backend, Limit, Look
from bot.errors import NoSample
from bot.grammar.terms import Field
from bot.ledger.sql import SqlLedger
from bot.operations import Operations, Rules
from bot.operations.samples import Samples
from bot.postgres import cluster as cluster_module
from bot.postgres.cluster import PostgresCluster
from bot.postgres.sampling import WITH_QUERY, with_queries
from tests.integration.conftest import BOT, Sessions, everybody_left
from tests.integration.steps import Steps
from tests.proxy import Proxy
from tests.unit.builders import ago, backend
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer

MINUTE = timedelta(minutes=1)
IDLE_FOR = Rules().patience.idle


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture
def clock() -> Steps:
    return Steps()


def samples_of(
    clock: Steps, ledger: SqlLedger, *clusters: PostgresCluster, every: int = 5
) -> Samples:
    rules = Rules(sample_every=timedelta(seconds=every))
    by_name = {cluster.name: cluster for cluster in clusters}
    return Operations(by_name, ledger, clock, rules=rules, owner="me").samples


@pytest.fixture
def samples(sampled: PostgresCluster, clock: Steps, ledger: SqlLedger) -> Samples:
    return samples_of(clock, ledger, sampled)


async def test_sample_has_figures_rows_counts_and_findings(
    samples: Samples, sessions: Sessions
) -> None:
    holder = await sessions.open("some_user", app="psql")
    await holder.execute("begin; update accounts set balance = 424242 where id = 1")
    waiter = await sessions.open("web", app="web-1")
    waiting = asyncio.create_task(waiter.execute("update accounts set balance = 2 where id = 1"))
    async with asyncio.timeout(PATIENCE):
        while not (sample := await samples.take("main")).waiting:
            await asyncio.sleep(0.01)
    seen = sample.seen
    assert seen is not None
    by_pid = {row.pid: row for row in seen.look.rows}
    assert seen.look.waits.blocked_by == {waiter.get_server_pid(): (holder.get_server_pid(),)}
    assert by_pid[holder.get_server_pid()].usename == "some_user"
    assert "424242" not in repr(sample.seen)
    assert "424242" not in repr(sample.packed().seen)
    assert (sample.problem, sample.waiting, sample.usable) == (None, 1, 57)
    assert sample.used >= 2
    assert sample.by_state["idle in transaction"] == 1
    assert sum(group.sessions for group in seen.crowd.largest) == sample.total
    assert [
        (each.name, each.used, each.limit)
        for each in seen.survey.server.limits
        if each.name == "some_user"
    ] == [("some_user", 1, 1)]
    found = {finding.rule for finding in seen.findings}
    assert Rule.LIMIT in found
    assert sample.oldest_xact_age is not None
    await holder.execute("rollback")
    await waiting


def nearest(samples: Samples, cluster: str, age: timedelta) -> Sample | None:
    """The sample from about that long ago, if there is one."""
    try:
        return samples.then(cluster, age)[0]
    except NoSample:
        return None


async def test_ring_keeps_a_quarter_of_an_hour(samples: Samples, clock: Steps) -> None:
    taken = []
    for _ in range(17):
        taken.append(await samples.take("main"))
        clock.skip(60.0)
    assert samples.of("main") == tuple(taken[1:])
    assert samples.latest("main") == taken[-1]
    assert nearest(samples, "main", 3 * MINUTE) == taken[-3]
    assert nearest(samples, "main", 3 * MINUTE + timedelta(seconds=8)) == taken[-3]
    assert nearest(samples, "main", 3 * MINUTE + timedelta(seconds=10)) is None
    assert nearest(samples, "main", 3.5 * MINUTE) is None  # neither near enough
    assert samples.of("other") == ()
    assert samples.latest("other") is None
    assert nearest(samples, "other", MINUTE) is None


async def test_samples_that_take_too_much_memory_reach_back_less_and_say_so(
    samples: Samples, clock: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.domain.samples.MOST_BYTES", 20_000)
    for _ in range(60):
        await samples.take("main")
        clock.skip(10.0)
    assert 1 < len(samples.of("main")) < 60
    with pytest.raises(NoSample, match=r"or less if they take more than 9 MB, as these do"):
        samples.then("main", 9 * MINUTE)


async def test_older_samples_are_kept_packed(samples: Samples, clock: Steps) -> None:
    for _ in range(3):
        await samples.take("main")
        clock.skip(5.0)
    assert [bool(sample.size) for sample in samples.of("main")] == [True, True, False]


async def test_samples_share_names_that_are_as_they_were(
    samples: Samples, sampled: PostgresCluster, clock: Steps
) -> None:
    for _ in range(2):
        await sampled.names()  # as a look does in between
        await samples.take("main")
        clock.skip(5.0)
    first, second = (sample.seen.look.names for sample in samples.of("main") if sample.seen)
    assert first.roles
    assert first.roles is second.roles
    assert first.databases is second.databases


async def test_samples_that_are_close_together_take_no_more_memory(
    samples: Samples, clock: Steps
) -> None:
    for _ in range(30):
        await samples.take("main")
        clock.skip(1.0)
    assert len(samples.of("main")) <= 8


async def test_each_sample_is_told_and_a_failing_follower_hurts_nobody(samples: Samples) -> None:
    told: list[tuple[str, Sample]] = []

    def fail(cluster: str, sample: Sample) -> None:
        raise RuntimeError(cluster, sample)

    samples.follow(fail)
    samples.follow(lambda cluster, sample: told.append((cluster, sample)))
    taken = await samples.take("main")
    assert told == [("main", taken)]
    assert samples.latest("main") is taken


async def test_sampler_goes_by_the_bots_clock(samples: Samples, clock: Steps) -> None:
    running = asyncio.create_task(samples.run())
    await clock.sleepers(1)
    for number in range(1, 4):
        assert len(samples.of("main")) == number
        clock.skip(5.0)
        await clock.sleepers(1)
        assert len(samples.of("main")) == number + 1
        assert samples.late() == {"main": 0.0}
    clock.skip(8.0)
    assert samples.late() == {"main": 3.0}
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled()


async def test_without_samples_the_server_is_asked_nothing(
    sampled: PostgresCluster, clock: Steps, ledger: SqlLedger
) -> None:
    samples = samples_of(clock, ledger, sampled, every=0)
    await samples.run()
    assert samples.of("main") == ()


async def test_hanging_cluster_says_no_answer_and_costs_the_others_nothing(
    pg: PostgresServer, sampled: PostgresCluster, clock: Steps, ledger: SqlLedger
) -> None:
    hanging = PostgresCluster("hanging", pg.dsn(user=BOT), "db-2.internal", sampled=True)
    await hanging.open()
    (slot,) = hanging._sampling._slots
    assert slot.connection is not None
    samples = samples_of(clock, ledger, hanging, sampled)
    with stopped(slot.connection.get_server_pid()):
        running = asyncio.create_task(samples.run())
        await clock.sleepers(1)
        clock.skip(2.5)
        await clock.sleepers(1)
        assert len(samples.of("main")) == 1  # while the other hangs
        assert samples.of("hanging") == ()
        await clock.sleepers(2)  # both have been sampled
        silent, other = samples.latest("hanging"), samples.latest("main")
        assert silent is not None
        assert other is not None
        assert silent.problem is not None
        assert silent.problem.startswith("no answer")
        assert (silent.seen, silent.diagnosis) == (None, None)
        assert other.problem is None
        # Looks and kills of the one that hangs go by other connections, which nobody doubts.
        assert all(slot.free for slot in (*hanging._work._slots, *hanging._kept._slots))
        await hanging.names()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await hanging.close()


async def test_log_says_once_that_a_cluster_is_silent_and_once_that_it_answers(
    pg: PostgresServer, clock: Steps, ledger: SqlLedger
) -> None:
    refused = "nothing listens at its address; PostgreSQL may not be running"
    async with Proxy(pg) as proxy:
        cluster = PostgresCluster("main", proxy.dsn(user=BOT), "db-1.internal", sampled=True)
        await cluster.open()
        samples = samples_of(clock, ledger, cluster)
        with capture_logs() as logs:
            await samples.take("main")
            proxy.refuse()
            proxy.cut()
            while refused not in ((await samples.take("main")).problem or ""):
                await asyncio.sleep(0.01)
            for _ in range(2):
                await samples.take("main")
            await proxy.heal()
            while (await samples.take("main")).problem is not None:
                await asyncio.sleep(0.01)
            await samples.take("main")
        await cluster.close()
    told = [(each["event"], each.get("why")) for each in logs if "sample." in each["event"]]
    assert told[-2:] == [("sample.no_answer", refused), ("sample.answers", None)]
    assert len(told) == len(set(told))


async def test_samples_have_a_connection_of_their_own(
    sampled: PostgresCluster, samples: Samples, admin: asyncpg.Connection
) -> None:
    (slot,) = sampled._sampling._slots
    assert slot.connection is not None
    before = await admin.fetchval(
        "select query_start from pg_stat_activity where pid = $1", slot.connection.get_server_pid()
    )
    others = [each.used_at for each in (*sampled._work._slots, *sampled._kept._slots)]
    await samples.take("main")
    after = await admin.fetchval(
        "select query_start from pg_stat_activity where pid = $1", slot.connection.get_server_pid()
    )
    assert after > before
    assert others == [each.used_at for each in (*sampled._work._slots, *sampled._kept._slots)]


async def until_it_waits(admin: asyncpg.Connection, *pids: int) -> None:
    query = (
        "select count(*) from pg_locks where not granted and pid = any($1) and waitstart < now()"
    )
    async with asyncio.timeout(PATIENCE):
        while await admin.fetchval(query, pids) < len(pids):
            await asyncio.sleep(0.01)


async def test_sample_says_what_a_look_and_a_survey_say(
    pg: PostgresServer,
    sampled: PostgresCluster,
    sessions: Sessions,
    admin: asyncpg.Connection,
) -> None:
    """Counting and sorting are done by the bot for a sample, and by the server for a look."""
    at_limit = await sessions.open("some_user", app="psql")
    holder, reader, ddl, late = [await sessions.open("batch", app=f"job-{n}") for n in range(4)]
    prepared = await sessions.open("postgres")
    await prepared.execute("begin; lock table accounts in row share mode")
    await prepared.execute("prepare transaction 'forgotten'")
    await holder.execute(
        "begin; select from accounts; update accounts set balance = 7 where id = 2"
    )
    await at_limit.execute("begin; select 1")
    running = []
    try:
        for session, statement in (
            (reader, "update accounts set balance = 8 where id = 2"),
            (ddl, "begin; lock table accounts"),
            (late, "select from accounts"),
        ):
            running.append(asyncio.create_task(session.execute(statement)))
            await until_it_waits(admin, session.get_server_pid())
        until = asyncio.get_running_loop().time() + PATIENCE
        await sampled.sample(until=until, idle_for=IDLE_FOR)
        await everybody_left(pg, admin)  # also the bot, which read there what its tables are called
        async with asyncio.timeout_at(until):
            while True:
                found, crowd = await sampled.sample(until=until, idle_for=timedelta(0))
                # Who has just been answered doesn't wait for its client yet.
                if all(row.wait_event for row in found.look.rows):
                    break
        names = await sampled.names()
        look = await sampled.look((), names=names)
        survey = await sampled.survey(look, login=False, role=None, until=until)

        def rows(seen: Look) -> list[Backend]:
            return [replace(row, backend_xmin=None) for row in worst_first(seen.rows, seen.waits)]

        assert replace(found.server, now=look.server.now) == look.server
        assert found.look.counts == replace(look.counts, hidden=0)
        assert found.look.waits.blocked_by == look.waits.blocked_by
        assert rows(found.look) == rows(look)
        assert found.look.rows[:4] == worst_first(look.rows, look.waits)[:4]
        assert found.look.waits.since.items() >= look.waits.since.items()
        assert found.locks == survey.locks
        assert found.held == survey.held
        assert set(found.groups) == set(survey.groups)
        assert {(h.kind, h.pid, h.name) for h in found.holders} == {
            (h.kind, h.pid, h.name) for h in survey.holders
        }
        assert found.looked_at == survey.looked_at
        assert not found.unread
        by = tuple(Field)
        counted = await sampled.groups(by, (), names=names, everything=False, limit=1000)
        assert (crowd.number, crowd.sessions) == (counted.number, counted.sessions)
        assert {replace(group, values=group.values[:-1]) for group in crowd.largest} == {
            *counted.largest
        }
        lock = {group.values[-2:] for group in crowd.largest if group.values[-1] == "Lock"}
        assert lock == {("transactionid", "Lock"), ("relation", "Lock")}
    finally:
        await admin.execute("select pg_cancel_backend($1)", ddl.get_server_pid())
        await holder.execute("rollback")
        await asyncio.gather(*running, return_exceptions=True)
        ending = await asyncpg.connect(sessions.pg.dsn(database="some_db"))
        with suppress(asyncpg.PostgresError):
            await prepared.execute("rollback prepared 'forgotten'")
            await ending.execute("rollback prepared 'forgotten'")
        await ending.close()


async def test_locks_of_who_has_just_gone_idle_are_unknown(
    sampled: PostgresCluster, sessions: Sessions
) -> None:
    """Reading them takes the server as long as all the rest, and no rule goes by them yet."""
    holder = await sessions.open("batch")
    await holder.execute("begin; lock table accounts")
    until = asyncio.get_running_loop().time() + PATIENCE
    survey, _ = await sampled.sample(until=until, idle_for=IDLE_FOR)
    assert Part.TRANSACTIONS in survey.looked_at
    subject = survey.backend(holder.get_server_pid())
    assert subject is not None
    (finding,) = idle_in_transaction(survey, Question(pid=subject.pid, patience=AT_ONCE))
    assert isinstance(finding.evidence, Idle)
    assert finding.evidence.locks is None


async def test_finding_that_is_to_be_told_sooner_is_found_sooner(
    sampled: PostgresCluster, ledger: SqlLedger, clock: Steps, sessions: Sessions
) -> None:
    holder = await sessions.open("batch")
    await holder.execute("begin; lock table accounts")
    rules = Rules(sample_every=timedelta(seconds=5), patience=AT_ONCE)
    ops = Operations({"main": sampled}, ledger, clock, rules=rules, owner="me")
    seen = (await ops.samples.take("main")).seen
    assert seen is not None
    (idle,) = (each.evidence for each in seen.findings if isinstance(each.evidence, Idle))
    assert idle.backend.pid == holder.get_server_pid()
    assert [lock.relname for lock in idle.locks or ()] == ["public.accounts"]


async def test_queries_of_who_works_and_who_rests_are_read(
    sampled: PostgresCluster, sessions: Sessions
) -> None:
    at_rest, at_work = await sessions.open("batch"), await sessions.open("batch")
    await at_rest.execute("select 'rests'")
    await at_work.execute("begin; select 'works'")
    until = asyncio.get_running_loop().time() + PATIENCE
    survey, _ = await sampled.sample(until=until, idle_for=IDLE_FOR)
    queries = {row.pid: row.query for row in survey.look.rows}
    assert queries[at_rest.get_server_pid()] == "select 'rests'"
    assert queries[at_work.get_server_pid()] == "begin; select 'works'"


async def test_queries_of_background_processes_are_read_however_many_hurt_more(
    sampled: PostgresCluster, sessions: Sessions
) -> None:
    """What an autovacuum does decides what is said of it. A parallel worker stands in for it."""
    for _ in range(WITH_QUERY):
        await (await sessions.open("web")).execute("begin")
    leader = await sessions.open(
        "postgres",
        parallel_leader_participation="off",
        parallel_setup_cost="0",
        parallel_tuple_cost="0",
        min_parallel_table_scan_size="0",
    )
    await leader.execute("begin; create table many as select generate_series(1, 9) as id")
    await leader.execute("alter table many set (parallel_workers = 2)")
    query = "select count(*) from many where pg_sleep(60) is null"
    asking = asyncio.create_task(leader.execute(query))
    try:
        async with asyncio.timeout(PATIENCE):
            rows: tuple[Backend, ...] = ()
            workers: list[Backend] = []
            # One that has just begun has no query yet.
            while not any(row.query == query for row in workers):
                until = asyncio.get_running_loop().time() + PATIENCE
                survey, _ = await sampled.sample(until=until, idle_for=IDLE_FOR)
                rows = survey.look.rows
                workers = [row for row in rows if row.backend_type == "parallel worker"]
        assert all(rows.index(row) >= WITH_QUERY for row in workers)
    finally:
        leader.terminate()
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError):
            await asking


async def test_query_of_another_moment_is_left_out(sampled: PostgresCluster) -> None:
    names = await sampled.names()
    seen = backend(1, datid=None, query=None)
    later = {"pid": 1, "query_start": ago(seconds=-1), "query": b"select 2"}
    same = {**later, "query_start": seen.query_start}
    assert [row.query for row in with_queries([seen], [later], names)] == [None]
    assert [row.query for row in with_queries([seen], [same], names)] == ["select 2"]


async def test_new_role_is_named_at_once(
    sampled: PostgresCluster, sessions: Sessions, admin: asyncpg.Connection
) -> None:
    until = asyncio.get_running_loop().time() + PATIENCE
    await sampled.sample(until=until, idle_for=IDLE_FOR)
    await admin.execute("create role newcomer login connection limit 3")
    newcomer = await sessions.open("newcomer")
    try:
        survey, _ = await sampled.sample(until=until, idle_for=IDLE_FOR)
        assert survey.server.role_limit("newcomer") == Limit("newcomer", 1, 3)
    finally:
        await newcomer.close()
        await admin.execute("drop role newcomer")


async def test_raised_limit_counts_once_somebody_has_used_it(
    sampled: PostgresCluster, sessions: Sessions, admin: asyncpg.Connection
) -> None:
    until = asyncio.get_running_loop().time() + PATIENCE
    await admin.execute("create role newcomer login connection limit 1")
    several = [await sessions.open("newcomer")]
    try:
        survey, _ = await sampled.sample(until=until, idle_for=IDLE_FOR)
        assert survey.server.role_limit("newcomer") == Limit("newcomer", 1, 1)
        await admin.execute("alter role newcomer connection limit 3")
        several.append(await sessions.open("newcomer"))
        survey, _ = await sampled.sample(until=until, idle_for=IDLE_FOR)
        assert survey.server.role_limit("newcomer") == Limit("newcomer", 2, 3)
    finally:
        for each in several:
            await each.close()
        await admin.execute("drop role newcomer")


async def test_samples_read_the_names_only_now_and_then(
    sampled: PostgresCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    until = asyncio.get_running_loop().time() + PATIENCE
    await sampled.sample(until=until, idle_for=IDLE_FOR)
    first = sampled.last_names
    await sampled.sample(until=until, idle_for=IDLE_FOR)
    assert sampled.last_names is first
    monkeypatch.setattr(cluster_module, "NAMES_KEPT", 0.0)
    await sampled.sample(until=until, idle_for=IDLE_FOR)
    assert sampled.last_names is not first
