"""Bytes of a server as text, whatever encoding they are in.

A query is in the encoding of its own session's database, and names in that of the database where
they were given. The server takes all of them for texts in the encoding of the bot's database: to
have it convert them to the client's garbles some and fails at what isn't valid. So on the bot's
connections to clusters `client_encoding` is SQL_ASCII, which converts nothing, and such texts come
as bytes (`textsend`).

https://www.postgresql.org/docs/current/multibyte.html
"""

import codecs
import re
from functools import cache

_NOT_ASCII = re.compile(rb"[\x80-\xff]+")
_NEVER_TAKES_ASCII = ("utf-8", "cp", "iso8859", "koi8")
"""Codecs for which no byte below 0x80 is ever a part of something else, valid or not."""
_ALIASES = {"KOI8R": "koi8_r", "KOI8U": "koi8_u"}


def read(raw: bytes, encoding: str) -> str:
    r"""The text, with what isn't valid in it as `\xe9`.

    `encoding` is PostgreSQL's name for it. SQL_ASCII, and what Python doesn't know, is read as
    UTF-8. ASCII stays ASCII: no quote is lost to a character that was cut before it.
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
