"""Conditions as SQL over a row `a` of `pg_stat_get_activity`.

The SQL is put together only from constants. Everything typed, and every name, is a parameter.
"""

from collections.abc import Iterable, Mapping
from typing import Any, assert_never

from bot.domain.filters import (
    TEXT_COLUMNS,
    AddressIn,
    Before,
    Condition,
    InLock,
    InTree,
    OidIn,
    PidIn,
    TextLike,
)
from bot.domain.kept_names import MAY_BE_CUT, Applications
from bot.domain.sessions import Names
from bot.domain.shown import HIDES
from bot.driver import APPLICATION_NAME
from bot.grammar.columns import AGES, COLUMNS
from bot.grammar.requests import SortKey
from bot.grammar.terms import AgeOf, Word

HURTS_MOST = """
    (a.blocks > 0 and not a.is_waiting) desc,
    a.blocks desc,
    a.is_at_limit desc,
    a.xact_start asc nulls last,
    case when a.state = 'active' then a.query_start end asc nulls last,
    (a.backend_type = 'client backend') desc nulls last,
    a.state_change asc nulls last,
    a.pid
"""
"""The default order: sessions that block others, sessions at their role's or database's limit, the
oldest open transaction, the longest running query.

To count everyone who waits behind a session takes a walk along the waits. This counts only those
behind it in the queues that it holds up; `bot.domain.blocking.worst_first` sorts a page by the full
count."""

EVERYTHING = "a.pid <> pg_backend_pid()"
"""Everything except the backend that runs this query."""

CONNECTED = "(a.datid is not null or a.backend_type = 'walsender' or a.backend_type is null)"
"""Leaves out the server's own background processes, which belong to no database."""


def by_default(own_roles: Iterable[int], parameters: "Parameters") -> tuple[str, str]:
    """What a look without `all` is confined to: sessions, and none of the bot's own."""
    ours = own(own_roles, parameters)
    return f"({CONNECTED} or a.state = 'starting')", f"{ours} is not true"


def own(own_roles: Iterable[int], parameters: "Parameters") -> str:
    """The condition that a session is the bot's own."""
    roles = parameters.add(sorted(own_roles), "oid[]")
    name = parameters.add(APPLICATION_NAME, "text")
    return f"(a.usesysid = any({roles}) and a.application_name = {name})"


COST = (
    "case when a.backend_xid is not null then 2 when a.state = 'disabled' then 3"
    " when a.xact_start is null and a.state in ('idle', 'idle in transaction (aborted)') then 0"
    " else 1 end"
)
"""`bot.domain.sessions.Backend.cost` in SQL, for a row whose state is known."""

_SINCE = {
    AgeOf.AGE: ("a.backend_start", "true"),
    AgeOf.XACT: ("a.xact_start", "true"),
    AgeOf.QUERY: ("a.query_start", "a.state in ('active', 'fastpath function call')"),
    AgeOf.IDLE: ("a.state_change", "a.state like 'idle%'"),
}

_IN_LOCK = {
    Word.BLOCKED: "a.wait_event_type = 'Lock' or a.wait_event = 'SafeSnapshot'",
    Word.BLOCKING: "exists (select from blocking where blocking.pid = a.pid)",
}

_OID = {"usesysid": "a.usesysid", "datid": "a.datid"}

_TEXT = {column: (f"a.{column}",) for column in TEXT_COLUMNS} | {
    "client_addr": ("host(a.client_addr)",),
    "wait_event": ("a.wait_event_type", "a.wait_event"),
}

_SORT = {column: f"a.{column}" for column in COLUMNS} | {
    # An age grows as its instant gets earlier; 'infinity' can't occur here.
    **{name: f"clock_timestamp() - a.{instant}" for name, instant in AGES.items()},
    "backend_xid": "age(a.backend_xid)",  # xid has no order; age() counts from now
    "backend_xmin": "age(a.backend_xmin)",
    "blocked_by": "a.waits_behind",
}


class Parameters(list[Any]):
    """The arguments of one statement, in the order of their `$n`."""

    def add(self, value: object, cast: str) -> str:
        """Add a value; return its placeholder."""
        self.append(kept(value) if isinstance(value, str) else value)
        return f"${len(self)}::{cast}"


