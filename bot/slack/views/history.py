"""The answer to `/pg-kill history`.

Pure.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import Enum

from bot.domain.kills import Action, Outcome, State
from bot.domain.record import Entry, Unreadable
from bot.grammar.requests import KILL
from bot.operations.results import History
from bot.slack.buttons import ActionId, OlderThan
from bot.slack.views import blocks, tables
from bot.slack.views.blocks import Block
from bot.slack.views.lines import Line, Quoted, plain, strong
from bot.slack.views.message import Message, message
from bot.slack.views.tables import Column
from bot.slack.views.text import count, dotted, some

_COLUMNS = (
    Column("kill", (20,)),
    Column("outcome", (80, 60, 40, 30)),
    Column("when (UTC)", (20,)),
    Column("cluster", (40, 30, 20)),
    Column("targets", (80, 60, 40, 30, 20)),
    Column("asked_by", (20,)),
    Column("decided_by", (20,)),
    Column("reason", (80, 60, 40, 20)),
    Column("request", (80, 60, 40, 20)),
)
_TIMELINES = 4
_NAME = 18  # so that a label fits

Shown = Entry | Unreadable

_PEOPLE = tuple(at for at, column in enumerate(_COLUMNS) if column.name.endswith("_by"))


def history(answer: History) -> Message:
    """Draw the latest requests for kills, newest first, with buttons for what else is on record.

    Slack draws people by name. That notifies nobody, because only one person sees the answer.
    """
    fitted = tables.fit(_COLUMNS, [_row(entry) for entry in answer.entries])
    shown = answer.entries[: fitted.shown]
    has_older = answer.more or len(shown) < len(answer.entries)
    return message(
        [_head(answer, shown)],
        blocks.table(fitted.cells, people=_PEOPLE) if shown else None,
        blocks.actions([*_older(answer, shown, more=has_older), *_timelines(answer, shown)]),
    )


def _head(answer: History, shown: Sequence[Shown]) -> Line:
    """`The last 12 requests: 7 kills · 3 expired · 2 dismissed`: not all became kills."""
    before = "" if answer.before_id is None else f" before number {answer.before_id}"
    match len(shown):
        case 0:
            number = "No requests for kills"
        case 1:
            number = "The last request"
        case several:
            number = f"The last {several} requests"
    found = Counter(map(_became, shown))
    kinds = [count(found[kind], *kind.value) for kind in _Became if found[kind]]
    what = f": {' · '.join(kinds)}" if kinds else ""
    command = Quoted(f"{KILL} {answer.request}", 500, code=True)
    return (*strong(f"{number}{before}"), f"{what} · ", command)


class _Became(Enum):
    """What a request for a kill became, in singular and plural."""

    KILL = ("kill", "kills")
    WAITS = ("not confirmed yet", "not confirmed yet")
    EXPIRED = ("expired", "expired")
    DISMISSED = ("dismissed", "dismissed")
    UNREADABLE = ("from another version", "from another version")


def _became(entry: Entry | Unreadable) -> _Became:
    if isinstance(entry, Unreadable):
        return _Became.UNREADABLE
    match entry.proposal.state:
        case State.PROPOSED:
            return _Became.EXPIRED if entry.expired else _Became.WAITS
        case State.DISMISSED:
            return _Became.DISMISSED
        case State.CLAIMED | State.DONE:
            return _Became.KILL


def _older(answer: History, shown: Sequence[Shown], *, more: bool) -> Iterable[Block]:
    if shown and more:
        value = OlderThan(str(answer.request), shown[-1].number).encode()
        yield from blocks.fitting("Older", ActionId.HISTORY_OLDER, value)


def _timelines(answer: History, shown: Sequence[Shown]) -> Iterable[Block]:
    """What else happened on the clusters that are shown: alerts, looks, refusals."""
    kills = [each.proposal.cluster for each in shown if isinstance(each, Entry)]
    asked = answer.request.target.cluster
    names = [asked] if asked else list(dict.fromkeys(kills))[:_TIMELINES]
    for number, name in enumerate(names):
        label = "Timeline" if len(names) == 1 else f"Timeline of {plain(name, _NAME)}"
        yield from blocks.fitting(label, ActionId.HISTORY_TIMELINE.numbered(number), name)


def _row(entry: Entry | Unreadable) -> list[str | None]:
    if isinstance(entry, Unreadable):
        told = "recorded by another version of the bot: this one can't read it"
        return [str(entry.number), told, *[None] * (len(_COLUMNS) - 2)]
    proposal = entry.proposal
    decided_by = proposal.confirmed_by or proposal.dismissed_by
    return [
        str(proposal.id),
        _outcome(entry),
        _minute(proposal.created_at),
        proposal.cluster,
        _targets(entry),
        proposal.asked_by.user_id,
        None if decided_by is None else decided_by.user_id,
        proposal.reason,
        proposal.wording,
    ]


def _minute(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M}"


def _outcome(entry: Entry) -> str:
    match entry.proposal.state:
        case State.PROPOSED:
            return "expired" if entry.expired else "not confirmed yet"
        case State.CLAIMED:
            return "under way"
        case State.DISMISSED:
            return "dismissed"
        case State.DONE:
            counts = Counter(result.outcome for result in entry.latest)
            told = dotted(f"{counts[each]} {each}" for each in Outcome if counts[each])
            is_two = entry.proposal.action is Action.CANCEL_THEN_TERMINATE
            return f"cancel, then terminate: {told}" if is_two else told


def _targets(entry: Entry) -> str:
    targets = entry.proposal.targets
    return some([dotted((str(t.id.pid), t.seen.usename)) for t in targets], 3)
