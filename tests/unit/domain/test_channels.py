"""Which channels take alerts."""

from typing import Any

import pytest

from bot.check import alerts as check
from bot.domain.channels import Channel, Closed, closed
from bot.slack.views import alert as view


@pytest.mark.parametrize(
    ("changes", "why", "if_allowed"),
    [
        ({}, None, None),
        ({"is_archived": True}, Closed.ARCHIVED, Closed.ARCHIVED),
        ({"is_read_only": True}, Closed.READ_ONLY, Closed.READ_ONLY),
        ({"is_direct": True}, Closed.DIRECT, None),
        ({"is_shared": True}, Closed.SHARED, None),
        ({"is_shared": None}, Closed.MAYBE_SHARED, None),
    ],
)
def test_channel_is_closed_unless_the_settings_name_it(
    changes: dict[str, Any], why: Closed | None, if_allowed: Closed | None
) -> None:
    channel = Channel(id="C1", name="ops", **changes)
    assert closed(channel, ("C2",)) is why
    assert closed(channel, ("C1",)) is if_allowed


def test_check_and_the_bot_have_words_for_every_reason() -> None:
    assert view.CLOSED.keys() == check.CLOSED.keys() == {*Closed}
