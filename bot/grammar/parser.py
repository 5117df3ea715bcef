"""Command text -> a request for sessions, a kill, the history or help, or `UsageError`.

Pure: no clock, no I/O, no knowledge of which clusters or databases there are. Names that
were typed stay text here; they are resolved against a server later, and only ever reach
it as parameters.

Every request prints (`str(request)`) to text that parses back to an equal request. That is
text as it was typed: `read_sessions` and `read_kill` take it. What Slack sends is escaped
(`>` as `&gt;`), and goes through `parse_sessions` and `parse_kill`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from bot.errors import UsageError
from bot.grammar.requests import (
    HISTORY,
    KILL,
    MAX_LIMIT,
    MAX_PID,
    MAX_PIDS,
    MAX_REASON,
    MAX_TEXT,
    PID_WORD,
    PIDS,
    RESERVED,
    SESSIONS,
    SHORT_NAMES,
    AgeOf,
    Field,
    HelpRequest,
    HistoryRequest,
    KillRequest,
    Match,
    Pattern,
    SessionsRequest,
    SortKey,
    Target,
    Term,
    Word,
)
from bot.grammar.suggest import nearest
from bot.grammar.tokens import (
    Option,
    Token,
    fault,
    join,
    refuse_hidden,
    tokenize,
    unescape,
)
from bot.grammar.values import (
    MINUS,
    read_age,
    read_columns,
    read_limit,
    read_match,
    read_number,
    read_sort,
    state_filter,
)

_FIELDS = {
    **SHORT_NAMES,
    **{of.value: of for of in Field},
    "wait_event_type": Field.WAIT_EVENT,
}
_AGES = {of.value: of for of in AgeOf}
_LISTS = frozenset({"columns", "sort"})
_VIEW = ("columns", "sort", "limit")
_PID_KEYS = frozenset({"pid", "pids"})

_HELP = re.compile(r"(?:--?|[–—−])(?:help|h)|\?")
"""What other programs take for a wish for help, phones' dashes included."""


def parse_sessions(text: str) -> SessionsRequest | HelpRequest:
    """Read the text of `/pg-sessions`, as Slack sent it. Raises `UsageError`."""
    return read_sessions(unescape(text))


def parse_kill(text: str) -> KillRequest | HistoryRequest | HelpRequest:
    """Read the text of `/pg-kill`, as Slack sent it. Raises `UsageError`."""
    return read_kill(unescape(text))


def read_sessions(text: str) -> SessionsRequest | HelpRequest:
    """Read the text of `/pg-sessions` without Slack's escapes. Raises `UsageError`."""
    if _HELP.fullmatch(text.strip().lower()):
        return HelpRequest(SESSIONS)
    tokens, reason = _tokens(text)
    if reason is not None:
        raise fault("--", f"only {KILL} takes a reason")
    if len(tokens) == 1 and _starts(tokens, "help"):
        return HelpRequest(SESSIONS)
    parts = _Parts(SESSIONS)
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
    _refuse_long(request)
    return request


def read_kill(text: str) -> KillRequest | HistoryRequest | HelpRequest:
    """Read the text of `/pg-kill` without Slack's escapes. Raises `UsageError`."""
    if _HELP.fullmatch(text.strip().lower()):
        return HelpRequest(KILL)
    tokens, reason = _tokens(text)
    if reason is None and len(tokens) == 1 and _starts(tokens, "help"):
        return HelpRequest(KILL)
    if _starts(tokens, "history"):
        return _read_history(tokens[1:], reason)
    parts = _Parts(KILL)
    parts.take(tokens)
    described = next(iter(parts.terms.values()), parts.all)
    if parts.pids and described is not None:
        raise fault(described, "pids and filters can't be combined: use one or the other")
    if not (parts.target or parts.pids or described):
        raise fault("", "say what to end: a pid or a filter")
    request = KillRequest(
        target=parts.target or Target(),
        pids=tuple(parts.pids),
        terms=tuple(parts.terms),
        all=parts.all is not None,
        reason=read_reason(reason),
    )
    _refuse_long(request)
    return request


