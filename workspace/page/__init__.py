"""The workspace in a browser: a Slack channel, drawn from what the workspace holds.

    async with Workspace() as slack, Page(slack) as page:
        print(page.url)

Everything that runs in the browser is in `static/`: plain HTML, CSS and ES modules.
"""

from pathlib import Path
from typing import Self

from aiohttp import web

from workspace.page.actions import Actions
from workspace.page.cast import ROLES
from workspace.page.contract import Scenario, ScenarioView
from workspace.page.guard import guard, set_headers
from workspace.page.live import Live
from workspace.slack import Workspace

__all__ = ["Page", "Scenario", "ScenarioView"]

STATIC = Path(__file__).parent / "static"
HOST = "127.0.0.1"
CHANNEL = "incidents"


class Page:
    """Serves the page on loopback between `async with` and its end.

    `port` 0 takes a free one; a port in use raises `OSError`. Without a scenario there is only the
    workspace, without a panel beside it.
    """

    def __init__(
        self, workspace: Workspace, scenario: Scenario | None = None, *, port: int = 0
    ) -> None:
        self._workspace = workspace
        self._port = port
        self._live = Live(workspace, scenario)
        self._actions = Actions(workspace, scenario)
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://{HOST}:{self._port}/"

    def routes(self) -> list[web.AbstractRouteDef]:
        """Everything that the page serves."""
        return [
            web.get("/", self._index),
            web.get("/events", self._live.handle),
            *self._actions.routes(),
            web.static("/static", STATIC),
        ]

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[guard])
        app.add_routes(self.routes())
        app.on_response_prepare.append(set_headers)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, HOST, self._port).start()
        except OSError:
            await self._runner.cleanup()
            raise
        self._port = int(self._runner.addresses[0][1])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._live.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _index(self, request: web.Request) -> web.StreamResponse:
        """The page itself; if its address names no person, as the first one."""
        if request.query.get("as") not in {role.name for role in ROLES}:
            place = request.query.get("in", CHANNEL)
            raise web.HTTPFound(request.rel_url.with_query({"as": ROLES[0].name, "in": place}))
        return web.FileResponse(STATIC / "index.html")
