"""The launcher itself: it starts, it says why it can't, and it leaves nothing behind."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

import workspace.postgres
from workspace.people import PATIENCE
from workspace.postgres import Mode, PostgresServer, PostgresServerError

AS_ORDINARY_USER = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to leave root")


@pytest.fixture
def temp(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """The folder for a test's servers; its name is short, because a socket needs that."""
    tmp_path_factory.getbasetemp()  # or it would be made in here, when it is first asked for
    with tempfile.TemporaryDirectory() as folder, monkeypatch.context() as patch:
        patch.setenv("TMPDIR", folder)
        patch.setattr("tempfile.tempdir", None)
        yield Path(folder)


@pytest.fixture
def path_without_unshare(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Only the programs that the launcher needs if it can't create a user namespace."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        path.chmod(0o755)
        for program in ("sh", "grep", "rm", "sleep"):
            (path / program).symlink_to(str(shutil.which(program)))
        monkeypatch.setenv("PATH", folder)
        yield path
        monkeypatch.undo()


def command_line(pid: int) -> bytes:
    """Empty if it has ended, even as a zombie."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def born(pid: int) -> str:
    """When the process began, in ticks since boot; empty if there is none.

    Pids are reused quickly: tests that run at the same time make the system do so.
    """
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def is_alive(pid: int, since: str) -> bool:
    """Whether the process with that pid that was `born` then still runs."""
    return command_line(pid) != b"" and born(pid) == since


def left_in(temp: Path) -> list[str]:
    return [path.name for path in temp.iterdir()]


def status(pid: int) -> str:
    return Path(f"/proc/{pid}/status").read_text()


async def eventually(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.02)


async def fetchval(dsn: str, query: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


# One server


@pytest.fixture(scope="module")
async def pg() -> AsyncIterator[PostgresServer]:
    async with PostgresServer(
        settings=SETTINGS, auth="scram-sha-256", password="it's: /a @secret"
    ) as server:
        yield server


SETTINGS: dict[str, str | int] = {
    "max_connections": 7,
    "wal_level": "logical",
    "cluster_name": r"it's a \ name",
}


async def test_server_accepts_connections_with_the_given_settings(pg: PostgresServer) -> None:
    connection = await asyncpg.connect(pg.dsn())
    try:
        seen = {name: await connection.fetchval(f"show {name}") for name in SETTINGS}
    finally:
        await connection.close()
    assert seen == {name: str(value) for name, value in SETTINGS.items()}


async def test_without_a_password_scram_refuses_and_with_it_lets_in(pg: PostgresServer) -> None:
    await fetchval(pg.dsn(), """create role "so/me user" login password '%&'""")
    mine = pg.dsn(user="so/me user", password="%&")
    assert await fetchval(mine, "select current_user::text") == "so/me user"
    for wrong in (pg.dsn(user="so/me user", password="x"), pg.dsn(password="x")):
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(wrong)


async def test_over_the_unix_socket_a_client_has_no_address(pg: PostgresServer) -> None:
    connection = await asyncpg.connect(
        host=str(pg.directory), port=pg.port, user=pg.superuser, database="postgres"
    )
    query = "select client_addr, client_port from pg_stat_activity where pid = pg_backend_pid()"
    try:
        assert [tuple(row) for row in await connection.fetch(query)] == [(None, -1)]
    finally:
        await connection.close()


async def test_pids_are_the_same_inside_and_outside(pg: PostgresServer) -> None:
    connection = await asyncpg.connect(pg.dsn())
    backend_pid = await connection.fetchval("select pg_backend_pid()")
    assert f"PPid:\t{pg.pid}\n" in status(backend_pid)
    os.kill(backend_pid, signal.SIGTERM)
    with pytest.raises(asyncpg.PostgresConnectionError):
        await connection.fetchval("select 1")


async def test_it_does_not_start_twice(pg: PostgresServer) -> None:
    with pytest.raises(PostgresServerError, match="already running"):
        await pg.start()
    assert await fetchval(pg.dsn(), "select 1") == 1


@pytest.mark.parametrize("mode", ["smart", "fast", "immediate"])
async def test_a_restart_keeps_port_and_data_and_changes_the_postmaster(
    pg: PostgresServer, mode: Mode
) -> None:
    await fetchval(pg.dsn(), f"create table kept_{mode} ()")
    max_connections = int(str(await fetchval(pg.dsn(), "show max_connections")))
    await fetchval(pg.dsn(), f"alter system set max_connections = {max_connections + 1}")
    port, pid, since = pg.port, pg.pid, born(pg.pid)
    await pg.restart(mode)
    assert (pg.port, born(pg.pid) == since, is_alive(pid, since)) == (port, False, False)
    assert await fetchval(pg.dsn(), f"select count(*) from kept_{mode}") == 0
    assert await fetchval(pg.dsn(), "show max_connections") == str(max_connections + 1)


# Servers for single tests


async def test_two_servers_have_different_system_identifiers(
    temp: Path,
) -> None:
    query = "select system_identifier from pg_control_system()"
    async with PostgresServer() as one, PostgresServer() as other:
        assert await fetchval(one.dsn(), query) != await fetchval(other.dsn(), query)


@pytest.fixture(scope="module")
async def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template") / "data"
    await PostgresServer().write_template(folder)
    return folder


async def test_copies_of_a_template_have_different_system_identifiers(
    temp: Path, template: Path
) -> None:
    query = "select system_identifier from pg_control_system()"
    async with PostgresServer(template=template) as one, PostgresServer(template=template) as other:
        assert await fetchval(one.dsn(), query) != await fetchval(other.dsn(), query)
        await fetchval(one.dsn(), "create table kept ()")
        await one.restart("immediate")
        assert await fetchval(one.dsn(), "select count(*) from kept") == 0
    assert left_in(temp) == []


async def test_a_stop_leaves_no_process_and_no_file(temp: Path) -> None:
    async with PostgresServer() as pg:
        pid, since = pg.pid, born(pg.pid)
        assert left_in(temp) == [pg.directory.name]
    assert not is_alive(pid, since)
    assert left_in(temp) == []
    assert "ready to accept connections" in pg.log_tail()


async def test_a_stop_ends_a_stopped_backend_too(temp: Path) -> None:
    async with PostgresServer() as pg:
        connection = await asyncpg.connect(pg.dsn())
        backend_pid = await connection.fetchval("select pg_backend_pid()")
        since = born(backend_pid)
        os.kill(backend_pid, signal.SIGSTOP)
    assert not is_alive(backend_pid, since)
    connection.terminate()


async def test_server_can_start_again_after_a_stop(temp: Path) -> None:
    pg = PostgresServer()
    for _ in range(2):
        async with pg:
            assert await fetchval(pg.dsn(), "select 1") == 1


def test_it_serves_code_that_is_not_async_too(temp: Path) -> None:
    with PostgresServer() as pg:
        psql = [str(pg.bin_dir / "psql"), "-XAt", pg.dsn(), "-c", "select 6 * 7"]
        answer = subprocess.run(psql, capture_output=True, text=True, check=True)
        assert answer.stdout == "42\n"
    assert left_in(temp) == []


async def test_port_taken_meanwhile_is_replaced_by_another(
    temp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_free = workspace.postgres._free_port
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        ports = iter([squatter.getsockname()[1]])
        monkeypatch.setattr(
            "workspace.postgres._free_port", lambda: next(ports, None) or really_free()
        )
        async with PostgresServer() as pg:
            assert pg.port != squatter.getsockname()[1]
            assert await fetchval(pg.dsn(), "select 1") == 1


async def test_a_fixed_port_in_use_is_one_clear_line(temp: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]
        with pytest.raises(PostgresServerError) as caught:
            await PostgresServer(port=port).start()
    assert str(caught.value) == f"port {port} of 127.0.0.1 is in use"
    assert left_in(temp) == []


async def test_a_setting_that_does_not_exist_is_named_in_one_line_with_the_log_as_a_note(
    temp: Path,
) -> None:
    with pytest.raises(PostgresServerError) as caught:
        await PostgresServer(settings={"max_conections": 20}).start()
    line = 'PostgreSQL did not start: unrecognized configuration parameter "max_conections"'
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)
    assert "FATAL" in caught.value.__notes__[0]
    assert left_in(temp) == []


async def test_missing_binaries_are_named(tmp_path: Path) -> None:
    with pytest.raises(PostgresServerError, match=f"{tmp_path} has no program initdb"):
        await PostgresServer(bin_dir=tmp_path).start()


async def test_an_initdb_that_fails_says_why_and_leaves_nothing(
    temp: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bin_dir = tmp_path_factory.mktemp("bin")
    for name in ("initdb", "postgres"):
        program = bin_dir / name
        program.write_text("#!/bin/sh\necho 'initdb: error: no room' >&2\nexit 1\n")
        program.chmod(0o755)
    with pytest.raises(PostgresServerError) as caught:
        await PostgresServer(bin_dir=bin_dir).start()
    assert str(caught.value) == "initdb failed: no room"
    assert left_in(temp) == []


async def test_a_start_that_is_cancelled_leaves_nothing(temp: Path) -> None:
    starting = asyncio.create_task(PostgresServer().start())
    await eventually(lambda: list(temp.glob("pg-*/data/PG_VERSION")))
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert left_in(temp) == []


async def test_stopped_server_has_no_pid_and_no_restart() -> None:
    pg = PostgresServer()
    await pg.stop()
    with pytest.raises(PostgresServerError, match="not running"):
        _ = pg.pid
    with pytest.raises(PostgresServerError, match="not running"):
        await pg.restart()


# The starting process dies


STARTER = """
    import asyncio
    from workspace.postgres import PostgresServer

    async def main():
        async with PostgresServer() as pg:
            print(pg.pid, pg.port, flush=True)
            await asyncio.Event().wait()

    asyncio.run(main())
"""


def start_starter(temp: Path, *prefix: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*prefix, sys.executable, "-c", textwrap.dedent(STARTER)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(workspace.postgres.__file__).parents[1],
        env=os.environ | {"TMPDIR": str(temp), "PYTHONPATH": "."},
    )


def read_pid_and_port(starter: subprocess.Popen[str]) -> tuple[int, int]:
    assert starter.stdout is not None
    pid, port = starter.stdout.readline().split()
    return int(pid), int(port)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_when_the_starting_process_is_killed_server_and_files_go(temp: Path) -> None:
    with start_starter(temp) as starter:
        pid, _ = read_pid_and_port(starter)
        since = born(pid)
        assert is_alive(pid, since)
        starter.kill()
        await eventually(lambda: not left_in(temp))
        assert not is_alive(
            pid, since
        )  # it is gone first: without its files the server would end by itself


async def test_when_the_starting_process_is_killed_during_initdb_it_ends_too(temp: Path) -> None:
    with start_starter(temp) as starter:
        await eventually(lambda: list(temp.glob("pg-*/data/PG_VERSION")))
        # Not the watchdog, which ends after it has removed the files.
        initdb = {pid: born(pid) for pid in children(starter.pid) if b"initdb" in command_line(pid)}
        assert initdb
        starter.kill()
        await eventually(lambda: not left_in(temp))
        assert not any(is_alive(pid, since) for pid, since in initdb.items())


# Who runs it


@needs_root
async def test_ordinary_user_runs_it_directly(temp: Path) -> None:
    with start_starter(temp, *AS_ORDINARY_USER) as starter:
        _, port = read_pid_and_port(starter)
        dsn = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        assert await fetchval(dsn, "select 1") == 1
        starter.kill()
        await eventually(lambda: not left_in(temp))


@needs_root
async def test_root_without_user_namespaces_runs_it_as_nobody(path_without_unshare: Path) -> None:
    async with PostgresServer() as pg:
        assert "Uid:\t65534\t65534" in status(pg.pid)
        assert await fetchval(pg.dsn(), "select 1") == 1


@needs_root
async def test_root_without_user_namespaces_runs_a_copy_as_nobody(
    template: Path, path_without_unshare: Path
) -> None:
    async with PostgresServer(template=template) as pg:
        assert "Uid:\t65534\t65534" in status(pg.pid)
        assert await fetchval(pg.dsn(), "select 1") == 1


@needs_root
async def test_binaries_out_of_reach_of_the_user_nobody_are_copied(
    path_without_unshare: Path, tmp_path: Path
) -> None:
    closed = workspace.postgres._copy_install(workspace.postgres._find_bin_dir(None), tmp_path)
    assert not workspace.postgres._nobody_can_run(closed)
    async with PostgresServer(bin_dir=closed, auth="scram-sha-256") as pg:
        directory = pg.directory
        assert pg.bin_dir.is_relative_to(directory)
        assert await fetchval(pg.dsn(), "select 1") == 1
        await pg.restart()
        assert await fetchval(pg.dsn(), "select 1") == 1
    assert not directory.exists()
