"""How interactions reach an app: Socket Mode with slack_sdk's client, and HTTP mode with Bolt."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from slack_bolt.async_app import AsyncApp
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient

from tests.workspace.conftest import eventually
from workspace import Workspace

TROUBLE = "We had some trouble connecting. Try again?"  # Slack's own words


@dataclass
class Listener:
    """A minimal app on slack_sdk's Socket Mode client: it stores and acknowledges what comes."""

    client: SocketModeClient
    requests: list[Any] = field(default_factory=list)
    payload: dict[str, Any] | None = None
    acknowledges: bool = True

    async def __call__(self, client: Any, request: Any) -> None:
        self.requests.append(request)
        if self.acknowledges:
            await client.send_socket_mode_response(
                SocketModeResponse(envelope_id=request.envelope_id, payload=self.payload)
            )


@pytest.fixture
async def listeners(slack: Workspace) -> AsyncIterator[Any]:
    """Connects any number of listeners to the workspace."""
    made: list[Listener] = []

    async def connect() -> Listener:
        web_client = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url)
        client = SocketModeClient(slack.app_token, web_client=web_client, ping_interval=0.2)
        listener = Listener(client)
        client.socket_mode_request_listeners.append(listener)
        await client.connect()
        made.append(listener)
        await slack.connected(len(made))
        return listener

    yield connect
    for listener in made:
        await listener.client.close()


async def post_button(slack: Workspace, **more: Any) -> None:
    button = {
        "type": "button",
        "action_id": "go",
        "text": {"type": "plain_text", "text": "Go"},
        **more,
    }
    client = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url)
    await client.chat_postMessage(
        channel="C0SHARED", text="x", blocks=[{"type": "actions", "elements": [button]}]
    )


async def test_a_command_carries_what_slack_sends(slack, listeners):
    listener = await listeners()
    await slack.person("ana").command("/pg-kill  a & b ", channel="war-room", wait=False)
    (request,) = listener.requests
    assert request.type == "slash_commands"
    assert request.accepts_response_payload is True
    payload = request.payload
    url, trigger = payload.pop("response_url"), payload.pop("trigger_id")
    assert url.startswith(f"{slack.server.base_url}/commands/T0ACME/")
    assert len(trigger.split(".")) == 3
    assert payload == {
        "token": slack.state.app.verification_token,
        "team_id": "T0ACME",
        "team_domain": "acme",
        "channel_id": "C0WARROOM",
        "channel_name": "privategroup",
        "user_id": "U0ANA",
        "user_name": "ana",
        "command": "/pg-kill",
        "text": "a &amp; b",
        "api_app_id": slack.state.app.id,
        "is_enterprise_install": "false",
    }
    await slack.person("ana").command("/pg-kill", channel="bot", wait=False)
    assert listener.requests[1].payload["channel_name"] == "directmessage"
    await slack.person("ana").command("/pg-kill", channel="incidents", wait=False)
    assert listener.requests[2].payload["channel_name"] == "incidents"


async def test_acknowledgement_may_contain_the_answer(slack, listeners):
    listener = await listeners()
    ana, ben = slack.people("ana", "ben")
    listener.payload = {"text": "just you"}
    assert (await ana.command("/pg-kill", channel="incidents")).is_ephemeral
    assert ben.screen("incidents") == ""
    listener.payload = {"text": "all of you", "response_type": "in_channel"}
    await ana.command("/pg-kill 1 > 0")
    assert ben.screen() == "ana used /pg-kill 1 > 0\n\npg_sessions:\n  all of you"
    listener.payload = {"text": "x", "blocks": [{"type": "x"}], "response_type": "in_channel"}
    failed = await ana.command("/pg-kill")
    assert failed.text == '/pg-kill failed with the error "invalid_command_response"'
    assert len(ben.messages()) == 2


async def test_an_acknowledgement_after_three_seconds_is_too_late(slack, listeners):
    listener = await listeners()
    ana = slack.person("ana")
    listener.acknowledges = False
    waiting = asyncio.create_task(ana.command("/pg-kill", channel="incidents"))
    await eventually(lambda: listener.requests)
    slack.clock.advance(2.9)
    await asyncio.sleep(0)
    assert not waiting.done()
    slack.clock.advance(0.2)
    message = await waiting
    assert message.text == '/pg-kill failed with the error "operation_timeout"'
    await listener.client.send_socket_mode_response(
        SocketModeResponse(
            envelope_id=listener.requests[0].envelope_id,
            payload={"text": "late", "response_type": "in_channel"},
        )
    )
    await slack.state.log.until(
        lambda: any(c.kind == "late_acknowledgement" for c in slack.state.log), 5
    )
    assert "late_acknowledgement" in {change.kind for change in slack.state.log}
    assert ana.does_not_see("late")


