"""`/pg-kill`: from the request to its preview, and what happens to a preview without a kill."""

from datetime import timedelta
from enum import Enum, auto

import structlog
from slack_bolt.async_app import AsyncAck

from bot.domain.kills import Action, Place, Proposal, Unclaimable
from bot.domain.people import Right
from bot.domain.protection import require_narrow
from bot.errors import LedgerError, UsageError
from bot.grammar.parser import parse_kill, read_kill
from bot.grammar.requests import HelpRequest, HistoryRequest, KillRequest
from bot.operations import bind_log
from bot.operations.results import (
    Choice,
    NotClaimed,
    NothingToKill,
    Preview,
    Proposed,
    TooMany,
    conclusion_of,
)
from bot.slack import history
from bot.slack.authorization import Admitted
from bot.slack.buttons import ActionId, RowRef, decoded, kill_key, unseal
from bot.slack.delivery import Undelivered
from bot.slack.payloads import Click, Command
from bot.slack.runner import Runner
from bot.slack.views import help as help_view
from bot.slack.views import kill as kill_view
from bot.slack.views import outcome as outcome_view
from bot.slack.views import preview as preview_view
from bot.slack.views.choice import choice
from bot.slack.views.errors import no_preview
from bot.slack.views.message import Message

log = structlog.get_logger(__name__)

EXPIRY_TRIES = 6
"""How often it is tried to show that a preview has expired: each time after as long as it lasts."""


async def command(runner: Runner, ack: AsyncAck, command: Command, admitted: Admitted) -> bool:
    """Acknowledge `/pg-kill`; return whether that was the answer."""
    request = parse_kill(command.text)
    match request:
        case HelpRequest():
            may_kill = admitted.reach.anywhere(Right.KILL)
            await runner.ack_alone(
                ack, help_view.kill(Action.TERMINATE if may_kill else Action.CANCEL)
            )
            return True
        case HistoryRequest():
            _require(runner, admitted, request)
            await ack()
            runner.start(command, history.answer(runner, command, request, admitted))
            return False
        case KillRequest():
            require_narrow(request)
            _require(runner, admitted, request)
            await runner.ack_seen(ack, public=True)
            runner.start(command, propose(runner, command, request, admitted), public=True)
            return False


def _require(runner: Runner, admitted: Admitted, request: KillRequest | HistoryRequest) -> None:
    """Require the right on the cluster that is named, before the channel sees what was typed."""
    if request.target.cluster is not None:
        runner.require(admitted, Right.CANCEL, request.target.cluster)


async def propose(
    runner: Runner, asked: Command | Click, request: KillRequest, admitted: Admitted
) -> None:
    """Answer with a preview, in the channel."""
    answer = await runner.within(admitted).propose(
        asked.actor,
        asked.channel_id,
        request,
        thread_ts=asked.thread_ts,
        reference=asked.reference,
    )
    await _post(runner, asked, answer)


class Posted(Enum):
    """What was posted in the channel for a proposal."""

    PREVIEW = auto()
    NO_PREVIEW = auto()  # why there is nothing to confirm
    NOTHING = auto()  # the channel took none of it, and the person who asked was told


async def propose_backend(  # noqa: PLR0913  keyword-only, each with its own meaning
    runner: Runner,
    click: Click,
    admitted: Admitted,
    row: RowRef,
    *,
    reason: str | None = None,
    cancel_first: bool = False,
) -> Posted:
    """Answer a row's menu with a preview of exactly that backend.

    With `cancel_first`, it offers to cancel the query before it offers to end the session.
    """
    answer = await runner.within(admitted).propose_backends(
        click.actor,
        click.channel_id,
        cluster_name=row.cluster,
        ids=(row.id,),
        reason=reason,
        thread_ts=click.thread_ts,
        reference=click.reference,
    )
    return await _post(runner, click, answer, cancel_first=cancel_first)


async def preview_found(runner: Runner, click: Click, admitted: Admitted) -> None:
    """Preview ending exactly the backend that a finding names, or cancelling its query."""
    row = decoded(RowRef.decode, click.value)
    cancels = ActionId.of(click.action_id) is ActionId.WHY_CANCEL
    await propose_backend(runner, click, admitted, row, cancel_first=cancels)


async def choose(runner: Runner, click: Click, admitted: Admitted) -> None:
    """Preview a kill on the chosen one of several clusters."""
    request = read_kill(unseal(click.value))
    if not isinstance(request, KillRequest):
        raise UsageError(click.value, "not a kill request")
    require_narrow(request)
    await propose(runner, click, request, admitted)


async def preview_again(runner: Runner, click: Click, admitted: Admitted) -> None:
    """Make a new preview of what had changed or expired."""
    answer = await runner.within(admitted).preview_again(
        click.actor,
        click.channel_id,
        decoded(kill_key, click.value),
        thread_ts=click.thread_ts,
        reference=click.reference,
    )
    if isinstance(answer, NotClaimed):
        await not_claimed(runner, click, answer)
    else:
        await _post(runner, click, answer)


