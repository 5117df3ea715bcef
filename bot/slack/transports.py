"""How Slack's requests reach the app: Socket Mode, or HTTP behind a balancer."""

from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog
from aiohttp import web
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp, AsyncBoltRequest
from slack_bolt.response import BoltResponse

log = structlog.get_logger(__name__)

PATH = "/slack/events"

PING_EVERY = 5.0
"""Seconds between two looks at the socket: a lost one is found out about that soon."""

FirstTime = Callable[[str], Awaitable[bool]]
Next = Callable[[], Awaitable[BoltResponse]]


class Transport(Protocol):
    """Where requests come from. After `close` no new ones do; answers need none of it."""

    async def open(self, app: AsyncApp) -> None:
        """Start taking requests."""

    async def connected(self) -> bool:
        """Whether requests can come in."""

    async def close(self) -> None:
        """Take no more."""


class SocketMode:
    """One outgoing WebSocket; Slack needs no way in."""

    def __init__(self, app_token: str) -> None:
        self._app_token = app_token
        self._handler: AsyncSocketModeHandler | None = None

    async def open(self, app: AsyncApp) -> None:
        """Connect. The token was tried before: with a bad one this would try for ever."""
        self._handler = AsyncSocketModeHandler(app, self._app_token, ping_interval=PING_EVERY)
        await self._handler.connect_async()  # type: ignore[no-untyped-call]

    async def connected(self) -> bool:
        """Whether the socket is up."""
        if self._handler is None:
            return False
        socket = self._handler.client
        return bool(await socket.is_connected())

    async def close(self) -> None:
        """Close the socket."""
        if self._handler is not None:
            await self._handler.close_async()  # type: ignore[no-untyped-call]


class HttpMode:
    """Slack posts to `/slack/events`.

    Bolt checks the signature (HMAC-SHA256 of `v0:timestamp:body`) and that the timestamp
    is at most 300 s off, before anything else sees the request. A signature that was seen
    before, by whichever replica, is a replay.
    """

    def __init__(self, port: int, first_time: FirstTime, host: str = "0.0.0.0") -> None:  # noqa: S104  behind a balancer
        self._host, self._port = host, port
        self._first_time = first_time
        self._runner: web.AppRunner | None = None

    async def open(self, app: AsyncApp) -> None:
        """Listen. Raises `OSError` where the port is taken."""

        @app.middleware
        async def refuse_replays(request: AsyncBoltRequest, next: Next) -> BoltResponse:  # noqa: A002  Bolt's word
            signature = request.headers.get("x-slack-signature", [""])[0]
            if not await self._first_time(signature):
                log.warning("http.replayed")
                return BoltResponse(status=401, body="")
            return await next()

        async def receive(request: web.Request) -> web.Response:
            return await _dispatch(app, request)

        server = web.Application()
        server.router.add_post(PATH, receive)
        self._runner = web.AppRunner(server, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        log.info("http.listening", port=self._port, path=PATH)

    async def connected(self) -> bool:
        """Whether it listens."""
        return self._runner is not None

    async def close(self) -> None:
        """Answer what is being received, and listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None


async def _dispatch(app: AsyncApp, request: web.Request) -> web.Response:
    answer = await app.async_dispatch(
        AsyncBoltRequest(
            body=(await request.read()).decode("utf-8", errors="replace"),
            query=request.query_string,
            headers={name: [value] for name, value in request.headers.items()},
        )
    )
    return web.Response(
        status=answer.status,
        text=answer.body,
        content_type=answer.first_headers_without_set_cookie()
        .get("content-type", "text/plain")
        .partition(";")[0],
    )
