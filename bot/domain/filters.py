"""What a filter means on one server at one instant.

A typed filter (`user=web* xact>5m`) is frozen once, when its preview is made: names become oids,
and ages become instants on the server's clock. The frozen conditions go into the ledger and from
there, unchanged, into the signalling statement. A session that begins new work after the preview
has a new `xact_start` and no longer matches.

Pure. `bot.postgres.where` turns a condition into SQL.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

from bot.domain.instants import from_us, to_us
from bot.domain.sessions import CLIENT_BACKEND, Names
from bot.errors import TargetError
from bot.grammar.suggest import near
from bot.grammar.terms import Aged, AgeOf, Field, Match, Pattern, Tagged, Term, Word

OidColumn = Literal["usesysid", "datid"]
TEXT_COLUMNS = frozenset(map(str, Field)) - {Field.USENAME, Field.DATNAME}
"""The columns that are compared as text; roles and databases are compared by oid."""


@dataclass(frozen=True, slots=True)
class OidIn:
    """`usesysid` or `datid` is (not) one of these."""

    column: OidColumn
    oids: tuple[int, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class TextLike:
    """One of `TEXT_COLUMNS` is (not) like a glob; `parts` as in `bot.grammar.terms.Pattern`."""

    column: str
    parts: tuple[str, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class AddressIn:
    """`client_addr` is (not) within a network, given in CIDR notation or as an address."""

    network: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Before:
    """The instant that an age counts from lies before this one (or after it)."""

    of: AgeOf
    instant: datetime
    older: bool = True


@dataclass(frozen=True, slots=True)
class InLock:
    """It waits for a lock (`blocked`), or another waits for it (`blocking`)."""

    word: Word


@dataclass(frozen=True, slots=True)
class PidIn:
    """Its pid is one of these. Only used for looks: a kill compares identities."""

    pids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class InTree:
    """It waits for a lock, or another waits for it. Only used for looks."""


Condition = OidIn | TextLike | AddressIn | Before | InLock | PidIn | InTree


def freeze(
    terms: Iterable[Term], names: Names, now: datetime, *, database: str | None = None
) -> tuple[Condition, ...]:
    """A request's database and terms as conditions on this server, as of `now` on its clock.

    Raises `TargetError` with the nearest names if this server lacks a role or database that is
    named: a typo in `user!=admn` must not end everyone's session.
    """
    frozen: list[Condition] = [] if database is None else [_in_database(database, names)]
    frozen += (_freeze(term, names, now) for term in terms)
    return tuple(frozen)


def _in_database(datname: str, names: Names) -> OidIn:
    database = names.database_named(datname)
    if database is None:
        if any(role.rolname == datname for role in names.roles.values()):
            raise TargetError(datname, "no such database, but a role", (as_role(datname),))
        every = (each.datname for each in names.databases.values())
        raise TargetError(datname, "no such database", near(datname, every))
    return OidIn("datid", (database.oid,))


def as_role(name: str) -> str:
    """The filter to type for a role: `user=some_user`."""
    return str(Match(Field.USENAME, Pattern((name,))))


def arrived_since(instant: datetime) -> tuple[Condition, ...]:
    """Client backends that started after an instant on the server's clock."""
    return (
        Before(AgeOf.AGE, instant, older=False),
        TextLike("backend_type", (CLIENT_BACKEND,)),
    )


def _freeze(term: Term, names: Names, now: datetime) -> Condition:
    match term:
        case Word():
            return InLock(term)
        case Tagged():
            raise TargetError(str(term), "only a look takes tags")
        case Aged(of, seconds, older):
            return Before(of, now - timedelta(seconds=seconds), older)
        case Match(Field.USENAME, _, negated):
            roles = {oid: role.rolname for oid, role in names.roles.items()}
            return OidIn("usesysid", _resolve("role", term, roles), negated)
        case Match(Field.DATNAME, _, negated):
            databases = {oid: database.datname for oid, database in names.databases.items()}
            return OidIn("datid", _resolve("database", term, databases), negated)
        case Match(Field.CLIENT_ADDR, Pattern((network,)), negated):
            return AddressIn(network, negated)
        case Match(column, pattern, negated):
            return TextLike(column.value, pattern.parts, negated)


def _resolve(kind: str, term: Match, names: Mapping[int, str]) -> tuple[int, ...]:
    pattern = term.pattern
    oids = tuple(sorted(oid for oid, name in names.items() if pattern.matches(name)))
    if not oids:
        problem = f"no such {kind}" if pattern.exact is not None else f"no {kind} has such a name"
        found = near("*".join(pattern.parts), names.values())
        filters = (str(replace(term, pattern=Pattern((name,)))) for name in found)
        raise TargetError(str(term), problem, tuple(filters))
    return oids


def to_json(conditions: Iterable[Condition]) -> list[dict[str, Any]]:
    """Conditions as the ledger keeps them."""
    return [_dump(condition) for condition in conditions]


def _dump(condition: Condition) -> dict[str, Any]:
    match condition:
        case OidIn(column, oids, negated):
            return {"is": "oid_in", "column": column, "oids": list(oids), "negated": negated}
        case TextLike(column, parts, negated):
            return {"is": "like", "column": column, "parts": list(parts), "negated": negated}
        case AddressIn(network, negated):
            return {"is": "address_in", "network": network, "negated": negated}
        case Before(of, instant, older):
            return {"is": "before", "of": of.value, "instant": to_us(instant), "older": older}
        case InLock(word):
            return {"is": "in_lock", "word": word.value}
        case PidIn(pids):
            return {"is": "pid_in", "pids": list(pids)}
        case InTree():
            return {"is": "in_tree"}


def from_json(dumped: Iterable[Any]) -> tuple[Condition, ...]:
    """The inverse of `to_json`. Raises `ValueError` for anything that this version does not know.

    An unknown condition, or an unknown part of one, must never be skipped: the kill would be wider.
    """
    return tuple(_load(item) for item in dumped)


def _load(item: Any) -> Condition:  # noqa: ANN401  JSON's
    try:
        condition = _read(item)
        understood = _dump(condition) == item
    except (TypeError, OverflowError) as error:
        raise ValueError("a condition can't be read") from error
    if not understood:
        raise ValueError(f"a condition was written by another version: {sorted(item)}")
    return condition


def _read(item: Any) -> Condition:  # noqa: ANN401  JSON's
    match item:
        case {"is": "oid_in", "column": column, "oids": oids, "negated": bool(negated)} if (
            column in get_args(OidColumn) and all(type(oid) is int for oid in oids)
        ):
            return OidIn(column, tuple(oids), negated)
        case {"is": "like", "column": column, "parts": parts, "negated": bool(negated)} if (
            column in TEXT_COLUMNS and all(type(part) is str for part in parts)
        ):
            return TextLike(column, tuple(parts), negated)
        case {"is": "address_in", "network": str(network), "negated": bool(negated)}:
            return AddressIn(network, negated)
        case {"is": "before", "of": of, "instant": int(instant), "older": bool(older)}:
            return Before(AgeOf(of), from_us(instant), older)
        case {"is": "in_lock", "word": word}:
            return InLock(Word(word))
        case {"is": "pid_in", "pids": pids} if all(type(pid) is int for pid in pids):
            return PidIn(tuple(pids))
        case {"is": "in_tree"}:
            return InTree()
        case _:
            raise ValueError("a condition was written by another version")
