"""One session whole, in a modal.

A modal must be opened within 3 s of the click, once: a placeholder goes up first and is
filled when PostgreSQL has answered.
"""

from typing import Any

import structlog

from bot.domain.people import Right
from bot.errors import BotError
from bot.operations.results import Gone
from bot.slack import objects
from bot.slack.desk import Desk
from bot.slack.failures import FAILURES, code_of
from bot.slack.payloads import Click
from bot.slack.views import errors
from bot.slack.views import reason as reason_view
from bot.slack.views import session as session_view
from bot.slack.views.reason import Asked
from bot.slack.views.session import Opened

log = structlog.get_logger(__name__)


async def show(desk: Desk, click: Click, opened: Opened) -> None:
    """Open the modal and fill it."""
    try:
        answer = await desk.delivery.open_view(click.trigger_id, session_view.placeholder(opened))
    except FAILURES as error:
        await _not_shown(desk, click, error)
        return
    view = objects.mapping(answer.get("view"))
    if not (view_id := objects.text(view.get("id"))):
        # The placeholder stands, and has a way to ask again.
        log.warning("modal.not_filled", error="no view in the answer")
        return
    view_hash = objects.text(view.get("hash")) or None
    await _fill(desk, click, opened, view_id=view_id, view_hash=view_hash)


async def ask(desk: Desk, click: Click, asked: Asked) -> bool:
    """Open the modal that asks for a reason; whether it stands."""
    try:
        answer = await desk.delivery.open_view(click.trigger_id, reason_view.ask(asked))
    except FAILURES as error:
        log.warning("modal.not_shown", error=code_of(error))
        return False
    return bool(answer.get("view"))


async def refresh(desk: Desk, click: Click, opened: Opened) -> None:
    """Read the session anew, in the modal that is open."""
    if click.view is not None:
        await _fill(desk, click, opened, view_id=click.view.id, view_hash=click.view.hash)


async def says(desk: Desk, click: Click, opened: Opened, words: str) -> None:
    """Put one line in the modal's place."""
    if click.view is not None:
        view = session_view.last_word(opened, words)
        # Without a hash: this is the last word, whatever refresh is still under way.
        await _update(desk, click, view, click.view.id, None)


async def _fill(
    desk: Desk, click: Click, opened: Opened, *, view_id: str, view_hash: str | None
) -> None:
    may_end = await desk.gate.may(Right.KILL, click.actor)
    try:
        answer = await desk.operations.inspect(
            click.actor,
            opened.channel_id,
            cluster_name=opened.row.cluster,
            backend_id=opened.row.id,
            full=may_end,
            reference=click.reference,
        )
    except BotError as error:
        why = desk.explain(click, error).blocks
        await _update(desk, click, session_view.trouble(opened, why), view_id, view_hash)
        return
    if isinstance(answer, Gone):
        view = session_view.gone(opened, answer)
    else:
        view = session_view.session(opened, answer, may_end=may_end)
    await _update(desk, click, view, view_id, view_hash)


async def _update(
    desk: Desk, click: Click, view: dict[str, Any], view_id: str, view_hash: str | None
) -> None:
    try:
        await desk.delivery.update_view(view_id, view, view_hash)
    except FAILURES as error:
        if code_of(error) in {"hash_conflict", "not_found"}:
            # Somebody closed it, or a newer refresh was faster: nothing is owed any more.
            log.info("modal.not_updated", error=code_of(error))
        else:
            await _not_shown(desk, click, error)


async def _not_shown(desk: Desk, click: Click, error: BaseException) -> None:
    """Slack took too long, or will not have it: a modal has its few seconds, once."""
    log.warning("modal.not_shown", error=code_of(error))
    await desk.whisper(click, errors.no_window(code_of(error)))
