"""What a viewer is shown of a session, and the order by it. Pure.

What is hidden must not decide what is seen: a session of one's own, put in order among the others
by the text as it was sent, finds out a literal of theirs by halves.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from bot.domain.redaction import redact
from bot.domain.sessions import Backend

ROW_QUERY = 100
"""Characters of a redacted query that a row of a table takes; it shows fewer."""

HIDES: tuple[str, ...] = ("query", "query_id")
"""The columns of which less is shown than PostgreSQL has."""

# Statements that are planned: in them a literal is a constant, which query_id leaves out. Of
# others it is a hash of the literals, too: of a role's password, of what EXECUTE is given.
_PLANNED = frozenset({"delete", "insert", "merge", "select", "table", "update", "values", "with"})


def as_shown(backend: Backend, most: int) -> Backend:
    """Return the session without what its query hides, and with so many characters of it.

    Literals and comments are hidden, and a `query_id` that may tell of them.
    """
    redacted = redact(backend.query, most)
    keeps_id = _tells_nothing(backend.query or "", redacted or "")
    return replace(backend, query=redacted, query_id=backend.query_id if keeps_id else None)


def _tells_nothing(query: str, redacted: str) -> bool:
    """Whether the query_id of this text tells nothing of what is hidden of it.

    Behind a `;` there may be another statement, and the id is that one's. (So it is where the
    text is cut before the `;`: the id of a planned one that fills its space is taken for its own.)
    """
    if query == redacted:
        return True
    first = redacted.split(maxsplit=1)[:1]
    return (
        ";" not in query.rstrip().removesuffix(";")
        and bool(first)
        and re.split(r"\W", first[0].lstrip("("))[0].lower() in _PLANNED
    )


def ranks(backends: Iterable[Backend]) -> Mapping[str, Mapping[int, int]]:
    """Where each pid stands in the order of what a row shows, for each column of `HIDES`.

    Equal values have the same place; what has none has no place.
    """
    every = [as_shown(backend, ROW_QUERY) for backend in backends]
    placed = {}
    for column in HIDES:
        values = {row.pid: getattr(row, column) for row in every}
        places = {value: at for at, value in enumerate(sorted(set(values.values()) - {None}))}
        placed[column] = {pid: places[v] for pid, v in values.items() if v is not None}
    return placed
