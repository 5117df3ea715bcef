"""A ledger that is slow, locked, cut off or not a ledger, and a server in trouble."""

import asyncio
import gc
import os
import signal
import sqlite3
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import pytest
import sqlalchemy
import structlog
from sqlalchemy import event

from bot.domain.kills import Outcome, Result, State
from bot.domain.record import LedgerHome
from bot.domain.sessions import BackendId
from bot.errors import LedgerError, OtherVersion
from bot.ledger import migrations, schema, sql, sqlite_store, store
from bot.ledger.probe import probe
from bot.ledger.sql import SqlLedger
from bot.ledger.store import AsyncEngine
from tests.integration.ledger.building import (
    ANA,
    LONG,
    THEN,
    Opened,
    administer,
    claimed,
    conclusion,
    draft,
    rows,
)
from tests.servers import postgres
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer

Session: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


def read_only(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA query_only = ON").close()


class TestLog:
    """The log says once that the ledger is in trouble, whoever tries again how often."""

    async def test_trouble_is_told_once_until_all_is_well(
        self, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: Opened
    ):
        monkeypatch.setattr(sqlite_store, "BUSY_TIMEOUT", 0.02)
        ledger = await opened(sqlite_url)
        with structlog.testing.capture_logs() as lines:
            with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
                for _ in range(2):
                    other.execute("BEGIN IMMEDIATE")
                    for _ in range(2):
                        with pytest.raises(LedgerError):
                            await ledger.ready()
                        await ledger.get("")  # that it can be read doesn't mean that it is well
                    other.execute("ROLLBACK")
                    await ledger.ready()
            (line,) = lines
            assert (line["event"], line["log_level"]) == ("ledger.trouble", "warning")
            assert "locked" in line["problem"]
            assert "kills are refused" in line["effect"]
            monkeypatch.setattr(store, "WELL_AFTER", 0.0)
            for _ in range(2):
                await ledger.ready()
            assert [each["event"] for each in lines] == ["ledger.trouble", "ledger.well_again"]
            with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                with pytest.raises(LedgerError):
                    await ledger.ready()
            assert lines[-1]["event"] == "ledger.trouble"

    async def test_other_trouble_is_told_and_lasting_trouble_again(
        self, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: Opened
    ):
        monkeypatch.setattr(sqlite_store, "BUSY_TIMEOUT", 0.02)
        ledger = await opened(sqlite_url)
        with structlog.testing.capture_logs() as lines:
            with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                for remind_every in (300.0, 300.0, 0.0):
                    monkeypatch.setattr(store, "REMIND_EVERY", remind_every)
                    with pytest.raises(LedgerError):
                        await ledger.ready()
                monkeypatch.setattr(store, "REMIND_EVERY", 300.0)
                other.execute("ROLLBACK")
                other.execute("DROP TABLE signatures")
            for _ in range(2):
                with pytest.raises(LedgerError):
                    await ledger.first_time("")
        told = [each["problem"].partition(": ")[2] for each in lines]
        assert told == [*["database is locked"] * 2, "no such table: signatures"]

    async def test_what_says_nothing_about_the_ledger_is_no_trouble(self, url: str, opened: Opened):
        ledger = await opened(url)

        async def insert() -> None:
            values = {"signature": "one", "at": THEN}
            async with ledger._transactions.write() as connection:
                await connection.execute(schema.signatures.insert().values(values))

        await insert()
        with structlog.testing.capture_logs() as lines:
            with pytest.raises(LedgerError) as met:
                await insert()
            assert isinstance(met.value.__cause__, sqlalchemy.exc.IntegrityError)
            async with ledger._transactions.write() as connection:
                later = schema.ledger_marks.update().values(serves=migrations.SCHEMA_VERSION + 1)
                await connection.execute(later)
            for _ in range(2):
                with pytest.raises(OtherVersion):
                    await ledger.ready()
        assert [each["event"] for each in lines] == ["ledger.needs_later_version"]


class TestTrouble:
    """Every failure is a `LedgerError`, in words that may be shown."""

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "mysql://u:s3cret@h/db",
            "postgresql://u:s3cret@a,b/db",
            "postgresql://u:s3cret@/db?host=a,b",
            "postgresql://u:s3cret/@h/db",
            "postgresql://u:s3@cret@h/db",
            "postgresql://u:1#s3cret@h/db",
            "postgresql://u:s3cret@h/db?nonsense",
            "postgresql://u:s3cret@[h/db",
        ],
    )
    def test_invalid_ledger_url_is_refused_without_being_shown(self, url: str):
        with pytest.raises(LedgerError) as refused:
            SqlLedger(url)
        assert "s3" not in str(refused.value)
        assert refused.value.__cause__ is None

    async def test_a_ledger_shows_no_password(self):
        for url in ("postgresql://u:s3cret@h/db", "postgres://h/db?password=s3cret"):
            ledger = SqlLedger(url)
            assert "s3cret" not in f"{ledger!r} {ledger!s}"

    async def test_a_missing_folder_is_named(self, tmp_path: Path):
        ledger = SqlLedger(f"sqlite:///{tmp_path}/missing/ledger.db")
        with pytest.raises(LedgerError, match=f"folder does not exist: {tmp_path}/missing"):
            await ledger.open()

    async def test_a_file_that_can_not_be_written_is_refused(self, sqlite_url: str):
        ledger = SqlLedger(sqlite_url)
        # Permissions don't stop root, as whom tests may run.
        event.listen(ledger._transactions._writer.sync_engine, "connect", read_only)
        with pytest.raises(LedgerError, match="readonly database"):
            await ledger.open()

    async def test_a_file_that_is_something_else_is_refused(self, tmp_path: Path):
        (tmp_path / "ledger.db").write_text("Dear diary" * 99)
        with pytest.raises(LedgerError, match=r"a file that isn't SQLite's"):
            await SqlLedger(f"sqlite:///{tmp_path}/ledger.db").open()

    async def test_locked_file_is_an_error_after_a_wait(
        self, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: Opened
    ):
        monkeypatch.setattr(sqlite_store, "BUSY_TIMEOUT", 0.05)
        ledger = await opened(sqlite_url)
        other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match="locked"):
            await ledger.ready()
        assert await ledger.get("") is None  # readers continue
        other.close()
        await ledger.ready()

    @pytest.mark.parametrize("holder", ["nobody", "another process"])
    async def test_cancelled_call_releases_the_file(
        self, sqlite_url: str, tmp_path: Path, opened: Opened, holder: str
    ):
        """Its error stays alive here, with the statement's cursor in its traceback."""
        ledger = await opened(sqlite_url, time_limit=0.3)
        forever = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
        gc.disable()
        with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
            if holder == "another process":
                other.execute("BEGIN IMMEDIATE")
            try:
                async with asyncio.timeout(PATIENCE):
                    with pytest.raises(LedgerError, match="did not answer") as kept:
                        async with ledger._transactions.write() as connection:
                            await connection.execute(
                                sqlalchemy.text(f"{forever} SELECT count(*) FROM n WHERE i < 0")
                            )
                    if holder == "another process":
                        other.execute("ROLLBACK")
                    other.execute("BEGIN IMMEDIATE")
                    other.execute("ROLLBACK")
            finally:
                gc.enable()
            await ledger.ready()
            del kept

    async def test_reader_that_waited_reads_one_snapshot(
        self, sqlite_url: str, tmp_path: Path, opened: Opened
    ):
        ledger = await opened(sqlite_url)
        with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            asyncio.get_running_loop().call_later(0.1, other.execute, "ROLLBACK")
            async with ledger._transactions.read() as connection:
                driver = connection.sync_connection.connection.driver_connection
                assert driver is not None
                assert driver.in_transaction

    async def test_new_connection_waits_until_another_process_has_committed(
        self, sqlite_url: str, tmp_path: Path, opened: Opened
    ):
        await (await opened(sqlite_url)).close()
        ledger = SqlLedger(sqlite_url)
        with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            asyncio.get_running_loop().call_later(0.1, other.execute, "ROLLBACK")
            await ledger.open_to_read()
            assert await ledger.get("") is None
        await ledger.close()

    async def test_new_connection_waits_for_another_process_only_for_so_long(
        self, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: Opened
    ):
        await (await opened(sqlite_url)).close()
        monkeypatch.setattr(sqlite_store, "BUSY_TIMEOUT", 0.05)
        ledger = SqlLedger(sqlite_url)
        with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(LedgerError, match="locked"):
                await ledger.open_to_read()
        await ledger.close()

    async def test_other_processs_reader_is_an_error_after_a_wait(
        self, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: Opened
    ):
        monkeypatch.setattr(sqlite_store, "BUSY_TIMEOUT", 0.05)
        ledger = await opened(sqlite_url)
        with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
            other.execute("BEGIN")
            assert other.execute("SELECT count(*) FROM kills").fetchone() == (0,)
            with pytest.raises(LedgerError, match="locked"):
                await ledger.propose(draft(), LONG)
            other.execute("COMMIT")
            other.execute("BEGIN IMMEDIATE")  # it holds no lock yet
            other.execute("ROLLBACK")
        await ledger.propose(draft(), LONG)
        assert len(await rows(ledger, schema.kills)) == 1

    async def test_file_is_closed_if_opening_is_cancelled(
        self, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
    ):
        connect: Any = sqlite3.connect
        began, go_on = threading.Event(), threading.Event()
        opened: list[sqlite3.Connection] = []

        def slowly(*arguments: Any, **options: Any) -> sqlite3.Connection:
            began.set()
            go_on.wait(PATIENCE)
            made: sqlite3.Connection = connect(*arguments, **options | {"check_same_thread": False})
            opened.append(made)
            return made

        def is_closed() -> bool:
            try:
                opened[0].execute("select 1")
            except sqlite3.ProgrammingError:
                return True
            return False

        monkeypatch.setattr(sqlite3, "connect", slowly)
        opening = asyncio.ensure_future(SqlLedger(sqlite_url).open())
        await asyncio.to_thread(began.wait, PATIENCE)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        go_on.set()
        async with asyncio.timeout(PATIENCE):
            while not opened or not is_closed():
                await asyncio.sleep(0.01)

    async def test_a_file_that_was_moved_away_is_not_ready(
        self, sqlite_url: str, tmp_path: Path, opened: Opened
    ):
        ledger = await opened(sqlite_url)
        (tmp_path / "ledger.db").unlink()
        with pytest.raises(LedgerError):
            await ledger.ready()

    async def test_sqlite_is_told_to_wait_for_the_disk_and_to_hold_references(
        self, sqlite_url: str, opened: Opened
    ):
        ledger = await opened(sqlite_url)
        async with ledger._transactions._writer.connect() as connection:
            assert await connection.scalar(sqlalchemy.text("PRAGMA synchronous")) == 3
            assert await connection.scalar(sqlalchemy.text("PRAGMA journal_mode")) == "delete"
            assert await connection.scalar(sqlalchemy.text("PRAGMA foreign_keys")) == 1
        assert ledger.home is None

    @pytest.mark.smoke
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (("user", "nobody_of_that_name"), "refuses the bot's login: .* NOLOGIN"),
            (("database", "no_such_database"), "does not exist"),
            (("sslmode", "require"), "offers no TLS, which the sslmode of its URL requires"),
        ],
    )
    async def test_a_server_that_refuses_is_an_error_without_address_or_secret(
        self, server: PostgresServer, change: tuple[str, str], words: str
    ):
        name, value = change
        if name == "sslmode":
            url = server.dsn(password="s3cret") + f"?{name}={value}"
        else:
            url = server.dsn(**{"password": "s3cret", name: value})
        with pytest.raises(LedgerError, match=words) as refused:
            await SqlLedger(url).open()
        assert "s3cret" not in str(refused.value)
        assert "127.0.0.1" not in str(refused.value)
        assert refused.value.__cause__ is not None

    async def test_missing_server_is_an_error(self):
        ledger = SqlLedger("postgresql://u:s3cret@127.0.0.1:1/db")
        with pytest.raises(
            LedgerError, match="nothing listens at the address of the ledger's server"
        ) as refused:
            await ledger.open()
        assert "s3cret" not in str(refused.value)

    @pytest.mark.parametrize("name", ["nowhere.invalid", "db..internal"])
    async def test_unknown_name_of_the_server_is_an_error(self, name: str):
        ledger = SqlLedger(f"postgresql://u:s3cret@{name}/db")
        with pytest.raises(LedgerError, match="the name of the ledger's server is not found"):
            await ledger.open()

    @pytest.mark.smoke
    @pytest.mark.parametrize(
        ("query", "words"), [("", "lacks a right"), ("?search_path=nowhere", "may not use it")]
    )
    async def test_role_without_rights_is_an_error(
        self, server: PostgresServer, query: str, words: str
    ):
        await administer(
            server,
            "DROP ROLE IF EXISTS plain",
            "CREATE ROLE plain LOGIN",
            "REVOKE CREATE ON SCHEMA public FROM PUBLIC",  # the default from 15 on
        )
        with pytest.raises(LedgerError, match=words):
            await SqlLedger(server.dsn(user="plain") + query).open()

    async def test_a_ledger_that_turned_read_only_is_not_ready(
        self, server: PostgresServer, database: str, opened: Opened
    ):
        ledger = await opened(server.dsn(database=database))
        await ledger.ready()
        await ledger.close()
        await administer(
            server, f"ALTER DATABASE {database} SET default_transaction_read_only = on"
        )
        await ledger.open()
        with pytest.raises(LedgerError, match="accepts no writes"):
            await ledger.ready()

    async def test_values_stay_out_of_errors(self, ledger: SqlLedger):
        claim = await claimed(ledger, "one")
        assert await ledger.conclude(conclusion(claim), "one")
        with pytest.raises(LedgerError) as refused:
            await ledger.amend(
                claim.id, [Result(BackendId(1, THEN), Outcome.TERMINATED, "s3cret")], []
            )
        assert "s3cret" not in str(refused.value)
        assert "s3cret" not in str(refused.value.__cause__)


