"""Block Kit: which blocks Slack takes, and the refusal of every other.

Pure. The numbers are those of Slack's block reference and of the classes of slack_sdk 3.47; where
a number comes from elsewhere, it says so. `problems_of_message` and `problems_of_view` answer with
complaints in Slack's words and an empty list where nothing is wrong.
"""

import copy
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

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
Surface: TypeAlias = Literal["message", "modal"]

MESSAGE_BLOCKS = 50
VIEW_BLOCKS = 100
TABLE_CHARACTERS = 10_000
DATA_TABLE_CHARACTERS = 20_000
MARKDOWN_CHARACTERS = 12_000
# Undocumented: bolt-js issue 2509 met `msg_blocks_too_long` from about 13,200 characters on in
# messages with a markdown block.
BLOCKS_CHARACTERS = 13_200

IDENTIFIER = string(255)


def plain_text(high: int) -> Check:
    """A `plain_text` object."""
    return tagged({"plain_text": record({"text": string(high)}, {"emoji": boolean})})


def any_text(high: int) -> Check:
    """A `plain_text` or a `mrkdwn` object."""
    return tagged(
        {
            "plain_text": record({"text": string(high)}, {"emoji": boolean}),
            "mrkdwn": record({"text": string(high)}, {"verbatim": boolean}),
        }
    )


CONFIRM = record(
    {"title": plain_text(100), "text": any_text(300)},
    {"confirm": plain_text(30), "deny": plain_text(30), "style": one_of("primary", "danger")},
)


def option(text: Check, **more: Check) -> Check:
    """An option of a menu; `more` are fields that only some menus take."""
    return record({"text": text, "value": string(150)}, {"description": plain_text(75), **more})


PLAIN_OPTION = option(plain_text(75))
TICK_OPTION = record({"text": any_text(75), "value": string(150)}, {"description": any_text(75)})
OPTION_GROUP = record({"label": plain_text(75), "options": array(PLAIN_OPTION, 100)})
DISPATCH_CONFIG = record(
    {"trigger_actions_on": array(one_of("on_enter_pressed", "on_character_entered"), 2)}
)
CONVERSATION_FILTER = record(
    None,
    {
        "include": array(one_of("im", "mpim", "private", "public")),
        "exclude_external_shared_channels": boolean,
        "exclude_bot_users": boolean,
    },
)


def _options_or_groups(value: object, at: str, problems: list[str]) -> None:
    assert isinstance(value, dict)
    if ("options" in value) == ("option_groups" in value):
        complain(problems, "must define either `options` or `option_groups`", at)


def _initial_is_an_option(value: object, at: str, problems: list[str]) -> None:
    assert isinstance(value, dict)
    initial = value.get("initial_options") or [value.get("initial_option")]
    values = [each["value"] for each in options_of(value)]
    for chosen in initial:
        if chosen is not None and chosen["value"] not in values:
            complain(problems, "initial option must match one of the options", at)


def _one_picture(value: object, at: str, problems: list[str]) -> None:
    assert isinstance(value, dict)
    if ("image_url" in value) == ("slack_file" in value):
        complain(problems, "must define either `image_url` or `slack_file`", at)


def _interactive(**fields: Check) -> dict[str, Check]:
    return {
        "action_id": IDENTIFIER,
        "confirm": CONFIRM,
        "focus_on_load": boolean,
        **fields,
    }


def _menu(**fields: Check) -> dict[str, Check]:
    return _interactive(placeholder=plain_text(150), **fields)


_STATIC: dict[str, Check] = {
    "options": array(PLAIN_OPTION, 100),
    "option_groups": array(OPTION_GROUP, 100),
}
_MAX_ITEMS: dict[str, Check] = {"max_selected_items": integer(1)}

