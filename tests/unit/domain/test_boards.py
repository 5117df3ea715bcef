"""How often boards are drawn, and when they end by themselves."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.boards import APART, LONGEST, MOST, WHILE_QUIET, WHILE_WRONG, Board, End, Timetable
from bot.domain.kills import Place
from tests.unit.builders import ALICE, NOW

BOARD = Board(
    id=1,
    channel_id="C1",
    cluster="main",
    wording="watch main/",
    asked_by=ALICE,
    since=NOW,
    message_ts="1.000001",
    until=NOW + timedelta(hours=4),
    troubled_at=NOW,
)


def of(*wrong: bool) -> Timetable:
    timetable = Timetable()
    timetable.keep(dict(enumerate(wrong)))
    return timetable


def test_new_board_is_due_at_once_and_then_as_often_as_it_is_wrong():
    timetable = of(True, False)
    for board, apart in ((0, WHILE_WRONG), (1, WHILE_QUIET)):
        assert timetable.due(board) < -(10**9)
        timetable.tried(board, 100.0)
        assert timetable.due(board) == 100.0 + apart


def test_board_is_due_sooner_once_something_is_wrong():
    timetable = of(False)
    timetable.tried(0, 100.0)
    timetable.keep({0: True})
    assert timetable.due(0) == 100.0 + WHILE_WRONG


@pytest.mark.parametrize(
    ("wrong", "quiet", "every"),
    [
        (4, 0, (10, 60)),
        (5, 0, (15, 70)),
        (50, 0, (110, 660)),
        (0, 30, (15, 70)),
        (1, 49, (25, 125)),
    ],
)
def test_boards_slow_down_alike_when_there_are_many(wrong: int, quiet: int, every: tuple[int, int]):
    timetable = of(*[True] * wrong, *[False] * quiet)
    if wrong:
        assert timetable.every(0) == every[0]
    if quiet:
        assert timetable.every(wrong) == every[1]


@given(st.lists(st.booleans(), min_size=1, max_size=200))
def test_all_boards_together_stay_under_the_bound(wrong: list[bool]):
    timetable = of(*wrong)
    calls = sum(60 / timetable.every(board) for board in range(len(wrong)))
    assert calls <= 60 / APART < MOST == 30


def test_board_says_how_often_by_what_it_shows():
    timetable = of(True)
    timetable.drawn(0, 100.0)
    timetable.found(0, wrong=False)
    assert timetable.said(0, 110.0) == WHILE_QUIET
    timetable.found(0, wrong=True)
    assert timetable.said(0, 110.0) == WHILE_WRONG


def test_board_that_was_late_says_how_late():
    timetable = of(True)
    assert timetable.said(0, 0.0) == WHILE_WRONG
    timetable.drawn(0, 100.0)
    assert timetable.said(0, 110.0) == 10
    assert timetable.said(0, 114.9) == 10
    assert timetable.said(0, 115.0) == 15
    assert timetable.said(0, 138.0) == 40
    timetable.keep({})
    timetable.keep({0: True})
    assert timetable.said(0, 1000.0) == 10


def test_board_that_is_kept_remembers_when_it_was_drawn():
    timetable = of(True, True)
    timetable.drawn(0, 100.0)
    timetable.keep({0: True})
    assert timetable.said(0, 138.0) == 40


def test_board_ends_after_thirty_quiet_minutes_and_after_its_last_moment():
    assert timedelta(hours=4) == LONGEST
    quiet = NOW + timedelta(minutes=30)
    assert BOARD.is_over(quiet - timedelta(microseconds=1)) is None
    assert BOARD.is_over(quiet) is End.QUIET
    troubled = replace(BOARD, troubled_at=BOARD.until - timedelta(minutes=1))
    assert troubled.is_over(BOARD.until - timedelta(microseconds=1)) is None
    assert troubled.is_over(BOARD.until) is End.LONGEST


def test_board_on_record_goes_on_in_its_place():
    assert BOARD.place == Place("C1", "1.000001", "")
    assert replace(BOARD, thread_ts="1.000000").place == Place("C1", "1.000001", "1.000000")
    assert (BOARD.ended_at, BOARD.end, BOARD.ended_by) == (None, None, None)


def test_ends_are_called_as_in_existing_ledgers():
    assert [*End] == [
        *("stopped", "quiet", "longest", "moved", "deleted", "archived", "removed", "refused"),
        *("right", "place", "not posted", "unreadable"),
    ]
