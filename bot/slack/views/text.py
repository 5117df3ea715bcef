"""Numbers, lists and times in few words. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from bot.domain.sessions import Limit

_BAR = 10


def count(number: int, one: str, many: str | None = None) -> str:
    """Put a number before the thing that it counts: `1 session`, `2 sessions`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def of_them(number: int, of: int, what: str) -> str:
    """What is true of some that were just counted: `3 of them gone`, `all of them gone`.

    If only one was counted, it is `gone`.
    """
    if of == 1:
        return what
    if number < of:
        return f"{number} of them {what}"
    return f"{'both' if of == 2 else 'all'} of them {what}"


def capital(text: str) -> str:
    """The same as the beginning of a sentence; names in it stay as they are."""
    return text[:1].upper() + text[1:]


def some(items: Sequence[str], most: int, last: str = "and", *, of: int | None = None) -> str:
    """List a few of these: `a, b and c`, `a, b and 3 more`; `of` is how many there are in all."""
    more = (len(items) if of is None else of) - most
    shown = [*items[:most], *([f"{more} more"] if more > 0 else [])]
    return f" {last} ".join(part for part in (", ".join(shown[:-1]), *shown[-1:]) if part)


def dotted(parts: Iterable[str | None]) -> str:
    """Join those that aren't empty with dots."""
    return " · ".join(part for part in parts if part)


_UNITS = (("d", 86_400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1))
"""Unit and its seconds; the next smaller unit and its seconds."""

_FEW = 10
"""The number below which the next smaller unit is shown too."""


def age(length: timedelta, *, short: bool = False) -> str:
    """How long something has lasted: `4 min 12 s`, `32 min`, `3 d 4 h`; `short`: `4 min`."""
    seconds = max(0, int(length.total_seconds()))
    for unit, size, smaller, part in _UNITS:
        if seconds >= size:
            number, rest = divmod(seconds, size)
            more = rest // part if number < _FEW and not short else 0
            return f"{number} {unit} {more} {smaller}" if more else f"{number} {unit}"
    return f"{seconds} s"


def took(length: timedelta) -> str:
    """How long something took: `12 ms`, `1.2 s`, `2 min 5 s`."""
    milliseconds = round(length.total_seconds() * 1000)
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    return f"{milliseconds / 1000:.1f} s" if milliseconds < 60_000 else age(length)


def clock(instant: datetime) -> str:
    """The time of day: `12:00:01 UTC`."""
    return f"{instant:%H:%M:%S} UTC"


def clock_short(instant: datetime) -> str:
    """The time of day without seconds: `12:10 UTC`."""
    return f"{instant:%H:%M} UTC"


def timestamp(instant: datetime) -> str:
    """An instant in ISO 8601, to the second: `2026-01-31T12:00:01Z`."""
    return f"{instant:%Y-%m-%dT%H:%M:%SZ}"


def bar(limit: Limit) -> str:
    """A bar for how much of a limit is used: full only if it is reached, empty only at 0."""
    if limit.reached:
        filled = _BAR
    else:
        share = round(_BAR * limit.taken / limit.limit)
        filled = min(max(share, min(limit.taken, 1)), _BAR - 1)
    return "■" * filled + "□" * (_BAR - filled)


def used(limit: Limit) -> str:
    """How much of a limit is used: `62 of 97`."""
    more = f" and {limit.logging_in} logging in" if limit.logging_in else ""
    return f"{limit.used} of {limit.limit}{more}"
