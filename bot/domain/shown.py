"""What a viewer is shown of a session, and the order by it. Pure.

The order must not reveal what the text hides. If sessions were sorted by the text as it was sent,
a viewer could place sessions of their own among the others and find out a literal by bisection.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from bot.domain.query_tags import query_tags
from bot.domain.redaction import redact
from bot.domain.sessions import Backend, Look

ROW_QUERY = 100
"""Characters of a redacted query that are kept for a table's row, which shows fewer."""

HIDES: tuple[str, ...] = ("query", "query_id")
"""The columns that show less than PostgreSQL has."""

# Statements that are planned: query_id leaves out their literals, which are constants. For other
# statements it also hashes the literals, such as a role's password or the arguments of EXECUTE.
_PLANNED = frozenset({"delete", "insert", "merge", "select", "table", "update", "values", "with"})

_POOLERS: Final = re.compile(
    r"(?:pgbouncer|pgcat|odyssey|pgpool|supavisor|pgagroal)(?:[ /:0-9].*+)?", re.IGNORECASE
)
"""The `application_name` of a pooler's own connections; its version may follow."""

_REMEMBERED = 2000
_REMEMBERED_LENGTH = 4000
"""How many redacted queries are remembered, and the longest query that is."""

_remembered: dict[tuple[bytes, int], tuple[str, bool]] = {}


@dataclass(frozen=True, slots=True)
class Poolers:
    """Sessions whose client is a connection pooler: the server sees it, not who is behind it.

    `networks` are the addresses that the settings name.
    """

    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    def serve(self, backend: Backend) -> bool:
        """Whether a session's client is a pooler, by its address or its application_name."""
        address = backend.client_addr
        if address is not None and any(address in network for network in self.networks):
            return True
        return _POOLERS.fullmatch(backend.application_name or "") is not None


def redacted(look: Look, keys: Iterable[str], poolers: Poolers) -> Look:
    """The look with its queries redacted, and with the tags of these keys in their comments."""
    found = {row.pid: query_tags(row.query, keys) for row in look.rows}
    return replace(
        look,
        rows=tuple(as_shown(row, ROW_QUERY) for row in look.rows),
        tags={pid: tags for pid, tags in found.items() if tags},
        through_pooler=frozenset(row.pid for row in look.rows if poolers.serve(row)),
    )


def as_shown(backend: Backend, most: int) -> Backend:
    """The session with its query redacted and cut to `most` characters.

    Drops a `query_id` that may reveal what is hidden.
    """
    if backend.query is None:
        return backend
    redacted, keeps_id = _redacted(backend.query, most)
    return replace(backend, query=redacted, query_id=backend.query_id if keeps_id else None)


def _redacted(query: str, most: int) -> tuple[str, bool]:
    """The redacted query, and whether its query_id reveals nothing. Remembers the latest ones.

    An idle session keeps its last query, and a pool's sessions run the same ones. What is
    remembered is the digest of a query, never its text, which may hold secrets.
    """
    if len(query) > _REMEMBERED_LENGTH:
        return _redacted_anew(query, most)
    key = blake2b(query.encode(errors="surrogatepass"), digest_size=32).digest(), most
    known = _remembered.get(key)
    if known is None:
        if len(_remembered) >= _REMEMBERED:
            _remembered.clear()
        known = _remembered[key] = _redacted_anew(query, most)
    return known


def _redacted_anew(query: str, most: int) -> tuple[str, bool]:
    redacted = redact(query, most) or ""
    return redacted, _tells_nothing(query, redacted)


def _tells_nothing(query: str, redacted: str) -> bool:
    """Whether the query_id of this text can't reveal what is hidden in it.

    After a `;` there may be another statement, which the id may belong to. (A text that was cut
    before the `;` escapes this check: if a planned statement fills the space, the id is taken to be
    its own.)
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
    """Each pid's place in the order of what a row shows, for each column of `HIDES`.

    Equal values share a place; a pid without a value has none.
    """
    every = [as_shown(backend, ROW_QUERY) for backend in backends]
    placed = {}
    for column in HIDES:
        values = {row.pid: getattr(row, column) for row in every}
        places = {value: at for at, value in enumerate(sorted(set(values.values()) - {None}))}
        placed[column] = {pid: places[v] for pid, v in values.items() if v is not None}
    return placed
