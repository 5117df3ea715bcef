"""SQL text with one change, as mutmut makes them in Python.

There is no parser: the statements of `bot.postgres` are few and simple, and a change that
PostgreSQL can't understand is an error, which is noticed.
"""

import re
from collections.abc import Iterator
from itertools import pairwise

_CHANGES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"is distinct from", ("is not distinct from",)),
    (r"is not distinct from", ("is distinct from", "=")),
    (r"is null", ("is not null",)),
    (r"is not null", ("is null",)),
    (r"is not true", ("is true", "is false", "is not false")),
    (r"<<=", ("<<", ">>=", "=")),
    (r"<>", ("=", "<", ">")),
    (r">=", (">", "<", "=")),
    (r"(?<![<>])=", ("<>", "<=", ">=")),
    (r"<(?![<=>])", ("<=", ">")),
    (r"(?<![<>])>(?![=>])", (">=", "<")),
    (r"\bany\b", ("all",)),
    (r"\blike\b", ("not like", "ilike")),
    (r"\band\b", ("or",)),
    (r"\bor\b", ("and",)),
    (r"\bexists\b", ("not exists",)),
    (r"(?<=\()not ", ("",)),
    (r"\bin\b", ("not in",)),
    (r"\bleft join\b", ("join",)),
    (r"\bdistinct (?!from)", ("",)),
    (r"\bmaterialized ", ("",)),
    (r"coalesce\((.+?), ''\)", (r"\1",)),
    (r"'([^']*)'", (r"'X\1'",)),
)

_WHEN = re.compile(r"\bwhen .+? then [^\n]+", re.DOTALL)
_CONDITION = re.compile(r"\b(?:when|where|on)\b")
_END = re.compile(r"\b(?:when|where|on|then|else|end|select|(?<!distinct )from)\b")
_SIDE = re.compile(rf"{_END.pattern}|\b(?:and|or)\b")


def plain(sql: str) -> str:
    """The text without its comments."""
    return re.sub(r" *--[^\n]*\n", "", sql)


def mutants(sql: str) -> Iterator[str]:
    """Every such text, once."""
    bare = plain(sql)
    seen = {bare}
    for mutant in (*_changed(bare), *_without_a_when(bare), *_with_a_known_condition(bare)):
        if mutant not in seen:
            seen.add(mutant)
            yield mutant


def _changed(sql: str) -> Iterator[str]:
    for pattern, replacements in _CHANGES:
        for match in re.finditer(pattern, sql):
            for replacement in replacements:
                yield sql[: match.start()] + match.expand(replacement) + sql[match.end() :]


def _without_a_when(sql: str) -> Iterator[str]:
    """Without one branch of a CASE, and with two neighbouring ones swapped."""
    branches = list(_WHEN.finditer(sql))
    for branch in branches:
        yield sql[: branch.start()] + sql[branch.end() :].lstrip()
    for one, other in pairwise(branches):
        between = sql[one.end() : other.start()]
        yield sql[: one.start()] + other[0] + between + one[0] + sql[other.end() :]


def _with_a_known_condition(sql: str) -> Iterator[str]:
    """With true or false for a condition, or for one side of an AND or OR in it."""
    for start, end in _conditions(sql):
        for known in ("true", "false"):
            if sql[start:end].strip("()") != known:
                yield f"{sql[:start]}{known}{sql[end:]}"


def _conditions(sql: str) -> Iterator[tuple[int, int]]:
    for match in re.finditer(r"\b(?:and|or)\b", sql):
        yield _left_of(sql, match.start() - 1), match.start() - 1
        yield match.end() + 1, _until(sql, match.end() + 1, _SIDE)
    for match in _CONDITION.finditer(sql):
        yield match.end() + 1, _until(sql, match.end() + 1, _END)


def _left_of(sql: str, end: int) -> int:
    """Where the operand that ends there begins."""
    depth = 0
    for at in range(end - 1, -1, -1):
        depth += {")": 1, "(": -1}.get(sql[at], 0)
        if depth < 0:
            return at + 1
        if depth == 0 and (word := re.match(r"\b(?:and|or|when|where|on)\b\s+", sql[at:])):
            return at + word.end()
    return 0


def _until(sql: str, start: int, end: re.Pattern[str]) -> int:
    """Where the text that begins there ends, ignoring what is in brackets."""
    depth = 0
    for at in range(start, len(sql)):
        depth += {"(": 1, ")": -1}.get(sql[at], 0)
        if depth < 0:
            return at
        if depth == 0 and at > start and not sql[at - 1].isalnum() and end.match(sql, at):
            return len(sql[:at].rstrip())
    return len(sql.rstrip())
