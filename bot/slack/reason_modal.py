"""The Terminate menu of a table: a modal that asks for the reason, and then a preview."""

import structlog

from bot.domain.kills import Action
from bot.grammar.parser import read_reason
from bot.slack import kills
from bot.slack.api_errors import FAILURES, code_of
from bot.slack.authorization import Admitted
from bot.slack.buttons import RowRef, decoded
from bot.slack.payloads import Click
from bot.slack.runner import Runner
from bot.slack.views import reason as reason_view
from bot.slack.views.reason import Asked

log = structlog.get_logger(__name__)


async def ask(runner: Runner, click: Click, admitted: Admitted) -> None:
    """Open a modal that asks for the reason; if that fails, post the preview at once."""
    row = decoded(RowRef.decode, click.value)
    asked = Asked(row, click.channel_id, click.channel_name, click.response_url, click.thread_ts)
    if not await _is_asked(runner, click, asked, runner.offered(admitted, row.cluster)):
        await kills.propose_backend(runner, click, admitted, row)


async def preview(runner: Runner, click: Click, admitted: Admitted) -> None:
    """The submitted modal: post a preview of exactly that backend."""
    row, reason = decoded(RowRef.decode, click.value), read_reason(click.inputs.get("reason"))
    await kills.propose_backend(runner, click, admitted, row, reason=reason)


async def _is_asked(runner: Runner, click: Click, asked: Asked, action: Action | None) -> bool:
    """Open the modal that asks for a reason; return whether it opened."""
    try:
        answer = await runner.delivery.open_view(click.trigger_id, reason_view.ask(asked, action))
    except FAILURES as error:
        log.warning("modal.not_shown", error=code_of(error))
        return False
    return bool(answer.get("view"))
