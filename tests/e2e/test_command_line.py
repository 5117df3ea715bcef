"""`python -m bot …` at a terminal: wrong arguments, and printing the record."""

import asyncio
import os
import sqlite3
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from bot import __version__
from bot.domain.record import RefusalNote
from bot.ledger.sql import SqlLedger
from tests.e2e.conftest import Bot
from tests.e2e.warm import Warm
from tests.processes import TIED
from tests.servers import ROOT
from tests.unit.builders import ALICE

SQLITE = "sqlite:///ledger.db"


@dataclass(frozen=True)
class Ended:
    """A command's exit status and output."""

    status: int | None
    printed: str
    said: str


async def run(folder: Path, *arguments: str, **environment: str) -> Ended:
    """Run the bot in a folder, with only the given variables set."""
    process = await asyncio.create_subprocess_exec(
        *(*TIED, sys.executable, "-m", "bot", *arguments),
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, said = await process.communicate()
    return Ended(process.returncode, printed.decode(), said.decode())


Run = Callable[..., Awaitable[Ended]]


@pytest.fixture
def run_warm(tmp_path: Path, warm: Warm) -> Run:
    """The same in a process that is forked: for what `run` need not show again."""

    async def run_warm(*arguments: str, **environment: str) -> Ended:
        with tempfile.TemporaryFile() as errors:
            process = await warm.start(
                *arguments,
                folder=tmp_path,
                environment=environment,
                limit=2**16,
                errors=errors.fileno(),
            )
            printed, _ = await process.communicate()
            errors.seek(0)
            return Ended(process.returncode, printed.decode(), errors.read().decode())

    return run_warm


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("history", "--since", "foo"), ["argument --since: 'foo' is not a date", "12h"]),
        (("history", "--since", "999999w"), ["argument --since: 999999w is before the year 1"]),
        (("history", "--of", "nothing"), ["argument --of", "'nothing'", "refusals", "looks"]),
        (("history", "--format", "xml"), ["argument --format", "'xml'", "json", "csv"]),
        (
            ("timeline", "--since", "1h", "--until", "2h"),
            ["argument --until: is not after --since"],
        ),
        (("timeline", "--until", "soon"), ["argument --until: 'soon' is not a date", "12h"]),
        (("histroy",), ["'histroy'", "run", "check", "history", "timeline"]),
    ],
)
async def test_wrong_argument_is_reported_with_the_right_ones(
    run_warm: Run, arguments: tuple[str, ...], words: list[str]
) -> None:
    ended = await run_warm(*arguments)
    assert (ended.status, ended.printed) == (2, "")
    for word in words:
        assert word in ended.said
    for inside in ("lambda", "<Record", "_since", "Traceback"):
        assert inside not in ended.said


async def test_version_needs_no_settings(tmp_path: Path) -> None:
    ended = await run(tmp_path, "--version")
    assert ended == Ended(0, f"pg-sessions-bot {__version__}\n", "")


async def test_a_checkout_without_dotenv_is_told_how_to_make_one(
    run_warm: Run, tmp_path: Path
) -> None:
    (tmp_path / ".env.example").write_text("SLACK_BOT_TOKEN=xoxb-\n")
    hint = ".env: not found; run cp .env.example .env"
    for command in ("run", "check"):
        ended = await run_warm(command)
        assert ended.status == 2
        assert hint in ended.printed + ended.said
    # If the environment sets variables, no file is meant.
    assert hint not in (await run_warm("run", SLACK_BOT_TOKEN="xoxb-1")).said
    (tmp_path / ".env").touch()
    assert hint not in (await run_warm("run")).said


# The record


@pytest.fixture
async def ledger(tmp_path: Path) -> Path:
    """An empty ledger in a file."""
    path = tmp_path / "ledger.db"
    opened = SqlLedger(f"sqlite:///{path}")
    await opened.open()
    await opened.close()
    return path


@pytest.mark.parametrize(
    "command",
    [("history",), ("history", "--of", "refusals"), ("timeline",), ("timeline", "--json")],
)
async def test_the_record_does_not_create_a_missing_ledger(
    run_warm: Run, tmp_path: Path, command: tuple[str, ...]
) -> None:
    ended = await run_warm(*command)
    assert (ended.status, ended.printed) == (1, "")
    assert ended.said == f"LEDGER_URL: there is no ledger at {tmp_path / 'ledger.db'}\n"
    assert not any(tmp_path.iterdir())  # noqa: ASYNC240 - a test


