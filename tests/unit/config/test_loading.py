"""Everything together: defaults, order, secrets."""

from dataclasses import FrozenInstanceError
from datetime import timedelta
from types import MappingProxyType

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from bot import config
from bot.domain.people import Right
from bot.errors import SettingsError
from tests.unit.config.loaded import ENOUGH, load, problems


def test_three_variables_are_enough_and_the_rest_has_defaults():
    found = load()
    assert found.slack_bot_token.revealed == "xoxb-1-top-secret"
    assert found.slack_app_token is not None
    assert found.slack_app_token.revealed == "xapp-1-top-secret"
    assert found.slack_signing_secret is None
    assert found.slack_api_url == "https://slack.com/api/"
    assert found.port == 3000
    assert list(found.clusters) == ["main"]
    assert found.clusters["main"].revealed == ENOUGH["DATABASE_URL"]
    assert not any(found.rights.is_set(right) for right in Right)
    assert found.allowed_channels == frozenset()
    assert found.protected_roles == found.protected_applications == ()
    assert found.second_person_clusters == frozenset()
    assert found.confirm_ttl == timedelta(minutes=10)
    assert found.ledger_url.revealed == "sqlite:///ledger.db"
    assert found.health_port is None
    assert (found.log_level, found.log_format) == ("INFO", "json")


def test_all_errors_are_reported_at_once_in_the_order_of_the_settings():
    found = problems(
        SLACK_BOT_TOKEN=None,
        SLACK_APP_TOKEN="xoxb-the-wrong-way-round",
        SLACK_API_URL="http://slack.com/api",
        PORT="many",
        DATABASE_URL="mysql://db",
        DATABASE_URL_PROD="postgresql://a,b/db",
        PG_KILL_ALLOWLIST="*",
        PG_SESSIONS_ALLOWLIST="*,U1",
        ALLOWED_CHANNELS="#general",
        PROTECTED_ROLE="admin",
        SECOND_PERSON_CLUSTERS="staging",
        CONFIRM_TTL="10m",
        LEDGER_URL="ledger.db",
        LEDGER_KEEP="forever",
        HEALTH_PORT="0",
        LOG_LEVEL="loud",
        LOG_FORMAT="xml",
    )
    assert [line.partition(":")[0] for line in found] == [
        "SLACK_BOT_TOKEN",
        "SLACK_APP_TOKEN",
        "SLACK_API_URL",
        "PORT",
        "DATABASE_URL",
        "DATABASE_URL_PROD",
        "PG_KILL_ALLOWLIST",
        "PG_SESSIONS_ALLOWLIST",
        "ALLOWED_CHANNELS",
        "SECOND_PERSON_CLUSTERS",
        "CONFIRM_TTL",
        "LEDGER_URL",
        "LEDGER_KEEP",
        "HEALTH_PORT",
        "LOG_LEVEL",
        "LOG_FORMAT",
        "PROTECTED_ROLE",
    ]


def test_empty_environment_lists_the_required_settings():
    with pytest.raises(SettingsError) as caught:
        config.load({})
    assert caught.value.problems == (
        "SLACK_BOT_TOKEN: is required",
        "SLACK_APP_TOKEN: is required, or SLACK_SIGNING_SECRET for HTTP mode",
        "DATABASE_URL: is required, or a DATABASE_URL_<NAME>",
    )


def test_blank_is_unset_and_values_are_stripped():
    found = load(PORT="", CONFIRM_TTL="  ", LEDGER_URL=None, SLACK_BOT_TOKEN=" xoxb-1\n")
    assert found.port == 3000
    assert found.confirm_ttl == timedelta(seconds=600)
    assert found.slack_bot_token.revealed == "xoxb-1"


def test_process_environment_is_ignored(monkeypatch):
    monkeypatch.setenv("PORT", "4000")
    monkeypatch.setenv("SLACK_SIGNING_SECRET", "of another")
    assert load().port == 3000
    assert load().slack_signing_secret is None


def test_settings_are_frozen():
    found = load()
    with pytest.raises(FrozenInstanceError):
        found.port = 1
    assert isinstance(found.clusters, MappingProxyType)


def test_no_secret_shows_in_the_repr():
    text = repr(
        load(SLACK_SIGNING_SECRET="top-secret", LEDGER_URL="postgresql://u:top-secret@ledger/db")
    )
    assert "top-secret" not in text


def test_no_secret_shows_in_a_traceback():
    with pytest.raises(SettingsError) as caught:
        load(SLACK_BOT_TOKEN="top-secret")
    assert caught.value.__context__ is None


SECRETS = [
    "SLACK_BOT_TOKEN",
    "SLACK_APP_TOKEN",
    "SLACK_SIGNING_SECRET",
    "SLACK_API_URL",
    "DATABASE_URL",
    "DATABASE_URL_PROD",
    "LEDGER_URL",
]


ITEMS = ["PG_KILL_ALLOWLIST", "PG_SESSIONS_ALLOWLIST", "ALLOWED_CHANNELS", "SECOND_PERSON_CLUSTERS"]


@pytest.mark.parametrize("variable", [*SECRETS, *ITEMS])
@pytest.mark.parametrize(
    "secret",
    [
        "postgresql://bot:top-secret@[db/x",
        "postgresql://bot:top-secret@a,b/x",
        "postgresql://bot:top-secret@db:top-secret/x",
        "postgresql://bot:top-s@cret@db/x",
        "postgresql://bot:top-secret@\u2100/x",  # urlsplit's own error repeats such a host
        "postgres//bot:top-secret@db/x",
        "https://u:top-secret@slack.com/",
        "xoxb-top-secret with a space",
        "xapp-top-secret\tand a tab",
        "xoxp-top-secret",
        "8f742231b10e8888abcdtopsecret999",  # as long as a signing secret
    ],
)
def test_a_value_that_may_be_a_secret_is_never_repeated(variable, secret):
    # A signing secret may be any text, so the missing token is the only problem.
    lines = "\n".join(problems(**{variable: secret, "CONFIRM_TTL": "never"}))
    assert "top" not in lines
    assert "s@cret" not in lines
    assert variable in lines or variable == "SLACK_SIGNING_SECRET"


@given(
    st.dictionaries(
        st.sampled_from(["DATABASE_URL_A", "DATABASE_URL_Ä", "PROTECTED_", *config.VARIABLES]),
        st.text()
        | st.builds(
            "{}://{}".format,
            st.sampled_from(["postgresql", "sqlite", "http"]),
            st.text("/:@?#[],%=&ho1 \t"),
        ),
    )
)
@settings(deadline=None)
def test_any_text_ends_in_settings_or_in_lines_that_name_their_variables(variables):
    lines: tuple[str, ...] = ()
    try:
        config.load(variables)
    except SettingsError as error:
        lines = error.problems
        event("refused")
    for line in lines:
        assert line.startswith(("SLACK_", *variables, "DATABASE_URL: is required"))
        assert len(line.splitlines()) == 1
