"""When it goes on record again that a channel saw a board."""

from bot.operations.boards import SEEN_EVERY, is_late
from tests.unit.builders import NOW


def test_board_that_was_seen_goes_on_record_now_and_then() -> None:
    assert is_late(None, NOW)
    assert not is_late(NOW, NOW + SEEN_EVERY / 2)
    assert is_late(NOW, NOW + SEEN_EVERY)


def test_board_that_was_seen_goes_on_record_although_the_clock_was_set_back() -> None:
    assert is_late(NOW, NOW - SEEN_EVERY)
