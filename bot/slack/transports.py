"""How Slack's requests reach the app: Socket Mode, or HTTP behind a balancer.

Either way the app gets the fields that are read here and no others, as an envelope of
Socket Mode has them: parsed, and from Slack.
"""

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Collection
from contextlib import nullcontext
from functools import partial
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qsl

import structlog
from aiohttp import web
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp, AsyncBoltRequest
from slack_sdk.signature import SignatureVerifier
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest

from bot.background import every
from bot.listening import BoundedServer
from bot.slack import payloads

log = structlog.get_logger(__name__)

PATH = "/slack/events"

PING_EVERY = 5.0
"""Seconds between two looks at the socket: a lost one is found out about that soon."""

ACK_WITHIN = 2.5
"""Seconds that a socket stays open for what came in to be acknowledged; Slack gives three."""

BODY_MOST = 2**20
"""Bytes of a request. A click brings its message along, whose blocks come to a tenth of it."""

BODY_USUAL = 2**17
"""Bytes up to which a body is read at once. Of larger ones, and those that don't say how large
they are, only a few are read at a time."""

LARGE_AT_ONCE = 4

SSL_CHECK_MOST = 256
"""Bytes of Slack's look at the certificate: a form of two fields."""

BODY_WITHIN = 3.0
"""Seconds for a request's body to come. Slack gives up on an answer after as many."""

LINGER = 2.0
"""Seconds for which the rest of a refused body is thrown away, so that the refusal is read."""

IDLE_WITHIN = 75.0
"""Seconds that a connection may be without a whole request: more than balancers keep theirs."""

MOST_CONNECTIONS = 256

SIGNED_WITHIN = 300
"""Seconds that a signature's timestamp may be off: Slack's own rule."""

