"""Ledgers of other versions: migrated, shared, or refused."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from structlog.testing import capture_logs

from bot.domain.kills import Outcome, Proposal, Spared, State
from bot.domain.record import Entry, HistoryFilter, Record, Unreadable
from bot.domain.sessions import Backend, Limit
from bot.errors import LedgerError, OtherVersion
from bot.ledger import migrations, schema
from bot.ledger import rows as rows_of
from bot.ledger.sql import SqlLedger
from bot.ledger.store import AsyncConnection
from tests.integration.ledger.building import (
    ANA,
    BEN,
    LONG,
    MAIN,
    OVER,
    THEN,
    Make,
    Opened,
    claimed,
    conclusion,
    done,
    draft,
    history,
    look_note,
    refusal_note,
    rows,
)

pytestmark = pytest.mark.sql


@asynccontextmanager
async def of_version(
    version: int, ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[AsyncConnection]:
    """Make a ledger as an earlier version of the bot made it, for a test to fill."""
    store = ledger._store
    with monkeypatch.context() as then:
        then.setattr(migrations, "MIGRATIONS", migrations.MIGRATIONS[:version])
        then.setattr(migrations, "SCHEMA_VERSION", version)
        async with ledger._transactions.write() as connection:
            await connection.run_sync(
                migrations.migrate, identity=store.identity, random=store.random, clock=store.clock
            )
            yield connection


class TestSchema:
    """Each version, and the way from each to the next."""

    @pytest.mark.smoke
    async def test_the_tables_are_as_the_last_migration_leaves_them(self, ledger: SqlLedger):
        def reflected(connection: sqlalchemy.Connection) -> dict[str, Any]:
            found = sqlalchemy.MetaData()
            found.reflect(connection, schema=migrations._schema_of(connection))
            return {table.name: described(table) for table in found.tables.values()}

        def described(table: sqlalchemy.Table) -> tuple[object, ...]:
            return (
                [
                    # SQLite reports its INTEGER PRIMARY KEY as nullable, which it never is.
                    (c.name, c.nullable and not c.primary_key, c.primary_key, kind(c.type))
                    for c in table.columns
                ],
                sorted(
                    (sorted(key.column_keys), key.referred_table.name)
                    for key in table.foreign_key_constraints
                ),
            )

        def kind(of: sqlalchemy.types.TypeEngine[Any]) -> str:
            if isinstance(of, sqlalchemy.types.TypeDecorator):
                of = of.impl_instance
            generic = type(of.as_generic())
            return "integer" if issubclass(generic, sqlalchemy.Integer) else generic.__name__

        async with ledger._transactions._reader.connect() as connection:
            there = await connection.run_sync(reflected)
        there.pop("sqlite_sequence", None)
        assert there == {name: described(table) for name, table in schema._metadata.tables.items()}

    async def test_opening_again_keeps_everything(self, ledger: SqlLedger, url: str):
        proposal = await ledger.propose(draft(), LONG)
        await ledger.close()
        await ledger.open()
        entry = await ledger.get(proposal.key)
        assert entry is not None
        assert entry.proposal == proposal
        assert len(await rows(ledger, schema.ledger_version)) == migrations.SCHEMA_VERSION

    async def test_replicas_that_start_together_migrate_once(self, url: str, make: Make):
        replicas = [make(url) for _ in range(4)]
        await asyncio.gather(*(each.open() for each in replicas))
        assert len(await rows(replicas[0], schema.ledger_version)) == migrations.SCHEMA_VERSION

    async def test_an_older_ledger_is_brought_up_with_its_rows(
        self, ledger: SqlLedger, url: str, monkeypatch: pytest.MonkeyPatch, opened: Opened
    ):
        proposal = await ledger.propose(draft(), LONG)
        step = ("ALTER TABLE kills ADD COLUMN mood TEXT", "UPDATE kills SET mood = 'calm'")
        monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, step))
        monkeypatch.setattr(migrations, "SCHEMA_VERSION", migrations.SCHEMA_VERSION + 1)
        later = await opened(url)
        assert await later.get(proposal.key) is not None
        async with later._transactions._reader.connect() as connection:
            mood = await connection.scalar(
                sqlalchemy.select(sqlalchemy.literal_column("mood")).select_from(schema.kills)
            )
        assert mood == "calm"

    async def test_kill_from_before_references_has_none(
        self, url: str, monkeypatch: pytest.MonkeyPatch, make: Make, opened: Opened
    ):
        values = rows_of.kill_values(draft()) | {"state": State.PROPOSED}
        del values["reference"], values["thread_ts"]
        instants = {"created_at": THEN, "expires_at": THEN}
        async with of_version(1, make(url), monkeypatch) as connection:
            await connection.execute(sqlalchemy.insert(schema.kills).values(values | instants))
        entries = await history(await opened(url), HistoryFilter(), limit=1)
        assert [entry.proposal.reference for entry in entries] == [""]

    async def test_kills_from_before_keys_get_one_that_no_button_carries(
        self, url: str, monkeypatch: pytest.MonkeyPatch, make: Make, opened: Opened
    ):
        values = rows_of.kill_values(draft()) | {
            "state": State.PROPOSED,
            "created_at": THEN,
            "expires_at": datetime.now(UTC) + LONG,
        }
        del values["thread_ts"]
        async with of_version(4, make(url), monkeypatch) as connection:
            await connection.execute(sqlalchemy.insert(schema.kills), [values, values])
        ledger = await opened(url)
        assert await ledger.claim("1", ANA, "one", LONG) is None
        keys = {entry.proposal.key for entry in await history(ledger, HistoryFilter(), limit=2)}
        assert len(keys) == 2
        assert all(ledger.made(key) and len(key) >= 65 for key in keys)

    async def test_every_ledger_and_every_preview_has_an_identity_of_its_own(
        self, ledger: SqlLedger, tmp_path: Path, opened: Opened
    ):
        other = await opened(f"sqlite:///{tmp_path / 'other.db'}")
        mine, again, theirs = [await one.propose(draft(), LONG) for one in (ledger, ledger, other)]
        assert mine.id == theirs.id
        assert len({mine.key, again.key, theirs.key}) == 3
        assert ledger.identity != other.identity
        assert [ledger.made(each.key) for each in (mine, again, theirs)] == [True, True, False]
        assert await ledger.get(theirs.key) is None
        assert await ledger.claim(theirs.key, ANA, "one", LONG) is None
        assert not await ledger.dismiss(theirs.key, ANA)

    async def test_row_that_an_older_replica_wrote_has_no_key(self, ledger: SqlLedger):
        proposal = await ledger.propose(draft(), LONG)
        async with ledger._transactions.write() as connection:
            await connection.execute(sqlalchemy.update(schema.kills).values(key=None))
        (entry,) = await history(ledger, HistoryFilter(), limit=1)
        assert entry.proposal == replace(proposal, key="-")
        assert await ledger.claim("-", ANA, "one", LONG) is None

    @pytest.mark.parametrize("version", [1, 2])
    async def test_notes_from_before_references_have_none(
        self, url: str, version: int, monkeypatch: pytest.MonkeyPatch, make: Make, opened: Opened
    ):
        who = {"user_id": ANA.user_id, "team_id": ANA.team_id, "channel_id": "C1"}
        async with of_version(version, make(url), monkeypatch) as connection:
            for table, values in (
                (schema.refusals, {"why": "PG_KILL_ALLOWLIST"}),
                (schema.looks, {"cluster": "main", "cluster_at": THEN}),
            ):
                row = {**who, "what": "before", "at": THEN, **values}
                await connection.execute(sqlalchemy.insert(table).values(row))
        now = await opened(url)
        after = (
            refusal_note("after", reference="9b676bb2"),
            look_note("after", reference="9b676bb2"),
        )
        await now.note([(0.0, one) for one in after])
        for record in Record:
            noted = await now.noted(record, since=None, limit=10)
            told = [(one.what, one.reference) for one in noted]
            assert told == [("after", "9b676bb2"), ("before", "")]

    async def test_a_migration_that_fails_leaves_the_ledger_as_it_was(
        self, ledger: SqlLedger, url: str, monkeypatch: pytest.MonkeyPatch
    ):
        step = ("CREATE TABLE half (id BIGINT)", "CREATE NONSENSE")
        monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, step))
        monkeypatch.setattr(migrations, "SCHEMA_VERSION", migrations.SCHEMA_VERSION + 1)
        with pytest.raises(LedgerError):
            await SqlLedger(url).open()
        async with ledger._transactions._reader.connect() as connection:
            assert "half" not in await connection.run_sync(
                lambda sync: sqlalchemy.inspect(sync).get_table_names()
            )
        assert len(await rows(ledger, schema.ledger_version)) == len(migrations.MIGRATIONS) - 1

    async def test_a_ledger_of_a_later_version_is_refused(self, ledger: SqlLedger, url: str):
        async with ledger._transactions.write() as connection:
            await connection.execute(
                sqlalchemy.insert(schema.ledger_version).values(
                    version=migrations.SCHEMA_VERSION + 1, at=THEN
                )
            )
        await serve(ledger, migrations.SCHEMA_VERSION + 1)
        with pytest.raises(OtherVersion, match="later version of the bot"):
            await SqlLedger(url).open()


async def serve(ledger: SqlLedger, version: int) -> None:
    """Make the ledger serve bots from a schema version on, as a later bot's migration does."""
    async with ledger._transactions.write() as connection:
        await connection.execute(sqlalchemy.update(schema.ledger_marks).values(serves=version))


