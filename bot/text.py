"""Text from any origin made fit for a screen: every character visible, its width known.

Pure. Slack doesn't say how it counts a text's characters, and a terminal counts columns. Here
every text is measured by `cost`, which is never less than its code points, its UTF-16 units or its
columns.
"""

import unicodedata
from functools import lru_cache

_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Characters of other categories that look like nothing, or like a space."""


def visible(text: str) -> str:
    r"""Replace every character that is invisible or that reorders the text around it.

    Line ends, tabs and unusual spaces become spaces. Other control characters, bidirectional
    overrides and isolates, zero-width characters and lone surrogates become their codes
    (`\u202e`).
    """
    return text if is_visible(text) else "".join(map(_visible, text))


def is_visible(text: str) -> bool:
    """Whether each character is visible and none reorders the text around it."""
    return text.isprintable() and _BLANK.isdisjoint(text)


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category in {"Zs", "Zl", "Zp"} or character in "\t\n\v\f\r\x85":
        return " "
    if category in {"Cc", "Cf", "Cs"} or character in _BLANK:
        code = ord(character)
        return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
    return character


def cost(text: str) -> int:
    """A text's columns, or its UTF-16 units if these are more, counted by character."""
    return len(text) if text.isascii() else sum(map(_cost, text))


@lru_cache(maxsize=4096)
def _cost(character: str) -> int:
    is_wide = character > "\uffff" or unicodedata.east_asian_width(character) in {"W", "F"}
    return 2 if is_wide else 1


def cut(text: str, most: int) -> str:
    """Shorten a text that costs more than `most`, and end it with `…`."""
    if cost(text) <= most:
        return text
    room, kept = most - 1, []
    for character in text:
        room -= _cost(character)
        if room < 0:
            break
        kept.append(character)
    return "".join(kept).rstrip() + "…"
