"""What people type, what Slack and their phones make of it, and what is understood."""

import ipaddress
import re
import string
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import UsageError
from bot.grammar.columns import ACTIVITY_COLUMNS, BACKEND_TYPES, COLUMNS, STATES
from bot.grammar.parser import parse_kill, parse_sessions, read_kill, read_sessions
from bot.grammar.requests import (
    KILL,
    MAX_LIMIT,
    MAX_PID,
    MAX_PIDS,
    MAX_REASON,
    MAX_SECONDS,
    MAX_TEXT,
    SESSIONS,
    Aged,
    AgeOf,
    Field,
    HelpRequest,
    HistoryRequest,
    KillRequest,
    Match,
    Pattern,
    SessionsRequest,
    SortKey,
    Target,
    Term,
    Word,
)
from bot.grammar.suggest import distance, nearest
from bot.grammar.values import state_filter

Request = SessionsRequest | KillRequest | HistoryRequest | HelpRequest


def slack_escape(text: str) -> str:
    """What Slack does to a command's text on its way to the bot."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def name(text: str) -> Pattern:
    return Pattern((text,))


def user(text: str) -> Match:
    return Match(Field.USENAME, name(text))


def target_of(text: str) -> Target:
    request = parse_sessions(text)
    assert isinstance(request, SessionsRequest)
    return request.target


def term_of(text: str) -> Term:
    request = parse_sessions(text)
    assert isinstance(request, SessionsRequest)
    assert request == SessionsRequest(terms=request.terms)
    (term,) = request.terms
    return term


def refusal(parse: Callable[[str], object], text: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        parse(text)
    return caught.value


# --- targets


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("", Target()),
        ("some_db", Target(None, "some_db")),
        ("Some_DB", Target(None, "Some_DB")),
        ("prod/some_db", Target("prod", "some_db")),
        ("Prod/Some_DB", Target("prod", "Some_DB")),
        ("prod/", Target("prod")),
        ('"PROD"/', Target("prod")),
        ('"a b"', Target(None, "a b")),
        ('prod/"a b"', Target("prod", "a b")),
        ('"a/b"', Target(None, "a/b")),
        ('prod/"a/b"', Target("prod", "a/b")),
        ('"a ""b"""', Target(None, 'a "b"')),
        ('""""', Target(None, '"')),
        ("'a b'", Target(None, "a b")),
        ("'it''s'", Target(None, "it's")),
        ("o'brien", Target(None, "o'brien")),
        ("MAX'b'", Target(None, "MAX'b'")),
        ("prod/all", Target("prod", "all")),
        ("prod/33507", Target("prod", "33507")),
        ('"all"', Target(None, "all")),
        ('"33507"', Target(None, "33507")),
        ('"33507."', Target(None, "33507.")),
        ('"pid"', Target(None, "pid")),
        ("pid_db", Target(None, "pid_db")),
        ("`some_db`", Target(None, "some_db")),
        ("prod/`some_db`", Target("prod", "some_db")),
        ("`prod`/`some_db`", Target("prod", "some_db")),
        ('`"a b"`', Target(None, "a b")),
        ('"`a`"', Target(None, "`a`")),
        ("a`b", Target(None, "a`b")),
        ('"help"', Target(None, "help")),
        ("helpers", Target(None, "helpers")),
        ("user", Target(None, "user")),
        ("columns", Target(None, "columns")),
        ('"user=x"', Target(None, "user=x")),
        ('"-- x"', Target(None, "-- x")),
        ("a--b", Target(None, "a--b")),
        ("-x", Target(None, "-x")),
        ("a!b", Target(None, "a!b")),
        ("datenbank_ü", Target(None, "datenbank_ü")),
        ("٣٣", Target(None, "٣٣")),
        ("&amp;lt;", Target(None, "&lt;")),
        ("&quot;", Target(None, "&quot;")),
    ],
)
def test_a_target_is_a_database_a_cluster_or_both(text: str, target: Target) -> None:
    assert target_of(text) == target


@pytest.mark.parametrize(
    ("text", "word", "problem"),
    [
        ("/x", "/x", "the cluster before `/` is missing"),
        ("/", "/", "the cluster before `/` is missing"),
        ('""/x', '""/x', "the cluster before `/` is missing"),
        ('prod/""', 'prod/""', "the name is empty"),
        ('""', '""', "the name is empty"),
        ("a/b/c", "a/b/c", "another `/` needs quotes"),
        ("web*", "web*", "not a glob"),
        ("a,b", "a,b", "a `,` in it needs quotes"),
        ("a b", "b", "a second target"),
        ("prod/ b", "b", "a second target"),
        ("state=idle in transaction", "transaction", "a name with spaces needs quotes"),
        ('"a b', '"a b', "its quote is not closed"),
        ("'a b", "'a b", "its quote is not closed"),
        ('a "b c', '"b c', "its quote is not closed"),
        ('a"b', 'a"b', "a quote in a name"),
        ('prod/"a"b c', 'prod/"a"b', "continues after its closing quote"),
        ("'o'brien' x", "'o'brien'", "continues after its closing quote"),
        ('all "a b"c d', '"a b"c', "continues after its closing quote"),
        ('"a""', '"a""', "its quote is not closed"),
    ],
)
def test_a_target_that_is_none_is_named(text: str, word: str, problem: str) -> None:
    error = refusal(parse_sessions, text)
    assert error.word == word
    assert problem in error.problem


def test_a_second_target_that_is_nearly_a_word_of_the_grammar_suggests_it() -> None:
    assert refusal(parse_kill, "some_db blokced").nearest == ("blocked",)
    assert refusal(parse_kill, "some_db other_db").nearest == ()


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("some_db idle_tx", "state=idle_tx"),
        ("some_db Active", "state=active"),
        ("user web", "user=web"),
        ("app 'my app'", None),
    ],
)
def test_a_second_target_that_would_be_a_filter_suggests_it(text: str, nearest: str | None) -> None:
    assert refusal(parse_kill, text).nearest == (() if nearest is None else (nearest,))


def test_a_state_by_itself_suggests_its_filter() -> None:
    assert state_filter("idle_tx") == ("state=idle_tx",)
    assert state_filter("idle_in_transaction") == ("state=idle_tx",)
    assert state_filter("some_db") == ()


