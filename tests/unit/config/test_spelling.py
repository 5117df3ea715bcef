"""Quotes, comments and misspelt names."""

import pytest

from tests.unit.config.loaded import ENOUGH, load, problem


@pytest.mark.parametrize(
    "variable",
    [
        "PROTECTED_ROLES",
        "PROTECTED_APPLICATIONS",
        "SECOND_PERSON_CLUSTERS",
        "PG_KILL_ALLOWLIST",
        "PG_SESSIONS_ALLOWLIST",
        "ALLOWED_CHANNELS",
    ],
)
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('"main"', "`main`"),
        ("'main'", "`main`"),
        ('"main,prod"', "`main`, `prod`"),
        ('"main","prod"', "`main`, `prod`"),
        ("main,“prod”", "`prod`"),
        ("`main`", "`main`"),
        ("main'", "`main`"),
    ],
)
def test_quotes_kept_by_an_env_file_are_reported(variable, text, shown):
    """`docker --env-file` keeps them, and nobody is called `'pg_dump'`."""
    assert problem(DATABASE_URL_PROD="postgresql://p/x", **{variable: text}) == (
        f"{variable}: has quotes around {shown}, which --env-file keeps: remove them"
    )


@pytest.mark.parametrize(
    "variable",
    [
        "SLACK_BOT_TOKEN",
        "SLACK_APP_TOKEN",
        "SLACK_SIGNING_SECRET",
        "SLACK_API_URL",
        "PORT",
        "DATABASE_URL",
        "DATABASE_URL_PROD",
        "CONFIRM_TTL",
        "LEDGER_URL",
        "HEALTH_PORT",
        "LOG_LEVEL",
        "LOG_FORMAT",
    ],
)
@pytest.mark.parametrize("quote", ['"', "'"])
def test_quoted_value_is_reported_for_every_setting(variable, quote):
    good = {
        **ENOUGH,
        "SLACK_SIGNING_SECRET": "top-secret",
        "SLACK_API_URL": "https://slack.com/api/",
        "DATABASE_URL_PROD": "postgresql://p/x",
        "CONFIRM_TTL": "600",
        "LEDGER_URL": "sqlite:///ledger.db",
        "LOG_LEVEL": "INFO",
        "LOG_FORMAT": "json",
        "PORT": "3000",
        "HEALTH_PORT": "9090",
    }
    line = problem(**{variable: f"{quote}{good[variable]}{quote}"})
    assert line == f"{variable}: is in quotes, which --env-file keeps: remove them"


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("PROTECTED_ROLES", "admin # the boss"),
        ("PROTECTED_APPLICATIONS", "job #5"),
        ("PG_KILL_ALLOWLIST", "U1\t# ana"),
        ("LEDGER_URL", "sqlite:///ledger.db # here"),
        ("CONFIRM_TTL", "600 # ten minutes"),
        ("SLACK_SIGNING_SECRET", "top-secret # of the app"),
    ],
)
def test_comment_kept_by_an_env_file_is_reported(variable, text):
    line = problem(**{variable: text})
    assert line.startswith(f"{variable}: contains ` #`, which starts a comment")
    assert "top-secret" not in line


def test_environment_in_another_encoding_is_reported():
    """As Python passes on a byte that isn't UTF-8."""
    assert problem(PROTECTED_APPLICATIONS="R\udcfcck") == "PROTECTED_APPLICATIONS: is not UTF-8"
    assert problem(DATABASE_URL="postgresql://h/\udcfc") == "DATABASE_URL: is not UTF-8"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("PROTECTED_ROLE", "PROTECTED_ROLES"),
        ("PROTECTED_USERS", "PROTECTED_ROLES"),
        ("PROTECTEDROLES", "PROTECTED_ROLES"),
        ("protected_roles", "PROTECTED_ROLES"),
        ("PROTECTED_APPS", "PROTECTED_APPLICATIONS"),
        ("SECOND_PERSON", "SECOND_PERSON_CLUSTERS"),
        ("ALLOWED_CHANNEL", "ALLOWED_CHANNELS"),
        ("KILL_ALLOWLIST", "PG_KILL_ALLOWLIST"),
        ("PG_SESSION_ALLOWLIST", "PG_SESSIONS_ALLOWLIST"),
        ("CONFIRM_TLL", "CONFIRM_TTL"),
        ("LEDGER_URI", "LEDGER_URL"),
        ("SLACK_API_URI", "SLACK_API_URL"),
        ("SLACK_SIGNING_SECRETS", "SLACK_SIGNING_SECRET"),
    ],
)
def test_a_misspelt_setting_stops_the_bot(typed, meant):
    assert problem(**{typed: "x"}) == f"{typed}: unknown setting; did you mean {meant}?"
    load(**{typed: ""})


def test_misspelt_setting_is_reported_beside_the_right_one():
    assert problem(PROTECTED_ROLES="a", PROTECTED_ROLE="b").startswith("PROTECTED_ROLE: ")


@pytest.mark.parametrize(
    "variable",
    [
        # Slack's own libraries and other software
        "SLACK_API_TOKEN",
        "SLACK_APP_ID",
        "SLACK_BOT_ID",
        "SLACK_BOT_TOKENS",  # similar to one that is set
        "SLACK_CHANNEL",
        "SLACK_CLIENT_ID",
        "SLACK_CLIENT_SECRET",
        "SLACK_SIGNING_KEY",
        "SLACK_TOKEN",
        "SLACK_USER_TOKEN",
        "SLACK_VERIFICATION_TOKEN",
        "SLACK_WEBHOOK_URL",
        # what Kubernetes sets for services of these names
        "PG_KILL_SERVICE_HOST",
        "PG_SESSIONS_PORT",
        "PG_SESSIONS_PORT_3000_TCP_ADDR",
        "PG_SESSIONS_SERVICE_HOST",
        # everyday ones
        "ALLOWED_HOSTS",
        "LOG_FILE",
        "PATH",
        "PGPASSWORD",
        "REDIS_URL",
    ],
)
def test_variables_of_other_programs_are_ignored(variable):
    load(**{variable: "x"})
