"""The buttons and menus of the bot's messages.

Each click is acknowledged at once and authorized afresh right after; what a button
carries is no authority.
"""

import re
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from slack_bolt.async_app import AsyncAck, AsyncApp

from bot.domain.kills import Action
from bot.domain.people import Right, require_narrow
from bot.errors import UsageError
from bot.grammar.parser import read_kill, read_reason, read_sessions
from bot.grammar.requests import HistoryRequest, KillRequest, SessionsRequest
from bot.operations.results import NotClaimed, conclusion_of
from bot.slack import answers, modals, payloads
from bot.slack.answers import Posted
from bot.slack.desk import Desk
from bot.slack.gate import Admitted, Denied
from bot.slack.payloads import Click
from bot.slack.views import kill as kill_view
from bot.slack.views.actions import (
    ActionId,
    OlderThan,
    OutcomePage,
    PageOf,
    RowRef,
    kill_key,
    unseal,
)
from bot.slack.views.reason import Asked
from bot.slack.views.session import Opened

Listener = Callable[[Desk, Click, Admitted], Awaitable[None]]
T = TypeVar("T")

OTHER_VERSION = (
    "nothing was done: this button is from another version of the bot. Type the command again"
)


def register(app: AsyncApp, desk: Desk) -> None:
    """Give the app a listener for every action that the views use."""
    for action_id, (right, listener) in LISTENERS.items():
        authorized = partial(_authorized, desk, right=right, listener=listener)
        app.action(action_id.pattern)(_handler(desk, authorized))
    for callback_id, (right, listener) in MODALS.items():
        authorized = partial(_authorized, desk, right=right, listener=listener)
        app.view(str(callback_id))(_submitted(desk, authorized))
    # Whatever none of these takes: a button of a bot that has gone.
    app.action(re.compile(""))(_handler(desk, lambda _: _not_ours()))


def _handler(
    desk: Desk, answer: Callable[[Click], Coroutine[Any, Any, None]]
) -> Callable[..., Awaitable[None]]:
    async def handle(ack: AsyncAck, body: dict[str, Any]) -> None:
        click = _in_place(payloads.click(body))
        await desk.acknowledged(click, ack, _acked(ack))
        desk.start(click, answer(click))

    return handle


def _submitted(
    desk: Desk, answer: Callable[[Click], Coroutine[Any, Any, None]]
) -> Callable[..., Awaitable[None]]:
    async def handle(ack: AsyncAck, body: dict[str, Any]) -> None:
        click = payloads.submission(body)
        try:
            asked = Asked.decode(click.value)
        except ValueError:
            click = replace(click, value="")
        else:
            click = replace(
                click,
                value=asked.row.encode(),
                channel_id=asked.channel_id,
                channel_name=asked.channel_name,
                response_url=asked.response_url,
            )
        await desk.acknowledged(click, ack, _acked(ack))  # which closes the modal
        desk.start(click, answer(click))

    return handle


async def _acked(ack: AsyncAck) -> bool:
    await ack()
    return False


def _in_place(click: Click) -> Click:
    """A modal has no channel of its own: it acts where it was opened.

    The gate is asked about that like about any other place.
    """
    if click.view is None:
        return click
    try:
        opened = Opened.decode(click.view.private_metadata)
    except ValueError:
        return replace(click, channel_id="")
    return replace(click, channel_id=opened.channel_id, channel_name=opened.channel_name)


async def _not_ours() -> None:
    raise UsageError("", OTHER_VERSION)


async def _authorized(desk: Desk, click: Click, *, right: Right, listener: Listener) -> None:
    admitted = await desk.gate.admit(right, click)
    if isinstance(admitted, Denied) and not await _own_preview(desk, click):
        await desk.deny(click, admitted, f"{click.action_id} {click.value}")
    else:
        await listener(desk, click, admitted if isinstance(admitted, Admitted) else Admitted())


