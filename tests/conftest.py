"""What holds for all tests."""

import pytest
from hypothesis import settings

from tests import servers

# No test is timed: a busy machine must not fail one. CI draws the same examples each time.
settings.register_profile("tests", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("tests")


def pytest_configure(config: pytest.Config) -> None:
    del config
    servers.bin_dir()  # a version that is not there is said once, not by every test


def pytest_report_header(config: pytest.Config) -> str:
    del config
    return f"PostgreSQL: {servers.MAJOR}"
