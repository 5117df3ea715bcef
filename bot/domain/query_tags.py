r"""Query tags: what clients say in SQL comments about the part of them that asks. Pure.

Three formats are read, and keys in them are only those that the settings allow:

- marginalia: `/*application:Shop,controller:carts*/`
- sqlcommenter: `/*controller='carts',route='%2Fcarts%2F%3Aid'*/`
- key:value: `/* application:Shop job:Mailer */`

A comment may hold anything else, so a part of one is read only if it is nothing but tags, and a
value only if it has no character that `SHAPE` leaves out: anything else is dropped, not cut.
Literals aren't read. Reading ends at a comment that isn't closed (it may have been cut) or has
another one inside, and at text that can be read in two ways. Within a comment it ends at a
quotation mark, unless that belongs to a value as sqlcommenter writes it: the commas and tags after
it may be somebody's text.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from urllib.parse import unquote

from bot.domain.redaction import comments
from bot.grammar.terms import Tagged

DEFAULT_KEYS: Final = ("application", "controller", "action", "job", "endpoint_id", "route")

READ: Final = 10_000
"""Characters of a query that are read."""

LONGEST: Final = 64
"""Characters of the longest value."""

SHAPE: Final = re.compile(rf"[A-Za-z0-9_./:#-]{{1,{LONGEST}}}")

KEY: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")

# One part, up to its comma. Possessive: no alternative backtracks.
_PART: Final = re.compile(
    r"""(?: \s*+ (?P<key> [^\s,='"]++ ) \s*+ = \s*+ ' (?P<value> [^'\\]*+ ) ' \s*+
        | (?P<words> [^,'"]*+ ) ) (?: , | \Z )""",
    re.VERBOSE,
)
_PAIR: Final = re.compile(rf"({KEY.pattern}):([^\s:][^\s]*+)")

Tags = Mapping[str, str]


def query_tags(query: str | None, keys: Iterable[str]) -> Tags:
    """The tags of a query, in the order of the keys; the first value of a key counts.

    The time is linear in the query.
    """
    if query is None or "/*" not in query:
        return {}
    found: dict[str, str] = {}
    for comment in comments(query[:READ]):
        for key, value in _tags(comment):
            found.setdefault(key, value)
    return {key: found[key] for key in keys if key in found}


def carried(tags: Tags, terms: Iterable[Tagged]) -> bool:
    """Whether tags satisfy all terms. One that is missing satisfies only a negation."""
    return all(
        term.negated is not (term.key in tags and term.pattern.matches(tags[term.key]))
        for term in terms
    )


def _tags(comment: str) -> Iterator[tuple[str, str]]:
    position = 0
    while position < len(comment) and (part := _PART.match(comment, position)):
        position = part.end()
        if part["key"] is not None:
            pairs = [(part["key"], unquote(part["value"], errors="replace"))]
        else:
            found = [_PAIR.fullmatch(word) for word in part["words"].split()]
            pairs = [(pair[1], pair[2]) for pair in found if pair is not None]
            if len(pairs) < len(found):
                continue
        yield from ((key, value) for key, value in pairs if SHAPE.fullmatch(value))