BUTTON = record(
    {"text": plain_text(75)},
    {
        "action_id": IDENTIFIER,
        "url": url(),
        "value": string(2000, low=0),
        "style": one_of("primary", "danger"),
        "confirm": CONFIRM,
        "accessibility_label": string(75),
    },
)
OVERFLOW = record(
    {"options": array(option(plain_text(75), url=url()), 5)},
    {"action_id": IDENTIFIER, "confirm": CONFIRM},
)
IMAGE = record(
    {"alt_text": string(2000)},
    {"image_url": url(), "slack_file": record(None, {"id": string(), "url": url()})},
    _one_picture,
)
SELECTS: dict[str, Check] = {
    "static_select": record(
        None,
        _menu(initial_option=PLAIN_OPTION, **_STATIC),
        _options_or_groups,
        _initial_is_an_option,
    ),
    "external_select": record(None, _menu(initial_option=PLAIN_OPTION, min_query_length=integer())),
    "users_select": record(None, _menu(initial_user=string())),
    "conversations_select": record(
        None,
        _menu(
            initial_conversation=string(),
            default_to_current_conversation=boolean,
            response_url_enabled=boolean,
            filter=CONVERSATION_FILTER,
        ),
    ),
    "channels_select": record(None, _menu(initial_channel=string(), response_url_enabled=boolean)),
}
MULTI_SELECTS: dict[str, Check] = {
    "multi_static_select": record(
        None,
        _menu(initial_options=array(PLAIN_OPTION, 100), **_STATIC, **_MAX_ITEMS),
        _options_or_groups,
        _initial_is_an_option,
    ),
    "multi_external_select": record(
        None,
        _menu(initial_options=array(PLAIN_OPTION, 100), min_query_length=integer(), **_MAX_ITEMS),
    ),
    "multi_users_select": record(None, _menu(initial_users=array(string()), **_MAX_ITEMS)),
    "multi_conversations_select": record(
        None,
        _menu(
            initial_conversations=array(string()),
            default_to_current_conversation=boolean,
            filter=CONVERSATION_FILTER,
            **_MAX_ITEMS,
        ),
    ),
    "multi_channels_select": record(None, _menu(initial_channels=array(string()), **_MAX_ITEMS)),
}
TICKS: dict[str, Check] = {
    "checkboxes": record(
        {"options": array(TICK_OPTION, 10)},
        _interactive(initial_options=array(TICK_OPTION, 10)),
        _initial_is_an_option,
    ),
    "radio_buttons": record(
        {"options": array(TICK_OPTION, 10)},
        _interactive(initial_option=TICK_OPTION),
        _initial_is_an_option,
    ),
}
PICKERS: dict[str, Check] = {
    "datepicker": record(None, _menu(initial_date=string(10, low=10))),
    "timepicker": record(None, _menu(initial_time=string(5, low=5), timezone=string())),
    "datetimepicker": record(None, _interactive(initial_date_time=integer(0))),
}
PRESSABLE: dict[str, Check] = {"button": BUTTON, "overflow": OVERFLOW}


def _typed(**fields: Check) -> Check:
    return record(
        None,
        {
            "action_id": IDENTIFIER,
            "placeholder": plain_text(150),
            "focus_on_load": boolean,
            "dispatch_action_config": DISPATCH_CONFIG,
            **fields,
        },
    )


TYPED_INPUTS: dict[str, Check] = {
    "plain_text_input": _typed(
        initial_value=string(3000, low=0),
        multiline=boolean,
        min_length=integer(0, 3000),
        max_length=integer(1, 3000),
    ),
    "email_text_input": _typed(initial_value=string(low=0)),
    "url_text_input": _typed(initial_value=string(low=0)),
    "number_input": record(
        {"is_decimal_allowed": boolean},
        {
            "action_id": IDENTIFIER,
            "placeholder": plain_text(150),
            "focus_on_load": boolean,
            "dispatch_action_config": DISPATCH_CONFIG,
            "initial_value": string(low=0),
            "min_value": string(),
            "max_value": string(),
        },
    ),
}

SECTION_ACCESSORIES = tagged(
    {"image": IMAGE, **PRESSABLE, **SELECTS, **MULTI_SELECTS, **TICKS, **PICKERS}
)
ACTION_ELEMENTS = tagged({**PRESSABLE, **SELECTS, **TICKS, **PICKERS})
INPUT_ELEMENTS = tagged({**TYPED_INPUTS, **SELECTS, **MULTI_SELECTS, **TICKS, **PICKERS})

_STYLE = record(
    None,
    dict.fromkeys(
        (
            "bold",
            "italic",
            "strike",
            "underline",
            "code",
            "highlight",
            "client_highlight",
            "unlink",
        ),
        boolean,
    ),
)
_RICH_TEXT: dict[str, Check] = {
    "text": record({"text": string()}, {"style": _STYLE}),
    "link": record({"url": string()}, {"text": string(), "unsafe": boolean, "style": _STYLE}),
    "emoji": record({"name": string()}, {"unicode": string(), "style": _STYLE}),
    "user": record({"user_id": string()}, {"style": _STYLE}),
    "usergroup": record({"usergroup_id": string()}, {"style": _STYLE}),
    "channel": record({"channel_id": string()}, {"style": _STYLE}),
    "broadcast": record({"range": one_of("here", "channel", "everyone")}, {"style": _STYLE}),
    "color": record({"value": string()}, {"style": _STYLE}),
    "date": record(
        {"timestamp": integer(), "format": string()},
        {"url": url(), "fallback": string(), "style": _STYLE},
    ),
}
_BORDER = integer(0, 1)
_RICH_SECTION = record({"elements": array(tagged(_RICH_TEXT), low=0)})
RICH_TEXT_FIELDS: dict[str, Check] = {
    "elements": array(
        tagged(
            {
                "rich_text_section": _RICH_SECTION,
                "rich_text_list": record(
                    {
                        "style": one_of("bullet", "ordered"),
                        "elements": array(tagged({"rich_text_section": _RICH_SECTION})),
                    },
                    {"indent": integer(0, 8), "offset": integer(0), "border": _BORDER},
                ),
                "rich_text_preformatted": record(
                    {
                        "elements": array(
                            tagged({name: _RICH_TEXT[name] for name in ("text", "link")})
                        )
                    },
                    {"border": _BORDER, "language": string()},
                ),
                "rich_text_quote": record(
                    {"elements": array(tagged(_RICH_TEXT))}, {"border": _BORDER}
                ),
            }
        )
    )
}

