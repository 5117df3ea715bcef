"""A message in the form that every way of delivery takes: top-level text, and blocks.

Pure.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bot.slack.views import blocks, lines
from bot.slack.views.blocks import Block
from bot.slack.views.lines import Line
from bot.slack.views.tables import as_table
from bot.text import cost, cut

_TEXT = 3900
"""`chat.update` refuses texts over 4,000 characters."""

_TEXT_ONLY = "\n(Slack accepted only the text of this message, not its table and buttons.)"

_CHUNK = 3000
"""Characters of preformatted text in one block, the same as in a section."""

_PADDED = 12_000
"""Characters up to which a table as text is aligned in columns."""

_TABLES = frozenset({"table", "data_table"})

SHAPES = 4
"""The most shapes that a message has."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is posted. `text` is what notifications and screen readers present: the essence."""

    text: str
    blocks: tuple[Block, ...]

    def noting(self, line: Line) -> "Message":
        """The same message with another line at its foot."""
        text = _cut_markup(self.text, f"\n{lines.spoken(line)}")
        return Message(text, (*self.blocks, blocks.foot(line)))

    def with_a_plain_table(self) -> "Message":
        """The same content in a `table`, in case Slack accepts no `data_table`."""
        drawn = (as_table(each) if each["type"] == "data_table" else each for each in self.blocks)
        return Message(self.text, tuple(drawn))

    def without_tables(self) -> "Message":
        """The same content with tables as preformatted text, in case Slack accepts no tables."""
        return Message(self.text, tuple(each for block in self.blocks for each in _as_text(block)))

    def text_only(self) -> "Message":
        """The essence, in case Slack accepts no blocks; it says so if they held more."""
        more = any(block["type"] in _TABLES | {"actions"} for block in self.blocks)
        return Message(_cut_markup(self.text, _TEXT_ONLY) if more else self.text, ())

    @property
    def has_table(self) -> bool:
        return any(block["type"] in _TABLES for block in self.blocks)

    @property
    def has_data_table(self) -> bool:
        return any(block["type"] == "data_table" for block in self.blocks)

    def shapes(self) -> "Iterator[Message]":
        """The same message in ever simpler layouts, each for when Slack refuses the one before."""
        yield self
        if self.has_data_table:
            yield self.with_a_plain_table()
        if self.has_table:
            yield self.without_tables()
        yield self.text_only()


def message(essence: Sequence[Line], *parts: Block | None, also: Sequence[Line] = ()) -> Message:
    """Build a message from the lines that it says first and its blocks.

    The essence comes first in the blocks and is also the text, for readers who don't see blocks.
    `also` is only for these readers, if a block says it in another form.
    """
    text = _cut_markup(lines.spoken(*essence, *also))
    present = (blocks.paragraph(*essence), *(part for part in parts if part is not None))
    return Message(text, present)


def marked(drawn: Message, mark: Line) -> Message:
    """The message with a line before all that it says."""
    first, *others = drawn.blocks
    section = blocks.paragraph(mark)["elements"]
    head = {**first, "elements": [*section, *first["elements"]]}
    text = f"{lines.spoken(mark)}\n{drawn.text}"
    return Message(_cut_markup(text), (head, *others))


def _cut_markup(text: str, end: str = "") -> str:
    """Cut at a space, so that no escape or mention is cut in half; add an end."""
    room = _TEXT - len(end)
    if cost(text) > room:
        text = cut(text, room).rpartition(" ")[0] + " …"
    return text + end


def plainly(content: Iterable[Block]) -> list[Block]:
    """Blocks as sections of plain text, except inputs and buttons, for any modal."""
    kept = ("actions", "input")
    return [block if block["type"] in kept else blocks.plainly(block) for block in content]


def _as_text(block: Block) -> Iterable[Block]:
    if block["type"] not in _TABLES:
        return (block,)
    rows = [[blocks.cell_text(cell) for cell in row] for row in block["rows"]]
    return (blocks.preformatted(chunk) for chunk in in_chunks(_drawn(rows)))


def _drawn(rows: Sequence[Sequence[str]]) -> list[str]:
    """A table as lines of text: in columns, or just separated if that would be too long."""
    widths = [max(map(cost, column)) for column in zip(*rows, strict=True)]
    if (sum(widths) + 2 * len(widths)) * len(rows) > _PADDED:
        return [" | ".join(row) for row in rows]
    return ["  ".join(map(_padded, row, widths)).rstrip() or " " for row in rows]


def _padded(cell: str, width: int) -> str:
    return cell + " " * (width - cost(cell))


def in_chunks(written: Iterable[str]) -> Iterable[str]:
    chunk = ""
    for line in written:
        if chunk and len(chunk) + 1 + len(line) > _CHUNK:
            yield chunk
            chunk = line
        else:
            chunk = f"{chunk}\n{line}" if chunk else line
    yield chunk
