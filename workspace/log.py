"""The append-only record of everything that happens in the workspace.

The state writes it; the page, the people and the tests read it. Entries never change: each holds an
immutable subject, as it was at that moment.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal[
    "message_posted",
    "message_changed",
    "message_deleted",
    "view_opened",
    "view_changed",
    "view_closed",
    "home_published",
    "dialog_shown",
    "input_changed",
    "member_joined",
    "member_left",
    "group_changed",
    "user_changed",
    "scopes_changed",
    "faults_changed",
    "interaction_sent",
    "interaction_settled",
    "late_acknowledgement",
    "connection_opened",
    "connection_closed",
    "api_called",
]


@dataclass(frozen=True, slots=True)
class Change:
    """One entry: `seq` counts from 0 without gaps; `at` is the workspace's clock."""

    seq: int
    at: float
    kind: Kind
    subject: object


class Log:
    """Changes in order. Any number of watchers may follow it, each from where it likes."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._changes: list[Change] = []
        self._watchers: set[asyncio.Event] = set()

    def __len__(self) -> int:
        return len(self._changes)

    def __iter__(self) -> Iterator[Change]:
        return iter(tuple(self._changes))

    def since(self, seq: int) -> tuple[Change, ...]:
        """The changes from number `seq` on."""
        return tuple(self._changes[seq:])

    def append(self, kind: Kind, subject: object) -> Change:
        """Record a change and wake every watcher."""
        change = Change(len(self._changes), self._now(), kind, subject)
        self._changes.append(change)
        for watcher in self._watchers:
            watcher.set()
        return change

    async def follow(self, seq: int = 0) -> AsyncIterator[Change]:
        """Yield every change from number `seq` on, then wait for the next, forever."""
        news = asyncio.Event()
        self._watchers.add(news)
        try:
            while True:
                news.clear()
                for change in self.since(seq):
                    seq = change.seq + 1
                    yield change
                if seq == len(self._changes):
                    await news.wait()
        finally:
            self._watchers.discard(news)

    async def until(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Wait until `holds()`, checking after every change; False if `seconds` run out.

        These are real seconds, not the workspace's: they limit a test and measure nothing.
        """
        news = asyncio.Event()
        self._watchers.add(news)
        try:
            async with asyncio.timeout(seconds):
                while not holds():
                    await news.wait()
                    news.clear()
        except TimeoutError:
            return holds()
        else:
            return True
        finally:
            self._watchers.discard(news)
