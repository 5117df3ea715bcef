"""Questions that many ask at the same time, asked once."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

K = TypeVar("K")
T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Asked(Generic[T]):
    task: "asyncio.Task[T]"
    waiting: int = 0
    done_at: float = 0.0  # on the loop's clock


class Sharing(Generic[K, T]):
    """Gives one answer to everyone who asks the same question before it comes.

    For `kept` seconds after it has come, it is given to those who ask then, too. A failure goes
    only to those who waited for it. Whoever stops waiting takes nothing from the others; when
    nobody waits any more, the asking stops.
    """

    def __init__(self, *, kept: float = 0.0) -> None:
        self._kept = kept
        self._asked: dict[K, _Asked[T]] = {}

    async def answer(self, key: K, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What `ask` returns, asked now or by somebody before. Raises what `ask` raises."""
        asked = self._asked.get(key)
        if asked is None or not self._is_good(asked):
            asked = self._asked[key] = _Asked(asyncio.create_task(ask()))
            asked.task.add_done_callback(partial(self._done, key, asked))
        asked.waiting += 1
        try:
            return await asyncio.shield(asked.task)
        finally:
            asked.waiting -= 1
            if not asked.waiting and not asked.task.done():
                asked.task.cancel()
                self._drop(key, asked)

    def last(self, key: K) -> T | None:
        """The answer that is kept, if there is one."""
        asked = self._asked.get(key)
        is_there = asked is not None and asked.task.done() and self._is_good(asked)
        return asked.task.result() if asked is not None and is_there else None

    def forget(self, key: K) -> None:
        """Ask anew next time. Those who wait now get the answer that they wait for."""
        self._asked.pop(key, None)

    def forget_all(self) -> None:
        """Ask everything anew."""
        self._asked.clear()

    def _is_good(self, asked: _Asked[T]) -> bool:
        now = asyncio.get_running_loop().time()
        return not asked.task.done() or now - asked.done_at < self._kept

    def _done(self, key: K, asked: _Asked[T], task: "asyncio.Task[T]") -> None:
        loop = asyncio.get_running_loop()
        asked.done_at = loop.time()
        if task.cancelled() or task.exception() is not None or not self._kept:
            self._drop(key, asked)
        else:
            loop.call_later(self._kept, self._drop, key, asked)

    def _drop(self, key: K, asked: _Asked[T]) -> None:
        if self._asked.get(key) is asked:
            del self._asked[key]
