"""The values of filters, columns, orders and limits, as they are typed."""

import ipaddress
import re
from collections.abc import Iterable

from bot.grammar.columns import BACKEND_TYPES, COLUMNS, STATES, TAGS, WAIT_EVENT_TYPES
from bot.grammar.requests import (
    MAX_BY,
    MAX_LIMIT,
    MAX_NAME,
    MAX_SECONDS,
    MINUS,
    RESERVED,
    SortKey,
)
from bot.grammar.suggest import distance, nearest
from bot.grammar.terms import (
    SHORT_NAMES,
    SHORT_STATES,
    SHORT_TYPES,
    TAG,
    Aged,
    AgeOf,
    Field,
    Match,
    Pattern,
    Tagged,
)
from bot.grammar.tokens import Option, Span, Token, fault

FIELDS = {
    **SHORT_NAMES,
    **{of.value: of for of in Field},
    "wait_event_type": Field.WAIT_EVENT,
}
"""What people type for a column that a filter compares as text."""

_WAIT_EVENT_TYPES = {name.lower(): name for name in WAIT_EVENT_TYPES}

_TAG_KEY = re.compile(r"[A-Za-z0-9_.-]{1,64}")

_DURATION = re.compile(r"(?:[0-9]+[a-z]+)+")

UNITS = {
    name: seconds
    for seconds, names in (
        (1, "s sec secs second seconds"),
        (60, "m min mins minute minutes"),
        (3600, "h hr hrs hour hours"),
        (86_400, "d day days"),
    )
    for name in names.split()
}


def filter_meant(word: str) -> tuple[str, ...]:
    """The filter that a word may mean: `state=idle_tx` for `idle_tx`, `user=` for `user`."""
    if word in FIELDS:
        return (f"{word}=",)
    state = SHORT_STATES.get(word, word.replace("_", " "))
    return (str(Match(Field.STATE, Pattern((state,)))),) if state in STATES else ()


def meant_words(word: str) -> tuple[str, ...]:
    """What an unknown name may have been meant for: a filter, or a word of the grammar."""
    return filter_meant(word.lower()) or nearest(word.lower(), sorted(RESERVED))


def _value(token: Token, value: Span) -> Span:
    """Return a filter's value; raise `UsageError` if it may be a slip."""
    if not value.plain:
        raise fault(token.typed, "its value is missing")
    if slip := re.search("[=<>]", value.plain):
        raise fault(token.typed, f"a `{slip[0]}` in a value needs quotes")
    if "," in value.plain:
        raise fault(token.typed, "a filter takes one value; a `,` in it needs quotes")
    return value


def read_match(token: Token, option: Option, of: Field) -> Match:
    """`user=web*`. Raises `UsageError` if the column can't have such a value."""
    match = Match(of, _pattern(token, option), option.operator == "!=")
    match of:
        case Field.STATE:
            return _state(token, match)
        case Field.BACKEND_TYPE:
            return _backend_type(token, match)
        case Field.CLIENT_ADDR:
            return _client_addr(token, match)
        case Field.APPLICATION_NAME:
            return _application_name(token, match)
        case Field.USENAME | Field.DATNAME | Field.WAIT_EVENT:
            if match.pattern.exact == "":
                raise fault(token.typed, "the name is empty")
            if of is Field.WAIT_EVENT:
                known = _WAIT_EVENT_TYPES.get((match.pattern.exact or "").lower())
                return match if known is None else _with(match, Pattern((known,)))
            return match


def _pattern(token: Token, option: Option) -> Pattern:
    if option.operator not in {"=", "!="}:
        raise fault(token.typed, "use `=` or `!=`")
    first, *rest = (part.value for part in _value(token, option.value).split("*"))
    middle = (part for part in rest[:-1] if part)
    return Pattern((first, *middle, *rest[-1:]))


