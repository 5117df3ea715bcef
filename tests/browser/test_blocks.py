"""Every kind of block and element, drawn."""

from typing import Any

from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import PHONE, Look, Say
from workspace import Workspace
from workspace.blocks import Json, complete
from workspace.state import Message

Plain = dict[str, Any]


def plain(text: str, **more: Any) -> Plain:
    return {"type": "plain_text", "text": text, **more}


def mrkdwn(text: str) -> Plain:
    return {"type": "mrkdwn", "text": text}


def rich(*elements: Json) -> Json:
    return {"type": "rich_text", "elements": list(elements)}


def words(text: str, **style: bool) -> Json:
    return {"type": "text", "text": text, **({"style": style} if style else {})}


def line(*elements: Json) -> Json:
    return {"type": "rich_text_section", "elements": list(elements)}


def button(text: str, **more: Any) -> Json:
    return {"type": "button", "text": plain(text), "action_id": text, **more}


def option(text: str, **more: Any) -> Json:
    return {"text": plain(text), "value": text.lower(), **more}


async def drawn(look: Look) -> tuple[Page, Locator]:
    """Ana's tab, and the newest message in it."""
    tab = await look("ana")
    newest = tab.locator(".message").last
    await expect(newest).to_be_visible()
    await expect(tab.locator(".unknown")).to_have_count(0)
    return tab, newest


async def test_section_has_text_fields_and_an_accessory(look: Look, say: Say) -> None:
    say(
        {
            "type": "section",
            "text": mrkdwn("*some_db* on `main`"),
            "fields": [plain("pid\n33507"), mrkdwn("state\n_idle_")],
            "accessory": button("Look"),
        }
    )
    _, message = await drawn(look)
    await expect(message.locator("b", has_text="some_db")).to_be_visible()
    await expect(message.locator("code")).to_have_text("main")
    await expect(message.locator(".fields p")).to_have_text(["pid33507", "stateidle"])
    await expect(message.locator(".fields p").first.locator("br")).to_have_count(1)
    await expect(message.locator(".accessory").get_by_role("button", name="Look")).to_be_visible()


async def test_a_header_a_divider_and_a_context(look: Look, say: Say) -> None:
    say(
        {"type": "header", "text": plain("Sessions")},
        {"type": "divider"},
        {"type": "context", "elements": [mrkdwn("asked by <@U0BEN>"), plain("*as it is*")]},
    )
    _, message = await drawn(look)
    await expect(message.get_by_role("heading", name="Sessions")).to_be_visible()
    await expect(message.locator("hr")).to_have_count(1)
    await expect(message.locator(".context .mention")).to_have_text("@ben")
    await expect(message.locator(".context")).to_contain_text("*as it is*")


async def test_long_button_text_is_cut_but_spoken_whole(look: Look, say: Say) -> None:
    long = "Cancel, then terminate what still runs"
    say({"type": "actions", "elements": [button(long), button("Terminate 12 sessions…")]})
    _, message = await drawn(look)
    pressed = message.get_by_role("button", name=long, exact=True)
    is_cut = "node => node.scrollWidth > node.clientWidth"
    assert await pressed.locator(".button-text").evaluate(is_cut)
    short = message.get_by_role("button", name="Terminate 12 sessions…", exact=True)
    assert not await short.locator(".button-text").evaluate(is_cut)


async def test_preformatted_text_is_not_cut_on_a_phone(look: Look, say: Say) -> None:
    statement = "alter role some_user set idle_in_transaction_session_timeout = '5min'; "
    text = f"{statement * 2}\n  - {'x' * 100}"
    say(rich({"type": "rich_text_preformatted", "elements": [words(text)]}))
    tab = await look("ana", size=PHONE)
    pre = tab.locator(".message pre")
    assert await pre.text_content() == text
    assert await pre.evaluate("node => node.scrollWidth <= node.clientWidth")
    width = await tab.evaluate("document.documentElement.scrollWidth")
    assert width <= PHONE[0]


async def test_an_image_is_named_and_not_fetched(look: Look, say: Say) -> None:
    say({"type": "image", "alt_text": "a chart", "image_url": "https://pictures.example/chart.png"})
    _, message = await drawn(look)
    await expect(message).to_contain_text("Image: a chart")
    await expect(message.locator("img")).to_have_count(0)


async def test_rich_text_has_styles_and_mentions(look: Look, say: Say) -> None:
    say(
        rich(
            line(
                words("bold", bold=True),
                words("italic", italic=True),
                words("struck", strike=True),
                words("both", bold=True, code=True),
                words(" *stars* <@U0ANA> stay "),
                {"type": "user", "user_id": "U0BEN"},
                {"type": "usergroup", "usergroup_id": "S0ONCALL"},
                {"type": "channel", "channel_id": "C0RANDOM"},
                {"type": "broadcast", "range": "here"},
                {"type": "team", "team_id": "T0ACME"},
                {"type": "link", "url": "https://www.postgresql.org/docs/", "text": "the docs"},
                {"type": "emoji", "name": "warning"},
            )
        )
    )
    _, message = await drawn(look)
    for tag, text in (("b", "bold"), ("i", "italic"), ("s", "struck"), ("code", "both")):
        await expect(message.locator(f".rich-text {tag}", has_text=text)).to_have_text(text)
    await expect(message).to_contain_text("*stars* <@U0ANA> stay")
    await expect(message.locator(".mention")).to_have_text(
        ["@ben", "@oncall", "#random", "@here", "@T0ACME"]
    )
    await expect(message.get_by_role("link", name="the docs")).to_have_attribute(
        "href", "https://www.postgresql.org/docs/"
    )
    await expect(message).to_contain_text("⚠️")


