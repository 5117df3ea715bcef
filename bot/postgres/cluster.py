"""One PostgreSQL server: looks, and the signalling statement.

Long for its kind: it is one port, whose methods share the connections and what was last read.
"""

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import asyncpg
import structlog

from bot import driver, pg_url
from bot.domain.blocking import HeldLock, Locks, LockWait
from bot.domain.filters import Condition, InLock, InTree
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
from bot.driver import APPLICATION_NAME, Connection, decoding
from bot.errors import ClusterDown, ClusterError, TargetError, TwoServers
from bot.grammar.requests import SortKey, Word
from bot.ports import Urgency
from bot.postgres import queries, trouble
from bot.postgres.bounded import BOUNDS, BoundedConnection, server_id
from bot.postgres.connections import HeldConnections
from bot.postgres.relations import Elsewhere
from bot.postgres.rows import encoding_of, look_of, names_of, prepared_of, text_of, version
from bot.postgres.statements import every_statement, literal, signal_statement
from bot.postgres.where import CONNECTED, EVERYTHING, Parameters, order, where

log = structlog.get_logger(__name__)

WORK_CONNECTIONS = 3
KEPT_CONNECTIONS = 1
"""Kept back for the signals of a kill and its checks, so that none waits behind what hangs."""

LEFT_BY_LOOKS = 1
"""Of the others, what looks leave to previews: an operator's comes before a crowd's looks."""

CONNECT_TIMEOUT = 5.0
ACQUIRE_TIMEOUT = 1.5
READ_TIMEOUT = 3.0
"""Seconds. Waiting for a connection and for a reply stay under 5 s together."""

REMADE_WITHIN = 3.0
"""Seconds for the next connection, where a read has lost one: a restart takes about as long."""

READ_AHEAD_WITHIN = 2.0
"""Seconds after which a new connection reads no further ahead: over a slow network a kill
needs the connection more than what it would have in its caches."""

SIGNAL_TIMEOUT = 3.0
"""Seconds for a signal's reply. The statement's own deadline, on the server, lies later."""

READ_TRIES = WORK_CONNECTIONS + KEPT_CONNECTIONS + 1
"""A read whose connection is lost is asked again: all that are held may have been lost at once, and
be found out about one by one."""

SORTED_TEXT = 8_000_000
"""Bytes of queries, of all sessions together, that are put in order by what is shown of them."""

MOVES_EVERY = 60.0
"""Seconds between two times that connections are re-made since the address leads elsewhere."""

