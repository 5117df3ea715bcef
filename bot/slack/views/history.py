"""The answer to `/pg-kill history`.

Pure.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import Enum

from bot.domain.kills import NEEDS_SOMEONE, State
from bot.domain.record import Entry, Unreadable
from bot.grammar.requests import KILL
from bot.operations.results import History
from bot.slack.buttons import ActionId, OlderThan
from bot.slack.views import blocks, tables
from bot.slack.views.blocks import Block
from bot.slack.views.lines import Line, Quoted, strong
from bot.slack.views.message import Message, message
from bot.slack.views.tables import Column
from bot.slack.views.text import count, dotted, some

_COLUMNS = (
    Column("kill", (20,)),
    Column("when (UTC)", (20,)),
    Column("cluster", (40, 30, 20)),
    Column("outcome", (80, 60, 40, 30)),
    Column("targets", (80, 60, 40, 30, 20)),
    Column("asked_by", (20,)),
    Column("decided_by", (20,)),
    Column("reason", (80, 60, 40, 20)),
    Column("request", (80, 60, 40, 20)),
)
_PEOPLE = tuple(at for at, column in enumerate(_COLUMNS) if column.name.endswith("_by"))


def history(answer: History) -> Message:
    """Draw the last requests for kills, newest first, with a button for those before.

    People stand as Slack draws them: the answer is for one person, so it notifies nobody.
    """
    fitted = tables.fit(_COLUMNS, [_row(entry) for entry in answer.entries])
    shown = answer.entries[: fitted.shown]
    has_older = answer.more or len(shown) < len(answer.entries)
    return message(
        [_head(answer, shown)],
        blocks.table(fitted.cells, people=_PEOPLE) if shown else None,
        blocks.actions(_older(answer, shown[-1])) if shown and has_older else None,
    )


def _head(answer: History, shown: Sequence[Entry | Unreadable]) -> Line:
    """`The last 12 requests: 7 kills · 3 expired · 2 dismissed`: not each became a kill."""
    before = "" if answer.before_id is None else f" before number {answer.before_id}"
    match len(shown):
        case 0:
            number = "No requests"
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
    """What a request for a kill became, in one and in several."""

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


def _older(answer: History, last: Entry | Unreadable) -> Iterable[Block]:
    value = OlderThan(str(answer.request), last.number).encode()
    if blocks.fits_button(value):
        yield blocks.button("Older", ActionId.HISTORY_OLDER, value)


def _row(entry: Entry | Unreadable) -> list[str | None]:
    if isinstance(entry, Unreadable):
        told = "recorded by another version of the bot: this one can't read it"
        return [str(entry.number), None, None, told, *[None] * (len(_COLUMNS) - 4)]
    proposal = entry.proposal
    decided_by = proposal.confirmed_by or proposal.dismissed_by
    return [
        str(proposal.id),
        _minute(proposal.created_at),
        proposal.cluster,
        _outcome(entry),
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
            return dotted(f"{counts[each]} {each}" for each in NEEDS_SOMEONE if counts[each])


def _targets(entry: Entry) -> str:
    targets = entry.proposal.targets
    return some([dotted((str(t.id.pid), t.seen.usename)) for t in targets], 3)
