"""One session in full, in a modal.

A modal must be opened within 3 s of the click, and only once. So a placeholder opens first, and is
filled when PostgreSQL has answered.
"""

from typing import Any

import structlog

from bot.errors import BotError, NotAllowed
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


async def inspect(runner: Runner, click: Click, admitted: Admitted) -> None:
    """A row's menu: open a modal with everything about exactly that backend."""
    row = decoded(RowRef.decode, click.value)
    opened = Opened(row, click.channel_id, click.channel_name, click.thread_ts)
    await _show(runner, click, admitted, opened)


async def _show(runner: Runner, click: Click, admitted: Admitted, opened: Opened) -> None:
    """Open the modal and fill it."""
    try:
        answer = await runner.delivery.open_view(click.trigger_id, session_view.placeholder(opened))
    except FAILURES as error:
        await _not_shown(runner, click, error)
        return
    view = objects.mapping(answer.get("view"))
    if not (view_id := objects.text(view.get("id"))):
        # The placeholder stays, with a button to ask again.
        log.warning("modal.not_filled", error="no view in the answer")
        return
    view_hash = objects.text(view.get("hash")) or None
    await _fill(runner, click, admitted, opened, view_id=view_id, view_hash=view_hash)


async def refresh(runner: Runner, click: Click, admitted: Admitted) -> None:
    """Read the modal's session again."""
    opened = _opened(click)
    if click.view is not None:
        view = click.view
        await _fill(runner, click, admitted, opened, view_id=view.id, view_hash=view.hash)


async def preview(runner: Runner, click: Click, admitted: Admitted) -> None:
    """The modal's button: a preview, in the channel from which the modal was opened."""
    opened = _opened(click)
    match await kills.propose_backend(runner, click, admitted, opened.row):
        case Posted.PREVIEW:
            await _say(runner, click, opened, "Its preview is in the channel.")
        case Posted.NO_PREVIEW:
            await _say(runner, click, opened, "Nothing would end: the channel shows why.")
        case Posted.NOTHING:
            pass  # the modal already says so


def _opened(click: Click) -> Opened:
    """The modal's metadata. Raises `UsageError`: it comes from outside."""
    return decoded(Opened.decode, click.view.private_metadata if click.view else "")


async def _say(runner: Runner, click: Click, opened: Opened, words: str) -> None:
    """Replace the modal's content with one line."""
    if click.view is not None:
        view = session_view.last_word(opened, words)
        # Without a hash: this is final, whatever refresh is still under way.
        await _update(runner, click, view, click.view.id, None)


async def _fill(  # noqa: PLR0913  keyword-only, each with its own meaning
    runner: Runner,
    click: Click,
    admitted: Admitted,
    opened: Opened,
    *,
    view_id: str,
    view_hash: str | None,
) -> None:
    # Those who may kill see the query in full.
    admitted = await runner.authorization.anew(admitted, click.actor)
    try:
        answer = await runner.within(admitted).inspect(
            click.actor,
            opened.channel_id,
            cluster_name=opened.row.cluster,
            backend_id=opened.row.id,
            reference=click.reference,
        )
    except NotAllowed:
        raise  # on record, as any refusal
    except BotError as error:
        why = (await runner.explain(click, error)).blocks
        await _update(runner, click, session_view.trouble(opened, why), view_id, view_hash)
        return
    if isinstance(answer, Gone):
        view = session_view.gone(opened, answer)
    else:
        view = session_view.session(opened, answer, runner.offered(admitted, answer.cluster))
    await _update(runner, click, view, view_id, view_hash)


async def _update(
    runner: Runner, click: Click, view: dict[str, Any], view_id: str, view_hash: str | None
) -> None:
    try:
        await runner.delivery.update_view(view_id, view, view_hash)
    except FAILURES as error:
        if code_of(error) in {"hash_conflict", "not_found"}:
            # Somebody closed it, or a newer refresh was faster: nothing is left to do.
            log.info("modal.not_updated", error=code_of(error))
        else:
            await _not_shown(runner, click, error)


async def _not_shown(runner: Runner, click: Click, error: BaseException) -> None:
    """Slack was too slow or refused: a modal can be opened only for some seconds, once."""
    log.warning("modal.not_shown", error=code_of(error))
    await runner.whisper(click, errors.no_window(code_of(error)))
