"""Who blocks whom, as a tree: whoever waits for nobody stands at the root.

Pure. The waits are a graph, not a tree: a waiter may have several blockers, and a deadlock
that PostgreSQL is about to break is a cycle. Each backend is drawn once, under its first
blocker, and told of its others.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from bot.backends import PREPARED_TRANSACTION, Backend, Waits


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
    """The waits for locks on a server: by the waiter's pid."""

    waits: Mapping[int, LockWait] = field(default_factory=dict)
    prepared: Mapping[int, tuple[Prepared, ...]] = field(default_factory=dict)

    @property
    def all_prepared(self) -> tuple[Prepared, ...]:
        """Every prepared transaction in somebody's way, the oldest first."""
        found = {one.gid: one for several in self.prepared.values() for one in several}
        return tuple(sorted(found.values(), key=lambda one: (one.prepared, one.gid)))

    def under_leaders(self, backends: Iterable[Backend]) -> "Locks":
        """The same, with a leader's waits being those of its parallel workers too."""
        leaders = {row.pid: row.leader_pid for row in backends if row.leader_pid is not None}
        waits = dict(self.waits)
        prepared = dict(self.prepared)
        for pid, wait in self.waits.items():
            waits.setdefault(leaders.get(pid, pid), wait)
        for pid, several in self.prepared.items():
            leader = leaders.get(pid, pid)
            prepared[leader] = tuple(dict.fromkeys((*prepared.get(leader, ()), *several)))
        return Locks(waits, prepared)


@dataclass(frozen=True, slots=True)
class Branch:
    """One backend in the tree.

    `behind` is how many wait for it, or for one who does. `others` are the further
    blockers of a waiter. `in_cycle` marks where a cycle was cut open.
    """

    pid: int
    depth: int
    behind: int
    others: tuple[int, ...] = ()
    in_cycle: bool = False

    @property
    def is_root(self) -> bool:
        """Whether it is drawn under nobody."""
        return self.depth == 0

    @property
    def is_prepared(self) -> bool:
        """Whether it stands for a prepared transaction, which has no process."""
        return self.pid <= PREPARED_TRANSACTION


def under_leaders(waits: Waits, backends: Iterable[Backend]) -> Waits:
    """The same with parallel workers as their leaders: only a leader can be ended."""
    leaders = {row.pid: row.leader_pid for row in backends if row.leader_pid is not None}
    blocked_by: dict[int, tuple[int, ...]] = {}
    for waiter, blockers in waits.blocked_by.items():
        leader = leaders.get(waiter, waiter)
        mine = dict.fromkeys((*blocked_by.get(leader, ()), *(leaders.get(b, b) for b in blockers)))
        mine.pop(leader, None)
        if mine:
            blocked_by[leader] = tuple(mine)
    return Waits(blocked_by, waits.since)


def one_by_one(waits: Waits, locks: Locks) -> tuple[Waits, dict[int, Prepared]]:
    """The same with each prepared transaction by itself, under a number below 0 of its own.

    0 stays where PostgreSQL named one that could not be found.
    """
    numbered = dict(enumerate(locks.all_prepared, start=1))
    numbers = {one.gid: -number for number, one in numbered.items()}

    def named(waiter: int, blocker: int) -> tuple[int, ...]:
        if blocker != PREPARED_TRANSACTION:
            return (blocker,)
        found = (numbers[one.gid] for one in locks.prepared.get(waiter, ()))
        return tuple(found) or (PREPARED_TRANSACTION,)

    blocked_by = {
        waiter: tuple(each for blocker in blockers for each in named(waiter, blocker))
        for waiter, blockers in waits.blocked_by.items()
    }
    return Waits(blocked_by, waits.since), {-number: one for number, one in numbered.items()}


def around(waits: Waits, pid: int) -> Waits:
    """The part of it that one backend is in: whom it waits for, and who waits behind it."""
    before: set[int] = set()
    todo = [pid]
    while todo:
        for blocker in waits.blocked_by.get(todo.pop(), ()):
            if blocker not in before:
                before.add(blocker)
                todo.append(blocker)
    part = {pid, *before, *waits.behind([pid])}
    return Waits(
        {
            waiter: tuple(blocker for blocker in blockers if blocker in part)
            for waiter, blockers in waits.blocked_by.items()
            if waiter in part and not part.isdisjoint(blockers)
        }
    )


def worst_first(rows: Iterable[Backend], waits: Waits) -> tuple[Backend, ...]:
    """Those who hold up others first, by how many; whoever waits for nobody before who does.

    The others stay in their order.
    """
    everyone = tuple(rows)
    behind = {row.pid: len(waits.behind([row.pid])) for row in everyone}

    def rank(row: Backend) -> tuple[bool, bool, int]:
        holds_up = behind[row.pid]
        return not holds_up, bool(holds_up and row.pid in waits.blocked_by), -holds_up

    return tuple(sorted(everyone, key=rank))


def tree(waits: Waits) -> tuple[Branch, ...]:
    """The tree from its roots down, whoever holds up most first; each pid once."""
    everyone = {*waits.blocked_by, *(b for many in waits.blocked_by.values() for b in many)}
    behind = {pid: len(waits.behind([pid])) for pid in everyone}
    drawn: set[int] = set()

    def walk(pid: int, depth: int, under: int | None, *, in_cycle: bool) -> Iterator[Branch]:
        todo = [(pid, depth, under, in_cycle)]
        while todo:
            at, level, parent, cut = todo.pop()
            if at in drawn:
                continue
            drawn.add(at)
            others = tuple(b for b in waits.blocked_by.get(at, ()) if b != parent)
            yield Branch(at, level, behind[at], others, cut)
            waiting = sorted(waits.waiters_of(at), key=lambda w: (-behind[w], w), reverse=True)
            todo += ((waiter, level + 1, at, False) for waiter in waiting)

    branches: list[Branch] = []
    by_weight = sorted(everyone, key=lambda pid: (-behind[pid], pid))
    for pid in by_weight:
        if pid not in waits.blocked_by:
            branches += walk(pid, 0, None, in_cycle=False)
    for pid in by_weight:
        # What no root leads to goes round in a circle.
        if pid not in drawn:
            branches += walk(pid, 0, None, in_cycle=True)
    return tuple(branches)