_BROKEN = (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


_T = TypeVar("_T")
_Rows = list[asyncpg.Record]


class PostgresCluster:
    """A `bot.ports.Cluster` over held connections. `dsn` is never shown."""

    def __init__(self, name: str, dsn: str, host: str) -> None:
        self._name = name
        self._host = host
        self._url = pg_url.read(dsn)
        self._work = HeldConnections(name, WORK_CONNECTIONS, self._connect)
        self._kept = HeldConnections(name, KEPT_CONNECTIONS, self._connect)
        self._names: Names | None = None
        self._about: About | None = None
        self._own_roles: dict[int, set[int]] = {}  # by system identifier
        self._system: int | None = None  # the identifier of the one that answered last
        self._datid: int | None = None  # the database that the bot is connected to
        self._elsewhere = Elsewhere(name, self._briefly)
        self._pooled = False
        self._last_seen: datetime | None = None
        self._server: ServerId | None = None  # that the newest connection leads to
        self._moved_at = -math.inf  # on the monotonic clock

    def __repr__(self) -> str:
        return f"PostgresCluster({self._name!r})"

    @property
    def name(self) -> str:
        """The name that the settings give it."""
        return self._name

    @property
    def host(self) -> str:
        """The host that its URL names."""
        return self._host

    @property
    def last_seen(self) -> datetime | None:
        """When it last answered, by the bot's clock."""
        return self._last_seen

    @property
    def about(self) -> About | None:
        """What it last said of itself."""
        return self._about

    @property
    def last_names(self) -> Names | None:
        """The last reading of its roles and databases."""
        return self._names

    @property
    def connections(self) -> tuple[int, int]:
        """How many of its held connections live, and how many there should be."""
        return self._work.live + self._kept.live, self._work.size + self._kept.size

    async def open(self) -> None:
        """Start holding connections. Returns when they stand, or after 5 s without them.

        The names are read at once, so that a lock on their catalogs does not hide them later.
        """
        within = timedelta(seconds=CONNECT_TIMEOUT)
        await asyncio.gather(self._work.open(within=within), self._kept.open(within=within))
        if self._work.live:
            with suppress(ClusterError):
                await self.names()

    async def close(self) -> None:
        """Drop the connections."""
        await asyncio.gather(self._work.close(), self._kept.close())

    async def _connect(self) -> Connection:
        connection = await driver.connect(
            self._url.arguments(),
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
                    log.warning("cluster.behind_a_pooler", cluster=self._name)
                if not connection.pooled:
                    await _read_ahead(
                        connection, lambda: time.monotonic() < until and not self._work.wanted
                    )
        except BaseException:
            connection.terminate()
            raise
        self._datid = us["datid"]
        self._is_own(us["system_identifier"], us["usesysid"])
        if not connection.pooled:
            self._leads_to(server_id(us))
            connection.server = server_id(us)
        return connection

    async def _briefly(self, datname: str) -> Connection:
        """Open a connection to another database, to be closed by the caller."""
        connection = await driver.connect(
            {**self._url.arguments(), "database": datname},
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
        """Have the connections re-made that lead elsewhere than the newest one.

        Not again at once: an address that leads to now one server and now another would have
        all of them re-made for ever. What is read by them is compared (`TwoServers`).
        """
        if self._server is not None and self._server != server:
            log.warning("cluster.address_moved", cluster=self._name, held=self.connections[0])
            if time.monotonic() - self._moved_at >= MOVES_EVERY:
                self._moved_at = time.monotonic()
                for held in (self._work, self._kept):
                    held.retire(lambda other: getattr(other, "server", server) != server)
        self._server = server

    def _is_own(self, system: int, oid: int) -> None:
        self._system = system
        self._own_roles.setdefault(system, set()).add(oid)

    @property
    def system_identifier(self) -> int | None:
        """Of the server that answered last; None if none has since the start."""
        return self._system

    @property
    def own_roles(self) -> Mapping[int, frozenset[int]]:
        """The oids of the roles that the bot's own connections have, by system identifier."""
        return {system: frozenset(oids) for system, oids in self._own_roles.items()}

    async def names(self, *, urgency: Urgency = Urgency.LOOK) -> Names:
        """Roles and databases, read now; or the last reading, marked stale."""

        async def ask(connection: Connection) -> tuple[_Rows | None, _Rows | None, asyncpg.Record]:
            roles = await self._catalog(connection, "roles")
            databases = await self._catalog(connection, "databases")
            # Each row has the clock, too: over a slow network a round trip counts.
            rows = databases or roles or await connection.fetch(queries.get("now"))
            return roles, databases, rows[0]

        roles, databases, first = await self._read(ask, urgency=urgency)
        server = server_id(first)
        self._compare(server, roles or (), databases or ())
        self._about = About(self._host, version(first["server_version_num"]), first["in_recovery"])
        self._is_own(server.system_identifier, first["own_role"])
        self._names = names_of(server, first["now"], roles, databases, self._names)
        return self._names

    def _compare(self, server: ServerId, *readings: Sequence[asyncpg.Record]) -> None:
        """Raise `TwoServers` unless all of these are readings of this one."""
        if any(rows and server_id(rows[0]) != server for rows in readings):
            log.warning("cluster.two_servers", cluster=self._name)
            raise TwoServers(self._name)

    async def _catalog(
        self, connection: Connection, name: str, *parameters: object
    ) -> list[asyncpg.Record] | None:
        """The rows, or None where somebody's lock on the catalog keeps them."""
        try:
            return await connection.fetch(queries.get(name), *parameters)
        except (asyncpg.LockNotAvailableError, asyncpg.QueryCanceledError):
            log.warning("cluster.catalog_locked", cluster=self._name, catalog=name)
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

        Raises `TwoServers` unless it is of the server that the names are of.
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
            # A kill's preview says of the bot's own sessions, too, why they are spared.
            scope = [scope[1]] if everything else [scope[1], CONNECTED]
        elif not everything:
            roles = self._own_roles.get(names.server.system_identifier, ())
            own = parameters.add(sorted(roles), "oid[]")
            name = parameters.add(APPLICATION_NAME, "text")
            ours = f"(a.usesysid = any({own}) and a.application_name = {name})"
            hidden = " and ".join([*scope[1:], CONNECTED, ours])
            scope += [f"({CONNECTED} or a.state = 'starting')", f"{ours} is not true"]
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
        return look_of(self._name, self._host, names, rows)

    async def _places(
        self, sort: tuple[SortKey, ...], names: Names, urgency: Urgency
    ) -> Mapping[str, Mapping[int, int]]:
        """Where each backend stands by what is shown of its query, if that is asked for."""
        column = next((key.column for key in sort if key.column in HIDES), None)
        if column is None:
            return {}
        rows = await self._fetch(queries.get("texts"), SORTED_TEXT, urgency=urgency)
        self._compare(names.server, rows)
        if rows[0]["is_too_much"]:
            problem = f"there are more than {SORTED_TEXT // 1_000_000} MB of queries to compare"
            raise TargetError(f"sort={column}", problem)
        backends = [
            Backend(
                pid=row["pid"],
                query=text_of(row["query"], encoding_of(names, row["datid"])),
                query_id=row["query_id"],
            )
            for row in rows
        ]
        # Off the loop: somebody else may wait for an answer.
        return await asyncio.to_thread(ranks, backends)

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
                raise trouble.of_statement(self._name, error) from error
            except BaseException as error:
                # No reply: whether it was carried out is not known. The connection is
                # given up, so that nothing that comes later is taken for a reply.
                self._give_up(connection)
                if isinstance(error, Exception):
                    raise trouble.of_statement(self._name, error) from error
                raise
        assert row is not None  # noqa: S101  the statement gives one row, whatever it finds
        self._seen()
        return Reply(
            Verdict(row["verdict"]),
            now=row["now"],
            xact_start=row["xact_start"],
            backend_xid=row["backend_xid"],
            state=row["state"],
        )

    async def sight(self, ids: Iterable[BackendId]) -> Sighting:
        """Which of these backends are still there."""
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
        """Who waits for which lock since when, and the prepared transactions in the way."""

        async def ask(connection: Connection) -> tuple[_Rows, _Rows, dict[int, str]]:
            rows = await connection.fetch(queries.get("locks"))
            prepared = await connection.fetch(queries.get("prepared"))
            return rows, prepared, await self._relations(connection, names.server, rows)

        rows, prepared, here = await self._read(ask)
        self._compare(names.server, rows, prepared)
        relname = await self._relname(rows, here, names)
        waits = {
            row["pid"]: LockWait(
                row["locktype"],
                row["mode"],
                row["waitstart"],
                row["relation"],
                row["transactionid"],
                relname(row),
            )
            for row in rows
        }
        return Locks(waits, {row["pid"]: prepared_of(row, names) for row in prepared})

    async def locks_of(
        self, pid: int, names: Names, *, limit: int
    ) -> tuple[tuple[HeldLock, ...], int]:
        """The locks that one backend holds and waits for, and how many there are of them."""

        async def ask(connection: Connection) -> tuple[_Rows, dict[int, str]]:
            rows = await connection.fetch(queries.get("locks_of"), pid, limit)
            return rows, await self._relations(connection, names.server, rows)

        rows, here = await self._read(ask)
        self._compare(names.server, rows)
        relname = await self._relname(rows, here, names)
        locks = tuple(
            HeldLock(
                row["locktype"],
                row["mode"],
                row["granted"],
                row["database"],
                row["relation"],
                row["waitstart"],
                relname(row),
            )
            for row in rows
        )
        return locks, rows[0]["total"] if rows else 0

    def _is_here(self, lock: asyncpg.Record) -> bool:
        """Whether it is on a relation of the database that the bot is connected to, or of all."""
        return lock["relation"] is not None and lock["database"] in (0, self._datid)

    async def _relations(
        self, connection: Connection, server: ServerId, locks: list[asyncpg.Record]
    ) -> dict[int, str]:
        """The names of the relations of the connection's own database, by their oids."""
        oids = sorted({lock["relation"] for lock in locks if self._is_here(lock)})
        rows = await self._catalog(connection, "relations", oids) if oids else None
        self._compare(server, rows or ())
        encoding = driver.encoding_of(connection)
        return {row["oid"]: decoding.read(row["name"], encoding) for row in rows or ()}

    async def _relname(
        self, locks: list[asyncpg.Record], here: Mapping[int, str], names: Names
    ) -> Callable[[asyncpg.Record], str | None]:
        """What names a lock's relation, in whichever database it is, if it can be read."""
        wanted = defaultdict[int, set[int]](set)
        for lock in locks:
            if lock["relation"] is not None and not self._is_here(lock):
                wanted[lock["database"]].add(lock["relation"])
        databases = {oid: each.datname for oid, each in names.databases.items()}
        if names.stale:  # a login would stand behind the same lock
            databases = {}
        elsewhere = await self._elsewhere.names(names.server, wanted, databases)

        def relname(lock: asyncpg.Record) -> str | None:
            if self._is_here(lock):
                return here.get(lock["relation"])
            return elsewhere.get((lock["database"], lock["relation"]))

        return relname

    def _give_up(self, connection: Connection) -> None:
        """End a connection on which no reply came, and doubt the others."""
        connection.terminate()
        self._work.doubt()
        self._kept.doubt()

    def _seen(self) -> None:
        self._last_seen = datetime.now(UTC)

    @asynccontextmanager
    async def _lent(
        self, urgency: Urgency, within: float = ACQUIRE_TIMEOUT
    ) -> AsyncIterator[Connection]:
        """A connection; for a kill the one that is kept back, if it is free."""
        for_kill = urgency is Urgency.KILL and self._kept.free
        held = self._kept if for_kill else self._work
        leave = LEFT_BY_LOOKS if urgency is Urgency.LOOK else 0
        async with held.acquire(within=within, leave=leave) as connection:
            yield connection

    async def _fetch(
        self, statement: str, *parameters: object, urgency: Urgency = Urgency.LOOK
    ) -> list[asyncpg.Record]:
        """The rows of one statement that reads."""
        return await self._read(lambda each: each.fetch(statement, *parameters), urgency=urgency)

    async def _read(
        self, ask: Callable[[Connection], Awaitable[_T]], *, urgency: Urgency = Urgency.LOOK
    ) -> _T:
        """What is asked of one connection; of the next, if that one is lost. It must only read.

        One on which no reply comes in time is not waited for twice.
        """
        within = ACQUIRE_TIMEOUT
        for is_last in (*(READ_TRIES - 1) * (False,), True):
            async with self._lent(urgency, within) as connection:
                try:
                    async with asyncio.timeout(READ_TIMEOUT):
                        answer = await ask(connection)
                except asyncpg.PostgresError as error:
                    meant = trouble.of_statement(self._name, error)
                    meant.__cause__ = error
                    if isinstance(meant, ClusterDown):
                        self._give_up(connection)
                except ClusterError:
                    raise
                except BaseException as error:
                    # Whatever comes back on it later would answer another question.
                    self._give_up(connection)
                    if not isinstance(error, _BROKEN):
                        raise
                    meant = trouble.of_statement(self._name, error)
                    meant.__cause__ = error
                else:
                    self._seen()
                    return answer
            if is_last or not isinstance(meant, ClusterDown):
                raise meant
            log.info("cluster.read_again", cluster=self._name, problem=meant.problem)
            within = REMADE_WITHIN
        raise AssertionError("the last try returns or raises")


async def _read_ahead(connection: Connection, may_go_on: Callable[[], bool]) -> None:
    """Have the backend read all that our statements need of the catalogs.

    No further statement begins once it may not go on: somebody waits for the connection.

    What it has in its caches it need not read again when somebody holds ACCESS EXCLUSIVE on
    a catalog (VACUUM FULL, REINDEX SYSTEM).
    """
    for statement, parameters in every_statement():
        if not may_go_on():
            return
        # What is locked just now is for later to find out.
        with suppress(asyncpg.PostgresError):
            await connection.fetch(statement, *parameters)


def _reason(error: asyncpg.PostgresError) -> str:
    """PostgreSQL's own reason: the detail where there is one (16 and later)."""
    detail = getattr(error, "detail", None)
    return str(detail or error.args[0])
