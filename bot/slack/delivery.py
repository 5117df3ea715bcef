"""Deliver an answer; if one way fails, by the next.

A message goes through the Web API. If the bot may not post there, it goes to the response_url of
the command or click (5 uses in 30 minutes). If Slack refuses a layout, with whatever code, the
same content goes in a plain table, then without tables, and finally as text only. If Slack itself
fails, all ways are tried again. An answer that Slack accepted without saying so may then appear
twice: a lost answer does more harm. An answer that couldn't be delivered is in the log, with the
reference that the ledger has.
"""

import asyncio
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
    NO_REPLIES,
    code_of,
    is_refusal,
    is_restricted,
    may_be_the_layout,
    objections,
    status_of,
)
from bot.slack.layouts import Layouts, Refusal, Send, goes_on
from bot.slack.response_url import AGAIN_AFTER, GONE, UrlClosed, UrlFails, post_to
from bot.slack.views.errors import from_elsewhere
from bot.slack.views.message import Message, plainly

log = structlog.get_logger(__name__)

PAUSES = (0.0, 1.0, 3.0)
"""Seconds before each round of all the ways for a message."""

Way = Callable[[bool], Awaitable[Place]]
"""One way for a message; the argument says whether this is its last try. Raises `UrlClosed`,
`UrlFails` or one of `FAILURES`."""

View = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A message that couldn't be delivered by any way.

    Attributes:
        code: the reason: Slack's code, or a name for the failure.
        surely: whether Slack has refused it; otherwise it may have been posted.
    """

    code: str
    surely: bool

    @property
    def is_restricted(self) -> bool:
        """Whether the channel restricts who may post, and the bot may not."""
        return is_restricted(self.code)


class Delivery:
    """Posts, updates and whispers. `session` is shared, because each new one costs a handshake."""

    def __init__(
        self, client: AsyncWebClient, session: aiohttp.ClientSession, layouts: Layouts
    ) -> None:
        self._client = client
        self._session = session
        self._layouts = layouts

    def of(self, team_id: str) -> "Delivery":
        """The same in one workspace, which may take other layouts than the rest."""
        return Delivery(self._client, self._session, self._layouts.of(team_id))

    async def post(
        self,
        channel_id: str,
        message: Message,
        *,
        response_url: str,
        thread_ts: str = "",
        broadcast: bool = False,
    ) -> Place | Undelivered:
        """Answer in the channel, or in a thread of it; returns where the message is.

        What is `broadcast` stands in the channel as well as in the thread. The place has no
        `message_ts` if only the response_url worked, and no `thread_ts` if the thread's first
        message is gone, or takes no replies: then the answer is in the channel.
        """

        async def by_api(last: bool) -> Place:
            send = self._post_message(channel_id, thread_ts, broadcast=broadcast)
            try:
                answer = await send(message, last=last)
            except SlackApiError as error:
                if not thread_ts or code_of(error) not in NO_REPLIES:
                    raise
                answer = await self._post_message(channel_id)(message, last=last)
            place = Place(channel_id, str(answer.get("ts") or ""), thread_of(answer, thread_ts))
            log.info("delivery.posted", channel=channel_id, ts=place.message_ts)
            return place

        async def by_url(last: bool) -> Place:
            # A response_url can't broadcast, and the channel must see it.
            thread = "" if broadcast else thread_ts
            await self._respond(
                response_url, message, last=last, response_type="in_channel", thread_ts=thread
            )
            return Place(channel_id, thread_ts=thread)

        async with _undelivered(channel_id):
            return await _by_one_of(by_api, by_url)

    async def update(
        self,
        place: Place,
        message: Message,
        *,
        response_url: str = "",
        at_any_cost: bool = True,
        broadcast: bool = False,
    ) -> Place | Undelivered:
        """Replace a message; if it is gone or can't be edited, post a new one in its thread.

        An update that need not arrive `at_any_cost` is tried once, and never posts a new message.
        """
        deleted = False

        async def by_api(last: bool) -> Place:
            nonlocal deleted
            try:
                await self._update_message(place)(message, last=last)
            except SlackApiError as error:
                deleted = code_of(error) == "message_not_found"
                raise
            log.info("delivery.updated", channel=place.channel_id, ts=place.message_ts)
            return place

        async def by_url(last: bool) -> Place:
            if deleted:
                raise UrlClosed("message_not_found")
            await self._respond(response_url, message, last=last, replace_original=True)
            return place

        async with _undelivered(place.channel_id) if at_any_cost else nullcontext():
            ways = (by_api, by_url) if place.message_ts else (by_url,)
            given = await _by_one_of(*ways, pauses=PAUSES if at_any_cost else PAUSES[:1])
        if isinstance(given, Place) or not at_any_cost:
            return given
        return await self.post(
            place.channel_id,
            message,
            response_url=response_url,
            thread_ts=place.thread_ts,
            broadcast=broadcast,
        )

    async def whisper(
        self,
        channel_id: str,
        user_id: str,
        message: Message,
        *,
        response_url: str,
        thread_ts: str = "",
    ) -> bool:
        """Answer one person; if the channel takes nothing, in their direct messages with the bot.

        A thread must have replies: Slack shows an ephemeral message in no other. Returns whether
        they got it. If not, the log says so.
        """

        async def by_url(last: bool) -> Place:
            await self._respond(response_url, message, last=last, response_type="ephemeral")
            return Place(channel_id)

        async def by_api(last: bool) -> Place:
            send = self._post_ephemeral(channel_id, user_id, thread_ts)
            await send(message, last=last)
            log.info("delivery.whispered", channel=channel_id, user=user_id)
            return Place(channel_id)

        async def by_direct_message(last: bool) -> Place:
            # With chat:write, Slack takes a person's id for their direct messages with the bot.
            alone = from_elsewhere(message, channel_id)
            answer = await self._post_message(user_id)(alone, last=last)
            log.info("delivery.sent_directly", channel=channel_id, user=user_id)
            return Place(str(answer.get("channel") or ""), str(answer.get("ts") or ""))

        async with _undelivered(channel_id):
            # A response_url takes one person's answer to the channel only.
            ways = (by_api, by_url) if thread_ts else (by_url, by_api)
            given = await _by_one_of(*ways)
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
        """Post to a response_url; return whether Slack took it."""
        try:
            await self._respond(
                response_url,
                message,
                last=True,
                response_type=response_type,
                replace_original=replace_original,
            )
        except (UrlClosed, UrlFails):
            return False
        return True

    # --- modals --------------------------------------------------------------------

    async def open_view(self, trigger_id: str, view: View) -> AsyncSlackResponse:
        """Open a modal. Raises one of `FAILURES`."""

        async def send(shape: View) -> AsyncSlackResponse:
            return await self._client.views_open(trigger_id=trigger_id, view=shape)

        return await _view_in_shapes(send, view)

    async def update_view(self, view_id: str, view: View, view_hash: str | None = None) -> None:
        """Replace a view. Raises one of `FAILURES`.

        Slack may not know a view that it has just opened, so it is asked a second time.
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

    async def publish_home(self, user_id: str, view: View) -> None:
        """Replace a person's Home tab. Raises one of `FAILURES`."""

        async def send(shape: View) -> AsyncSlackResponse:
            return await self._client.views_publish(user_id=user_id, view=shape)

        await _view_in_shapes(send, view)

    # --- a response_url ------------------------------------------------------------

    async def _respond(  # noqa: PLR0913  keyword-only, each with its own meaning
        self,
        response_url: str,
        message: Message,
        *,
        last: bool,
        response_type: str = "ephemeral",
        replace_original: bool = False,
        thread_ts: str = "",
    ) -> None:
        """Post to a response_url. Raises `UrlClosed` and `UrlFails`."""
        if not response_url:
            raise UrlClosed("no_response_url")
        way = f"response_url {response_type}" if not replace_original else "response_url replace"
        refused: list[Refusal] = []
        for shape in self._layouts.shapes(message, way):
            payload = content_of(shape) | {"replace_original": replace_original}
            if not replace_original:
                payload["response_type"] = response_type
            if thread_ts:
                payload["thread_ts"] = thread_ts
            status, code = await post_to(self._session, response_url, payload)
            if status == 200:
                log.info("delivery.responded", replaced=replace_original)
                self._layouts.taken(shape, way, refused)
                return
            log.info("delivery.response_url_refused", status=status, error=code)
            if status in GONE:
                raise UrlClosed(code)
            certain = status < 500 and status != 429
            if not goes_on(shape, code, status, certain=certain, last=last):
                raise (UrlClosed if certain else UrlFails)(code)
            refused.append(Refusal(shape, certain))

    # --- the Web API ---------------------------------------------------------------

    def _post_message(self, channel: str, thread_ts: str = "", *, broadcast: bool = False) -> Send:
        """Post to a channel or, given a person's id, in their direct messages with the bot."""
        thread: dict[str, Any] = {"thread_ts": thread_ts} if thread_ts else {}
        if thread and broadcast:
            thread["reply_broadcast"] = True
        return self._layouts.sender(
            "chat.postMessage",
            lambda shape: self._client.chat_postMessage(
                channel=channel, **thread, **content_of(shape)
            ),
        )

    def _post_ephemeral(self, channel_id: str, user_id: str, thread_ts: str) -> Send:
        return self._layouts.sender(
            "chat.postEphemeral",
            lambda shape: self._client.chat_postEphemeral(
                channel=channel_id,
                user=user_id,
                thread_ts=thread_ts or None,
                text=shape.text,
                blocks=list(shape.blocks) or None,
            ),
        )

    def _update_message(self, place: Place) -> Send:
        return self._layouts.sender(
            "chat.update",
            lambda shape: self._client.chat_update(
                channel=place.channel_id,
                ts=place.message_ts,
                text=shape.text,
                blocks=list(shape.blocks) or None,
            ),
        )


