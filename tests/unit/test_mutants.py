"""How mutants are named: an edit elsewhere doesn't rename them. And how patterns are broken."""

from difflib import unified_diff

import pytest

from scripts.pattern_mutants import pattern_mutants
from tests.mutants import Mutant, keys


def mutant(before: str, after: str) -> Mutant:
    return Mutant.of("x.py f", unified_diff(before.splitlines(), after.splitlines(), lineterm=""))


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        ("if a.b > c:  # why", "if a.b >= c:  # why", "> => >="),
        ("call(a, b)", "call(a, )", "b =>"),
        ("call(\n    a,\n    b,\n)", "call(\n    a,\n)", "b =>"),
        ('word = ""', 'word = "XXXX"', "=> XXXX"),
    ],
)
def test_mutant_is_named_by_the_words_that_differ(before: str, after: str, change: str) -> None:
    assert mutant(before, after).change == change


def test_equal_changes_are_numbered_in_the_order_of_the_code() -> None:
    code = "a = 1\nb = 1\nc = 1, 1"
    changed = ["a = 1\nb = 1\nc = 1, 2", "a = 1\nb = 1\nc = 2, 1", "a = 1\nb = 2\nc = 1, 1"]
    found = keys([mutant(code, each) for each in (*changed, changed[0])])
    assert [change for _, change in found.values()] == [
        "1 => 2",
        "1 => 2 (2)",
        "1 => 2 (3)",
    ]
    assert [each.line for each in found] == [2, 3, 3]


@pytest.mark.parametrize(
    ("pattern", "mutants"),
    [
        ("a", []),
        ("a|b", ["b", "a"]),
        ("a+?b??c*+", ["a*?b??c*+", "a+?bc*+", "a+?b??c++"]),
        ("[^ab]", ["[ab]", "[^b]", "[^a]"]),
        ("a(?=b)(?<!c)", ["a(?<!c)", "a(?=b)"]),
    ],
)
def test_pattern_is_broken_in_one_place_at_a_time(pattern: str, mutants: list[str]) -> None:
    assert [*pattern_mutants(pattern)] == mutants


def test_alternatives_may_stand_in_several_strings() -> None:
    source = """(a"  # (why?
        r"|b"
        rf"|c)"""
    assert ["".join(each.split()) for each in pattern_mutants(source)] == [
        '(b"rf"|c)',
        '(a"#(why?r"|c)',
        '(a"#(why?r"|b"rf")',
    ]
