"""Block Kit: which blocks Slack accepts, and why it refuses others.

Pure. The numbers come from Slack's block reference and from the classes of slack_sdk 3.47, unless
a comment says otherwise. `problems_of_message` and `problems_of_view` return complaints in Slack's
words, or an empty list if nothing is wrong.
"""

import copy
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from workspace.block_elements import (
    ACTION_ELEMENTS,
    IDENTIFIER,
    IMAGE,
    INPUT_ELEMENTS,
    ONE_PICTURE,
    RICH_TEXT_FIELDS,
    SECTION_ACCESSORIES,
    SLACK_FILE,
    any_text,
    plain_text,
)
from workspace.schema import (
    Check,
    array,
    boolean,
    complain,
    integer,
    nullable,
    number,
    one_of,
    record,
    string,
    tagged,
    url,
)

Json: TypeAlias = dict[str, Any]
Surface: TypeAlias = Literal["message", "modal", "home"]

MESSAGE_BLOCKS = 50
VIEW_BLOCKS = 100
TABLE_CHARACTERS = 10_000
MARKDOWN_CHARACTERS = 12_000
# Undocumented: bolt-js issue 2509 reports `msg_blocks_too_long` from about 13,200 characters on, in
# messages with a markdown block.
BLOCKS_CHARACTERS = 13_200
ONE_TABLE = "only_one_table_allowed"

_BLOCK_ID: dict[str, Check] = {"block_id": IDENTIFIER}
CELL = tagged(
    {
        "raw_text": record({"text": string()}),
        "raw_number": record({"value": number, "text": string()}),
        "rich_text": record(RICH_TEXT_FIELDS, _BLOCK_ID),
    }
)
COLUMN_SETTING = nullable(
    record(None, {"align": one_of("left", "center", "right"), "is_wrapped": boolean})
)


def _text_or_fields(value: object, at: str, problems: list[str]) -> None:
    assert isinstance(value, dict)
    if "text" not in value and "fields" not in value:
        complain(problems, "must define either `text` or `fields`", at)


def _data_table(value: object, at: str, problems: list[str]) -> None:
    assert isinstance(value, dict)
    header, *_ = rows = value["rows"]
    if len({len(row) for row in rows}) > 1:
        complain(problems, "all rows must have the same number of cells", f"{at}/rows")
    for index, cell in enumerate(header):
        if cell["type"] == "rich_text":
            complain(problems, "unsupported type: rich_text", f"{at}/rows/0/{index}")
    if value.get("row_header_column_index", 0) >= len(header):
        complain(problems, "must be a column", f"{at}/row_header_column_index")


_EVERYWHERE: dict[str, Check] = {
    "section": record(
        None,
        {
            **_BLOCK_ID,
            "text": any_text(3000),
            "fields": array(any_text(2000), 10),
            "accessory": SECTION_ACCESSORIES,
            "expand": boolean,
        },
        _text_or_fields,
    ),
    "divider": record(None, _BLOCK_ID),
    "header": record({"text": plain_text(150)}, _BLOCK_ID),
    "context": record(
        {
            "elements": array(
                tagged(
                    {
                        "image": IMAGE,
                        "plain_text": record({"text": string(3000)}, {"emoji": boolean}),
                        "mrkdwn": record({"text": string(3000)}, {"verbatim": boolean}),
                    }
                ),
                10,
            )
        },
        _BLOCK_ID,
    ),
    "actions": record({"elements": array(ACTION_ELEMENTS, 25)}, _BLOCK_ID),
    "image": record(
        {"alt_text": string(2000)},
        {
            **_BLOCK_ID,
            "title": plain_text(2000),
            "image_url": url(),
            "slack_file": SLACK_FILE,
        },
        ONE_PICTURE,
    ),
    "input": record(
        {"label": plain_text(2000), "element": INPUT_ELEMENTS},
        {
            **_BLOCK_ID,
            "hint": plain_text(2000),
            "optional": boolean,
            "dispatch_action": boolean,
        },
    ),
    "rich_text": record(RICH_TEXT_FIELDS, _BLOCK_ID),
    "video": record(
        {
            "video_url": url(),
            "thumbnail_url": url(),
            "alt_text": string(),
            "title": plain_text(199),
        },
        {
            **_BLOCK_ID,
            "title_url": url(),
            "author_name": string(49),
            "provider_name": string(),
            "provider_icon_url": url(),
            "description": plain_text(199),
        },
    ),
}
_MESSAGE_ONLY: dict[str, Check] = {
    "file": record({"source": one_of("remote"), "external_id": string()}, _BLOCK_ID),
    "markdown": record({"text": string(MARKDOWN_CHARACTERS)}, _BLOCK_ID),
    "table": record(
        {"rows": array(array(CELL, 20), 100)},
        {**_BLOCK_ID, "column_settings": array(COLUMN_SETTING, 20, low=0)},
    ),
    "data_table": record(
        {"rows": array(array(CELL, 20), 101, low=2), "caption": string()},
        {**_BLOCK_ID, "page_size": integer(1, 100), "row_header_column_index": integer(0)},
        _data_table,
    ),
}
_MODAL_ONLY: dict[str, Check] = {
    "alert": record(
        {"text": any_text(200)},  # by report (slackblocks); the reference gives no limit
        {**_BLOCK_ID, "level": one_of("default", "info", "warning", "error", "success")},
    ),
}


