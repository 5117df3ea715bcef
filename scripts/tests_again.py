"""Run the same tests again and again, for `scripts/mutants.py`.

Each input line gives the seconds that a run may take; the answer is the run's exit status.

Each run is a separate process that has already imported everything except the project's own
modules, which are what changes from one run to the next.
"""

# ruff: noqa: INP001 - a part of a script

import os
import signal
import sys

import pytest

OF_THE_PROJECT = ("bot", "tests", "workspace")


def main(*tests: str) -> None:
    """Answer each line of standard input with a run's exit status."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    for stream in (sys.stdout, sys.stderr):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    command = ["-x", "-q", "-p", "no:cacheprovider", *tests]
    pytest.main([*command, "--collect-only"])
    for name in list(sys.modules):
        if name.partition(".")[0] in OF_THE_PROJECT:
            del sys.modules[name]
    for limit_s in sys.stdin:
        child = os.fork()
        if not child:
            signal.alarm(int(limit_s))
            os._exit(pytest.main(command))
        print(os.waitpid(child, 0)[1], file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
