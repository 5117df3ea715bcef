"""Vacuum can't remove what nobody needs any more: what holds it back, and what lets it go on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

import asyncpg
import pytest

from bot.domain.findings.model import AT_ONCE, PATIENCE, Patience
from bot.domain.findings.survey import Holder
from bot.domain.kills import Action
from bot.errors import TargetError
from bot.grammar.parser import parse_sessions
from bot.grammar.requests import HorizonRequest
from bot.operations.results import Horizon
from bot.postgres import queries
from bot.slack.views import horizon as horizon_view
from bot.slack.views.message import Message
from tests.integration.conftest import BOT, SETUP, Bench, Sessions
from tests.integration.incidents.conftest import Ask, connected
from tests.integration.kills import ANA, CHANNEL
from tests.servers import MAJOR, postgres
from tests.unit.reading import lines, pressable, problems, table
from workspace.people import PATIENCE as PATIENT
from workspace.postgres import PostgresServer

pytestmark = pytest.mark.sql

FAR = Patience(horizon=timedelta(0), horizon_xids=300)
"""Far behind is 300 transactions here, and 3000 if nothing tells since when."""

BURN = """
    do $$ begin
        for i in 1..1200 loop
            perform pg_current_xact_id();
            commit;
        end loop;
    end $$
"""


async def horizon(bench: Bench, text: str = "", **clusters: object) -> tuple[Horizon, Message]:
    request = parse_sessions(f"horizon {text}".strip())
    assert isinstance(request, HorizonRequest)
    answer = await bench(clusters=clusters or None).horizon(ANA, CHANNEL, request)
    message = horizon_view.horizon(answer, lambda _: Action.TERMINATE)
    assert problems(message) == []
    return answer, message


async def test_holders_of_every_kind_stand_in_one_list(
    ask: Ask, bench: Bench, sessions: Sessions, admin: asyncpg.Connection
) -> None:
    owner = await sessions.open("postgres")
    await owner.execute("select pg_create_logical_replication_slot('old_sub', 'pgoutput')")
    try:
        await owner.execute(BURN)
        reader = await sessions.open("web", app="report")
        await reader.execute("begin isolation level repeatable read; select from accounts")
        await owner.execute(BURN)
        prepared = await sessions.open("web")
        await prepared.execute("begin; update accounts set balance = balance where id = 9")
        await prepared.execute("prepare transaction 'tx7'")
        await owner.execute(BURN)
        pid = reader.get_server_pid()

        answer, message = await horizon(bench, "main/")

        (survey,) = answer.surveys
        assert [(held.kind, held.name or held.pid) for held in survey.holders[:3]] == [
            (Holder.SLOT, "old_sub"),
            (Holder.SESSION, pid),
            (Holder.PREPARED, "tx7"),
        ]
        slot, session, transaction = survey.holders[:3]
        assert slot.xids >= 3600 > session.xids >= 2400 > transaction.xids >= 1200
        assert (slot.active, slot.catalog_only, slot.datname) == (False, True, "some_db")
        what = [row[0] for row in table(message)[1:4]]
        assert what == ["replication slot old_sub", f"pid {pid} · web", "prepared transaction tx7"]
        screen = "\n".join(lines(message))
        assert "vacuum can't remove what was deleted in the last" in screen
        # Whoever reads the slot may have been away for a moment only.
        assert "Replication slot old_sub: if nobody needs the slot any more, run:" in screen
        assert "select pg_drop_replication_slot('old_sub');" in screen
        (lets_go,) = [row for row in table(message) if row[0] == "replication slot old_sub"]
        assert "its consumer; if gone for good, pg_drop_replication_slot" in lets_go
        assert "rollback prepared 'tx7';" in screen
        (menu,) = [each for label, each in pressable(message).items() if "Terminate" in label]
        assert [option["text"]["text"].split()[0] for option in menu["options"]] == [str(pid)]

        # The diagnosis tells of the worst, and of none that is near.
        told = await ask(patience=FAR)
        assert ("horizon", "old_sub") in told.names
        assert [each for each in told.names if each[0] == "horizon"] == [("horizon", "old_sub")]
        assert "select pg_drop_replication_slot('old_sub');" in told.acts
        assert "inactive: nobody reads it" in told.screen
        assert "if nobody needs the slot any more, run this:" in told.screen
        assert "horizon" not in {name for name, _ in (await ask(patience=PATIENCE)).names}
        # What it prints, PostgreSQL takes.
        await owner.execute("select pg_drop_replication_slot('old_sub');")
        told = await ask(patience=FAR)
        assert ("horizon", str(pid)) in told.names
        assert ("idle_in_transaction", str(pid)) not in told.names
        assert f"end {pid}" in told.acts
    finally:
        await admin.execute("select pg_drop_replication_slot(slot_name) from pg_replication_slots")
        await owner.execute("rollback prepared 'tx7'")


async def test_of_those_that_hold_back_as_much_the_oldest_is_told_first(
    bench: Bench, sessions: Sessions
) -> None:
    opened = [await sessions.open("web") for _ in range(2)]
    late, early = sorted(opened, key=lambda session: session.get_server_pid())
    for session in (early, late):
        await session.execute("begin isolation level repeatable read; select from accounts")
    answer, _ = await horizon(bench, "some_db")
    told = [held.pid for held in answer.surveys[0].holders]
    assert told == [early.get_server_pid(), late.get_server_pid()]


async def test_database_is_held_back_by_no_snapshot_of_another(
    bench: Bench, sessions: Sessions
) -> None:
    mine = await sessions.open("web")
    await mine.execute("begin isolation level repeatable read; select from accounts")
    other = await sessions.open("postgres", "postgres")
    await other.execute("begin isolation level repeatable read; select from pg_class")
    owner = await sessions.open("postgres")
    await owner.execute(BURN)

    answer, message = await horizon(bench, "some_db")
    assert [held.pid for held in answer.surveys[0].holders] == [mine.get_server_pid()]
    screen = "\n".join(lines(message))
    assert "some_db on main: vacuum can't remove what was deleted" in screen
    assert "1 more holds back only other databases" in screen
    answer, _ = await horizon(bench, "main/postgres")
    assert [held.pid for held in answer.surveys[0].holders] == [other.get_server_pid()]
    for whole in ("Main", "main/"):
        answer, _ = await horizon(bench, whole)
        assert {held.pid for held in answer.surveys[0].holders} >= {
            mine.get_server_pid(),
            other.get_server_pid(),
        }

    # However many of another database hold back more, its own are read.
    rows = await owner.fetch(queries.get("horizon"), 1)
    assert {row["pid"] for row in rows} >= {mine.get_server_pid(), other.get_server_pid()}

    # PostgreSQL has it so: vacuum empties the table as soon as none of its own is in the way.
    await owner.execute("create table gone as select 1; delete from gone")
    try:
        await owner.execute("vacuum gone")
        assert await owner.fetchval("select pg_relation_size('gone')") > 0
        await mine.execute("rollback")
        await owner.execute("vacuum gone")
        assert await owner.fetchval("select pg_relation_size('gone')") == 0
    finally:
        await owner.execute("drop table gone")


async def test_horizon_of_an_unknown_name_offers_the_nearest(bench: Bench) -> None:
    with pytest.raises(TargetError, match="no such database") as unknown:
        await horizon(bench, "some_bd")
    assert (unknown.value.name, unknown.value.nearest) == ("some_bd", ("some_db",))
    with pytest.raises(TargetError) as unknown:
        await horizon(bench, "mian")
    assert unknown.value.nearest == ("main/",)


async def test_young_transaction_is_not_reported_as_holding_back_vacuum(
    ask: Ask, sessions: Sessions
) -> None:
    reader = await sessions.open("web")
    await reader.execute("begin isolation level repeatable read; select from accounts")
    answer = await ask(patience=Patience(horizon=timedelta(0)))
    assert answer.findings == []


async def test_prepared_transaction_without_waiters_that_holds_back_vacuum_is_told_once(
    ask: Ask, sessions: Sessions
) -> None:
    session = await sessions.open("web")
    await session.execute("begin; update accounts set balance = balance where id = 9")
    await session.execute("prepare transaction 'tx8'")
    owner = await sessions.open("postgres")
    await owner.execute(BURN)
    try:
        both = Patience(wait=AT_ONCE.wait, horizon=timedelta(0), horizon_xids=1000)
        answer = await ask(patience=both)
        assert answer.names == [("horizon", "tx8")]
        assert answer.acts == ["rollback prepared 'tx8';"]
    finally:
        await owner.execute("rollback prepared 'tx8'")


@pytest.fixture(scope="module")
async def standby() -> AsyncIterator[PostgresServer]:
    async with postgres() as pg:
        connection = await asyncpg.connect(pg.dsn())
        for statement in filter(str.strip, SETUP.split(";")):
            await connection.execute(statement)
        await connection.close()
        await pg.become_standby()
        yield pg


async def test_standby_says_what_can_be_seen_there(
    standby: PostgresServer, bench: Bench, ask: Ask
) -> None:
    reader = await asyncpg.connect(standby.dsn(user="web", database="some_db"))
    await reader.execute("begin isolation level repeatable read; select 1")
    async with connected(standby) as cluster:
        answer, message = await horizon(bench, main=cluster)
        assert [held.pid for held in answer.surveys[0].holders] == [reader.get_server_pid()]
        assert answer.surveys[0].unread == ()
        screen = "\n".join(lines(message))
        assert "main is a standby" in screen
        assert "can be seen only there" in screen
        assert (await ask(main=cluster)).names == [
            ("idle_in_transaction", str(reader.get_server_pid()))
        ]
    reader.terminate()


async def test_snapshot_of_a_logical_consumer_is_not_told_as_a_standbys(
    bench: Bench, pg: PostgresServer
) -> None:
    """As while a new subscription copies its tables."""
    consumer = await asyncpg.connect(
        pg.dsn(database="some_db"), server_settings={"replication": "database"}
    )
    await consumer.execute("begin isolation level repeatable read; select 1")
    answer, message = await horizon(bench)
    (held,) = (each for each in answer.surveys[0].holders if each.pid == consumer.get_server_pid())
    assert (held.kind, held.datname) == (Holder.SESSION, "some_db")
    (row,) = [row for row in table(message) if row[0].startswith(f"pid {held.pid}")]
    assert "hot_standby_feedback" not in str(row)
    assert not [label for label in pressable(message) if "Terminate" in label]
    consumer.terminate()


async def test_horizon_of_an_idle_server(bench: Bench, standby: PostgresServer) -> None:
    async with connected(standby, BOT) as cluster:
        _, message = await horizon(bench, main=cluster)
        assert "main: nothing holds back vacuum" in lines(message)


@dataclass
class Pair:
    """A primary, and a standby that follows it with `hot_standby_feedback` on."""

    primary: PostgresServer
    standby: PostgresServer
    admin: asyncpg.Connection
    there: asyncpg.Connection


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with followed("replica") as pair:
        yield pair


@asynccontextmanager
async def followed(slot: str | None) -> AsyncIterator[Pair]:
    settings = {
        "wal_level": "logical",
        "hot_standby_feedback": "on",
        "wal_receiver_status_interval": "1s",
    }
    async with postgres(settings=settings) as primary, postgres() as standby:
        admin = await asyncpg.connect(primary.dsn())
        for statement in filter(str.strip, SETUP.split(";")):
            await admin.execute(statement)
        await standby.follow(primary, slot=slot)
        there = await asyncpg.connect(standby.dsn())
        yield Pair(primary, standby, admin, there)
        await admin.close()
        there.terminate()


async def until(connection: asyncpg.Connection, query: str) -> None:
    async with asyncio.timeout(PATIENT):
        while not await connection.fetchval(query):
            await asyncio.sleep(0.02)


async def test_slot_of_a_standby_is_told_by_its_standby(pair: Pair, bench: Bench, ask: Ask) -> None:
    await pair.there.execute("begin isolation level repeatable read; select 1")
    await until(pair.admin, "select xmin is not null from pg_replication_slots")
    await pair.admin.execute(BURN)
    async with connected(pair.primary) as cluster:
        _, message = await horizon(bench, main=cluster)
        (slot,) = [row for row in table(message) if row[0] == "replication slot replica"]
        assert "the end of a query there" in slot
        assert any("active: by hot_standby_feedback" in cell for cell in slot)
        assert "pg_drop_replication_slot" not in "\n".join(lines(message))
        answer = await ask(patience=Patience(horizon=timedelta(0), horizon_xids=100), main=cluster)
        assert answer.names == [("horizon", "replica")]
        assert answer.acts == []
        assert "end the query on the standby that needs these rows" in answer.screen
        assert "consumer" not in answer.screen

        await pair.standby.shut_down("immediate")
        await until(pair.admin, "select not active from pg_replication_slots")
        _, message = await horizon(bench, main=cluster)
        (slot,) = [row for row in table(message) if row[0] == "replication slot replica"]
        assert "its standby; if gone for good, pg_drop_replication_slot" in slot
        answer = await ask(patience=Patience(horizon=timedelta(0), horizon_xids=100), main=cluster)
        assert answer.acts == ["select pg_drop_replication_slot('replica');"]
        assert "if its standby is gone for good, run this:" in answer.screen
        assert "inactive: its standby is not connected" in answer.screen
        # What it prints, PostgreSQL takes.
        await pair.admin.execute(answer.acts[0])


async def test_standby_without_a_slot_is_told_by_its_address(bench: Bench, ask: Ask) -> None:
    async with followed(None) as pair:
        await pair.there.execute("begin isolation level repeatable read; select 1")
        await until(pair.admin, "select backend_xmin is not null from pg_stat_replication")
        for _ in range(3):
            await pair.admin.execute(BURN)
        far = Patience(horizon=timedelta(0), horizon_xids=300)
        async with connected(pair.primary) as cluster:
            answer, message = await horizon(bench, main=cluster)
            (held, *_) = answer.surveys[0].holders
            assert (held.kind, held.name) == (Holder.STANDBY, "walreceiver")
            assert held.xids >= 3600
            (row,) = [row for row in table(message) if row[0].startswith("standby")]
            assert row[0] == "standby walreceiver from 127.0.0.1"
            assert "the end of a query there" in row
            assert any("by hot_standby_feedback" in cell for cell in row)
            first = lines(message)[0]
            assert "main: vacuum can't remove what was deleted in the last 3," in first
            assert "because of standby walreceiver from 127.0.0.1 (so few is normal)" in first
            assert list(pressable(message)) == ["Refresh"]
            why = await ask(patience=far, main=cluster)
            assert why.names == [("horizon", "walreceiver")]
            assert why.acts == []
            assert "Standby walreceiver from 127.0.0.1 holds back vacuum by 3," in why.screen
            assert "end the query on the standby that needs these rows" in why.screen

            await pair.there.execute("commit")
            await until(
                pair.admin,
                "select backend_xmin is null or age(backend_xmin) < 300 from pg_stat_replication",
            )
            assert (await ask(patience=far, main=cluster)).findings == []


@pytest.mark.skipif(MAJOR < 17, reason="slots are synchronized from PostgreSQL 17 on")
async def test_slot_that_a_standby_copies_is_left_to_the_primary(
    pair: Pair, bench: Bench, ask: Ask
) -> None:
    await pair.admin.execute(
        "select pg_create_logical_replication_slot('sub', 'pgoutput', false, false, true)"
    )
    async with asyncio.timeout(PATIENT):
        while not await pair.there.fetchval(
            "select synced and not temporary from pg_replication_slots where slot_name = 'sub'"
        ):
            await pair.admin.execute("select pg_log_standby_snapshot()")
            with suppress(asyncpg.ObjectNotInPrerequisiteStateError):  # it isn't as far yet
                await pair.there.execute("select pg_sync_replication_slots()")
    await pair.admin.execute(BURN)
    far = Patience(horizon=timedelta(0), horizon_xids=100)

    async with connected(pair.standby) as cluster:
        await until(pair.there, "select age(catalog_xmin) > 1000 from pg_replication_slots")
        _, message = await horizon(bench, main=cluster)
        (slot,) = [row for row in table(message) if row[0] == "replication slot sub"]
        assert "the primary's slot of that name" in slot
        answer = await ask(patience=far, main=cluster)
        assert answer.names == [("horizon", "sub")]
        assert (answer.acts, answer.prevention) == ([], [])
        assert "a copy of the primary's slot" in answer.screen
        assert "look at the slot of that name on the primary" in answer.screen
        with pytest.raises(asyncpg.PostgresError):
            await pair.there.execute("select pg_drop_replication_slot('sub')")

    async with connected(pair.primary) as cluster:
        # The copy holds back the primary, too, by the slot of its standby.
        held_by_copy = "select age(catalog_xmin) > 1000 from pg_replication_slots where slot_name ="
        await until(pair.admin, f"{held_by_copy} 'replica'")
        _, message = await horizon(bench, main=cluster)
        (slot,) = [row for row in table(message) if row[0] == "replication slot replica"]
        assert "a slot of its standby" in slot

        await pair.standby.shut_down("immediate")
        await until(pair.admin, "select bool_and(not active) from pg_replication_slots")
        await pair.admin.execute("select pg_drop_replication_slot('replica')")
        answer = await ask(patience=far, main=cluster)
        assert answer.names == [("horizon", "sub")]
        assert "(the copies on standbys go with it), run this:" in answer.screen
        await pair.admin.execute(answer.acts[0])
