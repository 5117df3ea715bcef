"""Convert a server's messages to UTF-8 before asyncpg reads them.

asyncpg decodes an error's texts strictly. If one isn't UTF-8, it loses the whole error, including
the SQLSTATE: a refused connection then looks like one that was closed without a word, and a
refused statement waits until its time limit. Until a session has a database, a server writes in
the encoding of its lc_messages; with SQL_ASCII it converts nothing later either.

https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

from typing import Any

import asyncpg.protocol

from bot.driver import decoding

_IN_WORDS = b"ENS"
"""ErrorResponse, NoticeResponse, ParameterStatus: codes and texts, each ending with a zero byte."""

_SERVER_ENCODING = b"server_encoding\0"

_HEAD = 5
"""Bytes of a message's type and its length, which includes itself."""


class Readable:
    """The messages of one connection, which arrive in pieces of any size."""

    def __init__(self) -> None:
        self._begun = b""  # the beginning of a message that must be complete before it is read
        self._passing = 0  # remaining bytes of a message that is passed on as it is
        self._encoding = "SQL_ASCII"  # the database's encoding, once the server has reported it

    def __call__(self, data: bytes) -> bytes:
        """Take the next piece; return what may be passed on."""
        data = self._begun + data
        at = min(self._passing, len(data))
        self._passing -= at
        passed, done = 0, []
        while len(data) - at >= _HEAD:
            end = at + 1 + int.from_bytes(data[at + 1 : at + _HEAD])
            if data[at] in _IN_WORDS:
                if end > len(data):
                    break
                if (message := self._utf8(data[at:end])) is not None:
                    done += [data[passed:at], message]
                    passed = end
            elif end > len(data):
                self._passing = end - len(data)
                end = len(data)
            at = end
        self._begun = data[at:]
        return b"".join([*done, data[passed:at]])

    def _utf8(self, message: bytes) -> bytes | None:
        """The message in UTF-8; None if it already is."""
        body = message[_HEAD:]
        if message[:1] == b"S" and body.startswith(_SERVER_ENCODING):
            self._encoding = body.removeprefix(_SERVER_ENCODING).rstrip(b"\0").decode()
        try:
            body.decode()
        except UnicodeDecodeError:
            words = decoding.read(body, self._encoding).encode()
            return message[:1] + (len(words) + _HEAD - 1).to_bytes(4) + words
        return None


class _Protocol(asyncpg.protocol.Protocol):
    def __init__(self, *arguments: Any) -> None:  # noqa: ANN401  the driver's own
        super().__init__(*arguments)
        self._readable = Readable()

    def data_received(self, data: bytes) -> None:  # type: ignore[override]
        if passed := self._readable(data):
            super().data_received(passed)


def prepare() -> None:
    """Make asyncpg's connections use this. asyncpg offers no other hook for its protocol."""
    asyncpg.protocol.Protocol = _Protocol  # type: ignore[misc,assignment]
