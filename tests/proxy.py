"""A TCP proxy on loopback that treats connections as a network in trouble does.

    async with Proxy(server) as proxy:
        cluster = PostgresCluster("main", proxy.dsn(user=BOT), "db-1.internal")
        ...
        proxy.swallow()  # from here on nothing comes through, and nothing is closed

Lost data stays lost: `heal` lets new connections through, but a connection from which something was
swallowed is as dead as one that a firewall has forgotten.
"""

import asyncio
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

from workspace.people import PATIENCE
from workspace.postgres import PostgresServer

HOST = "127.0.0.1"
CHUNK = 65536


def signal_to(pid: int) -> bytes:
    """What a signal to this backend has on the wire, and nothing before it has.

    Its statement is prepared long before. Of its parameters these follow one another: the pid, of
    four bytes, and the backend_start, of eight.
    """
    return struct.pack("!iii", 4, pid, 8)


class Hold:
    """Stops a connection, in one direction, when something is said on it for the `nth` time.

    On loopback a message arrives in one piece, so the words are searched for in each.
    """

    def __init__(self, words: bytes, nth: int, *, answer: bool) -> None:
        self.answer = answer
        self._words = words
        self._left = nth
        self._go_on = asyncio.Event()
        self._reached = asyncio.Event()

    async def reached(self) -> None:
        """Return once something is held."""
        async with asyncio.timeout(PATIENCE):
            await self._reached.wait()

    def release(self) -> None:
        """Let what was held continue, late."""
        self._go_on.set()

    async def judge(self, chunk: bytes) -> None:
        """Return at once or, if the chunk has the awaited words, hold it."""
        if self._reached.is_set():
            return
        self._left -= chunk.count(self._words)
        if self._left <= 0:
            self._reached.set()
            await self._go_on.wait()


@dataclass(eq=False)
class Link:
    """One connection through the proxy: its two ends, and whether anything still passes."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    lost: bool = False
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def cut(self) -> None:
        """End it in both directions, without a word."""
        for task in self.tasks:
            task.cancel()
        for end in (self.client, self.server):
            if end is not None:
                end.transport.abort()


class Proxy:
    """Leads to one server at a time; its own address stays the same.

    Attributes:
        delay: seconds that each answer of the server's takes longer, from now on.
        words: some of the server's, and as many bytes that it says instead.
    """

    def __init__(self, server: PostgresServer) -> None:
        self.delay = 0.0
        self.words = (b"", b"")
        self._server: PostgresServer | None = server
        self._named = server
        self._swallows = False
        self._links: set[Link] = set()
        self._holds: list[Hold] = []
        self._listener: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        # Bound but not listening: the port stays ours while connections are refused.
        self._place = socket.socket()
        self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)

    async def __aenter__(self) -> Self:
        self._place.bind((HOST, 0))
        await self.heal()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.refuse()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._place.close()

    @property
    def port(self) -> int:
        return self._place.getsockname()[1]

    def dsn(
        self, *, user: str = "postgres", database: str = "postgres", password: str | None = None
    ) -> str:
        """The first server's DSN, through the proxy."""
        direct = self._named.dsn(user=user, database=database, password=password)
        return direct.replace(f":{self._named.port}/", f":{self.port}/")

    async def heal(self) -> None:
        """Let new connections through immediately."""
        self._swallows = False
        self.delay = 0.0
        if self._listener is None:
            self._listener = await asyncio.start_server(
                self._serve, HOST, self.port, reuse_port=True
            )

    def lead_to(self, server: PostgresServer | None) -> None:
        """Lead new connections to another server, as after a failover, or to none."""
        self._server = server

    def refuse(self) -> None:
        """Let nobody in; existing connections stay."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def cut(self) -> None:
        """End every connection, in both directions."""
        for link in tuple(self._links):
            link.cut()

    def swallow(self, *, old: bool = True, new: bool = True) -> None:
        """Pass nothing on any more, and close nothing; choose old and new connections."""
        if old:
            for link in self._links:
                link.lost = True
        self._swallows = new

    def swallow_from(self, port: int) -> None:
        """Swallow on the one connection whose client end has this port."""
        for link in self._links:
            if link.client.get_extra_info("peername")[1] == port:
                link.lost = True

    def cut_from(self, port: int) -> None:
        """End the one connection whose client end has this port."""
        for link in tuple(self._links):
            if link.client.get_extra_info("peername")[1] == port:
                link.cut()

    def half_close(self) -> None:
        """Close every connection towards the client, but keep reading what it sends."""
        for link in self._links:
            link.lost = True
            link.client.write_eof()

    def hold(self, words: bytes, nth: int = 1, *, answer: bool = False) -> Hold:
        """Stop a connection that says these words to the server the nth time, or its answer."""
        hold = Hold(words, nth, answer=answer)
        self._holds.append(hold)
        return hold

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        link = Link(writer, lost=self._swallows)
        self._links.add(link)
        try:
            await self._both_ways(link, reader)
        except OSError:
            _reset(writer)
        finally:
            self._links.discard(link)
            link.cut()

    async def _both_ways(self, link: Link, reader: asyncio.StreamReader) -> None:
        if link.lost:
            while await reader.read(CHUNK):
                pass
            return
        if self._server is None:
            raise ConnectionRefusedError
        answers, link.server = await asyncio.open_connection(self._server.host, self._server.port)
        link.tasks = [
            asyncio.ensure_future(self._questions(link, reader, link.server)),
            asyncio.ensure_future(self._answers(link, answers)),
        ]
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*link.tasks)

    async def _questions(
        self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """The way to the server. A lost connection doesn't learn that its client has closed."""
        with suppress(ConnectionError):
            while chunk := await reader.read(CHUNK):
                await self._held(chunk, answer=False)
                if not link.lost:
                    writer.write(chunk)
        if not link.lost:
            writer.close()

    async def _held(self, chunk: bytes, *, answer: bool) -> None:
        for hold in self._holds:
            if hold.answer is answer:
                await hold.judge(chunk)

    async def _answers(self, link: Link, reader: asyncio.StreamReader) -> None:
        """The way back, delayed by `delay` seconds."""
        loop = asyncio.get_running_loop()
        due: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def deliver() -> None:
            while True:
                at, chunk = await due.get()
                if (left := at - loop.time()) > 0:
                    await asyncio.sleep(left)
                if link.lost:
                    continue
                if not chunk:
                    link.client.close()
                    return
                link.client.write(chunk)

        delivery = asyncio.ensure_future(deliver())
        link.tasks.append(delivery)
        with suppress(ConnectionError):
            while chunk := await reader.read(CHUNK):
                await self._held(chunk, answer=True)
                due.put_nowait((loop.time() + self.delay, chunk.replace(*self.words)))
        due.put_nowait((loop.time() + self.delay, b""))
        await delivery


def _reset(writer: asyncio.StreamWriter) -> None:
    """Answer like a machine on which nothing listens, as far as that is still possible."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