def read_tag(token: Token, option: Option) -> Tagged:
    """`tag.job=Mailer*`. Raises `UsageError` if no tag can have such a key or value."""
    key, pattern = option.key.text[len(TAG) :], _pattern(token, option)
    if not _TAG_KEY.fullmatch(key):
        raise fault(token.typed, "a tag's key has letters, digits, `_`, `.` and `-`")
    if pattern.exact == "":
        raise fault(token.typed, "the value is empty; to find sessions without the tag: `!=*`")
    return Tagged(key, pattern, option.operator == "!=")


def _state(token: Token, match: Match) -> Match:
    pattern = _lower(match.pattern)
    if pattern.exact is None:
        if not any(pattern.matches(state) for state in STATES):
            raise fault(token.typed, "no state matches that")
        return _with(match, pattern)
    state = SHORT_STATES.get(pattern.exact, pattern.exact.replace("_", " "))
    if state not in STATES:
        near = nearest(pattern.exact, (*STATES, *SHORT_STATES))
        raise fault(token.typed, "no such state", _printed(match, near))
    return _with(match, Pattern((state,)))


def _backend_type(token: Token, match: Match) -> Match:
    """Take an unknown type for an extension's worker, unless it looks like a typo."""
    pattern = _lower(match.pattern)
    if pattern.exact is None:
        known = any(pattern.matches(name) for name in BACKEND_TYPES)
        return _with(match, pattern) if known else match
    if not pattern.exact:
        raise fault(token.typed, "the name is empty")
    name = SHORT_TYPES.get(pattern.exact, pattern.exact.replace("_", " "))
    if name in BACKEND_TYPES:
        return _with(match, Pattern((name,)))
    near = [t for t in (*BACKEND_TYPES, *SHORT_TYPES) if distance(pattern.exact, t) <= 2]
    if near:
        problem = "no such type; to find an extension's worker of that name, add a `*`"
        raise fault(token.typed, problem, _printed(match, near))
    return match


def _application_name(token: Token, match: Match) -> Match:
    """Refuse a name that no session can show: it would match none, and its negation every one."""
    parts = match.pattern.parts
    if not all(part.isascii() and part.isprintable() for part in parts):
        first, *rest = (piece for part in parts for piece in re.split("[^ -~]+", part))
        ascii_only = Pattern((first, *(piece for piece in rest[:-1] if piece), *rest[-1:]))
        problem = "PostgreSQL keeps only the ASCII of an application_name; use `*` for the rest"
        raise fault(token.typed, problem, (str(_with(match, ascii_only)),))
    if sum(map(len, parts)) > MAX_NAME:
        shorter = Pattern((parts[0][:MAX_NAME],))
        near = (str(_with(match, shorter)),) if match.pattern.exact else ()
        raise fault(
            token.typed, f"PostgreSQL keeps only {MAX_NAME} bytes of an application_name", near
        )
    return match


def _client_addr(token: Token, match: Match) -> Match:
    pattern = _lower(match.pattern)
    if pattern.exact is None:
        if not all(re.fullmatch("[0-9a-f.:]*", part) for part in pattern.parts):
            raise fault(token.typed, "a glob of addresses can have only digits, dots and colons")
        return _with(match, pattern)
    try:
        interface = ipaddress.ip_interface(pattern.exact)
    except ValueError:
        raise fault(token.typed, "use an address, a network or a glob") from None
    if "%" in pattern.exact:
        raise fault(token.typed, "PostgreSQL shows addresses without a zone (`%`)")
    if "/" not in pattern.exact:
        return _with(match, Pattern((str(interface.ip),)))
    network = _with(match, Pattern((str(interface.network),)))
    if interface.ip != interface.network.network_address:
        raise fault(
            token.typed, "the address has bits set to the right of its mask", (str(network),)
        )
    return network


def _lower(pattern: Pattern) -> Pattern:
    return Pattern(tuple(part.lower() for part in pattern.parts))


def _with(match: Match, pattern: Pattern) -> Match:
    return Match(match.field, pattern, match.negated)


