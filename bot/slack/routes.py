"""Every command, button and modal: what each does, and the right that it takes.

Each request is acknowledged at once. A click is authorized afresh right after, for what a
button carries is no authority; a command before, since its acknowledgement shows what was
typed.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from bot.domain.people import Right
from bot.errors import UsageError
from bot.grammar.parser import parse_kill, parse_sessions
from bot.grammar.requests import KILL, SESSIONS, KillRequest
from bot.slack import (
    history,
    kills,
    outcomes,
    payloads,
    reason_modal,
    session_modal,
    sessions,
    tree,
)
from bot.slack.authorization import Admitted, Denied
from bot.slack.buttons import OTHER_VERSION, ActionId
from bot.slack.payloads import Click, Command
from bot.slack.runner import Runner
from bot.slack.views.reason import Asked
from bot.slack.views.session import Opened

Listener = Callable[[Runner, Click, Admitted], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Typed:
    """A slash command. `listener` acknowledges, and returns whether that was the answer."""

    right: Right
    parse: Callable[[str], object]
    listener: Callable[[Runner, AsyncAck, Command, Admitted], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Pressed:
    """A button, a menu or a modal's submission; `command` is the one whose help speaks of it.

    `waived` tells of whom the right is not asked.
    """

    command: str
    right: Right
    listener: Listener
    waived: Callable[[Runner, Click], Awaitable[bool]] | None = None


COMMANDS: dict[str, Typed] = {
    SESSIONS: Typed(Right.LOOK, parse_sessions, sessions.command),
    KILL: Typed(Right.KILL, parse_kill, kills.command),
}

BUTTONS: dict[ActionId, Pressed] = {
    ActionId.SESSIONS_REFRESH: Pressed(SESSIONS, Right.LOOK, sessions.page),
    ActionId.SESSIONS_PREVIOUS: Pressed(SESSIONS, Right.LOOK, sessions.page),
    ActionId.SESSIONS_NEXT: Pressed(SESSIONS, Right.LOOK, sessions.page),
    ActionId.SESSIONS_CHOOSE: Pressed(SESSIONS, Right.LOOK, sessions.page),
    ActionId.SESSIONS_KILL_ROW: Pressed(SESSIONS, Right.KILL, reason_modal.ask),
    ActionId.SESSIONS_INSPECT: Pressed(SESSIONS, Right.LOOK, session_modal.inspect),
    ActionId.SESSIONS_TREE: Pressed(SESSIONS, Right.LOOK, tree.show),
    ActionId.TREE_REFRESH: Pressed(SESSIONS, Right.LOOK, tree.refresh),
    ActionId.SESSION_REFRESH: Pressed(SESSIONS, Right.LOOK, session_modal.refresh),
    ActionId.SESSION_KILL: Pressed(SESSIONS, Right.KILL, session_modal.preview),
    ActionId.KILL_TERMINATE: Pressed(KILL, Right.KILL, outcomes.terminate),
    ActionId.KILL_CANCEL: Pressed(KILL, Right.KILL, outcomes.cancel),
    ActionId.KILL_DISMISS: Pressed(KILL, Right.KILL, kills.dismiss, kills.is_own_preview),
    ActionId.KILL_PREVIEW_AGAIN: Pressed(KILL, Right.KILL, kills.preview_again),
    ActionId.KILL_CHOOSE: Pressed(KILL, Right.KILL, kills.choose),
    ActionId.KILL_PAGE: Pressed(KILL, Right.LOOK, outcomes.page),
    ActionId.HISTORY_OLDER: Pressed(KILL, Right.KILL, history.older),
}
"""By `action_id`."""

MODALS: dict[ActionId, Pressed] = {
    ActionId.SESSIONS_KILL_REASON: Pressed(SESSIONS, Right.KILL, reason_modal.preview),
}
"""Those that are submitted, by their `callback_id`."""


def register(app: AsyncApp, runner: Runner) -> None:
    """Give the app a listener for each route."""
    for name, typed in COMMANDS.items():
        app.command(name)(_typed(runner, typed))
    for action_id, pressed in BUTTONS.items():
        app.action(action_id.pattern)(_pressed(runner, pressed))
    for callback_id, pressed in MODALS.items():
        app.view(str(callback_id))(_submitted(runner, pressed))
    # Whatever none of these takes: a button of a bot that has gone.
    app.action(re.compile(""))(_unknown(runner))


# --- commands ------------------------------------------------------------------------


def _typed(runner: Runner, route: Typed) -> Callable[..., Awaitable[None]]:
    async def handle(ack: AsyncAck, body: dict[str, Any]) -> None:
        command = payloads.command(body)
        await runner.acknowledged(command, ack, _command(runner, ack, command, route))

    return handle


async def _command(runner: Runner, ack: AsyncAck, command: Command, route: Typed) -> bool:
    """Acknowledge a command; whether that is the answer."""
    admitted = await runner.authorization.admit(route.right, command)
    if isinstance(admitted, Admitted):
        return await route.listener(runner, ack, command, admitted)
    await runner.ack_alone(ack, admitted.message)
    runner.record(command, admitted, _asked(command, route))
    return True


def _asked(command: Command, route: Typed) -> str:
    """The command in the grammar's own words, without its reason: what may be on record.

    Of what is no request nobody knows what it holds.
    """
    try:
        request = route.parse(command.text)
    except UsageError:
        return f"{command.command} (not understood)"
    if isinstance(request, KillRequest):
        request = replace(request, reason=None)
    return f"{command.command} {request}".rstrip()


# --- clicks --------------------------------------------------------------------------


def _pressed(runner: Runner, route: Pressed) -> Callable[..., Awaitable[None]]:
    async def handle(ack: AsyncAck, body: dict[str, Any]) -> None:
        click = _in_place(replace(payloads.click(body), command=route.command))
        await _acknowledge(runner, click, ack)
        runner.start(click, authorized(runner, click, route))

    return handle


def _submitted(runner: Runner, route: Pressed) -> Callable[..., Awaitable[None]]:
    async def handle(ack: AsyncAck, body: dict[str, Any]) -> None:
        click = _where_asked(replace(payloads.submission(body), command=route.command))
        await _acknowledge(runner, click, ack)  # which closes the modal
        runner.start(click, authorized(runner, click, route))

    return handle


def _unknown(runner: Runner) -> Callable[..., Awaitable[None]]:
    async def handle(ack: AsyncAck, body: dict[str, Any]) -> None:
        click = _in_place(payloads.click(body))
        await _acknowledge(runner, click, ack)
        runner.start(click, _not_ours())

    return handle


async def _not_ours() -> None:
    raise UsageError("", OTHER_VERSION)


async def authorized(runner: Runner, click: Click, route: Pressed) -> None:
    """Do what a click asks for, if whoever clicked may; else record that, and tell them."""
    admitted = await runner.authorization.admit(route.right, click)
    if isinstance(admitted, Denied):
        if route.waived is None or not await route.waived(runner, click):
            await runner.deny(click, admitted, f"{click.action_id} {click.value}")
            return
        admitted = Admitted()
    await route.listener(runner, click, admitted)


async def _acknowledge(runner: Runner, click: Click, ack: AsyncAck) -> None:
    async def acknowledge() -> bool:
        await ack()
        return False

    await runner.acknowledged(click, ack, acknowledge())


def _in_place(click: Click) -> Click:
    """A modal has no channel of its own: it acts where it was opened.

    Whether one may there is asked as of any other place.
    """
    if click.view is None:
        return click
    try:
        opened = Opened.decode(click.view.private_metadata)
    except ValueError:
        return replace(click, channel_id="")
    return replace(click, channel_id=opened.channel_id, channel_name=opened.channel_name)


def _where_asked(click: Click) -> Click:
    """The same of the modal that asks for a reason."""
    try:
        asked = Asked.decode(click.value)
    except ValueError:
        return replace(click, value="")
    return replace(
        click,
        value=asked.row.encode(),
        channel_id=asked.channel_id,
        channel_name=asked.channel_name,
        response_url=asked.response_url,
    )
