"""Read the URL of one PostgreSQL server, and decide which parts the driver gets.

asyncpg sends every parameter that it doesn't know to the server as a setting. The server then
refuses the connection with SQLSTATE 42704, without saying which one. So a URL is read here, once.
The driver gets what it supports; what has no effect on the bot is ignored and reported; anything
else is refused before the bot starts, above all what should make the connection safer.

https://www.postgresql.org/docs/current/libpq-connect.html
"""

import errno
import os
import re
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_to_bytes, urlencode, urlsplit

from bot.pg_url.parameters import (
    FOR_THE_DRIVER,
    MUST_ENCRYPT,
    PLACES,
    SSLMODES,
    SYSTEM,
    at_odds,
    refused,
    repeated,
)

DEFAULT_PORT = 5432

_SCHEMES = frozenset({"postgresql", "postgres"})
_HOST_AND_PORT = re.compile(r"(?:\[([^][]+)\]|([^][:]+))(?::([0-9]*))?")
_UNREADABLE_PLACE = "has an invalid host or port (in a password, write / as %2F)"

_FILES = ("passfile", "sslcert", "sslcrl", "sslkey", "sslrootcert")
_DEFAULT_FILES = {
    "sslcrl": "root.crl",
    "sslkey": "postgresql.key",
    "sslcert": "postgresql.crt",
}


class UnreadableFileError(OSError):
    """A file that a connection needs can't be read. The text says which, fit for a channel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerUrl:
    """One server, independent of the environment.

    Attributes:
        host: a name, an address, or the folder of a Unix socket.
        parameters: those for the driver.
        left_out: the names of those that the bot ignores.
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
        """The host, and its port unless that is 5432; no other part of the URL."""
        return self.host if self.port == DEFAULT_PORT else f"{self.host}:{self.port}"

    @property
    def has_password(self) -> bool:
        """Whether it says with which password to connect, or in which file that is."""
        return self.password is not None or "passfile" in self.parameters

    @property
    def is_local(self) -> bool:
        """Whether it leads to this machine, over loopback or a Unix socket."""
        return self._is_socket or is_loopback(self.host)

    def arguments(self) -> dict[str, Any]:
        """The arguments of `asyncpg.connect` for the address, the user and TLS.

        Raises `UnreadableFileError` if a file is missing or the bot may not read it. The driver's
        own errors don't say which file, and may be about one that it finds only through HOME.
        Raises `OSError` if the bot may open no more files.
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
            arguments["ssl"] = False  # as libpq: a Unix socket has no TLS, whatever sslmode says
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
        return self.parameters.get("sslrootcert") == SYSTEM

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
        """The files that asyncpg takes from ~/.postgresql if they exist, as libpq does.

        If the home folder can't be read, libpq continues without a root certificate. It reports an
        error only when it gets to the client's certificate.
        """
        sslmode = self._given("sslmode") or "prefer"
        if self._is_socket or sslmode == "disable" or self._trusts_the_system:
            return
        files = {"sslrootcert": "root.crt"} if sslmode in MUST_ENCRYPT else {}
        for name, file in (files | _DEFAULT_FILES).items():
            if not self._given(name):
                try:
                    yield Path.home() / ".postgresql" / file
                except RuntimeError:  # HOME is not set, and the user has no home
                    return

    def _given(self, name: str) -> str | None:
        """A parameter, or the environment's value if the URL has none."""
        return self.parameters.get(name) or os.environ.get(f"PG{name.upper()}")


def _unreadable(path: Path) -> OSError | None:
    try:
        with path.open("rb"):
            return None
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise  # that says nothing about this file
        return error


def read(url: str, *, of_ledger: bool = False) -> ServerUrl:
    """Read a URL. Raises `ValueError` with words that follow a variable's name and show no value.

    A ledger's URL may name the ledger's schema as `search_path`.
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
    places += [(PLACES[name], value) for name, value in query if name in PLACES]
    others = [_as_sslmode(*each) for each in query if each[0] not in {"host", "port", *PLACES}]
    place = {name: value for name, value in places if value}
    given = {name: value for name, value in others if value}
    search_path = given.pop("search_path", None) if of_ledger else None
    problems = [*repeated(places), *repeated(others)]
    problems += [*refused(others, of_ledger=of_ledger), *at_odds(given)]
    if problems:
        raise ValueError("; ".join(problems))
    if given.get("sslrootcert") == SYSTEM:
        given["sslmode"] = "verify-full"  # as in libpq
    return ServerUrl(
        host=host,
        port=port,
        user=place.get("user"),
        password=place.get("password"),
        database=place.get("database"),
        parameters={name: value for name, value in given.items() if name in FOR_THE_DRIVER},
        left_out=tuple(name for name in given if name not in FOR_THE_DRIVER),
        search_path=search_path,
    )


def _parameter(text: str) -> tuple[str, str]:
    """A name and its value. A `+` stays one, as in libpq; Python would make it a space."""
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
    """Accept `ssl=true` as libpq does, and `ssl=require` as SQLAlchemy does with asyncpg."""
    if name == "ssl" and (value == "true" or value in SSLMODES):
        return "sslmode", "require" if value == "true" else value
    return name, value


def _address(authority: str, query: list[tuple[str, str]]) -> tuple[str, int]:
    """The one host and its port."""
    named = [value for name, value in query if name == "host"]
    hosts = [_decoded(authority)] * bool(authority) + named
    if len(hosts) > 1 or any("," in host for host in hosts):
        raise ValueError("names several hosts: it must name one server")
    if not any(hosts):
        raise ValueError("names no host (for a Unix socket: ?host=/its/directory)")
    ports = [value for name, value in query if name == "port"]
    if named and (named[0].startswith("/") or _is_ipv6(named[0])):
        host = named[0]  # the name of a Cloud SQL folder also contains `:`
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


def is_loopback(host: str) -> bool:
    """Whether a host's name or address means this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
