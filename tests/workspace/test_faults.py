"""The faults: what the app experiences, and what Slack did all the same."""

import asyncio
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.web.async_client import AsyncWebClient

from tests.workspace.conftest import eventually

WHERE: dict[str, Any] = {"channel": "C0INCIDENTS", "text": "x"}


async def test_the_next_calls_of_a_method_are_limited(slack, client):
    slack.faults.rate_limit("chat.postMessage", times=2, retry_after=7)
    for _ in range(2):
        with pytest.raises(SlackApiError) as caught:
            await client.chat_postMessage(**WHERE)
        assert caught.value.response.status_code == 429
        assert caught.value.response.headers["Retry-After"] == "7"
        assert caught.value.response["error"] == "ratelimited"
    assert (await client.auth_test())["ok"] is True
    assert (await client.chat_postMessage(**WHERE))["ok"] is True
    assert [call.status for call in slack.calls("chat.postMessage")] == [429, 429, 200]


async def test_the_sdks_handler_waits_and_tries_again(slack):
    client = AsyncWebClient(
        token=slack.bot_token,
        base_url=slack.api_url,
        retry_handlers=[AsyncRateLimitErrorRetryHandler(max_retry_count=1)],
    )
    slack.faults.rate_limit("chat.postMessage", retry_after=0)
    assert (await client.chat_postMessage(**WHERE))["ok"] is True


async def test_a_server_error_is_passed_on(slack, client):
    slack.faults.fail("*", status=503)
    with pytest.raises(SlackApiError) as caught:
        await client.chat_postMessage(**WHERE)
    assert caught.value.response.status_code == 503
    assert slack.messages("incidents") == []


async def test_a_connection_dropped_before_or_after_the_work(slack):
    client = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url, retry_handlers=[])
    slack.faults.drop("chat.postMessage")
    with pytest.raises(aiohttp.ClientError):
        await client.chat_postMessage(**WHERE)
    assert slack.messages("incidents") == []
    slack.faults.drop("chat.postMessage", after=True)
    with pytest.raises(aiohttp.ClientError):
        await client.chat_postMessage(**WHERE)
    assert len(slack.messages("incidents")) == 1
    assert [call.status for call in slack.calls("chat.postMessage")] == [0, 200]


async def test_the_sdks_default_retry_posts_twice_when_an_answer_is_lost(slack, client):
    slack.faults.drop("chat.postMessage", after=True)
    await client.chat_postMessage(**WHERE)
    assert len(slack.messages("incidents")) == 2


async def test_slow_answers_wait_on_the_workspaces_clock(slack, client):
    slack.faults.slow("auth.test", seconds=3600)
    call = asyncio.create_task(client.auth_test())
    await eventually(lambda: slack.faults.in_force() == [])
    assert slack.calls("auth.test") == []
    slack.clock.advance(3600)
    assert (await call)["ok"] is True


async def test_slacks_own_limits_hold_when_asked_for(slack, client):
    for _ in range(3):
        await client.chat_postMessage(**WHERE)
    slack.faults.keep_rate_limits()
    posted = await client.chat_postMessage(**WHERE)
    with pytest.raises(SlackApiError) as caught:
        await client.chat_postMessage(**WHERE)
    assert caught.value.response["error"] == "ratelimited"
    assert caught.value.response.headers["Retry-After"] == "1"
    await client.chat_postMessage(channel="C0RANDOM", text="x")
    slack.clock.advance(1)
    await client.chat_postMessage(**WHERE)
    for _ in range(50):
        await client.chat_update(channel="C0INCIDENTS", ts=posted["ts"], text="y")
    with pytest.raises(SlackApiError):
        await client.chat_update(channel="C0INCIDENTS", ts=posted["ts"], text="y")
    for _ in range(20):
        await client.usergroups_users_list(usergroup="S0ONCALL")
    with pytest.raises(SlackApiError) as caught:
        await client.usergroups_users_list(usergroup="S0ONCALL")
    assert 55 <= int(caught.value.response.headers["Retry-After"]) <= 60


async def test_faults_in_force_are_listed_and_cleared(slack, client):
    faults = slack.faults
    faults.rate_limit("chat.update", times=3)
    faults.refuse_tables("ephemeral")
    faults.keep_rate_limits()
    faults.deliver_twice(2)
    faults.delay_acks(4)
    assert faults.in_force() == [
        "chat.update: rate_limit, 3 more",
        "blocks refused: data_table, table, ephemeral, invalid_blocks",
        "rate limits kept",
        "interactions delivered twice: 2 more",
        "acknowledgements held back 4 s",
    ]
    faults.clear()
    assert faults.in_force() == []
    assert (await client.auth_test())["ok"] is True


async def test_method_refuses_with_the_requested_code(slack, client):
    slack.faults.refuse("views.update", "not_found")
    with pytest.raises(SlackApiError) as caught:
        await client.views_update(view_id="V1", view={})
    assert (caught.value.response.status_code, caught.value.response["error"]) == (200, "not_found")


async def test_answer_lacks_the_requested_field(slack, client):
    slack.faults.leave_out("conversations.info", "channel.is_ext_shared")
    channel = (await client.conversations_info(channel="C0SHARED"))["channel"]
    assert "is_ext_shared" not in channel
    assert channel["id"] == "C0SHARED"
    slack.faults.leave_out("conversations.info", "channel")
    assert "channel" not in (await client.conversations_info(channel="C0SHARED")).data
    assert (await client.conversations_info(channel="C0SHARED"))["channel"]["is_ext_shared"]
