"""What leaves a comment: only tags that are allowed, and nothing that isn't one."""

import re
import timeit
from time import thread_time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.domain.query_tags import LONGEST, READ, SHAPE, carried, query_tags
from bot.grammar.terms import Pattern, Tagged

TAGS = ("job", "controller", "route")


@pytest.mark.parametrize(
    ("query", "tags"),
    [
        # marginalia
        ("/*controller:carts,job:Mailer*/ select 1", "job:Mailer controller:carts"),
        ("select 1 /*job:A::B#run,controller:api/v1*/", "job:A::B#run controller:api/v1"),
        ("select 1 /* controller:carts, job:x */", "job:x controller:carts"),
        # sqlcommenter
        (
            "select 1 /*controller='carts',route='%2Fcarts%2F%3Aid'*/",
            "controller:carts route:/carts/:id",
        ),
        ("select 1 /*job = 'x' , controller='y'*/", "job:x controller:y"),
        # key:value
        ("select 1 /* job:Mailer controller:carts */", "job:Mailer controller:carts"),
        ("select 1 /*job:a*/ from t /*controller:b*/", "job:a controller:b"),
        ("/*job:first*/ select 1 /*job:second*/", "job:first"),
        ("select 'it''s', $$x$$, \"a\", 1 -- c\n /*job:a*/", "job:a"),
        ("select 1 /*+ IndexScan(t) */ /*job:a*/", "job:a"),
        # other keys, and parts that are something else
        ("/*password:hunter2,job:a*/", "job:a"),
        ("/*job:a,for support@example.com*/", "job:a"),
        # commas and tags inside of quotation marks
        ("/*note='x,job:hidden,y',job='a'*/", "job:a"),
        ("/*note='x, job:hidden',controller='b'*/", "controller:b"),
        ("/*my%20key='1,2',job='a'*/", "job:a"),
        ("/*job='a,b',controller='b'*/", "controller:b"),
        ("/*job:a,it's x, note='b,job:hidden,c'*/", "job:a"),
        ("/*controller:b,note='x\\',job='y,job:hidden,z'*/", "controller:b"),
        ("/*controller:b,note='x,job:hidden*/", "controller:b"),
        ('/* {"note":"x,job:hidden,y"} */', ""),
        ('/*note:"x, job:hidden, y"*/', ""),
        ("/*job:a for b*/", ""),
        ("/*job:My Mailer*/", ""),
        ("/* job: a */", ""),
        ("/*job:*/", ""),
        ("/*job*/", ""),
        ("/*JOB:a*/", ""),
        ("/*xjob:a*/", ""),
        ("/*job:a@b*/", ""),
        ("/*job='a b'*/", ""),
        ("/*job='a%20b'*/", ""),
        ("/*job='%3Cscript'*/", ""),
        (r"/*job='a\'b'*/", ""),
        ("/*job='a*/", ""),
        ("/*job:'a'*/", ""),
        ("/*job=a*/", ""),
        (f"/*job:{'a' * LONGEST}*/", f"job:{'a' * LONGEST}"),
        (f"/*job:{'a' * (LONGEST + 1)}*/", ""),
        ("/*job:é*/", ""),
        ("/*job='%C3%A9'*/", ""),
        ("/*job='%FF'*/", ""),
        ("/*job:a\u200b*/", ""),
        # not comments, or not whole ones
        ("select '/*job:a*/'", ""),
        ("select $$/*job:a*/$$", ""),
        ("select $x$ $$/*job:a*/ $x$", ""),
        ("select E'\\'/*job:a*/'", ""),
        ("select '\\'/*job:a*/'", ""),
        ('select "/*job:a*/"', ""),
        ("select 1 -- /*job:a*/", ""),
        ("select 1 /*job:a", ""),
        ("select 1 /*job:a,controller:b", ""),
        ("select /* /*job:a*/ */ 1", ""),
        ("select /*job:a /* x */ */ 1", ""),
        ("select 'cut /*job:a*/", ""),
        ("https://u:p@h/*job:a*/", ""),
        ("select $a$x$a$ /*job:a*/ || $a$y$a$", "job:a"),
        # An address holds no comment, unless it isn't one and a literal begins in it.
        ("https://h/ /*job:a*/", "job:a"),
        ("https://h/' /*job:a*/", ""),
        ("select 1", ""),
        ("", ""),
    ],
)
def test_only_whole_tags_with_allowed_keys_are_read(query: str, tags: str) -> None:
    found = query_tags(query, TAGS)
    assert " ".join(f"{key}:{value}" for key, value in found.items()) == tags


