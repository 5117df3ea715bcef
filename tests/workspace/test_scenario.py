"""The scenario on two real servers; what it says is checked with PostgreSQL itself."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from slack_sdk.web.async_client import AsyncWebClient

import workspace.demo
from tests.e2e.conftest import Bot, warm  # noqa: F401 - a fixture
from tests.e2e.warm import Warm
from workspace import Workspace
from workspace.page.contract import Scenario as Contract
from workspace.page.contract import ScenarioView
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer
from workspace.scenario import Scenario, cast, faults

REFUSED = 'FATAL:  too many connections for role "some_user"'

FACTS = """
    select usename, datname, application_name, state, wait_event_type = 'Lock' as waits
    from pg_stat_activity
    where usename = any($1)
"""


@dataclass
class Stage:
    """Everything that this module's tests share."""

    slack: Workspace
    main: PostgresServer
    prod: PostgresServer
    scenario: Scenario


@pytest.fixture(scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        main, prod = (PostgresServer(settings=cast.SETTINGS) for _ in range(2))
        await asyncio.gather(*map(stack.enter_async_context, (main, prod)))
        slack = await stack.enter_async_context(Workspace())
        scenario = Scenario(slack, main=main, prod=prod)
        yield Stage(slack, main, prod, await stack.enter_async_context(scenario))


@pytest.fixture
async def scenario(stage: Stage) -> AsyncIterator[Scenario]:
    """The scenario at its beginning; a test may change it."""
    yield stage.scenario
    await stage.scenario.reset()


@pytest.fixture
async def admin(stage: Stage) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection to main, to check the truth."""
    connection = await asyncpg.connect(stage.main.dsn(database="some_db"))
    yield connection
    connection.terminate()


@pytest.fixture
async def watched(scenario: Scenario) -> AsyncIterator[list]:
    """Every view that a visitor gets while one watches."""
    views: list = []

    async def watch() -> None:
        async for view in scenario.subscribe():
            views.append(view)  # noqa: PERF401 - it never ends

    watching = asyncio.create_task(watch())
    yield views
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def until(holds: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await holds():
            await asyncio.sleep(0.02)


async def until_view(scenario: Scenario, holds: Callable[[ScenarioView], object]) -> None:
    async def holds_now() -> object:
        return holds(scenario.view())

    await until(holds_now)


async def terminate(admin: asyncpg.Connection, condition: str) -> None:
    await admin.fetch(f"select pg_terminate_backend(pid) from pg_stat_activity where {condition}")


async def facts(admin: asyncpg.Connection) -> Counter:
    return Counter(map(tuple, await admin.fetch(FACTS, list(cast.CAST_ROLES))))


def is_cut(scenario: Scenario) -> bool:
    return {each["id"]: each["active"] for each in scenario.view()["faults"]}["cut"]


def active(scenario: Scenario) -> set[str]:
    """The faults in force. Without an app there is no socket, so `cut` always is."""
    return {each["id"] for each in scenario.view()["faults"] if each["active"]} - {"cut"}


def state(scenario: Scenario) -> str:
    return scenario.view()["database"]["state"]


def steps(scenario: Scenario, state: str) -> list[str]:
    return [step["id"] for step in scenario.view()["guide"] if step["state"] == state]


def done(scenario: Scenario) -> list[str]:
    return steps(scenario, "done")


async def until_now(scenario: Scenario, *now: str) -> None:
    """Wait until this is the step to do; none means the end of the guide."""
    try:
        await until_view(scenario, lambda _: steps(scenario, "now") == list(now))
    except TimeoutError:
        pytest.fail(f"the guide stands at {steps(scenario, 'now')}, not at {list(now)}")


def command(scenario: Scenario, step_id: str) -> str:
    """What the guide tells a visitor to type."""
    return next(s["commands"][0] for s in scenario.view()["guide"] if s["id"] == step_id)


def suggested(scenario: Scenario) -> list[str]:
    """Who can do the current step."""
    return next(s["people"] for s in scenario.view()["guide"] if s["state"] == "now")


# The beginning


async def test_some_user_s_one_connection_is_held_by_an_idle_transaction_that_has_written(
    scenario: Scenario, admin: asyncpg.Connection
) -> None:
    rows = await admin.fetch("""
        select rolconnlimit, application_name, state, backend_xid is not null as has_written
        from pg_stat_activity join pg_roles on rolname = usename where usename = 'some_user'
    """)
    assert list(map(tuple, rows)) == [(1, "psql", "idle in transaction", True)]


async def test_three_wait_behind_it_one_behind_the_other(
    scenario: Scenario, admin: asyncpg.Connection
) -> None:
    rows = await admin.fetch("""
        select pid, pg_blocking_pids(pid) as blockers from pg_stat_activity
        where wait_event_type = 'Lock'
    """)
    behind = {blocker: row["pid"] for row in rows for blocker in row["blockers"]}
    chain = [await admin.fetchval("select pid from pg_stat_activity where usename = 'some_user'")]
    while chain[-1] in behind:
        chain.append(behind[chain[-1]])
    assert len(chain) == 4


async def test_the_login_fails_in_postgresql_s_own_words(stage: Stage, scenario: Scenario) -> None:
    login = scenario.view()["login"]
    assert (login["ok"], login["text"]) == (False, REFUSED)
    with pytest.raises(asyncpg.TooManyConnectionsError) as caught:
        await asyncpg.connect(stage.main.dsn(user="some_user", database="some_db"))
    assert f"{caught.value.severity}:  {caught.value}" == REFUSED


async def test_cast_contains_typical_sessions(
    scenario: Scenario, admin: asyncpg.Connection
) -> None:
    rows = await admin.fetch("""
        select * from pg_stat_activity join pg_roles on rolname = usename
        where pid <> pg_backend_pid() and backend_type in ('client backend', 'walsender')
    """)
    by_role = Counter(row["usename"] for row in rows)
    assert by_role["batch"] == 14
    assert {row["rolconnlimit"] for row in rows if row["usename"] == "batch"} == {20}
    assert sum(row["datname"] == "some_db" for row in rows) > 20  # more than a page
    assert {row["state"] for row in rows} == {
        *("active", "idle", "idle in transaction", "idle in transaction (aborted)")
    }
    assert {row["backend_type"] for row in rows if row["rolreplication"]} >= {
        *("client backend", "walsender")
    }
    assert any("<!channel>" in row["application_name"] for row in rows)
    assert any(row["wait_event"] == "PgSleep" for row in rows)
    assert {str(row["client_addr"]) for row in rows} == {"127.0.0.1"}


async def test_both_servers_have_a_some_db_and_one_has_shop(
    stage: Stage, scenario: Scenario
) -> None:
    found = {}
    for server in (stage.main, stage.prod):
        connection = await asyncpg.connect(server.dsn())
        rows = await connection.fetch("select datname from pg_database where oid > 16383")
        found[server] = sorted(row["datname"] for row in rows)
        await connection.close()
    assert found == {stage.main: ["shop", "some_db"], stage.prod: ["some_db"]}


async def test_a_view_is_json_as_the_page_reads_it(scenario: Scenario) -> None:
    story: Contract = scenario
    view = json.loads(json.dumps(story.view()))
    assert view.keys() == {"login", "activity", "guide", "ending", "database", "faults"}
    columns, rows = view["activity"]["columns"], view["activity"]["rows"]
    assert columns[:4] == ["pid", "usename", "datname", "application_name"]
    assert len(rows) > 30
    assert all(len(row) == len(columns) for row in rows)
    assert {type(cell) for row in rows for cell in row} == {str, type(None)}


# What happens then


async def test_once_the_holder_is_gone_the_login_turns_green_and_those_who_waited_go_on(
    scenario: Scenario, admin: asyncpg.Connection
) -> None:
    await terminate(admin, "usename = 'some_user'")
    await until_view(scenario, lambda view: view["login"]["ok"])
    assert "some_user" in scenario.view()["login"]["text"]
    attempts = scenario.view()["login"]["attempts"]
    await until_view(scenario, lambda view: view["login"]["attempts"] > attempts)
    assert scenario.view()["login"]["ok"]
    waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
    assert await admin.fetchval(waiting) == 0
    balances = "select array_agg(balance::float order by id) from accounts where id < 4"
    assert await admin.fetchval(balances) == [60.0, 141.4, 105.0]


async def test_one_client_comes_back_when_it_is_killed_and_the_others_do_not(
    scenario: Scenario, admin: asyncpg.Connection
) -> None:
    find = "select pid from pg_stat_activity where application_name = 'cron-report'"
    pid = await admin.fetchval(find)
    await terminate(admin, "application_name like any('{cron-report,celery%}')")

    async def is_back() -> bool:
        return await admin.fetchval(find) not in {None, pid}

    await until(is_back)
    celery = "select count(*) from pg_stat_activity where application_name like 'celery%'"
    assert await admin.fetchval(celery) == 0


async def test_a_visitor_sees_a_kill_in_pg_stat_activity_within_a_reading(
    scenario: Scenario, admin: asyncpg.Connection, watched: list
) -> None:
    await terminate(admin, "application_name = 'cron-report'")

    async def is_seen() -> bool:
        return any(
            "cron-report" not in {row[3] for row in view["activity"]["rows"]} for view in watched
        )

    await until(is_seen)


async def test_reset_brings_everything_back(
    stage: Stage, scenario: Scenario, admin: asyncpg.Connection
) -> None:
    before = await facts(admin)
    balances = await admin.fetch("select * from accounts order by id")
    await terminate(admin, "usename = 'some_user'")
    await until_view(scenario, lambda view: view["login"]["ok"])
    assert await admin.fetch("select * from accounts order by id") != balances
    await terminate(admin, "usename = any('{batch,web}')")
    stranger = await asyncpg.connect(stage.main.dsn(user="report", database="some_db"))
    await scenario.fault("fill")
    await scenario.fault("rate_limit")
    stage.slack.person("ana").say("is it me?", "incidents")

    await scenario.reset()
    assert await facts(admin) == before
    assert await admin.fetch("select * from accounts order by id") == balances
    assert stage.slack.messages("incidents") == []
    assert active(scenario) == set()
    login = scenario.view()["login"]
    assert not login["ok"]
    assert 1 <= login["attempts"] < 5  # counted again, one every 2 s
    assert stranger.is_closed()


# Faults of PostgreSQL


async def test_full_server_refuses_ordinary_roles_but_not_the_bots(
    stage: Stage, scenario: Scenario
) -> None:
    web, bot = (stage.main.dsn(user=role, database="shop") for role in ("web", cast.BOT))
    await scenario.fault("fill")
    assert (state(scenario), active(scenario)) == ("full", {"fill"})
    with pytest.raises(asyncpg.TooManyConnectionsError, match="slots"):
        await asyncpg.connect(web)
    (await asyncpg.connect(bot)).terminate()

    await scenario.fault("fill")
    assert (state(scenario), active(scenario)) == ("up", set())
    (await asyncpg.connect(web)).terminate()


async def test_after_a_restart_the_pools_are_back_but_not_the_holder(
    stage: Stage, scenario: Scenario, watched: list
) -> None:
    postmaster = stage.main.pid
    await scenario.fault("restart")
    assert stage.main.pid != postmaster
    assert "restarting" in {view["database"]["state"] for view in watched}
    assert (state(scenario), active(scenario)) == ("up", set())
    admin = await asyncpg.connect(stage.main.dsn())
    there = {row[2] for row in await facts(admin)}
    admin.terminate()
    assert {"celery@worker-1", "PostgreSQL JDBC Driver"} <= there
    assert "psql" not in there
    await until_view(scenario, lambda view: view["login"]["ok"])


async def test_a_server_that_hangs_answers_nobody_and_goes_on_by_itself(
    stage: Stage,
    scenario: Scenario,
    admin: asyncpg.Connection,
    watched: list,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(faults, "HANG_SECONDS", 4)
    await scenario.fault("hang")
    assert (state(scenario), active(scenario)) == ("hung", {"hang"})
    with pytest.raises(TimeoutError):
        await asyncpg.connect(stage.main.dsn(), timeout=0.5)
    answer = asyncio.create_task(admin.fetchval("select 6 * 7"))
    await until_view(scenario, lambda view: view["database"]["state"] == "up")
    assert await answer == 42
    assert active(scenario) == set()


async def test_a_hang_ends_at_once_when_its_button_is_pressed_again(
    scenario: Scenario, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "HANG_SECONDS", 600)
    await scenario.fault("hang")
    answer = asyncio.create_task(admin.fetchval("select 6 * 7"))
    assert not (await asyncio.wait({answer}, timeout=0.2))[0]
    await scenario.fault("hang")
    assert state(scenario) == "up"
    assert await asyncio.wait_for(answer, PATIENCE) == 42


async def test_a_hung_server_can_be_reset_and_restarted(
    scenario: Scenario, admin: asyncpg.Connection
) -> None:
    before = await facts(admin)
    await scenario.fault("hang")
    await scenario.fault("restart")
    assert state(scenario) == "up"
    await scenario.fault("hang")
    await scenario.reset()
    assert state(scenario) == "up"
    assert len(scenario.view()["activity"]["rows"]) > before.total()


# Faults of Slack

TABLES = [button.id for button in faults.BUTTONS if button.id.startswith(faults.TABLES)]
SLACK = [
    *(button.id for button in faults.BUTTONS if button.where == "slack" and button.id != "cut"),
    TABLES[0],
]


@pytest.mark.parametrize("name", SLACK)
async def test_slack_fault_lasts_until_it_is_pressed_again(
    stage: Stage, scenario: Scenario, name: str
) -> None:
    for other in SLACK:
        await scenario.fault(other)
    assert active(scenario) == set(SLACK)
    await scenario.fault(name)
    assert active(scenario) == set(SLACK) - {name}
    assert len(stage.slack.faults.in_force()) == len(SLACK) - 1


async def test_tables_are_refused_by_one_code_at_a_time(stage: Stage, scenario: Scenario) -> None:
    for name in TABLES:
        await scenario.fault(name)
        assert active(scenario) == {name}
        assert stage.slack.faults.blocks_refused.error == name.removeprefix(faults.TABLES)
    await scenario.fault(faults.DATA_TABLE)
    assert active(scenario) == {faults.DATA_TABLE}
    assert stage.slack.faults.blocks_refused.kinds == {"data_table"}
    await scenario.fault(faults.DATA_TABLE)
    assert active(scenario) == set()


async def test_429_is_answered_three_times_and_the_button_goes_out_by_itself(
    stage: Stage, scenario: Scenario
) -> None:
    client = AsyncWebClient(
        token=stage.slack.bot_token, base_url=stage.slack.api_url, retry_handlers=[]
    )
    await scenario.fault("rate_limit")
    for _ in range(3):
        assert "rate_limit" in active(scenario)
        with pytest.raises(Exception, match="ratelimited"):
            await client.auth_test()
    await client.auth_test()
    assert active(scenario) == set()


async def test_unknown_scenario_fault_is_refused(scenario: Scenario) -> None:
    with pytest.raises(KeyError):
        await scenario.fault("fire")


# The guide


async def test_unseen_failed_login_completes_no_step(scenario: Scenario) -> None:
    await scenario._login.attempt()
    assert not scenario.view()["login"]["ok"]
    assert done(scenario) == []


@pytest.fixture
async def talking(
    stage: Stage,
    scenario: Scenario,
    watched: list,
    tmp_path: Path,
    warm: Warm,  # noqa: F811
) -> AsyncIterator[Workspace]:
    """The scenario with the real bot, and somebody who watches."""
    environment = workspace.demo._environment(stage.slack, stage.main, stage.prod, tmp_path)
    bot = Bot(environment, tmp_path, warm=warm)
    try:
        await bot.start()
        await bot.ready()
        yield stage.slack
    finally:
        await bot.stop()


async def test_guide_leads_through_the_story_and_to_the_extras(
    talking: Workspace, scenario: Scenario
) -> None:
    ana, ben, vera = talking.people("ana", "ben", "vera")
    await until_now(scenario, "look")
    await ana.command(command(scenario, "look"), "incidents")
    await ana.sees("some_user 1 of 1", "psql", "<!channel>")
    await until_now(scenario, "preview")

    await ana.command(command(scenario, "preview"), "incidents")
    await ana.sees("Terminate 1 session on main?")
    await until_now(scenario, "refused")
    assert suggested(scenario) == ["vera"]

    await vera.click("Terminate 1 session", channel="incidents")
    await vera.sees("You may not end sessions")
    await until_now(scenario, "confirmed")
    assert suggested(scenario) == ["ben"]

    await ben.click("Terminate 1 session", channel="incidents")
    await ben.sees("Terminated 1 of 1 on main", "waiting 3 → 0")
    await until_now(scenario, "changed")

    await ana.command(command(scenario, "changed"), "incidents")
    await ana.sees("Terminate 1 session on main?")
    await until_view(scenario, lambda _: scenario._writing is not None)
    await ana.click("Terminate 1 session", channel="incidents")
    await ana.sees("Terminated 0 of 1 on main", "1 changed")
    await until_now(scenario, "second")
    await ana.click("Preview again", channel="incidents")
    await ana.sees("Cost: its open transaction", "rolls back; it has written")

    await ana.command(command(scenario, "second"), "incidents")
    await ana.sees("Terminate 2 sessions on prod?")
    await until_view(scenario, lambda _: suggested(scenario) == ["ben"])
    await ana.click("Terminate 2", channel="incidents")
    await ana.sees("a second person has to confirm")
    assert steps(scenario, "now") == ["second"]
    await ben.click("Terminate 2", channel="incidents")
    await ben.sees("Terminated 2 of 2 on prod")
    await until_now(scenario, "back")

    await ben.command(command(scenario, "back"), "incidents")
    await ben.sees("app=cron-report")
    await ben.click("Terminate 1 session", channel="incidents")
    await ben.sees("report is back with 1 session")
    await until_now(scenario, "queue")

    await scenario.fault("queue")
    async with asyncio.timeout(PATIENCE):
        while steps(scenario, "now") == ["queue"]:  # of a wait of less than a second it is silent
            await ana.command(command(scenario, "queue"), "incidents")
    await ana.sees("waits, and 4 sessions wait behind it", "all of them only because of it")
    await until_now(scenario, "vacuum")
    await ana.click("cancel of pid", channel="incidents")
    await ana.sees("Cancel query")
    await ana.click("Cancel query")
    await ana.sees("Cancelled")

    await scenario.fault("vacuum")
    await ana.command(command(scenario, "vacuum"), "incidents")
    await ana.sees("replication slot old_subscriber", "pg_drop_replication_slot")
    await until_now(scenario)
    assert done(scenario) == [step["id"] for step in scenario.view()["guide"]]

    await ana.command("/pg-kill main/some_db all", channel="incidents")
    await ana.sees(
        "Left alone", "replicator, protected by PROTECTED_ROLES", "replicator, walsender"
    )


async def test_the_guide_goes_on_when_the_one_who_asked_confirms_at_once(
    talking: Workspace, scenario: Scenario
) -> None:
    ana, vera = talking.people("ana", "vera")
    await until_now(scenario, "look")
    await ana.command(command(scenario, "preview"), "incidents")
    await until_now(scenario, "refused")
    await ana.click("Terminate 1 session", channel="incidents")
    await ana.sees("Terminated 1 of 1 on main")
    await until_now(scenario, "changed")
    assert steps(scenario, "passed") == ["look", "refused"]

    await ana.command(command(scenario, "second"), "incidents")
    await ana.sees("Terminate 2 sessions on prod?")
    await vera.click("Terminate 2", channel="incidents")
    await vera.sees("You may not end sessions")
    await until_view(scenario, lambda _: "refused" in done(scenario))


async def test_guide_repeats_a_step_whose_preview_was_dismissed(
    talking: Workspace, scenario: Scenario
) -> None:
    ana, vera = talking.people("ana", "vera")
    for step, after in (("preview", "refused"), ("preview", "confirmed")):
        await ana.command(command(scenario, step), "incidents")
        await until_now(scenario, after)
        if after == "refused":
            await vera.click("Terminate 1 session", channel="incidents")
            await until_now(scenario, "confirmed")
            await ana.click("Dismiss", channel="incidents")
            await until_now(scenario, "preview")
    assert "confirmed" not in done(scenario)

    # A preview of everyone leaves the worker idle: its own step comes later.
    await ana.command("/pg-kill main/some_db all", "incidents")
    previews = scenario._guide._seen.previews
    await until_view(scenario, lambda _: any(len(each.pids) > 1 for each in previews.values()))
    assert not scenario._guide.worker_is_meant

    # The worker is idle again, and costs nothing, once its preview is no longer open.
    await ana.command(command(scenario, "changed"), "incidents")
    await until_view(scenario, lambda _: scenario._writing is not None)
    await ana.click("Dismiss", channel="incidents")
    await until_view(scenario, lambda _: scenario._writing is None)


async def test_a_restart_ends_the_story_but_not_the_guide(
    talking: Workspace, scenario: Scenario
) -> None:
    ana = talking.person("ana")
    await until_now(scenario, "look")
    await scenario.fault("restart")
    await until_now(scenario, "changed")
    assert "confirmed" in steps(scenario, "passed")
    await until_view(scenario, lambda _: scenario._main.of(cast.REGULAR).is_there)
    await ana.command(command(scenario, "back"), "incidents")
    await ana.sees("Terminate 1 session on main?")
    await ana.click("Terminate 1 session", channel="incidents")
    await ana.sees("report is back with 1 session")
    await until_view(scenario, lambda _: "back" in done(scenario))


async def test_cut_socket_is_shown_until_the_bot_reconnects(
    talking: Workspace, scenario: Scenario
) -> None:
    assert not is_cut(scenario)
    await scenario.fault("cut")
    assert is_cut(scenario)
    await until_view(scenario, lambda _: not is_cut(scenario))


async def test_a_lost_acknowledgement_ends_with_the_next_click(
    talking: Workspace, scenario: Scenario
) -> None:
    ana = talking.person("ana")
    await scenario.fault("late")
    await ana.command("/pg-sessions main/some_db", "incidents")
    await ana.sees('/pg-sessions failed with the error "operation_timeout"')
    await ana.sees("some_user 1 of 1")  # it was done nevertheless
    assert active(scenario) == set()
    await ana.command("/pg-sessions help", "incidents")
    await ana.sees("columns=")


async def test_an_incident_begins_by_itself_and_the_bot_says_so_first(
    talking: Workspace, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scenario, "unasked_after", 0.0)
    await scenario.reset()
    ana = talking.person("ana")
    await ana.sees("⚠ main: ", "4 sessions wait", channel="incidents")
    await ana.click("Why", channel="incidents")
    await ana.sees("all of them only because of it")
    await until_view(scenario, lambda _: "queue" in done(scenario))
