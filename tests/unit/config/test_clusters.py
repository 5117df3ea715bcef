"""Clusters, and the variables that define them."""

import inspect
from typing import Any

import asyncpg
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from bot import pg_url
from bot.domain.people import Allowlist, Right
from bot.errors import SettingsError
from tests.unit.config.loaded import load, problem, problems


def test_clusters_take_their_names_from_the_variables_main_first():
    found = load(
        DATABASE_URL_STAGING="postgres://s/x",
        DATABASE_URL_Prod_2="postgresql://p/x",
        DATABASE_URL_ARCHIVE="postgresql://a/x",
    )
    assert list(found.clusters) == ["main", "archive", "prod_2", "staging"]
    assert found.clusters["prod_2"].revealed == "postgresql://p/x"


def test_a_cluster_called_main_is_optional():
    found = load(DATABASE_URL=None, DATABASE_URL_PROD="postgresql://p/x")
    assert list(found.clusters) == ["prod"]


def test_main_may_be_named_only_once():
    line = problem(DATABASE_URL_MAIN="postgresql://h/x")
    assert line == "DATABASE_URL_MAIN: names the cluster `main` again, after DATABASE_URL"


def test_cluster_names_that_differ_only_in_case_collide():
    line = problem(DATABASE_URL_PROD="postgresql://h/x", DATABASE_URL_prod="postgresql://h/x")
    assert line == "DATABASE_URL_prod: names the cluster `prod` again, after DATABASE_URL_PROD"


@pytest.mark.parametrize("suffix", ["", "A.B", "A/B", "É", "X" * 41])
def test_cluster_name_must_be_typeable(suffix):
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
def test_cluster_url_names_one_server(url):
    assert load(DATABASE_URL=url).clusters["main"].revealed == url


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
    assert problem(DATABASE_URL=url) == "DATABASE_URL: names several hosts: it must name one server"


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
def test_invalid_port_is_refused(url):
    assert "an invalid host or port" in problem(DATABASE_URL=url)


