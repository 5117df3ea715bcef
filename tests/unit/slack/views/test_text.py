import re
import sys
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wcwidth import wcwidth

from bot.domain.sessions import Limit
from bot.slack.views import blocks, lines, tables
from bot.slack.views.lines import WORD_JOINER, Own, Person, Quoted, name_in_text, plain
from bot.slack.views.tables import Column
from bot.slack.views.text import age, bar, count, of_them, some, took
from bot.text import cost, cut, is_visible, visible

MINUTE, HOUR, DAY = 60, 3600, 86_400


@pytest.mark.parametrize(
    ("seconds", "told", "short"),
    [
        (-1, "0 s", "0 s"),
        (0.9, "0 s", "0 s"),
        (59, "59 s", "59 s"),
        (60, "1 min", "1 min"),
        (4 * MINUTE + 12, "4 min 12 s", "4 min"),
        (10 * MINUTE + 12, "10 min", "10 min"),
        (32 * MINUTE + 59, "32 min", "32 min"),
        (2 * HOUR, "2 h", "2 h"),
        (2 * HOUR + 5 * MINUTE + 59, "2 h 5 min", "2 h"),
        (23 * HOUR + 59 * MINUTE, "23 h", "23 h"),
        (3 * DAY + 4 * HOUR, "3 d 4 h", "3 d"),
        (3 * DAY + 4 * MINUTE, "3 d", "3 d"),
        (400 * DAY, "400 d", "400 d"),
    ],
)
def test_age_has_two_units_if_the_first_is_small(seconds, told, short):
    assert age(timedelta(seconds=seconds)) == told
    assert age(timedelta(seconds=seconds), short=True) == short


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.0124, "12 ms"), (0.9994, "999 ms"), (1.26, "1.3 s"), (5, "5.0 s"), (125, "2 min 5 s")],
)
def test_duration_is_as_precise_as_useful(seconds, told):
    assert took(timedelta(seconds=seconds)) == told


@pytest.mark.parametrize(
    ("used", "limit", "filled"),
    [(0, 97, 0), (1, 97, 1), (62, 97, 6), (96, 97, 9), (97, 97, 10), (98, 97, 10), (0, 0, 10)],
)
def test_a_bar_is_full_only_at_the_limit_and_empty_only_at_nothing(used, limit, filled):
    assert bar(Limit("connections", used, limit)) == "■" * filled + "□" * (10 - filled)


def test_counts_and_lists_read_as_a_sentence():
    assert [count(n, "query", "queries") for n in (0, 1, 2)] == [
        "0 queries",
        "1 query",
        "2 queries",
    ]
    assert [some("abcd"[:n], 3) for n in range(5)] == [
        "",
        "a",
        "a and b",
        "a, b and c",
        "a, b, c and 1 more",
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\tc", "a b c"),
        ("a\u00a0b\u2028c", "a b c"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("\u2066x\u2069", r"\u2066x\u2069"),
        ("a\u200bb\ufeff", r"a\u200bb\ufeff"),
        ("\x00\x1b[31m", r"\u0000\u001b[31m"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
        ("\u3164\u2800", r"\u3164\u2800"),
        ("café 漢字 😀", "café 漢字 😀"),
    ],
)
def test_invisible_characters_show_as_codes(text, shown):
    assert visible(text) == shown


def test_a_cut_counts_wide_characters_twice_and_ends_in_an_ellipsis():
    assert cut("漢字漢字", 8) == "漢字漢字"
    assert cut("漢字漢字", 7) == "漢字漢…"
    assert cut("abcdef", 4) == "abc…"
    assert cut("e" + "\u0301" * 200, 10) == "e" + "\u0301" * 8 + "…"


def test_no_visible_character_costs_less_than_its_columns():
    became_wide_in_unicode_16 = {*range(0x2630, 0x2638), *range(0x268A, 0x2690)}
    became_wide_in_unicode_16 |= {*range(0x4DC0, 0x4E00)}
    characters = filter(is_visible, map(chr, range(sys.maxunicode + 1)))
    cheap = {ord(each) for each in characters if cost(each) < wcwidth(each)}
    assert cheap <= became_wide_in_unicode_16


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


@pytest.mark.parametrize(
    ("number", "of", "said"),
    [
        (1, 1, "gone"),
        (1, 2, "1 of them gone"),
        (2, 2, "both of them gone"),
        (0, 3, "0 of them gone"),
        (3, 4, "3 of them gone"),
        (4, 4, "all of them gone"),
    ],
)
def test_all_of_some_are_not_counted_again(number, of, said):
    assert of_them(number, of, "gone") == said


def test_a_table_is_cut_in_width_before_a_row_is_left_out():
    columns = [Column("pid", (10,)), Column("query", (80, 50)), Column("host", (63, 0))]
    small = tables.fit(columns, [["1", "q" * 90, None]])
    assert small.cells == (("pid", "query", "host"), ("1", "q" * 79 + "…", " "))
    wide = tables.fit(columns, [["1", "q" * 90, "h" * 70]] * 99)
    assert wide.shown == 99
    assert wide.cells[0] == ("pid", "query")
    assert wide.cells[99] == ("1", "q" * 49 + "…")


def test_rows_that_do_not_fit_are_counted():
    fitted = tables.fit([Column("query", (200,))], [["q" * 200]] * 99)
    assert fitted.shown == 47
    assert len(fitted.cells) == 48
    assert tables.fit([Column("pid")], [["1"]] * 120).shown == 99
    assert tables.fit([Column("pid")], [["1"]] * 30, most=19).shown == 19


def test_a_button_refuses_a_value_that_slack_would_refuse():
    assert blocks.button("Next", "a", "v" * 2000)["value"] == "v" * 2000
    with pytest.raises(ValueError, match="2001"):
        blocks.button("Next", "a", "v" * 2001)


def test_no_buttons_make_no_block():
    assert blocks.actions([]) is None
