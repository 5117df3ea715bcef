"""A board: how a cluster has been doing, redrawn until it has been quiet for long enough.

Pure.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.domain.boards import LONGEST, QUIET, Board, End
from bot.domain.kills import Action
from bot.domain.samples import Sample
from bot.domain.sessions import Backend
from bot.errors import ClusterError, TargetError, UsageError
from bot.grammar.parser import read_sessions
from bot.grammar.requests import Target, WhyRequest
from bot.grammar.watching import WatchRequest
from bot.operations.results import Sessions
from bot.slack.buttons import ActionId, seal
from bot.slack.views import blocks, cluster
from bot.slack.views import sessions as sessions_view
from bot.slack.views.blocks import Block
from bot.slack.views.errors import ALONE, Obstacle
from bot.slack.views.lines import Drawn, Line, Quoted, channel, linked, person, strong, worded
from bot.slack.views.message import Message, message
from bot.slack.views.session_table import tabled
from bot.slack.views.text import age, clock, clock_short

LEVELS = "▁▂▃▅▇"

GAP = "·"
"""A minute of which nothing is known."""

MINUTES = 15

_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """What a board shows: a look, or why there is none; and the samples of the last minutes."""

    board: Board
    answer: Sessions | None
    trouble: ClusterError | TargetError | None
    samples: Sequence[Sample]
    every: float  # seconds between two drawings
    now: datetime  # the bot's clock


def board(drawing: Drawing) -> Message:
    """The board, with what can be done about what it shows."""
    watched, answer = drawing.board, drawing.answer
    head: Line = (
        *strong("Watching ", *_watched(watched)),
        f" · redrawn every {age(timedelta(seconds=drawing.every))} · ",
        f"since {clock_short(watched.since)}, by ",
        person(watched.asked_by.user_id),
    )
    lines = [head, *_course(drawing), *_problems(drawing)]
    if answer is None:
        as_of: Line = (f"as of {clock(drawing.now)}",)
        return message(lines, blocks.foot(as_of), blocks.actions(_controls(watched)))
    table, shown = tabled(answer)
    total = answer.look.counts.total
    below = f"{len(shown)} of {total} shown, what hurts most first" if total else "no session"
    return message(
        lines,
        table,
        blocks.foot((f"{below} · as of {clock(answer.look.server.now)}",)),
        blocks.actions([*_controls(watched), *_acts(answer, shown)]),
        also=[sessions_view.spoken(answer.look, row) for row in shown[: sessions_view.SPOKEN]],
    )


def placeholder(watched: Board, *, moved: bool) -> Message:
    """What a board's message says until it is drawn for the first time."""
    begins = "moves here" if moved else "begins here"
    return message(
        [
            strong("The board of ", *_watched(watched), f" {begins}"),
            ("It appears in a few seconds. If it doesn't, ask again.",),
        ],
        blocks.foot(("asked by ", person(watched.asked_by.user_id))),
    )


def closed(ended: Board) -> Message:
    """What a board's message says once it has ended."""
    head = strong("Stopped watching ", *_watched(ended))
    if ended.end is End.MOVED:
        head = strong("The board of ", *_watched(ended), " has moved")
    return message([(*head, ": ", *_why(ended), "."), _again(ended)], blocks.foot(_period(ended)))


def told(ended: Board) -> Message:
    """That a board has ended, for the person who asked for it: its message can't say so."""
    head = strong("The board of ", *_watched(ended), " has ended")
    return message(
        [(*head, ", in ", channel(ended.channel_id), ": ", *_why(ended), "."), _again(ended)],
        blocks.foot(_period(ended)),
    )


def which(requests: Sequence[WatchRequest]) -> Message:
    """Which cluster may be meant: a button for each."""
    made = [button for at, each in enumerate(requests) for button in _begin(at, each)]
    more = len(requests) - len(made[: blocks.BUTTONS])
    return message(
        [strong("A board watches one cluster. Which one do you mean?")],
        blocks.actions(made),
        blocks.foot((f"{more} without a button: type the command with the cluster's name",))
        if more
        else None,
    )


def _begin(at: int, request: WatchRequest) -> Iterable[Block]:
    label = str(request.target)
    return blocks.fitting(label, ActionId.BOARD_BEGIN.numbered(at), seal(str(request)))


def listed(watched: Board, url: str) -> Line:
    """A board in a list of them; `url` leads to its message, if that is known."""
    who = (f" · since {clock_short(watched.since)}, by ", person(watched.asked_by.user_id))
    return (*strong(*_watched(watched)), *who, " · ", *linked(watched.channel_id, url))


def not_posted(watched: Board, code: str) -> Message:
    """That a board's message could not be posted."""
    return message(
        [
            strong("There is no board of ", *_watched(watched)),
            ("Slack didn't post it in this channel (", Quoted(code, code=True), ")."),
            ("If the bot isn't in the channel, invite it and ask again.",),
        ]
    )


def for_channels(why: Obstacle) -> Message:
    """That a board can't be begun here, because the channel would not see it."""
    return message(
        [
            strong("A board is a message for a whole channel, and there can't be one here"),
            (f"Only you see this: {ALONE[why]}. Nothing was done; the attempt is on record.",),
        ]
    )


def line(values: Iterable[float | None], top: float | None = None) -> str:
    """Values as a line of blocks, the highest at `top`; None is a gap."""
    known = list(values)
    highest = top or max((each for each in known if each is not None), default=0) or 1
    return "".join(GAP if each is None else _level(each / highest) for each in known)


