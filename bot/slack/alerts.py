"""Alerts in Slack: how they are said, and what their buttons do.

A message carries its alert's key as metadata, so that another process can find out whether it was
posted. That takes a history scope, which the app may do without.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from typing import Any

import structlog
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.domain.alerts import Alert, Saying
from bot.domain.findings.model import Cancel, Run
from bot.domain.people import Right
from bot.errors import LedgerError, Unsaid, UsageError
from bot.ports import Clock
from bot.slack import kills
from bot.slack.api_errors import FAILURES, TOO_OFTEN, code_of, is_refusal, retry_after
from bot.slack.authorization import Admitted
from bot.slack.buttons import RowRef, decoded, kill_key
from bot.slack.delivery import content_of
from bot.slack.directory import Directory
from bot.slack.layouts import Layouts
from bot.slack.objects import items, mapping, next_cursor, text
from bot.slack.payloads import Click
from bot.slack.runner import Runner
from bot.slack.views import alert as alert_view
from bot.slack.views.message import Message

log = structlog.get_logger(__name__)

EVENT = "pg_sessions_alert"
"""The `event_type` of the metadata."""

APART = 1.1
"""Seconds between two posts in one channel; Slack takes about one a second."""

PAGE, PAGES = 200, 5
"""How many messages are read at once to find one, and how often."""

SKEW = 600.0
"""Seconds by which Slack's clock and the bots' may differ."""

_MAY_NOT_LOOK = frozenset({"missing_scope", "not_in_channel", "no_permission", "access_denied"})
_LOST = frozenset(
    {"message_not_found", "thread_not_found", "cant_update_message", "edit_window_closed"}
)

Call = Callable[[Message], Awaitable[AsyncSlackResponse]]


class SlackVoice:
    """`bot.ports.Voice`. `client` must not retry by itself: what is on record decides that."""

    def __init__(
        self,
        client: AsyncWebClient,
        directory: Directory,
        allowed_channels: Collection[str],
        clock: Clock,
        layouts: Layouts,
    ) -> None:
        self._client = client
        self._directory = directory
        self._allowed_channels = allowed_channels
        self._clock = clock
        self._layouts = layouts
        self._free_at: dict[str, float] = {}  # by channel, on the monotonic clock

    async def post(self, saying: Saying) -> str:
        told = saying.alert
        answer = await self._post(told.channel_id, alert_view.alert(saying), told.key)
        ts = text(answer.get("ts"))
        if not ts:
            raise Unsaid("no ts in the answer", surely=False)
        log.info("alert.posted", alert=told.id, channel=told.channel_id, ts=ts)
        return ts

    async def reply(self, saying: Saying) -> None:
        told = saying.alert
        message = alert_view.reply(saying)
        await self._post(
            told.channel_id, message, told.key, reply=told.replies, thread_ts=told.message_ts
        )
        log.info("alert.replied", alert=told.id, channel=told.channel_id, news=str(told.news))

    async def redraw(self, saying: Saying) -> None:
        told = saying.alert
        await self._admit(told.channel_id)

        async def update(shape: Message) -> AsyncSlackResponse:
            return await self._client.chat_update(
                channel=told.channel_id,
                ts=told.message_ts,
                text=shape.text,
                blocks=list(shape.blocks) or None,
            )

        await self._send("chat.update", update, alert_view.alert(saying))

    async def posted(self, alert: Alert) -> str | None:
        since = alert.opened_at.timestamp() - SKEW
        async for message in self._messages(alert, since=since):
            if _is(message, alert.key):
                return text(message.get("ts")) or None
        return None

    async def replied(self, alert: Alert) -> bool:
        async for message in self._messages(alert, thread_ts=alert.message_ts):
            if _is(message, alert.key, alert.replies):
                return True
        return False

    # --- calls -----------------------------------------------------------------------

    async def _admit(self, channel_id: str) -> None:
        """Refuse a channel that others than the bot's own people read, or may read."""
        if channel_id in self._allowed_channels:
            return
        if (why := await self._directory.obstacle(channel_id, afresh=False)) is not None:
            raise Unsaid(str(why), surely=True)

    async def _post(
        self,
        channel_id: str,
        message: Message,
        key: str,
        *,
        reply: int = 0,
        thread_ts: str | None = None,
    ) -> AsyncSlackResponse:
        await self._admit(channel_id)
        payload = {"key": key, "reply": reply}

        async def post(shape: Message) -> AsyncSlackResponse:
            await self._wait(channel_id)
            return await self._client.chat_postMessage(
                channel=channel_id,
                metadata={"event_type": EVENT, "event_payload": payload},
                thread_ts=thread_ts,
                **content_of(shape),
            )

        return await self._send("chat.postMessage", post, message)

    async def _send(self, method: str, call: Call, message: Message) -> AsyncSlackResponse:
        """Send a message in the first layout that Slack takes. Raises `Unsaid`."""
        try:
            return await self._layouts.sender(method, call)(message, last=False)
        except FAILURES as error:
            raise _unsaid(error) from error

    async def _wait(self, channel_id: str) -> None:
        now = self._clock.monotonic()
        free_at = max(self._free_at.get(channel_id, now), now)
        self._free_at[channel_id] = free_at + APART
        if free_at > now:
            await self._clock.sleep(free_at - now)

    async def _messages(
        self, alert: Alert, *, thread_ts: str = "", since: float = 0.0
    ) -> AsyncIterator[Mapping[str, Any]]:
        """The messages of a thread, or of a channel back to an instant; none if the bot may not."""
        cursor = ""
        for _ in range(PAGES):
            page: dict[str, Any] = {"channel": alert.channel_id, "limit": PAGE}
            page |= {"cursor": cursor} if cursor else {}
            try:
                if thread_ts:
                    answer = await self._client.conversations_replies(
                        ts=thread_ts, include_all_metadata=True, **page
                    )
                else:
                    answer = await self._client.conversations_history(
                        include_all_metadata=True, **page
                    )
            except FAILURES as error:
                if code_of(error) in _MAY_NOT_LOOK:
                    log.warning("alert.may_not_look", channel=alert.channel_id)
                    return
                raise _unsaid(error, surely=False) from error
            found = [*map(mapping, items(answer.get("messages")))]
            for message in found:
                yield message
            cursor = next_cursor(answer)
            if not cursor or _is_before(found, since):
                return


