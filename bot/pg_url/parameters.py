"""The parameters of a server's URL: which the driver gets, which are ignored or refused."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from difflib import get_close_matches

_NAME = re.compile("[A-Za-z][A-Za-z0-9_-]{0,39}")

SSLMODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
MUST_ENCRYPT = frozenset(SSLMODES[SSLMODES.index("require") :])
_TLS_VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
SYSTEM = "system"

PLACES = {
    "user": "user",
    "password": "password",
    "dbname": "database",
    "database": "database",
}
"""Parameters that the URL has its own place for, besides `host` and `port`."""

FOR_THE_DRIVER: Mapping[str, tuple[str, ...] | None] = {
    "gsslib": ("gssapi", "sspi"),
    "krbsrvname": None,
    "options": None,
    "passfile": None,
    "ssl_max_protocol_version": _TLS_VERSIONS,
    "ssl_min_protocol_version": _TLS_VERSIONS,
    "sslcert": None,
    "sslcrl": None,
    "sslkey": None,
    "sslmode": SSLMODES,
    "sslnegotiation": ("postgres", "direct"),
    "sslpassword": None,
    "sslrootcert": None,
    "target_session_attrs": (
        *("any", "primary", "standby", "prefer-standby", "read-write", "read-only"),
    ),
}
"""What asyncpg handles as libpq does, and the accepted values; None is any."""

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
    # The bot has its own name, encoding and time limits, and checks its connections itself.
    "application_name": None,
    "client_encoding": None,
    "connect_timeout": None,
    "fallback_application_name": None,
    "keepalives": None,
    "keepalives_count": None,
    "keepalives_idle": None,
    "keepalives_interval": None,
    "tcp_user_timeout": None,
    # There is only one host, and nobody compresses any more.
    "load_balance_hosts": None,
    "sslcompression": None,
    # What asyncpg does anyway, or need not do.
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
"""Ignored parameters, and the values for which they may be ignored."""

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
    "ssl": f"must be one of {', '.join(SSLMODES)}, as sslmode, or true for require",
    "sslaccept": "is spelled sslmode=verify-full",
    "sslcertmode": "is not supported by the bot's driver",
    "sslcrldir": "is not supported by the bot's driver: use sslcrl, which names one file",
    "sslidentity": "is spelled sslcert and sslkey",
    "sslsni": "can't be turned off in the bot's driver",
    "targetServerType": "is spelled target_session_attrs",
}
"""Advice for some of the others."""

_NOT_BESIDE_SYSTEM = frozenset(
    {
        *("sslcert", "sslcrl", "sslkey", "sslpassword"),
        *("ssl_max_protocol_version", "ssl_min_protocol_version"),
    }
)
_SCHEMAS = frozenset({"schema", "currentSchema"})


def repeated(parameters: list[tuple[str, str]]) -> Iterator[str]:
    for name, times in Counter(name for name, value in parameters if value).items():
        if times > 1:
            yield f"has {_shown(name)} twice"


def refused(parameters: list[tuple[str, str]], *, of_ledger: bool) -> Iterator[str]:
    """What the bot can't do, or must not silently ignore."""
    for name, value in dict(parameters).items():
        takes, ignores = name in FOR_THE_DRIVER, name in _WITHOUT_EFFECT
        values = (FOR_THE_DRIVER if takes else _WITHOUT_EFFECT).get(name)
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


def at_odds(given: Mapping[str, str]) -> Iterator[str]:
    """Combinations that libpq would refuse."""
    sslmode = given.get("sslmode")
    if given.get("sslnegotiation") == "direct" and sslmode not in MUST_ENCRYPT:
        yield "sslnegotiation=direct needs sslmode=require, verify-ca or verify-full"
    if given.get("sslrootcert") == SYSTEM:
        if sslmode not in {None, "verify-full"}:
            yield "sslrootcert=system needs sslmode=verify-full"
        if beside := sorted(given.keys() & _NOT_BESIDE_SYSTEM):
            yield f"sslrootcert=system can't be combined with {', '.join(beside)}"


def _shown(name: str) -> str:
    """A parameter's name, unless it may be part of a password that contains an `&`."""
    return f"parameter {f'`{name}`' if _NAME.fullmatch(name) else f'of {len(name)} characters'}"


def _nearest(name: str) -> str:
    known = {each.lower(): each for each in (*FOR_THE_DRIVER, *PLACES, "host", "port")}
    near = get_close_matches(name.lower(), known, n=1, cutoff=0.8)
    return f" (did you mean {known[near[0]]}?)" if near else ""
