"""Modals: what the app receives from them, and what its acknowledgement does to them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient

from tests.workspace.conftest import eventually
from workspace import NotSeen, Workspace


def plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text}


def option(text: str) -> dict[str, Any]:
    return {"text": plain(text), "value": text}


def modal(title: str = "Session", **more: Any) -> dict[str, Any]:
    return {
        "type": "modal",
        "title": plain(title),
        "submit": plain("Send"),
        "private_metadata": "kept",
        "callback_id": "session",
        "blocks": [
            {
                "type": "input",
                "block_id": "why",
                "label": plain("Why"),
                "element": {"type": "plain_text_input", "action_id": "text"},
            },
            {
                "type": "input",
                "block_id": "how",
                "label": plain("How"),
                "element": {
                    "type": "static_select",
                    "action_id": "which",
                    "options": [option("cancel"), option("terminate")],
                    "initial_option": option("cancel"),
                },
            },
            {
                "type": "input",
                "block_id": "what",
                "optional": True,
                "label": plain("What"),
                "element": {
                    "type": "checkboxes",
                    "action_id": "ticks",
                    "options": [option("a"), option("b")],
                },
            },
            {
                "type": "actions",
                "block_id": "do",
                "elements": [{"type": "button", "action_id": "more", "text": plain("More")}],
            },
        ],
        **more,
    }


class App:
    """Stores what comes; answers submissions with `answer`, or not at all."""

    def __init__(self) -> None:
        self.payloads: list[dict[str, Any]] = []
        self.answer: dict[str, Any] | None = None
        self.silent = False

    async def __call__(self, client: Any, request: Any) -> None:
        self.payloads.append(request.payload)
        if not self.silent:
            payload = self.answer if request.payload["type"] == "view_submission" else None
            await client.send_socket_mode_response(
                SocketModeResponse(envelope_id=request.envelope_id, payload=payload)
            )


@pytest.fixture
async def app(slack: Workspace, client: AsyncWebClient) -> AsyncIterator[App]:
    """An app that has opened `modal()` for ana."""
    socket = SocketModeClient(slack.app_token, web_client=client)
    made = App()
    socket.socket_mode_request_listeners.append(made)
    await socket.connect()
    await slack.connected()
    trigger = slack.state.new_trigger("U0ANA")
    await client.views_open(trigger_id=trigger.id, view=modal(notify_on_close=True))
    yield made
    await socket.close()


async def test_a_submission_carries_every_input(slack, app):
    ana = slack.person("ana")
    await ana.submit({"Why": "it blocks", "how": "terminate", "ticks": ["b"]})
    (payload,) = app.payloads
    assert payload["type"] == "view_submission"
    assert payload["user"]["id"] == "U0ANA"
    view = payload["view"]
    values = view["state"]["values"]
    assert values["why"]["text"] == {"type": "plain_text_input", "value": "it blocks"}
    assert values["how"]["which"]["selected_option"]["value"] == "terminate"
    assert [each["value"] for each in values["what"]["ticks"]["selected_options"]] == ["b"]
    assert view["private_metadata"] == "kept"
    assert view["callback_id"] == "session"
    assert view["root_view_id"] == view["id"]
    assert view["hash"]
    assert view["app_installed_team_id"] == "T0ACME"
    assert ana.modal is None


async def test_inputs_that_nobody_touched_hold_their_initial_value(slack, app):
    await slack.person("ana").submit({"Why": "x"})
    values = app.payloads[0]["view"]["state"]["values"]
    assert values["how"]["which"]["selected_option"]["value"] == "cancel"
    assert values["what"]["ticks"]["selected_options"] == []


async def test_slack_asks_for_what_is_not_optional(slack, app):
    with pytest.raises(NotSeen, match="asks for 'Why'"):
        await slack.person("ana").submit()
    assert app.payloads == []


async def test_errors_are_shown_beside_their_inputs(slack, app):
    ana = slack.person("ana")
    app.answer = {"response_action": "errors", "errors": {"why": "say more"}}
    await ana.submit({"Why": "x"})
    assert "⚠ say more" in ana.modal_text()
    app.answer = None
    await ana.submit({"Why": "it blocks"})
    assert ana.modal is None


async def test_an_update_keeps_what_was_typed_where_the_ids_stay(slack, client, app):
    ana = slack.person("ana")
    ana.fill({"Why": "typed"})
    await client.views_update(view_id=ana.modal.id, hash=ana.modal.hash, view=modal("Filled"))
    await ana.sees_modal("Filled", "typed")
    app.answer = {"response_action": "update", "view": modal("Second")}
    await ana.submit()
    await ana.sees_modal("Second", "typed")


async def test_a_modal_is_pushed_on_top_and_all_are_cleared(slack, app):
    ana = slack.person("ana")
    root = ana.modal
    app.answer = {"response_action": "push", "view": modal("On top")}
    await ana.submit({"Why": "x"})
    assert ana.modal.previous_id == root.id
    assert ana.modal.root_id == root.id
    app.answer = {"response_action": "clear"}
    await ana.submit({"Why": "x"})
    assert ana.modal is None


@pytest.mark.parametrize(
    "answer",
    [
        {"response_action": "errors", "errors": {"nowhere": "x"}},
        {"response_action": "errors", "errors": {}},
        {"response_action": "update", "view": {"type": "modal"}},
        {"response_action": "explode"},
    ],
)
async def test_an_answer_that_slack_cannot_use_leaves_the_modal_open(slack, app, answer):
    ana = slack.person("ana")
    app.answer = answer
    await ana.submit({"Why": "x"})
    assert "We had some trouble connecting" in ana.modal_text()


async def test_a_submission_nobody_acknowledges_leaves_the_modal_open(slack, app):
    ana = slack.person("ana")
    app.silent = True
    submitting = asyncio.create_task(ana.submit({"Why": "x"}))
    await eventually(lambda: app.payloads)
    slack.clock.advance(3.1)
    await submitting
    assert "We had some trouble connecting" in ana.modal_text()


async def test_a_click_in_a_modal_nobody_acknowledges_is_marked(slack, app):
    ana = slack.person("ana")
    app.silent = True
    clicking = asyncio.create_task(ana.click("More"))
    await eventually(lambda: app.payloads)
    assert "trouble" not in ana.modal_text()
    slack.clock.advance(3.1)
    await clicking
    assert "We had some trouble connecting" in ana.modal_text()


async def test_modal_closed_meanwhile_ignores_the_answer(slack, app):
    ana = slack.person("ana")
    app.silent = True
    submitting = asyncio.create_task(ana.submit({"Why": "x"}))
    await eventually(lambda: app.payloads)
    slack.state.close_view(ana.modal)
    slack.clock.advance(3.1)
    await submitting
    assert ana.modal is None


async def test_a_click_in_a_modal_can_push_another(slack, client, app):
    ana = slack.person("ana")
    await ana.click("More")
    (payload,) = app.payloads
    assert payload["container"] == {"type": "view", "view_id": ana.modal.id}
    assert payload["view"]["id"] == ana.modal.id
    assert "channel" not in payload
    assert "response_url" not in payload
    await client.views_push(trigger_id=payload["trigger_id"], view=modal("Pushed"))
    await ana.sees_modal("Pushed")
    await ana.close_modal()
    await ana.sees_modal("Session")


async def test_app_that_asked_is_notified_of_a_closed_modal(slack, app):
    ana = slack.person("ana")
    view = ana.modal
    await ana.close_modal()
    (payload,) = app.payloads
    assert payload["type"] == "view_closed"
    assert payload["view"]["id"] == view.id
    assert payload["is_cleared"] is False
    with pytest.raises(NotSeen):
        await ana.close_modal()
