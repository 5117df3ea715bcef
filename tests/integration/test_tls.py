"""A database's URL that requires more TLS than there is: what is reported, and what isn't.

The tests' PostgreSQL is built without TLS. PgBouncer has it, and stands in for a server with TLS.
"""

import os
import resource
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.check.facts import Answer, Untold
from bot.errors import LedgerError, NotSent
from bot.ledger.probe import probe as probe_ledger
from bot.ledger.sql import SqlLedger
from bot.postgres.cluster import PostgresCluster
from bot.postgres.probe import probe
from tests.integration.conftest import BOT
from tests.pgbouncer import PgBouncer
from workspace.postgres import PostgresServer

SECRET = "s3cret"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`localhost.crt` with its key, and `another.crt`, which is unrelated to it."""
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("localhost", "another"):
        subprocess.run(
            [
                openssl(),
                *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
                *("-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt"),
                *("-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"),
            ],
            check=True,
            capture_output=True,
        )
    return folder


def openssl() -> str:
    """The path of the openssl program; without it a test skips, and with `CI` set it fails."""
    found = shutil.which("openssl")
    if found is None:
        missing = "openssl is missing (apt-get install openssl)"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


@pytest.fixture(scope="module")
async def encrypted(pg: PostgresServer, certificates: Path) -> AsyncIterator[PgBouncer]:
    key, certificate = (certificates / f"localhost.{kind}" for kind in ("key", "crt"))
    async with PgBouncer(pg, tls=(key.read_text(), certificate.read_text())) as bouncer:
        yield bouncer


def url(server: PgBouncer | PostgresServer, query: str, host: str = "localhost") -> str:
    """A URL with a password, which nobody asks for."""
    direct = server.dsn(user=BOT)
    return direct.replace(f"{BOT}@127.0.0.1", f"{BOT}:{SECRET}@{host}") + f"?{query}"


async def told(url: str) -> tuple[str, str]:
    """What is reported about a cluster and about a ledger at this URL."""
    of_cluster = (await probe("main", url)).answer
    assert isinstance(of_cluster, Untold)
    with pytest.raises(LedgerError) as of_ledger:
        await SqlLedger(url).open()
    return of_cluster.problem, str(of_ledger.value)


def is_clean(said: str) -> bool:
    return not any(each in said for each in (SECRET, BOT, "127.0.0.1", "localhost", "postgresql:"))


async def test_server_without_tls_is_recognized(pg: PostgresServer) -> None:
    asks = url(pg, "sslmode=require", "127.0.0.1")
    of_cluster, of_ledger = await told(asks)
    cluster = PostgresCluster("main", asks, "db-1.internal")
    await cluster.open()
    try:
        with pytest.raises(NotSent) as answer:
            await cluster.names()
    finally:
        await cluster.close()
    for said in (of_cluster, of_ledger, answer.value.problem):
        assert "offers no TLS, which the sslmode of its URL requires (turn ssl on there" in said
        assert is_clean(said)


@pytest.mark.parametrize(
    ("host", "root", "words"),
    [
        ("localhost", "another.crt", "presents a certificate from an authority that the bot does"),
        (
            "127.0.0.1",
            "localhost.crt",
            "presents a certificate for another host than its URL names",
        ),
        ("localhost", "missing.crt", "the file that sslrootcert in its URL names can't be read"),
        ("localhost", "localhost.key", "can't make a TLS connection with the bot (NO_CERTIFICATE"),
    ],
)
async def test_untrusted_certificate_is_recognized(
    encrypted: PgBouncer, certificates: Path, host: str, root: str, words: str
) -> None:
    query = f"sslmode=verify-full&sslrootcert={certificates / root}"
    for said in await told(url(encrypted, query, host)):
        assert words in said
        assert is_clean(said)


async def test_trusted_certificate_is_accepted(encrypted: PgBouncer, certificates: Path) -> None:
    query = f"sslmode=verify-full&sslrootcert={certificates / 'localhost.crt'}"
    answer = (await probe("main", url(encrypted, query))).answer
    assert isinstance(answer, Answer)


async def test_the_roots_of_the_system_are_used(
    encrypted: PgBouncer, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`SSL_CERT_FILE` is OpenSSL's own variable for their location."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "another.crt"))
    for said in await told(url(encrypted, "sslrootcert=system")):
        assert "presents a certificate from an authority" in said
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "localhost.crt"))
    answer = (await probe("main", url(encrypted, "sslrootcert=system"))).answer
    assert isinstance(answer, Answer)
    for said in await told(url(encrypted, "sslrootcert=system", "127.0.0.1")):
        assert "presents a certificate for another host" in said


async def test_ignored_url_parameters_do_not_prevent_a_connection(pg: PostgresServer) -> None:
    asks = url(pg, "connect_timeout=10&keepalives=1&pgbouncer=true&sslmode=prefer", "127.0.0.1")
    facts = await probe("main", asks)
    assert isinstance(facts.answer, Answer)
    assert facts.left_out == ("connect_timeout", "keepalives", "pgbouncer")
    ledger = SqlLedger(url(pg, "connect_timeout=10&pgbouncer=true").replace(BOT, "postgres"))
    await ledger.open()
    await ledger.close()
    assert (await probe_ledger(asks)).left_out == facts.left_out


async def test_target_session_attrs_mismatch_is_recognized(pg: PostgresServer) -> None:
    of_cluster, _ = await told(url(pg, "target_session_attrs=standby", "127.0.0.1"))
    assert "another kind of server than target_session_attrs in its URL asks for" in of_cluster


async def test_missing_socket_is_recognized(tmp_path: Path) -> None:
    for said in await told(f"postgresql://{BOT}:{SECRET}@/postgres?host={tmp_path}"):
        assert "socket" in said
        assert str(tmp_path) not in said


async def test_a_home_that_may_not_be_read_is_named(
    pg: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that runs as its own user, with another user's HOME."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(
        "bot.pg_url._unreadable", lambda _: PermissionError(13, "Permission denied")
    )
    for said in await told(url(pg, "", "127.0.0.1").rstrip("?")):
        assert f"looks for {tmp_path}/.postgresql/root.crl" in said
        assert "set HOME" in said


async def test_bot_that_may_open_no_more_files_says_so(pg: PostgresServer) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        said = await told(url(pg, "", "127.0.0.1").rstrip("?"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for each in said:
        assert "the bot may open no more files and connections: raise LimitNOFILE" in each


async def test_verification_needs_a_root_certificate(
    pg: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    of_cluster, of_ledger = await told(url(pg, "sslmode=verify-full", "127.0.0.1"))
    assert "its sslmode needs a root certificate, and there is none" in of_cluster
    assert "root certificate file" in of_ledger
    assert is_clean(of_cluster)
    assert is_clean(of_ledger)


async def test_pooler_that_requires_tls_refuses(encrypted: PgBouncer) -> None:
    for said in await told(url(encrypted, "sslmode=disable")):
        assert "a pooler in front of it refuses the connection" in said
        assert is_clean(said)
