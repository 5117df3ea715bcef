"""The workspace's HTTP interface for the app: Web API, response_urls and the socket, on 127.0.0.1.

Only transport: webapi.py and responses.py say what a call does, rules.py says what is refused.
"""

import asyncio
import json

from aiohttp import web

from workspace.blocks import Json
from workspace.faults import RESPONSE_URL, Fault, Faults
from workspace.responses import Responses
from workspace.rules import Refused
from workspace.socket_mode import SocketMode
from workspace.state import ApiCall, State
from workspace.webapi import Reply, WebApi, reply_of_fault

# What Slack answers to a bad response_url or a bad body sent to one.
_RESPONSE_STATUS = {
    "expired_url": 404,
    "used_url": 404,
    "restricted_action": 403,
    "internal_error": 500,
    "fatal_error": 500,
}


class Server:
    """Listens on a free port of 127.0.0.1 between `start` and `close`."""

    def __init__(self, state: State, faults: Faults, responses: Responses) -> None:
        self._state = state
        self._faults = faults
        self._responses = responses
        self.sockets = SocketMode(state)
        self.api = WebApi(state, faults, self._socket_url)
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def base_url(self) -> str:
        """The address, without a trailing slash."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def api_url(self) -> str:
        """The value for `SLACK_API_URL`."""
        return f"{self.base_url}/api/"

    def _socket_url(self) -> str:
        ticket = self.sockets.new_ticket()
        return f"ws://127.0.0.1:{self._port}/link/?ticket={ticket}&app_id={self._state.app.id}"

    async def start(self) -> None:
        app = web.Application(client_max_size=4 * 2**20)
        app.router.add_route("*", "/api/{method}", self._call)
        app.router.add_post("/{kind:commands|actions|app}/{team}/{secret}", self._respond)
        app.router.add_get("/link/", self.sockets.handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = int(self._runner.addresses[0][1])

    async def close(self) -> None:
        if self._runner is not None:
            await self.sockets.close()
            await self._runner.cleanup()

    async def _call(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["method"]
        try:
            args = await _arguments(request)
        except Refused as refused:
            return web.json_response(refused.body())
        fault = await self._befall(request, name, args)
        reply = self.api.call(name, _token(request, args), args, fault)
        if fault is not None and fault.how == "drop_after":
            _cut(request)
        return web.json_response(reply.body, status=reply.status, headers=reply.headers)

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        try:
            body = _json_object(await request.text())
        except Refused as refused:
            return web.json_response(refused.body(), status=400)
        fault = await self._befall(request, RESPONSE_URL, body)
        reply = self._response(request.match_info["secret"], body, fault)
        self._record(RESPONSE_URL, body, reply)
        if fault is not None and fault.how == "drop_after":
            _cut(request)
        if reply.status == 200:
            return web.Response(text="ok")
        return web.json_response(reply.body, status=reply.status, headers=reply.headers)

    def _response(self, secret: str, body: Json, fault: Fault | None) -> Reply:
        if fault is not None and fault.how in {"rate_limit", "fail", "refuse"}:
            return reply_of_fault(fault)
        try:
            self._responses.to_response_url(secret, body)
        except Refused as refused:
            return Reply(refused.body(), _RESPONSE_STATUS.get(refused.error, 400))
        return Reply({"ok": True})

    async def _befall(self, request: web.Request, method: str, args: Json) -> Fault | None:
        """The fault for this call; by now a slow one is over and a dropped one is cut."""
        fault = self._faults.take(method)
        if fault is not None and fault.how == "slow":
            await self._state.clock.sleep(fault.seconds)
        if fault is not None and fault.how == "drop":
            self._record(method, args, Reply({"ok": False, "error": "dropped"}, 0))
            _cut(request)
        return fault

    def _record(self, method: str, args: Json, reply: Reply) -> None:
        self._state.record_call(
            ApiCall(
                method=method,
                args={name: value for name, value in args.items() if name != "token"},
                status=reply.status,
                error=reply.body.get("error"),
                response=reply.body,
            )
        )


def _cut(request: web.Request) -> None:
    """Close the request's connection, so that its answer is never seen."""
    if request.transport is not None:
        request.transport.abort()
    raise asyncio.CancelledError


def _json_object(text: str) -> Json:
    try:
        body = json.loads(text)
    except json.JSONDecodeError:
        raise Refused("invalid_payload") from None
    if not isinstance(body, dict):
        raise Refused("invalid_payload")
    return body


async def _arguments(request: web.Request) -> Json:
    """The arguments from the query, and from a form or JSON."""
    args: Json = dict(request.query)
    if request.content_type == "application/json" and request.can_read_body:
        try:
            body = await request.json()
        except json.JSONDecodeError:
            raise Refused("invalid_json") from None
        if not isinstance(body, dict):
            raise Refused("json_not_object")
        args |= body
    else:
        args |= {name: str(value) for name, value in (await request.post()).items()}
    return {name: value for name, value in args.items() if value is not None}


def _token(request: web.Request, args: Json) -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme == "Bearer" and token:
        return token
    return str(args["token"]) if args.get("token") else None
