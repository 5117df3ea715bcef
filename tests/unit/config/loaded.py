"""Settings, or what is wrong with them, for the tests of the settings."""

import pytest

from bot import config
from bot.errors import SettingsError

ENOUGH = {
    "SLACK_BOT_TOKEN": "xoxb-1-top-secret",
    "SLACK_APP_TOKEN": "xapp-1-top-secret",
    "DATABASE_URL": "postgresql://bot:top-secret@db-1.internal:5432/postgres",
}


def load(**variables):
    """Settings from the three required variables and these; None removes one."""
    return config.load(ENOUGH | variables)


def problems(**variables):
    """What is wrong with the three required variables and these; None removes one."""
    with pytest.raises(SettingsError) as caught:
        load(**variables)
    return caught.value.problems


def problem(**variables):
    """The only problem."""
    (only,) = problems(**variables)
    return only
