"""How the tests of the views read a message: the text, its markup, and what can be pressed."""

import json
from collections.abc import Iterator
from typing import Any

from bot.slack.views.message import Message
from workspace.blocks import cell_text, elements, plain_rich_text, problems_of_message

Json = dict[str, Any]


def problems(message: Message) -> list[str]:
    """What Slack would refuse about a message, or about its simpler layouts."""
    found = []
    for shape in message.shapes():
        if not 0 < len(shape.text) <= 4000:
            found.append(f"a text of {len(shape.text)} characters")
        blocks = list(shape.blocks)
        found += problems_of_message(json.loads(json.dumps(blocks)))
        json.dumps([shape.text, *blocks], ensure_ascii=False).encode()
    return found


def walk(value: object) -> Iterator[Json]:
    """Every object in some JSON."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from walk(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from walk(inner)


def parsed(message: Message) -> str:
    """All text in which Slack reads markup."""
    found = [each["text"] for each in walk(message.blocks) if each.get("type") == "mrkdwn"]
    return "\n".join([message.text, *found])


def lines(message: Message) -> list[str]:
    """The text of the blocks, except tables and buttons, line by line."""
    return [line for block in message.blocks for line in _lines(block)]


def _lines(block: Json) -> list[str]:
    match block["type"]:
        case "rich_text":
            return plain_rich_text(block).split("\n")
        case "section":
            return [field["text"].replace("\n", " ", 1) for field in block["fields"]]
        case "context":
            return [" ".join(each["text"] for each in block["elements"])]
        case _:
            return []


def table(message: Message) -> list[list[str]]:
    """The rows of its table, header first; empty if it has none."""
    tables = [block for block in message.blocks if block["type"] in {"table", "data_table"}]
    return [[cell_text(cell) for cell in row] for block in tables for row in block["rows"]]


def column(message: Message, name: str) -> list[str]:
    """A column of its table by its header, or a row of a table turned on its side."""
    header, *rows = table(message)
    at = header.index(name)
    return [row[at] for row in rows]


def pressable(message: Message) -> dict[str, Json]:
    """Its buttons and menus by label, in order."""
    found = [each.element for each in elements(list(message.blocks))]
    return {(each.get("text") or each["placeholder"])["text"]: each for each in found}
