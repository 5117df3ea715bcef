"""What a sample reads: every backend in one cheap statement, which the bot sorts and counts.

A look has the server do this, and so costs it four times as much.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from heapq import nsmallest
from operator import itemgetter
from typing import Any

import asyncpg

from bot.domain.findings.survey import Part
from bot.domain.groups import Group, Groups, merged
from bot.domain.samples import WORST
from bot.domain.sessions import (
    CLIENT_BACKEND,
    Backend,
    Counts,
    Look,
    Names,
    Server,
    ServerId,
    is_held_up,
)
from bot.domain.waits import Request, Waits, queued
from bot.driver import APPLICATION_NAME, Connection
from bot.grammar.terms import Field
from bot.postgres import queries
from bot.postgres.groups import KEYS, value_of
from bot.postgres.rows import Row, backend_of, encoding_of, server_id, server_of, text_of
from bot.postgres.survey import MOST_GROUPS, MOST_HOLDERS
from bot.postgres.where import literal

MOST_ROWS = 500
"""How many sessions the rules go by, what hurts most first; `why` goes by as many."""

WITH_QUERY = WORST
"""How many of these have their queries; those of other processes than clients' always do."""

MOST_COUNTED = 1000
"""How many groups of equal sessions are kept, the largest first."""

_Rows = list[asyncpg.Record]

_key = itemgetter(*(KEYS[column] for column in Field), "wait_event_type")

_APPLICATION = ("application_name", "usesysid", "state")
"""What a survey counts client backends by."""

_LAST = datetime.max.replace(tzinfo=UTC)
"""After any instant: what has no such instant comes last."""

_KNOWS_LOGINS = 180000
"""From this version on, `pg_stat_activity` shows who is logging in."""


@dataclass(slots=True)
class Sampled:
    """The backends of one server, and the queues of locks, as they were read."""

    rows: _Rows
    requests: _Rows
    logging_in: _Rows

    @classmethod
    async def read(cls, connection: Connection, *, logins: bool) -> "Sampled":
        """At most three statements. `logins` counts who is logging in on versions up to 17, too."""
        rows = await connection.fetch(queries.get("sample"))
        rows.sort(key=lambda row: row["now"] is None)  # the bot's own first
        requests: _Rows = []
        logging_in: _Rows = []
        if any(map(_is_waiting, rows)):
            text = queries.get("requests").replace("{locks}", literal(True))
            requests = await connection.fetch(text)
        if logins and rows[0]["server_version_num"] < _KNOWS_LOGINS:
            text = queries.get("logging_in").replace("{logins_by_locks}", literal(True))
            logging_in = await connection.fetch(text)
        return cls(rows, requests, logging_in)

    @property
    def server(self) -> ServerId:
        """The server that was read."""
        return server_id(self.rows[0])

    def fits(self, names: Names, most_age: float) -> bool:
        """Whether these names are of this server, new enough, and of everyone here.

        A limit that is exceeded was probably raised since they were read.
        """
        first = self.rows[0]
        age = (first["now"] - names.read_at).total_seconds()
        if names.stale or names.server != self.server or age > most_age or self._exceeds(names):
            return False
        return all(
            (not row["usesysid"] or row["usesysid"] in names.roles)
            and (not row["datid"] or row["datid"] in names.databases)
            for row in self.rows
        )

    def _exceeds(self, names: Names) -> bool:
        """Whether a role or a database has more sessions than its limit allows."""
        for column, limited in (("usesysid", names.roles), ("datid", names.databases)):
            for oid, used in self._used(column).items():
                limit = limited[oid].limit if oid in limited else None
                if limit is not None and used > limit:
                    return True
        return False

    def _used(self, column: str) -> Counter[int]:
        """How many clients each role or database has."""
        clients = filter(_is_client, self.rows)
        return Counter(row[column] for row in clients if row[column] is not None)

    def counted(
        self, cluster: str, host: str, names: Names, own: Collection[int]
    ) -> tuple[Look, Groups]:
        """A look without `all`, and all its sessions counted. Some of its queries are unread.

        `own` are the roles of the bot's own sessions.
        """
        # What a look without `all` is confined to; see `bot.postgres.where.by_default`.
        sessions = [
            row
            for row in self.rows[1:]
            if (_is_connected(row) or row["state"] == "starting") and not _is_own(row, own)
        ]
        server = server_of(cluster, host, names, self._server())
        waits = self._waits()
        worst = nsmallest(
            MOST_ROWS, sessions, key=partial(_hurts, waits=waits, at_limit=_at_limit(server, names))
        )
        # Rules go by what an autovacuum does, however many sessions hurt more than it.
        backends = (
            _running(
                backend_of(row, names),
                row["short_query"] if at < WITH_QUERY or not _is_client(row) else None,
                names,
            )
            for at, row in enumerate(worst)
        )
        look = Look(
            server=server,
            names=names,
            counts=_counts(sessions),
            waits=waits,
            rows=tuple(backends),
        )
        return look, _crowd(sessions, names)

    def _server(self) -> Mapping[str, Any]:
        """What `bot.postgres.rows.server_of` takes, as a look's first row has it."""
        clients = [row for row in self.rows if _is_client(row)]
        roles, databases = self._used("usesysid"), self._used("datid")
        starting = sum(row["state"] == "starting" for row in clients)
        return {
            **dict(self.rows[0]),
            "role_oids": list(roles),
            "role_used": list(roles.values()),
            "database_oids": list(databases),
            "database_used": list(databases.values()),
            "client_backends": len(clients) - starting,
            "logging_in": self.logging_in[0]["logging_in"] if self.logging_in else starting,
            "server_waiting": sum(map(_is_waiting, self.rows)),
            "unseen": sum(
                row["backend_start"] is None
                and row["usesysid"] is not None
                and row["datid"] is not None
                for row in self.rows
            ),
        }

    def _waits(self) -> Waits:
        columns = ("queue", "place", "pid", "mode")
        since: dict[int, datetime] = {}
        for row in self.requests:
            if (start := row["waitstart"]) is not None:
                since[row["pid"]] = min(start, since.get(row["pid"], start))
        return queued((Request(*(row[name] for name in columns)) for row in self.requests), since)

    def parts(self) -> dict[Part, Sequence[Row]]:
        """The parts of a survey that need no further reading."""
        holders = [row for row in self.rows[1:] if row["xids"] is not None]
        holders.sort(key=lambda row: (-row["xids"], row["pid"]))
        counted = Counter(
            tuple(row[column] for column in _APPLICATION)
            for row in self.rows
            if _is_client(row) and row["state"] != "starting"
        )
        groups = [
            {**dict(zip(_APPLICATION, values, strict=True)), "sessions": number}
            for values, number in counted.most_common(MOST_GROUPS)
        ]
        return {Part.HORIZON: holders[:MOST_HOLDERS], Part.GROUPS: groups}


