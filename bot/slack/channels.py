"""Whether the channels of alerts take what the bot would post there, asked before that matters.

The bot is ready all the same: it takes commands and clicks, and no restart unarchives a channel. So
this shows in the log, the metrics and on the Home tab, and `/readyz` goes without.
"""

from collections.abc import Collection

import structlog
from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.channels import Channel, Closed, closed
from bot.ports import Meter
from bot.slack.api_errors import FAILURES, code_of
from bot.slack.objects import Fields, is_direct, is_shared, mapping, text
from bot.slack.views import alert as alert_view

log = structlog.get_logger(__name__)

ASK_EVERY = 300.0


class AlertChannels:
    """The channels, and why some of them are closed to alerts.

    Attributes:
        closed: why a channel takes nothing, by its ID, as Slack said last.
    """

    def __init__(
        self,
        client: AsyncWebClient,
        channel_ids: Collection[str],
        allowed: Collection[str],
        meter: Meter,
    ) -> None:
        self._client = client
        self._channel_ids = sorted(channel_ids)
        self._allowed = allowed
        self._meter = meter
        self.closed: dict[str, Closed] = {}

    async def ask(self) -> None:
        """Ask Slack about each of them; if it doesn't say, what it said last stands."""
        for channel_id in self._channel_ids:
            try:
                answer = await self._client.conversations_info(channel=channel_id)
            except FAILURES as error:
                if code_of(error) == "channel_not_found":
                    self._learn(channel_id, Closed.UNKNOWN)
                continue
            self._learn(channel_id, closed(channel_of(channel_id, answer), self._allowed))

    def _learn(self, channel_id: str, why: Closed | None) -> None:
        before = self.closed.pop(channel_id, None)
        if why is not None:
            self.closed[channel_id] = why
            if why is not before:
                said = alert_view.CLOSED[why]
                log.error("alerts.channel_takes_nothing", channel=channel_id, why=said)
        elif before is not None:
            log.info("alerts.channel_takes_them_again", channel=channel_id)
        self._meter.alert_channel(channel_id, takes=why is None)


def channel_of(channel_id: str, answer: Fields) -> Channel:
    """A channel, from `conversations.info`."""
    channel = mapping(answer.get("channel"))
    return Channel(
        id=channel_id,
        name=text(channel.get("name")),
        is_private=bool(channel.get("is_private")),
        is_member=bool(channel.get("is_member")),
        is_archived=bool(channel.get("is_archived")),
        is_direct=is_direct(channel),
        is_read_only=bool(channel.get("is_read_only") or channel.get("is_thread_only")),
        is_shared=is_shared(channel),
    )
