"""Text of any origin made fit for a screen: every character seen, and how much room it takes.

Pure. Slack counts a text's characters in a way that it doesn't tell, and a terminal counts
columns; here every text is measured by `cost`, which is never less than its code points, its
UTF-16 units or its columns.
"""

import unicodedata
from functools import lru_cache

from wcwidth import wcwidth

_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Characters of other categories that show as nothing, or as a space that is none."""


def visible(text: str) -> str:
    r"""Make every character one that can be seen and that orders nothing around it.

    Line ends, tabs and odd spaces become spaces; what is left of control characters, the
    bidirectional overrides and isolates, zero-width characters and lone surrogates shows as
    its code (`\u202e`).
    """
    return text if is_visible(text) else "".join(map(_visible, text))


def is_visible(text: str) -> bool:
    """Whether each character can be seen and none orders anything around it."""
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
    """Count a text's columns, or its UTF-16 units where these are more, by character."""
    return len(text) if text.isascii() else sum(map(_cost, text))


@lru_cache(maxsize=4096)
def _cost(character: str) -> int:
    return max(1, wcwidth(character), 2 if character > "\uffff" else 1)


def cut(text: str, most: int) -> str:
    """Cut a text that costs more than `most`, and end it with `…`."""
    if cost(text) <= most:
        return text
    room, kept = most - 1, []
    for character in text:
        room -= _cost(character)
        if room < 0:
            break
        kept.append(character)
    return "".join(kept).rstrip() + "…"
