"""What can be broken by a button: Slack, by the workspace's knobs, and PostgreSQL, for real."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

from workspace.faults import TABLE_ERRORS
from workspace.postgres import PostgresServer
from workspace.slack import Workspace

Where: TypeAlias = Literal["slack", "tables", "postgres"]

HANG_SECONDS = 15

TABLES = "tables:"
"""Before Slack's code, in the id of a button that has every table refused with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """A fault as the page offers it: `effect` is told while it is in force."""

    id: str
    label: str
    where: Where
    effect: str
    can_end: bool = True  # by another press; the others end by themselves only


BUTTONS = (
    Button(
        id="rate_limit",
        label="Answer 429 to the next 3 calls",
        where="slack",
        effect="The bot's next 3 calls are answered 429, “wait 2 s”.",
    ),
    Button(
        id="cut",
        label="Cut the socket",
        where="slack",
        effect="The socket is cut: commands and clicks fail until the bot has connected again.",
        can_end=False,
    ),
    Button(
        id="twice",
        label="Deliver the next click twice",
        where="slack",
        effect="The next command or click reaches the bot twice.",
    ),
    Button(
        id="late",
        label="Lose the next acknowledgement",
        where="slack",
        effect="The next acknowledgement is lost: Slack says that it failed, and the bot does it"
        " all the same.",
    ),
    *(
        Button(
            id=f"{TABLES}{error}",
            label=error,
            where="tables",
            effect=f"Slack refuses tables with {error}: the bot sends text instead.",
        )
        for error in TABLE_ERRORS
    ),
    Button(
        id="fill",
        label="Fill up every connection",
        where="postgres",
        effect="Every connection for ordinary roles is taken.",
    ),
    Button(
        id="restart",
        label="Restart",
        where="postgres",
        effect="PostgreSQL restarts: all sessions on main end.",
        can_end=False,
    ),
    Button(
        id="hang",
        label=f"Hang for {HANG_SECONDS} s",
        where="postgres",
        effect=f"PostgreSQL on main answers nobody, for {HANG_SECONDS} s.",
    ),
)


class SlackFaults:
    """The buttons of the workspace. Each is pressed again to take it back."""

    def __init__(self, workspace: Workspace) -> None:
        self._faults = workspace.faults
        self._sockets = workspace.server.sockets
        self._press: dict[str, Callable[[], object]] = {
            "rate_limit": lambda: self._faults.rate_limit("*", times=3, retry_after=2),
            **{
                f"{TABLES}{error}": partial(self._faults.refuse_tables, error=error)
                for error in TABLE_ERRORS
            },
            "cut": self._sockets.cut,
            "twice": self._faults.deliver_twice,
            "late": lambda: self._faults.delay_acks(4.0, times=1),
        }

    @property
    def active(self) -> set[str]:
        """Those in force. A cut lasts until the app has connected again."""
        lines = self._faults.in_force()
        found = {
            "rate_limit": any("rate_limit" in line for line in lines),
            "cut": len(self._sockets) == 0,
            "twice": any("twice" in line for line in lines),
            "late": self._faults.ack_seconds > 0,
        }
        active = {name for name, in_force in found.items() if in_force}
        refused = self._faults.blocks_refused
        return active | {f"{TABLES}{refused.error}"} if refused.kinds else active

    def toggle(self, name: str) -> None:
        """Press one. The knobs are taken back all together, so the others are pressed again."""
        active = self.active
        if name not in active:
            self._press[name]()
        elif name != "cut":
            self._faults.clear()
            for other in active - {name, "cut"}:
                self._press[other]()

    def clear(self) -> None:
        """Take them all back."""
        self._faults.clear()


# $1 is the postmaster, stopped first so that it makes no more children. `cat` ends when the
# starting process closes the pipe or dies, and after $2 seconds it is ended: nothing stays stopped.
_HANG = """
kill -STOP "$1"
children=$(cat "/proc/$1/task/$1/children")
kill -STOP $children
echo stopped
timeout "$2" cat >/dev/null
kill -CONT $children "$1"
"""


class Hang:
    """All of a server's processes stopped for a while. Its clients get no answer, and no error."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._process: asyncio.subprocess.Process | None = None
        self._end: asyncio.Task[None] | None = None

    @property
    def is_on(self) -> bool:
        """Whether the server is stopped."""
        return self._process is not None

    async def begin(self, server: PostgresServer) -> None:
        """Stop it; returns once it is stopped."""
        self._process = await asyncio.create_subprocess_exec(
            *("sh", "-c", _HANG, "hang", str(server.pid), str(HANG_SECONDS)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        await self._process.stdout.readline()
        self._end = asyncio.create_task(self._watch(self._process))
        self._changed()

    async def end(self) -> None:
        """Let it go on now; harmless where nothing is stopped."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        if self._end is not None:
            await self._end

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        await process.wait()
        self._process = None
        self._changed()
