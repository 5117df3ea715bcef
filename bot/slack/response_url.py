"""The response_url of a command or a click: how to post to it, and how it fails."""

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any

import aiohttp
import structlog

from bot.slack.api_errors import FAILURES, PATIENCE

log = structlog.get_logger(__name__)

RESPONSE_TIMEOUT = aiohttp.ClientTimeout(total=10)

AGAIN_AFTER = 0.5
"""Seconds before a retry when Slack doesn't know something yet: a url, or a modal, just made."""

_SPENT = frozenset({"expired_url", "used_url"})
GONE = frozenset({403, 404, 410})
"""What a response_url answers if it has expired, is used up, or if posting is restricted."""


class UrlClosed(Exception):  # noqa: N818  not an error: this way is closed for good
    """A response_url that has expired, is used up or was refused. The argument is a code."""


class UrlFails(Exception):  # noqa: N818
    """A response_url that failed and may work again soon. The argument is a code."""


async def post_to(
    session: aiohttp.ClientSession, url: str, payload: Mapping[str, Any], *, again: bool = True
) -> tuple[int, str]:
    """Send, and wait out a short rate limit; return the status and a code.

    A 200 that reports a failure counts as 400. A url may be unknown for a moment after a quick
    click, so it is tried a second time.
    """
    try:
        async with session.post(url, json=payload, timeout=RESPONSE_TIMEOUT) as response:
            status, body = response.status, await response.text()
            wait = response.headers.get("Retry-After", "")
    except FAILURES as error:
        log.info("delivery.response_url_failed", error=type(error).__name__)
        raise UrlFails(type(error).__name__) from None
    code = _told(status, body)
    if again and status == 429 and wait.isdigit() and int(wait) <= PATIENCE:
        await asyncio.sleep(int(wait))
        return await post_to(session, url, payload, again=False)
    if again and status == 404 and code not in _SPENT:
        await asyncio.sleep(AGAIN_AFTER)
        return await post_to(session, url, payload, again=False)
    return 400 if status == 200 and code else status, code or f"http_{status}"


def _told(status: int, body: str) -> str:
    """Slack's code in the body of a response_url's answer; empty if there is none."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return body if status != 200 and _CODE.fullmatch(body) else ""
    refused = isinstance(told, Mapping) and told.get("ok") is False
    return str(told.get("error") or "not_ok") if refused else ""


_CODE = re.compile("[a-z_]{1,60}")
