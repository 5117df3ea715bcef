"""@slack/bolt for Node.js, from npm, on the workspace: the other official framework must find it
as much like Slack as the one in Python does.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator

import pytest

from tests.processes import TIED
from tests.workspace.conftest import FOLDER
from workspace import Workspace
from workspace.people import PATIENCE

STOPPED = b'{"stopped":true}'


@pytest.fixture(scope="module")
async def bolt(node: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process with the framework: to load it takes longer than all that the tests do with it."""
    process = await asyncio.create_subprocess_exec(
        *(*TIED, node),
        "app.js",
        cwd=FOLDER,
        env={"PATH": os.environ["PATH"]},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        async with asyncio.timeout(PATIENCE):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.fixture
async def app(bolt: asyncio.subprocess.Process, slack: Workspace) -> AsyncIterator[list[str]]:
    """The app, connected; the lines that it prints."""
    assert bolt.stdin is not None
    assert bolt.stdout is not None
    lines: list[str] = []

    async def read(stream: asyncio.StreamReader) -> None:
        async for line in stream:
            if STOPPED in line:
                return
            lines.append(line.decode().rstrip())

    reading = asyncio.create_task(read(bolt.stdout))
    bolt.stdin.write(f"{json.dumps(slack.env)}\n".encode())
    try:
        await slack.connected(seconds=PATIENCE)
        yield lines
    finally:
        bolt.stdin.write(b"\n")
        async with asyncio.timeout(PATIENCE):
            await reading
    assert bolt.returncode is None, lines
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


async def test_click_is_answered_privately(app: list[str], slack: Workspace) -> None:
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


async def test_home_tab_opens_a_modal_that_answers_in_a_channel(
    app: list[str], slack: Workspace
) -> None:
    ana = slack.person("ana")
    await ana.opens_home()
    await ana.sees_home("Good evening")
    await ana.click("Where")
    await ana.sees_modal("Channel")
    # The bot isn't a member of this channel: only the url that comes with the modal reaches it.
    await ana.submit({"Channel": slack.channel("secret").id})
    await ana.sees("from the Home tab", channel="secret")
    assert '"tab":"home"' in "\n".join(app)


async def test_message_shortcut_is_answered_in_the_thread(app: list[str], slack: Workspace) -> None:
    ana, ben = slack.people("ana", "ben")
    parent = ana.say("Logins fail", "incidents")
    await ana.shortcut("Show PostgreSQL sessions", parent)
    reply = await ben.sees("looking", channel="incidents")
    assert (reply.thread_ts, reply.broadcast) == (parent.ts, True)
    whisper = await ana.sees("see https://acme.slack.com/archives/C0INCIDENTS/")
    assert (whisper.thread_ts, whisper.receiver) == (parent.ts, ana.id)
    assert f"?thread_ts={parent.ts}&cid=C0INCIDENTS" in whisper.text
    assert '"text":"Logins fail"' in "\n".join(app)


async def test_it_connects_again_when_slack_ends_its_connection(
    app: list[str], slack: Workspace
) -> None:
    ana = slack.person("ana")
    await slack.server.sockets.disconnect("refresh_requested")
    await slack.connected(seconds=PATIENCE)
    await ana.command("/pg-kill 33507", channel="incidents")
    await ana.sees("[Terminate]")
