"""Work that goes on after the acknowledgement. Bolt keeps no handle on it; this does."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Tasks:
    """Tasks to be finished before the process ends, and tasks that may be dropped."""

    def __init__(self) -> None:
        self._work: set[asyncio.Task[None]] = set()
        self._optional: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None], *, name: str, optional: bool = False) -> None:
        """Run `work` in the background. It deals with its own errors."""
        tasks = self._optional if optional else self._work
        task = asyncio.create_task(work, name=name)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def drain(self, within: float) -> int:
        """Wait for the work at most `within` seconds, end the rest; how many were ended."""
        await _end(self._optional)
        if self._work:
            await asyncio.wait(self._work, timeout=within)
        return await _end(self._work)


async def _end(tasks: set[asyncio.Task[None]]) -> int:
    left = [task for task in tasks if not task.done()]
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    return len(left)
