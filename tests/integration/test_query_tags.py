"""Query tags on a real PostgreSQL: the column, the filter, and what stays hidden."""

import asyncio

import pytest

from bot.errors import TargetError
from bot.grammar.parser import parse_sessions, read_sessions
from bot.grammar.requests import GroupsRequest, SessionsRequest
from bot.operations import Operations
from bot.operations.results import Sessions as Shown
from bot.slack.views.sessions import sessions as drawn
from tests.integration.conftest import Bench, Sessions
from tests.integration.kills import ANA, CHANNEL
from tests.unit.reading import column, table
from workspace.people import PATIENCE


async def look(ops: Operations, text: str) -> Shown:
    request = read_sessions(text)
    assert isinstance(request, SessionsRequest)
    answer = await ops.look(ANA, CHANNEL, request)
    assert isinstance(answer, Shown)
    return answer


@pytest.fixture
async def shop(sessions: Sessions) -> list[int]:
    """One session for each format, and one whose only comment is something else."""
    for at, query in enumerate(
        (
            "select 1 /*controller:carts,job:Mailer,secret:hunter2*/",
            "select 1 /*controller='carts',route='%2Fcarts'*/",
            "select 1 /* job:Importer */",
            "select 1 /* by ana@example.com, password:hunter2 */",
        )
    ):
        connection = await sessions.open("web", "other_db", app=f"shop {at}")
        await connection.execute(query)
    return [each.get_server_pid() for each in sessions.opened]


async def tags(ops: Operations, text: str) -> dict[int, dict[str, str]]:
    """By pid, once every session is seen at rest: the reply is sent before it is."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found = await look(ops, text)
            if all(row.state == "idle" for row in found.look.rows):
                return {pid: dict(each) for pid, each in found.look.tags.items()}
            await asyncio.sleep(0.01)


@pytest.mark.smoke
async def test_a_look_shows_allowed_tags_and_nothing_else(bench: Bench, shop: list[int]) -> None:
    ops = bench()
    assert await tags(ops, "other_db") == {
        shop[0]: {"controller": "carts", "job": "Mailer"},
        shop[1]: {"controller": "carts", "route": "/carts"},
        shop[2]: {"job": "Importer"},
    }
    message = drawn(await look(ops, "other_db sort=pid"))
    assert column(message, "tags") == [
        "controller:carts job:Mailer",
        "controller:carts route:/carts",
        "job:Importer",
        " ",
    ]
    assert "hunter2" not in str(table(message))
    assert "example" not in str(table(message))


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("tag.controller=carts", [0, 1]),
        ("tag.controller=carts tag.job=Mailer", [0]),
        ("tag.job=*er", [0, 2]),
        ("tag.job!=*", [1, 3]),
        ('tag.job!=Mailer app!="shop 3"', [1, 2]),
        ("tag.job=nobody", []),
    ],
)
async def test_a_tag_narrows_a_look(
    bench: Bench, shop: list[int], text: str, found: list[int]
) -> None:
    ops = bench()
    await tags(ops, "other_db")
    seen = await look(ops, f"other_db {text}")
    assert {row.pid for row in seen.look.rows} == {shop[at] for at in found}
    assert seen.look.counts.total == len(found)


async def test_a_tag_narrows_groups(bench: Bench, shop: list[int]) -> None:
    ops = bench()
    await tags(ops, "other_db")
    request = parse_sessions("by=app other_db tag.controller=carts")
    assert isinstance(request, GroupsRequest)
    (found,) = (await ops.groups(ANA, CHANNEL, request)).counted
    assert {group.values for group in found.groups.largest} == {("shop 0",), ("shop 1",)}


async def test_the_settings_say_which_keys_may_be_shown(bench: Bench, shop: list[int]) -> None:
    assert await tags(bench(query_tags=()), "other_db") == {}
    ops = bench(query_tags=("secret", "job"))
    assert (await tags(ops, "other_db"))[shop[0]] == {"secret": "hunter2", "job": "Mailer"}
    with pytest.raises(TargetError) as caught:
        await look(ops, "other_db tag.jobs=x")
    assert caught.value.name == "tag.jobs=x"
    assert caught.value.problem == "QUERY_TAGS doesn't have this key"
    assert caught.value.nearest == ("tag.job=x",)
