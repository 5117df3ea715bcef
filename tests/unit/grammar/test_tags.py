"""`tag.key=`: a filter of looks, never of kills."""

import pytest

from bot.grammar.parser import parse_kill, parse_sessions
from bot.grammar.terms import Pattern, Tagged
from tests.unit.grammar.typed import refusal, term_of


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("tag.job=Mailer", Tagged("job", Pattern(("Mailer",)))),
        ("TAG.jobClass != A::B*", Tagged("jobClass", Pattern(("A::B", "")), negated=True)),
        ('tag.endpoint_id="a b"', Tagged("endpoint_id", Pattern(("a b",)))),
        ("tag.a.b=*", Tagged("a.b", Pattern(("", "")))),
    ],
)
def test_a_tag_is_compared_as_a_name_is(text: str, term: Tagged) -> None:
    assert term_of(text) == term


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("tag.=x", "a tag's key has letters, digits, `_`, `.` and `-`"),
        ("tag.a/b=x", "a tag's key has letters, digits, `_`, `.` and `-`"),
        ("tag.job>x", "use `=` or `!=`"),
        ("tag.job=", "its value is missing"),
        ('tag.job=""', "the value is empty; to find sessions without the tag: `!=*`"),
        ("sort=-tags", "a table can't be sorted by tags; `tag.job=` narrows it"),
    ],
)
def test_a_tag_that_cant_be_understood_is_named(text: str, problem: str) -> None:
    assert refusal(parse_sessions, text).problem == problem


def test_kill_takes_no_tags_and_says_why() -> None:
    error = refusal(parse_kill, "some_db tag.job=Mailer")
    assert error.word == "tag.job=Mailer"
    assert error.problem == (
        "a kill takes no tags: clients choose them, and they may be cut off."
        " Look with /pg-sessions, then name the pids"
    )
    assert refusal(parse_kill, "history tag.job=x").problem == "only /pg-sessions takes this"
    assert refusal(parse_sessions, "why tag.job=x").problem == (
        "/pg-sessions why doesn't take this"
    )
