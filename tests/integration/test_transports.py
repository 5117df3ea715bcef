"""The HTTP port, and whoever is slow on it."""

import asyncio
import io
from collections.abc import AsyncIterator
from time import time

import aiohttp
import pytest
from slack_bolt.async_app import AsyncApp
from slack_sdk.signature import SignatureVerifier
from slack_sdk.web.async_client import AsyncWebClient

from bot.slack import transports
from bot.slack.transports import HttpMode
from tests.e2e.conftest import free_port

SECRET = "a secret of Slack's"
HEAD = b"POST /slack/events HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """A port whose patience is short."""
    monkeypatch.setattr(transports, "BODY_WITHIN", 0.2)
    monkeypatch.setattr(transports, "LINGER", 0.2)
    monkeypatch.setattr(transports, "IDLE_WITHIN", 0.4)

    async def first_time(signature: str) -> bool:
        return True

    number = free_port()
    http = HttpMode(number, SECRET, first_time, host="127.0.0.1")
    client = AsyncWebClient(token="xoxb-1", base_url="http://127.0.0.1:1/")
    await http.open(AsyncApp(client=client, request_verification_enabled=False))
    yield number
    await http.close()


async def answer(port: int, data: bytes) -> bytes:
    """What comes back to these bytes, the connection left open, until the server closes it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize("sent", [b"", b"POST /sla", HEAD, HEAD + b"X-Slack-Sig"])
async def test_a_connection_without_a_whole_request_is_closed(port: int, sent: bytes) -> None:
    assert await answer(port, sent) == b""


async def test_a_body_that_does_not_come_is_not_waited_for(port: int) -> None:
    waiting = [answer(port, HEAD + b"Content-Length: 9\r\n\r\nabc") for _ in range(20)]
    for one in await asyncio.gather(*waiting):
        assert one.startswith(b"HTTP/1.1 408 ")


async def test_whoever_is_slow_holds_up_nobody_else(port: int) -> None:
    slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(50)]
    for _, writer in slow:
        writer.write(HEAD + b"Content-Length: 1000000\r\n\r\n" + b"x" * 1000)
    async with aiohttp.ClientSession() as session:
        assert await status(session, port, b"text=1") == 404
    for _, writer in slow:
        writer.close()


async def test_a_body_has_its_limit(port: int) -> None:
    async with aiohttp.ClientSession() as session:
        assert await status(session, port, b"a=" + b"x" * (2**20 - 2)) == 404
        assert await status(session, port, b"a=" + b"x" * (2**20 - 1)) == 413

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(40):
                yield b"x" * 2**16

        async with session.post(f"http://127.0.0.1:{port}/slack/events", data=chunks()) as refused:
            assert refused.status == 413


async def status(session: aiohttp.ClientSession, port: int, body: bytes) -> int:
    """The status of a request as Slack signs it; 404 is that of one that is of no use."""
    stamp = str(int(time()))
    signature = SignatureVerifier(SECRET).generate_signature(timestamp=stamp, body=body)
    headers = {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": signature or ""}
    async with session.post(
        f"http://127.0.0.1:{port}/slack/events",
        data=io.BytesIO(body),
        headers=headers,
    ) as given:
        return given.status
