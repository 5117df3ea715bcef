"""What is hidden from a viewer decides nothing that the viewer sees."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.domain.kills import Actor
from bot.errors import TargetError
from bot.grammar.columns import COLUMNS, TAGS
from bot.grammar.parser import read_sessions
from bot.grammar.requests import SessionsRequest
from bot.ledger.sql import SqlLedger
from bot.operations import Operations, Rules
from bot.operations.results import Sessions as Shown
from bot.postgres import cluster as module
from bot.postgres.cluster import PostgresCluster
from tests.integration.conftest import Sessions
from tests.integration.kills import QuickClock
from tests.rights import EVERYWHERE
from workspace.people import PATIENCE

pytestmark = pytest.mark.sql

EVE = Actor("U0EVE", "T0OWN")


@pytest.fixture
async def ops(cluster: PostgresCluster, tmp_path: Path) -> AsyncIterator[Operations]:
    ledger = SqlLedger(f"sqlite:///{tmp_path}/ledger.db")
    await ledger.open()
    operations = Operations(
        {"main": cluster}, ledger, QuickClock(), rules=Rules(), owner="me", reach=EVERYWHERE
    )
    yield operations
    await operations.settle()
    await ledger.close()


async def seen(ops: Operations, text: str) -> list[tuple[int, str | None, int | None]]:
    """The pids, queries and query_ids in the order in which a viewer sees them."""
    request = read_sessions(text)
    assert isinstance(request, SessionsRequest)
    answer = await ops.look(EVE, "C1", request)
    assert isinstance(answer, Shown)
    return [(row.pid, row.query, row.query_id) for row in answer.look.rows]


STATEMENTS = [
    "select '{}'",
    "select 1 as x /* {} */",
    "set application_name = '{}'; set application_name = 'group'",
    "prepare p_{n} as select $1::text; execute p_{n}('{}')",
    "do $$begin perform '{}'; end$$",
]


@pytest.mark.smoke
@pytest.mark.parametrize("statement", STATEMENTS)
async def test_sorting_reveals_no_literal(
    ops: Operations, sessions: Sessions, statement: str
) -> None:
    """Otherwise one's own session would come before or after the other, and reveal a key."""
    mine, other = [
        await sessions.open("postgres", app="group", compute_query_id="on") for _ in range(2)
    ]
    by_pid = sorted([mine.get_server_pid(), other.get_server_pid()])
    for column in COLUMNS:
        if column == TAGS:
            continue  # a table can't be sorted by it
        if column.endswith(("age", "_start", "_change", "xmin", "xid", "port")):
            continue  # these differ in when and from where they ran, not in their text
        orders = set()
        for n, secret in enumerate(("sk_live_a", "sk_live_z")):
            await mine.execute(statement.replace("{n}", f"m{n}_{column}").format("sk_live_m"))
            await other.execute(statement.replace("{n}", f"m{n}_{column}").format(secret))
            async with asyncio.timeout(PATIENCE):
                while len(await seen(ops, "app=group wait=ClientRead")) < 2:
                    await asyncio.sleep(0.01)  # the reply is sent before the session is idle
            rows = await seen(ops, f"app=group sort={column}")
            assert "sk_live" not in str(rows)
            orders.add(tuple(pid for pid, _, _ in rows))
            assert len({query_id for _, _, query_id in rows}) == 1
        assert orders == {tuple(by_pid)}, column


async def test_the_order_by_query_goes_by_what_is_shown(
    ops: Operations, sessions: Sessions
) -> None:
    for query in ("select 3 as c", "select 'z' as a", "select b from (values ('a')) as t (b)"):
        await (await sessions.open(app="sorted")).execute(query)
    rows = await seen(ops, "app=sorted sort=query")
    queries = [query for _, query, _ in rows]
    assert queries == ["select ? as a", "select ? as c", "select b from (values (?)) as t (b)"]
    assert await seen(ops, "app=sorted sort=-query") == rows[::-1]
    assert [query for _, query, _ in await seen(ops, "app=sorted sort=state,query")] == queries


async def test_equal_statements_are_sorted_together_by_id(
    ops: Operations, sessions: Sessions
) -> None:
    for n in range(4):
        connection = await sessions.open("postgres", app="ids", compute_query_id="on")
        await connection.execute(f"select {n}" if n % 2 else f"select {n} as a, {n} as b")
    rows = await seen(ops, "app=ids sort=query_id")
    ids = [query_id for _, _, query_id in rows if query_id is not None]
    assert len(ids) == 4
    assert ids == sorted(ids)
    assert len(set(ids)) == 2


async def test_more_text_than_can_be_compared_is_refused_with_the_reason(
    ops: Operations, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "COMPARED_TEXT", 100)
    await (await sessions.open(app="long")).execute(f"select '{'x' * 200}'")
    with pytest.raises(TargetError, match="of queries to compare"):
        await seen(ops, "app=long sort=pid,query")
    assert await seen(ops, "app=long sort=pid")
