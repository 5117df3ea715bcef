"""Message shortcuts: a form that takes what a command takes, for the thread of a message.

A command can't be typed in a thread. What is submitted goes the command's own way from here on, and
is answered in the thread of the message on which the shortcut was used.
"""

from collections.abc import Awaitable, Mapping
from dataclasses import replace
from typing import Any

import structlog
from slack_bolt.async_app import AsyncAck
from slack_bolt.response import BoltResponse

from bot.errors import UsageError
from bot.slack import objects
from bot.slack.api_errors import FAILURES, code_of
from bot.slack.buttons import ActionId
from bot.slack.payloads import Click, Command, View
from bot.slack.runner import Runner
from bot.slack.views import errors
from bot.slack.views import shortcut as view
from bot.slack.views.lines import escape
from bot.slack.views.message import Message
from bot.slack.views.shortcut import FIELD, Here

log = structlog.get_logger(__name__)


async def opened(runner: Runner, click: Click) -> Click | None:
    """Open the form at once: Slack gives 3 s. None if it did not open, which the person is told.

    The click then stands in the form, so that a refusal takes the form's place.
    """
    here = Here(
        channel_id=click.channel_id,
        channel_name=click.channel_name,
        thread_ts=click.thread_ts,
        begun=click.thread_begun,
        response_url=click.response_url,
    )
    form = view.form(ActionId(click.action_id), click.command, here)
    try:
        answer = await runner.delivery.open_view(click.trigger_id, form)
    except FAILURES as error:
        log.warning("modal.not_shown", error=code_of(error))
        await runner.whisper(click, errors.no_window(code_of(error), "Use the shortcut again."))
        return None
    shown = objects.mapping(answer.get("view"))
    if not (view_id := objects.text(shown.get("id"))):
        return click
    return replace(click, view=View(view_id, objects.text(shown.get("hash")), here.encode()))


def command(name: str, click: Click) -> Command | None:
    """What was submitted, as if it had been typed; None if the form isn't ours."""
    try:
        here = Here.decode(click.value)
    except ValueError:
        return None
    text = click.inputs.get(FIELD, "").strip()
    typed, _, rest = text.partition(" ")
    return Command(
        command=name,
        text=escape(rest if typed == name else text),  # people paste the whole command
        actor=click.actor,
        channel_id=here.channel_id,
        channel_name=here.channel_name,
        response_url=here.response_url,
        thread_ts=here.thread_ts,
        thread_begun=here.begun,
        reference=click.reference,
        since=click.since,
    )


class FormAck(AsyncAck):
    """A form's acknowledgement, for what acknowledges a command.

    An answer to one person, such as the help or a refusal, is laid over the form: closing it leads
    back to what was typed. Anything else closes the form.
    """

    def __init__(self, ack: AsyncAck) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._ack = ack

    async def __call__(  # type: ignore[override]
        self, answer: Mapping[str, Any] | None = None
    ) -> BoltResponse:
        if answer is None or "blocks" not in answer:
            return await self._ack()
        message = Message(str(answer["text"]), tuple(answer["blocks"]))
        return await self._ack(response_action="push", view=view.beside(message))

    async def wrong(self, words: str) -> None:
        """Say under the field what is wrong with it."""
        await self._ack(response_action="errors", errors={FIELD: words})


async def filled_in(ack: FormAck, answered: Awaitable[bool]) -> bool:
    """Let the command's own route acknowledge; what it can't understand is told under the field."""
    try:
        return await answered
    except UsageError as error:
        log.info("request.refused", error=type(error).__name__)
        await ack.wrong(errors.usage_in_words(error))
        return True
