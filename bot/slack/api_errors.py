"""Names for Slack's refusals and failures."""

import asyncio
import re
from collections.abc import Mapping
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
"""The base URL of Slack's own Web API."""

FAILURES = (SlackClientError, aiohttp.ClientError, OSError, asyncio.TimeoutError)
"""Every way in which a call to the Web API can end without an answer."""

_ENDED_TOKEN = frozenset({"account_inactive", "token_revoked", "token_expired"})

_BAD_TOKEN = _ENDED_TOKEN | {"invalid_auth", "not_authed", "not_allowed_token_type"}

TOO_OFTEN = frozenset({"ratelimited", "rate_limited"})

_SCOPES = re.compile(r"[a-z_.:]+(,[a-z_.:]+)*")

_SLACKS_OWN = {
    "internal_error",
    "fatal_error",
    "service_unavailable",
    "request_timeout",
} | TOO_OFTEN

_RESTRICTED = frozenset({"action_prohibited", "posting_to_general_channel_denied"})
"""What response_urls answer, besides `restricted_action…`, if a channel restricts posting."""

NO_REPLIES = frozenset(
    {
        "cannot_reply_to_message",
        "restricted_action_non_threadable_channel",
        "restricted_action_thread_locked",
        "thread_not_found",
    }
)
"""What a message answers that can't have replies; the channel may still take the answer."""

_NOT_THE_LAYOUT = (
    _BAD_TOKEN
    | _RESTRICTED
    | NO_REPLIES
    # what the token may do
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
    # the trigger or response_url
    | {"exchanged_trigger_id", "expired_trigger_id", "expired_url", "invalid_trigger_id"}
    | {"push_limit_reached", "used_url"}
    # how often, and how
    | {"message_limit_exceeded", "request_timeout"}
    | TOO_OFTEN
    | {"deprecated_endpoint", "method_deprecated", "service_unavailable", "unknown_method"}
)
"""Codes from Slack's method reference that no simpler layout would fix. Slack refuses layouts with
more codes than it lists, so any code that isn't here may be about the layout."""

PATIENCE = 3
"""Seconds for which a call waits out a rate limit. If it takes longer, there are other ways."""

ASSUMED_WAIT = 30.0
"""Seconds to wait after a rate limit that doesn't say for how long."""


def code_of(error: BaseException) -> str:
    """Slack's error code; for an error without one (a proxy's page, a lost connection) a name."""
    if not isinstance(error, SlackApiError):
        return type(error).__name__
    return _told(error) or f"http_{status_of(error)}"


def _told(error: SlackApiError) -> str:
    data = getattr(error.response, "data", None)
    return str(data.get("error") or "") if isinstance(data, dict) else ""


def status_of(error: SlackApiError) -> int:
    """The HTTP status of a refusal; 0 if it has none."""
    # If the body isn't JSON, although its type says so, the SDK passes on aiohttp's own response.
    status = getattr(error.response, "status_code", None) or getattr(error.response, "status", 0)
    return status if isinstance(status, int) else 0


def retry_after(error: BaseException) -> float | None:
    """Seconds that Slack asks to wait before the next call; None if it asks for nothing."""
    if not isinstance(error, SlackApiError) or status_of(error) != 429:
        return None
    headers = getattr(error.response, "headers", None) or {}
    told = {str(name).lower(): value for name, value in dict(headers).items()}.get("retry-after")
    seconds = str(told[0] if isinstance(told, list) else told)
    return float(seconds) if seconds.isdigit() else ASSUMED_WAIT


def is_refusal(error: BaseException) -> bool:
    """Whether Slack itself refused the request, and would do so again."""
    if not isinstance(error, SlackApiError):
        return False
    told = _told(error)
    return bool(told) and told not in _SLACKS_OWN and status_of(error) < 500


def is_restricted(code: str) -> bool:
    """Whether this code means that a channel restricts who may post."""
    return code.startswith("restricted_action") or code in _RESTRICTED


def may_be_the_layout(code: str, status: int) -> bool:
    """Whether Slack might accept the same content in a simpler layout.

    Without one of Slack's codes, the HTTP status decides: 4xx is about what was sent.
    """
    if code and not code.startswith("http_"):
        return code not in _NOT_THE_LAYOUT and not is_restricted(code)
    return status in {400, 413, 422}


def objections(error: SlackApiError) -> object:
    """What Slack says of the parts that it refused, for the log; None if it says nothing."""
    data = getattr(error.response, "data", None)
    metadata = data.get("response_metadata") if isinstance(data, Mapping) else None
    return metadata.get("messages") if isinstance(metadata, Mapping) else None


def in_words(error: BaseException, api_url: str) -> str:
    """Why a call to the Web API at `api_url` got no answer, for whoever runs the bot."""
    code = code_of(error)
    if not isinstance(error, SlackApiError):
        return f"Slack can't be reached at {place(api_url)}: {_why_not(error)} ({code})"
    if code in {*TOO_OFTEN, "http_429"}:
        return f"Slack limits how often it may be asked ({code}): try again in a minute"
    if not _told(error) and status_of(error) < 500:
        what = f"what answers at {place(api_url)} is not Slack"
        return f"{what}, but a proxy or another server ({code})"
    if not is_refusal(error):
        return f"Slack is in trouble: {code}"
    if code in _ENDED_TOKEN:
        return f"Slack no longer takes this token ({code}): get a new one in the app's settings"
    if code in _BAD_TOKEN:
        return f"Slack refuses this token ({code}): copy it again from the app's settings"
    if code == "missing_scope":
        return f"Slack refuses it ({code}): the token lacks {_needed(error)}"
    return f"Slack refuses it ({code})"


def _needed(error: SlackApiError) -> str:
    data = getattr(error.response, "data", None)
    needed = str(data.get("needed") or "") if isinstance(data, dict) else ""
    return f"the scope {needed}" if _SCOPES.fullmatch(needed) else "a scope"


def place(api_url: str) -> str:
    """The host that is asked, and the setting that names it if that is set."""
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
    """The SDK's client, but an answer that isn't a JSON object counts as a failure.

    The SDK itself would raise an error that nobody expects.
    """

    async def _request(
        self, *, http_verb: str, api_url: str, req_args: dict[str, Any]
    ) -> dict[str, Any]:
        try:
            answer = await super()._request(http_verb=http_verb, api_url=api_url, req_args=req_args)
        except RecursionError as error:
            raise SlackClientError("an answer that is nested too deeply") from error
        return answer if isinstance(answer["data"], dict) else {**answer, "data": {}}


class ShortRateLimits(AsyncRateLimitErrorRetryHandler):
    """Waits out a short rate limit; leaves a long one to the caller, who has other ways."""

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
