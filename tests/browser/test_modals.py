"""Modals with every kind of input, and what their app receives."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import expect
from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from tests.browser.conftest import Look
from tests.workspace.conftest import in_socket_mode
from workspace import Workspace
from workspace.people import PATIENCE
from workspace.rules import ACKNOWLEDGE_SECONDS


def plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text}


def option(text: str) -> dict[str, Any]:
    return {"text": plain(text), "value": text.lower()}


def field(name: str, element: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "type": "input",
        "block_id": name,
        "label": plain(name.capitalize()),
        "element": {"action_id": name, **element},
        **more,
    }


OPTIONS = [option("Idle"), option("Busy")]
FIELDS = [
    field("reason", {"type": "plain_text_input", "max_length": 40}, hint=plain("Who will ask?")),
    field("notes", {"type": "plain_text_input", "multiline": True}, optional=True),
    field("limit", {"type": "number_input", "is_decimal_allowed": False}, optional=True),
    field("state", {"type": "static_select", "placeholder": plain("Any"), "options": OPTIONS}),
    field("scope", {"type": "radio_buttons", "options": OPTIONS}, optional=True),
    field("also", {"type": "checkboxes", "options": OPTIONS}, optional=True),
    field("day", {"type": "datepicker"}, optional=True),
]


def modal(*blocks: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "type": "modal",
        "callback_id": "filter",
        "title": plain("Filter sessions"),
        "submit": plain("Show"),
        "close": plain("Leave"),
        "notify_on_close": True,
        "blocks": [*blocks],
        **more,
    }


@pytest.fixture
def heard() -> list[dict[str, Any]]:
    """The payloads that reached the app."""
    return []


@pytest.fixture
async def app(slack: Workspace, heard: list[dict[str, Any]]) -> AsyncIterator[AsyncWebClient]:
    client = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url)
    app = AsyncApp(token=slack.bot_token, client=client)

    @app.command("/pg-sessions")
    async def sessions(ack, command, client):
        await ack()
        more = {"type": "actions", "elements": [{**button("More"), "action_id": "more"}]}
        view = modal(more, *FIELDS)
        await client.views_open(trigger_id=command["trigger_id"], view=view)

    @app.action("more")
    async def more(ack, body, client):
        await ack()
        heard.append(body)
        view = modal({"type": "section", "text": plain("More is here")}, *FIELDS)
        await client.views_update(view_id=body["view"]["id"], view=view)

    @app.view("filter")
    async def submitted(ack, body):
        heard.append(body)
        reason = body["view"]["state"]["values"]["reason"]["reason"]["value"]
        if reason == "none":
            await ack(response_action="errors", errors={"reason": "That is no reason."})
        elif reason == "push":
            text = {"type": "section", "text": plain("A second one")}
            await ack(response_action="push", view=modal(text, title=plain("On top")))
        else:
            await ack()

    @app.view_closed("filter")
    async def closed(ack, body):
        await ack()
        heard.append(body)

    async with in_socket_mode(slack, app):
        yield client


def button(text: str) -> dict[str, Any]:
    return {"type": "button", "text": plain(text)}


async def opened(look: Look, name: str = "ana") -> Any:
    tab = await look(name)
    await tab.get_by_role("textbox").fill("/pg-sessions")
    await tab.keyboard.press("Enter")
    await expect(tab.get_by_role("dialog", name="Filter sessions")).to_be_visible()
    return tab


def values(body: dict[str, Any]) -> dict[str, Any]:
    """What was submitted, by the name of its field."""
    state = body["view"]["state"]["values"]
    return {name: state[name][name] for name in (each["block_id"] for each in FIELDS)}


async def test_modal_accepts_every_kind_of_input(
    look: Look, app: AsyncWebClient, heard: list[dict[str, Any]]
) -> None:
    tab = await opened(look)
    await expect(tab.get_by_label("Reason")).to_be_focused()
    await expect(tab.get_by_text("Who will ask?")).to_be_visible()
    await tab.get_by_label("Reason").fill("it <b>hangs</b>")
    await tab.get_by_label("Notes (optional)").fill("one\ntwo")
    await tab.get_by_label("Limit (optional)").fill("20")
    await tab.get_by_role("button", name="State Any").click()
    await tab.get_by_role("option", name="Busy").click()
    await tab.get_by_role("radiogroup", name="Scope").get_by_role("radio", name="Idle").check()
    for name in ("Idle", "Busy"):
        await tab.get_by_role("group", name="Also").get_by_role("checkbox", name=name).check()
    await tab.get_by_label("Day (optional)").fill("2026-01-31")
    await tab.get_by_role("button", name="Show").click()
    await expect(tab.get_by_role("dialog")).to_have_count(0)
    submitted = values(heard[-1])
    assert submitted["reason"]["value"] == "it <b>hangs</b>"
    assert submitted["notes"]["value"] == "one\ntwo"
    assert submitted["limit"]["value"] == "20"
    assert submitted["state"]["selected_option"]["value"] == "busy"
    assert submitted["scope"]["selected_option"]["value"] == "idle"
    assert [each["value"] for each in submitted["also"]["selected_options"]] == ["idle", "busy"]
    assert submitted["day"]["selected_date"] == "2026-01-31"


async def test_missing_values_are_reported_without_asking_the_app(
    look: Look, app: AsyncWebClient, heard: list[dict[str, Any]]
) -> None:
    tab = await opened(look)
    await tab.get_by_role("button", name="Show").click()
    await expect(tab.get_by_text("Please complete this required field.")).to_have_count(2)
    await expect(tab.get_by_label("Reason")).to_be_focused()
    assert heard == []


async def test_apps_errors_are_shown_at_their_fields_and_nothing_is_lost(
    look: Look, app: AsyncWebClient
) -> None:
    tab = await opened(look)
    await tab.get_by_label("Notes (optional)").fill("keep me")
    await tab.get_by_role("button", name="State Any").click()
    await tab.get_by_role("option", name="Busy").click()
    await tab.get_by_label("Reason").fill("none")
    await tab.keyboard.press("Enter")
    await expect(tab.get_by_text("That is no reason.")).to_be_visible()
    await expect(tab.get_by_label("Reason")).to_have_attribute("aria-invalid", "true")
    await expect(tab.get_by_label("Reason")).to_have_value("none")
    await expect(tab.get_by_label("Notes (optional)")).to_have_value("keep me")
    await expect(tab.get_by_role("button", name="State Busy")).to_be_visible()


async def test_an_update_keeps_what_was_typed(
    look: Look, app: AsyncWebClient, heard: list[dict[str, Any]]
) -> None:
    tab = await opened(look)
    await tab.get_by_label("Reason").fill("typed before")
    await tab.get_by_role("button", name="More").click()
    await expect(tab.get_by_text("More is here")).to_be_visible()
    await expect(tab.get_by_label("Reason")).to_have_value("typed before")
    assert values(heard[-1])["reason"]["value"] == "typed before"


async def test_update_during_typing_keeps_the_text(
    look: Look, app: AsyncWebClient, slack: Workspace
) -> None:
    tab = await opened(look)
    await tab.get_by_label("Reason").fill("typed before")
    (view,) = slack.state.views_of("U0ANA")
    text = {"type": "section", "block_id": "news", "text": plain("News of the app's own")}
    slack.state.change_view(view, {**view.body, "blocks": [text, *view.body["blocks"]]})
    await expect(tab.get_by_text("News of the app's own")).to_be_visible()
    await expect(tab.get_by_label("Reason")).to_have_value("typed before")
    await expect(tab.get_by_label("Reason")).to_be_focused()


async def test_second_modal_opens_on_top_of_the_first(look: Look, app: AsyncWebClient) -> None:
    tab = await opened(look)
    await tab.get_by_role("button", name="State Any").click()
    await tab.get_by_role("option", name="Busy").click()
    await tab.get_by_label("Reason").fill("push")
    await tab.get_by_role("button", name="Show").click()
    await expect(tab.get_by_role("dialog", name="On top")).to_be_visible()
    await tab.get_by_role("button", name="Leave").click()
    await expect(tab.get_by_role("dialog", name="Filter sessions")).to_be_visible()
    await expect(tab.get_by_label("Reason")).to_have_value("push")


@pytest.mark.parametrize("how", ["Escape", "Leave", "Close"])
async def test_app_is_notified_of_a_closed_modal(
    look: Look, app: AsyncWebClient, heard: list[dict[str, Any]], how: str
) -> None:
    tab = await opened(look)
    if how == "Escape":
        await tab.keyboard.press("Escape")
    else:
        await tab.get_by_role("button", name=how).click()
    await expect(tab.get_by_role("dialog")).to_have_count(0)
    assert heard[-1]["type"] == "view_closed"


async def test_modal_is_seen_only_by_its_person(look: Look, app: AsyncWebClient) -> None:
    await opened(look)
    ben = await look("ben")
    await expect(ben.get_by_role("dialog")).to_have_count(0)


async def test_modal_stays_open_and_says_so_if_the_app_is_gone(
    look: Look, app: AsyncWebClient, slack: Workspace
) -> None:
    tab = await opened(look)
    await tab.get_by_label("Reason").fill("x")
    await tab.get_by_role("button", name="State Any").click()
    await tab.get_by_role("option", name="Busy").click()
    slack.faults.delay_acks(10)
    log = slack.state.log
    before = sum(change.kind == "interaction_sent" for change in log)
    await tab.get_by_role("button", name="Show").click()
    await log.until(lambda: sum(c.kind == "interaction_sent" for c in log) > before, PATIENCE)
    slack.clock.advance(ACKNOWLEDGE_SECONDS)
    await expect(tab.get_by_role("alert")).to_contain_text("trouble connecting")
    await expect(tab.get_by_label("Reason")).to_have_value("x")
