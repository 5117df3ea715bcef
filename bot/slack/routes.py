"""Every command, button and modal: what it does, and which right it needs.

Each request is acknowledged at once. A click is authorized again right after that, because a
button's value proves nothing. A command is authorized before, because its acknowledgement shows
what was typed.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from bot.domain.channels import Closed
from bot.domain.people import Right
from bot.errors import NotAllowed, UsageError
from bot.grammar.parser import parse_kill, parse_sessions, read_kill, read_sessions
from bot.grammar.requests import KILL, SESSIONS, HelpRequest, KillRequest
from bot.slack import (
    alerts,
    boards,
    history,
    home,
    kills,
    other_versions,
    outcomes,
    payloads,
    reason_modal,
    session_modal,
    sessions,
    shortcuts,
    timeline,
)
from bot.slack.authorization import Admitted, Denied
from bot.slack.buttons import ActionId, PageOf, RowRef, unseal
from bot.slack.objects import Identity
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
    """A button, a menu or a modal's submission; `command` is the one whose help explains it.

    `cluster` reads from the value the cluster on which the right is required. If it reads none,
    because the value names no cluster or a kill, the use case requires it on each cluster it uses.
    `waived` tells for whom the right isn't required.
    """

    command: str
    right: Right
    listener: Listener
    cluster: Callable[[str], str | None]
    waived: Callable[[Runner, Click], Awaitable[bool]] | None = None


def _row(value: str) -> str:
    return RowRef.decode(value).cluster


def _page(value: str) -> str | None:
    return _look(PageOf.decode(value).text)


def _sealed(value: str) -> str | None:
    return _look(unseal(value))


def _look(text: str) -> str | None:
    request = read_sessions(text)
    return None if isinstance(request, HelpRequest) else request.target.cluster


def _of_a_kill(_: str) -> None:
    """It is in the ledger."""


def _kill(value: str) -> str | None:
    request = read_kill(unseal(value))
    return request.target.cluster if isinstance(request, KillRequest) else None


def _of_an_alert(_: str) -> None:
    """It is in the ledger, too."""


def _any(_: str) -> None:
    """It is of none in particular."""


_ON_RECORD: dict[Callable[[str], str | None], Callable[[Runner, Click], Awaitable[str | None]]] = {
    _of_a_kill: kills.cluster_of,
    _of_an_alert: alerts.cluster_of,
}
"""How to find the cluster of what a button carries, if it is in the ledger."""

COMMANDS: dict[str, Typed] = {
    SESSIONS: Typed(Right.LOOK, parse_sessions, sessions.command),
    KILL: Typed(Right.CANCEL, parse_kill, kills.command),
}

LOOK, CANCEL, END = Right.LOOK, Right.CANCEL, Right.KILL
BUTTONS: dict[ActionId, Pressed] = {
    ActionId.SESSIONS_REFRESH: Pressed(SESSIONS, LOOK, sessions.page, _page),
    ActionId.SESSIONS_PREVIOUS: Pressed(SESSIONS, LOOK, sessions.page, _page),
    ActionId.SESSIONS_NEXT: Pressed(SESSIONS, LOOK, sessions.page, _page),
    ActionId.SESSIONS_CHOOSE: Pressed(SESSIONS, LOOK, sessions.page, _page),
    ActionId.SESSIONS_KILL_ROW: Pressed(SESSIONS, CANCEL, reason_modal.ask, _row),
    ActionId.SESSIONS_INSPECT: Pressed(SESSIONS, LOOK, session_modal.inspect, _row),
    ActionId.ANSWER_REFRESH: Pressed(SESSIONS, LOOK, sessions.refresh, _sealed),
    ActionId.ANSWER_SHOW: Pressed(SESSIONS, LOOK, sessions.show, _sealed),
    ActionId.BOARD_BEGIN: Pressed(SESSIONS, LOOK, boards.begin, _sealed),
    ActionId.BOARD_STOP: Pressed(SESSIONS, LOOK, boards.stop, str),
    ActionId.WHY_END: Pressed(SESSIONS, CANCEL, kills.preview_found, _row),
    ActionId.WHY_CANCEL: Pressed(SESSIONS, CANCEL, kills.preview_found, _row),
    ActionId.SESSION_REFRESH: Pressed(SESSIONS, LOOK, session_modal.refresh, _row),
    ActionId.SESSION_KILL: Pressed(SESSIONS, CANCEL, session_modal.preview, _row),
    ActionId.KILL_TERMINATE: Pressed(KILL, END, outcomes.terminate, _of_a_kill),
    ActionId.KILL_CANCEL: Pressed(KILL, CANCEL, outcomes.cancel, _of_a_kill),
    ActionId.KILL_CANCEL_THEN_TERMINATE: Pressed(
        KILL, END, outcomes.cancel_then_terminate, _of_a_kill
    ),
    ActionId.KILL_DISMISS: Pressed(KILL, END, kills.dismiss, _of_a_kill, kills.is_own_preview),
    ActionId.KILL_PREVIEW_AGAIN: Pressed(KILL, CANCEL, kills.preview_again, _of_a_kill),
    ActionId.KILL_CHOOSE: Pressed(KILL, CANCEL, kills.choose, _kill),
    ActionId.KILL_PAGE: Pressed(KILL, LOOK, outcomes.page, _of_a_kill),
    ActionId.KILL_TIMELINE: Pressed(KILL, LOOK, timeline.show, _of_a_kill),
    ActionId.ALERT_PREVIEW: Pressed(SESSIONS, CANCEL, alerts.preview, _of_an_alert),
    ActionId.ALERT_MUTE: Pressed(SESSIONS, LOOK, alerts.mute, _of_an_alert),
    ActionId.ALERT_TIMELINE: Pressed(SESSIONS, LOOK, timeline.of_alert, _of_an_alert),
    ActionId.HISTORY_OLDER: Pressed(KILL, CANCEL, history.older, _any),
    ActionId.HISTORY_TIMELINE: Pressed(KILL, LOOK, timeline.of_cluster, str),
}
"""By `action_id`."""

_ANY_BUTTON = re.compile(rf"\A({'|'.join(map(re.escape, BUTTONS))})(\.[0-9]+)?\Z")
"""Matches the `action_id` of each, numbered or not."""

MODALS: dict[ActionId, Pressed] = {
    ActionId.SESSIONS_KILL_REASON: Pressed(SESSIONS, CANCEL, reason_modal.preview, _row),
}
"""Submitted modals, by their `callback_id`."""

SHORTCUTS: dict[ActionId, str] = {
    ActionId.SESSIONS_HERE: SESSIONS,
    ActionId.KILL_HERE: KILL,
}
"""Message shortcuts and their modals, by their `callback_id`: each does what its command does."""

KNOWN = frozenset({*COMMANDS, *map(str, SHORTCUTS)})
"""The commands and shortcuts that are answered."""


def register(
    app: AsyncApp, runner: Runner, identity: Identity, closed: Mapping[str, Closed]
) -> None:
    """Register a listener for each route. The Home tab shows the channels that are `closed`."""
    for name, typed in COMMANDS.items():
        app.command(name)(_typed(runner, typed))
    # One for all: Bolt asks each listener in turn, and a click waits for that.
    app.action(_ANY_BUTTON)(_pressed(runner))
    home_tab = home.HomeTab(runner, identity, run_typed, closed)
    home_tab.register(app)
    for callback_id, pressed in MODALS.items():
        app.view(str(callback_id))(_submitted(runner, pressed))
    for callback_id, name in SHORTCUTS.items():
        app.shortcut(str(callback_id))(_used(runner, name))
        app.view(str(callback_id))(_filled_in(runner, name))
    other_versions.register(app, runner, home_tab.draw)


# --- commands ------------------------------------------------------------------------


def _typed(runner: Runner, route: Typed) -> Callable[..., Awaitable[None]]:
    async def handle(ack: AsyncAck, body: dict[str, Any]) -> None:
        command = payloads.command(body)
        await runner.acknowledged(command, ack, _command(runner, ack, command, route))

    return handle


async def run_typed(runner: Runner, ack: AsyncAck, command: Command) -> bool:
    """The same for a command that was asked for elsewhere than in a message box."""
    return await _command(runner, ack, command, COMMANDS[command.command])


async def _command(runner: Runner, ack: AsyncAck, command: Command, route: Typed) -> bool:
    """Acknowledge a command; return whether that was the answer."""
    admitted = await runner.authorization.admit(route.right, command)
    if isinstance(admitted, Denied) and admitted.person is not None:
        # Say which list of the cluster that they named would have to hold them.
        cluster = _named(command, route)
        admitted = runner.authorization.denied(route.right, cluster, admitted.person)
    if isinstance(admitted, Admitted):
        try:
            return await route.listener(runner, ack, command, admitted)
        except NotAllowed as error:
            admitted = runner.authorization.denied(Right(error.right), error.cluster)
    await runner.ack_alone(ack, admitted.message)
    runner.record(command, admitted, _asked(command, route))
    return True


def _named(command: Command, route: Typed) -> str | None:
    """The cluster that a command names, if it is one that can be understood."""
    try:
        request = route.parse(command.text)
    except UsageError:
        return None
    is_help = isinstance(request, HelpRequest)
    return None if is_help else request.target.cluster  # type: ignore[attr-defined]


def _asked(command: Command, route: Typed) -> str:
    """The command in the grammar's own words, without its reason: what may be recorded.

    Text that can't be parsed may hold literals, so it isn't recorded.
    """
    try:
        request = route.parse(command.text)
    except UsageError:
        return f"{command.command} (not understood)"
    if isinstance(request, KillRequest):
        request = replace(request, reason=None)
    return f"{command.command} {request}".rstrip()


# --- shortcuts -----------------------------------------------------------------------


def _used(runner: Runner, name: str) -> Callable[..., Awaitable[None]]:
    route = Pressed(name, COMMANDS[name].right, _form_stays, _any)

    async def opened(click: Click) -> None:
        form = await shortcuts.opened(runner, click)
        if form is not None:
            await authorized(runner, form, route)

    async def handle(ack: AsyncAck, body: dict[str, Any]) -> None:
        click = replace(payloads.shortcut(body), command=name)
        await _acknowledge(runner, click, ack)
        runner.start(click, opened(click))

    return handle


async def _form_stays(runner: Runner, click: Click, admitted: Admitted) -> None:
    """They may use it, as far as is known: what they submit is authorized again."""


def _filled_in(runner: Runner, name: str) -> Callable[..., Awaitable[None]]:
    async def handle(ack: AsyncAck, body: dict[str, Any]) -> None:
        click = payloads.submission(body)
        command, form = shortcuts.command(name, click), shortcuts.FormAck(ack)
        if command is None:
            await other_versions.refuse_window(runner, ack, click)
            return
        answered = run_typed(runner, form, command)
        await runner.acknowledged(command, form, shortcuts.filled_in(form, answered))

    return handle


# --- clicks --------------------------------------------------------------------------


def _pressed(runner: Runner) -> Callable[..., Awaitable[None]]:
    async def handle(ack: AsyncAck, body: dict[str, Any]) -> None:
        click = payloads.click(body)
        action_id = ActionId.of(click.action_id)
        assert action_id is not None  # noqa: S101  it is one of BUTTONS
        route = BUTTONS[action_id]
        click = _in_place(replace(click, command=route.command))
        await _acknowledge(runner, click, ack)
        runner.start(click, authorized(runner, click, route))

    return handle


def _submitted(runner: Runner, route: Pressed) -> Callable[..., Awaitable[None]]:
    async def handle(ack: AsyncAck, body: dict[str, Any]) -> None:
        submitted = replace(payloads.submission(body), command=route.command)
        click = _where_asked(submitted)
        if click is None:
            await other_versions.refuse_window(runner, ack, submitted)
            return
        await _acknowledge(runner, click, ack)  # this closes the modal
        runner.start(click, authorized(runner, click, route))

    return handle


async def authorized(runner: Runner, click: Click, route: Pressed) -> None:
    """Do what a click asks for, if the person may; otherwise record that, and tell them."""
    try:
        cluster = route.cluster(click.value)
    except (ValueError, UsageError):
        cluster = None  # none of ours, as the listener will say to those who may do anything
    admitted = await runner.authorization.admit(route.right, click, cluster)
    on_record = _ON_RECORD.get(route.cluster)
    if isinstance(admitted, Denied) and admitted.person and on_record is not None:
        # Say which list of that cluster would have to hold them.
        cluster = await on_record(runner, click)
        admitted = runner.authorization.denied(route.right, cluster, admitted.person)
    if isinstance(admitted, Denied):
        if route.waived is None or not await route.waived(runner, click):
            await runner.deny(click, admitted, f"{click.action_id} {click.value}".rstrip())
            return
        admitted = Admitted()  # of no right: what is theirs takes none
    await route.listener(runner, click, admitted)


async def _acknowledge(runner: Runner, click: Click, ack: AsyncAck) -> None:
    async def acknowledge() -> bool:
        await ack()
        return False

    await runner.acknowledged(click, ack, acknowledge())


def _in_place(click: Click) -> Click:
    """A modal has no channel of its own: it acts in the one where it was opened.

    Whether that is allowed is checked as for any other place.
    """
    if click.view is None:
        return click
    try:
        opened = Opened.decode(click.view.private_metadata)
    except ValueError:
        return replace(click, channel_id="")
    return replace(
        click,
        channel_id=opened.channel_id,
        channel_name=opened.channel_name,
        thread_ts=opened.thread_ts,
    )


def _where_asked(click: Click) -> Click | None:
    """The same for the modal that asks for a reason; None if it isn't ours."""
    try:
        asked = Asked.decode(click.value)
    except ValueError:
        return None
    return replace(
        click,
        value=asked.row.encode(),
        channel_id=asked.channel_id,
        channel_name=asked.channel_name,
        response_url=asked.response_url,
        thread_ts=asked.thread_ts,
    )
