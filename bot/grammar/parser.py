"""Command text -> a request for sessions, a kill, the history or help, or `UsageError`.

Pure: no clock, no I/O, no knowledge of which clusters or databases exist. Typed names stay text
here. They are resolved against a server later, and reach it only as parameters.

Every request prints (`str(request)`) to text that parses back to an equal request. `read_sessions`
and `read_kill` read that text, which is as a person types it. Slack escapes what it sends (`>` as
`&gt;`); `parse_sessions` and `parse_kill` read that.
"""

from collections.abc import Callable, Iterable

from bot.grammar import past
from bot.grammar.parts import Parts
from bot.grammar.requests import (
    HELP,
    HISTORY,
    KILL,
    MAX_REASON,
    MAX_TEXT,
    SESSIONS,
    Askable,
    GroupsRequest,
    HelpRequest,
    HistoryRequest,
    HorizonRequest,
    KillRequest,
    PastRequest,
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
from bot.grammar.watching import WatchRequest, watch

_LISTS = frozenset({"by", "columns", "sort"})
_WHY = f"{SESSIONS} why"
_HORIZON = f"{SESSIONS} horizon"
_TREE = f"{SESSIONS} tree"

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
    if len(tokens) == 1 and _starts(tokens, "help"):
        return HelpRequest(SESSIONS)
    ago, tokens = past.taken(tokens)
    present = _read_present(tokens)
    request = present if ago is None else past.then(present, ago)
    _refuse_long(request)
    return request


def _read_present(tokens: list[Token]) -> Askable | WatchRequest:
    for word, read in _FIRST.items():
        if _starts(tokens, word):
            return read(tokens[1:])
    return _read_look(tokens)


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
    if reason is None and len(tokens) == 1 and _starts(tokens, "help"):
        return HelpRequest(KILL)
    past.refuse(tokens)
    is_history = _starts(tokens, "history")
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


def _tokens(text: str) -> tuple[list[Token], str | None]:
    if len(text) > MAX_TEXT:
        raise fault("", f"the command has {len(text)} characters; the limit is {MAX_TEXT}")
    refuse_hidden(text)
    tokens, reason = tokenize(text)
    return join(tokens, _LISTS), reason


def _starts(tokens: list[Token], word: str) -> bool:
    return bool(tokens) and (tokens[0].span.bare or "").lower() == word


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
