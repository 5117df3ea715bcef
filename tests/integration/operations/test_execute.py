"""From a confirmed preview to the outcome and the record."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path

import asyncpg
import pytest

from bot.domain.kills import (
    SIGNAL_WINDOW,
    Basis,
    Conclusion,
    Outcome,
    State,
    Unclaimable,
)
from bot.domain.sessions import BackendId
from bot.domain.signals import Guard, Reply, Sighting, Verdict
from bot.errors import LedgerError
from bot.ledger.sql import SqlLedger
from bot.operations import Operations, Rules
from bot.operations.results import (
    NeedsSecondPerson,
    NotClaimed,
    Preview,
)
from bot.postgres.cluster import PostgresCluster
from tests.integration.conftest import BOT, Bench, Sessions
from tests.integration.kills import (
    ANA,
    BEN,
    CHANNEL,
    QuickClock,
    ask_until_it_answers,
    confirm,
    exited,
    later,
    lives,
    outcomes,
    preview,
    recorded,
)
from tests.rights import EVERYWHERE
from tests.servers import postgres
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
    await exited(holder)
    assert await lives(await sessions.open("some_user"))
    before, after = conclusion.limits[0]
    assert (before.name, before.used, after.used) == ("some_user", 1, 0)
    entry = await recorded(ledger, shown)
    assert entry.proposal.state is State.DONE
    assert (entry.proposal.asked_by, entry.proposal.confirmed_by) == (ANA, BEN)
    assert entry.proposal.reason == "blocks the deploy"
    assert "balance = balance - ?" in (entry.proposal.targets[0].seen.query or "")
    assert [r.outcome for r in entry.results] == [Outcome.TERMINATED]


async def test_later_sessions_are_counted_and_left_alone(bench: Bench, sessions: Sessions) -> None:
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


async def test_claim_is_in_the_ledger_before_the_first_signal(
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


async def test_nothing_is_signalled_if_the_claim_cant_be_written(
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


async def test_only_sessions_seen_to_be_gone_are_terminated(
    bench: Bench, sessions: Sessions
) -> None:
    """A stopped process takes no signal: it still runs, and is gone at the second look."""
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
    await exited(victim)
    amended = await later(ops, conclusion)
    assert outcomes(amended) == {pid: Outcome.TERMINATED}


async def test_a_signal_that_hangs_past_its_deadline_spares_the_session(
    bench: Bench, sessions: Sessions, watched: Watched, admin: asyncpg.Connection
) -> None:
    """The bot's own backends are stopped at the signal and resume after the deadline.

    The statement was sent in whole, so nothing but its own deadline spares the session.
    """
    victim = await sessions.open("batch", app="hang")
    ops = bench(clusters={"main": watched})
    shown = await preview(ops, "app=hang")
    own = [
        slot.connection.get_server_pid()
        for slot in (*watched._work._slots, *watched._kept._slots)
        if slot.connection is not None
    ]

    async def stop(_: Guard) -> None:
        for pid in own:
            os.kill(pid, signal.SIGSTOP)

    watched.before_signal = stop
    try:
        conclusion = await confirm(ops, shown)
        assert outcomes(conclusion) == {victim.get_server_pid(): Outcome.UNKNOWN}
        late = await admin.fetchval("select clock_timestamp()") + SIGNAL_WINDOW
        while await admin.fetchval("select clock_timestamp()") < late:
            await asyncio.sleep(0.1)
    finally:
        for pid in own:
            os.kill(pid, signal.SIGCONT)
    amended = await later(ops, conclusion)
    assert outcomes(amended) == {victim.get_server_pid(): Outcome.UNKNOWN}
    assert "still there after the deadline" in amended.results[0].detail
    assert await lives(victim)


async def test_second_person_must_be_someone_else(bench: Bench, sessions: Sessions) -> None:
    victim = await sessions.open("batch", app="two")
    ops = bench(second_person=frozenset({"main"}))
    shown = await preview(ops, "app=two", actor=ANA)
    assert shown.second_person

    assert isinstance(await ops.confirm(ANA, CHANNEL, shown.proposal.key), NeedsSecondPerson)
    assert await lives(victim)
    conclusion = await confirm(ops, shown, actor=BEN)
    assert outcomes(conclusion) == {victim.get_server_pid(): Outcome.TERMINATED}


async def test_a_restart_since_the_preview_signals_nothing(ledger: SqlLedger) -> None:
    async with postgres() as own:
        cluster = PostgresCluster("main", own.dsn(), "db-1.internal")
        admin = await asyncpg.connect(own.dsn())
        await admin.execute("create role web login")
        await admin.close()
        victim = await asyncpg.connect(own.dsn(user="web"))
        await cluster.open()
        ops = Operations(
            {"main": cluster}, ledger, QuickClock(), rules=Rules(), owner="me", reach=EVERYWHERE
        )
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


async def test_kill_leaves_reused_pid_alone(bench: Bench, sessions: Sessions) -> None:
    """The kernel is told to reuse the victim's pid, which only root may do."""
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
    """A new session whose backend has this pid; None if that isn't possible."""
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


async def test_nothing_is_reported_gone_if_another_server_answers(
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


async def test_preview_that_another_replica_dismissed_ends_nobody(
    bench: Bench, sessions: Sessions
) -> None:
    """Who made it has it in mind as it was; the ledger knows better."""
    session = await sessions.open("batch", app="dismissed")
    maker, other = bench(), bench()
    shown = await preview(maker, "app=dismissed")
    await other.dismiss(BEN, CHANNEL, shown.proposal.key)
    for _ in range(2):
        answer = await maker.confirm(BEN, CHANNEL, shown.proposal.key)
        assert isinstance(answer, NotClaimed)
        assert answer.why is Unclaimable.DISMISSED
    assert await lives(session)
