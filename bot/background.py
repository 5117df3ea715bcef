"""What the bot does periodically, and what it does side by side."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, NoReturn, TypeVar

import structlog

log = structlog.get_logger(__name__)

_T = TypeVar("_T")

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
