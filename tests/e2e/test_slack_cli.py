"""`slack run` in a fresh clone: Slack's command line runs the hooks of `.slack/hooks.json`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import Bot
from tests.servers import ROOT
from workspace import Person, Workspace

HOOKS = json.loads((ROOT / ".slack/hooks.json").read_text())


def words(hook: str) -> list[str]:
    """A hook as it is run: without a shell."""
    return HOOKS["hooks"][hook].split()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What git has of the project, without the virtual environment and the settings of this one."""
    folder = tmp_path / "clone"
    folder.mkdir()
    for name in ("Makefile", "bot", "manifest.yml", "requirements", "scripts", ".slack"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def test_command_line_gets_the_manifest_as_json(clone: Path) -> None:
    """All else goes to standard error, from the first time on, when it installs what it needs."""
    environment = {name: v for name, v in os.environ.items() if not name.startswith("MAKE")}
    environment |= {"PYTHON": sys.executable, "VENV": ".venv"}
    ran = subprocess.run(
        words("get-manifest"),
        cwd=clone,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode != 0 and not os.environ.get("CI"):
        pytest.skip(f"pip could not install PyYAML: {ran.stderr}")
    assert json.loads(ran.stdout) == yaml.safe_load((ROOT / "manifest.yml").read_text())
    assert "Making the virtual environment" in ran.stderr


async def test_command_line_starts_the_bot_with_its_tokens(
    clone: Path, environment: dict[str, str], slack: Workspace, ana: Person
) -> None:
    assert HOOKS["config"] == {"sdk-managed-connection-enabled": True}  # the bot opens the socket
    assert {"SLACK_BOT_TOKEN", "SLACK_APP_TOKEN"} <= environment.keys()
    given = {**environment, "VENV": sys.prefix, "LEDGER_URL": "sqlite:///ledger.db"}
    bot = Bot(given, clone, program=words("start"))
    await bot.start()
    await bot.ready()
    await slack.connected()
    await ana.command("/pg-sessions some_db", channel="incidents")
    await ana.sees("some_db on main")
    await bot.stop()  # make passes it on
    assert "bot.stopped" in bot.output