def _read_history(tokens: Iterable[Token], reason: str | None) -> HistoryRequest:
    if reason is not None:
        raise fault("--", f"{HISTORY} takes no reason")
    parts = _Parts(HISTORY)
    parts.take(tokens)
    for term, token in parts.terms.items():
        if not (isinstance(term, Match) and term.field in {Field.USENAME, Field.DATNAME}):
            raise fault(token, f"{HISTORY} takes only the filters `user=` and `db=`")
    request = HistoryRequest(
        target=parts.target or Target(), terms=tuple(parts.terms), limit=parts.limit
    )
    _refuse_long(request)
    return request


def _tokens(text: str) -> tuple[list[Token], str | None]:
    if len(text) > MAX_TEXT:
        raise fault("", f"the command has {len(text)} characters; the limit is {MAX_TEXT}")
    refuse_hidden(text)
    tokens, reason = tokenize(text)
    return join(tokens, _LISTS), reason


def _starts(tokens: list[Token], word: str) -> bool:
    return bool(tokens) and (tokens[0].span.bare or "").lower() == word


def read_reason(text: str | None) -> str | None:
    """Make one line of a reason; what was typed in it stays, typographic quotes included.

    None if it says nothing. Raises `UsageError` for one of more than `MAX_REASON` characters,
    or with a character that can't be seen.
    """
    refuse_hidden(text or "")
    reason = " ".join((text or "").splitlines()).replace("\t", " ").strip()
    if len(reason) > MAX_REASON:
        raise fault(reason, f"the reason has {len(reason)} characters; the limit is {MAX_REASON}")
    return reason or None


def _refuse_long(request: SessionsRequest | KillRequest | HistoryRequest) -> None:
    """Hold the canonical form to MAX_TEXT too: it may be longer than what was typed."""
    if len(str(request)) > MAX_TEXT:
        raise fault("", f"the command, spelled out in full, is longer than {MAX_TEXT} characters")


