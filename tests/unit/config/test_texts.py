"""What each variable's text must be."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.alerts import DEFAULT_AFTER
from bot.domain.findings.model import PATIENCE, Rule
from bot.domain.people import Allowlist, Right
from tests.unit.config.loaded import load, problem


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
        "https://slack.com/a pi/",
        "https://sl\nack.com/api/",
        "ftp://localhost/api/",
        "slack.com/api/",
    ],
)
def test_the_api_url_is_https_unless_it_is_loopback_and_holds_no_credentials(url):
    assert problem(SLACK_API_URL=url).startswith("SLACK_API_URL: ")


def test_an_allowlist_tells_users_from_groups():
    found = load(PG_KILL_ALLOWLIST="U0ANA, W0BEA,,S0ONCALL,")
    assert found.rights.allowlist(Right.KILL) == Allowlist(
        users=frozenset({"U0ANA", "W0BEA"}), groups=frozenset({"S0ONCALL"})
    )


def test_star_is_refused_for_the_right_to_kill():
    assert problem(PG_KILL_ALLOWLIST="*") == problem(PG_KILL_ALLOWLIST="U1,*")
    assert problem(PG_KILL_ALLOWLIST="*").startswith("PG_KILL_ALLOWLIST: can't be `*`")


def test_star_must_stand_alone_to_let_everyone_look():
    star, group = load(PG_SESSIONS_ALLOWLIST="*"), load(PG_SESSIONS_ALLOWLIST="S1")
    assert star.rights.allowlist(Right.LOOK) == Allowlist(everyone=True)
    assert group.rights.allowlist(Right.LOOK) == Allowlist(groups=frozenset({"S1"}))
    assert "either `*` or ids" in problem(PG_SESSIONS_ALLOWLIST="*,U1")


@pytest.mark.parametrize("variable", ["PG_KILL_ALLOWLIST", "PG_SESSIONS_ALLOWLIST"])
@pytest.mark.parametrize("item", ["C0GENERAL", "@ana", "<@U1>", "oncall", "U**", "U"])
def test_invalid_id_is_named(variable, item):
    line = problem(**{variable: f"U1,{item}"})
    assert line.startswith(f"{variable}: ")
    assert f"not `{item}`" in line


def test_an_id_in_lower_case_gets_a_hint():
    assert problem(PG_KILL_ALLOWLIST="u0ana").endswith("not `u0ana`; ids are in upper case")
    assert "upper case" not in problem(PG_KILL_ALLOWLIST="@ana")


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("PG_KILL_ALLOWLIST", "U1 U2"),
        ("ALLOWED_CHANNELS", "C1;C2"),
        ("QUERY_TAGS", "job route"),
        ("PGBOUNCER_ADDRESSES", "10.0.0.1 10.0.0.2"),
    ],
)
def test_list_without_commas_gets_a_hint(variable: str, text: str):
    assert problem(**{variable: text}).endswith("characters; separate them with commas")


def test_alert_times_without_commas_get_a_hint():
    assert "; separate them with commas; findings: " in problem(ALERT_AFTER="x;y")


def test_two_servers_of_the_bot_need_two_ports():
    over_http = {"SLACK_APP_TOKEN": None, "SLACK_SIGNING_SECRET": "top-secret"}
    for ports in ({"PORT": "8080", "HEALTH_PORT": "8080"}, {"HEALTH_PORT": "3000"}):
        line = problem(**over_http, **ports)
        assert line == "HEALTH_PORT: is the port of HTTP mode, too (PORT); choose another"
    assert load(HEALTH_PORT="3000").health_port == 3000  # over a socket, PORT is unused


def test_pasted_secret_is_counted_but_not_shown():
    line = problem(PG_KILL_ALLOWLIST="xoxb-1-2,postgresql://u:p@h/d")
    assert line.endswith("not an item of 8 characters, an item of 20 characters")


def test_channel_ids_are_public_or_private():
    assert load(ALLOWED_CHANNELS="C1,G2").allowed_channels == {"C1", "G2"}
    assert problem(ALLOWED_CHANNELS="C1,D2,#ops").endswith("not `D2`, `#ops`")


def test_globs_become_their_literal_parts():
    found = load(PROTECTED_ROLES="admin, repl*,*_ro , a*b*", PROTECTED_APPLICATIONS="pg_dump")
    assert found.protected_roles == (("admin",), ("repl", ""), ("", "_ro"), ("a", "b", ""))
    assert found.protected_applications == (("pg_dump",),)


@pytest.mark.parametrize("variable", ["PROTECTED_ROLES", "ALLOWED_CHANNELS", "PG_KILL_ALLOWLIST"])
def test_list_of_only_commas_is_refused(variable):
    """It would protect nothing, restrict nothing, and allow nobody."""
    assert problem(**{variable: " , ,"}) == f"{variable}: contains only commas"


@pytest.mark.parametrize("text", ["admin\nbatch", "admin,ba\u200btch", "admin\u00a0x", "a\tb"])
def test_invisible_character_in_a_list_is_named(text):
    line = problem(PROTECTED_ROLES=text)
    assert re.fullmatch(
        r"PROTECTED_ROLES: contains the invisible U\+[0-9A-F]{4}; separate names with commas", line
    )


def test_poolers_are_addresses_and_networks():
    found = load(PGBOUNCER_ADDRESSES="10.0.0.5, 10.1.0.0/16,::1").pgbouncer_addresses
    assert list(map(str, found)) == ["10.0.0.5/32", "10.1.0.0/16", "::1/128"]
    told = problem(PGBOUNCER_ADDRESSES="pgbouncer,10.0.0.1/8,10.0.0.5")
    assert told.endswith(
        "networks (10.0.0.0/8), not `pgbouncer`, `10.0.0.1/8` (its network is 10.0.0.0/8)"
    )


def test_query_tags_are_keys_or_none():
    assert load().query_tags[:2] == ("application", "controller")
    assert load(QUERY_TAGS="job, a.b-c_1,job").query_tags == ("job", "a.b-c_1")
    assert load(QUERY_TAGS="None").query_tags == ()
    assert problem(QUERY_TAGS="job,a b,c=d").endswith(
        "or `none`, not an item of 3 characters, an item of 3 characters; separate them with commas"
    )
    assert problem(QUERY_TAGS="None,job").endswith("must be either `none` or keys, not both")


def test_impossible_role_name_is_refused():
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


@pytest.mark.parametrize("seconds", [1, 86_400])
def test_button_lifetime_is_a_second_to_a_day(seconds):
    assert load(CONFIRM_TTL=str(seconds)).confirm_ttl == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["0", "86401", "600.0", "1_000", "-600", "٦٠", "10m", "1" * 5000])
def test_button_lifetime_is_a_whole_number_in_bounds(text):
    line = problem(CONFIRM_TTL=text)
    assert line == "CONFIRM_TTL: must be a whole number of seconds from 1 to 86400"


@pytest.mark.parametrize("seconds", [0, 1, 300])
def test_samples_are_taken_up_to_five_minutes_apart_or_never(seconds: int):
    assert load(SAMPLE_EVERY=str(seconds)).sample_every == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["301", "-5", "0.5", "5s", "never", "off"])
def test_other_pauses_between_samples_are_refused(text: str):
    line = problem(SAMPLE_EVERY=text)
    assert line == "SAMPLE_EVERY: must be a whole number of seconds from 0 to 300"


@pytest.mark.parametrize("days", [1, 400, 36_500])
def test_a_record_is_kept_for_whole_days(days: int):
    assert load(LEDGER_KEEP=str(days)).ledger_keep == timedelta(days=days)


@pytest.mark.parametrize("text", ["0", "36501", "-1", "1.5", "1d", "forever", "1e3"])
def test_other_retention_times_are_refused(text: str):
    line = problem(LEDGER_KEEP=text)
    assert line == "LEDGER_KEEP: must be a whole number of days from 1 to 36500"


@pytest.mark.parametrize("variable", ["PORT", "HEALTH_PORT"])
def test_port_must_be_valid_to_listen_on(variable):
    assert getattr(load(**{variable: "65535"}), variable.lower()) == 65535
    assert problem(**{variable: "65536"}) == f"{variable}: must be a port from 1 to 65535"
    assert problem(**{variable: "0"}) == f"{variable}: must be a port from 1 to 65535"


@pytest.mark.parametrize(
    "url", ["sqlite:///ledger.db", "sqlite:////data/ledger.db", "postgresql://u:p@ledger/db"]
)
def test_the_ledger_is_a_file_or_a_server(url):
    assert load(LEDGER_URL=url).ledger_url.revealed == url


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
def test_ledger_that_would_not_last_is_refused(url):
    assert problem(LEDGER_URL=url).startswith("LEDGER_URL: ")


def test_words_are_accepted_in_any_case():
    found = load(LOG_LEVEL="warning", LOG_FORMAT="Console")
    assert (found.log_level, found.log_format) == ("WARNING", "console")


def test_times_of_findings_are_set_one_by_one_over_the_defaults():
    after = load(ALERT_AFTER="limit=90, blocker=off,waiting=5").alert_after
    assert after == {
        **{rule: span for rule, span in DEFAULT_AFTER.items() if rule is not Rule.BLOCKER},
        Rule.LIMIT: timedelta(seconds=90),
        Rule.WAITING: timedelta(seconds=5),
    }
    assert load().alert_after == DEFAULT_AFTER


def test_what_is_to_be_told_sooner_is_found_sooner():
    assert load(ALERT_AFTER="waiting=2").rules.patience == replace(
        PATIENCE, event=timedelta(seconds=2)
    )


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("limmit=30", "`limmit`"),
        ("limit", "`limit`"),
        ("limit=30,blocker,lok=1", "`blocker`, `lok`"),
    ],
)
def test_unknown_finding_is_refused_with_those_that_there_are(text: str, wrong: str):
    line = problem(ALERT_AFTER=text)
    assert line.startswith(f"ALERT_AFTER: must be findings as `limit=30`, not {wrong}; findings: ")
    assert line.endswith("concurrent_index, login, waiting")


@pytest.mark.parametrize("seconds", ["0", "-1", "1.5", "5min", "", "2592001", "never"])
def test_time_of_a_finding_is_a_whole_number_of_seconds(seconds: str):
    line = problem(ALERT_AFTER=f"limit={seconds}")
    most = "must be a whole number of seconds from 1 to 2592000, or off"
    assert line == f"ALERT_AFTER: limit {most}"


def test_finding_with_two_times_is_refused():
    assert problem(ALERT_AFTER="limit=1,limit=off") == "ALERT_AFTER: has `limit` twice"


def test_everything_that_is_wrong_with_the_findings_is_said_at_once():
    line = problem(ALERT_AFTER="lok=1,limit=x,blocker=1,blocker=2")
    said = "limit must be a whole number", "has `blocker` twice", "not `lok`;"
    assert all(each in line for each in said)


def test_alert_channel_is_the_id_of_one_channel():
    assert problem(ALERT_CHANNEL="#ops").startswith("ALERT_CHANNEL: must be the id of a channel")
    assert problem(ALERT_CHANNEL="C1,C2") == "ALERT_CHANNEL: must be one channel, not 2"
