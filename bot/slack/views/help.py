"""The answers to `/pg-sessions help` and `/pg-kill help`: short enough for a phone.

Pure.
"""

from collections.abc import Sequence

from bot.grammar.requests import KILL, SESSIONS
from bot.slack.views import blocks
from bot.slack.views.lines import Line, code, strong
from bot.slack.views.message import Message, message


def sessions() -> Message:
    """What `/pg-sessions` does, by example."""
    return _by_example(SESSIONS, *_SESSIONS)


def kill() -> Message:
    """What `/pg-kill` does, by example."""
    return _by_example(KILL, *_KILL)


def _by_example(command: str, head: Sequence[str], examples: Sequence[tuple[str, str]]) -> Message:
    return message(
        [strong(command), *((line,) for line in head)],
        blocks.paragraph(*(_example(typed, does) for typed, does in examples)),
        blocks.paragraph(strong("Filters, all of which must hold"), *_FILTERS),
    )


def _example(typed: str, does: str) -> Line:
    return (code(typed), f"  {does}")


_SESSIONS = (
    ("Shows who is connected to PostgreSQL and what they wait for.",),
    (
        ("/pg-sessions", "every cluster"),
        ("/pg-sessions some_db", "one database"),
        ("/pg-sessions prod/", "one cluster; prod/some_db a database there"),
        ("/pg-sessions some_db state=idle_tx idle>10m", "only these"),
        ("/pg-sessions some_db columns=pid,usename,query", "these columns, or columns=all"),
        ("/pg-sessions some_db sort=-xact_age limit=5", "in this order, so many"),
        ("/pg-sessions prod/ all", "background processes too"),
        ("/pg-sessions some_db private", "for you alone"),
    ),
)

_KILL = (
    (
        "Shows exactly which sessions would end. They end when someone confirms, and no others:",
        "of a filter, those that still match and whose end costs no more than shown;",
        "of pids, those that have begun no other transaction.",
    ),
    (
        ("/pg-kill 33507", "one session, or several pids"),
        ("/pg-kill user=some_user", "all of a role"),
        ("/pg-kill prod/some_db app=psql -- blocks the deploy", "with the reason"),
        ("/pg-kill some_db all", "every session of a database"),
        ("/pg-kill history", "the last kills"),
    ),
)

_FILTERS: tuple[Line, ...] = (
    _example("user= db= app= client= state= type= wait=", "or the column's own name"),
    _example("!=", "is not"),
    _example("*", "stands for anything: app=web*"),
    _example("client=10.0.0.0/8", "a network"),
    _example("age>1h xact>5m query>30s idle>10m", "how long; < too"),
    _example("blocked blocking", "waits for a lock, or others wait for it"),
)
