"""The demo: PostgreSQL, the workspace with its page, the scenario, and the real bot.

The bot is a subprocess, configured only by its environment. Its ledger is in a temporary folder. A
watchdog like PostgreSQL's (see postgres.py) ends the bot and removes the folder when the demo
closes a pipe, by stopping or by dying, even from SIGKILL. The bot knows nothing of this.
"""

import argparse
import asyncio
import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from workspace.page import Page
from workspace.postgres import HOST, PostgresServer, PostgresServerError
from workspace.scenario import Scenario, cast
from workspace.slack import Workspace

ROOT = Path(__file__).parents[1]
EX_OK, EX_FAILED = 0, 1
UNASKED_AFTER = 60.0  # seconds until an incident begins by itself

_TOOLS = ("sh", "cat", "grep", "rm", "sleep", "timeout")
_READY_WITHIN = 30.0
_TAIL = 20  # lines of the bot's log that are shown when it ends

# What a process needs from the machine, and nothing that configures a bot.
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ")

# Standard output is the watchdog's pipe until the bot's pid has been written, and then the log.
_REGISTERED = 'echo $$; exec "$@" >&2'

# $1 is the folder. A pid is the bot's only while it works there. The bot gets 5 s to stop.
_WATCHDOG = """
trap '' HUP INT TERM
read -r pid
while read -r _; do :; done
tries=0
while [ "/proc/$pid/cwd" -ef "$1" ]; do
    case $tries in
        0) kill -TERM "$pid" ;;
        50) kill -KILL "$pid" ;;
    esac
    tries=$((tries + 1))
    sleep 0.1
done
for _ in 1 2 3 4 5; do rm -rf -- "$1" && exit; sleep 0.2; done
"""


class DemoError(Exception):
    """The demo can't start or continue. The text is for people."""


def main(arguments: list[str]) -> int:
    """Run the demo until Ctrl-C; return the exit status."""
    try:
        port = _port(arguments)
        return asyncio.run(_run(port))
    except (DemoError, PostgresServerError) as error:
        print(error, file=sys.stderr)  # noqa: T201  it talks to people
        return EX_FAILED


