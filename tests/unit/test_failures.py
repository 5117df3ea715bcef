"""What Slack's failures are called, whatever stands in an answer's place."""

from typing import Any

import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.slack.failures import code_of


def refusal(data: Any, status: int) -> SlackApiError:
    response = AsyncSlackResponse(
        client=AsyncWebClient(),
        http_verb="POST",
        api_url="chat.update",
        req_args={},
        data=data,
        headers={},
        status_code=status,
    )
    return SlackApiError("refused", response)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (refusal({"ok": False, "error": "not_in_channel"}, 200), "not_in_channel"),
        (refusal("upstream connect error", 503), "http_503"),
        (refusal({}, 200), ""),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_every_failure_has_a_name(error: Exception, code: str) -> None:
    assert code_of(error) == code
