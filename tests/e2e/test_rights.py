"""Rights on one of two clusters, and people who may only cancel: what they see and press."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest

from tests.e2e.conftest import Bot
from tests.integration.conftest import BOT, Sessions
from tests.integration.kills import lives
from tests.servers import postgres
from workspace import Person, Workspace
from workspace.postgres import PostgresServer


@pytest.fixture(scope="module")
async def other() -> AsyncIterator[PostgresServer]:
    """The server of `prod`."""
    async with postgres() as server:
        admin = await asyncpg.connect(server.dsn())
        await admin.execute(f"create role {BOT} login")
        await admin.execute(f"grant pg_read_all_stats, pg_signal_backend to {BOT}")
        await admin.execute("create role web login")
        await admin.execute("create database some_db")
        await admin.close()
        yield server


@pytest.fixture
async def on_prod(other: PostgresServer) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(
        other.dsn(user="web", database="some_db"), server_settings={"application_name": "there"}
    )
    yield connection
    connection.terminate()


@pytest.fixture
async def two(start: Callable, slack: Workspace, other: PostgresServer) -> Bot:
    """Ben may kill on both; ana on main, sam only cancel there; vera may look at prod."""
    return await start(
        DATABASE_URL_PROD=other.dsn(user=BOT, database="postgres"),
        PG_KILL_ALLOWLIST=f"{slack.user('ben').id},{slack.user('ana').id}",
        PG_KILL_ALLOWLIST_PROD=slack.user("ben").id,
        PG_CANCEL_ALLOWLIST=slack.user("sam").id,
        PG_CANCEL_ALLOWLIST_PROD="",
        PG_SESSIONS_ALLOWLIST="",
        PG_SESSIONS_ALLOWLIST_PROD=slack.user("vera").id,
    )


@pytest.fixture
def sam(slack: Workspace) -> Person:
    return slack.person("sam")


async def runs(connection: asyncpg.Connection) -> "asyncio.Task[str]":
    """Let it run a query, and return once it does."""
    query = asyncio.ensure_future(connection.execute("select pg_sleep(600)"))
    await asyncio.sleep(0)
    return query


async def test_a_look_at_all_is_of_those_that_they_may_look_at(
    two: Bot, ana: Person, ben: Person, vera: Person
) -> None:
    await ben.command("/pg-sessions", channel="incidents")
    every = await ben.sees("2 clusters")
    await ana.command("/pg-sessions", channel="incidents")
    hers = await ana.sees("main · ", after=every)
    assert "prod" not in ana.text_of(hers)
    await vera.click("Refresh", channel="incidents")
    refusal = await vera.sees("You may not look at sessions on main", "PG_SESSIONS_ALLOWLIST")
    await vera.command("/pg-sessions")
    await vera.sees("prod · ", after=refusal)


async def test_a_refusal_says_which_list_of_that_cluster_would_have_to_hold_them(
    two: Bot, ana: Person, vera: Person, sam: Person, on_prod: asyncpg.Connection
) -> None:
    await ana.command("/pg-kill prod/ app=there -- s3cret", channel="incidents")
    said = await ana.sees(
        "You may not end sessions on prod", "(PG_KILL_ALLOWLIST_PROD)", "Only vis"
    )
    assert "@ben" in ana.text_of(said)
    await sam.command("/pg-sessions prod/", channel="incidents")
    await sam.sees("You may not look at sessions on prod", "(PG_SESSIONS_ALLOWLIST_PROD)")
    await vera.command("/pg-kill main/ 1", channel="incidents")
    await vera.sees(
        "You may not end sessions or cancel queries on main",
        "(PG_KILL_ALLOWLIST)",
        "(PG_CANCEL_ALLOWLIST)",
    )
    await vera.command("/pg-kill 1", channel="incidents")
    await vera.sees("PG_KILL_ALLOWLIST, or PG_KILL_ALLOWLIST_<NAME> for one cluster")
    assert ana.does_not_see("/pg-kill prod/", channel="incidents")
    assert await two.stop() == 0
    printed = await two.run("history", "--of", "refusals")
    refused = [json.loads(line) for line in reversed(printed.splitlines())]
    assert [(each["what"], each["why"]) for each in refused] == [
        ("/pg-kill prod/ app=there", "not in PG_KILL_ALLOWLIST_PROD"),
        ("/pg-sessions prod/", "not in PG_SESSIONS_ALLOWLIST_PROD"),
        ("/pg-kill main/ 1", "not in PG_KILL_ALLOWLIST or PG_CANCEL_ALLOWLIST"),
        ("/pg-kill 1", "not in PG_KILL_ALLOWLIST or PG_CANCEL_ALLOWLIST"),
    ]


async def test_every_click_is_authorized_for_its_own_cluster(
    two: Bot, ana: Person, ben: Person, sam: Person, on_prod: asyncpg.Connection
) -> None:
    pid = str(on_prod.get_server_pid())
    await ben.command("/pg-sessions prod/some_db", channel="incidents")
    await ben.sees("some_db on prod", pid)
    await ana.choose("Terminate a session", pid, channel="incidents")
    first = await ana.sees("You may not end sessions on prod", "PG_KILL_ALLOWLIST_PROD")
    await ana.choose("Show a session", pid, channel="incidents")
    await ana.sees("You may not look at sessions on prod", "PG_SESSIONS_ALLOWLIST_PROD")
    await ben.command("/pg-kill prod/ app=there", channel="incidents")
    await ben.sees("Terminate 1 session on prod?", "anyone on PG_KILL_ALLOWLIST_PROD may confirm")
    await ana.click("Terminate 1 session")
    await ana.sees("You may not end sessions on prod", "PG_KILL_ALLOWLIST_PROD", after=first)
    await sam.click("Terminate 1 session", channel="incidents")
    await sam.sees("You may not end sessions on prod", "PG_KILL_ALLOWLIST_PROD")
    assert await lives(on_prod)
    await ben.click("Terminate 1 session")
    await ben.sees("Terminated 1 of 1 on prod")


async def test_who_may_only_cancel_cancels_and_ends_nothing(
    two: Bot, slack: Workspace, ben: Person, sam: Person, sessions: Sessions
) -> None:
    victim = await sessions.open("batch", app="tier")
    query = await runs(victim)
    pid = str(victim.get_server_pid())
    await sam.command("/pg-sessions main/some_db app=tier", channel="incidents")
    look = await sam.sees("some_db on main", "running")
    assert "Cancel a query…" in sam.text_of(look)
    assert "Terminate" not in sam.text_of(look)
    await sam.choose("Cancel a query", pid)
    await sam.sees_modal("Cancel query of")
    await sam.submit()
    shown = await sam.sees(
        "Cancel 1 query on main?", "anyone on PG_CANCEL_ALLOWLIST or PG_KILL_ALLOWLIST may confirm"
    )
    assert "Terminate" not in sam.text_of(shown)

    await sam.click("Cancel query")

    after = await sam.sees("Cancelled 1 of 1 on main")
    with pytest.raises(asyncpg.QueryCanceledError):
        await query
    assert await lives(victim)
    await sam.click("Terminate…")
    await sam.sees("You may not end sessions on main", "(PG_KILL_ALLOWLIST)", after=after)
    await ben.click("Terminate…", channel="incidents")
    await ben.sees("Terminate 1 session on main?")


async def test_who_may_only_cancel_does_so_on_a_preview_of_another(
    two: Bot, ben: Person, sam: Person, sessions: Sessions
) -> None:
    victim = await sessions.open("batch", app="others")
    query = await runs(victim)
    await ben.command("/pg-kill main/ app=others", channel="incidents")
    await ben.sees("anyone on PG_KILL_ALLOWLIST may confirm, and on PG_CANCEL_ALLOWLIST cancel")
    said = None
    for button in ("Terminate 1 session", "Cancel, then terminate", "Dismiss"):
        await sam.click(button, channel="incidents")
        said = await sam.sees("You may not end sessions on main", after=said)
    assert not query.done()
    await sam.click("Cancel query")
    await sam.sees("Cancelled 1 of 1 on main")
    with pytest.raises(asyncpg.QueryCanceledError):
        await query
    assert await lives(victim)


async def test_where_nothing_runs_who_may_only_cancel_is_told_so(
    two: Bot, sam: Person, sessions: Sessions
) -> None:
    await sessions.open("batch", app="rests")
    await sam.command("/pg-kill main/ app=rests", channel="incidents")
    await sam.sees(
        "Nothing to cancel on main", "no query runs in it", "You may cancel queries here"
    )


async def test_the_record_of_a_cluster_is_for_those_who_may_there(
    two: Bot, ana: Person, ben: Person, on_prod: asyncpg.Connection
) -> None:
    await ben.command("/pg-kill prod/ app=there", channel="incidents")
    await ben.sees("Terminate 1 session on prod?")
    await ben.command("/pg-kill history", channel="incidents")
    await ben.sees("The last request", "app=there")
    await ana.command("/pg-kill history", channel="incidents")
    await ana.sees("No requests")
    await ana.command("/pg-kill history prod/", channel="incidents")
    await ana.sees("You may not end sessions on prod", "PG_KILL_ALLOWLIST_PROD")


async def test_help_and_a_diagnosis_of_all_fit_what_they_may(
    two: Bot, ana: Person, ben: Person, sam: Person
) -> None:
    await sam.command("/pg-kill help", channel="incidents")
    await sam.sees("which queries would be cancelled; you may not end sessions")
    await ben.command("/pg-kill help", channel="incidents")
    await ben.sees("which sessions would end")
    await ana.command("/pg-sessions why", channel="incidents")
    answer = await ana.sees("nothing found", "1 more cluster that the one who asked may not")
    assert "prod" not in ana.text_of(answer)
    await ana.command("/pg-sessions why prod/", channel="incidents")
    await ana.sees("You may not look at sessions on prod", "PG_SESSIONS_ALLOWLIST_PROD")
    await ana.command("/pg-sessions horizon", channel="incidents")
    await ana.sees("1 more cluster that the one who asked may not look at", after=answer)


async def test_button_of_an_alert_asks_for_the_right_on_its_own_cluster(
    start: Callable,
    slack: Workspace,
    other: PostgresServer,
    ana: Person,
    ben: Person,
    sam: Person,
) -> None:
    admin = await asyncpg.connect(other.dsn())
    await admin.execute("create role once login connection limit 1")
    held = await asyncpg.connect(other.dsn(user="once", database="some_db"))
    bot = await start(
        DATABASE_URL_PROD=other.dsn(user=BOT, database="postgres"),
        PG_KILL_ALLOWLIST=slack.user("ben").id,
        PG_KILL_ALLOWLIST_PROD=f"{slack.user('ben').id},{slack.user('ana').id}",
        PG_SESSIONS_ALLOWLIST="",
        SECOND_PERSON_CLUSTERS="prod",
        ALERT_CHANNEL_PROD=slack.channel("incidents").id,
        ALERT_AFTER="limit=1",
        SAMPLE_EVERY="1",
    )
    told = await ana.sees("prod: once is at its limit", channel="incidents")
    preview = f"Preview the end of pid {held.get_server_pid()}"

    for number, pressed in enumerate((preview, "Why", "Mute 1 h")):
        await sam.click(pressed, in_message=told)
        await sam.sees("on prod", "_ALLOWLIST_PROD" if number == 0 else "PG_SESSIONS_ALLOWLIST")
    # Whoever pressed it has asked for the kill, and not whoever was alerted.
    await ben.click(preview, in_message=told)
    asked = await ben.sees("Terminate 1 session on prod?", "asked by @ben")
    await ben.click("Terminate 1 (2nd person)", in_message=asked)
    await ben.sees("a second person has to confirm what you asked for")
    assert await lives(held)
    await ana.click("Terminate 1 (2nd person)", in_message=asked)
    await ana.sees("Terminated 1 of 1 on prod")
    await admin.execute("drop role once")
    await admin.close()

    assert await bot.stop() == 0
    assert bot.errors == []
    printed = await bot.run("history", "--of", "refusals")
    assert [json.loads(line)["why"] for line in reversed(printed.splitlines())] == [
        "not in PG_KILL_ALLOWLIST_PROD",
        "not in PG_SESSIONS_ALLOWLIST",
        "not in PG_SESSIONS_ALLOWLIST",
        "SECOND_PERSON_CLUSTERS",
    ]
