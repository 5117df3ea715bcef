"""The confirm buttons of a preview: the kill, its progress, its outcome and the second look."""

import asyncio
from contextlib import suppress

import structlog

from bot.background import LAST_WORDS
from bot.domain.kills import LIVING, SUCCEEDED, Action, Conclusion, State
from bot.errors import BotError, LedgerError, NotAllowed
from bot.operations import bind_log, log_values
from bot.operations.results import Confirmed, NeedsSecondPerson, NotClaimed, conclusion_of
from bot.slack import kills
from bot.slack.authorization import Admitted
from bot.slack.buttons import OutcomePage, decoded, kill_key
from bot.slack.payloads import Click
from bot.slack.runner import Runner
from bot.slack.views import kill as kill_view
from bot.slack.views import outcome as outcome_view

log = structlog.get_logger(__name__)

PROGRESS_AFTER = 1.0
"""Seconds after which a kill that is still running says so in its message."""

SAID_WITHIN = LAST_WORDS * 0.75
"""Seconds that a kill has, once it is told to stop, to show what is on record about it."""

PROGRESS_WITHIN = 2.0
"""Seconds that the ledger has to confirm this: the outcome may be posted already."""


async def terminate(runner: Runner, click: Click, admitted: Admitted) -> None:
    """The confirm button: do what the preview showed."""
    await _confirm(runner, click, admitted, decoded(kill_key, click.value))


async def cancel(runner: Runner, click: Click, admitted: Admitted) -> None:
    """`Cancel query`: end what the targets ran, and leave the sessions."""
    key = decoded(kill_key, click.value)
    await _confirm(runner, click, admitted, key, action=Action.CANCEL)


async def cancel_then_terminate(runner: Runner, click: Click, admitted: Admitted) -> None:
    """`Cancel, then terminate`: the same, and end the sessions that still run it after 5 s."""
    key = decoded(kill_key, click.value)
    await _confirm(runner, click, admitted, key, action=Action.CANCEL_THEN_TERMINATE)


async def _confirm(
    runner: Runner,
    click: Click,
    admitted: Admitted,
    key: str,
    *,
    action: Action = Action.TERMINATE,
) -> None:
    """Do what a preview showed; its message becomes the outcome."""
    work = asyncio.ensure_future(
        runner.within(admitted).confirm(
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
    except (LedgerError, NotAllowed):
        raise  # nothing was signalled; what is on record can't be asked for, or isn't theirs to see
    except BotError:
        await _show_conclusion(runner, click, key)
        raise
    except asyncio.CancelledError:
        # When told to stop, it still records what it knows and says so.
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
            bind_log(answer.proposal)
            what = f"{click.action_id} {click.value}"
            runner.refused(click, what, "SECOND_PERSON_CLUSTERS")
            await runner.whisper(
                click,
                kill_view.needs_second_person(
                    answer,
                    rights=runner.authorization.rights,
                    group_names=runner.authorization.group_names,
                ),
            )
        case NotClaimed():
            await kills.not_claimed(runner, click, answer)


async def _concluded(runner: Runner, click: Click, conclusion: Conclusion) -> None:
    """Show an outcome, and later what was learned after it."""
    bind_log(conclusion.proposal)
    _measure(runner, click, conclusion)
    shown = asyncio.Event()

    async def show(later: Conclusion) -> None:
        await shown.wait()
        await runner.conclude(later.proposal, outcome_view.outcome(later), click)

    async def follow_up() -> None:
        later = await runner.operations.follow_up(conclusion)
        if later is not None:
            # It is on record now, so a bot that stops shows it all the same.
            runner.tasks.start(show(later), name=f"outcome-{later.proposal.id}")

    # Beside the delivery, which may be slow: the look is due ten seconds after the outcome.
    runner.start_later(click, follow_up())
    try:
        await runner.conclude(conclusion.proposal, outcome_view.outcome(conclusion), click)
    finally:
        shown.set()


def _measure(runner: Runner, click: Click, conclusion: Conclusion) -> None:
    """Measure the time from the click until all that were signalled had ended."""
    outcomes, until = conclusion.counts.keys(), conclusion.watched_until
    if until is not None and outcomes & SUCCEEDED and not outcomes & LIVING:
        runner.meter.gone(until - click.since)


async def _show_progress(runner: Runner, click: Click, key: str) -> bool:
    """Say that a kill is under way; return whether this is settled, so that nobody asks again.

    A courtesy: if it fails, the kill must go on.
    """
    try:
        async with asyncio.timeout(PROGRESS_WITHIN):
            entry = await runner.operations.entry(key)
        if entry is None:
            return True
        claimed = entry.proposal.state is State.CLAIMED
        if not (claimed and entry.proposal.confirmed_by == click.actor):
            # Show progress only for this click's claim: another click's must not replace an
            # outcome.
            return False
        bind_log(entry.proposal)
        working = kill_view.working(entry.proposal)
        # Not cancelled once it is being sent: it must not arrive after the outcome.
        await runner.delivery.update(
            click.place, working, response_url=click.response_url, at_any_cost=False
        )
    except (LedgerError, TimeoutError) as error:
        log.warning("kill.progress_not_shown", error=str(error) or "too slow")
    except Exception:
        log.exception("kill.progress_failed")
    return True


async def _show_conclusion(runner: Runner, click: Click, key: str) -> None:
    """After an error: if something was done, the message says what is on record."""
    with suppress(LedgerError):
        entry = await runner.operations.entry(key)
        if entry is not None and entry.results:
            bind_log(entry.proposal)
            await runner.conclude(entry.proposal, outcome_view.outcome(conclusion_of(entry)), click)


async def recovered(runner: Runner, conclusion: Conclusion) -> None:
    """Show what became of a kill in its message, without a click."""
    with structlog.contextvars.bound_contextvars(**log_values(conclusion.proposal)):
        await runner.conclude(conclusion.proposal, outcome_view.outcome(conclusion))


async def caught_up(runner: Runner, conclusion: Conclusion) -> None:
    """Make a second look that another process left, and show it."""
    with structlog.contextvars.bound_contextvars(**log_values(conclusion.proposal)):
        later = await runner.operations.catch_up(conclusion)
    if later is not None and later.proposal.message_ts:
        # It is on record now, so a bot that stops shows it all the same.
        runner.tasks.start(recovered(runner, later), name=f"outcome-{later.proposal.id}")


async def page(runner: Runner, click: Click, admitted: Admitted) -> None:
    """Another page of an outcome's table."""
    wanted = decoded(OutcomePage.decode, click.value)
    entry = await runner.within(admitted).outcome(click.channel_id, wanted.key)
    if isinstance(entry, NotClaimed):
        await runner.whisper(click, kill_view.not_told(entry))
        return
    message = outcome_view.outcome(conclusion_of(entry), wanted.page)
    await runner.redraw(click, message, admitted)