@pytest.mark.parametrize(
    "url",
    ["postgresql://[::1],[::2]/app", "postgresql://db[::1]/app", "postgresql://[::1]db/app"],
)
def test_brackets_without_a_host_are_refused(url):
    """From Python 3.14 on, the URL parser itself refuses them."""
    assert problem(DATABASE_URL=url) in {
        "DATABASE_URL: is not a valid URL",
        "DATABASE_URL: names several hosts: it must name one server",
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
def test_unencoded_password_gets_a_hint(password):
    line = problem(DATABASE_URL=f"postgresql://bot:{password}@db/app")
    assert line.startswith("DATABASE_URL: ")
    assert "cret" not in line


@pytest.mark.parametrize("url", ["mysql://db/app", "db/app", "jdbc:postgresql://db/app"])
def test_database_url_must_be_postgresql(url):
    line = problem(DATABASE_URL=url)
    assert line == "DATABASE_URL: must be a URL that begins with postgresql://"


def test_second_person_clusters_must_exist():
    found = load(DATABASE_URL_PROD="postgresql://p/x", SECOND_PERSON_CLUSTERS="PROD,main")
    assert found.second_person_clusters == {"prod", "main"}
    assert problem(SECOND_PERSON_CLUSTERS="prod,main,dev") == (
        "SECOND_PERSON_CLUSTERS: unknown clusters `dev`, `prod`; known clusters: `main`"
    )


def test_cluster_with_an_invalid_url_still_counts_as_known():
    assert problem(DATABASE_URL="mysql://db", SECOND_PERSON_CLUSTERS="main").startswith(
        "DATABASE_URL: "
    )


# What each cluster may have for itself


TWO = {"DATABASE_URL_PROD": "postgresql://p/x"}


def test_a_list_for_one_cluster_stands_in_place_of_the_general_one():
    found = load(**TWO, PG_KILL_ALLOWLIST="U1", PG_KILL_ALLOWLIST_PROD="U2,S3").rights
    assert found.clusters == ("main", "prod")
    assert found.allowlist(Right.KILL, "main") == Allowlist(frozenset({"U1"}))
    own = Allowlist(frozenset({"U2"}), frozenset({"S3"}))
    assert found.allowlist(Right.KILL, "prod") == own


@pytest.mark.parametrize("right", Right)
@pytest.mark.parametrize("blank", ["", "  "])
def test_blank_list_for_a_cluster_lets_nobody_in(right, blank):
    found = load(**TWO, **{right: "U1", f"{right}_PROD": blank}).rights
    assert found.allowlist(right, "prod").empty
    assert not found.allowlist(right, "main").empty
    assert load(**{right: blank}).rights.allowlist(right).empty


@pytest.mark.parametrize("right", Right)
def test_list_for_an_unknown_cluster_is_refused_with_the_known_ones(right):
    line = problem(**TWO, **{f"{right}_STAGING": "U1"})
    assert line == f"{right}_STAGING: unknown cluster `staging`; known clusters: `main`, `prod`"


def test_a_secret_in_a_variables_name_is_not_shown():
    line = problem(**{f"PG_KILL_ALLOWLIST_{'X' * 50}": "U1"})
    assert "unknown cluster an item of 50 characters" in line


def test_list_for_a_cluster_is_given_only_once():
    line = problem(**TWO, PG_KILL_ALLOWLIST_prod="U1", PG_KILL_ALLOWLIST_PROD="U2")
    assert line == (
        "PG_KILL_ALLOWLIST_prod: is of the cluster `prod` again, after PG_KILL_ALLOWLIST_PROD"
    )


@pytest.mark.parametrize("right", [Right.KILL, Right.CANCEL])
def test_everyone_may_look_at_most(right):
    assert problem(**TWO, **{f"{right}_PROD": "*"}).startswith(f"{right}_PROD: can't be `*`")
    assert load(**TWO, PG_SESSIONS_ALLOWLIST_PROD="*").rights.allowlist(Right.LOOK, "prod").everyone


@pytest.mark.parametrize(
    "slip", ["PG_KIL_ALLOWLIST_PROD", "PG_KILL_ALLOW_PROD", "pg_kill_allowlist_prod"]
)
def test_a_list_for_one_cluster_that_is_misspelt_is_not_left_out(slip):
    assert problem(**TWO, **{slip: "U1"}) == (
        f"{slip}: unknown setting; did you mean PG_KILL_ALLOWLIST_PROD?"
    )


# Passwords from programs


WITH_ONE = "postgresql://bot:top-secret@db/x"
WITHOUT = "postgresql://bot@db/x"


def test_a_command_is_split_as_a_shell_would_and_is_of_the_cluster_that_it_names():
    found = load(
        DATABASE_URL=WITHOUT,
        DATABASE_URL_PROD=WITHOUT,
        DATABASE_PASSWORD_COMMAND="token main",
        DATABASE_PASSWORD_COMMAND_PROD="'/opt/my tools/token' --for \"the prod\" a\\ b $HOME",
    )
    assert found.password_command("main") == ("token", "main")
    assert found.password_command("prod") == (
        *("/opt/my tools/token", "--for", "the prod"),
        *("a b", "$HOME"),
    )
    assert "my tools" not in repr(found)


def test_the_general_command_is_for_the_clusters_whose_url_has_no_password():
    found = load(
        DATABASE_URL=WITH_ONE,
        DATABASE_URL_FILE=f"{WITHOUT}?passfile=/run/pgpass",
        DATABASE_URL_PROD=WITHOUT,
        DATABASE_PASSWORD_COMMAND="token",
    )
    commands = {name: found.password_command(name) for name in found.clusters}
    assert commands == {"main": None, "file": None, "prod": ("token",)}


@pytest.mark.parametrize("url", [WITH_ONE, f"{WITHOUT}?passfile=/run/pgpass"])
def test_a_command_beside_a_password_is_refused(url):
    line = problem(DATABASE_URL_PROD=url, DATABASE_PASSWORD_COMMAND_PROD="token")
    assert line == (
        "DATABASE_PASSWORD_COMMAND_PROD: DATABASE_URL_PROD has a password too; remove one of them"
    )


def test_a_command_that_no_cluster_uses_is_refused():
    line = problem(DATABASE_URL=WITH_ONE, DATABASE_PASSWORD_COMMAND="token")
    assert line.startswith("DATABASE_PASSWORD_COMMAND: no cluster uses it")


@pytest.mark.parametrize("command", ["token 'top-secret", "token top-secret\\", "''", '"" a'])
def test_invalid_password_command_is_refused_without_showing_it(command):
    line = problem(DATABASE_URL=WITHOUT, DATABASE_PASSWORD_COMMAND=command)
    assert line.startswith("DATABASE_PASSWORD_COMMAND: ")
    assert "secret" not in line


def test_bot_speaks_of_each_cluster_in_its_own_channel_or_the_general_one():
    found = load(
        DATABASE_URL_PROD="postgresql://p/x",
        DATABASE_URL_DEV="postgresql://d/x",
        ALERT_CHANNEL="C0OPS",
        ALERT_CHANNEL_PROD="G0PROD",
        ALERT_CHANNEL_DEV="",
    )
    assert found.alert_channel_by_cluster == {"main": "C0OPS", "prod": "G0PROD"}


def test_bot_speaks_nowhere_unless_a_channel_is_set():
    assert load().alert_channel_by_cluster == {}
    assert load(ALERT_CHANNEL=" ").alert_channel_by_cluster == {}


def test_alert_channel_of_an_unknown_cluster_is_refused_with_all_other_errors():
    lines = problems(ALERT_CHANNEL_PRD="C0OPS", ALERT_AFTER="lok=1", CONFIRM_TTL="x")
    assert [line.partition(":")[0] for line in lines] == [
        "CONFIRM_TTL",
        "ALERT_CHANNEL_PRD",
        "ALERT_AFTER",
    ]
    assert "unknown cluster `prd`; known clusters: `main`" in lines[1]
