"""The Home tab: what the app hears of it, publishes there, and receives from it."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from tests.workspace.conftest import eventually, in_socket_mode
from workspace import NotSeen, Workspace
from workspace.people import PATIENCE
from workspace.state import App


def plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text}


def button(text: str) -> dict[str, Any]:
    return {"type": "button", "text": plain(text), "action_id": text, "value": "kept"}


def home(*texts: str, **more: Any) -> dict[str, Any]:
    sections = [{"type": "section", "text": plain(text)} for text in texts]
    actions = {"type": "actions", "elements": [button("Ask"), button("Refresh")]}
    return {"type": "home", "blocks": [*sections, actions], **more}


ASK = {
    "type": "modal",
    "callback_id": "ask",
    "title": plain("Ask"),
    "submit": plain("Ask"),
    "blocks": [
        {
            "type": "input",
            "block_id": "where",
            "label": plain("Where"),
            "element": {
                "type": "conversations_select",
                "action_id": "channel",
                "response_url_enabled": True,
            },
        }
    ],
}


@pytest.fixture
def heard() -> list[dict[str, Any]]:
    """The payloads that reached the app."""
    return []


@pytest.fixture
async def app(slack: Workspace, heard: list[dict[str, Any]]) -> AsyncIterator[AsyncWebClient]:
    client = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url)
    app = AsyncApp(token=slack.bot_token, client=client)

    @app.event("app_home_opened")
    async def opened(event, body, client):
        heard.append(body)
        await client.views_publish(user_id=event["user"], view=home("Good evening"))

    @app.action("Ask")
    async def ask(ack, body, client):
        await ack()
        heard.append(body)
        await client.views_open(trigger_id=body["trigger_id"], view=ASK)

    @app.view("ask")
    async def asked(ack, body):
        await ack()
        heard.append(body)

    async with in_socket_mode(slack, app):
        yield client


async def refusal(call: Any) -> str:
    with pytest.raises(SlackApiError) as refused:
        await call
    return str(refused.value.response["error"])


async def test_home_is_drawn_by_the_app_that_hears_of_it(
    slack: Workspace, app: AsyncWebClient, heard: list[dict[str, Any]]
) -> None:
    ana, ben = slack.people("ana", "ben")
    await ana.opens_home()
    await ana.sees_home("Good evening")
    (first,) = heard
    assert first["type"] == "event_callback"
    assert first["event"]["type"] == "app_home_opened"
    assert first["event"]["user"] == ana.id
    assert first["event"]["tab"] == "home"
    assert first["event"]["channel"] == slack.state.direct_message(ana.id).id
    assert "view" not in first["event"]
    assert ben.home is None

    await ana.opens_home()
    await eventually(lambda: len(heard) == 2)
    assert heard[1]["event"]["view"]["type"] == "home"
    assert "title" not in heard[1]["event"]["view"]


async def test_click_in_home_names_its_view_and_can_open_a_modal(
    slack: Workspace, app: AsyncWebClient, heard: list[dict[str, Any]]
) -> None:
    ana = slack.person("ana")
    await ana.opens_home()
    view = await ana.sees_home("Good evening")
    await ana.click("Ask")
    await ana.sees_modal("Where")
    click = heard[-1]
    assert click["container"] == {"type": "view", "view_id": view.id}
    assert click["view"]["type"] == "home"
    assert "channel" not in click
    assert "response_url" not in click
    with pytest.raises(NotSeen):
        await ana.click("Good evening")


async def test_chosen_conversation_comes_with_a_url_to_answer_there(
    slack: Workspace, app: AsyncWebClient, heard: list[dict[str, Any]]
) -> None:
    ana = slack.person("ana")
    await ana.opens_home()
    await ana.sees_home("Good evening")
    await ana.click("Ask")
    await ana.sees_modal("Where")
    # The bot isn't a member of this channel: its token could not post there.
    await ana.submit({"Where": slack.channel("secret").id})
    await eventually(lambda: heard[-1]["type"] == "view_submission")
    (given,) = heard[-1]["response_urls"]
    url = given.pop("response_url")
    assert given == {"block_id": "where", "action_id": "channel", "channel_id": "C0SECRET"}
    await AsyncWebhookClient(url).send(text="here", response_type="in_channel")
    await ana.sees("here", channel="secret")


async def test_home_is_refused_as_slack_refuses_it(
    slack: Workspace, client: AsyncWebClient
) -> None:
    ana = slack.person("ana")
    table = {"type": "table", "rows": [[{"type": "raw_text", "text": "pid"}]]}

    def publish(view: dict[str, Any], user_id: str = ana.id, **more: Any) -> Any:
        return client.views_publish(user_id=user_id, view=view, **more)

    assert await refusal(publish({**home("x"), "title": plain("x")})) == "invalid_arguments"
    assert await refusal(publish({**ASK})) == "invalid_arguments"
    assert await refusal(publish(home(*"x" * 100))) == "invalid_arguments"
    assert await refusal(publish({"type": "home", "blocks": [table]})) == "invalid_arguments"
    assert await refusal(publish(home("x"), "U0NOBODY")) == "invalid_arguments"
    assert ana.home_text() == ""

    await publish(home(*"x" * 99))
    assert await refusal(publish(home("x"), hash="1.old")) == "hash_conflict"
    now = slack.state.home(ana.id)
    assert now is not None
    await publish(home("newer"), hash=now.hash)
    assert "newer" in ana.home_text()


async def test_app_without_home_tab_hears_and_publishes_nothing() -> None:
    async with Workspace(app=App(events=(), home_tab=False)) as slack:
        client = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url)
        ana = slack.person("ana")
        await ana.opens_home()
        assert not [each for each in slack.state.log if each.kind == "interaction_sent"]
        assert await refusal(client.views_publish(user_id=ana.id, view=home("x"))) == "not_enabled"


async def test_event_comes_as_signed_json_over_http() -> None:
    got: list[tuple[str, str]] = []

    async def receive(request: web.Request) -> web.Response:
        got.append((request.content_type, await request.text()))
        assert request.headers["X-Slack-Signature"].startswith("v0=")
        return web.Response()

    app = web.Application()
    app.add_routes([web.post("/slack/events", receive)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    try:
        async with Workspace(request_url=f"http://127.0.0.1:{port}/slack/events") as own:
            async with asyncio.timeout(PATIENCE):
                await own.person("ana").opens_home()
        ((kind, body),) = got
        assert kind == "application/json"
        assert json.loads(body)["event"]["type"] == "app_home_opened"
    finally:
        await runner.cleanup()
