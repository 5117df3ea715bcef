"""`/healthz`, `/readyz` and `/metrics`, on their own port.

Ready means that a click can be taken and recorded: Slack is connected and the ledger can be
written. A cluster that is down shows in the metrics but doesn't make the bot unready: the other
clusters are needed.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

import structlog
from aiohttp import web

from bot.listening import BoundedServer

log = structlog.get_logger(__name__)

CHECK_TIMEOUT = 3.0

KEPT_FOR = 1.0
"""Seconds for which the checks' result is reused."""

MOST_CONNECTIONS = 128
"""An orchestrator and a few scrapers need one each while they ask."""

IDLE_WITHIN = 5.0
"""Seconds after which a connection without a request is closed."""

Check = Callable[[], Awaitable[bool]]


class HealthServer:
    """Serves until closed. A check that doesn't answer within 3 s counts as failed.

    However many requests arrive, the checks run one round at a time, and at most once a second.
    """

    def __init__(
        self, port: int, checks: Mapping[str, Check], metrics: Callable[[], bytes]
    ) -> None:
        self._port = port
        self._checks = checks
        self._metrics = metrics
        self._paths = {
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/metrics": self._exposed,
        }
        self._runner: web.ServerRunner | None = None
        self._checking: asyncio.Task[dict[str, bool]] | None = None
        self._checked_at = 0.0
        self._silent: set[str] = set()  # the checks that didn't answer when asked last

    async def open(self) -> None:
        """Listen. Raises `OSError` if the port is taken."""
        server = BoundedServer(self._answer, most=MOST_CONNECTIONS, idle_within=IDLE_WITHIN)
        self._runner = web.ServerRunner(server)
        await self._runner.setup()
        await web.TCPSite(self._runner, port=self._port).start()

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        if self._checking is not None:
            self._checking.cancel()
            await asyncio.gather(self._checking, return_exceptions=True)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        answer = self._paths.get(request.path)
        if answer is None:
            return web.Response(status=404)
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, headers={"Allow": "GET, HEAD"})
        response = await answer()
        response.force_close()  # nobody asks often enough for a kept connection to pay
        return response

    async def _healthz(self) -> web.Response:
        """The process answers: its event loop runs."""
        return web.json_response({"status": "ok"})

    async def _readyz(self) -> web.Response:
        found = await self._found()
        return web.json_response(found, status=200 if all(found.values()) else 503)

    async def _found(self) -> dict[str, bool]:
        """The checks' result, at most a second old. Concurrent callers share one round."""
        now = time.monotonic()
        checking = self._checking
        if checking is None or (checking.done() and now - self._checked_at >= KEPT_FOR):
            checking = self._checking = asyncio.create_task(self._check(), name="readiness")
        return await asyncio.shield(checking)

    async def _check(self) -> dict[str, bool]:
        results = await asyncio.gather(*(self._passes(*each) for each in self._checks.items()))
        self._checked_at = time.monotonic()
        return dict(zip(self._checks, results, strict=True))

    async def _passes(self, name: str, check: Check) -> bool:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT):
                passes = await check()
        except TimeoutError:
            if name not in self._silent:
                log.warning("health.no_answer", check=name, seconds=CHECK_TIMEOUT)
            self._silent.add(name)
            return False
        if name in self._silent:
            log.info("health.answers", check=name)
        self._silent.discard(name)
        return passes

    async def _exposed(self) -> web.Response:
        return web.Response(
            body=self._metrics(),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )
