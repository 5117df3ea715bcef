"""The tree of blockers: every waiter once, whoever holds up most first."""

from hypothesis import given
from hypothesis import strategies as st

from bot.backends import Backend, Waits
from bot.blocking import Branch, Locks, LockWait, around, tree, under_leaders


def drawn(waits: dict[int, tuple[int, ...]]) -> list[tuple[int, int]]:
    return [(branch.pid, branch.depth) for branch in tree(Waits(waits))]


def test_the_root_stands_first_with_all_who_wait_behind_it() -> None:
    branches = tree(Waits({2: (1,), 3: (2,)}))
    assert branches == (Branch(1, 0, 2), Branch(2, 1, 1), Branch(3, 2, 0))


def test_the_root_that_holds_up_most_comes_first() -> None:
    assert drawn({2: (1,), 11: (10,), 12: (10,)}) == [(10, 0), (11, 1), (12, 1), (1, 0), (2, 1)]


def test_a_waiter_with_several_blockers_is_drawn_once_and_told_of_the_others() -> None:
    branches = tree(Waits({3: (1, 2)}))
    assert [(b.pid, b.others) for b in branches] == [(1, ()), (3, (2,)), (2, ())]


def test_a_prepared_transaction_is_a_root_without_a_process() -> None:
    root, waiter = tree(Waits({5: (0,)}))
    assert root.is_prepared
    assert root.is_root
    assert waiter.depth == 1


def test_a_deadlock_is_cut_open_and_marked() -> None:
    branches = tree(Waits({1: (2,), 2: (1,), 3: (1,)}))
    assert [b.pid for b in branches if b.in_cycle] == [1]
    assert {b.pid for b in branches} == {1, 2, 3}


def test_parallel_workers_stand_for_their_leader() -> None:
    backends = [Backend(pid=20), Backend(pid=21, leader_pid=20), Backend(pid=1)]
    waits = under_leaders(Waits({21: (1,), 20: (1,), 30: (21,)}), backends)
    assert waits.blocked_by == {20: (1,), 30: (20,)}


def test_a_worker_that_waits_for_its_own_leader_is_no_wait() -> None:
    backends = [Backend(pid=20), Backend(pid=21, leader_pid=20)]
    assert under_leaders(Waits({21: (20,)}), backends).blocked_by == {}


def test_a_leader_waits_for_what_its_worker_waits_for() -> None:
    wait = LockWait("relation", "AccessShareLock", None)
    backends = [Backend(pid=20), Backend(pid=21, leader_pid=20)]
    assert Locks({21: wait}).under_leaders(backends).waits == {20: wait, 21: wait}


def test_around_one_are_those_before_it_and_behind_it_and_nobody_else() -> None:
    waits = Waits({2: (1,), 3: (2, 9), 4: (1,), 6: (5,), 7: (3, 5)})
    assert around(waits, 2).blocked_by == {2: (1,), 3: (2,), 7: (3,)}
    assert around(waits, 3).blocked_by == {2: (1,), 3: (2, 9), 7: (3,)}
    assert around(waits, 1).blocked_by == {2: (1,), 3: (2,), 4: (1,), 7: (3,)}
    assert around(waits, 8).blocked_by == {}


waits = st.dictionaries(
    st.integers(1, 15), st.lists(st.integers(0, 15), min_size=1, max_size=3).map(tuple)
)


@given(waits, st.integers(0, 15))
def test_around_one_is_as_much_of_it_as_before_and_as_many_behind(
    blocked_by: dict[int, tuple[int, ...]], pid: int
) -> None:
    everyone = Waits(blocked_by)
    part = around(everyone, pid)
    assert part.behind([pid]) == everyone.behind([pid])
    assert part.blocked_by.get(pid, ()) == everyone.blocked_by.get(pid, ())


@given(waits)
def test_everyone_is_drawn_once_and_under_one_of_their_blockers(
    blocked_by: dict[int, tuple[int, ...]],
) -> None:
    branches = tree(Waits(blocked_by))
    pids = [branch.pid for branch in branches]
    everyone = {*blocked_by, *(b for many in blocked_by.values() for b in many)}
    assert sorted(pids) == sorted(everyone)
    path: list[int] = []
    for branch in branches:
        del path[branch.depth :]
        if branch.depth:
            assert path[-1] in blocked_by[branch.pid]
        else:
            assert branch.in_cycle == (branch.pid in blocked_by)
        path.append(branch.pid)
