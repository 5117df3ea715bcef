"""What is deleted from the record, and who may read its file."""

import asyncio
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy

from bot.domain.kills import Outcome, Result
from bot.domain.record import HistoryFilter, Record
from bot.errors import LedgerError
from bot.ledger import retention, schema, sql
from bot.ledger.probe import probe
from bot.ledger.sql import SqlLedger
from tests.integration.ledger.building import (
    ANA,
    LONG,
    OVER,
    THEN,
    Opened,
    claimed,
    conclusion,
    draft,
    history,
    look_note,
    refusal_note,
    rows,
)
from workspace.people import PATIENCE

pytestmark = pytest.mark.sql


class TestRetention:
    """Old records are deleted in small batches that nobody waits for."""

    @staticmethod
    async def age(ledger: SqlLedger, days: float, *ids: int) -> None:
        """Make it look as if these kills were requested this many days ago, and ended, if so."""
        past, kills = ledger._store.after(-timedelta(days=days)), schema.kills.c
        async with ledger._transactions.write() as connection:
            await connection.execute(
                sqlalchemy.update(schema.kills)
                .where(kills.id.in_(ids))
                .values(
                    created_at=past,
                    expires_at=sqlalchemy.case(
                        (kills.expires_at < ledger._store.clock, past), else_=kills.expires_at
                    ),
                    concluded_at=sqlalchemy.case((kills.concluded_at.is_not(None), past)),
                    dismissed_at=sqlalchemy.case((kills.dismissed_at.is_not(None), past)),
                )
            )

    async def kept(self, ledger: SqlLedger, *tables: sqlalchemy.Table) -> list[int]:
        return [len(await rows(ledger, table)) for table in tables]

    async def test_old_records_are_deleted_but_open_kills_stay(self, url: str, opened: Opened):
        ledger = await opened(url, keep=timedelta(days=30))
        open_one = await ledger.propose(draft(), LONG)
        under_way = await claimed(ledger, "one", OVER)
        expired = await ledger.propose(draft(), OVER)
        dismissed = await ledger.propose(draft(), LONG)
        assert await ledger.dismiss(dismissed.key, ANA)
        done = [await claimed(ledger, "one") for _ in range(2)]
        for kill in done:
            assert await ledger.conclude(conclusion(kill, notes=("seen",)), "one")
            assert await ledger.amend(
                kill.id, [Result(kill.targets[0].id, Outcome.TERMINATED)], ["later"]
            )
        young = done.pop()
        old = [open_one.id, under_way.id, expired.id, dismissed.id, done[0].id]
        await self.age(ledger, 31, *old)
        await self.age(ledger, 29, young.id)

        assert not await ledger.drop_old()

        left = [entry.proposal.id for entry in await history(ledger, HistoryFilter(), limit=9)]
        assert left == [young.id, under_way.id, open_one.id]
        tables = (schema.targets, schema.outcomes, schema.amendments, schema.notes)
        assert await self.kept(ledger, *tables) == [3, 1, 1, 2]
        assert await ledger.claim(open_one.key, ANA, "one", LONG)
        assert [each.id for each in await ledger.lapsed("two", LONG, working=())] == [under_way.id]
        # An id is never used again.
        assert (await ledger.propose(draft(), LONG)).id == young.id + 1

    async def test_outcome_is_kept_for_as_long_as_that_of_a_kill_that_was_confirmed_at_once(
        self, url: str, opened: Opened
    ):
        ledger = await opened(url, keep=timedelta(days=1))
        kill = await claimed(ledger, "one")
        await self.age(ledger, 1.01, kill.id)
        assert await ledger.conclude(conclusion(kill), "one")
        assert not await ledger.drop_old()
        assert await ledger.amend(kill.id, (), ("later",))
        assert [entry.proposal.id for entry in await history(ledger, HistoryFilter(), limit=9)]

    @pytest.mark.parametrize(("keep", "left"), [(400, [10, 89]), (50, [10])])
    async def test_looks_and_refusals_are_kept_for_ninety_days_at_most(
        self, url: str, opened: Opened, keep: int, left: list[int]
    ):
        ledger = await opened(url, keep=timedelta(days=keep))
        for days in (399, 91, 89, 10):
            ago = days * 86_400.0
            await ledger.note([(ago, look_note(f"{days}")), (ago, refusal_note(f"{days}"))])
        assert not await ledger.drop_old()
        for record in Record:
            noted = await ledger.noted(record, since=None, limit=9)
            assert [int(one.what) for one in noted] == left

    async def test_deletion_uses_small_batches_and_replicas_may_share_it(
        self, url: str, opened: Opened, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(retention, "KILLS_AT_ONCE", 5)
        monkeypatch.setattr(retention, "NOTES_AT_ONCE", 5)
        ledgers = [await opened(url, keep=timedelta(days=30)) for _ in range(2)]
        kills = [await ledgers[0].propose(draft(), OVER) for _ in range(23)]
        await ledgers[0].note([(31 * 86_400.0, look_note("old"))] * 13)
        await self.age(ledgers[0], 31, *(kill.id for kill in kills[:21]))
        assert await ledgers[0].drop_old()
        assert await self.kept(ledgers[0], schema.kills, schema.looks) == [18, 8]

        async def drop_all(ledger: SqlLedger) -> None:
            while await ledger.drop_old():
                pass

        await asyncio.gather(*(drop_all(ledger) for ledger in ledgers))
        await drop_all(ledgers[0])
        assert await self.kept(ledgers[0], schema.kills, schema.looks) == [2, 0]

    async def test_deletion_runs_by_itself_only_if_configured(
        self, url: str, opened: Opened, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(sql, "FORGET_EVERY", 0.05)
        reader = await opened(url)
        await reader.note([(31 * 86_400.0, look_note("old"))])
        await asyncio.sleep(0.2)
        assert not await reader.drop_old()
        assert await self.kept(reader, schema.looks) == [1]
        await opened(url, keep=timedelta(days=30))
        async with asyncio.timeout(PATIENCE):
            while await self.kept(reader, schema.looks) != [0]:
                await asyncio.sleep(0.05)


class TestWhoMayReadTheFile:
    """The record names people and what they did."""

    @staticmethod
    def modes(folder: Path) -> dict[str, int]:
        return {each.name: each.stat().st_mode & 0o777 for each in folder.iterdir()}

    @pytest.fixture
    def usual_umask(self) -> Iterator[None]:
        before = os.umask(0o022)
        yield
        os.umask(before)

    @pytest.mark.usefixtures("usual_umask")
    async def test_file_is_readable_only_by_its_owner(
        self, sqlite_url: str, tmp_path: Path, opened: Opened
    ):
        ledger = await opened(sqlite_url)
        async with ledger._transactions.write() as connection:
            await connection.execute(sqlalchemy.update(schema.ledger_version).values(at=THEN))
            assert self.modes(tmp_path) == {"ledger.db": 0o600, "ledger.db-journal": 0o600}

    @pytest.mark.parametrize(
        ("mode", "then"), [(0o644, 0o600), (0o666, 0o600), (0o640, 0o640), (0o600, 0o600)]
    )
    async def test_file_readable_by_anyone_is_closed(
        self, sqlite_url: str, tmp_path: Path, opened: Opened, mode: int, then: int
    ):
        ledger = await opened(sqlite_url)
        await ledger.close()
        (tmp_path / "ledger.db").chmod(mode)
        facts = await probe(sqlite_url)
        assert facts.is_open_to_others == (mode != then)
        assert self.modes(tmp_path) == {"ledger.db": mode}  # a check changes nothing
        await ledger.open()
        assert self.modes(tmp_path) == {"ledger.db": then}
        assert not (await probe(sqlite_url)).is_open_to_others

    @pytest.mark.parametrize(
        ("name", "mode"), [(".", 0o755), ("notes.txt", 0o644), ("pipe", 0o644)]
    )
    async def test_what_cannot_be_a_ledger_keeps_its_mode(
        self, tmp_path: Path, name: str, mode: int
    ):
        (tmp_path / "notes.txt").write_text("another program's, and long enough")
        os.mkfifo(tmp_path / "pipe")
        place = tmp_path / name
        place.chmod(mode)
        url = f"sqlite:///{place}"
        with pytest.raises(LedgerError, match=f"^the ledger's URL names a .*: {place}$"):
            await SqlLedger(url).open()
        told = (await probe(url)).problem
        assert told is not None
        assert told.startswith("the ledger's URL names a ")
        assert place.stat().st_mode & 0o777 == mode
