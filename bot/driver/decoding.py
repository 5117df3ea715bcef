"""Decode a server's bytes, whatever their encoding.

A query is in the encoding of its own session's database, a name in the encoding of the database in
which it was given. The server treats all of them as being in the encoding of the bot's database. If
it converted them for the client, it would garble some and fail on invalid ones. So the bot's
connections to clusters use the `client_encoding` SQL_ASCII, which converts nothing, and such texts
come as bytes (`textsend`).

https://www.postgresql.org/docs/current/multibyte.html
"""

import codecs
import re
from functools import cache

_NOT_ASCII = re.compile(rb"[\x80-\xff]+")
_NEVER_TAKES_ASCII = ("utf-8", "cp", "iso8859", "koi8")
"""Codecs in which a byte below 0x80 is always a character of its own, in valid text or not."""
_ALIASES = {"KOI8R": "koi8_r", "KOI8U": "koi8_u"}


def read(raw: bytes, encoding: str) -> str:
    r"""The text, with invalid bytes written as `\xe9`.

    `encoding` is PostgreSQL's name. SQL_ASCII, and any encoding that Python doesn't know, is read
    as UTF-8. ASCII stays ASCII: a truncated character never swallows the quote after it.
    """
    codec = _codec(encoding)
    if codec.startswith(_NEVER_TAKES_ASCII):
        return raw.decode(codec, "backslashreplace")

    def decoded(part: re.Match[bytes]) -> bytes:
        return part[0].decode(codec, "backslashreplace").encode()

    return _NOT_ASCII.sub(decoded, raw).decode()


@cache
def _codec(encoding: str) -> str:
    try:
        return codecs.lookup(_ALIASES.get(encoding, re.sub("^WIN", "cp", encoding))).name
    except LookupError:
        return "utf-8"
