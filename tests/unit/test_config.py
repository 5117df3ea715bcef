import inspect
import re
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import asyncpg
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bot import config, pg_url
from bot.domain.people import Allowlist
from bot.errors import SettingsError

ENOUGH = {
    "SLACK_BOT_TOKEN": "xoxb-1-top-secret",
    "SLACK_APP_TOKEN": "xapp-1-top-secret",
    "DATABASE_URL": "postgresql://bot:top-secret@db-1.internal:5432/postgres",
}


def load(**variables):
    """Settings from the three that must be there, and these; None takes one away."""
    return config.load(ENOUGH | variables)


def problems(**variables):
    """What is wrong with the three that must be there, and these; None takes one away."""
    with pytest.raises(SettingsError) as caught:
        load(**variables)
    return caught.value.problems


def problem(**variables):
    """The one thing that is wrong."""
    (only,) = problems(**variables)
    return only


# Everything together


def test_three_variables_are_enough_and_the_rest_has_defaults():
    found = load()
    assert found.slack_bot_token.get_secret_value() == "xoxb-1-top-secret"
    assert found.slack_app_token is not None
    assert found.slack_app_token.get_secret_value() == "xapp-1-top-secret"
    assert found.slack_signing_secret is None
    assert found.slack_api_url == "https://slack.com/api/"
    assert found.port == 3000
    assert list(found.clusters) == ["main"]
    assert found.clusters["main"].get_secret_value() == ENOUGH["DATABASE_URL"]
    assert found.kill_allowlist == found.sessions_allowlist == Allowlist()
    assert found.allowed_channels == frozenset()
    assert found.protected_roles == found.protected_applications == ()
    assert found.second_person_clusters == frozenset()
    assert found.confirm_ttl == timedelta(minutes=10)
    assert found.ledger_url.get_secret_value() == "sqlite:///ledger.db"
    assert found.health_port is None
    assert (found.log_level, found.log_format) == ("INFO", "json")


def test_every_error_is_told_at_once_in_the_order_of_the_settings():
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


def test_an_empty_environment_is_told_what_it_needs():
    with pytest.raises(SettingsError) as caught:
        config.load({})
    assert caught.value.problems == (
        "SLACK_BOT_TOKEN: is required",
        "SLACK_APP_TOKEN: is required, or SLACK_SIGNING_SECRET for HTTP mode",
        "DATABASE_URL: is required, or a DATABASE_URL_<NAME>",
    )


def test_blank_is_unset_and_space_around_a_value_is_no_part_of_it():
    found = load(PORT="", CONFIRM_TTL="  ", LEDGER_URL=None, SLACK_BOT_TOKEN=" xoxb-1\n")
    assert found.port == 3000
    assert found.confirm_ttl == timedelta(seconds=600)
    assert found.slack_bot_token.get_secret_value() == "xoxb-1"


def test_the_environment_of_the_process_plays_no_part(monkeypatch):
    monkeypatch.setenv("PORT", "4000")
    monkeypatch.setenv("SLACK_SIGNING_SECRET", "of another")
    assert load().port == 3000
    assert load().slack_signing_secret is None


def test_settings_are_frozen():
    found = load()
    with pytest.raises(ValidationError):
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
    with pytest.raises(ValidationError) as raw:
        config.Settings.model_validate({"SLACK_BOT_TOKEN": "top-secret"})
    assert "top-secret" not in str(raw.value)


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
    # A signing secret may be any text: then the missing token is what there is to say.
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


# Slack


def test_a_signing_secret_stands_in_for_the_app_token():
    found = load(SLACK_APP_TOKEN=None, SLACK_SIGNING_SECRET="top-secret")
    assert found.slack_app_token is None
    assert found.slack_signing_secret is not None


def test_without_an_app_token_and_a_signing_secret_both_are_named():
    line = problem(SLACK_APP_TOKEN=None)
    assert "SLACK_APP_TOKEN" in line
    assert "SLACK_SIGNING_SECRET" in line


@pytest.mark.parametrize("token", ["xoxb-", "xoxp-1", "XOXB-1", "xoxb-1 2", "xoxb-…"])
def test_a_bot_token_begins_with_xoxb(token):
    assert problem(SLACK_BOT_TOKEN=token) == "SLACK_BOT_TOKEN: must be a bot token, xoxb-…"


