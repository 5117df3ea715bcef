"""`/pg-sessions watch`: begin a board, and stop it. `drawing.py` draws it."""

from dataclasses import replace

import structlog
from slack_bolt.async_app import AsyncAck

from bot.domain.boards import End
from bot.errors import UsageError
from bot.grammar.parser import read_sessions
from bot.grammar.watching import WatchRequest
from bot.operations.boards import Which
from bot.slack.api_errors import FAILURES, code_of
from bot.slack.authorization import Admitted, Denied
from bot.slack.buttons import OTHER_VERSION, unseal
from bot.slack.payloads import Click, Command
from bot.slack.runner import Runner
from bot.slack.views import board as board_view
from bot.slack.views import errors

log = structlog.get_logger(__name__)

NO_SAMPLES = (
    "there are no boards, because SAMPLE_EVERY is 0: whoever runs the bot can set it to 5 or more"
)


async def refused(runner: Runner, ack: AsyncAck, command: Command, admitted: Admitted) -> bool:
    """Refuse a board that the channel would not see; return whether that was the answer.

    Raises `UsageError` if there are no boards at all.
    """
    if not runner.operations.samples.seconds:
        raise UsageError("watch", NO_SAMPLES)
    why = admitted.alone_for
    if why is None:
        return False
    message = board_view.for_channels(why)
    runner.record(command, Denied(why, message), "/pg-sessions watch")
    await runner.ack_alone(ack, message)
    return True


async def answer(
    runner: Runner, asked: Command | Click, request: WatchRequest, admitted: Admitted
) -> None:
    """Begin a board; the replica that speaks draws it."""
    operations = runner.within(admitted)
    begun = await operations.watch(
        asked.actor,
        asked.channel_id,
        request,
        thread_ts=asked.thread_ts,
        reference=asked.reference,
    )
    if isinstance(begun, Which):
        await runner.whisper(asked, board_view.which(begun.requests))
        return
    board = begun.board
    message = board_view.placeholder(board, moved=begun.before is not None)
    try:
        place = await runner.speech.post(board.channel_id, message, board.thread_ts)
    except FAILURES as error:
        log.warning("board.not_posted", board=board.id, error=code_of(error))
        await operations.boards.end(board.id, End.NOT_POSTED, board.since)
        await runner.whisper(asked, board_view.not_posted(board, code_of(error)))
        return
    await operations.boards.posted(board.id, place.message_ts)
    if board.thread_ts and not place.thread_ts:
        await runner.whisper(replace(asked, thread_ts=""), errors.not_in_thread())
    log.info("board.began", board=board.id, cluster=board.cluster)
    operations.speaker.wake()


async def begin(runner: Runner, click: Click, admitted: Admitted) -> None:
    """Begin a board of the cluster that was chosen."""
    request = read_sessions(unseal(click.value))
    if not isinstance(request, WatchRequest) or not runner.operations.samples.seconds:
        raise UsageError(click.value, "not a board")
    if (why := admitted.alone_for) is not None:
        await runner.deny(click, Denied(why, board_view.for_channels(why)), str(request))
        return
    await answer(runner, click, request, admitted)


async def stop(runner: Runner, click: Click, admitted: Admitted) -> None:
    """Stop watching."""
    ended = await runner.within(admitted).stop_watching(click.actor, click.place, click.value)
    if ended is None:
        raise UsageError("", OTHER_VERSION)
    # At once. The replica that speaks says it again, after what it may be drawing right now.
    message = board_view.closed(ended)
    await runner.delivery.respond(click.response_url, message, replace_original=True)
    runner.operations.speaker.wake()
