"""Databases and clusters, as people type them."""

import pytest

from bot.grammar.parser import parse_kill, parse_sessions
from bot.grammar.requests import Target
from bot.grammar.values import meant_words
from tests.unit.grammar.typed import refusal, target_of


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
def test_invalid_target_is_named(text: str, word: str, problem: str) -> None:
    error = refusal(parse_sessions, text)
    assert error.word == word
    assert problem in error.problem


def test_a_second_target_that_is_nearly_a_word_of_the_grammar_suggests_it() -> None:
    assert refusal(parse_kill, "some_db blokced").nearest == ("blocked",)
    assert refusal(parse_kill, "main/ blokced").nearest == ("blocked", "main/blokced")
    assert refusal(parse_kill, "some_db other_db").nearest == ()


def test_name_after_a_whole_cluster_suggests_that_name_there() -> None:
    assert refusal(parse_sessions, "prod/ some_db").nearest == ("prod/some_db",)
    assert refusal(parse_sessions, "why prod/ some_user").nearest == ("prod/some_user",)


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


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("idle_tx", ("state=idle_tx",)),
        ("Idle_in_transaction", ("state=idle_tx",)),
        ("hepl", ("help",)),
        ("TRE", ("tree",)),
        ("blocekd", ("blocked",)),
        ("some_db", ()),
    ],
)
def test_unknown_name_suggests_what_it_may_mean(word: str, meant: tuple[str, ...]) -> None:
    assert meant_words(word) == meant


def test_a_mistyped_first_word_is_suggested_with_what_follows_it() -> None:
    assert refusal(parse_sessions, "wtach main/").nearest == ("watch main/",)
    assert refusal(parse_kill, "wtach main/").nearest == ()