def test_an_app_token_begins_with_xapp():
    line = problem(SLACK_APP_TOKEN="xoxb-1-top-secret")
    assert line == "SLACK_APP_TOKEN: must be an app-level token, xapp-…"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://slack.com/api", "https://slack.com/api/"),
        ("https://proxy.internal:8443/slack/api//", "https://proxy.internal:8443/slack/api/"),
        ("http://localhost:8080/api/", "http://localhost:8080/api/"),
        ("http://LOCALHOST/api", "http://LOCALHOST/api/"),
        ("http://127.9.8.7:1/api/", "http://127.9.8.7:1/api/"),
        ("http://[::1]:8080/api/", "http://[::1]:8080/api/"),
    ],
)
def test_the_api_url_ends_in_a_slash(given, kept):
    assert load(SLACK_API_URL=given).slack_api_url == kept


@pytest.mark.parametrize(
    "url",
    [
        "http://slack.com/api/",
        "http://localhost.example.com/api/",
        "http://128.0.0.1/api/",
        "http://localhost@slack.com/api/",
        "https://user:password@slack.com/api/",
        "https://slack.com/api/?token=x",
        "https://slack.com/api?",
        "https://slack.com/api/#x",
        "https://slack.com:port/api/",
        "https://[slack.com/api/",
        "https:///api/",
        "ftp://localhost/api/",
        "slack.com/api/",
    ],
)
def test_the_api_url_is_https_unless_it_is_loopback_and_holds_no_credentials(url):
    assert problem(SLACK_API_URL=url).startswith("SLACK_API_URL: ")


# Clusters


def test_clusters_take_their_names_from_the_variables_main_first():
    found = load(
        DATABASE_URL_STAGING="postgres://s/x",
        DATABASE_URL_Prod_2="postgresql://p/x",
        DATABASE_URL_ARCHIVE="postgresql://a/x",
    )
    assert list(found.clusters) == ["main", "archive", "prod_2", "staging"]
    assert found.clusters["prod_2"].get_secret_value() == "postgresql://p/x"


def test_there_need_be_no_cluster_called_main():
    found = load(DATABASE_URL=None, DATABASE_URL_PROD="postgresql://p/x")
    assert list(found.clusters) == ["prod"]


def test_main_may_be_named_but_once():
    line = problem(DATABASE_URL_MAIN="postgresql://h/x")
    assert line == "DATABASE_URL_MAIN: names the cluster `main` again, after DATABASE_URL"


def test_two_names_that_differ_in_case_alone_are_one_name():
    line = problem(DATABASE_URL_PROD="postgresql://h/x", DATABASE_URL_prod="postgresql://h/x")
    assert line == "DATABASE_URL_prod: names the cluster `prod` again, after DATABASE_URL_PROD"


@pytest.mark.parametrize("suffix", ["", "A.B", "A/B", "É", "X" * 41])
def test_a_cluster_has_a_name_that_can_be_typed(suffix):
    line = problem(**{f"DATABASE_URL_{suffix}": "postgresql://h/x"})
    assert line.startswith(f"DATABASE_URL_{suffix}: a cluster's name is ")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://db/app",
        "postgres://bot@db",
        "postgresql://bot:p%40ss%2Cword@db:5432/app?sslmode=require",
        "postgresql://bot:a,b@db/app",
        "postgresql://[::1]:5432/app",
        "postgresql:///app?host=/run/postgresql",
        "postgresql://bot@/app?host=/run/postgresql&port=5433",
        "postgresql://%2Frun%2Fpostgresql/app",
    ],
)
def test_a_cluster_is_one_server(url):
    assert load(DATABASE_URL=url).clusters["main"].get_secret_value() == url


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://h1,h2/app",
        "postgresql://h1:5432,h2:5433/app",
        "postgresql://bot:secret@h1,h2:5432/app",
        "postgresql://h1%2Ch2/app",
        "postgresql:///app?host=h1,h2",
        "postgresql:///app?host=h1%2Ch2",
        "postgresql:///app?h%6Fst=h1,h2",
        "postgresql:///app?host=/run/a,/run/b",
        "postgresql:///app?host=h1&host=h2",
        "postgresql:///app?host=h1&host=",
        "postgresql://h1/app?host=h2",
    ],
)
def test_several_hosts_are_refused_in_every_spelling(url):
    assert problem(DATABASE_URL=url) == "DATABASE_URL: names several hosts: a cluster is one server"


