"""Convert PostgreSQL's rows to the domain's types. Pure."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import asyncpg

from bot.domain.blocking import LockWait, Prepared
from bot.domain.holdings import Build, Holdings, Slot
from bot.domain.sessions import (
    Backend,
    Counts,
    Database,
    Limit,
    LimitOf,
    Look,
    Names,
    Role,
    Server,
    ServerId,
)
from bot.domain.waits import Request, queued
from bot.driver import decoding

Row = asyncpg.Record | Mapping[str, Any]
"""A row by its columns: one that was read, or one that the bot has counted itself."""


class Relation(NamedTuple):
    """The oids of a database, 0 for all of them, and of a relation in it."""

    database: int
    oid: int


Relname = Callable[[Relation | None], str | None]
"""What names a relation; None if the name can't be read."""


def server_id(row: Row) -> ServerId:
    """The server that a row came from, by the columns of `now.sql`."""
    return ServerId(row["system_identifier"], row["postmaster_start_time"])


def relation_of(row: Row, oid: str = "relation") -> Relation | None:
    """The relation that a row is about, by its `database` and the column of its oid."""
    return Relation(row["database"], row[oid]) if row[oid] else None


def relations_of(rows: Iterable[Row]) -> list[Relation]:
    """All relations that these are about."""
    return [relation for row in rows if (relation := relation_of(row)) is not None]


def names_of(
    server: ServerId,
    now: datetime,
    roles: list[asyncpg.Record] | None,
    databases: list[asyncpg.Record] | None,
    last: Names | None,
) -> Names:
    """What was read; for what could not be read, the last reading of the same server.

    Unchanged parts share the memory of the last reading.
    """
    if last is None or last.server.system_identifier != server.system_identifier:
        last = Names({}, {}, now, server, stale=True)
    is_read = roles is not None and databases is not None
    names = Names(
        roles=last.roles if roles is None else _roles(roles[0]),
        databases=last.databases if databases is None else _databases(databases),
        read_at=now,
        server=server,
        stale=not is_read,
        known_at=now if is_read else last.known_at,
    )
    return names.sharing(last)


def _name(raw: bytes) -> str:
    """The name of a shared object, which may be in any database's encoding: UTF-8, or escaped."""
    return raw.decode(errors="backslashreplace")


def encoding_of(names: Names, datid: int | None) -> str:
    """The encoding of the queries that are sent to a database."""
    database = names.databases.get(datid) if datid is not None else None
    return database.encoding if database is not None else "UTF8"


def _optional(raw: bytes | None) -> str | None:
    return None if raw is None else _name(raw)


def text_of(raw: bytes | None, encoding: str) -> str | None:
    """Text in its own encoding; None for NULL."""
    return None if raw is None else decoding.read(raw, encoding)


def _roles(row: asyncpg.Record) -> dict[int, Role]:
    names = map(_name, row["rolnames"])
    columns = (row[name] for name in ("oids", "are_super", "limits", "may_end"))
    oids, are_super, limits, may_end = columns
    return dict(zip(oids, map(Role, oids, names, are_super, limits, may_end), strict=True))


def _databases(rows: list[asyncpg.Record]) -> dict[int, Database]:
    return {
        row["oid"]: Database(
            row["oid"],
            _name(row["datname"]),
            row["datconnlimit"],
            row["encoding"],
        )
        for row in rows
    }


def waits_of(rows: Iterable[Row], relname: Relname) -> dict[int, LockWait]:
    """What each session waits for, by its pid."""
    return {
        row["pid"]: LockWait(
            row["locktype"],
            row["mode"],
            row["waitstart"],
            row["relation"],
            row["transactionid"],
            relname(relation_of(row)),
            row["database"],
        )
        for row in rows
    }


def prepared_of(row: Row, names: Names) -> Prepared:
    """A prepared transaction, with the names of its owner and database if they are known."""
    owner, database = names.roles.get(row["ownerid"]), names.databases.get(row["dbid"])
    return Prepared(
        decoding.read(row["gid"], encoding_of(names, row["dbid"])),
        row["prepared"],
        owner.rolname if owner else None,
        database.datname if database else None,
    )


def look_of(cluster: str, host: str, names: Names, rows: list[asyncpg.Record]) -> Look:
    """A look, from the rows of `look.sql`; the first row always has the server."""
    first = rows[0]
    found = [row for row in rows if row["pid"] is not None]
    columns = (first[name] or () for name in ("queues", "places", "pids", "modes"))
    return Look(
        server=server_of(cluster, host, names, first),
        names=names,
        counts=Counts(
            total=first["total"],
            by_state=dict(zip(first["states"] or (), first["by_state"] or (), strict=True)),
            waiting=first["waiting"],
            hidden=first["hidden"],
            oldest_xact=first["oldest_xact"],
        ),
        waits=queued(
            map(Request, *columns),
            {row["pid"]: row["waitstart"] for row in found if row["waitstart"] is not None},
        ),
        rows=tuple(backend_of(row, names) for row in found),
    )


