"""What several messages say of a server: its name, its limits.

Pure.
"""

from collections.abc import Sequence

from bot.backends import Limit, Server
from bot.slack.views.lines import Line, Quoted
from bot.slack.views.text import bar, used

_PRESSING = 5
_OTHERS = 3


def introduction(server: Server) -> Line:
    """`PostgreSQL 18.6, primary, db-1.internal`."""
    role = "standby" if server.in_recovery else "primary"
    return ("PostgreSQL ", Quoted(server.version), f", {role}, ", Quoted(server.host))


def pressing(server: Server) -> tuple[Line, ...]:
    """A line for each limit that is reached or near, and how many more there are."""
    limits = [
        *(_pressed(limit) for limit in server.roles if limit.near),
        *(("database ", *_pressed(limit)) for limit in server.databases if limit.near),
    ]
    more = len(limits) - _PRESSING
    rest: tuple[Line, ...] = ((f"{more} more at or near their limit",),) if more > 0 else ()
    return (*limits[:_PRESSING], *rest)


def _pressed(limit: Limit) -> Line:
    pressure = "at its limit, new logins fail" if limit.reached else "near its limit"
    return (Quoted(limit.name), f" {used(limit)}: {pressure}")


def connections(server: Server) -> Line:
    """The slots that ordinary roles may use, and the roles that come nearest to their limit."""
    ordinary = server.ordinary
    line: Line = (f"connections {bar(ordinary)} {used(ordinary)}",)
    if ordinary.reached:
        line += (": full, new logins fail",)
    elif ordinary.near:
        line += (": near the limit",)
    for limit in [limit for limit in server.roles if limit.used and not limit.near][:_OTHERS]:
        line += (" · ", Quoted(limit.name), f" {used(limit)}")
    return line


def at_limit(limits: Sequence[Limit]) -> str:
    """Reached limits for a table's cell: `some_user 1 of 1`."""
    return " · ".join(f"{limit.name} {used(limit)}" for limit in limits if limit.reached)
