"""`why` and `horizon`: what they take, how they print, and what is left of databases so called."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import UsageError
from bot.grammar.parser import parse_kill, parse_sessions, read_sessions
from bot.grammar.requests import FIRST_WORDS, HorizonRequest, SessionsRequest, Target, WhyRequest
from bot.grammar.terms import Field, Match, Pattern

USER = Match(Field.USENAME, Pattern(("web",)))
DATABASE = Match(Field.DATNAME, Pattern(("why",)))


@pytest.mark.parametrize(
    ("text", "request_", "printed"),
    [
        ("why", WhyRequest(), "why"),
        ("WHY some_user", WhyRequest(Target(None, "some_user")), "why some_user"),
        ("why prod/", WhyRequest(Target("prod")), "why prod/"),
        ("why prod/some_db", WhyRequest(Target("prod", "some_db")), "why prod/some_db"),
        ("why 33507", WhyRequest(pid=33507), "why 33507"),
        ("why pid=33507 prod/", WhyRequest(Target("prod"), pid=33507), "why prod/ 33507"),
        ("why user=web", WhyRequest(terms=(USER,)), "why user=web"),
        ("why db=why usename=web", WhyRequest(terms=(DATABASE, USER)), "why db=why user=web"),
        ('why "why"', WhyRequest(Target(None, "why")), 'why "why"'),
        ("why some_db private", WhyRequest(Target(None, "some_db"), private=True), None),
        ("horizon", HorizonRequest(), "horizon"),
        ("horizon prod/", HorizonRequest(Target("prod")), "horizon prod/"),
        ("horizon prod", HorizonRequest(Target(None, "prod")), "horizon prod"),
        ("horizon prod/some_db", HorizonRequest(Target("prod", "some_db")), "horizon prod/some_db"),
        ("horizon private", HorizonRequest(private=True), "horizon private"),
        ('"why"', SessionsRequest(Target(None, "why")), '"why"'),
        ("prod/horizon", SessionsRequest(Target("prod", "horizon")), "prod/horizon"),
        ("db=why", SessionsRequest(terms=(DATABASE,)), "db=why"),
    ],
)
def test_diagnosis_reads_and_prints(text: str, request_: object, printed: str | None) -> None:
    assert parse_sessions(text) == request_
    assert read_sessions(str(request_)) == request_
    assert str(request_) == (printed or text)


@pytest.mark.parametrize(
    ("text", "word", "problem"),
    [
        ("some_db why", "why", "must be the first word"),
        ("why why", "why", "must be the first word"),
        ("why state=idle", "state=idle", "why takes only a target, `user=`, `db=` or one pid"),
        ("why xact>5m", "xact>5m", "why takes only a target, `user=`, `db=` or one pid"),
        ("why blocked", "blocked", "why takes only a target, `user=`, `db=` or one pid"),
        ("why user!=web", "user!=web", "why takes one name, without `!=` and `*`"),
        ("why user=web*", "user=web*", "why takes one name, without `!=` and `*`"),
        ("why user=a user=b", "user=b", "why takes one role and one database"),
        ("why some_db db=other", "db=other", "a second database; there can be only one"),
        ("why 1 2", "", "why takes one pid or one role"),
        ("why 1 user=web", "", "why takes one pid or one role"),
        ("why all", "all", "why already looks at everything"),
        ("why limit=3", "limit=3", "why doesn't take this"),
        ("why columns=pid", "columns=pid", "why doesn't take this"),
        ("horizon 33507", "33507", "horizon takes only a cluster or a database"),
        ("horizon user=web", "user=web", "horizon takes only a cluster or a database"),
        ("horizon -- now", "--", "only /pg-kill takes a reason"),
    ],
)
def test_word_that_a_diagnosis_does_not_take_is_named(text: str, word: str, problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_sessions(text)
    assert caught.value.word == word
    assert caught.value.problem.removeprefix("/pg-sessions ") == problem


@pytest.mark.parametrize("word", FIRST_WORDS)
def test_each_first_word_asks_for_something_of_its_own(word: str) -> None:
    assert str(read_sessions(word)) == word


@pytest.mark.parametrize("text", ["why", "some_db why", "horizon", "history why"])
def test_kill_points_to_the_diagnosis(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_kill(text)
    word = text.rsplit(maxsplit=1)[-1]
    assert caught.value.problem == f"for a diagnosis, use `/pg-sessions {word}`"


NAMES = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1)


@given(
    st.builds(
        WhyRequest,
        st.just(Target()) | st.builds(Target, st.none() | st.just("prod"), NAMES),
        st.none() | st.integers(1, 2**31 - 1),
        st.just(()),
        st.booleans(),
    )
)
def test_every_diagnosis_prints_to_text_that_reads_as_itself(request_: WhyRequest) -> None:
    if len(str(request_)) <= 1500:
        assert read_sessions(str(request_)) == request_


def test_kill_points_to_the_blocking_tree() -> None:
    with pytest.raises(UsageError) as caught:
        parse_kill("tree")
    assert caught.value.problem == "for a blocking tree, use `/pg-sessions tree`"


def test_diagnosis_tells_the_names_that_it_is_asked_about() -> None:
    request = WhyRequest(terms=(DATABASE, USER))
    assert (request.named(Field.DATNAME), request.named(Field.USENAME)) == ("why", "web")
    assert WhyRequest(terms=(DATABASE,)).named(Field.USENAME) is None


def test_minus_sign_and_number_sign_are_read_as_people_type_them() -> None:
    assert str(read_sessions("−help")) == "help"
    assert str(read_sessions("pid# 33507")) == "33507"
    assert str(parse_kill("X all")) == "X all"
