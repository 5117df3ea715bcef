"""Split a command into words: Slack's escapes, quotes, dashes; and print a name as such a word.

Slack escapes `&`, `<` and `>`; phones and Macs turn `"` into `“ ”` and `--` into `—`. Such text
becomes tokens that know which of their characters were quoted.

How quotes work: a pair of double or single quotes wraps a whole part of a word (what is between
the word's edges and its `/`, `,`, `*`, `=`, `<`, `>`). To write the same quote inside, double it.
A pair that opens with a straight quote closes with the same one and keeps everything in between as
it is; a pair that opens with a typographic quote closes with any quote of its kind. So straight
quotes can hold any name, and names are printed with them.

Slack's backticks are formatting. Around a word, part of a word or several words they are dropped,
and the text inside reads as if it had been typed without them.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from bot.errors import UsageError

QUOTED = "\0"
"""Stands in a span for a quoted character, in which no operator is seen. Never in a command."""

_ENTITIES = {"&amp;": "&", "&lt;": "<", "&gt;": ">"}
_DOUBLE = '"“”„‟«»'
_SINGLE = "'‘’‚‛"
_QUOTES = _DOUBLE + _SINGLE
_CODE = "`"
_SEPARATORS = "/,*=<>"
_BEHIND_CODE = _SEPARATORS + _CODE + "!.;:)]"
_DASHES = re.compile("--|—|–")
_OPERATOR = re.compile("!?[<>=]+")
_LINES = "\t\n\v\f\r\x85"
_SHOWN = 60


def unescape(text: str) -> str:
    """Undo Slack's escapes, once: `&amp;lt;` was typed as `&lt;`."""
    return re.sub("&(?:amp|lt|gt);", lambda entity: _ENTITIES[entity[0]], text)


def fault(word: str, problem: str, nearest: tuple[str, ...] = ()) -> UsageError:
    """Return the error about a word, which is cut to 60 visible characters."""
    shown = "".join(c if c.isprintable() else _code_point(c) for c in word)
    if len(shown) > _SHOWN:
        shown = shown[: _SHOWN - 1] + "…"
    return UsageError(shown, problem, nearest)


def refuse_hidden(text: str) -> None:
    """Raise `UsageError` for the first control, format or surrogate character.

    A name with such a character looks like another name. To drop it would be a guess, so the error
    names it.
    """
    for at, character in enumerate(text):
        if _hidden(character):
            before, after = text[:at].split(), text[at + 1 :].split()
            head = before[-1] if before and not text[at - 1].isspace() else ""
            tail = after[0] if after and not text[at + 1].isspace() else ""
            name = unicodedata.name(character, "")
            named = _code_point(character) + (f" ({name})" if name else "")
            raise fault(head + character + tail, f"contains {named}, which is invisible")


