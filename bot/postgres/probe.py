"""Check a server for `python -m bot check`, over one connection, changing nothing."""

import asyncio
from contextlib import suppress
from dataclasses import replace

import asyncpg
import structlog

from bot import driver, pg_url
from bot.check.facts import Answer, ClusterFacts, Holds, OwnRole, Slots, Untold
from bot.domain.sessions import ServerId
from bot.driver import APPLICATION_NAME, Connection, PinnedConnection, decoding
from bot.postgres import queries, trouble
from bot.postgres.bounded import PINS
from bot.postgres.cluster import KEPT_CONNECTIONS, SAMPLE_CONNECTIONS, WORK_CONNECTIONS
from bot.postgres.passwords import PasswordCommand
from bot.postgres.statements import every_statement

log = structlog.get_logger(__name__)

CONNECT_WITHIN = 5.0
WITHIN = 10.0
"""Seconds for a connection to one server and everything done over it."""

CLOSE_WITHIN = 0.5

PREDEFINED = ("pg_read_all_stats", "pg_signal_backend", "pg_use_reserved_connections")

FUNCTIONS = (
    "pg_backend_pid()",
    "pg_blocking_pids(integer)",
    "pg_cancel_backend(integer)",
    "pg_control_system()",
    "pg_encoding_to_char(integer)",
    "pg_get_replication_slots()",
    "pg_has_role(name, text)",
    "pg_has_role(oid, text)",
    "pg_is_in_recovery()",
    "pg_lock_status()",
    "pg_postmaster_start_time()",
    "pg_prepared_xact()",
    "pg_safe_snapshot_blocking_pids(integer)",
    "pg_stat_get_activity(integer)",
    "pg_stat_get_progress_info(text)",
    "pg_terminate_backend(integer, bigint)",
)
TABLES = (
    *("pg_class", "pg_database", "pg_namespace", "pg_roles"),
    "pg_stat_progress_create_index",
)
"""What the statements in `bot.postgres.queries` call and read. By default everyone may; some
administrators revoke it."""

_BOUNDS = {**PINS, "statement_timeout": "4500ms", "lock_timeout": "400ms"}


async def probe(
    name: str, dsn: str, password: PasswordCommand | None = None, *, sampled: bool = False
) -> ClusterFacts:
    """Check one server for at most 10 s. Never raises: a failure is one of the facts it returns."""
    url = pg_url.read(dsn)
    return ClusterFacts(
        name=name,
        host=url.shown,
        is_local=url.is_local,
        left_out=url.left_out,
        holds=WORK_CONNECTIONS + KEPT_CONNECTIONS + SAMPLE_CONNECTIONS * sampled,
        answer=await _answer(name, url, password),
    )


async def _answer(
    name: str, url: pg_url.ServerUrl, password: PasswordCommand | None
) -> Answer | Untold:
    connection: PinnedConnection | None = None
    try:
        where = url.arguments()
        if password is not None:
            where["password"] = await password.password(url)
        async with asyncio.timeout(WITHIN):
            connection = await driver.connect(
                where, _BOUNDS, connection_class=PinnedConnection, timeout=CONNECT_WITHIN
            )
            # In one transaction, so that behind a pooler all of it goes to one server.
            await connection.begin(_BOUNDS)
            answer = await _ask(connection)
            await connection.execute("rollback")
            return answer
    except Exception as error:  # noqa: BLE001  one server costs the others nothing
        return Untold(_problem(name, error, connected=connection is not None))
    finally:
        if connection is not None:
            with suppress(Exception):
                await connection.close(timeout=CLOSE_WITHIN)


def _problem(name: str, error: Exception, *, connected: bool) -> str:
    if not connected:
        return trouble.of_connecting(error)
    try:
        return trouble.of_statement(name, error).problem
    except Exception:
        log.critical("check.failed", cluster=name, exc_info=True)
        return f"the check itself failed ({type(error).__name__})"


async def _ask(connection: Connection) -> Answer:
    rights = await connection.fetchrow(queries.get("rights"), PREDEFINED, FUNCTIONS, TABLES)
    assert rights is not None  # noqa: S101  a session has a role
    missing = (*rights["functions"], *rights["tables"])
    sees, signals, reserves = map(Holds, rights["holds"])
    role = OwnRole(
        oid=rights["login"],
        name=_name(rights["rolname"]),
        is_superuser=rights["is_superuser"],
        sees=sees,
        signals=signals,
        reserves=reserves,
    )
    answer = Answer(
        version_num=rights["server_version_num"],
        database=_name(rights["database"]),
        role=role,
        # A pooler hands out a backend key that differs from the backend's.
        pooled=rights["pid"] != connection.get_server_pid(),
        missing=missing,
    )
    if missing:
        return answer
    room = await connection.fetchrow(
        queries.get("room").replace("{logins_by_locks}", "true"), APPLICATION_NAME
    )
    assert room is not None  # noqa: S101  a backend always sees itself
    roles = await connection.fetchrow(queries.get("roles"))
    assert roles is not None  # noqa: S101  it is one row
    for statement, parameters in every_statement():
        await connection.fetch(statement, *parameters)
    return replace(
        answer,
        roles=dict(zip(map(_name, roles["rolnames"]), roles["can_login"], strict=True)),
        applications=frozenset(room["applications"] or ()),
        is_encrypted=room["is_encrypted"],
        id=ServerId(room["system_identifier"], room["postmaster_start_time"]),
        is_standby=room["in_recovery"],
        slots=_slots(room),
    )


def _name(raw: bytes) -> str:
    return decoding.read(raw, "UTF8")


def _slots(room: asyncpg.Record) -> Slots:
    names, sessions = room["other_names"] or (), room["other_sessions"] or ()
    return Slots(
        maximum=room["max_connections"],
        superuser_reserved=room["superuser_reserved_connections"],
        role_limit=room["role_limit"],
        reserved=room["reserved_connections"],
        used=room["used"],
        logging_in=room["logging_in"],
        database_limit=room["database_limit"],
        database_used=room["database_used"],
        own=room["own"],
        others=dict(zip(names, sessions, strict=True)),
    )
