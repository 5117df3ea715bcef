"""What a preview's sessions have besides their transactions, from the statement's rows."""

from collections.abc import Iterable, Mapping, Sequence

import asyncpg

from bot.domain.holdings import Build, Holdings, Slot
from bot.domain.sessions import Backend, Names
from bot.postgres.rows import Relname, encoding_of, relation_of, text_of

MOST_PREPARED = 50
"""How many prepared transactions are read, the oldest first."""


def parameters(backends: Sequence[Backend]) -> tuple[list[int], list[int], int]:
    """Those of `queries/holdings.sql`."""
    pids = [backend.pid for backend in backends]
    owners = {backend.usesysid for backend in backends if backend.usesysid is not None}
    return pids, sorted(owners), MOST_PREPARED


def holdings_of(
    rows: Iterable[asyncpg.Record], backends: Iterable[Backend], names: Names, relname: Relname
) -> Mapping[int, Holdings]:
    """What each of these backends has, by its pid; one that has nothing is left out."""
    things = [row for row in rows if row["kind"] is not None]
    found = {each.pid: _of(each, things, names, relname) for each in backends}
    return {pid: holdings for pid, holdings in found.items() if holdings != Holdings()}


def _of(
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
