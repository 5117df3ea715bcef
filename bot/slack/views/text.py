"""Strings fit to be shown: names that clients chose made harmless, times and numbers made short.

Pure. How every character is made to be seen, and what a text costs, stands in `bot.text`.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from bot.domain.sessions import Limit
from bot.text import cost, cut, visible

NAME = 63
"""The most characters of a name in PostgreSQL (`NAMEDATALEN` - 1 bytes)."""

WORD_JOINER = "\u2060"
"""An invisible character that parts nothing for a reader and everything for a parser."""

_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_ORDINARY = re.compile(r"(?!_)[A-Za-z0-9_-]+(?<!_)")
_MARKUP = re.compile(
    r"[@#*~`]"  # mentions and styles
    r"|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])"  # italics begin and end at a word's edge
    r"|\.(?=[^\W\d_])"  # a domain: `18.6` and an address are none
    r"|:(?=/|[^\s:]+:)"  # a scheme, an emoji
)
_BAR = 10


def escape(text: str) -> str:
    """Escape the three characters that begin and end Slack's markup."""
    return re.sub("[&<>]", lambda found: _ESCAPES[found[0]], text)


def plain(text: str | None, most: int = NAME) -> str:
    """Make any text fit for a place that takes no markup. Slack takes no empty text: a space."""
    return cut(visible(text or ""), most) or " "


def name_in_text(name: str, most: int = NAME) -> str:
    """Make any text fit for a message's top-level `text`, which Slack reads for markup.

    An ordinary name stays as it is. Any other is escaped, and a word joiner behind each
    character of markup keeps the whole from linking, pinging and formatting.
    """
    if _ORDINARY.fullmatch(name) and cost(name) <= most:
        return name
    harmless = _MARKUP.sub(lambda found: found[0] + WORD_JOINER, escape(plain(name, most)))
    # At the head of a line it would make a quotation of it.
    return WORD_JOINER + harmless if harmless.lstrip().startswith("&gt;") else harmless


def count(number: int, one: str, many: str | None = None) -> str:
    """Put a number before the thing that it counts: `1 session`, `2 sessions`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def some(items: Sequence[str], most: int, last: str = "and", *, of: int | None = None) -> str:
    """List a few of these: `a, b and c`, `a, b and 3 more`; `of` so many in all."""
    more = (len(items) if of is None else of) - most
    shown = [*items[:most], *([f"{more} more"] if more > 0 else [])]
    return f" {last} ".join(part for part in (", ".join(shown[:-1]), *shown[-1:]) if part)


def dotted(parts: Iterable[str | None]) -> str:
    """Join what there is with dots."""
    return " · ".join(part for part in parts if part)


_UNITS = (("d", 86_400, 10), ("h", 3600, 10), ("min", 60, 10), ("s", 1, 0))
"""Unit, its seconds, and the number of it below which the next smaller one is told too."""


def age(length: timedelta, *, short: bool = False) -> str:
    """Tell how long something has lasted: `4 min 12 s`, `32 min`, `3 d 4 h`; `short`: `4 min`."""
    seconds = max(0, int(length.total_seconds()))
    for (unit, size, few), (smaller, part, _) in pairwise(_UNITS):
        number, rest = divmod(seconds, size)
        if number:
            more = rest // part if number < few and not short else 0
            return f"{number} {unit} {more} {smaller}" if more else f"{number} {unit}"
    return f"{seconds} s"


def took(length: timedelta) -> str:
    """Tell how long something took: `12 ms`, `1.2 s`, `2 min 5 s`."""
    milliseconds = round(length.total_seconds() * 1000)
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    return f"{milliseconds / 1000:.1f} s" if milliseconds < 60_000 else age(length)


def clock(instant: datetime) -> str:
    """Tell the time of day: `12:00:01 UTC`."""
    return f"{instant:%H:%M:%S} UTC"


def clock_short(instant: datetime) -> str:
    """Tell the time of day without its seconds: `12:10 UTC`."""
    return f"{instant:%H:%M} UTC"


def timestamp(instant: datetime) -> str:
    """Write an instant as ISO 8601, to the second: `2026-01-31T12:00:01Z`."""
    return f"{instant:%Y-%m-%dT%H:%M:%SZ}"


def bar(limit: Limit) -> str:
    """Draw how much of a limit is used: full only where it is reached, empty only at 0."""
    if limit.reached:
        filled = _BAR
    else:
        share = round(_BAR * limit.taken / limit.limit)
        filled = min(max(share, min(limit.taken, 1)), _BAR - 1)
    return "■" * filled + "□" * (_BAR - filled)


def used(limit: Limit) -> str:
    """Tell how much of a limit is used: `62 of 97`."""
    more = f" and {limit.logging_in} logging in" if limit.logging_in else ""
    return f"{limit.used} of {limit.limit}{more}"