async def _own_preview(desk: Desk, click: Click) -> bool:
    """Whether this is the asker's Dismiss: it takes no right, for nothing can die of it."""
    if click.action_id != ActionId.KILL_DISMISS:
        return False
    entry = await desk.operations.entry(_read(kill_key, click.value))
    return entry is not None and entry.proposal.asked_by == click.actor


def _read(decode: Callable[[str], T], value: str) -> T:
    """Decode what a button carries. Raises `UsageError`: it comes from outside."""
    try:
        return decode(value)
    except ValueError as error:
        raise UsageError("", OTHER_VERSION) from error


# --- sessions ------------------------------------------------------------------------


async def page(desk: Desk, click: Click, admitted: Admitted) -> None:
    """Refresh, Previous, Next, and the choice of a cluster: the message is drawn anew."""
    wanted = _read(PageOf.decode, click.value)
    request = read_sessions(wanted.text)
    if not isinstance(request, SessionsRequest):
        raise UsageError(wanted.text, "no look")
    alone = click.ephemeral or not admitted.public
    message = await answers.looked(
        desk, click, request, alone=alone, offset=wanted.offset, redrawn=True
    )
    if admitted.public or click.ephemeral:
        await answers.replace_message(desk, click, message)
    else:
        # The channel has come to be shared since the message was posted.
        await desk.whisper(click, answers.for_them(message, admitted))


async def show_tree(desk: Desk, click: Click, admitted: Admitted) -> None:
    """The tree of blockers, as a message of its own."""
    message = await answers.drawn_tree(desk, click)
    if admitted.public and not click.ephemeral:
        await desk.post(click, message)
    else:
        await desk.whisper(click, answers.for_them(message, admitted))


async def refresh_tree(desk: Desk, click: Click, admitted: Admitted) -> None:
    """The tree drawn anew, in place."""
    message = await answers.drawn_tree(desk, click, redrawn=admitted.public and not click.ephemeral)
    if admitted.public or click.ephemeral:
        await answers.replace_message(desk, click, message)
    else:
        await desk.whisper(click, answers.for_them(message, admitted))


async def inspect(desk: Desk, click: Click, _: Admitted) -> None:
    """A row's menu: a modal with everything about that very backend."""
    row = _read(RowRef.decode, click.value)
    opened = Opened(row, click.channel_id, click.channel_name)
    await modals.show(desk, click, opened)


async def refresh_modal(desk: Desk, click: Click, _: Admitted) -> None:
    """The modal read anew."""
    await modals.refresh(desk, click, _opened(click))


async def kill_from_modal(desk: Desk, click: Click, _: Admitted) -> None:
    """The modal's button: a preview, in the channel that the modal was opened from."""
    opened = _opened(click)
    match await answers.proposal_of(desk, click, opened.row.cluster, opened.row.id):
        case Posted.PREVIEW:
            await modals.says(desk, click, opened, "Its preview stands in the channel.")
        case Posted.NO_PREVIEW:
            await modals.says(desk, click, opened, "Nothing would end: the channel has why.")
        case Posted.NOTHING:
            pass  # and so the modal says already


def _opened(click: Click) -> Opened:
    """What the modal carries. Raises `UsageError`: it comes from outside."""
    return _read(Opened.decode, click.view.private_metadata if click.view else "")


async def kill_row(desk: Desk, click: Click, _: Admitted) -> None:
    """The menu of a table: a modal that asks for the reason; without one the preview at once."""
    row = _read(RowRef.decode, click.value)
    asked = Asked(row, click.channel_id, click.channel_name, click.response_url)
    if not await modals.ask(desk, click, asked):
        await answers.proposal_of(desk, click, row.cluster, row.id)


async def kill_for_reason(desk: Desk, click: Click, _: Admitted) -> None:
    """That modal, submitted: a preview of that very backend."""
    row, reason = _read(RowRef.decode, click.value), read_reason(click.inputs.get("reason"))
    await answers.proposal_of(desk, click, row.cluster, row.id, reason=reason)


# --- kills ---------------------------------------------------------------------------


async def terminate(desk: Desk, click: Click, _: Admitted) -> None:
    """The confirm button: carry out what the preview showed."""
    await answers.confirmed(desk, click, _read(kill_key, click.value))


