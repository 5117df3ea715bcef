"""Read kills from the ledger's tables."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from sqlalchemy import Column, ColumnElement, Row, Select, Table, case, not_, select

from bot.domain.kills import State
from bot.domain.people import Glob
from bot.domain.record import Entry, HistoryFilter, Unreadable
from bot.ledger import schema
from bot.ledger.rows import to_entry
from bot.ledger.schema import kills, ledger_marks, outcomes, targets
from bot.ledger.store import AsyncConnection, Store

_ByKill = Mapping[int, Sequence[Row[Any]]]
_NOTHING: _ByKill = {}

Parameters = Mapping[str, object]
"""The values of a page's parameters, by name."""

NONE: Parameters = {}

GARBLED = (ValueError, TypeError, KeyError, AttributeError, OverflowError)
"""What reading a row raises if this version doesn't understand it."""


def ids(*conditions: ColumnElement[bool]) -> Select[int]:
    """The ids of the kills that meet all conditions."""
    return select(kills.c.id).where(*conditions)


def now_or_latest(store: Store) -> ColumnElement[datetime]:
    """The clock, or the greatest instant that it is known to have shown, if that is later."""
    latest = select(ledger_marks.c.latest).scalar_subquery()
    return case((latest > store.clock, latest), else_=store.clock)


@dataclass(frozen=True, slots=True)
class Page:
    """The statements that read the kills which a query of ids selects, newest first.

    To make them takes longer than to run them, so those that are run often are made once.
    """

    ids: Select[int]
    kills: Select[Any]
    targets: Select[Any]
    outcomes: Select[Any]
    amendments: Select[Any]
    notes: Select[Any]

    @classmethod
    def of(cls, store: Store, ids: Select[int]) -> Self:
        """The statements for these ids; what `ids` has as parameters is theirs too."""
        now = select(now_or_latest(store)).scalar_subquery()
        found = select(kills, now.label("now")).where(kills.c.id.in_(ids))
        return cls(
            ids=ids.order_by(None).order_by(kills.c.id.desc()),
            kills=found.order_by(kills.c.id.desc()),
            targets=_of(targets, ids, targets.c.position),
            outcomes=_of(outcomes, ids, outcomes.c.position),
            amendments=_of(schema.amendments, ids, schema.amendments.c.id),
            notes=_of(schema.notes, ids, schema.notes.c.id),
        )


async def read(
    connection: AsyncConnection, store: Store, page: Page, parameters: Parameters = NONE
) -> list[Entry | Unreadable]:
    """A page's entries. One that this version can't read doesn't hide the others."""
    try:
        return [*await entries(connection, page, parameters)]
    except GARBLED:
        numbers = (await connection.scalars(page.ids, parameters)).all()
    found: list[Entry | Unreadable] = []
    for kill_id in numbers:
        try:
            found += await entries(connection, Page.of(store, ids(kills.c.id == kill_id)))
        except GARBLED as error:
            found.append(Unreadable(kill_id, str(error) or type(error).__name__))
    return found


async def entries(
    connection: AsyncConnection, page: Page, parameters: Parameters = NONE, *, strict: bool = False
) -> tuple[Entry, ...]:
    """A page's entries, from one snapshot.

    Raises `GARBLED` for an entry that this version can't read. With `strict`, for an entry that is
    to be acted on, it also raises for parts that are only displayed.
    """
    found = (await connection.execute(page.kills, parameters)).all()
    of_targets = await _by_kill(connection, page.targets, parameters)
    of_outcomes, of_amendments, of_notes = _NOTHING, _NOTHING, _NOTHING
    if any(kill.state == State.DONE for kill in found):
        of_outcomes = await _by_kill(connection, page.outcomes, parameters)
        of_amendments = await _by_kill(connection, page.amendments, parameters)
        of_notes = await _by_kill(connection, page.notes, parameters)
    return tuple(
        to_entry(
            kill,
            now=kill.now,
            targets=of_targets.get(kill.id, ()),
            outcomes=of_outcomes.get(kill.id, ()),
            amendments=of_amendments.get(kill.id, ()),
            notes=of_notes.get(kill.id, ()),
            strict=strict,
        )
        for kill in found
    )


def matching(store: Store, where: HistoryFilter) -> list[ColumnElement[bool]]:
    """A history filter as conditions on `kills`."""
    conditions = []
    if where.target.cluster is not None:
        conditions.append(kills.c.cluster == where.target.cluster)
    if where.clusters is not None:
        conditions.append(kills.c.cluster.in_(where.clusters))
    if where.open_only:
        conditions += [kills.c.state == State.PROPOSED, kills.c.expires_at > now_or_latest(store)]
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


def _of(table: Table, ids: Select[int], order: ColumnElement[int]) -> Select[Any]:
    """The rows of a table that belong to these kills."""
    return select(table).where(table.c.kill_id.in_(ids)).order_by(order)


async def _by_kill(connection: AsyncConnection, of: Select[Any], parameters: Parameters) -> _ByKill:
    """The rows that belong to kills, grouped by kill."""
    by_kill = defaultdict(list)
    for row in await connection.execute(of, parameters):
        by_kill[row.kill_id].append(row)
    return by_kill
