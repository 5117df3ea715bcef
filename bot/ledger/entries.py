"""Kills as the ledger has them, read from its tables."""

from collections import defaultdict
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Row, Select, Table, case, not_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.people import Glob
from bot.domain.record import Entry, HistoryFilter, Unreadable
from bot.ledger import schema
from bot.ledger.rows import to_entry
from bot.ledger.schema import kills, ledger_marks, outcomes, targets
from bot.ledger.store import Store

GARBLED = (ValueError, TypeError, KeyError, AttributeError, OverflowError)
"""What reading raises for a row that this version doesn't understand."""


def ids(*conditions: ColumnElement[bool]) -> Select[int]:
    """The ids of the kills of which all this is true."""
    return select(kills.c.id).where(*conditions)


def now_or_latest(store: Store) -> ColumnElement[datetime]:
    """The clock, or the greatest instant that it is known to have shown."""
    latest = select(ledger_marks.c.latest).scalar_subquery()
    return case((latest > store.clock, latest), else_=store.clock)


async def read(
    connection: AsyncConnection, store: Store, page: Select[int]
) -> list[Entry | Unreadable]:
    """The entries of a page, and which of them this version can't read: these hide none."""
    try:
        return [*await entries(connection, store, page)]
    except GARBLED:
        numbers = (await connection.scalars(page.order_by(None).order_by(kills.c.id.desc()))).all()
    found: list[Entry | Unreadable] = []
    for kill_id in numbers:
        try:
            found += await entries(connection, store, ids(kills.c.id == kill_id))
        except GARBLED as error:
            found.append(Unreadable(kill_id, str(error) or type(error).__name__))
    return found


async def entries(
    connection: AsyncConnection, store: Store, page: Select[int], *, strict: bool = False
) -> tuple[Entry, ...]:
    """The entries of the ids that a query gives, newest first, of one snapshot.

    Raises `GARBLED` for what this version can't read; if it is to be acted on (`strict`),
    for what it could only display, too.
    """
    now = select(now_or_latest(store)).scalar_subquery()
    found = await connection.execute(
        select(kills, now.label("now")).where(kills.c.id.in_(page)).order_by(kills.c.id.desc())
    )
    of_targets = await _of(connection, targets, page, targets.c.position)
    of_outcomes = await _of(connection, outcomes, page, outcomes.c.position)
    of_amendments = await _of(connection, schema.amendments, page, schema.amendments.c.id)
    of_notes = await _of(connection, schema.notes, page, schema.notes.c.id)
    return tuple(
        to_entry(
            kill,
            now=kill.now,
            targets=of_targets[kill.id],
            outcomes=of_outcomes[kill.id],
            amendments=of_amendments[kill.id],
            notes=of_notes[kill.id],
            strict=strict,
        )
        for kill in found
    )


def matching(store: Store, where: HistoryFilter) -> list[ColumnElement[bool]]:
    """The conditions on `kills` of a filter of the history."""
    conditions = []
    if where.target.cluster is not None:
        conditions.append(kills.c.cluster == where.target.cluster)
    if where.since is not None:
        conditions.append(kills.c.created_at >= where.since)
    of_target = [_like(store, targets.c.usename, *name) for name in where.roles]
    of_target += [_like(store, targets.c.datname, *name) for name in where.databases]
    if where.target.database is not None:
        of_target.append(targets.c.datname == where.target.database)
    if of_target:
        conditions.append(
            select(targets.c.pid).where(targets.c.kill_id == kills.c.id, *of_target).exists()
        )
    return conditions


def _like(store: Store, column: Column[Any], parts: Glob, negated: bool) -> ColumnElement[bool]:
    like = store.like(column, parts)
    return not_(like) if negated else like


async def _of(
    connection: AsyncConnection, table: Table, page: Select[int], order: ColumnElement[int]
) -> dict[int, list[Row[Any]]]:
    """The rows of a table that belong to these kills, by kill."""
    found = await connection.execute(select(table).where(table.c.kill_id.in_(page)).order_by(order))
    by_kill = defaultdict(list)
    for row in found:
        by_kill[row.kill_id].append(row)
    return by_kill