async def cancel(desk: Desk, click: Click, _: Admitted) -> None:
    """`Cancel query`: end what the targets ran, and leave the sessions."""
    await answers.confirmed(desk, click, _read(kill_key, click.value), action=Action.CANCEL)


async def dismiss(desk: Desk, click: Click, _: Admitted) -> None:
    """Close a preview: for the one who asked, and for those who may kill."""
    await answers.dismissed(desk, click, _read(kill_key, click.value))


async def preview_again(desk: Desk, click: Click, _: Admitted) -> None:
    """A new preview of what had changed, or of what expired."""
    answer = await desk.operations.preview_again(
        click.actor,
        click.channel_id,
        _read(kill_key, click.value),
        reference=click.reference,
    )
    if isinstance(answer, NotClaimed):
        await answers.not_claimed(desk, click, answer)
    else:
        await answers.post_proposed(desk, click, answer)


async def choose(desk: Desk, click: Click, _: Admitted) -> None:
    """One of several clusters for a kill: its preview."""
    request = read_kill(unseal(click.value))
    if not isinstance(request, KillRequest):
        raise UsageError(click.value, "no kill")
    require_narrow(request)
    answer = await desk.operations.propose(
        click.actor, click.channel_id, request, reference=click.reference
    )
    await answers.post_proposed(desk, click, answer)


async def outcome_page(desk: Desk, click: Click, admitted: Admitted) -> None:
    """Another page of an outcome's table."""
    wanted = _read(OutcomePage.decode, click.value)
    entry = await desk.operations.entry(wanted.key)
    if entry is None or entry.proposal.channel_id != click.channel_id:
        raise UsageError("", "there is no such outcome in this channel")
    message = kill_view.outcome(conclusion_of(entry), wanted.page)
    if admitted.public:
        await answers.replace_message(desk, click, message)
    else:
        await desk.whisper(click, answers.for_them(message, admitted))


async def older(desk: Desk, click: Click, _: Admitted) -> None:
    """The kills before those shown."""
    wanted = _read(OlderThan.decode, click.value)
    request = read_kill(wanted.text)
    if not isinstance(request, HistoryRequest):
        raise UsageError(wanted.text, "no history")
    await answers.history(desk, click, request, before_id=wanted.before_id)


LISTENERS: dict[ActionId, tuple[Right, Listener]] = {
    ActionId.SESSIONS_REFRESH: (Right.LOOK, page),
    ActionId.SESSIONS_PREVIOUS: (Right.LOOK, page),
    ActionId.SESSIONS_NEXT: (Right.LOOK, page),
    ActionId.SESSIONS_CHOOSE: (Right.LOOK, page),
    ActionId.SESSIONS_KILL_ROW: (Right.KILL, kill_row),
    ActionId.SESSIONS_INSPECT: (Right.LOOK, inspect),
    ActionId.SESSIONS_TREE: (Right.LOOK, show_tree),
    ActionId.TREE_REFRESH: (Right.LOOK, refresh_tree),
    ActionId.SESSION_REFRESH: (Right.LOOK, refresh_modal),
    ActionId.SESSION_KILL: (Right.KILL, kill_from_modal),
    ActionId.KILL_TERMINATE: (Right.KILL, terminate),
    ActionId.KILL_CANCEL: (Right.KILL, cancel),
    ActionId.KILL_DISMISS: (Right.KILL, dismiss),
    ActionId.KILL_PREVIEW_AGAIN: (Right.KILL, preview_again),
    ActionId.KILL_CHOOSE: (Right.KILL, choose),
    ActionId.KILL_PAGE: (Right.LOOK, outcome_page),
    ActionId.HISTORY_OLDER: (Right.KILL, older),
}
"""What each action does, and the right that it takes."""

MODALS: dict[ActionId, tuple[Right, Listener]] = {
    ActionId.SESSIONS_KILL_REASON: (Right.KILL, kill_for_reason),
}
"""The same for modals that are submitted, by their callback_id."""
