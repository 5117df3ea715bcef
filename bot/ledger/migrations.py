"""The steps that bring an older ledger up to this version's schema."""

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
        # Kills from before second looks could be taken over don't need one.
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
        # Kills proposed before there were keys: no button carries their key.
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
    (
        "CREATE TABLE leases (name TEXT PRIMARY KEY, owner TEXT NOT NULL, until BIGINT NOT NULL)",
        "INSERT INTO leases (name, owner, until) VALUES ('speaker', '', 0)",
        """
        CREATE TABLE boards (
            id {identity},
            channel_id TEXT NOT NULL,
            message_ts TEXT,
            cluster TEXT NOT NULL,
            wording TEXT NOT NULL,
            asked_by TEXT NOT NULL,
            asked_by_team TEXT NOT NULL,
            since BIGINT NOT NULL,
            until BIGINT NOT NULL,
            troubled_at BIGINT NOT NULL,
            ended_at BIGINT,
            ended_why TEXT,
            ended_by TEXT,
            ended_by_team TEXT,
            closed_at BIGINT
        )
        """,
        "CREATE UNIQUE INDEX boards_open ON boards (channel_id, cluster) WHERE ended_at IS NULL",
        "CREATE INDEX boards_unclosed ON boards (id) WHERE closed_at IS NULL",
    ),
    (
        """
        CREATE TABLE alerts (
            id {identity},
            key TEXT NOT NULL,
            cluster TEXT NOT NULL,
            finding TEXT NOT NULL,
            subject TEXT NOT NULL,
            channel_id TEXT NOT NULL,
            message_ts TEXT,
            state TEXT NOT NULL,
            since BIGINT NOT NULL,
            opened_at BIGINT NOT NULL,
            told_at BIGINT NOT NULL,
            told_hurt BIGINT NOT NULL,
            worst BIGINT NOT NULL,
            seen_at BIGINT NOT NULL,
            relapses BIGINT NOT NULL,
            over_at BIGINT,
            ended_by_kill BIGINT,
            ended_by TEXT,
            ended_by_team TEXT,
            muted_until BIGINT,
            muted_by TEXT,
            muted_by_team TEXT,
            news TEXT,
            replies BIGINT NOT NULL,
            revision BIGINT NOT NULL,
            drawn BIGINT NOT NULL
        )
        """,
        "CREATE UNIQUE INDEX alerts_by_key ON alerts (key)",
        # What makes it impossible that two replicas tell the same.
        """
        CREATE UNIQUE INDEX alerts_open ON alerts (cluster, finding, subject)
        WHERE over_at IS NULL
        """,
        "CREATE INDEX alerts_by_end ON alerts (over_at)",
        "CREATE INDEX kills_by_claim ON kills (cluster, claimed_at)",
    ),
    ("ALTER TABLE kills ADD COLUMN thread_ts TEXT",),
    (
        "ALTER TABLE outcomes ADD COLUMN first_step TEXT",
        "ALTER TABLE amendments ADD COLUMN first_step TEXT",
    ),
    ("ALTER TABLE boards ADD COLUMN thread_ts TEXT",),
)
"""One step for each version, in SQL that SQLite and PostgreSQL share. `{identity}` (an id's type)
and `{random}` (at least 32 hexadecimal digits) differ between them.

Never edit a released step: a new ledger runs all of them, in order. The last one leaves the tables
above; a test compares the two.
"""

SCHEMA_VERSION = len(MIGRATIONS)

IDENTITY_SINCE = 5
"""The first version in which a ledger has an identity."""

MARKS_SINCE = 6
"""The first version in which it has marks."""

SERVES = 6
"""The oldest version whose bots may keep running beside this one while replicas are updated one by
one. Raise it with a step that adds something that a bot must not ignore."""

_TABLE = re.compile(rf"\b(TABLE|INTO|FROM|ON|REFERENCES|UPDATE) ({'|'.join(_metadata.tables)})\b")
"""The places where a step names a table."""


def migrate(
    connection: Connection, *, identity: str, random: str, clock: ColumnElement[datetime]
) -> None:
    """Bring the ledger to `SCHEMA_VERSION`, within the caller's transaction and lock.

    Leaves a ledger of a later version as it is. Raises `OtherVersion` if that version doesn't
    serve this one: this one can't know what its columns mean.
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
    """A step with each table's name qualified by its schema."""
    schema = _schema_of(connection)
    if schema is None:
        return sql
    quoted = connection.dialect.identifier_preparer.quote(schema)
    return _TABLE.sub(lambda named: f"{named[1]} {quoted}.{named[2]}", sql)


def _schema_of(connection: Connection) -> str | None:
    """The tables' schema, if the search path doesn't find them."""
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
    """The ledger's version; 0 if there is none yet."""
    if not inspect(connection).has_table(ledger_version.name, _schema_of(connection)):
        return 0
    return connection.scalar(select(func.max(ledger_version.c.version))) or 0