def _head_of_container(value: object, at: str, problems: list[str]) -> None:
    """What slack_sdk refuses to send, and @slack/types rules out."""
    assert isinstance(value, dict)
    if "title" not in value and "rich_text_title" not in value:
        complain(problems, "must define either `title` or `rich_text_title`", at)
    if value.get("is_collapsible") and value.get("has_header_divider"):
        complain(problems, "`has_header_divider` is not allowed if `is_collapsible`", at)
    if value.get("default_collapsed") and not value.get("is_collapsible"):
        complain(problems, "`default_collapsed` requires `is_collapsible`", at)


def _container(children: dict[str, Check]) -> Check:
    return record(
        {"child_blocks": array(tagged(children), 10)},
        {
            **_BLOCK_ID,
            "title": plain_text(150),
            "rich_text_title": tagged({"rich_text": record(RICH_TEXT_FIELDS, _BLOCK_ID)}),
            "subtitle": any_text(150),
            "width": one_of("narrow", "standard", "wide", "full"),
            "icon": tagged({"image": IMAGE}),
            "is_collapsible": boolean,
            "default_collapsed": boolean,
            "has_header_divider": boolean,
        },
        _head_of_container,
    )


# @slack/types.
_IN_A_CONTAINER = _EVERYWHERE | {name: _MESSAGE_ONLY[name] for name in ("file", "table")}
MESSAGE = tagged({**_EVERYWHERE, **_MESSAGE_ONLY, "container": _container(_IN_A_CONTAINER)})
MODAL = tagged({**_EVERYWHERE, **_MODAL_ONLY})

VIEW = record(
    {
        "type": one_of("modal"),
        "title": plain_text(24),
        "blocks": array(MODAL, VIEW_BLOCKS),
    },
    {
        "submit": plain_text(24),
        "close": plain_text(24),
        "private_metadata": string(3000, low=0),
        "callback_id": string(255, low=0),
        "external_id": string(255, low=0),
        "clear_on_close": boolean,
        "notify_on_close": boolean,
    },
)
HOME = record(
    {"type": one_of("home"), "blocks": array(tagged(_EVERYWHERE), VIEW_BLOCKS)},
    {
        "private_metadata": string(3000, low=0),
        "callback_id": string(255, low=0),
        "external_id": string(255, low=0),
    },
)


@dataclass(frozen=True, slots=True)
class Element:
    """An interactive element and the block in which it stands."""

    block: Json
    element: Json

    @property
    def block_id(self) -> str:
        return str(self.block["block_id"])

    @property
    def action_id(self) -> str:
        return str(self.element["action_id"])

    @property
    def type(self) -> str:
        return str(self.element["type"])


_PASSIVE = frozenset({"image", "plain_text", "mrkdwn"})


def flatten(blocks: list[Json]) -> Iterator[Json]:
    """Every block, including those inside containers."""
    for block in blocks:
        yield block
        yield from flatten(block.get("child_blocks", []))


def elements(blocks: list[Json]) -> Iterator[Element]:
    """Every interactive element, in reading order."""
    for block in flatten(blocks):
        found = [block.get("accessory"), block.get("element")]
        if block["type"] == "actions":
            found += block["elements"]
        for element in found:
            if element is not None and element["type"] not in _PASSIVE:
                yield Element(block, element)


