"""The ledger on SQLite and on PostgreSQL: the same tests for both, and some for each."""

import asyncio
import gc
import json
import os
import signal
import sqlite3
import sys
import tempfile
import textwrap
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.filters import (
    AddressIn,
    Before,
    InLock,
    OidIn,
    PidIn,
    TextLike,
)
from bot.domain.instants import to_us
from bot.domain.kills import (
    Action,
    Actor,
    Basis,
    Conclusion,
    Draft,
    Outcome,
    Proposal,
    Reason,
    Result,
    Spared,
    State,
    Target,
)
from bot.domain.record import (
    ALONE,
    SEEN,
    Entry,
    HistoryFilter,
    LedgerHome,
    LookNote,
    Record,
    RefusalNote,
    SignatureNote,
    Unreadable,
)
from bot.domain.sessions import Backend, BackendId, Limit, ServerId
from bot.errors import LedgerError, OtherVersion
from bot.grammar.requests import AgeOf, Pattern, Word
from bot.grammar.requests import Target as Where
from bot.ledger import migrations, retention, schema, sql, sqlite
from bot.ledger import rows as rows_of
from bot.ledger.probe import probe
from bot.ledger.sql import SqlLedger
from tests.processes import TIED
from tests.servers import postgres
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer

ROOT = Path(__file__).parents[2]
THEN = datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC)
LONG = timedelta(hours=1)
MAIN = ("main",)
OVER = timedelta(0)  # a time to live, or a lease, that is over when it begins
Make = Callable[..., SqlLedger]
Session: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Opened = Callable[..., Awaitable[SqlLedger]]

ANA, BEN = Actor("U0ANA", "T0OWN"), Actor("U0BEN", "T0OWN")


@pytest.fixture(scope="session")
async def server() -> AsyncIterator[PostgresServer]:
    async with postgres(settings={"max_connections": 40}) as running:
        yield running


numbers = count()


@pytest.fixture
async def postgres_url(server: PostgresServer) -> str:
    """A new schema, which is quicker to make than a database."""
    name = f"ledger_{next(numbers)}"
    await administer(server, f"CREATE SCHEMA {name}")
    return f"{server.dsn()}?search_path={name}"


@pytest.fixture
async def database(server: PostgresServer) -> AsyncIterator[str]:
    """The name of a new database."""
    name = f"ledger_{next(numbers)}"
    await administer(server, f"CREATE DATABASE {name}")
    yield name
    await administer(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/ledger.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    fixture = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param]
    return str(request.getfixturevalue(fixture))


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """`SqlLedger`, which is closed when the test is over."""
    made: list[SqlLedger] = []

    def make_one(url: str, **limits: Any) -> SqlLedger:
        made.append(SqlLedger(url, **limits))
        return made[-1]

    yield make_one
    for each in made:
        await each.close()


@pytest.fixture
async def opened(make: Make) -> Opened:
    """A ledger, open; closed when the test is over."""

    async def open_one(url: str, **limits: Any) -> SqlLedger:
        ledger = make(url, **limits)
        await ledger.open()
        return ledger

    return open_one


