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
"""

import re
from collections.abc import Iterator
from typing import Final

MASK: Final = "?"

_START = r"[a-zA-Z_\x80-\U0010ffff]"
_CONTINUATION = r"[a-zA-Z0-9_\x80-\U0010ffff]"
_DELIMITER = rf"\$ (?: {_START} {_CONTINUATION}* )? \$"
_PREFIX = r"(?: [bBnNxX] | [uU]& )?"  # E'…' has rules of its own
_NUMBER = rf"[.$]? [0-9] (?: [eE][+-](?=[0-9]) | \.(?!\.) | {_CONTINUATION} )*"

# What an alternative repeats, it can give back in one way only: the time is linear in the text.
_LEXEME: Final = re.compile(
    rf"""
      (?P<space>     [\x00-\x20\x7f]+ | --[^\r\n]* )
    | (?P<comment>   /\* )
    | (?P<literal>   [eE] ' (?: [^'\\] | '' | \\. )* ' (?!')
                   | {_PREFIX} ' (?: [^'\\] | '' | \\[^'] )* ' (?!')
                   | (?P<delimiter> {_DELIMITER} ) .*? (?P=delimiter) )
    | (?P<quoted>    " (?: [^"] | "" )* " (?!") )
    | (?P<rest>      (?: [eE] | {_PREFIX} ) ' | " | {_DELIMITER} | {_NUMBER} \$ )
    | (?P<parameter> \$ [0-9]+ (?! {_CONTINUATION} ) )
    | (?P<number>    {_NUMBER} )
    | (?P<word>      {_START} (?: {_CONTINUATION} | \$ )* )
    | (?P<symbol>    [-+*/<>=~!@\#%^&|`?,()\[\].:;] )
    | (?P<other>     . )
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_MARK: Final = re.compile(r"/\*|\*/")

# Statements whose SET is followed by columns, behind an UPDATE. In all others it is followed by a
# setting, as in ALTER ROLE and CREATE FUNCTION.
_SETS_COLUMNS: Final = frozenset(
    {"copy", "explain", "insert", "merge", "prepare", "update", "with"}
)
# What follows SET and is no setting: names and keywords come after it.
_SETS_NO_VALUE: Final = frozenset(
    {"authorization", "characteristics", "constraints", "role", "transaction"}
)


def redact(query: str | None) -> str | None:
    """The query with `?` for each literal and one space for comments and whitespace.

    No text of a literal is left under any setting of the server, wherever the query was cut. Names
    stay, as do parameters (`$1`). Values that need no quotes go too: those of a setting, and what
    follows a role's PASSWORD, to the end of the statement. What can't be printed (control
    characters, the marks that change a line's direction) is a space, or takes the name that it
    stands in with it. `redact(redact(query))` is `redact(query)`.
    """
    if query is None:
        return None
    shown: list[str] = []
    statement = _Statement()
    for lexeme in _without_literals(query):
        if lexeme == ";":
            statement = _Statement()
        elif statement.is_hiding or (lexeme == " " and shown[-1:] in ([], [" "])):
            continue
        elif lexeme != " " and statement.hides_from(lexeme):
            shown.append(MASK)
            continue
        shown.append(lexeme)
    return "".join(shown).rstrip(" ")


def _without_literals(query: str) -> Iterator[str]:
    """The lexemes, each literal a MASK, whitespace and comments a space each."""
    position = 0
    while match := _LEXEME.match(query, position):
        lexeme, position = match.group(), match.end()
        match match.lastgroup:
            case "space":
                yield " "
            case "comment":
                yield " "
                position = _end_of_comment(query, position)
            case "parameter" | "symbol":
                yield lexeme
            case "quoted" if lexeme.isprintable():
                yield lexeme
            case "word" if lexeme.replace("$", "_").isidentifier():
                yield lexeme
            case "rest":
                yield MASK
                return
            case _:
                yield MASK


def _end_of_comment(query: str, position: int) -> int:
    """Comments nest, and one that is not closed goes on to the end."""
    depth = 1
    for mark in _COMMENT_MARK.finditer(query, position):
        depth += 1 if mark.group() == "/*" else -1
        if depth == 0:
            return mark.end()
    return len(query)


class _Statement:
    """One statement so far, as much as tells where values begin that need no quotes."""

    def __init__(self) -> None:
        self.is_hiding = False
        self._words: list[str] = []  # and symbols
        self._in_dotted_name = False

    def hides_from(self, lexeme: str) -> bool:
        """Whether a lexeme (no space), and so the rest of its statement, is such a value."""
        word = lexeme.lower()
        self.is_hiding = self._is_value(word)
        self._remember(word)
        return self.is_hiding

    def _is_value(self, word: str) -> bool:
        match self._words:
            case [first, *before, "set", _, "to" | "="]:
                return first not in _SETS_COLUMNS or "update" not in (first, *before)
            case ["alter", "system", "set", _] if not self._in_dotted_name:
                # Without its `=` or TO it is no statement; its value may be one all the same.
                return word not in {"to", "=", "."}
            case ["set", _, "to" | "="]:
                return True
            case ["set", setting] if word != "." and not self._in_dotted_name:
                return word not in {"to", "="} and setting not in _SETS_NO_VALUE
            case ["alter" | "create", "group" | "role" | "user", *_, "password"]:
                return True
            case _:
                return False

    def _remember(self, word: str) -> None:
        """All but brackets before the first word, a scope of SET, and a name from its dot on."""
        is_dot = word == "."
        is_scope = word in {"local", "session"} and self._words[-1:] == ["set"]
        if not (is_dot or self._in_dotted_name or is_scope) and (self._words or word[0].isalpha()):
            self._words.append(word)
        self._in_dotted_name = is_dot
