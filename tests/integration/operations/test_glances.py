"""What looks share, and what a kill never takes from them."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from bot.domain.kills import Actor, Conclusion, Outcome
from bot.domain.people import NOWHERE
from bot.domain.record import Record
from bot.domain.sessions import LimitOf, Look, Names
from bot.errors import NotAllowed, TargetError
from bot.grammar.parser import parse_sessions
from bot.grammar.requests import SessionsRequest
from bot.ledger.sql import SqlLedger
from bot.operations import Operations, glances
from bot.operations.results import Overview, Preview
from bot.operations.results import Sessions as Shown
from bot.postgres.cluster import PostgresCluster
from bot.slack.views.sessions import sessions as drawn
from tests.integration.conftest import BOT, Bench, Sessions
from tests.integration.kills import ANA, CHANNEL, preview
from tests.rights import EVERYWHERE
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer


@dataclass
class Reads:
    """How often a cluster was read."""

    looks: int = 0
    names: int = 0


class Counted(PostgresCluster):
    """A cluster that counts what is asked of its server."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.reads = Reads()

    async def look(self, *arguments: Any, **options: Any) -> Look:
        self.reads.looks += 1
        return await super().look(*arguments, **options)

    async def names(self, **options: Any) -> Names:
        self.reads.names += 1
        return await super().names(**options)


@pytest.fixture
async def counted(pg: PostgresServer) -> AsyncIterator[Counted]:
    cluster = Counted("main", pg.dsn(user=BOT), "db-1.internal")
    await cluster.open()
    cluster.reads = Reads()
    yield cluster
    await cluster.close()


@pytest.fixture
def ops(bench: Bench, counted: Counted) -> Operations:
    return bench(clusters={"main": counted})


def typed(text: str) -> SessionsRequest:
    request = parse_sessions(text)
    assert isinstance(request, SessionsRequest)
    return request


async def look(ops: Operations, text: str, actor: Actor = ANA, **options: Any) -> Shown:
    answer = await ops.look(actor, CHANNEL, typed(text), **options)
    assert isinstance(answer, Shown)
    return answer


async def test_a_crowd_is_read_for_once_and_each_is_answered_and_noted(
    ops: Operations, counted: Counted, sessions: Sessions, ledger: SqlLedger
) -> None:
    await sessions.open("batch")
    crowd = [Actor(f"U{number}", "T1") for number in range(200)]
    texts = ("some_db", "main/some_db", "some_db columns=pid", "some_db private")
    answers = await asyncio.gather(
        *(look(ops, texts[at % 4], actor) for at, actor in enumerate(crowd))
    )
    assert counted.reads.looks == counted.reads.names == 1
    assert [answer.asked_by for answer in answers] == crowd
    assert {answer.look.server.now for answer in answers} == {answers[0].look.server.now}
    for at in (0, 199):
        assert f"<@{crowd[at].user_id}>" in str(drawn(answers[at]).blocks[-1])
    await ops.settle()
    noted = await ledger.noted(Record.LOOKS, since=None, limit=999)
    assert sorted(note.actor.user_id for note in noted) == sorted(each.user_id for each in crowd)


async def test_person_without_the_right_gets_nothing_of_a_shared_answer(
    ops: Operations, counted: Counted
) -> None:
    for text in ("main/", "some_db"):
        await look(ops, text)
        with pytest.raises(NotAllowed):
            await look(ops.within(NOWHERE), text)
        await look(ops.within(EVERYWHERE), text)
    assert counted.reads.looks == 2


async def test_other_questions_have_answers_of_their_own(
    ops: Operations, counted: Counted, sessions: Sessions
) -> None:
    batch = await sessions.open("batch")
    web = await sessions.open("web")
    of_batch, of_web, page = await asyncio.gather(
        look(ops, "some_db user=batch"),
        look(ops, "some_db user=web"),
        look(ops, "some_db", offset=1),
    )
    assert counted.reads.looks == 3
    assert {row.pid for row in of_batch.look.rows} == {batch.get_server_pid()}
    assert web.get_server_pid() in {row.pid for row in of_web.look.rows}
    assert page.offset == 1


async def test_a_click_on_a_look_reads(ops: Operations, counted: Counted) -> None:
    await look(ops, "main/")
    for _ in range(2):
        await look(ops, "main/", afresh=True)
    assert (counted.reads.looks, counted.reads.names) == (3, 3)


