"""What a command asks for. Each request prints to text that parses back to it."""

import re
from dataclasses import dataclass, field
from typing import ClassVar

from bot.grammar.columns import COLUMNS
from bot.grammar.terms import KEYS, Field, Match, Term, Word
from bot.grammar.tokens import quote

MAX_PIDS = 100
"""The most targets that one `/pg-kill` may name, which is also what one preview shows."""

MAX_REASON = 500
"""Maximum number of characters in a kill's reason."""

MAX_TEXT = 1500
"""Maximum characters of a command and its canonical form: it must fit a button value (2000)."""

MAX_PID = 2**31 - 1
"""PostgreSQL keeps a pid in a signed 32-bit integer."""

MAX_LIMIT = 10_000
"""The most sessions that `limit=` may ask for."""

MAX_BY = 3
"""The most columns that `by=` counts by."""

MAX_NAME = 63
"""How many bytes of a name PostgreSQL keeps: NAMEDATALEN - 1."""

MAX_SECONDS = 10 * 365 * 86_400
"""The longest age, ten years: far below where an interval or a timestamp overflows."""

SESSIONS = "/pg-sessions"

KILL = "/pg-kill"

HISTORY = "/pg-kill history"

FIRST_WORDS = {
    "why": "diagnosis",
    "horizon": "diagnosis",
    "tree": "blocking tree",
    "watch": "board",
}
"""The words that `/pg-sessions` may begin with, and what each is called that they ask for."""

AT = "at"

MAX_AGO = 900
"""Seconds for which samples are kept: `at=-15m` reaches back furthest."""

PID_WORD = re.compile("pids?[:#]?", re.IGNORECASE)

PIDS = re.compile(r"[(\[]*(?:pids?[:#])?#?[0-9]+(?:,#?[0-9]+)*[.,;:)\]]*", re.IGNORECASE)
"""Pids as people copy them from a sentence, a log's prefix or a ticket."""


HELP = re.compile(r"(?:--?|[–—−])(?:help|h)|\?", re.IGNORECASE)
"""What people type for help in other programs, including the dashes of phones."""

MINUS = "-–—−"
"""A minus, as keyboards may write it."""


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
        return quote(database, special="/", always=_means_more(database))


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
class GroupsRequest:
    """`/pg-sessions by=app,state [target] [filters]`: counts of the sessions that `of` would show.

    `of` has no pids, and nothing that arranges a table.
    """

    by: tuple[Field, ...]
    of: SessionsRequest = field(default_factory=SessionsRequest)

    @property
    def target(self) -> Target:
        """Where it looks."""
        return self.of.target

    @property
    def private(self) -> bool:
        """Whether only the person who asked sees the answer."""
        return self.of.private

    def __str__(self) -> str:
        return _spaced(f"by={','.join(KEYS[of] for of in self.by)}", self.of)


@dataclass(frozen=True, slots=True)
class WhyRequest:
    """`/pg-sessions why [target] [user=… | pid]`.

    Without a role and a pid, `target.database` is the name of a database or of a role. `terms` are
    at most one role and one database, each by its whole name.
    """

    target: Target = field(default_factory=Target)
    pid: int | None = None
    terms: tuple[Match, ...] = ()
    private: bool = False

    def named(self, of: Field) -> str | None:
        """The role or database that a term names."""
        return next((term.pattern.exact for term in self.terms if term.field is of), None)

    def __str__(self) -> str:
        return _spaced("why", self.target, self.pid, *self.terms, self.private and "private")


@dataclass(frozen=True, slots=True)
class TargetRequest:
    """`/pg-sessions horizon [target]`: a first word that takes only a target."""

    word: ClassVar[str]
    target: Target = field(default_factory=Target)
    private: bool = False

    def __str__(self) -> str:
        return _spaced(self.word, self.target, self.private and "private")


@dataclass(frozen=True, slots=True)
class HorizonRequest(TargetRequest):
    """What holds back vacuum.

    Without a cluster, `target.database` is the name of a cluster or of a database.
    """

    word = "horizon"


@dataclass(frozen=True, slots=True)
class TreeRequest(TargetRequest):
    """Who waits for whom, on `target.cluster`."""

    word = "tree"


Sampled = SessionsRequest | GroupsRequest | WhyRequest | TreeRequest
"""What can be asked about the past."""

Askable = Sampled | HorizonRequest
"""What has an answer of its own."""


@dataclass(frozen=True, slots=True)
class PastRequest:
    """`at=-3m`: what `now` would have shown `ago` seconds ago.

    A type of its own, so that nothing that acts on a present request takes one of the past.
    """

    ago: int
    now: Sampled

    @property
    def target(self) -> Target:
        """Where it looks."""
        return self.now.target

    @property
    def private(self) -> bool:
        """Whether only the person who asked sees the answer."""
        return self.now.private

    def __str__(self) -> str:
        length = f"{self.ago // 60}m" if self.ago % 60 == 0 else f"{self.ago}s"
        return _spaced(self.now, f"{AT}=-{length}")


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
    """`/pg-kill history [target] [filters] [number]`; `limit` is the number of kills on a page."""

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


RESERVED = frozenset({*Word, *FIRST_WORDS, "all", "private", "help", "history"})


def _spaced(*words: object) -> str:
    return " ".join(text for word in words if word and (text := str(word)))


def _means_more(name: str) -> bool:
    """Whether a word by itself reads as something else than a name, so that it needs quotes."""
    is_other = any(kind.fullmatch(name) for kind in (PIDS, PID_WORD, HELP))
    return is_other or name.lower() in RESERVED or name in MINUS
