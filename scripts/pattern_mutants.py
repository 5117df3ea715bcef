"""Regular expressions with one change each, for `scripts/mutants.py`; mutmut doesn't make these.

A lookaround is left out, a repetition is changed, a character is missing in its class, or an
alternative is missing. The text is as in the source: what stands in braces counts as one part, and
raw strings that follow each other are one pattern.
"""

# ruff: noqa: INP001 - a part of a script

import re
from collections.abc import Iterator

_TOKEN = re.compile(
    r"""
      (?P<seam>   " \s* (?: \#[^\n]* \s* )* (?: r | fr | rf ) " )
    | (?P<class>  \[ \^? \]? (?: \\. | [^\]\\] )* \] )
    | (?P<name>   \{\{ [^{}]* \}\} | \{ [^{}]+ \} | \(\?P=\w+\) )
    | (?P<look>   \(\?<?[=!] )
    | (?P<open>   \( (?: \?: | \?P<\w+> )? )
    | (?P<close>  \) )
    | (?P<or>     \| )
    | (?P<often>  [*+?] [?+]? )
    | (?P<other>  \\. | . )
    """,
    re.VERBOSE | re.DOTALL,
)
_CHARACTER = r"(?: \{ [^{}]* \} | \\x.. | \\U.{8} | \\. | [^\\] )"
_MEMBER = re.compile(rf"{_CHARACTER} (?: - {_CHARACTER} )?", re.VERBOSE | re.DOTALL)
_OFTEN = {"*": "+", "+": "*", "?": ""}


def pattern_mutants(pattern: str) -> Iterator[str]:
    """Every such text."""
    opened: list[tuple[re.Match[str] | None, list[int]]] = [(None, [0])]
    for token in _TOKEN.finditer(pattern):
        start, end = token.span()
        match token.lastgroup:
            case "class":
                yield from _classes(pattern, start, end)
            case "often":
                often = _OFTEN[token[0][0]]
                yield pattern[:start] + often + (token[0][1:] if often else "") + pattern[end:]
            case "look" | "open":
                opened.append((token, [end]))
            case "or":
                opened[-1][1].append(end)
            case "close":
                group, branches = opened.pop()
                yield from _branches(pattern, branches, start)
                if group is not None and group.lastgroup == "look":
                    yield pattern[: group.start()] + pattern[end:]
            case _:
                pass
    yield from _branches(pattern, opened[0][1], len(pattern))


def _classes(pattern: str, start: int, end: int) -> Iterator[str]:
    inner = start + 1
    if pattern[inner] == "^":
        yield pattern[:inner] + pattern[inner + 1 :]
        inner += 1
    members = list(_MEMBER.finditer(pattern, inner, end - 1))
    for member in members if len(members) > 1 else ():
        yield pattern[: member.start()] + pattern[member.end() :]


def _branches(pattern: str, starts: list[int], end: int) -> Iterator[str]:
    """The pattern without one of its alternatives, each of which follows a `|` or a bracket."""
    if len(starts) > 1:
        for one, following in zip(starts, [*starts[1:], end + 1], strict=True):
            if following <= end:
                yield pattern[:one] + pattern[following:]
            else:
                yield pattern[: one - 1] + pattern[end:]