def _hidden(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cf", "Cs"} and character not in _LINES


def _code_point(character: str) -> str:
    return f"U+{ord(character):04X}"


@dataclass(frozen=True, slots=True)
class Span:
    """Characters, and which of them were quoted.

    Both texts have the same length. A quoted character is `QUOTED` in `plain`. An opening quote
    leaves a `QUOTED` in both, which distinguishes `""` from nothing.
    """

    text: str
    plain: str

    def __getitem__(self, part: slice) -> "Span":
        return Span(self.text[part], self.plain[part])

    def __add__(self, other: "Span") -> "Span":
        return Span(self.text + other.text, self.plain + other.plain)

    @property
    def value(self) -> str:
        """The text without its quotes."""
        return self.text.replace(QUOTED, "")

    @property
    def bare(self) -> str | None:
        """The text, or None if any part of it was quoted."""
        return None if QUOTED in self.plain else self.text

    def split(self, separator: str) -> list["Span"]:
        """Cut at each separator that is outside quotes."""
        parts, start = [], 0
        for at, character in enumerate(self.plain):
            if character == separator:
                parts.append(self[start:at])
                start = at + 1
        return [*parts, self[start:]]


@dataclass(frozen=True, slots=True)
class Option:
    """`user=web*`: a token that contains an operator."""

    key: Span
    operator: str
    value: Span


@dataclass(frozen=True, slots=True)
class Token:
    """A word of a command."""

    typed: str
    span: Span

    def __add__(self, other: "Token") -> "Token":
        return Token(f"{self.typed} {other.typed}", self.span + other.span)

    @property
    def option(self) -> Option | None:
        """The token split at its first operator outside quotes."""
        operator = _OPERATOR.search(self.span.plain)
        if operator is None:
            return None
        key, value = self.span[: operator.start()], self.span[operator.end() :]
        return Option(key, operator[0], value)


def tokenize(text: str) -> tuple[list[Token], str | None]:
    """Cut into the tokens before `--`, and the unchanged text after it.

    `--`, or a dash that a phone makes of it, begins a word; the text is None without one. Raises
    `UsageError` if quotes don't pair.
    """
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
        elif dashes := _DASHES.match(text, at):
            return tokens, text[dashes.end() :]
        else:
            span, end = _word(text, at)
            tokens.append(Token(text[at:end], span))
            at = end
    return tokens, None


def join(tokens: Iterable[Token], lists: frozenset[str]) -> list[Token]:
    """Remove the spaces that people type around operators and around the commas of a list.

    `user = web` becomes one token, and so does `columns=pid, state` if `columns` is one of
    `lists`. No word joined here would mean anything by itself.
    """
    joined: list[Token] = []
    for token in tokens:
        if joined and _continues(joined[-1], token, lists):
            joined[-1] += token
        else:
            joined.append(token)
    return joined


def _continues(last: Token, token: Token, lists: frozenset[str]) -> bool:
    before, here = last.option, token.option
    if here is not None:
        return before is None and not here.key.plain
    if before is None:
        return False
    at_comma = last.span.plain.endswith(",") or token.span.plain.startswith(",")
    return not before.value.plain or (at_comma and before.key.text.lower() in lists)


def _word(text: str, start: int) -> tuple[Span, int]:
    """Read the word that starts at `start`; return it and where it ends."""
    span = Span("", "")
    at, may_open, in_code = start, True, False
    while at < len(text) and not text[at].isspace():
        character = text[at]
        if character == _CODE and _ends_code(text, at):
            in_code = False
            at += 1
            continue
        if character == _CODE and may_open:
            # A backtick that opens after `app=` must not leave half of the name to the next word.
            in_code = in_code or bool(span.text)
            at += 1
            continue
        if may_open and character in _QUOTES:
            quoted, at = _quoted(text, at, start)
            span += Span(QUOTED + quoted, QUOTED * (1 + len(quoted)))
        elif character in _DOUBLE:
            problem = "a quote in a name: double it, and put quotes around the name"
            raise fault(_to_space(text, start), problem)
        else:
            straight = _straight(character)
            span += Span(straight, straight)
            at += 1
        may_open = character in _SEPARATORS
    if in_code:
        raise fault(text[start:at], 'its backtick is not closed; a name with spaces needs "quotes"')
    return span, at


def _ends_code(text: str, at: int) -> bool:
    """Whether a backtick there ends the name."""
    behind = text[at + 1 : at + 2]
    return not behind or behind.isspace() or behind in _BEHIND_CODE


def _quoted(text: str, opening: int, start: int) -> tuple[str, int]:
    """Read the quotes that open there, in the word from `start`; return the text and its end.

    Other typographic quotes inside are straightened too: the same keyboard made them.
    """
    quote = text[opening]
    typographic = quote not in "\"'"
    kind = _DOUBLE if quote in _DOUBLE else _SINGLE
    closing = kind if typographic else quote
    held = ""
    at = opening + 1
    while at < len(text):
        character = text[at]
        if character not in closing:
            held += _straight(character) if typographic else character
            at += 1
        elif at + 1 < len(text) and text[at + 1] in closing:
            held += kind[0]
            at += 2
        else:
            _refuse_glued(text, at + 1, start)
            return held, at + 1
    raise fault(text[start:], "its quote is not closed")


def _refuse_glued(text: str, at: int, start: int) -> None:
    if text[at : at + 1] == _CODE and _ends_code(text, at):
        return
    if at < len(text) and not text[at].isspace() and text[at] not in _SEPARATORS:
        problem = "continues after its closing quote; double a quote inside quotes"
        raise fault(_to_space(text, start, at), problem)


def _to_space(text: str, start: int, at: int | None = None) -> str:
    """Return the text from `start` to the first space at or after `at`."""
    end = start if at is None else at
    while end < len(text) and not text[end].isspace():
        end += 1
    return text[start:end]


def _straight(character: str) -> str:
    for kind in (_DOUBLE, _SINGLE):
        if character in kind:
            return kind[0]
    return character


def quote(name: str, *, special: str = "", always: bool = False) -> str:
    """Print a name so that it reads back as itself, without quotes if possible.

    `special` are characters that have a meaning in this place, besides those that have one
    everywhere.
    """
    marks = _QUOTES + _CODE + ",*=<>" + special
    plain = name and not any(c.isspace() or c in marks for c in name) and not _DASHES.match(name)
    return name if plain and not always else '"' + name.replace('"', '""') + '"'
