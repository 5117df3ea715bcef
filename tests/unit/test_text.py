import sys

import pytest
from wcwidth import wcwidth

from bot.text import cost, cut, is_visible, visible


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
