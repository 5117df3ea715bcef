"""What is posted to the bot in HTTP mode, and by whom."""

import asyncio
import hashlib
import hmac
import time
from collections.abc import Callable

import aiohttp
import pytest

from workspace import Workspace

pytestmark = pytest.mark.parametrize("mode", ["http"])
BODY = "command=%2Fpg-kill&text=user%3Dbatch&user_id=U0ANA&team_id=T0ACME&channel_id=C0INCIDENTS"


def signature(secret: str, timestamp: int, body: str) -> str:
    base = f"v0:{timestamp}:{body}".encode()
    return "v0=" + hmac.new(secret.encode(), base, hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    ("secret", "age"),
    [("forged", 0), (None, 301), (None, -301)],
    ids=["forged", "stale", "of the future"],
)
async def test_what_is_not_signed_by_slack_just_now_is_refused(
    start: Callable, slack: Workspace, port: int, secret: str | None, age: int
) -> None:
    await start()
    stamp = int(time.time()) - age
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Slack-Request-Timestamp": str(stamp),
        "X-Slack-Signature": signature(secret or slack.signing_secret, stamp, BODY),
    }
    async with aiohttp.ClientSession() as session:
        for sent in (headers, {}):
            async with session.post(
                f"http://127.0.0.1:{port}/slack/events", data=BODY, headers=sent
            ) as answer:
                assert answer.status == 401
    assert slack.messages("incidents") == []


async def test_a_request_that_comes_twice_is_answered_once(
    start: Callable, slack: Workspace, port: int
) -> None:
    await start()
    stamp = int(time.time())
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Slack-Request-Timestamp": str(stamp),
        "X-Slack-Signature": signature(slack.signing_secret, stamp, BODY),
    }

    async def post() -> int:
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"http://127.0.0.1:{port}/slack/events", data=BODY, headers=headers
            ) as answer,
        ):
            return answer.status

    assert sorted(await asyncio.gather(post(), post(), post())) == [200, 401, 401]
    assert await post() == 401