async def _post(
    runner: Runner, request: Command | Click, answer: Proposed, *, cancel_first: bool = False
) -> Posted:
    """Post the result of a proposal in the channel.

    A preview in a thread is shown in the channel too: a kill happens where others see it, and few
    follow a thread.
    """
    is_preview = isinstance(answer, Preview)
    place = await runner.post(
        request,
        _drawn(runner, answer, cancel_first=cancel_first),
        otherwise=_without_preview if is_preview else None,
        broadcast=is_preview,
    )
    if place is None:
        log.info("kill.preview_not_posted")
        return Posted.NOTHING
    if isinstance(answer, Preview) and place.message_ts:
        work = _follow_preview(runner, answer.proposal, place)
        runner.tasks.start(work, name=f"preview-{answer.proposal.id}", optional=True)
    return Posted.PREVIEW if is_preview else Posted.NO_PREVIEW


async def _follow_preview(runner: Runner, proposal: Proposal, place: Place) -> None:
    """Record where a preview is, for those who look for open ones, and show that it expired.

    Nobody waits for the record: the click that confirms the preview makes up for it.
    """
    try:
        await runner.operations.posted(proposal, place.message_ts)
    except LedgerError as error:
        log.warning("kill.place_not_recorded", problem=str(error))
    await _show_expiry(runner, proposal, place)


async def _show_expiry(
    runner: Runner, proposal: Proposal, place: Place, left: timedelta | None = None
) -> None:
    """Remove the buttons from a preview that expired; `left` is what is left of its time, if known.

    A courtesy, tried a few times: after that, the next click does it.
    """
    for wait in (left, *[None] * (EXPIRY_TRIES - 1)):
        try:
            why = await runner.operations.left_to_expire(proposal, wait)
        except LedgerError as error:
            log.warning("kill.expiry_not_shown", problem=str(error))
            continue
        if why is None:
            continue  # by the ledger's clock, its time isn't over
        if why is not Unclaimable.EXPIRED:
            return
        log.info("kill.expired")
        given = await runner.delivery.update(place, kill_view.expired(proposal), at_any_cost=False)
        if isinstance(given, Place) or given.surely:
            return


async def follow_earlier_previews(runner: Runner) -> None:
    """Show the expiry of previews that were made before this process began.

    Their own process may have died. If it hasn't, or has shown the expiry, both show the same.
    """
    try:
        unanswered = await runner.operations.unanswered()
    except LedgerError as error:
        log.warning("kill.previews_not_followed", problem=str(error))
        return
    for proposal, left in unanswered:
        work = _show_expiry(runner, proposal, proposal.place, left)
        runner.tasks.start(work, name=f"preview-{proposal.id}", optional=True)


def _without_preview(given: Undelivered) -> Message:
    return no_preview(given.code, is_restricted=given.is_restricted, surely=given.surely)


def _drawn(runner: Runner, answer: Proposed, *, cancel_first: bool) -> Message:
    """What came of a proposal, drawn."""
    match answer:
        case Preview():
            return preview_view.preview(
                answer,
                rights=runner.authorization.rights,
                group_names=runner.authorization.group_names,
                cancel_first=cancel_first,
            )
        case NothingToKill():
            return kill_view.nothing_to_kill(answer)
        case TooMany():
            return kill_view.too_many(answer)
        case Choice():
            return choice(answer)


async def dismiss(runner: Runner, click: Click, admitted: Admitted) -> None:
    """Close a preview, for the person who asked or who may kill; its message says who did it."""
    key = decoded(kill_key, click.value)
    answer = await runner.within(admitted).dismiss(click.actor, click.channel_id, key)
    match answer:
        case Proposal():
            bind_log(answer)
            log.info("kill.dismissed")
            await runner.replace(click, kill_view.dismissed(answer))
        case NotClaimed():
            await not_claimed(runner, click, answer)


async def is_own_preview(runner: Runner, click: Click) -> bool:
    """Whether they asked for it themselves; then Dismiss needs no right, since nothing dies."""
    entry = await runner.operations.entry(decoded(kill_key, click.value))
    return entry is not None and entry.proposal.asked_by == click.actor


async def cluster_of(runner: Runner, click: Click) -> str | None:
    """The cluster of the kill that a button carries; None if that can't be told."""
    try:
        entry = await runner.operations.entry(decoded(kill_key, click.value))
    except (LedgerError, UsageError):
        return None
    return None if entry is None else entry.proposal.cluster


async def not_claimed(runner: Runner, click: Click, answer: NotClaimed) -> None:
    """Say why a click did nothing; replace an expired preview, with a way to go on."""
    if answer.entry is not None:
        bind_log(answer.entry.proposal)
    if answer.why is Unclaimable.DONE and answer.entry is not None and answer.entry.results:
        # Whatever was shown meanwhile, the outcome is final.
        message = outcome_view.outcome(conclusion_of(answer.entry))
        await runner.conclude(answer.entry.proposal, message, click)
    if answer.why is Unclaimable.EXPIRED and answer.entry is not None:
        await runner.replace(click, kill_view.expired(answer.entry.proposal))
    else:
        await runner.whisper(click, kill_view.not_claimed(answer))
