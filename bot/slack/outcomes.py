"""The confirm buttons of a preview: the kill, its progress, its outcome and the second look."""

import asyncio
from contextlib import suppress

import structlog

from bot.domain.kills import LIVING, SUCCEEDED, Action, Conclusion, State
from bot.errors import BotError, LedgerError, UsageError
from bot.operations import follow, named
from bot.operations.results import Confirmed, NeedsSecondPerson, NotClaimed, conclusion_of
from bot.slack import kills
from bot.slack.authorization import Admitted
from bot.slack.buttons import OutcomePage, decoded, kill_key
from bot.slack.payloads import Click
from bot.slack.runner import Runner
from bot.slack.tasks import LAST_WORDS
from bot.slack.views import kill as kill_view
from bot.slack.views import outcome as outcome_view

log = structlog.get_logger(__name__)

PROGRESS_AFTER = 1.0
"""Seconds after which a kill that still goes on says so in its message."""

SAID_WITHIN = LAST_WORDS * 0.75
"""Seconds that a kill which is told to stop has to show what is on record of it."""

PROGRESS_WITHIN = 2.0
"""Seconds that the ledger has to say so: the outcome may be there already."""


async def terminate(runner: Runner, click: Click, _: Admitted) -> None:
    """The confirm button: carry out what the preview showed."""
    await _confirm(runner, click, decoded(kill_key, click.value))


async def cancel(runner: Runner, click: Click, _: Admitted) -> None:
    """`Cancel query`: end what the targets ran, and leave the sessions."""
    await _confirm(runner, click, decoded(kill_key, click.value), action=Action.CANCEL)


async def _confirm(
    runner: Runner, click: Click, key: str, *, action: Action = Action.TERMINATE
) -> None:
    """Carry out what a preview showed; its message becomes the outcome."""
    work = asyncio.ensure_future(
        runner.operations.confirm(
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
            shown = await _show_progress(runner, click, key)
        await _answered(runner, click, await work)
    except LedgerError:
        raise  # nothing was signalled, and what is on record can't be asked for
    except BotError:
        await _show_conclusion(runner, click, key)
        raise
    except asyncio.CancelledError:
        # Told to stop, it still writes down what it knows, and says so.
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(SAID_WITHIN):
                await _show_conclusion(runner, click, key)
        raise


async def _answered(runner: Runner, click: Click, answer: Confirmed) -> None:
    match answer:
        case Conclusion():
            await _concluded(runner, click, answer)
        case NeedsSecondPerson():
            follow(answer.proposal)
            what = f"{click.action_id} {click.value}"
            runner.refused(click, what, "SECOND_PERSON_CLUSTERS")
            await runner.whisper(
                click,
                kill_view.needs_second_person(
                    answer,
                    may_confirm=runner.authorization.lists,
                    group_names=runner.authorization.group_names,
                ),
            )
        case NotClaimed():
            await kills.not_claimed(runner, click, answer)


async def _concluded(runner: Runner, click: Click, conclusion: Conclusion) -> None:
    """Show an outcome, and later what was learned after it."""
    follow(conclusion.proposal)
    _measure(runner, click, conclusion)
    shown = asyncio.Event()

    async def show(later: Conclusion) -> None:
        await shown.wait()
        await runner.conclude(later.proposal, outcome_view.outcome(later), click)

    async def follow_up() -> None:
        later = await runner.operations.follow_up(conclusion)
        if later is not None:
            # It is on record now: a bot that stops shows it all the same.
            runner.tasks.start(show(later), name=f"outcome-{later.proposal.id}")

    # Beside the delivery, which may take long: the look is due ten seconds after the outcome.
    runner.start_later(click, follow_up())
    try:
        await runner.conclude(conclusion.proposal, outcome_view.outcome(conclusion), click)
    finally:
        shown.set()


def _measure(runner: Runner, click: Click, conclusion: Conclusion) -> None:
    """How long it took from the click until all that were signalled had ended."""
    outcomes, until = conclusion.counts.keys(), conclusion.watched_until
    if until is not None and outcomes & SUCCEEDED and not outcomes & LIVING:
        runner.meter.gone(until - click.since)


async def _show_progress(runner: Runner, click: Click, key: str) -> bool:
    """Say that a kill is under way; whether it was, or can't be said.

    A courtesy: no failure of it may touch the kill that goes on.
    """
    try:
        async with asyncio.timeout(PROGRESS_WITHIN):
            entry = await runner.operations.entry(key)
        if entry is None:
            return True
        claimed = entry.proposal.state is State.CLAIMED
        if not (claimed and entry.proposal.confirmed_by == click.actor):
            # Only this click's claim shows: a later one must not take an outcome's place.
            return False
        follow(entry.proposal)
        working = kill_view.working(entry.proposal)
        # Not given up once it is on its way: it must not come after the outcome.
        await runner.delivery.update(
            click.place, working, response_url=click.response_url, at_any_cost=False
        )
    except (LedgerError, TimeoutError):
        log.warning("kill.progress_not_shown", exc_info=True)
    except Exception:
        log.exception("kill.progress_failed")
    return True


async def _show_conclusion(runner: Runner, click: Click, key: str) -> None:
    """After an error: where something was done, the message says what is on record."""
    with suppress(LedgerError):
        entry = await runner.operations.entry(key)
        if entry is not None and entry.results:
            follow(entry.proposal)
            await runner.conclude(entry.proposal, outcome_view.outcome(conclusion_of(entry)), click)


async def recovered(runner: Runner, conclusion: Conclusion) -> None:
    """Show what became of a kill, in its message, without a click."""
    with structlog.contextvars.bound_contextvars(**named(conclusion.proposal)):
        await runner.conclude(conclusion.proposal, outcome_view.outcome(conclusion))


async def caught_up(runner: Runner, conclusion: Conclusion) -> None:
    """Take a second look that another process left behind, and show it."""
    with structlog.contextvars.bound_contextvars(**named(conclusion.proposal)):
        later = await runner.operations.catch_up(conclusion)
    if later is not None and later.proposal.message_ts:
        # It is on record now: a bot that stops shows it all the same.
        runner.tasks.start(recovered(runner, later), name=f"outcome-{later.proposal.id}")


async def page(runner: Runner, click: Click, admitted: Admitted) -> None:
    """Another page of an outcome's table."""
    wanted = decoded(OutcomePage.decode, click.value)
    entry = await runner.operations.entry(wanted.key)
    if entry is None or entry.proposal.channel_id != click.channel_id:
        raise UsageError("", "there is no such outcome in this channel")
    message = outcome_view.outcome(conclusion_of(entry), wanted.page)
    if admitted.public:
        await runner.redraw(click, message)
    else:
        await runner.whisper(click, admitted.told_alone(message))