@dataclass(slots=True)
class _Parts:
    """A command's tokens, sorted into the parts of a request.

    `pids` and `terms` are ordered sets. What a later check may have to name is kept with its
    text as it was typed: `terms` by term, and `all`.
    """

    command: str
    target: Target | None = None
    pids: dict[int, None] = field(default_factory=dict)
    terms: dict[Term, str] = field(default_factory=dict)
    all: str | None = None
    columns: tuple[str, ...] = ()
    sort: tuple[SortKey, ...] = ()
    limit: int | None = None
    private: bool = False

    def take(self, tokens: Iterable[Token]) -> None:
        announced: Token | None = None  # the word `pid`, which a number follows
        for token in tokens:
            bare = token.span.bare
            if bare is not None and PIDS.fullmatch(bare):
                self._take_pids(bare)
                announced = None
            elif announced is not None:
                break
            elif (option := token.option) is not None:
                self._take_option(token, option)
            elif bare is not None and PID_WORD.fullmatch(bare):
                announced = token
            elif bare is not None and bare.lower() in RESERVED:
                self._take_word(token, bare.lower())
            else:
                self._take_target(token)
        if announced is not None:
            problem = "a number must follow it; a database of that name needs quotes"
            raise fault(announced.typed, problem)

    def _take_option(self, token: Token, option: Option) -> None:
        key = (option.key.bare or "").lower()
        if key in _PID_KEYS:
            value = option.value.bare or ""
            if option.operator != "=" or not PIDS.fullmatch(value):
                raise fault(token.typed, "a pid is a number, by itself or after `pid=`")
            self._take_pids(value)
        elif key in _FIELDS:
            self.terms[read_match(token, option, _FIELDS[key])] = token.typed
        elif key in _AGES:
            self.terms[read_age(token, option, _AGES[key])] = token.typed
        elif key in _VIEW:
            self._take_view(token, option, key)
        else:
            raise _no_such_filter(token, option, self.command)

    def _take_word(self, token: Token, word: str) -> None:
        match word:
            case "blocked" | "blocking":
                self.terms[Word(word)] = token.typed
            case "all":
                if self.command == HISTORY:
                    raise fault(token.typed, f"{HISTORY} already shows all kills of its target")
                self.all = token.typed
            case "private":
                self._refuse_view(token)
                self.private = True
            case "history":
                raise fault(token.typed, f"for the record of kills, use `{HISTORY}`")
            case _:
                raise fault(token.typed, "must be the only word")

    def _take_pids(self, bare: str) -> None:
        if self.command == HISTORY:
            if not bare.isdecimal() or self.limit is not None or int(bare) > MAX_LIMIT:
                raise fault(bare, f"{HISTORY} takes one number, of kills, and no pids")
            self.limit = read_number(bare, bare)
            return
        for word in re.findall("[0-9]+", bare):
            if not 1 <= int(word) <= MAX_PID:
                raise fault(word, f"a pid is a number from 1 to {MAX_PID}")
            self.pids[int(word)] = None
            if self.command == KILL and len(self.pids) > MAX_PIDS:
                raise fault(word, f"one pid too many: the limit is {MAX_PIDS}")

    def _take_target(self, token: Token) -> None:
        if token.typed in MINUS and self.command == KILL:
            raise fault(token.typed, "a reason comes after two dashes", ("--",))
        if self.target is not None:
            near = self._meant_for(token)
            problem = "a second target; there can be only one, and a name with spaces needs quotes"
            if self.command == KILL:
                problem += "; a reason comes after `--`"
            raise fault(token.typed, problem, near)
        self.target = _target(token)

    def _meant_for(self, token: Token) -> tuple[str, ...]:
        """What may have been meant by a word that reads as a second target."""
        first = (self.target and self.target.database) or ""
        if (column := SHORT_NAMES.get(first.lower())) is not None and token.span.bare:
            return (str(Match(column, Pattern((token.span.bare,)))),)
        bare = (token.span.bare or "").lower()
        return state_filter(bare) or nearest(bare, sorted(RESERVED))

    def _take_view(self, token: Token, option: Option, key: str) -> None:
        self._refuse_view(token)
        if option.operator != "=":
            raise fault(token.typed, "use `=`")
        if not option.value.plain:
            raise fault(token.typed, "its value is missing")
        if getattr(self, key):
            raise fault(token.typed, f"`{key}=` is given twice")
        match key:
            case "columns":
                self.columns = read_columns(token, option.value)
            case "sort":
                self.sort = read_sort(token, option.value)
            case _:
                self.limit = read_limit(token, option.value)

    def _refuse_view(self, token: Token) -> None:
        if self.command != SESSIONS:
            raise fault(token.typed, f"only {SESSIONS} takes this")


def _target(token: Token) -> Target:
    plain = token.span.plain
    if "*" in plain:
        raise fault(token.typed, "a target is one name, not a glob; `db=` takes globs")
    if "," in plain:
        raise fault(token.typed, "a target is one name; a `,` in it needs quotes")
    *before, last = token.span.split("/")
    if len(before) > 1:
        raise fault(token.typed, "a target is `cluster/database`; another `/` needs quotes")
    cluster = before[0].value.lower() if before else None
    if cluster == "":
        raise fault(token.typed, "the cluster before `/` is missing")
    if cluster is not None and not last.plain:
        return Target(cluster)
    if not last.value:
        raise fault(token.typed, "the name is empty")
    return Target(cluster, last.value)


def _no_such_filter(token: Token, option: Option, command: str) -> UsageError:
    if not option.key.plain:
        return fault(token.typed, f"the filter's name before `{option.operator}` is missing")
    if option.key.bare is None:
        return fault(token.typed, "a filter's name takes no quotes")
    key = option.key.bare.lower()
    valid = dict.fromkeys(_FIELDS, "=") | dict.fromkeys(_AGES, ">")
    if command == SESSIONS:
        valid |= dict.fromkeys(_VIEW, "=")
    near = tuple(f"{name}{valid[name]}" for name in nearest(key, valid))
    return fault(token.typed, "no such filter", near)
