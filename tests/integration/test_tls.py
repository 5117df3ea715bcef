"""A database's URL that asks for more TLS than there is: what is said of it, and what is not.

The PostgreSQL of the tests is built without TLS. PgBouncer has it, and stands for one that is not.
"""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.check.facts import Answer, Untold
from bot.errors import LedgerError, NotSent
from bot.ledger.sql import SqlLedger
from bot.postgres.cluster import PostgresCluster
from bot.postgres.probe import probe
from tests.integration.conftest import BOT
from tests.pgbouncer import PgBouncer
from workspace.postgres import PostgresServer

SECRET = "s3cret"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`localhost.crt` with its key, and `another.crt`, which knows nothing of it."""
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
    """Where OpenSSL's program is; without one a test skips, and with `CI` set it fails."""
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
    """Where the role has a password, which nobody asks for."""
    direct = server.dsn(user=BOT)
    return direct.replace(f"{BOT}@127.0.0.1", f"{BOT}:{SECRET}@{host}") + f"?{query}"


async def told(url: str) -> tuple[str, str]:
    """What is said of a cluster and of a ledger at this URL."""
    of_cluster = (await probe("main", url)).answer
    assert isinstance(of_cluster, Untold)
    with pytest.raises(LedgerError) as of_ledger:
        await SqlLedger(url).open()
    return of_cluster.problem, str(of_ledger.value)


def is_clean(said: str) -> bool:
    return not any(each in said for each in (SECRET, BOT, "127.0.0.1", "localhost", "postgresql:"))


async def test_a_server_without_tls_is_told_apart(pg: PostgresServer) -> None:
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
        assert "offers no TLS, which the sslmode of its URL asks for (turn ssl on there" in said
        assert is_clean(said)


@pytest.mark.parametrize(
    ("host", "root", "words"),
    [
        ("localhost", "another.crt", "shows a certificate of no authority that the bot was told"),
        ("127.0.0.1", "localhost.crt", "shows a certificate of another host than its URL names"),
        ("localhost", "missing.crt", "(a socket, a certificate) is missing"),
        ("localhost", "localhost.key", "makes no TLS connection with the bot (NO_CERTIFICATE"),
    ],
)
async def test_a_certificate_that_is_not_trusted_is_told_apart(
    encrypted: PgBouncer, certificates: Path, host: str, root: str, words: str
) -> None:
    query = f"sslmode=verify-full&sslrootcert={certificates / root}"
    for said in await told(url(encrypted, query, host)):
        assert words in said
        assert is_clean(said)


async def test_one_that_is_trusted_is_used(encrypted: PgBouncer, certificates: Path) -> None:
    query = f"sslmode=verify-full&sslrootcert={certificates / 'localhost.crt'}"
    answer = (await probe("main", url(encrypted, query))).answer
    assert isinstance(answer, Answer)


async def test_without_a_root_certificate_there_is_none_to_check_by(
    pg: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    of_cluster, of_ledger = await told(url(pg, "sslmode=verify-full", "127.0.0.1"))
    assert "its sslmode takes a root certificate, and there is none" in of_cluster
    assert "root certificate file" in of_ledger
    assert is_clean(of_cluster)
    assert is_clean(of_ledger)


async def test_a_pooler_that_lets_nobody_in_without_tls_refuses(encrypted: PgBouncer) -> None:
    for said in await told(url(encrypted, "sslmode=disable")):
        assert "a pooler in front of it refuses the connection" in said
        assert is_clean(said)