# --- filters


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("user=some_user", Match(Field.USENAME, name("some_user"))),
        ("usename=some_user", Match(Field.USENAME, name("some_user"))),
        ("USER=Some_User", Match(Field.USENAME, name("Some_User"))),
        ("db=x", Match(Field.DATNAME, name("x"))),
        ("datname=x", Match(Field.DATNAME, name("x"))),
        ("db=all", Match(Field.DATNAME, name("all"))),
        ("db=33507", Match(Field.DATNAME, name("33507"))),
        ("app=psql", Match(Field.APPLICATION_NAME, name("psql"))),
        ("application_name=psql", Match(Field.APPLICATION_NAME, name("psql"))),
        ('app=""', Match(Field.APPLICATION_NAME, name(""))),
        ("app=a/b:c!d", Match(Field.APPLICATION_NAME, name("a/b:c!d"))),
        ("wait=Lock", Match(Field.WAIT_EVENT, name("Lock"))),
        ("wait_event=tuple", Match(Field.WAIT_EVENT, name("tuple"))),
        ("wait_event_type=IO", Match(Field.WAIT_EVENT, name("IO"))),
        ("user!=web", Match(Field.USENAME, name("web"), negated=True)),
        ("user=web*", Match(Field.USENAME, Pattern(("web", "")))),
        ("user=*web", Match(Field.USENAME, Pattern(("", "web")))),
        ("user=a*b*c", Match(Field.USENAME, Pattern(("a", "b", "c")))),
        ("user=*", Match(Field.USENAME, Pattern(("", "")))),
        ("user=a***b", Match(Field.USENAME, Pattern(("a", "b")))),
        ("user=**", Match(Field.USENAME, Pattern(("", "")))),
        ('user="web*"', Match(Field.USENAME, name("web*"))),
        ('user="a*"*', Match(Field.USENAME, Pattern(("a*", "")))),
        ('user="a b"*"c d"', Match(Field.USENAME, Pattern(("a b", "c d")))),
        ('user="a=b,c<d"', Match(Field.USENAME, name("a=b,c<d"))),
        ('user="&amp;gt;"', Match(Field.USENAME, name("&gt;"))),
        ("state=active", Match(Field.STATE, name("active"))),
        ("state=ACTIVE", Match(Field.STATE, name("active"))),
        ("state=idle_tx", Match(Field.STATE, name("idle in transaction"))),
        ("state=Idle_Tx", Match(Field.STATE, name("idle in transaction"))),
        ("state=idle_in_transaction", Match(Field.STATE, name("idle in transaction"))),
        ('state="idle in transaction"', Match(Field.STATE, name("idle in transaction"))),
        ("state=idle_tx_aborted", Match(Field.STATE, name("idle in transaction (aborted)"))),
        ("state=fastpath", Match(Field.STATE, name("fastpath function call"))),
        ("state=disabled", Match(Field.STATE, name("disabled"))),
        ("state=Idle*", Match(Field.STATE, Pattern(("idle", "")))),
        ("state!=idle", Match(Field.STATE, name("idle"), negated=True)),
        ("type=client", Match(Field.BACKEND_TYPE, name("client backend"))),
        ("type=walsender", Match(Field.BACKEND_TYPE, name("walsender"))),
        ("type=client_backend", Match(Field.BACKEND_TYPE, name("client backend"))),
        ('backend_type="IO Worker"', Match(Field.BACKEND_TYPE, name("io worker"))),
        ('type="pg_cron launcher"', Match(Field.BACKEND_TYPE, name("pg_cron launcher"))),
        (
            'type="Citus Maintenance Daemon"',
            Match(Field.BACKEND_TYPE, name("Citus Maintenance Daemon")),
        ),
        ('type="pg_background worker"', Match(Field.BACKEND_TYPE, name("pg_background worker"))),
        ("type=Wal*", Match(Field.BACKEND_TYPE, Pattern(("wal", "")))),
        ("type=Citus*", Match(Field.BACKEND_TYPE, Pattern(("Citus", "")))),
        ("client=10.0.0.5", Match(Field.CLIENT_ADDR, name("10.0.0.5"))),
        ("client_addr=10.0.0.5", Match(Field.CLIENT_ADDR, name("10.0.0.5"))),
        ("client=10.0.0.0/8", Match(Field.CLIENT_ADDR, name("10.0.0.0/8"))),
        ("client=10.0.0.0/255.0.0.0", Match(Field.CLIENT_ADDR, name("10.0.0.0/8"))),
        ("client=2001:DB8:0::1", Match(Field.CLIENT_ADDR, name("2001:db8::1"))),
        ("client=2001:DB8::/32", Match(Field.CLIENT_ADDR, name("2001:db8::/32"))),
        ("client=10.0.*", Match(Field.CLIENT_ADDR, Pattern(("10.0.", "")))),
        ("client!=FE80:*", Match(Field.CLIENT_ADDR, Pattern(("fe80:", "")), negated=True)),
        ("blocked", Word.BLOCKED),
        ("BLOCKING", Word.BLOCKING),
        # Spaces around an operator, as phones put them.
        ("user = web", Match(Field.USENAME, name("web"))),
        ("user =web", Match(Field.USENAME, name("web"))),
        ("user= web", Match(Field.USENAME, name("web"))),
        ("user != web", Match(Field.USENAME, name("web"), negated=True)),
        ("user = all", Match(Field.USENAME, name("all"))),
        ('user = "a b"', Match(Field.USENAME, name("a b"))),
        ('user = "a=b"', Match(Field.USENAME, name("a=b"))),
        ("wait=lock", Match(Field.WAIT_EVENT, name("Lock"))),
        ("wait!=IPC", Match(Field.WAIT_EVENT, name("IPC"), negated=True)),
        ("wait=lwlock", Match(Field.WAIT_EVENT, name("LWLock"))),
        ("wait=relation", Match(Field.WAIT_EVENT, name("relation"))),
        ("xact > 5m", Aged(AgeOf.XACT, 300)),
        ("xact &gt; 5m", Aged(AgeOf.XACT, 300)),
    ],
)
def test_a_filter_compares_a_column(text: str, term: Term) -> None:
    assert term_of(text) == term


@pytest.mark.parametrize("state", STATES)
def test_every_state_of_postgresql_can_be_asked_for(state: str) -> None:
    assert term_of(f'state="{state}"') == Match(Field.STATE, name(state))


@pytest.mark.parametrize(
    "typed",
    [
        *("Archiver", "Autovacuum_Launcher", "Autovacuum_Worker", "Background_Worker"),
        *("Background_Writer", "Checkpointer", "Client_Backend", "Dead-end_Client_Backend"),
        *("IO_Worker", "Logger", "Logical_Replication_Apply_Worker"),
        *("Logical_Replication_Launcher", "Logical_Replication_Parallel_Worker"),
        *("Logical_Replication_Tablesync_Worker", "Logical_Replication_Worker"),
        *("Parallel_Worker", "Slotsync_Worker", "Standalone_Backend", "Startup"),
        *("Stats_Collector", "WalReceiver", "WalSender", "WalSummarizer", "WalWriter"),
    ],
)
def test_postgresqls_own_types_need_neither_quotes_nor_the_right_case(typed: str) -> None:
    spelled = name(typed.lower().replace("_", " "))
    assert term_of(f"type={typed}") == Match(Field.BACKEND_TYPE, spelled)


@pytest.mark.parametrize(
    "spelled",
    [
        *("Activity", "BufferPin", "Client", "Extension", "IO", "IPC", "InjectionPoint"),
        *("LWLock", "Lock", "Timeout"),
    ],
)
def test_a_type_of_wait_event_needs_not_the_right_case(spelled: str) -> None:
    for typed in (spelled, spelled.lower(), spelled.upper()):
        assert term_of(f"wait={typed}") == Match(Field.WAIT_EVENT, name(spelled))


