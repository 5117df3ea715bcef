"""Records that nobody waits for, on a real ledger that another process locks."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import structlog

from bot.domain.kills import Actor
from bot.domain.record import Note, Record, RefusalNote
from bot.errors import LedgerError
from bot.ledger.sql import SqlLedger
from bot.operations import journal
from bot.operations.journal import Notes, Signatures
from tests.integration.kills import QuickClock
from workspace.people import PATIENCE


class StillClock(QuickClock):
    """A clock that a test moves; who sleeps on it is awake soon."""

    at = 0.0

    def monotonic(self) -> float:
        return self.at


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/ledger.db"


@pytest.fixture
async def ledger(url: str) -> AsyncIterator[SqlLedger]:
    ledger = SqlLedger(url, time_limit=0.5)
    await ledger.open()
    yield ledger
    await ledger.close()


@pytest.fixture
async def queue(ledger: SqlLedger) -> AsyncIterator[Notes]:
    queue = Notes(ledger, QuickClock())
    yield queue
    with suppress(LedgerError):  # a busy machine may need longer
        await queue.settle()


@contextmanager
def held(tmp_path: Path) -> Iterator[None]:
    """Another process locks the ledger's file."""
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def refusal(what: str) -> RefusalNote:
    return RefusalNote(actor=Actor("U0SAM"), channel_id="C1", what=what, why="not listed")


async def refused(ledger: SqlLedger) -> list[str]:
    """The refusals in order. A batch written twice, because its reply was late, counts once."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(LedgerError):  # a busy machine may need longer
                found = await ledger.noted(Record.REFUSALS, since=None, limit=9999)
                break
    return list(dict.fromkeys(one.what for one in reversed(found)))


def lost(lines: Any) -> list[int]:
    return [line["notes"] for line in lines if line["event"] == "notes.lost"]


async def test_notes_wait_for_a_locked_ledger_and_keep_their_order(
    ledger: SqlLedger, queue: Notes, tmp_path: Path
) -> None:
    with held(tmp_path), structlog.testing.capture_logs() as lines:
        for number in range(250):
            queue.add(refusal(f"{number}"))
        async with asyncio.timeout(PATIENCE):
            while "notes.waiting" not in [line["event"] for line in lines]:
                await asyncio.sleep(0.01)
        assert await refused(ledger) == []
    async with asyncio.timeout(PATIENCE):
        while len(await refused(ledger)) < 250:
            await asyncio.sleep(0.01)
    assert await refused(ledger) == [f"{number}" for number in range(250)]


async def test_notes_of_the_same_moment_are_written_at_once(
    ledger: SqlLedger, queue: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    write = ledger.note

    async def counted(batch: Sequence[tuple[float, Note]]) -> None:
        sizes.append(len(batch))
        await write(batch)

    monkeypatch.setattr(ledger, "note", counted)
    for number in range(50):
        queue.add(refusal(f"{number}"))
        await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE):
        while len(await refused(ledger)) < 50:
            await asyncio.sleep(0.01)
    assert sizes == [50]


async def test_notes_over_the_bound_are_counted_and_logged(ledger: SqlLedger, queue: Notes) -> None:
    with structlog.testing.capture_logs() as lines:
        for number in range(journal.MOST_NOTES + 7):
            queue.add(refusal(f"{number}"))
        async with asyncio.timeout(PATIENCE):
            while len(await refused(ledger)) < journal.MOST_NOTES:
                await queue.written(within=PATIENCE)
    assert lost(lines) == [7]
    assert len(await refused(ledger)) == journal.MOST_NOTES


async def test_waiting_notes_are_written_before_the_end(ledger: SqlLedger, queue: Notes) -> None:
    queue.add(refusal("the last"))
    await queue.settle()
    assert await refused(ledger) == ["the last"]


async def test_notes_lost_at_the_end_are_logged(ledger: SqlLedger, tmp_path: Path) -> None:
    queue = Notes(ledger, QuickClock())
    with held(tmp_path), structlog.testing.capture_logs() as lines:
        queue.add(refusal("one"))
        queue.add(refusal("two"))
        with pytest.raises(LedgerError):
            await queue.settle()
    assert lost(lines) == [2]


async def test_note_that_is_never_accepted_is_given_up(ledger: SqlLedger) -> None:
    clock = StillClock()
    queue = Notes(ledger, clock)
    with structlog.testing.capture_logs() as lines:
        queue.add(refusal("\ud800"))  # no database can store it
        async with asyncio.timeout(PATIENCE):
            while "notes.waiting" not in {line["event"] for line in lines}:
                await asyncio.sleep(0.01)
            clock.at += journal.NOTES_KEPT_FOR
            queue.add(refusal("after"))
            clock.at += 1
            while await refused(ledger) != ["after"]:
                await asyncio.sleep(0.01)
    assert lost(lines) == [1]
    await queue.settle()


async def test_replay_is_refused_while_the_ledger_is_locked(
    ledger: SqlLedger, queue: Notes, url: str, tmp_path: Path
) -> None:
    """And by the other replicas, as soon as the ledger can be told."""
    here = Signatures(ledger, QuickClock(), queue)
    with held(tmp_path), structlog.testing.capture_logs() as lines:
        assert await here.first_time("v0=one")
        assert not await here.first_time("v0=one")
        # Once the ledger is known to be in trouble, nobody waits for it.
        assert await here.first_time("v0=two")
    assert [line["event"] for line in lines].count("ledger.signature_not_kept") == 1
    await queue.settle()
    replica = SqlLedger(url)
    await replica.open()
    there = Signatures(replica, QuickClock(), Notes(replica, QuickClock()))
    assert not await there.first_time("v0=one")
    assert not await there.first_time("v0=two")
    assert await there.first_time("v0=three")
    await replica.close()


async def test_signatures_are_forgotten_when_they_expire(ledger: SqlLedger, queue: Notes) -> None:
    clock = StillClock()
    signatures = Signatures(ledger, clock, queue)
    for number in range(10):
        assert await signatures.first_time(f"v0={number}")
        clock.at += 100
    assert list(signatures._seen) == [f"v0={number}" for number in range(3, 10)]