async def rewrite(ledger: SqlLedger, table: sqlalchemy.Table, kill: int, **columns: Any) -> None:
    """Write into a kill's rows what this version doesn't write, as plain text."""
    texts = {name: sqlalchemy.literal(value, sqlalchemy.Text) for name, value in columns.items()}
    of_kill = table.c.id if table is schema.kills else table.c.kill_id
    async with ledger._transactions.write() as connection:
        await connection.execute(sqlalchemy.update(table).where(of_kill == kill).values(**texts))


NOT_UNDERSTOOD: dict[str, dict[str, Any]] = {
    "a condition": {"conditions": '[{"is": "on_fire"}]'},
    "a part of a condition": {
        "conditions": '[{"is": "in_lock", "word": "blocked", "longer_than": 60}]'
    },
    "a condition's column": {
        "conditions": '[{"is": "like", "column": "query", "parts": ["x"], "negated": false}]'
    },
    "a basis": {"basis": "cost"},
    "an action": {"action": "freeze"},
    "a state": {"state": "paused"},
    "no JSON": {"spared": "[{"},
}


class TestAnotherVersion:
    """A later version's replica writes to the same ledger, as in every update."""

    async def test_displayed_parts_may_come_from_a_later_version(self, ledger: SqlLedger):
        claim = await claimed(ledger, "one")
        assert await ledger.conclude(conclusion(claim), "one")
        seen = (
            '{"pid": 33507, "usename": "some_user", "query_tags": {"job": 1}, "client_addr": "x"}'
        )
        await rewrite(ledger, schema.targets, claim.id, seen=seen)
        await rewrite(ledger, schema.outcomes, claim.id, outcome="restarted", detail="by itself")
        await rewrite(
            ledger,
            schema.kills,
            claim.id,
            spared='[{"seen": {"pid": 5, "gpu": 1}, "why": "a moon"}, {"seen": {}, "why": "x"}]',
            limits_seen='[["a", 1, 2, "role"], ["b", 1, 2, "tablespace"], ["c", 1, 2]]',
            limits='[[["a", 1, 2, "role"], ["a", 0, 2, "role"]], [["b", 1, 2, "tablespace"]]]',
        )
        entry = await ledger.get(claim.key)
        assert entry is not None
        (shown,) = entry.proposal.targets
        assert shown.seen == Backend(pid=33507, usename="some_user")
        (result,) = entry.results
        assert (result.outcome, result.detail) == (Outcome.UNKNOWN, "restarted: by itself")
        assert entry.proposal.spared == (Spared(Backend(pid=5), "a moon"),)
        assert entry.proposal.before == (Limit("a", 1, 2),)
        assert entry.limits == ((Limit("a", 1, 2), Limit("a", 0, 2)),)

    async def test_second_look_skips_outcomes_of_a_later_version(self, ledger: SqlLedger):
        kills = [await done(ledger, "dead", timedelta(seconds=91)) for _ in "ab"]
        await rewrite(ledger, schema.outcomes, kills[0].id, outcome="restarted")
        (entry,) = await ledger.unfollowed("two", clusters=MAIN, working=())
        assert entry.proposal.id == kills[1].id

    @pytest.mark.parametrize("what", NOT_UNDERSTOOD)
    async def test_unknown_deciding_part_is_refused_for_its_kill_only(
        self, ledger: SqlLedger, what: str
    ):
        others = [await ledger.propose(draft(), LONG) for _ in range(2)]
        theirs = await ledger.propose(draft(), LONG)
        others.append(await ledger.propose(draft(), LONG))
        await rewrite(ledger, schema.kills, theirs.id, **NOT_UNDERSTOOD[what])

        with pytest.raises(OtherVersion, match=f"kill {theirs.id}"):
            await ledger.get(theirs.key)
        with suppress(LedgerError):
            assert await ledger.claim(theirs.key, ANA, "one", OVER) is None
        found = await ledger.history(HistoryFilter(), limit=9)
        assert [each.number for each in found] == [4, 3, 2, 1]
        assert [type(each) for each in found] == [Entry, Unreadable, Entry, Entry]
        assert (await held_by(ledger, theirs))[0] is None
        for other in others:
            assert await ledger.claim(other.key, ANA, "one", OVER)

    async def test_recovery_goes_on_with_the_others(self, ledger: SqlLedger):
        first, theirs, last = [await claimed(ledger, "dead", OVER) for _ in range(3)]
        await rewrite(ledger, schema.kills, theirs.id, basis="cost")
        before = await held_by(ledger, theirs)
        with capture_logs() as logs:
            taken = await ledger.lapsed("one", LONG, working=())
            assert await ledger.lapsed("one", LONG, working=()) == ()
        assert [each.id for each in taken] == [first.id, last.id]
        (left,) = logs
        assert (left["event"], left["kill"]) == ("ledger.kill_unreadable", theirs.id)
        assert "cost" in left["why"]
        # A version that understands it finds it unchanged.
        assert await held_by(ledger, theirs) == before

    async def test_later_version_that_serves_this_one_is_accepted(
        self, ledger: SqlLedger, url: str, opened: Opened
    ):
        proposal = await ledger.propose(draft(), LONG)
        async with ledger._transactions.write() as connection:
            row = {"version": migrations.SCHEMA_VERSION + 1, "at": THEN}
            await connection.execute(sqlalchemy.insert(schema.ledger_version).values(row))
        await serve(ledger, migrations.SCHEMA_VERSION)
        older = await opened(url)
        assert await older.claim(proposal.key, BEN, "one", LONG)

    async def test_replica_that_the_ledger_no_longer_serves_kills_nothing(
        self, ledger: SqlLedger, replica: SqlLedger
    ):
        held = await claimed(ledger, "one")
        proposal = await ledger.propose(draft(), LONG)
        await ledger.ready()
        await serve(replica, migrations.SCHEMA_VERSION + 1)
        with pytest.raises(OtherVersion):
            await ledger.ready()
        with pytest.raises(OtherVersion):
            await ledger.claim(proposal.key, ANA, "one", LONG)
        with pytest.raises(OtherVersion):
            await ledger.propose(draft(), LONG)
        with pytest.raises(OtherVersion):
            await ledger.dismiss(proposal.key, ANA)
        entry = await ledger.get(proposal.key)
        assert entry is not None
        assert entry.proposal.state is State.PROPOSED
        # What it has already done is still recorded.
        assert await ledger.conclude(conclusion(held), "one")


async def held_by(ledger: SqlLedger, kill: Proposal) -> tuple[Any, ...]:
    """Who has claimed a kill, and for how long."""
    kills = schema.kills.c
    asked = sqlalchemy.select(kills.owner, kills.lease_until).where(kills.id == kill.id)
    async with ledger._transactions.read() as connection:
        return tuple((await connection.execute(asked)).one())
