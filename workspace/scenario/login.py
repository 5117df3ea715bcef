"""The failing login: a role with one connection, tried again and again."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import asyncpg

from workspace.postgres import PostgresServer
from workspace.scenario.cast import HOLDER
from workspace.scenario.connections import TROUBLE, connect

EVERY = 2.0
_WITHIN = 2.0


class Login:
    """Tries to log in as `some_user` every 2 s, and logs out at once if that works.

    `ok`, `text` and `at` describe the last attempt; the text is what psql would print.
    """

    def __init__(self, server: PostgresServer, changed: Callable[[], None]) -> None:
        self.ok = False
        self.text = ""
        self.at = datetime.now(UTC)
        self.attempts = 0
        self.pause = asyncio.Lock()  # held by whoever needs the role's one slot
        self._server = server
        self._changed = changed

    async def go_on(self) -> None:
        """Try again and again, forever."""
        while True:
            await asyncio.sleep(EVERY)
            async with self.pause:
                await self.attempt()

    async def attempt(self) -> None:
        """Try once."""
        try:
            connection = await connect(
                self._server.dsn(user=HOLDER.usename, database=HOLDER.datname),
                "some_app",
                within=_WITHIN,
            )
        except TROUBLE as error:
            self.ok = False
            self.text = self._as_psql_says(error)
        else:
            connection.terminate()
            self.ok = True
            self.text = (
                f'You are connected to database "{HOLDER.datname}" as user "{HOLDER.usename}".'
            )
        self.attempts += 1
        self.at = datetime.now(UTC)
        self._changed()

    async def begin(self) -> None:
        """Start counting again, with a first attempt."""
        self.attempts = 0
        await self.attempt()

    def _as_psql_says(self, error: BaseException) -> str:
        match error:
            case asyncpg.PostgresError(severity=str(severity), message=str(message)):
                return f"{severity}:  {message}"
            case TimeoutError():
                reason = "timeout expired"
            case ConnectionRefusedError():
                reason = "Connection refused"
            case _:
                reason = "server closed the connection unexpectedly"
        server = self._server
        return f'connection to server at "{server.host}", port {server.port} failed: {reason}'
