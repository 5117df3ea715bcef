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
    """

    locktype: str
    mode: str
    since: datetime | None


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


@dataclass(frozen=True, slots=True)
class Prepared:
    """A prepared transaction. It is ended by `ROLLBACK PREPARED`, in its own database."""

    gid: str
    prepared: datetime
    owner: str | None


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
        for pid, wait in self.waits.items():
            waits.setdefault(leaders.get(pid, pid), wait)
        return Locks(waits, self.prepared)


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
        """Whether it stands for the prepared transactions, which have no process."""
        return self.pid == PREPARED_TRANSACTION


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
    return Waits(blocked_by)


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