@pytest.mark.parametrize(
    "url",
    ["postgresql:///app", "postgresql:", "postgresql://bot:secret@/app", "postgresql:///x?host="],
)
def test_a_url_without_a_host_is_refused(url):
    assert problem(DATABASE_URL=url).startswith("DATABASE_URL: names no host ")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://db:port/app",
        "postgresql://db:0/app",
        "postgresql://db:65536/app",
        "postgresql://db:-1/app",
        "postgresql://db:５/app",
        "postgresql://:5432/app",
        "postgresql:///app?host=db:port",
        "postgresql://%2Ftmp:port/app",
        "postgresql://db/app?port=port",
        "postgresql://db/app?port=",
        "postgresql://db/app?port=65536",
        "postgresql://db/app?port=5432,5433",
    ],
)
def test_a_port_that_is_none_is_refused(url):
    assert "an invalid host or port" in problem(DATABASE_URL=url)


@pytest.mark.parametrize(
    "url",
    ["postgresql://[::1],[::2]/app", "postgresql://db[::1]/app", "postgresql://[::1]db/app"],
)
def test_brackets_that_hold_no_host_are_refused(url):
    """Since Python 3.14 it is the URL's parser that refuses them."""
    assert problem(DATABASE_URL=url) in {
        "DATABASE_URL: is not a valid URL",
        "DATABASE_URL: names several hosts: a cluster is one server",
        "DATABASE_URL: has an invalid host or port (in a password, write / as %2F)",
    }


HOSTS = st.lists(
    st.sampled_from(["h1", "h2", ",", "%2C", ":", "5432", "[::1]", "%2Ftmp", "/tmp", "@", ""]),
    max_size=3,
).map("".join)
QUERIES = st.lists(
    st.tuples(
        st.sampled_from(["host", "h%6Fst", "port", "user", "service", "hostaddr", "sslmode"]),
        HOSTS | st.sampled_from(["5432", "disable"]),
    ).map("=".join),
    max_size=3,
).map("&".join)


@given(
    st.builds(
        "{}{}{}{}{}".format,
        st.sampled_from(["postgresql://", "postgres://"]),
        st.sampled_from(["", "bot@", "bot:a,b@", "bot:a@b@"]),
        HOSTS,
        st.sampled_from(["", "/db", "/?", "/db?", "#"]),
        QUERIES,
    )
)
@settings(max_examples=300, deadline=None)
def test_asyncpg_reads_one_server_from_every_url_that_is_accepted(url):
    try:
        load(DATABASE_URL=url)
    except SettingsError:
        event("refused")
        return
    read: Any = asyncpg.connect_utils
    arguments = dict.fromkeys(inspect.signature(read._parse_connect_dsn_and_args).parameters)
    servers, parameters = read._parse_connect_dsn_and_args(
        **arguments | pg_url.read(url).arguments()
    )
    event("accepted")
    assert parameters.server_settings is None
    assert len(servers) == 1


@pytest.mark.parametrize("password", ["s@cret", "s#cret", "s/cret", "s?cret"])
def test_a_password_that_was_not_percent_encoded_is_told_so(password):
    line = problem(DATABASE_URL=f"postgresql://bot:{password}@db/app")
    assert line.startswith("DATABASE_URL: ")
    assert "cret" not in line


@pytest.mark.parametrize("url", ["mysql://db/app", "db/app", "jdbc:postgresql://db/app"])
def test_a_database_url_is_of_postgresql(url):
    line = problem(DATABASE_URL=url)
    assert line == "DATABASE_URL: must be a URL that begins with postgresql://"


# People and places


def test_an_allowlist_tells_users_from_groups():
    found = load(PG_KILL_ALLOWLIST="U0ANA, W0BEA,,S0ONCALL,")
    assert found.kill_allowlist == Allowlist(
        users=frozenset({"U0ANA", "W0BEA"}), groups=frozenset({"S0ONCALL"})
    )


def test_nobody_can_let_everybody_kill():
    assert problem(PG_KILL_ALLOWLIST="*") == problem(PG_KILL_ALLOWLIST="U1,*")
    assert problem(PG_KILL_ALLOWLIST="*").startswith("PG_KILL_ALLOWLIST: can't be `*`")


