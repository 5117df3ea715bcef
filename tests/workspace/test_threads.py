"""Threads and message shortcuts, as the official clients see them."""

from typing import Any

import pytest
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.webhook.async_client import AsyncWebhookClient

from tests.workspace.conftest import in_socket_mode
from workspace import NotSeen
from workspace.blocks import complete
from workspace.state import Message

INCIDENTS = "C0INCIDENTS"


async def test_reply_says_its_thread_and_its_parent_counts_it(slack, client):
    parent = slack.person("ana").say("Logins fail", "incidents")
    answer = await client.chat_postMessage(channel=INCIDENTS, text="a", thread_ts=parent.ts)
    assert answer["message"]["thread_ts"] == parent.ts
    assert answer["message"]["parent_user_id"] == "U0ANA"
    # A reply's ts means the thread that it is in.
    answer = await client.chat_postMessage(channel=INCIDENTS, text="b", thread_ts=answer["ts"])
    assert answer["message"]["thread_ts"] == parent.ts


async def test_reply_to_a_deleted_message_goes_to_the_channel_in_silence(slack, client):
    ana = slack.person("ana")
    parent = ana.say("Logins fail", "incidents")
    ana.delete(parent)
    answer = await client.chat_postMessage(channel=INCIDENTS, text="a", thread_ts=parent.ts)
    assert "thread_ts" not in answer["message"]


async def test_deleted_parent_leaves_a_tombstone_over_its_replies(slack, client):
    ana = slack.person("ana")
    parent = ana.say("Logins fail", "incidents")
    ana.say("looking", under=parent)
    ana.delete(parent)
    assert "This message was deleted." in ana.screen()
    answer = await client.chat_postMessage(channel=INCIDENTS, text="a", thread_ts=parent.ts)
    assert answer["message"]["thread_ts"] == parent.ts


async def test_what_a_person_typed_as_a_command_takes_no_replies(slack, client):
    typed = Message(channel=INCIDENTS, ts="1.1", user="U0ANA", text="/pg-sessions", kind="command")
    slack.state.post(typed)
    with pytest.raises(SlackApiError, match="cannot_reply_to_message"):
        await client.chat_postMessage(channel=INCIDENTS, text="a", thread_ts="1.1")


async def test_broadcast_reply_stands_in_the_channel_too(slack, client):
    parent = slack.person("ana").say("Logins fail", "incidents")
    sent = {"channel": INCIDENTS, "text": "a", "reply_broadcast": True}
    answer = await client.chat_postMessage(**sent, thread_ts=parent.ts)
    assert answer["message"]["subtype"] == "thread_broadcast"
    assert "subtype" not in (await client.chat_postMessage(**sent))["message"]


async def test_ephemeral_reply_shows_only_in_a_thread_that_is_begun(slack, client):
    ana = slack.person("ana")
    parent = ana.say("Logins fail", "incidents")
    sent = {"channel": INCIDENTS, "user": "U0ANA", "thread_ts": parent.ts}
    assert (await client.chat_postEphemeral(**sent, text="lost"))["ok"]
    assert ana.does_not_see("lost")
    ana.say("looking", under=parent)
    await client.chat_postEphemeral(**sent, text="shown")
    assert (await ana.sees("shown")).thread_ts == parent.ts


async def test_response_url_replies_in_a_thread_only_to_everyone(slack):
    ana = slack.person("ana")
    parent = ana.say("Logins fail", "incidents")
    made = slack.state.new_response_url(INCIDENTS, "U0ANA", None)
    hook = AsyncWebhookClient(f"{slack.server.base_url}/app/T0ACME/{made.secret}")
    sent = {"replace_original": False, "thread_ts": parent.ts}
    await hook.send_dict({"text": "for all", "response_type": "in_channel", **sent})
    await hook.send_dict({"text": "for her", "response_type": "ephemeral", **sent})
    assert (await ana.sees("for all")).thread_ts == parent.ts
    assert (await ana.sees("for her")).thread_ts is None


@pytest.fixture
async def heard(slack):
    """The payloads that reach an app built on Bolt."""
    payloads: list[dict[str, Any]] = []
    app = AsyncApp(client=None, token=slack.bot_token, request_verification_enabled=False)
    app.client.base_url = slack.api_url

    @app.shortcut("pg_sessions_here")
    async def asked(ack, body, client):
        await ack()
        payloads.append(body)
        title = {"type": "plain_text", "text": "Sessions"}
        view = {"type": "modal", "title": title, "blocks": [{"type": "divider"}]}
        await client.views_open(trigger_id=body["trigger_id"], view=view)

    @app.action("press")
    async def pressed(ack, body):
        await ack()
        payloads.append(body)

    async with in_socket_mode(slack, app):
        yield payloads


async def test_message_shortcut_carries_its_message_and_opens_a_modal(slack, heard):
    ana = slack.person("ana")
    parent = ana.say("Logins fail", "incidents")
    reply = ana.say("since 12:00", under=parent)
    await ana.shortcut("Show PostgreSQL sessions", reply)
    await ana.sees_modal("Sessions")
    (body,) = heard
    assert (body["type"], body["callback_id"]) == ("message_action", "pg_sessions_here")
    assert body["channel"] == {"id": INCIDENTS, "name": "incidents"}
    assert (body["message_ts"], body["message"]["ts"]) == (reply.ts, reply.ts)
    assert body["message"]["thread_ts"] == parent.ts
    assert body["response_url"].startswith(slack.server.base_url)


async def test_ephemeral_message_offers_no_shortcuts(slack, client):
    ana = slack.person("ana")
    await client.chat_postEphemeral(channel=INCIDENTS, user="U0ANA", text="for her")
    message = await ana.sees("for her", channel="incidents")
    with pytest.raises(NotSeen, match="no shortcuts"):
        await ana.shortcut("Show PostgreSQL sessions", message)


async def test_click_in_a_thread_names_it(slack, client, heard):
    parent = slack.person("ana").say("Logins fail", "incidents")
    button = {"type": "button", "action_id": "press", "text": {"type": "plain_text", "text": "Go"}}
    blocks = complete([{"type": "actions", "elements": [button]}])
    await client.chat_postMessage(channel=INCIDENTS, text="a", blocks=blocks, thread_ts=parent.ts)
    await slack.person("ana").click("Go")
    assert heard[0]["container"]["thread_ts"] == parent.ts
    assert heard[0]["message"]["thread_ts"] == parent.ts
