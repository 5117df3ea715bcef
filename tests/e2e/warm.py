"""Bots that start at once: forked from a process that has imported everything.

Importing takes longer than what most tests do with a bot, most of all while lines are counted.
Nor do they read PostgreSQL's catalogs ahead: that costs the server more than everything else that
most tests do, and a bot does without it, too, while somebody waits. Apart from that, such a bot is
`python -m bot`: a process with a pid, an environment, a folder and an exit status of its own.
"""

import asyncio
import contextlib
import ctypes
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from bot.postgres import cluster
from tests.processes import TIED
from tests.servers import ROOT

_PR_SET_PDEATHSIG = 1


class Forked:
    """A process as asyncio has them, with what the tests use of it."""

    def __init__(
        self,
        pid: int,
        stdout: asyncio.StreamReader,
        status: asyncio.StreamReader,
        line: asyncio.StreamWriter,
    ) -> None:
        self.pid = pid
        self.stdout = stdout
        self.returncode: int | None = None
        self._ended = asyncio.create_task(self._end(status, line))

    def send_signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    async def wait(self) -> int:
        return await asyncio.shield(self._ended)

    async def communicate(self) -> tuple[bytes, None]:
        """What it prints until its end."""
        printed = await self.stdout.read()
        await self.wait()
        return printed, None

    async def _end(self, status: asyncio.StreamReader, line: asyncio.StreamWriter) -> int:
        self.returncode = int(await status.readline())
        line.close()
        await line.wait_closed()
        return self.returncode


class Warm:
    """The process that bots are forked from; a context manager."""

    def __init__(self) -> None:
        self._requests, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [*TIED, sys.executable, "-m", __name__, str(theirs.fileno())],
                cwd=ROOT,
                env={k: v for k, v in os.environ.items() if not k.startswith("COVERAGE_")},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,  # a bot's stream must be a pipe from the beginning
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._requests.close()
        told, _ = self._process.communicate()
        assert not told, told.decode()

    async def start(
        self,
        *arguments: str,
        folder: Path,
        environment: Mapping[str, str],
        limit: int,
        errors: int | None,
    ) -> Forked:
        """Start `python -m bot` with these arguments; its errors join its output or that file."""
        reading, writing = os.pipe()
        ours, theirs = socket.socketpair()
        with theirs:
            given = [theirs.fileno(), writing, writing if errors is None else errors]
            socket.send_fds(self._requests, [b"."], given)
        os.close(writing)
        status, line = await asyncio.open_unix_connection(sock=ours)
        request = {"arguments": arguments, "folder": str(folder), "environment": {**environment}}
        line.write(json.dumps(request).encode() + b"\n")
        stdout = asyncio.StreamReader(limit=limit)
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stdout), os.fdopen(reading, "rb")
        )
        return Forked(int(await status.readline()), stdout, status, line)


def _serve(requests: socket.socket) -> None:
    """Fork a guardian for each request, until the tests end. Returns in each bot."""
    for module in pkgutil.walk_packages(importlib.import_module("bot").__path__, "bot."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for later in ("sqlalchemy.dialects.sqlite.aiosqlite", "coverage"):
        importlib.import_module(later)
    cluster.READ_AHEAD_WITHIN = 0.0
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        asked, given, *_ = socket.recv_fds(requests, 1, 3)
        if not asked:
            sys.exit()
        if os.fork() == 0:
            requests.close()
            return _guard(*given)
        for descriptor in given:
            os.close(descriptor)


def _guard(line: int, output: int, errors: int) -> None:
    """Fork the bot, and tell its pid and then its status. Returns in the bot."""
    _end_with_the_parent()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with socket.socket(fileno=line) as tests, tests.makefile("rw") as told:
        request = json.loads(told.readline())
        if (pid := os.fork()) != 0:
            os.close(output)
            os.close(errors)
            print(pid, file=told, flush=True)
            _, status = os.waitpid(pid, 0)
            print(os.waitstatus_to_exitcode(status), file=told, flush=True)
            os._exit(0)
    _end_with_the_parent()
    for given, used in (output, sys.stdout), (errors, sys.stderr):
        os.dup2(given, used.fileno())
        os.close(given)
    _become(**request)


def _become(arguments: Sequence[str], folder: str, environment: Mapping[str, str]) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.argv = ["bot", *arguments]
    importlib.import_module("coverage").process_startup()


def _end_with_the_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_module("bot", run_name="__main__", alter_sys=True)
