"""What stands inside blocks: texts, options, buttons, menus, inputs and rich text.

Pure, and by the same sources as `workspace.blocks`.
"""

from typing import Any

from workspace.schema import (
    Check,
    array,
    boolean,
    complain,
    integer,
    one_of,
    record,
    string,
    tagged,
    url,
)

IDENTIFIER = string(255)


def plain_text(high: int) -> Check:
    return tagged({"plain_text": record({"text": string(high)}, {"emoji": boolean})})


def any_text(high: int) -> Check:
    """A `plain_text` or a `mrkdwn` object."""
    return tagged(
        {
            "plain_text": record({"text": string(high)}, {"emoji": boolean}),
            "mrkdwn": record({"text": string(high)}, {"verbatim": boolean}),
        }
    )


# Slack's reference requires the title and the text; @slack/types doesn't require the title.
CONFIRM = record(
    {"title": plain_text(100), "text": any_text(300)},
    {"confirm": plain_text(30), "deny": plain_text(30), "style": one_of("primary", "danger")},
)


def option(text: Check, **more: Check) -> Check:
    """An option of a menu; `more` are fields that only some menus accept."""
    return record({"text": text, "value": string(150)}, {"description": plain_text(75), **more})


PLAIN_OPTION = option(plain_text(75))
TICK_OPTION = record({"text": any_text(75), "value": string(150)}, {"description": any_text(75)})
OPTION_GROUP = record({"label": plain_text(75), "options": array(PLAIN_OPTION, 100)})
DISPATCH_CONFIG = record(
    {"trigger_actions_on": array(one_of("on_enter_pressed", "on_character_entered"), 2)}
)


def _either(one: str, other: str) -> Check:
    def check(value: object, at: str, problems: list[str]) -> None:
        assert isinstance(value, dict)
        if (one in value) == (other in value):
            complain(problems, f"must define either `{one}` or `{other}`", at)

    return check


def _not_empty(value: object, at: str, problems: list[str]) -> None:
    if not value:
        complain(problems, "must define at least one field", at)


# At least one field: @slack/types.
CONVERSATION_FILTER = record(
    None,
    {
        "include": array(one_of("im", "mpim", "private", "public")),
        "exclude_external_shared_channels": boolean,
        "exclude_bot_users": boolean,
    },
    _not_empty,
)
# Exactly one of the two: @slack/types.
SLACK_FILE = record(None, {"id": string(), "url": url()}, _either("id", "url"))


def _initial_is_an_option(value: object, at: str, problems: list[str]) -> None:
    assert isinstance(value, dict)
    initial = value.get("initial_options") or [value.get("initial_option")]
    values = [each["value"] for each in options_of(value)]
    for chosen in initial:
        if chosen is not None and chosen["value"] not in values:
            complain(problems, "initial option must match one of the options", at)


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
        "value": string(2000),  # an empty one is refused, by report
        "style": one_of("primary", "danger"),
        "confirm": CONFIRM,
        "accessibility_label": string(75),
    },
)
WORKFLOW_BUTTON = record(
    {
        "text": plain_text(75),
        "workflow": record(
            {
                "trigger": record(
                    {"url": url()},
                    {
                        "customizable_input_parameters": array(
                            record({"name": string(), "value": string()})
                        )
                    },
                )
            }
        ),
    },
    {
        "action_id": IDENTIFIER,
        "style": one_of("primary", "danger"),
        "confirm": CONFIRM,
        "accessibility_label": string(75),
    },
)
OVERFLOW = record(
    {"options": array(option(plain_text(75), url=url()), 5)},
    {"action_id": IDENTIFIER, "confirm": CONFIRM},
)
ONE_PICTURE = _either("image_url", "slack_file")
IMAGE = record(
    {"alt_text": string(2000)},
    {"image_url": url(), "slack_file": SLACK_FILE},
    ONE_PICTURE,
)
SELECTS: dict[str, Check] = {
    "static_select": record(
        None,
        _menu(initial_option=PLAIN_OPTION, **_STATIC),
        _either("options", "option_groups"),
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
        _either("options", "option_groups"),
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
}
DATETIMEPICKER: dict[str, Check] = {
    "datetimepicker": record(None, _interactive(initial_date_time=integer(0)))
}
PRESSABLE: dict[str, Check] = {
    "button": BUTTON,
    "overflow": OVERFLOW,
    "workflow_button": WORKFLOW_BUTTON,
}

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
    "team": record({"team_id": string()}, {"style": _STYLE}),
    "broadcast": record({"range": one_of("here", "channel", "everyone")}, {"style": _STYLE}),
    "color": record({"value": string()}, {"style": _STYLE}),
    "date": record(
        {"timestamp": integer(), "format": string()},
        {"url": url(), "fallback": string(), "style": _STYLE},
    ),
}
_BORDER = integer(0, 1)
_RICH_SECTION = record({"elements": array(tagged(_RICH_TEXT), low=0)})
# Preformatted texts and quotes may be empty, by report.
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
                    {"indent": integer(0), "offset": integer(0), "border": _BORDER},
                ),
                "rich_text_preformatted": record(
                    {
                        "elements": array(
                            tagged({name: _RICH_TEXT[name] for name in ("text", "link")}), low=0
                        )
                    },
                    {"border": _BORDER, "language": string()},
                ),
                "rich_text_quote": record(
                    {"elements": array(tagged(_RICH_TEXT), low=0)}, {"border": _BORDER}
                ),
            }
        )
    )
}


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

# What stands where: @slack/types.
RICH_TEXT_INPUT: dict[str, Check] = {
    "rich_text_input": _typed(
        initial_value=tagged({"rich_text": record(RICH_TEXT_FIELDS, {"block_id": IDENTIFIER})}),
        min_lines=integer(1),
        max_lines=integer(1),
    )
}
_FILE_INPUT: dict[str, Check] = {
    "file_input": record(
        None,
        {"action_id": IDENTIFIER, "filetypes": array(string()), "max_files": integer(1, 10)},
    )
}
SECTION_ACCESSORIES = tagged(
    {"image": IMAGE, **PRESSABLE, **SELECTS, **MULTI_SELECTS, **TICKS, **PICKERS}
)
ACTION_ELEMENTS = tagged(
    {
        **PRESSABLE,
        **SELECTS,
        **MULTI_SELECTS,
        **TICKS,
        **PICKERS,
        **DATETIMEPICKER,
        **RICH_TEXT_INPUT,
    }
)
INPUT_ELEMENTS = tagged(
    {
        **TYPED_INPUTS,
        **RICH_TEXT_INPUT,
        **_FILE_INPUT,
        **SELECTS,
        **MULTI_SELECTS,
        **TICKS,
        **PICKERS,
        **DATETIMEPICKER,
    }
)


def options_of(element: dict[str, Any]) -> list[dict[str, Any]]:
    """The options of a menu, including those in its groups."""
    grouped = [each for group in element.get("option_groups", []) for each in group["options"]]
    return [*element.get("options", []), *grouped]
