"""Command text -> a request for sessions, a kill, the history or help, or `UsageError`.

Pure: no clock, no I/O, no knowledge of which clusters or databases there are. Names that
were typed stay text here; they are resolved against a server later, and only ever reach
it as parameters.

Every request prints (`str(request)`) to text that parses back to an equal request. That is
text as it was typed: `read_sessions` and `read_kill` take it. What Slack sends is escaped
(`>` as `&gt;`), and goes through `parse_sessions` and `parse_kill`.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from bot.errors import UsageError
from bot.grammar.tokens import (
    Option,
    Span,
    Token,
    distance,
    fault,
    join,
    nearest,
    quote,
    refuse_hidden,
    tokenize,
    unescape,
)

MAX_PIDS = 100
"""Targets that one `/pg-kill` may name: the most that one preview shows."""

MAX_REASON = 500
"""Characters of a kill's reason."""

MAX_TEXT = 1500
"""Characters of a command and of its canonical form, so that this fits a button's value (2000)."""

MAX_PID = 2**31 - 1
"""PostgreSQL keeps a pid in a signed 32-bit integer."""

MAX_LIMIT = 10_000
"""Sessions that `limit=` may ask for."""

MAX_NAME = 63
"""Bytes that PostgreSQL keeps of a name: NAMEDATALEN - 1."""

MAX_SECONDS = 10 * 365 * 86_400
"""The longest age, ten years: far from where an interval or a timestamp overflows."""

SESSIONS = "/pg-sessions"
KILL = "/pg-kill"
HISTORY = "/pg-kill history"


class Field(StrEnum):
    """A column that a filter compares by text; the values are PostgreSQL's names."""

    USENAME = "usename"
    DATNAME = "datname"
    APPLICATION_NAME = "application_name"
    CLIENT_ADDR = "client_addr"
    STATE = "state"
    BACKEND_TYPE = "backend_type"
    WAIT_EVENT = "wait_event"  # the event or its type: `wait=Lock` and `wait=transactionid`


SHORT_NAMES: dict[str, Field] = {
    "user": Field.USENAME,
    "db": Field.DATNAME,
    "app": Field.APPLICATION_NAME,
    "client": Field.CLIENT_ADDR,
    "state": Field.STATE,
    "type": Field.BACKEND_TYPE,
    "wait": Field.WAIT_EVENT,
}
"""What people type for a column; the column's own name is taken as well."""


class AgeOf(StrEnum):
    """The instant that an age is counted from."""

    AGE = "age"  # backend_start
    XACT = "xact"  # xact_start
    QUERY = "query"  # query_start, while active
    IDLE = "idle"  # state_change, while idle (in a transaction or not)


class Word(StrEnum):
    """A filter that is one word."""

    BLOCKED = "blocked"  # waits for a lock that another backend holds or awaits
    BLOCKING = "blocking"  # another backend waits for it


@dataclass(frozen=True, slots=True)
class Pattern:
    """A name, or a glob: literal parts with a `*` between each two.

    `("web",)` is the name itself, `("web", "")` is `web*`, `("", "")` is `*`. A `*` inside
    quotes is a literal one.
    """

    parts: tuple[str, ...]

    @property
    def exact(self) -> str | None:
        """The one name that it stands for, or None for a glob."""
        return self.parts[0] if len(self.parts) == 1 else None

    def matches(self, text: str) -> bool:
        """Whether the text is one that it stands for, in time linear in the text.

        A regular expression of many `*` would backtrack for ages.
        """
        if self.exact is not None:
            return text == self.exact
        first, *middle, last = self.parts
        if len(text) < len(first) + len(last) or not text.startswith(first):
            return False
        at, end = len(first), len(text) - len(last)
        for part in middle:
            found = text.find(part, at, end)
            if found < 0:
                return False
            at = found + len(part)
        return text.endswith(last)

    def __str__(self) -> str:
        if self.parts == ("",):
            return quote("")
        return "*".join(quote(part) if part else "" for part in self.parts)


@dataclass(frozen=True, slots=True)
class Match:
    """`user=web*`, `state!=idle`: a column compared with a pattern.

    For `CLIENT_ADDR` an exact pattern is an address or a network in CIDR notation, checked
    by the parser. For `STATE` an exact pattern is one of PostgreSQL's states (the short
    forms of the grammar are already spelled out). The empty name only stands for an
    `application_name` that its client has not set (`app=""`).
    """

    field: Field
    pattern: Pattern
    negated: bool = False

    def __str__(self) -> str:
        value = _SHORT_VALUES.get((self.field, self.pattern.exact)) or str(self.pattern)
        return f"{_SHORT_KEYS[self.field]}{'!=' if self.negated else '='}{value}"