def test_everybody_may_be_let_look_by_a_star_alone():
    assert load(PG_SESSIONS_ALLOWLIST="*").sessions_allowlist == Allowlist(everyone=True)
    assert load(PG_SESSIONS_ALLOWLIST="S1").sessions_allowlist == Allowlist(
        groups=frozenset({"S1"})
    )
    assert "either `*` or ids" in problem(PG_SESSIONS_ALLOWLIST="*,U1")


@pytest.mark.parametrize("variable", ["PG_KILL_ALLOWLIST", "PG_SESSIONS_ALLOWLIST"])
@pytest.mark.parametrize("item", ["C0GENERAL", "@ana", "<@U1>", "oncall", "U**", "U"])
def test_what_is_no_id_of_a_person_is_named(variable, item):
    line = problem(**{variable: f"U1,{item}"})
    assert line.startswith(f"{variable}: ")
    assert f"not `{item}`" in line


def test_an_id_in_lower_case_gets_a_hint():
    assert problem(PG_KILL_ALLOWLIST="u0ana").endswith("not `u0ana`; ids are in upper case")
    assert "upper case" not in problem(PG_KILL_ALLOWLIST="@ana")


def test_a_pasted_secret_is_counted_not_shown():
    line = problem(PG_KILL_ALLOWLIST="xoxb-1-2,postgresql://u:p@h/d")
    assert line.endswith("not an item of 8 characters, an item of 20 characters")


def test_channels_are_public_or_private_ones():
    assert load(ALLOWED_CHANNELS="C1,G2").allowed_channels == {"C1", "G2"}
    assert problem(ALLOWED_CHANNELS="C1,D2,#ops").endswith("not `D2`, `#ops`")


# What is protected


def test_globs_become_their_literal_parts():
    found = load(PROTECTED_ROLES="admin, repl*,*_ro , a*b*", PROTECTED_APPLICATIONS="pg_dump")
    assert found.protected_roles == (("admin",), ("repl", ""), ("", "_ro"), ("a", "b", ""))
    assert found.protected_applications == (("pg_dump",),)


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
def test_quotes_that_an_env_file_keeps_are_told(variable, text, shown):
    """`docker --env-file` takes none off, and `'pg_dump'` is nobody's name."""
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
def test_a_value_in_quotes_is_told_so_whatever_it_is_of(variable, quote):
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


@pytest.mark.parametrize("variable", ["PROTECTED_ROLES", "ALLOWED_CHANNELS", "PG_KILL_ALLOWLIST"])
def test_a_list_of_commas_alone_is_told(variable):
    """It would protect nothing, confine nothing, allow nobody."""
    assert problem(**{variable: " , ,"}) == f"{variable}: contains only commas"


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
def test_a_comment_that_an_env_file_keeps_is_told(variable, text):
    line = problem(**{variable: text})
    assert line.startswith(f"{variable}: contains ` #`, which starts a comment")
    assert "top-secret" not in line


@pytest.mark.parametrize("text", ["admin\nbatch", "admin,ba\u200btch", "admin\u00a0x", "a\tb"])
def test_what_cant_be_seen_in_a_list_is_named(text):
    line = problem(PROTECTED_ROLES=text)
    assert re.fullmatch(
        r"PROTECTED_ROLES: contains the invisible U\+[0-9A-F]{4}; separate names with commas", line
    )


def test_an_environment_in_another_encoding_is_told():
    """As Python hands on a byte that is no UTF-8."""
    assert problem(PROTECTED_APPLICATIONS="R\udcfcck") == "PROTECTED_APPLICATIONS: is not UTF-8"
    assert problem(DATABASE_URL="postgresql://h/\udcfc") == "DATABASE_URL: is not UTF-8"


def test_what_no_role_can_be_called_is_refused():
    line = problem(PROTECTED_ROLES=f"web*{'b' * 61},*{'r' * 64},{'x' * 71}")
    assert line == (
        "PROTECTED_ROLES: no role is called an item of 65 characters, an item of 65 characters:"
        " a name has 63 bytes at most"
    )
    assert load(PROTECTED_APPLICATIONS=f"web*{'b' * 61}").protected_applications


def test_a_signing_secret_is_one_word():
    assert problem(SLACK_SIGNING_SECRET="top secret") == (
        "SLACK_SIGNING_SECRET: must be one word of ASCII"
    )


