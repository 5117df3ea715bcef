"""Every limit of Block Kit: at the limit it is accepted, beyond it refused."""

from typing import Any

import pytest

from workspace.blocks import complete, elements, problems_of_message, problems_of_view, too_long

Json = dict[str, Any]


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def mrkdwn(text: str) -> Json:
    return {"type": "mrkdwn", "text": text}


def section(text: str = "x", **more: Any) -> Json:
    return {"type": "section", "text": mrkdwn(text), **more}


def button(text: str = "Go", **more: Any) -> Json:
    return {"type": "button", "text": plain(text), **more}


def actions(*elements: Json, **more: Any) -> Json:
    return {"type": "actions", "elements": list(elements), **more}


def option(text: str = "one", value: str = "1", **more: Any) -> Json:
    return {"text": plain(text), "value": value, **more}


def select(*options: Json, **more: Any) -> Json:
    return {"type": "static_select", "options": list(options), **more}


def overflow(*options: Json) -> Json:
    return {"type": "overflow", "options": list(options)}


def confirm(**more: Any) -> Json:
    return {"title": plain("Sure?"), "text": plain("It goes."), **more}


def untitled() -> Json:
    return {"text": plain("It goes.")}


def workflow_button(trigger: str) -> Json:
    workflow = {"trigger": {"url": trigger}}
    return {"type": "workflow_button", "text": plain("Run"), "workflow": workflow}


def conversations(filtered: Json) -> Json:
    return {"type": "conversations_select", "filter": filtered}


def cell(text: str = "x") -> Json:
    return {"type": "raw_text", "text": text}


def table(*rows: list[Json], **more: Any) -> Json:
    return {"type": "table", "rows": list(rows), **more}


def numeric(text: str) -> Json:
    return {"type": "raw_number", "value": 5, "text": text}


def rich(*parts: Json) -> Json:
    return {
        "type": "rich_text",
        "elements": [{"type": "rich_text_section", "elements": list(parts)}],
    }


def numbers(count: int) -> list[Json]:
    return [option(f"option {n}", str(n)) for n in range(count)]


def grouped(label: str, options: list[Json]) -> Json:
    return {
        "type": "static_select",
        "option_groups": [{"label": plain(label), "options": options}],
    }


def several(**more: Any) -> Json:
    return {"type": "multi_static_select", "options": numbers(2), **more}


def typed(**more: Any) -> Json:
    return {"type": "plain_text_input", "action_id": "a", **more}


def question(label: Json | None = None, **more: Any) -> Json:
    return {"type": "input", "label": label or plain("Why"), "element": typed(), **more}


def picture(alt_text: str) -> Json:
    return {"type": "image", "image_url": "https://x", "alt_text": alt_text}


def pictured(**slack_file: str) -> Json:
    return {"type": "image", "slack_file": slack_file, "alt_text": "x"}


FILE: Json = {"type": "file", "source": "remote", "external_id": "1"}
VIDEO: Json = {
    "type": "video",
    "video_url": "https://x",
    "thumbnail_url": "https://x",
    "alt_text": "x",
    "title": plain("x"),
}


def container(**more: Any) -> Json:
    made = {"type": "container", "title": plain("x"), "child_blocks": [section()], **more}
    return {name: value for name, value in made.items() if value is not None}


def data_table(*rows: list[Json], **more: Any) -> Json:
    return {"type": "data_table", "caption": "Sessions", "rows": list(rows), **more}


def quote(**more: Any) -> Json:
    text = {"type": "text", "text": "x"}
    part = {"type": "rich_text_quote", "elements": [text], **more}
    return {"type": "rich_text", "elements": [part]}


def listed(**more: Any) -> Json:
    item = {"type": "rich_text_section", "elements": []}
    part = {"type": "rich_text_list", "style": "bullet", "elements": [item], **more}
    return {"type": "rich_text", "elements": [part]}


GROUP = {"label": plain("g"), "options": numbers(1)}

