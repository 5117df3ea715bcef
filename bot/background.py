"""The one periodic loop: what the bot does by itself, now and then."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn

import structlog

log = structlog.get_logger(__name__)


async def every(
    seconds: float,
    work: Callable[[], Awaitable[None]],
    *,
    failed: str,
    at_once: bool = False,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> NoReturn:
    """Do it for ever, so many seconds after it was done; first of all where `at_once`.

    Whatever it raises is logged as the event `failed`, and is no end: the next time still wants
    it. What is expected it catches itself.
    """
    if not at_once:
        await sleep(seconds)
    while True:
        try:
            await work()
        except Exception:
            log.exception(failed)
        await sleep(seconds)
