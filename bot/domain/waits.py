"""Who waits for whom. Pure.

In the queue of one lock, each session waits for all those before it. For n sessions that makes
n * n / 2 pairs: two million for a queue of 2,000. So a queue is kept as a chain of places. Each
place stands for its own session and for the place before it, and everything here takes time
proportional to the number of sessions.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, reduce
from itertools import count, groupby
from operator import itemgetter, or_
from typing import NamedTuple

FIRST_PLACE = 1 << 40
"""A number in `Waits.blocked_by` below this is a pid; from here on it is a place in a queue."""

FIRST_BLOCKERS = 10
"""How many of a session's blockers are named; more are counted."""

_CONFLICTS: Mapping[int, tuple[int, ...]] = {
    1: (8,),
    2: (7, 8),
    3: (5, 6, 7, 8),
    4: (4, 5, 6, 7, 8),
    5: (3, 4, 6, 7, 8),
    6: (3, 4, 5, 6, 7, 8),
    7: (2, 3, 4, 5, 6, 7, 8),
    8: (1, 2, 3, 4, 5, 6, 7, 8),
}
"""The lock modes that conflict with each mode, from AccessShareLock (1) to AccessExclusiveLock (8).

Table 13.2 in https://www.postgresql.org/docs/current/explicit-locking.html."""


class Request(NamedTuple):
    """A lock that a session holds in others' way (place 0), or waits for.

    `pid` is its parallel group's leader, or -xid for a prepared transaction; `mode` from 1
    (AccessShareLock) to 8 (AccessExclusiveLock).
    """

    queue: int
    place: int
    pid: int
    mode: int


class Blockers(NamedTuple):
    """Whom a session waits for: the first few (lock holders first), and how many in all."""

    first: tuple[int, ...]
    number: int


NO_BLOCKERS = Blockers((), 0)


@dataclass(frozen=True)
class Waits:
    """Who waits for whom: each waiter's pid, and the pids that it waits for.

    A blocker holds the lock or stands before the waiter in its queue. A negative number is a
    prepared transaction, which has no process; 0 is one that could not be found. Numbers from
    `FIRST_PLACE` on are places in queues, both as waiters and as blockers. `since` says when a wait
    began (`pg_locks.waitstart`), for the sessions that were asked for; it lacks a session while
    PostgreSQL has not recorded its start yet.
    """

    blocked_by: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    since: Mapping[int, datetime] = field(default_factory=dict)

    @cached_property
    def pids(self) -> frozenset[int]:
        """Everyone who waits or is waited for."""
        blocked_by = self.blocked_by
        both = {*blocked_by, *(blocker for several in blocked_by.values() for blocker in several)}
        return frozenset(pid for pid in both if pid < FIRST_PLACE)

    def blockers_of(self, pid: int) -> Blockers:
        blocked_by = self.blocked_by.get(pid)
        if not blocked_by:
            return NO_BLOCKERS
        first: dict[int, None] = {}
        everyone = 0
        for blocker in blocked_by:
            few, all_of_it = self._standing_for[blocker]
            first.update(dict.fromkeys(few))
            everyone |= all_of_it
        return Blockers(tuple(first)[:FIRST_BLOCKERS], everyone.bit_count())

    def behind(self, pids: Iterable[int]) -> frozenset[int]:
        """Everyone who waits for one of these, directly or through others, except these."""
        return frozenset(waiter for waiter, _ in self.walk(pids, set()))

    def holds_up(self, pid: int) -> int:
        """How many are `behind` this one."""
        return self._held_up.get(pid, 0)

    def walk(self, pids: Iterable[int], seen: set[int]) -> Iterator[tuple[int, int]]:
        """Everyone behind these, nearest first, each with the one that it waits for.

        Skips everyone in `seen`, and adds everyone it visits.
        """
        todo = deque(pids)
        seen.update(todo)
        while todo:
            under = todo.popleft()
            here = [under]
            while here:
                for waiter in self._waiters.get(here.pop(), ()):
                    if waiter in seen:
                        continue
                    seen.add(waiter)
                    if waiter < FIRST_PLACE:
                        yield waiter, under
                        todo.append(waiter)
                    else:
                        here.append(waiter)

    def freed_by(self, pids: Iterable[int]) -> frozenset[int]:
        """The waiters behind these whose every blocker is one of these or is itself freed."""
        gone = set(pids)
        freed: set[int] = set()
        left: dict[int, int] = {}  # each waiter's blockers that are still in its way
        todo = list(gone)
        while todo:
            for waiter in self._waiters.get(todo.pop(), ()):
                if waiter in gone:
                    continue
                left[waiter] = left.get(waiter, len(self.blocked_by[waiter])) - 1
                if not left[waiter]:
                    freed.add(waiter)
                    todo.append(waiter)
        return frozenset(pid for pid in freed if pid < FIRST_PLACE)

    def around(self, pid: int) -> "Waits":
        """The part that one session is in: whom it waits for, and who waits behind it."""
        part = {pid}
        todo = [pid]
        while todo:
            for blocker in self.blocked_by.get(todo.pop(), ()):
                if blocker not in part:
                    part.add(blocker)
                    todo.append(blocker)
        part |= self.behind([pid])
        part = {each for each in part if each < FIRST_PLACE}
        kept: dict[int, tuple[int, ...]] = {}
        waiters = (waiter for waiter in self.blocked_by if waiter in part)
        for each in (*self._places, *waiters):
            blockers = tuple(b for b in self.blocked_by[each] if b in part or b in kept)
            if blockers:
                kept[each] = blockers
        return Waits(kept)

    @cached_property
    def _places(self) -> list[int]:
        """The places in queues, each after those that it stands for."""
        return sorted(each for each in self.blocked_by if each >= FIRST_PLACE)

    @cached_property
    def _waiters(self) -> dict[int, list[int]]:
        waiters: dict[int, list[int]] = {}
        for waiter, blockers in self.blocked_by.items():
            for blocker in blockers:
                waiters.setdefault(blocker, []).append(waiter)
        return waiters

    @cached_property
    def _bits(self) -> dict[int, int]:
        """One bit for each pid, so that a set of sessions is an integer and a union is fast."""
        return {pid: 1 << at for at, pid in enumerate(self.pids)}

    @cached_property
    def _standing_for(self) -> dict[int, tuple[tuple[int, ...], int]]:
        """Whom a pid or a place stands for: the first few, and the bits of all."""
        meaning: dict[int, tuple[tuple[int, ...], int]] = {
            pid: ((pid,), bit) for pid, bit in self._bits.items()
        }
        for place in self._places:
            parts = [meaning[each] for each in self.blocked_by[place]]
            first = dict.fromkeys(pid for few, _ in parts for pid in few)
            everyone = reduce(or_, (bits for _, bits in parts))
            meaning[place] = (tuple(first)[:FIRST_BLOCKERS], everyone)
        return meaning

    @cached_property
    def _held_up(self) -> dict[int, int]:
        """How many wait behind each."""
        circles = list(_circles(self.blocked_by))
        circle_of = {each: at for at, circle in enumerate(circles) for each in circle}
        behind = [reduce(or_, (self._bits.get(each, 0) for each in c)) for c in circles]
        for at in reversed(range(len(circles))):
            for waiter in circles[at]:
                for blocker in self.blocked_by.get(waiter, ()):
                    behind[circle_of[blocker]] |= behind[at]
        return {pid: behind[circle_of[pid]].bit_count() - 1 for pid in self._bits}


