"""Run the bot and report which of its files a request walks through: `python -m tests.e2e.walked`.

On SIGUSR1 it prints the files that requests entered since the last time, and how often a call led
from one to another. Returns aren't counted, nor what other threads do, nor what the bot does by
itself meanwhile, such as keeping its connections.
"""

import json
import runpy
import signal
import sys
from collections import Counter
from contextvars import ContextVar
from itertools import chain, pairwise
from pathlib import Path
from types import FrameType

import bot

WALKED = "bot.walked"
"""The event of the line."""

_BOT = str(Path(bot.__file__).parent)


_ENTRY = "_Envelopes.handle"
"""What receives a request, in a task of its own. The tasks that it starts inherit its context."""


def watch() -> None:
    """From now on, watch everything that requests call in this thread."""
    names: dict[str, str | None] = {}
    walks: list[list[str]] = []
    walk_of: ContextVar[list[str] | None] = ContextVar("walk", default=None)

    def called(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event != "call" or frame.f_lineno != code.co_firstlineno:
            return  # a resumed coroutine was called before
        path = code.co_filename
        if path not in names:
            names[path] = path.removeprefix(_BOT)[1:] if path.startswith(_BOT) else None
        name = names[path]
        if name is None:
            return
        if code.co_qualname == _ENTRY:
            walks.append([])
            walk_of.set(walks[-1])
        walk = walk_of.get()
        if walk is not None and walk[-1:] != [name]:
            walk.append(name)

    def tell(_: int, __: FrameType | None) -> None:
        line = {
            "level": "info",
            "event": WALKED,
            "changes": sum(map(len, walks)),
            "files": sorted(set(chain(*walks))),
            "steps": Counter(
                " ".join(step) for walk in walks for step in pairwise(walk)
            ).most_common(),
        }
        walks.clear()  # what a request still does is not counted
        print(json.dumps(line), flush=True)  # noqa: T201

    signal.signal(signal.SIGUSR1, tell)
    sys.setprofile(called)


if __name__ == "__main__":
    watch()
    sys.argv = ["bot", *sys.argv[1:]]
    runpy.run_module("bot", run_name="__main__")
