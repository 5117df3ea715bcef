"""What the bot says unasked: single calls of the Web API, so that whoever says it counts each.

No call is repeated here. Whoever makes it knows what is on record, and when to try again.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.kills import Place
from bot.ports import Clock
from bot.slack.api_errors import code_of, is_refusal, may_be_the_layout, status_of
from bot.slack.delivery import content_of, thread_of
from bot.slack.layouts import Layouts, Refusal
from bot.slack.views.message import SHAPES, Message

log = structlog.get_logger(__name__)


class Gate:
    """Lets one call through every `apart` seconds, in the order in which they came."""

    def __init__(self, clock: Clock, apart: float) -> None:
        self._clock = clock
        self._apart = apart
        self._free_at = clock.monotonic() + apart  # another process may have called just now
        self._queue = asyncio.Lock()

    async def passed(self) -> None:
        """Wait until the next call may be made."""
        async with self._queue:
            while self.left > 0:
                await self._clock.sleep(self.left)
            self._free_at = self._clock.monotonic() + self._apart

    @property
    def left(self) -> float:
        """Seconds until the next call may be made."""
        return self._free_at - self._clock.monotonic()

    def hold(self, seconds: float) -> None:
        """Let nothing through for so long, as Slack asks."""
        self._free_at = max(self._free_at, self._clock.monotonic() + seconds)


class Speech:
    """Posts and redraws. The client must not retry by itself."""

    def __init__(self, client: AsyncWebClient, layouts: Layouts) -> None:
        self._client = client
        self._layouts = layouts

    async def post(self, channel_id: str, message: Message, thread_ts: str = "") -> Place:
        """Post a message, and return where it is. Raises one of `FAILURES`."""
        answer = await self._client.chat_postMessage(
            channel=channel_id, thread_ts=thread_ts or None, **content_of(message)
        )
        return Place(channel_id, str(answer.get("ts") or ""), thread_of(answer, thread_ts))

    async def redraw(
        self,
        place: Place,
        message: Message,
        *,
        before: Callable[[], Awaitable[None]],
        team_id: str,
        most: int = SHAPES,
    ) -> int:
        """Redraw a message, in a simpler layout if Slack refuses it; wait for `before` each call.

        Tries `most` layouts, the simplest ones, and returns how many to try the next time: without
        those that Slack certainly refuses. Raises one of `FAILURES`.
        """
        layouts = self._layouts.of(team_id)
        shapes = list(layouts.shapes(message, "chat.update"))[-most:]
        refused: list[Refusal] = []
        for at, shape in enumerate(shapes):
            await before()
            try:
                await self._client.chat_update(
                    channel=place.channel_id,
                    ts=place.message_ts,
                    text=shape.text,
                    blocks=list(shape.blocks) or None,
                )
            except SlackApiError as error:
                code = code_of(error)
                if not shape.blocks or not may_be_the_layout(code, status_of(error)):
                    raise
                log.warning("speech.layout_refused", error=code)
                refused.append(Refusal(shape, is_refusal(error)))
                if is_refusal(error):
                    most = len(shapes) - at - 1
            else:
                layouts.taken(shape, "chat.update", refused)
                return most
        raise AssertionError  # the last one returns or raises
