"""A response_url: five uses in thirty minutes, and what each kind of answer does."""

from typing import Any

import aiohttp
import pytest
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from workspace import Workspace


@pytest.fixture
def hook(slack: Workspace) -> Any:
    """Makes an SDK client for a new response_url."""

    def make(
        user: str = "U0ANA", channel: str = "C0SECRET", ts: str | None = None
    ) -> AsyncWebhookClient:
        url = slack.state.new_response_url(channel, user, ts)
        kind = "actions" if ts else "commands"
        return AsyncWebhookClient(f"{slack.server.base_url}/{kind}/T0ACME/{url.secret}")

    return make


async def test_five_uses_and_no_more(hook):
    client = hook()
    for _ in range(5):
        answer = await client.send(text="x")
        assert (answer.status_code, answer.body) == (200, "ok")
    answer = await client.send(text="x")
    assert answer.status_code == 404
    assert "used_url" in answer.body


async def test_thirty_minutes_and_no_longer(slack, hook):
    client = hook()
    slack.clock.advance(29 * 60)
    assert (await client.send(text="x")).status_code == 200
    slack.clock.advance(2 * 60)
    answer = await client.send(text="x")
    assert answer.status_code == 404
    assert "expired_url" in answer.body


async def test_unknown_url_is_treated_like_an_old_one(slack):
    client = AsyncWebhookClient(f"{slack.server.base_url}/commands/T0ACME/unknown")
    assert (await client.send(text="x")).status_code == 404


async def test_body_that_is_not_an_object_is_refused(slack):
    url = slack.state.new_response_url("C0SECRET", "U0ANA", None)
    address = f"{slack.server.base_url}/commands/T0ACME/{url.secret}"
    async with aiohttp.ClientSession() as session:
        for body in (b"[]", b"{", b""):
            async with session.post(address, data=body) as answer:
                assert answer.status == 400
                assert "invalid_payload" in await answer.text()


async def test_it_works_without_the_bot_as_a_member(slack, hook):
    ana = slack.person("ana")
    await hook().send(text="psst")
    assert ana.screen("secret") == "pg_sessions:\n  Only visible to you\n  psst"
    await hook().send(text="all", response_type="in_channel")
    assert "pg_sessions:\n  all" in ana.screen("secret")
    await hook(channel="D0ANABEN").send(text="here too", response_type="in_channel")
    assert "here too" in slack.person("ben").screen("ana-ben")


async def test_refused_response_does_not_count_as_a_use(slack, hook):
    client = hook()
    for wrong in ({"blocks": [{"type": "x"}]}, {"text": ""}, {"text": "x" * 40_001}):
        for _ in range(3):
            assert (await client.send_dict(wrong)).status_code == 400
    assert (await client.send(text="x")).status_code == 200
    refused = [call.error for call in slack.calls("response_url")]
    assert refused == ["invalid_blocks"] * 3 + ["no_text"] * 3 + ["msg_too_long"] * 3 + [None]


async def test_a_command_has_no_original_to_replace_or_delete(slack, hook):
    ana = slack.person("ana")
    client = hook()
    await client.send(text="first")
    await client.send(text="second", replace_original=True)
    assert [message.text for message in ana.messages("secret")] == ["first", "second"]
    await client.send_dict({"delete_original": True})
    assert len(ana.messages("secret")) == 2


@pytest.fixture
async def original(slack: Workspace, client: AsyncWebClient) -> str:
    posted = await client.chat_postMessage(channel="C0INCIDENTS", text="original")
    return str(posted["ts"])


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ({"text": "new"}, ["new"]),
        ({"text": "new", "replace_original": True}, ["new"]),
        ({"text": "new", "replace_original": "true"}, ["new"]),
        ({"text": "new", "replace_original": False}, ["original", "new"]),
        ({"text": "new", "response_type": "ephemeral"}, ["original", "new"]),
        ({"text": "new", "response_type": "in_channel"}, ["original", "new"]),
        ({"delete_original": True}, []),
    ],
)
async def test_an_answer_to_a_click_and_its_original(slack, hook, original, body, left):
    client = hook(channel="C0INCIDENTS", ts=original)
    assert (await client.send_dict(body)).status_code == 200
    assert [message.text for message in slack.person("ana").messages("incidents")] == left


async def test_an_ephemeral_original_never_becomes_public(slack, client, hook):
    shown = await client.chat_postEphemeral(channel="C0INCIDENTS", user="U0ANA", text="x")
    answer = hook(channel="C0INCIDENTS", ts=shown["message_ts"])
    await answer.send(text="new", response_type="in_channel", replace_original=True)
    (message,) = slack.messages("incidents")
    assert (message.text, message.receiver) == ("new", "U0ANA")


async def test_answer_to_a_deleted_original_is_a_new_message(slack, client, hook, original):
    await client.chat_delete(channel="C0INCIDENTS", ts=original)
    answer = hook(channel="C0INCIDENTS", ts=original)
    assert (await answer.send(text="new", replace_original=True)).status_code == 200
    assert [message.text for message in slack.person("ana").messages("incidents")] == ["new"]


async def test_faults_affect_response_urls_too(slack, hook):
    client = hook()
    slack.faults.rate_limit("response_url", retry_after=3)
    answer = await client.send(text="x")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "3")
    slack.faults.refuse_tables("ephemeral")
    table = {"type": "table", "rows": [[{"type": "raw_text", "text": "pid"}]]}
    answer = await client.send_dict({"text": "x", "blocks": [table]})
    assert (answer.status_code, "invalid_blocks" in answer.body) == (400, True)
    answer = await client.send_dict({"text": "x", "blocks": [table], "response_type": "in_channel"})
    assert answer.status_code == 200


async def test_response_url_is_forbidden_if_posting_is_restricted(hook):
    client = hook(channel="C0ANNOUNCE")
    for body in ({"text": "x"}, {"text": "x", "response_type": "in_channel"}):
        assert (await client.send_dict(body)).status_code == 403
