"""The bot's own clock."""

import asyncio
import time
from datetime import UTC, datetime


class SystemClock:
    """A `bot.ports.Clock` of the machine's."""

    def now(self) -> datetime:
        """The instant, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)
