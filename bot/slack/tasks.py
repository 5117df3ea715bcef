"""Work that goes on after the acknowledgement. Bolt keeps no handle on it; this does."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import structlog

log = structlog.get_logger(__name__)

LAST_WORDS = 2.0
"""Seconds that work which is told to stop has to write down what it knows."""


class Tasks:
    """Tasks to be finished before the process ends, and tasks that may be dropped."""

    def __init__(self) -> None:
        self._work: set[asyncio.Task[None]] = set()
        self._optional: set[asyncio.Task[None]] = set()
        self._over = False

    def start(self, work: Coroutine[Any, Any, None], *, name: str, optional: bool = False) -> None:
        """Run `work` in the background. It deals with its own errors; others are logged.

        What comes when the time to finish is over is not begun.
        """
        if self._over:
            work.close()
            log.warning("task.too_late", task=name)
            return
        tasks = self._optional if optional else self._work
        task = asyncio.create_task(work, name=name)
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        task.add_done_callback(_log_failure)

    async def drain(self, within: float) -> int:
        """Wait for the work at most `within` seconds, end the rest; how many were ended.

        What begins meanwhile is waited for too. Takes at most `LAST_WORDS` more.
        """
        until = time.monotonic() + within
        await _end(self._optional)
        while self._work and (left := until - time.monotonic()) > 0:
            await asyncio.wait(self._work, timeout=left)
        self._over = True
        ended = await _end(self._work)
        await _end(self._optional)  # what began meanwhile
        return ended


async def _end(tasks: set[asyncio.Task[None]]) -> int:
    left = [task for task in tasks if not task.done()]
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=LAST_WORDS)
    return len(left)


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("task.failed", task=task.get_name(), exc_info=error)
