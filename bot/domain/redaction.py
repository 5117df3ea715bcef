r"""Query text without its literals and comments. Pure.

`pg_stat_activity.query` holds what a client sent, valid or not, cut at `track_activity_query_size`
bytes, often inside a literal. A parser fails on such text and leaves some of it unmasked. This is a
lexer that fails closed: it masks whatever it does not understand.

It follows the rules of "Lexical Structure" in PostgreSQL's documentation
(https://www.postgresql.org/docs/current/sql-syntax-lexical.html) and, where that says nothing,
those of `src/backend/parser/scan.l`. Three are less known:

- Every character outside ASCII belongs to an identifier, whatever it looks like.
- In `'…'` a backslash is an ordinary character if `standard_conforming_strings` is on. It escapes
  the next character if that is off, or if the literal continues an `E'…'` from an earlier line.
  The two readings differ at a quote after an odd number of backslashes, and the lexer can't know
  which one holds. So it masks everything from the start of such a literal.
- `1a` is an error since PostgreSQL 15 and was two tokens before. It is masked as one token. If a
  `$` follows, it opens a literal in only one of the readings, so everything from there is masked.

The column can also hold text that isn't SQL, such as a connection string that somebody pasted. So
anything that looks like an address with a scheme, or like the value of a name such as `password`,
is masked whatever it consists of, and so is text in double quotes that contains either. So is a
token that shows by its beginning what it is, such as a JWT that a program forgot to quote. A secret
that looks like any other name (`mysql -phunter2`, a key on a line of its own) can't be recognized.
"""

import re
from collections.abc import Generator, Iterator
from typing import Final

MASK: Final = "?"

# All but these ASCII characters. `re` takes 5 ms for each set that goes up to \U0010ffff.
_START = r"[^\x00-@\[-\^`{-\x7f]"
_CONTINUATION = r"[^\x00-/:-@\[-\^`{-\x7f]"
_OR_DOLLAR = r"[^\x00-\#%-/:-@\[-\^`{-\x7f]"
_DELIMITER = rf"\$ (?: {_START} {_CONTINUATION}* )? \$"
_PREFIX = r"(?: [bBnNxX] | [uU]& )?"  # E'…' has its own rules
_NUMBER = rf"[.$]? [0-9] (?: [eE][+-](?=[0-9]) | \.(?!\.) | {_CONTINUATION} )*+"

# Possessive quantifiers: no alternative backtracks, so the time is linear in the text.
_LEXEME: Final = re.compile(
    rf"""
      (?P<space>     [\x00-\x20\x7f]+ | --[^\r\n]* )
    | (?P<comment>   /\* )
    | (?P<literal>   [eE] ' [^'\\]*+ (?: (?: '' | \\. ) [^'\\]*+ )*+ ' (?!')
                   | {_PREFIX} ' [^'\\]*+ (?: (?: '' | \\[^'] ) [^'\\]*+ )*+ ' (?!') )
    | (?P<delimiter> {_DELIMITER} )
    | (?P<quoted>    " (?: [^"]++ | "" )*+ " (?!") )
    | (?P<rest>      (?: [eE] | {_PREFIX} ) ' | " | {_NUMBER} \$ )
    | (?P<parameter> \$ [0-9]++ (?! {_CONTINUATION} ) )
    | (?P<number>    {_NUMBER} )
    | (?P<address>   (?: [a-zA-Z] [a-zA-Z0-9+.-]{{0,30}}+ )?+ :// [^\x00-\x20\x7f]*+ )
    | (?P<word>      {_START} {_OR_DOLLAR}*+ )
    | (?P<symbol>    [-+*/<>=~!@\#%^&|`?,()\[\].:;] )
    | (?P<other>     . )
    """,
    re.VERBOSE | re.DOTALL,
)
_NAMES: Final = r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|(?:access|api|private|secret)_?key)"
_NAME_OF_SECRET: Final = re.compile(rf"{_NAMES}\"?\Z", re.IGNORECASE)
_HOLDS_SECRET: Final = re.compile(rf"=|://|:[^@]*@|{_NAMES}\W*:", re.IGNORECASE)
_TOKEN: Final = re.compile(
    r"\"?(?:eyJ[A-Za-z0-9_-]{8}"  # a JWT: the beginning of its JSON
    r"|gh[opsur]_[A-Za-z0-9]{20}|github_pat_[A-Za-z0-9]{20}|[rs]k_live_[A-Za-z0-9]{16}"
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}|(?:glpat|xox[abeoprs])(?!\w))"
)
_COMMENT_MARK: Final = re.compile(r"/\*|\*/")

