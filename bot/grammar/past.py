"""`at=-3m`: what was there some time ago, as the samples have it."""

import re
from collections.abc import Sequence

from bot.errors import UsageError
from bot.grammar.requests import (
    KILL,
    MAX_AGO,
    MINUS,
    SESSIONS,
    Askable,
    GroupsRequest,
    PastRequest,
    Sampled,
    SessionsRequest,
)
from bot.grammar.terms import Match
from bot.grammar.tokens import Token, fault
from bot.grammar.values import UNITS
from bot.grammar.watching import WatchRequest

AT = "at"

_AGO = re.compile(rf"[{re.escape(MINUS)}]([0-9]{{1,5}})([a-z]+)")
_AGE = re.compile("([0-9]{1,5})([a-z]*)")

_NOW_ONLY = {
    "watch": "a board shows what is now",
    "horizon": "what holds back vacuum goes on until it is let go: look now",
}


def taken(tokens: Sequence[Token]) -> tuple[int | None, list[Token]]:
    """How many seconds ago is asked about, if any, and the other tokens. Raises `UsageError`."""
    found = [token for token in tokens if _is_at(token)]
    if len(found) > 1:
        raise fault(found[1].typed, f"`{AT}=` is given twice")
    others = [token for token in tokens if not _is_at(token)]
    return (_seconds(found[0]), others) if found else (None, others)


def refuse(tokens: Sequence[Token]) -> None:
    """Raise `UsageError` if there is an `at=`: a kill is of sessions that are there."""
    for token in tokens:
        if _is_at(token):
            problem = f"a past session can't be ended. To see what was there, use {SESSIONS}"
            raise fault(token.typed, f"{KILL} takes no `{AT}=`: {problem}")


def then(request: Askable | WatchRequest, ago: int) -> PastRequest:
    """The same, asked about the past. Raises `UsageError` for what no sample tells."""
    if not isinstance(request, Sampled):
        word = str(request).partition(" ")[0]
        problem = _NOW_ONLY.get(word, "no sample has that")
        raise fault(f"{AT}=", f"{SESSIONS} {word} takes no `{AT}=`: {problem}")
    if isinstance(request, SessionsRequest | GroupsRequest):
        of = request if isinstance(request, SessionsRequest) else request.of
        if of.all:
            problem = "samples leave out background processes, and the bot's own sessions"
            raise fault("all", f"{problem}: it can't be combined with `{AT}=`")
        if of.sort:
            problem = "a sample keeps what hurt most, in that order"
            raise fault("sort=", f"{problem}: it can't be combined with `{AT}=`")
    if isinstance(request, GroupsRequest):
        for term in request.of.terms:
            if not isinstance(term, Match):
                problem = f"samples count by columns: it can't be combined with `by=` and `{AT}=`"
                raise fault(str(term), problem)
    return PastRequest(ago, request)


def _is_at(token: Token) -> bool:
    return token.option is not None and (token.option.key.bare or "").lower() == AT


def _seconds(token: Token) -> int:
    option = token.option
    assert option is not None  # noqa: S101  the caller has looked
    if option.operator != "=":
        raise fault(token.typed, "use `=`")
    text = (option.value.bare or "").lower()
    read = _AGO.fullmatch(text)
    if read is None or read[2] not in UNITS:
        raise _unclear(token, text)
    seconds = int(read[1]) * UNITS[read[2]]
    if not 1 <= seconds <= MAX_AGO:
        raise fault(token.typed, f"samples reach back from 1 second to {MAX_AGO // 60} minutes")
    return seconds


def _unclear(token: Token, text: str) -> UsageError:
    age = _AGE.fullmatch(text.lstrip(MINUS))
    unit = (age[2] or "m")[0] if age is not None else ""
    near = (f"{AT}=-{age[1]}{unit}",) if age is not None and unit in "sm" else ()
    return fault(token.typed, f"say how long ago, in seconds or minutes, as in `{AT}=-3m`", near)
