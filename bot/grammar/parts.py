"""A command's tokens, sorted into the parts of a request. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from bot.errors import UsageError
from bot.grammar.requests import (
    AT,
    FIRST_WORDS,
    HISTORY,
    KILL,
    MAX_LIMIT,
    MAX_PID,
    MAX_PIDS,
    MINUS,
    PID_WORD,
    PIDS,
    RESERVED,
    SESSIONS,
    SortKey,
    Target,
)
from bot.grammar.suggest import nearest
from bot.grammar.terms import SHORT_NAMES, TAG, AgeOf, Field, Match, Pattern, Term, Word
from bot.grammar.tokens import (
    Option,
    Token,
    fault,
)
from bot.grammar.values import (
    FIELDS,
    meant_words,
    read_age,
    read_by,
    read_columns,
    read_limit,
    read_match,
    read_number,
    read_sort,
    read_tag,
)

_AGES = {of.value: of for of in AgeOf}
_VIEW = ("columns", "sort", "limit", "by")
_PID_KEYS = frozenset({"pid", "pids"})
_WITHOUT_A_TABLE = frozenset(f"{SESSIONS} {word}" for word in FIRST_WORDS)


@dataclass(slots=True)
class Parts:
    """A command's tokens, sorted into the parts of a request.

    `pids` and `terms` are ordered sets. `terms` and `all` keep their text as typed, so that a later
    check can quote it.
    """

    command: str
    target: Target | None = None
    pids: dict[int, None] = field(default_factory=dict)
    terms: dict[Term, str] = field(default_factory=dict)
    all: str | None = None
    columns: tuple[str, ...] = ()
    sort: tuple[SortKey, ...] = ()
    limit: int | None = None
    by: tuple[Field, ...] = ()
    private: bool = False

    def take(self, tokens: Iterable[Token]) -> None:
        announced: Token | None = None  # the word `pid`, which a number must follow
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
        elif key in FIELDS:
            self.terms[read_match(token, option, FIELDS[key])] = token.typed
        elif key.startswith(TAG):
            self._refuse_tag(token)
            self.terms[read_tag(token, option)] = token.typed
        elif key in _AGES:
            self.terms[read_age(token, option, _AGES[key])] = token.typed
        elif key in _VIEW:
            self._take_view(token, option, key)
        else:
            raise _no_such_filter(token, option, self.command)

    def _refuse_tag(self, token: Token) -> None:
        if self.command == KILL:
            problem = "a kill takes no tags: clients choose them, and they may be cut off"
            raise fault(token.typed, f"{problem}. Look with {SESSIONS}, then name the pids")
        self._refuse_view(token)

    def _take_word(self, token: Token, word: str) -> None:
        match word:
            case "blocked" | "blocking":
                self.terms[Word(word)] = token.typed
            case "all":
                if self.command == HISTORY:
                    raise fault(token.typed, f"{HISTORY} already shows all kills of its target")
                if self.command in _WITHOUT_A_TABLE:
                    raise fault(token.typed, f"{self.command} already looks at everything")
                self.all = token.typed
            case "private":
                if self.command not in _WITHOUT_A_TABLE:
                    self._refuse_view(token)
                self.private = True
            case _ if word in FIRST_WORDS:
                if self.command in {KILL, HISTORY}:
                    what = FIRST_WORDS[word]
                    raise fault(token.typed, f"for a {what}, use `{SESSIONS} {word}`")
                raise fault(token.typed, "must be the first word")
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
        """What a word may have been meant as, if it reads as a second target."""
        first = (self.target and self.target.database) or ""
        if (column := SHORT_NAMES.get(first.lower())) is not None and token.span.bare:
            return (str(Match(column, Pattern((token.span.bare,)))),)
        if self.command == SESSIONS and (words := nearest(first.lower(), FIRST_WORDS)):
            return tuple(f"{word} {token.typed}" for word in words)
        bare = token.span.bare or ""
        meant = meant_words(bare)
        if self.target and not first and bare:
            return (*meant, str(Target(self.target.cluster, bare)))
        return meant

    def _take_view(self, token: Token, option: Option, key: str) -> None:
        if key == "by" and self.command == KILL:
            problem = f"a kill takes one group, by its own filter; count with `{SESSIONS} by=`"
            raise fault(token.typed, problem)
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
            case "by":
                self.by = read_by(token, option.value)
            case _:
                self.limit = read_limit(token, option.value)

    def _refuse_view(self, token: Token) -> None:
        if self.command in _WITHOUT_A_TABLE:
            raise fault(token.typed, f"{self.command} doesn't take this")
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
    valid = dict.fromkeys(FIELDS, "=") | dict.fromkeys(_AGES, ">")
    if command == SESSIONS:
        valid |= dict.fromkeys((*_VIEW, *([AT] if option.operator == "=" else [])), "=")
    near = tuple(f"{name}{valid[name]}" for name in nearest(key, valid))
    return fault(token.typed, "no such filter", near)
