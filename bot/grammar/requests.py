"""What a command asks for, and how it is typed: each request prints to text that parses back."""

import re
from dataclasses import dataclass, field
from enum import StrEnum

from bot.grammar.columns import COLUMNS
from bot.grammar.tokens import quote

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

SHORT_STATES = {
    "idle_tx": "idle in transaction",
    "idle_tx_aborted": "idle in transaction (aborted)",
    "fastpath": "fastpath function call",
}

SHORT_TYPES = {"client": "client backend"}

PID_WORD = re.compile("pids?[:#]?", re.IGNORECASE)

PIDS = re.compile(r"[(\[]*(?:pids?[:#])?#?[0-9]+(?:,#?[0-9]+)*[.,;:)\]]*", re.IGNORECASE)
"""Pids as people copy them: out of a sentence, a log's prefix or a ticket."""


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
        taken = database.lower() in RESERVED or is_about_pids(database)
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


_SHORT_VALUES: dict[tuple[Field, str | None], str] = {
    **{(Field.STATE, state): short for short, state in SHORT_STATES.items()},
    **{(Field.BACKEND_TYPE, name): short for short, name in SHORT_TYPES.items()},
}

_SHORT_KEYS = {of: short for short, of in SHORT_NAMES.items()}

RESERVED = frozenset({*Word, "all", "private", "help", "history"})


def _spaced(*words: object) -> str:
    return " ".join(text for word in words if word and (text := str(word)))


def is_about_pids(name: str) -> bool:
    """Whether a word reads as pids, or announces one: as a name it takes quotes."""
    return any(kind.fullmatch(name) for kind in (PIDS, PID_WORD))
