"""How Slack's requests reach the app: Socket Mode, or HTTP behind a load balancer.

Either way the app gets only the fields that the bot reads, in the form of a Socket Mode envelope:
parsed, and known to come from Slack.
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
"""Seconds between two checks of the socket, so that a lost one is noticed soon."""

ACK_WITHIN = 2.5
"""Seconds that a closing socket stays open for pending acknowledgements; Slack allows three."""

BODY_MOST = 2**20
"""Maximum bytes of a request. A click includes its message, whose blocks take up to a tenth."""

BODY_USUAL = 2**17
"""Bytes up to which a body is read at once. Of larger ones, and those of unknown size, only a few
are read at a time."""

LARGE_AT_ONCE = 4

SSL_CHECK_MOST = 256
"""Maximum bytes of Slack's certificate check: a form with two fields."""

BODY_WITHIN = 2.5
"""Seconds for a request's body to arrive. Slack waits three for an answer, and so does a stopping
bot for its requests: aiohttp logs a failure if one ends at the moment that it is given up."""

LINGER = 2.0
"""Seconds for which the rest of a refused body is discarded, so that the refusal is read."""

IDLE_WITHIN = 75.0
"""Seconds that a connection may stay without a whole request; load balancers keep theirs less."""

MOST_CONNECTIONS = 256

SIGNED_WITHIN = 300
"""Seconds that a signature's timestamp may be off, which is Slack's own rule."""

_OFF = f"its time is more than {SIGNED_WITHIN} s off: it is old, or this machine's clock is wrong"

_TIMESTAMP = re.compile("[0-9]{1,12}")
_SIGNATURE = re.compile("v0=[0-9a-f]{64}")

FirstTime = Callable[[str], Awaitable[bool]]


class Transport(Protocol):
    """Where requests come from. After `close` none come in; answers don't need it."""

    async def open(self, app: AsyncApp) -> None:
        """Start accepting requests."""

    async def connected(self) -> bool:
        """Whether requests can come in."""

    async def close(self) -> None:
        """Accept no more requests."""


class _Envelopes(AsyncSocketModeHandler):
    """Bolt's handler, but only for envelopes that hold a command, a click or an opened Home."""

    def __init__(self, app: AsyncApp, app_token: str, commands: Collection[str]) -> None:
        super().__init__(app, app_token, ping_interval=PING_EVERY)
        self._commands = commands
        self.at_the_door: set[asyncio.Future[None]] = set()  # not acknowledged yet

    async def handle(  # type: ignore[override]
        self, client: SocketModeClient, req: SocketModeRequest
    ) -> None:
        """Pass an envelope to the app; a useless one stays unacknowledged."""
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
        """Connect. The token was checked before; with a bad one this would retry forever."""
        self._handler = _Envelopes(app, self._app_token, self._commands)
        renewing = every(
            PING_EVERY, partial(self._renew, self._handler.client), failed="socket.not_renewed"
        )
        self._renewer = asyncio.create_task(renewing, name="socket-url")
        await self._handler.connect_async()  # type: ignore[no-untyped-call]

    async def _renew(self, socket: AsyncBaseSocketModeClient) -> None:
        """Make the SDK ask for a new URL if one leads nowhere.

        A socket's URL works once and not for long, but the SDK would retry the same one forever.
        """
        if not await socket.is_connected():
            socket.wss_uri = None  # type: ignore[assignment]

    async def connected(self) -> bool:
        if self._handler is None:
            return False
        socket = self._handler.client
        return bool(await socket.is_connected())

    async def close(self) -> None:
        """Close the socket once pending requests are acknowledged, which happens over it."""
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
                # The SDK would do this last, after a goodbye that a silent Slack delays.
                await self._handler.client.aiohttp_client_session.close()


