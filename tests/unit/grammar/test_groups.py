"""`by=`: which columns it counts by, and what it can't be combined with."""

import pytest

from bot.grammar.parser import parse_kill, parse_sessions
from bot.grammar.requests import GroupsRequest, SessionsRequest, Target
from bot.grammar.terms import Field
from tests.unit.grammar.typed import refusal, user


def test_groups_take_target_filters_and_private() -> None:
    assert parse_sessions("by=user,client prod/some_db user=web private") == GroupsRequest(
        (Field.USENAME, Field.CLIENT_ADDR),
        SessionsRequest(Target("prod", "some_db"), terms=(user("web"),), private=True),
    )


@pytest.mark.parametrize(
    ("text", "word", "problem"),
    [
        ("by=", "by=", "its value is missing"),
        ("by=app,", "by=app,", "a name before or after a `,` is missing"),
        ("by!=app", "by!=app", "use `=`"),
        ("by=app by=state", "by=state", "`by=` is given twice"),
        ("by=app,application_name", "application_name", "this column is named twice"),
        ("by=app,user,db,state", "by=app,user,db,state", "`by=` takes at most 3 columns"),
        ("by=app 33507", "33507", "`by=` counts sessions by filters, not by pids"),
        ("by=app sort=pid", "sort=", "can't be combined with `by=`, which has its own table"),
        ("by=app columns=pid", "columns=", "can't be combined with `by=`, which has its own table"),
        ("by=app limit=5", "limit=", "can't be combined with `by=`, which has its own table"),
        ("why by=app", "by=app", "/pg-sessions why doesn't take this"),
        ("horizon by=app", "by=app", "/pg-sessions horizon doesn't take this"),
    ],
)
def test_groups_that_cant_be_understood_are_named(text: str, word: str, problem: str) -> None:
    error = refusal(parse_sessions, text)
    assert (error.word, error.problem) == (word, problem)


def test_a_misspelt_column_gets_the_nearest_one() -> None:
    error = refusal(parse_sessions, "by=stat,app")
    assert error.word == "stat"
    assert error.problem.startswith("`by=` counts by `user`, `db`, `app`")
    assert error.nearest == ("by=state",)


def test_kill_takes_no_groups_and_says_what_to_do() -> None:
    error = refusal(parse_kill, "some_db by=app")
    assert error.word == "by=app"
    assert error.problem == (
        "a kill takes one group, by its own filter; count with `/pg-sessions by=`"
    )
    assert refusal(parse_kill, "history by=app").problem == "only /pg-sessions takes this"
