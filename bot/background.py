"""What the bot does periodically, side by side, and after an acknowledgement."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, NoReturn, TypeVar

import structlog

log = structlog.get_logger(__name__)

_T = TypeVar("_T")

Work = Coroutine[Any, Any, None]

LAST_WORDS = 2.0
"""Seconds that work has, once it is told to stop, to record what it knows."""

_in_background = set[asyncio.Task[Any]]()


async def every(
    seconds: float,
    work: Callable[[], Awaitable[object]],
    *,
    failed: str,
    at_once: bool = False,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> NoReturn:
    """Repeat forever, pausing after each run and, unless `at_once`, before the first.

    An exception is logged as the event `failed` and doesn't end the loop. `work` catches expected
    errors itself.
    """
    if not at_once:
        await sleep(seconds)
    while True:
        try:
            await work()
        except Exception:
            log.exception(failed)
        await sleep(seconds)


async def together(*work: Coroutine[None, None, None]) -> None:
    """Run all side by side. If one fails, cancel the others and raise its error."""
    try:
        async with asyncio.TaskGroup() as group:
            for each in work:
                group.create_task(each)
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None


async def answers_of(
    asked: Iterable[Awaitable[_T]], *kept: type[Exception]
) -> tuple[list[_T], list[Exception]]:
    """Await all side by side: what they return and, of these kinds, what they raise, in order.

    Raises an error of any other kind.
    """

    async def answer(each: Awaitable[_T]) -> _T | Exception:
        try:
            return await each
        except kept as error:
            return error

    found = await asyncio.gather(*map(answer, asked))
    return (
        [each for each in found if not isinstance(each, Exception)],
        [each for each in found if isinstance(each, Exception)],
    )


def in_background(work: Coroutine[Any, Any, _T], name: str) -> asyncio.Task[_T]:
    """Start a task that goes on if whoever waits for it gives up; its error is then ignored."""
    task = asyncio.create_task(work, name=name)
    _in_background.add(task)
    task.add_done_callback(_ended)
    return task


def _ended(task: asyncio.Task[Any]) -> None:
    _in_background.discard(task)
    if not task.cancelled():
        task.exception()  # retrieved, so that asyncio doesn't complain at the end


class Tasks:
    """Tasks that must finish before the process ends, and tasks that may be dropped.

    Bolt keeps no reference to what goes on after an acknowledgement; this does.
    """

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