def content_of(message: Message) -> dict[str, Any]:
    """The arguments that carry a message, to every method that takes one."""
    content: dict[str, Any] = {
        "text": message.text,
        "unfurl_links": False,
        "unfurl_media": False,
    }
    return content | {"blocks": list(message.blocks)} if message.blocks else content


def thread_of(answer: AsyncSlackResponse, asked: str) -> str:
    """The thread that a message is in. If its parent is gone, Slack posts it to the channel.

    An answer that doesn't carry the whole message, with its `type`, doesn't tell.
    """
    told = answer.get("message")
    if not isinstance(told, Mapping) or "type" not in told:
        return asked
    thread_ts = told.get("thread_ts")
    return thread_ts if isinstance(thread_ts, str) else ""


async def _by_one_of(*ways: Way, pauses: tuple[float, ...] = PAUSES) -> Place | Undelivered:
    """Use the first way that works; a way that is closed for good is tried only once."""
    open_ways, failed, surely = list(ways), [], True
    for number, pause in enumerate(pauses, 1):
        if open_ways:
            await asyncio.sleep(pause)
        for way in tuple(open_ways):
            try:
                return await way(number == len(pauses))
            except (UrlClosed, UrlFails, *FAILURES) as error:
                code = str(error) if isinstance(error, UrlClosed | UrlFails) else code_of(error)
                log.info("delivery.way_failed", error=code)
                failed.append(code)
                if isinstance(error, UrlClosed) or is_refusal(error):
                    open_ways.remove(way)
                else:
                    surely = False
    # The most telling one: that posting is restricted, otherwise what the first way met.
    code = next(filter(is_restricted, failed), failed[0] if failed else "no_way")
    return Undelivered(code, surely)


async def _view_in_shapes(
    send: Callable[[View], Awaitable[AsyncSlackResponse]], view: View
) -> AsyncSlackResponse:
    try:
        return await send(view)
    except SlackApiError as error:
        if not may_be_the_layout(code_of(error), status_of(error)):
            raise
        log.warning("delivery.layout_refused", error=code_of(error), why=objections(error))
        return await send({**view, "blocks": plainly(view["blocks"])})


@asynccontextmanager
async def _undelivered(channel_id: str) -> AsyncIterator[None]:
    """Log that a reply was not delivered if its task is cancelled."""
    try:
        yield
    except asyncio.CancelledError:
        log.error("delivery.failed", channel=channel_id, error="the bot stops")  # noqa: TRY400
        raise
