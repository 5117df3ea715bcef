"""What Slack's refusals and failures are called."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.http_retry.request import HttpRequest
from slack_sdk.http_retry.response import HttpResponse
from slack_sdk.http_retry.state import RetryState
from slack_sdk.web.async_client import AsyncWebClient

SLACK = "https://slack.com/api/"
"""Where Slack's own Web API is."""

FAILURES = (SlackClientError, aiohttp.ClientError, OSError, asyncio.TimeoutError)
"""Every way in which a call of the Web API ends without its answer."""

_BAD_TOKEN = frozenset(
    {
        "invalid_auth",
        "not_authed",
        "account_inactive",
        "token_revoked",
        "token_expired",
        "not_allowed_token_type",
    }
)

_SLACKS_OWN = frozenset(
    {
        "internal_error",
        "fatal_error",
        "service_unavailable",
        "request_timeout",
        "ratelimited",
        "rate_limited",
    }
)

_RESTRICTED = frozenset({"action_prohibited", "posting_to_general_channel_denied"})
"""What webhooks' URLs say, besides `restricted_action…`, if a channel restricts who may post."""

_NOT_THE_LAYOUT = (
    _BAD_TOKEN
    | _RESTRICTED
    # what the token may
    | {"access_denied", "accesslimited", "app_access_restricted", "ekm_access_denied"}
    | {"enterprise_is_restricted", "missing_scope", "no_permission", "not_allowed"}
    | {"org_login_required", "team_access_not_granted", "team_added_to_org", "team_not_found"}
    | {"two_factor_setup_required"}
    # the place
    | {"cannot_dm_bot", "channel_is_archived", "channel_not_found", "is_archived", "is_inactive"}
    | {"messages_tab_disabled", "not_in_channel", "user_not_found", "user_not_in_channel"}
    # the message or modal to be changed
    | {"cant_update_message", "edit_window_closed", "hash_conflict", "message_not_found"}
    | {"not_found"}
    # the ticket
    | {"exchanged_trigger_id", "expired_trigger_id", "expired_url", "invalid_trigger_id"}
    | {"push_limit_reached", "used_url"}
    # how often, and how
    | {"message_limit_exceeded", "rate_limited", "ratelimited", "request_timeout"}
    | {"deprecated_endpoint", "method_deprecated", "service_unavailable", "unknown_method"}
)
"""Codes, in Slack's reference of its methods, that no other layout would mend. Slack refuses
layouts with more codes than it lists, so that one which isn't here may always be about that."""

PATIENCE = 3
"""Seconds that a call waits out a rate limit. What takes longer goes another way."""


def code_of(error: BaseException) -> str:
    """Slack's error code; for what has none (a proxy's page, a lost connection) a name."""
    if not isinstance(error, SlackApiError):
        return type(error).__name__
    return _told(error) or f"http_{status_of(error)}"


def _told(error: SlackApiError) -> str:
    data = getattr(error.response, "data", None)
    return str(data.get("error") or "") if isinstance(data, dict) else ""


def status_of(error: SlackApiError) -> int:
    """The HTTP status of a refusal; 0 if there is none."""
    status = getattr(error.response, "status_code", 0)
    return status if isinstance(status, int) else 0


def is_refusal(error: BaseException) -> bool:
    """Whether Slack itself said no to what was asked, and would again."""
    if not isinstance(error, SlackApiError):
        return False
    told = _told(error)
    return bool(told) and told not in _SLACKS_OWN and status_of(error) < 500


def is_restricted(code: str) -> bool:
    """Whether this code says that a channel restricts who may post."""
    return code.startswith("restricted_action") or code in _RESTRICTED


def may_be_the_layout(code: str, status: int) -> bool:
    """Whether the same content might be taken in a simpler layout.

    Without a code of Slack's it goes by the HTTP status: 4xx is about what was sent.
    """
    if code and not code.startswith("http_"):
        return code not in _NOT_THE_LAYOUT and not is_restricted(code)
    return status in {400, 413, 422}


def in_words(error: BaseException, api_url: str) -> str:
    """Why a call to the Web API at `api_url` has no answer, for whoever runs the bot."""
    code = code_of(error)
    if not isinstance(error, SlackApiError):
        return f"Slack can't be reached at {place(api_url)}: {_why_not(error)} ({code})"
    if not is_refusal(error):
        return f"Slack is in trouble: {code}"
    means = "Slack refuses this token" if code in _BAD_TOKEN else "Slack refuses it"
    return f"{means} ({code})"


def place(api_url: str) -> str:
    """The host that is asked, and the setting that names it if somebody has set it."""
    host = urlsplit(api_url).netloc
    return host if api_url == SLACK else f"{host} (SLACK_API_URL)"


def _why_not(error: BaseException) -> str:
    match error:
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            return "the proxy that HTTPS_PROXY names does not let the bot through"
        case aiohttp.ClientConnectorCertificateError():
            return "its certificate is not one that this machine trusts"
        case aiohttp.ClientConnectorDNSError():
            return "this machine does not find its address; behind a proxy, set HTTPS_PROXY"
        case TimeoutError():
            return "no answer in time; behind a proxy, set HTTPS_PROXY"
        case _:
            return "no connection to it; behind a proxy, set HTTPS_PROXY"


class Client(AsyncWebClient):
    """The SDK's client, which takes an answer that is no JSON object for a failure.

    By itself the SDK trips over one, in an error that nobody expects.
    """

    async def _request(
        self, *, http_verb: str, api_url: str, req_args: dict[str, Any]
    ) -> dict[str, Any]:
        answer = await super()._request(http_verb=http_verb, api_url=api_url, req_args=req_args)
        return answer if isinstance(answer["data"], dict) else {**answer, "data": {}}


class ShortRateLimits(AsyncRateLimitErrorRetryHandler):
    """Waits out a short rate limit; a long one is left to the caller, who has other ways."""

    async def _can_retry_async(
        self,
        *,
        state: RetryState,
        request: HttpRequest,
        response: HttpResponse | None = None,
        error: Exception | None = None,
    ) -> bool:
        if not await super()._can_retry_async(
            state=state, request=request, response=response, error=error
        ):
            return False
        headers = {
            name.lower(): value for name, value in (response.headers if response else {}).items()
        }
        seconds = str((headers.get("retry-after") or ["0"])[0])
        return seconds.isdigit() and int(seconds) <= PATIENCE
