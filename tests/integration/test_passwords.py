"""Passwords from a program: what it may do, and what is said of it; never what it prints."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest
from structlog.testing import capture_logs

from bot import pg_url
from bot.check.facts import Answer, Untold
from bot.errors import NotSent
from bot.postgres import passwords
from bot.postgres.cluster import PostgresCluster
from bot.postgres.passwords import NoPasswordError, PasswordCommand
from bot.postgres.probe import probe
from tests.integration.conftest import BOT
from tests.servers import postgres
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer

SECRET = "s3cret-token"
URL = pg_url.read("postgresql://bot@db-1.internal:5433/app")

Program = Callable[[str], PasswordCommand]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """A program of a few lines of Python, which writes no bytecode and imports what it needs."""

    def made(code: str) -> PasswordCommand:
        path = tmp_path / "program"
        path.write_text(f"#!{sys.executable} -I\nimport os, sys, time, subprocess\n{code}\n")
        path.chmod(0o700)
        return PasswordCommand((str(path),), {"PATH": os.environ["PATH"]})

    return made


@pytest.mark.parametrize(
    ("code", "password"),
    [
        (f"print({SECRET!r})", SECRET),
        (f"sys.stdout.write({SECRET!r})", SECRET),
        (f"sys.stdout.write({SECRET!r} + '\\r\\n')", SECRET),
        (f"print({SECRET!r}); print('expires in 15 min')", SECRET),
        (f"print({SECRET!r}); print('x' * 1_000_000)", SECRET),
        ("print(' with spaces and ä ')", " with spaces and ä "),
        (f"print('no', file=sys.stderr); print({SECRET!r})", SECRET),
        (
            "print(*(os.environ[f'PG{each}'] for each in ('HOST', 'PORT', 'USER')))",
            "db-1.internal 5433 bot",
        ),
        (f"print({SECRET!r}, flush=True); print(sys.stdin.read())", SECRET),
    ],
)
async def test_the_first_line_is_the_password(program: Program, code: str, password: str) -> None:
    assert await program(code).password(URL) == password


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        (f"print({SECRET!r}); sys.exit(3)", "failed (exit status 3)"),
        (f"print({SECRET!r}); sys.exit({SECRET!r})", "failed (exit status 1)"),
        (f"print({SECRET!r}); os.kill(os.getpid(), 9)", "failed (signal 9)"),
        ("", "printed no password"),
        ("print(); print('second line')", "printed no password"),
        ("sys.stdout.buffer.write(b'\\xff\\n')", "printed something else than text"),
        ("print('a\\0b')", "printed something else than text"),
        ("print('x' * 16_385)", "printed more than 16384 bytes"),
        ("while True: print('x' * 65_536)", "printed more than 1 MB"),
    ],
)
async def test_failed_password_program_is_reported_without_its_output(
    program: Program, code: str, problem: str
) -> None:
    with pytest.raises(NoPasswordError) as told:
        await program(code).password(URL)
    assert str(told.value) == f"its password command {problem}"
    assert SECRET not in repr(told.value.__cause__) + repr(told.value.__context__)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("/nowhere/token", SECRET), "No such file or directory"),
        (("/", SECRET), "Permission denied"),
    ],
)
async def test_program_that_cant_start_is_reported_without_its_arguments(
    words: tuple[str, ...], problem: str
) -> None:
    command = PasswordCommand(words, {})
    with pytest.raises(NoPasswordError) as told:
        await command.password(URL)
    assert str(told.value) == f"its password command can't be started ({problem})"
    assert SECRET not in repr(command)


async def test_no_shell_reads_the_words() -> None:
    command = PasswordCommand(("echo", "$HOME; `id`", "'two words'"), {"PATH": os.environ["PATH"]})
    assert await command.password(URL) == "$HOME; `id` 'two words'"


def runs(pid: int) -> bool:
    with suppress(ProcessLookupError, FileNotFoundError):
        os.kill(pid, 0)
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


HANGS = """
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
with open({pids!r} + '.new', 'w') as file: print(os.getpid(), child.pid, file=file)
os.rename({pids!r} + '.new', {pids!r})
time.sleep(600)
"""


@pytest.mark.parametrize("how", ["too slow", "cancelled"])
async def test_one_that_hangs_is_ended_with_what_it_has_started(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    pids = tmp_path / "pids"
    command = program(HANGS.format(pids=str(pids)))
    if how == "too slow":
        monkeypatch.setattr(passwords, "WITHIN", 1.0)
    asked = asyncio.ensure_future(command.password(URL))
    await until(pids.exists)
    if how == "cancelled":
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
    else:
        with pytest.raises(NoPasswordError, match="did not end within 1 s"):
            await asked
    started = [int(pid) for pid in pids.read_text().split()]
    await until(lambda: not any(map(runs, started)))


async def test_an_agent_that_it_leaves_behind_is_not_waited_for(
    program: Program, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    agent = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])"
    began = time.monotonic()
    code = f"child = {agent}\nopen({str(pids)!r}, 'w').write(str(child.pid))\nprint('fresh')"
    assert await program(code).password(URL) == "fresh"
    os.kill(int(pids.read_text()), signal.SIGKILL)
    assert time.monotonic() - began < 600


async def test_few_run_at_once_and_each_who_asks_has_a_run_of_their_own(
    program: Program, tmp_path: Path
) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    command = program(
        f"mine = os.path.join({str(folder)!r}, str(os.getpid()))\n"
        "open(mine, 'w').close()\n"
        f"there = len([n for n in os.listdir({str(folder)!r}) if '.' not in n])\n"
        "time.sleep(0.2)\n"
        "os.rename(mine, mine + '.done')\n"
        "print(there, os.getpid())"
    )
    answers = await asyncio.gather(*(command.password(URL) for _ in range(6)))
    assert len({each.split()[1] for each in answers}) == 6
    assert max(int(each.split()[0]) for each in answers) <= passwords.AT_ONCE


# --- connections


@pytest.fixture(scope="module")
async def guarded() -> AsyncIterator[PostgresServer]:
    async with postgres(auth="scram-sha-256") as server:
        admin = await asyncpg.connect(server.dsn())
        await admin.execute(f"create role {BOT} login")
        await admin.execute(f"grant pg_read_all_stats, pg_signal_backend to {BOT}")
        await admin.close()
        yield server


async def set_password(server: PostgresServer, password: str) -> None:
    admin = await asyncpg.connect(server.dsn())
    await admin.execute(f"alter role {BOT} password '{password}'")
    await admin.close()


async def test_each_new_connection_has_the_password_of_its_moment(
    guarded: PostgresServer, tmp_path: Path
) -> None:
    current = tmp_path / "current"
    command = PasswordCommand(("cat", str(current)), {"PATH": os.environ["PATH"]})
    current.write_text("first\n")
    await set_password(guarded, "first")
    cluster = PostgresCluster("main", guarded.dsn(user=BOT), "db-1.internal", command)
    await cluster.open()
    try:
        assert cluster.connections[0] == cluster.connections[1]
        current.write_text("second\n")
        await set_password(guarded, "second")
        admin = await asyncpg.connect(guarded.dsn())
        await admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = $1", BOT
        )
        await admin.close()
        await until(lambda: cluster.connections[0] == cluster.connections[1])
        await cluster.names()
    finally:
        await cluster.close()


async def test_a_cluster_without_a_password_says_why_and_shows_nothing(
    guarded: PostgresServer, program: Program
) -> None:
    command = program(f"print({SECRET!r}); print({SECRET!r}, file=sys.stderr); sys.exit(7)")
    cluster = PostgresCluster("main", guarded.dsn(user=BOT), "db-1.internal", command)
    with capture_logs() as logs:
        await cluster.open()
        try:
            with pytest.raises(NotSent) as told:
                await cluster.names()
        finally:
            await cluster.close()
    assert told.value.problem == "its password command failed (exit status 7)"
    assert [each for each in logs if each["event"] == "cluster.down"]
    assert SECRET not in str(logs)


async def test_the_check_asks_the_program_too(guarded: PostgresServer, program: Program) -> None:
    await set_password(guarded, SECRET)
    url = guarded.dsn(user=BOT)
    assert isinstance((await probe("main", url, program(f"print({SECRET!r})"))).answer, Answer)
    failed = (await probe("main", url, program("sys.exit(4)"))).answer
    assert failed == Untold("its password command failed (exit status 4)")
