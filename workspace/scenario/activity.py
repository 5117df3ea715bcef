"""`pg_stat_activity` as psql shows it to a superuser: the truth beside the bot's words.

It is read outside the bot, over a separate connection, so that a visitor can check the bot.
"""

import asyncio

from workspace.postgres import PostgresServer
from workspace.scenario.connections import TROUBLE, Connection, connect, within

APPLICATION_NAME = "pg_stat_activity panel"
_WITHIN = 2.0

_QUERY = r"""
    select
        pid::text,
        usename,
        datname,
        application_name,
        backend_start::timestamptz(0)::text as backend_start,
        xact_start::timestamptz(0)::text as xact_start,
        state,
        wait_event_type,
        wait_event,
        backend_type,
        left(trim(regexp_replace(query, '\s+', ' ', 'g')), 120) as query
    from pg_stat_activity
    where backend_type in ('client backend', 'walsender') and pid <> pg_backend_pid()
    order by pg_stat_activity.xact_start nulls last, pid
"""

# PostgreSQL's InitPostgres() refuses an ordinary role unless the reserved slots stay free.
_IS_FULL = """
    select count(*) >= current_setting('max_connections')::int
        - current_setting('superuser_reserved_connections')::int
        - current_setting('reserved_connections')::int
    from pg_stat_activity where backend_type = 'client backend'
"""


class Activity:
    """The last reading, kept while PostgreSQL does not answer."""

    def __init__(self, server: PostgresServer) -> None:
        self.columns: list[str] = []
        self.rows: list[list[str | None]] = []
        self.is_full = False
        self._server = server
        self._connection: Connection | None = None
        self._reading = asyncio.Lock()

    async def read(self) -> None:
        """Read it now; over a new connection if the last one is lost."""
        async with self._reading:
            await self._try_to_read()

    async def _try_to_read(self) -> None:
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await connect(
                    self._server.dsn(), APPLICATION_NAME, within=_WITHIN
                )
            await within(_WITHIN, self._connection, self._read(self._connection))
        except TROUBLE:
            return

    async def _read(self, connection: Connection) -> None:
        records = await connection.fetch(_QUERY)
        self.is_full = bool(await connection.fetchval(_IS_FULL))
        if records:  # right after a restart nobody is there
            self.columns = list(records[0].keys())
        self.rows = [list(record.values()) for record in records]

    def close(self) -> None:
        """Drop the connection."""
        if self._connection is not None:
            self._connection.terminate()
