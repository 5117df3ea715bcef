"""Rows of text, cut to fit into one of Slack's tables; and the table that readers sort and page.

Pure. Rows that don't fit are counted, never silently dropped: the caller learns how many fit. Looks
are a `data_table`. What a kill is decided by is a `table`: all of it in sight, in the order of the
message's words.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import accumulate

from bot.slack.views.blocks import TABLE_CHARACTERS, TABLE_ROWS, Block, table
from bot.slack.views.text import dotted
from bot.text import cost, cut, visible

_BUDGET = TABLE_CHARACTERS - 500
"""Somewhat below the limit, because Slack doesn't document how it counts."""

WIDTHS = (63, 40, 30, 20)

ROWS_ON_A_PAGE = 10
"""Rows on a page: about what a phone shows at once."""

NOTHING = -1
"""The value of a number that isn't known, so that it sorts below every other.

Slack sorts a column by value only if each of its cells has one.
"""

_CAPTION = 250

Numbers = Mapping[str, Sequence[float | None]]
"""The values of some columns, by name: at least one for each row that is shown."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column's name, and the widths that its cells may have, from the preferred one down.

    A last width of 0 means that the column may be left out. Cells of a `drawn` column are entirely
    our own, and keep their spaces.
    """

    name: str
    widths: tuple[int, ...] = WIDTHS
    drawn: bool = False

    def width(self, step: int) -> int:
        """The width at one step of cutting."""
        return self.widths[min(step, len(self.widths) - 1)]


@dataclass(frozen=True, slots=True)
class Fitted:
    """The cells that fit, header row first, and how many of the rows they include."""

    cells: tuple[tuple[str, ...], ...]
    shown: int

    @property
    def turned(self) -> tuple[tuple[str, ...], ...]:
        """The same table on its side: one column of names, then one for each row."""
        return tuple(zip(*self.cells, strict=True))


def fit(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str | None]],
    *,
    most: int = TABLE_ROWS - 1,
) -> Fitted:
    """Narrow the cells step by step until all rows fit; only then leave out rows.

    Includes at most `most` rows. None is a NULL, shown as nothing.
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
    """The cells at one step of cutting, header row first, and what each row costs."""
    kept = [(at, width) for at, column in enumerate(columns) if (width := column.width(step))]
    header = tuple(columns[at].name for at, _ in kept)
    cells = [header, *(tuple(cut(row[at], width) or " " for at, width in kept) for row in rows)]
    return cells, [cost("".join(row)) for row in cells]


def seconds(length: timedelta | None) -> float | None:
    """The value that an age sorts by."""
    return None if length is None else length.total_seconds()


def data_table(
    rows: Sequence[Sequence[str]],
    caption: Iterable[str | None],
    *,
    numbers: Numbers,
    row_header: str,
) -> Block:
    """A table of texts that `tables.fit` has measured: a header row and at least one more.

    The columns in `numbers` are sorted by these values; their texts are shown. `caption` is read
    out before the table. Slack doesn't say whether it reads markup there, so text that somebody
    else chose must be `lines.unmarked`. `row_header` is the column that names a row.
    """
    header, *body = rows
    values = [numbers.get(name) for name in header]
    return {
        "type": "data_table",
        "caption": cut(dotted(caption), _CAPTION),
        "rows": [
            [_text(name) for name in header],
            *(
                [_cell(text, column, at) for text, column in zip(row, values, strict=True)]
                for at, row in enumerate(body)
            ),
        ],
        "page_size": ROWS_ON_A_PAGE,
        "row_header_column_index": header.index(row_header) if row_header in header else 0,
    }


def as_table(block: Block) -> Block:
    """The `table` behind a `data_table`: the same texts in the same order."""
    return table([[str(cell["text"]) for cell in row] for row in block["rows"]])


def _cell(text: str, values: Sequence[float | None] | None, at: int) -> Block:
    if values is None:
        return _text(text)
    value = values[at]
    return {"type": "raw_number", "value": NOTHING if value is None else value, "text": text}


def _text(text: str) -> Block:
    return {"type": "raw_text", "text": text}
