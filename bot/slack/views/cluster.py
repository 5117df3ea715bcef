"""What several messages say about a server: its name, its limits, its tree.

Pure.
"""

from collections.abc import Sequence

from bot.domain.sessions import About, Limit, Names, Server
from bot.grammar.requests import Target, TreeRequest
from bot.slack.buttons import ActionId, seal
from bot.slack.views import blocks
from bot.slack.views.blocks import Block
from bot.slack.views.lines import Drawn, Line, Quoted, code
from bot.slack.views.text import bar, clock, count, of_them, used

_PRESSING = 5
_OTHERS = 3


def introduction(server: About | Server) -> Line:
    """`PostgreSQL 18.6, primary, db-1.internal`."""
    role = "standby" if server.in_recovery else "primary"
    return ("PostgreSQL ", Quoted(server.version), f", {role}, ", Quoted(server.host))


def stale(names: Names) -> str:
    """How old the names are, if they come from an earlier reading."""
    known = f"are from {clock(names.known_at)}" if names.known_at else "can't be read"
    return f"Role and database names {known}: a catalog is locked."


def unseen(server: Server) -> tuple[Line, ...]:
    """A line that says that numbers are too low, and what to do; empty if they aren't."""
    if not server.unseen:
        return ()
    sessions = count(server.unseen, "session")
    them = "it" if server.unseen == 1 else "them"
    line = f"the bot can see only part of {sessions}, so no limit here counts {them}: grant it "
    return ((line, code("pg_read_all_stats"), "."),)


def partly_seen(sessions: int) -> str:
    """What of the sessions a diagnosis can't see, in a list of such things."""
    return f"{count(sessions, 'session')} (grant pg_read_all_stats)"


def pressing(server: Server) -> tuple[Line, ...]:
    """A line for each limit that is reached or near, and how many more there are."""
    ordinary = server.ordinary
    limits = [
        *([(*_slots(ordinary), _pressure(ordinary, "full"))] if ordinary.near else []),
        *(_pressed(limit) for limit in server.roles if limit.near),
        *(("database ", *_pressed(limit)) for limit in server.databases if limit.near),
    ]
    more = len(limits) - _PRESSING
    rest: tuple[Line, ...] = ((f"{more} more at or near their limit",),) if more > 0 else ()
    return (*limits[:_PRESSING], *rest)


def _pressed(limit: Limit) -> Line:
    return (Quoted(limit.name), f" {used(limit)}", _pressure(limit))


def _pressure(limit: Limit, reached: str = "at its limit") -> str:
    return f": {reached}, new logins fail" if limit.reached else ": near its limit"


def _slots(ordinary: Limit) -> Line:
    return ("connections ", Drawn(f"{bar(ordinary)} ", ""), used(ordinary))


def connections(server: Server) -> Line:
    """The slots that ordinary roles may use, and the roles that come nearest to their limit.

    Slots reserved for others come last. If slots are running out, `pressing` says so.
    """
    parts: list[Line] = [] if server.ordinary.near else [_slots(server.ordinary)]
    parts += (
        (Quoted(limit.name), f" {used(limit)}")
        for limit in [limit for limit in server.roles if limit.used and not limit.near][:_OTHERS]
    )
    kept = (
        (server.reserved_connections, "reserved"),
        (server.superuser_reserved_connections, "for superusers"),
    )
    if more := [f"{number} {whose}" for number, whose in kept if number]:
        # A superuser or a client that is logging in may hold one of these.
        over = server.ordinary.taken - server.ordinary.limit
        more += [of_them(over, sum(number for number, _ in kept), "in use")] * (over > 0)
        parts.append((f"set aside: {', '.join(more)}",))
    return tuple(part for at, line in enumerate(parts) for part in ((" · ",) if at else ()) + line)


def at_limit(limits: Sequence[Limit]) -> str:
    """Reached limits for a table's cell: `some_user 1 of 1`."""
    return " · ".join(f"{limit.name} {used(limit)}" for limit in limits if limit.reached)


def left_out(number: int) -> Sequence[str]:
    """That an answer is not about all clusters: their names are not for whoever asked."""
    if not number:
        return ()
    return (f"{count(number, 'more cluster')} that the one who asked may not look at",)


def blocking_tree(name: str) -> Block:
    """A button that answers with a cluster's blocking tree."""
    # Numbered: its block may have another button that answers something.
    action_id = ActionId.ANSWER_SHOW.numbered(1)
    return blocks.button("Blocking tree", action_id, seal(str(TreeRequest(Target(name)))))
