"""Fixtures and settings for all tests."""

import gc
import os
import tempfile
from types import SimpleNamespace

import pytest
import structlog
from hypothesis import Phase, settings

from tests import servers

MEMORY, ROOM = "/dev/shm", 4 * 2**30
"""The folder for files in memory, and the bytes that the tests of four processes may need."""


def write_into_memory() -> None:
    """Put temporary files in memory: the tests create hundreds of servers and databases.

    Not if programs can't be run there: a server's programs may have to be copied.
    """
    try:
        found = os.statvfs(MEMORY)
    except OSError:
        return
    has_room = found.f_bavail * found.f_frsize >= ROOM and not found.f_flag & os.ST_NOEXEC
    if has_room and "TMPDIR" not in os.environ:
        os.environ["TMPDIR"] = tempfile.tempdir = MEMORY


write_into_memory()

# Thousands of tests are collected and kept: none of that is garbage.
gc.disable()

# No test is timed: a busy machine must not fail one. In CI, the examples are the same each time.
settings.register_profile("tests", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("tests")

# For a long search elsewhere: --hypothesis-profile=hunt and a --hypothesis-seed.
settings.register_profile(
    "hunt",
    deadline=None,
    print_blob=True,
    max_examples=400,
    stateful_step_count=60,
    database=None,
    phases=(Phase.generate,),
)

# A failing test shows its log; structlog's usual renderer takes seconds for a traceback.
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
    servers.bin_dir()  # reports a missing version once, not in every test


SLOW = {"test_any_order", "test_day", "test_fuzz", "test_loop"}
"""Modules whose tests take up to a minute each."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the tests with SQLite ledgers for other PostgreSQL versions, which they don't use."""
    if "TEST_POSTGRES" in os.environ:
        files = [
            each for each in items if "sqlite" in getattr(each, "callspec", _NONE).id.split("-")
        ]
        config.hook.pytest_deselected(items=files)
        items[:] = [item for item in items if item not in set(files)]
    deal(items, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def deal(items: list[pytest.Item], processes: int) -> None:
    """Let each process begin with slow tests, so that none ends with one after all others are done.

    pytest-xdist gives each process an equal part of the list, in order.
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
