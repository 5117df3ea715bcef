"""Who may do what.

Pure: Slack's answers and the settings come in as arguments. Denies by default: anything unknown
(such as a group that could not be read) is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

Glob = tuple[str, ...]
"""Literal parts with any text between them, as in `bot.grammar.terms.Pattern`."""


class Right(StrEnum):
    """What a person may do on a cluster; the values name the allowlist that grants it.

    Each includes those before it: who may kill may cancel, and who may cancel may look.
    """

    LOOK = "PG_SESSIONS_ALLOWLIST"
    CANCEL = "PG_CANCEL_ALLOWLIST"
    KILL = "PG_KILL_ALLOWLIST"

    @property
    def and_more(self) -> "tuple[Right, ...]":
        """This right, and those that include it."""
        every = tuple(Right)
        return every[every.index(self) :]


class Home(StrEnum):
    """Where a person belongs, from the bot's point of view."""

    WORKSPACE = "workspace"  # the bot's own workspace
    ENTERPRISE = "enterprise"  # another workspace of the same Enterprise Grid organization
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True, slots=True)
class Allowlist:
    """User ids and user-group ids. `everyone` is `*`: all of the bot's workspace except guests."""

    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    everyone: bool = False

    @property
    def empty(self) -> bool:
        """Whether it allows nobody."""
        return not (self.users or self.groups or self.everyone)


@dataclass(frozen=True, slots=True)
class Person:
    """What Slack says about a person. None means that Slack did not say."""

    user_id: str
    home: Home | None
    is_guest: bool | None
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Allowlists:
    """Who holds one right: on every cluster, but for those that have a list of their own."""

    general: Allowlist = field(default_factory=Allowlist)
    of: Mapping[str, Allowlist] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Grant:
    """Why somebody holds a right: the list that has them, and as whom.

    `setting` is the variable that has the list. `groups` are ids of user groups.
    """

    setting: str
    by_name: bool
    groups: tuple[str, ...]
    everyone: bool


@dataclass(frozen=True, slots=True)
class Reach:
    """The clusters on which somebody holds a right, at one moment; on others they don't."""

    on: Mapping[Right, frozenset[str]] = field(default_factory=dict)

    def may(self, right: Right, cluster: str) -> bool:
        """Whether they hold it there."""
        return any(cluster in self.on.get(each, ()) for each in right.and_more)

    def anywhere(self, right: Right) -> bool:
        """Whether they hold it on any cluster."""
        return any(self.on.get(each) for each in right.and_more)


NOWHERE = Reach()


@dataclass(frozen=True, slots=True)
class Rights:
    """Who may do what on which cluster, as the settings have it."""

    clusters: tuple[str, ...]
    lists: Mapping[Right, Allowlists] = field(default_factory=dict)

    def allowlist(self, right: Right, cluster: str | None = None) -> Allowlist:
        """The list that grants a right on a cluster; on None, the general one."""
        lists = self.lists.get(right, Allowlists())
        return lists.general if cluster is None else lists.of.get(cluster, lists.general)

    def granting(self, right: Right, cluster: str | None = None) -> tuple[Allowlist, ...]:
        """The lists whose people hold it there: that of the right, and of those that include it."""
        return tuple(self.allowlist(each, cluster) for each in right.and_more)

    def varies(self, right: Right) -> bool:
        """Whether any cluster has a list of its own for it."""
        return bool(self.lists.get(right, Allowlists()).of)

    def has_own(self, right: Right, cluster: str) -> bool:
        """Whether a cluster has a list of its own, in the general one's place."""
        return cluster in self.lists.get(right, Allowlists()).of

    def is_set(self, right: Right) -> bool:
        """Whether any list grants it to anybody."""
        return not all(one.empty for one in self._every(right))

    def setting(self, right: Right, cluster: str | None = None) -> str:
        """The variable that has the list."""
        if cluster is None or not self.has_own(right, cluster):
            return str(right)
        return f"{right}_{cluster.upper()}"

    def asked(self, right: Right, cluster: str | None = None) -> tuple[Right, ...]:
        """The rights that a refusal mentions, either of which would do.

        It mentions cancelling only if a list names somebody for that.
        """
        if right is not Right.CANCEL:
            return (right,)
        is_set = self.is_set(right) if cluster is None else not self.allowlist(right, cluster).empty
        return (Right.KILL, Right.CANCEL) if is_set else (Right.KILL,)

    @property
    def groups(self) -> frozenset[str]:
        """Every user group that a list names."""
        return frozenset(
            group for right in Right for one in self._every(right) for group in one.groups
        )

    def users(self, right: Right) -> frozenset[str]:
        """Everyone whom a list for this right names."""
        return frozenset(user for one in self._every(right) for user in one.users)

    def _every(self, right: Right) -> tuple[Allowlist, ...]:
        lists = self.lists.get(right, Allowlists())
        return (lists.general, *lists.of.values())

    def may(self, right: Right, person: Person, cluster: str) -> bool:
        """Whether someone holds a right on a cluster, now.

        Whoever is named, or in a group that is, must be of the bot's own workspace or of its
        enterprise; `*` is the workspace only.
        """
        if person.home not in {Home.WORKSPACE, Home.ENTERPRISE}:
            return False
        return any(_holds(one, person) for one in self.granting(right, cluster))

    def grants(self, right: Right, person: Person, cluster: str) -> tuple[Grant, ...]:
        """The lists by which someone holds a right on a cluster, the strongest first.

        None if they don't hold it.
        """
        if not self.may(right, person, cluster):
            return ()
        found = (self._grant(each, person, cluster) for each in reversed(right.and_more))
        return tuple(each for each in found if each.by_name or each.groups or each.everyone)

    def _grant(self, right: Right, person: Person, cluster: str) -> Grant:
        one = self.allowlist(right, cluster)
        return Grant(
            setting=self.setting(right, cluster),
            by_name=person.user_id in one.users,
            groups=tuple(sorted(one.groups & person.groups)),
            everyone=_is_among_everyone(one, person),
        )

    def reach(self, right: Right, person: Person) -> Reach:
        """Where someone holds a right, and those that include it."""
        return Reach(
            {
                each: frozenset(name for name in self.clusters if self.may(each, person, name))
                for each in right.and_more
            }
        )


def _holds(allowlist: Allowlist, person: Person) -> bool:
    return (
        person.user_id in allowlist.users
        or not allowlist.groups.isdisjoint(person.groups)
        or _is_among_everyone(allowlist, person)
    )


def _is_among_everyone(allowlist: Allowlist, person: Person) -> bool:
    return allowlist.everyone and person.home is Home.WORKSPACE and person.is_guest is False
