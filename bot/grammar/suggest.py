"""Suggestions for a mistyped word or name."""

from collections.abc import Iterable
from difflib import get_close_matches
from heapq import nlargest
from itertools import pairwise

_LIKELY = 50
"""How many of thousands of names are compared with a mistyped one, at 50 µs each."""


def distance(left: str, right: str) -> int:
    """Count the edits between two words; a swap of neighbours is one (optimal string alignment)."""
    older: list[int] = []
    row = list(range(len(right) + 1))
    for i, a in enumerate(left):
        oldest, older, row = older, row, [i + 1]
        for j, b in enumerate(right):
            cost = min(row[j] + 1, older[j + 1] + 1, older[j] + (a != b))
            if i and j and a == right[j - 1] and b == left[i - 1]:
                cost = min(cost, oldest[j - 1] + 1)
            row.append(cost)
    return row[-1]


def nearest(word: str, valid: Iterable[str]) -> tuple[str, ...]:
    """Return the valid words closest to a mistyped one, in their order; may be empty.

    A valid word that the typed one begins with, or that begins with it, counts as two edits away.
    """
    ranks: dict[str, int] = {}
    limit = 1 + len(word) // 4
    for candidate in valid:
        common = min(len(word), len(candidate))
        if common > 2 and word[:common] == candidate[:common]:
            ranks[candidate] = 2
        more = abs(len(word) - len(candidate))
        if more <= limit and (edits := distance(word, candidate)) <= limit:
            ranks[candidate] = min(edits, ranks.get(candidate, edits))
    return tuple(each for each, rank in ranks.items() if rank == min(ranks.values()))


def near(wanted: str, names: Iterable[str]) -> tuple[str, ...]:
    """Up to three names closest to a mistyped one, ignoring case, best first.

    If there are many names, only those that share most pairs of neighbouring letters are compared.
    """
    by_fold: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        by_fold.setdefault(name.casefold(), []).append(name)
    meant = wanted.casefold()
    pairs = frozenset(pairwise(f" {meant} "))

    def alike(fold: str) -> float:
        return len(pairs.intersection(pairwise(f" {fold} "))) / (len(meant) + len(fold) + 1)

    close = get_close_matches(meant, nlargest(_LIKELY, by_fold, key=alike))
    return tuple(name for fold in close for name in by_fold[fold])[:3]
