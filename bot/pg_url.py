"""What the URL of one PostgreSQL server says, and what of it the driver is given.

asyncpg sends every parameter that it doesn't know to the server as a setting, and the server
refuses the connection then, by SQLSTATE 42704 and without a name. So a URL is read here, once: the
driver gets what it can do, what has no effect on the bot is left out and told, and anything else
is refused before the bot starts, above all what was to make the connection safer.

https://www.postgresql.org/docs/current/libpq-connect.html
"""

import os
import re
import ssl
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_to_bytes, urlencode, urlsplit

DEFAULT_PORT = 5432

_SCHEMES = frozenset({"postgresql", "postgres"})
_HOST_AND_PORT = re.compile(r"(?:\[([^][]+)\]|([^][:]+))(?::([0-9]*))?")
_NAME = re.compile("[A-Za-z][A-Za-z0-9_-]{0,39}")

_SSLMODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_MUST_ENCRYPT = frozenset(_SSLMODES[_SSLMODES.index("require") :])
_TLS_VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_SYSTEM = "system"

_PLACES = {
    "user": "user",
    "password": "password",
    "dbname": "database",
    "database": "database",
}
"""Parameters for what the URL has a place of its own for, besides `host` and `port`."""

_FOR_THE_DRIVER: Mapping[str, tuple[str, ...] | None] = {
    "gsslib": ("gssapi", "sspi"),
    "krbsrvname": None,
    "options": None,
    "passfile": None,
    "ssl_max_protocol_version": _TLS_VERSIONS,
    "ssl_min_protocol_version": _TLS_VERSIONS,
    "sslcert": None,
    "sslcrl": None,
    "sslkey": None,
    "sslmode": _SSLMODES,
    "sslnegotiation": ("postgres", "direct"),
    "sslpassword": None,
    "sslrootcert": None,
    "target_session_attrs": (
        *("any", "primary", "standby", "prefer-standby", "read-write", "read-only"),
    ),
}
"""What asyncpg does as libpq does, and the values that it takes; None is any."""

_OF_OTHER_DRIVERS = (
    # Prisma
    *("connection_limit", "pgbouncer", "pool_timeout", "schema", "single_use_connections"),
    *("socket_timeout", "statement_cache_size"),
    # SQLAlchemy, Django
    *("async_fallback", "command_timeout", "conn_max_age", "max_overflow", "pool_pre_ping"),
    *("pool_recycle", "pool_size", "prepare_threshold", "prepared_statement_cache_size"),
    *("prepared_statement_name_func", "timeout"),
    # Rails
    *("checkout_timeout", "encoding", "idle_timeout", "pool", "prepared_statements"),
    "reaping_frequency",
    # Go
    *("binary_parameters", "default_query_exec_mode", "description_cache_capacity"),
    *("pool_health_check_period", "pool_max_conn_idle_time", "pool_max_conn_lifetime"),
    *("pool_max_conn_lifetime_jitter", "pool_max_conns", "pool_min_conns"),
    *("pool_min_idle_conns", "statement_cache_capacity"),
    # JavaScript, Supabase
    *("max", "max_lifetime", "supa", "uselibpqcompat", "workaround"),
    # Java
    *("ApplicationName", "connectTimeout", "currentSchema", "defaultRowFetchSize"),
    *("loginTimeout", "prepareThreshold", "preparedStatementCacheQueries"),
    *("reWriteBatchedInserts", "socketTimeout", "stringtype", "tcpKeepAlive"),
)
"""How other drivers pool, cache and name things."""

_WITHOUT_EFFECT: Mapping[str, tuple[str, ...] | None] = {
    # The bot has a name, an encoding and time limits of its own, and probes its connections.
    "application_name": None,
    "client_encoding": None,
    "connect_timeout": None,
    "fallback_application_name": None,
    "keepalives": None,
    "keepalives_count": None,
    "keepalives_idle": None,
    "keepalives_interval": None,
    "tcp_user_timeout": None,
    # There is one host, and nobody compresses any more.
    "load_balance_hosts": None,
    "sslcompression": None,
    # What asyncpg does anyway, or may leave undone.
    "channel_binding": ("disable", "prefer"),
    "gssdelegation": ("0",),
    "gssencmode": ("disable", "prefer"),
    "max_protocol_version": ("3.0", "latest"),
    "min_protocol_version": ("3.0",),
    "replication": ("0", "false", "no", "off"),
    "sslaccept": ("accept_invalid_certs",),
    "sslcertmode": ("allow",),
    "sslsni": ("1",),
    **dict.fromkeys(_OF_OTHER_DRIVERS),
}
"""What is left out, and the values for which it may be."""

