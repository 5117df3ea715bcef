"""Findings, and how a person reads them: a level, a sentence, and what to run."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from bot.text import cost, cut, visible

WIDTH = 80
NAME = 60
"""The most columns shown of a name that somebody else chose."""


class Level(StrEnum):
    """How bad it is; the word is printed before each finding."""

    OK = "ok"
    WARNING = "warning"  # the bot works, less safely or less well than it could
    FAILURE = "failure"  # something that the bot is for won't work


_INDENT = 2
_HANGING = _INDENT + max(map(len, Level)) + 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the check found.

    Attributes:
        text: a sentence; other people's names in it may hold any character.
        remedy: statements that fix it, each ready to run.
    """

    level: Level
    text: str
    remedy: tuple[str, ...] = ()


def ok(text: str) -> Finding:
    """All is well; the text says what."""
    return Finding(Level.OK, text)


def warning(text: str, *remedy: str) -> Finding:
    """The bot works, less safely or less well than it could."""
    return Finding(Level.WARNING, text, remedy)


def failure(text: str, *remedy: str) -> Finding:
    """Something that the bot is for won't work."""
    return Finding(Level.FAILURE, text, remedy)


@dataclass(frozen=True, slots=True)
class Section:
    """The findings about one thing."""

    title: str
    findings: tuple[Finding, ...]


def of_url(left_out: Iterable[str]) -> Iterator[Finding]:
    """The parameters of a server's URL that the bot ignores, and that may be removed."""
    if named := ", ".join(left_out):
        yield ok(f"its URL has parameters without effect: {named}")


def name(text: str) -> str:
    """Shorten somebody else's name so that no line wraps because of it."""
    return cut(visible(text), NAME)


def some(items: Iterable[str], most: int = 5) -> str:
    """List a few of these: `a, b and 3 more`."""
    every = list(items)
    if len(every) <= most:
        return ", ".join(every[:-1]) + " and " + every[-1] if len(every) > 1 else "".join(every)
    return ", ".join(every[:most]) + f" and {len(every) - most} more"


def count(number: int, one: str, many: str | None = None) -> str:
    """Put a number before the thing that it counts."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def lines(section: Section) -> Iterator[str]:
    """A section for a terminal of 80 columns, with unsafe characters of names escaped."""
    yield visible(section.title)
    for finding in section.findings:
        first, *rest = _wrapped(visible(finding.text), WIDTH - _HANGING)
        yield f"{'':{_INDENT}}{finding.level:{_HANGING - _INDENT}}{first}"
        for line in (*rest, *map(visible, finding.remedy)):
            yield f"{'':{_HANGING}}{line}"


def _wrapped(text: str, width: int) -> list[str]:
    """Wrap a text at its spaces. A longer word stays whole: it may be a path to copy."""
    wrapped: list[str] = [""]
    for word in text.split():
        line = f"{wrapped[-1]} {word}" if wrapped[-1] else word
        if wrapped[-1] and cost(line) > width:
            wrapped.append(word)
        else:
            wrapped[-1] = line
    return wrapped


def passed(sections: Iterable[Section]) -> bool:
    """Whether nothing failed; warnings are allowed."""
    return not any(
        finding.level is Level.FAILURE for section in sections for finding in section.findings
    )


def summary(sections: Iterable[Section]) -> str:
    """Count the findings, the worst first: `1 failure, 2 warnings, 14 ok`."""
    found = Counter(finding.level for section in sections for finding in section.findings)
    return ", ".join(
        (
            count(found[Level.FAILURE], "failure"),
            count(found[Level.WARNING], "warning"),
            f"{found[Level.OK]} ok",
        )
    )
