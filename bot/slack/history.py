"""`/pg-kill history`: the record of kills, for the one who asks."""

from bot.errors import UsageError
from bot.grammar.parser import read_kill
from bot.grammar.requests import HistoryRequest
from bot.slack.authorization import Admitted
from bot.slack.buttons import OlderThan, decoded
from bot.slack.payloads import Click, Command
from bot.slack.runner import Runner
from bot.slack.views import history as history_view


async def answer(
    runner: Runner,
    request_from: Command | Click,
    request: HistoryRequest,
    *,
    before_id: int | None = None,
) -> None:
    """Show the last kills, to the requester alone: others may not read the record."""
    answer = await runner.operations.history(request, before_id=before_id)
    await runner.whisper(request_from, history_view.history(answer))


async def older(runner: Runner, click: Click, _: Admitted) -> None:
    """The kills before those shown."""
    wanted = decoded(OlderThan.decode, click.value)
    request = read_kill(wanted.text)
    if not isinstance(request, HistoryRequest):
        raise UsageError(wanted.text, "no history")
    await answer(runner, click, request, before_id=wanted.before_id)
