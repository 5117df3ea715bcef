"""Run the bot and tell through which of its files a request walks: `python -m tests.e2e.walked`.

On SIGUSR1 it prints the files that were entered since the last time, and how often a call led
from one to another; the ways back aren't counted, nor what several threads do.
"""

import json
import runpy
import signal
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from types import FrameType

import bot

WALKED = "bot.walked"
"""The event of the line."""

_BOT = str(Path(bot.__file__).parent)


def watch() -> None:
    """From now on, whatever this thread calls is watched."""
    names: dict[str, str | None] = {}
    walk: list[str] = []

    def called(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event != "call" or frame.f_lineno != code.co_firstlineno:
            return  # a coroutine that goes on was called before
        path = code.co_filename
        if path not in names:
            names[path] = path.removeprefix(_BOT)[1:] if path.startswith(_BOT) else None
        name = names[path]
        if name is not None and walk[-1:] != [name]:
            walk.append(name)

    def tell(_: int, __: FrameType | None) -> None:
        line = {
            "level": "info",
            "event": WALKED,
            "changes": len(walk),
            "files": sorted(set(walk)),
            "steps": Counter(map(" ".join, pairwise(walk))).most_common(),
        }
        walk.clear()
        print(json.dumps(line), flush=True)  # noqa: T201

    signal.signal(signal.SIGUSR1, tell)
    sys.setprofile(called)


if __name__ == "__main__":
    watch()
    sys.argv = ["bot", *sys.argv[1:]]
    runpy.run_module("bot", run_name="__main__")
