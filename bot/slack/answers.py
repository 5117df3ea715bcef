"""From a request to its answer in Slack: what commands and clicks have in common."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from enum import Enum, auto

import structlog

from bot.domain.kills import (
    LIVING,
    SUCCEEDED,
    Action,
    Conclusion,
    Place,
    Proposal,
    State,
    Unclaimable,
)
from bot.domain.people import Right
from bot.domain.sessions import BackendId
from bot.errors import BotError, LedgerError
from bot.grammar.requests import HistoryRequest, KillRequest, SessionsRequest
from bot.operations import follow, named
from bot.operations.results import (
    Choice,
    Confirmed,
    NeedsSecondPerson,
    NotClaimed,
    NothingToKill,
    Overview,
    Preview,
    Proposed,
    Sessions,
    TooMany,
    conclusion_of,
)
from bot.slack.delivery import Undelivered
from bot.slack.desk import Desk
from bot.slack.gate import Admitted
from bot.slack.payloads import Click, Command
from bot.slack.tasks import LAST_WORDS
from bot.slack.views import history as history_view
from bot.slack.views import kill as kill_view
from bot.slack.views import sessions as sessions_view
from bot.slack.views import tree as tree_view
from bot.slack.views.choice import choice
from bot.slack.views.errors import for_you_alone, no_preview
from bot.slack.views.message import Message

log = structlog.get_logger(__name__)

PROGRESS_AFTER = 1.0
"""Seconds after which a kill that still goes on says so in its message."""

SAID_WITHIN = LAST_WORDS * 0.75
"""Seconds that a kill which is told to stop has to show what is on record of it."""

PROGRESS_WITHIN = 2.0
"""Seconds that the ledger has to say so: the outcome may be there already."""


async def sessions(
    desk: Desk, command: Command, request: SessionsRequest, admitted: Admitted
) -> None:
    """Answer `/pg-sessions`, in the channel or to the requester alone."""
    public = admitted.public and not request.private
    message = await looked(desk, command, request, alone=not public)
    if public:
        await desk.post(command, message)
    else:
        await desk.whisper(command, for_them(message, admitted))


def for_them(message: Message, admitted: Admitted) -> Message:
    """The message, with a line on why it is for them alone where the place is the reason."""
    why = admitted.alone_for
    return message if why is None else for_you_alone(message, why)


async def looked(  # noqa: PLR0913  keyword-only, each with its own meaning
    desk: Desk,
    request_from: Command | Click,
    request: SessionsRequest,
    *,
    alone: bool,
    offset: int = 0,
    redrawn: bool = False,
) -> Message:
    """A look, drawn; `alone` where the channel does not see it.

    Who may only look is offered nothing to end. What is `redrawn` in the channel keeps its
    menu, whoever pressed Refresh: others may need it.
    """
    answer = await desk.operations.look(
        request_from.actor,
        request_from.channel_id,
        request,
        offset=offset,
        alone=alone,
        page_size=sessions_view.page_size(request),
        reference=request_from.reference,
    )
    match answer:
        case Sessions():
            for_all = redrawn and not alone
            if not (for_all or await desk.gate.may(Right.KILL, request_from.actor)):
                answer = replace(answer, endable=frozenset())
            return sessions_view.sessions(answer)
        case Overview():
            return sessions_view.overview(answer)
        case Choice():
            return choice(answer)


async def drawn_tree(desk: Desk, click: Click, *, redrawn: bool = False) -> Message:
    """The tree of blockers on the cluster that a button names, drawn; `redrawn` as in `looked`."""
    answer = await desk.operations.tree(
        click.actor, click.channel_id, click.value, reference=click.reference
    )
    may_end = redrawn or await desk.gate.may(Right.KILL, click.actor)
    return tree_view.tree(answer, may_end=may_end)


async def proposal(desk: Desk, command: Command, request: KillRequest) -> None:
    """Answer `/pg-kill` with a preview, in the channel."""
    answer = await desk.operations.propose(
        command.actor, command.channel_id, request, reference=command.reference
    )
    await post_proposed(desk, command, answer)


class Posted(Enum):
    """What stands in the channel of a proposal."""

    PREVIEW = auto()
    NO_PREVIEW = auto()  # why there is nothing to confirm
    NOTHING = auto()  # the channel took none of it, as the one who asked has been told


async def proposal_of(
    desk: Desk, click: Click, cluster: str, backend: BackendId, *, reason: str | None = None
) -> Posted:
    """Answer a row's menu with a preview of that very backend."""
    answer = await desk.operations.propose_backends(
        click.actor,
        click.channel_id,
        cluster_name=cluster,
        ids=(backend,),
        reason=reason,
        reference=click.reference,
    )
    return await post_proposed(desk, click, answer)