def test_what_a_filter_compares_is_a_column_of_postgresql() -> None:
    assert {field.value for field in Field} < set(ACTIVITY_COLUMNS)


@pytest.mark.parametrize("backend_type", BACKEND_TYPES)
def test_every_type_of_backend_can_be_asked_for(backend_type: str) -> None:
    assert term_of(f'type="{backend_type}"') == Match(Field.BACKEND_TYPE, name(backend_type))


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("age>1h", Aged(AgeOf.AGE, 3600)),
        ("xact>5m", Aged(AgeOf.XACT, 300)),
        ("query>30s", Aged(AgeOf.QUERY, 30)),
        ("idle<10m", Aged(AgeOf.IDLE, 600, older=False)),
        ("XACT>5M", Aged(AgeOf.XACT, 300)),
        ("xact&gt;5m", Aged(AgeOf.XACT, 300)),
        ("idle&lt;5m", Aged(AgeOf.IDLE, 300, older=False)),
        ("age>1h30m", Aged(AgeOf.AGE, 5400)),
        ("age>2d3h4m5s", Aged(AgeOf.AGE, 2 * 86400 + 3 * 3600 + 4 * 60 + 5)),
        ("age>5min", Aged(AgeOf.AGE, 300)),
        ("age>2hours", Aged(AgeOf.AGE, 7200)),
        ("age>90sec", Aged(AgeOf.AGE, 90)),
        ("age>0s", Aged(AgeOf.AGE, 0)),
        ("age>3650d", Aged(AgeOf.AGE, MAX_SECONDS)),
    ],
)
def test_an_age_is_older_or_younger_than_seconds(text: str, term: Term) -> None:
    assert term_of(text) == term


@pytest.mark.parametrize(
    ("text", "problem", "nearest"),
    [
        ("stat=idle", "no such filter", ("state=",)),
        ("usr=x", "no such filter", ("user=",)),
        ("username=x", "no such filter", ("usename=",)),
        ("tpye=client", "no such filter", ("type=",)),
        ("application=x", "no such filter", ("app=", "application_name=")),
        ("xat>5m", "no such filter", ("xact>",)),
        ("colums=pid", "no such filter", ("columns=",)),
        ("zzzzzz=1", "no such filter", ()),
        ("pid=web", "a pid is a number, by itself or after `pid=`", ()),
        ("pid!=33507", "a pid is a number, by itself or after `pid=`", ()),
        ("pid>5m", "a pid is a number, by itself or after `pid=`", ()),
        ("=x", "the filter's name before `=` is missing", ()),
        ('"user"=x', "a filter's name takes no quotes", ()),
        ("user=", "its value is missing", ()),
        ("user!=", "its value is missing", ()),
        ('user=""', "the name is empty", ()),
        ('db=""', "the name is empty", ()),
        ('type=""', "the name is empty", ()),
        ("user>x", "use `=` or `!=`", ()),
        ("user==x", "use `=` or `!=`", ()),
        ("user<>x", "use `=` or `!=`", ()),
        ("user=a=b", "a `=` in a value needs quotes", ()),
        ("user=a>b", "a `>` in a value needs quotes", ()),
        ("user=a<b", "a `<` in a value needs quotes", ()),
        ("user=a,b", "a filter takes one value", ()),
        ("state=idel", "no such state", ("state=idle",)),
        ("state!=idle_tz", "no such state", ("state!=idle_tx",)),
        ('state=""', "no such state", ()),
        ('state="*"', "no such state", ()),
        ("state=zzz*", "no state matches that", ()),
        ("type=walsnder", "no such type", ("type=walsender",)),
        ("type=wlasedner", "no such type", ("type=walsender",)),
        ("type=clent", "no such type", ("type=client",)),
        ("type!=checkpionter", "no such type", ("type!=checkpointer",)),
        ("client=10.0.0.5/8", "bits set to the right of its mask", ("client=10.0.0.0/8",)),
        ("client=localhost", "use an address, a network or a glob", ()),
        ("client=10.0.0.0/33", "use an address, a network or a glob", ()),
        ("client=10.0.0.5/", "use an address, a network or a glob", ()),
        ("client=10.1", "use an address, a network or a glob", ()),
        ('client=""', "use an address, a network or a glob", ()),
        ("client=fe80::1%eth0", "without a zone", ()),
        ("client=web-*", "only digits, dots and colons", ()),
        ("age=1h", "use `>` or `<`", ()),
        ("age!=1h", "use `>` or `<`", ()),
        ("age>=1h", "use `>` or `<`", ()),
        ("age<=1h", "use `>` or `<`", ()),
        ("age>", "its value is missing", ()),
        ("age>5", "a number needs its unit", ()),
        ("age>1h30", "whole numbers and units", ()),
        ("age>1.5h", "whole numbers and units", ()),
        ("age>-5m", "whole numbers and units", ()),
        ("age>h", "whole numbers and units", ()),
        ("age>٥m", "whole numbers and units", ()),
        ('age>""', "whole numbers and units", ()),
        ("age>500ms", "no such unit", ()),
        ("age>3651d", "the limit is ten years", ()),
        ("age>3650d1s", "the limit is ten years", ()),
        (f"age>{'9' * 1000}d", "the limit is ten years", ()),
    ],
)
def test_a_filter_that_cant_be_understood_is_named(
    text: str, problem: str, nearest: tuple[str, ...]
) -> None:
    error = refusal(parse_sessions, text)
    assert error.word == text if len(text) <= 60 else error.word == text[:59] + "…"
    assert problem in error.problem
    assert error.nearest == nearest


def test_what_is_suggested_can_be_typed() -> None:
    for text in (
        "state=idel",
        "state=fastpaht",
        "type=clent",
        "type=walsnder",
        "client=10.1.1.1/8",
    ):
        (suggested,) = refusal(parse_sessions, text).nearest
        assert term_of(suggested)


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("app=Rückmeldung", ("app=R*ckmeldung",)),
        ("app!=Rückmeldung", ("app!=R*ckmeldung",)),
        ("app=Отчёт*", ("app=*",)),
        ("app=a*ü*b", ("app=a*b",)),
        (f"app={'x' * 71}", (f"app={'x' * 63}",)),
        (f"app!={'x' * 40}*{'y' * 24}", ()),
    ],
)
def test_an_application_name_that_no_session_shows_is_refused(
    text: str, nearest: tuple[str, ...]
) -> None:
    """`app!=Rückmeldung` would match the very sessions that it is to leave alone."""
    for parse in (parse_kill, parse_sessions):
        error = refusal(parse, text)
        assert "of an application_name" in error.problem
        assert error.nearest == nearest
    for each in nearest:
        parse_kill(each)


def test_a_forgotten_value_does_not_take_the_next_filter_for_it() -> None:
    assert refusal(parse_kill, "app!= user=x").word == "app!="
    assert refusal(parse_kill, "user= -- reason").word == "user="
    assert refusal(parse_kill, "user=a =b").word == "=b"


