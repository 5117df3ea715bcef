"""The ledger's tables.

Rows are added and completed, and deleted after LEDGER_KEEP. A column that starts as NULL is filled
once. There are four exceptions. `state`, `owner` and `lease_until` of a kill say who works on it
now: first on the kill, then on its second look. The marks change, and so do the leases,
alerts, and a board's `troubled_at`. And if the ledger's clock is set
back, so do the columns that depend on it: `expires_at` of open previews, which end, and
`lease_until`.

Instants are integer microseconds in UTC, in SQLite as in PostgreSQL. What people filter by has a
column; what is only read back as a whole is JSON text.
"""

import json
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    Table,
    Text,
)
from sqlalchemy.types import TypeDecorator

from bot.domain.instants import from_us, to_us

_MICROSECOND = timedelta(microseconds=1)

_metadata = MetaData()

ledger_identity = Table(
    "ledger_identity",
    _metadata,
    Column("identity", Text, primary_key=True),
)


def microseconds(span: timedelta) -> int:
    """A span as the ledger stores it."""
    return span // _MICROSECOND


class Instant(TypeDecorator[datetime]):
    """An aware datetime, stored as microseconds since 1970."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        del dialect
        return None if value is None else to_us(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        del dialect
        return None if value is None else from_us(value)


class Span(TypeDecorator[timedelta]):
    """A timedelta, stored as microseconds."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: timedelta | None, dialect: Dialect) -> int | None:
        del dialect
        return None if value is None else microseconds(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> timedelta | None:
        del dialect
        return None if value is None else timedelta(microseconds=value)


class Json(TypeDecorator[Any]):
    """Lists and dicts, stored as ASCII JSON text, so that any character of a name survives."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ANN401
        del dialect
        return None if value is None else json.dumps(value, separators=(",", ":"))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ANN401
        del dialect
        return None if value is None else json.loads(value)


def _id() -> Column[int]:
    return Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True)


def _kill_id() -> Column[int]:
    return Column("kill_id", BigInteger, ForeignKey("kills.id"), nullable=False)


def _reference() -> Column[str]:
    """Marks the request's log lines. NULL in rows made before it was stored."""
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

# One row, updated in place.
ledger_marks = Table(
    "ledger_marks",
    _metadata,
    # The oldest schema version whose bots may keep using this ledger.
    Column("serves", BigInteger, nullable=False),
    # The greatest instant that the ledger's clock is known to have shown.
    Column("latest", Instant, nullable=False),
)

kills = Table(
    "kills",
    _metadata,
    _id(),
    # bot.domain.kills.State
    Column("state", Text, nullable=False),
    # The request: what, where and by whom. Complete from the start, except for `message_ts`, which
    # comes with the claim.
    Column("cluster", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("system_identifier", BigInteger, nullable=False),
    Column("postmaster_start_time", Instant, nullable=False),
    Column("action", Text, nullable=False),  # as proposed
    Column("confirmed_action", Text),  # as confirmed: a preview may also offer to cancel
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
    # The claim.
    Column("confirmed_by", Text),
    Column("confirmed_by_team", Text),
    Column("claimed_at", Instant),
    Column("owner", Text),
    Column("lease_until", Instant),
    # Or the dismissal.
    Column("dismissed_by", Text),
    Column("dismissed_by_team", Text),
    Column("dismissed_at", Instant),
    # The conclusion.
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
    # Carried by buttons: the ledger's identity, a dash, and at least 128 random bits. NULL if an
    # older replica wrote the row beside a newer one.
    Column("key", Text),
    # The message in whose thread it was asked for; NULL for the channel itself.
    Column("thread_ts", Text),
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
    Column("reason", Text),
    Column("first_step", Text),
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
    Column("reason", Text),
    Column("first_step", Text),
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

# One row for each, from the start.
leases = Table(
    "leases",
    _metadata,
    Column("name", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("until", Instant, nullable=False),
)

# Instants by the clock of the bot that wrote them.
boards = Table(
    "boards",
    _metadata,
    _id(),
    Column("channel_id", Text, nullable=False),
    Column("message_ts", Text),  # NULL until its message is posted
    Column("cluster", Text, nullable=False),
    Column("wording", Text, nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("asked_by_team", Text, nullable=False),
    Column("since", Instant, nullable=False),
    Column("until", Instant, nullable=False),
    Column("troubled_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("ended_why", Text),  # bot.domain.boards.End
    Column("ended_by", Text),
    Column("ended_by_team", Text),
    Column("closed_at", Instant),  # when its message said that it has ended
    Column("thread_ts", Text),  # the message in whose thread it stands
)

# Instants by the clock of the bot that wrote them. What `bot.domain.alerts.Alert` has.
alerts = Table(
    "alerts",
    _metadata,
    _id(),
    Column("key", Text, nullable=False),  # as a kill's
    Column("cluster", Text, nullable=False),
    Column("finding", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("channel_id", Text, nullable=False),
    Column("message_ts", Text),  # NULL until its message is posted
    Column("state", Text, nullable=False),
    Column("since", Instant, nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("told_at", Instant, nullable=False),
    Column("told_hurt", BigInteger, nullable=False),
    Column("worst", BigInteger, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("relapses", BigInteger, nullable=False),
    Column("over_at", Instant),  # NULL again after a relapse
    Column("ended_by_kill", BigInteger),
    Column("ended_by", Text),
    Column("ended_by_team", Text),
    Column("muted_until", Instant),
    Column("muted_by", Text),
    Column("muted_by_team", Text),
    Column("news", Text),
    Column("replies", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("drawn", BigInteger, nullable=False),
)

signatures = Table(
    "signatures",
    _metadata,
    Column("signature", Text, primary_key=True),
    Column("at", Instant, nullable=False),
)