def _printed(match: Match, names: Iterable[str]) -> tuple[str, ...]:
    """Return the filter with each of these values in place of its own, without duplicates."""
    return tuple(dict.fromkeys(str(_with(match, Pattern((name,)))) for name in names))


def read_age(token: Token, option: Option, of: AgeOf) -> Aged:
    """`xact>5m`. Raises `UsageError`."""
    if option.operator not in {"<", ">"}:
        raise fault(token.typed, "is an age: use `>` or `<`")
    text = _value(token, option.value).value.lower()
    if not _DURATION.fullmatch(text):
        if re.fullmatch("[0-9]+", text):
            raise fault(token.typed, "a number needs its unit right after it, as in `5m`")
        raise fault(token.typed, "use whole numbers and units, such as `90s`, `5m` or `1h30m`")
    seconds = 0
    for number, unit in re.findall("([0-9]+)([a-z]+)", text):
        if unit not in UNITS:
            raise fault(token.typed, "no such unit; use `s`, `m`, `h` or `d`")
        seconds += int(number) * UNITS[unit]
    if seconds > MAX_SECONDS:
        raise fault(token.typed, "the limit is ten years")
    return Aged(of, seconds, option.operator == ">")


def _names(token: Token, value: Span) -> list[str]:
    names = [part.value for part in value.split(",")]
    if not all(names):
        raise fault(token.typed, "a name before or after a `,` is missing")
    return names


def _column(name: str) -> str:
    column = name.lower()
    if column not in COLUMNS:
        short = SHORT_NAMES.get(column)
        raise fault(name, "no such column", (short.value,) if short else nearest(column, COLUMNS))
    return column


def read_columns(token: Token, value: Span) -> tuple[str, ...]:
    """`columns=pid,query`, or `all` of them. Raises `UsageError`."""
    names = _names(token, value)
    if len(names) == 1 and names[0].lower() == "all":
        return COLUMNS
    columns = tuple(map(_column, names))
    _refuse_repeats(columns)
    return columns


def read_sort(token: Token, value: Span) -> tuple[SortKey, ...]:
    """`sort=-xact_age,pid`. Raises `UsageError`."""
    names = _names(token, value)
    if any(name.lower().lstrip(MINUS) == TAGS for name in names):
        raise fault(token.typed, f"a table can't be sorted by {TAGS}; `{TAG}job=` narrows it")
    keys = tuple(SortKey(_column(name[name[0] in MINUS :]), name[0] in MINUS) for name in names)
    _refuse_repeats(tuple(key.column for key in keys))
    return keys


def read_by(token: Token, value: Span) -> tuple[Field, ...]:
    """`by=app,state`. Raises `UsageError`."""
    names = _names(token, value)
    for name in names:
        if name.lower() not in FIELDS:
            near = tuple(f"by={key}" for key in nearest(name.lower(), FIELDS))
            choices = ", ".join(f"`{key}`" for key in SHORT_NAMES)
            raise fault(name, f"`by=` counts by {choices}", near)
    columns = tuple(FIELDS[name.lower()] for name in names)
    _refuse_repeats(tuple(column.value for column in columns))
    if len(columns) > MAX_BY:
        raise fault(token.typed, f"`by=` takes at most {MAX_BY} columns")
    return columns


def _refuse_repeats(columns: tuple[str, ...]) -> None:
    for column in columns:
        if columns.count(column) > 1:
            raise fault(column, "this column is named twice")


def read_limit(token: Token, value: Span) -> int:
    """`limit=50`. Raises `UsageError`."""
    return read_number(value.value, token.typed)


def read_number(digits: str, typed: str) -> int:
    """A number of sessions or kills. Raises `UsageError` with `typed`."""
    if not re.fullmatch("[0-9]+", digits) or not 1 <= int(digits) <= MAX_LIMIT:
        raise fault(typed, f"use a number from 1 to {MAX_LIMIT}")
    return int(digits)
