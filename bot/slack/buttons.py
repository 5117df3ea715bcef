"""What a click says: the ids of the buttons and menus, and what their values carry.

Pure. A value comes back from outside and is no authority: each `decode` raises
`ValueError` for anything that its `encode` can't have made, and whoever acts on it asks
the ledger and the allowlist again.
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

T = TypeVar("T")

OTHER_VERSION = (
    "nothing was done: this button is from another version of the bot. Type the command again"
)

_NUMBER = re.compile("0|[1-9][0-9]{0,18}")
_KEY = re.compile("[0-9a-f]{32}-[0-9a-f]{32,64}")


class ActionId(StrEnum):
    """The `action_id` of every element. Where a block has several of one, they are numbered."""

    SESSIONS_REFRESH = "sessions.refresh"  # PageOf
    SESSIONS_PREVIOUS = "sessions.previous"  # PageOf
    SESSIONS_NEXT = "sessions.next"  # PageOf
    SESSIONS_CHOOSE = "sessions.choose"  # PageOf, numbered
    SESSIONS_KILL_ROW = "sessions.kill_row"  # a menu; RowRef
    SESSIONS_KILL_REASON = "sessions.kill_reason"  # a modal's callback_id; Asked
    SESSIONS_INSPECT = "sessions.inspect"  # a menu; RowRef
    SESSIONS_TREE = "sessions.tree"  # a cluster's name; a new message
    TREE_REFRESH = "tree.refresh"  # a cluster's name; in place
    SESSION_REFRESH = "session.refresh"  # in a modal; RowRef
    SESSION_KILL = "session.kill"  # in a modal; RowRef
    KILL_TERMINATE = "kill.terminate"  # a kill's key
    KILL_CANCEL = "kill.cancel"  # a kill's key
    KILL_DISMISS = "kill.dismiss"  # a kill's key
    KILL_PREVIEW_AGAIN = "kill.preview_again"  # a kill's key
    KILL_PAGE = "kill.page"  # OutcomePage, numbered
    KILL_CHOOSE = "kill.choose"  # a KillRequest's canonical text, sealed; numbered
    HISTORY_OLDER = "history.older"  # OlderThan

    def numbered(self, number: int) -> str:
        """The id of one of several in a block, which all must differ."""
        return f"{self}.{number}"

    @property
    def pattern(self) -> re.Pattern[str]:
        """What the id looks like, numbered or not."""
        return re.compile(rf"\A{re.escape(self)}(\.[0-9]+)?\Z")


@dataclass(frozen=True, slots=True)
class PageOf:
    """A page of a look: the request's canonical text, and how many rows come before."""

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
            raise ValueError("no page")
        return cls(unseal(text), _number(offset, 2**31))


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
            raise ValueError("no row")
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
    """The kills before one: its id, and the canonical text of the history's request."""

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
            raise ValueError("no history")
        return cls(unseal(text), _number(before, 2**63))


_SEALED = {"%": "%25", "&": "%26", "<": "%3C", ">": "%3E"}


def seal(text: str) -> str:
    """A text without the characters that Slack escapes on its way, in either direction."""
    return "".join(_SEALED.get(character, character) for character in text)


def unseal(sealed: str) -> str:
    """The inverse of `seal`."""
    for character, code in reversed(_SEALED.items()):
        sealed = sealed.replace(code, character)
    return sealed


def kill_key(value: str) -> str:
    """Read a kill's key from a button's value. Raises `ValueError`, for a bare number too."""
    if not _KEY.fullmatch(value):
        raise ValueError("no key that a button of ours carries")
    return value


def _number(digits: str, below: int) -> int:
    if not _NUMBER.fullmatch(digits) or (number := int(digits)) >= below:
        raise ValueError("no number that a button of ours carries")
    return number


def _instant(digits: str) -> datetime:
    try:
        return from_us(_number(digits, 2**63))
    except OverflowError:
        raise ValueError("no instant") from None


def decoded(decode: Callable[[str], T], value: str) -> T:
    """What a button carries. Raises `UsageError` for what is none of ours."""
    try:
        return decode(value)
    except ValueError as error:
        raise UsageError("", OTHER_VERSION) from error