async def test_history_does_not_create_a_ledger_in_a_database(
    run_warm: Run, ledger_url: str
) -> None:
    ended = await run_warm("history", LEDGER_URL=ledger_url)
    assert ended.status == 1
    assert "there is no ledger at 127.0.0.1" in ended.said
    connection = await asyncpg.connect(ledger_url)
    assert await connection.fetch("select from pg_tables where schemaname = 'public'") == []
    await connection.close()


async def test_empty_record_is_reported_on_standard_error(
    run_warm: Run, tmp_path: Path, ledger: Path
) -> None:
    """Without a Slack token or a server: only the ledger is read."""
    ended = await run(tmp_path, "history")
    assert ended == Ended(0, "", "no kills on record\n")
    ended = await run_warm("history", "--of", "looks", "--since", "2026-01-31", "--format=csv")
    assert ended.status == 0
    assert ended.printed.startswith("id,at,")
    assert ended.said == "no looks on record since 2026-01-31 00:00 UTC\n"


async def test_timeline_of_a_quiet_time_is_reported_on_standard_error(
    run_warm: Run, tmp_path: Path, ledger: Path
) -> None:
    """Without a Slack token or a server, too."""
    asked = ("timeline", "--since", "2026-01-31", "--until", "2026-01-31T02:00+01:00")
    ended = await run(tmp_path, *asked)
    said = "nothing on record between 2026-01-31 00:00 UTC and 2026-01-31 01:00 UTC\n"
    assert ended == Ended(0, "", said)
    ended = await run_warm(*asked, "--cluster", "prod", "--json")
    assert ended == Ended(0, "", said.replace("nothing", "nothing of prod"))


async def test_history_leaves_a_ledger_of_an_earlier_schema_as_it_is(
    run_warm: Run, ledger: Path
) -> None:
    connection = sqlite3.connect(ledger)
    connection.execute("delete from ledger_version where version > 1")
    connection.commit()
    ended = await run_warm("history")
    assert ended.status == 1
    assert "LEDGER_URL: the ledger has schema version 1, from an earlier version" in ended.said
    assert connection.execute("select max(version) from ledger_version").fetchone() == (1,)
    connection.close()


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"LEDGER_URI": SQLITE}, "LEDGER_URI: unknown setting; did you mean LEDGER_URL?\n"),
        ({"LEDGER_URL": "x"}, "LEDGER_URL: must begin with sqlite:/// or postgresql://\n"),
        ({"LEDGER_URL": f'"{SQLITE}"'}, "LEDGER_URL: is in quotes, which --env-file keeps"),
    ],
)
async def test_history_reads_its_one_setting_as_the_bot_does(
    run_warm: Run,
    ledger: Path,
    environment: dict[str, str],
    said: str,
) -> None:
    ended = await run_warm("history", **environment, PG_KILL_ALLOWLIST="*")
    assert (ended.status, ended.printed) == (2, "")
    assert ended.said.startswith(said)
    assert "PG_KILL_ALLOWLIST" not in ended.said


async def test_closed_pipe_is_not_an_error(tmp_path: Path, ledger: Path) -> None:
    opened = SqlLedger(f"sqlite:///{ledger}")
    await opened.open()
    note = RefusalNote(actor=ALICE, channel_id="C1", what="x" * 900, why="why", reference="r")
    await opened.note([(0.0, note)] * 500)  # more than a pipe holds
    await opened.close()
    reader, writer = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *(*TIED, sys.executable, "-m", "bot", "history", "--of", "refusals"),
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        stdout=writer,
        stderr=asyncio.subprocess.PIPE,
    )
    os.close(writer)
    os.close(reader)
    _, said = await process.communicate()
    assert (process.returncode, said.decode()) == (1, "")


# The start


async def test_start_logs_no_useless_warnings(bot: Bot) -> None:
    assert [line for line in bot.lines if '"level": "warning"' in line] == []
