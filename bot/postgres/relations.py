"""The names of relations in other databases: each database keeps its own `pg_class`.

In an incident people ask which table everyone waits for, but the bot is connected to one database.
So it opens short connections to the others: a few at a time, and not again for a while to one that
didn't answer.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

import asyncpg
import structlog

from bot import driver
from bot.domain.sessions import ServerId
from bot.driver import Connection, decoding
from bot.postgres import queries
from bot.postgres.rows import Relation, server_id

log = structlog.get_logger(__name__)

WITHIN = 1.0
"""Seconds for all databases together: the names are a help, and must not delay an answer."""

MOST_DATABASES = 3
"""How many connections are opened at once. Each takes one of the server's slots for a moment."""

KEPT_FOR = 300.0
"""Seconds for which a name is kept: a relation may be renamed."""

REFUSED_FOR = 60.0
"""Seconds before a database that didn't answer is asked again."""

_FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)


@dataclass(slots=True)
class Elsewhere:
    """The names that were asked for, and the databases that refused.

    `connect` opens a connection to a database by name. It needs CONNECT there, which everyone has
    by default.
    """

    cluster: str
    connect: Callable[[str], Awaitable[Connection]]
    _kept: dict[Relation, tuple[str | None, float]] = field(default_factory=dict)
    _refused: dict[int, float] = field(default_factory=dict)
    _server: ServerId | None = None  # the server that these belong to

    async def names(
        self,
        server: ServerId,
        wanted: Mapping[int, AbstractSet[int]],
        databases: Mapping[int, str],
    ) -> dict[Relation, str]:
        """The names of these relations, as far as they can be read; keys use the databases' oids.

        `databases` are the databases' names. Never raises: an unknown relation is left out.
        """
        now = time.monotonic()
        if server != self._server:
            self._kept, self._refused, self._server = {}, {}, server
        self._forget(now)
        missing = {
            datid: {oid for oid in oids if Relation(datid, oid) not in self._kept}
            for datid, oids in wanted.items()
            if datid in databases and datid not in self._refused
        }
        asked = [datid for datid, oids in missing.items() if oids][:MOST_DATABASES]
        await asyncio.gather(
            *(self._ask(server, datid, databases[datid], missing[datid]) for datid in asked)
        )
        return {
            Relation(datid, oid): name
            for datid, oids in wanted.items()
            for oid in oids
            if (name := self._kept.get(Relation(datid, oid), (None, 0.0))[0]) is not None
        }

    def _forget(self, now: float) -> None:
        for relation in [key for key, (_, at) in self._kept.items() if now - at > KEPT_FOR]:
            del self._kept[relation]
        for datid in [key for key, at in self._refused.items() if now - at > REFUSED_FOR]:
            del self._refused[datid]

    async def _ask(
        self, server: ServerId, datid: int, datname: str, oids: AbstractSet[int]
    ) -> None:
        try:
            async with asyncio.timeout(WITHIN):
                found = await self._read(server, datname, sorted(oids))
        except _FAILURES as error:
            self._refused[datid] = time.monotonic()
            log.info("relations.not_read", cluster=self.cluster, error=type(error).__name__)
            return
        if server != self._server:
            return  # meanwhile they were asked for on another server
        now = time.monotonic()
        # A relation that isn't there was dropped, or has just been made: it has no name for now.
        self._kept.update({Relation(datid, oid): (found.get(oid), now) for oid in oids})

    async def _read(self, server: ServerId, datname: str, oids: list[int]) -> dict[int, str]:
        connection = await self.connect(datname)
        try:
            rows = await connection.fetch(queries.get("relations"), oids)
            if any(server_id(row) != server for row in rows):
                raise ConnectionError("another server answers there")
            encoding = driver.encoding_of(connection)
            return {row["oid"]: decoding.read(row["name"], encoding) for row in rows}
        finally:
            connection.terminate()
