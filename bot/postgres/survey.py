"""What a diagnosis needs besides a look, part by part: unread parts are reported, never guessed.

The parts are read one after the other over one connection. If one waits for somebody's lock, the
server itself ends it after `lock_timeout` (`bot.postgres.bounded`).
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import timedelta
from typing import Any

import asyncpg
import structlog

from bot.domain.blocking import HeldLock, Locks
from bot.domain.findings.survey import (
    Group,
    Held,
    Holder,
    IndexBuild,
    LoginDatabase,
    LoginFacts,
    Part,
    Survey,
    Unread,
)
from bot.domain.sessions import Look
from bot.driver import Connection
from bot.postgres import queries
from bot.postgres.rows import (
    Relation,
    Relname,
    Row,
    prepared_of,
    relation_of,
    relations_of,
    text_of,
    waits_of,
)

log = structlog.get_logger(__name__)

MOST_HOLDERS = 50
MOST_BUILDS = 20
MOST_GROUPS = 50
MOST_IDLE = 100
"""Rows of each part, and sessions whose locks are read."""

LOCKS_EACH = 5
"""How many locks of one session are read."""

_IF_ANY = frozenset({Part.LOCKS, Part.TRANSACTIONS, Part.INDEXES})
"""Parts that aren't asked for if the look shows that there is nothing of them."""

TOO_LATE = "there was no time left to read it"
LOCKED = "a catalog that it needs is locked"
TOO_SLOW = "PostgreSQL took too long"
REFUSED = "the bot's role may not read it"