def plain_rich_text(part: Json, entity: Callable[[str], str] = "<{}>".format) -> str:
    """The text of a rich_text block, or of any part of it, without its styles.

    `entity` draws a mention; it gets what would be between `<` and `>` in mrkdwn.
    """
    if "elements" in part:
        between = "\n" if part["type"] in {"rich_text", "rich_text_list"} else ""
        return between.join(plain_rich_text(each, entity) for each in part["elements"])
    match part["type"]:
        case "text":
            return str(part["text"])
        case "link":
            return str(part.get("text", part["url"]))
        case "emoji":
            return f":{part['name']}:"
        case "user":
            return entity(f"@{part['user_id']}")
        case "usergroup":
            return entity(f"!subteam^{part['usergroup_id']}")
        case "team":
            return f"@{part['team_id']}"
        case "channel":
            return entity(f"#{part['channel_id']}")
        case "broadcast":
            return entity(f"!{part['range']}")
        case "date":
            return str(part.get("fallback", part["timestamp"]))
        case _:
            return str(part.get("value", ""))


def cell_text(cell: Json) -> str:
    match cell["type"]:
        case "raw_text" | "raw_number":
            return str(cell["text"])
        case _:
            return plain_rich_text(cell)


def problems_of_message(blocks: object) -> list[str]:
    """What is wrong with the blocks of a message."""
    problems: list[str] = []
    array(MESSAGE, MESSAGE_BLOCKS, low=0)(blocks, "/blocks", problems)
    if not problems:
        assert isinstance(blocks, list)
        _ids(blocks, "/blocks", problems)
        _tables(blocks, problems)
    return problems


def problems_of_home(view: object) -> list[str]:
    """What is wrong with a Home tab."""
    problems: list[str] = []
    HOME(view, "/view", problems)
    if not problems:
        assert isinstance(view, dict)
        _ids(view["blocks"], "/view/blocks", problems)
    return problems


def problems_of_view(view: object) -> list[str]:
    """What is wrong with a modal."""
    problems: list[str] = []
    VIEW(view, "/view", problems)
    if not problems:
        assert isinstance(view, dict)
        _ids(view["blocks"], "/view/blocks", problems)
        if "submit" not in view and any(block["type"] == "input" for block in view["blocks"]):
            complain(problems, "missing required field: submit", "/view")
    return problems


def too_long(blocks: list[Json]) -> bool:
    """Whether Slack would answer `msg_blocks_too_long`."""
    texts = [block["text"] for block in blocks if block["type"] == "markdown"]
    if not texts:
        return False
    return (
        sum(map(len, texts)) > MARKDOWN_CHARACTERS
        or sum(map(len, strings_of(blocks))) > BLOCKS_CHARACTERS
    )


def strings_of(value: object) -> Iterator[str]:
    """Every text that a reader of these blocks sees."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "text" and isinstance(inner, str):
                yield inner
            else:
                yield from strings_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings_of(inner)


def _ids(blocks: list[Json], at: str, problems: list[str]) -> None:
    block_ids = Counter(block["block_id"] for block in flatten(blocks) if "block_id" in block)
    for block_id, times in block_ids.items():
        if times > 1:
            complain(problems, f"`block_id` {block_id!r} already exists", at)
    for index, block in enumerate(blocks):
        action_ids = Counter(
            each.element["action_id"] for each in elements([block]) if "action_id" in each.element
        )
        for action_id, times in action_ids.items():
            if times > 1:
                complain(problems, f"`action_id` {action_id!r} already exists", f"{at}/{index}")


def _tables(blocks: list[Json], problems: list[str]) -> None:
    """One table a message, of either kind, and so many characters in its cells."""
    tables = [block for block in flatten(blocks) if block["type"] in {"table", "data_table"}]
    if len(tables) > 1:
        complain(problems, ONE_TABLE, "/blocks")
    cells = [cell for table in tables for row in table["rows"] for cell in row]
    if sum(len(cell_text(cell)) for cell in cells) > TABLE_CHARACTERS:
        complain(
            problems, f"table text must be less than {TABLE_CHARACTERS + 1} characters", "/blocks"
        )


def complete(blocks: list[Json]) -> list[Json]:
    """The blocks as Slack returns them: with the ids and defaults that the app left out."""
    made = copy.deepcopy(blocks)
    for block in flatten(made):
        block.setdefault("block_id", _new_id())
    for each in elements(made):
        each.element.setdefault("action_id", _new_id())
    _default_text(made)
    return made


def _new_id() -> str:
    return secrets.token_urlsafe(4)[:5]


def _default_text(value: object) -> None:
    if isinstance(value, list):
        for inner in value:
            _default_text(inner)
    elif isinstance(value, dict):
        if value.get("type") == "plain_text":
            value.setdefault("emoji", True)
        elif value.get("type") == "mrkdwn":
            value.setdefault("verbatim", False)
        for inner in value.values():
            _default_text(inner)
