"""Listen on a port: check that it is free, and limit the connections."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

from aiohttp import ClientError, ClientSession, ClientTimeout, web

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def in_the_way(port: int) -> str | None:
    """Why nobody can listen on this port on all addresses now; None if one can."""
    with socket.socket() as probe:
        # As servers do; two of them still can't share a port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            return error.strerror or type(error).__name__
    return None


NAME = "pg-sessions-bot"
"""What the bot's ports call themselves, in the header `Server`."""

ASK_WITHIN = 2.0
"""Seconds for a port to say who listens there."""


async def is_the_bot(port: int) -> bool:
    """Whether a bot of ours listens on this port of this machine."""
    try:
        async with (
            ClientSession(timeout=ClientTimeout(ASK_WITHIN)) as session,
            session.head(f"http://127.0.0.1:{port}/") as answer,
        ):
            return answer.headers.get("Server") == NAME
    except (ClientError, TimeoutError):
        return False


GRACE = 1.0
"""Seconds that a new connection has to send its request and get the answer."""


class BoundedServer(web.Server):
    """An HTTP server with a limited number of connections.

    Each connection costs a file descriptor and some memory, and anyone who reaches the port can
    open them. Beyond `most`, a new one replaces the one whose last request is longest ago (at
    least a second), so that idle ones keep nobody out. At twice `most`, no more are accepted. A
    connection without a whole request is closed after `idle_within` seconds. The unread rest of a
    body is discarded for `linger` seconds, so that its sender can read the answer.
    """

    def __init__(
        self, handler: Handler, *, most: int, idle_within: float, linger: float = 0.0
    ) -> None:
        super().__init__(
            self._handle,
            access_log=None,
            auto_decompress=False,  # a few bytes may decompress to any size
            keepalive_timeout=idle_within,
            lingering_time=linger,
            read_bufsize=2**14,
        )
        self._answer = handler
        self._most = most
        # With the time of their last request, most recently used last.
        self._open: dict[web.RequestHandler, tuple[asyncio.Transport, float]] = {}
        self._kept: set[web.RequestHandler] = set()
        self._busy = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._is_ending = False

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Accept a connection, and close another if there are too many."""
        super().connection_made(handler, transport)
        self._open[handler] = transport, time.monotonic()
        if len(self._open) > self._most:
            self._make_room()

    def connection_lost(
        self, handler: web.RequestHandler, exc: BaseException | None = None
    ) -> None:
        super().connection_lost(handler, exc)
        self._open.pop(handler, None)

    @contextmanager
    def keeping(self, request: web.BaseRequest) -> Iterator[None]:
        """Keep this request's connection: its sender is known."""
        self._kept.add(request.protocol)
        try:
            yield
        finally:
            self._kept.discard(request.protocol)

    async def finish(self, within: float) -> None:
        """Answer every request whose headers have arrived, before the server is shut down.

        A shutdown comes too early for them: aiohttp then ignores whatever arrives of their bodies.
        Each connection is closed with its answer.
        """
        self._is_ending = True
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._idle.wait()

    def _make_room(self) -> None:
        before = time.monotonic() - GRACE
        for handler, (transport, since) in self._open.items():
            if since > before:
                break
            if handler not in self._kept:
                del self._open[handler]
                transport.abort()
                return
        if len(self._open) > 2 * self._most:
            _, (transport, _) = self._open.popitem()
            transport.abort()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if (used := self._open.pop(request.protocol, None)) is not None:
            self._open[request.protocol] = used[0], time.monotonic()
        self._busy += 1
        self._idle.clear()
        try:
            response = await self._answer(request)
        finally:
            self._busy -= 1
            if not self._busy:
                self._idle.set()
        response.headers["Server"] = NAME  # also instead of the versions of what it is made with
        if self._is_ending:
            response.force_close()
        return response
