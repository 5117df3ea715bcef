"""What was measured, as a table and as a file. Pure but for the file."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

ROOT = Path(__file__).parents[2]
LAST = ROOT / "docs/bench.json"
DOCUMENT = ROOT / "docs/scale.md"
BEGIN, END = "<!-- The table that `make bench` writes. -->\n", "<!-- The end of the table. -->\n"


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of the rounds, and between which two values half of them lie."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Raises `StatisticsError` without values."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, _, high = quantiles(values, n=4, method="inclusive")
        return cls(low, median(values), high)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table: the bot's figure, its floor's in the same run, and the goal.

    `most` is of the ratio if there is a floor, and of the bot's figure if not. None: the figure
    is only told.
    """

    what: str
    unit: str
    bot: Spread
    floor: Spread | None = None
    ratio: Spread | None = None
    most: float | None = None

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is reached; None without a goal."""
        if self.most is None:
            return None
        return (self.ratio or self.bot).median <= self.most


def against(
    what: str, unit: str, bot: Sequence[float], floor: Sequence[float], most: float | None = None
) -> Line:
    """A line of rounds in turns. The spread of the ratio is that of neighbouring rounds."""
    ours, floors = Spread.of(bot), Spread.of(floor)
    pairs = Spread.of([one / other for one, other in zip(bot, floor, strict=True)])
    ratio = Spread(pairs.low, ours.median / floors.median, pairs.high)
    return Line(what, unit, ours, floors, ratio, most)


def alone(what: str, unit: str, bot: Sequence[float], most: float | None = None) -> Line:
    """A line without a floor."""
    return Line(what, unit, Spread.of(bot), most=most)


def markdown(lines: Sequence[Line]) -> str:
    """The table."""
    head = ("| work | bot | floor | ratio | goal |", "|---|---|---|---|---|")
    return "\n".join([*head, *(_row(line) for line in lines)]) + "\n"


def _row(line: Line) -> str:
    goal = ""
    if line.most is not None:
        unit = "" if line.ratio else line.unit
        goal = f"{'≤' if line.is_met else '**missed:** ≤'} {_number(line.most)}{unit}"
    cells = (
        line.what,
        _shown(line.bot, line.unit),
        _shown(line.floor, line.unit) if line.floor else "",
        _shown(line.ratio, "") if line.ratio else "",
        goal,
    )
    return f"| {' | '.join(cells)} |"


def _shown(spread: Spread, unit: str) -> str:
    low, middle, high = map(_number, (spread.low, spread.median, spread.high))
    return f"{middle}{unit}" + (f" ({low}–{high})" if (low, high) != (middle, middle) else "")


def _number(value: float) -> str:
    """Three digits that count."""
    if value == 0 or value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2g}" if value < 1 else f"{value:.2f}"


def write(lines: Sequence[Line], machine: dict[str, Any], path: Path = LAST) -> None:
    """Keep a result."""
    made = {"machine": machine, "lines": [asdict(line) for line in lines]}
    path.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n")


def quoted(machine: dict[str, Any], lines: Sequence[Line]) -> str:
    """A result as docs/scale.md quotes it."""
    on = ", ".join(f"{name}: {value}" for name, value in machine.items())
    return f"\n{markdown(lines)}\nMeasured on: {on}.\n\n"


def quote(machine: dict[str, Any], lines: Sequence[Line], document: Path = DOCUMENT) -> None:
    """Put a result into the document, in place of the last one."""
    head, _, rest = document.read_text().partition(BEGIN)
    _, _, foot = rest.partition(END)
    document.write_text(head + BEGIN + quoted(machine, lines) + END + foot)


def read(path: Path = LAST) -> tuple[dict[str, Any], list[Line]]:
    """The machine of a kept result, and its lines."""

    def spread(of: dict[str, float] | None) -> Spread | None:
        return None if of is None else Spread(**of)

    kept = json.loads(path.read_text())
    every = [
        Line(**(each | {name: spread(each[name]) for name in ("bot", "floor", "ratio")}))
        for each in kept["lines"]
    ]
    return kept["machine"], every
