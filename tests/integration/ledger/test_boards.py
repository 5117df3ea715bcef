"""Boards on record: begun, moved, ended, closed, and forgotten."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy

from bot.domain.boards import LONGEST, AskedBoard, Board, End
from bot.domain.kills import Place
from bot.ledger import schema
from bot.ledger.sql import SqlLedger
from tests.integration.ledger.building import ANA, BEN, THEN, Opened, rows

pytestmark = pytest.mark.sql

MINUTE = timedelta(minutes=1)


def asked(channel_id: str = "C1", cluster: str = "main", **other: object) -> AskedBoard:
    usual = {"wording": f"{cluster}/ user=web", "asked_by": ANA, "since": THEN}
    return AskedBoard(channel_id=channel_id, cluster=cluster, **usual | other)  # type: ignore[arg-type]


async def begun(ledger: SqlLedger, asked: AskedBoard) -> Board:
    board, before = await ledger.boards.ask(asked)
    assert before is None
    return board


async def test_board_is_kept_as_it_was_asked_for(ledger: SqlLedger, replica: SqlLedger):
    board = await begun(ledger, asked(thread_ts="1.0"))
    assert board == Board(
        id=board.id,
        channel_id="C1",
        thread_ts="1.0",
        message_ts="",
        cluster="main",
        wording="main/ user=web",
        asked_by=ANA,
        since=THEN,
        until=THEN + LONGEST,
        troubled_at=THEN,
    )
    assert await replica.boards.unclosed() == (board,)
    assert await ledger.boards.posted(board.id, "1.1")
    assert not await replica.boards.posted(board.id, "2.2")
    assert await replica.boards.at(Place("C1", "1.1")) == replace(board, message_ts="1.1")
    assert await replica.boards.at(Place("C2", "1.1")) is None


async def test_asking_again_moves_the_board_of_that_channel_and_cluster(
    ledger: SqlLedger, replica: SqlLedger
):
    first = await begun(ledger, asked())
    others = [await begun(ledger, asked("C2")), await begun(ledger, asked(cluster="prod"))]
    again = asked(wording="main/", asked_by=BEN, since=THEN + MINUTE)
    second, before = await replica.boards.ask(again)
    assert before == first
    assert (second.wording, second.asked_by, second.since) == ("main/", BEN, THEN + MINUTE)
    moved = replace(first, ended_at=THEN + MINUTE, end=End.MOVED, ended_by=BEN)
    assert await ledger.boards.unclosed() == (moved, *others, second)


async def test_those_who_ask_at_once_leave_one_board(url: str, opened: Opened):
    replicas = [await opened(url) for _ in range(4)]
    await asyncio.gather(*(each.boards.ask(asked()) for each in replicas))
    found = await replicas[0].boards.unclosed()
    assert [each.end for each in found] == [End.MOVED] * 3 + [None]


async def test_board_ends_once_and_is_closed_after(ledger: SqlLedger, replica: SqlLedger):
    board = await begun(ledger, asked())
    await ledger.boards.closed(board.id, THEN)  # not before it has ended
    assert await ledger.boards.unclosed() == (board,)
    assert await ledger.boards.end(board.id, End.STOPPED, THEN + MINUTE, BEN)
    assert not await replica.boards.end(board.id, End.QUIET, THEN + 2 * MINUTE)
    ended = replace(board, ended_at=THEN + MINUTE, end=End.STOPPED, ended_by=BEN)
    assert await replica.boards.unclosed() == (ended,)
    await replica.boards.closed(board.id, THEN + 2 * MINUTE)
    assert await ledger.boards.unclosed() == ()


async def test_last_trouble_only_moves_forward(ledger: SqlLedger):
    board = await begun(ledger, asked())
    await ledger.boards.troubled(board.id, THEN + 2 * MINUTE)
    await ledger.boards.troubled(board.id, THEN + MINUTE)
    (found,) = await ledger.boards.unclosed()
    assert found.troubled_at == THEN + 2 * MINUTE


async def test_reason_of_a_later_version_still_ends_a_board(ledger: SqlLedger):
    board = await begun(ledger, asked())
    await ledger.boards.end(board.id, End.QUIET, THEN)
    async with ledger._transactions.write() as connection:
        await connection.execute(sqlalchemy.update(schema.boards).values(ended_why="bored"))
    (found,) = await ledger.boards.unclosed()
    assert (found.ended_at, found.end) == (THEN, End.UNREADABLE)


async def test_old_boards_are_deleted_but_never_one_that_is_drawn(url: str, opened: Opened):
    ledger = await opened(url, keep=timedelta(days=400))
    old, new, unclosed, drawn = [await begun(ledger, asked(c)) for c in ("C1", "C2", "C3", "C4")]
    async with ledger._transactions.read() as connection:
        now = await ledger._now(connection)
    for board, days in ((old, 91), (new, 89)):
        await ledger.boards.end(board.id, End.QUIET, THEN)
        await ledger.boards.closed(board.id, now - timedelta(days=days))
    await ledger.boards.end(unclosed.id, End.QUIET, THEN)
    assert not await ledger.drop_old()
    left = [row["id"] for row in await rows(ledger, schema.boards)]
    assert sorted(left) == [new.id, unclosed.id, drawn.id]


@pytest.mark.parametrize(
    ("minutes", "end"),
    [(29, None), (30, End.QUIET), (239, End.QUIET), (240, End.LONGEST)],
)
async def test_board_ends_by_itself(ledger: SqlLedger, minutes: int, end: End | None):
    board = await begun(ledger, asked())
    assert board.is_over(THEN + minutes * MINUTE) is end
    troubled = replace(board, troubled_at=THEN + 220 * MINUTE)
    assert troubled.is_over(THEN + 239 * MINUTE) is None
    assert troubled.is_over(THEN + 240 * MINUTE) is End.LONGEST
