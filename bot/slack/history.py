"""`/pg-kill history`: the record of kills, only for the person who asks."""

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
    admitted: Admitted,
    *,
    before_id: int | None = None,
) -> None:
    """Show the latest kills, only to the person who asked: others may not read the record."""
    answer = await runner.within(admitted).history(request, before_id=before_id)
    await runner.whisper(request_from, history_view.history(answer))


async def older(runner: Runner, click: Click, admitted: Admitted) -> None:
    """Show the kills before those already shown."""
    wanted = decoded(OlderThan.decode, click.value)
    request = read_kill(wanted.text)
    if not isinstance(request, HistoryRequest):
        raise UsageError(wanted.text, "not a history request")
    await answer(runner, click, request, admitted, before_id=wanted.before_id)
