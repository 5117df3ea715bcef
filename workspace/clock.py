"""The workspace's clock: it runs in real time, and a test can move it forward."""

import asyncio
import heapq
import itertools
import time


class Clock:
    """Seconds since the epoch, plus whatever `advance` has added.

    Slack's limits are long (30 minutes for a response_url), so a test moves the clock instead of
    sleeping. Sleepers on this clock wake at their instant, whether time passes or `advance` is
    called.
    """

    def __init__(self) -> None:
        self._ahead = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        """The current instant, in seconds since the epoch, UTC."""
        return time.time() + self._ahead

    def advance(self, seconds: float) -> None:
        """Move the clock forward and wake every sleeper whose instant has come."""
        if seconds < 0:
            raise ValueError("the clock only moves forward")
        self._ahead += seconds
        now = self.now()
        while self._sleepers and self._sleepers[0][0] <= now:
            _, _, sleeper = heapq.heappop(self._sleepers)
            if not sleeper.done():
                sleeper.set_result(None)

    async def sleep_until(self, instant: float) -> None:
        """Return once this clock shows `instant`, or at once if it already does."""
        seconds = instant - self.now()
        if seconds <= 0:
            return
        sleeper = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (instant, next(self._order), sleeper))
        try:
            async with asyncio.timeout(seconds):
                await sleeper
        except TimeoutError:
            return
        finally:
            self._sleepers = [entry for entry in self._sleepers if entry[2] is not sleeper]
            heapq.heapify(self._sleepers)

    async def sleep(self, seconds: float) -> None:
        """Return once `seconds` have passed on this clock."""
        await self.sleep_until(self.now() + seconds)