class HttpMode:
    """Slack posts to `/slack/events`.

    Anyone who reaches the port can post there, so a stranger must cost little. The headers decide
    whether a request can be Slack's: it needs a signature in Slack's form and a timestamp at most
    300 s off; otherwise it is refused unread. Bodies are limited in size, each and in all. The
    signature (HMAC-SHA256 of `v0:timestamp:body`) is checked before anything is parsed. A
    signature that any replica has seen before is a replay.
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
        self._server: BoundedServer | None = None
        self._runner: web.ServerRunner | None = None

    async def open(self, app: AsyncApp) -> None:
        """Listen. Raises `OSError` if the port is taken."""

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
                # Slack checks the certificate now and then, and signs nothing.
                return web.Response()
            seal = _seal(request)
            if seal is None:
                return _not_signed()
            if not self._is_slacks(body, seal):
                return _not_signed("its signature was not made with SLACK_SIGNING_SECRET")
            with server.keeping(request):
                is_json = request.content_type == "application/json"
                return await self._receive(app, body, seal, is_json=is_json)

        server = BoundedServer(
            receive, most=MOST_CONNECTIONS, idle_within=IDLE_WITHIN, linger=LINGER
        )
        self._server = server
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

    async def _receive(
        self, app: AsyncApp, body: bytes, seal: "_Seal", *, is_json: bool
    ) -> web.Response:
        """Handle a request that Slack has signed."""
        if not await self._first_time(seal.signature):
            log.warning("http.replayed")
            return web.Response(status=401)
        try:
            payload = json.loads(body) if is_json else _payload(body)
        except (ValueError, RecursionError) as error:
            log.info("http.malformed", error=type(error).__name__)
            return web.Response(status=400)
        if (challenge := payloads.challenge(payload)) is not None:
            return web.Response(text=challenge)
        received = payloads.received(payload, self._commands)
        if received is None:
            log.info("slack.not_for_us")
            return web.Response(status=404)
        return await _dispatch(app, received)

    def _is_slacks(self, body: bytes, seal: "_Seal") -> bool:
        try:
            return self._verifier.is_valid(body, seal.timestamp, seal.signature)
        except ValueError:
            return False  # not UTF-8, so Slack didn't sign it

    async def connected(self) -> bool:
        """Whether it listens."""
        return self._runner is not None

    async def close(self) -> None:
        """Stop listening, and answer what is being received."""
        if self._runner is not None and self._server is not None:
            for site in self._runner.sites:
                await site.stop()
            await self._server.finish(BODY_WITHIN)
            await self._runner.cleanup()
            self._runner = None


class _Seal(NamedTuple):
    """What may be Slack's signature, with the timestamp that it signs."""

    timestamp: str
    signature: str

    @property
    def is_recent(self) -> bool:
        return abs(time.time() - int(self.timestamp)) <= SIGNED_WITHIN


def _seal(request: web.BaseRequest) -> _Seal | None:
    """The two headers, each present once and in Slack's form; otherwise None."""
    timestamps = request.headers.getall("x-slack-request-timestamp", ())
    signatures = request.headers.getall("x-slack-signature", ())
    if len(timestamps) != 1 or len(signatures) != 1:
        return None
    (timestamp,), (signature,) = timestamps, signatures
    if not _TIMESTAMP.fullmatch(timestamp) or not _SIGNATURE.fullmatch(signature):
        return None
    return _Seal(timestamp, signature)


def _refused_by_its_head(request: web.BaseRequest) -> web.Response | None:
    """The answer to a request that can't be Slack's; None if the body should be read."""
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
    seal = _seal(request)
    if seal is None:
        return None if may_be_ssl_check else _not_signed()
    return None if seal.is_recent else _not_signed(_OFF)


def _not_signed(problem: str = "no signature in Slack's form") -> web.Response:
    log.info("http.not_signed", problem=problem)
    return web.Response(status=401)


def _payload(body: bytes) -> object:
    """The content of a form: a command's fields, or the JSON of an interaction.

    Raises `ValueError` if it isn't such a form, `RecursionError` for JSON that is nested too
    deeply.
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
