"""Cancel, then terminate what still runs: the second step reaches the same query or nobody."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest
import sqlalchemy

from bot.domain.kills import Action, Conclusion, Outcome, State
from bot.domain.people import Right
from bot.domain.signals import Guard, Reply
from bot.errors import ClusterRefused, LedgerError, NotAllowed, UsageError
from bot.ledger.sql import SqlLedger
from bot.operations import Operations
from bot.operations.results import Preview
from bot.postgres.cluster import PostgresCluster
from tests.integration.conftest import Bench, Sessions
from tests.integration.kills import ANA, BEN, CHANNEL, STUBBORN, lives, preview, recorded
from tests.integration.operations.test_cancel import active
from tests.integration.operations.test_rights import on
from workspace.people import PATIENCE

STEPS = Action.CANCEL_THEN_TERMINATE
Told = tuple[Outcome | None, Outcome]
"""What the first step came to, and what is said in the end."""

TERMINATED = (Outcome.STILL_RUNNING, Outcome.TERMINATED)
CANCELLED = (Outcome.CANCELLED, Outcome.CANCELLED)


class Watched:
    """The real cluster. Before each signal of the second step something may happen."""

    def __init__(self, cluster: PostgresCluster) -> None:
        self._cluster = cluster
        self.guards: list[Guard] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._cluster, name)

    async def before_the_second(self) -> None:
        """What happens before the second step's statement is sent."""

    async def signal(self, guard: Guard) -> Reply:
        if guard.action is STEPS:
            await self.before_the_second()
        self.guards.append(guard)
        return await self._cluster.signal(guard)


async def run(
    admin: asyncpg.Connection, session: asyncpg.Connection, query: str = STUBBORN
) -> "asyncio.Task[str]":
    """Let a session run a query; return when it is seen to run."""
    task = asyncio.ensure_future(session.execute(query))
    await active(admin, session)
    asleep = "select wait_event = 'PgSleep' from pg_stat_activity where pid = $1"
    async with asyncio.timeout(PATIENCE):
        # It is active before it can catch a cancel.
        while query is STUBBORN and not await admin.fetchval(asleep, session.get_server_pid()):
            await asyncio.sleep(0.01)
    return task


async def escalate(ops: Operations, shown: Preview) -> Conclusion:
    answer = await ops.confirm(ANA, CHANNEL, shown.proposal.key, action=STEPS)
    assert isinstance(answer, Conclusion), answer
    return answer


def told(conclusion: Conclusion) -> dict[int, Told]:
    return {r.id.pid: (r.first_step, r.outcome) for r in conclusion.results}


@pytest.mark.parametrize("named", ["by filter", "by pid"])
async def test_only_the_query_that_goes_on_is_terminated_and_both_steps_are_on_record(
    bench: Bench, ledger: SqlLedger, sessions: Sessions, admin: asyncpg.Connection, named: str
) -> None:
    stubborn, meek, idle = [await sessions.open("batch", app="two steps") for _ in range(3)]
    queries = [await run(admin, stubborn), await run(admin, meek, "select pg_sleep(600)")]
    by_pid = " ".join(str(one.get_server_pid()) for one in (stubborn, meek, idle))
    ops = bench()
    shown = await preview(ops, 'app="two steps"' if named == "by filter" else by_pid)

    done = await escalate(ops, shown)

    assert told(done) == {
        stubborn.get_server_pid(): TERMINATED,
        meek.get_server_pid(): CANCELLED,
        idle.get_server_pid(): (Outcome.ALREADY_FINISHED, Outcome.ALREADY_FINISHED),
    }
    assert (await lives(stubborn), await lives(meek), await lives(idle)) == (False, True, True)
    with pytest.raises(asyncpg.QueryCanceledError):
        await queries[1]
    entry = await recorded(ledger, shown)
    assert entry.results == done.results
    assert (entry.proposal.state, entry.proposal.action) == (State.DONE, STEPS)
    await asyncio.gather(*queries, return_exceptions=True)


async def test_nothing_is_terminated_once_every_query_has_ended(
    bench: Bench, cluster: PostgresCluster, sessions: Sessions, admin: asyncpg.Connection
) -> None:
    meek = await sessions.open("batch", app="heeds it")
    query = await run(admin, meek, "select pg_sleep(600)")
    watched = Watched(cluster)
    ops = bench(clusters={"main": watched})

    done = await escalate(ops, await preview(ops, 'app="heeds it"'))

    assert told(done) == {meek.get_server_pid(): CANCELLED}
    assert [guard.action for guard in watched.guards] == [Action.CANCEL]
    assert await lives(meek)
    await asyncio.gather(query, return_exceptions=True)


