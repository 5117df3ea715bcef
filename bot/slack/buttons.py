"""What a click carries: the ids of buttons and menus, and their values.

Pure. A value comes from outside and proves nothing. Each `decode` raises `ValueError` for anything
that its `encode` can't have made, and whoever acts on a value checks the ledger and the allowlist
again.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from bot.domain.instants import from_us, to_us
from bot.domain.sessions import BackendId
from bot.errors import UsageError
from bot.grammar.requests import KILL, SESSIONS

T = TypeVar("T")

OTHER_VERSION = (
    "nothing was done: this button is from another version of the bot. Type the command again"
)

TS = re.compile(r"[0-9]{1,12}\.[0-9]{1,8}")
"""A message's timestamp, which is its id in its channel."""

_CHANNEL_ID = re.compile("[A-Z0-9]{1,64}")
_URL = 2000
"""Maximum characters of a response_url in a modal, whose metadata holds 3000 in all."""

_NUMBER = re.compile("0|[1-9][0-9]{0,18}")
_KEY = re.compile("[0-9a-f]{32}-[0-9a-f]{32,64}")


class ActionId(StrEnum):
    """The `action_id` of every element. If a block has several of one kind, they are numbered."""

    SESSIONS_REFRESH = "sessions.refresh"  # PageOf
    SESSIONS_PREVIOUS = "sessions.previous"  # PageOf
    SESSIONS_NEXT = "sessions.next"  # PageOf
    SESSIONS_CHOOSE = "sessions.choose"  # PageOf, numbered
    SESSIONS_KILL_ROW = "sessions.kill_row"  # a menu; RowRef
    SESSIONS_KILL_REASON = "sessions.kill_reason"  # a modal's callback_id; Asked
    SESSIONS_INSPECT = "sessions.inspect"  # a menu; RowRef
    ANSWER_REFRESH = "answer.refresh"  # the canonical text of what it answers, sealed; in place
    ANSWER_SHOW = "answer.show"  # the same, in a button or a menu; a new message
    BOARD_BEGIN = "board.begin"  # a WatchRequest's canonical text, sealed; numbered
    BOARD_STOP = "board.stop"  # a cluster's name; the message is the board's
    WHY_END = "why.end"  # RowRef, numbered
    WHY_CANCEL = "why.cancel"  # RowRef, numbered
    SESSION_REFRESH = "session.refresh"  # in a modal; RowRef
    SESSION_KILL = "session.kill"  # in a modal; RowRef
    KILL_TERMINATE = "kill.terminate"  # a kill's key
    KILL_CANCEL = "kill.cancel"  # a kill's key
    KILL_CANCEL_THEN_TERMINATE = "kill.cancel_then_terminate"  # a kill's key
    KILL_DISMISS = "kill.dismiss"  # a kill's key
    KILL_PREVIEW_AGAIN = "kill.preview_again"  # a kill's key
    KILL_PAGE = "kill.page"  # OutcomePage, numbered
    KILL_TIMELINE = "kill.timeline"  # a kill's key; an answer for the presser alone
    KILL_CHOOSE = "kill.choose"  # a KillRequest's canonical text, sealed; numbered
    ALERT_PREVIEW = "alert.preview"  # an alert's key
    ALERT_MUTE = "alert.mute"  # an alert's key
    ALERT_TIMELINE = "alert.timeline"  # an alert's key
    HISTORY_OLDER = "history.older"  # OlderThan
    HISTORY_TIMELINE = "history.timeline"  # a cluster's name, numbered
    HOME_REFRESH = "home.refresh"  # in the Home tab
    HOME_ASK = "home.ask"  # in the Home tab; Ask, numbered
    HOME_ASKED = "home.asked"  # a modal's callback_id; a command
    SESSIONS_HERE = "pg_sessions_here"  # a message shortcut, and its modal's callback_id; Here
    KILL_HERE = "pg_kill_here"  # the same

    def numbered(self, number: int) -> str:
        """The id of one of several in a block, since all ids in a block must differ."""
        return f"{self}.{number}"

    @classmethod
    def of(cls, action_id: str) -> "ActionId | None":
        """Whose id this is, numbered or not; None if it is none of ours."""
        name, dot, number = action_id.rpartition(".")
        is_numbered = dot and number.isascii() and number.isdigit()
        try:
            return cls(name if is_numbered else action_id)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class PageOf:
    """A page of a look: the request's canonical text, and how many rows come before it."""

    text: str
    offset: int = 0

    def encode(self) -> str:
        """`20 some_db user=web`."""
        return f"{self.offset} {seal(self.text)}"

    @classmethod
    def decode(cls, value: str) -> "PageOf":
        """The inverse. Raises `ValueError`."""
        offset, space, text = value.partition(" ")
        if not space:
            raise ValueError("not a page")
        return cls(unseal(text), _number(offset, 2**31))


