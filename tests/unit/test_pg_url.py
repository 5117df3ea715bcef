"""What the URL of a server says, as cloud providers give it out, and what is refused."""

import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.pg_url import ServerUrl, UnreadableFileError, read

SECRET = "s3cret"


def driver(url: ServerUrl) -> tuple[Any, Any]:
    """The address and the parameters that asyncpg makes of it."""
    taken: Any = asyncpg.connect_utils
    nothing = dict.fromkeys(
        (
            *("dsn", "host", "port", "user", "password", "passfile", "database", "ssl"),
            *("service", "servicefile", "direct_tls", "server_settings"),
            *("target_session_attrs", "krbsrvname", "gsslib"),
        )
    )
    (address,), parameters = taken._parse_connect_dsn_and_args(**nothing | url.arguments())
    return address, parameters


def refusal(url: str, *, of_ledger: bool = False) -> str:
    with pytest.raises(ValueError, match=r"\w") as caught:
        read(url, of_ledger=of_ledger)
    assert SECRET not in str(caught.value)
    return str(caught.value)


def with_(query: str) -> str:
    return f"postgresql://bot:{SECRET}@db-1.internal/app?{query}"


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home without PostgreSQL's files, and an environment without its variables."""
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("url", "shown", "local"),
    [
        ("postgresql://bot:secret@db-1.internal/postgres", "db-1.internal", False),
        ("postgresql://bot@db-1.internal:5433/postgres", "db-1.internal:5433", False),
        ("postgresql://bot@10.0.0.7/postgres", "10.0.0.7", False),
        ("postgresql://bot@localhost/postgres", "localhost", True),
        ("postgresql://bot@127.0.0.1:6000/postgres", "127.0.0.1:6000", True),
        ("postgresql://bot@[::1]/postgres", "::1", True),
        ("postgresql:///postgres?host=::1", "::1", True),
        ("postgresql:///postgres?host=/run/postgresql", "/run/postgresql", True),
        ("postgresql:///postgres?host=db-1.internal", "db-1.internal", False),
        ("postgresql:///postgres?host=db-1.internal&port=5433", "db-1.internal:5433", False),
        ("postgresql://db-1.internal/postgres?port=5433", "db-1.internal:5433", False),
        ("postgresql://bot@%2Frun%2FPostgresql/postgres", "/run/Postgresql", True),
    ],
)
def test_url_gives_host_and_port(url: str, shown: str, local: bool) -> None:
    assert (read(url).shown, read(url).is_local) == (shown, local)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg", "POSTGRES"])
def test_a_scheme_may_name_a_driver(scheme: str) -> None:
    address, parameters = driver(read(f"{scheme}://bot@db/app"))
    assert address == ("db", 5432)
    assert (parameters.user, parameters.database) == ("bot", "app")