@dataclass(frozen=True, slots=True)
class Aged:
    """`xact>5m`: older (or, with `older=False`, younger) than a number of seconds."""

    of: AgeOf
    seconds: int
    older: bool = True

    def __str__(self) -> str:
        units = ((86_400, "d"), (3600, "h"), (60, "m"))
        whole = (u for u in units if self.seconds and self.seconds % u[0] == 0)
        length, unit = next(whole, (1, "s"))
        return f"{self.of}{'>' if self.older else '<'}{self.seconds // length}{unit}"


Term = Match | Aged | Word
"""One condition; all of a request's terms must hold."""


@dataclass(frozen=True, slots=True)
class Target:
    """`some_db`, `prod/some_db`, `prod/` or nothing: where a command looks."""

    cluster: str | None = None
    database: str | None = None

    def __str__(self) -> str:
        database = self.database
        if self.cluster is not None:
            name = "" if database is None else quote(database, special="/")
            return f"{quote(self.cluster, special='/')}/{name}"
        if database is None:
            return ""
        taken = database.lower() in _RESERVED or _is_about_pids(database)
        return quote(database, special="/", always=taken)


@dataclass(frozen=True, slots=True)
class SortKey:
    """`sort=xact_age` or `sort=-xact_age` (descending)."""

    column: str
    descending: bool = False

    def __str__(self) -> str:
        return f"{'-' if self.descending else ''}{self.column}"


@dataclass(frozen=True, slots=True)
class SessionsRequest:
    """`/pg-sessions [target] [filters] [view]`."""

    target: Target = field(default_factory=Target)
    pids: tuple[int, ...] = ()
    terms: tuple[Term, ...] = ()
    all: bool = False
    columns: tuple[str, ...] = ()  # empty: the default ones
    sort: tuple[SortKey, ...] = ()  # empty: what hurts most first
    limit: int | None = None
    private: bool = False

    def __str__(self) -> str:
        columns = "all" if self.columns == COLUMNS else ",".join(self.columns)
        return _spaced(
            self.target,
            *self.pids,
            *self.terms,
            self.all and "all",
            columns and f"columns={columns}",
            self.sort and f"sort={','.join(map(str, self.sort))}",
            self.limit and f"limit={self.limit}",
            self.private and "private",
        )


@dataclass(frozen=True, slots=True)
class KillRequest:
    """`/pg-kill [target] pid… | filters [-- reason]`."""

    target: Target = field(default_factory=Target)
    pids: tuple[int, ...] = ()
    terms: tuple[Term, ...] = ()
    all: bool = False
    reason: str | None = None

    def __str__(self) -> str:
        reason = self.reason and f"-- {self.reason}"
        return _spaced(self.target, *self.pids, *self.terms, self.all and "all", reason)


@dataclass(frozen=True, slots=True)
class HistoryRequest:
    """`/pg-kill history [target] [filters] [number]`; `limit` is how many kills a page has."""

    target: Target = field(default_factory=Target)
    terms: tuple[Term, ...] = ()
    limit: int | None = None

    def __str__(self) -> str:
        return _spaced("history", self.target, *self.terms, self.limit)


@dataclass(frozen=True, slots=True)
class HelpRequest:
    """`/pg-sessions help` or `/pg-kill help`; `command` is `SESSIONS` or `KILL`."""

    command: str

    def __str__(self) -> str:
        return "help"


ACTIVITY_COLUMNS: tuple[str, ...] = (
    "datid",
    "datname",
    "pid",
    "leader_pid",
    "usesysid",
    "usename",
    "application_name",
    "client_addr",
    "client_hostname",
    "client_port",
    "backend_start",
    "xact_start",
    "query_start",
    "state_change",
    "wait_event_type",
    "wait_event",
    "state",
    "backend_xid",
    "backend_xmin",
    "query_id",
    "query",
    "backend_type",
)
"""The columns of `pg_stat_activity`, the same 22 from PostgreSQL 14 to 18, in its order."""

DERIVED_COLUMNS: tuple[str, ...] = ("blocked_by", "age", "xact_age", "query_age", "state_age")
"""What the bot adds to them."""

