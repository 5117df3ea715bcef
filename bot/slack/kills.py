"""`/pg-kill`: from the request to its preview, and what a preview becomes without a kill."""

from enum import Enum, auto

import structlog
from slack_bolt.async_app import AsyncAck

from bot.domain.kills import Place, Proposal, Unclaimable
from bot.domain.protection import require_narrow
from bot.domain.sessions import BackendId
from bot.errors import LedgerError, UsageError
from bot.grammar.parser import parse_kill, read_kill
from bot.grammar.requests import HelpRequest, HistoryRequest, KillRequest
from bot.operations import follow
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
from bot.slack.buttons import decoded, kill_key, unseal
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


async def command(runner: Runner, ack: AsyncAck, command: Command, _: Admitted) -> bool:
    """Acknowledge `/pg-kill`; whether that is the answer."""
    request = parse_kill(command.text)
    match request:
        case HelpRequest():
            await runner.ack_alone(ack, help_view.kill())
            return True
        case HistoryRequest():
            await ack()
            runner.start(command, history.answer(runner, command, request))
            return False
        case KillRequest():
            require_narrow(request)
            await runner.ack_seen(ack, public=True)
            runner.start(command, propose(runner, command, request), public=True)
            return False


async def propose(runner: Runner, command: Command, request: KillRequest) -> None:
    """Answer `/pg-kill` with a preview, in the channel."""
    answer = await runner.operations.propose(
        command.actor, command.channel_id, request, reference=command.reference
    )
    await _post(runner, command, answer)


class Posted(Enum):
    """What stands in the channel of a proposal."""

    PREVIEW = auto()
    NO_PREVIEW = auto()  # why there is nothing to confirm
    NOTHING = auto()  # the channel took none of it, as the one who asked has been told


async def propose_backend(
    runner: Runner, click: Click, cluster: str, backend: BackendId, *, reason: str | None = None
) -> Posted:
    """Answer a row's menu with a preview of that very backend."""
    answer = await runner.operations.propose_backends(
        click.actor,
        click.channel_id,
        cluster_name=cluster,
        ids=(backend,),
        reason=reason,
        reference=click.reference,
    )
    return await _post(runner, click, answer)


async def choose(runner: Runner, click: Click, _: Admitted) -> None:
    """One of several clusters for a kill: its preview."""
    request = read_kill(unseal(click.value))
    if not isinstance(request, KillRequest):
        raise UsageError(click.value, "no kill")
    require_narrow(request)
    answer = await runner.operations.propose(
        click.actor, click.channel_id, request, reference=click.reference
    )
    await _post(runner, click, answer)


async def preview_again(runner: Runner, click: Click, _: Admitted) -> None:
    """A new preview of what had changed, or of what expired."""
    answer = await runner.operations.preview_again(
        click.actor,
        click.channel_id,
        decoded(kill_key, click.value),
        reference=click.reference,
    )
    if isinstance(answer, NotClaimed):
        await not_claimed(runner, click, answer)
    else:
        await _post(runner, click, answer)


async def _post(runner: Runner, request: Command | Click, answer: Proposed) -> Posted:
    """Put what came of a proposal into the channel."""
    is_preview = isinstance(answer, Preview)
    place = await runner.post(
        request, _drawn(runner, answer), otherwise=_without_preview if is_preview else None
    )
    if place is None:
        log.info("kill.preview_not_posted")
        return Posted.NOTHING
    if isinstance(answer, Preview) and place.message_ts:
        try:
            await runner.operations.posted(answer.proposal, place.message_ts)
        except LedgerError:
            # The preview stands; where is kept with the click that confirms it.
            log.warning("kill.place_not_recorded", exc_info=True)
        work = _show_expiry(runner, answer.proposal, place)
        runner.tasks.start(work, name=f"expiry-{answer.proposal.id}", optional=True)
    return Posted.PREVIEW if is_preview else Posted.NO_PREVIEW


async def _show_expiry(runner: Runner, proposal: Proposal, place: Place) -> None:
    """Take the buttons off a preview that nobody used in time.

    A courtesy, tried once: a bot that has stopped meanwhile leaves it to the next click.
    """
    try:
        if await runner.operations.left_to_expire(proposal):
            log.info("kill.expired")
            await runner.delivery.update(place, kill_view.expired(proposal), at_any_cost=False)
    except LedgerError:
        log.warning("kill.expiry_not_shown", exc_info=True)


def _without_preview(given: Undelivered) -> Message:
    return no_preview(given.code, is_restricted=given.is_restricted, surely=given.surely)


def _drawn(runner: Runner, answer: Proposed) -> Message:
    """What came of a proposal, drawn."""
    match answer:
        case Preview():
            return preview_view.preview(
                answer,
                may_confirm=runner.authorization.lists,
                group_names=runner.authorization.group_names,
            )
        case NothingToKill():
            return kill_view.nothing_to_kill(answer)
        case TooMany():
            return kill_view.too_many(answer)
        case Choice():
            return choice(answer)


async def dismiss(runner: Runner, click: Click, _: Admitted) -> None:
    """Close a preview, for who asked and for those who may kill; its message says who did."""
    key = decoded(kill_key, click.value)
    answer = await runner.operations.dismiss(click.actor, click.channel_id, key)
    match answer:
        case Proposal():
            follow(answer)
            log.info("kill.dismissed")
            await runner.replace(click, kill_view.dismissed(answer))
        case NotClaimed():
            await not_claimed(runner, click, answer)


async def is_own_preview(runner: Runner, click: Click) -> bool:
    """Whether they asked for it themselves: their Dismiss takes no right, nothing dies of it."""
    entry = await runner.operations.entry(decoded(kill_key, click.value))
    return entry is not None and entry.proposal.asked_by == click.actor


async def not_claimed(runner: Runner, click: Click, answer: NotClaimed) -> None:
    """Say why a click did nothing; an expired preview is replaced, with a way on."""
    if answer.entry is not None:
        follow(answer.entry.proposal)
    if answer.why is Unclaimable.DONE and answer.entry is not None and answer.entry.results:
        # Whatever was shown meanwhile, the outcome is the last word.
        message = outcome_view.outcome(conclusion_of(answer.entry))
        await runner.conclude(answer.entry.proposal, message, click)
    if answer.why is Unclaimable.EXPIRED and answer.entry is not None:
        await runner.replace(click, kill_view.expired(answer.entry.proposal))
    else:
        await runner.whisper(click, kill_view.not_claimed(answer))
