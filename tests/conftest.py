"""What holds for all tests."""

import os
import tempfile
from types import SimpleNamespace

import pytest
import structlog
from hypothesis import Phase, settings

from tests import servers

MEMORY, ROOM = "/dev/shm", 4 * 2**30
"""Where files are kept in memory, and the bytes that the tests of four processes may take."""


def write_into_memory() -> None:
    """Make temporary files there: of a new server and of a new database there are hundreds.

    Not where programs may not be run: a server's may have to be copied.
    """
    try:
        found = os.statvfs(MEMORY)
    except OSError:
        return
    has_room = found.f_bavail * found.f_frsize >= ROOM and not found.f_flag & os.ST_NOEXEC
    if has_room and "TMPDIR" not in os.environ:
        os.environ["TMPDIR"] = tempfile.tempdir = MEMORY


write_into_memory()

# No test is timed: a busy machine must not fail one. CI draws the same examples each time.
settings.register_profile("tests", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("tests")

# For a long look elsewhere, by --hypothesis-profile=hunt and a --hypothesis-seed.
settings.register_profile(
    "hunt",
    deadline=None,
    print_blob=True,
    max_examples=400,
    stateful_step_count=60,
    database=None,
    phases=(Phase.generate,),
)

# What is logged is shown of a test that fails; the usual renderer takes seconds for a traceback.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(
            colors=False, exception_formatter=structlog.dev.plain_traceback
        ),
    ]
)


_NONE = SimpleNamespace(id="")


def pytest_configure(config: pytest.Config) -> None:
    del config
    servers.bin_dir()  # a version that is not there is said once, not by every test


SLOW = {"test_any_order", "test_fuzz", "test_loop"}
"""Modules whose tests take up to a minute each."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the ledgers in a file out where another version is tested: they know none."""
    if "TEST_POSTGRES" in os.environ:
        files = [
            each for each in items if "sqlite" in getattr(each, "callspec", _NONE).id.split("-")
        ]
        config.hook.pytest_deselected(items=files)
        items[:] = [item for item in items if item not in set(files)]
    deal(items, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


def deal(items: list[pytest.Item], processes: int) -> None:
    """Have each process begin with slow tests, lest it ends with one when all others are done.

    It takes an equal part of the list, in order.
    """
    slow = [item for item in items if item.path.stem in SLOW]
    rest = [item for item in items if item.path.stem not in SLOW]
    dealt: list[pytest.Item] = []
    for process in range(processes):
        own = slow[process::processes]
        others = max(0, (len(items) - len(dealt)) // (processes - process) - len(own))
        dealt += own + rest[:others]
        del rest[:others]
    items[:] = dealt + rest


def pytest_report_header(config: pytest.Config) -> str:
    del config
    return f"PostgreSQL: {servers.MAJOR}"
