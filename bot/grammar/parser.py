"""Command text -> a request for sessions, a kill, the history or help, or `UsageError`.

Pure: no clock, no I/O, no knowledge of which clusters or databases exist. Typed names stay text
here. They are resolved against a server later, and reach it only as parameters.

Every request prints (`str(request)`) to text that parses back to an equal request. `read_sessions`
and `read_kill` read that text, which is as a person types it. Slack escapes what it sends (`>` as
`&gt;`); `parse_sessions` and `parse_kill` read that.
"""

import re
from collections.abc import Callable, Iterable, Sequence

from bot.errors import UsageError
from bot.grammar.parts import Parts
from bot.grammar.requests import (
    AT,
    HELP,
    HISTORY,
    KILL,
    MAX_AGO,
    MAX_REASON,
    MAX_TEXT,
    MINUS,
    SESSIONS,
    Askable,
    GroupsRequest,
    HelpRequest,
    HistoryRequest,
    HorizonRequest,
    KillRequest,
    PastRequest,
    Sampled,
    SessionsRequest,
    Target,
    TreeRequest,
    WhyRequest,
)
from bot.grammar.terms import Field, Match
from bot.grammar.tokens import (
    Token,
    fault,
    join,
    refuse_hidden,
    tokenize,
    unescape,
)
from bot.grammar.values import UNITS
from bot.grammar.watching import WatchRequest, watch

_LISTS = frozenset({"by", "columns", "sort"})
_WHY = f"{SESSIONS} why"
_HORIZON = f"{SESSIONS} horizon"
_TREE = f"{SESSIONS} tree"

_AGO = re.compile(rf"[{re.escape(MINUS)}]([0-9]{{1,5}})([a-z]+)")
_AGE = re.compile("([0-9]{1,5})([a-z]*)")

_NOW_ONLY = {
    "watch": "a board shows what is now",
    "horizon": "what holds back vacuum goes on until it is let go: look now",
}

Asked = Askable | WatchRequest | PastRequest | HelpRequest
"""What `/pg-sessions` can ask for."""


def parse_sessions(text: str) -> Asked:
    """Read the text of `/pg-sessions`, as Slack sent it. Raises `UsageError`."""
    return read_sessions(unescape(text))


def parse_kill(text: str) -> KillRequest | HistoryRequest | HelpRequest:
    """Read the text of `/pg-kill`, as Slack sent it. Raises `UsageError`."""
    return read_kill(unescape(text))


def read_sessions(text: str) -> Asked:
    """Read the text of `/pg-sessions` without Slack's escapes. Raises `UsageError`."""
    if HELP.fullmatch(text.strip()):
        return HelpRequest(SESSIONS)
    tokens, reason = _tokens(text)
    if reason is not None:
        raise fault("--", f"only {KILL} takes a reason")
    if len(tokens) == 1 and _first(tokens) == "help":
        return HelpRequest(SESSIONS)
    ago, tokens = _without_at(tokens)
    present = _read_present(tokens)
    request = present if ago is None else then(present, ago)
    _refuse_long(request)
    return request


def _read_present(tokens: list[Token]) -> Askable | WatchRequest:
    read = _FIRST.get(_first(tokens))
    return _read_look(tokens) if read is None else read(tokens[1:])


def _read_look(tokens: Iterable[Token]) -> SessionsRequest | GroupsRequest:
    parts = Parts(SESSIONS)
    parts.take(tokens)
    request = SessionsRequest(
        target=parts.target or Target(),
        pids=tuple(parts.pids),
        terms=tuple(parts.terms),
        all=parts.all is not None,
        columns=parts.columns,
        sort=parts.sort,
        limit=parts.limit,
        private=parts.private,
    )
    if parts.by:
        return _groups(request, parts.by)
    return request


def _groups(of: SessionsRequest, by: tuple[Field, ...]) -> GroupsRequest:
    if of.pids:
        raise fault(str(of.pids[0]), "`by=` counts sessions by filters, not by pids")
    for name in ("columns", "sort", "limit"):
        if getattr(of, name):
            raise fault(f"{name}=", "can't be combined with `by=`, which has its own table")
    return GroupsRequest(by, of)


def _read_watch(tokens: Iterable[Token]) -> WatchRequest:
    return watch(_read_look(tokens))


def _read_why(tokens: Iterable[Token]) -> WhyRequest:
    parts = Parts(_WHY)
    parts.take(tokens)
    terms: dict[Field, Match] = {}
    for term, typed in parts.terms.items():
        named = isinstance(term, Match) and term.field in {Field.USENAME, Field.DATNAME}
        if not isinstance(term, Match) or not named:
            raise fault(typed, f"{_WHY} takes only a target, `user=`, `db=` or one pid")
        if term.negated or term.pattern.exact is None:
            raise fault(typed, f"{_WHY} takes one name, without `!=` and `*`")
        if term.field in terms:
            raise fault(typed, f"{_WHY} takes one role and one database")
        terms[term.field] = term
    if len(parts.pids) > 1 or (parts.pids and Field.USENAME in terms):
        raise fault("", f"{_WHY} takes one pid or one role")
    target = parts.target or Target()
    if Field.DATNAME in terms and target.database is not None:
        raise fault(parts.terms[terms[Field.DATNAME]], "a second database; there can be only one")
    return WhyRequest(
        target=target,
        pid=next(iter(parts.pids), None),
        terms=tuple(terms.values()),
        private=parts.private,
    )


def _read_horizon(tokens: Iterable[Token]) -> HorizonRequest:
    return HorizonRequest(*_read_target(_HORIZON, tokens, "a cluster or a database"))