async def test_the_second_step_has_a_deadline_of_its_own(
    bench: Bench, cluster: PostgresCluster, sessions: Sessions, admin: asyncpg.Connection
) -> None:
    """Taken after the wait; and a statement that arrives after it signals nothing."""
    stubborn = await sessions.open("batch", app="late")
    query = await run(admin, stubborn)

    class Late(Watched):
        async def signal(self, guard: Guard) -> Reply:
            now = await admin.fetchval("select clock_timestamp()")
            assert timedelta(0) < guard.deadline - now <= timedelta(seconds=5)
            if guard.action is STEPS:
                async with asyncio.timeout(PATIENCE):
                    while await admin.fetchval("select clock_timestamp() < $1", guard.deadline):
                        await asyncio.sleep(0.1)
            return await super().signal(guard)

    watched = Late(cluster)
    ops = bench(clusters={"main": watched})

    done = await escalate(ops, await preview(ops, "app=late"))

    assert told(done) == {stubborn.get_server_pid(): (Outcome.STILL_RUNNING, Outcome.INTERRUPTED)}
    assert "not signalled: its deadline of 5 s had passed" in done.results[0].detail
    assert len({guard.deadline for guard in watched.guards}) == 2
    assert not query.done()
    query.cancel()


async def test_a_session_that_went_on_to_another_query_is_left_alone(
    bench: Bench, cluster: PostgresCluster, sessions: Sessions, admin: asyncpg.Connection
) -> None:
    """It ends between the last look at the first step and the second step's statement."""
    session = await sessions.open("batch", app="goes on")
    ended = await sessions.open("batch", app="goes on")
    gate = await sessions.open("web")
    await gate.execute("select pg_advisory_lock(77), pg_advisory_lock(78)")
    until_told = STUBBORN.replace("pg_sleep(600)", "pg_advisory_lock({}); return")
    queries = [
        await run(admin, session, until_told.format(77)),
        await run(admin, ended, until_told.format(78)),
    ]
    later: list[asyncio.Task[str]] = []

    class Goes(Watched):
        async def before_the_second(self) -> None:
            if not later:
                await gate.execute("select pg_advisory_unlock_all()")
                await asyncio.gather(*queries)
                later.append(await run(admin, session, "select pg_sleep(600)"))

    ops = bench(clusters={"main": Goes(cluster)})

    done = await escalate(ops, await preview(ops, 'app="goes on"'))

    assert set(told(done).values()) == {CANCELLED}
    assert not later[0].done()
    assert await lives(ended)
    later[0].cancel()


@pytest.mark.parametrize("named", ["{pid}", "app=deaf state=active"])
async def test_the_same_call_in_another_transaction_is_left_alone(
    bench: Bench, sessions: Sessions, admin: asyncpg.Connection, pg: object, named: str
) -> None:
    """A procedure that commits, and that no cancel ends: query_start says nothing of that."""
    owner = await sessions.open("postgres", "some_db")
    await owner.execute(
        "create or replace procedure deaf_looper() language plpgsql as $$ begin loop"
        " begin perform pg_sleep(0.05); exception when query_canceled then end; commit;"
        " end loop; end $$"
    )
    session = await sessions.open("batch", app="deaf" if "app" in named else "by pid")
    call = await run(admin, session, "call deaf_looper()")
    ops = bench()
    shown = await preview(ops, named.format(pid=session.get_server_pid()))

    done = await escalate(ops, shown)

    assert told(done) == {session.get_server_pid(): (Outcome.STILL_RUNNING, Outcome.CHANGED)}
    assert done.results[0].detail.startswith("not ended by the cancel; active, in a transaction")
    assert not call.done()
    call.cancel()


async def test_what_a_filter_found_is_left_alone_by_either_step_once_it_costs_more(
    bench: Bench, cluster: PostgresCluster, sessions: Sessions, admin: asyncpg.Connection
) -> None:
    first, second = [await sessions.open("batch", app="writes") for _ in range(2)]
    gate = await sessions.open("web")
    await gate.execute("select pg_advisory_lock(87), pg_advisory_lock(88)")
    then_writes = STUBBORN.replace(
        "pg_sleep(600)",
        "pg_advisory_lock({}); perform pg_current_xact_id(); perform pg_sleep(600)",
    )
    queries = [
        await run(admin, first, then_writes.format(87)),
        await run(admin, second, then_writes.format(88)),
    ]

    async def writes(number: int, session: asyncpg.Connection) -> None:
        await gate.execute(f"select pg_advisory_unlock({number})")
        async with asyncio.timeout(PATIENCE):
            while not await admin.fetchval(
                "select backend_xid is not null from pg_stat_activity where pid = $1",
                session.get_server_pid(),
            ):
                await asyncio.sleep(0.01)

    class Writes(Watched):
        async def before_the_second(self) -> None:
            await writes(88, second)

    ops = bench(clusters={"main": Writes(cluster)})
    shown = await preview(ops, "app=writes")
    await writes(87, first)

    done = await escalate(ops, shown)

    assert told(done) == {
        first.get_server_pid(): (Outcome.CHANGED, Outcome.CHANGED),
        second.get_server_pid(): (Outcome.STILL_RUNNING, Outcome.CHANGED),
    }
    assert "has written since the preview" in done.results[1].detail
    assert not any(query.done() for query in queries)
    for query in queries:
        query.cancel()