async def test_held_back_acknowledgements_are_too_late(slack, listeners):
    await listeners()
    await post_button(slack)
    ana = slack.person("ana")
    slack.faults.delay_acks(3.5)
    click = asyncio.create_task(ana.click("Go", channel="shared"))
    await slack.state.log.until(
        lambda: any(c.kind == "interaction_sent" for c in slack.state.log), 5
    )
    slack.clock.advance(3.2)
    await click
    await ana.sees(TROUBLE, "operation_timeout")


async def test_with_no_connection_the_dispatch_fails(slack):
    message = await slack.person("ana").command("/pg-kill", channel="incidents")
    assert message.text == '/pg-kill failed with the error "dispatch_failed"'
    await post_button(slack)
    await slack.person("ana").click("Go", channel="shared")
    await slack.person("ana").sees(TROUBLE, "dispatch_failed")


async def test_slack_itself_refuses_threads_strangers_and_unknown_commands(slack, listeners):
    listener = await listeners()
    ana, olga = slack.people("ana", "olga")
    message = await ana.command("/pg-kill 1", channel="incidents", thread_ts="1.0")
    assert message.text == "/pg-kill is not supported in threads. Sorry!"
    assert (await ana.command("/pg-drop")).text == "/pg-drop is not a valid command."
    message = await olga.command("/pg-kill 1", channel="shared")
    assert message.text == "/pg-kill is not a valid command."
    assert listener.requests == []


async def test_somebody_from_another_workspace_can_click(slack, listeners):
    listener = await listeners()
    await post_button(slack, value="7", style="danger")
    await slack.person("olga").click("Go", channel="shared")
    (request,) = listener.requests
    payload = request.payload
    assert request.type == "interactive"
    assert payload["type"] == "block_actions"
    assert payload["user"] == {
        "id": "U0OLGA",
        "username": "olga",
        "name": "olga",
        "team_id": "T0GLOBEX",
    }
    assert payload["team"] == {"id": "T0ACME", "domain": "acme"}
    assert payload["enterprise"] is None
    assert payload["is_enterprise_install"] is False
    assert payload["channel"] == {"id": "C0SHARED", "name": "shared"}
    (action,) = payload["actions"]
    assert action["action_id"] == "go"
    assert action["value"] == "7"
    assert action["style"] == "danger"
    assert action["text"] == {"type": "plain_text", "text": "Go", "emoji": True}
    assert payload["message"]["blocks"][0]["block_id"] == action["block_id"]


async def test_a_choice_is_in_the_state_and_choosing_it_again_sends_nothing(slack, listeners):
    listener = await listeners()
    options = [
        {"text": {"type": "plain_text", "text": f"pid {pid}"}, "value": str(pid)} for pid in (1, 2)
    ]
    select = {
        "type": "static_select",
        "action_id": "which",
        "placeholder": {"type": "plain_text", "text": "Terminate a session…"},
        "options": options,
    }
    overflow = {"type": "overflow", "action_id": "more", "options": options}
    client = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url)
    await client.chat_postMessage(
        channel="C0INCIDENTS",
        text="x",
        blocks=[{"type": "actions", "block_id": "b", "elements": [select, overflow]}],
    )
    ana = slack.person("ana")
    await ana.choose("Terminate a session", "pid 2", channel="incidents")
    (request,) = listener.requests
    assert request.payload["actions"][0]["selected_option"]["value"] == "2"
    chosen = request.payload["state"]["values"]["b"]["which"]
    assert (chosen["type"], chosen["selected_option"]["value"]) == ("static_select", "2")
    await ana.choose("Terminate a session", "pid 2")
    assert len(listener.requests) == 1
    await ana.choose("pid 2", "pid 1")
    await ana.choose("overflow", "pid 1")
    await ana.choose("overflow", "pid 1")
    assert [each.payload["actions"][0]["action_id"] for each in listener.requests[1:]] == [
        "which",
        "more",
        "more",
    ]


async def test_an_interaction_can_arrive_twice(slack, listeners):
    listener = await listeners()
    await post_button(slack)
    slack.faults.deliver_twice()
    await slack.person("ana").click("Go", channel="shared")
    await eventually(lambda: len(listener.requests) == 2)
    first, second = listener.requests
    assert first.envelope_id != second.envelope_id
    assert first.payload == second.payload
    await slack.person("ana").click("Go", channel="shared")
    assert len(listener.requests) == 3


async def test_each_interaction_goes_to_one_of_the_connections(slack, listeners):
    one, two = await listeners(), await listeners()
    for _ in range(4):
        await slack.person("ana").command("/pg-kill", channel="incidents", wait=False)
    assert (len(one.requests), len(two.requests)) == (2, 2)