INSIDE_AND_OUTSIDE: dict[str, tuple[list[Json], list[Json]]] = {
    "50 blocks": ([section()] * 50, [section()] * 51),
    "section text 3000": ([section("x" * 3000)], [section("x" * 3001)]),
    "section text not empty": ([section("x")], [section("")]),
    "10 fields": (
        [{"type": "section", "fields": [plain("x")] * 10}],
        [{"type": "section", "fields": [plain("x")] * 11}],
    ),
    "field 2000": (
        [{"type": "section", "fields": [mrkdwn("x" * 2000)]}],
        [{"type": "section", "fields": [mrkdwn("x" * 2001)]}],
    ),
    "header 150": (
        [{"type": "header", "text": plain("x" * 150)}],
        [{"type": "header", "text": plain("x" * 151)}],
    ),
    "header is plain": (
        [{"type": "header", "text": plain("x")}],
        [{"type": "header", "text": mrkdwn("x")}],
    ),
    "10 context elements": (
        [{"type": "context", "elements": [mrkdwn("x")] * 10}],
        [{"type": "context", "elements": [mrkdwn("x")] * 11}],
    ),
    "25 actions": (
        [actions(*[button(action_id=str(n)) for n in range(25)])],
        [actions(*[button(action_id=str(n)) for n in range(26)])],
    ),
    "button text 75": ([actions(button("x" * 75))], [actions(button("x" * 76))]),
    "button text is plain": (
        [actions(button())],
        [actions({"type": "button", "text": mrkdwn("Go")})],
    ),
    "button value 2000": (
        [actions(button(value="x" * 2000))],
        [actions(button(value="x" * 2001))],
    ),
    "button style": (
        [actions(button(style="danger"))],
        [actions(button(style="warning"))],
    ),
    "action_id 255": (
        [actions(button(action_id="x" * 255))],
        [actions(button(action_id="x" * 256))],
    ),
    "block_id 255": ([section(block_id="x" * 255)], [section(block_id="x" * 256)]),
    "block_ids differ": (
        [section(block_id="a"), section(block_id="b")],
        [section(block_id="a"), section(block_id="a")],
    ),
    "action_ids differ within a block": (
        [actions(button(action_id="a")), actions(button(action_id="a"))],
        [actions(button(action_id="a"), button(action_id="a"))],
    ),
    "100 options": ([actions(select(*numbers(100)))], [actions(select(*numbers(101)))]),
    "some option": ([actions(select(*numbers(1)))], [actions(select())]),
    "option text 75": (
        [actions(select(option("x" * 75)))],
        [actions(select(option("x" * 76)))],
    ),
    "option value 150": (
        [actions(select(option(value="x" * 150)))],
        [actions(select(option(value="x" * 151)))],
    ),
    "option description 75": (
        [actions(select(option(description=plain("x" * 75))))],
        [actions(select(option(description=plain("x" * 76))))],
    ),
    "placeholder 150": (
        [actions(select(option(), placeholder=plain("x" * 150)))],
        [actions(select(option(), placeholder=plain("x" * 151)))],
    ),
    "initial option is one of them": (
        [actions(select(option(), initial_option=option()))],
        [actions(select(option(), initial_option=option("two", "2")))],
    ),
    "options or groups": (
        [actions(grouped("g", numbers(1)))],
        [actions(select(option(), option_groups=[GROUP]))],
    ),
    "overflow 5": ([actions(overflow(*numbers(5)))], [actions(overflow(*numbers(6)))]),
    "confirm title 100": (
        [actions(button(confirm=confirm(title=plain("x" * 100))))],
        [actions(button(confirm=confirm(title=plain("x" * 101))))],
    ),
    "confirm text 300": (
        [actions(button(confirm=confirm(text=mrkdwn("x" * 300))))],
        [actions(button(confirm=confirm(text=mrkdwn("x" * 301))))],
    ),
    "confirm button 30": (
        [actions(button(confirm=confirm(confirm=plain("x" * 30))))],
        [actions(button(confirm=confirm(confirm=plain("x" * 31))))],
    ),
    "deny button 30": (
        [actions(button(confirm=confirm(deny=plain("x" * 30))))],
        [actions(button(confirm=confirm(deny=plain("x" * 31))))],
    ),
    "confirm style": (
        [actions(button(confirm=confirm(style="danger")))],
        [actions(button(confirm=confirm(style="warning")))],
    ),
    "100 rows": ([table(*[[cell()]] * 100)], [table(*[[cell()]] * 101)]),
    "a row": ([table([cell()])], [table()]),
    "20 cells": ([table([cell()] * 20)], [table([cell()] * 21)]),
    "a cell in a row": ([table([cell()])], [table([])]),
    "cell not empty": ([table([cell(" ")])], [table([cell("")])]),
    "cell kinds": (
        [table([numeric("5"), rich({"type": "text", "text": "x"})])],
        [table([plain("x")])],
    ),
    "number has a text": ([table([numeric("5")])], [table([numeric("")])]),
    "number has a text at all": (
        [table([numeric("5")])],
        [table([{"type": "raw_number", "value": 5}])],
    ),
    "20 column settings": (
        [table([cell()], column_settings=[{"align": "right"}, None] * 10)],
        [table([cell()], column_settings=[{"align": "right"}] * 21)],
    ),
    "column alignment": (
        [table([cell()], column_settings=[{"is_wrapped": True}])],
        [table([cell()], column_settings=[{"align": "middle"}])],
    ),
    "10,000 characters of table": (
        [table([cell("x" * 5000)], [cell("x" * 5000)])],
        [table([cell("x" * 5000)], [cell("x" * 5000), cell("x")])],
    ),
    "one table": ([table([cell()])], [table([cell()]), table([cell()])]),
    "rich_text not empty": (
        [rich({"type": "text", "text": "x"})],
        [rich({"type": "text", "text": ""})],
    ),
    "rich_text parts": (
        [
            rich(
                {"type": "user", "user_id": "U1"},
                {"type": "broadcast", "range": "here"},
                {"type": "link", "url": "https://x"},
                {"type": "text", "text": "x", "style": {"bold": True, "code": True}},
            )
        ],
        [rich({"type": "mrkdwn", "text": "x"})],
    ),
    "rich_text style": (
        [rich({"type": "text", "text": "x", "style": {"italic": True}})],
        [rich({"type": "text", "text": "x", "style": {"blink": True}})],
    ),
    "rich_text preformatted holds text": (
        [
            {
                "type": "rich_text",
                "elements": [
                    {
                        "type": "rich_text_preformatted",
                        "elements": [{"type": "text", "text": "x"}],
                    }
                ],
            }
        ],
        [
            {
                "type": "rich_text",
                "elements": [
                    {
                        "type": "rich_text_preformatted",
                        "elements": [{"type": "user", "user_id": "U1"}],
                    }
                ],
            }
        ],
    ),
    "rich_text list indent": ([listed(indent=9)], [listed(indent=-1)]),
    "rich_text names a team": (
        [rich({"type": "team", "team_id": "T1"})],
        [rich({"type": "team"})],
    ),
    "rich_text preformatted and quotes may be empty": (
        [quote(elements=[]), quote(type="rich_text_preformatted", elements=[])],
        [listed(elements=[])],
    ),
    "markdown 12,000": (
        [{"type": "markdown", "text": "x" * 12_000}],
        [{"type": "markdown", "text": "x" * 12_001}],
    ),
    "container 10 children": (
        [{"type": "container", "title": plain("x"), "child_blocks": [section()] * 10}],
        [{"type": "container", "title": plain("x"), "child_blocks": [section()] * 11}],
    ),
    "10 checkboxes": (
        [actions({"type": "checkboxes", "options": numbers(10)})],
        [actions({"type": "checkboxes", "options": numbers(11)})],
    ),
    "option group label 75": (
        [actions(grouped("x" * 75, numbers(1)))],
        [actions(grouped("x" * 76, numbers(1)))],
    ),
    "100 options in a group": (
        [actions(grouped("g", numbers(100)))],
        [actions(grouped("g", numbers(101)))],
    ),
    "100 option groups": (
        [actions({"type": "static_select", "option_groups": [GROUP] * 100})],
        [actions({"type": "static_select", "option_groups": [GROUP] * 101})],
    ),
    "tick text 75": (
        [actions({"type": "radio_buttons", "options": [option("x" * 75)]})],
        [actions({"type": "radio_buttons", "options": [option("x" * 76)]})],
    ),
    "tick value 150": (
        [actions({"type": "checkboxes", "options": [option(value="x" * 150)]})],
        [actions({"type": "checkboxes", "options": [option(value="x" * 151)]})],
    ),
    "10 radio buttons": (
        [actions({"type": "radio_buttons", "options": numbers(10)})],
        [actions({"type": "radio_buttons", "options": numbers(11)})],
    ),
    "overflow text 75": (
        [actions(overflow(option("x" * 75)))],
        [actions(overflow(option("x" * 76)))],
    ),
    "accessibility label 75": (
        [actions(button(accessibility_label="x" * 75))],
        [actions(button(accessibility_label="x" * 76))],
    ),
    "button value 1": ([actions(button(value="x"))], [actions(button(value=""))]),
    "button value is a text": ([actions(button())], [actions(button(value=1))]),
    "confirm title": ([actions(button(confirm=confirm()))], [actions(button(confirm=untitled()))]),
    "at least one selected item": (
        [section(accessory=several(max_selected_items=1))],
        [section(accessory=several(max_selected_items=0))],
    ),
    "several at a time stand in actions, too": (
        [section(accessory=several()), actions(several())],
        [actions(several(options=[]))],
    ),
    "datetimepicker stands beside no section": (
        [actions({"type": "datetimepicker"})],
        [section(accessory={"type": "datetimepicker"})],
    ),
    "workflow button names its trigger": (
        [actions(workflow_button("https://x")), section(accessory=workflow_button("https://x"))],
        [actions(workflow_button("x"))],
    ),
    "rich text input stands in actions": (
        [
            actions({"type": "rich_text_input", "initial_value": rich()}),
            question(element={"type": "rich_text_input"}),
        ],
        [section(accessory={"type": "rich_text_input"})],
    ),
    "file input 10": (
        [question(element={"type": "file_input", "max_files": 10})],
        [question(element={"type": "file_input", "max_files": 11})],
    ),
    "conversation filter has a field": (
        [actions(conversations({"include": ["im"]}))],
        [actions(conversations({}))],
    ),
    "slack_file has an id or a url": (
        [pictured(id="F1"), pictured(url="https://x")],
        [pictured(id="F1", url="https://x")],
    ),
    "slack_file has one of them": ([pictured(id="F1")], [pictured()]),
    "input label 2000": ([question(plain("x" * 2000))], [question(plain("x" * 2001))]),
    "input hint 2000": (
        [question(hint=plain("x" * 2000))],
        [question(hint=plain("x" * 2001))],
    ),
    "typed placeholder 150": (
        [question(element=typed(placeholder=plain("x" * 150)))],
        [question(element=typed(placeholder=plain("x" * 151)))],
    ),
    "typed length 3000": (
        [question(element=typed(min_length=0, max_length=3000, initial_value="x" * 3000))],
        [question(element=typed(max_length=3001))],
    ),
    "typed length at least 1": (
        [question(element=typed(max_length=1))],
        [question(element=typed(max_length=0))],
    ),
    "typed initial value 3000": (
        [question(element=typed(initial_value=""))],
        [question(element=typed(initial_value="x" * 3001))],
    ),
    "image alt_text 2000": (
        [{"type": "image", "image_url": "https://x", "alt_text": "x" * 2000}],
        [{"type": "image", "image_url": "https://x", "alt_text": "x" * 2001}],
    ),
    "image title 2000": (
        [
            {
                "type": "image",
                "image_url": "https://x",
                "alt_text": "x",
                "title": plain("x" * 2000),
            }
        ],
        [
            {
                "type": "image",
                "image_url": "https://x",
                "alt_text": "x",
                "title": plain("x" * 2001),
            }
        ],
    ),
    "image in a context": (
        [{"type": "context", "elements": [picture("x" * 2000)]}],
        [{"type": "context", "elements": [picture("x" * 2001)]}],
    ),
    "container title 150": (
        [container(title=plain("x" * 150))],
        [container(title=plain("x" * 151))],
    ),
    "container subtitle 150": (
        [container(subtitle=plain("x" * 150))],
        [container(subtitle=plain("x" * 151))],
    ),
    "container subtitle": (
        [container(subtitle=mrkdwn("x"))],
        [container(title=mrkdwn("x"))],
    ),
    "container has a title": (
        [container(), container(title=None, rich_text_title=rich({"type": "text", "text": "x"}))],
        [container(title=None)],
    ),
    "container has no divider if collapsible": (
        [container(is_collapsible=True), container(has_header_divider=True)],
        [container(is_collapsible=True, has_header_divider=True)],
    ),
    "container is collapsed only if collapsible": (
        [container(is_collapsible=True, default_collapsed=True)],
        [container(default_collapsed=True)],
    ),
    "container holds a table, an input, a file, a video": (
        [container(child_blocks=[table([cell()]), question(), FILE, VIDEO])],
        [container(child_blocks=[container()])],
    ),
    "one table with those in containers": (
        [table([cell()])],
        [table([cell()]), container(child_blocks=[table([cell()])])],
    ),
    "data_table 101 rows": (
        [data_table(*[[cell()]] * 101)],
        [data_table(*[[cell()]] * 102)],
    ),
    "data_table 20 columns": (
        [data_table(*[[cell()] * 20] * 2)],
        [data_table(*[[cell()] * 21] * 2)],
    ),
    "data_table has a caption": (
        [data_table([cell()], [cell()])],
        [data_table([cell()], [cell()], caption="")],
    ),
    "data_table header is plain": (
        [data_table([cell()], [rich({"type": "text", "text": "x"})])],
        [data_table([rich({"type": "text", "text": "x"})], [cell()])],
    ),
    "data_table row header is a column": (
        [data_table([cell()], [cell()], row_header_column_index=0)],
        [data_table([cell()], [cell()], row_header_column_index=1)],
    ),
    "a number is one": (
        [table([{"type": "raw_number", "value": 7, "text": "x"}])],
        [table([{"type": "raw_number", "value": "7", "text": "x"}])],
    ),
    "one table of either kind": (
        [data_table([cell()], [cell()])],
        [data_table([cell()], [cell()]), table([cell()])],
    ),
    "data_table has a row below its header": (
        [data_table([cell()], [cell()])],
        [data_table([cell()])],
    ),
    "data_table rows are even": (
        [data_table([cell()] * 2, [cell()] * 2)],
        [data_table([cell()] * 2, [cell()])],
    ),
    "data_table 10,000 characters": (
        [data_table([cell("x" * 5000)], [cell("x" * 5000)])],
        [data_table([cell("x" * 5000)], [cell("x" * 5001)])],
    ),
    "data_table page 100": (
        [data_table([cell()], [cell()], page_size=100)],
        [data_table([cell()], [cell()], page_size=101)],
    ),
    "data_table page 1": (
        [data_table([cell()], [cell()], page_size=1)],
        [data_table([cell()], [cell()], page_size=0)],
    ),
    "rich_text border": (
        [quote(border=1), quote(border=0)],
        [quote(border=2)],
    ),
    "section has text or fields": ([section()], [{"type": "section"}]),
    "known block": ([section()], [{"type": "paragraph", "text": plain("x")}]),
    "block has a type": ([{"type": "divider"}], [{"text": plain("x")}]),
    "known field": ([section(expand=True)], [section(color="red")]),
    "block_id stands on blocks alone": (
        [actions(button(), block_id="a")],
        [actions(button(block_id="a"))],
    ),
    "emoji is plain_text's": (
        [{"type": "header", "text": {**plain("x"), "emoji": False}}],
        [{"type": "section", "text": {**mrkdwn("x"), "emoji": False}}],
    ),
    "verbatim is mrkdwn's": (
        [{"type": "section", "text": {**mrkdwn("x"), "verbatim": True}}],
        [{"type": "section", "text": {**plain("x"), "verbatim": True}}],
    ),
    "element fits its block": (
        [section(accessory=button())],
        [section(accessory={"type": "plain_text_input"})],
    ),
    "actions take no text input": (
        [actions(button())],
        [actions({"type": "plain_text_input", "action_id": "a"})],
    ),
    "alert is for modals": ([section()], [{"type": "alert", "text": plain("x")}]),
    "text is an object": ([section()], [{"type": "section", "text": "x"}]),
    "booleans are booleans": ([section(expand=False)], [section(expand="false")]),
    "url is one": ([actions(button(url="https://x"))], [actions(button(url="x"))]),
}