def test_no_query_and_no_keys_have_no_tags() -> None:
    assert query_tags(None, TAGS) == {}
    assert query_tags("/*job:a*/", ()) == {}


HOSTILE = st.lists(
    st.one_of(
        st.sampled_from(
            [
                *("/*", "*/", "/**/", "--", "\n", "'", "''", '"', "$$", "$a$", "E'", "\\", "U&'"),
                *("job:", "job=", "job='", "controller:", "secret:", "password=", "x", ",", " "),
                *("hunter2", "s3cret", "%27", "%2A%2F", "%", "é", "漢", "\u202e", "\0", "\ud800"),
                *(":", "=", "/*job:a*/", "/*job='a'*/", "a" * 70, "://", "1$"),
            ]
        ),
        st.text(max_size=4),
    ),
    max_size=30,
).map("".join)


@given(HOSTILE)
@example("/*job:/*job:hunter2*/*/")
@example("'/*job:hunter2*/")
def test_nothing_leaves_a_comment_but_tags(query: str) -> None:
    for keys in (TAGS, ("secret",), ()):
        tags = query_tags(query, keys)
        assert set(tags) <= set(keys)
        for key, value in tags.items():
            assert SHAPE.fullmatch(value)
            assert len(value) <= LONGEST
            # It stands there as a whole, right behind its key, in one of the formats.
            assert re.search(rf"(?<![\w.:=-]){key}\s*(:|=\s*')", query)
            assert f"{key}:{value}" in query or "='" in query or re.search("=\\s+'", query)


@given(HOSTILE, st.sampled_from(["'{}'", "$x${}$x$", '"{}"', "/* /* x */ {} */", "-- {}\n"]))
def test_nothing_leaves_a_literal(inner: str, place: str) -> None:
    """However it is written, a tag inside a place that is no comment stays there."""
    marked = "/*job:hidden*/"
    for character in "'\"$\\\n\r*/":
        inner = inner.replace(character, "")
    query = f"select {place.format(inner + marked)}"
    assert "hidden" not in query_tags(query, TAGS).values()


@given(HOSTILE, HOSTILE, st.sampled_from("'\""))
def test_nothing_leaves_a_quoted_value(before: str, inner: str, quote: str) -> None:
    """Whatever it consists of, and whatever stands before it."""
    before = re.sub(r"['\"*/\\$-]", "", before)
    inner = re.sub(rf"[{quote}*/]", "", inner)
    query = f"/*{before},note={quote}{inner},job:hidden,{inner}{quote}*/"
    assert "hidden" not in query_tags(query, TAGS).values()


@given(HOSTILE, st.integers(0, 60))
def test_a_cut_query_has_no_tag_that_the_whole_one_lacks(text: str, cut: int) -> None:
    whole = f"/*{text}*/ select 1 /*job:Mailer,controller:carts*/"
    tags = query_tags(whole, TAGS)
    assert query_tags(whole[:-cut] if cut else whole, TAGS).items() <= tags.items()


@pytest.mark.parametrize(
    "unit", ["/*", "/*job:a*/", "/*a,", "/*job:", "'/*", "job='", "/*job:a ", "\\", "$a/*", ","]
)
def test_time_is_linear_in_the_part_that_is_read(unit: str) -> None:
    """A query 16 times as long should take 16 times as long; quadratic time would be 256 times."""

    def seconds(length: int) -> float:
        query = ("select /*" + unit * length)[:length] + "*/"
        repeated = timeit.repeat(
            lambda: query_tags(query, TAGS), number=1, repeat=3, timer=thread_time
        )
        return min(repeated)

    assert seconds(READ - 2) < max(seconds(READ // 16), 1e-4) * 100
    assert seconds(100 * READ) < max(seconds(READ), 1e-3) * 10


@pytest.mark.parametrize(
    ("terms", "holds"),
    [
        ([Tagged("job", Pattern(("a",)))], True),
        ([Tagged("job", Pattern(("b",)))], False),
        ([Tagged("job", Pattern(("", "")))], True),
        ([Tagged("job", Pattern(("a",)), negated=True)], False),
        ([Tagged("route", Pattern(("", "")))], False),
        ([Tagged("route", Pattern(("", "")), negated=True)], True),
        ([Tagged("job", Pattern(("a",))), Tagged("route", Pattern(("x",)))], False),
        ([], True),
    ],
)
def test_terms_compare_tags_as_filters_compare_columns(terms: list[Tagged], holds: bool) -> None:
    assert carried({"job": "a"}, terms) is holds