async def test_an_eleventh_connection_is_turned_away(slack):
    client = AsyncWebClient(base_url=slack.api_url)
    async with aiohttp.ClientSession() as session:
        sockets = []
        greetings = []
        for _ in range(11):
            opened = await client.apps_connections_open(app_token=slack.app_token)
            sockets.append(await session.ws_connect(opened["url"]))
            greetings.append(await sockets[-1].receive_json())
        assert [each["type"] for each in greetings] == ["hello"] * 10 + ["disconnect"]
        assert greetings[-1]["reason"] == "too_many_websockets"
        for socket in sockets:
            await socket.close()


async def test_a_ticket_opens_one_connection(slack):
    client = AsyncWebClient(base_url=slack.api_url)
    opened = await client.apps_connections_open(app_token=slack.app_token)
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(opened["url"]) as socket:
            assert (await socket.receive_json())["type"] == "hello"
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(opened["url"])


async def test_a_warning_ends_nothing_and_stray_acknowledgements_do_no_harm(slack):
    client = AsyncWebClient(base_url=slack.api_url)
    opened = await client.apps_connections_open(app_token=slack.app_token)
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(opened["url"]) as socket,
    ):
        await socket.receive_json()
        await slack.server.sockets.disconnect("warning")
        warning = await socket.receive_json()
        assert (warning["type"], warning["reason"]) == ("disconnect", "warning")
        await socket.send_json(["stray"])
        await socket.send_json({"envelope_id": "stray"})
        waiting = asyncio.create_task(slack.person("ana").command("/pg-kill", channel="incidents"))
        envelope = await socket.receive_json()
        await socket.send_json({"envelope_id": envelope["envelope_id"], "payload": "text alone"})
        assert (await waiting).text == "text alone"
        waiting = asyncio.create_task(slack.person("ana").command("/pg-kill"))
        envelope = await socket.receive_json()
        await socket.send_json({"envelope_id": envelope["envelope_id"], "payload": ["x"]})
        assert "invalid_command_response" in (await waiting).text


@pytest.mark.parametrize("how", ["warning", "refresh_requested", "cut"])
async def test_the_client_comes_back_when_its_connection_ends(slack, listeners, how):
    listener = await listeners()
    seen = len(slack.state.log)
    if how == "cut":
        slack.server.sockets.cut()
    else:
        await slack.server.sockets.disconnect(how)
    await slack.state.log.until(
        lambda: any(c.kind == "connection_opened" for c in slack.state.log.since(seen)), 10
    )
    await slack.connected()
    await slack.person("ana").command("/pg-kill", channel="incidents", wait=False)
    assert len(listener.requests) == 1


@pytest.fixture
async def http_app() -> AsyncIterator[tuple[Workspace, list[dict[str, Any]]]]:
    """A workspace that sends to a Bolt app in HTTP mode, and the bodies that the app got."""
    bodies: list[dict[str, Any]] = []
    holder: dict[str, AsyncApp] = {}

    async def handle(request: web.Request) -> web.StreamResponse:
        from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request  # noqa: PLC0415

        bolt_request = await to_bolt_request(request)
        return await to_aiohttp_response(await holder["app"].async_dispatch(bolt_request))

    server = web.Application()
    server.router.add_post("/slack/events", handle)
    runner = web.AppRunner(server, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    async with Workspace(request_url=f"http://127.0.0.1:{port}/slack/events") as slack:
        client = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url)
        app = AsyncApp(signing_secret=slack.signing_secret, client=client)
        holder["app"] = app

        @app.command("/pg-kill")
        async def kill(ack, command):
            bodies.append(command)
            await ack("over HTTP")

        @app.action("go")
        async def go(ack, body, respond):
            bodies.append(body)
            await ack()
            await respond("pressed", replace_original=True)

        yield slack, bodies
    await runner.cleanup()


async def test_in_http_mode_requests_are_signed(http_app):
    slack, bodies = http_app
    ana = slack.person("ana")
    message = await ana.command("/pg-kill a=b&c 100%", channel="incidents")
    assert message.text == "over HTTP"
    assert bodies[0]["text"] == "a=b&amp;c 100%"
    await post_button(slack)
    await ana.click("Go", channel="shared")
    await ana.sees("pressed")
    assert bodies[1]["user"]["id"] == "U0ANA"


async def test_in_http_mode_an_app_that_refuses_fails_the_dispatch(http_app):
    slack, bodies = http_app
    object.__setattr__(slack.state.app, "signing_secret", "another")
    message = await slack.person("ana").command("/pg-kill", channel="incidents")
    assert message.text == '/pg-kill failed with the error "dispatch_failed"'
    assert bodies == []
