"""`watch`: what a board takes, how it prints, and what is left of a database so called."""

import pytest

from bot.errors import UsageError
from bot.grammar.parser import parse_kill, parse_sessions, read_sessions
from bot.grammar.requests import MAX_TEXT, SessionsRequest, Target
from bot.grammar.terms import Field, Match, Pattern, Word
from bot.grammar.watching import WatchRequest

USER = Match(Field.USENAME, Pattern(("web",)))


def watching(*terms: object, target: Target | None = None, **other: object) -> WatchRequest:
    of = SessionsRequest(target or Target(), terms=terms, **other)  # type: ignore[arg-type]
    return WatchRequest(of)


@pytest.mark.parametrize(
    ("text", "request_", "printed"),
    [
        ("watch", watching(), "watch"),
        ("WATCH some_db", watching(target=Target(None, "some_db")), "watch some_db"),
        ("watch prod/", watching(target=Target("prod")), "watch prod/"),
        (
            "watch prod/some_db usename=web blocked",
            watching(USER, Word.BLOCKED, target=Target("prod", "some_db")),
            "watch prod/some_db user=web blocked",
        ),
        ("watch all", watching(all=True), "watch all"),
        ('watch "watch"', watching(target=Target(None, "watch")), 'watch "watch"'),
        ('"watch"', SessionsRequest(Target(None, "watch")), '"watch"'),
        ("prod/watch", SessionsRequest(Target("prod", "watch")), "prod/watch"),
    ],
)
def test_board_reads_and_prints(text: str, request_: object, printed: str) -> None:
    assert parse_sessions(text) == request_
    assert str(request_) == printed
    assert read_sessions(printed) == request_


@pytest.mark.parametrize(
    ("text", "word", "problem"),
    [
        ("watch private", "private", "a board is a message that the whole channel sees"),
        ("watch 33507", "33507", "/pg-sessions watch takes filters, not pids"),
        ("watch columns=pid", "columns=", "has its own table"),
        ("watch sort=pid", "sort=", "has its own table"),
        ("watch limit=3", "limit=", "has its own table"),
        ("watch by=app", "by=", "has its own table"),
        ("watch -- now", "--", "only /pg-kill takes a reason"),
        ("some_db watch", "watch", "must be the first word"),
        ("watch watch", "watch", "must be the first word"),
        ("why watch", "watch", "must be the first word"),
        ("watch stat=idle", "stat=idle", "no such filter"),
    ],
)
def test_word_that_a_board_does_not_take_is_named(text: str, word: str, problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_sessions(text)
    assert caught.value.word == word
    assert caught.value.problem == problem or f" {problem}" in caught.value.problem


@pytest.mark.parametrize("text", ["watch", "some_db watch", "history watch"])
def test_kill_points_to_the_board(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_kill(text)
    assert caught.value.problem == "for a board, use `/pg-sessions watch`"


def test_board_without_filters_is_of_all_and_never_private() -> None:
    assert read_sessions("watch") == WatchRequest()
    assert not WatchRequest().private
    assert WatchRequest().target == Target()


def test_board_that_prints_too_long_for_a_button_is_refused() -> None:
    text = "user=web" + " application_name=x" * ((MAX_TEXT - 10) // 19)
    long = " ".join(f'app="a{n} b"' for n in range(200))
    assert len(text) < MAX_TEXT
    with pytest.raises(UsageError):
        read_sessions(f"watch {long}")
