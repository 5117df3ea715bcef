"""What holds for all tests."""

import os
from types import SimpleNamespace

import pytest
import structlog
from hypothesis import Phase, settings

from tests import servers

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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the ledgers in a file out where another version is tested: they know none."""
    if "TEST_POSTGRES" not in os.environ:
        return
    files = [item for item in items if "sqlite" in getattr(item, "callspec", _NONE).id.split("-")]
    config.hook.pytest_deselected(items=files)
    items[:] = [item for item in items if item not in set(files)]


def pytest_report_header(config: pytest.Config) -> str:
    del config
    return f"PostgreSQL: {servers.MAJOR}"
