"""Counts of sessions by the values of up to three columns. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from bot.errors import UsageError
from bot.grammar.parser import read_sessions
from bot.grammar.requests import GroupsRequest, SessionsRequest, Target
from bot.grammar.terms import Field, Match, Pattern, Term

ANYTHING = Pattern(("", ""))
"""`*`, which every value matches but NULL."""


MOST_GROUPS = 20
"""How many groups are shown, of all clusters together."""


@dataclass(frozen=True, slots=True)
class Group:
    """The sessions that have these values; None is NULL."""

    values: tuple[str | None, ...]
    sessions: int
    oldest_xact: datetime | None

    @property
    def rank(self) -> tuple[int, bool, float, tuple[tuple[bool, str], ...]]:
        """Its place in the order: the largest first, then the one with the oldest transaction."""
        oldest = self.oldest_xact
        return (
            -self.sessions,
            oldest is None,
            0.0 if oldest is None else oldest.timestamp(),
            tuple((value is None, value or "") for value in self.values),
        )


@dataclass(frozen=True, slots=True)
class Groups:
    """The largest groups, in order; `number` and `sessions` are of all that there are."""

    largest: tuple[Group, ...]
    number: int
    sessions: int


def merged(groups: Iterable[Group]) -> tuple[Group, ...]:
    """One group for each set of values: roles that have no name any more share one."""
    by_values: dict[tuple[str | None, ...], Group] = {}
    for group in groups:
        other = by_values.get(group.values)
        if other is not None:
            begun = [each.oldest_xact for each in (other, group) if each.oldest_xact is not None]
            number = other.sessions + group.sessions
            by_values[group.values] = Group(group.values, number, min(begun, default=None))
        else:
            by_values[group.values] = group
    return tuple(sorted(by_values.values(), key=lambda group: group.rank))


def members(request: GroupsRequest, target: Target, group: Group) -> SessionsRequest | None:
    """The look at a group's sessions; None if no command can name one of its values.

    That a value is NULL is said by `!=*`, which is true only of NULL in a look.
    """
    found = replace(
        request.of,
        target=target,
        terms=tuple(dict.fromkeys((*request.of.terms, *_terms(request, target, group)))),
    )
    text = str(found)
    try:
        return found if text.isprintable() and read_sessions(text) == found else None
    except UsageError:
        return None


def _terms(request: GroupsRequest, target: Target, group: Group) -> Iterator[Term]:
    for column, value in zip(request.by, group.values, strict=True):
        if column is Field.DATNAME and target.database is not None:
            continue  # the target says it
        if value is None:
            yield Match(column, ANYTHING, negated=True)
        else:
            yield Match(column, Pattern((value,)))
