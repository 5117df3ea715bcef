"""Buttons and windows of another version of the bot, which this one can't read.

Slack keeps what was drawn, and two versions run during an update. Nothing is done. Whoever pressed
or submitted it is told where they did, and how to go on; the log has the id.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from slack_bolt.async_app import AsyncAck, AsyncApp

from bot.errors import UsageError
from bot.slack import payloads
from bot.slack.buttons import OTHER_VERSION
from bot.slack.payloads import Click
from bot.slack.runner import Runner
from bot.slack.views import errors, session
from bot.slack.views.lines import Line

log = structlog.get_logger(__name__)

ANY = re.compile("")

_ID_MOST = 100
"""Maximum characters of an id in the log: another version's may be longer than ours."""

RedrawHome = Callable[[Click, Line], Awaitable[None]]
"""Draw the Home tab of whoever pressed something, with a notice."""


def register(app: AsyncApp, runner: Runner, redraw_home: RedrawHome) -> None:
    """Register listeners for every action and every modal that no listener before has taken."""

    @app.action(ANY)
    async def pressed(ack: AsyncAck, body: dict[str, Any]) -> None:
        click = payloads.click(body)

        async def acknowledge() -> bool:
            await ack()
            return False

        await runner.acknowledged(click, ack, acknowledge())
        runner.start(click, _told(runner, click, redraw_home))

    @app.view(ANY)
    async def submitted(ack: AsyncAck, body: dict[str, Any]) -> None:
        await refuse_window(runner, ack, payloads.submission(body))


async def refuse_window(runner: Runner, ack: AsyncAck, click: Click) -> None:
    """Acknowledge the submission of a modal that can't be read, and say so in its place."""

    async def acknowledge() -> bool:
        _note(click)
        view = session.told(errors.other_window(), "")
        await ack(response_action="update", view=view)
        return True

    await runner.acknowledged(click, ack, acknowledge())


async def _told(runner: Runner, click: Click, redraw_home: RedrawHome) -> None:
    _note(click)
    if click.view is None:
        raise UsageError("", OTHER_VERSION)
    if click.view.is_home:
        await redraw_home(click, errors.OTHER_PAGE)
    else:
        await runner.say(click, errors.other_window())


def _note(click: Click) -> None:
    log.warning("request.other_version", id=click.action_id[:_ID_MOST])
