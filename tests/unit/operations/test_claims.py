"""Previews are kept until the first click, and not too many of them."""

from bot.domain.record import Entry
from bot.operations.claims import PREVIEWS, Previews
from tests.unit.builders import proposal


def test_preview_is_given_once():
    previews, made = Previews(), proposal(key="one")
    previews.keep(made)
    assert previews.take("another") is None
    assert previews.take("one") == Entry(made, expired=False)
    assert previews.take("one") is None


def test_only_the_latest_previews_are_kept():
    previews = Previews()
    for number in range(PREVIEWS + 1):
        previews.keep(proposal(key=f"{number}"))
    assert previews.take("0") is None
    assert all(previews.take(f"{number}") for number in range(1, PREVIEWS + 1))
