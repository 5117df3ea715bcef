"""Listening on a port: whether it is free, and a server that a crowd can't use up."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from aiohttp import web

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def in_the_way(port: int) -> str | None:
    """Why nobody could listen on a port of all addresses now; None where one could."""
    with socket.socket() as probe:
        # As servers do; it doesn't let two of them have one port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            return error.strerror or type(error).__name__
    return None


GRACE = 1.0
"""Seconds in which a connection has time to send its request, and the request to be answered."""


class BoundedServer(web.Server):
    """An HTTP server of a bounded number of connections.

    Each costs a file descriptor and some memory, and whoever reaches the port can open them.
    Beyond `most` a new one takes the place of the one whose last request is longest ago, and a
    second at least, so that idle ones keep nobody out. At twice as many no more are taken. One
    without a whole request is closed after `idle_within` seconds. The rest of a body that nobody
    read is thrown away for `linger` seconds, so that its sender gets to read the answer.
    """

    def __init__(
        self, handler: Handler, *, most: int, idle_within: float, linger: float = 0.0
    ) -> None:
        super().__init__(
            self._handle,
            access_log=None,
            auto_decompress=False,  # a few bytes may become any number
            keepalive_timeout=idle_within,
            lingering_time=linger,
            read_bufsize=2**14,
        )
        self._answer = handler
        self._most = most
        # With the instant of their last request, the last used last.
        self._open: dict[web.RequestHandler, tuple[asyncio.Transport, float]] = {}
        self._kept: set[web.RequestHandler] = set()

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Take a connection, and give up another if there are too many."""
        super().connection_made(handler, transport)
        self._open[handler] = transport, time.monotonic()
        if len(self._open) > self._most:
            self._make_room()

    def connection_lost(
        self, handler: web.RequestHandler, exc: BaseException | None = None
    ) -> None:
        """Forget a connection."""
        super().connection_lost(handler, exc)
        self._open.pop(handler, None)

    @contextmanager
    def keeping(self, request: web.BaseRequest) -> Iterator[None]:
        """Don't give this request's connection up: it is known whose it is."""
        self._kept.add(request.protocol)
        try:
            yield
        finally:
            self._kept.discard(request.protocol)

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
        return await self._answer(request)