def with_queries(
    rows: Iterable[Backend], texts: Iterable[Row], names: Names
) -> tuple[Backend, ...]:
    """The sessions with their queries, unless they have begun another one meanwhile."""
    found = {(row["pid"], row["query_start"]): row["query"] for row in texts}

    def completed(row: Backend) -> Backend:
        return _running(row, found.get((row.pid, row.query_start)), names)

    return tuple(map(completed, rows))


def _running(row: Backend, query: bytes | None, names: Names) -> Backend:
    if query is None:
        return row
    return replace(row, query=text_of(query, encoding_of(names, row.datid)))


def _counts(sessions: _Rows) -> Counts:
    by_state = Counter(row["state"] or "" for row in sessions)
    return Counts(
        total=len(sessions),
        by_state=dict(sorted(by_state.items())),
        waiting=sum(map(_is_waiting, sessions)),
        oldest_xact=min(filter(None, map(_xact_of_client, sessions)), default=None),
    )


def _crowd(sessions: _Rows, names: Names) -> Groups:
    counted: dict[tuple[Any, ...], tuple[int, datetime | None]] = {}
    for row in sessions:
        key = _key(row)
        number, oldest = counted.get(key, (0, None))
        begun = filter(None, (oldest, _xact_of_client(row)))
        counted[key] = (number + 1, min(begun, default=None))
    groups = merged(
        Group((*_values(key, names), key[-1]), number, oldest)
        for key, (number, oldest) in counted.items()
    )
    return Groups(groups[:MOST_COUNTED], len(groups), len(sessions))


def _at_limit(server: Server, names: Names) -> tuple[set[int], set[int]]:
    """The oids of the roles and databases that are at their limit."""
    roles = {each.name for each in server.roles if each.reached}
    databases = {each.name for each in server.databases if each.reached}
    return (
        {oid for oid, role in names.roles.items() if role.rolname in roles},
        {oid for oid, each in names.databases.items() if each.datname in databases},
    )


def _values(key: tuple[Any, ...], names: Names) -> Iterable[str | None]:
    for value, column in zip(key, Field, strict=False):
        is_text = isinstance(value, bytes)
        yield text_of(value, "UTF8") if is_text else value_of(value, column, names)


def _is_waiting(row: asyncpg.Record) -> bool:
    return is_held_up(row["wait_event_type"], row["wait_event"])


def _is_connected(row: asyncpg.Record) -> bool:
    return row["datid"] is not None or row["backend_type"] in (None, "walsender")


def _is_client(row: asyncpg.Record) -> bool:
    return bool(row["backend_type"] == CLIENT_BACKEND)


def _is_own(row: asyncpg.Record, own: Collection[int]) -> bool:
    return row["usesysid"] in own and row["application_name"] == APPLICATION_NAME.encode()


def _xact_of_client(row: asyncpg.Record) -> datetime | None:
    is_client = _is_client(row) and row["state"] != "starting"
    return row["xact_start"] if is_client else None


def _hurts(
    row: asyncpg.Record, waits: Waits, at_limit: tuple[set[int], set[int]]
) -> tuple[Any, ...]:
    """`bot.postgres.where.HURTS_MOST`, for one row."""
    holds_up = 0 if row["leader_pid"] else waits.holds_up(row["pid"])
    is_client = _is_client(row)
    roles, databases = at_limit
    return (
        not (holds_up and not _is_waiting(row)),
        -holds_up,
        not (is_client and (row["usesysid"] in roles or row["datid"] in databases)),
        row["xact_start"] or _LAST,
        (row["query_start"] if row["state"] == "active" else None) or _LAST,
        not is_client,
        row["state_change"] or _LAST,
        row["pid"],
    )
