"""Getting an answer to where it belongs, by the next way if one fails.

A message goes by the Web API, and if the bot may not post there by the response_url of the
very command or click (5 uses in 30 minutes). If Slack refuses a layout, by whatever code, the
same content goes without tables, and last as text only. If Slack itself fails, all ways are
tried again. An answer that Slack took without saying so may then stand twice: a lost one does
more harm. An answer that couldn't be delivered is in the log, with the ledger's reference.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import aiohttp
import structlog
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.domain.kills import Place
from bot.slack.api_errors import (
    FAILURES,
    PATIENCE,
    code_of,
    is_refusal,
    is_restricted,
    may_be_the_layout,
    status_of,
)
from bot.slack.views.errors import from_elsewhere
from bot.slack.views.message import Message, plainly

log = structlog.get_logger(__name__)

RESPONSE_TIMEOUT = aiohttp.ClientTimeout(total=10)

PAUSES = (0.0, 1.0, 3.0)
"""Seconds before each round of all the ways that a message may take."""

AGAIN_AFTER = 0.5
"""Seconds before what Slack doesn't know yet is tried again: a url, or a modal, just made."""

Send = Callable[[Message], Awaitable[AsyncSlackResponse]]
Way = Callable[[bool], Awaitable[Place]]
"""One way for a message, told whether this is its last try. Raises a `_Url…`, or what `FAILURES`
holds."""

View = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A message that no way took.

    Attributes:
        code: why, by Slack's code or by how it failed.
        surely: whether Slack has refused it; otherwise it may have been posted.
    """

    code: str
    surely: bool

    @property
    def is_restricted(self) -> bool:
        """Whether the channel restricts who may post, and the bot may not."""
        return is_restricted(self.code)


class _UrlClosed(Exception):  # noqa: N818  no error of ours: a way that is closed for good
    """A response_url that has expired, is used up or was refused. Its argument is a code."""


class _UrlFails(Exception):  # noqa: N818
    """A response_url that failed, and may work in a moment. Its argument is a code."""


class Delivery:
    """Posts, updates and whispers. `session` is shared: each new one costs a handshake."""

    def __init__(self, client: AsyncWebClient, session: aiohttp.ClientSession) -> None:
        self._client = client
        self._session = session

    async def post(
        self, channel_id: str, message: Message, *, response_url: str
    ) -> Place | Undelivered:
        """Answer in the channel; where the message stands.

        The place has no `message_ts` if only the response_url worked.
        """

        async def by_api(last: bool) -> Place:
            answer = await _in_shapes(self._post_message(channel_id), message, last=last)
            place = Place(channel_id, str(answer.get("ts") or ""))
            log.info("delivery.posted", channel=channel_id, ts=place.message_ts)
            return place

        async def by_url(last: bool) -> Place:
            await self._respond(response_url, message, last=last, response_type="in_channel")
            return Place(channel_id)

        async with _undelivered(channel_id):
            return await _by_one_of(by_api, by_url)

    async def update(
        self,
        place: Place,
        message: Message,
        *,
        response_url: str = "",
        at_any_cost: bool = True,
    ) -> Place | Undelivered:
        """Replace a message; if it is gone or can't be edited, answer anew.

        What need not arrive `at_any_cost` is tried once, and makes no message of its own.
        """
        deleted = False

        async def by_api(last: bool) -> Place:
            nonlocal deleted
            try:
                await _in_shapes(self._update_message(place), message, last=last)
            except SlackApiError as error:
                deleted = code_of(error) == "message_not_found"
                raise
            log.info("delivery.updated", channel=place.channel_id, ts=place.message_ts)
            return place

        async def by_url(last: bool) -> Place:
            if deleted:
                raise _UrlClosed("message_not_found")
            await self._respond(response_url, message, last=last, replace_original=True)
            return place

        async with _undelivered(place.channel_id) if at_any_cost else nullcontext():
            ways = (by_api, by_url) if place.message_ts else (by_url,)
            given = await _by_one_of(*ways, pauses=PAUSES if at_any_cost else PAUSES[:1])
        if isinstance(given, Place) or not at_any_cost:
            return given
        return await self.post(place.channel_id, message, response_url=response_url)

    async def whisper(
        self, channel_id: str, user_id: str, message: Message, *, response_url: str
    ) -> bool:
        """Answer only one person; if the channel takes nothing, in their messages with the bot.

        Whether they have it. If they don't, the log says so.
        """

        async def by_url(last: bool) -> Place:
            await self._respond(response_url, message, last=last, response_type="ephemeral")
            return Place(channel_id)

        async def by_api(last: bool) -> Place:
            await _in_shapes(self._post_ephemeral(channel_id, user_id), message, last=last)
            log.info("delivery.whispered", channel=channel_id, user=user_id)
            return Place(channel_id)

        async def by_direct_message(last: bool) -> Place:
            # Slack takes a person's id for the conversation with them, by chat:write.
            alone = from_elsewhere(message, channel_id)
            answer = await _in_shapes(self._post_message(user_id), alone, last=last)
            log.info("delivery.directed", channel=channel_id, user=user_id)
            return Place(str(answer.get("channel") or ""), str(answer.get("ts") or ""))

        async with _undelivered(channel_id):
            given = await _by_one_of(by_url, by_api)
            if isinstance(given, Undelivered):
                given = await _by_one_of(by_direct_message)
        if isinstance(given, Undelivered):
            log.error("delivery.failed", channel=channel_id, user=user_id, error=given.code)
        return isinstance(given, Place)

    async def respond(
        self,
        response_url: str,
        message: Message,
        *,
        response_type: str = "ephemeral",
        replace_original: bool = False,
    ) -> bool:
        """Post to a response_url; whether Slack took it."""
        try:
            await self._respond(
                response_url,
                message,
                last=True,
                response_type=response_type,
                replace_original=replace_original,
            )
        except (_UrlClosed, _UrlFails):
            return False
        return True

    # --- modals --------------------------------------------------------------------

    async def open_view(self, trigger_id: str, view: View) -> AsyncSlackResponse:
        """Open a modal. Raises what `FAILURES` holds."""

        async def send(shape: View) -> AsyncSlackResponse:
            return await self._client.views_open(trigger_id=trigger_id, view=shape)

        return await _view_in_shapes(send, view)

    async def update_view(self, view_id: str, view: View, view_hash: str | None = None) -> None:
        """Put a view in the place of one. Raises what `FAILURES` holds.

        Slack may not know a view yet that it has just opened: it is asked once more.
        """

        async def send(shape: View) -> AsyncSlackResponse:
            return await self._client.views_update(view_id=view_id, hash=view_hash, view=shape)

        try:
            await _view_in_shapes(send, view)
        except SlackApiError as error:
            if code_of(error) != "not_found":
                raise
            await asyncio.sleep(AGAIN_AFTER)
            await _view_in_shapes(send, view)

    # --- a response_url ------------------------------------------------------------

    async def _respond(
        self,
        response_url: str,
        message: Message,
        *,
        last: bool,
        response_type: str = "ephemeral",
        replace_original: bool = False,
    ) -> None:
        """Post to a response_url. Raises `_UrlClosed` and `_UrlFails`."""
        if not response_url:
            raise _UrlClosed("no_response_url")
        shapes = message.shapes
        for number, shape in enumerate(shapes, 1):
            payload = _content(shape) | {"replace_original": replace_original}
            if not replace_original:
                payload["response_type"] = response_type
            status, code = await self._sent(response_url, payload)
            if status == 200:
                log.info("delivery.responded", replaced=replace_original)
                return
            log.info("delivery.response_url_refused", status=status, error=code)
            if status in _GONE:
                raise _UrlClosed(code)
            certain = status < 500 and status != 429
            if _goes_on(shapes, number, code, status, certain=certain, last=last):
                continue
            raise (_UrlClosed if certain else _UrlFails)(code)

    async def _sent(
        self, url: str, payload: Mapping[str, Any], *, again: bool = True
    ) -> tuple[int, str]:
        """Send, and wait out a short rate limit. The status (400 for a 200 that says no), a code.

        A url may be unknown for a moment after a quick click: then it is tried once more.
        """
        try:
            async with self._session.post(url, json=payload, timeout=RESPONSE_TIMEOUT) as response:
                status, body = response.status, await response.text()
                wait = response.headers.get("Retry-After", "")
        except FAILURES as error:
            log.info("delivery.response_url_failed", error=type(error).__name__)
            raise _UrlFails(type(error).__name__) from None
        code = _told(status, body)
        if again and status == 429 and wait.isdigit() and int(wait) <= PATIENCE:
            await asyncio.sleep(int(wait))
            return await self._sent(url, payload, again=False)
        if again and status == 404 and code not in _SPENT:
            await asyncio.sleep(AGAIN_AFTER)
            return await self._sent(url, payload, again=False)
        return 400 if status == 200 and code else status, code or f"http_{status}"

    # --- the Web API ---------------------------------------------------------------

    def _post_message(self, channel: str) -> Send:
        """To a channel, or by a person's id into their messages with the bot."""
        return lambda message: self._client.chat_postMessage(channel=channel, **_content(message))

    def _post_ephemeral(self, channel_id: str, user_id: str) -> Send:
        return lambda message: self._client.chat_postEphemeral(
            channel=channel_id,
            user=user_id,
            text=message.text,
            blocks=list(message.blocks) or None,
        )

    def _update_message(self, place: Place) -> Send:
        return lambda message: self._client.chat_update(
            channel=place.channel_id,
            ts=place.message_ts,
            text=message.text,
            blocks=list(message.blocks) or None,
        )


