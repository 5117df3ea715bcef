"""What another process, or a later moment, does for an unfinished kill."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy
import structlog

from bot.domain.kills import LEASE, Conclusion, Outcome, State
from bot.errors import LedgerError
from bot.ledger.sql import SqlLedger
from bot.operations.results import (
    Preview,
)
from bot.service.metrics import Metrics
from tests.integration.conftest import Bench, Sessions
from tests.integration.kills import (
    ANA,
    CHANNEL,
    confirm,
    exited,
    later,
    lives,
    outcomes,
    preview,
    recorded,
    typed,
)
from workspace.people import PATIENCE


async def test_outcome_that_cant_be_written_is_retried_and_marked(
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


async def test_only_lapsed_claims_of_dead_processes_are_concluded(
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


async def test_kill_keeps_its_reference_after_its_process_dies(
    bench: Bench, sessions: Sessions, ledger: SqlLedger
) -> None:
    """Log lines have it; another process gets it from the ledger."""
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


async def test_sessions_that_come_back_are_reported_ten_seconds_later(
    bench: Bench, sessions: Sessions
) -> None:
    first = await sessions.open("some_user")
    ops = bench()
    conclusion = await confirm(ops, await preview(ops, "user=some_user"))
    assert "still free" in (await later(ops, conclusion)).notes[0]

    await exited(first)
    second = await sessions.open("some_user")
    conclusion = await confirm(ops, await preview(ops, "user=some_user"))
    await exited(second)
    again = await sessions.open("some_user")
    amended = await later(ops, conclusion)
    assert "10 s later: some_user is back with 1 session" in amended.notes[0]
    assert str(again.get_server_pid()) in amended.notes[0]


async def test_second_look_left_by_a_process_is_taken_by_another(
    bench: Bench, sessions: Sessions, ledger: SqlLedger
) -> None:
    """It sees who came since the kill, and says how much later that is."""
    holder = await sessions.open("some_user")
    first, second = bench(), bench(owner="you")
    conclusion = await confirm(first, await preview(first, "user=some_user"))
    looking = asyncio.ensure_future(first.follow_up(conclusion))
    await asyncio.sleep(0)
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    await first.settle()
    assert await second.left_behind() == ()  # not due yet
    await exited(holder)
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


async def test_stopped_kill_records_what_it_knew(
    bench: Bench, sessions: Sessions, ledger: SqlLedger
) -> None:
    victim = await sessions.open("batch", app="broken off")
    ops = bench()
    shown = await preview(ops, 'app="broken off"')
    os.kill(victim.get_server_pid(), signal.SIGSTOP)
    try:
        with structlog.testing.capture_logs() as lines:
            work = asyncio.ensure_future(ops.confirm(ANA, CHANNEL, shown.proposal.key))
            async with asyncio.timeout(PATIENCE):
                while "kill.signal" not in {line["event"] for line in lines}:
                    await asyncio.sleep(0)
            work.cancel()
            with pytest.raises(asyncio.CancelledError):
                await work
    finally:
        os.kill(victim.get_server_pid(), signal.SIGCONT)
    entry = await recorded(ledger, shown)
    assert entry.proposal.state is State.DONE
    assert [r.outcome for r in entry.results] == [Outcome.INTERRUPTED]

    # The next process finds out what became of it.
    await exited(victim)
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
    """Make the recorded outcomes look this much older."""
    async with ledger._transactions.write() as connection:
        await connection.execute(
            sqlalchemy.text(f"UPDATE kills SET concluded_at = concluded_at - {seconds * 1_000_000}")
        )


class Down(SqlLedger):
    """A ledger that accepts no outcome while it is down."""

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


async def test_outcome_being_written_at_a_stop_is_written(
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


async def test_unwritten_outcome_is_written_when_the_ledger_is_back(
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
