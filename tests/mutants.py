"""Mutants: code with one place changed. `mutants.toml` lists those that no test can find.

The list names a mutant by the words that differ, so that an edit beside them, a rename elsewhere or
a new line break doesn't touch it: `bot/domain/people.py Glob` has `tuple[str, ...] => None`. If the
same words are changed at several spots of one function, the second has ` (2)` behind.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from itertools import takewhile
from pathlib import Path

Key = tuple[str, str]
"""A place and a change, as the list has them."""

LIST = Path(__file__).with_suffix(".toml")


@dataclass(frozen=True)
class Mutant:
    """One change.

    Attributes:
        place: the file, and the function, class or constant in it; of SQL, only the file.
        line: of the change, from wherever the diff counts.
        before: the changed lines as they were.
        after: the same as they became.
    """

    place: str
    line: int
    before: str
    after: str

    @classmethod
    def of(cls, place: str, diff: Iterable[str]) -> "Mutant":
        """Read a unified diff of one change, which begins with two lines that name the file."""
        head, *lines = [*diff][2:] or ["@@ -0"]
        start = re.match(r"@@ -(\d+)", head)
        assert start
        untouched = sum(1 for _ in takewhile(lambda line: line.startswith(" "), lines))
        before, after = (
            "\n".join(line[1:] for line in lines if line.startswith(sign)) for sign in "-+"
        )
        return cls(place, int(start[1]) + untouched, before, after)

    def __str__(self) -> str:
        lines = unified_diff(self.before.splitlines(), self.after.splitlines(), lineterm="", n=0)
        return "\n".join([f"{self.place}: {self.change}", *list(lines)[2:]])

    @property
    def change(self) -> str:
        """The words that differ, as `old => new`; either may be empty."""
        old, new = _tidy(self.before), _tidy(self.after)
        ours, theirs = [*_WORD.finditer(old)], [*_WORD.finditer(new)]
        same = _same(ours, theirs)
        ours, theirs = ours[same:], theirs[same:]
        same = _same(ours[::-1], theirs[::-1])
        ours, theirs = ours[: len(ours) - same], theirs[: len(theirs) - same]
        return f"{_cut(old, ours)} => {_cut(new, theirs)}".strip()

    @property
    def column(self) -> int:
        """The column of the first character that differs."""
        pairs = zip(self.before, self.after, strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


_COMMENT = re.compile("  # .*$", re.MULTILINE)
_WORD = re.compile(r"\w+|[<>=!]=|<>|//|\*\*|\S")
_TRAILING_COMMA = re.compile(r",(?=\s*[)\]}])")


def _tidy(text: str) -> str:
    """The text without what a formatter or an edited comment may change."""
    return _TRAILING_COMMA.sub(" ", _COMMENT.sub("", text))


def _same(some: Sequence[re.Match[str]], others: Sequence[re.Match[str]]) -> int:
    """How many words are equal at the start."""
    pairs = zip(some, others, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0][0] == pair[1][0], pairs))


def _cut(text: str, words: Sequence[re.Match[str]]) -> str:
    """The text from the first word to the last, without a comma at its ends."""
    return " ".join(text[words[0].start() : words[-1].end()].split()).strip(", ") if words else ""


def keys(mutants: Iterable[Mutant]) -> dict[Mutant, Key]:
    """The key of each. All mutants of a place must be among them: equal changes are numbered."""
    times = Counter[Key]()
    found: dict[Mutant, Key] = {}
    for one in sorted(set(mutants), key=lambda one: (one.place, one.line, one.column, one.after)):
        key = one.place, one.change
        times[key] += 1
        found[one] = key if times[key] == 1 else (one.place, f"{one.change} ({times[key]})")
    return found


def living() -> set[Key]:
    """The listed ones. Raises `ValueError` if one is listed twice."""
    groups = tomllib.loads(LIST.read_text(encoding="utf-8"))["group"]
    listed = Counter(
        (place, change)
        for group in groups
        for place, changes in group["lives"].items()
        for change in changes
    )
    if twice := [key for key, times in listed.items() if times > 1]:
        raise ValueError(f"listed twice: {twice}")
    return set(listed)