_SPENT = frozenset({"expired_url", "used_url"})
_GONE = frozenset({403, 404, 410})
"""What a response_url answers once it has expired or is used up, or if posting is restricted."""


def _content(message: Message) -> dict[str, Any]:
    content: dict[str, Any] = {
        "text": message.text,
        "unfurl_links": False,
        "unfurl_media": False,
    }
    return content | {"blocks": list(message.blocks)} if message.blocks else content


async def _by_one_of(*ways: Way, pauses: tuple[float, ...] = PAUSES) -> Place | Undelivered:
    """By the first way that works; those that are closed for good are tried once."""
    open_ways, failed, surely = list(ways), [], True
    for number, pause in enumerate(pauses, 1):
        if open_ways:
            await asyncio.sleep(pause)
        for way in tuple(open_ways):
            try:
                return await way(number == len(pauses))
            except (_UrlClosed, _UrlFails, *FAILURES) as error:
                code = str(error) if isinstance(error, _UrlClosed | _UrlFails) else code_of(error)
                log.info("delivery.by_the_next_way", error=code)
                failed.append(code)
                if isinstance(error, _UrlClosed) or is_refusal(error):
                    open_ways.remove(way)
                else:
                    surely = False
    # The most telling: that posting is restricted, or else what the first way met.
    code = next(filter(is_restricted, failed), failed[0] if failed else "no_way")
    return Undelivered(code, surely)


async def _in_shapes(send: Send, message: Message, *, last: bool) -> AsyncSlackResponse:
    """Send the first shape that Slack takes. Raises what `FAILURES` holds."""
    shapes = message.shapes
    for number, shape in enumerate(shapes, 1):
        try:
            return await send(shape)
        except SlackApiError as error:
            code, status, certain = code_of(error), status_of(error), is_refusal(error)
            if not _goes_on(shapes, number, code, status, certain=certain, last=last):
                raise
            log.warning("delivery.layout_refused", error=code, why=_why(error))
    raise AssertionError  # the last shape returns or raises


def _goes_on(  # noqa: PLR0913  of one answer
    shapes: tuple[Message, ...], number: int, code: str, status: int, *, certain: bool, last: bool
) -> bool:
    """Whether the next shape is to be tried, after that of this number (from 1) was refused.

    Text only has nothing to press: it waits for the last try, unless Slack has surely refused
    the layout.
    """
    if number == len(shapes):
        return False
    if number == len(shapes) - 1 and not (certain or last):
        return False
    return may_be_the_layout(code, status) or (last and status >= 500)


async def _view_in_shapes(
    send: Callable[[View], Awaitable[AsyncSlackResponse]], view: View
) -> AsyncSlackResponse:
    try:
        return await send(view)
    except SlackApiError as error:
        if not may_be_the_layout(code_of(error), status_of(error)):
            raise
        log.warning("delivery.layout_refused", error=code_of(error), why=_why(error))
        return await send({**view, "blocks": plainly(view["blocks"])})


@asynccontextmanager
async def _undelivered(channel_id: str) -> AsyncIterator[None]:
    """Say of a reply that is given up with its task that it was not delivered."""
    try:
        yield
    except asyncio.CancelledError:
        log.error("delivery.failed", channel=channel_id, error="the bot stops")  # noqa: TRY400
        raise


def _why(error: SlackApiError) -> object:
    data = getattr(error.response, "data", None)
    metadata = data.get("response_metadata") if isinstance(data, Mapping) else None
    return metadata.get("messages") if isinstance(metadata, Mapping) else None


def _told(status: int, body: str) -> str:
    """Slack's code in the body of a response_url's answer; empty if it names none."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return body if status != 200 and _CODE.fullmatch(body) else ""
    refused = isinstance(told, Mapping) and told.get("ok") is False
    return str(told.get("error") or "not_ok") if refused else ""


_CODE = re.compile("[a-z_]{1,60}")
