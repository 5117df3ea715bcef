"""Filters as typed: what a session must be like. Each prints to text that parses back to it."""

from dataclasses import dataclass
from enum import StrEnum

from bot.grammar.tokens import quote

TAG = "tag."
"""What precedes a query tag's key in a filter."""

SHORT_STATES = {
    "idle_tx": "idle in transaction",
    "idle_tx_aborted": "idle in transaction (aborted)",
    "fastpath": "fastpath function call",
}

SHORT_TYPES = {"client": "client backend"}


class Field(StrEnum):
    """A column that a filter compares as text; the values are PostgreSQL's names."""

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
"""What people type for a column; its own name works too."""


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
    """A name, or a glob: literal parts with a `*` between them.

    `("web",)` is the name itself, `("web", "")` is `web*`, `("", "")` is `*`. A `*` inside quotes
    is a literal one.
    """

    parts: tuple[str, ...]

    @property
    def exact(self) -> str | None:
        """The one name that it matches, or None for a glob."""
        return self.parts[0] if len(self.parts) == 1 else None

    def matches(self, text: str) -> bool:
        """Whether it matches the text, in time linear in the text.

        A regular expression with many `*` could backtrack for a very long time.
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

    For `CLIENT_ADDR` an exact pattern is an address, or a network in CIDR notation, which the
    parser has checked. For `STATE` an exact pattern is one of PostgreSQL's states, already spelled
    out in full. An empty name matches only an `application_name` that its client has not set
    (`app=""`).
    """

    field: Field
    pattern: Pattern
    negated: bool = False

    def __str__(self) -> str:
        value = _SHORT_VALUES.get((self.field, self.pattern.exact)) or str(self.pattern)
        return f"{KEYS[self.field]}{'!=' if self.negated else '='}{value}"


@dataclass(frozen=True, slots=True)
class Tagged:
    """`tag.job=Mailer*`: a query tag compared with a pattern. Only for looks."""

    key: str
    pattern: Pattern
    negated: bool = False

    def __str__(self) -> str:
        return f"{TAG}{self.key}{'!=' if self.negated else '='}{self.pattern}"


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


Term = Match | Tagged | Aged | Word
"""One condition; a session must meet all of a request's terms."""

_SHORT_VALUES: dict[tuple[Field, str | None], str] = {
    **{(Field.STATE, state): short for short, state in SHORT_STATES.items()},
    **{(Field.BACKEND_TYPE, name): short for short, name in SHORT_TYPES.items()},
}

KEYS = {of: short for short, of in SHORT_NAMES.items()}