def test_second_person_clusters_are_known_ones():
    found = load(DATABASE_URL_PROD="postgresql://p/x", SECOND_PERSON_CLUSTERS="PROD,main")
    assert found.second_person_clusters == {"prod", "main"}
    assert problem(SECOND_PERSON_CLUSTERS="prod,main,dev") == (
        "SECOND_PERSON_CLUSTERS: unknown clusters `dev`, `prod`; known clusters: `main`"
    )


def test_a_cluster_whose_url_is_wrong_is_known_by_its_name_all_the_same():
    assert problem(DATABASE_URL="mysql://db", SECOND_PERSON_CLUSTERS="main").startswith(
        "DATABASE_URL: "
    )


# The rest


@pytest.mark.parametrize("seconds", [1, 86_400])
def test_a_button_is_good_for_a_second_to_a_day(seconds):
    assert load(CONFIRM_TTL=str(seconds)).confirm_ttl == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["0", "86401", "600.0", "1_000", "-600", "٦٠", "10m", "1" * 5000])
def test_the_time_of_a_button_is_a_whole_number_in_bounds(text):
    line = problem(CONFIRM_TTL=text)
    assert line == "CONFIRM_TTL: must be a whole number of seconds from 1 to 86400"


@pytest.mark.parametrize("days", [1, 400, 36_500])
def test_a_record_is_kept_for_whole_days(days: int):
    assert load(LEDGER_KEEP=str(days)).ledger_keep == timedelta(days=days)


@pytest.mark.parametrize("text", ["0", "36501", "-1", "1.5", "1d", "forever", "1e3"])
def test_and_for_no_other_time(text: str):
    line = problem(LEDGER_KEEP=text)
    assert line == "LEDGER_KEEP: must be a whole number of days from 1 to 36500"


@pytest.mark.parametrize("variable", ["PORT", "HEALTH_PORT"])
def test_a_port_is_one_to_listen_on(variable):
    assert getattr(load(**{variable: "65535"}), variable.lower()) == 65535
    assert problem(**{variable: "65536"}) == f"{variable}: must be a port from 1 to 65535"
    assert problem(**{variable: "0"}) == f"{variable}: must be a port from 1 to 65535"


@pytest.mark.parametrize(
    "url", ["sqlite:///ledger.db", "sqlite:////data/ledger.db", "postgresql://u:p@ledger/db"]
)
def test_the_ledger_is_a_file_or_a_server(url):
    assert load(LEDGER_URL=url).ledger_url.get_secret_value() == url


@pytest.mark.parametrize("variable", ["DATABASE_URL", "DATABASE_URL_PROD", "LEDGER_URL"])
def test_every_url_of_a_server_is_read_alike(variable):
    url = "postgresql://u:s3cret@h/db?channel_binding=require&statement_timeout=1&pgbouncer=true"
    line = problem(**{variable: url})
    assert line.startswith(f"{variable}: channel_binding can't be required")
    assert "; has an unknown parameter `statement_timeout`" in line
    assert "pgbouncer" not in line
    load(**{variable: "postgres+asyncpg://u:p@h/db?connect_timeout=10&pgbouncer=true"})


@pytest.mark.parametrize(
    "url",
    [
        "ledger.db",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///file:x?mode=memory&uri=true",
        "sqlite+aiosqlite:///ledger.db",
        "postgresql://h1,h2/db",
        "mysql://ledger/db",
    ],
)
def test_a_ledger_that_would_not_last_is_refused(url):
    assert problem(LEDGER_URL=url).startswith("LEDGER_URL: ")


def test_words_are_taken_in_any_case():
    found = load(LOG_LEVEL="warning", LOG_FORMAT="Console")
    assert (found.log_level, found.log_format) == ("WARNING", "console")


# Typing errors


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


def test_a_misspelt_setting_is_told_beside_the_right_one():
    assert problem(PROTECTED_ROLES="a", PROTECTED_ROLE="b").startswith("PROTECTED_ROLE: ")


@pytest.mark.parametrize(
    "variable",
    [
        # Slack's own libraries and other software
        "SLACK_API_TOKEN",
        "SLACK_APP_ID",
        "SLACK_BOT_ID",
        "SLACK_BOT_TOKENS",  # near to one that is set
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
def test_variables_of_others_are_left_alone(variable):
    load(**{variable: "x"})
