from datetime import timedelta

import pytest

from bot.domain.sessions import Limit
from bot.slack.views.text import age, bar, count, of_them, some, took

MINUTE, HOUR, DAY = 60, 3600, 86_400


@pytest.mark.parametrize(
    ("seconds", "told", "short"),
    [
        (-1, "0 s", "0 s"),
        (0.9, "0 s", "0 s"),
        (59, "59 s", "59 s"),
        (60, "1 min", "1 min"),
        (4 * MINUTE + 12, "4 min 12 s", "4 min"),
        (10 * MINUTE + 12, "10 min", "10 min"),
        (32 * MINUTE + 59, "32 min", "32 min"),
        (2 * HOUR, "2 h", "2 h"),
        (2 * HOUR + 5 * MINUTE + 59, "2 h 5 min", "2 h"),
        (23 * HOUR + 59 * MINUTE, "23 h", "23 h"),
        (3 * DAY + 4 * HOUR, "3 d 4 h", "3 d"),
        (3 * DAY + 4 * MINUTE, "3 d", "3 d"),
        (400 * DAY, "400 d", "400 d"),
    ],
)
def test_age_has_two_units_if_the_first_is_small(seconds, told, short):
    assert age(timedelta(seconds=seconds)) == told
    assert age(timedelta(seconds=seconds), short=True) == short


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.0124, "12 ms"), (0.9994, "999 ms"), (1.26, "1.3 s"), (5, "5.0 s"), (125, "2 min 5 s")],
)
def test_duration_is_as_precise_as_useful(seconds, told):
    assert took(timedelta(seconds=seconds)) == told


@pytest.mark.parametrize(
    ("used", "limit", "filled"),
    [(0, 97, 0), (1, 97, 1), (62, 97, 6), (96, 97, 9), (97, 97, 10), (98, 97, 10), (0, 0, 10)],
)
def test_a_bar_is_full_only_at_the_limit_and_empty_only_at_nothing(used, limit, filled):
    assert bar(Limit("connections", used, limit)) == "■" * filled + "□" * (10 - filled)


def test_counts_and_lists_read_as_a_sentence():
    assert [count(n, "query", "queries") for n in (0, 1, 2)] == [
        "0 queries",
        "1 query",
        "2 queries",
    ]
    assert [some("abcd"[:n], 3) for n in range(5)] == [
        "",
        "a",
        "a and b",
        "a, b and c",
        "a, b, c and 1 more",
    ]


@pytest.mark.parametrize(
    ("number", "of", "said"),
    [
        (1, 1, "gone"),
        (1, 2, "1 of them gone"),
        (2, 2, "both of them gone"),
        (0, 3, "0 of them gone"),
        (3, 4, "3 of them gone"),
        (4, 4, "all of them gone"),
    ],
)
def test_all_of_some_are_not_counted_again(number, of, said):
    assert of_them(number, of, "gone") == said
