"""A new workspace for each test, and apps built on it with the official clients."""

import asyncio
import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from workspace import Workspace
from workspace.people import PATIENCE

FOLDER = Path(__file__).parent / "node"
NODE = 20


def _run(*command: str) -> str:
    """The output of a command. Raises `OSError` with its whole output if it fails."""
    made = subprocess.run(
        command,
        cwd=FOLDER,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        raise OSError(made.stdout)
    return made.stdout


def _install(npm: str) -> None:
    """Install what the app needs, in the locked versions, unless that is done already."""
    package_lock = FOLDER / "package-lock.json"
    lock = hashlib.sha256(package_lock.read_bytes()).hexdigest()
    stamp = FOLDER / "node_modules" / ".lock"
    with package_lock.open() as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        if not stamp.is_file() or stamp.read_text() != lock:
            _run(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
            stamp.write_text(lock)


@pytest.fixture(scope="session")
def node() -> str:
    """Node.js, with the official clients. If they can't be had: skip, but fail with `CI` set."""
    path, npm = shutil.which("node"), shutil.which("npm")
    if path is None or npm is None:
        pytest.skip("Node.js and npm are missing")
    version = _run(path, "--version").strip()
    if int(version.lstrip("v").partition(".")[0]) < NODE:
        pytest.skip(f"@slack/bolt needs Node.js {NODE} or newer, and this is {version}")
    try:
        _install(npm)
    except OSError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"npm could not install @slack/bolt: {error}")
    return path


@pytest.fixture
async def slack() -> AsyncIterator[Workspace]:
    async with Workspace() as started:
        yield started


@pytest.fixture
def client(slack: Workspace) -> AsyncWebClient:
    return AsyncWebClient(token=slack.bot_token, base_url=slack.api_url)


@asynccontextmanager
async def in_socket_mode(slack: Workspace, app: AsyncApp) -> AsyncIterator[None]:
    """An app built on Bolt, to which the workspace sends what people do."""
    handler = AsyncSocketModeHandler(app, slack.app_token)
    await handler.connect_async()
    await slack.connected()
    yield
    await handler.close_async()


async def eventually(holds: Callable[[], object]) -> None:
    """Wait up to 15 s until `holds()` is true."""
    async with asyncio.timeout(PATIENCE):
        while not holds():
            await asyncio.sleep(0.01)