@pytest.mark.parametrize(
    ("url", "address", "sslmode", "left_out"),
    [
        (  # Supabase, through its pooler, for Prisma
            (
                f"postgresql://bot.ref:{SECRET}@aws-0.pooler.supabase.com:6543/postgres"
                "?pgbouncer=true&connection_limit=1&supa=base-pooler.x"
            ),
            ("aws-0.pooler.supabase.com", 6543),
            "prefer",
            ("pgbouncer", "connection_limit", "supa"),
        ),
        (  # Heroku, Aiven, DigitalOcean, Render
            f"postgres://bot:{SECRET}@db.aivencloud.com:25060/defaultdb?sslmode=require",
            ("db.aivencloud.com", 25060),
            "require",
            (),
        ),
        (  # Cloud SQL's socket, whose name has colons
            f"postgresql://bot:{SECRET}@/app?host=/cloudsql/project:region:instance",
            "/cloudsql/project:region:instance/.s.PGSQL.5432",
            "disable",
            (),
        ),
        (  # Azure, in libpq's form
            (
                f"postgresql://bot%40db:{SECRET}@db.postgres.database.azure.com/app?sslmode=require"
                "&connect_timeout=10&keepalives=1&keepalives_idle=30&keepalives_interval=10"
                "&keepalives_count=5&tcp_user_timeout=5000&application_name=x"
            ),
            ("db.postgres.database.azure.com", 5432),
            "require",
            (
                *("connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval"),
                *("keepalives_count", "tcp_user_timeout", "application_name"),
            ),
        ),
        (  # Neon, without its requirements for the driver
            (
                f"postgresql://bot:{SECRET}@ep-a.eu.aws.neon.tech/app?sslmode=require"
                "&channel_binding=prefer&options=endpoint%3Dep-a"
            ),
            ("ep-a.eu.aws.neon.tech", 5432),
            "require",
            ("channel_binding",),
        ),
        (  # Prisma's own
            with_("schema=app&sslaccept=accept_invalid_certs&pool_timeout=0&sslmode=prefer"),
            ("db-1.internal", 5432),
            "prefer",
            ("schema", "sslaccept", "pool_timeout"),
        ),
        (with_("ssl=true"), ("db-1.internal", 5432), "require", ()),
        (with_("ssl=verify-ca&sslrootcert=/dev/null"), ("db-1.internal", 5432), "verify-ca", ()),
    ],
)
def test_cloud_urls_reach_the_driver_without_unsupported_parameters(
    url: str, address: object, sslmode: str, left_out: tuple[str, ...]
) -> None:
    server = read(url)
    assert server.left_out == left_out
    if "sslrootcert" in server.parameters:
        return  # the driver would read the file
    found, parameters = driver(server)
    assert found == address
    assert parameters.sslmode.name.replace("_", "-") == sslmode
    assert parameters.password == SECRET
    assert set(parameters.server_settings or ()) <= {"options"}


NO_EFFECT = (
    *("fallback_application_name=x", "client_encoding=auto", "gssencmode=disable"),
    *("gssencmode=prefer", "channel_binding=disable", "load_balance_hosts=random"),
    *("sslcompression=0", "sslsni=1", "sslcertmode=allow", "max_protocol_version=latest"),
    *("statement_cache_size=0", "prepared_statement_cache_size=0", "uselibpqcompat=true"),
    *("prepareThreshold=0", "pool_max_conns=5", "replication=false"),
)


