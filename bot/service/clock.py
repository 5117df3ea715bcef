"""The bot's own clock."""

import asyncio
import time
from datetime import UTC, datetime


class SystemClock:
    """A `bot.ports.Clock` that reads the machine's clock."""

    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(asyncio.sleep)

    def now(self) -> datetime:
        return datetime.now(UTC)
