"""The scopes that Slack says a token has."""

import pytest

from bot.scopes import granted


@pytest.mark.parametrize(
    ("header", "scopes"),
    [
        (None, None),
        ("", set()),
        ("commands", {"commands"}),
        (" chat:write, commands ,", {"chat:write", "commands"}),
    ],
)
def test_scopes_are_unknown_only_without_the_header(
    header: str | None, scopes: set[str] | None
) -> None:
    assert granted(header) == scopes