async def test_who_may_only_cancel_is_refused_and_a_preview_that_only_cancels_offers_no_more(
    bench: Bench, sessions: Sessions, admin: asyncpg.Connection
) -> None:
    session = await sessions.open("batch", app="refused")
    query = await run(admin, session)
    ops = bench()
    shown = await preview(ops, "app=refused")
    cancels = ops.within(on(Right.CANCEL, "main"))
    with pytest.raises(NotAllowed):
        await cancels.confirm(ANA, CHANNEL, shown.proposal.key, action=STEPS)
    hers = await preview(cancels, "app=refused")
    assert hers.proposal.action is Action.CANCEL
    with pytest.raises(UsageError):
        await ops.confirm(BEN, CHANNEL, hers.proposal.key, action=STEPS)
    assert not query.done()
    query.cancel()


class Reached(Watched):
    """Tells when the first step is done, and holds what comes next."""

    def __init__(self, cluster: PostgresCluster) -> None:
        super().__init__(cluster)
        self.signalled = asyncio.Event()

    async def signal(self, guard: Guard) -> Reply:
        reply = await super().signal(guard)
        self.signalled.set()
        return reply


async def test_told_to_stop_between_the_steps_it_records_the_first_and_takes_no_second(
    bench: Bench,
    ledger: SqlLedger,
    cluster: PostgresCluster,
    sessions: Sessions,
    admin: asyncpg.Connection,
) -> None:
    session = await sessions.open("batch", app="told to stop")
    query = await run(admin, session)
    reached = Reached(cluster)
    ops = bench(clusters={"main": reached})
    shown = await preview(ops, 'app="told to stop"')
    work = asyncio.ensure_future(escalate(ops, shown))
    await reached.signalled.wait()

    ops.stop()

    done = await work
    assert told(done) == {session.get_server_pid(): (Outcome.STILL_RUNNING, Outcome.INTERRUPTED)}
    (result,) = (await recorded(ledger, shown)).results
    assert result == done.results[0]
    assert result.detail == "not ended by the cancel; not terminated: the bot was told to stop"
    assert not query.done()
    query.cancel()


async def test_a_process_that_dies_between_the_steps_leaves_no_second_step_to_others(
    bench: Bench, ledger: SqlLedger, sessions: Sessions, admin: asyncpg.Connection
) -> None:
    session = await sessions.open("batch", app="dies")
    query = await run(admin, session)
    dead, heir = bench(owner="dead"), bench(owner="heir")
    shown = await preview(dead, "app=dies")
    await ledger.claim(shown.proposal.key, ANA, "dead", timedelta(0), action=STEPS)

    (left,) = await heir.recover()

    assert told(left) == {session.get_server_pid(): (None, Outcome.INTERRUPTED)}
    assert "the session is still there" in left.results[0].detail
    assert left.proposal.action is STEPS
    assert not query.done()
    query.cancel()


@pytest.mark.parametrize("trouble", ["its lease ran out", "no ledger", "no cluster"])
async def test_without_a_lease_or_a_look_there_is_no_second_step(
    bench: Bench,
    ledger: SqlLedger,
    cluster: PostgresCluster,
    sessions: Sessions,
    admin: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    trouble: str,
) -> None:
    """A process that was paused for longer than its lease wakes, and another may have its kill."""
    session = await sessions.open("batch", app=trouble)
    query = await run(admin, session)
    reached = Reached(cluster)
    ops = bench(clusters={"main": reached})
    shown = await preview(ops, f'app="{trouble}"')
    renew, look = SqlLedger.renew, cluster.look

    async def renewed(self: SqlLedger, kill: int, owner: str, lease: timedelta) -> bool:
        if trouble == "no ledger":
            raise LedgerError("the disk is full")
        return await renew(self, kill, owner, lease)

    async def looked(*args: object, **how: object) -> object:
        if trouble == "no cluster" and reached.signalled.is_set():
            raise ClusterRefused("main", "did not answer within 5 s")
        return await look(*args, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(SqlLedger, "renew", renewed)
    monkeypatch.setattr(cluster, "look", looked)
    work = asyncio.ensure_future(escalate(ops, shown))
    await reached.signalled.wait()
    if trouble == "its lease ran out":
        await ends(ledger)

    done = await work

    assert told(done) == {session.get_server_pid(): (Outcome.STILL_RUNNING, Outcome.INTERRUPTED)}
    because = {
        "its lease ran out": "the bot no longer held its claim",
        "no ledger": "the ledger did not answer",
        "no cluster": "main: did not answer within 5 s",
    }
    assert done.results[0].detail.endswith(f"; not terminated: {because[trouble]}")
    assert [guard.action for guard in reached.guards] == [Action.CANCEL]
    assert not query.done()
    query.cancel()


async def ends(ledger: SqlLedger) -> None:
    """Let every lease end, as time does for a process that is paused."""
    async with ledger._transactions.write() as connection:
        await connection.execute(
            sqlalchemy.text("UPDATE kills SET lease_until = lease_until - 60000000")
        )
