"""Filters, as people type them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.grammar.columns import ACTIVITY_COLUMNS, BACKEND_TYPES, STATES
from bot.grammar.parser import parse_kill, parse_sessions
from bot.grammar.requests import MAX_SECONDS, KillRequest, Target
from bot.grammar.terms import Aged, AgeOf, Field, Match, Pattern, Term, Word
from tests.unit.grammar.typed import name, refusal, term_of, user


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
        # Spaces around an operator, as phones add them.
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
def test_backend_types_need_neither_quotes_nor_the_right_case(typed: str) -> None:
    spelled = name(typed.lower().replace("_", " "))
    assert term_of(f"type={typed}") == Match(Field.BACKEND_TYPE, spelled)


@pytest.mark.parametrize(
    "spelled",
    [
        *("Activity", "BufferPin", "Client", "Extension", "IO", "IPC", "InjectionPoint"),
        *("LWLock", "Lock", "Timeout"),
    ],
)
def test_wait_event_type_ignores_case(spelled: str) -> None:
    for typed in (spelled, spelled.lower(), spelled.upper()):
        assert term_of(f"wait={typed}") == Match(Field.WAIT_EVENT, name(spelled))


def test_filter_fields_are_postgresql_columns() -> None:
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
        ("app=aüböc", ("app=a*b*c",)),
        (f"app={'x' * 71}", (f"app={'x' * 63}",)),
        (f"app!={'x' * 40}*{'y' * 24}", ()),
    ],
)
def test_an_application_name_that_no_session_shows_is_refused(
    text: str, nearest: tuple[str, ...]
) -> None:
    """`app!=Rückmeldung` would match exactly the sessions that it should leave alone."""
    for parse in (parse_kill, parse_sessions):
        error = refusal(parse, text)
        assert re.match("PostgreSQL keeps only .+ of an application_name", error.problem)
        assert error.nearest == nearest
    for each in nearest:
        parse_kill(each)


def test_missing_value_does_not_swallow_the_next_filter() -> None:
    assert refusal(parse_kill, "app!= user=x").word == "app!="
    assert refusal(parse_kill, "user= -- reason").word == "user="
    assert refusal(parse_kill, "user=a =b").word == "=b"


def test_pid_after_a_filter_is_not_its_value() -> None:
    assert parse_kill("user = 33507") == KillRequest(terms=(user("33507"),))
    assert parse_kill("prod/ 33507") == KillRequest(Target("prod"), pids=(33507,))


def test_terms_keep_their_order_without_duplicates() -> None:
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
