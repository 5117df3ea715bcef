"""The bot with only the privileges that deploy/kubernetes.yml leaves it."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import Bot
from tests.e2e.test_health import get
from tests.integration.conftest import Sessions
from tests.integration.kills import lives
from tests.ports import free_port
from tests.servers import ROOT
from workspace import Person, Workspace

DEPLOYMENT: dict[str, Any] = next(yaml.safe_load_all((ROOT / "deploy/kubernetes.yml").read_text()))
POD = DEPLOYMENT["spec"]["template"]["spec"]["securityContext"]

# The tests' folder may be a separate file system.
TEMPORARY = Path(tempfile.gettempdir())
MOUNTS = ["/", *(str(each) for each in [TEMPORARY, *TEMPORARY.parents][:-1] if each.is_mount())]

# Namespaces replace a container: nothing can be written, and the process runs as the image's user
# without capabilities. So no coverage file can be written either.
CONFINED = (
    "env",
    "--unset=COVERAGE_PROCESS_START",
    "--unset=COVERAGE_PROCESS_CONFIG",
    "unshare",
    "--user",
    "--map-root-user",
    "--mount",
    "sh",
    "-euc",
    f'for each in {" ".join(MOUNTS)}; do mount -o remount,bind,ro $each; done; exec "$@"',
    "sh",
    "unshare",
    "--user",
    f"--map-user={POD['runAsUser']}",
    f"--map-group={POD['runAsGroup']}",
    "setpriv",
    "--no-new-privs",
    "--inh-caps=-all",
)


def confined(*command: str) -> str | None:
    """What a command prints under these restrictions; None if it fails."""
    if shutil.which("unshare") is None or shutil.which("setpriv") is None:
        return None
    ran = subprocess.run([*CONFINED, *command], capture_output=True, text=True, check=False)
    return ran.stdout if ran.returncode == 0 else None


pytestmark = pytest.mark.skipif(
    confined("true") is None, reason="this machine gives no namespaces to confine a process in"
)


@pytest.fixture
async def start_confined(
    environment: dict[str, str], tmp_path: Path
) -> AsyncIterator[Callable[..., Awaitable[Bot]]]:
    """Start a bot under the restrictions, with additional settings; stopped when the test ends."""
    async with AsyncExitStack() as stack:

        async def start(**changes: str) -> Bot:
            bot = Bot({**environment, "HOME": "/", **changes}, tmp_path, CONFINED)
            await bot.start()
            stack.push_async_callback(bot.stop)
            return bot

        yield start


def test_restrictions_take_effect(tmp_path):
    assert confined(sys.executable, "-c", "import os; print(os.getuid(), os.getgid())") == (
        f"{POD['runAsUser']} {POD['runAsGroup']}\n"
    )
    assert confined("touch", str(tmp_path / "file")) is None
    assert confined("grep", "-q", "^CapEff:.*[1-9a-f]", "/proc/self/status") is None
    assert confined("grep", "-q", "^NoNewPrivs:.*1", "/proc/self/status") is not None


async def test_bot_needs_no_privileges_and_no_writable_files(
    start_confined: Callable,
    slack: Workspace,
    ana: Person,
    sessions: Sessions,
    ledger_url: str,
) -> None:
    port = free_port()
    victim = await sessions.open("batch", app="confined")
    bot = await start_confined(LEDGER_URL=ledger_url, HEALTH_PORT=str(port))
    await bot.ready()
    await slack.connected()
    assert await get(port, "/readyz") == (200, '{"slack": true, "ledger": true}')
    await ana.command("/pg-sessions some_db", channel="incidents")
    await ana.command("/pg-kill app=confined", channel="incidents")
    await ana.click("Terminate 1 session")
    await ana.sees("Terminated 1 of 1 on main")
    assert not await lives(victim)
    assert await bot.stop() == 0
    assert bot.errors == []


async def test_replica_without_a_ledger_url_does_not_create_a_ledger(
    start_confined: Callable,
) -> None:
    bot = await start_confined(LEDGER_URL="")
    assert await bot.ended() == 1
    assert "LEDGER_URL: " in bot.output
