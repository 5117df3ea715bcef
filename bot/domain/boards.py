"""Boards: messages that are redrawn until what they watch has been quiet for long enough."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from bot.domain.kills import Actor, Place

LONGEST = timedelta(hours=4)
"""How long a board is drawn at most."""

QUIET = timedelta(minutes=30)
"""How long nothing may have been wrong before a board ends by itself."""


class End(StrEnum):
    """Why a board has ended."""

    STOPPED = "stopped"  # somebody pressed Stop watching
    QUIET = "quiet"
    LONGEST = "longest"
    MOVED = "moved"  # somebody asked again: it goes on in a new message
    DELETED = "deleted"  # its message
    ARCHIVED = "archived"  # its channel
    REMOVED = "removed"  # the bot, from its channel
    REFUSED = "refused"  # Slack doesn't let the bot redraw its message
    RIGHT = "right"  # who asked for it may not look any more
    PLACE = "place"  # its channel may not see answers any more
    NOT_POSTED = "not posted"
    UNREADABLE = "unreadable"  # this version of the bot can't do what another one promised


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedBoard:
    """A board that somebody asks for.

    `wording` is the canonical text of a `SessionsRequest` whose target names the cluster.
    `thread_ts` is the message in whose thread it stands; empty for the channel itself.
    """

    channel_id: str
    thread_ts: str = ""
    cluster: str
    wording: str
    asked_by: Actor
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Board(AskedBoard):
    """A board on record.

    Attributes:
        message_ts: its message; empty until that is posted.
        until: when it ends at the latest.
        troubled_at: when something was last wrong, to the minute; at first when it began.
        ended_by: who ended it, if a person did.
    """

    id: int
    message_ts: str
    until: datetime
    troubled_at: datetime
    ended_at: datetime | None = None
    end: End | None = None
    ended_by: Actor | None = None

    @property
    def place(self) -> Place:
        """Its message."""
        return Place(self.channel_id, self.message_ts, self.thread_ts)

    def is_over(self, now: datetime) -> End | None:
        """Why it ends by itself now; None if it goes on."""
        if now >= self.until:
            return End.LONGEST
        return End.QUIET if now >= self.troubled_at + QUIET else None


MOST = 30
"""All boards together stay under this many calls of `chat.update` in a minute."""

APART = 2.2
"""Seconds between two of these calls: 28 in a minute, and one more when a new replica begins."""

WHILE_WRONG = 10.0
WHILE_QUIET = 60.0
"""Seconds between two drawings of one board, if there are few boards."""

_ROUNDED = 5


class Timetable:
    """When each board is drawn next. Pure: seconds are on one monotonic clock of the caller's.

    If the boards would need more calls than there may be, all of them slow down alike.
    """

    def __init__(self) -> None:
        self._tried: dict[int, float] = {}
        self._drawn: dict[int, float] = {}
        self._wrong: dict[int, bool] = {}

    def keep(self, wrong: Mapping[int, bool]) -> None:
        """These are the boards, and whether something is wrong with what they watch."""
        self._wrong = dict(wrong)
        self._tried = {each: at for each, at in self._tried.items() if each in wrong}
        self._drawn = {each: at for each, at in self._drawn.items() if each in wrong}

    def every(self, board_id: int) -> float:
        """Seconds between two drawings of a board, as planned."""
        wanted = self._wanted(board_id)
        load = sum(APART / self._wanted(each) for each in self._wrong)
        return wanted if load <= 1 else _rounded(wanted * load)

    def due(self, board_id: int) -> float:
        """When a board is to be drawn; long ago if it never was."""
        tried = self._tried.get(board_id)
        return float("-inf") if tried is None else tried + self.every(board_id)

    def said(self, board_id: int, now: float) -> float:
        """How often a board says that it is drawn: never more often than it has been."""
        drawn, planned = self._drawn.get(board_id), self.every(board_id)
        late = 0.0 if drawn is None else now - drawn - planned
        return planned if late < _ROUNDED else _rounded(planned + late)

    def found(self, board_id: int, *, wrong: bool) -> None:
        """What a board that is being drawn shows; `said` goes by it."""
        self._wrong[board_id] = wrong

    def tried(self, board_id: int, at: float) -> None:
        """A board is about to be drawn."""
        self._tried[board_id] = at

    def drawn(self, board_id: int, at: float) -> None:
        """A board was drawn."""
        self._drawn[board_id] = at

    def _wanted(self, board_id: int) -> float:
        return WHILE_WRONG if self._wrong.get(board_id) else WHILE_QUIET


def _rounded(seconds: float) -> float:
    return float(math.ceil(round(seconds / _ROUNDED, 3)) * _ROUNDED)
