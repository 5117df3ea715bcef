"""Connections to the scenario's servers: their errors, and a limit for every wait."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg

from workspace.postgres import PostgresServer

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection  # generic only in its stubs

TROUBLE = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)
"""What connecting to a full, stopped or dead server raises, and what using it raises."""

CONNECT_TIMEOUT = 5.0
STATEMENT_TIMEOUT = 10.0

T = TypeVar("T")


async def connect(
    dsn: str, application_name: str, *, replication: bool = False, within: float = CONNECT_TIMEOUT
) -> Connection:
    """Open one connection. Raises one of `TROUBLE`."""
    startup = {"application_name": application_name}
    if replication:
        startup["replication"] = "database"
    return await asyncpg.connect(dsn, timeout=within, server_settings=startup)


@asynccontextmanager
async def superuser(
    server: PostgresServer, database: str = "postgres"
) -> AsyncIterator[Connection]:
    """A short-lived connection. It uses reserved slots, so it gets in when the server is full."""
    connection = await connect(server.dsn(database=database), "scenario")
    try:
        yield connection
    finally:
        connection.terminate()


async def within(seconds: float, connection: Connection, use: Coroutine[Any, Any, T]) -> T:
    """Await work on a connection, and drop the connection if it takes too long.

    For a cancelled or timed-out statement, asyncpg opens a second connection that asks the server
    to cancel it, which is useless if the server doesn't answer.

    Raises one of `TROUBLE`.
    """
    task = asyncio.ensure_future(use)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        if not task.done():
            connection.terminate()
            await asyncio.gather(task, return_exceptions=True)
    return await task
