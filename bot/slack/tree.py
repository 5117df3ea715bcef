"""The tree of blockers: a message of its own, opened from a look."""

from bot.domain.people import Right
from bot.slack.authorization import Admitted
from bot.slack.payloads import Click
from bot.slack.runner import Runner
from bot.slack.views import tree as tree_view
from bot.slack.views.message import Message


async def show(runner: Runner, click: Click, admitted: Admitted) -> None:
    """The tree of blockers, as a message of its own."""
    message = await _drawn(runner, click)
    if admitted.public and not click.ephemeral:
        await runner.post(click, message)
    else:
        await runner.whisper(click, admitted.told_alone(message))


async def refresh(runner: Runner, click: Click, admitted: Admitted) -> None:
    """The tree drawn anew, in place."""
    message = await _drawn(runner, click, redrawn=admitted.public and not click.ephemeral)
    if admitted.public or click.ephemeral:
        await runner.redraw(click, message)
    else:
        await runner.whisper(click, admitted.told_alone(message))


async def _drawn(runner: Runner, click: Click, *, redrawn: bool = False) -> Message:
    """The tree of blockers on the cluster that a button names, drawn; `redrawn` as in `looked`."""
    answer = await runner.operations.tree(
        click.actor, click.channel_id, click.value, reference=click.reference
    )
    may_end = redrawn or await runner.authorization.may(Right.KILL, click.actor)
    return tree_view.tree(answer, may_end=may_end)
