"""The bot's own clock."""

import asyncio
import time
from datetime import UTC, datetime


class SystemClock:
    """A `bot.ports.Clock` that reads the machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