@pytest.mark.parametrize(
    ("inside", "outside"), INSIDE_AND_OUTSIDE.values(), ids=list(INSIDE_AND_OUTSIDE)
)
def test_message_is_accepted_only_up_to_the_limit(inside, outside):
    assert problems_of_message(inside) == []
    assert problems_of_message(outside) != []


@pytest.mark.parametrize(
    ("blocks", "complaint"),
    [
        ([section("x" * 3001)], "must be less than 3001 characters [json-pointer:/blocks/0/text"),
        ([section("")], "must be more than 0 characters [json-pointer:/blocks/0/text"),
        ([section()] * 51, "no more than 50 items allowed [json-pointer:/blocks]"),
        ([{"type": "x"}], "unsupported type: x [json-pointer:/blocks/0]"),
        ([{"type": "header"}], "missing required field: text [json-pointer:/blocks/0]"),
        ([section(color="x")], "invalid additional property: color [json-pointer:/blocks/0]"),
        ([table([cell()])] * 2, "only_one_table_allowed"),
        ([section(block_id="a")] * 2, "`block_id` 'a' already exists"),
    ],
)
def test_a_complaint_says_what_is_wrong_and_where(blocks, complaint):
    assert complaint in problems_of_message(blocks)[0]


def modal(**more: Any) -> Json:
    return {"type": "modal", "title": plain("Title"), "blocks": [section()], **more}