def test_a_pid_that_is_no_value_is_told_apart_from_one_that_is() -> None:
    assert parse_kill("user = 33507") == KillRequest(terms=(user("33507"),))
    assert parse_kill("prod/ 33507") == KillRequest(Target("prod"), pids=(33507,))


def test_terms_keep_their_order_and_lose_their_repeats() -> None:
    request = parse_kill("user=a blocked app=b user=a BLOCKED xact>60s xact>1m")
    assert isinstance(request, KillRequest)
    assert request.terms == (
        user("a"),
        Word.BLOCKED,
        Match(Field.APPLICATION_NAME, name("b")),
        Aged(AgeOf.XACT, 60),
    )


@pytest.mark.parametrize(
    ("parts", "text", "expected"),
    [
        (("web",), "web", True),
        (("web",), "web1", False),
        (("",), "", True),
        (("web", ""), "web", True),
        (("web", ""), "web1", True),
        (("web", ""), "aweb", False),
        (("", "web"), "aweb", True),
        (("", ""), "", True),
        (("a", "b", "c"), "a-b-c", True),
        (("a", "b", "c"), "a-c", False),
        (("a", "b", "b"), "a-b", False),
        (("a", "b", "b"), "abb", True),
        (("ab", "ba"), "aba", False),
        (("a", "b", "c", ""), "axcxb", False),
        (("a",) * 400, "a" * 399, False),
        (("a",) * 400 + ("b",), "a" * 2000, False),
    ],
)
def test_a_pattern_matches_what_it_says(parts: tuple[str, ...], text: str, expected: bool) -> None:
    assert Pattern(parts).matches(text) is expected


@given(st.lists(st.text("ab", max_size=2), min_size=2, max_size=5), st.text("ab", max_size=8))
def test_a_glob_matches_as_its_regular_expression_does(parts: list[str], text: str) -> None:
    expected = re.fullmatch(".*".join(map(re.escape, parts)), text) is not None
    assert Pattern(tuple(parts)).matches(text) is expected


# --- what Slack, phones and Macs make of it


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("user=“a b”", user("a b")),
        ("user=„a b“", user("a b")),
        ("user=«a b»", user("a b")),
        ("user=»a b«", user("a b")),
        ("user=”a b”", user("a b")),
        ('user=“a b"', user("a b")),
        ("user=‘a b’", user("a b")),
        ("user=‚a b‘", user("a b")),
        ("user=“a ””b”", user('a "b')),
        ("user=“o’brien”", user("o'brien")),
        ("user=o’brien", user("o'brien")),
        ('user="a ”b“ ’c’ —"', user("a ”b“ ’c’ —")),
        ("user=a—b", user("a—b")),
        ("user\u00a0=\u202fweb", user("web")),
        ("\u3000user=web\u2003", user("web")),
        ("\nuser=web\t", user("web")),
    ],
)
def test_typographic_characters_mean_what_was_typed(text: str, expected: Term) -> None:
    assert term_of(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "33507 -- it's stuck",
        "33507 — it's stuck",
        "33507 – it's stuck",
        "33507 —it's stuck",
        "33507 --it's stuck",
        "33507\u00a0—\u00a0it's stuck",
        "33507\n--\n\tit's stuck  ",
    ],
)
def test_a_reason_stands_behind_two_dashes_or_what_phones_make_of_them(text: str) -> None:
    assert parse_kill(text) == KillRequest(pids=(33507,), reason="it's stuck")


def test_a_reason_keeps_its_characters() -> None:
    request = parse_kill('33507 -- “holds”  user=x &amp;lt; — it’s *late* "')
    assert request == KillRequest(pids=(33507,), reason='“holds”  user=x &lt; — it’s *late* "')


def test_a_reason_is_one_line() -> None:
    assert parse_kill("1 -- a\nb\tc\r\nd\u2028e") == KillRequest(pids=(1,), reason="a b c d e")


@pytest.mark.parametrize("text", ["33507 --", "33507 —", "33507 --  \n "])
def test_an_empty_reason_is_none(text: str) -> None:
    assert parse_kill(text) == KillRequest(pids=(33507,))


def test_a_reason_has_an_end() -> None:
    reason = "x" * MAX_REASON
    assert parse_kill(f"1 -- {reason}") == KillRequest(pids=(1,), reason=reason)
    error = refusal(parse_kill, f"1 -- {reason}x")
    assert error.word == "x" * 59 + "…"
    assert str(MAX_REASON) in error.problem


@pytest.mark.parametrize(
    ("character", "named"),
    [
        ("\0", "U+0000"),
        ("\x1f", "U+001F"),
        ("\x1b", "U+001B"),
        ("\u200b", "U+200B (ZERO WIDTH SPACE)"),
        ("\u202e", "U+202E (RIGHT-TO-LEFT OVERRIDE)"),
        ("\u2066", "U+2066 (LEFT-TO-RIGHT ISOLATE)"),
        ("\ufeff", "U+FEFF (ZERO WIDTH NO-BREAK SPACE)"),
        ("\u00ad", "U+00AD (SOFT HYPHEN)"),
        ("\ud800", "U+D800"),
    ],
)
@pytest.mark.parametrize("place", ["some_db user=a{}b", 'some_db user="a {}b"', "1 -- x a{}b c"])
def test_a_character_that_cant_be_seen_is_named(character: str, named: str, place: str) -> None:
    error = refusal(parse_kill, place.format(character))
    assert error.problem == f"contains {named}, which is invisible"
    assert f"U+{ord(character):04X}b" in error.word
    assert error.word.isprintable()


def test_the_word_at_fault_is_shown_in_one_line() -> None:
    assert refusal(parse_kill, 'a "b\nc"').word == '"bU+000Ac"'
    assert refusal(parse_kill, "a\u200b b").word == "aU+200B"
    assert refusal(parse_kill, "a \u200b b").word == "U+200B"
    assert refusal(parse_kill, f"a {'b' * 60}").word == "b" * 60
    assert refusal(parse_kill, f"a {'b' * 61}").word == "b" * 59 + "…"


def test_a_command_has_an_end() -> None:
    assert target_of("x" * MAX_TEXT) == Target(None, "x" * MAX_TEXT)
    assert target_of("&amp;" * MAX_TEXT) == Target(None, "&" * MAX_TEXT)
    assert str(MAX_TEXT) in refusal(parse_sessions, "x" * (MAX_TEXT + 1)).problem
    assert refusal(parse_sessions, "x" * (MAX_TEXT + 1)).word == ""
    assert str(MAX_TEXT) in refusal(parse_kill, " " * (MAX_TEXT + 1)).problem


@pytest.mark.parametrize(
    ("parse", "start"), [(parse_sessions, ""), (parse_kill, ""), (parse_kill, "history ")]
)
def test_a_command_that_is_longer_when_printed_is_refused_too(
    parse: Callable[[str], object], start: str
) -> None:
    text = f"{start}user='" + '"' * (MAX_TEXT - len(start) - 7) + "'"
    assert len(text) == MAX_TEXT
    error = refusal(parse, text)
    assert error.word == ""
    assert (
        error.problem == f"the command, spelled out in full, is longer than {MAX_TEXT} characters"
    )


