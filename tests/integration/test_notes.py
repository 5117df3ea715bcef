"""What is recorded without anyone waiting for it, on a real ledger that another process holds."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import structlog

from bot.domain.kills import Actor
from bot.domain.record import Record, RefusalNote
from bot.errors import LedgerError
from bot.ledger.sql import SqlLedger
from bot.operations import notes
from bot.operations.notes import Notes
from bot.operations.signatures import Signatures
from tests.integration.kills import QuickClock
from workspace.people import PATIENCE


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
    with suppress(LedgerError):  # a busy machine may take longer than its time
        await queue.settle()


@contextmanager
def held(tmp_path: Path) -> Iterator[None]:
    """Another process has the ledger's file."""
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def refusal(what: str) -> RefusalNote:
    return RefusalNote(actor=Actor("U0SAM"), channel_id="C1", what=what, why="not listed")


async def refused(ledger: SqlLedger) -> list[str]:
    """In order. A batch whose reply came too late is written twice, and counts once."""
    found = await ledger.noted(Record.REFUSALS, since=None, limit=9999)
    return list(dict.fromkeys(one.what for one in reversed(found)))


def lost(lines: Any) -> list[int]:
    return [line["notes"] for line in lines if line["event"] == "notes.lost"]


async def test_notes_wait_for_a_ledger_that_is_held_and_are_written_in_order(
    ledger: SqlLedger, queue: Notes, tmp_path: Path
) -> None:
    with held(tmp_path), structlog.testing.capture_logs() as lines:
        for number in range(250):
            queue.add(refusal(f"{number}"))
        async with asyncio.timeout(PATIENCE):
            while "notes.wait" not in [line["event"] for line in lines]:
                await asyncio.sleep(0.01)
        assert await refused(ledger) == []
    async with asyncio.timeout(PATIENCE):
        while len(await refused(ledger)) < 250:
            await asyncio.sleep(0.01)
    assert await refused(ledger) == [f"{number}" for number in range(250)]


async def test_a_burst_over_the_bound_is_counted_and_told(ledger: SqlLedger, queue: Notes) -> None:
    with structlog.testing.capture_logs() as lines:
        for number in range(notes.MOST + 7):
            queue.add(refusal(f"{number}"))
        async with asyncio.timeout(PATIENCE):
            while len(await refused(ledger)) < notes.MOST:
                await queue.written(within=PATIENCE)
    assert lost(lines) == [7]
    assert len(await refused(ledger)) == notes.MOST


async def test_before_the_end_what_waits_is_written(ledger: SqlLedger, queue: Notes) -> None:
    queue.add(refusal("the last"))
    await queue.settle()
    assert await refused(ledger) == ["the last"]


async def test_what_can_not_be_written_before_the_end_is_told(
    ledger: SqlLedger, tmp_path: Path
) -> None:
    queue = Notes(ledger, QuickClock())
    with held(tmp_path), structlog.testing.capture_logs() as lines:
        queue.add(refusal("one"))
        queue.add(refusal("two"))
        with pytest.raises(LedgerError):
            await queue.settle()
    assert lost(lines) == [2]


async def test_a_note_that_the_ledger_never_takes_does_not_keep_the_others_for_ever(
    ledger: SqlLedger, queue: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notes, "KEPT_FOR", 5.0)
    with structlog.testing.capture_logs() as lines:
        queue.add(refusal("\ud800"))  # no database keeps it
        await asyncio.sleep(0.4)
        queue.add(refusal("after"))
        async with asyncio.timeout(PATIENCE):
            while await refused(ledger) != ["after"]:
                await asyncio.sleep(0.01)
    assert lost(lines) == [1]


async def test_a_request_that_comes_twice_is_refused_while_the_ledger_is_held(
    ledger: SqlLedger, queue: Notes, url: str, tmp_path: Path
) -> None:
    """And by the other replicas as soon as the ledger can be told."""
    here = Signatures(ledger, QuickClock(), queue)
    with held(tmp_path), structlog.testing.capture_logs() as lines:
        assert await here.first_time("v0=one")
        assert not await here.first_time("v0=one")
        # Once it is known to be in trouble the ledger isn't waited for.
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


async def test_signatures_are_forgotten_when_they_are_no_longer_good(
    ledger: SqlLedger, queue: Notes
) -> None:
    class Clock(QuickClock):
        at = 0.0

        def monotonic(self) -> float:
            return self.at

    clock = Clock()
    signatures = Signatures(ledger, clock, queue)
    for number in range(10):
        assert await signatures.first_time(f"v0={number}")
        clock.at += 100
    assert list(signatures._seen) == [f"v0={number}" for number in range(3, 10)]
