"""A message as every way of delivery takes it: the top-level text, and blocks.

Pure.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from wcwidth import wcswidth

from bot.slack.views import blocks, lines
from bot.slack.views.blocks import Block
from bot.slack.views.lines import Line
from bot.text import cost, cut

_TEXT = 3900
"""`chat.update` refuses a text over 4,000 characters."""

_TEXT_ONLY = "\n(Slack accepted only the text of this message, not its table and buttons.)"

_CHUNK = 3000
"""Characters of preformatted text in one block, as of a section's text."""

_PADDED = 12_000
"""Characters up to which a table as text has its columns under each other."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is posted. `text` is what notifications and screen readers give: the essence."""

    text: str
    blocks: tuple[Block, ...]

    def noting(self, line: Line) -> "Message":
        """The same with a further line at its foot."""
        text = _cut_markup(self.text, f"\n{lines.spoken(line)}")
        return Message(text, (*self.blocks, blocks.foot(line)))

    def without_tables(self) -> "Message":
        """The same content with tables as preformatted text, for a Slack that takes none."""
        return Message(self.text, tuple(each for block in self.blocks for each in _as_text(block)))

    def text_only(self) -> "Message":
        """The essence, for a Slack that takes no blocks; it says so if they held more."""
        more = any(block["type"] in {"table", "actions"} for block in self.blocks)
        return Message(_cut_markup(self.text, _TEXT_ONLY) if more else self.text, ())

    @property
    def shapes(self) -> "tuple[Message, ...]":
        """The same in ever simpler layouts, each for a Slack that refuses the one before."""
        drawn = self.without_tables()
        return (self, *((drawn,) if drawn != self else ()), self.text_only())


def message(essence: Sequence[Line], *parts: Block | None, also: Sequence[Line] = ()) -> Message:
    """Put a message together from the lines that it says first and its blocks.

    The essence stands at the head of the blocks and, as text, for those who don't see them;
    `also` is for these alone, where a block says it in another form.
    """
    text = _cut_markup(lines.spoken(*essence, *also))
    present = (blocks.paragraph(*essence), *(part for part in parts if part is not None))
    return Message(text, present)


def _cut_markup(text: str, end: str = "") -> str:
    """Cut at a space, so that no escape and no mention is left in halves; add an end."""
    room = _TEXT - len(end)
    if cost(text) > room:
        text = cut(text, room).rpartition(" ")[0] + " …"
    return text + end


def plainly(content: Iterable[Block]) -> list[Block]:
    """Blocks as sections of plain text, what people press and fill in as it is: for any modal."""
    kept = ("actions", "input")
    return [block if block["type"] in kept else blocks.plainly(block) for block in content]


def _as_text(block: Block) -> Iterable[Block]:
    if block["type"] != "table":
        return (block,)
    rows = [[blocks.cell_text(cell) for cell in row] for row in block["rows"]]
    return (blocks.preformatted(chunk) for chunk in _chunks(_drawn(rows)))


def _drawn(rows: Sequence[Sequence[str]]) -> list[str]:
    """A table as lines of text: in columns, or where that would be too much, just parted."""
    widths = [max(map(_columns, column)) for column in zip(*rows, strict=True)]
    if (sum(widths) + 2 * len(widths)) * len(rows) > _PADDED:
        return [" | ".join(row) for row in rows]
    return ["  ".join(map(_padded, row, widths)).rstrip() or " " for row in rows]


def _padded(cell: str, width: int) -> str:
    return cell + " " * (width - _columns(cell))


def _columns(cell: str) -> int:
    return max(wcswidth(cell), 0)


def _chunks(written: Iterable[str]) -> Iterable[str]:
    chunk = ""
    for line in written:
        if chunk and len(chunk) + 1 + len(line) > _CHUNK:
            yield chunk
            chunk = line
        else:
            chunk = f"{chunk}\n{line}" if chunk else line
    yield chunk
