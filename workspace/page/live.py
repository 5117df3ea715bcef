"""The stream of changes to a tab: a WebSocket on which the page only listens.

Server-sent events would also work, but each holds one of the six connections that a browser has
for a site: with six people in six tabs, nothing could be clicked any more.

A tab that lost its stream opens another, and every stream begins with a full snapshot.
"""

import asyncio
import weakref
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from aiohttp import WSCloseCode, web

from workspace.blocks import Json
from workspace.page.cast import person
from workspace.page.contract import Scenario, ScenarioView
from workspace.page.sight import Sight
from workspace.slack import Workspace

HEARTBEAT = 20.0

T = TypeVar("T")


class Live:
    """The open streams."""

    def __init__(self, workspace: Workspace, scenario: Scenario | None) -> None:
        self._workspace = workspace
        self._scenario = scenario
        self._open: weakref.WeakSet[web.WebSocketResponse] = weakref.WeakSet()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one tab, for the person that it names, until it closes."""
        user = person(self._workspace.state, request.query.get("person", ""))
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT, compress=False)
        await socket.prepare(request)
        self._open.add(socket)
        try:
            async with asyncio.TaskGroup() as group:
                tellers = [
                    group.create_task(self._tell(socket, Sight(self._workspace, user))),
                    group.create_task(self._tell_story(socket)),
                ]
                async for _ in socket:
                    pass
                for teller in tellers:
                    teller.cancel()
        except* ConnectionError:
            pass  # The tab closed while something was being sent to it.
        return socket

    async def close(self) -> None:
        """End every stream; each tab will then reconnect."""
        for socket in tuple(self._open):
            await socket.close(code=WSCloseCode.GOING_AWAY)

    async def _tell(self, socket: web.WebSocketResponse, sight: Sight) -> None:
        log = self._workspace.state.log
        snapshot = sight.snapshot()
        # Nothing is awaited in between, so nothing is missed or sent twice.
        async with _closing(log.follow(len(log))) as changes:
            await socket.send_json(snapshot)
            async for change in changes:
                for event in sight.after(change):
                    await socket.send_json(event)

    async def _tell_story(self, socket: web.WebSocketResponse) -> None:
        if self._scenario is None:
            return
        async with _closing(self._scenario.subscribe()) as views:
            await socket.send_json(_story(self._scenario.view()))
            async for view in views:
                await socket.send_json(_story(view))


def _story(view: ScenarioView) -> Json:
    return {"type": "scenario", "scenario": view}


@asynccontextmanager
async def _closing(items: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
    """Close a generator at the end of the block, not whenever it is garbage-collected."""
    try:
        yield items
    finally:
        if isinstance(items, AsyncGenerator):
            await items.aclose()
