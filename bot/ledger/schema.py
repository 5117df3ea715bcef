"""The ledger's tables, and the steps that bring an older ledger up to them.

Rows are added and completed, and dropped when they have been kept for long enough
(LEDGER_KEEP): a column that starts as NULL is filled once. The exceptions are `state`, `owner`
and `lease_until` of a kill, which say who works on it now: on what was confirmed, and then on
the second look at what became of it; the marks; and, if the ledger's clock is set back, what
goes by it: `expires_at` of open previews, which end, and `lease_until`.

Instants are integer microseconds UTC, in columns of SQLite and PostgreSQL alike. What
people filter by has a column; what is only ever read back as a whole is JSON text.
"""

import json
import re
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    Table,
    Text,
    func,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.types import TypeDecorator

from bot.domain.instants import from_us, to_us
from bot.errors import OtherVersion

_MICROSECOND = timedelta(microseconds=1)


def microseconds(span: timedelta) -> int:
    """A span as the ledger keeps it."""
    return span // _MICROSECOND


class Instant(TypeDecorator[datetime]):
    """An aware datetime, kept as microseconds since 1970."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """To the database."""
        del dialect
        return None if value is None else to_us(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """From the database."""
        del dialect
        return None if value is None else from_us(value)


class Span(TypeDecorator[timedelta]):
    """A timedelta, kept as microseconds."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: timedelta | None, dialect: Dialect) -> int | None:
        """To the database."""
        del dialect
        return None if value is None else microseconds(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> timedelta | None:
        """From the database."""
        del dialect
        return None if value is None else timedelta(microseconds=value)


class Json(TypeDecorator[Any]):
    """Lists and dicts, kept as JSON text in ASCII: any character of a name survives."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ANN401
        """To the database."""
        del dialect
        return None if value is None else json.dumps(value, separators=(",", ":"))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ANN401
        """From the database."""
        del dialect
        return None if value is None else json.loads(value)


_metadata = MetaData()


def _id() -> Column[int]:
    return Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True)


def _kill_id() -> Column[int]:
    return Column("kill_id", BigInteger, ForeignKey("kills.id"), nullable=False)


def _reference() -> Column[str]:
    """Under which the log has what belongs to it. NULL: asked for before it was kept."""
    return Column("reference", Text)


def _of_a_target() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        ["kill_id", "pid", "backend_start"],
        ["targets.kill_id", "targets.pid", "targets.backend_start"],
    )


ledger_version = Table(
    "ledger_version",
    _metadata,
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Instant, nullable=False),
)

# One row, which changes.
ledger_marks = Table(
    "ledger_marks",
    _metadata,
    # The oldest version of the schema whose bots may go on with this ledger.
    Column("serves", BigInteger, nullable=False),
    # The greatest instant that the ledger's clock is known to have shown.
    Column("latest", Instant, nullable=False),
)

ledger_identity = Table(
    "ledger_identity",
    _metadata,
    Column("identity", Text, primary_key=True),
)

kills = Table(
    "kills",
    _metadata,
    _id(),
    # bot.domain.kills.State
    Column("state", Text, nullable=False),
    # What was asked, where, by whom; complete from the start but for `message_ts`.
    Column("cluster", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("system_identifier", BigInteger, nullable=False),
    Column("postmaster_start_time", Instant, nullable=False),
    Column("action", Text, nullable=False),  # as proposed
    Column("confirmed_action", Text),  # as confirmed: a preview may offer to cancel, too
    Column("basis", Text, nullable=False),
    Column("wording", Text, nullable=False),
    Column("conditions", Json, nullable=False),
    Column("reason", Text),
    Column("asked_by", Text, nullable=False),
    Column("asked_by_team", Text, nullable=False),
    Column("channel_id", Text, nullable=False),
    Column("message_ts", Text),
    Column("seen_at", Instant, nullable=False),
    Column("spared", Json, nullable=False),
    Column("limits_seen", Json, nullable=False),
    Column("waiting_seen", BigInteger, nullable=False),
    Column("freed", BigInteger, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    # The intent.
    Column("confirmed_by", Text),
    Column("confirmed_by_team", Text),
    Column("claimed_at", Instant),
    Column("owner", Text),
    Column("lease_until", Instant),
    # Or that there is none.
    Column("dismissed_by", Text),
    Column("dismissed_by_team", Text),
    Column("dismissed_at", Instant),
    # The outcome.
    Column("concluded_at", Instant),
    Column("took", Span),
    Column("limits", Json),
    Column("waiting_before", BigInteger),
    Column("waiting_after", BigInteger),
    Column("arrivals", BigInteger),
    _reference(),
    # The cluster's clock right before the claim, and when the second look was recorded.
    Column("began_at", Instant),
    Column("followed_at", Instant),
    # What buttons carry: the ledger's identity, a dash, 128 random bits or more. NULL if an
    # older replica wrote the row beside a newer one.
    Column("key", Text),
)

targets = Table(
    "targets",
    _metadata,
    Column("kill_id", BigInteger, ForeignKey("kills.id"), primary_key=True),
    Column("pid", BigInteger, primary_key=True, autoincrement=False),
    Column("backend_start", Instant, primary_key=True, autoincrement=False),
    Column("position", BigInteger, nullable=False),
    Column("usename", Text),
    Column("datname", Text),
    Column("application_name", Text),
    Column("client_addr", Text),
    Column("state", Text),
    Column("seen", Json, nullable=False),
    Column("waiting_behind", BigInteger, nullable=False),
    Column("is_new", Boolean, nullable=False),
)

outcomes = Table(
    "outcomes",
    _metadata,
    Column("kill_id", BigInteger, primary_key=True, autoincrement=False),
    Column("pid", BigInteger, primary_key=True, autoincrement=False),
    Column("backend_start", Instant, primary_key=True, autoincrement=False),
    Column("position", BigInteger, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("detail", Text, nullable=False),
    _of_a_target(),
)

amendments = Table(
    "amendments",
    _metadata,
    _id(),
    Column("kill_id", BigInteger, nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("backend_start", Instant, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("at", Instant, nullable=False),
    _of_a_target(),
)

notes = Table(
    "notes",
    _metadata,
    _id(),
    _kill_id(),
    Column("note", Text, nullable=False),
    Column("at", Instant, nullable=False),
)

refusals = Table(
    "refusals",
    _metadata,
    _id(),
    Column("user_id", Text, nullable=False),
    Column("team_id", Text, nullable=False),
    Column("channel_id", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("at", Instant, nullable=False),
    _reference(),
)

looks = Table(
    "looks",
    _metadata,
    _id(),
    Column("user_id", Text, nullable=False),
    Column("team_id", Text, nullable=False),
    Column("channel_id", Text, nullable=False),
    Column("cluster", Text, nullable=False),
    Column("cluster_at", Instant, nullable=False),  # the cluster's clock
    Column("what", Text, nullable=False),
    Column("at", Instant, nullable=False),
    _reference(),
)

signatures = Table(
    "signatures",
    _metadata,
    Column("signature", Text, primary_key=True),
    Column("at", Instant, nullable=False),
)

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


_TABLE = re.compile(rf"\b(TABLE|INTO|FROM|ON|REFERENCES|UPDATE) ({'|'.join(_metadata.tables)})\b")
"""Where a step names a table."""


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
            f"the ledger has schema version {version}, of a later version of the bot; "
            f"this one knows {SCHEMA_VERSION}"
        )


def version_of(connection: Connection) -> int:
    """The version that a ledger has; 0 where there is none yet."""
    if not inspect(connection).has_table(ledger_version.name, _schema_of(connection)):
        return 0
    return connection.scalar(select(func.max(ledger_version.c.version))) or 0
