"""What Slack, phones and Macs make of a text, and mistyped words."""

from collections.abc import Callable

import pytest

from bot.grammar.parser import parse_kill, parse_sessions
from bot.grammar.requests import MAX_REASON, MAX_TEXT, KillRequest, Target
from bot.grammar.suggest import distance, nearest
from bot.grammar.terms import Term
from tests.unit.grammar.typed import refusal, target_of, term_of, user


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("user=“a b”", user("a b")),
        ("user=„a b“", user("a b")),
        ("user=«a b»", user("a b")),
        ("user=»a b«", user("a b")),
        ("user=”a b”", user("a b")),
        ('user=“a b"', user("a b")),
        ("user=‘a b’", user("a b")),
        ("user=‚a b‘", user("a b")),
        ("user=“a ””b”", user('a "b')),
        ("user=“o’brien”", user("o'brien")),
        ("user=o’brien", user("o'brien")),
        ('user="a ”b“ ’c’ —"', user("a ”b“ ’c’ —")),
        ("user=a—b", user("a—b")),
        ("user\u00a0=\u202fweb", user("web")),
        ("\u3000user=web\u2003", user("web")),
        ("\nuser=web\t", user("web")),
    ],
)
def test_typographic_characters_mean_what_was_typed(text: str, expected: Term) -> None:
    assert term_of(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "33507 -- it's stuck",
        "33507 — it's stuck",
        "33507 – it's stuck",
        "33507 —it's stuck",
        "33507 --it's stuck",
        "33507\u00a0—\u00a0it's stuck",
        "33507\n--\n\tit's stuck  ",
    ],
)
def test_reason_follows_two_dashes_or_a_phones_dash(text: str) -> None:
    assert parse_kill(text) == KillRequest(pids=(33507,), reason="it's stuck")


def test_a_reason_keeps_its_characters() -> None:
    request = parse_kill('33507 -- “holds”  user=x &amp;lt; — it’s *late* "')
    assert request == KillRequest(pids=(33507,), reason='“holds”  user=x &lt; — it’s *late* "')


def test_a_reason_is_one_line() -> None:
    assert parse_kill("1 -- a\nb\tc\r\nd\u2028e") == KillRequest(pids=(1,), reason="a b c d e")


@pytest.mark.parametrize("text", ["33507 --", "33507 —", "33507 --  \n "])
def test_an_empty_reason_is_none(text: str) -> None:
    assert parse_kill(text) == KillRequest(pids=(33507,))


def test_reason_length_is_limited() -> None:
    reason = "x" * MAX_REASON
    assert parse_kill(f"1 -- {reason}") == KillRequest(pids=(1,), reason=reason)
    error = refusal(parse_kill, f"1 -- {reason}x")
    assert error.word == "x" * 59 + "…"
    assert str(MAX_REASON) in error.problem


@pytest.mark.parametrize(
    ("character", "named"),
    [
        ("\0", "U+0000"),
        ("\x1f", "U+001F"),
        ("\x1b", "U+001B"),
        ("\u200b", "U+200B (ZERO WIDTH SPACE)"),
        ("\u202e", "U+202E (RIGHT-TO-LEFT OVERRIDE)"),
        ("\u2066", "U+2066 (LEFT-TO-RIGHT ISOLATE)"),
        ("\ufeff", "U+FEFF (ZERO WIDTH NO-BREAK SPACE)"),
        ("\u00ad", "U+00AD (SOFT HYPHEN)"),
        ("\ud800", "U+D800"),
    ],
)
@pytest.mark.parametrize("place", ["some_db user=a{}b", 'some_db user="a {}b"', "1 -- x a{}b c"])
def test_a_character_that_cant_be_seen_is_named(character: str, named: str, place: str) -> None:
    error = refusal(parse_kill, place.format(character))
    assert error.problem == f"contains {named}, which is invisible"
    assert f"U+{ord(character):04X}b" in error.word
    assert error.word.isprintable()


def test_the_word_at_fault_is_shown_in_one_line() -> None:
    assert refusal(parse_kill, 'a "b\nc"').word == '"bU+000Ac"'
    assert refusal(parse_kill, "a\u200b b").word == "aU+200B"
    assert refusal(parse_kill, "a \u200b b").word == "U+200B"
    assert refusal(parse_kill, f"a {'b' * 60}").word == "b" * 60
    assert refusal(parse_kill, f"a {'b' * 61}").word == "b" * 59 + "…"


def test_command_length_is_limited() -> None:
    assert target_of("x" * MAX_TEXT) == Target(None, "x" * MAX_TEXT)
    assert target_of("&amp;" * MAX_TEXT) == Target(None, "&" * MAX_TEXT)
    assert str(MAX_TEXT) in refusal(parse_sessions, "x" * (MAX_TEXT + 1)).problem
    assert refusal(parse_sessions, "x" * (MAX_TEXT + 1)).word == ""
    assert str(MAX_TEXT) in refusal(parse_kill, " " * (MAX_TEXT + 1)).problem


@pytest.mark.parametrize(
    ("parse", "start"), [(parse_sessions, ""), (parse_kill, ""), (parse_kill, "history ")]
)
def test_a_command_that_is_longer_when_printed_is_refused_too(
    parse: Callable[[str], object], start: str
) -> None:
    text = f"{start}user='" + '"' * (MAX_TEXT - len(start) - 7) + "'"
    assert len(text) == MAX_TEXT
    error = refusal(parse, text)
    assert error.word == ""
    assert (
        error.problem == f"the command, spelled out in full, is longer than {MAX_TEXT} characters"
    )


@pytest.mark.parametrize(
    ("left", "right", "edits"),
    [
        ("", "", 0),
        ("state", "state", 0),
        ("", "abc", 3),
        ("abc", "", 3),
        ("stat", "state", 1),
        ("statte", "state", 1),
        ("stade", "state", 1),
        ("sttae", "state", 1),
        ("badc", "abcd", 2),
        ("ca", "abc", 3),  # swapped letters are not changed again
        ("kitten", "sitting", 3),
        ("abcdef", "uvwxyz", 6),
    ],
)
def test_distance_counts_insertions_deletions_changes_and_swaps(
    left: str, right: str, edits: int
) -> None:
    assert distance(left, right) == edits
    assert distance(right, left) == edits


@pytest.mark.parametrize(
    ("word", "valid", "near"),
    [
        ("stat", ["state", "wait"], ("state",)),
        ("stte", ["state", "stale", "other"], ("state",)),
        ("abc", ["xbz"], ()),  # two edits make a short word another one
        ("abcd", ["xbcz", "xyzd"], ("xbcz",)),
        ("abcdefgh", ["abcdexyz"], ("abcdexyz",)),
        ("abcdefg", ["abcdxyz"], ()),
        # a prefix of a word is two edits away, whatever follows
        ("app", ["application_name"], ("application_name",)),
        ("application_name", ["app"], ("app",)),
        ("abcd", ["abcdxyz", "xbcz"], ("abcdxyz", "xbcz")),
        ("abcdefghijkl", ["abcdefghijklmnop", "abcdefghixyz"], ("abcdefghijklmnop",)),
        ("apps", ["apps_of_all", "app"], ("app",)),
        ("dbname", ["db"], ()),
        ("db", ["dbname"], ()),
        ("dba", ["dbaname"], ("dbaname",)),
        ("zzz", ["state"], ()),
    ],
)
def test_the_nearest_words_are_suggested(
    word: str, valid: list[str], near: tuple[str, ...]
) -> None:
    assert nearest(word, valid) == near
