"""A request prints as a text that is read as the same request."""

import ipaddress
import string
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import UsageError
from bot.grammar.columns import BACKEND_TYPES, COLUMNS, STATES
from bot.grammar.parser import parse_kill, parse_sessions, read_kill, read_sessions
from bot.grammar.requests import (
    MAX_LIMIT,
    MAX_PID,
    MAX_SECONDS,
    MAX_TEXT,
    GroupsRequest,
    HistoryRequest,
    KillRequest,
    SessionsRequest,
    SortKey,
    Target,
)
from bot.grammar.terms import Aged, AgeOf, Field, Match, Pattern, Tagged, Word
from tests.unit.grammar.typed import Request, name, slack_escape


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
        ("some_db BY = application_name, State xact>5m", "by=app,state some_db xact>5m"),
        ("by=wait_event_type,db,client_addr all private", "by=wait,db,client all private"),
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
        *("why", "horizon", "?", "-h", "-Help", "−h", "-", "−"),
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


TAGGED = st.builds(
    Tagged, st.sampled_from(["job", "a.b-c_1"]), ASCII_NAME.map(name) | GLOBS, st.booleans()
)


TERMS = st.lists(MATCHES | AGED | st.sampled_from(Word), max_size=3, unique=True).map(tuple)


LOOK_TERMS = st.lists(MATCHES | AGED | TAGGED | st.sampled_from(Word), max_size=3, unique=True).map(
    tuple
)


PIDS = st.lists(st.integers(1, MAX_PID), max_size=4, unique=True).map(tuple)


SORT = st.lists(
    st.builds(SortKey, st.sampled_from(COLUMNS[:-1]), st.booleans()),
    max_size=3,
    unique_by=lambda key: key.column,
).map(tuple)


SESSIONS_REQUESTS: st.SearchStrategy[Request] = st.builds(
    SessionsRequest,
    target=TARGETS,
    pids=PIDS,
    terms=LOOK_TERMS,
    all=st.booleans(),
    columns=st.lists(st.sampled_from(COLUMNS), max_size=5, unique=True).map(tuple)
    | st.just(COLUMNS),
    sort=SORT,
    limit=st.none() | st.integers(1, MAX_LIMIT),
    private=st.booleans(),
)


GROUPS_REQUESTS: st.SearchStrategy[Request] = st.builds(
    GroupsRequest,
    by=st.lists(st.sampled_from(Field), min_size=1, max_size=3, unique=True).map(tuple),
    of=st.builds(
        SessionsRequest, target=TARGETS, terms=LOOK_TERMS, all=st.booleans(), private=st.booleans()
    ),
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
        *(
            "by=",
            "by=app",
            "user=",
            "state=",
            "type=",
            "client=",
            "age>",
            "columns=",
            "sort=",
            "limit=",
        ),
        *("blocked", "all", "private", "help", "history", "33507", "prod/", "some_db", "web*"),
        *("idle", "idle_tx", "5m", "1h", "30", "10.0.0.5", "10.0.0.0/8", "::1", "pid", "xact_age"),
    ]
)


TYPED = st.lists(WORDS | st.just(" ") | st.characters(), max_size=12).map("".join)


@given(SESSIONS_REQUESTS | GROUPS_REQUESTS)
def test_every_sessions_request_round_trips(request_: Request) -> None:
    assert read_sessions(str(request_)) == request_
    assert parse_sessions(slack_escape(str(request_))) == request_


@given(KILL_REQUESTS)
def test_every_kill_request_round_trips(request_: Request) -> None:
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
