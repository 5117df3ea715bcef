"""What ending a session costs: read from PostgreSQL, and compared again at the click."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import asyncpg
import pytest

from bot.domain.kills import Basis, Outcome
from bot.domain.people import Allowlist, Right
from bot.domain.sessions import Cost
from bot.operations.results import Preview
from bot.postgres.cluster import PostgresCluster
from bot.slack.views import preview as preview_view
from tests.integration.conftest import BOT, SETUP, Bench, Sessions
from tests.integration.kills import ANA, CHANNEL, confirm, lives, outcomes, preview
from tests.rights import rights
from tests.servers import postgres
from tests.unit.reading import walk
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer

pytestmark = pytest.mark.sql

GROWS = {
    "idle, and then it reads": ("select 1", "begin; select 1"),
    "idle, and then it writes": ("select 1", "begin; update accounts set balance = balance"),
    "it reads, and then it writes": (
        "begin; select 1",
        "update accounts set balance = balance where id = 2",
    ),
    "it reads, and then another transaction writes": (
        "begin; select 1",
        "commit; begin; update accounts set balance = balance where id = 2",
    ),
}


@pytest.mark.parametrize("grows", GROWS)
async def test_filtered_session_that_costs_more_at_the_click_is_spared(
    bench: Bench, sessions: Sessions, grows: str
) -> None:
    shown_as, meanwhile = GROWS[grows]
    grown = await sessions.open("web", app="grows")
    same = await sessions.open("web", app="grows")
    for session in (grown, same):
        await session.execute(shown_as)
    ops = bench()
    shown = await preview(ops, "app=grows")
    await grown.execute(meanwhile)

    conclusion = await confirm(ops, shown)

    assert outcomes(conclusion) == {
        grown.get_server_pid(): Outcome.CHANGED,
        same.get_server_pid(): Outcome.TERMINATED,
    }
    assert await lives(grown)
    (changed,) = (r for r in conclusion.results if r.outcome is Outcome.CHANGED)
    assert ("has written since the preview" in changed.detail) is ("update" in meanwhile)

    # It is offered again, with the same filter and its present cost.
    again = await ops.preview_again(ANA, CHANNEL, shown.proposal.key)
    assert isinstance(again, Preview)
    assert again.proposal.basis is Basis.FILTER
    assert again.proposal.conditions == shown.proposal.conditions
    (target,) = again.proposal.targets
    assert target.seen.cost is (Cost.WRITTEN if "update" in meanwhile else Cost.OPEN)
    await confirm(ops, again)
    assert not await lives(grown)


@pytest.mark.parametrize(
    ("shown_as", "meanwhile"),
    [
        ("begin; update accounts set balance = balance", "commit"),
        ("begin; update accounts set balance = balance", "commit; begin; select 1"),
        (
            "begin; update accounts set balance = balance",
            "commit; begin; update accounts set balance = balance where id = 2",
        ),
        ("begin; select 1", "commit; begin; select 1"),
        ("begin; select 1", "commit"),
        ("begin; select 1/0", "rollback"),
    ],
)
async def test_filtered_session_that_costs_no_more_is_ended(
    bench: Bench, sessions: Sessions, shown_as: str, meanwhile: str
) -> None:
    victim = await sessions.open("web", app="no more")
    with suppress(asyncpg.DivisionByZeroError):
        await victim.execute(shown_as)
    ops = bench()
    shown = await preview(ops, "app='no more'")
    await victim.execute(meanwhile)

    conclusion = await confirm(ops, shown)

    assert outcomes(conclusion) == {victim.get_server_pid(): Outcome.TERMINATED}


async def test_cost_is_compared_again_for_each_preview(bench: Bench, sessions: Sessions) -> None:
    """That one preview showed a session as a writer doesn't matter for another."""
    victim = await sessions.open("web", app="measure")
    await victim.execute("begin; update accounts set balance = balance")
    ops = bench()
    writer = await preview(ops, "app=measure")
    await victim.execute("commit")
    idle = await preview(ops, "app=measure")
    await victim.execute("begin; select 1")

    assert outcomes(await confirm(ops, idle)) == {victim.get_server_pid(): Outcome.CHANGED}
    assert outcomes(await confirm(ops, writer)) == {victim.get_server_pid(): Outcome.TERMINATED}


NOBODY = dict.fromkeys(Right, Allowlist())


@pytest.fixture
async def without_a_standby() -> AsyncIterator[tuple[PostgresServer, asyncpg.Connection]]:
    """A primary whose synchronous standby is missing, and a session that has committed."""
    async with postgres(settings={"synchronous_standby_names": "nobody"}) as pg:
        admin = await asyncpg.connect(pg.dsn(), server_settings={"synchronous_commit": "local"})
        for statement in filter(str.strip, SETUP.split(";")):
            await admin.execute(statement)
        await admin.execute("create table kept (n int); grant all on kept to public")
        yield pg, admin
        await admin.close()


@pytest.mark.parametrize("named", ["pid", "filter"])
async def test_commit_waiting_for_a_standby_is_not_called_a_rollback(
    bench: Bench,
    without_a_standby: tuple[PostgresServer, asyncpg.Connection],
    named: str,
) -> None:
    pg, admin = without_a_standby
    client = await asyncpg.connect(pg.dsn(user="web"))
    commit = asyncio.ensure_future(client.execute("insert into kept values (1)"))
    async with asyncio.timeout(PATIENCE):
        while not await admin.fetchval(
            "select exists (select from pg_stat_activity where wait_event = 'SyncRep')"
        ):
            await asyncio.sleep(0.01)
    cluster = PostgresCluster("main", pg.dsn(user=BOT), "db-1.internal")
    await cluster.open()
    ops = bench(clusters={"main": cluster})

    shown = await preview(ops, "user=web" if named == "filter" else f"{client.get_server_pid()}")

    message = preview_view.preview(shown, rights=rights(NOBODY))
    assert "is already committed and does not roll back" in message.text
    assert "rolls back" not in message.text
    dialogs = [each for each in walk(message.blocks) if "title" in each and "deny" in each]
    warnings = [dialog["text"]["text"] for dialog in dialogs]
    assert any("Its transaction is already committed." in each for each in warnings)
    assert not any("rolls back" in each for each in warnings)
    assert outcomes(await confirm(ops, shown)) == {client.get_server_pid(): Outcome.TERMINATED}
    await cluster.close()
    await asyncio.gather(commit, return_exceptions=True)
    assert await admin.fetchval("select count(*) from kept") == 1
