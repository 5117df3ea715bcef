"""An answer about the past: marked as that, and with nothing to press but `Look now`. Pure."""

from collections.abc import Iterable

from bot.operations.results import Grouped, Overview, Past, Sessions, Tree, Why
from bot.slack.buttons import ActionId, seal
from bot.slack.views import blocks
from bot.slack.views import groups as groups_view
from bot.slack.views import overview as overview_view
from bot.slack.views import sessions as sessions_view
from bot.slack.views import tree as tree_view
from bot.slack.views import why as why_view
from bot.slack.views.blocks import Block
from bot.slack.views.lines import Line, Quoted, strong
from bot.slack.views.message import Message, marked
from bot.slack.views.text import age, clock


def past(answer: Past) -> Message:
    """The answer as it is drawn for now, without anything that acts on it."""
    drawn = marked(_drawn(answer), (*strong(f"{age(answer.ago)} ago, {clock(answer.taken_at)}"),))
    parts = (
        *(block for block in drawn.blocks if block["type"] != "actions"),
        *map(blocks.foot, _kept(answer)),
        blocks.actions(_controls(answer)),
    )
    return Message(drawn.text, tuple(part for part in parts if part is not None))


def _drawn(answer: Past) -> Message:
    match answer.shown:
        case Sessions() as shown:
            return sessions_view.sessions(shown, None)
        case Overview() as shown:
            return overview_view.overview(shown)
        case Grouped() as shown:
            return groups_view.groups(shown)
        case Why() as shown:
            return why_view.why(shown, lambda _: None)
        case Tree() as shown:
            return tree_view.tree(shown, None)


def _kept(answer: Past) -> Iterable[Line]:
    """What the samples leave out, where sessions are shown."""
    if isinstance(answer.shown, Sessions):
        ((_, kept, of),) = answer.kept
        yield (f"{kept} of {of} kept, what hurt most; the bot's own aren't kept",)
        if answer.shown.look.waits.blocked_by:
            yield (
                "who waited for whom: ",
                Quoted(f"/pg-sessions tree {answer.shown.cluster}/ at=-{_ago(answer)}", 100),
            )
    else:
        own = ", which leave out its own sessions" if isinstance(answer.shown, Grouped) else ""
        yield (f"by the bot's samples{own}; sessions can't be ended from here",)


def _ago(answer: Past) -> str:
    return f"{int(answer.ago.total_seconds())}s"


def _controls(answer: Past) -> Iterable[Block]:
    yield from blocks.fitting("Look now", ActionId.ANSWER_SHOW, seal(str(answer.request)))