async def post_proposed(desk: Desk, request: Command | Click, answer: Proposed) -> Posted:
    """Put what came of a proposal into the channel."""
    is_preview = isinstance(answer, Preview)
    place = await desk.post(
        request, drawn(desk, answer), otherwise=_without_preview if is_preview else None
    )
    if place is None:
        log.info("kill.preview_not_posted")
        return Posted.NOTHING
    if isinstance(answer, Preview) and place.message_ts:
        try:
            await desk.operations.posted(answer.proposal, place.message_ts)
        except LedgerError:
            # The preview stands; where is kept with the click that confirms it.
            log.warning("kill.place_not_recorded", exc_info=True)
        work = _show_expiry(desk, answer.proposal, place)
        desk.tasks.start(work, name=f"expiry-{answer.proposal.id}", optional=True)
    return Posted.PREVIEW if is_preview else Posted.NO_PREVIEW


async def _show_expiry(desk: Desk, proposal: Proposal, place: Place) -> None:
    """Take the buttons off a preview that nobody used in time.

    A courtesy, tried once: a bot that has stopped meanwhile leaves it to the next click.
    """
    try:
        if await desk.operations.left_to_expire(proposal):
            log.info("kill.expired")
            await desk.delivery.update(place, kill_view.expired(proposal), at_any_cost=False)
    except LedgerError:
        log.warning("kill.expiry_not_shown", exc_info=True)


def _without_preview(given: Undelivered) -> Message:
    return no_preview(given.code, is_restricted=given.is_restricted, surely=given.surely)


def drawn(desk: Desk, answer: Proposed) -> Message:
    """What came of a proposal, drawn."""
    match answer:
        case Preview():
            return kill_view.preview(
                answer, may_confirm=desk.gate.lists, group_names=desk.gate.group_names
            )
        case NothingToKill():
            return kill_view.nothing_to_kill(answer)
        case TooMany():
            return kill_view.too_many(answer)
        case Choice():
            return choice(answer)


async def history(
    desk: Desk,
    request_from: Command | Click,
    request: HistoryRequest,
    *,
    before_id: int | None = None,
) -> None:
    """Show the last kills, to the requester alone: others may not read the record."""
    answer = await desk.operations.history(request, before_id=before_id)
    await desk.whisper(request_from, history_view.history(answer))


async def confirmed(
    desk: Desk, click: Click, key: str, *, action: Action = Action.TERMINATE
) -> None:
    """Carry out what a preview showed; its message becomes the outcome."""
    work = asyncio.ensure_future(
        desk.operations.confirm(
            click.actor,
            click.channel_id,
            key,
            action=action,
            message_ts=click.message_ts,
        )
    )
    try:
        shown = False
        while not (await asyncio.wait({work}, timeout=None if shown else PROGRESS_AFTER))[0]:
            shown = await _show_progress(desk, click, key)
        await _answered(desk, click, await work)
    except LedgerError:
        raise  # nothing was signalled, and what is on record can't be asked for
    except BotError:
        await _show_conclusion(desk, click, key)
        raise
    except asyncio.CancelledError:
        # Told to stop, it still writes down what it knows, and says so.
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(SAID_WITHIN):
                await _show_conclusion(desk, click, key)
        raise


async def _answered(desk: Desk, click: Click, answer: Confirmed) -> None:
    match answer:
        case Conclusion():
            await concluded(desk, click, answer)
        case NeedsSecondPerson():
            follow(answer.proposal)
            what = f"{click.action_id} {click.value}"
            desk.refused(click, what, "SECOND_PERSON_CLUSTERS")
            await desk.whisper(
                click,
                kill_view.needs_second_person(
                    answer, may_confirm=desk.gate.lists, group_names=desk.gate.group_names
                ),
            )
        case NotClaimed():
            await not_claimed(desk, click, answer)


async def _show_conclusion(desk: Desk, click: Click, key: str) -> None:
    """After an error: where something was done, the message says what is on record."""
    with suppress(LedgerError):
        entry = await desk.operations.entry(key)
        if entry is not None and entry.results:
            follow(entry.proposal)
            await desk.conclude(entry.proposal, kill_view.outcome(conclusion_of(entry)), click)


