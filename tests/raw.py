"""A PostgreSQL session that sends bytes that no driver would."""

import asyncio
from contextlib import suppress

from workspace.postgres import PostgresServer


class Raw:
    """One session, in the protocol's own messages."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.pid = 0

    @classmethod
    async def open(cls, pg: PostgresServer, user: bytes, database: bytes, app: bytes) -> "Raw":
        reader, writer = await asyncio.open_connection(pg.host, pg.port)
        pairs = {b"user": user, b"database": database, b"application_name": app}
        startup = b"".join(key + b"\0" + value + b"\0" for key, value in pairs.items())
        startup += b"client_encoding\0SQL_ASCII\0\0"
        writer.write((len(startup) + 8).to_bytes(4) + (196608).to_bytes(4) + startup)
        raw = cls(reader, writer)
        await raw.ready()
        return raw

    async def ready(self) -> None:
        kind = b""
        while kind != b"Z":
            kind = await self._reader.readexactly(1)
            length = int.from_bytes(await self._reader.readexactly(4))
            body = await self._reader.readexactly(length - 4)
            assert kind != b"E", body
            if kind == b"K":
                self.pid = int.from_bytes(body[:4])

    def say(self, query: bytes) -> None:
        message = query + b"\0"
        self._writer.write(b"Q" + (len(message) + 4).to_bytes(4) + message)

    async def run(self, query: bytes) -> None:
        self.say(query)
        await self.ready()

    async def closed(self) -> bool:
        """Whether the server has ended it; its last messages are ignored."""
        with suppress(ConnectionError):
            await self._reader.read()
        return True

    def close(self) -> None:
        self._writer.transport.abort()