# --- what was meant by a mistyped word


@pytest.mark.parametrize(
    ("left", "right", "edits"),
    [
        ("", "", 0),
        ("state", "state", 0),
        ("", "abc", 3),
        ("abc", "", 3),
        ("stat", "state", 1),
        ("statte", "state", 1),
        ("stade", "state", 1),
        ("sttae", "state", 1),
        ("badc", "abcd", 2),
        ("ca", "abc", 3),  # what was swapped is not changed again
        ("kitten", "sitting", 3),
        ("abcdef", "uvwxyz", 6),
    ],
)
def test_a_slip_is_a_letter_more_less_other_or_a_swap(left: str, right: str, edits: int) -> None:
    assert distance(left, right) == edits
    assert distance(right, left) == edits


@pytest.mark.parametrize(
    ("word", "valid", "near"),
    [
        ("stat", ["state", "wait"], ("state",)),
        ("stte", ["state", "stale", "other"], ("state",)),
        ("abc", ["xbz"], ()),  # in a short word two edits are another word
        ("abcd", ["xbcz", "xyzd"], ("xbcz",)),
        ("abcdefgh", ["abcdexyz"], ("abcdexyz",)),
        ("abcdefg", ["abcdxyz"], ()),
        # a word that begins another is two edits away, whatever follows
        ("app", ["application_name"], ("application_name",)),
        ("application_name", ["app"], ("app",)),
        ("abcd", ["abcdxyz", "xbcz"], ("abcdxyz", "xbcz")),
        ("abcdefghijkl", ["abcdefghijklmnop", "abcdefghixyz"], ("abcdefghijklmnop",)),
        ("apps", ["apps_of_all", "app"], ("app",)),
        ("dbname", ["db"], ()),
        ("db", ["dbname"], ()),
        ("dba", ["dbaname"], ("dbaname",)),
        ("zzz", ["state"], ()),
    ],
)
def test_the_nearest_words_are_suggested(
    word: str, valid: list[str], near: tuple[str, ...]
) -> None:
    assert nearest(word, valid) == near


# --- /pg-sessions


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("all", SessionsRequest(all=True)),
        ("some_db private", SessionsRequest(Target(None, "some_db"), private=True)),
        ("Private ALL", SessionsRequest(all=True, private=True)),
        ("33507 34100 33507", SessionsRequest(pids=(33507, 34100))),
        ("33507 user=a", SessionsRequest(pids=(33507,), terms=(user("a"),))),
        ("limit=1", SessionsRequest(limit=1)),
        (f"LIMIT={MAX_LIMIT}", SessionsRequest(limit=MAX_LIMIT)),
        ("columns=pid,usename", SessionsRequest(columns=("pid", "usename"))),
        ("columns=PID,xact_age", SessionsRequest(columns=("pid", "xact_age"))),
        ("COLUMNS=pid, state", SessionsRequest(columns=("pid", "state"))),
        ("columns=all", SessionsRequest(columns=COLUMNS)),
        ("Columns = ALL", SessionsRequest(columns=COLUMNS)),
        ("columns = pid , usename ,state", SessionsRequest(columns=("pid", "usename", "state"))),
        (
            "columns=pid, state some_db",
            SessionsRequest(Target(None, "some_db"), columns=("pid", "state")),
        ),
        ("sort=xact_age", SessionsRequest(sort=(SortKey("xact_age"),))),
        (
            "sort=-xact_age, PID",
            SessionsRequest(sort=(SortKey("xact_age", descending=True), SortKey("pid"))),
        ),
        *(
            (f"sort={minus}xact_age", SessionsRequest(sort=(SortKey("xact_age", True),)))
            for minus in "-–—−"
        ),
        ("limit=500", SessionsRequest(limit=500)),
        ("columns=" + ",".join(ACTIVITY_COLUMNS), SessionsRequest(columns=ACTIVITY_COLUMNS)),
    ],
)
def test_sessions_can_be_viewed_as_wanted(text: str, request_: Request) -> None:
    assert parse_sessions(text) == request_


def test_the_columns_of_the_story_come_in_the_order_asked_for() -> None:
    columns = (
        "usename, datname, backend_type, pid, state, client_addr, client_port, client_hostname"
    )
    request = parse_sessions(f"some_db columns={columns}")
    assert request == SessionsRequest(Target(None, "some_db"), columns=tuple(columns.split(", ")))


@pytest.mark.parametrize(
    ("text", "word", "problem", "nearest"),
    [
        ("columns=pid,usenam", "usenam", "no such column", ("usename",)),
        ("columns=pid,USER", "USER", "no such column", ("usename",)),
        ("columns=zzzzzzzz", "zzzzzzzz", "no such column", ()),
        ("columns=all,pid", "all", "no such column", ()),
        ("columns=pid,state,pid", "pid", "named twice", ()),
        ("columns=", "columns=", "its value is missing", ()),
        ('columns=""', 'columns=""', "before or after a `,` is missing", ()),
        ("columns=pid,", "columns=pid,", "before or after a `,` is missing", ()),
        ("columns=,pid", "columns=,pid", "before or after a `,` is missing", ()),
        ("columns=pid, user=x", "columns=pid,", "before or after a `,` is missing", ()),
        ("columns!=pid", "columns!=pid", "use `=`", ()),
        ("columns=pid columns=pid", "columns=pid", "is given twice", ()),
        ("sort=pid sort=state", "sort=state", "is given twice", ()),
        ("sort=pid,-pid", "pid", "named twice", ()),
        ("sort=zz", "zz", "no such column", ()),
        ("sort=pid,", "sort=pid,", "before or after a `,` is missing", ()),
        ("sort=-xact_aeg", "xact_aeg", "no such column", ("xact_age",)),
        ("limit=0", "limit=0", "from 1 to 10000", ()),
        ("limit=10001", "limit=10001", "from 1 to 10000", ()),
        ("limit=-1", "limit=-1", "from 1 to 10000", ()),
        ("limit=x", "limit=x", "from 1 to 10000", ()),
        ('limit=""', 'limit=""', "from 1 to 10000", ()),
        ("limit=٣", "limit=٣", "from 1 to 10000", ()),
        ("limit>3", "limit>3", "use `=`", ()),
        ("limit=3 limit=3", "limit=3", "is given twice", ()),
        ("some_db help", "help", "must be the only word", ()),
        (
            "history",
            "history",
            "for the record of kills, use `/pg-kill history`",
            (),
        ),
        ("some_db -- x", "--", "only /pg-kill takes a reason", ()),
        ("help --", "--", "only /pg-kill takes a reason", ()),
        ("0", "0", "a pid is a number from 1 to 2147483647", ()),
    ],
)
def test_a_view_that_cant_be_understood_is_named(
    text: str, word: str, problem: str, nearest: tuple[str, ...]
) -> None:
    error = refusal(parse_sessions, text)
    assert error.word == word
    assert problem in error.problem
    assert error.nearest == nearest