COLUMNS: tuple[str, ...] = ACTIVITY_COLUMNS + DERIVED_COLUMNS

STATES: tuple[str, ...] = (
    "active",
    "idle",
    "idle in transaction",
    "idle in transaction (aborted)",
    "fastpath function call",
    "disabled",
    "starting",
)
"""Every value of `pg_stat_activity.state` (PostgreSQL's documentation, 27.2.3); `starting`
from 18 on."""

BACKEND_TYPES: tuple[str, ...] = (
    "archiver",
    "autovacuum launcher",
    "autovacuum worker",
    "background worker",
    "background writer",
    "checkpointer",
    "client backend",
    "dead-end client backend",
    "io worker",
    "logger",
    "logical replication apply worker",
    "logical replication launcher",
    "logical replication parallel worker",
    "logical replication tablesync worker",
    "logical replication worker",
    "parallel worker",
    "slotsync worker",
    "standalone backend",
    "startup",
    "stats collector",
    "walreceiver",
    "walsender",
    "walsummarizer",
    "walwriter",
)
"""PostgreSQL's own values of `pg_stat_activity.backend_type`, 14 to 18.

From `GetBackendTypeDesc` and the names of its own background workers. An extension's workers
show whatever it calls them.
"""

WAIT_EVENT_TYPES: tuple[str, ...] = (
    "Activity",
    "BufferPin",
    "Client",
    "Extension",
    "IO",
    "IPC",
    "InjectionPoint",
    "LWLock",
    "Lock",
    "Timeout",
)
"""Every value of `pg_stat_activity.wait_event_type` (PostgreSQL's documentation, table 27.4)."""

_WAIT_EVENT_TYPES = {name.lower(): name for name in WAIT_EVENT_TYPES}
_STATES = {
    "idle_tx": "idle in transaction",
    "idle_tx_aborted": "idle in transaction (aborted)",
    "fastpath": "fastpath function call",
}
_TYPES = {"client": "client backend"}
_SHORT_VALUES: dict[tuple[Field, str | None], str] = {
    **{(Field.STATE, state): short for short, state in _STATES.items()},
    **{(Field.BACKEND_TYPE, name): short for short, name in _TYPES.items()},
}
_SHORT_KEYS = {of: short for short, of in SHORT_NAMES.items()}
_FIELDS = {
    **SHORT_NAMES,
    **{of.value: of for of in Field},
    "wait_event_type": Field.WAIT_EVENT,
}
_AGES = {of.value: of for of in AgeOf}
_LISTS = frozenset({"columns", "sort"})
_VIEW = ("columns", "sort", "limit")
_RESERVED = frozenset({*Word, "all", "private", "help", "history"})
_PID_KEYS = frozenset({"pid", "pids"})
_PID_WORD = re.compile("pids?[:#]?", re.IGNORECASE)
_PIDS = re.compile(r"[(\[]*(?:pids?[:#])?#?[0-9]+(?:,#?[0-9]+)*[.,;:)\]]*", re.IGNORECASE)
"""Pids as people copy them: out of a sentence, a log's prefix or a ticket."""
_DURATION = re.compile(r"(?:[0-9]+[a-z]+)+")
_UNITS = {
    name: seconds
    for seconds, names in (
        (1, "s sec secs second seconds"),
        (60, "m min mins minute minutes"),
        (3600, "h hr hrs hour hours"),
        (86_400, "d day days"),
    )
    for name in names.split()
}


_HELP = re.compile(r"(?:--?|[–—−])(?:help|h)|\?")
"""What other programs take for a wish for help, phones' dashes included."""

_MINUS = "-–—−"
"""What a keyboard makes of a minus."""


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
        raise fault("--", f"a reason belongs to {KILL}")
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
        raise fault(
            described, "pids and filters don't go together: name the sessions by one of them"
        )
    if not (parts.target or parts.pids or described):
        raise fault("", "what to end is missing: a pid or a filter")
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
            raise fault(token, f"{HISTORY} is filtered by user= and db= alone")
    request = HistoryRequest(
        target=parts.target or Target(), terms=tuple(parts.terms), limit=parts.limit
    )
    _refuse_long(request)
    return request


def _tokens(text: str) -> tuple[list[Token], str | None]:
    if len(text) > MAX_TEXT:
        raise fault("", f"the command has {len(text)} characters; {MAX_TEXT} is the most")
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
        raise fault(reason, f"the reason has {len(reason)} characters; {MAX_REASON} is the most")
    return reason or None


