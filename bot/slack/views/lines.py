"""A line of a message, written once and rendered for each of Slack's places.

Pure. A line consists of parts: our own words as plain `str`, and `Quoted` for anything that a
client, a setting or another person chose. A part's type decides how it is rendered, so quoted text
never ends up where Slack reads markup. The functions that make a text safe stand at the end.
`bot.text` makes every character visible, and measures texts.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from bot.domain.kills import Actor
from bot.slack.views.text import clock
from bot.text import cut, visible

NAME = 63
"""Maximum characters of a name in PostgreSQL (`NAMEDATALEN` - 1 bytes)."""

WORD_JOINER = "\u2060"
"""An invisible character that separates for a parser, but not for a reader."""

_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_LOOKALIKES = {ord("<"): "\u2039", ord(">"): "\u203a"}
_ORDINARY = re.compile(r"(?!_)[A-Za-z0-9_-]+(?<!_)")
_MARKUP = re.compile(
    r"[@#*~`]"  # mentions and styles
    r"|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])"  # italics begin and end at a word's edge
    r"|\.(?=[^\W\d_])"  # a domain; not `18.6` or an address
    r"|:(?=/|[^\s:]+:)"  # a scheme, an emoji
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


def escape(text: str) -> str:
    """Escape the three characters that begin and end Slack's markup."""
    return re.sub("[&<>]", lambda found: _ESCAPES[found[0]], text)


def unescape(text: str) -> str:
    """The inverse of `escape`."""
    for character, code in reversed(_ESCAPES.items()):
        text = text.replace(code, character)
    return text


def plain(text: str | None, most: int = NAME) -> str:
    """Make any text safe for a place without markup. Slack accepts no empty text: use a space."""
    return cut(visible(text or ""), most) or " "


def name_in_text(name: str, most: int = NAME) -> str:
    """Make any text safe for a message's top-level `text`, in which Slack reads markup.

    An ordinary name stays unchanged. Any other is escaped, and a word joiner after each markup
    character prevents links, mentions and formatting.
    """
    if len(name) <= most and _ORDINARY.fullmatch(name):
        return name
    harmless = _joined(escape(plain(name, most)))
    # At the beginning of a line it would start a quotation.
    return WORD_JOINER + harmless if harmless.lstrip().startswith("&gt;") else harmless


def unmarked(text: str, most: int = NAME) -> str:
    """Make any text safe for a place where Slack may read markup, or may show it as it is.

    `name_in_text` escapes; here that might be shown. So angle brackets become others that look
    like them, and what is no ordinary name gets word joiners.
    """
    harmless = plain(text, most).translate(_LOOKALIKES)
    return harmless if _ORDINARY.fullmatch(harmless) else _joined(harmless)


def _joined(text: str) -> str:
    return _MARKUP.sub(lambda found: found[0] + WORD_JOINER, text)