_BLOCK_ID: dict[str, Check] = {"block_id": IDENTIFIER}
CELL = tagged(
    {
        "raw_text": record({"text": string()}),
        "raw_number": record({"value": number}, {"text": string()}),
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


def _even_rows(value: object, at: str, problems: list[str]) -> None:
    assert isinstance(value, dict)
    if len({len(row) for row in value["rows"]}) > 1:
        complain(problems, "all rows must have the same number of cells", f"{at}/rows")


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
            "slack_file": record(None, {"id": string(), "url": url()}),
        },
        _one_picture,
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
}
_MESSAGE_ONLY: dict[str, Check] = {
    "markdown": record({"text": string(MARKDOWN_CHARACTERS)}, _BLOCK_ID),
    "table": record(
        {"rows": array(array(CELL, 20), 100)},
        {**_BLOCK_ID, "column_settings": array(COLUMN_SETTING, 20, low=0)},
    ),
    "data_table": record(
        {"rows": array(array(CELL, 20), 201, low=2), "caption": string()},
        {**_BLOCK_ID, "page_size": integer(1, 100), "row_header_column_index": integer(0)},
        _even_rows,
    ),
}
_MODAL_ONLY: dict[str, Check] = {
    "alert": record(
        {"text": any_text(3000)},
        {**_BLOCK_ID, "level": one_of("default", "info", "warning", "error", "success")},
    ),
}


def _container(children: dict[str, Check]) -> Check:
    return record(
        {"child_blocks": array(tagged(children), 10)},
        {
            **_BLOCK_ID,
            "title": plain_text(150),
            "rich_text_title": tagged({"rich_text": record(RICH_TEXT_FIELDS, _BLOCK_ID)}),
            "subtitle": plain_text(150),
            "width": one_of("narrow", "standard", "wide", "full"),
            "icon": tagged({"image": IMAGE}),
            "is_collapsible": boolean,
            "default_collapsed": boolean,
            "has_header_divider": boolean,
        },
    )


_IN_A_CONTAINER = {
    name: _EVERYWHERE[name]
    for name in ("section", "divider", "header", "context", "actions", "image", "rich_text")
}
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
    """Every block, those inside containers too."""
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


def options_of(element: Json) -> list[Json]:
    """The options of a menu, those of its groups too."""
    grouped = [each for group in element.get("option_groups", []) for each in group["options"]]
    return [*element.get("options", []), *grouped]


def plain_rich_text(part: Json, entity: Callable[[str], str] = "<{}>".format) -> str:
    """The text of a rich_text block or of any part of it, without its styles.

    `entity` draws a mention, which comes as it would stand between `<` and `>` in mrkdwn.
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
        case "channel":
            return entity(f"#{part['channel_id']}")
        case "broadcast":
            return entity(f"!{part['range']}")
        case "date":
            return str(part.get("fallback", part["timestamp"]))
        case _:
            return str(part.get("value", ""))


def cell_text(cell: Json) -> str:
    """What a table's cell shows."""
    match cell["type"]:
        case "raw_text":
            return str(cell["text"])
        case "raw_number":
            return str(cell.get("text", cell["value"]))
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
    for kind, allowed in (("table", TABLE_CHARACTERS), ("data_table", DATA_TABLE_CHARACTERS)):
        tables = [block for block in blocks if block["type"] == kind]
        if len(tables) > 1:
            complain(problems, "only_one_table_allowed", "/blocks")
        cells = [cell for table in tables for row in table["rows"] for cell in row]
        if sum(len(cell_text(cell)) for cell in cells) > allowed:
            complain(problems, f"table text must be less than {allowed + 1} characters", "/blocks")


def complete(blocks: list[Json]) -> list[Json]:
    """The blocks as Slack hands them back: with the ids and the defaults that the app left out."""
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