VIEWS: dict[str, tuple[Json, Json]] = {
    "title 24": (modal(title=plain("x" * 24)), modal(title=plain("x" * 25))),
    "submit 24": (modal(submit=plain("x" * 24)), modal(submit=plain("x" * 25))),
    "close 24": (modal(close=plain("x" * 24)), modal(close=plain("x" * 25))),
    "private_metadata 3000": (
        modal(private_metadata="x" * 3000),
        modal(private_metadata="x" * 3001),
    ),
    "callback_id 255": (modal(callback_id="x" * 255), modal(callback_id="x" * 256)),
    "external_id 255": (modal(external_id="x" * 255), modal(external_id="x" * 256)),
    "ids may be empty": (
        modal(external_id="", callback_id="", private_metadata=""),
        modal(external_id=1),
    ),
    "alert text 200": (
        modal(blocks=[{"type": "alert", "text": plain("x" * 200)}]),
        modal(blocks=[{"type": "alert", "text": plain("x" * 201)}]),
    ),
    "100 blocks": (modal(blocks=[section()] * 100), modal(blocks=[section()] * 101)),
    "an input needs submit": (
        modal(blocks=[question()], submit=plain("Send")),
        modal(blocks=[question()]),
    ),
    "no table": (modal(), modal(blocks=[table([cell()])])),
    "no markdown": (modal(), modal(blocks=[{"type": "markdown", "text": "x"}])),
    "alert": (
        modal(blocks=[{"type": "alert", "text": plain("x"), "level": "warning"}]),
        modal(blocks=[{"type": "alert", "text": plain("x"), "level": "loud"}]),
    ),
    "known field": (modal(notify_on_close=True), modal(colour="red")),
    "submit_disabled is for workflow steps": (modal(), modal(submit_disabled=True)),
    "modal": (modal(), modal(type="popup")),
    "block_ids differ": (
        modal(blocks=[section(block_id="a"), section(block_id="b")]),
        modal(blocks=[section(block_id="a"), section(block_id="a")]),
    ),
}


@pytest.mark.parametrize(("inside", "outside"), VIEWS.values(), ids=list(VIEWS))
def test_modal_is_accepted_only_up_to_the_limit(inside, outside):
    assert problems_of_view(inside) == []
    assert problems_of_view(outside) != []


def test_a_message_with_markdown_may_be_too_long_as_a_whole():
    markdown = {"type": "markdown", "text": "x" * 12_000}
    assert not too_long([markdown, section("x" * 1200)])
    assert too_long([markdown, section("x" * 1201)])
    assert too_long([{"type": "markdown", "text": "x" * 6001}] * 2)
    assert not too_long([section("x" * 3000)] * 50)


def test_missing_ids_and_defaults_are_filled_in():
    given = [actions(button(), button(action_id="mine")), section(block_id="kept")]
    made = complete(given)
    assert made[1]["block_id"] == "kept"
    assert made[1]["text"]["verbatim"] is False
    first, second = elements(made)
    assert first.block_id == second.block_id
    assert first.action_id
    assert second.action_id == "mine"
    assert first.element["text"]["emoji"] is True
    assert "block_id" not in given[0]
