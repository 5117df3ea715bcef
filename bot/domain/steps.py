"""A kill of two steps: cancel what was shown to run, then terminate what still runs. Pure.

A target's result is first what the cancel came to. If its query went on, it becomes what the second
step came to, or why there was none.
"""

from dataclasses import replace

from bot.domain.kills import Outcome, Result

STOPPING = "the bot was told to stop"
LEASE_LOST = "the bot no longer held its claim"
NO_LEDGER = "the ledger did not answer"


def after_cancel(result: Result) -> Result:
    """A target's result after the first step. It stands if nothing more is learned of it."""
    came_to = replace(result, first_step=result.outcome)
    return not_taken(came_to, "the bot stopped") if goes_on(came_to) else came_to


def goes_on(result: Result) -> bool:
    """Whether the second step is for this target: its query was seen to go on."""
    return result.first_step is Outcome.STILL_RUNNING


def not_taken(result: Result, why: str) -> Result:
    """The result of a target whose query went on, if there is no second step."""
    return replace(_unmoved(f"not terminated: {why}", result), outcome=Outcome.INTERRUPTED)


def after_terminate(result: Result) -> Result:
    """The result of the second step, for a target whose query had gone on."""
    if result.outcome is Outcome.ALREADY_FINISHED:
        # The cancel had its effect between the last look and the second step.
        return Result(result.id, Outcome.CANCELLED, first_step=Outcome.CANCELLED)
    return replace(_unmoved(result.detail, result), first_step=Outcome.STILL_RUNNING)


def _unmoved(detail: str, result: Result) -> Result:
    return replace(result, detail="; ".join(filter(None, ("not ended by the cancel", detail))))


def second_step(result: Result) -> Outcome | None:
    """What the second step came to; None if there was none for this target."""
    return result.outcome if goes_on(result) else None
