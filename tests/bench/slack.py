"""The workspace's Slack, but one that takes every message at once, unread.

What the workspace would judge, draw and remember of a message costs as much as the bot takes to
make it. The protocol is the workspace's own: the sockets, the envelopes, the other methods.
"""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from workspace import Workspace
from workspace.blocks import complete, elements
from workspace.delivery import Envelope
from workspace.faults import Faults
from workspace.payloads import command_payload, message_click_payload
from workspace.responses import Responses
from workspace.server import Server
from workspace.state import Message, State

MESSAGES = frozenset({"chat.postMessage", "chat.postEphemeral", "chat.update"})
CHANNEL = "C0INCIDENTS"
PEOPLE = ("ana", "ben", "vera")

PATIENCE = 60.0
"""Seconds to wait for what must come."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A message as it came; `at` is on `time.perf_counter`, as soon as its last byte was here."""

    at: float
    method: str
    body: bytes
    ts: str


class _Server(Server):
    """Slack's HTTP face that answers a message before anything else is done with it."""

    def __init__(self, state: State, faults: Faults, responses: Responses) -> None:
        super().__init__(state, faults, responses)
        self.taken: list[Taken] = []
        self._awaited: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    async def _call(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        if method not in MESSAGES:
            return await super()._call(request)
        body = await request.read()
        taken = Taken(time.perf_counter(), method, body, self._state.new_ts())
        self.taken.append(taken)
        for holds, awaited in self._awaited:
            if not awaited.done() and holds():
                awaited.set_result(None)
        return web.json_response({"ok": True, "channel": CHANNEL, "ts": taken.ts, "message": {}})

    async def until(self, holds: Callable[[], bool]) -> None:
        if holds():
            return
        awaited: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._awaited.append((holds, awaited))
        try:
            async with asyncio.timeout(PATIENCE):
                await awaited
        finally:
            self._awaited.remove((holds, awaited))


class QuickSlack(Workspace):
    """A workspace whose people send what was made ready, and whose messages are only counted."""

    def __init__(self) -> None:
        super().__init__()
        self._quick = _Server(self.state, self.faults, Responses(self.state, self.faults))
        self.server = self._quick

    @property
    def taken(self) -> list[Taken]:
        """Every message of the app, in order."""
        return self._quick.taken

    def command(self, text: str, by: str = PEOPLE[0]) -> Envelope:
        """A command in `#incidents`, ready to be sent."""
        person, name = self.person(by), text.partition(" ")
        url = self.state.new_response_url(CHANNEL, person.id, None)
        payload = command_payload(
            state=self.state,
            user=person.user,
            channel=self.state.channels[CHANNEL],
            command=name[0],
            text=name[2],
            response_url=f"{self.server.base_url}/commands/{self.state.team.id}/{url.secret}",
            trigger=self.state.new_trigger(person.id),
        )
        return Envelope(type="slash_commands", payload=payload, accepts_response_payload=True)

    def click(self, taken: Taken, words: str, by: str = PEOPLE[0]) -> Envelope:
        """A press of the button with these words under a message, ready to be sent."""
        person, body = self.person(by), json.loads(taken.body)
        blocks = complete(body["blocks"])
        message = self.state.post(
            Message(
                channel=CHANNEL,
                ts=taken.ts,
                user=self.state.app.user_id,
                text=body["text"],
                blocks=tuple(blocks),
            )
        )
        button = next(each for each in elements(blocks) if words in str(each.element.get("text")))
        url = self.state.new_response_url(CHANNEL, person.id, taken.ts)
        payload = message_click_payload(
            state=self.state,
            user=person.user,
            message=message,
            element=button,
            chosen={},
            response_url=f"{self.server.base_url}/actions/{self.state.team.id}/{url.secret}",
            trigger=self.state.new_trigger(person.id),
        )
        return Envelope(type="interactive", payload=payload)

    async def send(self, envelope: Envelope) -> tuple[float, float]:
        """Send it; when it was sent, and when its acknowledgement had come."""
        sent = time.perf_counter()
        async with asyncio.timeout(PATIENCE):
            await self.server.sockets.deliver(envelope)
        return sent, time.perf_counter()

    async def takes(self, count: int) -> list[Taken]:
        """Wait until so many messages have come in all."""
        await self._quick.until(lambda: len(self.taken) >= count)
        return self.taken

    async def takes_one(self, *words: str, since: int) -> Taken:
        """Wait for a message with these words, later than the first `since` ones."""
        wanted = [word.encode() for word in words]

        def found() -> Taken | None:
            for each in self.taken[since:]:
                if all(word in each.body for word in wanted):
                    return each
            return None

        await self._quick.until(lambda: found() is not None)
        taken = found()
        assert taken is not None
        return taken


def fixed(taken: Taken) -> dict[str, Any]:
    """What was posted, as arguments of `chat.postMessage`."""
    body: dict[str, Any] = json.loads(taken.body)
    return {name: body[name] for name in ("channel", "text", "blocks") if name in body}