@pytest.mark.parametrize("query", NO_EFFECT)
def test_parameters_without_effect_are_ignored_by_name(query: str) -> None:
    server = read(with_(query))
    assert server.left_out == (query.partition("=")[0],)
    assert driver(server)[1].server_settings is None


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("channel_binding=require", "channel_binding can't be required with the bot's driver: "),
        ("require_auth=scram-sha-256", "require_auth is not supported by the bot's driver: "),
        (
            "gssencmode=require",
            "gssencmode can't be required with the bot's driver: sslmode=require",
        ),
        ("requirepeer=postgres", "requirepeer is not supported"),
        ("sslsni=0", "sslsni can't be turned off"),
        ("sslcertmode=require", "sslcertmode is not supported"),
        ("sslcrldir=/etc/crl", "sslcrldir is not supported by the bot's driver"),
        ("sslaccept=strict", "sslaccept is spelled sslmode=verify-full"),
        ("ssl=yes", "ssl must be one of disable, allow, prefer, require, verify-ca, verify-full"),
        ("requiressl=1", "requiressl is spelled sslmode=require"),
        ("hostaddr=10.0.0.1", "hostaddr is not needed"),
        ("service=app", "service names a file"),
        ("targetServerType=primary", "targetServerType is spelled target_session_attrs"),
        ("sslmode=verify", "sslmode must be one of disable, allow, prefer, require"),
        ("target_session_attrs=master", "target_session_attrs must be one of any, primary"),
        ("sslnegotiation=tls", "sslnegotiation must be one of postgres, direct"),
        ("ssl_min_protocol_version=1.2", "ssl_min_protocol_version must be one of TLSv1"),
        ("sslnegotiation=direct", "sslnegotiation=direct needs sslmode=require"),
        ("sslnegotiation=direct&sslmode=prefer", "sslnegotiation=direct needs sslmode=require"),
        ("sslrootcert=system&sslmode=require", "sslrootcert=system needs sslmode=verify-full"),
        ("sslrootcert=system&sslcert=/x", "sslrootcert=system can't be combined with sslcert"),
        ("min_protocol_version=3.2", "min_protocol_version must be one of 3.0"),
        ("replication=database", "replication must be one of 0, false, no, off"),
        ("search_path=app", "search_path is set by the bot itself"),
        ("options=-c%20role%3Dother", "options changes settings of the server"),
        ("options=endpoint%3Dx%20--search_path%3Dapp", "options changes settings of the server"),
        ("statement_timeout=5s", "has an unknown parameter `statement_timeout`"),
        ("sslmod=verify-full", "has an unknown parameter `sslmod` (did you mean sslmode?)"),
        ("SSLMODE=verify-full", "has an unknown parameter `SSLMODE` (did you mean sslmode?)"),
        ("sslmod=", "has an unknown parameter `sslmod`"),
        ("oauth_issuer=x", "has an unknown parameter `oauth_issuer`"),
        ("sslmode=verify-full&sslmode=disable", "has parameter `sslmode` twice"),
        ("ssl=true&sslmode=disable", "has parameter `sslmode` twice"),
        (f"password={SECRET}", "has parameter `password` twice"),
        ("dbname=other", "has parameter `database` twice"),
        ("port=5432&port=5433", "has an invalid host or port"),
        (f"x%20{SECRET}=1", "has an unknown parameter of 8 characters"),
        (f"x=1&a{SECRET}%40x", "is not a valid URL"),
        (f"x={SECRET}@y", "has an extra @ or #"),
        (f"x={SECRET}%ff", "is not a valid URL"),
        (f"user={SECRET}%00", "is not a valid URL"),
    ],
)
def test_other_parameters_are_refused_by_name_without_their_value(query: str, words: str) -> None:
    assert words in refusal(with_(query))


def test_all_problems_are_reported_at_once() -> None:
    words = refusal(with_("channel_binding=require&statement_timeout=1&sslmode=x&pgbouncer=true"))
    assert [each.split()[0] for each in words.split("; ")] == [
        "channel_binding",
        "has",
        "sslmode",
    ]
    assert "`statement_timeout`" in words
    assert "pgbouncer" not in words


def test_a_blank_parameter_counts_as_not_given() -> None:
    server = read(with_("sslmode=&connect_timeout=&password="))
    assert (server.parameters, server.left_out, server.password) == ({}, (), SECRET)


def test_text_is_percent_decoded_and_a_plus_is_a_plus() -> None:
    url = read("postgresql://b%20o%40t:p%2B+%2F%C3%BC@db/a%2Fb?options=project%3Da+b")
    _, parameters = driver(url)
    assert (parameters.user, parameters.password) == ("b o@t", "p++/ü")
    assert parameters.database == "a/b"
    assert parameters.server_settings == {"options": "project=a+b"}
    _, parameters = driver(read("postgresql://db?user=bot&password=a+b&dbname=x"))
    assert (parameters.user, parameters.password, parameters.database) == ("bot", "a+b", "x")


@pytest.mark.parametrize("character", [" ", "\t", "\n", "\u00a0", "\u200b", "\x7f"])
def test_invisible_characters_are_not_silently_dropped(character: str) -> None:
    """Python's URL parser drops tabs and line ends."""
    assert "an invisible character" in refusal(f"postgresql://bot:a{character}b@db/app")


def test_environment_cant_change_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("PGHOST", "other"), ("PGPORT", "1"), ("PGSERVICE", "other")):
        monkeypatch.setenv(name, value)
    address, _ = driver(read("postgresql://bot@db/app"))
    assert address == ("db", 5432)


def test_password_is_never_shown() -> None:
    server = read(with_("sslpassword=s3cret"))
    assert SECRET not in repr(server)


# A ledger's schema


