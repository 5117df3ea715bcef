"""One PostgreSQL server: looks, and the signalling statement.

This module is long because it is one port, whose methods share the connections and the last
readings.
"""

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import asyncpg
import structlog

from bot import driver, pg_url
from bot.domain.blocking import HeldLock, Locks
from bot.domain.filters import Condition, InLock, InTree
from bot.domain.findings.survey import Survey
from bot.domain.groups import Groups
from bot.domain.holdings import Holdings
from bot.domain.sessions import (
    About,
    Backend,
    BackendId,
    Look,
    Names,
    ServerId,
)
from bot.domain.shown import HIDES, ranks
from bot.domain.signals import Guard, Reply, Sighting, Verdict, Whereabouts
from bot.driver import Connection, decoding
from bot.errors import ClusterDown, ClusterError, TargetError, TwoServers
from bot.grammar.requests import SortKey
from bot.grammar.terms import Field, Word
from bot.ports import Urgency
from bot.postgres import groups, queries, trouble
from bot.postgres.bounded import BOUNDS, BoundedConnection
from bot.postgres.connections import HeldConnections
from bot.postgres.passwords import PasswordCommand
from bot.postgres.relations import Elsewhere
from bot.postgres.rows import (
    Relation,
    Relname,
    Row,
    encoding_of,
    holdings_of,
    look_of,
    names_of,
    prepared_of,
    relation_of,
    relations_of,
    server_id,
    text_of,
    version,
    waits_of,
)
from bot.postgres.sampling import WITH_QUERY, Sampled, with_queries
from bot.postgres.statements import every_statement, holdings_statement, signal_statement
from bot.postgres.survey import TOO_LATE, Reading, relations_in
from bot.postgres.where import (
    CONNECTED,
    EVERYTHING,
    Parameters,
    by_default,
    literal,
    order,
    own,
    where,
)

log = structlog.get_logger(__name__)

WORK_CONNECTIONS = 3
KEPT_CONNECTIONS = 1
"""Reserved for a kill's signals and its checks, so that none waits behind something that hangs."""

SAMPLE_CONNECTIONS = 1
"""For samples, if any are taken. A sample that hangs is in the way of the next one only."""

LEFT_BY_LOOKS = 1
"""Of the rest, how many looks leave free for previews: a kill comes before a crowd's looks."""

CONNECT_TIMEOUT = 5.0
ALIVE_WITHIN = 1.5
"""Seconds to wait for a connection while none is known to be alive."""

TURN_WITHIN = 4.0
"""Seconds to wait for a turn while all are in use: about as long as an answer may take."""

READ_TIMEOUT = 3.0
REMADE_WITHIN = 3.0
"""Seconds to wait for the next connection when a read loses one; a restart takes that long."""

READ_AHEAD_WITHIN = 2.0
"""Seconds after which a new connection stops filling its caches: over a slow network a kill needs
the connection more than full caches."""

SIGNAL_TIMEOUT = 3.0
"""Seconds for a signal's reply. The statement's own deadline, on the server, is later."""

READ_TRIES = WORK_CONNECTIONS + KEPT_CONNECTIONS + 1
"""How often a read is tried when its connection is lost: all held connections may have been lost at
once, and are found out one by one."""

COMPARED_TEXT = 8_000_000
"""The most bytes of query text, over all sessions, that are sorted by what is shown of them, or
searched for query tags."""

NAMES_KEPT = 30.0
"""Seconds for which samples go by the same names and limits of roles and databases; and, up to
PostgreSQL 17 and far from the limit, between two that count who is logging in."""

MOVES_EVERY = 60.0
"""Seconds before the address's moving may make connections be remade again."""

