"""Who may do something, by the allowlists, as parts of a line.

Pure.
"""

from collections.abc import Mapping

from bot.domain.people import Allowlist, Right
from bot.slack.views.lines import Line, Quoted, person

EVERYONE = "everyone in this workspace except guests"


def holders(
    right: Right,
    lists: Mapping[Right, Allowlist],
    group_names: Mapping[str, str],
    *,
    but: str = "",
) -> Line:
    """Who holds a right, one part each: people as mentions, groups by name as text.

    A group is never mentioned: that would notify all of it. Its name is its handle without
    the `@`; one that isn't known shows as its id. `but` is a user who is left out.
    """
    granting = [lists[right]] if right is Right.KILL else [lists[Right.LOOK], lists[Right.KILL]]
    users = sorted({user for each in granting for user in each.users} - {but})
    groups = sorted({group for each in granting for group in each.groups})
    named = (f"@{group_names[group]}" if group in group_names else group for group in groups)
    everyone = (EVERYONE,) if any(each.everyone for each in granting) else ()
    return (*map(person, users), *map(Quoted, named), *everyone)