# --- /pg-kill


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("33507", KillRequest(pids=(33507,))),
        ("33507 34100 33507 1", KillRequest(pids=(33507, 34100, 1))),
        ("33507, 34100,1", KillRequest(pids=(33507, 34100, 1))),
        ("0033507", KillRequest(pids=(33507,))),
        (str(MAX_PID), KillRequest(pids=(MAX_PID,))),
        ("main/ 33507", KillRequest(Target("main"), pids=(33507,))),
        ("some_db", KillRequest(Target(None, "some_db"))),
        ("some_db all", KillRequest(Target(None, "some_db"), all=True)),
        ("prod/ all", KillRequest(Target("prod"), all=True)),
        ("all", KillRequest(all=True)),
        ("blocking", KillRequest(terms=(Word.BLOCKING,))),
        ("user=some_user", KillRequest(terms=(user("some_user"),))),
        (
            "some_db user=some_user app=psql -- reason",
            KillRequest(
                Target(None, "some_db"),
                terms=(user("some_user"), Match(Field.APPLICATION_NAME, name("psql"))),
                reason="reason",
            ),
        ),
        ('"--" -- x', KillRequest(Target(None, "--"), reason="x")),
        ('user="a -- b"', KillRequest(terms=(user("a -- b"),))),
        ("history", HistoryRequest()),
        ("History prod/some_db", HistoryRequest(Target("prod", "some_db"))),
        ("history user=a", HistoryRequest(terms=(user("a"),))),
        ("history 3", HistoryRequest(limit=3)),
        ("history prod/ 12 user=a", HistoryRequest(Target("prod"), (user("a"),), limit=12)),
        ('"history"', KillRequest(Target(None, "history"))),
    ],
)
def test_a_kill_names_its_targets_or_describes_them(text: str, request_: Request) -> None:
    assert parse_kill(text) == request_


@pytest.mark.parametrize(
    "text",
    [
        "`33507`",
        "```33507```",
        "`33507`.",
        "`33507",
        "33507.",
        "33507,",
        "33507;",
        "33507:",
        "33507)",
        "(33507)",
        "[33507]",
        "#33507",
        "(#33507).",
        "pid 33507",
        "PID 33507,",
        "pid: 33507",
        "PID:33507",
        "pid#33507",
        "pid=33507",
        "pid = 33507",
        "`pid=33507`",
        "pid=`33507`",
        "pids 33507",
    ],
)
@pytest.mark.parametrize("place", ["", "main/ ", "some_db "])
def test_a_pid_copied_from_a_sentence_or_a_log_is_the_pid(text: str, place: str) -> None:
    (target,) = {target_of(place)}
    assert parse_kill(f"{place}{text}") == KillRequest(target, pids=(33507,))
    assert parse_kill(f"{place}{text} -- `why`") == KillRequest(target, (33507,), reason="`why`")
    assert parse_sessions(f"{place}{text}") == SessionsRequest(target, pids=(33507,))


@pytest.mark.parametrize(
    "text",
    [
        "33507,34100",
        "#33507,#34100",
        "`33507`, `34100`",
        "`33507 34100`",
        "pids 33507,34100.",
        "pid=33507,34100",
        "pid=33507, 34100",
        "(33507, 34100)",
        "pid 33507 pid 34100",
    ],
)
def test_several_copied_pids_are_those_pids(text: str) -> None:
    assert parse_kill(text) == KillRequest(pids=(33507, 34100))


def test_backticks_around_words_change_nothing() -> None:
    plain = parse_kill("some_db user=web* state=idle_tx xact>5m")
    assert parse_kill("`some_db` user=`web*` `state=idle_tx` `xact`>`5m`") == plain
    assert parse_kill("`some_db user=web* state=idle_tx xact>5m`") == plain
    assert parse_kill('user=`"a b"`') == parse_kill('user="a b"')


@pytest.mark.parametrize("text", ["pid", "pid user=web", "pid some_db 33507", "33507 pid", "`pid`"])
def test_the_word_pid_without_a_number_ends_nothing(text: str) -> None:
    assert "a number must follow it" in refusal(parse_kill, text).problem


@pytest.mark.parametrize("text", ["app=`my app`", "some_db user=`a b`", "`app=`my all`"])
def test_a_backtick_inside_a_word_closes_in_it(text: str) -> None:
    """Else `app=`my all`` would end every session of an application called `my`."""
    assert "its backtick is not closed" in refusal(parse_kill, text).problem


@pytest.mark.parametrize(
    ("text", "word", "problem"),
    [
        ("", "", "a pid or a filter"),
        (" \u00a0 ", "", "a pid or a filter"),
        ("-- because", "", "a pid or a filter"),
        ("33507 user=a", "user=a", "pids and filters can't be combined"),
        ("blocked 33507", "blocked", "pids and filters can't be combined"),
        ("33507 ALL", "ALL", "pids and filters can't be combined"),
        ("0", "0", "from 1 to 2147483647"),
        ("2147483648", "2147483648", "from 1 to 2147483647"),
        ("1,2147483648", "2147483648", "from 1 to 2147483647"),
        ("private", "private", "only /pg-sessions takes this"),
        ("user=a limit=3", "limit=3", "only /pg-sessions takes this"),
        ("columns = pid", "columns = pid", "only /pg-sessions takes this"),
        ("sort=", "sort=", "only /pg-sessions takes this"),
        ("some_db help", "help", "must be the only word"),
        ("help -- x", "help", "must be the only word"),
        (
            "some_db history",
            "history",
            "for the record of kills, use `/pg-kill history`",
        ),
        (
            "history history",
            "history",
            "for the record of kills, use `/pg-kill history`",
        ),
        ("history 33507", "33507", "no pids"),
        ("history pid=33507", "33507", "no pids"),
        ("history #3", "#3", "no pids"),
        ("history 3 4", "4", "takes one number"),
        ("history 0", "0", "use a number from 1 to 10000"),
        ("user=a - it hangs", "-", "a reason comes after two dashes"),
        ("some_db because", "because", "a reason comes after `--`"),
        ("`33507` user=a", "user=a", "pids and filters can't be combined"),
        ("pid=33507 user=a", "user=a", "pids and filters can't be combined"),
        ("history all", "all", "already shows all kills of its target"),
        ("history -- x", "--", "takes no reason"),
        ("history private", "private", "only /pg-sessions takes this"),
        ("history app=psql", "app=psql", "takes only the filters `user=` and `db=`"),
        ("history user=a blocked", "blocked", "takes only the filters `user=` and `db=`"),
        ("history help", "help", "must be the only word"),
        (",", ",", "a `,` in it needs quotes"),
        ("33507,,34100", "33507,,34100", "a `,` in it needs quotes"),
    ],
)
def test_a_kill_that_cant_be_understood_is_named(text: str, word: str, problem: str) -> None:
    error = refusal(parse_kill, text)
    assert error.word == word
    assert problem in error.problem


def test_a_view_is_no_suggestion_for_a_kill() -> None:
    assert refusal(parse_kill, "colums=pid").nearest == ()