@dataclass(frozen=True, slots=True)
class Ask:
    """A command that somebody may want to send, and the text that it begins with."""

    command: str
    text: str = ""

    def encode(self) -> str:
        """`/pg-sessions why prod/`."""
        return seal(f"{self.command} {self.text}")

    @classmethod
    def decode(cls, value: str) -> "Ask":
        """The inverse. Raises `ValueError`."""
        command, space, text = unseal(value).partition(" ")
        if not space or command not in {SESSIONS, KILL}:
            raise ValueError("not a command")
        return cls(command, text)


@dataclass(frozen=True, slots=True)
class RowRef:
    """One backend of one cluster, as a row showed it."""

    cluster: str
    id: BackendId

    def encode(self) -> str:
        """`main|33507|1767225600000000`."""
        return f"{self.cluster}|{self.id.pid}|{to_us(self.id.backend_start)}"

    @classmethod
    def decode(cls, value: str) -> "RowRef":
        """The inverse. Raises `ValueError`."""
        cluster, *rest = value.rsplit("|", 2)
        if not cluster or len(rest) != 2:
            raise ValueError("not a row")
        return cls(cluster, BackendId(_number(rest[0], 2**31), _instant(rest[1])))


@dataclass(frozen=True, slots=True)
class OutcomePage:
    """A page of an outcome's table, counted from 0."""

    key: str
    page: int

    def encode(self) -> str:
        """`3f9a…-77ab… 1`."""
        return f"{self.key} {self.page}"

    @classmethod
    def decode(cls, value: str) -> "OutcomePage":
        """The inverse. Raises `ValueError`."""
        key, _, page = value.partition(" ")
        return cls(kill_key(key), _number(page, 100))


@dataclass(frozen=True, slots=True)
class OlderThan:
    """The kills older than one: its id, and the canonical text of the history request."""

    text: str
    before_id: int

    def encode(self) -> str:
        """`41 history prod/`."""
        return f"{self.before_id} {seal(self.text)}"

    @classmethod
    def decode(cls, value: str) -> "OlderThan":
        """The inverse. Raises `ValueError`."""
        before, space, text = value.partition(" ")
        if not space:
            raise ValueError("not a history request")
        return cls(unseal(text), _number(before, 2**63))


_SEALED = {"%": "%25", "&": "%26", "<": "%3C", ">": "%3E"}


def seal(text: str) -> str:
    """A text without the characters that Slack escapes in either direction."""
    return "".join(_SEALED.get(character, character) for character in text)


def unseal(sealed: str) -> str:
    """The inverse of `seal`."""
    for character, code in reversed(_SEALED.items()):
        sealed = sealed.replace(code, character)
    return sealed


def kill_key(value: str) -> str:
    """Read a kill's key from a button's value. Raises `ValueError`, even for a plain number."""
    if not _KEY.fullmatch(value):
        raise ValueError("not a key from one of our buttons")
    return value


def url_in_modal(response_url: str) -> str:
    """A response_url for a modal's metadata; empty if it is too long for one."""
    return response_url if len(response_url) <= _URL else ""


def check_place(channel_id: str, thread_ts: str) -> None:
    """Check where a modal's metadata says that it was opened. Raises `ValueError`, `TypeError`.

    `thread_ts` may be empty.
    """
    if not _CHANNEL_ID.fullmatch(channel_id):
        raise ValueError("not a channel")
    if thread_ts and not TS.fullmatch(thread_ts):
        raise ValueError("not a message")


def _number(digits: str, below: int) -> int:
    if not _NUMBER.fullmatch(digits) or (number := int(digits)) >= below:
        raise ValueError("not a number from one of our buttons")
    return number


def _instant(digits: str) -> datetime:
    try:
        return from_us(_number(digits, 2**63))
    except OverflowError:
        raise ValueError("not an instant") from None


def decoded(decode: Callable[[str], T], value: str) -> T:
    """The content of a button's value. Raises `UsageError` if it isn't one of ours."""
    try:
        return decode(value)
    except ValueError as error:
        raise UsageError("", OTHER_VERSION) from error
