"""Socket Mode: up to ten connections of the app; each interaction goes to any one of them."""

import asyncio
import itertools
import secrets
from typing import Any, Literal, TypeAlias

from aiohttp import WSMsgType, web

from workspace.blocks import Json
from workspace.delivery import DispatchFailed, Envelope
from workspace.rules import CONNECTIONS
from workspace.state import State

TICKET_SECONDS = 30.0

Reason: TypeAlias = Literal["warning", "refresh_requested", "link_disabled", "too_many_websockets"]


class SocketMode:
    """The open connections, and the acknowledgements awaited on them."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._tickets: dict[str, float] = {}
        self._open: list[web.WebSocketResponse] = []
        self._transports: dict[web.WebSocketResponse, asyncio.BaseTransport | None] = {}
        self._turn = itertools.count()
        self._awaited: dict[str, asyncio.Future[object]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def new_ticket(self) -> str:
        """A ticket for one connection, as apps.connections.open returns it."""
        ticket = secrets.token_urlsafe(24)
        self._tickets[ticket] = self._state.clock.now()
        return ticket

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one connection until it ends."""
        given = self._tickets.pop(request.query.get("ticket", ""), None)
        if given is None or self._state.clock.now() - given > TICKET_SECONDS:
            raise web.HTTPForbidden(text="bad ticket")
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        if len(self._open) >= CONNECTIONS:
            await _say_goodbye(socket, "too_many_websockets")
            return socket
        self._open.append(socket)
        self._transports[socket] = request.transport
        try:
            await socket.send_json(self._hello())
            self._state.log.append("connection_opened", len(self._open))
            async for message in socket:
                if message.type == WSMsgType.TEXT:
                    self._acknowledged(message.json())
        finally:
            self._forget(socket)
        return socket

    def _forget(self, socket: web.WebSocketResponse) -> None:
        if socket in self._open:
            self._open.remove(socket)
            del self._transports[socket]
            self._state.log.append("connection_closed", len(self._open))

    def _hello(self) -> Json:
        return {
            "type": "hello",
            "num_connections": len(self._open),
            "debug_info": {
                "host": "applink-workspace",
                "build_number": 1,
                "approximate_connection_time": 18060,
            },
            "connection_info": {"app_id": self._state.app.id},
        }

    def _acknowledged(self, answer: Any) -> None:  # noqa: ANN401 - whatever the app sent
        if not isinstance(answer, dict):
            return
        awaited = self._awaited.pop(str(answer.get("envelope_id")), None)
        if awaited is not None and not awaited.done():
            awaited.set_result(answer.get("payload"))

    async def deliver(self, envelope: Envelope) -> object:
        """Send it over the next connection in turn, and wait for the app's acknowledgement."""
        awaited: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._awaited[envelope.id] = awaited
        body = {
            "envelope_id": envelope.id,
            "type": envelope.type,
            "accepts_response_payload": envelope.accepts_response_payload,
            "payload": envelope.payload,
        }
        if envelope.type == "events_api":
            body |= {"retry_attempt": 0, "retry_reason": ""}
        try:
            await self._send(body)
            return await awaited
        finally:
            self._awaited.pop(envelope.id, None)

    async def _send(self, body: Json) -> None:
        while self._open:
            socket = self._open[next(self._turn) % len(self._open)]
            try:
                await socket.send_json(body)
            except ConnectionError:
                self._forget(socket)
            else:
                return
        raise DispatchFailed("no connection of the app is open")

    async def disconnect(self, reason: Reason = "refresh_requested") -> None:
        """Ask the app to reconnect, as Slack does every few hours, and end the connections.

        A `warning` comes some seconds before the end, so it ends nothing itself.
        """
        for socket in tuple(self._open):
            if reason == "warning":
                await socket.send_json(_disconnect(reason))
            else:
                self._forget(socket)
                await _say_goodbye(socket, reason)

    def cut(self) -> None:
        """Cut every connection without a close frame."""
        for socket in tuple(self._open):
            transport = self._transports[socket]
            self._forget(socket)
            if isinstance(transport, asyncio.Transport):
                transport.abort()

    def freeze(self) -> None:
        """Read nothing more from the app on its connections, but keep them open."""
        for transport in self._transports.values():
            if isinstance(transport, asyncio.Transport):
                transport.pause_reading()

    async def close(self) -> None:
        """End every connection properly."""
        for socket in tuple(self._open):
            self._forget(socket)
            await socket.close()


def _disconnect(reason: Reason) -> Json:
    return {
        "type": "disconnect",
        "reason": reason,
        "debug_info": {"host": "applink-workspace"},
    }


async def _say_goodbye(socket: web.WebSocketResponse, reason: Reason) -> None:
    if not socket.closed:
        await socket.send_json(_disconnect(reason))
        await socket.close()
