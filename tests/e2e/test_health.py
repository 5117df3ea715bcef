"""The port for machines: is it alive, is it ready, what has it done."""

from collections.abc import Callable

import aiohttp

from tests.e2e.conftest import free_port
from tests.integration.conftest import Sessions
from workspace import Person, Workspace


async def get(port: int, path: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}{path}") as answer,
    ):
        return answer.status, await answer.text()


async def test_health_readiness_and_numbers(
    start: Callable, slack: Workspace, ana: Person, sessions: Sessions
) -> None:
    await sessions.open("batch", app="counted")
    port = free_port()
    await start(HEALTH_PORT=str(port), DATABASE_URL_DOWN="postgresql://bot@127.0.0.1:1/postgres")
    assert (await get(port, "/healthz"))[0] == 200
    assert await get(port, "/readyz") == (200, '{"slack": true, "ledger": true}')

    await slack.person("sam").command("/pg-kill app=counted", channel="incidents")
    await ana.command("/pg-kill main/ app=counted", channel="incidents")
    await ana.click("Terminate 1 session")
    await ana.sees("Terminated 1 of 1 on main")

    _, numbers = await get(port, "/metrics")
    for line in (
        'pg_sessions_kill_targets_total{outcome="terminated"} 1.0',
        'pg_sessions_refusals_total{what="/pg-kill"} 1.0',
        'pg_sessions_cluster_connections{cluster="main"} 4.0',
        'pg_sessions_cluster_connections{cluster="down"} 0.0',
        "pg_sessions_gone_seconds_count 1.0",
    ):
        assert line in numbers


async def test_without_slack_it_is_not_ready(start: Callable, slack: Workspace) -> None:
    port = free_port()
    await start(HEALTH_PORT=str(port))
    slack.faults.fail("apps.connections.open", times=1000)
    slack.server.sockets.cut()
    status, found = await get(port, "/readyz")
    while status == 200:
        status, found = await get(port, "/readyz")
    assert status == 503
    assert '"slack": false' in found
