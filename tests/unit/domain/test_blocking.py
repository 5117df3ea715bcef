"""The tree of blockers: each waiter once, those who hold up most first."""

from hypothesis import given
from hypothesis import strategies as st

from bot.domain.blocking import Branch, tree
from bot.domain.waits import Request, Waits, queued


def drawn(waits: dict[int, tuple[int, ...]]) -> list[tuple[int, int]]:
    return [(branch.pid, branch.depth) for branch in tree(Waits(waits))]


def test_root_comes_first_with_its_waiters_behind_it() -> None:
    branches = tree(Waits({2: (1,), 3: (2,)}))
    assert branches == (Branch(1, 0, 2), Branch(2, 1, 1), Branch(3, 2, 0))


def test_the_root_that_holds_up_most_comes_first() -> None:
    assert drawn({2: (1,), 11: (10,), 12: (10,)}) == [(10, 0), (11, 1), (12, 1), (1, 0), (2, 1)]


def test_waiter_with_several_blockers_is_drawn_once_and_names_the_others() -> None:
    branches = tree(Waits({3: (1, 2)}))
    assert [(b.pid, b.others) for b in branches] == [(1, ()), (3, (2,)), (2, ())]


def test_queue_is_drawn_flat_under_the_one_who_holds_the_lock() -> None:
    """Each waits for all before it; the first three are named."""
    queue = [Request(1, 0, 100, 8), *(Request(1, at, 100 + at, 8) for at in range(1, 7))]
    branches = tree(queued(queue, {}))
    assert [(b.pid, b.depth, b.behind) for b in branches] == [
        (100, 0, 6),
        *((100 + at, 1, 6 - at) for at in range(1, 7)),
    ]
    assert [(b.others, b.more) for b in branches[-3:]] == [
        ((101, 102, 103), 0),
        ((101, 102, 103), 1),
        ((101, 102, 103), 2),
    ]


def test_a_prepared_transaction_is_a_root_without_a_process() -> None:
    root, waiter = tree(Waits({5: (0,)}))
    assert root.is_prepared
    assert root.is_root
    assert waiter.depth == 1


def test_a_deadlock_is_cut_open_and_marked() -> None:
    branches = tree(Waits({1: (2,), 2: (1,), 3: (1,)}))
    assert [b.pid for b in branches if b.in_cycle] == [1]
    assert {b.pid for b in branches} == {1, 2, 3}


waits = st.dictionaries(
    st.integers(1, 15), st.lists(st.integers(0, 15), min_size=1, max_size=3).map(tuple)
)


@given(waits)
def test_each_session_is_drawn_once_under_one_of_its_blockers(
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
