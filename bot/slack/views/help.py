"""The answers to `/pg-sessions help` and `/pg-kill help`: short enough for a phone.

Pure.
"""

from collections.abc import Sequence

from bot.domain.kills import Action
from bot.grammar.requests import KILL, SESSIONS
from bot.grammar.terms import SHORT_NAMES
from bot.slack.views import blocks
from bot.slack.views.lines import Line, code, strong
from bot.slack.views.message import Message, message


def sessions() -> Message:
    """What `/pg-sessions` does, by example."""
    return _by_example(SESSIONS, *_SESSIONS)


def kill(action: Action = Action.TERMINATE) -> Message:
    """What `/pg-kill` does, by example; for those who may only cancel, what it does for them."""
    if action is Action.CANCEL:
        return _by_example(KILL, _CANCEL, _KILL[1])
    return _by_example(KILL, *_KILL)


def _by_example(command: str, head: Sequence[str], examples: Sequence[tuple[str, str]]) -> Message:
    return message(
        [strong(command), *((line,) for line in head)],
        blocks.paragraph(*(_example(typed, does) for typed, does in examples)),
        blocks.paragraph(strong("Filters, all of which must hold"), *_FILTERS),
    )


def commands(action: Action | None) -> Sequence[tuple[str, str]]:
    """Commands, and what they do, for those who may do this to sessions."""
    return _SESSIONS[1] if action is None else (*_SESSIONS[1], *_KILL[1])


def _example(typed: str, does: str) -> Line:
    return (code(typed), f"  {does}")


_SESSIONS = (
    ("Shows who is connected, and what they wait for. In a thread: use a message's menu.",),
    (
        ("/pg-sessions", "every cluster"),
        ("/pg-sessions some_db", "one database; some_db at=-3m is 3 minutes ago"),
        ("/pg-sessions prod/", "one cluster; prod/some_db is a database there"),
        ("/pg-sessions why", "what is wrong; why some_user: with a role, a database or a pid"),
        ("/pg-sessions horizon", "what holds back vacuum"),
        ("/pg-sessions tree prod/", "who waits for whom"),
        ("/pg-sessions watch prod/", "a board: a message that is redrawn"),
        ("/pg-sessions by=app,state some_db", "counts, by up to three columns"),
        ("/pg-sessions some_db state=idle_tx idle>10m", "only what matches"),
        (
            "/pg-sessions some_db columns=pid,query sort=-xact_age limit=5",
            "your choice; or columns=all",
        ),
        ("/pg-sessions prod/ all", "background processes too"),
        ("/pg-sessions some_db private", "only you see the answer"),
    ),
)

_KILL = (
    (
        "Shows exactly which sessions would end. Once someone confirms, they end, and no others.",
        "Named by a filter: only if they still match and their end costs no more than shown.",
        "Named by pid: only if they have not begun another transaction.",
        "If a query runs, you can also cancel it; or cancel it, then terminate what still runs.",
        "In a thread: End a PostgreSQL session, in a message's menu.",
    ),
    (
        ("/pg-kill 33507", "one session, or several pids"),
        ("/pg-kill user=some_user", "all sessions of a role"),
        ("/pg-kill prod/some_db app=psql -- blocks the deploy", "with a reason"),
        ("/pg-kill some_db all", "every session of a database"),
        ("/pg-kill history", "the last kills; its Timeline is all that happened, for a postmortem"),
    ),
)

_CANCEL = (
    "Shows exactly which queries would be cancelled; you may not end sessions.",
    "Once someone confirms, these queries fail, and no others. The sessions stay.",
    "In a thread: End a PostgreSQL session, in a message's menu.",
)

_FILTERS: tuple[Line, ...] = (
    _example(" ".join(f"{name}=" for name in SHORT_NAMES), "or the column's own name"),
    _example("app!=web*", "!= is not; * matches anything"),
    _example("client=10.0.0.0/8", "a network"),
    _example("age>1h xact>5m query>30s idle>10m", "longer than this; < for shorter"),
    _example("blocked blocking", "waits for a lock, or others wait for it"),
)