_OPENS: Final = frozenset("'\"$;")
"""Characters in an address that would open a literal, or a statement, if it weren't an address."""

# Statements in which SET is followed by columns, after an UPDATE. In all others a setting follows,
# as in ALTER ROLE and CREATE FUNCTION.
_SETS_COLUMNS: Final = frozenset(
    {"copy", "explain", "insert", "merge", "prepare", "update", "with"}
)
# Words after SET that aren't settings: names and keywords follow them.
_SETS_NO_VALUE: Final = frozenset(
    {"authorization", "characteristics", "constraints", "role", "transaction"}
)

NAME: Final = 63
"""Bytes of the longest name that PostgreSQL keeps. A longer word can't be a name, so it is
masked."""

_EFFORT: Final = 3
"""How many lexemes are read for each character shown; comments show nothing."""

_GIVES: Final = frozenset("=:>")

_GIVES_NOTHING: Final = frozenset("),;")


def redact(query: str | None, most: int | None = None) -> str | None:
    """The query with `?` for each literal, and one space for comments and whitespace.

    No part of a literal remains, whatever the server's settings and wherever the query was cut.
    Names and parameters (`$1`) stay. Values that need no quotes are masked too: a setting's value,
    and everything after a role's PASSWORD, to the end of the statement. A character that can't be
    printed (a control character, or one that changes the direction of the line) becomes a space;
    inside a name it masks the name. `redact(redact(query))` is `redact(query)`.

    The time is linear in the query. With `most`, at most that many characters are returned, the
    last being `…` if there would be more, and no more of the query is read than needed: a query may
    have a million characters, and the table of sessions shows eighty.
    """
    if query is None:
        return None
    shown: list[str] = []
    length, is_whole = 0, True
    statement, secret = _Statement(), _Secret()
    for at, lexeme in enumerate(_without_literals(query)):
        if most is not None and (length > most or at > _EFFORT * most):
            is_whole = False
            break
        was_hiding = statement.is_hiding or secret.is_hiding
        if lexeme == ";":
            statement = _Statement()
        elif lexeme != " " and not statement.is_hiding:
            statement.take(lexeme)
        if not statement.is_hiding:
            secret.take(lexeme)
        is_hiding = statement.is_hiding or secret.is_hiding
        if (is_hiding and was_hiding) or (lexeme == " " and shown[-1:] in ([], [" "])):
            continue
        shown.append(MASK if is_hiding else lexeme)
        length += len(shown[-1])
    text = "".join(shown).rstrip(" ")
    if most is None or (is_whole and len(text) <= most):
        return text
    return text[: most - 1].rstrip(" ") + "…"


def comments(query: str) -> Iterator[str]:
    """What each comment between `/*` and `*/` contains, as it was sent: not to be shown.

    Stops at a comment that isn't closed or has another one inside, and at text that can be read in
    more than one way.
    """
    position = 0
    while match := _LEXEME.match(query, position):
        position = match.end()
        match match.lastgroup:
            case "comment":
                mark = _COMMENT_MARK.search(query, position)
                if mark is None or mark.group() == "/*":
                    return
                yield query[position : mark.start()]
                position = mark.end()
            case "delimiter":
                if (end := query.find(match.group(), position)) < 0:
                    return
                position = end + len(match.group())
            case "rest":
                return
            case "address" if not _OPENS.isdisjoint(match.group()):
                return


def _without_literals(query: str) -> Iterator[str]:
    """The lexemes: a MASK for each literal, a space for each run of whitespace or comment."""
    position = 0
    while match := _LEXEME.match(query, position):
        lexeme, position = match.group(), match.end()
        match match.lastgroup:
            case "space":
                yield " "
            case "comment":
                position = yield from _comment(query, position)
            case "delimiter":
                yield MASK
                if (end := query.find(lexeme, position)) < 0:
                    return
                position = end + len(lexeme)
            case "parameter" | "symbol":
                yield lexeme
            case "quoted" | "word" if _is_name(lexeme):
                yield lexeme
            case "address" if _OPENS.isdisjoint(lexeme):
                yield MASK
            case "address" | "rest":
                yield MASK
                return
            case _:
                yield MASK


