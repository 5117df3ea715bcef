"""How Slack's requests reach the app: Socket Mode, or HTTP behind a balancer.

Either way the app gets the fields that are read here and no others, as an envelope of
Socket Mode has them: parsed, and from Slack.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol
from urllib.parse import parse_qsl

import structlog
from aiohttp import web
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp, AsyncBoltRequest
from slack_sdk.signature import SignatureVerifier
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest

from bot.slack import payloads

log = structlog.get_logger(__name__)

PATH = "/slack/events"

PING_EVERY = 5.0
"""Seconds between two looks at the socket: a lost one is found out about that soon."""

ACK_WITHIN = 2.5
"""Seconds that a socket stays open for what came in to be acknowledged; Slack gives three."""

BODY_MOST = 2**20
"""Bytes of a request. A click brings its message along, whose blocks come to a tenth of it."""

BODY_WITHIN = 5.0
"""Seconds for a request's body to come. Slack gives up on an answer after 3."""

LINGER = 2.0
"""Seconds for which the rest of a refused body is read, so that the refusal is."""

IDLE_WITHIN = 75.0
"""Seconds that a connection may be without a whole request: more than balancers keep theirs."""

FirstTime = Callable[[str], Awaitable[bool]]


class Transport(Protocol):
    """Where requests come from. After `close` no new ones do; answers need none of it."""

    async def open(self, app: AsyncApp) -> None:
        """Start taking requests."""

    async def connected(self) -> bool:
        """Whether requests can come in."""

    async def close(self) -> None:
        """Take no more."""


class _Envelopes(AsyncSocketModeHandler):
    """Bolt's handler, for the envelopes that hold a command or a click."""

    def __init__(self, app: AsyncApp, app_token: str) -> None:
        super().__init__(app, app_token, ping_interval=PING_EVERY)
        self.at_the_door: set[asyncio.Future[None]] = set()  # not acknowledged yet

    async def handle(  # type: ignore[override]
        self, client: SocketModeClient, req: SocketModeRequest
    ) -> None:
        """Hand an envelope to the app; one that is of no use stays unacknowledged."""
        body = payloads.received(req.payload)
        if body is None:
            log.info("slack.not_for_us", type=req.type)
            return
        req.payload = body
        acknowledged = asyncio.get_running_loop().create_future()
        self.at_the_door.add(acknowledged)
        try:
            await super().handle(client, req)
        finally:
            self.at_the_door.discard(acknowledged)
            acknowledged.set_result(None)


class SocketMode:
    """One outgoing WebSocket; Slack needs no way in."""

    def __init__(self, app_token: str) -> None:
        self._app_token = app_token
        self._handler: _Envelopes | None = None
        self._renewer: asyncio.Task[None] | None = None

    async def open(self, app: AsyncApp) -> None:
        """Connect. The token was tried before: with a bad one this would try for ever."""
        self._handler = _Envelopes(app, self._app_token)
        self._renewer = asyncio.create_task(self._renew(self._handler.client), name="socket-url")
        await self._handler.connect_async()  # type: ignore[no-untyped-call]

    async def _renew(self, socket: AsyncBaseSocketModeClient) -> None:
        """Have the SDK ask for another URL where one leads nowhere.

        A URL of a socket is good once and not for long; the SDK tries the same for ever.
        """
        while True:
            await asyncio.sleep(PING_EVERY)
            if not await socket.is_connected():
                socket.wss_uri = None  # type: ignore[assignment]

    async def connected(self) -> bool:
        """Whether the socket is up."""
        if self._handler is None:
            return False
        socket = self._handler.client
        return bool(await socket.is_connected())

    async def close(self) -> None:
        """Close the socket, once what came in is acknowledged: it goes by the same socket."""
        until = asyncio.get_running_loop().time() + ACK_WITHIN
        while self._handler is not None and (waiting := self._handler.at_the_door):
            left = until - asyncio.get_running_loop().time()
            if left <= 0:
                break
            await asyncio.wait(waiting, timeout=left)
        if self._renewer is not None:
            self._renewer.cancel()
        if self._handler is not None:
            try:
                await self._handler.close_async()  # type: ignore[no-untyped-call]
            finally:
                # The SDK comes to this last, after a farewell that a silent Slack holds up.
                await self._handler.client.aiohttp_client_session.close()


class HttpMode:
    """Slack posts to `/slack/events`.

    Before anything reads a request its signature is checked (HMAC-SHA256 of
    `v0:timestamp:body`), and that its timestamp is at most 300 s off. A signature that was
    seen before, by whichever replica, is a replay.
    """

    def __init__(
        self,
        port: int,
        signing_secret: str,
        first_time: FirstTime,
        host: str = "0.0.0.0",  # noqa: S104  behind a balancer
    ) -> None:
        self._host, self._port = host, port
        self._verifier = SignatureVerifier(signing_secret)
        self._first_time = first_time
        self._runner: web.AppRunner | None = None

    async def open(self, app: AsyncApp) -> None:
        """Listen. Raises `OSError` where the port is taken."""

        async def receive(request: web.Request) -> web.Response:
            try:
                async with asyncio.timeout(BODY_WITHIN):
                    body = await request.read()
            except TimeoutError:
                return web.Response(status=408)
            except (web.RequestPayloadError, ConnectionError):
                return web.Response(status=400)
            return await self._receive(app, body, request.headers)

        server = web.Application(client_max_size=BODY_MOST)
        server.router.add_post(PATH, receive)
        self._runner = web.AppRunner(
            server, access_log=None, keepalive_timeout=IDLE_WITHIN, lingering_time=LINGER
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        log.info("http.listening", port=self._port, path=PATH)

    async def _receive(
        self, app: AsyncApp, body: bytes, headers: Mapping[str, str]
    ) -> web.Response:
        if b"ssl_check=1" in body.split(b"&"):
            # Slack looks at the certificate now and then, and signs nothing.
            return web.Response()
        if not self._is_signed(body, headers):
            log.info("http.not_signed")
            return web.Response(status=401)
        if not await self._first_time(headers["x-slack-signature"]):
            log.warning("http.replayed")
            return web.Response(status=401)
        try:
            payload = _payload(body)
        except (ValueError, RecursionError) as error:
            log.info("http.not_understood", error=type(error).__name__)
            return web.Response(status=400)
        received = payloads.received(payload)
        if received is None:
            log.info("slack.not_for_us")
            return web.Response(status=404)
        return await _dispatch(app, received)

    def _is_signed(self, body: bytes, headers: Mapping[str, str]) -> bool:
        try:
            return self._verifier.is_valid_request(body, headers)
        except (ValueError, TypeError):
            # No number, no ASCII, no UTF-8: nothing that Slack has signed.
            return False

    async def connected(self) -> bool:
        """Whether it listens."""
        return self._runner is not None

    async def close(self) -> None:
        """Answer what is being received, and listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None


def _payload(body: bytes) -> object:
    """What a form holds: a command's fields, or the JSON of an interaction.

    Raises `ValueError` for what is no such form, `RecursionError` for JSON without end.
    """
    fields = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=100))
    return json.loads(fields["payload"]) if "payload" in fields else fields


async def _dispatch(app: AsyncApp, received: dict[str, Any]) -> web.Response:
    answer = await app.async_dispatch(AsyncBoltRequest(body=received, mode="socket_mode"))
    return web.Response(
        status=answer.status,
        text=answer.body,
        content_type=answer.first_headers_without_set_cookie()
        .get("content-type", "text/plain")
        .partition(";")[0],
    )
