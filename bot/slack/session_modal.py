"""One session whole, in a modal.

A modal must be opened within 3 s of the click, once: a placeholder goes up first and is
filled when PostgreSQL has answered.
"""

from typing import Any

import structlog

from bot.domain.people import Right
from bot.errors import BotError
from bot.operations.results import Gone
from bot.slack import kills, objects
from bot.slack.api_errors import FAILURES, code_of
from bot.slack.authorization import Admitted
from bot.slack.buttons import RowRef, decoded
from bot.slack.kills import Posted
from bot.slack.payloads import Click
from bot.slack.runner import Runner
from bot.slack.views import errors
from bot.slack.views import session as session_view
from bot.slack.views.session import Opened

log = structlog.get_logger(__name__)


async def inspect(runner: Runner, click: Click, _: Admitted) -> None:
    """A row's menu: a modal with everything about that very backend."""
    row = decoded(RowRef.decode, click.value)
    opened = Opened(row, click.channel_id, click.channel_name)
    await _show(runner, click, opened)


async def _show(runner: Runner, click: Click, opened: Opened) -> None:
    """Open the modal and fill it."""
    try:
        answer = await runner.delivery.open_view(click.trigger_id, session_view.placeholder(opened))
    except FAILURES as error:
        await _not_shown(runner, click, error)
        return
    view = objects.mapping(answer.get("view"))
    if not (view_id := objects.text(view.get("id"))):
        # The placeholder stands, and has a way to ask again.
        log.warning("modal.not_filled", error="no view in the answer")
        return
    view_hash = objects.text(view.get("hash")) or None
    await _fill(runner, click, opened, view_id=view_id, view_hash=view_hash)


async def refresh(runner: Runner, click: Click, _: Admitted) -> None:
    """The modal read anew."""
    opened = _opened(click)
    if click.view is not None:
        await _fill(runner, click, opened, view_id=click.view.id, view_hash=click.view.hash)


async def preview(runner: Runner, click: Click, _: Admitted) -> None:
    """The modal's button: a preview, in the channel that the modal was opened from."""
    opened = _opened(click)
    match await kills.propose_backend(runner, click, opened.row.cluster, opened.row.id):
        case Posted.PREVIEW:
            await _say(runner, click, opened, "Its preview is in the channel.")
        case Posted.NO_PREVIEW:
            await _say(runner, click, opened, "Nothing would end: the channel shows why.")
        case Posted.NOTHING:
            pass  # and so the modal says already


def _opened(click: Click) -> Opened:
    """What the modal carries. Raises `UsageError`: it comes from outside."""
    return decoded(Opened.decode, click.view.private_metadata if click.view else "")


async def _say(runner: Runner, click: Click, opened: Opened, words: str) -> None:
    """Put one line in the modal's place."""
    if click.view is not None:
        view = session_view.last_word(opened, words)
        # Without a hash: this is the last word, whatever refresh is still under way.
        await _update(runner, click, view, click.view.id, None)


async def _fill(
    runner: Runner, click: Click, opened: Opened, *, view_id: str, view_hash: str | None
) -> None:
    may_end = await runner.authorization.may(Right.KILL, click.actor)
    try:
        answer = await runner.operations.inspect(
            click.actor,
            opened.channel_id,
            cluster_name=opened.row.cluster,
            backend_id=opened.row.id,
            full=may_end,
            reference=click.reference,
        )
    except BotError as error:
        why = runner.explain(click, error).blocks
        await _update(runner, click, session_view.trouble(opened, why), view_id, view_hash)
        return
    if isinstance(answer, Gone):
        view = session_view.gone(opened, answer)
    else:
        view = session_view.session(opened, answer, may_end=may_end)
    await _update(runner, click, view, view_id, view_hash)


async def _update(
    runner: Runner, click: Click, view: dict[str, Any], view_id: str, view_hash: str | None
) -> None:
    try:
        await runner.delivery.update_view(view_id, view, view_hash)
    except FAILURES as error:
        if code_of(error) in {"hash_conflict", "not_found"}:
            # Somebody closed it, or a newer refresh was faster: nothing is owed any more.
            log.info("modal.not_updated", error=code_of(error))
        else:
            await _not_shown(runner, click, error)


async def _not_shown(runner: Runner, click: Click, error: BaseException) -> None:
    """Slack took too long, or will not have it: a modal has its few seconds, once."""
    log.warning("modal.not_shown", error=code_of(error))
    await runner.whisper(click, errors.no_window(code_of(error)))
