"""Listening on a port: whether it is free, and a server that a crowd can't use up."""

import asyncio
import socket
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


class BoundedServer(web.Server):
    """An HTTP server of a bounded number of connections.

    Each costs a file descriptor and some memory, and whoever reaches the port can open them.
    Beyond `most` a new one takes the place of the one whose last request is longest ago, so
    that a crowd keeps nobody out. One without a whole request is closed after `idle_within`
    seconds. The rest of a body that nobody read is thrown away for `linger` seconds, so that
    its sender gets to read the answer.
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
        self._open: dict[web.RequestHandler, asyncio.Transport] = {}  # the last used last
        self._kept: set[web.RequestHandler] = set()

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Take a connection, and give up another if there are too many."""
        super().connection_made(handler, transport)
        self._open[handler] = transport
        if len(self._open) > self._most:
            unused = next(each for each in self._open if each not in self._kept)
            self._open.pop(unused).abort()

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

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if (transport := self._open.pop(request.protocol, None)) is not None:
            self._open[request.protocol] = transport
        return await self._answer(request)