_VERIFY = "remove it, and verify the server's certificate with sslmode=verify-full"
_INSTEAD: Mapping[str, str] = {
    "channel_binding": f"can't be required with the bot's driver: {_VERIFY}",
    "gssencmode": "can't be required with the bot's driver: sslmode=require encrypts too",
    "hostaddr": "is not needed: the bot reaches a server by its host",
    "require_auth": f"is not supported by the bot's driver: {_VERIFY}",
    "requirepeer": "is not supported by the bot's driver",
    "requiressl": "is spelled sslmode=require",
    "search_path": "is set by the bot itself",
    "service": "names a file that the bot doesn't read: put what it says into the URL",
    "ssl": f"must be one of {', '.join(_SSLMODES)}, as sslmode, or true for require",
    "sslaccept": "is spelled sslmode=verify-full",
    "sslcertmode": "is not supported by the bot's driver",
    "sslcrldir": "is not supported by the bot's driver: use sslcrl, which names one file",
    "sslidentity": "is spelled sslcert and sslkey",
    "sslsni": "can't be turned off in the bot's driver",
    "targetServerType": "is spelled target_session_attrs",
}
"""What to do about some of the others."""

_NOT_BESIDE_SYSTEM = frozenset(
    {
        *("sslcert", "sslcrl", "sslkey", "sslpassword"),
        *("ssl_max_protocol_version", "ssl_min_protocol_version"),
    }
)
_SCHEMAS = frozenset({"schema", "currentSchema"})
_UNREADABLE_PLACE = "has an invalid host or port (in a password, write / as %2F)"

_FILES = ("passfile", "sslcert", "sslcrl", "sslkey", "sslrootcert")
_DEFAULT_FILES = {
    "sslcrl": "root.crl",
    "sslkey": "postgresql.key",
    "sslcert": "postgresql.crt",
}


class UnreadableFileError(OSError):
    """A file that a connection takes can't be read. The text says which, fit for a channel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerUrl:
    """One server, whatever stands in the environment.

    Attributes:
        host: a name, an address, or the folder of a Unix socket.
        parameters: those for the driver.
        left_out: the names of those that have no effect on the bot.
        search_path: the schema of a ledger.
    """

    host: str
    port: int
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    database: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)
    left_out: tuple[str, ...] = ()
    search_path: str | None = None

    @property
    def shown(self) -> str:
        """The host, and its port unless that is 5432; never more of the URL."""
        return self.host if self.port == DEFAULT_PORT else f"{self.host}:{self.port}"

    @property
    def is_local(self) -> bool:
        """Whether it leads to this machine: by loopback, or by a Unix socket."""
        return self._is_socket or is_loopback(self.host)

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `asyncpg.connect` that say where and as whom.

        Raises `UnreadableFileError` for a file that is missing or closed to the bot: the driver's
        errors don't say which, and may be about one that only HOME leads to.
        """
        arguments: dict[str, Any] = {
            "host": [self.host],
            "port": [self.port],
            "user": self.user,
            "password": self.password,
            "database": self.database,
            "dsn": f"postgresql:///?{urlencode(self.parameters, quote_via=quote)}",
        }
        if self._is_socket:
            arguments["ssl"] = False  # as libpq: there is none on a socket, whatever sslmode says
        elif self._trusts_the_system:
            context = ssl.create_default_context()
            context.set_alpn_protocols(["postgresql"])
            arguments["ssl"] = context
        self._check_files()
        return arguments

    @property
    def _is_socket(self) -> bool:
        return self.host.startswith("/")

    @property
    def _trusts_the_system(self) -> bool:
        return self.parameters.get("sslrootcert") == _SYSTEM

    def _check_files(self) -> None:
        for name in _FILES:
            path = self.parameters.get(name)
            if path is None or (name == "sslrootcert" and self._trusts_the_system):
                continue
            if (error := _unreadable(Path(path))) is not None:
                raise UnreadableFileError(
                    f"the file that {name} in its URL names can't be read ({error.strerror})"
                )
        for default in self._default_files():
            error = _unreadable(default)
            if error is None or isinstance(error, FileNotFoundError | NotADirectoryError):
                continue
            raise UnreadableFileError(
                f"a TLS connection looks for {default}, which the bot can't read"
                f" ({error.strerror}): set HOME to a folder that it can read"
            )

    def _default_files(self) -> Iterator[Path]:
        """What asyncpg takes from ~/.postgresql where it is there, as libpq does.

        From a home that may not be read libpq takes no root certificate and goes on, up to the
        client's: that it calls an error, too.
        """
        sslmode = self._given("sslmode") or "prefer"
        if self._is_socket or sslmode == "disable" or self._trusts_the_system:
            return
        files = {"sslrootcert": "root.crt"} if sslmode in _MUST_ENCRYPT else {}
        for name, file in (files | _DEFAULT_FILES).items():
            if not self._given(name):
                try:
                    yield Path.home() / ".postgresql" / file
                except RuntimeError:  # HOME is not set, and the user has none
                    return

    def _given(self, name: str) -> str | None:
        """A parameter, or what the environment says in its place."""
        return self.parameters.get(name) or os.environ.get(f"PG{name.upper()}")