async def test_rich_text_has_lists_quotes_and_code(look: Look, say: Say) -> None:
    say(
        rich(
            {"type": "rich_text_list", "style": "ordered", "elements": [line(words("one"))]},
            {
                "type": "rich_text_list",
                "style": "bullet",
                "indent": 1,
                "elements": [line(words("dot"))],
            },
            {"type": "rich_text_quote", "elements": [words("quoted")]},
            {"type": "rich_text_preformatted", "elements": [words("pid  usename\n1    web")]},
        )
    )
    _, message = await drawn(look)
    await expect(message.locator("ol.indent-0 li")).to_have_text("one")
    await expect(message.locator("ul.indent-1 li")).to_have_text("dot")
    await expect(message.locator("blockquote")).to_have_text("quoted")
    assert await message.locator("pre").text_content() == "pid  usename\n1    web"


async def test_table_has_header_all_cell_kinds_and_column_settings(look: Look, say: Say) -> None:
    say(
        {
            "type": "table",
            "column_settings": [{"align": "right"}, None, {"is_wrapped": True}],
            "rows": [
                [{"type": "raw_text", "text": name} for name in ("pid", "usename", "query")],
                [
                    {"type": "raw_number", "value": 33507, "text": "33507"},
                    {"type": "raw_number", "value": 7, "text": "seven"},
                    rich(line(words("update", bold=True))) | {"type": "rich_text"},
                ],
            ],
        }
    )
    _, message = await drawn(look)
    await expect(message.get_by_role("columnheader")).to_have_text(["pid", "usename", "query"])
    await expect(message.get_by_role("cell")).to_have_text(["33507", "seven", "update"])
    await expect(message.get_by_role("cell").first).to_have_css("text-align", "right")
    await expect(message.get_by_role("cell").last).to_have_css("white-space-collapse", "preserve")
    await expect(message.get_by_role("cell").last.locator("b")).to_have_text("update")


async def test_a_wide_table_scrolls_by_itself_and_says_so(look: Look, say: Say) -> None:
    cells = [{"type": "raw_text", "text": f"a long name of column {n}"} for n in range(20)]
    say({"type": "table", "rows": [cells, cells]})
    tab, message = await drawn(look)
    hint = message.get_by_text("more columns")
    await expect(hint).to_be_visible()
    assert await tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await message.get_by_role("region", name="Table, 1 row, 20 columns").evaluate(
        "scroller => scroller.scrollLeft = scroller.scrollWidth"
    )
    await expect(hint).to_be_hidden()


async def test_narrow_table_does_not_mention_scrolling(look: Look, say: Say) -> None:
    say({"type": "table", "rows": [[{"type": "raw_text", "text": "pid"}]] * 2})
    _, message = await drawn(look)
    await expect(message.get_by_text("more columns")).to_be_hidden()


async def test_buttons_show_their_style(look: Look, say: Say) -> None:
    styles = [
        button("Plain"),
        button("Good", style="primary"),
        button("Bad", style="danger"),
        button("Docs", url="https://www.postgresql.org/"),
    ]
    say({"type": "actions", "elements": styles})
    _, message = await drawn(look)
    colours = [
        await message.get_by_role("button", name=name).evaluate(
            "button => getComputedStyle(button).backgroundColor"
        )
        for name in ("Plain", "Good", "Bad")
    ]
    assert len(set(colours)) == 3
    await expect(message.get_by_role("link", name="Docs")).to_have_attribute("target", "_blank")


async def test_a_select_shows_its_placeholder_or_its_option_and_opens_a_list(
    look: Look, say: Say
) -> None:
    say(
        {
            "type": "actions",
            "elements": [
                {
                    "type": "static_select",
                    "action_id": "open",
                    "placeholder": plain("Terminate a session…"),
                    "options": [option("33507"), option("33911", description=plain("waits"))],
                },
                {
                    "type": "static_select",
                    "action_id": "chosen",
                    "option_groups": [
                        {"label": plain("Idle"), "options": [option("1"), option("2")]},
                        {"label": plain("Busy"), "options": [option("3")]},
                    ],
                    "initial_option": option("2"),
                },
            ],
        }
    )
    tab, message = await drawn(look)
    await message.get_by_role("button", name="Terminate a session…").click()
    await expect(tab.get_by_role("option")).to_have_text(["33507", "33911waits"])
    await tab.keyboard.press("Escape")
    await expect(tab.get_by_role("option")).to_have_count(0)
    await message.get_by_role("button", name="2").click()
    await expect(tab.get_by_role("option", selected=True)).to_have_text("2")
    await expect(tab.locator(".menu-group")).to_have_text(["Idle", "Busy"])