def _is_name(lexeme: str) -> bool:
    if len(lexeme) > NAME + 2:
        return False
    if lexeme[0] == '"':
        name = lexeme[1:-1]
        can_be = name.isprintable() and not _HOLDS_SECRET.search(name)
    else:
        name = lexeme
        can_be = name.replace("$", "_").isidentifier()
    return can_be and len(name.encode()) <= NAME


def _comment(query: str, position: int) -> Generator[str, None, int]:
    """A space for each comment, however nested. An unclosed one runs to the end."""
    depth = 1
    for mark in _COMMENT_MARK.finditer(query, position):
        yield " "
        depth += 1 if mark.group() == "/*" else -1
        if depth == 0:
            return mark.end()
    yield " "
    return len(query)


class _Statement:
    """The statement so far: as much of it as shows where a value without quotes begins.

    Keeps the first four and the last three of its words and symbols, and whether `update` came
    before those last three.
    """

    def __init__(self) -> None:
        self.is_hiding = False
        self._first: list[str] = []
        self._last: list[str] = []
        self._has_updated = False
        self._number = 0
        self._in_dotted_name = False

    def take(self, lexeme: str) -> None:
        """Add the next lexeme (not a space). True if a value begins with it and runs to the end."""
        word = lexeme.lower()
        self.is_hiding = self._is_value(word)
        self._remember(word)

    def _is_value(self, word: str) -> bool:
        match self._number, self._first, self._last:
            case number, [first, *_], ["set", _, "to" | "="] if number > 3:
                return first not in _SETS_COLUMNS or not self._has_updated
            case 4, ["alter", "system", "set", _], _ if not self._in_dotted_name:
                # Without `=` or TO it isn't a valid statement, but it may still contain a value.
                return word not in {"to", "=", "."}
            case 3, ["set", _, "to" | "="], _:
                return True
            case 2, ["set", setting], _ if word != "." and not self._in_dotted_name:
                return word not in {"to", "="} and setting not in _SETS_NO_VALUE
            case _, ["alter" | "create", "group" | "role" | "user", _, *_], [*_, "password"]:
                return True
            case _, _, [*_, "identified", "by"]:
                return True  # other dialects
            case _:
                return False

    def _remember(self, word: str) -> None:
        """Remember a word; skip opening brackets, a scope of SET, and a name from its dot on."""
        is_dot = word == "."
        is_scope = word in {"local", "session"} and self._last[-1:] == ["set"]
        if not (is_dot or self._in_dotted_name or is_scope) and (self._first or word[0].isalpha()):
            self._number += 1
            if len(self._first) < 4:
                self._first.append(word)
            self._last.append(word)
            if len(self._last) > 3:
                self._has_updated |= self._last.pop(0) == "update"
        self._in_dotted_name = is_dot


class _Secret:
    """The value of a name like `password`, up to the next space: `host=h password=hunter2`.

    A token that shows what it is needs no name. `is_hiding` while the value is read. A parameter
    isn't a value.
    """

    def __init__(self) -> None:
        self.is_hiding = False
        self._is_named = False
        self._is_given = False

    def take(self, lexeme: str) -> None:
        if lexeme == " ":
            self.is_hiding = False
        elif self.is_hiding:
            return
        elif _TOKEN.match(lexeme):
            self.is_hiding = True
            self._is_given = self._is_named = False
        elif self._is_given and lexeme not in _GIVES:
            self.is_hiding = lexeme not in _GIVES_NOTHING and lexeme[0] != "$"
            self._is_given = self._is_named = False
        elif self._is_named and lexeme in _GIVES:
            # Two colons are a cast.
            self._is_given = not (self._is_given and lexeme == ":")
            self._is_named = self._is_given
        else:
            self._is_given = False
            self._is_named = _NAME_OF_SECRET.search(lexeme) is not None
