"""Getting an answer to where it belongs, by the next way where one fails.

A message goes by the Web API where the bot may post, else by the response_url of the very
command or click (5 uses in 30 minutes). Where Slack refuses the table, the same content
goes as text. Where Slack fails by itself, all ways are tried again. An answer that Slack
took and said nothing of may then stand twice: one that is lost does more harm. What could
not be delivered at all is in the log, with the reference that the ledger has.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import aiohttp
import structlog
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.kills import Place
from bot.slack.failures import FAILURES, PATIENCE, code_of, is_refusal
from bot.slack.views.message import Message

log = structlog.get_logger(__name__)

RESPONSE_TIMEOUT = aiohttp.ClientTimeout(total=10)

PAUSES = (0.0, 1.0, 3.0)
"""Seconds before each round of all the ways that a message may take."""

_BLOCKS_REFUSED = frozenset(
    {"invalid_blocks", "invalid_blocks_format", "only_one_table_allowed", "msg_blocks_too_long"}
)
Send = Callable[[str, Message], Awaitable[AsyncSlackResponse]]
Way = Callable[[], Awaitable[Place]]


class _UrlClosed(Exception):  # noqa: N818  no error of ours: a way that is closed for good
    """A response_url that has expired, is used up or was refused."""


class _UrlFails(Exception):  # noqa: N818
    """A response_url that failed, and may work in a moment."""


class Delivery:
    """Posts, updates and whispers. `session` is shared: each new one costs a handshake."""

    def __init__(self, client: AsyncWebClient, session: aiohttp.ClientSession) -> None:
        self._client = client
        self._session = session

    async def post(self, channel_id: str, message: Message, *, response_url: str) -> Place | None:
        """Answer in the channel; where the message stands, or None where nothing worked.

        The place has no `message_ts` where only the response_url worked.
        """

        async def by_api() -> Place:
            answer = await self._with_fallback(self._post_message, channel_id, message)
            place = Place(channel_id, str(answer.get("ts") or ""))
            log.info("delivery.posted", channel=channel_id, ts=place.message_ts)
            return place

        async def by_url() -> Place:
            await self._respond(response_url, message, response_type="in_channel")
            return Place(channel_id)

        return await self._delivered(channel_id, by_api, by_url)

    async def update(
        self,
        place: Place,
        message: Message,
        *,
        response_url: str = "",
        at_any_cost: bool = True,
    ) -> bool:
        """Replace a message; where it is gone or can't be edited, answer anew.

        What need not arrive `at_any_cost` is tried once, and makes no message of its own.
        """
        deleted = False

        async def by_api() -> Place:
            nonlocal deleted
            try:
                await self._with_fallback(
                    lambda _, m: self._update_message(place, m), place.channel_id, message
                )
            except SlackApiError as error:
                deleted = code_of(error) == "message_not_found"
                raise
            log.info("delivery.updated", channel=place.channel_id, ts=place.message_ts)
            return place

        async def by_url() -> Place:
            if deleted:
                raise _UrlClosed
            await self._respond(response_url, message, replace_original=True)
            return place

        async with _undelivered(place.channel_id) if at_any_cost else nullcontext():
            ways = (by_api, by_url) if place.message_ts else (by_url,)
            if await self._by_one_of(*ways, pauses=PAUSES if at_any_cost else PAUSES[:1]):
                return True
        if not at_any_cost:
            return False
        return await self.post(place.channel_id, message, response_url=response_url) is not None

    async def whisper(
        self, channel_id: str, user_id: str, message: Message, *, response_url: str
    ) -> bool:
        """Answer one person alone."""

        async def by_url() -> Place:
            await self._respond(response_url, message, response_type="ephemeral")
            return Place(channel_id)

        async def by_api() -> Place:
            await self._with_fallback(
                lambda channel, m: self._client.chat_postEphemeral(
                    channel=channel, user=user_id, text=m.text, blocks=list(m.blocks)
                ),
                channel_id,
                message,
            )
            log.info("delivery.whispered", channel=channel_id, user=user_id)
            return Place(channel_id)

        return await self._delivered(channel_id, by_url, by_api, user=user_id) is not None

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
                response_type=response_type,
                replace_original=replace_original,
            )
        except (_UrlClosed, _UrlFails):
            return False
        return True

    async def _delivered(self, channel_id: str, *ways: Way, **whom: str) -> Place | None:
        """By the first way that works; where none did, the log says so."""
        async with _undelivered(channel_id):
            place = await self._by_one_of(*ways)
        if place is None:
            log.error("delivery.failed", channel=channel_id, **whom)
        return place

    async def _by_one_of(self, *ways: Way, pauses: tuple[float, ...] = PAUSES) -> Place | None:
        """By the first way that works; those that are closed for good are tried once."""
        open_ways = list(ways)
        for pause in pauses:
            if open_ways:
                await asyncio.sleep(pause)
            for way in tuple(open_ways):
                try:
                    return await way()
                except (_UrlClosed, *FAILURES) as error:
                    log.info("delivery.by_the_next_way", error=code_of(error))
                    if isinstance(error, _UrlClosed) or is_refusal(error):
                        open_ways.remove(way)
                except _UrlFails:
                    continue
        return None

    async def _respond(
        self,
        response_url: str,
        message: Message,
        *,
        response_type: str = "ephemeral",
        replace_original: bool = False,
    ) -> None:
        """Post to a response_url. Raises `_UrlClosed` and `_UrlFails`."""
        if not response_url:
            raise _UrlClosed
        failing = False
        for shape in _shapes(message):
            payload: dict[str, Any] = {
                "text": shape.text,
                "blocks": list(shape.blocks),
                "replace_original": replace_original,
                "unfurl_links": False,
                "unfurl_media": False,
            }
            if not replace_original:
                payload["response_type"] = response_type
            status = await self._sent(response_url, payload)
            if status == 200:
                log.info("delivery.responded", replaced=replace_original)
                return
            log.info("delivery.response_url_refused", status=status)
            if status == 429:
                raise _UrlFails
            if status in _GONE:
                raise _UrlClosed
            failing = status >= 500
        raise _UrlFails if failing else _UrlClosed

    async def _sent(self, url: str, payload: Mapping[str, Any], *, again: bool = True) -> int:
        """Send, and wait out a short rate limit; the status, 400 where a 200 says no after all."""
        try:
            async with self._session.post(url, json=payload, timeout=RESPONSE_TIMEOUT) as response:
                status, body = response.status, await response.text()
                wait = response.headers.get("Retry-After", "")
        except FAILURES as error:
            log.info("delivery.response_url_failed", error=type(error).__name__)
            raise _UrlFails from None
        if status == 429 and again and wait.isdigit() and int(wait) <= PATIENCE:
            await asyncio.sleep(int(wait))
            return await self._sent(url, payload, again=False)
        return 400 if status == 200 and _refuses(body) else status

    async def _with_fallback(
        self, send: Send, channel_id: str, message: Message
    ) -> AsyncSlackResponse:
        try:
            return await send(channel_id, message)
        except SlackApiError as error:
            if code_of(error) not in _BLOCKS_REFUSED:
                raise
            log.warning("delivery.blocks_refused", error=code_of(error), why=_why(error))
            return await send(channel_id, message.without_tables())

    async def _post_message(self, channel_id: str, message: Message) -> AsyncSlackResponse:
        return await self._client.chat_postMessage(
            channel=channel_id,
            text=message.text,
            blocks=list(message.blocks),
            unfurl_links=False,
            unfurl_media=False,
        )

    async def _update_message(self, place: Place, message: Message) -> AsyncSlackResponse:
        return await self._client.chat_update(
            channel=place.channel_id,
            ts=place.message_ts,
            text=message.text,
            blocks=list(message.blocks),
        )


_GONE = frozenset({403, 404, 410})
"""What Slack answers to a response_url that has expired or is used up."""


@asynccontextmanager
async def _undelivered(channel_id: str) -> AsyncIterator[None]:
    """Say of a reply that is given up with its task that it was not delivered."""
    try:
        yield
    except asyncio.CancelledError:
        log.error("delivery.failed", channel=channel_id, error="the bot stops")  # noqa: TRY400
        raise


def _shapes(message: Message) -> tuple[Message, ...]:
    """The message, and where it has a table the same as text; each use of a url counts."""
    plain = message.without_tables()
    return (message,) if plain == message else (message, plain)


def _why(error: SlackApiError) -> object:
    data = getattr(error.response, "data", None)
    metadata = data.get("response_metadata") if isinstance(data, Mapping) else None
    return metadata.get("messages") if isinstance(metadata, Mapping) else None


def _refuses(body: str) -> bool:
    """Whether a 200 from a response_url is a refusal after all."""
    return '"ok":false' in body.replace(" ", "")
