"""The health port, with many clients at once."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from structlog.testing import capture_logs

from bot.service import health
from bot.service.health import Check, HealthServer
from tests.ports import free_port
from workspace.people import PATIENCE


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def rounds() -> list[str]:
    return []


@pytest.fixture
def checks(rounds: list[str]) -> dict[str, Check]:
    async def check() -> bool:
        rounds.append("began")
        await asyncio.sleep(0.1)
        return True

    return {"it": check}


@pytest.fixture(autouse=True)
async def server(port: int, checks: dict[str, Check]) -> AsyncIterator[HealthServer]:
    server = HealthServer(port, checks, lambda: b"numbers 1\n")
    await server.open()
    yield server
    await server.close()


async def status(session: aiohttp.ClientSession, port: int, path: str, method: str = "GET") -> int:
    async with session.request(method, f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status


async def test_concurrent_requests_share_one_round_of_checks(
    port: int, rounds: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "KEPT_FOR", 60.0)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=50)) as session:
        asked = [status(session, port, "/readyz") for _ in range(200)]
        assert set(await asyncio.gather(*asked)) == {200}
        assert len(rounds) == 1
        monkeypatch.setattr(health, "KEPT_FOR", 0.0)
        assert await status(session, port, "/readyz") == 200
    assert len(rounds) == 2


async def test_log_names_the_check_that_does_not_answer_once(
    port: int, checks: dict[str, Check], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "CHECK_TIMEOUT", 0.2)
    checks.clear()
    monkeypatch.setattr(health, "KEPT_FOR", 0.0)
    answers = asyncio.Event()
    checks["silent"] = answers.wait
    with capture_logs() as logs:
        async with aiohttp.ClientSession() as session:
            for _ in range(2):
                assert await status(session, port, "/readyz") == 503
            answers.set()
            for _ in range(2):
                assert await status(session, port, "/readyz") == 200
            answers.clear()
            assert await status(session, port, "/readyz") == 503
    events = ["health.no_answer", "health.answers", "health.no_answer"]
    assert [(each["event"], each["check"]) for each in logs] == [(e, "silent") for e in events]


async def test_disconnecting_client_does_not_affect_the_others(
    port: int, rounds: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "KEPT_FOR", 60.0)
    async with aiohttp.ClientSession() as session:
        gone = asyncio.create_task(status(session, port, "/readyz"))
        while not rounds:
            await asyncio.sleep(0.01)
        gone.cancel()
        assert await status(session, port, "/readyz") == 200
    assert len(rounds) == 1


async def test_unknown_path_gets_a_status(port: int) -> None:
    async with aiohttp.ClientSession() as session:
        assert await status(session, port, "/") == 404
        assert await status(session, port, "/healthz", "POST") == 405
        assert await status(session, port, "/healthz", "HEAD") == 200
        assert await status(session, port, "/metrics") == 200


async def test_an_idle_connection_is_closed(
    server: HealthServer, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await server.close()
    monkeypatch.setattr(health, "IDLE_WITHIN", 0.2)
    await server.open()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(PATIENCE):
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
    writer.close()