def _unreadable(path: Path) -> OSError | None:
    try:
        with path.open("rb"):
            return None
    except OSError as error:
        return error


def read(url: str, *, of_ledger: bool = False) -> ServerUrl:
    """Read a URL. Raises `ValueError` with words that follow a variable's name and show no value.

    A ledger's URL may name the ledger's schema, by `search_path`.
    """
    if any(character.isspace() or not character.isprintable() for character in url):
        raise ValueError("contains a space or an invisible character: write %20, or remove it")
    try:
        parts = urlsplit(url)
        query = [_parameter(each) for each in parts.query.split("&") if each]
        login, _, authority = parts.netloc.rpartition("@")
        user, _, password = map(_decoded, login.partition(":"))
        path = _decoded(parts.path.removeprefix("/"))
        _decoded(authority)
    except ValueError:
        raise ValueError("is not a valid URL") from None
    if parts.scheme.partition("+")[0] not in _SCHEMES:
        raise ValueError("must be a URL that begins with postgresql://")
    if "@" in login + parts.path + parts.query or "#" in url:
        raise ValueError("has an extra @ or #: in a user's name or password, write %40 or %23")
    host, port = _address(authority, query)
    places = [("user", user), ("password", password), ("database", path)]
    places += [(_PLACES[name], value) for name, value in query if name in _PLACES]
    others = [_as_sslmode(*each) for each in query if each[0] not in {"host", "port", *_PLACES}]
    place = {name: value for name, value in places if value}
    given = {name: value for name, value in others if value}
    search_path = given.pop("search_path", None) if of_ledger else None
    problems = [*_repeated(places), *_repeated(others)]
    problems += [*_refused(others, of_ledger=of_ledger), *_at_odds(given)]
    if problems:
        raise ValueError("; ".join(problems))
    if given.get("sslrootcert") == _SYSTEM:
        given["sslmode"] = "verify-full"  # as libpq has it
    return ServerUrl(
        host=host,
        port=port,
        user=place.get("user"),
        password=place.get("password"),
        database=place.get("database"),
        parameters={name: value for name, value in given.items() if name in _FOR_THE_DRIVER},
        left_out=tuple(name for name in given if name not in _FOR_THE_DRIVER),
        search_path=search_path,
    )


