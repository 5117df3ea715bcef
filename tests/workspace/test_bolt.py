"""Bolt's AsyncApp in Socket Mode on the workspace: commands, buttons, modals, response_url."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from tests.workspace.conftest import in_socket_mode
from workspace import Workspace

MODAL = {
    "type": "modal",
    "callback_id": "reason",
    "title": {"type": "plain_text", "text": "Reason"},
    "submit": {"type": "plain_text", "text": "Send"},
    "blocks": [
        {
            "type": "input",
            "block_id": "why",
            "label": {"type": "plain_text", "text": "Why"},
            "element": {"type": "plain_text_input", "action_id": "text"},
        }
    ],
}


def buttons(*texts: str, confirm: bool = False) -> dict[str, Any]:
    made: list[dict[str, Any]] = [
        {
            "type": "button",
            "action_id": text.lower(),
            "text": {"type": "plain_text", "text": text},
            "value": f"value of {text}",
        }
        for text in texts
    ]
    if confirm:
        made[0]["confirm"] = {
            "title": {"type": "plain_text", "text": "Sure?"},
            "text": {"type": "plain_text", "text": "It can't be undone."},
            "confirm": {"type": "plain_text", "text": "Terminate"},
            "deny": {"type": "plain_text", "text": "Keep it"},
        }
    return {"type": "actions", "elements": made}


@pytest.fixture
def seen() -> list[dict[str, Any]]:
    """The payloads that reached the app."""
    return []


@pytest.fixture
async def app(slack: Workspace, seen: list[dict[str, Any]]) -> AsyncIterator[AsyncApp]:
    client = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url)
    app = AsyncApp(token=slack.bot_token, client=client)

    @app.command("/pg-kill")
    async def kill(ack, command, client):
        await ack(response_type="in_channel")
        seen.append(command)
        await client.chat_postMessage(
            channel=command["channel_id"],
            text="Terminate?",
            blocks=[
                {"type": "section", "text": {"type": "plain_text", "text": command["text"]}},
                buttons("Terminate", "Dismiss", "Why", "Refuse", confirm=True),
            ],
        )

    @app.command("/pg-sessions")
    async def sessions(ack, command):
        await ack(f"hello {command['user_name']}", blocks=[buttons("Replace", "Delete", "Publish")])

    @app.action("terminate")
    async def terminate(ack, body, client):
        await ack()
        seen.append(body)
        await client.chat_update(
            channel=body["channel"]["id"],
            ts=body["message"]["ts"],
            text=f"done by <@{body['user']['id']}>",
        )

    @app.action("refuse")
    async def refuse(ack, respond):
        await ack()
        await respond("You may not.", replace_original=False)

    @app.action("replace")
    async def replace(ack, respond, body):
        await ack()
        seen.append(body)
        await respond("replaced", replace_original=True)

    @app.action("delete")
    async def delete(ack, respond):
        await ack()
        await respond(delete_original=True)

    @app.action("publish")
    async def publish(ack, respond):
        await ack()
        await respond("for all", response_type="in_channel", replace_original=True)

    @app.action("why")
    async def why(ack, body, client):
        await ack()
        await client.views_open(trigger_id=body["trigger_id"], view=MODAL)

    @app.view("reason")
    async def reason(ack, body, view, client):
        text = view["state"]["values"]["why"]["text"]["value"]
        if text == "no":
            await ack(response_action="errors", errors={"why": "say more"})
            return
        await ack()
        await client.chat_postMessage(channel="#incidents", text=f"because {text}")

    async with in_socket_mode(slack, app):
        yield app
    await asyncio.sleep(0)


async def test_a_command_is_acknowledged_in_the_channel_and_answered(slack, app, seen):
    ana, ben = slack.people("ana", "ben")
    preview = await ana.command("/pg-kill app=a<b & c>d", channel="incidents")
    assert preview.text == "Terminate?"
    assert seen[0]["text"] == "app=a&lt;b &amp; c&gt;d"
    assert "ana used /pg-kill app=a<b & c>d" in ben.screen("incidents")
    assert "[Terminate]" in ben.screen()


async def test_a_confirmed_click_updates_the_message(slack, app, seen):
    ana, ben = slack.people("ana", "ben")
    preview = await ana.command("/pg-kill 1", channel="incidents")
    await ben.sees("Terminate", channel="incidents")
    await ben.click("Terminate", confirm=False)
    assert ben.dialog.title == "Sure?"
    assert seen[1:] == []
    await ben.click("Terminate")
    assert (await ana.sees("done by @ben")).ts == preview.ts
    body = seen[1]
    assert body["message"]["ts"] == preview.ts
    assert body["container"] == {
        "type": "message",
        "message_ts": preview.ts,
        "channel_id": "C0INCIDENTS",
        "is_ephemeral": False,
    }
    assert body["actions"][0]["value"] == "value of Terminate"


async def test_a_refusal_goes_to_the_one_who_clicked(slack, app):
    ana, ben = slack.people("ana", "ben")
    await ana.command("/pg-kill 1", channel="incidents")
    await ben.sees("Refuse", channel="incidents")
    await ben.click("Refuse")
    await ben.sees("Only visible to you", "You may not.")
    assert ana.does_not_see("You may not.")
    await ana.sees("Terminate")


async def test_an_ephemeral_answer_is_replaced_and_stays_ephemeral(slack, app, seen):
    ana, ben = slack.people("ana", "ben")
    first = await ana.command("/pg-sessions", channel="incidents")
    assert first.receiver == ana.id
    await ana.click("Replace")
    assert (await ana.sees("replaced")).ts == first.ts
    assert "message" not in seen[0]
    assert seen[0]["container"]["is_ephemeral"] is True

    await ana.command("/pg-sessions")
    await ana.click("Publish")
    await ana.sees("for all")
    assert ben.does_not_see("for all", channel="incidents")

    last = await ana.command("/pg-sessions")
    await ana.click("Delete")
    await slack.called("response_url", 3)
    assert last.ts not in {each.ts for each in ana.messages()}


async def test_a_modal_opens_complains_and_is_submitted(slack, app):
    ana = slack.person("ana")
    await ana.command("/pg-kill 1", channel="incidents")
    await ana.sees("Why")
    await ana.click("Why")
    await ana.sees_modal("Reason", "Why", "[Send]")
    await ana.submit({"Why": "no"})
    await ana.sees_modal("say more")
    await ana.submit({"Why": "it blocks"})
    assert ana.modal is None
    await ana.sees("because it blocks")
