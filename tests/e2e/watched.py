"""Run the bot and log each callback that blocks its event loop: `python -m tests.e2e.watched`.

The log line has the stack at the moment when the callback's time was over.
"""

import asyncio
import json
import runpy
import signal
import sys
import time
import traceback
from asyncio import base_events
from types import FrameType

from tests.pace import limit

HELD = "loop.held"
"""The event of such a line."""


def watch() -> None:
    """From now on, watch everything that this thread's event loop runs."""
    most = limit()
    stacks: list[str] = []

    def look(_: int, frame: FrameType | None) -> None:
        stacks[:] = traceback.format_stack(frame, 30)

    def run(handle: asyncio.Handle) -> None:
        stacks.clear()
        signal.setitimer(signal.ITIMER_PROF, most)
        began = time.thread_time()
        run_it(handle)
        took = time.thread_time() - began
        signal.setitimer(signal.ITIMER_PROF, 0)
        if took > most:
            line = {
                "level": "error",
                "event": HELD,
                "seconds": round(took, 3),
                "limit": round(most, 3),
                "what": base_events._format_handle(handle),  # type: ignore[attr-defined]
                "stack": stacks,
            }
            print(json.dumps(line), flush=True)  # noqa: T201

    run_it = asyncio.Handle._run
    asyncio.Handle._run = run  # type: ignore[assignment,method-assign]
    signal.signal(signal.SIGPROF, look)


if __name__ == "__main__":
    watch()
    sys.argv = ["bot", *sys.argv[1:]]
    runpy.run_module("bot", run_name="__main__")
