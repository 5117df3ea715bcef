"""What Slack's failures are called, whatever stands in an answer's place."""

from typing import Any

import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.slack.failures import code_of, in_words, is_refusal


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
        (refusal({}, 200), "http_200"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_every_failure_has_a_name(error: Exception, code: str) -> None:
    assert code_of(error) == code


@pytest.mark.parametrize(
    ("error", "refused", "words"),
    [
        (
            refusal({"ok": False, "error": "invalid_auth"}, 200),
            True,
            "Slack refuses this token (invalid_auth)",
        ),
        (
            refusal({"ok": False, "error": "missing_scope"}, 200),
            True,
            "Slack refuses it (missing_scope)",
        ),
        (
            refusal({"ok": False, "error": "internal_error"}, 200),
            False,
            "Slack is in trouble: internal_error",
        ),
        (refusal("upstream", 503), False, "Slack is in trouble: http_503"),
        # A proxy's page is no word of Slack's, whatever its status.
        (refusal("blocked", 403), False, "Slack is in trouble: http_403"),
        (refusal({}, 200), False, "Slack is in trouble: http_200"),
        (TimeoutError(), False, "Slack can't be reached at SLACK_API_URL (TimeoutError)"),
    ],
)
def test_a_refusal_is_told_from_trouble(error: Exception, refused: bool, words: str) -> None:
    assert (is_refusal(error), in_words(error)) == (refused, words)