def _port(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m workspace", description="Start the demo.")
    parser.add_argument(
        "--port",
        default=os.environ.get("PORT") or "0",
        help="the page's port on loopback; the default is PORT, or a free port",
    )
    port: str = parser.parse_args(arguments).port
    if not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise DemoError(f"The port must be a number up to 65535, not {port!r}.")
    return int(port)


async def _run(port: int) -> int:
    """Run until somebody stops the demo or something breaks; then stop everything."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup asks for it
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    playing = asyncio.create_task(_play(port))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({playing, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not playing.done():
        _say("", "Stopping …")
        playing.cancel()
    try:
        await playing
    except asyncio.CancelledError:
        _say("", "Everything is stopped.")
    return EX_OK


async def _play(port: int) -> None:
    """Start everything in order, and wait for the bot to end, which it should not."""
    _check_machine()
    _check_port(port)
    async with AsyncExitStack() as stack:
        main, prod = (PostgresServer(settings=cast.SETTINGS) for _ in range(2))
        await _start(stack, main, prod)
        _say("PostgreSQL", f"ready: main on {HOST}:{main.port}, prod on {HOST}:{prod.port}")
        slack = await stack.enter_async_context(Workspace())
        _say("Workspace", f"ready: its Web API is {slack.api_url}")
        scenario = await stack.enter_async_context(
            Scenario(slack, main=main, prod=prod, unasked_after=UNASKED_AFTER)
        )
        _say("Scenario", f"ready: {scenario.sessions} sessions, and a login that fails")
        bot = await stack.enter_async_context(
            Bot(lambda folder: _environment(slack, main, prod, folder))
        )
        _say("Bot", f"ready: process {bot.pid}, configured only by its environment")
        page = await _serve(stack, Page(slack, scenario, port=port), port)
        _say("Page", f"ready: open {page.url}")
        _say("", f"To ask PostgreSQL itself: psql {main.dsn(database='some_db')}")
        _say("", "Ctrl-C stops everything.")
        await bot.ended()


def _say(what: str, words: str) -> None:
    print(f"{what:<11} {words}", flush=True)  # noqa: T201  it talks to people


def _check_machine() -> None:
    if not Path("/proc/self").exists():
        raise DemoError("The demo needs Linux: it looks after its processes by /proc.")
    tools = (*_TOOLS, "unshare") if os.geteuid() == 0 else _TOOLS
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        raise DemoError(f"The demo needs what is not in PATH: {', '.join(missing)}.")


def _check_port(port: int) -> None:
    """Check the port before anything starts, so that the answer is immediate."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise _port_refused(port, error) from None


def _port_refused(port: int, error: OSError) -> DemoError:
    why = "is in use" if error.errno == errno.EADDRINUSE else f"can't be had: {error.strerror}"
    return DemoError(
        f"Port {port} of {HOST} {why}. Name another (make demo PORT=…), or none for a free one."
    )


async def _serve(stack: AsyncExitStack, page: Page, port: int) -> Page:
    try:
        return await stack.enter_async_context(page)
    except OSError as error:
        raise _port_refused(port, error) from None


async def _start(stack: AsyncExitStack, *servers: PostgresServer) -> None:
    """Start the servers side by side; if one fails, stop the others."""
    try:
        async with asyncio.TaskGroup() as group:
            for server in servers:
                group.create_task(stack.enter_async_context(server))
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None


def _environment(
    slack: Workspace, main: PostgresServer, prod: PostgresServer, folder: Path
) -> dict[str, str]:
    """All of the bot's environment. Ana and Ben are on call, and Vera may look."""
    return {
        **slack.env,
        "DATABASE_URL": main.dsn(user=cast.BOT),
        "DATABASE_URL_PROD": prod.dsn(user=cast.BOT),
        "PG_KILL_ALLOWLIST": f"{slack.user('ben').id},{slack.group('oncall').id}",
        "PG_SESSIONS_ALLOWLIST": slack.user("vera").id,
        "PROTECTED_ROLES": cast.PROTECTED,
        "SECOND_PERSON_CLUSTERS": "prod",
        "ALERT_CHANNEL": slack.channel("incidents").id,
        # The guide tells of the login that fails; what begins by itself is the bot's to tell.
        "ALERT_AFTER": "limit=off,blocker=off,ddl_queue=10",
        "LEDGER_URL": f"sqlite:///{folder / 'ledger.db'}",
        "LOG_FORMAT": "console",
    }


class Bot:
    """`python -m bot` between `async with` and its end, in a temporary folder.

    `environment` returns the bot's variables, given the folder. The bot runs in its own session,
    so that Ctrl-C reaches only the demo, which stops the bot before the servers that the bot is
    connected to.
    """

    def __init__(self, environment: Callable[[Path], Mapping[str, str]]) -> None:
        self._environment = environment
        self._folder = Path()
        self._pipe = -1
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._lines: deque[str] = deque(maxlen=_TAIL)
        self._is_ready = False
        self._news = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="bot-"))
        self._start_watchdog()
        try:
            await self._start()
            await self._until_ready()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    @property
    def pid(self) -> int:
        """The bot's process."""
        assert self._process is not None
        return self._process.pid

    async def ended(self) -> None:
        """Wait for the bot's end, and raise `DemoError` with the last lines of its log."""
        assert self._process is not None
        assert self._reader is not None
        status = await self._process.wait()
        await asyncio.shield(self._reader)
        raise self._failure(f"The bot ended with status {status}.")

    def _start_watchdog(self) -> None:
        read_end, self._pipe = os.pipe()
        # A child belongs to our terminal's group until it has its own session, so a Ctrl-C at that
        # moment would end it. Blocked signals stay blocked in the child.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
        try:
            self._watchdog = subprocess.Popen(
                ["sh", "-c", _WATCHDOG, "watchdog", str(self._folder)],
                stdin=read_end,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            os.close(self._pipe)
            self._folder.rmdir()
            raise DemoError(f"can't run a shell: {error}") from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            os.close(read_end)

    async def _start(self) -> None:
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        self._process = await asyncio.create_subprocess_exec(
            *("sh", "-c", _REGISTERED, "sh", sys.executable, "-m", "bot"),
            cwd=self._folder,
            env={**inherited, **self._environment(self._folder), "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=self._pipe,
            stderr=subprocess.PIPE,
            start_new_session=True,
            limit=2**20,
        )
        self._reader = asyncio.create_task(self._read())

    async def _until_ready(self) -> None:
        try:
            async with asyncio.timeout(_READY_WITHIN):
                await self._news.wait()
        except TimeoutError:
            what = f"The bot did not get ready within {_READY_WITHIN:.0f} s."
            raise self._failure(what) from None
        if not self._is_ready:
            await self.ended()

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            text = line.decode(errors="replace").rstrip()
            self._lines.append(text)
            if "bot.ready" in text:
                self._is_ready = True
                self._news.set()
        self._news.set()

    async def _stop(self) -> None:
        """Close the pipe; the watchdog does the rest, unless somebody has killed it."""
        os.close(self._pipe)
        if self._watchdog is not None:
            await asyncio.to_thread(self._watchdog.wait)
        if self._process is not None:
            try:
                async with asyncio.timeout(1):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        if self._reader is not None:
            await self._reader
        shutil.rmtree(self._folder, ignore_errors=True)

    def _failure(self, what: str) -> DemoError:
        return DemoError("\n".join((what, *(f"  {line}" for line in self._lines))))
