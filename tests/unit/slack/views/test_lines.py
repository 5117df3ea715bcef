import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.slack.views import lines
from bot.slack.views.lines import WORD_JOINER, Own, Person, Quoted, name_in_text, plain
from bot.text import cost, visible


def test_empty_text_becomes_a_space():
    assert plain("") == plain(None) == " "


@given(st.text(max_size=200), st.integers(1, 80))
def test_a_plain_text_never_costs_more_than_it_may(text, most):
    shown = plain(text, most)
    assert cost(shown) <= most
    assert len(shown.encode("utf-16-le", "surrogatepass")) // 2 <= most
    assert visible(shown) == shown


@pytest.mark.parametrize("name", ["some_user", "web-1", "A", "a_b_c", "33507"])
def test_an_ordinary_name_stays_as_it_is_in_the_text(name):
    assert name_in_text(name) == name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("<!channel>", "&lt;!channel&gt;"),
        ("<@U1>", "&lt;@~U1&gt;"),
        ("*b*", "*~b*~"),
        ("_i_", "_~i_~"),
        (":boom:", ":~boom:"),
        ("> quoted", "~&gt; quoted"),
        ("\n>quoted", "~ &gt;quoted"),
        ("http://evil.com", "http:~//evil.~com"),
        ("a&lt;b", "a&amp;lt;b"),
        ("@here", "@~here"),
        ("`x`", "`~x`~"),
        ("18.6 on 10.0.0.1:5432", "18.6 on 10.0.0.1:5432"),
        ("user=some_user", "user=some_user"),
        ("", " "),
    ],
)
def test_any_other_name_in_the_text_is_escaped_and_its_markup_broken(name, shown):
    assert name_in_text(name) == shown.replace("~", WORD_JOINER)


@given(st.text(max_size=100))
def test_no_name_in_the_text_can_begin_markup(name):
    shown = name_in_text(name)
    assert re.fullmatch("(?:[^&<>]|&amp;|&lt;|&gt;)*", shown)
    if shown != name:
        assert not re.search(f"[@#*~`](?!{WORD_JOINER})", shown)
        assert not re.search(r"\.[^\W\d_]|:/|:[a-z0-9+-]+:|^ *&gt;", shown)
        assert not re.search(f"(?<![A-Za-z0-9])_(?!{WORD_JOINER})", shown)


def test_quoted_name_and_our_colon_form_no_emoji():
    for name in ("boom", "x:boom", ":boom", ":100"):
        assert not re.search(":[a-z0-9]+:", lines.spoken((Quoted(name), ": no such role")))
    assert lines.spoken((Quoted("db:5432"), ", ", "main")) == "db:5432, main"


def test_only_a_users_id_becomes_a_mention():
    assert lines.person("U0ALICE") == Person("U0ALICE")
    assert lines.person("W0ALICE") == Person("W0ALICE")
    for other in ("S0ONCALL", "@carol", "U1> <!channel", "U", "u0alice", "U0ALICE\n", ""):
        assert lines.person(other) == Quoted(other)
    assert lines.channel("<!here>") == Quoted("<!here>")


def test_a_line_keeps_quoted_text_out_of_markup_wherever_it_goes():
    line = ("asked by ", Person("U0ALICE"), " for ", Quoted("<!channel> *b*"), " · ", Own("a<b"))
    assert lines.spoken(line) == (
        f"asked by <@U0ALICE> for &lt;!channel&gt; *{WORD_JOINER}b*{WORD_JOINER} · a&lt;b"
    )
    assert lines.rich(line)[3] == {"type": "text", "text": "<!channel> *b*"}
    assert lines.inline(line) == [
        {"type": "mrkdwn", "text": "asked by <@U0ALICE> for", "verbatim": True},
        {"type": "plain_text", "text": "<!channel> *b*", "emoji": False},
        {"type": "mrkdwn", "text": "· a&lt;b", "verbatim": True},
    ]


def test_backticks_in_our_words_mark_what_is_to_be_typed():
    assert lines.worded("use `>` or `<`") == (
        Quoted("use ", 500),
        Quoted(">", 500, code=True),
        Quoted(" or ", 500),
        Quoted("<", 500, code=True),
    )
    assert lines.worded("a `b") == (Quoted("a ", 500), Quoted("b", 500))


def test_a_long_list_says_how_many_more_there_are():
    names = tuple(Quoted(str(n)) for n in range(5))
    assert lines.spoken(lines.listed(names, last="or", most=3)) == "0, 1, 2 or 2 more"
    assert lines.spoken(lines.listed(names[:2])) == "0 and 1"
    assert lines.listed(()) == ()
