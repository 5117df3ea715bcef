"""What many ask at the same time is asked once, and nobody takes the answer from another."""

import asyncio

import pytest

from bot.sharing import Sharing


class Asked:
    """Counts how often it is asked, and answers or fails when it is told to."""

    def __init__(self) -> None:
        self.times = 0
        self.stopped = 0
        self.may_answer = asyncio.Event()
        self.failure: Exception | None = None

    async def __call__(self) -> int:
        self.times += 1
        number = self.times
        try:
            await self.may_answer.wait()
        except asyncio.CancelledError:
            self.stopped += 1
            raise
        if self.failure is not None:
            raise self.failure
        return number


async def begun(asked: Asked, times: int = 1) -> None:
    while asked.times < times:
        await asyncio.sleep(0)


async def test_all_who_ask_at_once_are_given_one_answer():
    sharing, asked = Sharing[str, int](), Asked()
    crowd = [asyncio.create_task(sharing.answer("q", asked)) for _ in range(5)]
    other = asyncio.create_task(sharing.answer("another", asked))
    await begun(asked, 2)
    asked.may_answer.set()
    assert await asyncio.gather(*crowd) == [1] * 5
    assert await other == 2


async def test_an_answer_is_kept_for_as_long_as_was_said():
    asked = Asked()
    asked.may_answer.set()
    kept, not_kept = Sharing[str, int](kept=3600), Sharing[str, int]()
    assert [await kept.answer("q", asked) for _ in range(2)] == [1, 1]
    assert kept.last("q") == 1
    kept.forget("q")
    assert kept.last("q") is None
    assert await kept.answer("q", asked) == 2
    assert [await not_kept.answer("q", asked) for _ in range(2)] == [3, 4]
    assert not_kept.last("q") is None


async def test_what_is_kept_goes_by_itself_when_its_time_is_over():
    sharing, asked = Sharing[str, int](kept=0.01), Asked()
    asked.may_answer.set()
    await sharing.answer("q", asked)
    while sharing._asked:
        await asyncio.sleep(0.005)
    assert await sharing.answer("q", asked) == 2


async def test_who_stops_waiting_takes_the_answer_from_nobody():
    sharing, asked = Sharing[str, int](), Asked()
    first, second = (asyncio.create_task(sharing.answer("q", asked)) for _ in range(2))
    await begun(asked)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    asked.may_answer.set()
    assert await second == 1
    assert asked.stopped == 0


async def test_when_nobody_waits_any_more_nobody_asks():
    sharing, asked = Sharing[str, int](kept=3600), Asked()
    crowd = [asyncio.create_task(sharing.answer("q", asked)) for _ in range(2)]
    await begun(asked)
    for each in crowd:
        each.cancel()
    await asyncio.gather(*crowd, return_exceptions=True)
    next_one = asyncio.create_task(sharing.answer("q", asked))
    asked.may_answer.set()
    assert await next_one == 2
    assert asked.stopped == 1


async def test_a_failure_goes_to_those_who_waited_for_it():
    sharing, asked = Sharing[str, int](kept=3600), Asked()
    crowd = [asyncio.create_task(sharing.answer("q", asked)) for _ in range(3)]
    await begun(asked)
    asked.failure = ValueError("no")
    asked.may_answer.set()
    assert await asyncio.gather(*crowd, return_exceptions=True) == [asked.failure] * 3
    asked.failure = None
    assert await sharing.answer("q", asked) == 2


async def test_what_is_forgotten_is_asked_anew_and_still_answers_those_who_wait():
    sharing, asked = Sharing[str, int](kept=3600), Asked()
    before = asyncio.create_task(sharing.answer("q", asked))
    await begun(asked)
    sharing.forget("q")
    after = asyncio.create_task(sharing.answer("q", asked))
    await begun(asked, 2)
    asked.may_answer.set()
    assert [await before, await after] == [1, 2]
    assert await sharing.answer("q", asked) == 2


@pytest.mark.parametrize("kept", [0.0, 3600.0])
async def test_nothing_is_left_of_questions_that_failed_or_were_given_up(kept: float):
    sharing, asked = Sharing[int, int](kept=kept), Asked()
    asked.failure = ValueError("no")
    crowd = [asyncio.create_task(sharing.answer(number, asked)) for number in range(4)]
    await begun(asked, 4)
    for each in crowd[:2]:
        each.cancel()
    asked.may_answer.set()
    await asyncio.gather(*crowd, return_exceptions=True)
    assert not sharing._asked