async def test_an_overflow_menu_opens_a_menu(look: Look, say: Say) -> None:
    options = [option("Refresh"), option("Dismiss")]
    say({"type": "actions", "elements": [{"type": "overflow", "options": options}]})
    tab, message = await drawn(look)
    await message.get_by_role("button", name="More actions").click()
    await expect(tab.get_by_role("menuitem")).to_have_text(["Refresh", "Dismiss"])


async def test_checkboxes_and_dates_show_their_initial_values(look: Look, say: Say) -> None:
    say(
        {
            "type": "actions",
            "elements": [
                {
                    "type": "checkboxes",
                    "options": [option("Idle"), option("Busy")],
                    "initial_options": [option("Busy")],
                },
                {
                    "type": "radio_buttons",
                    "options": [option("Main"), option("Prod")],
                    "initial_option": option("Main"),
                },
                {"type": "datepicker", "initial_date": "2026-01-31"},
                {"type": "timepicker", "initial_time": "12:10"},
            ],
        }
    )
    _, message = await drawn(look)
    await expect(message.get_by_role("checkbox", name="Busy")).to_be_checked()
    await expect(message.get_by_role("checkbox", name="Idle")).not_to_be_checked()
    await expect(message.get_by_role("radio", name="Main")).to_be_checked()
    await expect(message.locator("input[type=date]")).to_have_value("2026-01-31")
    await expect(message.locator("input[type=time]")).to_have_value("12:10")


async def test_blocks_that_the_page_does_not_draw_are_named(look: Look, slack: Workspace) -> None:
    blocks = [
        {"type": "video", "title": plain("Nobody draws this")},
        rich({"type": "rich_text_poem", "elements": []}),
        {"type": "actions", "elements": [{"type": "users_select", "action_id": "who"}]},
        {"type": "table", "rows": [[{"type": "raw_image"}]]},
    ]
    slack.state.post(
        Message(
            channel="C0INCIDENTS",
            ts=slack.state.new_ts(),
            user=slack.state.app.user_id,
            text="",
            blocks=tuple(complete(blocks)),
        )
    )
    tab = await look("ana")
    await expect(tab.locator(".unknown")).to_have_text(
        [
            f"This page does not draw “{kind}”."
            for kind in ("video", "rich_text_poem", "users_select", "raw_image")
        ]
    )


MRKDWN = {
    "*bold* _it_ ~no~ `code`": "<b>bold</b> <i>it</i> <s>no</s> <code>code</code>",
    "*a _b_ c*": "<b>a <i>b</i> c</b>",
    "snake_case_name and 2*3*4": "snake_case_name and 2*3*4",
    "* not bold * and *open": "* not bold * and *open",
    "within a*word* and *a word*s": "within a*word* and *a word*s",
    "`*raw*`": "<code>*raw*</code>",
    "&lt;b&gt; &amp;amp; <b": "&lt;b&gt; &amp;amp; &lt;b",
    "a\nb": "a<br>b",
    "&gt; q\n&gt; r\ns": "<blockquote>q<br>r</blockquote>s",
    ":warning: :nosuch: 10:20:30": "⚠️ :nosuch: 10:20:30",
    "<@U0BEN>": '<span class="mention">@ben</span>',
    "<@U0ANA>": '<span class="mention mine">@ana</span>',
    "<!subteam^S0ONCALL>": '<span class="mention">@oncall</span>',
    "<!channel>": '<span class="mention mine">@channel</span>',
    "&lt;!channel&gt; &lt;@U0BEN&gt;": "&lt;!channel&gt; &lt;@U0BEN&gt;",
    "<javascript:alert(1)|here>": "here",
}


async def test_mrkdwn_is_parsed_as_slack_does(look: Look, say: Say) -> None:
    say(*({"type": "section", "text": mrkdwn(text)} for text in MRKDWN))
    _, message = await drawn(look)
    markup = [await each.inner_html() for each in await message.locator(".section-text p").all()]
    assert dict(zip(MRKDWN, markup, strict=True)) == MRKDWN


async def test_addresses_become_links_unless_the_text_is_verbatim(look: Look, say: Say) -> None:
    for verbatim in (False, True):
        text = "see https://www.postgresql.org/docs and db-1.example.com"
        say({"type": "section", "text": {**mrkdwn(text), "verbatim": verbatim}})
    tab, message = await drawn(look)
    await expect(message.get_by_role("link")).to_have_count(0)
    links = tab.locator(".message").first.get_by_role("link")
    await expect(links).to_have_text(["https://www.postgresql.org/docs", "db-1.example.com"])


async def test_a_fence_keeps_its_lines_as_they_are(look: Look, say: Say) -> None:
    say(text="before\n```\n*a*\n  b &lt;c&gt;\n```after")
    _, message = await drawn(look)
    assert await message.locator("pre").text_content() == "*a*\n  b <c>"
