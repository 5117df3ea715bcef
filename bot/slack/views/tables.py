"""Rows of text, cut to what one of Slack's tables takes.

Pure. What can't be shown is counted, never dropped in silence: the caller learns how many
rows are in.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from bot.slack.views.blocks import TABLE_CHARACTERS, TABLE_ROWS
from bot.text import cost, cut, visible

_BUDGET = TABLE_CHARACTERS - 500
"""Some way under the limit: nobody says how Slack counts."""

WIDTHS = (63, 40, 30, 20)


@dataclass(frozen=True, slots=True)
class Column:
    """A column's name, and how wide its cells may be: as they would like, then ever less.

    A last width of 0 means that the column may be left out. The cells of one that is `drawn`
    are our own throughout, and keep their spaces.
    """

    name: str
    widths: tuple[int, ...] = WIDTHS
    drawn: bool = False

    def width(self, step: int) -> int:
        """The width at a step of cutting."""
        return self.widths[min(step, len(self.widths) - 1)]


@dataclass(frozen=True, slots=True)
class Fitted:
    """The cells that fit, the header's row first, and how many of the rows they are."""

    cells: tuple[tuple[str, ...], ...]
    shown: int

    @property
    def turned(self) -> tuple[tuple[str, ...], ...]:
        """The same on its side: one column of names, then one for each row."""
        return tuple(zip(*self.cells, strict=True))


def fit(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str | None]],
    *,
    most: int = TABLE_ROWS - 1,
) -> Fitted:
    """Cut the cells' widths step by step until all rows fit; only then leave out rows.

    At most `most` rows are in. None is a NULL, which shows as nothing.
    """
    clean = [
        [
            (cell or "") if column.drawn else visible(cell or "")
            for column, cell in zip(columns, row, strict=True)
        ]
        for row in rows[:most]
    ]
    cells, costs = _cut(columns, clean, 0)
    for step in range(1, max(len(column.widths) for column in columns)):
        if sum(costs) <= _BUDGET:
            break
        cells, costs = _cut(columns, clean, step)
    fitting = bisect_right(list(accumulate(costs)), _BUDGET)
    return Fitted(tuple(cells[:fitting]), fitting - 1)


def _cut(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], step: int
) -> tuple[list[tuple[str, ...]], list[int]]:
    """The cells at a step of cutting, the header's row first, and what each row costs."""
    kept = [(at, width) for at, column in enumerate(columns) if (width := column.width(step))]
    header = tuple(columns[at].name for at, _ in kept)
    cells = [header, *(tuple(cut(row[at], width) or " " for at, width in kept) for row in rows)]
    return cells, [sum(map(cost, row)) for row in cells]