def test_a_ledgers_url_may_name_its_schema() -> None:
    server = read(with_("search_path=bot&schema=public"), of_ledger=True)
    assert server.search_path == "bot"
    assert server.left_out == ("schema",)
    assert "schema is spelled search_path" in refusal(with_("schema=bot"), of_ledger=True)
    assert "currentSchema is spelled" in refusal(with_("currentSchema=bot"), of_ledger=True)


# Certificates


def test_system_roots_imply_full_verification(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    for query in ("sslrootcert=system", "sslrootcert=system&sslmode=verify-full"):
        _, parameters = driver(read(with_(query)))
        assert isinstance(parameters.ssl, ssl.SSLContext)
        assert parameters.ssl.check_hostname
        assert parameters.ssl.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize("name", ["sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile"])
def test_a_file_of_the_url_that_is_missing_is_named_by_its_parameter(
    tmp_path: Path, name: str
) -> None:
    server = read(with_(f"sslmode=require&{name}={tmp_path}/nothing"))
    with pytest.raises(UnreadableFileError) as missing:
        server.arguments()
    words = f"the file that {name} in its URL names can't be read (No such file or directory)"
    assert str(missing.value) == words


@pytest.fixture
def closed_home(home: Path) -> Iterator[Path]:
    """A home that this process can't read, not even as root."""
    home.chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield home
    finally:
        if root:
            os.seteuid(0)
        home.chmod(0o700)


@pytest.mark.parametrize(
    ("query", "file"),
    [
        ("", "root.crl"),
        ("sslmode=require", "root.crt"),
        ("sslmode=require&sslcrl=/dev/null", "root.crt"),
        ("sslrootcert=/dev/null&sslmode=verify-full", "root.crl"),
        ("sslmode=allow&sslcrl=/dev/null", "postgresql.key"),
        ("sslcrl=/dev/null&sslkey=/dev/null", "postgresql.crt"),
    ],
)
def test_unreadable_home_is_named_with_the_file(closed_home: Path, query: str, file: str) -> None:
    with pytest.raises(UnreadableFileError) as closed:
        read(with_(query)).arguments()
    assert str(closed.value) == (
        f"a TLS connection looks for {closed_home}/.postgresql/{file}, which the bot can't read"
        " (Permission denied): set HOME to a folder that it can read"
    )


@pytest.mark.parametrize(
    "url",
    [
        with_("sslmode=disable"),
        with_("sslrootcert=system"),
        "postgresql:///app?host=/run/postgresql&sslmode=require",
        with_("sslcrl=/dev/null&sslkey=/dev/null&sslcert=/dev/null"),
    ],
)
def test_unreadable_home_does_not_matter_without_files(closed_home: Path, url: str) -> None:
    assert closed_home.name
    read(url).arguments()


def test_the_environment_may_name_the_files(
    closed_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGSSLMODE", "disable")
    read(with_("")).arguments()
    monkeypatch.setenv("PGSSLMODE", "verify-ca")
    with pytest.raises(UnreadableFileError, match=r"root\.crt"):
        read(with_("")).arguments()
    assert closed_home.name


def test_a_home_without_such_files_or_no_home_at_all_is_fine(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(with_("sslmode=require")).arguments()
    monkeypatch.setenv("HOME", str(home / "nothing"))
    read(with_("sslmode=require")).arguments()
    (home / "file").touch()
    monkeypatch.setenv("HOME", str(home / "file"))
    read(with_("sslmode=require")).arguments()


# Any text


@given(
    st.builds(
        "{}://{}".format,
        st.sampled_from(["postgresql", "postgres+x", "http"]),
        st.lists(
            st.sampled_from(
                [*"/:@?#[]%=&+ho1 ,", "host=", "sslmode=", "port=", "%2F", "%ff", "&x=", "user="]
            )
        ).map("".join),
    )
    | st.text()
)
def test_any_text_is_a_server_or_is_refused_in_one_line(text: str) -> None:
    try:
        server = read(text)
    except ValueError as error:
        words = str(error)
    else:
        words = server.host
        assert 0 < server.port < 65536
    assert words
    assert words.isprintable()