def _refuse_long(request: SessionsRequest | KillRequest | HistoryRequest) -> None:
    """Hold the canonical form to MAX_TEXT too: it may be longer than what was typed."""
    if len(str(request)) > MAX_TEXT:
        raise fault("", f"the command spelled out is longer than {MAX_TEXT} characters")


def _spaced(*words: object) -> str:
    return " ".join(text for word in words if word and (text := str(word)))


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
            if bare is not None and _PIDS.fullmatch(bare):
                self._take_pids(bare)
                announced = None
            elif announced is not None:
                break
            elif (option := token.option) is not None:
                self._take_option(token, option)
            elif bare is not None and _PID_WORD.fullmatch(bare):
                announced = token
            elif bare is not None and bare.lower() in _RESERVED:
                self._take_word(token, bare.lower())
            else:
                self._take_target(token)
        if announced is not None:
            problem = "a number belongs behind it; a database of that name takes quotes"
            raise fault(announced.typed, problem)

    def _take_option(self, token: Token, option: Option) -> None:
        key = (option.key.bare or "").lower()
        if key in _PID_KEYS:
            value = option.value.bare or ""
            if option.operator != "=" or not _PIDS.fullmatch(value):
                raise fault(token.typed, "a pid is a number by itself, or behind `pid=`")
            self._take_pids(value)
        elif key in _FIELDS:
            self.terms[_match(token, option, _FIELDS[key])] = token.typed
        elif key in _AGES:
            self.terms[_aged(token, option, _AGES[key])] = token.typed
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
                    raise fault(token.typed, f"{HISTORY} shows all kills of its target anyway")
                self.all = token.typed
            case "private":
                self._refuse_view(token)
                self.private = True
            case "history":
                raise fault(token.typed, f"the record of kills is `{HISTORY}`")
            case _:
                raise fault(token.typed, "stands alone")

    def _take_pids(self, bare: str) -> None:
        if self.command == HISTORY:
            if not bare.isdecimal() or self.limit is not None or int(bare) > MAX_LIMIT:
                raise fault(bare, f"{HISTORY} takes one number, of kills; no pids")
            self.limit = _number(bare, bare)
            return
        for word in re.findall("[0-9]+", bare):
            if not 1 <= int(word) <= MAX_PID:
                raise fault(word, f"a pid is a number from 1 to {MAX_PID}")
            self.pids[int(word)] = None
            if self.command == KILL and len(self.pids) > MAX_PIDS:
                raise fault(word, f"one pid too many: {MAX_PIDS} is the most")

    def _take_target(self, token: Token) -> None:
        if token.typed in _MINUS and self.command == KILL:
            raise fault(token.typed, "a reason goes behind two of them", ("--",))
        if self.target is not None:
            near = self._meant_for(token)
            problem = "a second target; there can be one, and names with spaces need quotes"
            if self.command == KILL:
                problem += "; a reason goes behind `--`"
            raise fault(token.typed, problem, near)
        self.target = _target(token)

    def _meant_for(self, token: Token) -> tuple[str, ...]:
        """What may have been meant by a word that reads as a second target."""
        first = (self.target and self.target.database) or ""
        if (column := SHORT_NAMES.get(first.lower())) is not None and token.span.bare:
            return (str(Match(column, Pattern((token.span.bare,)))),)
        bare = (token.span.bare or "").lower()
        return state_filter(bare) or nearest(bare, sorted(_RESERVED))

    def _take_view(self, token: Token, option: Option, key: str) -> None:
        self._refuse_view(token)
        if option.operator != "=":
            raise fault(token.typed, "use `=`")
        if not option.value.plain:
            raise fault(token.typed, "its value is missing")
        if getattr(self, key):
            raise fault(token.typed, f"`{key}=` was given before")
        match key:
            case "columns":
                self.columns = _columns(token, option.value)
            case "sort":
                self.sort = _sort(token, option.value)
            case _:
                self.limit = _limit(token, option.value)

    def _refuse_view(self, token: Token) -> None:
        if self.command != SESSIONS:
            raise fault(token.typed, f"belongs to {SESSIONS}")


def _is_about_pids(name: str) -> bool:
    return any(kind.fullmatch(name) for kind in (_PIDS, _PID_WORD))