def _level(share: float) -> str:
    """Only 0 has the lowest level, and only the highest value the highest one."""
    if share <= 0:
        return LEVELS[0]
    if share >= 1:
        return LEVELS[-1]
    return LEVELS[1 + int(share * (len(LEVELS) - 2))]


def by_minute(
    samples: Sequence[Sample], value: Callable[[Sample], float | None]
) -> list[float | None]:
    """The greatest value of each of the last minutes, the oldest first.

    Begins with the first minute that has a sample.
    """
    if not samples:
        return []
    last = max(each.taken_at for each in samples)
    minutes: list[float | None] = [None] * MINUTES
    first = MINUTES - 1
    for sample in samples:
        at = MINUTES - 1 - int((last - sample.taken_at) / _MINUTE)
        if at < 0:
            continue
        first = min(first, at)
        known = None if sample.problem else value(sample)
        if known is not None:
            before = minutes[at]
            minutes[at] = known if before is None else max(before, known)
    return minutes[first:]


def _course(drawing: Drawing) -> Iterable[Line]:
    """Connections, waiters and the oldest transaction: now, and over the last minutes."""
    samples = drawing.samples
    latest = samples[-1] if samples else None
    if latest is None or latest.problem:
        return
    oldest = latest.oldest_xact_age
    parts: tuple[tuple[str, list[float | None], float | None], ...] = (
        (
            f"connections {latest.used} of {latest.usable}",
            by_minute(samples, lambda each: each.used),
            latest.usable,
        ),
        (f"waiting {latest.waiting}", by_minute(samples, lambda each: each.waiting), None),
        (
            "no open transaction" if oldest is None else f"oldest xact {age(oldest, short=True)}",
            by_minute(samples, _oldest),
            None,
        ),
    )
    yield tuple(
        piece
        for at, (words, values, top) in enumerate(parts)
        for piece in ((" · " if at else "") + words, Drawn(f" {line(values, top)}", ""))
    )


def _oldest(sample: Sample) -> float:
    length = sample.oldest_xact_age
    return 0.0 if length is None else length.total_seconds()


def _problems(drawing: Drawing) -> Iterable[Line]:
    match drawing.trouble:
        case ClusterError() as error:
            yield ("⚠ ", Quoted(error.cluster), ": ", *worded(error.problem))
        case TargetError() as error:
            yield ("⚠ ", Quoted(error.name, code=True), ": ", *worded(error.problem))
        case None:
            pass
    if drawing.answer is not None:
        server = drawing.answer.look.server
        yield from (("⚠ ", *each) for each in cluster.pressing(server))
        yield from (("⚠ ", *each) for each in cluster.unseen(server))


def _controls(watched: Board) -> Iterable[Block]:
    yield blocks.button("Stop watching", ActionId.BOARD_STOP, watched.cluster)
    of_cluster = WhyRequest(Target(watched.cluster))
    yield blocks.button("Why", ActionId.ANSWER_SHOW, seal(str(of_cluster)))


def _acts(answer: Sessions, shown: Sequence[Backend]) -> Iterable[Block]:
    for each in sessions_view.acts(answer, Action.TERMINATE, shown):
        if each["action_id"] != ActionId.SESSIONS_INSPECT:
            yield each


def _watched(watched: Board) -> Line:
    """What a board is of, in the words of the grammar: `main`, or `main/some_db user=web`."""
    asked = str(_request(watched) or watched.wording).removeprefix("watch ")
    return (Quoted(watched.cluster if asked == f"{watched.cluster}/" else asked, 200),)


def _request(watched: Board) -> WatchRequest | None:
    try:
        request = read_sessions(watched.wording)
    except UsageError:
        return None  # another version wrote it
    return request if isinstance(request, WatchRequest) else None


_WHY: Mapping[End, str] = {
    End.STOPPED: " stopped it",
    End.MOVED: " asked again, and it goes on below",
    End.RIGHT: " may not look there any more",
    End.QUIET: f"nothing was wrong for {age(QUIET)}",
    End.LONGEST: f"a board lasts {age(LONGEST)} at most",
    End.DELETED: "its message was deleted",
    End.ARCHIVED: "the channel was archived",
    End.REMOVED: "the bot isn't in the channel any more",
    End.REFUSED: "Slack doesn't let the bot redraw its message any more",
    End.PLACE: "this channel may not see the bot's answers any more",
    End.NOT_POSTED: "its message could not be posted",
    End.UNREADABLE: "the bot's version or settings have changed, and it can't watch this",
}


def _why(ended: Board) -> Line:
    words = _WHY[ended.end or End.UNREADABLE]
    if not words.startswith(" "):
        return (words,)
    who = ended.asked_by if ended.end is End.RIGHT else ended.ended_by
    return ("somebody" if who is None else person(who.user_id), words)


def _again(ended: Board) -> Line:
    if ended.end is End.MOVED:
        return ("This message isn't redrawn any more.",)
    return ("To watch again: ", Quoted(f"/pg-sessions {ended.wording}", 220, code=True))


def _period(ended: Board) -> Line:
    until = ended.ended_at or ended.until
    return (
        f"watched from {clock_short(ended.since)} to {clock_short(until)}, ",
        f"{age(until - ended.since)} · asked by ",
        person(ended.asked_by.user_id),
    )
