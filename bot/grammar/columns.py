"""The columns of `pg_stat_activity`, and PostgreSQL's words for their values."""

ACTIVITY_COLUMNS: tuple[str, ...] = (
    "datid",
    "datname",
    "pid",
    "leader_pid",
    "usesysid",
    "usename",
    "application_name",
    "client_addr",
    "client_hostname",
    "client_port",
    "backend_start",
    "xact_start",
    "query_start",
    "state_change",
    "wait_event_type",
    "wait_event",
    "state",
    "backend_xid",
    "backend_xmin",
    "query_id",
    "query",
    "backend_type",
)
"""The columns of `pg_stat_activity` in PostgreSQL's order, the same 22 from version 14 to 18."""

AGES = {
    "age": "backend_start",
    "xact_age": "xact_start",
    "query_age": "query_start",
    "state_age": "state_change",
}
"""The columns that are the time since another column, by the server's clock."""

TAGS = "tags"
"""The column of query tags. A table can't be sorted by it."""

DERIVED_COLUMNS: tuple[str, ...] = ("blocked_by", *AGES, TAGS)
"""The columns that the bot adds."""

COLUMNS: tuple[str, ...] = ACTIVITY_COLUMNS + DERIVED_COLUMNS

STATES: tuple[str, ...] = (
    "active",
    "idle",
    "idle in transaction",
    "idle in transaction (aborted)",
    "fastpath function call",
    "disabled",
    "starting",
)
"""Every value of `pg_stat_activity.state` (PostgreSQL's documentation, 27.2.3); `starting`
from 18 on."""

BACKEND_TYPES: tuple[str, ...] = (
    "archiver",
    "autovacuum launcher",
    "autovacuum worker",
    "background worker",
    "background writer",
    "checkpointer",
    "client backend",
    "dead-end client backend",
    "io worker",
    "logger",
    "logical replication apply worker",
    "logical replication launcher",
    "logical replication parallel worker",
    "logical replication tablesync worker",
    "logical replication worker",
    "parallel worker",
    "slotsync worker",
    "standalone backend",
    "startup",
    "stats collector",
    "walreceiver",
    "walsender",
    "walsummarizer",
    "walwriter",
)
"""PostgreSQL's own values of `pg_stat_activity.backend_type`, 14 to 18.

From `GetBackendTypeDesc` and the names of its own background workers. An extension chooses the
names of its own workers.
"""

WAIT_EVENT_TYPES: tuple[str, ...] = (
    "Activity",
    "BufferPin",
    "Client",
    "Extension",
    "IO",
    "IPC",
    "InjectionPoint",
    "LWLock",
    "Lock",
    "Timeout",
)
"""Every value of `pg_stat_activity.wait_event_type` (PostgreSQL's documentation, table 27.4)."""