def _is(message: Mapping[str, Any], key: str, reply: int = 0) -> bool:
    metadata = mapping(message.get("metadata"))
    payload = mapping(metadata.get("event_payload"))
    told = (metadata.get("event_type"), payload.get("key"), payload.get("reply"))
    return told == (EVENT, key, reply)


def _is_before(page: list[Mapping[str, Any]], since: float) -> bool:
    """Whether a page, the newest first, goes back that far."""
    oldest = text(page[-1].get("ts")) if page else ""
    try:
        return float(oldest or 0) < since
    except ValueError:
        return True


def _unsaid(error: BaseException, *, surely: bool | None = None) -> Unsaid:
    code = code_of(error)
    if surely is None:
        surely = is_refusal(error) or code in TOO_OFTEN
    return Unsaid(code, surely=surely, lost=code in _LOST, retry_after=retry_after(error) or 0.0)


# --- buttons -------------------------------------------------------------------------


async def preview(runner: Runner, click: Click, admitted: Admitted) -> None:
    """Diagnose again, and preview the cheapest act on what is found now."""
    told = await _open(runner, click, admitted, Right.CANCEL)
    if told is None or (rule := told.topic.rule) is None:
        return
    topic = told.topic
    finding = await runner.within(admitted).finding(topic.cluster, rule, topic.subject)
    if finding is None:
        await runner.whisper(click, alert_view.nothing_left(told))
        return
    act = finding.acts[0] if finding.acts else None
    if act is None or isinstance(act, Run) or act.backend.id is None:
        await runner.whisper(click, alert_view.nothing_to_end(told))
        return
    row, cancels = RowRef(topic.cluster, act.backend.id), isinstance(act, Cancel)
    await kills.propose_backend(runner, click, admitted, row, cancel_first=cancels)


async def mute(runner: Runner, click: Click, admitted: Admitted) -> None:
    """Keep an alert's thread silent for an hour, on record."""
    told = await _open(runner, click, admitted, Right.LOOK)
    if told is None:
        return
    muted = await runner.operations.alerting.mute(told.key, click.actor)
    if muted is None:
        await runner.whisper(click, alert_view.over(told))
        return
    log.info("alert.muted", alert=muted.id, user=click.actor.user_id)
    await runner.whisper(click, alert_view.muted(muted))


async def _open(runner: Runner, click: Click, admitted: Admitted, right: Right) -> Alert | None:
    """The alert of a button, if it isn't over, for somebody with the right on its cluster.

    Otherwise they are told. Raises `NotAllowed`.
    """
    told = await runner.operations.alerting.get(decoded(kill_key, click.value))
    if told is None:
        await runner.whisper(click, alert_view.unknown())
        return None
    runner.require(admitted, right, told.topic.cluster)
    if told.has_ended:
        await runner.whisper(click, alert_view.over(told))
        return None
    return told


async def cluster_of(runner: Runner, click: Click) -> str | None:
    """The cluster of the alert that a button carries; None if that can't be told."""
    try:
        told = await runner.operations.alerting.get(decoded(kill_key, click.value))
    except (LedgerError, UsageError):
        return None
    return None if told is None else told.topic.cluster
