"""mutmut, with time limits that end only the process they were set for.

mutmut signals by pid, and doesn't cancel the limit of a process that has ended, whose pid another
process may have by then.
"""

# ruff: noqa: INP001 - a part of a script

import os
import signal
from contextlib import suppress
from threading import Timer

from mutmut.__main__ import cli
from mutmut.workers import isolation


def _limit(pid: int, timeout_s: float) -> None:
    process = os.pidfd_open(pid)  # its own child, not waited for yet

    def end() -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(process, signal.SIGXCPU)
        os.close(process)

    timer = Timer(timeout_s, end)
    timer.daemon = True
    timer.start()


isolation.register_timeout = _limit

if __name__ == "__main__":
    cli()
