"""The HTTP port, with slow clients."""

import asyncio
import io
import json
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from time import time

import aiohttp
import pytest
from slack_bolt.async_app import AsyncApp
from slack_sdk.signature import SignatureVerifier
from slack_sdk.web.async_client import AsyncWebClient
from structlog.testing import capture_logs

from bot import listening
from bot.slack import routes, transports
from bot.slack.transports import HttpMode
from tests.ports import free_port
from workspace.people import PATIENCE

SECRET = "a secret of Slack's"
HEAD = b"POST /slack/events HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def patience() -> float:
    return PATIENCE


impatient = pytest.mark.parametrize("patience", [0.2])


@pytest.fixture(autouse=True)
async def http(
    port: int, patience: float, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[HttpMode]:
    """The bot's port."""
    monkeypatch.setattr(transports, "BODY_WITHIN", patience)
    monkeypatch.setattr(transports, "IDLE_WITHIN", 2 * patience)
    monkeypatch.setattr(transports, "LINGER", 0.2)

    async def first_time(signature: str) -> bool:
        return True

    http = HttpMode(port, SECRET, first_time, routes.COMMANDS, host="127.0.0.1")
    client = AsyncWebClient(token="xoxb-1", base_url="http://127.0.0.1:1/")
    await http.open(AsyncApp(client=client, request_verification_enabled=False))
    yield http
    await http.close()


async def answer(port: int, data: bytes) -> bytes:
    """The answer to these bytes, with the connection left open, until the server closes it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        return await reader.read()
    finally:
        writer.close()


def sealed(*, age: int = 0, signature: str = "v0=" + "0" * 64) -> bytes:
    """Headers like Slack's, with a signature that nobody made."""
    stamp = int(time()) - age
    return f"X-Slack-Request-Timestamp: {stamp}\r\nX-Slack-Signature: {signature}\r\n".encode()


@impatient
@pytest.mark.parametrize("sent", [b"", b"POST /sla", HEAD, HEAD + b"X-Slack-Sig"])
async def test_a_connection_without_a_whole_request_is_closed(port: int, sent: bytes) -> None:
    assert await answer(port, sent) == b""


@impatient
async def test_missing_body_is_not_waited_for(port: int) -> None:
    head = HEAD + sealed() + b"Content-Length: 9\r\n\r\nabc"
    for one in await asyncio.gather(*(answer(port, head) for _ in range(20))):
        assert one.startswith(b"HTTP/1.1 408 ")


NOT_SLACKS: dict[str, Callable[[], bytes]] = {
    "no signature": lambda: b"",
    "stale": lambda: sealed(age=301),
    "of the future": lambda: sealed(age=-310),
    "a timestamp of 400 digits": lambda: sealed().replace(b": 1", b": 1" + b"9" * 400, 1),
    "a short signature": lambda: sealed(signature="v0=0"),
    "of another version": lambda: sealed(signature="v1=" + "0" * 64),
    "two signatures": lambda: sealed() + b"X-Slack-Signature: v0=" + b"1" * 64 + b"\r\n",
    "everything twice": lambda: sealed() * 2,
}


@pytest.mark.parametrize("forged", NOT_SLACKS)
@pytest.mark.parametrize("length", [b"Content-Length: 1000000", b"Transfer-Encoding: chunked"])
async def test_request_that_cant_be_slacks_is_refused_by_its_headers(
    port: int, forged: str, length: bytes
) -> None:
    """Nothing of its body has arrived."""
    head = HEAD + NOT_SLACKS[forged]() + length + b"\r\n\r\n"
    assert (await answer(port, head)).startswith(b"HTTP/1.1 401 ")


async def test_body_announced_as_too_long_is_not_waited_for(port: int) -> None:
    head = HEAD + sealed() + b"Content-Length: 1048577\r\n\r\n"
    assert (await answer(port, head)).startswith(b"HTTP/1.1 413 ")


async def test_certificate_check_is_answered_without_a_signature(port: int) -> None:
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{port}/slack/events"
        for body, status in {b"ssl_check=1&token=x": 200, b"token=x&ssl_check=10": 401}.items():
            async with session.post(url, data=io.BytesIO(body)) as given:
                assert given.status == status


async def test_strangers_bodies_take_little_memory(port: int, http: HttpMode) -> None:
    """Two hundred bodies of a mebibyte each: only a few are read at a time."""
    size = 2**20
    head = HEAD + sealed() + f"Connection: close\r\nContent-Length: {size}\r\n\r\n".encode()
    tracemalloc.start()

    async def send() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**10)
        with suppress(ConnectionError):
            writer.write(head)
            for _ in range(size // 2**12):
                writer.write(b"x" * 2**12)
                await writer.drain()
            await reader.read()
        writer.close()

    await asyncio.gather(*(send() for _ in range(200)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200 * size / 3


async def test_a_crowd_of_connections_keeps_nobody_out(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those whose last request is longest ago are closed."""
    most = transports.MOST_CONNECTIONS
    monkeypatch.setattr(listening, "GRACE", 0.0)
    crowd = [await asyncio.open_connection("127.0.0.1", port) for _ in range(most + 20)]
    for reader, _ in crowd[:20]:
        with suppress(ConnectionError):
            assert await reader.read() == b""
    async with aiohttp.ClientSession() as session:
        assert await status(session, port, b"text=1") == 404
    for _, writer in crowd:
        writer.close()


async def test_slow_client_delays_nobody_else(port: int) -> None:
    slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(50)]
    for _, writer in slow:
        writer.write(HEAD + sealed() + b"Content-Length: 1000000\r\n\r\n" + b"x" * 1000)
    async with aiohttp.ClientSession() as session:
        assert await status(session, port, b"text=1") == 404
    for _, writer in slow:
        writer.close()


async def test_body_that_is_on_its_way_at_the_end_is_answered(port: int, http: HttpMode) -> None:
    body = b"text=1"
    stamp = str(int(time()))
    signature = SignatureVerifier(SECRET).generate_signature(timestamp=stamp, body=body)
    head = HEAD + sealed(signature=signature or "") + b"Content-Length: 6\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head + body[:3])
    server, runner = http._server, http._runner
    assert server is not None
    assert runner is not None
    async with asyncio.timeout(PATIENCE):
        while not server._busy:
            await asyncio.sleep(0.01)
        closing = asyncio.create_task(http.close())
        while runner.sites:
            await asyncio.sleep(0.01)
    writer.write(body[3:])
    answered = await reader.read()
    writer.close()
    await closing
    assert answered.startswith(b"HTTP/1.1 404 ")
    assert b"Connection: close" in answered


async def test_a_body_has_its_limit(port: int) -> None:
    async with aiohttp.ClientSession() as session:
        assert await status(session, port, b"a=" + b"x" * (2**20 - 2)) == 404
        assert await status(session, port, b"a=" + b"x" * (2**20 - 1)) == 413

    chunk = b"%x\r\n%s\r\n" % (2**16, b"x" * 2**16)
    head = HEAD + sealed() + b"Transfer-Encoding: chunked\r\n\r\n"
    assert (await answer(port, head + chunk * 17)).startswith(b"HTTP/1.1 413 ")


async def test_slacks_question_for_the_address_is_answered_if_it_is_signed(port: int) -> None:
    asked = json.dumps({"type": "url_verification", "challenge": "3eZbrw1a"}).encode()
    async with aiohttp.ClientSession() as session:
        assert await said(session, port, asked, "application/json") == (200, "3eZbrw1a")
        assert (await said(session, port, asked, "text/plain"))[0] == 404
        assert (await said(session, port, b"{", "application/json"))[0] == 400
        assert (await said(session, port, b"[]", "application/json"))[0] == 404
        url = f"http://127.0.0.1:{port}/slack/events"
        async with session.post(url, data=asked) as unsigned:
            assert unsigned.status == 401


@pytest.mark.parametrize(
    ("secret", "age", "problem"),
    [
        (None, 0, "no signature in Slack's form"),
        (SECRET, 400, "its time is more than 300 s off"),
        (SECRET, -400, "its time is more than 300 s off"),
        ("another app's", 0, "its signature was not made with SLACK_SIGNING_SECRET"),
    ],
)
async def test_log_says_why_a_request_is_not_slacks(
    port: int, secret: str | None, age: int, problem: str
) -> None:
    stamp = str(int(time()) - age)
    headers = {"X-Slack-Request-Timestamp": stamp}
    if secret is not None:
        signature = SignatureVerifier(secret).generate_signature(timestamp=stamp, body=b"a=1")
        assert signature is not None
        headers["X-Slack-Signature"] = signature
    with capture_logs() as logs:
        async with aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{port}/slack/events"
            async with session.post(url, data=b"a=1", headers=headers) as refused:
                assert refused.status == 401
    (told,) = [each["problem"] for each in logs if each["event"] == "http.not_signed"]
    assert told.startswith(problem)


async def status(session: aiohttp.ClientSession, port: int, body: bytes) -> int:
    """The status of a request signed as Slack does; 404 means that the bot ignores it."""
    return (await said(session, port, body))[0]


async def said(
    session: aiohttp.ClientSession, port: int, body: bytes, content_type: str = "text/plain"
) -> tuple[int, str]:
    """The answer to a request signed as Slack does."""
    stamp = str(int(time()))
    signature = SignatureVerifier(SECRET).generate_signature(timestamp=stamp, body=body)
    headers = {
        "X-Slack-Request-Timestamp": stamp,
        "X-Slack-Signature": signature or "",
        "Content-Type": content_type,
    }
    async with session.post(
        f"http://127.0.0.1:{port}/slack/events",
        data=io.BytesIO(body),
        headers=headers,
    ) as given:
        return given.status, await given.text()