async def test_a_kill_takes_nothing_from_a_look(
    ops: Operations, counted: Counted, sessions: Sessions, admin: asyncpg.Connection
) -> None:
    """Neither who is there nor who is called what, however young the look is."""
    await look(ops, "some_db user=batch")
    late = await sessions.open("batch", app="late")
    before = counted.reads.names, counted.reads.looks
    shown = await preview(ops, "app=late")
    assert [target.id.pid for target in shown.proposal.targets] == [late.get_server_pid()]
    # A read to find the database, and one for the preview.
    assert (counted.reads.names, counted.reads.looks) == (before[0] + 1, before[1] + 1)
    await admin.execute("alter role batch rename to batch_renamed")
    try:
        again = await ops.preview_again(ANA, CHANNEL, shown.proposal.key)
        assert isinstance(again, Preview)
        assert again.proposal.targets[0].seen.usename == "batch_renamed"
        before = counted.reads.names, counted.reads.looks
        done = await ops.confirm(ANA, CHANNEL, again.proposal.key)
        assert isinstance(done, Conclusion)
        assert [result.outcome for result in done.results] == [Outcome.TERMINATED]
        assert counted.reads.names == before[0] + 1
        assert counted.reads.looks == before[1] + 2  # before the signals, and after
    finally:
        await admin.execute("alter role batch_renamed rename to batch")


async def test_a_look_after_a_kill_shows_what_the_kill_did(
    bench: Bench, counted: Counted, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(glances, "SHARED_FOR", PATIENCE)
    ops = bench(clusters={"main": counted})
    victim = (await sessions.open("batch", app="seen")).get_server_pid()
    shown = await look(ops, "some_db app=seen")
    assert [row.pid for row in shown.look.rows] == [victim]
    proposed = await preview(ops, "app=seen")
    done = await ops.confirm(ANA, CHANNEL, proposed.proposal.key)
    assert isinstance(done, Conclusion)
    assert (await look(ops, "some_db app=seen")).look.rows == ()


async def test_names_that_came_since_are_read(
    ops: Operations, counted: Counted, sessions: Sessions, admin: asyncpg.Connection
) -> None:
    await look(ops, "some_db")
    await admin.execute("create role newcomer login")
    await admin.execute("create database new_db")
    try:
        with pytest.raises(TargetError):
            await look(ops, "some_db user=nobody_at_all")
        there = await sessions.open("newcomer", "new_db")
        assert {row.usename for row in (await look(ops, "new_db")).look.rows} == {"newcomer"}
        await there.close()
        await admin.execute("drop database new_db with (force)")
        await admin.execute("create database newer_db")
        await admin.execute("create role newer login")
        there = await sessions.open("newer", "newer_db")
        row = next(
            row
            for row in (await look(ops, "main/ user!=web")).look.rows
            if row.pid == there.get_server_pid()
        )
        assert (row.usename, row.datname) == ("newer", "newer_db")
    finally:
        for name in ("new_db", "newer_db"):
            await admin.execute(f"drop database if exists {name} with (force)")
        await admin.execute("drop role if exists newcomer, newer")


async def test_names_are_kept_between_looks(ops: Operations, counted: Counted) -> None:
    for text in ("main/", "main/ user=web", "some_db", "some_db user=batch"):
        await look(ops, text)
    assert (counted.reads.names, counted.reads.looks) == (1, 4)


async def test_an_age_is_of_now_though_the_names_are_older(
    ops: Operations, sessions: Sessions, admin: asyncpg.Connection
) -> None:
    await look(ops, "main/")
    late = await sessions.open("batch")
    age = "select clock_timestamp() - backend_start from pg_stat_get_activity($1)"
    while await admin.fetchval(age, late.get_server_pid()) < timedelta(seconds=1):
        await asyncio.sleep(0.05)
    found = await look(ops, "main/ user=batch age>0s")
    assert late.get_server_pid() in {row.pid for row in found.look.rows}


async def test_a_change_of_a_limit_shows_within_seconds(
    bench: Bench,
    counted: Counted,
    sessions: Sessions,
    admin: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(glances, "NAMES_KEPT", 0.3)
    monkeypatch.setattr(glances, "SHARED_FOR", 0.1)
    ops = bench(clusters={"main": counted})
    await sessions.open("batch")

    async def limit() -> int | None:
        found = (await look(ops, "main/")).look.limit(LimitOf.ROLE, "batch")
        return None if found is None else found.limit

    assert await limit() == 20
    await admin.execute("alter role batch connection limit 7")
    try:
        async with asyncio.timeout(PATIENCE):
            while await limit() != 7:
                await asyncio.sleep(0.05)
    finally:
        await admin.execute("alter role batch connection limit 20")


async def test_an_overview_is_shared_too(
    bench: Bench, counted: Counted, pg: PostgresServer
) -> None:
    other = Counted("other", pg.dsn(user=BOT), "db-2.internal")
    await other.open()
    try:
        ops = bench(clusters={"main": counted, "other": other})
        counted.reads, other.reads = Reads(), Reads()
        answers = await asyncio.gather(
            *(ops.look(ANA, CHANNEL, SessionsRequest()) for _ in range(50))
        )
        assert all(isinstance(answer, Overview) for answer in answers)
        assert counted.reads.looks == other.reads.looks == 1
    finally:
        await other.close()
