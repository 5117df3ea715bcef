"""How long something blocks the event loop, whatever else the machine is doing.

It counts the thread's own CPU time. A slower machine is allowed more of it.
"""

import os
import time

LIMIT = float(os.environ.get("LOOP_LIMIT", "0.1"))
"""Seconds for one callback on a quiet machine; `LOOP_LIMIT=0.02` to hunt."""

_TURNS, _TAKE = 3_000_000, 0.03
"""Turns of an empty loop, and the seconds that they take on a quiet machine."""


def limit() -> float:
    """`LIMIT` for this machine in its current state."""
    began = time.thread_time()
    for _ in range(_TURNS):
        pass
    return LIMIT * max(1.0, (time.thread_time() - began) / _TAKE)
