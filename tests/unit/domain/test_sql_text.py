"""Names and texts in statements that people copy."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.sql_text import identifier, literal
from bot.text import is_visible


@pytest.mark.parametrize(
    ("name", "sql"),
    [
        ("some_user", "some_user"),
        ("web2", "web2"),
        ("user", '"user"'),
        ("Web", '"Web"'),
        ("2web", '"2web"'),
        ('O"Hara', '"O""Hara"'),
        ("x; drop role y --", '"x; drop role y --"'),
        ("a\u202eb", 'U&"a\\202eb"'),
        ("a\\\n", 'U&"a\\\\\\000a"'),
        ("\U000e0001", 'U&"\\+0e0001"'),
    ],
)
def test_identifier(name: str, sql: str) -> None:
    assert identifier(name) == sql


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("tx7", "'tx7'"),
        ("it's", "'it''s'"),
        ("a\\b", "E'a\\\\b'"),
        ("'; drop table t; --", "'''; drop table t; --'"),
        ("a\nb", "E'a\\u000ab'"),
        ("\U000e0001", "E'\\U000e0001'"),
    ],
)
def test_literal(text: str, sql: str) -> None:
    assert literal(text) == sql


@given(st.text())
def test_whatever_it_is_one_name_and_can_be_seen(name: str) -> None:
    assert is_visible(identifier(name))
    assert is_visible(literal(name))
    assert re.fullmatch(r'[a-z_][a-z0-9_]*|(?:U&)?"(?:[^"]|"")*"', identifier(name))
    assert re.fullmatch(r"E?'(?:[^']|'')*'", literal(name))