def server_of(cluster: str, host: str, names: Names, row: Row) -> Server:
    """The server, from a look's first row."""
    by_role = dict(zip(row["role_oids"] or (), row["role_used"] or (), strict=True))
    by_database = dict(zip(row["database_oids"] or (), row["database_used"] or (), strict=True))
    roles = [
        Limit(role.rolname, used, role.limit)
        for oid, used in by_role.items()
        if (role := names.roles.get(oid)) is not None and role.limit is not None
    ]
    databases = [
        Limit(database.datname, used, database.limit, LimitOf.DATABASE)
        for oid, used in by_database.items()
        if (database := names.databases.get(oid)) is not None and database.limit is not None
    ]
    return Server(
        cluster=cluster,
        host=host,
        id=server_id(row),
        version=version(row["server_version_num"]),
        in_recovery=row["in_recovery"],
        now=row["now"],
        max_connections=row["max_connections"],
        superuser_reserved_connections=row["superuser_reserved_connections"],
        reserved_connections=row["reserved_connections"],
        client_backends=row["client_backends"],
        logging_in=row["logging_in"],
        waiting=row["server_waiting"],
        unseen=row["unseen"],
        roles=tuple(sorted(roles, key=_pressure)),
        databases=tuple(sorted(databases, key=_pressure)),
    )


def _pressure(limit: Limit) -> tuple[bool, float, int, str]:
    share = limit.used / limit.limit if limit.limit else 1.0
    return not limit.reached, -share, -limit.used, limit.name


def version(server_version_num: int) -> str:
    """`180006` is 18.6: versions have two parts since PostgreSQL 10."""
    return f"{server_version_num // 10000}.{server_version_num % 10000}"


def backend_of(row: asyncpg.Record, names: Names) -> Backend:
    """A session; without its query and `virtualtransaction` if the row has none."""
    role = names.roles.get(row["usesysid"])
    database = names.databases.get(row["datid"])
    return Backend(
        pid=row["pid"],
        datid=row["datid"],
        datname=database.datname if database else None,
        leader_pid=row["leader_pid"],
        usesysid=row["usesysid"],
        usename=role.rolname if role else None,
        application_name=_optional(row["application_name"]),
        client_addr=row["client_addr"],
        client_hostname=_optional(row["client_hostname"]),
        client_port=row["client_port"],
        backend_start=row["backend_start"],
        xact_start=row["xact_start"],
        query_start=row["query_start"],
        state_change=row["state_change"],
        wait_event_type=row["wait_event_type"],
        wait_event=row["wait_event"],
        state=row["state"],
        backend_xid=row["backend_xid"],
        backend_xmin=row["backend_xmin"],
        query_id=row["query_id"],
        query=text_of(row.get("query"), encoding_of(names, row["datid"])),
        backend_type=row["backend_type"],
        virtualtransaction=row.get("virtualtransaction"),
    )


def holdings_of(
    rows: Iterable[asyncpg.Record], backends: Iterable[Backend], names: Names, relname: Relname
) -> Mapping[int, Holdings]:
    """What each of these backends has, by its pid; one that has nothing is left out."""
    things = [row for row in rows if row["kind"] is not None]
    found = {each.pid: _holdings(each, things, names, relname) for each in backends}
    return {pid: holdings for pid, holdings in found.items() if holdings != Holdings()}


def _holdings(
    backend: Backend, things: Iterable[asyncpg.Record], names: Names, relname: Relname
) -> Holdings:
    advisory, slots, prepared, build = 0, list[Slot](), list[str](), None
    for row in things:
        kind, is_its = row["kind"], row["pid"] == backend.pid
        if kind == "prepared":
            its_role = row["owner"] == backend.usesysid and row["database"] == backend.datid
            if its_role:
                gid = text_of(row["name"], encoding_of(names, row["database"]))
                prepared.append(gid or "")
        elif is_its and kind == "advisory":
            advisory = row["number"]
        elif is_its and kind.endswith("slot"):
            slots.append(Slot(text_of(row["name"], "UTF8") or "", kind != "slot"))
        elif is_its:
            build = Build(kind, relname(relation_of(row)))
    return Holdings(advisory=advisory, slots=tuple(slots), prepared=tuple(prepared), build=build)
