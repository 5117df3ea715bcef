"""What a URL says of where it leads: a host to be shown, and whether it is this machine."""

from ipaddress import ip_address
from urllib.parse import parse_qs, unquote, urlsplit


def host_of(url: str) -> str:
    """The host that a URL names, to be shown on every card; never more of the URL."""
    host, port = _host(url), urlsplit(url).port
    return host if port in (None, 5432) else f"{host}:{port}"


def is_local(url: str) -> bool:
    """Whether a database's URL leads to this machine: by loopback, or by a Unix socket."""
    host = _host(url)
    return host.startswith("/") or is_loopback(host)


def _host(url: str) -> str:
    parts = urlsplit(url)
    return unquote(parts.hostname or next(iter(parse_qs(parts.query).get("host", ["localhost"]))))


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name or its address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