_TIMESTAMP = re.compile("[0-9]{1,12}")
_SIGNATURE = re.compile("v0=[0-9a-f]{64}")

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

    def __init__(self, app: AsyncApp, app_token: str, commands: Collection[str]) -> None:
        super().__init__(app, app_token, ping_interval=PING_EVERY)
        self._commands = commands
        self.at_the_door: set[asyncio.Future[None]] = set()  # not acknowledged yet

    async def handle(  # type: ignore[override]
        self, client: SocketModeClient, req: SocketModeRequest
    ) -> None:
        """Hand an envelope to the app; one that is of no use stays unacknowledged."""
        body = payloads.received(req.payload, self._commands)
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

    def __init__(self, app_token: str, commands: Collection[str]) -> None:
        self._app_token = app_token
        self._commands = commands
        self._handler: _Envelopes | None = None
        self._renewer: asyncio.Task[None] | None = None

    async def open(self, app: AsyncApp) -> None:
        """Connect. The token was tried before: with a bad one this would try for ever."""
        self._handler = _Envelopes(app, self._app_token, self._commands)
        renewing = every(
            PING_EVERY, partial(self._renew, self._handler.client), failed="socket.not_renewed"
        )
        self._renewer = asyncio.create_task(renewing, name="socket-url")
        await self._handler.connect_async()  # type: ignore[no-untyped-call]

    async def _renew(self, socket: AsyncBaseSocketModeClient) -> None:
        """Have the SDK ask for another URL where one leads nowhere.

        A URL of a socket is good once and not for long; the SDK tries the same for ever.
        """
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

    Whoever reaches the port may post there, so a stranger must cost little. By the headers a
    request is refused unread unless it may be Slack's: a signature of their form, a timestamp
    at most 300 s off. What is read is bounded, in all as well. Before anything is parsed the
    signature is checked (HMAC-SHA256 of `v0:timestamp:body`). One that was seen before, by
    whichever replica, is a replay.
    """

    def __init__(
        self,
        port: int,
        signing_secret: str,
        first_time: FirstTime,
        commands: Collection[str],
        host: str = "0.0.0.0",  # noqa: S104  behind a balancer
    ) -> None:
        self._host, self._port = host, port
        self._verifier = SignatureVerifier(signing_secret)
        self._first_time = first_time
        self._commands = commands
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)
        self._runner: web.ServerRunner | None = None

    async def open(self, app: AsyncApp) -> None:
        """Listen. Raises `OSError` where the port is taken."""

        async def receive(request: web.BaseRequest) -> web.Response:
            if (refusal := _refused_by_its_head(request)) is not None:
                return refusal
            try:
                async with asyncio.timeout(BODY_WITHIN):
                    body = await self._read(request)
            except TimeoutError:
                return web.Response(status=408)
            except (web.RequestPayloadError, ConnectionError):
                return web.Response(status=400)
            if body is None:
                return web.Response(status=413)
            if b"ssl_check=1" in body.split(b"&"):
                # Slack looks at the certificate now and then, and signs nothing.
                return web.Response()
            seal = _seal(request)
            if seal is None or not self._is_slacks(body, seal):
                return _not_signed()
            with server.keeping(request):
                return await self._receive(app, body, seal)

        server = BoundedServer(
            receive, most=MOST_CONNECTIONS, idle_within=IDLE_WITHIN, linger=LINGER
        )
        self._runner = web.ServerRunner(server)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        log.info("http.listening", port=self._port, path=PATH)

    async def _read(self, request: web.BaseRequest) -> bytes | None:
        """The body; None if it is too long."""
        length = request.content_length
        is_large = length is None or length > BODY_USUAL
        async with self._large if is_large else nullcontext():
            body = bytearray()
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > BODY_MOST:
                    return None
            return bytes(body)

    async def _receive(self, app: AsyncApp, body: bytes, seal: "_Seal") -> web.Response:
        """Take a request that Slack has signed."""
        if not await self._first_time(seal.signature):
            log.warning("http.replayed")
            return web.Response(status=401)
        try:
            payload = _payload(body)
        except (ValueError, RecursionError) as error:
            log.info("http.not_understood", error=type(error).__name__)
            return web.Response(status=400)
        received = payloads.received(payload, self._commands)
        if received is None:
            log.info("slack.not_for_us")
            return web.Response(status=404)
        return await _dispatch(app, received)

    def _is_slacks(self, body: bytes, seal: "_Seal") -> bool:
        try:
            return self._verifier.is_valid(body, seal.timestamp, seal.signature)
        except ValueError:
            return False  # no UTF-8: nothing that Slack has signed

    async def connected(self) -> bool:
        """Whether it listens."""
        return self._runner is not None

    async def close(self) -> None:
        """Answer what is being received, and listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None


class _Seal(NamedTuple):
    """What may be Slack's signature, and the timestamp that it signs."""

    timestamp: str
    signature: str


def _seal(request: web.BaseRequest) -> _Seal | None:
    """The two headers, once each and of Slack's form; None for anything else."""
    timestamps = request.headers.getall("x-slack-request-timestamp", ())
    signatures = request.headers.getall("x-slack-signature", ())
    if len(timestamps) != 1 or len(signatures) != 1:
        return None
    (timestamp,), (signature,) = timestamps, signatures
    if not _TIMESTAMP.fullmatch(timestamp) or not _SIGNATURE.fullmatch(signature):
        return None
    if abs(time.time() - int(timestamp)) > SIGNED_WITHIN:
        return None
    return _Seal(timestamp, signature)


def _refused_by_its_head(request: web.BaseRequest) -> web.Response | None:
    """The answer to what can't be Slack's; None if the body is worth reading."""
    if request.path != PATH:
        return web.Response(status=404)
    if request.method != "POST":
        return web.Response(status=405, headers={"Allow": "POST"})
    length = request.content_length
    if length is not None and length > BODY_MOST:
        return web.Response(status=413)
    may_be_ssl_check = (
        length is not None
        and length <= SSL_CHECK_MOST
        and "x-slack-signature" not in request.headers
    )
    return None if may_be_ssl_check or _seal(request) else _not_signed()


def _not_signed() -> web.Response:
    log.info("http.not_signed")
    return web.Response(status=401)


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
