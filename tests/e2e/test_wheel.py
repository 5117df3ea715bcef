"""The wheel, installed as its users install it: it needs nothing of the checkout."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from bot import __version__
from tests.e2e.conftest import Bot
from tests.integration.conftest import Sessions
from tests.integration.kills import lives
from tests.servers import ROOT
from workspace import Person, Workspace

PIP = (sys.executable, "-m", "pip")
COMMANDS = ("run", "check", "history", "timeline")


def done(*command: object) -> str:
    """What a command prints. Raises `OSError` with its whole output if it fails."""
    ran = subprocess.run(
        [str(each) for each in command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ran.returncode != 0:
        raise OSError(ran.stdout)
    return ran.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    done(
        *(*PIP, "wheel", "--no-index", "--no-deps", "--no-build-isolation"),
        *("--wheel-dir", folder, ROOT),
    )
    (built,) = folder.iterdir()
    return built


@pytest.fixture
def installed(tmp_path: Path, wheel: Path) -> Path:
    """The folder of the programs of a new virtual environment with the wheel in it.

    Without a package index: skip, but fail with `CI` set.
    """
    programs = tmp_path / "venv" / "bin"
    done(sys.executable, "-m", "venv", "--without-pip", programs.parent)
    install = (*PIP, "--python", programs / "python", "install", "--no-compile")
    try:
        done(*install, "--require-hashes", "-r", ROOT / "requirements/run.txt")
    except OSError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"pip could not install what the wheel needs: {error}")
    done(*install, "--no-index", "--no-deps", wheel)
    return programs


def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    files = {each for each in (ROOT / "bot").rglob("*.*") if "__pycache__" not in each.parts}
    names = zipfile.ZipFile(wheel).namelist()
    held = {name for name in names if ".dist-info/" not in name}
    assert held == {str(each.relative_to(ROOT)) for each in files}
    assert "bot/postgres/queries/signal.sql" in held
    assert f"pg_sessions_bot-{__version__}.dist-info/licenses/LICENSE" in names


async def test_installed_program_runs_from_an_empty_folder(
    installed: Path,
    environment: dict[str, str],
    tmp_path: Path,
    slack: Workspace,
    ana: Person,
    sessions: Sessions,
) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    program = Bot(environment, folder, program=[str(installed / "pg-sessions-bot")])
    module = Bot(environment, folder, program=[str(installed / "python"), "-m", "bot"])

    assert await program.run("--version") == f"pg-sessions-bot {__version__}\n"
    for started, name in ((program, "pg-sessions-bot"), (module, "python -m bot")):
        told = await started.run("--help")
        assert told.startswith(f"usage: {name} [-h] [--version] command ...\n")
        assert tuple(re.findall(r"^    (\w+) ", told, re.MULTILINE)) == COMMANDS
        for command in COMMANDS:
            told = await started.run(command, "--help")
            assert told.startswith(f"usage: {name} {command} [-h]")

    checked = await program.run("check")
    assert "cluster main\n  ok " in checked
    assert "\n0 failures, 0 warnings, " in checked
    assert list(folder.iterdir()) == []

    victim = await sessions.open("batch", app="from the wheel")
    await program.start()
    await program.ready()
    await slack.connected()
    await ana.command("/pg-sessions some_db", channel="incidents")
    await ana.command("/pg-kill app='from the wheel'", channel="incidents")
    await ana.click("Terminate 1 session")
    await ana.sees("Terminated 1 of 1 on main")
    assert not await lives(victim)
    assert await program.stop() == 0
    assert program.errors == []
    assert [each.name for each in folder.iterdir()] == ["ledger.db"]
