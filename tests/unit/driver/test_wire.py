from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bot.driver.wire import Readable


def message(kind: bytes, body: bytes) -> bytes:
    return kind + (len(body) + 4).to_bytes(4) + body


def error(words: bytes) -> bytes:
    return message(b"E", b"SFATAL\0C28P01\0M" + words + b"\0\0")


LATIN1 = message(b"S", b"server_encoding\0LATIN1\0")
ROW = message(b"D", b"\0\1\0\0\0\2\xe9\xff")
READY = message(b"Z", b"I")


def read(*pieces: bytes) -> bytes:
    readable = Readable()
    return b"".join(map(readable, pieces))


def test_only_errors_are_converted_to_utf8() -> None:
    assert read(ROW + error(b"f\xfcr") + READY) == ROW + error(rb"f\xfcr") + READY
    assert read(ROW + error("für".encode()) + READY) == ROW + error("für".encode()) + READY


def test_an_error_is_in_the_encoding_of_the_database_once_that_is_known() -> None:
    assert read(LATIN1 + error(b"f\xfcr")) == LATIN1 + error("für".encode())


def test_a_field_ends_where_the_server_ended_it() -> None:
    """The first byte of a two-byte character ends the text."""
    japanese = message(b"S", b"server_encoding\0EUC_JP\0")
    assert read(japanese + error(b"\xc6")) == japanese + error(rb"\xc6")


@given(
    messages=st.lists(st.sampled_from([LATIN1, ROW, READY, error(b"f\xfcr"), error(b"plain")])),
    cuts=st.lists(st.integers(0, 200)),
)
def test_pieces_of_any_size_give_the_same_result(messages: list[bytes], cuts: list[int]) -> None:
    said = b"".join(messages)
    places = sorted({0, len(said), *(cut for cut in cuts if cut < len(said))})
    pieces = [said[a:b] for a, b in pairwise(places)]
    assert read(*pieces) == read(said)


def test_one_byte_at_a_time() -> None:
    said = LATIN1 + ROW + error(b"f\xfcr") + READY
    assert read(*(bytes([byte]) for byte in said)) == read(said)
