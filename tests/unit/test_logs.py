"""What an error brings into the log: never the values that stood around it."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

# The secret is no word of the script: a traceback shows the lines that it runs through.
SCRIPT = """
import sys, structlog
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
    logging.getLogger("slack_bolt.AsyncApp").debug(f"payload {sys.argv[2]}")
"""
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_local_of_a_failed_call_is_logged(form: str) -> None:
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
        for line in done.stderr.splitlines():
            assert json.loads(line)["level"] == logging.getLevelName(logging.ERROR).lower()
