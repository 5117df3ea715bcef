"""A clock that only the test moves."""

import asyncio
from datetime import UTC, datetime

from workspace.people import PATIENCE


class Steps:
    """A clock that only the test moves; who sleeps is woken when the time has come."""

    def __init__(self) -> None:
        self.passed = 0.0
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.passed, UTC)

    def monotonic(self) -> float:
        return self.passed

    async def sleep(self, seconds: float) -> None:
        if seconds > 0:
            self._sleepers.append((self.passed + seconds, wake := asyncio.Event()))
            await wake.wait()

    def skip(self, length: float) -> None:
        self.passed += length
        for until, wake in self._sleepers:
            if until <= self.passed:
                wake.set()

    async def sleepers(self, number: int) -> None:
        """Wait until so many sleep."""
        async with asyncio.timeout(PATIENCE):
            while sum(not wake.is_set() for _, wake in self._sleepers) < number:
                await asyncio.sleep(0.01)
