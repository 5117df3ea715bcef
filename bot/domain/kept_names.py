r"""Names as PostgreSQL keeps them, for what a setting names. Pure.

Of any name it keeps 63 bytes, cut between two characters. A role's name it keeps in the encoding
of the database in which it was created, and folds to lower case unless it was quoted. Of an
`application_name` it rewrites every byte that isn't printable ASCII, as `?` up to PostgreSQL 15
and as `\xc3` from 16 on, and then cuts again.

https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS
https://www.postgresql.org/docs/current/runtime-config-logging.html#GUC-APPLICATION-NAME
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from bot.grammar.requests import MAX_NAME, Pattern

MAY_BE_CUT = MAX_NAME - 3
"""Bytes of the shortest name that may have been cut: a character has four at most."""

# PostgreSQL's encodings, by Python's names for them.
_ENCODINGS = (
    "utf-8",
    *(f"iso8859-{part}" for part in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 15, 16)),
    *(f"cp{page}" for page in (866, 874, 949, *range(1250, 1259))),
    *("koi8-r", "koi8-u", "big5", "euc_jp", "euc_jis_2004", "euc_kr", "gb2312", "gbk"),
    *("gb18030", "johab", "shift_jis", "shift_jis_2004"),
)

_Glob = tuple[str, ...]  # literal parts, as in `bot.grammar.requests.Pattern`


@lru_cache
def of_roles(glob: _Glob) -> tuple[_Glob, ...]:
    """Return globs that match the roles' names that one setting names, as they are read.

    A name that was typed with capitals stands for the folded one as well. None at all: no role can
    be called so.
    """
    folded = tuple(re.sub("[A-Z]", lambda letter: letter[0].lower(), part) for part in glob)
    kept: dict[_Glob, None] = {}
    for raw in (*_encoded(glob), *_encoded(folded)):
        if sum(map(len, raw)) <= MAX_NAME:
            kept[tuple(map(_read, raw))] = None
        elif len(raw) == 1 or len(raw[0]) >= MAX_NAME:
            # What follows has been cut off.
            kept |= dict.fromkeys((_read(raw[0][:size]),) for size in _sizes(raw[0]))
    return tuple(kept)


def names_role(rolname: str, globs: tuple[_Glob, ...]) -> bool:
    """Whether one of these names a role."""
    return any(Pattern(kept).matches(rolname) for glob in globs for kept in of_roles(glob))


@dataclass(frozen=True, slots=True)
class Applications:
    """What some settings name, as `application_name` shows it.

    Attributes:
        globs: what matches it.
        beginnings: of names of 60 bytes or more, which may have been cut: what else a glob asks
            for can't be seen there, so it counts as met.
    """

    globs: tuple[_Glob, ...] = ()
    beginnings: tuple[str, ...] = ()

    def match(self, application_name: str) -> bool:
        """Whether a session's name is one of these, or may be."""
        return any(Pattern(glob).matches(application_name) for glob in self.globs) or (
            len(application_name) >= MAY_BE_CUT and application_name.startswith(self.beginnings)
        )


@lru_cache
def of_applications(globs: tuple[_Glob, ...]) -> Applications:
    """Return what matches the names that these settings name, on every version of PostgreSQL."""
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
    """A glob's parts as a client or a database may have written them."""
    if all(map(str.isascii, glob)):
        yield tuple(part.encode() for part in glob)
        return
    for encoding in _ENCODINGS:
        try:
            yield tuple(part.encode(encoding) for part in glob)
        except UnicodeEncodeError:
            continue


def _sizes(raw: bytes) -> Iterator[int]:
    """How many bytes of a name may be left of it."""
    if len(raw) > MAX_NAME and not raw[:MAX_NAME].isascii():
        yield from range(MAY_BE_CUT, MAX_NAME)
    yield MAX_NAME


def _read(raw: bytes) -> str:
    """As `bot.postgres` reads the name of a role."""
    return raw.decode("utf-8", errors="backslashreplace")


def _with_question_marks(raw: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in raw)


def _with_escapes(raw: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in raw)