def test_one_kill_takes_so_many_pids_and_no_more() -> None:
    pids = tuple(range(1, MAX_PIDS + 1))
    text = " ".join(map(str, pids))
    assert parse_kill(text) == KillRequest(pids=pids)
    assert parse_kill(f"{text} 1") == KillRequest(pids=pids)
    assert parse_sessions(f"{text} {MAX_PIDS + 1}") == SessionsRequest(pids=(*pids, MAX_PIDS + 1))
    error = refusal(parse_kill, f"{text} {MAX_PIDS + 1}")
    assert error.word == str(MAX_PIDS + 1)
    assert str(MAX_PIDS) in error.problem


@pytest.mark.parametrize(
    "text", ["help", " HELP ", "--help", "-h", "--Help ", "—help", "–h", "—h", "?"]
)
def test_help_is_of_its_command(text: str) -> None:
    assert parse_sessions(text) == HelpRequest(SESSIONS)
    assert parse_kill(text) == HelpRequest(KILL)


# --- what a refusal says


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        # of a target
        ("/x", "the cluster before `/` is missing"),
        ('""', "the name is empty"),
        ("a/b/c", "a target is `cluster/database`; another `/` needs quotes"),
        ("web*", "a target is one name, not a glob; `db=` takes globs"),
        ("a,b", "a target is one name; a `,` in it needs quotes"),
        ("a b", "a second target; there can be only one, and a name with spaces needs quotes"),
        ('"a b', "its quote is not closed"),
        ('a"b', "a quote in a name: double it, and put quotes around the name"),
        ('"a"b', "continues after its closing quote; double a quote inside quotes"),
        # of a filter
        ("stat=idle", "no such filter"),
        ("pid<33507", "a pid is a number, by itself or after `pid=`"),
        ("pid", "a number must follow it; a database of that name needs quotes"),
        ("app=`my app`", 'its backtick is not closed; a name with spaces needs "quotes"'),
        ("=x", "the filter's name before `=` is missing"),
        ('"user"=x', "a filter's name takes no quotes"),
        ("user=", "its value is missing"),
        ("user>x", "use `=` or `!=`"),
        ("user=a=b", "a `=` in a value needs quotes"),
        ("user=a,b", "a filter takes one value; a `,` in it needs quotes"),
        ('user=""', "the name is empty"),
        ("state=idel", "no such state"),
        ("state=zzz*", "no state matches that"),
        ('type=""', "the name is empty"),
        (
            "type=walsnder",
            "no such type; to find an extension's worker of that name, add a `*`",
        ),
        ("client=localhost", "use an address, a network or a glob"),
        ("client=web-*", "a glob of addresses can have only digits, dots and colons"),
        ("client=fe80::1%eth0", "PostgreSQL shows addresses without a zone (`%`)"),
        ("client=10.0.0.5/8", "the address has bits set to the right of its mask"),
        ("age=1h", "is an age: use `>` or `<`"),
        ("age>5", "a number needs its unit right after it, as in `5m`"),
        ("age>1.5h", "use whole numbers and units, such as `90s`, `5m` or `1h30m`"),
        ("age>500ms", "no such unit; use `s`, `m`, `h` or `d`"),
        ("age>3651d", "the limit is ten years"),
        # of a view
        ("limit>3", "use `=`"),
        ("limit=", "its value is missing"),
        ("limit=3 limit=3", "`limit=` is given twice"),
        ("limit=0", "use a number from 1 to 10000"),
        ("columns=pid,", "a name before or after a `,` is missing"),
        ("columns=zz", "no such column"),
        ("columns=pid,pid", "this column is named twice"),
        # of the rest
        ("some_db help", "must be the only word"),
        ("history", "for the record of kills, use `/pg-kill history`"),
        ("some_db -- x", "only /pg-kill takes a reason"),
        ("0", "a pid is a number from 1 to 2147483647"),
        (" " * (MAX_TEXT + 1), "the command has 1501 characters; the limit is 1500"),
    ],
)
def test_what_is_refused_for_a_look_is_told_in_these_words(text: str, problem: str) -> None:
    assert refusal(parse_sessions, text).problem == problem


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "say what to end: a pid or a filter"),
        (
            "33507 user=a",
            "pids and filters can't be combined: use one or the other",
        ),
        ("private", "only /pg-sessions takes this"),
        (" ".join(map(str, range(1, MAX_PIDS + 2))), "one pid too many: the limit is 100"),
        (f"1 -- {'x' * (MAX_REASON + 1)}", "the reason has 501 characters; the limit is 500"),
        ("history -- x", "/pg-kill history takes no reason"),
        ("history 33507", "/pg-kill history takes one number, of kills, and no pids"),
        ("history all", "/pg-kill history already shows all kills of its target"),
        ("history app=psql", "/pg-kill history takes only the filters `user=` and `db=`"),
    ],
)
def test_what_is_refused_for_a_kill_is_told_in_these_words(text: str, problem: str) -> None:
    assert refusal(parse_kill, text).problem == problem


# --- printing


@pytest.mark.parametrize(
    ("typed", "printed"),
    [
        ("usename = “web”", "user=web"),
        ("wait_event_type=Lock", "wait=Lock"),
        ('state!="idle in transaction"', "state!=idle_tx"),
        ('type="client backend"', "type=client"),
        ("type=autovacuum_worker", 'type="autovacuum worker"'),
        (
            "xact>90m idle<86400s age>90s query>0s age>7200s",
            "xact>90m idle<1d age>90s query>0s age>2h",
        ),
        ("PROD/ all", "prod/ all"),
        ("MAX", "MAX"),
        ("user=MAX", "user=MAX"),
        ("prod/MAX", "prod/MAX"),
        ('prod/"a b"', 'prod/"a b"'),
        ('prod/"all"', "prod/all"),
        ('"a/b"', '"a/b"'),
        ('"a/b"/"c/d"', '"a/b"/"c/d"'),
        ('"ALL"', '"ALL"'),
        ('"33507"', '"33507"'),
        ('"#33507." db="pid"', '"#33507." db=pid'),
        ('"PID"', '"PID"'),
        ('user="`a"', 'user="`a"'),
        ('"x"', "x"),
        ('user="a*"* app=""', 'user="a*"* app=""'),
        ("sort=-PID, state  columns = all limit=05", "columns=all sort=-pid,state limit=5"),
        ("private all blocked 7 some_db", "some_db 7 blocked all private"),
    ],
)
def test_a_request_prints_short_with_quotes_only_where_needed(typed: str, printed: str) -> None:
    assert str(parse_sessions(typed)) == printed


def test_a_kill_and_the_history_print_too() -> None:
    assert str(parse_kill("some_db  user=a — it’s “late”")) == "some_db user=a -- it’s “late”"
    assert str(parse_kill("some_db ALL")) == "some_db all"
    assert str(parse_kill("History  prod/ user=a")) == "history prod/ user=a"
    assert str(parse_kill("history 03 user=a prod/")) == "history prod/ user=a 3"
    assert str(parse_kill("Help")) == "help"