@dataclass(slots=True)
class Reading:
    """The parts as they arrive. `until` is on the event loop's clock.

    `login` and `role` as in `bot.ports.Cluster.survey`. Locks are read of sessions that are idle in
    their transactions for at least `idle_for`.
    """

    look: Look
    until: float
    _: KW_ONLY
    login: bool = False
    role: int | None = None
    idle_for: timedelta = timedelta(0)
    rows: dict[Part, Sequence[Row]] = field(default_factory=dict)
    unread: dict[Part, str] = field(default_factory=dict)

    def statements(self) -> Mapping[Part, tuple[str, tuple[Any, ...]]]:
        """Each part's statement and parameters, the most informative first."""
        wanted: dict[Part, tuple[str, tuple[Any, ...]]] = {}
        if waits := self.look.waits.blocked_by:
            wanted[Part.LOCKS] = ("locks", ())
        wanted[Part.PREPARED] = ("prepared", ())
        if self.login:
            wanted[Part.LOGIN] = ("login", (self.role,))
        wanted[Part.HORIZON] = ("horizon", (MOST_HOLDERS,))
        if idle := self._idle():
            wanted[Part.TRANSACTIONS] = ("held", (idle, LOCKS_EACH))
        if waits:
            wanted[Part.INDEXES] = ("builds", (MOST_BUILDS,))
        wanted[Part.SLOTS] = ("slots", (MOST_HOLDERS,))
        wanted[Part.GROUPS] = ("groups", (MOST_GROUPS,))
        return wanted

    def _idle(self) -> list[int]:
        """The sessions whose locks are read."""
        now = self.look.server.now
        ages = (
            (row.pid, row.state_age(now)) for row in self.look.rows if row.is_idle_in_transaction
        )
        return [pid for pid, age in ages if age is None or age >= self.idle_for][:MOST_IDLE]

    async def read(self, connection: Connection) -> None:
        """Read what has not been read yet. Raises errors that end the connection."""
        for part, (name, parameters) in self.statements().items():
            if part in self.rows or part in self.unread:
                continue
            if asyncio.get_running_loop().time() >= self.until:
                self.unread[part] = TOO_LATE
                continue
            try:
                self.rows[part] = await connection.fetch(queries.get(name), *parameters)
            except asyncpg.LockNotAvailableError:
                self.unread[part] = LOCKED
            except asyncpg.QueryCanceledError:
                self.unread[part] = TOO_SLOW
            except asyncpg.InsufficientPrivilegeError:
                self.unread[part] = REFUSED

    def give_up(self, why: str) -> None:
        """Record for everything unread why it wasn't read."""
        for part in self.statements():
            if part not in self.rows:
                self.unread.setdefault(part, why)

    def survey(self, relname: Relname) -> Survey:
        """Everything that was read, for the rules."""
        names = self.look.names
        prepared = self.rows.get(Part.PREPARED, [])
        of_prepared = {row["pid"]: prepared_of(row, names) for row in prepared}
        held: dict[int, list[HeldLock]] = {}
        if Part.TRANSACTIONS in self.rows:
            held = {pid: [] for pid in self._idle()}
        for row in self.rows.get(Part.TRANSACTIONS, []):
            lock = HeldLock(
                row["locktype"],
                row["mode"],
                True,
                row["database"],
                row["relation"],
                None,
                relname(relation_of(row)),
            )
            held[row["pid"]].append(lock)
        nothing = _IF_ANY - self.statements().keys()
        return Survey(
            look=self.look,
            locks=Locks(waits_of(self.rows.get(Part.LOCKS, []), relname), of_prepared),
            held={pid: tuple(each) for pid, each in held.items()},
            holders=self._holders(),
            builds=tuple(self._builds(relname)),
            groups=tuple(self._groups()),
            login=self._login(),
            looked_at=frozenset({Part.SESSIONS, Part.LIMITS, *nothing, *self.rows}),
            unread=tuple(Unread(part, why) for part, why in self.unread.items()),
        )

    def _datname(self, datid: int | None) -> str | None:
        database = self.look.names.databases.get(datid or 0)
        return None if database is None else database.datname

    def _holders(self) -> tuple[Held, ...]:
        names = self.look.names
        found = []
        for row in self.rows.get(Part.HORIZON, []):
            # One with a database is a logical consumer's, and has a snapshot of its own.
            is_standby = row["backend_type"] == "walsender" and row["datid"] is None
            name = text_of(row["application_name"], "UTF8") if is_standby else ""
            found.append(
                Held(
                    kind=Holder.STANDBY if is_standby else Holder.SESSION,
                    xids=row["xids"],
                    since=row["xact_start"],
                    name=name or "",
                    pid=row["pid"],
                    client_addr=row["client_addr"] if is_standby else None,
                    datname=self._datname(row["datid"]),
                )
            )
        for row in self.rows.get(Part.PREPARED, []):
            prepared = prepared_of(row, names)
            found.append(
                Held(
                    kind=Holder.PREPARED,
                    xids=row["xids"],
                    since=prepared.prepared,
                    name=prepared.gid,
                    datname=prepared.datname,
                    usename=prepared.owner,
                )
            )
        for row in self.rows.get(Part.SLOTS, []):
            xids, catalog = row["xids"] or 0, row["catalog_xids"] or 0
            found.append(
                Held(
                    kind=Holder.SLOT,
                    xids=max(xids, catalog),
                    since=None if row["is_copy"] else row["inactive_since"],
                    name=row["slot_name"],
                    datname=self._datname(row["datoid"]),
                    active=row["active"],
                    wal_status=row["wal_status"],
                    catalog_only=xids < catalog,
                    physical=row["slot_type"] == "physical",
                    is_copy=row["is_copy"],
                    failover=row["failover"],
                )
            )
        return tuple(sorted(found, key=_rank))

    def _builds(self, relname: Relname) -> list[IndexBuild]:
        return [
            IndexBuild(
                pid=row["pid"],
                command=row["command"],
                phase=row["phase"] or "",
                lockers_done=row["lockers_done"] or 0,
                lockers_total=row["lockers_total"] or 0,
                current_locker_pid=row["current_locker_pid"] or None,
                relname=relname(relation_of(row, "relid")),
                index_relname=relname(relation_of(row, "index_relid")),
            )
            for row in self.rows.get(Part.INDEXES, [])
            if row["command"] is not None
        ]

    def _groups(self) -> list[Group]:
        roles = self.look.names.roles
        return [
            Group(
                text_of(row["application_name"], "UTF8") or "",
                role.rolname if (role := roles.get(row["usesysid"])) is not None else None,
                row["state"],
                row["sessions"],
            )
            for row in self.rows.get(Part.GROUPS, [])
        ]

    def _login(self) -> LoginFacts | None:
        for row in self.rows.get(Part.LOGIN, []):
            role = self.look.names.roles.get(self.role or 0)
            columns = (row[name] for name in ("oids", "allowed", "limits", "connects"))
            databases = (
                LoginDatabase(datname, allowed, limit, connects)
                for oid, allowed, limit, connects in zip(*columns, strict=True)
                if (datname := self._datname(oid)) is not None
            )
            return LoginFacts(
                rolname=role.rolname if role is not None else "",
                rolcanlogin=row["rolcanlogin"] is not False,
                rolvaliduntil=row["rolvaliduntil"],
                rolsuper=bool(row["rolsuper"]),
                databases=tuple(databases),
            )
        return None


def relations_in(reading: Reading) -> list[Relation]:
    """Every relation that was read about, whose names must be read."""
    rows = [row for part in (Part.LOCKS, Part.TRANSACTIONS) for row in reading.rows.get(part, [])]
    built = (
        relation_of(row, oid)
        for row in reading.rows.get(Part.INDEXES, [])
        for oid in ("relid", "index_relid")
    )
    return [*relations_of(rows), *filter(None, built)]


def _rank(held: Held) -> tuple[int, str, bool, float, str]:
    """The furthest behind first; the oldest of those that are equally far."""
    since = 0.0 if held.since is None else held.since.timestamp()
    return -held.xids, held.kind, held.physical, since, held.name
