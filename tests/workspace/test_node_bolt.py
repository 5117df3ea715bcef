"""@slack/bolt for Node.js, from npm, on the workspace: the other official framework must find it
as much like Slack as the one in Python does.

Where Node is missing these tests skip and say so.
"""

import asyncio
import hashlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.processes import TIED
from workspace import Workspace
from workspace.people import PATIENCE

FOLDER = Path(__file__).parent / "node"
NODE = 20


async def _run(*command: str) -> str:
    """The output of a command. Raises `OSError` with all that it said where it fails."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=FOLDER, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise OSError(output.decode())
    return output.decode()


async def _install(npm: str) -> None:
    """Install what the app needs, in the versions of the lock, where that isn't done yet."""
    lock = hashlib.sha256((FOLDER / "package-lock.json").read_bytes()).hexdigest()
    stamp = FOLDER / "node_modules" / ".lock"
    if not stamp.is_file() or stamp.read_text() != lock:
        await _run(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
        stamp.write_text(lock)


@pytest.fixture(scope="session")
async def node() -> str:
    """Node, with what the app needs. Where npm fails too: skipped, but an error with `CI` set."""
    path, npm = shutil.which("node"), shutil.which("npm")
    if path is None or npm is None:
        pytest.skip("Node.js and npm are missing")
    version = (await _run(path, "--version")).strip()
    if int(version.lstrip("v").partition(".")[0]) < NODE:
        pytest.skip(f"@slack/bolt needs Node.js {NODE} or newer, and this is {version}")
    try:
        await _install(npm)
    except OSError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"npm could not install @slack/bolt: {error}")
    return path


@pytest.fixture
async def app(node: str, slack: Workspace) -> AsyncIterator[list[str]]:
    """The app, connected; the lines that it prints."""
    process = await asyncio.create_subprocess_exec(
        *(*TIED, node),
        "app.js",
        cwd=FOLDER,
        env={"PATH": os.environ["PATH"], **slack.env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    lines: list[str] = []

    async def read(stream: asyncio.StreamReader) -> None:
        async for line in stream:
            lines.append(line.decode().rstrip())  # noqa: PERF401 - as they come

    reading = asyncio.create_task(read(process.stdout))
    try:
        await slack.connected(seconds=PATIENCE)
        yield lines
        process.terminate()
        async with asyncio.timeout(PATIENCE):
            assert await process.wait() == 0, lines
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await reading
    assert not any('"error"' in line for line in lines), lines


async def test_a_command_is_shown_and_answered_with_a_table(
    app: list[str], slack: Workspace
) -> None:
    ana, vera = slack.people("ana", "vera")
    await ana.command("/pg-kill xact>5m -- now", channel="incidents")
    await vera.sees("ana used /pg-kill xact>5m -- now", channel="incidents")
    await vera.sees("33507", "some_user", "[Terminate]")
    assert '"text":"xact&gt;5m -- now"' in "\n".join(app)


async def test_a_command_is_answered_over_its_response_url(
    app: list[str], slack: Workspace
) -> None:
    ana, vera = slack.people("ana", "vera")
    answer = await ana.command("/pg-sessions", channel="incidents")
    assert answer is not None
    assert ana.text_of(answer).splitlines()[1:] == ["  Only visible to you", "  for you alone"]
    assert vera.messages("incidents") == []


async def test_a_click_replaces_its_message_for_all(app: list[str], slack: Workspace) -> None:
    ana, ben, vera = slack.people("ana", "ben", "vera")
    await ana.command("/pg-kill 33507", channel="incidents")
    await ben.sees("Terminate", channel="incidents")
    await ben.click("Terminate")
    await vera.sees("done by @ben", channel="incidents")
    assert vera.does_not_see("[Terminate]")


async def test_a_click_is_answered_to_its_person_alone(app: list[str], slack: Workspace) -> None:
    ana, ben = slack.people("ana", "ben")
    await ana.command("/pg-kill 33507", channel="incidents")
    await ben.sees("Whisper", channel="incidents")
    await ben.click("Whisper")
    await ben.sees("Only visible to you", "whispered")
    assert ana.does_not_see("whispered")
    await ana.sees("[Terminate]")


async def test_a_modal_is_opened_checked_and_submitted(app: list[str], slack: Workspace) -> None:
    ana, vera = slack.people("ana", "vera")
    await ana.command("/pg-kill 33507", channel="incidents")
    await ana.sees("Ask", channel="incidents")
    await ana.click("Ask")
    await ana.sees_modal("Reason", "Why")
    await ana.submit({"Why": "none"})
    await ana.sees_modal("That is no reason.")
    await ana.submit({"Why": "it blocks"})
    await vera.sees("because it blocks", channel="incidents")
    assert ana.modal is None


async def test_it_connects_again_when_slack_ends_its_connection(
    app: list[str], slack: Workspace
) -> None:
    ana = slack.person("ana")
    await slack.server.sockets.disconnect("refresh_requested")
    await slack.connected(seconds=PATIENCE)
    await ana.command("/pg-kill 33507", channel="incidents")
    await ana.sees("[Terminate]")
