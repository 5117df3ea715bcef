"""How long something holds the event loop, whatever else the machine does meanwhile.

What counts is the thread's own time on a processor. A machine that is slower by itself gets
more of it.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

LIMIT = float(os.environ.get("LOOP_LIMIT", "0.1"))
"""Seconds for one callback on a quiet machine; `LOOP_LIMIT=0.02` to hunt."""

_TURNS, _TAKE = 3_000_000, 0.03
"""Turns of an empty loop, and the seconds that they take on a quiet machine."""


def limit() -> float:
    """`LIMIT` on this machine as it is now."""
    began = time.thread_time()
    for _ in range(_TURNS):
        pass
    return LIMIT * max(1.0, (time.thread_time() - began) / _TAKE)


@contextmanager
def untraced() -> Iterator[None]:
    """Without the one who counts the lines that are covered: that is most of the time."""
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracer)
