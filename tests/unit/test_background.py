"""What runs side by side ends together."""

import asyncio

import pytest

from bot.background import answers_of, together
from bot.errors import ClusterTimeout, LedgerError


async def test_together_waits_for_all():
    done = []

    async def work(number: int) -> None:
        await asyncio.sleep(0)
        done.append(number)

    await together(work(1), work(2))
    assert sorted(done) == [1, 2]


async def test_together_raises_the_first_error_and_cancels_the_rest():
    cancelled = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def fail() -> None:
        await asyncio.sleep(0)
        raise LedgerError("the file is gone")

    with pytest.raises(LedgerError, match="the file is gone"):
        await together(hang(), fail())
    assert cancelled.is_set()


async def test_answers_come_in_the_order_of_the_questions_and_so_do_the_errors():
    last = asyncio.Event()

    async def ask(number: int) -> int:
        await (last.wait() if number < 3 else asyncio.sleep(0))
        last.set()
        if number % 2 == 0:
            raise ClusterTimeout(f"c{number}", "is silent")
        return number

    answers, failed = await answers_of(map(ask, range(4)), ClusterTimeout)
    assert answers == [1, 3]
    assert [str(error) for error in failed] == [
        str(ClusterTimeout(name, "is silent")) for name in ("c0", "c2")
    ]


async def test_an_error_that_nobody_expects_is_no_answer():
    async def fail() -> None:
        raise LedgerError("the file is gone")

    with pytest.raises(LedgerError, match="the file is gone"):
        await answers_of([fail()], ClusterTimeout)
