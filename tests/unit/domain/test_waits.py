"""Who waits for whom: queues give the same answers as all their pairs would."""

import tracemalloc
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.waits import FIRST_BLOCKERS, Request, Waits, queued

CONFLICTS = {
    1: {8},
    2: {7, 8},
    3: {5, 6, 7, 8},
    4: {4, 5, 6, 7, 8},
    5: {3, 4, 6, 7, 8},
    6: {3, 4, 5, 6, 7, 8},
    7: {2, 3, 4, 5, 6, 7, 8},
    8: {1, 2, 3, 4, 5, 6, 7, 8},
}

Pairs = dict[int, set[int]]


def pairs_of(requests: list[Request]) -> Pairs:
    """Each waiter, and everyone it waits for, one by one."""
    pairs: Pairs = {}
    for _, queue in groupby(requests, key=lambda request: request.queue):
        before: list[Request] = []
        for request in queue:
            if any(each.pid == request.pid and each.place for each in before):
                continue  # workers of one session, which share a place
            if request.place:
                for each in before:
                    if each.pid != request.pid and each.mode in CONFLICTS[request.mode]:
                        pairs.setdefault(request.pid, set()).add(each.pid)
            before.append(request)
    return pairs


def behind(pairs: Pairs, pids: set[int]) -> set[int]:
    found: set[int] = set()
    while more := {w for w, b in pairs.items() if b & (found | pids)} - found - pids:
        found |= more
    return found


def freed(pairs: Pairs, gone: set[int]) -> set[int]:
    found: set[int] = set()
    while more := {w for w in pairs if pairs[w] <= gone | found} - found - gone:
        found |= more
    return found & behind(pairs, gone)


@st.composite
def locks(draw: st.DrawFn) -> list[Request]:
    """A few locks; who holds them and who waits in which order, with the same pids in several."""
    requests = []
    pids, modes = st.integers(-1, 9), st.sampled_from(range(1, 9))
    for queue in range(draw(st.integers(0, 4))):
        held = draw(st.sets(st.tuples(pids, modes), max_size=4))
        requests += [Request(queue, 0, pid, mode) for pid, mode in sorted(held)]
        asked = draw(st.lists(st.tuples(pids, modes), max_size=6))
        requests += [Request(queue, at, *each) for at, each in enumerate(asked, start=1)]
    return requests


@given(locks(), st.sets(st.integers(-1, 9), max_size=3))
def test_queue_places_stand_for_all_pairs(requests: list[Request], some: set[int]) -> None:
    waits, pairs = queued(requests, {}), pairs_of(requests)
    assert waits.pids == {*pairs, *(blocker for several in pairs.values() for blocker in several)}
    assert waits.behind(some) == behind(pairs, some)
    assert waits.freed_by(some) == freed(pairs, some)
    for pid in range(-1, 10):
        first, number = waits.blockers_of(pid)
        assert set(first) <= pairs.get(pid, set())
        assert len(first) == min(number, FIRST_BLOCKERS)
        assert number == len(pairs.get(pid, set()))
        assert waits.holds_up(pid) == len(behind(pairs, {pid}))


@given(locks(), st.integers(-1, 9))
def test_around_contains_blockers_and_waiters(requests: list[Request], pid: int) -> None:
    waits, pairs = queued(requests, {}), pairs_of(requests)
    ahead = {each for each in waits.pids if pid in behind(pairs, {each})}
    part = {pid, *ahead, *behind(pairs, {pid})}
    around = waits.around(pid)
    assert around.pids <= part
    for each in part:
        wanted = pairs.get(each, set()) & part
        assert set(around.blockers_of(each).first) <= wanted
        assert around.blockers_of(each).number == len(wanted)


@pytest.mark.parametrize(
    "requests",
    [
        pytest.param(
            [Request(1, 0, 1, 7), *(Request(1, at, 1 + at, 7) for at in range(1, 5000))],
            id="one row",
        ),
        pytest.param(
            [
                *(Request(1, 0, pid, 1) for pid in range(1, 2500)),
                *(Request(1, at, 2500 + at, 8) for at in range(1, 2500)),
            ],
            id="many hold it, many wait",
        ),
        pytest.param(
            [
                each
                for at in range(1, 5000)
                for each in (Request(at, 0, at, 7), Request(at, 1, at + 1, 5))
            ],
            id="a chain",
        ),
    ],
)
def test_thousands_of_waiters_need_no_room_per_pair(requests: list[Request]) -> None:
    """All pairs of 5,000 are 12 million, with at least 8 bytes each."""
    tracemalloc.start()
    try:
        waits = queued(requests, {})
        assert sum(map(len, waits.blocked_by.values())) < 4 * len(requests)
        assert max(waits.holds_up(pid) for pid in waits.pids) == len(waits.behind([1]))
        assert waits.freed_by(waits.pids - set(waits.blocked_by)) == waits.behind([1])
        assert tracemalloc.get_traced_memory()[1] < 60_000_000
    finally:
        tracemalloc.stop()


def test_behind_includes_indirect_waiters() -> None:
    waits = Waits({2: (1,), 3: (2,), 4: (3, 9)})
    assert waits.behind([1]) == {2, 3, 4}
    assert waits.behind([3]) == {4}
    assert waits.behind([4]) == frozenset()


def test_freed_by_needs_every_blocker_gone_or_freed() -> None:
    waits = Waits({2: (1,), 3: (2,), 4: (3, 9)})
    assert waits.freed_by([1]) == {2, 3}
    assert waits.freed_by([1, 9]) == {2, 3, 4}


def test_cycles_terminate() -> None:
    waits = Waits({1: (2,), 2: (1,), 3: (1,)})
    assert waits.behind([1]) == {2, 3}
    assert waits.freed_by([1]) == {2, 3}
    assert [waits.holds_up(pid) for pid in (1, 2, 3)] == [2, 2, 0]


def test_lock_holders_are_named_before_the_queue() -> None:
    waits = queued(
        [Request(1, 0, 7, 3), Request(1, 0, 9, 3), Request(1, 1, 4, 8), Request(1, 2, 2, 8)], {}
    )
    assert waits.blockers_of(2) == ((7, 9, 4), 3)
