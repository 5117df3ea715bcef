"""Work that goes on after the acknowledgement. Bolt keeps no reference to it; this does."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

log = structlog.get_logger(__name__)

Work = Coroutine[Any, Any, None]

LAST_WORDS = 2.0
"""Seconds that work has, once it is told to stop, to record what it knows."""


class Tasks:
    """Tasks that must finish before the process ends, and tasks that may be dropped."""

    def __init__(self) -> None:
        self._work: set[asyncio.Task[None]] = set()
        self._optional: set[asyncio.Task[None]] = set()
        self._over = False

    def start(
        self,
        work: Work,
        *,
        name: str,
        optional: bool = False,
        around: Callable[[Work], Work] | None = None,
    ) -> None:
        """Run `work` in the background, inside what `around` makes of it. Errors are logged.

        Once the time to finish is over, new work isn't started.
        """
        if self._over:
            work.close()
            log.warning("task.too_late", task=name)
            return
        tasks = self._optional if optional else self._work
        task = asyncio.create_task(work if around is None else around(work), name=name)
        tasks.add(task)
        # A task that is ended before it begins awaits nothing.
        task.add_done_callback(lambda _: work.close())
        task.add_done_callback(tasks.discard)
        task.add_done_callback(_log_failure)

    async def drain(self, within: float) -> int:
        """Wait up to `within` seconds for the work, then end the rest; return how many were ended.

        Also waits for work that starts meanwhile. Takes at most `LAST_WORDS` more seconds.
        """
        until = time.monotonic() + within
        await _end(self._optional)
        while self._work and (left := until - time.monotonic()) > 0:
            await asyncio.wait(self._work, timeout=left)
        self._over = True
        ended = await _end(self._work)
        await _end(self._optional)  # what started meanwhile
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
