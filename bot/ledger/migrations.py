"""The steps that bring an older ledger up to what this version of the bot writes."""

import re
from datetime import datetime
from typing import cast

from sqlalchemy import (
    ColumnElement,
    Connection,
    func,
    insert,
    inspect,
    select,
    update,
)

from bot.errors import OtherVersion
from bot.ledger.schema import _metadata, ledger_marks, ledger_version

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE ledger_version (version BIGINT PRIMARY KEY, at BIGINT NOT NULL)",
        """
        CREATE TABLE kills (
            id {identity},
            state TEXT NOT NULL,
            cluster TEXT NOT NULL,
            host TEXT NOT NULL,
            system_identifier BIGINT NOT NULL,
            postmaster_start_time BIGINT NOT NULL,
            action TEXT NOT NULL,
            confirmed_action TEXT,
            basis TEXT NOT NULL,
            wording TEXT NOT NULL,
            conditions TEXT NOT NULL,
            reason TEXT,
            asked_by TEXT NOT NULL,
            asked_by_team TEXT NOT NULL,
            channel_id TEXT NOT NULL,
            message_ts TEXT,
            seen_at BIGINT NOT NULL,
            spared TEXT NOT NULL,
            limits_seen TEXT NOT NULL,
            waiting_seen BIGINT NOT NULL,
            freed BIGINT NOT NULL,
            created_at BIGINT NOT NULL,
            expires_at BIGINT NOT NULL,
            confirmed_by TEXT,
            confirmed_by_team TEXT,
            claimed_at BIGINT,
            owner TEXT,
            lease_until BIGINT,
            dismissed_by TEXT,
            dismissed_by_team TEXT,
            dismissed_at BIGINT,
            concluded_at BIGINT,
            took BIGINT,
            limits TEXT,
            waiting_before BIGINT,
            waiting_after BIGINT,
            arrivals BIGINT
        )
        """,
        "CREATE INDEX kills_by_lease ON kills (state, lease_until)",
        """
        CREATE TABLE targets (
            kill_id BIGINT NOT NULL REFERENCES kills (id),
            pid BIGINT NOT NULL,
            backend_start BIGINT NOT NULL,
            position BIGINT NOT NULL,
            usename TEXT,
            datname TEXT,
            application_name TEXT,
            client_addr TEXT,
            state TEXT,
            seen TEXT NOT NULL,
            waiting_behind BIGINT NOT NULL,
            is_new BOOLEAN NOT NULL,
            PRIMARY KEY (kill_id, pid, backend_start)
        )
        """,
        """
        CREATE TABLE outcomes (
            kill_id BIGINT NOT NULL,
            pid BIGINT NOT NULL,
            backend_start BIGINT NOT NULL,
            position BIGINT NOT NULL,
            outcome TEXT NOT NULL,
            detail TEXT NOT NULL,
            PRIMARY KEY (kill_id, pid, backend_start),
            FOREIGN KEY (kill_id, pid, backend_start)
                REFERENCES targets (kill_id, pid, backend_start)
        )
        """,
        """
        CREATE TABLE amendments (
            id {identity},
            kill_id BIGINT NOT NULL,
            pid BIGINT NOT NULL,
            backend_start BIGINT NOT NULL,
            outcome TEXT NOT NULL,
            detail TEXT NOT NULL,
            at BIGINT NOT NULL,
            FOREIGN KEY (kill_id, pid, backend_start)
                REFERENCES targets (kill_id, pid, backend_start)
        )
        """,
        "CREATE INDEX amendments_by_kill ON amendments (kill_id)",
        """
        CREATE TABLE notes (
            id {identity},
            kill_id BIGINT NOT NULL REFERENCES kills (id),
            note TEXT NOT NULL,
            at BIGINT NOT NULL
        )
        """,
        "CREATE INDEX notes_by_kill ON notes (kill_id)",
        """
        CREATE TABLE refusals (
            id {identity},
            user_id TEXT NOT NULL,
            team_id TEXT NOT NULL,
            channel_id TEXT NOT NULL,
            what TEXT NOT NULL,
            why TEXT NOT NULL,
            at BIGINT NOT NULL
        )
        """,
        """
        CREATE TABLE looks (
            id {identity},
            user_id TEXT NOT NULL,
            team_id TEXT NOT NULL,
            channel_id TEXT NOT NULL,
            cluster TEXT NOT NULL,
            cluster_at BIGINT NOT NULL,
            what TEXT NOT NULL,
            at BIGINT NOT NULL
        )
        """,
        "CREATE INDEX looks_by_place ON looks (channel_id, cluster, id)",
        "CREATE TABLE signatures (signature TEXT PRIMARY KEY, at BIGINT NOT NULL)",
    ),
    ("ALTER TABLE kills ADD COLUMN reference TEXT",),
    (
        "ALTER TABLE kills ADD COLUMN began_at BIGINT",
        "ALTER TABLE kills ADD COLUMN followed_at BIGINT",
        # What was done before there were second looks to take over is not due for one.
        "UPDATE kills SET followed_at = concluded_at WHERE state = 'done'",
    ),
    (
        "ALTER TABLE refusals ADD COLUMN reference TEXT",
        "ALTER TABLE looks ADD COLUMN reference TEXT",
    ),
    (
        "CREATE TABLE ledger_identity (identity TEXT PRIMARY KEY)",
        "INSERT INTO ledger_identity (identity) VALUES ({random})",
        "ALTER TABLE kills ADD COLUMN key TEXT",
        # No button carries the key of a kill that was proposed before there were keys.
        "UPDATE kills SET key = (SELECT identity FROM ledger_identity) || '-' || {random}",
        "CREATE UNIQUE INDEX kills_by_key ON kills (key)",
    ),
    (
        "CREATE TABLE ledger_marks (serves BIGINT NOT NULL, latest BIGINT NOT NULL)",
        "INSERT INTO ledger_marks (serves, latest) VALUES (6, 0)",
        "CREATE INDEX kills_by_expiry ON kills (state, expires_at)",
    ),
    (
        "ALTER TABLE outcomes ADD COLUMN reason TEXT",
        "ALTER TABLE amendments ADD COLUMN reason TEXT",
    ),
)
"""One step for each version, in SQL that SQLite and PostgreSQL share; `{identity}` (the type of
an id) and `{random}` (32 hexadecimal digits or more) are theirs.

A step that was released is never edited: a new ledger takes all of them, in order. The
tables above are what the last one leaves, and a test compares the two.
"""

