import pytest

from bot.slack.views import blocks


def test_a_button_refuses_a_value_that_slack_would_refuse():
    assert blocks.button("Next", "a", "v" * 2000)["value"] == "v" * 2000
    with pytest.raises(ValueError, match="2001"):
        blocks.button("Next", "a", "v" * 2001)


def test_no_buttons_make_no_block():
    assert blocks.actions([]) is None
