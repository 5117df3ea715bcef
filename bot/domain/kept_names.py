r"""The names that a setting lists, as PostgreSQL stores them. Pure.

PostgreSQL keeps 63 bytes of any name, cut between two characters. It keeps a role's name in the
encoding of the database in which the role was created, folded to lower case unless it was quoted.
In an `application_name` it rewrites every byte that isn't printable ASCII, as `?` up to PostgreSQL
15 and as `\xc3` from 16 on, and then cuts again.

https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS
https://www.postgresql.org/docs/current/runtime-config-logging.html#GUC-APPLICATION-NAME
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from bot.grammar.requests import MAX_NAME
from bot.grammar.terms import Pattern

MAY_BE_CUT = MAX_NAME - 3
"""Bytes of the shortest name that may have been cut: a character has at most four bytes."""

# PostgreSQL's encodings, by their names in Python.
_ENCODINGS = (
    "utf-8",
    *(f"iso8859-{part}" for part in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 15, 16)),
    *(f"cp{page}" for page in (866, 874, 949, *range(1250, 1259))),
    *("koi8-r", "koi8-u", "big5", "euc_jp", "euc_jis_2004", "euc_kr", "gb2312", "gbk"),
    *("gb18030", "johab", "shift_jis", "shift_jis_2004"),
)

_Glob = tuple[str, ...]  # literal parts, as in `bot.grammar.terms.Pattern`


@lru_cache
def of_roles(glob: _Glob) -> tuple[_Glob, ...]:
    """Globs that match every form in which a role's name from a setting may be read.

    A name typed with capitals also stands for its lower-case form. Empty if no role can have the
    name.
    """
    folded = tuple(re.sub("[A-Z]", lambda letter: letter[0].lower(), part) for part in glob)
    kept: dict[_Glob, None] = {}
    for raw in (*_encoded(glob), *_encoded(folded)):
        if sum(map(len, raw)) <= MAX_NAME:
            kept[tuple(map(_read, raw))] = None
        elif len(raw) == 1 or len(raw[0]) >= MAX_NAME:
            # The rest has been cut off.
            kept |= dict.fromkeys((_read(raw[0][:size]),) for size in _sizes(raw[0]))
    return tuple(kept)


def names_role(rolname: str, globs: tuple[_Glob, ...]) -> bool:
    return any(Pattern(kept).matches(rolname) for glob in globs for kept in of_roles(glob))


@dataclass(frozen=True, slots=True)
class Applications:
    """The names that some settings list, as `application_name` shows them.

    Attributes:
        globs: match the whole name.
        beginnings: match the beginning of a name of 60 bytes or more, which may have been cut. What
            else the glob requires can't be checked there, so it counts as met.
    """

    globs: tuple[_Glob, ...] = ()
    beginnings: tuple[str, ...] = ()

    def match(self, application_name: str) -> bool:
        """Whether a session's `application_name` is one of these, or may be."""
        return any(Pattern(glob).matches(application_name) for glob in self.globs) or (
            len(application_name) >= MAY_BE_CUT and application_name.startswith(self.beginnings)
        )


@lru_cache
def of_applications(globs: tuple[_Glob, ...]) -> Applications:
    """What matches the names that these settings list, on every version of PostgreSQL."""
    kept: dict[_Glob, None] = {}
    beginnings: dict[str, None] = {}
    for glob in globs:
        for raw in _encoded(glob):
            for shown in (_with_question_marks, _with_escapes):
                parts = tuple(map(shown, raw))
                first, *rest = parts
                if len(raw[0]) > MAX_NAME or len(first) > MAX_NAME:
                    kept |= dict.fromkeys(
                        (shown(raw[0][:size])[:MAX_NAME],) for size in _sizes(raw[0])
                    )
                    continue
                kept[parts] = None
                if any(rest):
                    beginnings[first] = None
    return Applications(tuple(kept), tuple(beginnings))


def _encoded(glob: _Glob) -> Iterator[tuple[bytes, ...]]:
    """A glob's parts, in each encoding that a client or a database may have used."""
    if all(map(str.isascii, glob)):
        yield tuple(part.encode() for part in glob)
        return
    for encoding in _ENCODINGS:
        try:
            yield tuple(part.encode(encoding) for part in glob)
        except UnicodeEncodeError:
            continue


def _sizes(raw: bytes) -> Iterator[int]:
    """The possible lengths, in bytes, of what PostgreSQL keeps of a name."""
    if len(raw) > MAX_NAME and not raw[:MAX_NAME].isascii():
        yield from range(MAY_BE_CUT, MAX_NAME)
    yield MAX_NAME


def _read(raw: bytes) -> str:
    """Decode a role's name the way `bot.postgres` does."""
    return raw.decode("utf-8", errors="backslashreplace")


def _with_question_marks(raw: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in raw)


def _with_escapes(raw: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in raw)