async def _show_progress(desk: Desk, click: Click, key: str) -> bool:
    """Say that a kill is under way; whether it was, or can't be said.

    A courtesy: no failure of it may touch the kill that goes on.
    """
    try:
        async with asyncio.timeout(PROGRESS_WITHIN):
            entry = await desk.operations.entry(key)
        if entry is None:
            return True
        claimed = entry.proposal.state is State.CLAIMED
        if not (claimed and entry.proposal.confirmed_by == click.actor):
            # Only this click's claim shows: a later one must not take an outcome's place.
            return False
        follow(entry.proposal)
        working = kill_view.working(entry.proposal)
        # Not given up once it is on its way: it must not come after the outcome.
        await desk.delivery.update(
            click.place, working, response_url=click.response_url, at_any_cost=False
        )
    except (LedgerError, TimeoutError):
        log.warning("kill.progress_not_shown", exc_info=True)
    except Exception:
        log.exception("kill.progress_failed")
    return True


async def concluded(desk: Desk, click: Click, conclusion: Conclusion) -> None:
    """Show an outcome, and later what was learned after it."""
    follow(conclusion.proposal)
    _measure(desk, click, conclusion)
    shown = asyncio.Event()

    async def show(later: Conclusion) -> None:
        await shown.wait()
        await desk.conclude(later.proposal, kill_view.outcome(later), click)

    async def follow_up() -> None:
        later = await desk.operations.follow_up(conclusion)
        if later is not None:
            # It is on record now: a bot that stops shows it all the same.
            desk.tasks.start(show(later), name=f"outcome-{later.proposal.id}")

    # Beside the delivery, which may take long: the look is due ten seconds after the outcome.
    desk.start_later(click, follow_up())
    try:
        await desk.conclude(conclusion.proposal, kill_view.outcome(conclusion), click)
    finally:
        shown.set()


def _measure(desk: Desk, click: Click, conclusion: Conclusion) -> None:
    """How long it took from the click until all that were signalled had ended."""
    outcomes, until = conclusion.counts.keys(), conclusion.watched_until
    if until is not None and outcomes & SUCCEEDED and not outcomes & LIVING:
        desk.meter.gone(until - click.since)


async def recovered(desk: Desk, conclusion: Conclusion) -> None:
    """Show what became of a kill, in its message, without a click."""
    with structlog.contextvars.bound_contextvars(**named(conclusion.proposal)):
        await desk.conclude(conclusion.proposal, kill_view.outcome(conclusion))


async def caught_up(desk: Desk, conclusion: Conclusion) -> None:
    """Take a second look that another process left behind, and show it."""
    with structlog.contextvars.bound_contextvars(**named(conclusion.proposal)):
        later = await desk.operations.catch_up(conclusion)
    if later is not None and later.proposal.message_ts:
        # It is on record now: a bot that stops shows it all the same.
        desk.tasks.start(recovered(desk, later), name=f"outcome-{later.proposal.id}")


async def not_claimed(desk: Desk, click: Click, answer: NotClaimed) -> None:
    """Say why a click did nothing; an expired preview is replaced, with a way on."""
    if answer.entry is not None:
        follow(answer.entry.proposal)
    if answer.why is Unclaimable.DONE and answer.entry is not None and answer.entry.results:
        # Whatever was shown meanwhile, the outcome is the last word.
        message = kill_view.outcome(conclusion_of(answer.entry))
        await desk.conclude(answer.entry.proposal, message, click)
    if answer.why is Unclaimable.EXPIRED and answer.entry is not None:
        await desk.replace(click, kill_view.expired(answer.entry.proposal))
    else:
        await desk.whisper(click, kill_view.not_claimed(answer))


async def dismissed(desk: Desk, click: Click, key: str) -> None:
    """Close a preview; its message says who did."""
    answer = await desk.operations.dismiss(click.actor, click.channel_id, key)
    match answer:
        case Proposal():
            follow(answer)
            log.info("kill.dismissed")
            await desk.replace(click, kill_view.dismissed(answer))
        case NotClaimed():
            await not_claimed(desk, click, answer)


async def replace_message(desk: Desk, click: Click, message: Message) -> None:
    """Draw the clicked message anew; one person's message never becomes the channel's."""
    if not click.ephemeral:
        await desk.replace(click, message)
    elif not await desk.delivery.respond(click.response_url, message, replace_original=True):
        await desk.whisper(click, message)