def _circles(blocked_by: Mapping[int, tuple[int, ...]]) -> Iterator[list[int]]:
    """The groups that wait for each other (most have one member), each after those it waits for.

    Tarjan's strongly connected components, without recursion.
    """
    met: dict[int, int] = {}
    lowest: dict[int, int] = {}
    done: set[int] = set()
    open_ones: list[int] = []
    for start in blocked_by:
        path = [] if start in met else [(start, iter(blocked_by[start]))]
        while path:
            at, blockers = path[-1]
            if at not in met:
                met[at] = lowest[at] = len(met)
                open_ones.append(at)
            for blocker in blockers:
                if blocker not in met:
                    path.append((blocker, iter(blocked_by.get(blocker, ()))))
                    break
                if blocker not in done:
                    lowest[at] = min(lowest[at], met[blocker])
            else:
                path.pop()
                if path:
                    under = path[-1][0]
                    lowest[under] = min(lowest[under], lowest[at])
                if lowest[at] == met[at]:
                    circle = [open_ones.pop()]
                    while circle[-1] != at:
                        circle.append(open_ones.pop())
                    done.update(circle)
                    yield circle


def queued(requests: Iterable[Request], since: Mapping[int, datetime]) -> Waits:
    """Who waits for whom, from all locks that somebody waits for, sorted by queue and place."""
    blocked_by: dict[int, tuple[int, ...]] = {}
    places = count(FIRST_PLACE)
    for _, requests_of_one in groupby(requests, key=itemgetter(0)):
        queue = _Queue(blocked_by, places)
        for _, place, pid, mode in requests_of_one:
            if place == 0:
                queue.hold(pid, mode)
            elif blockers := queue.ask(pid, mode):
                blocked_by[pid] = (*blocked_by.get(pid, ()), *blockers)
    return Waits(blocked_by, since)


class _Queue:
    """One lock: who holds it, and who has asked for it so far, by mode."""

    def __init__(self, blocked_by: dict[int, tuple[int, ...]], places: Iterator[int]) -> None:
        self._blocked_by = blocked_by  # its places are added here
        self._places = places
        self._held: dict[int, dict[int, None]] = {}
        self._holders: dict[int, int] = {}  # by mode, a place for all its holders
        self._asked: dict[int, list[int]] = {}  # the pids that have no place yet
        self._last: dict[int, int] = {}
        self._asking: set[int] = set()

    def hold(self, pid: int, mode: int) -> None:
        """Add a holder. All holders are added before anyone asks."""
        self._held.setdefault(mode, {})[pid] = None

    def ask(self, pid: int, mode: int) -> list[int]:
        """Add the next one who asks; return whom it waits for."""
        if pid in self._asking:
            return []  # another process of a parallel group that has already asked
        self._asking.add(pid)
        conflicts = _CONFLICTS[mode]
        blockers = [each for other in conflicts for each in self._holding(other, pid)]
        blockers += (last for other in conflicts if (last := self._before(other)) is not None)
        self._asked.setdefault(mode, []).append(pid)
        return blockers

    def _holding(self, mode: int, pid: int) -> Iterable[int]:
        """Those who hold it in this mode, except the one who asks."""
        holders = self._held.get(mode, {})
        if len(holders) < 2 or pid in holders:
            return [holder for holder in holders if holder != pid]
        if mode not in self._holders:
            self._holders[mode] = next(self._places)
            self._blocked_by[self._holders[mode]] = tuple(holders)
        return [self._holders[mode]]

    def _before(self, mode: int) -> int | None:
        """The place of the last one who asked for this mode; it stands for all who asked."""
        for pid in self._asked.pop(mode, ()):
            if mode in self._last:
                before, self._last[mode] = self._last[mode], next(self._places)
                self._blocked_by[self._last[mode]] = (before, pid)
            else:
                self._last[mode] = pid
        return self._last.get(mode)
