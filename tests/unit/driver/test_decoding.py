import re
from itertools import product

import pytest

from bot.driver.decoding import read

# The encodings that a server may have: https://www.postgresql.org/docs/current/multibyte.html
ENCODINGS = (
    *("EUC_CN", "EUC_JIS_2004", "EUC_JP", "EUC_KR", "EUC_TW", "JOHAB", "MULE_INTERNAL"),
    *("KOI8R", "KOI8U", "SQL_ASCII", "UTF8", "WIN866", "WIN874"),
    *(f"ISO_8859_{n}" for n in range(5, 9)),
    *(f"LATIN{n}" for n in range(1, 11)),
    *(f"WIN{n}" for n in range(1250, 1259)),
)


@pytest.mark.parametrize(
    ("raw", "encoding", "text"),
    [
        (b"caf\xe9", "LATIN1", "café"),
        (b"caf\xe9", "WIN1251", "cafй"),
        (b"caf\xe9", "UTF8", r"caf\xe9"),
        (b"caf\xe9", "SQL_ASCII", r"caf\xe9"),
        (b"caf\xc3\xa9", "SQL_ASCII", "café"),
        ("日本語".encode("euc_jp"), "EUC_JP", "日本語"),
        ("日本語".encode("euc_jp")[:-1], "EUC_JP", r"日本\xb8"),
        ("Привет".encode("koi8_r"), "KOI8R", "Привет"),
        (b"\x98", "WIN1251", r"\x98"),
        (b"", "UTF8", ""),
    ],
)
def test_bytes_are_read_in_their_own_encoding(raw: bytes, encoding: str, text: str) -> None:
    assert read(raw, encoding) == text


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_truncated_character_does_not_swallow_a_quote(encoding: str) -> None:
    r"""Redaction relies on quotes. (Invalid bytes become `\xe9` in the text.)

    Tries every text of up to four pieces: no character of these encodings has more bytes.
    """
    pieces = (b"'", b"\\", b"$a$", b"\xa4", b"\xd4", b"\x8f", b"\xe9")
    for length in range(5):
        for raw in map(b"".join, product(pieces, repeat=length)):
            kept = re.sub(r"\\x[0-9a-f]{2}", "", read(raw, encoding))
            assert [c for c in kept if c.isascii()] == [chr(n) for n in raw if n < 0x80], raw