_BROKEN = (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


_T = TypeVar("_T")
_Rows = list[asyncpg.Record]


class PostgresCluster:
    """A `bot.ports.Cluster` over held connections. Never shows `dsn`.

    It takes samples only if it is `sampled`: then it holds a connection for them.

    Attributes:
        last_seen, about, last_names, system_identifier: from the last answer; None before it.
        own_roles: the oids of the roles of the bot's own connections, by system identifier.
    """

    def __init__(
        self,
        name: str,
        dsn: str,
        host: str,
        password: PasswordCommand | None = None,
        *,
        sampled: bool = False,
    ) -> None:
        self.name = name
        self.host = host
        self._url = pg_url.read(dsn)
        self._password = password
        self._work = HeldConnections(name, WORK_CONNECTIONS, self._connect)
        self._kept = HeldConnections(name, KEPT_CONNECTIONS, self._connect)
        self._sampling = HeldConnections(name, SAMPLE_CONNECTIONS * sampled, self._connect)
        self._held = (self._work, self._kept, self._sampling)
        self.last_names: Names | None = None
        self.about: About | None = None
        self.own_roles: dict[int, frozenset[int]] = {}
        self.system_identifier: int | None = None
        self._datid: int | None = None  # the database that the bot is connected to
        self._elsewhere = Elsewhere(name, self._briefly)
        self._pooled = False
        self.last_seen: datetime | None = None
        self._server: ServerId | None = None  # the server that the newest connection leads to
        self._moved_at = -math.inf  # on the monotonic clock
        self._near_full = False  # when it was sampled last
        self._reading_ahead: asyncio.Task[None] | None = None  # since `open` has returned
        self._logins_at = -math.inf  # when a sample last counted logins, on the monotonic clock

    def __repr__(self) -> str:
        return f"PostgresCluster({self.name!r})"

    @property
    def server(self) -> ServerId | None:
        """The server that its newest connection leads to, or behind a pooler the last reading."""
        return self._server or (self.last_names.server if self.last_names is not None else None)

    @property
    def server_known_at(self) -> datetime | None:
        """When `server` was last right: at the last answer; behind a pooler, at the last reading.

        An answer through a pooler doesn't tell whose it is.
        """
        if self._server is None and self.last_names is not None:
            return self.last_names.read_at
        return self.last_seen

    @property
    def connections(self) -> tuple[int, int]:
        """How many held connections are alive, and how many there should be."""
        return sum(held.live for held in self._held), sum(held.size for held in self._held)

    async def open(self) -> None:
        """Start holding connections. Returns once they are open, or after 5 s without them.

        Reads the names at once, so that a later lock on their catalogs doesn't hide them. The other
        catalogs are read ahead after that: a start doesn't wait for it.
        """
        within = timedelta(seconds=CONNECT_TIMEOUT)
        await asyncio.gather(*(held.open(within=within) for held in self._held if held.size))
        if self._work.live:
            with suppress(ClusterError):
                await self.names()
        self._reading_ahead = asyncio.create_task(self._read_ahead(), name=f"{self.name}-ahead")

    async def _read_ahead(self) -> None:
        """Have each connection that is open read ahead, those for signals first."""
        until = time.monotonic() + READ_AHEAD_WITHIN
        for held in (self._kept, self._work, self._sampling):
            for _ in range(held.live):  # the pool lends them in turn
                with suppress(ClusterError):
                    async with held.acquire(within=READ_AHEAD_WITHIN) as connection:
                        try:
                            async with asyncio.timeout(CONNECT_TIMEOUT):
                                await _read_ahead(connection, until, held)
                        except Exception as error:  # noqa: BLE001  the connection is of no use
                            why = type(error).__name__
                            log.info("cluster.not_read_ahead", cluster=self.name, error=why)
                            connection.terminate()

    async def close(self) -> None:
        if self._reading_ahead is not None:
            self._reading_ahead.cancel()
            await asyncio.gather(self._reading_ahead, return_exceptions=True)
        await asyncio.gather(*(held.close() for held in self._held))

    async def _where(self) -> dict[str, Any]:
        """Where to connect, and as whom; the password is asked for anew each time."""
        arguments = self._url.arguments()
        if self._password is not None:
            arguments["password"] = await self._password.password(self._url)
        return arguments

    async def _connect(self) -> BoundedConnection:
        connection = await driver.connect(
            await self._where(),
            BOUNDS,
            connection_class=BoundedConnection,
            timeout=CONNECT_TIMEOUT,
            at_startup=not self._pooled,
        )
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                until = time.monotonic() + READ_AHEAD_WITHIN
                us = await connection.bound()
                if connection.pooled and not self._pooled:
                    self._pooled = True
                    log.warning("cluster.behind_a_pooler", cluster=self.name)
                if self._reading_ahead is not None:
                    await _read_ahead(connection, until, self._work)
        except BaseException:
            connection.terminate()
            raise
        self._datid = us["datid"]
        self._is_own(us["system_identifier"], us["usesysid"])
        if connection.server is not None:
            self._leads_to(connection.server)
        return connection

    async def _briefly(self, datname: str) -> Connection:
        """Open a connection to another database; the caller closes it."""
        connection = await driver.connect(
            {**await self._where(), "database": datname},
            BOUNDS,
            connection_class=BoundedConnection,
            timeout=CONNECT_TIMEOUT,
            at_startup=not self._pooled,
        )
        try:
            await connection.bound()
        except BaseException:
            connection.terminate()
            raise
        return connection

    def _leads_to(self, server: ServerId) -> None:
        """Remake the connections that lead to another server than the newest one does.

        Only once in a while: if an address alternates between two servers, they would all be remade
        forever. Readings over them are compared anyway (`TwoServers`).
        """
        if self._server is not None and self._server != server:
            log.warning("cluster.address_moved", cluster=self.name, held=self.connections[0])
            if time.monotonic() - self._moved_at >= MOVES_EVERY:
                self._moved_at = time.monotonic()
                for held in self._held:
                    held.retire(lambda other: getattr(other, "server", server) != server)
        self._server = server

    def _is_own(self, system: int, oid: int) -> None:
        self.system_identifier = system
        self.own_roles[system] = self.own_roles.get(system, frozenset()) | {oid}

    async def names(self, *, urgency: Urgency = Urgency.LOOK) -> Names:
        """The roles and databases, read now; if that fails, the last reading, marked stale."""

        async def ask(connection: Connection) -> tuple[_Rows | None, _Rows | None, asyncpg.Record]:
            roles = await self._catalog(connection, "roles")
            databases = await self._catalog(connection, "databases")
            # Each row includes the clock, because over a slow network a round trip counts.
            rows = databases or roles or await connection.fetch(queries.get("here"))
            return roles, databases, rows[0]

        roles, databases, first = await self._read(ask, urgency=urgency)
        server = server_id(first)
        self._compare(server, roles or (), databases or ())
        self.about = About(self.host, version(first["server_version_num"]), first["in_recovery"])
        self._is_own(server.system_identifier, first["own_role"])
        self.last_names = names_of(server, first["now"], roles, databases, self.last_names)
        return self.last_names

    def _compare(self, server: ServerId, *readings: Sequence[Row]) -> None:
        """Raise `TwoServers` unless all readings come from this server."""
        for rows in readings:
            if rows and server_id(rows[0]) != server:
                log.warning("cluster.two_servers", cluster=self.name)
                raise TwoServers(self.name)

    async def _catalog(
        self, connection: Connection, name: str, *parameters: object
    ) -> list[asyncpg.Record] | None:
        """The rows, or None if somebody's lock on the catalog blocks the read."""
        try:
            return await connection.fetch(queries.get(name), *parameters)
        except (asyncpg.LockNotAvailableError, asyncpg.QueryCanceledError):
            log.warning("cluster.catalog_locked", cluster=self.name, catalog=name)
            return None

    async def look(  # noqa: PLR0913  one statement, one call
        self,
        conditions: tuple[Condition, ...] = (),
        *,
        names: Names,
        everything: bool = False,
        strict: bool = False,
        sort: tuple[SortKey, ...] = (),
        waits: bool = True,
        logins: bool = True,
        limit: int = 100,
        offset: int = 0,
        urgency: Urgency = Urgency.LOOK,
    ) -> Look:
        """One statement, one snapshot. Needs pg_read_all_stats to see other roles' rows.

        Raises `TwoServers` unless it comes from the same server as the names.
        """
        waits = waits or InTree() in conditions or InLock(Word.BLOCKING) in conditions
        limited = [role for role in names.roles.values() if role.limit is not None]
        databases = [d for d in names.databases.values() if d.limit is not None]
        places = await self._places(sort, names, urgency)
        parameters = Parameters(
            [
                [role.oid for role in limited],
                [role.rolconnlimit for role in limited],
                limit,
                offset,
                [database.oid for database in databases],
                [database.datconnlimit for database in databases],
            ]
        )
        scope = [EVERYTHING, where(conditions, parameters, strict=strict)]
        hidden = "false"
        if strict:
            # A kill's preview also says why the bot's own sessions are spared.
            scope = [scope[1]] if everything else [scope[1], CONNECTED]
        elif not everything:
            roles = self.own_roles.get(names.server.system_identifier, ())
            hidden = " and ".join([*scope[1:], CONNECTED, own(roles, parameters)])
            scope += by_default(roles, parameters)
        statement = (
            queries.get("look")
            .replace("{where}", " and ".join(scope))
            .replace("{hidden}", hidden)
            .replace("{strict}", literal(strict))
            .replace("{locks}", literal(waits))
            .replace("{logins_by_locks}", literal(logins))
            .replace("{order}", order(sort, names, parameters, places))
        )
        rows = await self._fetch(statement, *parameters, urgency=urgency)
        self._compare(names.server, rows)
        return look_of(self.name, self.host, names, rows)

    async def groups(
        self,
        by: tuple[Field, ...],
        conditions: tuple[Condition, ...],
        *,
        names: Names,
        everything: bool,
        limit: int,
    ) -> Groups:
        """One statement. Needs pg_read_all_stats to see other roles' rows.

        Raises `TwoServers` unless it comes from the same server as the names.
        """
        own_roles = self.own_roles.get(names.server.system_identifier, ())
        statement, parameters = groups.statement(
            by, conditions, None if everything else own_roles, limit
        )
        rows = await self._fetch(statement, *parameters)
        self._compare(names.server, rows)
        return groups.groups_of(rows, by, names)

    async def _places(
        self, sort: tuple[SortKey, ...], names: Names, urgency: Urgency
    ) -> Mapping[str, Mapping[int, int]]:
        """Each backend's place by the shown part of its query, if the request sorts by it."""
        if not any(key.column in HIDES for key in sort):
            return {}
        backends = await self.texts(names, urgency=urgency)
        # Off the event loop: somebody else may be waiting for an answer.
        return await asyncio.to_thread(ranks, backends)

    async def texts(self, names: Names, *, urgency: Urgency = Urgency.LOOK) -> tuple[Backend, ...]:
        """One statement. Needs pg_read_all_stats to see other roles' queries."""
        rows = await self._fetch(queries.get("texts"), COMPARED_TEXT, urgency=urgency)
        self._compare(names.server, rows)
        if rows[0]["is_too_much"]:
            problem = f"there are more than {COMPARED_TEXT // 1_000_000} MB of queries to compare"
            raise TargetError("", problem)
        return tuple(
            Backend(
                pid=row["pid"],
                query=text_of(row["query"], encoding_of(names, row["datid"])),
                query_id=row["query_id"],
            )
            for row in rows
        )

    async def ready(self, guards: Iterable[Guard]) -> None:
        """Prepare these guards' statements on the connection that will signal."""
        statements = {signal_statement(guard)[0] for guard in guards}
        await self._read(lambda each: each.ready(statements), urgency=Urgency.KILL)

    async def signal(self, guard: Guard) -> Reply:
        """Verdict and signal in one statement; see `queries/signal.sql`."""
        statement, parameters = signal_statement(guard)
        async with self._lent(Urgency.KILL) as connection:
            try:
                async with asyncio.timeout(SIGNAL_TIMEOUT):
                    row = await connection.fetchrow(statement, *parameters)
            except asyncpg.InsufficientPrivilegeError as error:
                return Reply(Verdict.NOT_PERMITTED, detail=_reason(error))
            except asyncpg.PostgresError as error:
                raise trouble.of_statement(self.name, error) from error
            except BaseException as error:
                # No reply, so nobody knows whether it was carried out. Give up the connection, so
                # that nothing that arrives later is taken for a reply.
                self._give_up(connection, Urgency.KILL)
                if isinstance(error, Exception):
                    raise trouble.of_statement(self.name, error) from error
                raise
        assert row is not None  # noqa: S101  the statement gives one row, whatever it finds
        self.last_seen = datetime.now(UTC)
        return Reply(
            Verdict(row["verdict"]),
            now=row["now"],
            xact_start=row["xact_start"],
            backend_xid=row["backend_xid"],
            state=row["state"],
        )

    async def sight(self, ids: Iterable[BackendId]) -> Sighting:
        wanted = list(ids)
        rows = await self._fetch(
            queries.get("sight"),
            [backend.pid for backend in wanted],
            [backend.backend_start for backend in wanted],
            urgency=Urgency.KILL,
        )
        first = rows[0]
        return Sighting(
            server_id(first),
            first["now"],
            {
                BackendId(row["pid"], row["backend_start"]): Whereabouts(
                    row["state"], row["wait_event_type"], row["wait_event"], row["query_start"]
                )
                for row in rows
                if row["there"]
            },
        )

    async def locks(self, names: Names) -> Locks:
        """Who waits for which lock since when, and the prepared transactions that block others."""

        async def ask(connection: Connection) -> tuple[_Rows, _Rows, dict[int, str]]:
            rows = await connection.fetch(queries.get("locks"))
            prepared = await connection.fetch(queries.get("prepared"))
            return (
                rows,
                prepared,
                await self._relations(connection, names.server, relations_of(rows)),
            )

        rows, prepared, here = await self._read(ask)
        self._compare(names.server, rows, prepared)
        relname = await self._relname(relations_of(rows), here, names)
        return Locks(
            waits_of(rows, relname), {row["pid"]: prepared_of(row, names) for row in prepared}
        )

    async def locks_of(
        self, pid: int, names: Names, *, limit: int
    ) -> tuple[tuple[HeldLock, ...], int]:
        """The locks that one backend holds or waits for, and their total number."""

        async def ask(connection: Connection) -> tuple[_Rows, dict[int, str]]:
            rows = await connection.fetch(queries.get("locks_of"), pid, limit)
            return rows, await self._relations(connection, names.server, relations_of(rows))

        rows, here = await self._read(ask)
        self._compare(names.server, rows)
        relname = await self._relname(relations_of(rows), here, names)
        locks = tuple(
            HeldLock(
                row["locktype"],
                row["mode"],
                row["granted"],
                row["database"],
                row["relation"],
                row["waitstart"],
                relname(relation_of(row)),
            )
            for row in rows
        )
        return locks, rows[0]["total"] if rows else 0

    async def survey(self, look: Look, *, login: bool, role: int | None, until: float) -> Survey:
        """What a diagnosis needs besides a look, as far as it can be read by `until`.

        `until` is on the event loop's clock. `login` also reads what may refuse logins, including
        a role's own settings if its oid is given.
        """
        return await self._surveyed(Reading(look, until, login=login, role=role))

    async def _surveyed(self, reading: Reading, urgency: Urgency = Urgency.LOOK) -> Survey:
        look, here = reading.look, dict[int, str]()
        given = set(reading.rows)

        async def ask(connection: Connection) -> None:
            await reading.read(connection)
            here.update(await self._relations(connection, look.server.id, relations_in(reading)))

        try:
            async with asyncio.timeout_at(reading.until):
                await self._read(ask, urgency=urgency)
        except TwoServers:
            raise
        except ClusterError as error:
            reading.give_up(error.problem)
        except TimeoutError:
            reading.give_up(TOO_LATE)
        read = (rows for part, rows in reading.rows.items() if part not in given)
        self._compare(look.server.id, *read)
        relname = await self._relname(relations_in(reading), here, look.names)
        return reading.survey(relname)

    async def sample(self, *, until: float, idle_for: timedelta) -> tuple[Survey, Groups]:
        """At most a dozen cheap statements. Needs pg_read_all_stats to see other roles' rows."""
        began = time.monotonic()
        logins = self._near_full or began - self._logins_at > NAMES_KEPT
        sampled = await self._read(
            lambda each: Sampled.read(each, logins=logins), urgency=Urgency.SAMPLE
        )
        self._logins_at = began if logins else self._logins_at
        names = self.last_names
        if names is None or not sampled.fits(names, NAMES_KEPT):
            names = await self.names(urgency=Urgency.SAMPLE)
        self._compare(names.server, sampled.rows, sampled.requests, sampled.logging_in)
        own = self.own_roles.get(names.server.system_identifier, frozenset())
        # Off the event loop: a server may have thousands of sessions.
        look, crowd = await asyncio.to_thread(sampled.counted, self.name, self.host, names, own)
        self._near_full = look.server.ordinary.near
        if unread := [row.pid for row in look.rows[:WITH_QUERY] if row.query is None]:
            texts = await self._fetch(queries.get("queries_of"), unread, urgency=Urgency.SAMPLE)
            look = replace(look, rows=with_queries(look.rows, texts, names))
        reading = Reading(look, until, idle_for=idle_for)
        reading.rows.update(sampled.parts())
        return await self._surveyed(reading, Urgency.SAMPLE), crowd

    async def holdings(self, look: Look, backends: Sequence[Backend]) -> Mapping[int, Holdings]:
        """One statement, and the names of indexes. Raises `ClusterError`.

        Without pg_read_all_stats, other roles' index builds are left out.
        """
        statement, parameters = holdings_statement(backends)
        read: list[asyncpg.Record] = []
        here: dict[int, str] = {}

        async def ask(connection: Connection) -> None:
            read[:] = await connection.fetch(statement, *parameters)
            built = relations_of(row for row in read if row["relation"])
            here.update(await self._relations(connection, look.server.id, built))

        await self._read(ask, urgency=Urgency.PREVIEW)
        self._compare(look.server.id, read)
        relname = await self._relname(relations_of(read), here, look.names)
        return holdings_of(read, backends, look.names, relname)

    def _is_here(self, relation: Relation) -> bool:
        """Whether the relation is in the bot's database, or a shared one."""
        return relation.database in (0, self._datid)

    async def _relations(
        self, connection: Connection, server: ServerId, wanted: Iterable[Relation]
    ) -> dict[int, str]:
        """The names of relations in the connection's own database, by oid."""
        oids = sorted({relation.oid for relation in wanted if self._is_here(relation)})
        rows = await self._catalog(connection, "relations", oids) if oids else None
        self._compare(server, rows or ())
        encoding = driver.encoding_of(connection)
        return {row["oid"]: decoding.read(row["name"], encoding) for row in rows or ()}

    async def _relname(
        self, wanted: Iterable[Relation], here: Mapping[int, str], names: Names
    ) -> Relname:
        """A function that names a relation, in any database, if it can be read."""
        others = defaultdict[int, set[int]](set)
        for relation in wanted:
            if not self._is_here(relation):
                others[relation.database].add(relation.oid)
        databases = {oid: each.datname for oid, each in names.databases.items()}
        if names.stale:  # a login would wait for the same lock
            databases = {}
        elsewhere = await self._elsewhere.names(names.server, others, databases)

        def relname(relation: Relation | None) -> str | None:
            if relation is None:
                return None
            return here.get(relation.oid) if self._is_here(relation) else elsewhere.get(relation)

        return relname

    def _give_up(self, connection: Connection, urgency: Urgency) -> None:
        """End a connection that got no reply, and have the others checked.

        Not after a sample, which nobody asked for: whoever is checked can't be lent meanwhile.
        """
        connection.terminate()
        if urgency is Urgency.SAMPLE:
            return
        self._work.doubt()
        self._kept.doubt()

    @asynccontextmanager
    async def _lent(
        self, urgency: Urgency, alive_within: float = ALIVE_WITHIN
    ) -> AsyncIterator[BoundedConnection]:
        """A connection; for a kill the reserved one, if it is free; for a sample its own."""
        for_kill = urgency is Urgency.KILL and self._kept.free
        held = self._kept if for_kill else self._work
        if urgency is Urgency.SAMPLE:
            held = self._sampling
        leave = LEFT_BY_LOOKS if urgency is Urgency.LOOK else 0
        async with held.acquire(
            within=TURN_WITHIN, alive_within=alive_within, urgency=urgency, leave=leave
        ) as connection:
            yield connection

    async def _fetch(
        self, statement: str, *parameters: object, urgency: Urgency = Urgency.LOOK
    ) -> list[asyncpg.Record]:
        return await self._read(lambda each: each.fetch(statement, *parameters), urgency=urgency)

    async def _read(
        self, ask: Callable[[BoundedConnection], Awaitable[_T]], *, urgency: Urgency = Urgency.LOOK
    ) -> _T:
        """Ask over one connection and, if it is lost, over the next. `ask` must only read.

        If no reply comes in time, it doesn't try again.
        """
        alive_within = ALIVE_WITHIN
        for is_last in (*(READ_TRIES - 1) * (False,), True):
            async with self._lent(urgency, alive_within) as connection:
                try:
                    async with asyncio.timeout(READ_TIMEOUT):
                        answer = await ask(connection)
                except asyncpg.PostgresError as error:
                    meant = trouble.of_statement(self.name, error)
                    meant.__cause__ = error
                    if isinstance(meant, ClusterDown):
                        self._give_up(connection, urgency)
                except ClusterError:
                    raise
                except BaseException as error:
                    # A late reply on it would answer another question.
                    self._give_up(connection, urgency)
                    if not isinstance(error, _BROKEN):
                        raise
                    meant = trouble.of_statement(self.name, error)
                    meant.__cause__ = error
                else:
                    self.last_seen = datetime.now(UTC)
                    return answer
            if is_last or not isinstance(meant, ClusterDown):
                raise meant
            log.info("cluster.read_again", cluster=self.name, problem=meant.problem)
            alive_within = REMADE_WITHIN
        raise AssertionError("the last try returns or raises")


async def _read_ahead(connection: BoundedConnection, until: float, held: HeldConnections) -> None:
    """Make the backend cache everything that our statements need from the catalogs.

    Starts no further statement once somebody waits for such a connection, nor after `until`, on the
    monotonic clock. Does nothing behind a pooler, where the next backend is another one.

    A backend needn't read again what it has cached, even while somebody holds ACCESS EXCLUSIVE on a
    catalog (VACUUM FULL, REINDEX SYSTEM).
    """
    for statement, parameters in () if connection.pooled else every_statement():
        if held.wanted or time.monotonic() >= until:
            return
        # A later statement will find out about a current lock.
        with suppress(asyncpg.PostgresError):
            await connection.fetch(statement, *parameters)


def _reason(error: asyncpg.PostgresError) -> str:
    """PostgreSQL's own reason: the detail if there is one (16 and later)."""
    detail = getattr(error, "detail", None)
    return str(detail or error.args[0])
