"""A process that a test starts ends with it."""

import asyncio
import signal
import sys

import pytest

from tests.processes import TIED
from workspace.people import PATIENCE

PARENT = """
import signal, subprocess, sys
CHILD = "import time; print(flush=True); time.sleep(3600)"
subprocess.Popen([*sys.argv[1:], sys.executable, "-c", CHILD])
signal.pause()
"""


@pytest.mark.skipif(not TIED, reason="setpriv is missing (util-linux)")
async def test_processes_of_a_killed_test_end() -> None:
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PARENT, *TIED), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    async with asyncio.timeout(PATIENCE):
        await parent.stdout.readline()
        parent.send_signal(signal.SIGKILL)
        await parent.stdout.read()  # to its end, when the child has closed the pipe too
        await parent.wait()