VISIBLE = st.characters(exclude_categories=("Cc", "Cf", "Cs")) | st.sampled_from("\n\t")
TRICKY = st.sampled_from(
    [*"\"'`“”„«»‘’—–-*/,=<>!&; .:#()", "--", "&gt;", "&amp;", "all", "33", "user"]
)
NAMES = st.lists(st.sampled_from(string.ascii_letters) | TRICKY | VISIBLE, min_size=1, max_size=8)
NAME = NAMES.map("".join)
RESERVED = st.sampled_from(
    [
        *("all", "Help", "history", "private", "blocked", "33507", "user", "--", "pid", "PIDs"),
        *("#33507", "33507.", "(33507)", "pid:33507", "`33507`", "`a`"),
    ]
)
CLUSTER = NAME.map(str.lower)
TARGETS = st.one_of(
    st.just(Target()),
    st.builds(Target, st.none(), NAME | RESERVED),
    st.builds(Target, CLUSTER, st.none() | NAME | RESERVED),
)
GLOBS = st.tuples(st.just("") | NAME, st.lists(NAME, max_size=2), st.just("") | NAME).map(
    lambda parts: Pattern((parts[0], *parts[1], parts[2]))
)
ADDRESSES = st.one_of(
    st.ip_addresses().map(str),
    st.tuples(st.ip_addresses(v=4), st.integers(0, 32)).map(
        lambda of: str(ipaddress.ip_network(of, strict=False))
    ),
)
ASCII_NAME = NAME.filter(lambda text: text.isascii() and text.isprintable())
MATCHES = st.one_of(
    st.builds(
        Match,
        st.sampled_from([Field.USENAME, Field.DATNAME, Field.WAIT_EVENT]),
        NAME.map(name) | GLOBS,
        st.booleans(),
    ),
    st.builds(
        Match,
        st.just(Field.APPLICATION_NAME),
        ASCII_NAME.map(name)
        | st.builds(
            lambda first, last: Pattern((first, last)), ASCII_NAME, st.just("") | ASCII_NAME
        ),
        st.booleans(),
    ),
    st.builds(Match, st.just(Field.APPLICATION_NAME), st.just(name("")), st.booleans()),
    st.builds(
        Match,
        st.just(Field.STATE),
        st.sampled_from([*map(name, STATES), Pattern(("idle", "")), Pattern(("", "in t", ""))]),
        st.booleans(),
    ),
    st.builds(
        Match,
        st.just(Field.BACKEND_TYPE),
        st.sampled_from(
            [
                *map(name, BACKEND_TYPES),
                name("Citus Daemon"),
                Pattern(("wal", "")),
                Pattern(("X", "")),
            ]
        ),
        st.booleans(),
    ),
    st.builds(
        Match,
        st.just(Field.CLIENT_ADDR),
        ADDRESSES.map(name)
        | st.just(
            Pattern(
                (
                    "10.0.",
                    "",
                )
            )
        ),
        st.booleans(),
    ),
)
AGED = st.builds(
    Aged,
    st.sampled_from(AgeOf),
    st.integers(0, MAX_SECONDS) | st.sampled_from([60, 3600]),
    st.booleans(),
)
TERMS = st.lists(MATCHES | AGED | st.sampled_from(Word), max_size=3, unique=True).map(tuple)
PIDS = st.lists(st.integers(1, MAX_PID), max_size=4, unique=True).map(tuple)
SORT = st.lists(
    st.builds(SortKey, st.sampled_from(COLUMNS), st.booleans()),
    max_size=3,
    unique_by=lambda key: key.column,
).map(tuple)
SESSIONS_REQUESTS: st.SearchStrategy[Request] = st.builds(
    SessionsRequest,
    target=TARGETS,
    pids=PIDS,
    terms=TERMS,
    all=st.booleans(),
    columns=st.lists(st.sampled_from(COLUMNS), max_size=5, unique=True).map(tuple)
    | st.just(COLUMNS),
    sort=SORT,
    limit=st.none() | st.integers(1, MAX_LIMIT),
    private=st.booleans(),
)
REASONS = st.none() | st.lists(
    TRICKY | st.characters(exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp")), max_size=20
).map(lambda characters: "".join(characters).strip() or None)
KILL_REQUESTS: st.SearchStrategy[Request] = st.one_of(
    st.builds(KillRequest, target=TARGETS, pids=PIDS, reason=REASONS),
    st.builds(KillRequest, target=TARGETS, terms=TERMS, all=st.booleans(), reason=REASONS),
    st.builds(
        HistoryRequest,
        target=TARGETS,
        terms=st.lists(
            st.builds(
                Match,
                st.sampled_from([Field.USENAME, Field.DATNAME]),
                NAME.map(name) | GLOBS,
                st.booleans(),
            ),
            max_size=3,
            unique=True,
        ).map(tuple),
    ),
).filter(
    lambda r: isinstance(r, HistoryRequest) or str(KillRequest(r.target, r.pids, r.terms, r.all))
)
WORDS = st.sampled_from(
    [
        *"\"“”'‘’«»—–=<>!*/,-& `#.)",
        *("--", "!=", "&gt;", "&lt;", "&amp;", " = ", " > ", ", ", "\u00a0", "\u200b", "\0", "\n"),
        *("user", "db", "APP", "client", "state", "type", "wait", "age", "xact", "columns", "sort"),
        *("user=", "state=", "type=", "client=", "age>", "columns=", "sort=", "limit="),
        *("blocked", "all", "private", "help", "history", "33507", "prod/", "some_db", "web*"),
        *("idle", "idle_tx", "5m", "1h", "30", "10.0.0.5", "10.0.0.0/8", "::1", "pid", "xact_age"),
    ]
)
TYPED = st.lists(WORDS | st.just(" ") | st.characters(), max_size=12).map("".join)


@given(SESSIONS_REQUESTS)
def test_every_sessions_request_prints_to_text_that_reads_as_itself(request_: Request) -> None:
    assert read_sessions(str(request_)) == request_
    assert parse_sessions(slack_escape(str(request_))) == request_


@given(KILL_REQUESTS)
def test_every_kill_prints_to_text_that_reads_as_itself(request_: Request) -> None:
    assert read_kill(str(request_)) == request_
    assert parse_kill(slack_escape(str(request_))) == request_


def outcome(parse: Callable[[str], Request], text: str) -> Request | UsageError:
    try:
        return parse(text)
    except UsageError as error:
        return error


@given(TYPED | st.text())
def test_any_text_ends_in_a_request_that_prints_or_in_a_usage_error(text: str) -> None:
    readers: list[tuple[Callable[[str], Request], Callable[[str], Request]]] = [
        (parse_sessions, read_sessions),
        (parse_kill, read_kill),
    ]
    for parse, read in readers:
        result = outcome(parse, text)
        if isinstance(result, UsageError):
            assert (result.word + result.problem).isprintable()
            assert len(result.word) <= 60
        else:
            assert len(str(result)) <= MAX_TEXT
            assert read(str(result)) == result
