"""Work that is never begun is closed, and so is the work inside of it."""

import asyncio
import inspect
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bot.background import Tasks
from bot.slack.payloads import click
from bot.slack.runner import Runner


def runner(tasks: Tasks) -> Runner:
    nothing = cast("Any", SimpleNamespace())
    return Runner(nothing, nothing, nothing, tasks, nothing, nothing)


@pytest.mark.parametrize("begin", [Runner.start, Runner.start_later])
@pytest.mark.parametrize("is_over", [True, False])
async def test_work_of_a_request_that_never_begins_is_closed(begin: Any, is_over: bool) -> None:
    tasks, work = Tasks(), asyncio.sleep(0)
    if is_over:
        await tasks.drain(0)
    begin(runner(tasks), click({}), work)
    await tasks.drain(0)
    assert inspect.getcoroutinestate(work) == inspect.CORO_CLOSED
