"""Who may do something according to the allowlists, as parts of a line.

Pure.
"""

from collections.abc import Iterable, Mapping

from bot.domain.people import Allowlist, Right, Rights
from bot.slack.views.lines import Line, Quoted, person

EVERYONE = "everyone in this workspace except guests"


def holders(
    right: Right,
    rights: Rights,
    cluster: str | None,
    group_names: Mapping[str, str],
    *,
    but: str = "",
) -> Line:
    """Who has a right on a cluster, one part each. The user `but` is left out."""
    return named(rights.granting(right, cluster), group_names, but=but)


def named(granting: Iterable[Allowlist], group_names: Mapping[str, str], *, but: str = "") -> Line:
    """Who is on any of these lists: people as mentions, groups by name as text."""
    granting = tuple(granting)
    users = sorted({user for each in granting for user in each.users} - {but})
    groups = sorted({group for each in granting for group in each.groups})
    called = (group_named(group, group_names) for group in groups)
    everyone = (EVERYONE,) if any(each.everyone for each in granting) else ()
    return (*map(person, users), *called, *everyone)


def group_named(group_id: str, group_names: Mapping[str, str]) -> Quoted:
    """A group's handle, or its id if the handle isn't known.

    Only as text: a mention would notify all its members.
    """
    return Quoted(f"@{group_names[group_id]}" if group_id in group_names else group_id)