def _parameter(text: str) -> tuple[str, str]:
    """A name and its value. A `+` is one, as for libpq: Python's own reading makes it a space."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ValueError(text)
    return _decoded(name), _decoded(value)


def _decoded(text: str) -> str:
    raw = unquote_to_bytes(text)
    if b"\0" in raw:
        raise ValueError(text)
    return raw.decode()


def _as_sslmode(name: str, value: str) -> tuple[str, str]:
    """`ssl=true` as libpq takes it, and `ssl=require` as SQLAlchemy does with asyncpg."""
    if name == "ssl" and (value == "true" or value in _SSLMODES):
        return "sslmode", "require" if value == "true" else value
    return name, value


def _address(authority: str, query: list[tuple[str, str]]) -> tuple[str, int]:
    """The one host and its port."""
    named = [value for name, value in query if name == "host"]
    hosts = [_decoded(authority)] * bool(authority) + named
    if len(hosts) > 1 or any("," in host for host in hosts):
        raise ValueError("names several hosts: a cluster is one server")
    if not any(hosts):
        raise ValueError("names no host (for a Unix socket: ?host=/its/directory)")
    ports = [value for name, value in query if name == "port"]
    if named and (named[0].startswith("/") or _is_ipv6(named[0])):
        host = named[0]  # a folder of Cloud SQL's has a `:` in its name, too
    elif (place := _HOST_AND_PORT.fullmatch(authority or named[0])) is None:
        raise ValueError(_UNREADABLE_PLACE)
    else:
        host = _decoded(place[1] or place[2])
        ports += [place[3]] if place[3] else []
    ports = ports or [str(DEFAULT_PORT)]
    if len(ports) > 1 or not re.fullmatch("[0-9]{1,5}", ports[0]) or not 0 < int(ports[0]) < 65536:
        raise ValueError(_UNREADABLE_PLACE)
    return host, int(ports[0])


def _is_ipv6(host: str) -> bool:
    try:
        IPv6Address(host)
    except ValueError:
        return False
    return True


def _repeated(parameters: list[tuple[str, str]]) -> Iterator[str]:
    for name, times in Counter(name for name, value in parameters if value).items():
        if times > 1:
            yield f"has {_shown(name)} twice"


def _refused(parameters: list[tuple[str, str]], *, of_ledger: bool) -> Iterator[str]:
    """What the bot can't do, or won't leave out in silence."""
    for name, value in dict(parameters).items():
        takes, ignores = name in _FOR_THE_DRIVER, name in _WITHOUT_EFFECT
        values = (_FOR_THE_DRIVER if takes else _WITHOUT_EFFECT).get(name)
        is_fine = not value or values is None or value in values
        if of_ledger and name == "search_path":
            continue
        if of_ledger and name in _SCHEMAS and value != "public":
            yield f"{name} is spelled search_path"
        elif name == "options" and any(word.startswith("-") for word in value.split()):
            yield "options changes settings of the server, and the bot has its own: use ALTER ROLE"
        elif (takes or ignores) and is_fine:
            continue
        elif name in _INSTEAD:
            yield f"{name} {_INSTEAD[name]}"
        elif values is not None:
            yield f"{name} must be one of {', '.join(values)}"
        else:
            yield f"has an unknown {_shown(name)}{_nearest(name)}"


def _at_odds(given: Mapping[str, str]) -> Iterator[str]:
    """What libpq would refuse together."""
    sslmode = given.get("sslmode")
    if given.get("sslnegotiation") == "direct" and sslmode not in _MUST_ENCRYPT:
        yield "sslnegotiation=direct needs sslmode=require, verify-ca or verify-full"
    if given.get("sslrootcert") == _SYSTEM:
        if sslmode not in {None, "verify-full"}:
            yield "sslrootcert=system needs sslmode=verify-full"
        if beside := sorted(given.keys() & _NOT_BESIDE_SYSTEM):
            yield f"sslrootcert=system can't be combined with {', '.join(beside)}"


def _shown(name: str) -> str:
    """A parameter's name, unless it may be a part of a password with an `&` in it."""
    return f"parameter {f'`{name}`' if _NAME.fullmatch(name) else f'of {len(name)} characters'}"


def _nearest(name: str) -> str:
    known = {each.lower(): each for each in (*_FOR_THE_DRIVER, *_PLACES, "host", "port")}
    near = get_close_matches(name.lower(), known, n=1, cutoff=0.8)
    return f" (did you mean {known[near[0]]}?)" if near else ""


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name or its address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