def _read_tree(tokens: Iterable[Token]) -> TreeRequest:
    target, is_private = _read_target(_TREE, tokens, "a cluster")
    if target.cluster is not None and target.database is not None:
        raise fault(target.database, f"{_TREE} takes only a cluster", (f"{target.cluster}/",))
    cluster = target.cluster or (target.database and target.database.lower())
    return TreeRequest(Target(cluster), is_private)


def _read_target(command: str, tokens: Iterable[Token], what: str) -> tuple[Target, bool]:
    """A command that takes only a target: where it looks, and whether it is private."""
    parts = Parts(command)
    parts.take(tokens)
    typed = [*parts.terms.values(), *map(str, parts.pids)]
    if typed:
        raise fault(typed[0], f"{command} takes only {what}")
    return parts.target or Target(), parts.private


_FIRST: dict[str, Callable[[Iterable[Token]], Askable | WatchRequest]] = {
    "why": _read_why,
    "horizon": _read_horizon,
    "tree": _read_tree,
    "watch": _read_watch,
}
"""How to read what follows each of `FIRST_WORDS`."""


def read_kill(text: str) -> KillRequest | HistoryRequest | HelpRequest:
    """Read the text of `/pg-kill` without Slack's escapes. Raises `UsageError`."""
    if HELP.fullmatch(text.strip()):
        return HelpRequest(KILL)
    tokens, reason = _tokens(text)
    if reason is None and len(tokens) == 1 and _first(tokens) == "help":
        return HelpRequest(KILL)
    _refuse_at(tokens)
    is_history = _first(tokens) == "history"
    request = _read_history(tokens[1:], reason) if is_history else _kill(tokens, reason)
    _refuse_long(request)
    return request


def _kill(tokens: Iterable[Token], reason: str | None) -> KillRequest:
    parts = Parts(KILL)
    parts.take(tokens)
    described = next(iter(parts.terms.values()), parts.all)
    if parts.pids and described is not None:
        raise fault(described, "pids and filters can't be combined: use one or the other")
    if not (parts.target or parts.pids or described):
        raise fault("", "say what to end: a pid or a filter")
    return KillRequest(
        target=parts.target or Target(),
        pids=tuple(parts.pids),
        terms=tuple(parts.terms),
        all=parts.all is not None,
        reason=read_reason(reason),
    )


def _read_history(tokens: Iterable[Token], reason: str | None) -> HistoryRequest:
    if reason is not None:
        raise fault("--", f"{HISTORY} takes no reason")
    parts = Parts(HISTORY)
    parts.take(tokens)
    for term, token in parts.terms.items():
        if not (isinstance(term, Match) and term.field in {Field.USENAME, Field.DATNAME}):
            raise fault(token, f"{HISTORY} takes only the filters `user=` and `db=`")
    return HistoryRequest(
        target=parts.target or Target(), terms=tuple(parts.terms), limit=parts.limit
    )


def _without_at(tokens: Sequence[Token]) -> tuple[int | None, list[Token]]:
    """How many seconds ago is asked about, if any, and the other tokens. Raises `UsageError`."""
    found: list[Token] = []
    others: list[Token] = []
    for token in tokens:
        (found if _is_at(token) else others).append(token)
    if len(found) > 1:
        raise fault(found[1].typed, f"`{AT}=` is given twice")
    return (_ago(found[0]), others) if found else (None, others)


def _refuse_at(tokens: Sequence[Token]) -> None:
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


def _ago(token: Token) -> int:
    option = token.option
    assert option is not None  # noqa: S101  the caller has looked
    if option.operator != "=":
        raise fault(token.typed, "use `=`")
    text = (option.value.bare or "").lower()
    read = _AGO.fullmatch(text)
    if read is None or read[2] not in UNITS:
        raise _unclear_ago(token, text)
    seconds = int(read[1]) * UNITS[read[2]]
    if not 1 <= seconds <= MAX_AGO:
        raise fault(token.typed, f"use at=-1s to at=-{MAX_AGO // 60}m: samples go back no further")
    return seconds


def _unclear_ago(token: Token, text: str) -> UsageError:
    age = _AGE.fullmatch(text.lstrip(MINUS))
    unit = (age[2] or "m")[0] if age is not None else ""
    near = (f"{AT}=-{age[1]}{unit}",) if age is not None and unit in "sm" else ()
    return fault(token.typed, f"say how long ago, in seconds or minutes, as in `{AT}=-3m`", near)


def _tokens(text: str) -> tuple[list[Token], str | None]:
    if len(text) > MAX_TEXT:
        raise fault("", f"the command has {len(text)} characters; the limit is {MAX_TEXT}")
    refuse_hidden(text)
    tokens, reason = tokenize(text)
    return join(tokens, _LISTS), reason


def _first(tokens: Sequence[Token]) -> str:
    """The first word, if there is one and it isn't quoted."""
    return (tokens[0].span.bare or "").lower() if tokens else ""


def read_reason(text: str | None) -> str | None:
    """Collapse a reason to one line; everything else in it stays, typographic quotes included.

    None if it is empty. Raises `UsageError` if it has more than `MAX_REASON` characters, or a
    character that can't be seen.
    """
    text = text or ""
    refuse_hidden(text)
    reason = " ".join(text.splitlines()).replace("\t", " ").strip()
    if len(reason) > MAX_REASON:
        raise fault(reason, f"the reason has {len(reason)} characters; the limit is {MAX_REASON}")
    return reason or None


def _refuse_long(request: Asked | KillRequest | HistoryRequest) -> None:
    """Apply MAX_TEXT to the canonical form too: it may be longer than what was typed."""
    if len(str(request)) > MAX_TEXT:
        raise fault("", f"the command, spelled out in full, is longer than {MAX_TEXT} characters")
