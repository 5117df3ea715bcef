"""A PostgreSQL that sees what a test says, for the statements of `bot.postgres`.

It has a few functions that hide the system's own ones with the same names: they return the scene's
sessions and a fixed time, and record a signal instead of sending it. The rest is PostgreSQL's: its
NULLs, its types, its order of evaluation. So a test can ask a statement about a session at the
exact microsecond of its deadline, or about one whose type is hidden though its start isn't; and it
can do so a thousand times. Other tests show what the statements do to real sessions.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

NOW = datetime(2026, 1, 31, 12, 0, 1, tzinfo=UTC)
"""The time on its clock unless a scene says otherwise."""

SCHEMA = """
    drop schema if exists rehearsal cascade;
    create schema rehearsal;

    create table rehearsal.activity as select * from pg_stat_get_activity(null) limit 0;

    create function rehearsal.pg_stat_get_activity(int) returns setof rehearsal.activity
    language sql as $$
        select *
        from jsonb_populate_recordset(
            null::rehearsal.activity, current_setting('rehearsal.sessions')::jsonb
        )
        where $1 is null or $1 = -1 or pid = $1
    $$;

    create function rehearsal.clock_timestamp() returns timestamptz
    language sql as $$ select current_setting('rehearsal.now')::timestamptz $$;

    create function rehearsal.note(text, int) returns void
    language sql as $$
        select set_config(
            'rehearsal.notes', concat(current_setting('rehearsal.notes'), $1, ' ', $2, '; '), false
        )
    $$;

    create function rehearsal.pg_terminate_backend(int) returns boolean
    language plpgsql as $$ begin
        perform rehearsal.note('terminate', $1);
        return current_setting('rehearsal.is_there')::boolean;
    end $$;

    create function rehearsal.pg_cancel_backend(int) returns boolean
    language plpgsql as $$ begin
        perform rehearsal.note('cancel', $1);
        return current_setting('rehearsal.is_there')::boolean;
    end $$;

    create function rehearsal.pg_blocking_pids(int) returns int[]
    language plpgsql as $$ begin
        perform rehearsal.note('who blocks', $1);
        return array(
            select jsonb_array_elements_text(
                current_setting('rehearsal.blockers')::jsonb -> $1::text
            )::int
        );
    end $$;

    create function rehearsal.pg_safe_snapshot_blocking_pids(int) returns int[]
    language plpgsql as $$ begin
        perform rehearsal.note('whose snapshot blocks', $1);
        return array(
            select jsonb_array_elements_text(
                current_setting('rehearsal.blockers')::jsonb -> $1::text
            )::int
        );
    end $$;

    create function rehearsal.pg_lock_status(
        out pid int, out locktype text, out granted boolean, out virtualtransaction text
    ) returns setof record
    language sql as $$
        select *
        from jsonb_to_recordset(current_setting('rehearsal.locks')::jsonb)
            as lock (pid int, locktype text, granted boolean, virtualtransaction text)
    $$;

    set search_path = rehearsal, pg_catalog;
    set jit = off;
"""

SESSION: dict[str, Any] = {
    "pid": 100,
    "datid": 5,
    "usesysid": 20,
    "application_name": "psql",
    "client_addr": "10.1.2.3",
    "backend_start": NOW - timedelta(hours=2),
    "xact_start": NOW - timedelta(minutes=30),
    "query_start": NOW - timedelta(minutes=20),
    "state_change": NOW - timedelta(minutes=10),
    "state": "idle in transaction",
    "wait_event_type": "Client",
    "wait_event": "ClientRead",
    "backend_xid": 742,
    "backend_type": "client backend",
}


def session(**changes: Any) -> dict[str, Any]:
    """One session, as `pg_stat_get_activity` would show it."""
    return {**SESSION, **changes}


@dataclass(frozen=True)
class Scene:
    """What PostgreSQL sees. `blockers`: for each waiting pid, those that it waits for."""

    sessions: tuple[dict[str, Any], ...] = (SESSION,)
    now: datetime = NOW
    blockers: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    locks: tuple[dict[str, Any], ...] = ()
    is_there: bool = True  # whether the signalled backend still exists


@dataclass(frozen=True)
class Seen:
    """The result of a statement: its rows or the error, and what it set off."""

    rows: tuple[tuple[Any, ...], ...] | str
    notes: str


async def play(
    stage: asyncpg.Connection, scene: Scene, statement: str, parameters: Iterable[Any]
) -> Seen:
    await stage.fetch(
        """
        select set_config('rehearsal.sessions', $1, false), set_config('rehearsal.now', $2, false),
               set_config('rehearsal.blockers', $3, false),
               set_config('rehearsal.locks', $5, false),
               set_config('rehearsal.is_there', $4, false), set_config('rehearsal.notes', '', false)
        """,
        json.dumps(scene.sessions, default=str),
        str(scene.now),
        json.dumps(scene.blockers),
        str(scene.is_there),
        json.dumps(scene.locks),
    )
    rows: tuple[tuple[Any, ...], ...] | str
    try:
        rows = tuple(tuple(row) for row in await stage.fetch(statement, *parameters))
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        rows = type(error).__name__
    return Seen(rows, await stage.fetchval("select current_setting('rehearsal.notes')"))
