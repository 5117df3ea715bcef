"""`at=-3m` and `tree`: what they take, how they print, and what a kill says of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import UsageError
from bot.grammar.parser import parse_kill, parse_sessions, read_sessions, then
from bot.grammar.requests import (
    GroupsRequest,
    PastRequest,
    SessionsRequest,
    Target,
    TargetRequest,
    TreeRequest,
    WhyRequest,
)
from bot.grammar.terms import Field, Match, Pattern

COMBINED = "it can't be combined with `at=`"
GOES_ON = "what holds back vacuum goes on until it is let go: look now"
WEB = Match(Field.USENAME, Pattern(("web",)))


@pytest.mark.parametrize(
    ("text", "ago", "now", "printed"),
    [
        ("at=-3m", 180, SessionsRequest(), "at=-3m"),
        ("at=-90s", 90, SessionsRequest(), "at=-90s"),
        ("at=-180s some_db", 180, SessionsRequest(Target(None, "some_db")), "some_db at=-3m"),
        ("AT=-15M prod/", 900, SessionsRequest(Target("prod")), "prod/ at=-15m"),
        ("at=-1min", 60, SessionsRequest(), "at=-1m"),
        ("user=web at=-30sec private", 30, SessionsRequest(terms=(WEB,), private=True), None),
        ("why at=-3m", 180, WhyRequest(), "why at=-3m"),
        ("why at=-3m 33507", 180, WhyRequest(pid=33507), "why 33507 at=-3m"),
        ("by=state at=-3m", 180, GroupsRequest((Field.STATE,)), "by=state at=-3m"),
        ("tree at=-3m", 180, TreeRequest(), "tree at=-3m"),
        ("at=–3m", 180, SessionsRequest(), "at=-3m"),
        ("at=—3m", 180, SessionsRequest(), "at=-3m"),  # an em dash
        ("at=−3m", 180, SessionsRequest(), "at=-3m"),
    ],
)
def test_past_reads_and_prints(text: str, ago: int, now: object, printed: str | None) -> None:
    request = parse_sessions(text)
    assert request == PastRequest(ago, now)  # type: ignore[arg-type]
    assert read_sessions(str(request)) == request
    if printed is not None:
        assert str(request) == printed


@pytest.mark.parametrize(
    ("text", "word", "problem", "nearest"),
    [
        ("at=3m", "at=3m", "say how long ago, in seconds or minutes", ("at=-3m",)),
        ("at=-3", "at=-3", "say how long ago", ("at=-3m",)),
        ("at=90s", "at=90s", "say how long ago", ("at=-90s",)),
        ("at=-1h", "at=-1h", "use at=-1s to at=-15m", ()),
        ("at=12:00", "at=12:00", "say how long ago", ()),
        ('at="-3m"', 'at="-3m"', "say how long ago", ()),
        ("at=", "at=", "say how long ago", ()),
        ("at>-3m", "at&gt;-3m", "use `=`", ()),
        ("at=-16m", "at=-16m", "use at=-1s to at=-15m", ()),
        ("at=-901s", "at=-901s", "use at=-1s to at=-15m", ()),
        ("at=-0s", "at=-0s", "use at=-1s to at=-15m", ()),
        ("at=-99999m", "at=-99999m", "use at=-1s to at=-15m", ()),
        ("at=-1m at=-2m", "at=-2m", "given twice", ()),
        ("at=-1m all", "all", "samples leave out background processes", ()),
        ("by=state all at=-1m", "all", "samples leave out background processes", ()),
        ("sort=pid at=-1m", "sort=", "a sample keeps what hurt most", ()),
        ("by=state at=-1m xact>5m", "xact>5m", "samples count by columns", ()),
        ("by=state at=-1m blocked", "blocked", "samples count by columns", ()),
        ("by=state at=-1m tag.job=a", "tag.job=a", "samples count by columns", ()),
        ("att=-1m", "att=-1m", "no such filter", ("at=",)),
    ],
)
def test_invalid_moment_of_the_past_is_named(
    text: str, word: str, problem: str, nearest: tuple[str, ...]
) -> None:
    with pytest.raises(UsageError) as caught:
        read_sessions(text)
    assert caught.value.word == word.replace("&gt;", ">")
    assert problem in caught.value.problem
    assert caught.value.nearest[: len(nearest)] == nearest
    assert nearest or not caught.value.nearest


@pytest.mark.parametrize(
    ("text", "word", "problem"),
    [
        ("at>-3m", "at>-3m", "use `=`"),
        (
            "prod/ all at=-1m",
            "all",
            f"samples leave out background processes, and the bot's own sessions: {COMBINED}",
        ),
        (
            "sort=pid at=-1m",
            "sort=",
            f"a sample keeps what hurt most, in that order: {COMBINED}",
        ),
        (
            "watch prod/ at=-1m",
            "at=",
            "/pg-sessions watch takes no `at=`: a board shows what is now",
        ),
        (
            "horizon prod/ at=-1m",
            "at=",
            f"/pg-sessions horizon takes no `at=`: {GOES_ON}",
        ),
    ],
)
def test_request_of_now_only_says_why(text: str, word: str, problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_sessions(text)
    assert (caught.value.word, caught.value.problem) == (word, problem)


def test_word_without_an_answer_about_the_past_refuses_it() -> None:
    class LocksRequest(TargetRequest):
        word = "locks"

    with pytest.raises(UsageError) as caught:
        then(LocksRequest(), 60)  # type: ignore[arg-type]
    problem = "/pg-sessions locks takes no `at=`: no sample has that"
    assert (caught.value.word, caught.value.problem) == ("at=", problem)


@pytest.mark.parametrize("text", ["33507 at=-3m", "at=-3m", "user=web at=—1m", "history at=-1m"])
def test_kill_takes_no_past(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_kill(text)
    assert caught.value.problem == (
        "/pg-kill takes no `at=`: a past session can't be ended. To see what was there, use"
        " /pg-sessions"
    )


def test_reason_may_speak_of_the_past() -> None:
    request = parse_kill("33507 -- blocked at=-3m")
    assert str(request) == "33507 -- blocked at=-3m"


@pytest.mark.parametrize(
    ("text", "request_", "printed"),
    [
        ("tree", TreeRequest(), "tree"),
        ("Tree prod", TreeRequest(Target("prod")), "tree prod/"),
        ("tree prod/ private", TreeRequest(Target("prod"), private=True), "tree prod/ private"),
        ('"tree"', SessionsRequest(Target(None, "tree")), '"tree"'),
        ("prod/tree", SessionsRequest(Target("prod", "tree")), "prod/tree"),
    ],
)
def test_tree_reads_and_prints(text: str, request_: object, printed: str) -> None:
    assert parse_sessions(text) == request_
    assert read_sessions(str(request_)) == request_
    assert str(request_) == printed


@pytest.mark.parametrize(
    ("text", "word", "problem", "nearest"),
    [
        ("tree 33507", "33507", "takes only a cluster", ()),
        ("tree prod/some_db", "some_db", "takes only a cluster", ("prod/",)),
        ("tree blocked", "blocked", "takes only a cluster", ()),
        ("tree all", "all", "already looks at everything", ()),
        ("some_db tree", "tree", "must be the first word", ()),
    ],
)
def test_tree_takes_only_a_cluster(text: str, word: str, problem: str, nearest: tuple) -> None:
    with pytest.raises(UsageError, match=problem) as caught:
        parse_sessions(text)
    assert (caught.value.word, caught.value.nearest) == (word, nearest)


@given(st.integers(1, 900))
def test_every_moment_prints_to_text_that_reads_as_itself(ago: int) -> None:
    request = PastRequest(ago, SessionsRequest(Target("prod", "some_db"), terms=(WEB,)))
    assert read_sessions(str(request)) == request