def state_filter(word: str) -> tuple[str, ...]:
    """The filter that a state's name by itself may stand for: `idle_tx` for `state=idle_tx`."""
    state = _STATES.get(word, word.replace("_", " "))
    return (str(Match(Field.STATE, Pattern((state,)))),) if state in STATES else ()


def _target(token: Token) -> Target:
    plain = token.span.plain
    if "*" in plain:
        raise fault(token.typed, "a target is one name, no glob; `db=` takes globs")
    if "," in plain:
        raise fault(token.typed, "a target is one name; a `,` in it needs quotes")
    *before, last = token.span.split("/")
    if len(before) > 1:
        raise fault(token.typed, "a target is `cluster/database`; a further `/` needs quotes")
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
        return fault(token.typed, f"what goes before `{option.operator}` is missing")
    if option.key.bare is None:
        return fault(token.typed, "a filter's name takes no quotes")
    key = option.key.bare.lower()
    valid = dict.fromkeys(_FIELDS, "=") | dict.fromkeys(_AGES, ">")
    if command == SESSIONS:
        valid |= dict.fromkeys(_VIEW, "=")
    near = tuple(f"{name}{valid[name]}" for name in nearest(key, valid))
    return fault(token.typed, "no such filter", near)


def _value(token: Token, value: Span) -> Span:
    """Return the value of a filter that holds nothing that could be a slip."""
    if not value.plain:
        raise fault(token.typed, "its value is missing")
    if slip := re.search("[=<>]", value.plain):
        raise fault(token.typed, f"a `{slip[0]}` in a value needs quotes")
    if "," in value.plain:
        raise fault(token.typed, "a filter takes one value; a `,` in it needs quotes")
    return value


def _match(token: Token, option: Option, of: Field) -> Match:
    if option.operator not in {"=", "!="}:
        raise fault(token.typed, "use `=` or `!=`")
    first, *rest = (part.value for part in _value(token, option.value).split("*"))
    middle = (part for part in rest[:-1] if part)
    match = Match(of, Pattern((first, *middle, *rest[-1:])), option.operator == "!=")
    match of:
        case Field.STATE:
            return _state(token, match)
        case Field.BACKEND_TYPE:
            return _backend_type(token, match)
        case Field.CLIENT_ADDR:
            return _client_addr(token, match)
        case Field.APPLICATION_NAME:
            return _application_name(token, match)
        case Field.USENAME | Field.DATNAME | Field.WAIT_EVENT:
            if match.pattern.exact == "":
                raise fault(token.typed, "the name is empty")
            if of is Field.WAIT_EVENT:
                known = _WAIT_EVENT_TYPES.get((match.pattern.exact or "").lower())
                return match if known is None else _with(match, Pattern((known,)))
            return match


def _state(token: Token, match: Match) -> Match:
    pattern = _lower(match.pattern)
    if pattern.exact is None:
        if not any(pattern.matches(state) for state in STATES):
            raise fault(token.typed, "no state is like that")
        return _with(match, pattern)
    state = _STATES.get(pattern.exact, pattern.exact.replace("_", " "))
    if state not in STATES:
        near = nearest(pattern.exact, (*STATES, *_STATES))
        raise fault(token.typed, "no such state", _printed(match, near))
    return _with(match, Pattern((state,)))


def _backend_type(token: Token, match: Match) -> Match:
    """Take a type that nobody knows for an extension's worker, unless it looks like a slip."""
    pattern = _lower(match.pattern)
    if pattern.exact is None:
        known = any(pattern.matches(name) for name in BACKEND_TYPES)
        return _with(match, pattern) if known else match
    if not pattern.exact:
        raise fault(token.typed, "the name is empty")
    name = _TYPES.get(pattern.exact, pattern.exact.replace("_", " "))
    if name in BACKEND_TYPES:
        return _with(match, Pattern((name,)))
    near = [t for t in (*BACKEND_TYPES, *_TYPES) if distance(pattern.exact, t) <= 2]
    if near:
        problem = "no such type; an extension's worker by that name is found with a `*`"
        raise fault(token.typed, problem, _printed(match, near))
    return match