SCHEMA_VERSION = len(MIGRATIONS)

IDENTITY_SINCE = 5
"""The version from which on a ledger has an identity."""

MARKS_SINCE = 6
"""The version from which on it has marks."""

SERVES = 6
"""The oldest version whose bots may go on beside this one, as in an update of replicas one by
one. Raise it with a step that adds what a bot must not leave out of account."""

_TABLE = re.compile(rf"\b(TABLE|INTO|FROM|ON|REFERENCES|UPDATE) ({'|'.join(_metadata.tables)})\b")
"""Where a step names a table."""


def migrate(
    connection: Connection, *, identity: str, random: str, clock: ColumnElement[datetime]
) -> None:
    """Bring the ledger to `SCHEMA_VERSION`, within the caller's transaction and lock.

    A ledger of a later version is left as it is. Raises `OtherVersion` if that version doesn't
    serve this one: what it means by its columns is not known here.
    """
    version = version_of(connection)
    refuse_later(connection, version)
    for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
        for statement in statements:
            sql = statement.format(identity=identity, random=random)
            connection.exec_driver_sql(_located(sql, connection))
        connection.execute(insert(ledger_version).values(version=number, at=clock))
    if version < SCHEMA_VERSION >= MARKS_SINCE:
        connection.execute(update(ledger_marks).values(serves=SERVES))


def _located(sql: str, connection: Connection) -> str:
    """A step, with the schema before the name of each table."""
    schema = _schema_of(connection)
    if schema is None:
        return sql
    quoted = connection.dialect.identifier_preparer.quote(schema)
    return _TABLE.sub(lambda named: f"{named[1]} {quoted}.{named[2]}", sql)


def _schema_of(connection: Connection) -> str | None:
    """Where the tables are, if they are not to be found without saying so."""
    schemas = connection.get_execution_options().get("schema_translate_map", {})
    return cast("str | None", schemas.get(None))


def refuse_later(connection: Connection, version: int) -> None:
    """Raise `OtherVersion` for a later version that doesn't serve this one."""
    if version <= SCHEMA_VERSION:
        return
    serves = connection.scalar(select(ledger_marks.c.serves)) if version >= MARKS_SINCE else None
    if serves is None or serves > SCHEMA_VERSION:
        raise OtherVersion(
            f"the ledger has schema version {version}, from a later version of the bot; "
            f"this one supports {SCHEMA_VERSION}"
        )


def version_of(connection: Connection) -> int:
    """The version that a ledger has; 0 where there is none yet."""
    if not inspect(connection).has_table(ledger_version.name, _schema_of(connection)):
        return 0
    return connection.scalar(select(func.max(ledger_version.c.version))) or 0
