"""Requests posted to the bot in HTTP mode, from Slack and from others."""

import asyncio
import hashlib
import hmac
import io
import json
import time
from collections.abc import Callable
from urllib.parse import urlencode

import aiohttp
import pytest

from tests.ports import free_port
from workspace import Workspace

pytestmark = pytest.mark.parametrize("mode", ["http"])
BODY = "command=%2Fpg-kill&text=user%3Dbatch&user_id=U0ANA&team_id=T0ACME&channel_id=C0INCIDENTS"


def signature(secret: str, timestamp: int, body: str) -> str:
    base = f"v0:{timestamp}:{body}".encode()
    return "v0=" + hmac.new(secret.encode(), base, hashlib.sha256).hexdigest()


def signed(secret: str, body: str = BODY, age: int = 0) -> dict[str, str]:
    stamp = int(time.time()) - age
    return {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Slack-Request-Timestamp": str(stamp),
        "X-Slack-Signature": signature(secret, stamp, body),
    }


async def post(port: int, body: str, headers: dict[str, str]) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"http://127.0.0.1:{port}/slack/events",
            data=io.BytesIO(body.encode()),
            headers=headers,
        ) as answer,
    ):
        return answer.status


async def test_request_not_freshly_signed_by_slack_is_refused(
    start: Callable, slack: Workspace, port: int
) -> None:
    bot = await start()
    forged = {
        "forged": signed("another secret"),
        "stale": signed(slack.signing_secret, age=301),
        # Time goes by until it arrives.
        "of the future": signed(slack.signing_secret, age=-400),
        "not signed": {},
        "of another body": signed(slack.signing_secret, BODY + "&"),
        "no number": signed(slack.signing_secret) | {"X-Slack-Request-Timestamp": "now"},
        "no ASCII": signed(slack.signing_secret) | {"X-Slack-Signature": "v0=é"},
    }
    for what, headers in forged.items():
        assert await post(port, BODY, headers) == 401, what
    for body in ("payload={", "{", "payload=" + "[" * 100_000):
        assert await post(port, body, signed("another secret", body)) == 401
    assert slack.messages("incidents") == []
    assert "request.started" not in bot.output


async def test_other_requests_get_a_status_and_do_nothing(
    start: Callable, slack: Workspace, port: int
) -> None:
    bot = await start()
    click = json.dumps({"type": "block_actions", "user": 1, "actions": [{}]})
    for body, status in {
        "payload={": 400,
        "payload=" + "[" * 100_000: 400,
        "payload=[]": 404,
        '{"type": "url_verification"}': 404,
        "command=%2Fother": 404,
        urlencode({"payload": click}): 404,
        urlencode({"payload": '{"type": "view_submission", "view": null}'}): 404,
        "x" * 2**20 + "x": 413,
        "ssl_check=1&token=x": 200,
    }.items():
        assert await post(port, body, signed(slack.signing_secret, body)) == status, body[:80]
    assert slack.messages("incidents") == []
    assert "rror" not in bot.output.replace('"error": "JSONDecodeError"', "").replace(
        '"error": "RecursionError"', ""
    )


async def test_a_request_that_comes_twice_is_answered_once(
    start: Callable, slack: Workspace, port: int
) -> None:
    await start()
    headers = signed(slack.signing_secret)
    answers = await asyncio.gather(*(post(port, BODY, headers) for _ in range(3)))
    assert sorted(answers) == [200, 401, 401]
    assert await post(port, BODY, headers) == 401


async def test_replay_is_recognized_by_all_replicas_and_after_a_restart(
    start: Callable, slack: Workspace, port: int, ledger_url: str
) -> None:
    other = free_port()
    first = await start(LEDGER_URL=ledger_url)
    second = await start(LEDGER_URL=ledger_url, PORT=str(other))
    headers = signed(slack.signing_secret)
    answers = await asyncio.gather(*(post(p, BODY, headers) for p in (port, other) * 3))
    assert sorted(answers) == [200] + [401] * 5

    await second.stop()
    await first.stop()
    await start(LEDGER_URL=ledger_url)
    assert await post(port, BODY, headers) == 401
    assert await post(port, BODY, signed(slack.signing_secret, age=100)) == 200
