"""Who blocks whom, as a tree: a root is a session that waits for nobody.

Pure. The waits form a graph, not a tree: a waiter may have several blockers, and a deadlock that
PostgreSQL is about to break is a cycle. Each backend is drawn once, under its first blocker, with
its other blockers named beside it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from bot.domain.sessions import Backend
from bot.domain.waits import Waits

_OTHERS = 3
"""How many of a waiter's further blockers are named."""


@dataclass(frozen=True, slots=True)
class LockWait:
    """What a backend waits for; `since` is None if PostgreSQL has not recorded it yet.

    PostgreSQL (from 14 on) sets `pg_locks.waitstart` a little after the wait begins. `relname` is
    as in `HeldLock`. Databases made from one template have relations with the same oid and name.
    """

    locktype: str
    mode: str
    since: datetime | None
    relation: int | None = None
    transactionid: str | None = None
    relname: str | None = None
    database: int | None = None

    @property
    def on(self) -> str:
        """The locked object: `public.accounts`, `tuple of relation 16385`, `transactionid 768`."""
        return _locked(self.locktype, self.relation, self.relname, self.transactionid)


@dataclass(frozen=True, slots=True)
class HeldLock:
    """One backend's lock, held or (if not `granted`) waited for; oids as in `pg_locks`.

    `relname` is the relation's name with its schema, or None if it can't be read: each database
    keeps its own names, and the bot is connected to one database.
    """

    locktype: str
    mode: str
    granted: bool
    database: int | None
    relation: int | None
    since: datetime | None
    relname: str | None = None

    @property
    def on(self) -> str:
        """The locked object, as in `LockWait.on`."""
        return _locked(self.locktype, self.relation, self.relname, None)


def _locked(
    locktype: str, relation: int | None, relname: str | None, transactionid: str | None
) -> str:
    if relation is not None:
        name = relname or f"relation {relation}"
        return name if locktype == "relation" else f"{locktype} of {name}"
    if locktype == "advisory":
        return "advisory lock"
    return f"{locktype} {transactionid}" if transactionid is not None else locktype


@dataclass(frozen=True, slots=True)
class Prepared:
    """A prepared transaction. `ROLLBACK PREPARED` in its own database ends it."""

    gid: str
    prepared: datetime
    owner: str | None
    datname: str | None = None


@dataclass(frozen=True, slots=True)
class Locks:
    """What a server's sessions wait for, by pid, and its prepared transactions, by -xid."""

    waits: Mapping[int, LockWait] = field(default_factory=dict)
    prepared: Mapping[int, Prepared] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Branch:
    """One backend in the tree.

    `behind` is how many wait for it, directly or through others. `others` are the first few further
    blockers of a waiter, and `more` is how many there are besides. `in_cycle` marks the place where
    a cycle was cut open.
    """

    pid: int
    depth: int
    behind: int
    others: tuple[int, ...] = ()
    more: int = 0
    in_cycle: bool = False

    @property
    def is_root(self) -> bool:
        return self.depth == 0

    @property
    def is_prepared(self) -> bool:
        """Whether it stands for a prepared transaction, which has no process."""
        return self.pid <= 0


def worst_first(rows: Iterable[Backend], waits: Waits) -> tuple[Backend, ...]:
    """Those who hold up most sessions first; among equals, those who wait for nobody first.

    Sessions that hold up nobody keep their order.
    """

    def rank(row: Backend) -> tuple[bool, bool, int]:
        holds_up = waits.holds_up(row.pid)
        return not holds_up, bool(holds_up and row.pid in waits.blocked_by), -holds_up

    return tuple(sorted(rows, key=rank))


def tree(waits: Waits) -> tuple[Branch, ...]:
    """The tree from its roots down, those who hold up most first; each pid once."""
    by_weight = sorted(waits.pids, key=lambda pid: (-waits.holds_up(pid), pid))
    drawn: set[int] = set()
    branches: list[Branch] = []
    for root in (pid for pid in by_weight if pid not in waits.blocked_by):
        branches += _grown(root, waits, drawn, in_cycle=False)
    for root in by_weight:
        # Whatever no root leads to is in a cycle.
        if root not in drawn:
            branches += _grown(root, waits, drawn, in_cycle=True)
    return tuple(branches)


def _grown(root: int, waits: Waits, drawn: set[int], *, in_cycle: bool) -> Iterator[Branch]:
    """One root, and everything behind it that is not drawn yet."""
    under: dict[int, int | None] = {root: None}
    waiters: dict[int, list[int]] = {}
    for waiter, blocker in waits.walk([root], drawn):
        under[waiter] = blocker
        waiters.setdefault(blocker, []).append(waiter)
    todo = [(root, 0)]
    while todo:
        pid, depth = todo.pop()
        first, number = waits.blockers_of(pid)
        others = tuple(blocker for blocker in first if blocker != under[pid])[:_OTHERS]
        more = number - len(others) - (pid != root)
        yield Branch(pid, depth, waits.holds_up(pid), others, more, in_cycle and pid == root)
        # The last one in this list is drawn next.
        waiting = sorted(waiters.get(pid, ()), key=lambda w: (waits.holds_up(w), -w))
        todo += ((waiter, depth + 1) for waiter in waiting)