def like(parts: tuple[str, ...]) -> str:
    r"""A glob's parts as a pattern for LIKE, with `\` as its escape.

    >>> like(("50%", ""))
    '50\\%%'
    """
    escaped = (part.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") for part in parts)
    return kept("%".join(escaped))


def kept(text: str) -> str:
    r"""A text to compare with one that PostgreSQL keeps as printable ASCII, as `application_name`.

    Other characters never occur there, and not every encoding has them: a DEL stands for each.

    >>> kept("a Ω")
    'a \x7f'
    """
    return "".join(char if " " <= char <= "~" else "\x7f" for char in text)


def likes(applications: Applications) -> list[str]:
    """Patterns for LIKE that match these names: `_` is any one character."""
    return [
        *map(like, applications.globs),
        *(
            like((beginning,)) + "_" * (MAY_BE_CUT - len(beginning)) + "%"
            for beginning in applications.beginnings
        ),
    ]


def where(conditions: tuple[Condition, ...], parameters: Parameters, *, strict: bool) -> str:
    """All conditions as one expression.

    With `strict` (for a kill) an unknown value satisfies nothing. Without it, an unknown value
    satisfies a negation, as a reader of a table expects.
    """
    if not conditions:
        return "true"
    return " and ".join(_one(c, parameters, strict=strict) for c in conditions)


def _one(condition: Condition, parameters: Parameters, *, strict: bool) -> str:
    match condition:
        case OidIn(column, oids, negated):
            holds = f"{_OID[column]} = any({parameters.add(list(oids), 'oid[]')})"
        case TextLike(text_column, parts, negated):
            holds = _text(text_column, parts, parameters)
        case AddressIn(network, negated):
            holds = f"a.client_addr <<= {parameters.add(network, 'text')}::inet"
        case Before(of, instant, older):
            negated = False
            since, while_ = _SINCE[of]
            sign = "<" if older else ">"
            holds = f"{since} {sign} {parameters.add(instant, 'timestamptz')} and {while_}"
        case InLock(word):
            negated = False
            holds = _IN_LOCK[word]
        case InTree():
            negated = False
            holds = "a.pid in (select waits.pid from waits)"
        case PidIn(pids):
            negated = False
            holds = f"a.pid = any({parameters.add(list(pids), 'int[]')})"
        case _:
            assert_never(condition)
    if not negated:
        return f"({holds})"
    return f"(not ({holds}))" if strict else f"(({holds}) is not true)"


def _text(column: str, parts: tuple[str, ...], parameters: Parameters) -> str:
    if len(parts) == 1:
        value, operator = parts[0], "="
    else:
        value, operator = like(parts), "like"
    placeholder = parameters.add(value, "text")
    sides = [f"{side} {operator} {placeholder}" for side in _TEXT[column]]
    if len(sides) == 1:
        return sides[0]
    # A wait has a type and an event; a filter may name either. Both are NULL, or neither is.
    return " or ".join(sides)


def order(
    sort: tuple[SortKey, ...],
    names: Names,
    parameters: Parameters,
    ranks: Mapping[str, Mapping[int, int]] | None = None,
) -> str:
    """The ORDER BY of a look; unknown values come last in either direction.

    `ranks` say each pid's place by a column that hides something (`bot.domain.shown.ranks`).
    """
    if not sort:
        return HURTS_MOST
    keys = [
        f"{_sort_key(key.column, names, parameters, ranks or {})}"
        f" {'desc' if key.descending else 'asc'}"
        " nulls last"
        for key in sort
    ]
    return ", ".join([*keys, "a.pid"])


def _sort_key(
    column: str, names: Names, parameters: Parameters, ranks: Mapping[str, Mapping[int, int]]
) -> str:
    if column in HIDES:
        pids = parameters.add(list(ranks[column]), "int[]")
        places = parameters.add(list(ranks[column].values()), "int[]")
        return f"({places})[array_position({pids}, a.pid)]"
    if column == "usename":
        roles = sorted(names.roles.values(), key=lambda role: role.rolname)
        oids = parameters.add([role.oid for role in roles], "oid[]")
        return f"array_position({oids}, a.usesysid)"
    if column == "datname":
        databases = sorted(names.databases.values(), key=lambda database: database.datname)
        oids = parameters.add([database.oid for database in databases], "oid[]")
        return f"array_position({oids}, a.datid)"
    return _SORT[column]


def literal(value: bool) -> str:
    """A boolean as text in a statement, so that the planner drops the parts that it rules out."""
    return "true" if value else "false"
