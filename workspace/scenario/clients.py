"""The scenario's sessions: opened as their parts say, gone when somebody ends them."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from workspace.postgres import PostgresServer
from workspace.scenario.cast import CAST_ROLES, HOLDER, PUT_BACK, Part
from workspace.scenario.connections import (
    STATEMENT_TIMEOUT,
    TROUBLE,
    Connection,
    connect,
    superuser,
    within,
)

COMES_BACK_AFTER = 2.0
"""Seconds: longer than between two readings, so that whoever watches sees that it was gone."""
_AT_ONCE = 8  # connections that are opened side by side
_POLL = 0.02


class Client:
    """One session, or a series of sessions if its part comes back.

    `changed` is called whenever a session begins or ends.
    """

    def __init__(self, part: Part, server: PostgresServer, changed: Callable[[], None]) -> None:
        self.part = part
        self.pid: int | None = None
        self._server = server
        self._changed = changed
        self._connection: Connection | None = None
        self._ended = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_there(self) -> bool:
        """Whether its session is alive, as far as the client has noticed."""
        return self._connection is not None and not self._connection.is_closed()

    async def open(self) -> None:
        """Begin the session. Raises one of `TROUBLE`."""
        await self._enter()
        if self.part.then or self.part.comes_back == "always":
            self._task = asyncio.create_task(self._go_on())

    async def run(self, statements: Sequence[str]) -> None:
        """Run these statements in its session. Raises one of `TROUBLE`."""
        assert self._connection is not None
        for statement in statements:
            await within(STATEMENT_TIMEOUT, self._connection, self._connection.execute(statement))

    async def close(self) -> None:
        """Drop the connection without telling the server."""
        if self._connection is not None:
            self._connection.terminate()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _enter(self) -> None:
        part = self.part
        connection = await connect(
            self._server.dsn(user=part.usename, database=part.datname),
            part.application_name,
            replication=part.replication,
        )
        self._ended.clear()
        self._connection = connection
        self.pid = connection.get_server_pid()
        connection.add_termination_listener(self._leave)
        await self.run(part.opening)
        self._changed()

    def _leave(self, _: object) -> None:
        self._ended.set()
        self._changed()

    async def _go_on(self) -> None:
        with suppress(*TROUBLE):
            for statement in self.part.then:
                assert self._connection is not None
                await self._connection.execute(statement)
        while self.part.comes_back == "always":
            await self._ended.wait()
            await asyncio.sleep(COMES_BACK_AFTER)
            with suppress(*TROUBLE):
                await self._enter()


class Clients:
    """All of one server's sessions."""

    def __init__(
        self, server: PostgresServer, parts: Sequence[Part], changed: Callable[[], None]
    ) -> None:
        self._server = server
        self._clients = [Client(part, server, changed) for part in parts]

    def of(self, part: Part) -> Client:
        """The client that plays this part."""
        return next(client for client in self._clients if client.part is part)

    @property
    def all(self) -> Sequence[Client]:
        """All clients, whether their sessions are alive or not."""
        return self._clients

    async def open(self) -> None:
        """Open all: side by side, then the waiting ones one by one, each behind the one before."""
        await _open([client for client in self._clients if not client.part.waits])
        for client in self._clients:
            if client.part.waits:
                await client.open()
                await self._until_it_waits(client)

    async def close(self) -> None:
        """Drop all connections."""
        await asyncio.gather(*(client.close() for client in self._clients))

    async def leave(self) -> None:
        """Close them, and end their backends, which may wait for a lock."""
        pids = [client.pid for client in self._clients if client.pid is not None]
        await self.close()
        with suppress(*TROUBLE):
            async with superuser(self._server) as connection, asyncio.timeout(STATEMENT_TIMEOUT):
                while await connection.fetch(_END_THESE, pids, list(CAST_ROLES)):  # noqa: ASYNC110
                    await asyncio.sleep(_POLL)

    async def end(self) -> None:
        """Close them, and end all remaining sessions of the cast's roles on the server.

        A backend that sleeps or waits for a lock does not notice that its client is gone.
        """
        await self.close()
        async with superuser(self._server) as connection, asyncio.timeout(STATEMENT_TIMEOUT):
            while await connection.fetch(_END, list(CAST_ROLES)):  # noqa: ASYNC110 - no event
                await asyncio.sleep(_POLL)

    async def put_back(self) -> None:
        """Restore the accounts' first balances."""
        async with superuser(self._server, HOLDER.datname) as connection:
            await within(STATEMENT_TIMEOUT, connection, connection.execute(PUT_BACK))

    async def come_back(self, those: Sequence[Client]) -> None:
        """Reconnect the clients that do so after a restart, as far as there is room."""
        for client in those:
            if client.part.comes_back == "after a restart" and not client.is_there:
                with suppress(*TROUBLE):
                    await client.open()

    @property
    def there(self) -> list[Client]:
        """The clients whose sessions are alive."""
        return [client for client in self._clients if client.is_there]

    async def _until_it_waits(self, client: Client) -> None:
        async with superuser(self._server) as connection, asyncio.timeout(STATEMENT_TIMEOUT):
            while not await connection.fetchval(_WAITS, client.pid):  # noqa: ASYNC110 - no event
                await asyncio.sleep(_POLL)


class Crowd:
    """Sessions that take every free slot for ordinary roles."""

    def __init__(self, server: PostgresServer, part: Part, changed: Callable[[], None]) -> None:
        self._server = server
        self._part = part
        self._changed = changed
        self._clients: list[Client] = []

    @property
    def is_there(self) -> bool:
        """Whether any of them is connected."""
        return any(client.is_there for client in self._clients)

    async def come(self) -> None:
        """Connect until PostgreSQL refuses, at the latest at `max_connections`."""
        refused = False
        while not refused:
            client = Client(self._part, self._server, self._changed)
            try:
                await client.open()
            except TROUBLE:
                refused = True
            self._clients.append(client)

    async def leave(self) -> None:
        """Disconnect; returns once the server has room again, if it answers."""
        clients, self._clients = self._clients, []
        await asyncio.gather(*(client.close() for client in clients))
        pids = [client.pid for client in clients if client.pid is not None]
        with suppress(*TROUBLE):
            if pids:
                await self._until_gone(pids)
        self._changed()

    async def _until_gone(self, pids: Sequence[int]) -> None:
        async with superuser(self._server) as connection, asyncio.timeout(STATEMENT_TIMEOUT):
            while await connection.fetchval(_ANY_LEFT, pids):  # noqa: ASYNC110 - no event
                await asyncio.sleep(_POLL)


async def _open(clients: Sequence[Client]) -> None:
    room = asyncio.Semaphore(_AT_ONCE)

    async def open_one(client: Client) -> None:
        async with room:
            await client.open()

    async with asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(open_one(client))


_WAITS = "select wait_event_type = 'Lock' from pg_stat_activity where pid = $1"

_ANY_LEFT = "select exists (select from pg_stat_activity where pid = any($1))"

_END_THESE = """
    select pg_terminate_backend(pid) from pg_stat_activity
    where pid = any($1) and usename = any($2)
"""

_END = """
    select pg_terminate_backend(pid) from pg_stat_activity
    where usename = any($1) and backend_type in ('client backend', 'walsender')
"""
