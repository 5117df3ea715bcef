"""A PgBouncer on a free port of 127.0.0.1, in front of a server of the tests.

    async with PgBouncer(pg, pool_mode="transaction") as bouncer:
        connection = await asyncpg.connect(bouncer.dsn(user="web"), statement_cache_size=0)

It knows the tests' roles, and asks for no passwords. Through its database `shared`, everyone
connects to `some_db` as `web`, whoever they are here, and so through one pool. It ends with the
process that started it, and leaves nothing: a shell beside it waits for the end of a pipe.
"""

import asyncio
import os
import shutil
import tempfile
from pathlib import Path
from typing import Self

import pytest

from tests.integration.conftest import BOT
from tests.ports import free_port
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer

_NOBODY = 65534  # PgBouncer refuses to run as root
_USERS = ("postgres", BOT, "blind", "some_user", "web", "batch")

# $0 is the folder. Standard input is the pipe; a program in the background has no standard input.
_UNTIL_THE_PIPE_ENDS = """
"$@" & pid=$!
echo $pid
read -r _
kill $pid; kill -CONT $pid; wait $pid
rm -rf -- "$0"
"""


class PgBouncer:
    """One PgBouncer; a context manager. `options` are those of its ini file.

    With `tls`, the texts of a key and its certificate, nobody connects without TLS.
    """

    def __init__(
        self,
        pg: PostgresServer,
        *,
        tls: tuple[str, str] | None = None,
        users: tuple[str, ...] = _USERS,
        **options: str | int,
    ) -> None:
        self._pg = pg
        self._users = users
        self._tls = tls
        self._options = options
        self._process: asyncio.subprocess.Process | None = None
        self.pid = 0
        self.port = 0

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def dsn(self, *, user: str, database: str = "postgres") -> str:
        """A URL that leads through it."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    async def start(self) -> None:
        """Start it, after a stop on the same port; returns when it accepts connections."""
        is_first = self.port == 0
        async with asyncio.timeout(PATIENCE):
            while not await self._run(free_port() if is_first else self.port):
                # Another process has the port, or its own last connections still do.
                await self.stop()

    async def stop(self) -> None:
        """Stop it; every connection through it is cut."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()

    async def _run(self, port: int) -> bool:
        """Whether it started."""
        self.port = port
        folder = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
        uid = _NOBODY if os.geteuid() == 0 else None
        for name, text in self._files(folder).items():
            (folder / name).write_text(text, encoding="utf-8")
            if uid is not None:
                os.chown(folder / name, uid, uid)
        if uid is not None:
            os.chown(folder, uid, uid)
        self._process = await asyncio.create_subprocess_exec(
            *("sh", "-c", _UNTIL_THE_PIPE_ENDS, str(folder), program(), str(folder / "ini")),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            user=uid,
            group=uid,
            extra_groups=None if uid is None else [],
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self.pid = int(await self._process.stdout.readline())
        while True:
            log = (folder / "log").read_text(encoding="utf-8")
            if "process up" in log:
                return True
            if "FATAL" in log:
                return False
            await asyncio.sleep(0.02)

    def _files(self, folder: Path) -> dict[str, str]:
        server = f"host={self._pg.host} port={self._pg.port}"
        options = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "trust",
            "auth_file": folder / "users",
            "logfile": folder / "log",
            "server_login_retry": 1,
        } | self._options
        if self._tls is not None:
            options |= {
                "client_tls_sslmode": "require",
                "client_tls_key_file": folder / "key",
                "client_tls_cert_file": folder / "certificate",
            }
        lines = "\n".join(f"{name} = {value}" for name, value in options.items())
        return {
            "ini": f"[databases]\nshared = {server} dbname=some_db user=web\n* = {server}\n"
            f"[pgbouncer]\n{lines}\n",
            "users": "".join(f'"{user}" ""\n' for user in self._users),
            "log": "",
            **dict(zip(("key", "certificate"), self._tls or (), strict=False)),
        }


def program() -> str:
    """The path of PgBouncer; without it a test skips, and with `CI` set it fails."""
    found = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        missing = "pgbouncer is missing (apt-get install pgbouncer)"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found
