"""Getting an answer to where it belongs, by the next way where one fails.

A message goes by the Web API where the bot may post, else by the response_url of the very
command or click (5 uses in 30 minutes). Where Slack refuses the table, the same content
goes as text. What could not be delivered at all is in the log, with the reference that
the ledger has.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp
import structlog
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.kills import Place
from bot.slack.failures import FAILURES, code_of
from bot.slack.views.message import Message

log = structlog.get_logger(__name__)

RESPONSE_TIMEOUT = aiohttp.ClientTimeout(total=10)

_BLOCKS_REFUSED = frozenset(
    {"invalid_blocks", "invalid_blocks_format", "only_one_table_allowed", "msg_blocks_too_long"}
)
Send = Callable[[str, Message], Awaitable[AsyncSlackResponse]]


class Delivery:
    """Posts, updates and whispers. `session` is shared: each new one costs a handshake."""

    def __init__(self, client: AsyncWebClient, session: aiohttp.ClientSession) -> None:
        self._client = client
        self._session = session

    async def post(self, channel_id: str, message: Message, *, response_url: str) -> Place | None:
        """Answer in the channel; where the message stands, or None where nothing worked.

        The place has no `message_ts` where only the response_url worked.
        """
        try:
            answer = await self._with_fallback(self._post_message, channel_id, message)
        except FAILURES as error:
            log.info("delivery.by_response_url", channel=channel_id, error=code_of(error))
        else:
            place = Place(channel_id, str(answer.get("ts") or ""))
            log.info("delivery.posted", channel=channel_id, ts=place.message_ts)
            return place
        if await self.respond(response_url, message, response_type="in_channel"):
            return Place(channel_id)
        log.error("delivery.failed", channel=channel_id)
        return None

    async def update(self, place: Place, message: Message, *, response_url: str = "") -> bool:
        """Replace a message; where it is gone or can't be edited, answer anew."""
        if place.message_ts:
            try:
                await self._with_fallback(
                    lambda _, m: self._update_message(place, m), place.channel_id, message
                )
            except FAILURES as error:
                log.info("delivery.not_updated", channel=place.channel_id, error=code_of(error))
                deleted = code_of(error) == "message_not_found"
            else:
                log.info("delivery.updated", channel=place.channel_id, ts=place.message_ts)
                return True
        else:
            deleted = False
        if not deleted and await self.respond(response_url, message, replace_original=True):
            return True
        return await self.post(place.channel_id, message, response_url=response_url) is not None

    async def whisper(
        self, channel_id: str, user_id: str, message: Message, *, response_url: str
    ) -> bool:
        """Answer one person alone."""
        if await self.respond(response_url, message, response_type="ephemeral"):
            return True
        try:
            await self._with_fallback(
                lambda channel, m: self._client.chat_postEphemeral(
                    channel=channel, user=user_id, text=m.text, blocks=list(m.blocks)
                ),
                channel_id,
                message,
            )
        except FAILURES as error:
            log.error(  # noqa: TRY400  Slack's code says all; a trace would hold the payload
                "delivery.failed", channel=channel_id, user=user_id, error=code_of(error)
            )
            return False
        log.info("delivery.whispered", channel=channel_id, user=user_id)
        return True

    async def respond(
        self,
        response_url: str,
        message: Message,
        *,
        response_type: str = "ephemeral",
        replace_original: bool = False,
    ) -> bool:
        """Post to a response_url; whether Slack took it."""
        if not response_url:
            return False
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
            try:
                async with self._session.post(
                    response_url, json=payload, timeout=RESPONSE_TIMEOUT
                ) as response:
                    if response.status == 200 and not _refuses(await response.text()):
                        log.info("delivery.responded", replaced=replace_original)
                        return True
                    log.info("delivery.response_url_refused", status=response.status)
            except FAILURES as error:
                log.info("delivery.response_url_failed", error=type(error).__name__)
                return False
        return False

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
