"""What an error logs: never the values of local variables."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

# The secret isn't part of the script, because a traceback shows the script's lines.
SCRIPT = """
import sys, structlog
from aiohttp.http_exceptions import BadStatusLine
from bot.service import logs
logs.configure("DEBUG", sys.argv[1])
def fail(password):
    headers = {"Authorization": f"Bearer {password}"}
    raise RuntimeError("it failed" if headers else "")
try:
    fail(sys.argv[2])
except RuntimeError:
    structlog.get_logger("bot").exception("request.failed")
    import logging
    logging.getLogger("slack_sdk").exception("it failed")
    logging.getLogger("slack_sdk").debug(f"payload {sys.argv[2]}")
    for library in ("slack_bolt.AsyncApp", "asyncpg", "aiohttp.client", "anything", "app.py:x"):
        logging.getLogger(library).debug(f"payload {sys.argv[2]}")
    logging.getLogger("sqlalchemy.engine").info(f"select {sys.argv[2]}")
try:
    raise BadStatusLine(f"GET /{sys.argv[2]} HTTP/9.9")
except BadStatusLine:
    logging.getLogger("aiohttp.server").exception("Error handling request from %s", "10.0.0.1")
"""
MASKED = """
import sys, logging
from bot.service import logs
logs.configure("DEBUG", sys.argv[1])
log, secret = logging.getLogger("slack_sdk"), sys.argv[2]
log.error(f"url='wss://slack/link/?ticket={secret}&app_id=A0' and again")
log.error(f"POST https://hooks.slack.com/commands/T0/123/{secret} failed")
log.error(f'POST "https://hooks.slack.com/actions/T0/123/{secret}" refused')
log.error(f"Bearer xoxb-1-{secret}, xapp-1-A0-{secret}.")
log.error(f"no way to postgresql://bot:{secret}%40@db.internal/some_db")
try:
    raise OSError(f"ws://127.0.0.1/link/?ticket={secret}")
except OSError:
    log.exception("it failed")
"""
NO_FILES = """
import asyncio, resource, socket, sys
from bot.service import logs
logs.configure("INFO", "json")
async def main():
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    client = socket.create_connection(server.sockets[0].getsockname())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    await asyncio.sleep(0.1)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
asyncio.run(main())
"""
IN_TURN = """
import asyncio, logging, os, sys, structlog
from bot.service import logs
logs.configure("INFO", sys.argv[1])
log, written = structlog.get_logger("bot"), sys.argv[2]
def told():
    sys.stderr.flush()
    return os.stat(written).st_size
async def work():
    structlog.contextvars.bind_contextvars(reference="of the first")
    log.info("first")
    logging.getLogger("slack_sdk").info("second")
    structlog.contextvars.bind_contextvars(reference="of another")
    assert told() == 0
    await asyncio.sleep(0)
    before = told()
    assert before > 0
    log.info("third")
    log.warning("fourth")
    assert told() > before
    log.info("fifth")
asyncio.run(work())
log.info("sixth")
"""
HOSTILE = """
import sys, logging, structlog
from bot.service import logs
logs.configure("DEBUG", sys.argv[1])
name = "a\\x1b[2J\\x9b1m\\u202eb\\nforged line"
structlog.get_logger("bot").info("met", role=name, roles=[name])
logging.getLogger("slack_sdk").error("met %s", name)
try:
    raise OSError(name)
except OSError:
    structlog.get_logger("bot").exception("failed")
"""
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("form", ["json", "console"])
def test_locals_of_a_failed_call_are_not_logged(form: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, form, "hunter2"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "request.failed" in done.stderr
    assert "RuntimeError" in done.stderr
    assert "hunter2" not in done.stderr
    if form == "json":
        levels = [json.loads(line)["level"] for line in done.stderr.splitlines()]
        assert levels == ["error", "error", "info"]


@pytest.mark.parametrize("form", ["json", "console"])
def test_urls_in_errors_are_masked(form: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MASKED, form, "hunter2"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "hunter2" not in done.stderr
    for kept in ("app_id=A0", "failed", "refused", "@db.internal/some_db", "it failed", "OSError"):
        assert kept in done.stderr
    if form == "json":
        assert all(json.loads(line) for line in done.stderr.splitlines())


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_name_in_the_log_acts_on_the_terminal(form: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HOSTILE, form],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    lines = done.stderr.rstrip("\n").split("\n")
    assert all(line.isprintable() for line in lines)
    assert not [line for line in lines[:2] if line.startswith("forged")]
    assert done.stderr.count("u001b[2J") + done.stderr.count("x1b[2J") >= 4


def test_server_that_can_accept_nobody_is_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-c", NO_FILES], cwd=ROOT, capture_output=True, text=True, check=True
    )
    (line,) = done.stderr.splitlines()
    assert "out of system resource" in json.loads(line)["event"]


def test_lines_wait_for_the_loops_next_turn_unless_they_tell_of_trouble(tmp_path: Path) -> None:
    written = tmp_path / "log"
    with written.open("w") as log:
        subprocess.run(
            [sys.executable, "-c", IN_TURN, "json", str(written)], cwd=ROOT, stderr=log, check=True
        )
    lines = [json.loads(line) for line in written.read_text().splitlines()]
    events = ["first", "second", "third", "fourth", "fifth", "sixth"]
    assert [line["event"] for line in lines] == events
    first, other = "of the first", "of another"
    assert [line.get("reference") for line in lines] == [first, first, *3 * [other], None]
