"""The few kinds of blocks that the bot sends, within Slack's limits.

Pure. No block has a `block_id`. Slack assigns new ones whenever a message is posted or updated,
which is what it asks of apps that name their own. The numbers come from Slack's block reference.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Literal

from bot.slack.views import lines
from bot.slack.views.lines import Line, escape, plain
from bot.text import cost, cut

Block = dict[str, Any]
Style = Literal["primary", "danger"]

TABLE_ROWS = 100
"""Maximum rows of a table, including its header."""

TABLE_CELLS = 20
"""Maximum cells of a row."""

TABLE_CHARACTERS = 10_000
"""Maximum characters in all cells of a message's tables. A message has one table."""

LABEL = 40
"""Maximum characters of a button's label. Slack accepts 75, but shows about 30: what tells it from
other buttons comes first."""

OPTIONS = 100
"""Maximum options of a menu."""

BUTTONS = 25
"""Maximum elements of an actions block."""

_SECTION = 3000
_BUTTON_VALUE = 2000
_OPTION_VALUE = 150


def paragraph(*written: Line) -> Block:
    """Lines of text, one below the other. Each needs at least one part."""
    sections = [{"type": "rich_text_section", "elements": lines.rich(line)} for line in written]
    return {"type": "rich_text", "elements": sections}


def preformatted(text: str) -> Block:
    """Text in a fixed width, exactly as it is."""
    element = {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": text}]}
    return {"type": "rich_text", "elements": [element]}


def header(words: str) -> Block:
    """Our own words as a heading."""
    return {"type": "header", "text": plain_text(words)}


def example(typed: str, does: str, button: Block) -> Block:
    """A command of our own, what it does, and a button beside it."""
    text = f"`{escape(typed)}`\n{escape(does)}"
    shown = {"type": "mrkdwn", "text": text, "verbatim": True}
    return {"type": "section", "text": shown, "accessory": button}


def foot(line: Line) -> Block:
    """A line in small grey print. At most 10 runs of quoted and own text."""
    return {"type": "context", "elements": lines.inline(line)}


def fields(pairs: Iterable[tuple[str, str]]) -> Block:
    """Up to 10 names with their values, in two columns if there is room."""
    texts = [
        {"type": "plain_text", "text": f"{name}\n{plain(value, 500)}", "emoji": False}
        for name, value in pairs
    ]
    return {"type": "section", "fields": texts[:10]}


def table(rows: Sequence[Sequence[str]], *, people: Collection[int] = ()) -> Block:
    """A table of texts that `tables.fit` has measured, header row first.

    In the columns `people`, counted from 0, each cell is a user's id. Slack shows the person's
    name and, in a message that others see, notifies them.
    """
    header, *body = [[{"type": "raw_text", "text": cell} for cell in row] for row in rows]
    cells = [[_person(c) if at in people else c for at, c in enumerate(row)] for row in body]
    return {"type": "table", "rows": [header, *cells]}


def _person(cell: Block) -> Block:
    if not isinstance(named := lines.person(cell["text"]), lines.Person):
        return cell
    section = {"type": "rich_text_section", "elements": lines.rich((named,))}
    return {"type": "rich_text", "elements": [section]}


def cell_text(cell: Block) -> str:
    """The text of a table's cell; for a person, their id."""
    if cell["type"] in {"raw_text", "raw_number"}:
        return str(cell["text"])
    return str(cell["elements"][0]["elements"][0]["user_id"])


def actions(elements: Iterable[Block]) -> Block | None:
    """Up to 25 buttons and menus, whose action ids must differ. None if there are none."""
    present = list(elements)
    return {"type": "actions", "elements": present[:BUTTONS]} if present else None


def button(  # noqa: PLR0913  a button's fields
    label: str,
    action_id: str,
    value: str,
    *,
    spoken: str = "",
    style: Style | None = None,
    confirm: Block | None = None,
) -> Block:
    """Make a button; `spoken` is its label for screen readers, if that says more.

    Slack shows about 30 characters of a label, and a phone fewer. Raises `ValueError` for a value
    that Slack would not accept.
    """
    if not fits_button(value):
        raise ValueError(f"a button's value of {cost(value)} characters")
    made: Block = {
        "type": "button",
        "text": plain_text(label, LABEL),
        "action_id": action_id,
        "value": value,
    }
    if spoken and spoken != label:
        made["accessibility_label"] = plain(spoken, 75)
    if style is not None:
        made["style"] = style
    if confirm is not None:
        made["confirm"] = confirm
    return made


def fitting(label: str, action_id: str, value: str) -> Iterator[Block]:
    """A button, unless its value is too long for Slack: the request can be typed again."""
    if fits_button(value):
        yield button(label, action_id, value)


def fits_button(value: str) -> bool:
    """Whether Slack accepts this as a button's value."""
    return cost(value) <= _BUTTON_VALUE


def menu(placeholder: str, action_id: str, options: Sequence[Block]) -> Block:
    """Make a menu of at least one option."""
    return {
        "type": "static_select",
        "placeholder": plain_text(placeholder, 150),
        "action_id": action_id,
        "options": list(options[:OPTIONS]),
    }


def option(label: str, value: str) -> Block:
    """One option of a menu, whose value `fits_option`."""
    return {"text": plain_text(label, 75), "value": value}


def fits_option(value: str) -> bool:
    """Whether Slack accepts this as an option's value."""
    return cost(value) <= _OPTION_VALUE


def confirm(title: str, text: str, *, yes: str, no: str, style: Style) -> Block:
    """Slack's own dialog before a click counts."""
    return {
        "title": plain_text(title, 100),
        "text": plain_text(text, 300),
        "confirm": plain_text(yes, 30),
        "deny": plain_text(no, 30),
        "style": style,
    }


def plainly(block: Block) -> Block:
    """One of our blocks as a section of plain text, which every Slack surface accepts.

    A button beside it stays.
    """
    text = cut("\n".join(_words(block)), _SECTION) or " "
    kept = {name: block[name] for name in ("accessory",) if name in block}
    return {"type": "section", "text": {"type": "plain_text", "text": text, "emoji": False}, **kept}


def _words(block: Block) -> Iterator[str]:
    match block["type"]:
        case "rich_text":
            for element in block["elements"]:
                yield "".join(map(_word, element["elements"]))
        case "header":
            yield block["text"]["text"]
        case "section" if "text" in block:
            yield block["text"]["text"]
        case "section":
            yield from (field["text"].replace("\n", ": ") for field in block["fields"])
        case "table":
            yield from (" | ".join(map(cell_text, row)) for row in block["rows"])
        case _:  # a context
            yield " ".join(element["text"] for element in block["elements"])


def _word(part: Block) -> str:
    match part["type"]:
        case "user":
            return f"@{part['user_id']}"
        case "channel":
            return f"#{part['channel_id']}"
        case _:
            return str(part["text"])


def plain_text(text: str, most: int = 150) -> Block:
    """Text that Slack shows unchanged: an application named `:boom:` stays that."""
    return {"type": "plain_text", "text": plain(text, most), "emoji": False}
