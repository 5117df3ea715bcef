"""Sessions counted by columns: the statement, and its rows as groups."""

from collections.abc import Iterable

import asyncpg

from bot.domain.filters import Condition, InLock
from bot.domain.groups import Group, Groups, merged
from bot.domain.sessions import Names
from bot.grammar.terms import Field, Word
from bot.postgres import queries
from bot.postgres.statements import Statement
from bot.postgres.where import EVERYTHING, Parameters, by_default, literal, where

KEYS = {of: of.value for of in Field} | {Field.USENAME: "usesysid", Field.DATNAME: "datid"}
"""What the server counts by. Roles and databases go by oid: their catalogs may be locked."""


def statement(
    by: Iterable[Field],
    conditions: tuple[Condition, ...],
    own_roles: Iterable[int] | None,
    limit: int,
) -> Statement:
    """The statement that counts; `own_roles` None counts the bot's and background processes too."""
    parameters = Parameters([limit])
    scope = [EVERYTHING, where(conditions, parameters, strict=False)]
    if own_roles is not None:
        scope += by_default(own_roles, parameters)
    text = (
        queries.get("sessions_by")
        .replace("{where}", " and ".join(scope))
        .replace("{keys}", ", ".join(KEYS[column] for column in by))
        .replace("{locks}", literal(InLock(Word.BLOCKING) in conditions))
    )
    return text, list(parameters)


def groups_of(rows: list[asyncpg.Record], by: tuple[Field, ...], names: Names) -> Groups:
    """The groups, from at least one row; a group that nobody is in has no `sessions`."""
    found = [
        Group(
            tuple(value_of(row[KEYS[column]], column, names) for column in by),
            row["sessions"],
            row["oldest_xact"],
        )
        for row in rows
        if row["sessions"] is not None
    ]
    largest = merged(found)
    number = rows[0]["number"] - (len(found) - len(largest))
    return Groups(largest, number, rows[0]["total"])


def value_of(value: object, column: Field, names: Names) -> str | None:
    """A group's value of this column, as people read it."""
    match column:
        case Field.USENAME if isinstance(value, int):
            role = names.roles.get(value)
            return None if role is None else role.rolname
        case Field.DATNAME if isinstance(value, int):
            database = names.databases.get(value)
            return None if database is None else database.datname
        case _:
            return None if value is None else str(value)
