"""The names of Slack's failures, whatever came instead of an answer."""

from typing import Any

import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot import config
from bot.slack.api_errors import (
    SLACK,
    code_of,
    in_words,
    is_refusal,
    is_restricted,
    may_be_the_layout,
)
from workspace.faults import TABLE_ERRORS


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
            "Slack refuses this token (invalid_auth): copy it again from the app's settings",
        ),
        (
            refusal({"ok": False, "error": "token_revoked"}, 200),
            True,
            (
                "Slack no longer takes this token (token_revoked): get a new one in the app's"
                " settings"
            ),
        ),
        (
            refusal({"ok": False, "error": "missing_scope"}, 200),
            True,
            "Slack refuses it (missing_scope): the token lacks a scope",
        ),
        (
            refusal({"ok": False, "error": "missing_scope", "needed": "connections:write"}, 200),
            True,
            "Slack refuses it (missing_scope): the token lacks the scope connections:write",
        ),
        (
            refusal({"ok": False, "error": "missing_scope", "needed": "<!channel>"}, 200),
            True,
            "Slack refuses it (missing_scope): the token lacks a scope",
        ),
        (
            refusal({"ok": False, "error": "ratelimited"}, 429),
            False,
            "Slack limits how often it may be asked (ratelimited): try again in a minute",
        ),
        (
            refusal({"ok": False, "error": "internal_error"}, 200),
            False,
            "Slack is in trouble: internal_error",
        ),
        (refusal("upstream", 503), False, "Slack is in trouble: http_503"),
        # A proxy's page doesn't come from Slack, whatever its status.
        (
            refusal("blocked", 403),
            False,
            "what answers at slack.com is not Slack, but a proxy or another server (http_403)",
        ),
        (
            refusal({}, 200),
            False,
            "what answers at slack.com is not Slack, but a proxy or another server (http_200)",
        ),
        (
            TimeoutError(),
            False,
            (
                "Slack can't be reached at slack.com: no answer in time; behind a proxy, set"
                " HTTPS_PROXY (TimeoutError)"
            ),
        ),
    ],
)
def test_refusal_differs_from_trouble(error: Exception, refused: bool, words: str) -> None:
    assert (is_refusal(error), in_words(error, SLACK)) == (refused, words)


def test_the_setting_is_blamed_for_an_address_only_if_somebody_set_it() -> None:
    words = in_words(ConnectionResetError(), "https://gov.slack.test/api/")
    assert words.startswith("Slack can't be reached at gov.slack.test (SLACK_API_URL): ")
    assert config.FORMS["slack_api_url"].default == SLACK
    assert "SLACK_API_URL" not in in_words(ConnectionResetError(), SLACK)


@pytest.mark.parametrize("code", [*TABLE_ERRORS, "no_text", "msg_blocks_too_long", "http_413"])
def test_any_code_may_be_about_the_layout(code: str) -> None:
    assert may_be_the_layout(code, 413 if code == "http_413" else 200)


@pytest.mark.parametrize(
    "code",
    [
        *("channel_not_found", "not_in_channel", "is_archived", "message_not_found", "not_found"),
        *("invalid_auth", "token_revoked", "missing_scope", "ratelimited", "rate_limited"),
        *("restricted_action", "restricted_action_read_only_channel", "action_prohibited"),
        *("expired_trigger_id", "hash_conflict", "used_url", "http_200", "http_503"),
    ],
)
def test_known_codes_are_not_about_the_layout(code: str) -> None:
    status = int(code.removeprefix("http_")) if code.startswith("http_") else 200
    assert not may_be_the_layout(code, status)


def test_restricted_posting_codes() -> None:
    for code in ("restricted_action", "restricted_action_thread_only_channel", "action_prohibited"):
        assert is_restricted(code)
    for code in ("channel_not_found", "http_403", "not_in_channel"):
        assert not is_restricted(code)
