"""`/healthz`, `/readyz` and `/metrics`, on a port of their own.

Ready means that a click can be taken and recorded: Slack is connected and the ledger can
be written. A cluster that is down is a number, not unreadiness: the others are needed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

CHECK_TIMEOUT = 3.0

Check = Callable[[], Awaitable[bool]]


class HealthServer:
    """Serves until closed. Each check answers, or counts as failed after 3 s."""

    def __init__(
        self, port: int, checks: Mapping[str, Check], metrics: Callable[[], bytes]
    ) -> None:
        self._port = port
        self._checks = checks
        self._metrics = metrics
        self._runner: web.AppRunner | None = None

    async def open(self) -> None:
        """Listen. Raises `OSError` where the port is taken."""
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._exposed)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, port=self._port).start()

    async def close(self) -> None:
        """Listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        """The process answers: its loop turns."""
        return web.json_response({"status": "ok"})

    async def _readyz(self, _: web.Request) -> web.Response:
        results = await asyncio.gather(*(_passes(check) for check in self._checks.values()))
        found = dict(zip(self._checks, results, strict=True))
        return web.json_response(found, status=200 if all(results) else 503)

    async def _exposed(self, _: web.Request) -> web.Response:
        return web.Response(
            body=self._metrics(),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )


async def _passes(check: Check) -> bool:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT):
            return await check()
    except TimeoutError:
        return False
