"""Who may do what.

Pure: what Slack and the settings say comes in as arguments. Denies by default: what isn't
known (a group that could not be read) is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

Glob = tuple[str, ...]
"""Literal parts with anything between each two, as in `bot.grammar.requests.Pattern`."""


class Right(StrEnum):
    """What a person may do; the values name the allowlist that grants it."""

    LOOK = "PG_SESSIONS_ALLOWLIST"
    KILL = "PG_KILL_ALLOWLIST"


class Home(StrEnum):
    """Where somebody belongs, seen from the bot."""

    WORKSPACE = "workspace"  # the bot's own
    ENTERPRISE = "enterprise"  # a sister workspace on Enterprise Grid
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True, slots=True)
class Allowlist:
    """User ids and user-group ids; `everyone` is `*`: the own workspace but guests."""

    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    everyone: bool = False

    @property
    def empty(self) -> bool:
        """Whether it allows nobody."""
        return not (self.users or self.groups or self.everyone)


@dataclass(frozen=True, slots=True)
class Person:
    """What Slack says of someone. None: Slack did not say."""

    user_id: str
    home: Home | None
    is_guest: bool | None
    groups: frozenset[str] = frozenset()


def may(right: Right, person: Person, lists: Mapping[Right, Allowlist]) -> bool:
    """Whether someone holds a right, now. Who may kill may look.

    Whoever is named, or in a group that is, must be of the bot's own workspace or of its
    enterprise; `*` is the workspace only.
    """
    if person.home not in {Home.WORKSPACE, Home.ENTERPRISE}:
        return False
    if _holds(lists[right], person):
        return True
    return right is Right.LOOK and _holds(lists[Right.KILL], person)


def _holds(allowlist: Allowlist, person: Person) -> bool:
    return (
        person.user_id in allowlist.users
        or not allowlist.groups.isdisjoint(person.groups)
        or (allowlist.everyone and person.home is Home.WORKSPACE and person.is_guest is False)
    )
