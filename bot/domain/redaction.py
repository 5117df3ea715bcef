r"""Query text without its literals and comments. Pure.

`pg_stat_activity.query` holds what a client sent, valid or not, cut at `track_activity_query_size`
bytes, often inside a literal. What parses such text fails on it and leaves some of it as it was;
this is a lexer that fails closed: what it does not understand is masked.

Its rules are those of "Lexical Structure" in PostgreSQL's documentation
(https://www.postgresql.org/docs/current/sql-syntax-lexical.html) and, where that is silent, of
`src/backend/parser/scan.l`. Three are less known:

- Every character outside ASCII belongs to an identifier, whatever it looks like.
- In `'…'` a backslash is a character where `standard_conforming_strings` is on. It escapes the
  next character where that is off, or where the literal goes on from an `E'…'` on an earlier line.
  The readings part at a quote after an odd number of backslashes, and which one holds is not known
  here: from the start of such a literal all is masked.
- `1a` is an error since PostgreSQL 15 and was two tokens before. It is masked as one; where a `$`
  follows, which opens a literal in one reading only, all is masked from there.

What is no SQL is held there as well, a connection string that somebody pasted for one. So what
looks like an address with a scheme, or like the value of a name such as `password`, is masked
whatever it is made of, and so is what stands in double quotes and holds either. A secret that
looks like any other name (`mysql -phunter2`, a key on a line of its own) can't be told from one.
"""

import re
from collections.abc import Generator, Iterator
from typing import Final

MASK: Final = "?"

_START = r"[a-zA-Z_\x80-\U0010ffff]"
_CONTINUATION = r"[a-zA-Z0-9_\x80-\U0010ffff]"
_DELIMITER = rf"\$ (?: {_START} {_CONTINUATION}* )? \$"
_PREFIX = r"(?: [bBnNxX] | [uU]& )?"  # E'…' has rules of its own
_NUMBER = rf"[.$]? [0-9] (?: [eE][+-](?=[0-9]) | \.(?!\.) | {_CONTINUATION} )*+"

# What an alternative repeats, it never gives back: the time is linear in the text.
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
    | (?P<word>      {_START} [a-zA-Z0-9_$\x80-\U0010ffff]*+ )
    | (?P<symbol>    [-+*/<>=~!@\#%^&|`?,()\[\].:;] )
    | (?P<other>     . )
    """,
    re.VERBOSE | re.DOTALL,
)
_NAMES: Final = r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|(?:access|api|private|secret)_?key)"
_NAME_OF_SECRET: Final = re.compile(rf"{_NAMES}\"?\Z", re.IGNORECASE)
_HOLDS_SECRET: Final = re.compile(rf"=|://|:[^@]*@|{_NAMES}\W*:", re.IGNORECASE)
_COMMENT_MARK: Final = re.compile(r"/\*|\*/")

_OPENS: Final = frozenset("'\"$;")
"""What an address may hold that would open a literal, or a statement, if it were none."""

# Statements whose SET is followed by columns, behind an UPDATE. In all others it is followed by a
# setting, as in ALTER ROLE and CREATE FUNCTION.
_SETS_COLUMNS: Final = frozenset(
    {"copy", "explain", "insert", "merge", "prepare", "update", "with"}
)
# What follows SET and is no setting: names and keywords come after it.
_SETS_NO_VALUE: Final = frozenset(
    {"authorization", "characteristics", "constraints", "role", "transaction"}
)

NAME: Final = 63
"""Bytes of the longest name that PostgreSQL keeps: what is longer is shown as no name."""

_EFFORT: Final = 3
"""How many lexemes are read for each character that is shown: comments show nothing."""

_GIVES: Final = frozenset("=:>")

_GIVES_NOTHING: Final = frozenset("),;")


def redact(query: str | None, most: int | None = None) -> str | None:
    """The query with `?` for each literal and one space for comments and whitespace.

    No text of a literal is left under any setting of the server, wherever the query was cut. Names
    stay, as do parameters (`$1`). Values that need no quotes go too: those of a setting, and what
    follows a role's PASSWORD, to the end of the statement. What can't be printed (control
    characters, the marks that change a line's direction) is a space, or takes the name that it
    stands in with it. `redact(redact(query))` is `redact(query)`.

    The time is linear in the query. With `most`, no more characters come back, the last being
    `…` if there would be more, and no more of the query is read than these need: a query may
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


def _without_literals(query: str) -> Iterator[str]:
    """The lexemes, each literal a MASK, whitespace and comments a space each."""
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
    """A space for each comment in it: they nest. One that is not closed goes on to the end."""
    depth = 1
    for mark in _COMMENT_MARK.finditer(query, position):
        yield " "
        depth += 1 if mark.group() == "/*" else -1
        if depth == 0:
            return mark.end()
    yield " "
    return len(query)


class _Statement:
    """One statement so far, as much as tells where values begin that need no quotes.

    Of its words, and symbols among them, the first four and the last three are kept, and
    whether `update` was before these three.
    """

    def __init__(self) -> None:
        self.is_hiding = False
        self._first: list[str] = []
        self._last: list[str] = []
        self._has_updated = False
        self._number = 0
        self._in_dotted_name = False

    def take(self, lexeme: str) -> None:
        """Take in the next lexeme (no space): it may begin a value that goes on to the end."""
        word = lexeme.lower()
        self.is_hiding = self._is_value(word)
        self._remember(word)

    def _is_value(self, word: str) -> bool:
        match self._number, self._first, self._last:
            case number, [first, *_], ["set", _, "to" | "="] if number > 3:
                return first not in _SETS_COLUMNS or not self._has_updated
            case 4, ["alter", "system", "set", _], _ if not self._in_dotted_name:
                # Without its `=` or TO it is no statement; its value may be one all the same.
                return word not in {"to", "=", "."}
            case 3, ["set", _, "to" | "="], _:
                return True
            case 2, ["set", setting], _ if word != "." and not self._in_dotted_name:
                return word not in {"to", "="} and setting not in _SETS_NO_VALUE
            case _, ["alter" | "create", "group" | "role" | "user", _, *_], [*_, "password"]:
                return True
            case _, _, [*_, "identified", "by"]:
                return True  # of other dialects
            case _:
                return False

    def _remember(self, word: str) -> None:
        """All but brackets before the first word, a scope of SET, and a name from its dot on."""
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
    """What is given to a name like `password`, as in `host=h password=hunter2`, to the next space.

    `is_hiding` while it is read. A parameter is none.
    """

    def __init__(self) -> None:
        self.is_hiding = False
        self._is_named = False
        self._is_given = False

    def take(self, lexeme: str) -> None:
        """Take in the next lexeme."""
        if lexeme == " ":
            self.is_hiding = False
        elif self.is_hiding:
            return
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
