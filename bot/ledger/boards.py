"""Boards on record."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, insert, select, update

from bot.domain.boards import LONGEST, AskedBoard, Board, End
from bot.domain.kills import Actor, Place
from bot.ledger.schema import boards
from bot.ledger.store import Transactions

_UNCLOSED = select(boards).where(boards.c.closed_at.is_(None)).order_by(boards.c.id)


class SqlBoards:
    """`bot.ports.Boards`."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def ask(self, asked: AskedBoard) -> tuple[Board, Board | None]:
        who = asked.asked_by
        is_in_place = (
            boards.c.channel_id == asked.channel_id,
            boards.c.cluster == asked.cluster,
            boards.c.ended_at.is_(None),
        )
        async with self._transactions.write() as connection:
            await self._transactions.store.lock(connection)  # others may ask at the same moment
            before = (await connection.execute(select(boards).where(*is_in_place))).one_or_none()
            if before is not None:
                moved = _ended(End.MOVED, asked.since, who)
                await connection.execute(
                    update(boards).where(boards.c.id == before.id, *is_in_place).values(moved)
                )
            added = await connection.execute(
                insert(boards)
                .values(
                    channel_id=asked.channel_id,
                    thread_ts=asked.thread_ts or None,
                    cluster=asked.cluster,
                    wording=asked.wording,
                    asked_by=who.user_id,
                    asked_by_team=who.team_id,
                    since=asked.since,
                    until=asked.since + LONGEST,
                    troubled_at=asked.since,
                )
                .returning(*boards.c)
            )
            return _board(added.one()), None if before is None else _board(before)

    async def posted(self, board_id: int, message_ts: str) -> bool:
        return await self._changed(board_id, boards.c.message_ts.is_(None), message_ts=message_ts)

    async def unclosed(self) -> tuple[Board, ...]:
        return await self._found(_UNCLOSED)

    async def troubled(self, board_id: int, at: datetime) -> None:
        await self._changed(board_id, boards.c.troubled_at < at, troubled_at=at)

    async def end(self, board_id: int, end: End, at: datetime, by: Actor | None = None) -> bool:
        return await self._changed(board_id, boards.c.ended_at.is_(None), **_ended(end, at, by))

    async def at(self, place: Place) -> Board | None:
        found = await self._found(
            select(boards).where(
                boards.c.channel_id == place.channel_id, boards.c.message_ts == place.message_ts
            )
        )
        return found[0] if found else None

    async def closed(self, board_id: int, at: datetime) -> None:
        await self._changed(board_id, boards.c.ended_at.is_not(None), closed_at=at)

    async def _found(self, page: Select[Any]) -> tuple[Board, ...]:
        async with self._transactions.read() as connection:
            return tuple(_board(row) for row in (await connection.execute(page)).all())

    async def _changed(self, board_id: int, *conditions: Any, **values: Any) -> bool:  # noqa: ANN401
        change = update(boards).where(boards.c.id == board_id, *conditions).values(values)
        async with self._transactions.write() as connection:
            return (await connection.execute(change)).rowcount == 1


def _ended(end: End, at: datetime, by: Actor | None) -> dict[str, Any]:
    who = {} if by is None else {"ended_by": by.user_id, "ended_by_team": by.team_id}
    return {"ended_at": at, "ended_why": end, **who}


def _board(row: Row[Any]) -> Board:
    ends = [each for each in End if each == row.ended_why]
    by = None if row.ended_by is None else Actor(row.ended_by, row.ended_by_team)
    return Board(
        id=row.id,
        channel_id=row.channel_id,
        thread_ts=row.thread_ts or "",
        message_ts=row.message_ts or "",
        cluster=row.cluster,
        wording=row.wording,
        asked_by=Actor(row.asked_by, row.asked_by_team),
        since=row.since,
        until=row.until,
        troubled_at=row.troubled_at,
        ended_at=row.ended_at,
        # A later version may have other reasons.
        end=(ends or [End.UNREADABLE])[0] if row.ended_at is not None else None,
        ended_by=by,
    )
