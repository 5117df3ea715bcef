"""Who blocks whom, as a tree: whoever waits for nobody stands at the root.

Pure. The waits are a graph, not a tree: a waiter may have several blockers, and a deadlock
that PostgreSQL is about to break is a cycle. Each backend is drawn once, under its first
blocker, and told of its others.
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
    """What a backend waits for; `since` is None where PostgreSQL has not noted it yet.

    `waitstart` of `pg_locks` is set a little after the wait begins, from PostgreSQL 14 on.
    `relname` as in `HeldLock`.
    """

    locktype: str
    mode: str
    since: datetime | None
    relation: int | None = None
    transactionid: str | None = None
    relname: str | None = None

    @property
    def on(self) -> str:
        """What it is on: `public.accounts`, `tuple of relation 16385`, `transactionid 768`."""
        return _locked(self.locktype, self.relation, self.relname, self.transactionid)


@dataclass(frozen=True, slots=True)
class HeldLock:
    """A lock of one backend, held or (not `granted`) waited for; oids as `pg_locks` has them.

    `relname` is the relation's name with its schema, None where it can't be read: each
    database keeps its own, and the bot is connected to one.
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
        """What it is on, as `LockWait.on`."""
        return _locked(self.locktype, self.relation, self.relname, None)


def _locked(
    locktype: str, relation: int | None, relname: str | None, transactionid: str | None
) -> str:
    if relation is not None:
        name = relname or f"relation {relation}"
        return name if locktype == "relation" else f"{locktype} of {name}"
    return f"{locktype} {transactionid}" if transactionid is not None else locktype


@dataclass(frozen=True, slots=True)
class Prepared:
    """A prepared transaction. It is ended by `ROLLBACK PREPARED`, in its own database."""

    gid: str
    prepared: datetime
    owner: str | None
    datname: str | None = None


@dataclass(frozen=True, slots=True)
class Locks:
    """What the sessions of a server wait for, by pid; and its prepared transactions, by -xid."""

    waits: Mapping[int, LockWait] = field(default_factory=dict)
    prepared: Mapping[int, Prepared] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Branch:
    """One backend in the tree.

    `behind` is how many wait for it, or for one who does. `others` are the first few further
    blockers of a waiter, and `more` how many there are besides. `in_cycle` marks where a cycle
    was cut open.
    """

    pid: int
    depth: int
    behind: int
    others: tuple[int, ...] = ()
    more: int = 0
    in_cycle: bool = False

    @property
    def is_root(self) -> bool:
        """Whether it is drawn under nobody."""
        return self.depth == 0

    @property
    def is_prepared(self) -> bool:
        """Whether it stands for a prepared transaction, which has no process."""
        return self.pid <= 0


def worst_first(rows: Iterable[Backend], waits: Waits) -> tuple[Backend, ...]:
    """Those who hold up others first, by how many; whoever waits for nobody before who does.

    The others stay in their order.
    """

    def rank(row: Backend) -> tuple[bool, bool, int]:
        holds_up = waits.holds_up(row.pid)
        return not holds_up, bool(holds_up and row.pid in waits.blocked_by), -holds_up

    return tuple(sorted(rows, key=rank))


def tree(waits: Waits) -> tuple[Branch, ...]:
    """The tree from its roots down, whoever holds up most first; each pid once."""
    by_weight = sorted(waits.pids, key=lambda pid: (-waits.holds_up(pid), pid))
    drawn: set[int] = set()
    branches: list[Branch] = []
    for root in (pid for pid in by_weight if pid not in waits.blocked_by):
        branches += _grown(root, waits, drawn, in_cycle=False)
    for root in by_weight:
        # What no root leads to goes round in a circle.
        if root not in drawn:
            branches += _grown(root, waits, drawn, in_cycle=True)
    return tuple(branches)


def _grown(root: int, waits: Waits, drawn: set[int], *, in_cycle: bool) -> Iterator[Branch]:
    """One root and all behind it that is not drawn yet."""
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
        # What is put there last is drawn next.
        waiting = sorted(waiters.get(pid, ()), key=lambda w: (waits.holds_up(w), -w))
        todo += ((waiter, depth + 1) for waiter in waiting)
