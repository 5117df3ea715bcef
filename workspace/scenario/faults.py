"""Faults behind buttons: Slack's, simulated by the workspace, and PostgreSQL's, which are real."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

from workspace.faults import TABLE_ERRORS
from workspace.postgres import PostgresServer
from workspace.slack import Workspace

Where: TypeAlias = Literal["slack", "tables", "postgres", "incidents"]

HANG_SECONDS = 15

DATA_TABLE = "data_table"
"""The kind of block, and the id of the button that has it refused while `table` is taken."""

TABLES = "tables:"
"""The prefix, before Slack's code, in the id of a button that has all tables refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """A fault as the page offers it; `effect` is shown while it is in force."""

    id: str
    label: str
    where: Where
    effect: str
    can_end: bool = True  # by pressing again; the others end by themselves


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
        id=DATA_TABLE,
        label="data_table only",
        where="tables",
        effect="Slack takes no data_table: the bot sends a plain table, and asks again tomorrow.",
    ),
    Button(
        id="fill",
        label="Fill up every connection",
        where="postgres",
        effect="Every connection for ordinary roles is taken.",
    ),
    Button(
        id="queue",
        label="Queue behind a migration",
        where="incidents",
        effect="A migration waits for a report, and others wait behind it.",
    ),
    Button(
        id="vacuum",
        label="Hold back vacuum",
        where="incidents",
        effect="An old replication slot and a forgotten transaction hold back vacuum.",
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
    """The workspace's fault buttons. Pressing one again ends its fault."""

    def __init__(self, workspace: Workspace) -> None:
        self._faults = workspace.faults
        self._sockets = workspace.server.sockets
        self._press: dict[str, Callable[[], object]] = {
            "rate_limit": lambda: self._faults.rate_limit("*", times=3, retry_after=2),
            DATA_TABLE: partial(self._faults.refuse_blocks, DATA_TABLE),
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
        """The faults in force. A cut lasts until the app has connected again."""
        lines = self._faults.in_force()
        found = {
            "rate_limit": any("rate_limit" in line for line in lines),
            "cut": len(self._sockets) == 0,
            "twice": any("twice" in line for line in lines),
            "late": self._faults.ack_seconds > 0,
        }
        active = {name for name, in_force in found.items() if in_force}
        refused = self._faults.blocks_refused
        if refused.kinds == {DATA_TABLE}:
            return active | {DATA_TABLE}
        return active | {f"{TABLES}{refused.error}"} if refused.kinds else active

    def toggle(self, name: str) -> None:
        """Press one. All faults can only be cleared together, so the others are set again."""
        active = self.active
        if name not in active:
            self._press[name]()
        elif name != "cut":
            self._faults.clear()
            for other in active - {name, "cut"}:
                self._press[other]()

    def clear(self) -> None:
        """End all faults."""
        self._faults.clear()


# $1 is the postmaster, stopped first so that it starts no more children. `cat` ends when the
# starting process closes the pipe or dies, and at the latest after $2 seconds: nothing stays
# stopped.
_HANG = """
kill -STOP "$1"
children=$(cat "/proc/$1/task/$1/children")
kill -STOP $children
echo stopped
timeout "$2" cat >/dev/null
kill -CONT $children "$1"
"""


class Hang:
    """Stops all of a server's processes for a while. Its clients get neither answer nor error."""

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
        """Resume it now; harmless if nothing is stopped."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        if self._end is not None:
            await self._end

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        await process.wait()
        self._process = None
        self._changed()
