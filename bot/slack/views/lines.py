"""A line of a message, written once and rendered for each of Slack's places.

Pure. A line consists of parts: our own words as plain `str`, and `Quoted` for anything that a
client, a setting or another person chose. A part's type decides how it is rendered, so quoted text
never ends up where Slack reads markup.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from bot.domain.kills import Actor
from bot.slack.views.text import (
    NAME,
    WORD_JOINER,
    clock,
    escape,
    name_in_text,
    plain,
    unescape,
)

CHANNEL_ID = re.compile("[CDG][A-Z0-9]{1,30}")

_USER_ID = re.compile("[UW][A-Z0-9]{1,30}")
_HALF_AN_EMOJI = re.compile(r":[^\s:]+$")


@dataclass(frozen=True, slots=True)
class Own:
    """Our own words, with a style."""

    text: str
    bold: bool = False
    code: bool = False


@dataclass(frozen=True, slots=True)
class Quoted:
    """Text that somebody else chose: never markup."""

    text: str
    most: int = NAME
    bold: bool = False
    code: bool = False


@dataclass(frozen=True, slots=True)
class Drawn:
    """Our own drawing, and the words for screen readers."""

    text: str
    words: str


@dataclass(frozen=True, slots=True)
class Person:
    """A mention, which notifies the person if the message is new. Made only by `person`."""

    user_id: str


@dataclass(frozen=True, slots=True)
class Channel:
    """A link to a channel. Made only by `channel`."""

    channel_id: str


@dataclass(frozen=True, slots=True)
class Link:
    """A link to a message, from `bot.slack.objects.Identity.permalink`, with our own words."""

    url: str
    words: str


Part = str | Own | Quoted | Drawn | Person | Channel | Link
Line = tuple[Part, ...]


def person(user_id: str) -> Part:
    """Mention a person, if that is a user's id; otherwise quote the text."""
    return Person(user_id) if _USER_ID.fullmatch(user_id) else Quoted(user_id)


def as_of(now: datetime, asked_by: Actor) -> Line:
    """Which moment an answer shows, and who asked for it."""
    return (f"as of {clock(now)} · asked by ", person(asked_by.user_id))


def channel(channel_id: str) -> Part:
    """Link a channel, if that is a channel's id; otherwise quote the text."""
    return Channel(channel_id) if CHANNEL_ID.fullmatch(channel_id) else Quoted(channel_id)


def linked(channel_id: str, url: str) -> Line:
    """`open it in #incidents`, or only the channel if the link to its message isn't known."""
    there = channel(channel_id)
    return (Link(url, "open it"), " in ", there) if url else (there,)


def code(words: str) -> Part:
    """Our own words, to be typed exactly."""
    return Own(words, code=True)


def strong(*parts: Part) -> Line:
    """Parts in bold."""
    return tuple(_strong(part) for part in parts)


def _strong(part: Part) -> Part:
    match part:
        case str():
            return Own(part, bold=True)
        case Own() | Quoted():
            return replace(part, bold=True)
        case _:
            return part


def worded(words: str, most: int = 500) -> Line:
    """Our own words, which may quote something: text in backticks is to be typed."""
    pieces = words.split("`")
    last = len(pieces) - 1
    return tuple(
        Quoted(piece, most, code=at % 2 == 1 and at < last)
        for at, piece in enumerate(pieces)
        if piece
    )


def listed(parts: Line, *, last: str = "and", most: int = 30) -> Line:
    """List parts as in a sentence: `a, b and c`; beyond `most`, say how many more there are."""
    more = len(parts) - most
    shown: Line = (*parts[:most], f"{more} more") if more > 0 else parts
    line: list[Part] = []
    for at, part in enumerate(shown):
        if at:
            line.append(f" {last} " if at == len(shown) - 1 else ", ")
        line.append(part)
    return tuple(line)


def spoken(*lines: Line) -> str:
    """Lines as a message's top-level `text`, for notifications and screen readers."""
    return "\n".join(_without_emoji([_spoken(part) for part in line]) for line in lines)


def _without_emoji(parts: Sequence[str]) -> str:
    """Join parts without letting a quoted `:boom` and our own colon form an emoji."""
    spoken = ""
    for part in parts:
        halves = part.startswith(":") and _HALF_AN_EMOJI.search(spoken)
        spoken += WORD_JOINER + part if halves else part
    return spoken


def _spoken(part: Part) -> str:
    match part:
        case str(words) | Own(words):
            return escape(words)
        case Quoted(words, most):
            return name_in_text(words, most)
        case Drawn(_, words):
            return escape(words)
        case Person(user_id):
            return f"<@{user_id}>"
        case Channel(channel_id):
            return f"<#{channel_id}>"
        case Link(url, words):
            return f"<{url}|{escape(words)}>"


def words(line: Line) -> str:
    """A line where Slack reads no markup at all."""
    return "".join(
        plain(part.text, part.most) if isinstance(part, Quoted) else unescape(_spoken(part))
        for part in line
    )


def rich(line: Line) -> list[dict[str, Any]]:
    """A line as elements of a `rich_text_section`, in which Slack reads no markup."""
    return [_rich(part) for part in line]


def _rich(part: Part) -> dict[str, Any]:
    match part:
        case str(words):
            return {"type": "text", "text": words}
        case Own(words, bold, is_code):
            return {"type": "text", "text": words, **_style(bold=bold, code=is_code)}
        case Quoted(words, most, bold, is_code):
            shown = plain(words, most)
            return {"type": "text", "text": shown, **_style(bold=bold, code=is_code)}
        case Drawn(drawing):
            return {"type": "text", "text": drawing}
        case Person(user_id):
            return {"type": "user", "user_id": user_id}
        case Channel(channel_id):
            return {"type": "channel", "channel_id": channel_id}
        case Link(url, words):
            return {"type": "link", "url": url, "text": words}


def _style(**styles: bool) -> dict[str, dict[str, bool]]:
    style = {name: True for name, wanted in styles.items() if wanted}
    return {"style": style} if style else {}


def inline(line: Line) -> list[dict[str, Any]]:
    """A line as elements of a context block: quoted text in `plain_text` elements.

    Slack puts a gap between them, so the space at their edges is dropped.
    """
    runs: list[tuple[bool, str]] = []
    for part in line:
        if isinstance(part, Quoted):
            runs.append((False, plain(part.text, part.most)))
        elif runs and runs[-1][0]:
            runs[-1] = (True, runs[-1][1] + _spoken(part))
        else:
            runs.append((True, _spoken(part)))
    return [_inline(is_own, words.strip()) for is_own, words in runs if words.strip()]


def _inline(is_own: bool, words: str) -> dict[str, Any]:
    if is_own:
        return {"type": "mrkdwn", "text": words, "verbatim": True}
    return {"type": "plain_text", "text": words, "emoji": False}


def parted(parts: Sequence[Line], between: str) -> Line:
    """The parts as one line, with the same words between them."""
    return tuple(
        piece for at, part in enumerate(parts) for piece in ((between, *part) if at else part)
    )