def _application_name(token: Token, match: Match) -> Match:
    """Refuse what no session shows: a filter would match none, and its negation every one."""
    parts = match.pattern.parts
    if not all(part.isascii() and part.isprintable() for part in parts):
        first, *rest = (piece for part in parts for piece in re.split("[^ -~]+", part))
        ascii_only = Pattern((first, *(piece for piece in rest[:-1] if piece), *rest[-1:]))
        problem = "PostgreSQL keeps only ASCII of an application_name; put `*` for the rest"
        raise fault(token.typed, problem, (str(_with(match, ascii_only)),))
    if sum(map(len, parts)) > MAX_NAME:
        shorter = Pattern((parts[0][:MAX_NAME],))
        near = (str(_with(match, shorter)),) if match.pattern.exact else ()
        raise fault(token.typed, f"PostgreSQL keeps {MAX_NAME} bytes of an application_name", near)
    return match


def _client_addr(token: Token, match: Match) -> Match:
    pattern = _lower(match.pattern)
    if pattern.exact is None:
        if not all(re.fullmatch("[0-9a-f.:]*", part) for part in pattern.parts):
            raise fault(token.typed, "a glob of addresses has digits, dots and colons only")
        return _with(match, pattern)
    try:
        interface = ipaddress.ip_interface(pattern.exact)
    except ValueError:
        raise fault(token.typed, "use an address, a network or a glob") from None
    if "%" in pattern.exact:
        raise fault(token.typed, "PostgreSQL shows addresses without a zone (`%`)")
    if "/" not in pattern.exact:
        return _with(match, Pattern((str(interface.ip),)))
    network = _with(match, Pattern((str(interface.network),)))
    if interface.ip != interface.network.network_address:
        raise fault(token.typed, "the address goes on behind its network's bits", (str(network),))
    return network


def _lower(pattern: Pattern) -> Pattern:
    return Pattern(tuple(part.lower() for part in pattern.parts))


def _with(match: Match, pattern: Pattern) -> Match:
    return Match(match.field, pattern, match.negated)


def _printed(match: Match, names: Iterable[str]) -> tuple[str, ...]:
    """Return the filter with each of these values instead of its own, without repeats."""
    return tuple(dict.fromkeys(str(_with(match, Pattern((name,)))) for name in names))


def _aged(token: Token, option: Option, of: AgeOf) -> Aged:
    if option.operator not in {"<", ">"}:
        raise fault(token.typed, "is an age: use `>` or `<`")
    text = _value(token, option.value).value.lower()
    if not _DURATION.fullmatch(text):
        if re.fullmatch("[0-9]+", text):
            raise fault(token.typed, "a number needs its unit right behind it, as in `5m`")
        raise fault(token.typed, "use whole numbers and units, such as `90s`, `5m` or `1h30m`")
    seconds = 0
    for number, unit in re.findall("([0-9]+)([a-z]+)", text):
        if unit not in _UNITS:
            raise fault(token.typed, "no such unit; there are `s`, `m`, `h` and `d`")
        seconds += int(number) * _UNITS[unit]
    if seconds > MAX_SECONDS:
        raise fault(token.typed, "ten years is the most")
    return Aged(of, seconds, option.operator == ">")


def _names(token: Token, value: Span) -> list[str]:
    names = [part.value for part in value.split(",")]
    if not all(names):
        raise fault(token.typed, "a name beside a `,` is missing")
    return names


def _column(name: str) -> str:
    column = name.lower()
    if column not in COLUMNS:
        short = SHORT_NAMES.get(column)
        raise fault(name, "no such column", (short.value,) if short else nearest(column, COLUMNS))
    return column


def _columns(token: Token, value: Span) -> tuple[str, ...]:
    names = _names(token, value)
    if len(names) == 1 and names[0].lower() == "all":
        return COLUMNS
    columns = tuple(map(_column, names))
    _refuse_repeats(columns)
    return columns


def _sort(token: Token, value: Span) -> tuple[SortKey, ...]:
    keys = tuple(
        SortKey(_column(name[name[0] in _MINUS :]), name[0] in _MINUS)
        for name in _names(token, value)
    )
    _refuse_repeats(tuple(key.column for key in keys))
    return keys


def _refuse_repeats(columns: tuple[str, ...]) -> None:
    for column in columns:
        if columns.count(column) > 1:
            raise fault(column, "this column is named twice")


def _limit(token: Token, value: Span) -> int:
    return _number(value.value, token.typed)


def _number(digits: str, typed: str) -> int:
    if not re.fullmatch("[0-9]+", digits) or not 1 <= int(digits) <= MAX_LIMIT:
        raise fault(typed, f"use a number from 1 to {MAX_LIMIT}")
    return int(digits)