@asynccontextmanager
async def of_version(
    version: int, ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[AsyncConnection]:
    """Make a ledger as an earlier version of the bot made it, for rows to be put into it."""
    store = ledger._store
    with monkeypatch.context() as then:
        then.setattr(migrations, "MIGRATIONS", migrations.MIGRATIONS[:version])
        then.setattr(migrations, "SCHEMA_VERSION", version)
        async with ledger._transaction(ledger._writer) as connection:
            await connection.run_sync(
                migrations.migrate, identity=store.identity, random=store.random, clock=store.clock
            )
            yield connection


@pytest.fixture
async def ledger(url: str, opened: Opened) -> SqlLedger:
    """An empty ledger of its own, open."""
    return await opened(url)


@pytest.fixture
async def replica(ledger: SqlLedger, url: str, opened: Opened) -> SqlLedger:
    """The same ledger, as another process has it."""
    return await opened(url)


async def administer(server: PostgresServer, *statements: str) -> None:
    connection = await asyncpg.connect(server.dsn())
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


async def rows(ledger: SqlLedger, table: sqlalchemy.Table) -> list[dict[str, Any]]:
    """All of a table."""
    async with ledger._reader.connect() as connection:
        return [dict(row._mapping) for row in await connection.execute(sqlalchemy.select(table))]


def backend(pid: int = 33507, **known: Any) -> Backend:
    usual: dict[str, Any] = {"pid": pid, "backend_start": THEN, "usename": "some_user"}
    return Backend(**usual | known)


def target(pid: int = 33507, **known: Any) -> Target:
    return Target(BackendId(pid, THEN), backend(pid, **known))


def draft(*targets: Target, **other: Any) -> Draft:
    asked: dict[str, Any] = {
        "cluster": "main",
        "host": "db.example",
        "server": ServerId(7_711_127_644_599_381_035, THEN),
        "action": Action.TERMINATE,
        "basis": Basis.PID,
        "wording": "main/ 33507",
        "conditions": (),
        "targets": targets or (target(),),
        "asked_by": ANA,
        "channel_id": "C0INCIDENT",
        "seen_at": THEN,
    }
    return Draft(**asked | other)


def conclusion(
    proposal: Proposal, outcome: Outcome = Outcome.TERMINATED, **other: Any
) -> Conclusion:
    results = tuple(Result(target.id, outcome, "") for target in proposal.targets)
    usual: dict[str, Any] = {"proposal": proposal, "results": results, "took": LONG}
    return Conclusion(**usual | other)


def refusal_note(what: str, **other: str) -> RefusalNote:
    usual: dict[str, Any] = {"actor": ANA, "channel_id": "C1", "why": "PG_KILL_ALLOWLIST"}
    return RefusalNote(what=what, **usual | other)


def look_note(what: str, **other: Any) -> LookNote:
    usual: dict[str, Any] = {"actor": ANA, "channel_id": "C1", "cluster": "main"}
    return LookNote(what=what, **{"cluster_at": THEN} | usual | other)


async def history(ledger: SqlLedger, where: HistoryFilter, **page: Any) -> list[Entry]:
    """The last kills, all of which can be read."""
    found = await ledger.history(where, **page)
    assert not any(isinstance(each, Unreadable) for each in found)
    return [each for each in found if isinstance(each, Entry)]


async def claimed(ledger: SqlLedger, owner: str, lease: timedelta = LONG) -> Proposal:
    """A claim by this owner."""
    proposal = await ledger.propose(draft(), LONG)
    claim = await ledger.claim(proposal.key, BEN, owner, lease)
    assert claim is not None
    return claim


class TestTheRecord:
    """What goes in comes back."""

    EVERYTHING = draft(
        Target(
            BackendId(4_194_304, THEN),
            Backend(
                pid=4_194_304,
                datid=2**32 - 1,
                datname="some_db",
                leader_pid=1,
                usesysid=2**32 - 2,
                usename="some_user",
                application_name="<!channel>",
                client_addr=ip_address("fe80::1%eth0"),
                client_hostname="laptop",
                client_port=-1,
                backend_start=THEN,
                xact_start=THEN + timedelta(microseconds=1),
                query_start=THEN + timedelta(microseconds=2),
                state_change=THEN + timedelta(microseconds=3),
                wait_event_type="Lock",
                wait_event="transactionid",
                state="idle in transaction",
                backend_xid=2**32 - 3,
                backend_xmin=2**32 - 4,
                query_id=-(2**63),
                query="select ?",
                backend_type="client backend",
                virtualtransaction="3/7",
            ),
            waiting_behind=7,
            is_new=True,
        ),
        target(2),
        target(1, client_addr=ip_address("192.0.2.1")),
        host="db.example",
        action=Action.CANCEL,
        basis=Basis.FILTER,
        wording='user=some_user app="x y"',
        conditions=(
            OidIn("usesysid", (10, 2**32 - 1), negated=True),
            TextLike("application_name", ("", "[*%_\\?", ""), negated=True),
            AddressIn("192.0.2.0/24", negated=True),
            Before(AgeOf.XACT, THEN, older=False),
            InLock(Word.BLOCKING),
            PidIn((3, 1, 2)),
        ),
        spared=(Spared(backend(5, backend_start=None), "PROTECTED_ROLES"), Spared(backend(4), "x")),
        reason="the queue 💥 “stands”",
        before=(Limit("some_user", 1, 1), Limit("connections", 97, 97)),
        waiting=12,
        freed=11,
        reference="0badcafe",
    )

    async def test_every_field_of_a_proposal_comes_back(self, ledger: SqlLedger):
        proposal = await ledger.propose(self.EVERYTHING, LONG)
        entry = await ledger.get(proposal.key)
        assert entry is not None
        assert entry.proposal == proposal
        assert {f.name: getattr(proposal, f.name) for f in fields(Draft)} == {
            f.name: getattr(self.EVERYTHING, f.name) for f in fields(Draft)
        }
        assert proposal.id > 0
        assert proposal.state is State.PROPOSED
        assert proposal.expires_at - proposal.created_at == LONG
        assert not entry.expired
        assert (entry.results, entry.amendments, entry.notes) == ((), (), ())
        assert (entry.concluded_at, entry.took, entry.waiting) == (None, None, None)

    def test_the_example_leaves_no_field_of_a_backend_out(self):
        seen = self.EVERYTHING.targets[0].seen
        assert [f.name for f in fields(Backend) if getattr(seen, f.name) is None] == []

    @pytest.mark.smoke
    async def test_every_field_of_an_outcome_comes_back(self, ledger: SqlLedger):
        proposal = await ledger.propose(self.EVERYTHING, LONG)
        await ledger.posted(proposal.id, "1708300799.000100")
        claim = await ledger.claim(proposal.key, BEN, "one", LONG)
        assert claim is not None
        end = Conclusion(
            proposal=claim,
            results=(
                Result(claim.targets[2].id, Outcome.UNKNOWN, "no reply"),
                Result(claim.targets[0].id, Outcome.TERMINATED),
                Result(claim.targets[1].id, Outcome.NOT_PERMITTED, "must be a superuser"),
            ),
            took=timedelta(microseconds=1_234_567),
            limits=((Limit("some_user", 1, 1), Limit("some_user", 0, 1)),),
            waiting=(12, 1),
            arrivals=3,
            began_at=THEN,
            notes=("first", "second"),
        )
        assert await ledger.conclude(end, "one")
        entry = await ledger.get(proposal.key)
        assert entry is not None
        assert entry.results == end.results
        assert entry.took == end.took
        assert entry.limits == end.limits
        assert entry.waiting == end.waiting
        assert entry.arrivals == end.arrivals
        assert entry.began_at == end.began_at
        assert entry.notes == end.notes
        assert entry.proposal == replace(claim, state=State.DONE)
        assert entry.proposal.message_ts == "1708300799.000100"
        assert entry.proposal.confirmed_by == BEN
        assert entry.proposal.claimed_at is not None
        assert entry.concluded_at is not None
        assert proposal.created_at <= entry.proposal.claimed_at <= entry.concluded_at

    @pytest.mark.parametrize(
        ("reason", "detail"),
        [
            (Reason.OTHER_WORK, "had begun other work since the preview"),
            (Reason.UNWATCHED, "signalled, and not watched to its end"),
            (Reason.NOT_KNOWN, "the bot stopped before it was known"),
            (Reason.GONE_SINCE, "the bot stopped while it was at work; the session is gone"),
            (Reason.GONE_SINCE, "gone now; whether by this signal is not known"),
            (None, "the session is gone; looked at again: no reply"),
        ],
    )
    async def test_reason_comes_back_also_from_a_row_that_has_only_words(
        self, ledger: SqlLedger, reason: Reason | None, detail: str
    ):
        claim = await claimed(ledger, "one")
        result = Result(claim.targets[0].id, Outcome.INTERRUPTED, detail, reason)
        assert await ledger.conclude(conclusion(claim, results=(result,)), "one")
        entry = await ledger.get(claim.key)
        assert entry is not None
        assert entry.results == (result,)
        without = sqlalchemy.update(schema.outcomes).values(reason=None)
        async with ledger._transaction(ledger._writer) as connection:
            await connection.execute(without)
        entry = await ledger.get(claim.key)
        assert entry is not None
        assert entry.results == (result,)

    texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)

    @given(
        name=texts, other=texts, reason=st.none() | texts, when=st.datetimes(timezones=st.just(UTC))
    )
    @settings(
        max_examples=15,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    async def test_any_text_and_any_instant_comes_back(
        self, ledger: SqlLedger, name: str, other: str, reason: str | None, when: datetime
    ):
        shown = Target(
            BackendId(1, when),
            backend(1, backend_start=when, usename=name, datname=other, query=other),
        )
        proposal = await ledger.propose(
            draft(shown, reason=reason, wording=name, seen_at=when), LONG
        )
        assert (proposal.targets, proposal.reason, proposal.wording, proposal.seen_at) == (
            (shown,),
            reason,
            name,
            when,
        )

    async def test_names_made_to_be_sql_are_data(self, ledger: SqlLedger):
        name = "x'); DROP TABLE kills; -- \" $1 :a %s ?"
        proposal = await ledger.propose(
            draft(target(usename=name), cluster=name, reason=name, wording=name), LONG
        )
        assert await ledger.claim(proposal.key, Actor(name, name), name, LONG)
        found = await history(
            ledger,
            HistoryFilter(
                target=Where(cluster=name), roles=(((name,), False), (("x'", "s ?"), False))
            ),
            limit=9,
        )
        assert [e.proposal.targets[0].seen.usename for e in found] == [name]
        assert found[0].proposal.confirmed_by == Actor(name, name)

    async def test_what_no_database_keeps_is_an_error_of_the_ledger(self, ledger: SqlLedger):
        with pytest.raises(LedgerError):
            await ledger.propose(draft(reason="\ud800"), LONG)
        with pytest.raises(LedgerError):
            await ledger.posted(10**30, "1.1")
        await ledger.ready()

    async def test_readers_wait_for_no_writer(self, ledger: SqlLedger):
        proposal = await ledger.propose(draft(), LONG)
        async with ledger._transaction(ledger._writer) as connection:
            await connection.execute(sqlalchemy.update(schema.ledger_version).values(at=THEN))
            assert await ledger.get(proposal.key) is not None

    async def test_there_is_nothing_under_an_unknown_key(self, ledger: SqlLedger):
        kept = await ledger.propose(draft(), LONG)
        for key in ("", "-", str(kept.id), kept.key[:-1], kept.key.upper(), "0" * 65):
            assert await ledger.get(key) is None
            assert await ledger.claim(key, ANA, "one", LONG) is None
            assert not await ledger.dismiss(key, ANA)

    async def test_the_message_of_a_preview_is_recorded_once(self, ledger: SqlLedger):
        proposal = await ledger.propose(draft(), LONG)
        await ledger.posted(proposal.id, "1.1")
        await ledger.posted(proposal.id, "2.2")
        entry = await ledger.get(proposal.key)
        assert entry is not None
        assert entry.proposal.message_ts == "1.1"

    @pytest.mark.parametrize(("known", "kept"), [("1.1", "1.1"), ("", "2.2")])
    async def test_where_a_preview_stands_is_kept_with_its_claim_if_it_was_not(
        self, ledger: SqlLedger, known: str, kept: str
    ):
        proposal = await ledger.propose(draft(), LONG)
        if known:
            await ledger.posted(proposal.id, known)
        claim = await ledger.claim(proposal.key, BEN, "one", LONG, message_ts="2.2")
        assert claim is not None
        assert claim.message_ts == kept

    async def test_a_claim_that_knows_no_message_names_none(self, ledger: SqlLedger):
        claim = await claimed(ledger, "one")
        assert claim.message_ts == ""

    async def test_later_knowledge_is_added_beside_the_results(self, ledger: SqlLedger):
        claim = await claimed(ledger, "one")
        assert await ledger.conclude(conclusion(claim, Outcome.UNKNOWN), "one")
        later = [
            Result(claim.targets[0].id, Outcome.STILL_RUNNING, "waits for Lock"),
            Result(claim.targets[0].id, Outcome.TERMINATED),
        ]
        assert await ledger.amend(claim.id, later, ["is back with 2 sessions"])
        entry = await ledger.get(claim.key)
        assert entry is not None
        assert [result.outcome for result in entry.results] == [Outcome.UNKNOWN]
        assert entry.amendments == tuple(later)
        assert entry.notes == ("is back with 2 sessions",)

    async def test_an_amendment_of_what_was_no_target_is_refused(self, ledger: SqlLedger):
        claim = await claimed(ledger, "one")
        assert await ledger.conclude(conclusion(claim), "one")
        with pytest.raises(LedgerError):
            await ledger.amend(
                claim.id, [Result(BackendId(1, THEN), Outcome.TERMINATED)], ["not kept"]
            )
        entry = await ledger.get(claim.key)
        assert entry is not None
        assert (entry.amendments, entry.notes) == ((), ())

    async def test_a_refused_attempt_is_recorded(self, ledger: SqlLedger):
        await ledger.note([(0.0, refusal_note("/pg-kill user=some_user", reference="9b676bb2"))])
        (row,) = await rows(ledger, schema.refusals)
        assert row.pop("at").tzinfo is UTC
        assert row == {
            "id": 1,
            "user_id": ANA.user_id,
            "team_id": ANA.team_id,
            "channel_id": "C1",
            "what": "/pg-kill user=some_user",
            "why": "PG_KILL_ALLOWLIST",
            "reference": "9b676bb2",
        }

    async def test_notes_are_of_when_they_were_taken_and_stand_in_order(self, ledger: SqlLedger):
        """They may have waited for the ledger, and one of them may have come there before."""
        assert await ledger.first_time("v0=one")
        before = datetime.now(UTC)
        await ledger.note(
            [
                (3600.0, refusal_note("first")),
                (1800.0, look_note("between")),
                (0.0, refusal_note("last")),
                (0.0, SignatureNote("v0=one")),
                (0.0, SignatureNote("v0=two")),
            ]
        )
        last, first = await ledger.noted(Record.REFUSALS, since=None, limit=9)
        assert (first.what, last.what) == ("first", "last")
        (between,) = await ledger.noted(Record.LOOKS, since=None, limit=9)
        ages = [(before - one.at) / timedelta(minutes=1) for one in (first, between, last)]
        assert [round(age) for age in ages] == [60, 30, 0]
        assert not await ledger.first_time("v0=two")

    async def test_refusals_and_looks_are_read_newest_first_page_by_page(self, ledger: SqlLedger):
        for number in range(3):
            await ledger.note([(0.0, refusal_note(f"/pg-kill {number}", reference=f"ref{number}"))])
        await ledger.note([(0.0, look_note("pid 7, with its full query", reference="fb06c0da"))])

        async def refused(**where: Any) -> list[str]:
            found = await ledger.noted(Record.REFUSALS, **{"since": None, "limit": 10, **where})
            return [one.what for one in found]

        assert await refused() == ["/pg-kill 2", "/pg-kill 1", "/pg-kill 0"]
        assert await refused(limit=1, before_id=3) == ["/pg-kill 1"]
        (last,) = await ledger.noted(Record.REFUSALS, since=None, limit=1)
        assert last.reference == "ref2"
        assert await refused(since=datetime.now(UTC) + timedelta(days=1)) == []
        (seen,) = await ledger.noted(Record.LOOKS, since=THEN, limit=10)
        assert (seen.actor, seen.channel_id, seen.cluster) == (ANA, "C1", "main")
        assert (seen.what, seen.why) == ("pid 7, with its full query", None)
        assert seen.reference == "fb06c0da"

    async def test_the_last_look_is_the_channels_own_and_the_last_recorded(self, ledger: SqlLedger):
        assert await ledger.last_look("C1", "main") is None
        seen = [
            look_note(SEEN, cluster_at=THEN + LONG),
            look_note(SEEN, cluster_at=THEN),  # after a failover its clock went back
            look_note(ALONE, cluster_at=THEN + LONG),
            look_note(SEEN, cluster_at=THEN + LONG, channel_id="C2"),
            look_note(SEEN, cluster_at=THEN + LONG, cluster="prod"),
        ]
        await ledger.note([(0.0, one) for one in seen])
        assert await ledger.last_look("C1", "main") == THEN
        assert len(await rows(ledger, schema.looks)) == 5


class TestClaims:
    """Rule 4: a preview is claimed exactly once."""

    async def test_a_second_click_claims_nothing(self, ledger: SqlLedger, replica: SqlLedger):
        claim = await claimed(ledger, "one")
        assert claim.state is State.CLAIMED
        assert claim.confirmed_by == BEN
        for again in (ledger, replica):
            assert await again.claim(claim.key, ANA, "one", LONG) is None
            assert await again.claim(claim.key, ANA, "two", LONG) is None
        entry = await ledger.get(claim.key)
        assert entry is not None
        assert entry.proposal == claim

    @pytest.mark.parametrize("confirmed", Action)
    async def test_what_was_confirmed_is_what_is_done(self, ledger: SqlLedger, confirmed: Action):
        """A preview may offer to cancel beside what it proposes."""
        for proposed in Action:
            proposal = await ledger.propose(draft(action=proposed), LONG)
            claim = await ledger.claim(proposal.key, BEN, "one", OVER, action=confirmed)
            assert claim is not None
            assert claim.action is confirmed
        taken = await ledger.lapsed("two", LONG, working=())
        assert [each.action for each in taken] == [confirmed] * len(Action)

    @pytest.mark.smoke
    async def test_of_many_clicks_at_once_one_wins(self, ledger: SqlLedger, replica: SqlLedger):
        proposal = await ledger.propose(draft(), LONG)
        clicks = [
            each.claim(proposal.key, ANA, f"{number}", LONG)
            for number in range(10)
            for each in (ledger, replica)
        ]
        assert len([claim for claim in await asyncio.gather(*clicks) if claim]) == 1

    async def test_two_processes_win_a_hundred_claims_between_them(
        self, ledger: SqlLedger, url: str
    ):
        racers = [await start(RACER, url, owner) for owner in ("one", "two")]
        for racer in racers:
            assert await ask(racer) == "ready"
        wins = []
        for _ in range(100):
            proposal = await ledger.propose(draft(), LONG)
            wins.append(await asyncio.gather(*(ask(racer, proposal.key) for racer in racers)))
        for racer in racers:
            await racer.communicate(b"")
        assert {tuple(sorted(each)) for each in wins} == {("lost", "won")}

    async def test_an_expired_preview_is_neither_claimed_nor_dismissed(self, ledger: SqlLedger):
        proposal = await ledger.propose(draft(), OVER)
        assert await ledger.claim(proposal.key, ANA, "one", LONG) is None
        assert not await ledger.dismiss(proposal.key, ANA)
        entry = await ledger.get(proposal.key)
        assert entry is not None
        assert entry.expired
        assert entry.proposal == proposal

    async def test_a_claim_does_not_expire(self, ledger: SqlLedger):
        proposal = await ledger.propose(draft(), LONG)
        assert await ledger.claim(proposal.key, ANA, "one", LONG)
        async with ledger._writer.begin() as connection:
            await connection.execute(sqlalchemy.update(schema.kills).values(expires_at=THEN))
        entry = await ledger.get(proposal.key)
        assert entry is not None
        assert not entry.expired

    @pytest.mark.parametrize(("days", "zone"), [(1, "Pacific/Kiritimati"), (-1, "Etc/GMT+12")])
    async def test_expiry_and_leases_go_by_the_ledgers_clock_in_no_zone(
        self, ledger: SqlLedger, url: str, days: int, zone: str
    ):
        fresh = await ledger.propose(draft(), LONG)
        stale = await ledger.propose(draft(), OVER)
        held = await claimed(ledger, "one", LONG)
        lapsed = await claimed(ledger, "one", OVER)
        child = await start(FORGER, url, days, fresh.key, stale.key, env={"TZ": zone})
        said = json.loads((await child.communicate())[0])
        assert abs(said["its clock"] - to_us(datetime.now(UTC)) / 1e6) > 80_000
        assert said["claimed"] == [True, False]
        assert said["lapsed"] == [lapsed.id]
        assert said["backend_start"] == to_us(THEN)
        entry = await ledger.get(held.key)
        assert entry is not None
        assert await ledger.renew(held.id, "one", LONG)

    async def test_a_dismissed_preview_is_closed(self, ledger: SqlLedger):
        proposal = await ledger.propose(draft(), LONG)
        assert await ledger.dismiss(proposal.key, BEN)
        assert not await ledger.dismiss(proposal.key, ANA)
        assert await ledger.claim(proposal.key, ANA, "one", LONG) is None
        entry = await ledger.get(proposal.key)
        assert entry is not None
        assert entry.proposal == replace(proposal, state=State.DISMISSED, dismissed_by=BEN)
        (row,) = await rows(ledger, schema.kills)
        assert row["dismissed_at"] >= proposal.created_at

    async def test_a_claimed_preview_is_not_dismissed(self, ledger: SqlLedger):
        claim = await claimed(ledger, "one")
        assert not await ledger.dismiss(claim.key, BEN)


class TestLeases:
    """Rule 4: only an expired lease is taken."""

    async def test_a_live_lease_is_left_alone(self, ledger: SqlLedger, replica: SqlLedger):
        claim = await claimed(ledger, "one")
        assert await replica.lapsed("two", LONG, working=()) == ()
        assert not await replica.renew(claim.id, "two", LONG)
        assert not await replica.conclude(conclusion(claim), "two")
        assert await ledger.conclude(conclusion(claim), "one")

    @pytest.mark.smoke
    async def test_a_lapsed_lease_is_taken_once(self, ledger: SqlLedger, replica: SqlLedger):
        claims = [await claimed(ledger, "dead", OVER) for _ in range(20)]
        live = await claimed(ledger, "live")
        open_one = await ledger.propose(draft(), LONG)
        taken = await asyncio.gather(
            ledger.lapsed("one", LONG, working=()), replica.lapsed("two", LONG, working=())
        )
        assert sorted(p.id for each in taken for p in each) == [claim.id for claim in claims]
        assert live.id not in {p.id for each in taken for p in each}
        assert open_one.id not in {p.id for each in taken for p in each}
        assert await ledger.lapsed("three", LONG, working=()) == ()

    async def test_what_was_taken_is_the_takers(self, ledger: SqlLedger, replica: SqlLedger):
        claim = await claimed(ledger, "dead", OVER)
        (taken,) = await replica.lapsed("two", LONG, working=())
        assert taken == claim
        assert not await ledger.renew(claim.id, "dead", LONG)
        assert not await ledger.conclude(conclusion(claim), "dead")
        assert await replica.renew(claim.id, "two", LONG)
        assert await replica.conclude(conclusion(taken, Outcome.INTERRUPTED), "two")
        entry = await ledger.get(claim.key)
        assert entry is not None
        assert [result.outcome for result in entry.results] == [Outcome.INTERRUPTED]

    async def test_an_owners_own_claim_that_it_knows_nothing_of_is_taken_too(
        self, ledger: SqlLedger
    ):
        """Its claim was written, and the reply was lost."""
        claim = await claimed(ledger, "one", OVER)
        (taken,) = await ledger.lapsed("one", LONG, working=())
        assert taken.id == claim.id

    async def test_an_owner_does_not_lose_a_claim_to_itself(self, ledger: SqlLedger):
        claim = await claimed(ledger, "one", OVER)
        assert await ledger.lapsed("one", LONG, working={claim.id}) == ()
        assert await ledger.conclude(conclusion(claim), "one")

    async def test_what_an_owner_lost_is_taken_although_it_was_at_work_on_it(
        self, ledger: SqlLedger, replica: SqlLedger
    ):
        """Who took it from the owner may have died since."""
        claim = await claimed(ledger, "one", OVER)
        assert await replica.lapsed("two", OVER, working=())
        (taken,) = await ledger.lapsed("one", LONG, working={claim.id})
        assert taken.id == claim.id

    async def test_the_oldest_is_taken_first(self, ledger: SqlLedger):
        claims = [await claimed(ledger, "dead", lease) for lease in (LONG, OVER, OVER)]
        assert await ledger.renew(claims[0].id, "dead", OVER)  # and so it is the last of the table
        taken = await ledger.lapsed("one", LONG, working=())
        assert [each.id for each in taken] == [each.id for each in claims]

    async def test_a_lease_is_renewed_while_it_lasts_and_not_after(self, ledger: SqlLedger):
        claim = await claimed(ledger, "one")
        assert await ledger.renew(claim.id, "one", LONG)
        assert await ledger.lapsed("two", LONG, working=()) == ()
        assert await ledger.renew(claim.id, "one", OVER)
        assert not await ledger.renew(claim.id, "one", LONG)
        assert [p.id for p in await ledger.lapsed("two", LONG, working=())] == [claim.id]

    @pytest.mark.parametrize("lease", [OVER, LONG])
    async def test_what_is_done_has_no_lease(self, ledger: SqlLedger, lease: timedelta):
        claim = await claimed(ledger, "one", lease)
        assert await ledger.conclude(conclusion(claim), "one")
        assert await ledger.lapsed("two", LONG, working=()) == ()
        assert not await ledger.renew(claim.id, "one", LONG)

    async def test_a_conclusion_sent_again_changes_nothing(self, ledger: SqlLedger):
        claim = await claimed(ledger, "one")
        assert await ledger.conclude(conclusion(claim, Outcome.TERMINATED), "one")
        first = await ledger.get(claim.key)
        assert await ledger.conclude(conclusion(claim, Outcome.UNKNOWN, arrivals=5), "one")
        assert not await ledger.conclude(conclusion(claim, Outcome.UNKNOWN), "two")
        assert await ledger.get(claim.key) == first

    async def test_an_outcome_of_one_kill_is_none_of_another(self, ledger: SqlLedger):
        done, others = await claimed(ledger, "one"), await claimed(ledger, "two")
        assert await ledger.conclude(conclusion(done), "one")
        assert not await ledger.conclude(conclusion(others), "one")

    async def test_a_proposal_that_nobody_claimed_has_no_outcome(self, ledger: SqlLedger):
        proposal = await ledger.propose(draft(), LONG)
        assert not await ledger.conclude(conclusion(proposal), "one")

    async def test_an_outcome_is_recorded_whole_or_not_at_all(self, ledger: SqlLedger):
        claim = await claimed(ledger, "one")
        stranger = Result(BackendId(1, THEN), Outcome.TERMINATED)
        mixed = conclusion(claim)
        with pytest.raises(LedgerError):
            await ledger.conclude(replace(mixed, results=(*mixed.results, stranger)), "one")
        entry = await ledger.get(claim.key)
        assert entry is not None
        assert (entry.proposal.state, entry.results) == (State.CLAIMED, ())
        assert await ledger.conclude(mixed, "one")


class TestSecondLooks:
    """Each kill is looked at once more, by whoever lives then."""

    TEN_SECONDS, A_LEASE = timedelta(seconds=11), timedelta(seconds=91)

    async def done(self, ledger: SqlLedger, owner: str, ago: timedelta) -> Proposal:
        """A kill that this owner concluded so long ago."""
        claim = await claimed(ledger, owner)
        assert await ledger.conclude(conclusion(claim, Outcome.STILL_RUNNING), owner)
        async with ledger._transaction(ledger._writer) as connection:
            us = ago // timedelta(microseconds=1)
            earlier = {
                name: sqlalchemy.type_coerce(schema.kills.c[name], sqlalchemy.BigInteger) - us
                for name in ("concluded_at", "lease_until")
            }
            await connection.execute(
                sqlalchemy.update(schema.kills).where(schema.kills.c.id == claim.id).values(earlier)
            )
        return claim

    @pytest.mark.parametrize("ago", [TEN_SECONDS, timedelta(seconds=80)])
    async def test_it_is_left_to_the_process_that_concluded(
        self, ledger: SqlLedger, replica: SqlLedger, ago: timedelta
    ):
        await self.done(ledger, "one", ago)
        assert await replica.unfollowed("two", clusters=MAIN, working=()) == ()

    async def test_where_that_has_died_one_other_takes_it(
        self, ledger: SqlLedger, replica: SqlLedger
    ):
        kills = [await self.done(ledger, "dead", self.A_LEASE) for _ in range(10)]
        taken = await asyncio.gather(
            ledger.unfollowed("one", clusters=MAIN, working=()),
            replica.unfollowed("two", clusters=MAIN, working=()),
        )
        entries = [entry for each in taken for entry in each]
        assert sorted(entry.proposal.id for entry in entries) == [kill.id for kill in kills]
        assert {entry.results[0].outcome for entry in entries} == {Outcome.STILL_RUNNING}
        assert await ledger.unfollowed("three", clusters=MAIN, working=()) == ()
        # Each is the taker's, and its to leave.
        await ledger.leave("one")
        await ledger.leave("two")
        assert len(await ledger.unfollowed("three", clusters=MAIN, working=())) == len(kills)

    async def test_where_that_was_told_to_stop_it_is_taken_at_once(self, ledger: SqlLedger):
        kill = await self.done(ledger, "one", self.TEN_SECONDS)
        other = await self.done(ledger, "other", self.TEN_SECONDS)
        await ledger.leave("another")
        assert await ledger.unfollowed("two", clusters=MAIN, working=()) == ()
        await ledger.leave("one")
        (entry,) = await ledger.unfollowed("two", clusters=MAIN, working=())
        assert entry.proposal.id == kill.id
        await ledger.leave("other")
        (entry,) = await ledger.unfollowed("three", clusters=MAIN, working=())
        assert entry.proposal.id == other.id

    async def test_but_not_before_ten_seconds_have_passed(self, ledger: SqlLedger):
        await self.done(ledger, "one", timedelta(seconds=5))
        await ledger.leave("one")
        assert await ledger.unfollowed("two", clusters=MAIN, working=()) == ()

    async def test_an_owner_takes_its_own_that_it_is_not_at_work_on(self, ledger: SqlLedger):
        kill = await self.done(ledger, "one", self.A_LEASE)
        assert await ledger.unfollowed("one", clusters=MAIN, working={kill.id}) == ()
        assert len(await ledger.unfollowed("one", clusters=MAIN, working=())) == 1

    async def test_after_an_hour_it_says_nothing_of_the_kill_any_more(self, ledger: SqlLedger):
        await self.done(ledger, "dead", timedelta(minutes=61))
        assert await ledger.unfollowed("two", clusters=MAIN, working=()) == ()
        await self.done(ledger, "dead", timedelta(minutes=59))
        assert len(await ledger.unfollowed("two", clusters=MAIN, working=())) == 1

    @pytest.mark.parametrize("found", [["is back"], []])
    async def test_it_is_recorded_once_and_over_then(
        self, ledger: SqlLedger, replica: SqlLedger, found: list[str]
    ):
        kill = await self.done(ledger, "dead", self.A_LEASE)
        looks = await asyncio.gather(
            ledger.amend(kill.id, [], found), replica.amend(kill.id, [], found)
        )
        assert sorted(looks) == [False, True]
        entry = await ledger.get(kill.key)
        assert entry is not None
        assert entry.notes == tuple(found)
        assert await ledger.unfollowed("two", clusters=MAIN, working=()) == ()

    async def test_a_replica_that_knows_the_cluster_takes_it(self, ledger: SqlLedger):
        await self.done(ledger, "dead", self.A_LEASE)
        assert await ledger.unfollowed("two", clusters=("prod",), working=()) == ()
        assert len(await ledger.unfollowed("three", clusters=("prod", "main"), working=())) == 1

    async def test_what_is_not_concluded_has_none(self, ledger: SqlLedger):
        """Its second look may come before the outcome could be written: that goes first."""
        claim = await claimed(ledger, "one")
        await ledger.leave("one")
        assert not await ledger.amend(claim.id, [], ["too early"])
        assert await ledger.renew(claim.id, "one", LONG)
        assert await ledger.conclude(conclusion(claim), "one")
        assert await ledger.amend(claim.id, [], ["in time"])
        entry = await ledger.get(claim.key)
        assert entry is not None
        assert entry.notes == ("in time",)

    async def test_one_that_was_had_is_nobodys_to_leave(self, ledger: SqlLedger):
        kill = await self.done(ledger, "one", self.A_LEASE)
        assert await ledger.amend(kill.id, [], [])
        await ledger.leave("one")
        assert await ledger.unfollowed("two", clusters=MAIN, working=()) == ()


class TestHistory:
    """The last kills, in whatever state they are."""

    async def test_newest_first_in_every_state_and_by_pages(self, ledger: SqlLedger):
        done = await claimed(ledger, "one")
        assert await ledger.conclude(conclusion(done), "one")
        await claimed(ledger, "one")
        await ledger.propose(draft(), OVER)
        dismissed = await ledger.propose(draft(), LONG)
        assert await ledger.dismiss(dismissed.key, BEN)
        await ledger.propose(draft(), LONG)
        first = await history(ledger, HistoryFilter(), limit=3)
        second = await history(ledger, HistoryFilter(), limit=3, before_id=first[-1].proposal.id)
        assert [(e.proposal.state, e.expired) for e in (*first, *second)] == [
            (State.PROPOSED, False),
            (State.DISMISSED, False),
            (State.PROPOSED, True),
            (State.CLAIMED, False),
            (State.DONE, False),
        ]
        assert second[-1] == await ledger.get(done.key)
        assert len(second[-1].results) == 1

    @pytest.mark.smoke
    @pytest.mark.parametrize(
        ("where", "found"),
        [
            (HistoryFilter(), "dcba"),
            (HistoryFilter(target=Where(cluster="prod")), "d"),
            (HistoryFilter(target=Where(database="shop")), "ca"),
            (HistoryFilter(target=Where(cluster="main", database="shop")), "ca"),
            (HistoryFilter(roles=((("web",), False),)), "ba"),
            (HistoryFilter(roles=((("web",), True),)), "cb"),
            (HistoryFilter(roles=((("w", ""), False), (("", "2"), True))), "ba"),
            # One and the same session: b has a web and a session in logs, not a web in logs.
            (HistoryFilter(roles=((("web",), False),), databases=((("logs",), False),)), ""),
            (HistoryFilter(databases=((("", ""), False),)), "cba"),
            (HistoryFilter(databases=((("shop",), True),)), "b"),
            (HistoryFilter(since=THEN), "dcba"),
            (HistoryFilter(since=datetime.max.replace(tzinfo=UTC)), ""),
        ],
    )
    async def test_all_that_is_asked_must_hold_of_one_session(
        self, ledger: SqlLedger, where: HistoryFilter, found: str
    ):
        for reason, cluster, sessions in (
            ("a", "main", [("web", "shop")]),
            ("b", "main", [("web", "crm"), ("batch", "logs")]),
            ("c", "main", [("web2", "shop")]),
            ("d", "prod", [(None, None)]),
        ):
            shown = [
                target(pid, usename=usename, datname=datname)
                for pid, (usename, datname) in enumerate(sessions)
            ]
            await ledger.propose(draft(*shown, cluster=cluster, reason=reason), LONG)
        entries = await history(ledger, where, limit=9)
        assert "".join(e.proposal.reason or "" for e in entries) == found

    async def test_the_limit_counts_those_that_match(self, ledger: SqlLedger):
        for number in range(6):
            await ledger.propose(draft(target(usename=f"u{number % 2}")), LONG)
        entries = await history(ledger, HistoryFilter(roles=((("u0",), False),)), limit=2)
        assert [e.proposal.id for e in entries] == [5, 3]

    async def test_a_glob_means_here_what_it_means_everywhere(self, ledger: SqlLedger):
        names = ["", "web", "Web", "web*", "we[b]", "w%b", "w_b", "w\\b", "w?b", "web web", "w^b"]
        globs = [
            *((name,) for name in names),
            *((name, "") for name in names),
            *(("", name, "") for name in names),
            ("w", "b"),
            ("w", "b", ""),
            ("", "", ""),
            ("[a-z", ""),
            ("w]", ""),
        ]
        shown = [target(pid, usename=name) for pid, name in enumerate(names)]
        for one in shown:
            await ledger.propose(draft(one, reason=one.seen.usename), LONG)
        for parts in globs:
            for negated in (False, True):
                entries = await history(
                    ledger, HistoryFilter(roles=((parts, negated),)), limit=len(names)
                )
                assert [e.proposal.reason for e in entries] == [
                    name for name in reversed(names) if Pattern(parts).matches(name) != negated
                ], (parts, negated)


class TestSchema:
    """A version, and a way from each to the next."""

    @pytest.mark.smoke
    async def test_the_tables_are_as_the_last_migration_leaves_them(self, ledger: SqlLedger):
        def reflected(connection: sqlalchemy.Connection) -> dict[str, Any]:
            found = sqlalchemy.MetaData()
            found.reflect(connection, schema=migrations._schema_of(connection))
            return {table.name: described(table) for table in found.tables.values()}

        def described(table: sqlalchemy.Table) -> tuple[object, ...]:
            return (
                [
                    # SQLite takes its INTEGER PRIMARY KEY for nullable; it never is.
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

        async with ledger._reader.connect() as connection:
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
        async with later._reader.connect() as connection:
            mood = await connection.scalar(
                sqlalchemy.select(sqlalchemy.literal_column("mood")).select_from(schema.kills)
            )
        assert mood == "calm"

    async def test_a_kill_of_before_there_were_references_has_none(
        self, url: str, monkeypatch: pytest.MonkeyPatch, make: Make, opened: Opened
    ):
        values = rows_of.kill_values(draft()) | {"state": State.PROPOSED}
        del values["reference"]
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
        async with ledger._writer.begin() as connection:
            await connection.execute(sqlalchemy.update(schema.kills).values(key=None))
        (entry,) = await history(ledger, HistoryFilter(), limit=1)
        assert entry.proposal == replace(proposal, key="-")
        assert await ledger.claim("-", ANA, "one", LONG) is None

    @pytest.mark.parametrize("version", [1, 2])
    async def test_refusals_and_looks_of_before_they_had_references_have_none(
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
        async with ledger._reader.connect() as connection:
            assert "half" not in await connection.run_sync(
                lambda sync: sqlalchemy.inspect(sync).get_table_names()
            )
        assert len(await rows(ledger, schema.ledger_version)) == len(migrations.MIGRATIONS) - 1

    async def test_a_ledger_of_a_later_version_is_refused(self, ledger: SqlLedger, url: str):
        async with ledger._writer.begin() as connection:
            await connection.execute(
                sqlalchemy.insert(schema.ledger_version).values(
                    version=migrations.SCHEMA_VERSION + 1, at=THEN
                )
            )
        await serve(ledger, migrations.SCHEMA_VERSION + 1)
        with pytest.raises(OtherVersion, match="later version of the bot"):
            await SqlLedger(url).open()

    async def test_but_not_if_that_version_serves_this_one(
        self, ledger: SqlLedger, url: str, opened: Opened
    ):
        proposal = await ledger.propose(draft(), LONG)
        async with ledger._transaction(ledger._writer) as connection:
            row = {"version": migrations.SCHEMA_VERSION + 1, "at": THEN}
            await connection.execute(sqlalchemy.insert(schema.ledger_version).values(row))
        older = await opened(url)
        assert await older.claim(proposal.key, BEN, "one", LONG)


async def serve(ledger: SqlLedger, version: int) -> None:
    """Have the ledger serve bots from a schema version on, as a later bot's migration does."""
    async with ledger._transaction(ledger._writer) as connection:
        await connection.execute(sqlalchemy.update(schema.ledger_marks).values(serves=version))


async def rewrite(ledger: SqlLedger, table: sqlalchemy.Table, kill: int, **columns: Any) -> None:
    """Put into a kill's rows what this version doesn't write: texts as they are."""
    texts = {name: sqlalchemy.literal(value, sqlalchemy.Text) for name, value in columns.items()}
    of_kill = table.c.id if table is schema.kills else table.c.kill_id
    async with ledger._transaction(ledger._writer) as connection:
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
    """A replica of a later version writes into the same ledger, as in every update."""

    async def test_what_is_only_displayed_may_be_of_a_later_version(self, ledger: SqlLedger):
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

    async def test_an_outcome_of_a_later_version_is_not_this_ones_to_look_at_again(
        self, ledger: SqlLedger
    ):
        kills = [await TestSecondLooks().done(ledger, "dead", timedelta(seconds=91)) for _ in "ab"]
        await rewrite(ledger, schema.outcomes, kills[0].id, outcome="restarted")
        (entry,) = await ledger.unfollowed("two", clusters=MAIN, working=())
        assert entry.proposal.id == kills[1].id

    @pytest.mark.parametrize("what", NOT_UNDERSTOOD)
    async def test_what_decides_is_refused_for_that_one_kill(self, ledger: SqlLedger, what: str):
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
        taken = await ledger.lapsed("one", LONG, working=())
        assert [each.id for each in taken] == [first.id, last.id]
        # Whoever understands it finds it as it was.
        assert await held_by(ledger, theirs) == before

    async def test_a_replica_that_the_ledger_no_longer_serves_kills_nothing(
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
        # What it has done already goes on record.
        assert await ledger.conclude(conclusion(held), "one")


class TestTheClockSetBack:
    """Expiry and leases go by the ledger's clock, which may be put right by hand."""

    @staticmethod
    def put(ledger: SqlLedger, ahead: timedelta) -> None:
        """Put the ledger's clock ahead of the real one by this much, or back."""
        clock = type(ledger._store).clock
        off = to_us(THEN + ahead) - to_us(THEN)
        sum_of = sqlalchemy.type_coerce(clock, sqlalchemy.BigInteger) + off
        ledger._store.clock = sqlalchemy.type_coerce(sum_of, schema.Instant)

    async def test_a_preview_that_has_expired_stays_so(self, ledger: SqlLedger):
        proposal = await ledger.propose(draft(), timedelta(minutes=10))
        self.put(ledger, timedelta(minutes=11))
        assert await ledger.lapsed("one", LONG, working=()) == ()  # as every 5 s
        self.put(ledger, timedelta(minutes=1))
        entry = await ledger.get(proposal.key)
        assert entry is not None
        assert entry.expired
        assert await ledger.claim(proposal.key, ANA, "one", LONG) is None
        assert not await ledger.dismiss(proposal.key, ANA)
        self.put(ledger, timedelta(minutes=-50))
        assert await ledger.claim(proposal.key, ANA, "one", LONG) is None

    @pytest.mark.parametrize("noticed_by", ["a click", "recovery"])
    async def test_an_open_preview_ends_and_new_ones_are_good(
        self, ledger: SqlLedger, noticed_by: str
    ):
        """How long it was open nobody knows; and nobody can be kept from killing."""
        proposal = await ledger.propose(draft(), timedelta(minutes=10))
        self.put(ledger, -LONG)
        if noticed_by == "recovery":
            await ledger.lapsed("one", LONG, working=())
        assert await ledger.claim(proposal.key, ANA, "one", LONG) is None
        entry = await ledger.get(proposal.key)
        assert entry is not None
        assert (entry.expired, entry.proposal.state) == (True, State.PROPOSED)
        fresh = await ledger.propose(draft(), timedelta(minutes=10))
        assert await ledger.claim(fresh.key, ANA, "one", LONG)
        self.put(ledger, timedelta(0))
        assert await ledger.claim(proposal.key, ANA, "one", LONG) is None

    async def test_a_clock_that_is_kept_right_ends_nothing(self, ledger: SqlLedger):
        proposal = await ledger.propose(draft(), timedelta(minutes=10))
        self.put(ledger, timedelta(seconds=-3))
        await ledger.lapsed("one", LONG, working=())
        assert await ledger.claim(proposal.key, ANA, "one", LONG)

    async def test_what_a_dead_process_left_is_taken_when_its_lease_would_be_over(
        self, ledger: SqlLedger
    ):
        lease = timedelta(seconds=15)
        dead = await claimed(ledger, "dead", lease)
        self.put(ledger, -LONG)
        assert await ledger.lapsed("one", LONG, working=()) == ()
        self.put(ledger, lease + timedelta(seconds=1) - LONG)
        (taken,) = await ledger.lapsed("one", LONG, working=())
        assert taken.id == dead.id


async def held_by(ledger: SqlLedger, kill: Proposal) -> tuple[Any, ...]:
    """Who has claimed a kill, and for how long."""
    kills = schema.kills.c
    asked = sqlalchemy.select(kills.owner, kills.lease_until).where(kills.id == kill.id)
    async with ledger._transaction(ledger._reader) as connection:
        return tuple((await connection.execute(asked)).one())


class TestRetention:
    """What has been kept for long enough is dropped, in small batches that nobody waits for."""

    @staticmethod
    async def age(ledger: SqlLedger, days: float, *ids: int) -> None:
        """Have these kills be asked for so many days ago."""
        past = ledger._store.after(-timedelta(days=days))
        async with ledger._transaction(ledger._writer) as connection:
            await connection.execute(
                sqlalchemy.update(schema.kills)
                .where(schema.kills.c.id.in_(ids))
                .values(created_at=past)
            )

    async def kept(self, ledger: SqlLedger, *tables: sqlalchemy.Table) -> list[int]:
        return [len(await rows(ledger, table)) for table in tables]

    async def test_what_is_old_goes_and_an_open_kill_stays(self, url: str, opened: Opened):
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
        # A number that was given is not given again.
        assert (await ledger.propose(draft(), LONG)).id == young.id + 1

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

    async def test_it_goes_by_small_batches_and_replicas_may_both_do_it(
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

    async def test_it_happens_by_itself_and_only_where_it_is_asked_for(
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
    async def test_only_its_owner(self, sqlite_url: str, tmp_path: Path, opened: Opened):
        ledger = await opened(sqlite_url)
        async with ledger._transaction(ledger._writer) as connection:
            await connection.execute(sqlalchemy.update(schema.ledger_version).values(at=THEN))
            assert self.modes(tmp_path) == {"ledger.db": 0o600, "ledger.db-journal": 0o600}

    @pytest.mark.parametrize(
        ("mode", "then"), [(0o644, 0o600), (0o666, 0o600), (0o640, 0o640), (0o600, 0o600)]
    )
    async def test_one_that_anyone_could_read_is_closed(
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


class TestTrouble:
    """Every failure is a `LedgerError`, in words that can be shown."""

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "mysql://u:s3cret@h/db",
            "sqlite://",
            "sqlite:///:memory:",
            "sqlite://s3cret/ledger.db",
            "postgresql://u:s3cret@a,b/db",
            "postgresql://u:s3cret@/db?host=a,b",
            "postgresql://u:s3cret/@h/db",
            "postgresql://u:s3@cret@h/db",
            "postgresql://u:1#s3cret@h/db",
            "postgresql://u:s3cret@h/db?nonsense",
            "postgresql://u:s3cret@[h/db",
        ],
    )
    def test_a_url_that_can_name_no_ledger_is_refused_without_being_shown(self, url: str):
        with pytest.raises(LedgerError) as refused:
            SqlLedger(url)
        assert "s3" not in str(refused.value)
        assert refused.value.__cause__ is None

    async def test_a_ledger_shows_no_password(self):
        for url in ("postgresql://u:s3cret@h/db", "postgres://h/db?password=s3cret"):
            ledger = SqlLedger(url)
            assert "s3cret" not in f"{ledger!r} {ledger!s}"

    async def test_a_missing_folder_is_named(self, tmp_path: Path):
        ledger = SqlLedger(f"sqlite:///{tmp_path}/missing/ledger.db")
        with pytest.raises(LedgerError, match=f"folder does not exist: {tmp_path}/missing"):
            await ledger.open()

    async def test_a_file_that_can_not_be_written_is_refused(self, tmp_path: Path):
        sqlite3.connect(tmp_path / "ledger.db").close()
        ledger = SqlLedger(f"sqlite:///file:{tmp_path}/ledger.db?mode=ro&uri=true")
        with pytest.raises(LedgerError, match="readonly database"):
            await ledger.open()

    async def test_a_file_that_is_something_else_is_refused(self, tmp_path: Path):
        (tmp_path / "ledger.db").write_text("Dear diary" * 99)
        with pytest.raises(LedgerError, match="not a database"):
            await SqlLedger(f"sqlite:///{tmp_path}/ledger.db").open()

    async def test_a_file_that_another_process_holds_is_waited_for_and_then_an_error(
        self, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: Opened
    ):
        monkeypatch.setattr(sqlite, "BUSY_TIMEOUT", 0.05)
        ledger = await opened(sqlite_url)
        other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match="locked"):
            await ledger.ready()
        assert await ledger.get("") is None  # readers go on
        other.close()
        await ledger.ready()

    @pytest.mark.parametrize("holder", ["nobody", "another process"])
    async def test_a_call_that_is_given_up_lets_go_of_the_file(
        self, sqlite_url: str, tmp_path: Path, opened: Opened, holder: str
    ):
        """Its error lives on here, with the cursor of the statement in its traceback."""
        ledger = await opened(sqlite_url, time_limit=0.3)
        forever = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
        gc.disable()
        with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
            if holder == "another process":
                other.execute("BEGIN IMMEDIATE")
            try:
                async with asyncio.timeout(PATIENCE):
                    with pytest.raises(LedgerError, match="did not answer") as kept:
                        async with ledger._transaction(ledger._writer) as connection:
                            await connection.exec_driver_sql(
                                f"{forever} SELECT count(*) FROM n WHERE i < 0"
                            )
                    if holder == "another process":
                        other.execute("ROLLBACK")
                    other.execute("BEGIN IMMEDIATE")
                    other.execute("ROLLBACK")
            finally:
                gc.enable()
            await ledger.ready()
            del kept

    async def test_a_reader_that_had_to_wait_reads_one_snapshot(
        self, sqlite_url: str, tmp_path: Path, opened: Opened
    ):
        ledger = await opened(sqlite_url)
        with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            asyncio.get_running_loop().call_later(0.1, other.execute, "ROLLBACK")
            async with ledger._transaction(ledger._reader) as connection:
                driver = (await connection.get_raw_connection()).driver_connection
                assert driver is not None
                assert driver.in_transaction

    async def test_a_reader_of_another_process_is_waited_for_and_then_an_error(
        self, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: Opened
    ):
        monkeypatch.setattr(sqlite, "BUSY_TIMEOUT", 0.05)
        ledger = await opened(sqlite_url)
        with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
            other.execute("BEGIN")
            assert other.execute("SELECT count(*) FROM kills").fetchone() == (0,)
            with pytest.raises(LedgerError, match="locked"):
                await ledger.propose(draft(), LONG)
            other.execute("COMMIT")
            other.execute("BEGIN IMMEDIATE")  # it holds no lock
            other.execute("ROLLBACK")
        await ledger.propose(draft(), LONG)
        assert len(await rows(ledger, schema.kills)) == 1

    async def test_a_file_whose_opening_is_given_up_is_closed(
        self, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
    ):
        connect: Any = sqlite3.connect
        go_on = threading.Event()
        opened: list[sqlite3.Connection] = []

        def slowly(*arguments: Any, **options: Any) -> sqlite3.Connection:
            go_on.wait(30)
            made: sqlite3.Connection = connect(*arguments, **options | {"check_same_thread": False})
            opened.append(made)
            return made

        def is_closed() -> bool:
            try:
                opened[0].execute("select 1")
            except sqlite3.ProgrammingError:
                return True
            return False

        monkeypatch.setattr(sqlite3, "connect", slowly)
        opening = asyncio.ensure_future(SqlLedger(sqlite_url).open())
        await asyncio.sleep(0.1)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        go_on.set()
        async with asyncio.timeout(PATIENCE):
            while not opened or not is_closed():
                await asyncio.sleep(0.01)

    async def test_a_file_that_was_moved_away_is_not_ready(
        self, sqlite_url: str, tmp_path: Path, opened: Opened
    ):
        ledger = await opened(sqlite_url)
        (tmp_path / "ledger.db").unlink()
        with pytest.raises(LedgerError):
            await ledger.ready()

    async def test_sqlite_is_told_to_wait_for_the_disk_and_to_hold_references(
        self, sqlite_url: str, opened: Opened
    ):
        ledger = await opened(sqlite_url)
        async with ledger._writer.connect() as connection:
            assert await connection.scalar(sqlalchemy.text("PRAGMA synchronous")) == 3
            assert await connection.scalar(sqlalchemy.text("PRAGMA journal_mode")) == "delete"
            assert await connection.scalar(sqlalchemy.text("PRAGMA foreign_keys")) == 1
        assert ledger.home is None

    @pytest.mark.smoke
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (("user", "nobody_of_that_name"), "refuses the login"),
            (("database", "no_such_database"), "does not exist"),
            (("sslmode", "require"), "offers no TLS, which the sslmode of its URL requires"),
        ],
    )
    async def test_a_server_that_refuses_is_an_error_without_address_or_secret(
        self, server: PostgresServer, change: tuple[str, str], words: str
    ):
        name, value = change
        if name == "sslmode":
            url = server.dsn(password="s3cret") + f"?{name}={value}"
        else:
            url = server.dsn(**{"password": "s3cret", name: value})
        with pytest.raises(LedgerError, match=words) as refused:
            await SqlLedger(url).open()
        assert "s3cret" not in str(refused.value)
        assert "127.0.0.1" not in str(refused.value)
        assert refused.value.__cause__ is not None

    async def test_a_server_that_is_not_there_is_an_error(self):
        ledger = SqlLedger("postgresql://u:s3cret@127.0.0.1:1/db")
        with pytest.raises(LedgerError, match="no connection") as refused:
            await ledger.open()
        assert "s3cret" not in str(refused.value)

    @pytest.mark.smoke
    @pytest.mark.parametrize(
        ("query", "words"), [("", "lacks a right"), ("?search_path=nowhere", "may not use it")]
    )
    async def test_a_role_without_rights_is_told_so(
        self, server: PostgresServer, query: str, words: str
    ):
        await administer(
            server,
            "DROP ROLE IF EXISTS plain",
            "CREATE ROLE plain LOGIN",
            "REVOKE CREATE ON SCHEMA public FROM PUBLIC",  # as it is by itself from 15 on
        )
        with pytest.raises(LedgerError, match=words):
            await SqlLedger(server.dsn(user="plain") + query).open()

    async def test_a_ledger_that_turned_read_only_is_not_ready(
        self, server: PostgresServer, database: str, opened: Opened
    ):
        ledger = await opened(server.dsn(database=database))
        await ledger.ready()
        await ledger.close()
        await administer(
            server, f"ALTER DATABASE {database} SET default_transaction_read_only = on"
        )
        await ledger.open()
        with pytest.raises(LedgerError, match="accepts no writes"):
            await ledger.ready()

    async def test_values_stay_out_of_errors(self, ledger: SqlLedger):
        claim = await claimed(ledger, "one")
        assert await ledger.conclude(conclusion(claim), "one")
        with pytest.raises(LedgerError) as refused:
            await ledger.amend(
                claim.id, [Result(BackendId(1, THEN), Outcome.TERMINATED, "s3cret")], []
            )
        assert "s3cret" not in str(refused.value)
        assert "s3cret" not in str(refused.value.__cause__)


class TestOnAServerInTrouble:
    """A ledger in PostgreSQL is needed most when that server is full or slow."""

    @pytest.fixture
    async def small(self) -> AsyncIterator[PostgresServer]:
        """A server with six connections, none of them reserved."""
        few: dict[str, str | int] = {
            "max_connections": 6,
            "superuser_reserved_connections": 0,
            "max_wal_senders": 0,
            "idle_session_timeout": "300ms",
        }
        async with postgres(settings=few) as running:
            yield running

    async def fill(self, server: PostgresServer) -> list[Session]:
        """Take every connection that is left."""
        taken: list[Session] = []
        while True:
            try:
                connection = await asyncpg.connect(server.dsn())
            except asyncpg.TooManyConnectionsError:
                return taken
            await connection.execute("SET idle_session_timeout = 0")
            taken.append(connection)

    async def pids(self, one: Session) -> list[int]:
        held = await one.fetch(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'pg-sessions-bot' ORDER BY 1"
        )
        return [row["pid"] for row in held]

    @pytest.mark.smoke
    @pytest.mark.parametrize("at_work", [False, True])
    async def test_what_is_held_goes_on_where_the_server_is_full(
        self, small: PostgresServer, opened: Opened, at_work: bool
    ):
        ledger = await opened(small.dsn())
        crowd = await self.fill(small)
        held = await self.pids(crowd[0])
        assert len(held) == 2
        await asyncio.gather(*(claimed(ledger, "one") for _ in range(5)))

        # One is lost, and its slot with it: the other still works, every time.
        lost = held[0]
        if at_work:
            lost = await self.lose_one_at_work(ledger, crowd[0])
        else:
            await self.end(crowd[0], lost)
        crowd += await self.fill(small)
        while newcomers := set(await self.pids(crowd[0])) - set(held):
            await self.end(crowd[0], newcomers.pop())  # the ledger was quicker: once more
            crowd += await self.fill(small)
        for _ in range(4):
            await claimed(ledger, "one")
        await asyncio.gather(*(claimed(ledger, "one") for _ in range(4)))
        assert await self.pids(crowd[0]) == [pid for pid in held if pid != lost]

        # A slot is free again: it is taken without anyone asking for the ledger.
        await crowd.pop().close()
        while len(await self.pids(crowd[0])) < 2:
            await asyncio.sleep(0.05)
        for connection in crowd:
            await connection.close()

    async def end(self, one: Session, pid: int) -> None:
        """End a session, and see it gone."""
        assert await one.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)

    async def lose_one_at_work(self, ledger: SqlLedger, one: Session) -> int:
        """End the session of a transaction that has begun."""
        pids: list[int] = []

        async def lose() -> None:
            async with ledger._transaction(ledger._writer) as connection:
                pids.append(
                    (
                        await connection.execute(sqlalchemy.text("SELECT pg_backend_pid()"))
                    ).scalar_one()
                )
                await self.end(one, pids[0])
                await connection.scalar(sqlalchemy.text("SELECT 1"))

        with pytest.raises(LedgerError, match=r"ended the session|broke"):
            await lose()
        return pids[0]

    async def test_its_connections_outlive_the_servers_idle_session_timeout(
        self, small: PostgresServer, monkeypatch: pytest.MonkeyPatch, opened: Opened
    ):
        monkeypatch.setattr(sql, "KEEP_EVERY", 60)
        await opened(small.dsn())
        other = await asyncpg.connect(small.dsn())
        while not other.is_closed():
            await asyncio.sleep(0.01)
        one = await asyncpg.connect(small.dsn())
        assert len(await self.pids(one)) == 2
        await one.close()

    async def test_after_a_restart_it_is_there_again(self, small: PostgresServer, opened: Opened):
        ledger = await opened(small.dsn())
        before = await ledger.propose(draft(), LONG)
        await small.restart("immediate")
        assert await ledger.get(before.key) is not None

    async def test_a_server_that_hangs_is_an_error_and_not_a_wait(
        self, server: PostgresServer, postgres_url: str, opened: Opened
    ):
        ledger = await opened(postgres_url)
        proposal = await ledger.propose(draft(), LONG)
        one = await asyncpg.connect(postgres_url)
        held = await self.pids(one)
        for pid in held:
            os.kill(pid, signal.SIGSTOP)
        ledger._time_limit = 0.5
        try:
            with pytest.raises(LedgerError, match="did not answer"):
                await ledger.claim(proposal.key, ANA, "one", LONG)
        finally:
            for pid in held:
                os.kill(pid, signal.SIGCONT)
        ledger._time_limit = sql.TIME_LIMIT
        entry = await ledger.get(proposal.key)
        assert entry is not None
        assert entry.proposal.state is State.PROPOSED
        await one.close()

    async def test_a_server_that_hangs_does_not_keep_it_from_closing(
        self, server: PostgresServer, postgres_url: str, opened: Opened
    ):
        ledger = await opened(postgres_url)
        one = await asyncpg.connect(postgres_url)
        held = await self.pids(one)
        for pid in held:
            os.kill(pid, signal.SIGSTOP)
        try:
            async with asyncio.timeout(PATIENCE):
                await ledger.close()
        finally:
            for pid in held:
                os.kill(pid, signal.SIGCONT)
        await one.close()

    async def test_it_knows_where_it_lives_and_who_it_is(
        self, server: PostgresServer, postgres_url: str, opened: Opened
    ):
        ledger = await opened(postgres_url)
        one = await asyncpg.connect(server.dsn())
        identifier = await one.fetchval("SELECT system_identifier FROM pg_control_system()")
        oid = await one.fetchval("SELECT oid FROM pg_roles WHERE rolname = 'postgres'")
        assert ledger.home == LedgerHome(identifier, oid)
        await one.close()

    @pytest.mark.smoke
    @pytest.mark.parametrize(
        ("configured", "used"), [("off", "on"), ("remote_apply", "remote_apply")]
    )
    async def test_a_commit_that_is_reported_survives_a_crash(
        self, server: PostgresServer, database: str, configured: str, used: str, opened: Opened
    ):
        await administer(server, f"ALTER DATABASE {database} SET synchronous_commit = {configured}")
        ledger = await opened(server.dsn(database=database))
        async with ledger._writer.connect() as connection:
            shown = await connection.scalar(sqlalchemy.text("SHOW synchronous_commit"))
        assert shown == used

    async def test_the_servers_defaults_for_transactions_change_nothing(
        self, server: PostgresServer, database: str, opened: Opened
    ):
        await administer(
            server,
            f"ALTER DATABASE {database} SET default_transaction_isolation = 'serializable'",
        )
        ledger = await opened(server.dsn(database=database))
        levels = [await isolation(engine.connect()) for engine in (ledger._writer, ledger._reader)]
        assert levels == ["read committed", "repeatable read"]


async def isolation(connecting: AsyncConnection) -> str:
    async with connecting as connection:
        return str(await connection.scalar(sqlalchemy.text("SHOW transaction_isolation")))


async def start(
    program: str, *arguments: object, env: dict[str, str] | None = None
) -> asyncio.subprocess.Process:
    """Run a program in another Python, from the root of the tree."""
    return await asyncio.create_subprocess_exec(
        *(*TIED, sys.executable),
        "-c",
        textwrap.dedent(program),
        *map(str, arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=os.environ | (env or {}),
    )


async def ask(process: asyncio.subprocess.Process, line: object = None) -> str:
    """Say one line to a program, or nothing, and read one from it."""
    assert process.stdin is not None
    assert process.stdout is not None
    if line is not None:
        process.stdin.write(f"{line}\n".encode())
        await process.stdin.drain()
    return (await process.stdout.readline()).decode().strip()


RACER = """
    import asyncio, sys
    from datetime import timedelta
    from bot.domain.kills import Actor
    from bot.ledger.sql import SqlLedger

    async def main(url, owner):
        ledger = SqlLedger(url)
        await ledger.open()
        print("ready", flush=True)
        for line in sys.stdin:
            claim = await ledger.claim(line.strip(), Actor("U0"), owner, timedelta(hours=1))
            print("lost" if claim is None else "won", flush=True)
        await ledger.close()

    asyncio.run(main(*sys.argv[1:]))
"""

FORGER = """
    import datetime, json, sys, time

    url, days, fresh, stale = sys.argv[1], int(sys.argv[2]), *sys.argv[3:]
    real, real_time = datetime.datetime, time.time

    class Forged(real):
        @classmethod
        def now(cls, tz=None):
            return real.now(tz) + datetime.timedelta(days=days)

        @classmethod
        def utcnow(cls):
            return real.now(datetime.UTC).replace(tzinfo=None) + datetime.timedelta(days=days)

    datetime.datetime = Forged
    time.time = lambda: real_time() + days * 86400

    import asyncio
    from datetime import timedelta
    from bot.domain.instants import to_us
    from bot.domain.kills import Actor
    from bot.ledger.sql import SqlLedger

    async def main():
        ledger = SqlLedger(url)
        await ledger.open()
        hour = timedelta(hours=1)
        claims = [await ledger.claim(each, Actor("U0"), "two", hour) for each in (fresh, stale)]
        lapsed = [proposal.id for proposal in await ledger.lapsed("two", hour, working=())]
        seen = (await ledger.get(fresh)).proposal.targets[0].id.backend_start
        await ledger.close()
        print(json.dumps({
            "its clock": time.time(),
            "claimed": [claim is not None for claim in claims],
            "lapsed": lapsed,
            "backend_start": to_us(seen),
        }))

    asyncio.run(main())
"""


async def test_a_request_is_new_once_for_all_replicas(ledger: SqlLedger) -> None:
    assert await ledger.first_time("v0=one")
    assert not await ledger.first_time("v0=one")
    assert await ledger.first_time("v0=two")
    answers = await asyncio.gather(*(ledger.first_time("v0=three") for _ in range(5)))
    assert sorted(answers) == [False, False, False, False, True]


async def test_a_request_is_remembered_for_as_long_as_its_signature_is_good(
    ledger: SqlLedger,
) -> None:
    """300 s before and after its timestamp: that of the future is good for ten minutes."""
    for signature, minutes in (("v0=old", 11), ("v0=young", 9)):
        assert await ledger.first_time(signature)
        async with ledger._transaction(ledger._writer) as connection:
            await connection.execute(
                sqlalchemy.update(schema.signatures)
                .where(schema.signatures.c.signature == signature)
                .values(at=ledger._store.after(-timedelta(minutes=minutes)))
            )
    assert not await ledger.first_time("v0=young")
    kept = {row["signature"] for row in await rows(ledger, schema.signatures)}
    assert kept == {"v0=young"}


# One look at it, for a check


@pytest.fixture
def others_folder() -> Iterator[Path]:
    """A folder that everybody can look into, and that only its owner can write."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)
        yield folder
        assert list(folder.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
async def test_a_folder_that_takes_no_new_file_is_told(others_folder: Path) -> None:
    url = f"sqlite:///{others_folder}/ledger.db"
    facts = await probe(url)
    assert (facts.version, facts.problem) == (0, None)
    os.setresuid(65534, 65534, 0)
    try:
        facts = await probe(url)
    finally:
        os.setresuid(0, 0, 0)
    assert facts.problem == f"can't create a file in the ledger's folder: {others_folder}"
