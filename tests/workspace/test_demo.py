"""`python -m workspace` as people run it: as a separate process, and what it leaves behind."""

import asyncio
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

import workspace.demo
from workspace.people import PATIENCE

ROOT = Path(workspace.demo.__file__).parents[1]
LAST = "Ctrl-C"


@dataclass
class Demo:
    """One demo, and a folder for its temporary files, which also identifies its processes."""

    temp: Path
    folder: Path = ROOT
    lines: list[str] = field(default_factory=list)
    process: asyncio.subprocess.Process | None = None

    async def start(self, *arguments: str, **environment: str) -> None:
        self.temp.mkdir()
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "workspace", *arguments),
            cwd=self.folder,
            env=os.environ | {"TMPDIR": str(self.temp)} | environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )

    async def says(self, words: str) -> str:
        """Read up to a line with these words."""
        assert self.process is not None
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            while line := (await self.process.stdout.readline()).decode().rstrip():
                self.lines.append(line)
                if words in line:
                    return line
        raise AssertionError("\n".join(self.lines))

    async def ended(self) -> tuple[int, list[str]]:
        """Its exit status, and its output since the last read."""
        assert self.process is not None
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            rest = (await self.process.stdout.read()).decode().splitlines()
            return await self.process.wait(), rest

    def press_ctrl_c(self) -> None:
        """As in a terminal: every process of the group gets the signal."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGINT)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()

    @property
    def url(self) -> str:
        line = next(line for line in self.lines if line.startswith("Page"))
        return line.rpartition(" ")[2]

    @property
    def bot(self) -> int:
        line = next(line for line in self.lines if line.startswith("Bot"))
        return int(line.partition("process ")[2].partition(",")[0])

    @property
    def processes(self) -> list[str]:
        """The command lines of all processes that run in its environment."""
        return [command for pid in running() if (command := self._command(pid))]

    def _command(self, pid: str) -> str:
        try:
            # PostgreSQL writes its title over both, so they may be any bytes.
            environ = Path(f"/proc/{pid}/environ").read_bytes()
            if os.fsencode(f"TMPDIR={self.temp}\0") not in environ:
                return ""
            return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).replace("\0", " ")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return ""

    @property
    def files(self) -> list[str]:
        return [path.name for path in self.temp.iterdir()]


def running() -> list[str]:
    return [path.name for path in Path("/proc").iterdir() if path.name.isdigit()]


@pytest.fixture
async def new_demo() -> AsyncIterator[Callable[..., Demo]]:
    """Demos that a test starts; the fixture kills those still running.

    Their folder has a short name, because a server's socket needs one.
    """
    async with AsyncExitStack() as stack:
        folders = Path(stack.enter_context(tempfile.TemporaryDirectory()))

        async def kill(demo: Demo) -> None:
            if demo.process is not None and demo.process.returncode is None:
                demo.kill()
                await demo.ended()
                await gone(demo)

        def new(folder: Path = ROOT) -> Demo:
            demo = Demo(folders / f"demo-{next(number)}", folder)
            stack.push_async_callback(kill, demo)
            return demo

        number = iter(range(10))
        yield new


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        yield squatter.getsockname()[1]


async def gone(demo: Demo) -> None:
    async with asyncio.timeout(PATIENCE):
        while demo.processes or demo.files:
            await asyncio.sleep(0.02)


async def status_of(url: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status


async def test_two_demos_run_side_by_side_and_leave_nothing(
    new_demo: Callable[..., Demo],
) -> None:
    one, other = new_demo(), new_demo()
    await asyncio.gather(one.start(), other.start())
    await asyncio.gather(one.says(LAST), other.says(LAST))
    assert [line.split()[:2] for line in one.lines[:5]] == [
        [part, "ready:"] for part in ("PostgreSQL", "Workspace", "Scenario", "Bot", "Page")
    ]
    assert one.url != other.url
    assert any("-m bot" in command for command in one.processes)

    one.press_ctrl_c()
    status, said = await one.ended()
    assert (status, said[-1].strip()) == (0, "Everything is stopped.")
    assert (one.processes, one.files) == ([], [])
    assert await status_of(other.url) == 200

    os.kill(other.bot, signal.SIGKILL)
    status, said = await other.ended()
    assert status == 1
    assert "The bot ended with status -9." in said
    assert any("bot.ready" in line for line in said)  # the last lines of its log
    assert (other.processes, other.files) == ([], [])


async def test_when_the_demo_is_killed_while_postgresql_hangs_nothing_is_left(
    new_demo: Callable[..., Demo],
) -> None:
    demo = new_demo()
    await demo.start()
    await demo.says(LAST)
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{demo.url}act/fault", json={"id": "hang"}) as answer,
    ):
        assert answer.status < 300
    assert any("postgres" in command for command in demo.processes)
    demo.kill()
    await demo.ended()
    await gone(demo)


async def test_ctrl_c_during_the_start_leaves_nothing_either(new_demo: Callable[..., Demo]) -> None:
    demo = new_demo()
    await demo.start()
    await demo.says("Scenario")
    demo.press_ctrl_c()
    status, said = await demo.ended()
    assert (status, said[-1].strip()) == (0, "Everything is stopped.")
    assert (demo.processes, demo.files) == ([], [])


async def test_a_demo_whose_watchdog_was_killed_ends_the_bot_itself(
    new_demo: Callable[..., Demo],
) -> None:
    demo = new_demo()
    await demo.start()
    await demo.says(LAST)
    watchdogs = [pid for pid in running() if re.search("watchdog .*/bot-", demo._command(pid))]
    assert len(watchdogs) == 1
    os.kill(int(watchdogs[0]), signal.SIGKILL)
    demo.press_ctrl_c()
    status, _ = await demo.ended()
    assert (status, demo.processes, demo.files) == (0, [], [])


async def test_a_bot_that_does_not_start_is_shown_with_its_last_lines(
    new_demo: Callable[..., Demo], tmp_path: Path
) -> None:
    (tmp_path / "workspace").symlink_to(ROOT / "workspace")
    (tmp_path / "bot.py").write_text("import sys; sys.exit('SLACK_BOT_TOKEN: is required')")
    demo = new_demo(tmp_path)
    await demo.start()
    status, said = await demo.ended()
    assert status == 1
    assert said[-2:] == ["The bot ended with status 1.", "  SLACK_BOT_TOKEN: is required"]
    assert (demo.processes, demo.files) == ([], [])


@pytest.mark.parametrize("way", ["argument", "environment"])
async def test_a_port_in_use_is_one_clear_line(
    new_demo: Callable[..., Demo], taken_port: int, way: str
) -> None:
    demo = new_demo()
    if way == "argument":
        await demo.start("--port", str(taken_port))
    else:
        await demo.start(PORT=str(taken_port))
    line = f"Port {taken_port} of 127.0.0.1 is in use."
    advice = "Name another (make demo PORT=…), or none for a free one."
    assert await demo.ended() == (1, [f"{line} {advice}"])
    assert demo.files == []


async def test_invalid_port_is_one_clear_line(new_demo: Callable[..., Demo]) -> None:
    demo = new_demo()
    await demo.start(PORT="http")
    assert await demo.ended() == (1, ["The port must be a number up to 65535, not 'http'."])


async def test_a_missing_tool_is_one_clear_line(
    new_demo: Callable[..., Demo], tmp_path: Path
) -> None:
    for tool in ("sh", "cat", "grep", "rm", "sleep", "unshare"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    demo = new_demo()
    await demo.start(PATH=str(tmp_path))
    assert await demo.ended() == (1, ["The demo needs what is not in PATH: timeout."])