class TestOnAServerInTrouble:
    """A ledger in PostgreSQL is needed most when that server is full or slow."""

    @pytest.fixture
    async def small(self) -> AsyncIterator[PostgresServer]:
        """A server with six connections, none of them reserved."""
        few: dict[str, str | int] = {
            "max_connections": 6,
            "superuser_reserved_connections": 0,
            "max_wal_senders": 0,
            "idle_session_timeout": "300ms",
        }
        async with postgres(settings=few) as running:
            yield running

    async def fill(self, server: PostgresServer) -> list[Session]:
        """Take every remaining connection."""
        taken: list[Session] = []
        while True:
            try:
                connection = await asyncpg.connect(server.dsn())
            except asyncpg.TooManyConnectionsError:
                return taken
            await connection.execute("SET idle_session_timeout = 0")
            taken.append(connection)

    async def pids(self, one: Session) -> list[int]:
        held = await one.fetch(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'pg-sessions-bot' ORDER BY 1"
        )
        return [row["pid"] for row in held]

    @pytest.mark.smoke
    @pytest.mark.parametrize("at_work", [False, True])
    async def test_held_connections_work_on_a_full_server(
        self, small: PostgresServer, opened: Opened, at_work: bool
    ):
        ledger = await opened(small.dsn())
        crowd = await self.fill(small)
        held = await self.pids(crowd[0])
        assert len(held) == 2
        await asyncio.gather(*(claimed(ledger, "one") for _ in range(5)))

        # One is lost, with its slot; the other still works, every time.
        lost = held[0]
        if at_work:
            lost = await self.lose_one_at_work(ledger, crowd[0])
        else:
            await self.end(crowd[0], lost)
        crowd += await self.fill(small)
        while newcomers := set(await self.pids(crowd[0])) - set(held):
            await self.end(crowd[0], newcomers.pop())  # the ledger was quicker: try again
            crowd += await self.fill(small)
        for _ in range(4):
            await claimed(ledger, "one")
        await asyncio.gather(*(claimed(ledger, "one") for _ in range(4)))
        assert await self.pids(crowd[0]) == [pid for pid in held if pid != lost]

        # A slot is free again: the ledger takes it without anyone asking.
        await crowd.pop().close()
        while len(await self.pids(crowd[0])) < 2:
            await asyncio.sleep(0.05)
        for connection in crowd:
            await connection.close()

    async def end(self, one: Session, pid: int) -> None:
        """End a session, and wait until it is gone."""
        assert await one.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)

    async def lose_one_at_work(self, ledger: SqlLedger, one: Session) -> int:
        """End the session of a transaction that has begun."""
        pids: list[int] = []

        async def lose() -> None:
            async with ledger._transactions.write() as connection:
                pids.append(
                    (
                        await connection.execute(sqlalchemy.text("SELECT pg_backend_pid()"))
                    ).scalar_one()
                )
                await self.end(one, pids[0])
                await connection.scalar(sqlalchemy.text("SELECT 1"))

        with pytest.raises(LedgerError, match=r"ended the session|broke"):
            await lose()
        return pids[0]

    async def test_its_connections_outlive_the_servers_idle_session_timeout(
        self, small: PostgresServer, monkeypatch: pytest.MonkeyPatch, opened: Opened
    ):
        monkeypatch.setattr(store, "KEEP_EVERY", 60)
        await opened(small.dsn())
        other = await asyncpg.connect(small.dsn())
        while not other.is_closed():
            await asyncio.sleep(0.01)
        one = await asyncpg.connect(small.dsn())
        assert len(await self.pids(one)) == 2
        await one.close()

    async def test_server_ends_those_that_the_network_has_lost(
        self, small: PostgresServer, opened: Opened
    ):
        ledger = await opened(small.dsn())
        async with ledger._transactions.read() as connection:
            setting = "SELECT setting::int FROM pg_settings WHERE name = 'idle_session_timeout'"
            kept = await connection.scalar(sqlalchemy.text(setting))
        assert kept >= 10_000 * store.KEEP_EVERY

    async def test_ledger_works_again_after_a_restart(self, small: PostgresServer, opened: Opened):
        ledger = await opened(small.dsn())
        before = await ledger.propose(draft(), LONG)
        await small.restart("immediate")
        assert await ledger.get(before.key) is not None

    async def test_hanging_server_is_an_error_in_time(
        self, server: PostgresServer, postgres_url: str, opened: Opened
    ):
        ledger = await opened(postgres_url)
        proposal = await ledger.propose(draft(), LONG)
        one = await asyncpg.connect(postgres_url)
        held = await self.pids(one)
        for pid in held:
            os.kill(pid, signal.SIGSTOP)
        ledger._transactions._time_limit = 0.5
        try:
            with pytest.raises(LedgerError, match="did not answer"):
                await ledger.claim(proposal.key, ANA, "one", LONG)
        finally:
            for pid in held:
                os.kill(pid, signal.SIGCONT)
        ledger._transactions._time_limit = sql.TIME_LIMIT
        entry = await ledger.get(proposal.key)
        assert entry is not None
        assert entry.proposal.state is State.PROPOSED
        await one.close()

    async def test_ledger_closes_although_its_server_hangs(
        self, server: PostgresServer, postgres_url: str, opened: Opened
    ):
        ledger = await opened(postgres_url)
        one = await asyncpg.connect(postgres_url)
        held = await self.pids(one)
        for pid in held:
            os.kill(pid, signal.SIGSTOP)
        try:
            async with asyncio.timeout(PATIENCE):
                await ledger.close()
        finally:
            for pid in held:
                os.kill(pid, signal.SIGCONT)
        await one.close()

    async def test_ledger_knows_its_server_and_role(
        self, server: PostgresServer, postgres_url: str, opened: Opened
    ):
        ledger = await opened(postgres_url)
        one = await asyncpg.connect(server.dsn())
        identifier = await one.fetchval("SELECT system_identifier FROM pg_control_system()")
        oid = await one.fetchval("SELECT oid FROM pg_roles WHERE rolname = 'postgres'")
        assert ledger.home == LedgerHome(identifier, oid)
        await one.close()

    @pytest.mark.smoke
    @pytest.mark.parametrize(
        ("configured", "used"), [("off", "on"), ("remote_apply", "remote_apply")]
    )
    async def test_a_commit_that_is_reported_survives_a_crash(
        self, server: PostgresServer, database: str, configured: str, used: str, opened: Opened
    ):
        await administer(server, f"ALTER DATABASE {database} SET synchronous_commit = {configured}")
        ledger = await opened(server.dsn(database=database))
        async with ledger._transactions._writer.connect() as connection:
            shown = await connection.scalar(sqlalchemy.text("SHOW synchronous_commit"))
        assert shown == used

    async def test_the_servers_defaults_for_transactions_change_nothing(
        self, server: PostgresServer, database: str, opened: Opened
    ):
        await administer(
            server,
            f"ALTER DATABASE {database} SET default_transaction_isolation = 'serializable'",
        )
        held = (await opened(server.dsn(database=database)))._transactions
        levels = [await isolation(engine) for engine in (held._writer, held._reader)]
        assert levels == ["read committed", "repeatable read"]


async def isolation(engine: AsyncEngine) -> str:
    async with engine.connect() as connection:
        return str(await connection.scalar(sqlalchemy.text("SHOW transaction_isolation")))


@pytest.fixture
def others_folder() -> Iterator[Path]:
    """A folder that everybody can read, but only its owner can write."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)
        yield folder
        assert list(folder.iterdir()) == []


async def test_file_that_cannot_be_opened_leaves_no_thread_behind(tmp_path: Path) -> None:
    """One that ended after the event loop printed a traceback below the bot's own words."""
    before = {*threading.enumerate()}
    for _ in range(50):
        with pytest.raises(sqlite3.Error):
            await sqlite_store.opened(str(tmp_path / "nowhere" / "ledger.db"))
        assert before.issuperset(threading.enumerate())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
async def test_unwritable_folder_is_reported(others_folder: Path) -> None:
    url = f"sqlite:///{others_folder}/ledger.db"
    facts = await probe(url)
    assert (facts.version, facts.problem) == (0, None)
    os.setresuid(65534, 65534, 0)
    try:
        facts = await probe(url)
    finally:
        os.setresuid(0, 0, 0)
    assert facts.problem == f"can't create a file in the ledger's folder: {others_folder}"
