"""Secrets that stand in no variable: mounted files, and passwords from a program."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from tests.e2e.conftest import Bot
from tests.ports import free_port
from workspace import Person
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer

TOKEN = "password-of-the-moment"


def program(folder: Path, code: str) -> str:
    """A program of a few lines, as a setting names it: with a space in its path."""
    path = folder / "a program"
    path.write_text(f"#!{sys.executable} -I\nimport os, sys, time\n{code}\n")
    path.chmod(0o700)
    return f"'{path}' --for 'the bot'"


def running(pids: Path) -> list[str]:
    """Which of the processes run whose pids are the names of files."""
    return [each.name for each in pids.iterdir() if Path(f"/proc/{each.name}").exists()]


async def test_settings_are_read_from_files_beside_variables(
    start: Callable, environment: dict[str, str], ana: Person, tmp_path: Path
) -> None:
    secrets = tmp_path / "mounted"
    secrets.mkdir()
    for name in ("SLACK_BOT_TOKEN", "SLACK_APP_TOKEN", "DATABASE_URL"):
        (secrets / name.lower()).write_text(f"{environment[name]}\n")
    (secrets / "LOG_LEVEL").write_text("CRITICAL\n")
    (tmp_path / ".env").write_text("SLACK_BOT_TOKEN=\nSECRETS_DIR=mounted\n")
    blank = dict.fromkeys(("SLACK_BOT_TOKEN", "SLACK_APP_TOKEN", "DATABASE_URL"), "")
    bot: Bot = await start(**blank, LOG_LEVEL="INFO")
    await ana.command("/pg-sessions some_db", channel="incidents")
    await ana.sees("some_db on main")
    printed = await bot.run("history")
    assert printed == ""


async def test_every_problem_with_the_files_is_told_and_no_content(
    start: Callable, tmp_path: Path
) -> None:
    secrets = tmp_path / "mounted"
    (secrets / "SLACK_BOT_TOKEN").mkdir(parents=True)
    (secrets / "PROTECTED_ROLE").write_text("top-secret")
    (secrets / "DATABASE_URL_PROD").write_text("mysql://top-secret")
    bot: Bot = await start(wait=False, SECRETS_DIR=str(secrets), SLACK_BOT_TOKEN="")
    assert await bot.ended() == 2
    for line in (
        "SLACK_BOT_TOKEN: its file in SECRETS_DIR isn't a file",
        "DATABASE_URL_PROD: must be a URL that begins with postgresql://",
        "PROTECTED_ROLE: unknown setting; did you mean PROTECTED_ROLES?",
    ):
        assert line in bot.output
    assert "top-secret" not in bot.output


async def test_a_program_gives_the_password_and_sees_no_setting(
    start: Callable, ana: Person, server: PostgresServer, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    code = (
        f"open({str(seen)!r}, 'w').write(repr((sys.argv[1:], dict(os.environ))))\nprint({TOKEN!r})"
    )
    bot: Bot = await start(DATABASE_PASSWORD_COMMAND=program(tmp_path, code), LOG_LEVEL="DEBUG")
    await ana.command("/pg-sessions some_db", channel="incidents")
    await ana.sees("some_db on main")
    arguments, variables = eval(seen.read_text())
    assert arguments == ["--for", "the bot"]
    assert (variables["PGHOST"], variables["PGUSER"]) == (server.host, "sessions_bot")
    assert not [name for name in variables if name.startswith(("SLACK", "DATABASE", "PG_"))]
    assert TOKEN not in bot.output


async def test_a_program_that_fails_is_told_in_the_channel_by_its_exit_status(
    start: Callable, ana: Person, tmp_path: Path
) -> None:
    code = f"print({TOKEN!r}); print({TOKEN!r}, file=sys.stderr); sys.exit(3)"
    bot: Bot = await start(DATABASE_PASSWORD_COMMAND=program(tmp_path, code))
    await ana.command("/pg-sessions main/", channel="incidents")
    shown = await ana.sees("its password command failed (exit status 3)")
    printed = await bot.run("check", status=1)
    assert "its password command failed (exit status 3)" in printed
    assert TOKEN not in printed + bot.output + ana.text_of(shown)


async def test_a_program_that_hangs_does_not_outlive_the_bot(
    start: Callable, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    pids.mkdir()
    code = f"open(os.path.join({str(pids)!r}, str(os.getpid())), 'w')\ntime.sleep(600)"
    bot: Bot = await start(
        wait=False,
        DATABASE_PASSWORD_COMMAND=program(tmp_path, code),
        HEALTH_PORT=str(free_port()),
    )
    async with asyncio.timeout(PATIENCE):
        while not any(pids.iterdir()):
            await asyncio.sleep(0.02)
    assert await bot.stop() == 0
    assert not running(pids)
