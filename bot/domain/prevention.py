"""SQL that keeps what a kill ended from coming back. It is shown; the bot never runs it. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from bot.domain.findings.locks import timeouts
from bot.domain.kills import Conclusion, Outcome
from bot.domain.sessions import Backend, LimitOf
from bot.domain.sql_text import identifier

MOST: Final = 3
"""How many statements are shown."""


def prevention(conclusion: Conclusion) -> tuple[str, ...]:
    """The statements, of the roles whose sessions were ended; empty if nothing suggests any."""
    ended = [
        conclusion.target(result.id).seen
        for result in conclusion.results
        if result.outcome is Outcome.TERMINATED
    ]
    return (*_timeouts(ended), *_limits(conclusion, ended))[:MOST]


def _timeouts(ended: list[Backend]) -> Iterable[str]:
    return dict.fromkeys(
        statement for seen in ended if seen.is_idle_in_transaction for statement in timeouts(seen)
    )


def _limits(conclusion: Conclusion, ended: list[Backend]) -> Iterator[str]:
    """If connections ran out: half of them, for the role whose sessions were ended most.

    Not if it has a limit already.
    """
    before = [limit for limit, _ in conclusion.limits]
    server = next((limit for limit in before if limit.of is LimitOf.SERVER), None)
    limited = {limit.name for limit in before if limit.of is LimitOf.ROLE}
    roles = Counter(seen.usename for seen in ended if seen.usename is not None)
    if server is None or not server.near or not roles:
        return
    role, number = roles.most_common(1)[0]
    if number > 1 and role not in limited:
        yield f"alter role {identifier(role)} connection limit {max(1, server.limit // 2)};"
