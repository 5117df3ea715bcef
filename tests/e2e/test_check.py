"""`python -m bot check`: each finding appears with its cause, and disappears when that is fixed."""

import asyncio
import os
import re
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import asyncpg
import pytest
from aiohttp import web

from bot.ledger.migrations import SCHEMA_VERSION
from bot.slack.probe import MOST_PEOPLE
from tests.e2e.conftest import IN_BOTH_MODES, Bot
from tests.e2e.warm import Warm
from tests.integration.conftest import BOT, Sessions
from tests.pgbouncer import PgBouncer
from tests.ports import free_port
from tests.servers import bin_dir, postgres
from workspace import Workspace
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer
from workspace.state import User, UserGroup

FAILED, REFUSED = 1, 2
ORDER = (
    "settings",
    "Slack",
    "PG_KILL_ALLOWLIST",
    "PG_SESSIONS_ALLOWLIST",
    "who may do what",
    "ALLOWED_CHANNELS",
    "ALERT_CHANNEL",
    "messages",
    "ledger",
    "cluster main",
)


@dataclass(frozen=True)
class Report:
    """The printed report: each finding's level, by section, and its text on one line."""

    printed: str

    @property
    def sections(self) -> tuple[str, ...]:
        lines = self.printed.splitlines()[:-1]
        return tuple(line for line in lines if not line.startswith(" "))

    def of(self, section: str) -> list[tuple[str, str]]:
        _, _, rest = f"\n{self.printed}".partition(f"\n{section}\n")
        findings: list[tuple[str, str]] = []
        for line in rest.splitlines():
            if not line.startswith("  "):
                break
            if found := re.match(r"  (\w+) +(.*)", line):
                findings.append((found[1], found[2]))
            else:
                level, text = findings.pop()
                findings.append((level, f"{text} {line.strip()}"))
        return findings

    def says(self, section: str, level: str, *words: str) -> bool:
        return any(
            told == level and all(word in text for word in words) for told, text in self.of(section)
        )

    @property
    def remedies(self) -> list[str]:
        """The statements that the report says to run, as printed."""
        return [line.strip() for line in self.printed.splitlines() if line.endswith(";")]

    @property
    def failures(self) -> list[str]:
        return [text for name in self.sections for told, text in self.of(name) if told == "failure"]


Check = Callable[..., Awaitable[Report]]


@pytest.fixture
def check(environment: dict[str, str], tmp_path: Path, warm: Warm) -> Check:
    """Run the check with a test's changes to the environment; it must exit with `status`."""

    async def check(status: int = 0, **changes: str) -> Report:
        async with asyncio.timeout(PATIENCE):
            bot = Bot({**environment, **changes}, tmp_path)
            if not any(name.startswith("PYTHON") for name in changes):  # read when Python starts
                bot.warm = warm
            printed = await bot.run("check", status=status)
        return Report(printed)

    return check


@pytest.fixture
async def admin(server: PostgresServer) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(server.dsn(), server_settings={"application_name": "admin"})
    yield connection
    await connection.close()


@asynccontextmanager
async def role(admin: asyncpg.Connection, name: str, *grants: str, options: str = ""):
    """A login role, for the duration of a test."""
    quoted = await admin.fetchval("select quote_ident($1)", name)
    await admin.execute(f"create role {quoted} login {options}")
    try:
        for grant in grants:
            await admin.execute(f"grant {grant.format(quoted)}")
        yield quoted
    finally:
        await admin.execute(f"drop owned by {quoted}; drop role {quoted}")


def names_in(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


SEES, SIGNALS = "pg_read_all_stats to {}", "pg_signal_backend to {}"


# --- all of it


async def test_check_says_that_all_is_well_and_changes_nothing(
    check: Check, slack: Workspace, environment: dict[str, str], tmp_path: Path
) -> None:
    report = await check(DATABASE_URL=environment["DATABASE_URL"] + "?password=hunter2")
    assert report.sections == ORDER
    assert "\n0 failures, 0 warnings, " in report.printed, report.printed
    lines = report.printed.replace(str(tmp_path), "/var/lib/bot").splitlines()
    assert max(map(len, lines)) <= 80
    assert report.says("settings", "ok", "Socket Mode", "main")
    assert report.says("Slack", "ok", "the bot is pg_sessions, in the workspace Acme (T0ACME)")
    assert report.says("Slack", "ok", "all 7 that the bot needs")
    assert report.says("Slack", "ok", "the socket opens", "hello")
    assert report.says("PG_KILL_ALLOWLIST", "ok", "U0BEN is Ben Baker (@ben)")
    assert report.says("PG_SESSIONS_ALLOWLIST", "ok", "U0VERA is Vera Vogel (@vera)")
    assert report.says("ledger", "ok", "SQLite", str(tmp_path / "ledger.db"), "not created yet")
    assert report.says("cluster main", "ok", "PostgreSQL 1", "primary", "127.0.0.1:")

    for secret in (slack.bot_token, slack.app_token, "hunter2", "postgresql://", "ticket"):
        assert secret not in report.printed
    assert names_in(tmp_path) == []
    assert {call.method for call in slack.calls()} == {
        *("auth.test", "bots.info", "apps.connections.open"),
        *("usergroups.list", "users.info", "blocks.validate"),
    }
    assert len(slack.server.sockets) == 0


async def test_layouts_that_slack_would_refuse_are_named(check: Check, slack: Workspace) -> None:
    slack.faults.refuse_tables()
    report = await check()
    assert report.says("messages", "warning", "Slack would refuse the layout of sessions (")
    assert report.says("messages", "warning", "a preview of many", "unsupported type: table at /bl")
    assert report.says("messages", "ok", "Slack takes ", " kinds of messages and windows")
    assert not report.says("messages", "warning", "the window of a session")
    assert not report.says("messages", "warning", "not checked")


async def test_layouts_are_left_unchecked_if_slack_cant_be_asked(
    check: Check, slack: Workspace
) -> None:
    slack.faults.refuse("blocks.validate", "unknown_method", times=99)
    report = await check()
    assert report.of("messages") == [
        ("warning", "layouts not checked: Slack answers unknown_method")
    ]
    slack.faults.clear()
    slack.faults.fail("blocks.validate", status=502, times=99)
    report = await check()
    assert report.of("messages") == [
        ("warning", "layouts not checked: Slack answers internal_error")
    ]
    slack.faults.clear()
    slack.faults.rate_limit("blocks.validate", times=1, retry_after=1)
    report = await check()
    assert [level for level, _ in report.of("messages")] == ["ok"]


async def test_help_mentions_check(environment: dict[str, str], tmp_path: Path) -> None:
    assert re.search(
        r"^ +check +check what ", await Bot(environment, tmp_path).run("-h"), re.MULTILINE
    )


async def test_check_ends_by_listing_invalid_settings(check: Check) -> None:
    report = await check(
        status=REFUSED,
        SLACK_BOT_TOKEN="xoxp-secret-one",
        DATABASE_URL="postgresql://bot:hunter2@a,b/postgres",
        CONFIRM_TTL="soon",
    )
    assert report.printed.startswith("settings\n  failure  SLACK_BOT_TOKEN: must be a bot token")
    for variable in ("DATABASE_URL: names several hosts", "CONFIRM_TTL: must be"):
        assert f"  failure  {variable}" in report.printed
    assert "hunter2" not in report.printed
    assert "secret-one" not in report.printed


async def test_check_beside_a_running_bot(
    start: Callable, check: Check, server: PostgresServer, slack: Workspace
) -> None:
    """The connections and sockets that it finds are the bot's own; the ledger exists already."""
    await start()
    report = await check()
    assert "\n0 failures, 0 warnings, " in report.printed, report.printed
    assert report.says("ledger", "ok", f"writable, schema version {SCHEMA_VERSION}")
    assert report.says("Slack", "ok", "the socket opens", "1 other socket is open")


async def test_a_name_that_the_terminals_encoding_lacks_ends_nothing(
    check: Check, slack: Workspace
) -> None:
    slack.state.put_user(replace(slack.user("ben"), real_name="Bén 海"))
    assert "Bén 海" in (await check()).printed
    report = await check(PYTHONIOENCODING="ascii")
    assert "B\\xe9n \\u6d77" in report.printed


# --- Slack


async def test_refused_tokens(check: Check) -> None:
    report = await check(status=FAILED, SLACK_BOT_TOKEN="xoxb-not-this")
    assert report.says("Slack", "failure", "SLACK_BOT_TOKEN: Slack refuses this token")
    assert report.says("Slack", "ok", "SLACK_APP_TOKEN: the socket opens")
    assert report.says("PG_KILL_ALLOWLIST", "warning", "U0BEN", "not asked")
    assert report.says("cluster main", "ok", "PostgreSQL")
    assert "xoxb-not-this" not in report.printed
    report = await check(status=FAILED, SLACK_APP_TOKEN="xapp-not-this")
    assert report.failures == [
        (
            "SLACK_APP_TOKEN: Slack refuses this token (invalid_auth): copy it again from the app's"
            " settings"
        )
    ]


async def test_missing_scope(check: Check, slack: Workspace) -> None:
    scopes = slack.state.scopes
    slack.state.set_scopes(*scopes - {"users:read", "usergroups:read"})
    report = await check(status=FAILED)
    assert report.says("Slack", "failure", "scopes: users:read is missing")
    assert report.says("Slack", "failure", "scopes: usergroups:read is missing")
    assert report.says("PG_KILL_ALLOWLIST", "warning", "U0BEN", "missing_scope")
    assert report.says("PG_KILL_ALLOWLIST", "warning", "S0ONCALL", "missing_scope")
    slack.state.set_scopes(*scopes, "files:write")
    assert (await check()).says("Slack", "warning", "more than the bot needs: files:write")
    slack.state.set_scopes(*scopes)
    assert not (await check()).says("Slack", "warning")


async def test_unreachable_slack_does_not_affect_the_rest(check: Check, tmp_path: Path) -> None:
    report = await check(status=FAILED, SLACK_API_URL="http://127.0.0.1:1/api/")
    assert report.says("Slack", "failure", "SLACK_BOT_TOKEN: Slack can't be reached")
    assert report.says("Slack", "failure", "SLACK_APP_TOKEN: Slack can't be reached")
    assert len(report.failures) == 2
    assert report.says("cluster main", "ok", "PostgreSQL")


async def test_check_does_not_wait_for_a_silent_slack(check: Check, slack: Workspace) -> None:
    slack.faults.slow("*", seconds=600, times=100)
    report = await check(status=FAILED)
    assert report.says("Slack", "failure", "SLACK_BOT_TOKEN: Slack can't be reached", "Timeout")
    assert report.says("cluster main", "ok", "PostgreSQL")


@pytest.mark.parametrize(
    "body",
    [
        "<html>Please log in</html>",
        "[]",
        '{"ok": true, "user": 7, "team": [], "url": 3}',
        '{"ok": true, "team_id": "T1", "user": 7, "usergroups": 5, "url": 3, "channel": "x"}',
    ],
)
async def test_other_server_in_slacks_place_does_not_affect_the_rest(
    check: Check, body: str
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=body, content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/api/{method}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        report = await check(
            status=FAILED, SLACK_API_URL=f"http://{host}:{port}/api/", ALLOWED_CHANNELS="C0X"
        )
    finally:
        await runner.cleanup()
    assert report.sections == ORDER
    assert report.says("Slack", "failure")
    assert report.says("cluster main", "ok", "sees all sessions")


async def test_unanswered_question_loses_only_its_answer(check: Check, slack: Workspace) -> None:
    slack.faults.fail("users.info")
    slack.faults.rate_limit("usergroups.list", retry_after=60)
    report = await check()
    said = "Slack didn't say what this is"
    assert sum(said in text for name in ORDER for _, text in report.of(name)) == 2
    assert report.says("PG_KILL_ALLOWLIST", "warning", "S0ONCALL", said, "ratelimited")
    assert said not in (await check()).printed


async def test_socket_closed_by_slack(check: Check, slack: Workspace) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(10):
            bot_like = await stack.enter_async_context(open_socket(slack))
            assert bot_like
        report = await check(status=FAILED)
        assert report.failures == ["SLACK_APP_TOKEN: Slack closes the socket (too_many_websockets)"]
    assert not (await check()).failures


@asynccontextmanager
async def open_socket(slack: Workspace) -> AsyncIterator[bool]:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(slack.server._socket_url()) as opened,
    ):
        yield (await opened.receive_json())["type"] == "hello"


@pytest.mark.parametrize("mode", ["http"])
async def test_in_http_mode_the_port_is_free_or_taken(check: Check, port: int) -> None:
    report = await check()
    assert report.says("settings", "ok", f"PORT: {port} is free")
    assert report.says("Slack", "ok", "HTTP mode")
    with socket.create_server(("127.0.0.1", port)):
        report = await check(status=FAILED)
    assert report.says("settings", "failure", f"PORT: can't listen on {port}", "in use")
    assert len(report.failures) == 1


async def test_the_health_port_is_free_or_taken(check: Check, port: int) -> None:
    assert (await check(HEALTH_PORT=str(port))).says("settings", "ok", f"HEALTH_PORT: {port} is")
    with socket.create_server(("127.0.0.1", port)):
        report = await check(status=FAILED, HEALTH_PORT=str(port))
    assert report.says("settings", "failure", f"HEALTH_PORT: can't listen on {port}")


@IN_BOTH_MODES
async def test_check_beside_the_running_bot_does_not_fail(
    check: Check, start: Callable, mode: str, port: int
) -> None:
    health = free_port()
    await start(HEALTH_PORT=str(health))
    report = await check(HEALTH_PORT=str(health))
    assert report.says("settings", "ok", f"HEALTH_PORT: {health} is a running bot's")
    if mode == "http":
        assert report.says("settings", "ok", f"PORT: {port} is a running bot's")


# --- people, groups, channels


async def test_people_on_the_allowlists(check: Check, slack: Workspace) -> None:
    slack.state.put_user(
        User(id="U0ED", team_id="T0ACME", name="ed", real_name="Ed East", deleted=True)
    )
    slack.state.put_group(UserGroup(id="S0NEW", handle="new", name="New"))
    report = await check(
        PG_KILL_ALLOWLIST="U0BEN,U0GUS,U0OLGA,U0ED,U0NOBODY,S0ONCALL,S0OLD,S0NEW,S0NONE",
        PG_SESSIONS_ALLOWLIST="*",
    )
    kill = "PG_KILL_ALLOWLIST"
    assert report.says(kill, "ok", "U0BEN is Ben Baker (@ben)")
    assert report.says(kill, "warning", "U0GUS is Gus Gray (@gus), a guest")
    assert report.says(kill, "warning", "U0OLGA is Olga Orlova (@olga), from another workspace")
    assert report.says(kill, "warning", "U0ED is Ed East (@ed), deactivated")
    assert report.says(kill, "warning", "U0NOBODY: Slack knows nobody with this id")
    assert report.says(
        kill, "ok", "S0ONCALL is @oncall (On call), 2 people", "Ana Alvarez", "Ben Baker"
    )
    assert report.says(kill, "warning", "S0OLD is @old (Old), a disabled group")
    assert report.says(kill, "warning", "S0NEW is @new (New), a group without members")
    assert report.says(kill, "warning", "S0NONE: Slack knows no user group with this id")
    assert report.says("PG_SESSIONS_ALLOWLIST", "ok", "everyone in the workspace", "except guests")
    report = await check(PG_KILL_ALLOWLIST="", PG_SESSIONS_ALLOWLIST="")
    assert report.says(kill, "warning", "nobody may end sessions")
    assert report.says("PG_SESSIONS_ALLOWLIST", "ok", "not set")


async def test_long_list_is_checked_as_far_as_rate_limits_allow(
    check: Check, slack: Workspace
) -> None:
    slack.faults.keep_rate_limits()
    ids = [f"U1P{number:03}" for number in range(MOST_PEOPLE + 15)]
    for user_id in ids:
        slack.state.put_user(
            User(id=user_id, team_id="T0ACME", name=user_id.lower(), real_name=f"P {user_id}")
        )
    report = await check(PG_KILL_ALLOWLIST=",".join(ids), PG_SESSIONS_ALLOWLIST="")
    assert len(slack.calls("users.info")) == MOST_PEOPLE
    assert report.says("PG_KILL_ALLOWLIST", "ok", f"{ids[0]} is P {ids[0]}")
    assert report.says("PG_KILL_ALLOWLIST", "warning", f"{ids[-15]}", "and 10 more", "not asked")


async def test_who_may_do_what_is_told_cluster_by_cluster(check: Check, slack: Workspace) -> None:
    report = await check(
        status=FAILED,
        DATABASE_URL_PROD="postgresql://bot@127.0.0.1:1/postgres",
        PG_KILL_ALLOWLIST=slack.user("ana").id,
        PG_KILL_ALLOWLIST_PROD="",
        PG_CANCEL_ALLOWLIST=slack.user("ben").id,
        PG_SESSIONS_ALLOWLIST="*",
        PG_SESSIONS_ALLOWLIST_PROD=slack.user("vera").id,
    )
    assert report.says("PG_KILL_ALLOWLIST_PROD", "warning", "nobody may end sessions on prod")
    assert report.says("PG_CANCEL_ALLOWLIST", "ok", "U0BEN is")
    assert report.says(
        "who may do what",
        "ok",
        "main: end sessions: Ana Alvarez (@ana); cancel queries: Ben Baker (@ben);"
        " look: everyone in the workspace except guests",
    )
    assert report.says(
        "who may do what",
        "ok",
        "prod: end sessions: nobody; cancel queries: Ben Baker (@ben); look: Vera Vogel (@vera)",
    )


async def test_hostile_name_never_reaches_the_terminal_raw(check: Check, slack: Workspace) -> None:
    hostile = "\x1b[2J\x1b]0;owned\x07 \u202emoc.live\r\n  ok       SLACK"
    slack.state.put_user(replace(slack.user("ben"), real_name=hostile, name="b\x9bn"))
    slack.state.put_group(replace(slack.group("oncall"), name=hostile, handle=hostile))
    channel = slack.channel("incidents")
    slack.state.put_channel(replace(channel, name=hostile))
    report = await check(ALLOWED_CHANNELS=channel.id)
    assert all(character.isprintable() or character == "\n" for character in report.printed)
    assert report.says("PG_KILL_ALLOWLIST", "ok", "U0BEN is \\u001b[2J\\u001b]0;owned\\u0007")
    assert report.sections == ORDER


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"is_editing_restricted": False}, "can edit @oncall and add themselves"),
        (
            {"updated_by": "U0SAM"},
            "can edit @oncall (last edited by Sam Stone (@sam), who isn't an admin)",
        ),
        ({"updated_by": "U0VERA"}, None),
        ({"updated_by": "U0SAM", "is_editing_restricted": True}, None),
        ({"updated_by": "U0SAM", "is_membership_locked": True}, None),
        ({"updated_by": "U0SAM", "auto_type": "admins"}, None),
    ],
)
async def test_group_that_everybody_may_edit(
    check: Check, slack: Workspace, changes: dict, words: str | None
) -> None:
    slack.state.put_user(replace(slack.user("vera"), is_admin=True))
    slack.state.put_group(replace(slack.group("oncall"), **changes))
    report = await check()
    assert report.says("PG_KILL_ALLOWLIST", "warning", "can edit") is (words is not None)
    assert words is None or report.says("PG_KILL_ALLOWLIST", "warning", words)


async def test_a_second_person_is_there_or_not(check: Check, slack: Workspace) -> None:
    ben, ana = slack.user("ben").id, slack.user("ana").id
    only = "only Ben Baker (@ben) may end sessions, so nobody can confirm a kill on main"
    report = await check(SECOND_PERSON_CLUSTERS="main", PG_KILL_ALLOWLIST=ben)
    assert report.says("PG_KILL_ALLOWLIST", "warning", "SECOND_PERSON_CLUSTERS", only)
    report = await check(SECOND_PERSON_CLUSTERS="main", PG_KILL_ALLOWLIST=f"{ben},{ana}")
    assert "SECOND_PERSON" not in report.printed


async def test_the_channels_that_are_allowed(check: Check, slack: Workspace) -> None:
    names = ("incidents", "random", "war-room", "secret", "shared")
    channels = {name: slack.channel(name).id for name in names}
    report = await check(ALLOWED_CHANNELS=",".join([*channels.values(), "C0NOWHERE"]))
    where = "ALLOWED_CHANNELS"
    assert report.says(where, "ok", f"{channels['incidents']} is #incidents, public")
    assert report.says(where, "ok", "#random, public; the bot isn't a member, and need not be")
    assert report.says(where, "ok", "#war-room, private")
    assert report.says(where, "warning", "#shared", "shared with another workspace")
    for unseen in (channels["secret"], "C0NOWHERE"):
        assert report.says(where, "warning", unseen, "no such channel, or it is private")
    slack.state.put_channel(replace(slack.channel("incidents"), is_archived=True))
    slack.state.join(channels["secret"], slack.state.app.user_id)
    report = await check(ALLOWED_CHANNELS=f"{channels['secret']},{channels['incidents']}")
    assert report.says(where, "ok", "#secret, private")
    assert report.says(where, "warning", "#incidents, public, archived")


# --- the ledger


async def test_a_ledger_in_a_file_is_left_as_it_was(
    start: Callable, check: Check, tmp_path: Path
) -> None:
    bot = await start()
    await bot.stop()
    file = tmp_path / "ledger.db"
    before = file.read_bytes()
    report = await check()
    assert report.says("ledger", "ok", str(file), f"schema version {SCHEMA_VERSION}")
    assert file.read_bytes() == before
    assert names_in(tmp_path) == ["ledger.db"]


async def test_a_ledger_that_cant_be_used(
    check: Check, server: PostgresServer, tmp_path: Path
) -> None:
    report = await check(status=FAILED, LEDGER_URL="sqlite:///nowhere/ledger.db")
    assert report.says("ledger", "failure", "folder does not exist", "the bot ends no session")
    (tmp_path / "text").write_text("this is no ledger, and long enough not to be taken for one\n")
    report = await check(status=FAILED, LEDGER_URL="sqlite:///text")
    assert report.says("ledger", "failure", "a file that isn't SQLite's")
    report = await check(status=FAILED, LEDGER_URL="postgresql://me:hunter2@127.0.0.1:1/ledger")
    assert report.says("ledger", "failure", "PostgreSQL, 127.0.0.1:1/ledger", "nothing listens")
    assert "hunter2" not in report.printed
    assert len(report.failures) == 1
    plain = server.dsn(password="hunter2") + "?sslmode=require"
    report = await check(status=FAILED, LEDGER_URL=plain)
    assert report.says("ledger", "failure", "the ledger's server offers no TLS", "sslmode")
    assert "hunter2" not in report.printed


@pytest.fixture
async def ledger_url(admin: asyncpg.Connection, server: PostgresServer) -> AsyncIterator[str]:
    """A database for a ledger on the cluster that the bot watches, for a separate role."""
    await admin.execute("create role keeper login")
    await admin.execute("create database records owner keeper")
    yield server.dsn(user="keeper", database="records")
    await admin.execute("drop database records with (force)")
    await admin.execute("drop role keeper")


async def test_a_ledger_on_a_watched_cluster(
    check: Check, ledger_url: str, admin: asyncpg.Connection, server: PostgresServer
) -> None:
    report = await check(LEDGER_URL=ledger_url)
    assert report.says("ledger", "ok", "PostgreSQL", "/records: not created yet")
    assert report.says("ledger", "warning", "on a cluster that the bot watches (main)")
    records = await asyncpg.connect(server.dsn(database="records"))
    tables = "select count(*) from pg_tables where schemaname = 'public'"
    assert await records.fetchval(tables) == 0
    await records.close()
    await admin.execute("alter role keeper connection limit 1")
    report = await check(status=FAILED, LEDGER_URL=ledger_url)
    assert report.says("ledger", "failure", "has a limit of 1 connection, but the bot opens 2")


async def test_ledger_on_another_server_is_fine(check: Check) -> None:
    async with postgres() as elsewhere:
        report = await check(LEDGER_URL=elsewhere.dsn())
        assert report.says("ledger", "ok", "PostgreSQL", "not created yet")
        assert not report.says("ledger", "warning")


async def test_a_ledger_of_a_later_version_or_without_rights(
    start: Callable, check: Check, ledger_url: str, admin: asyncpg.Connection, server
) -> None:
    bot = await start(LEDGER_URL=ledger_url)
    await bot.stop()
    assert (await check(LEDGER_URL=ledger_url)).says(
        "ledger", "ok", f"writable, schema version {SCHEMA_VERSION}"
    )
    records = await asyncpg.connect(server.dsn(database="records"))
    await records.execute("revoke update on ledger_version from keeper")
    report = await check(status=FAILED, LEDGER_URL=ledger_url)
    assert report.says(
        "ledger", "failure", "the ledger's role lacks a right in its database, which it should own"
    )
    await records.execute("grant update on ledger_version to keeper")
    await records.execute(f"insert into ledger_version values ({SCHEMA_VERSION + 7}, 0)")
    report = await check(LEDGER_URL=ledger_url)  # that version serves this one
    assert report.says("ledger", "ok", f"schema version {SCHEMA_VERSION + 7}")
    await records.execute(f"update ledger_marks set serves = {SCHEMA_VERSION + 1}")
    report = await check(status=FAILED, LEDGER_URL=ledger_url)
    assert report.says("ledger", "failure", f"has schema version {SCHEMA_VERSION + 7}")
    await records.close()


# --- clusters


async def test_missing_rights_and_their_grants(
    check: Check, admin: asyncpg.Connection, server: PostgresServer
) -> None:
    name = 'my "bot"; \u202etob'
    async with role(admin, name):
        url = server.dsn(user=name)
        report = await check(status=FAILED, DATABASE_URL=url)
        assert report.says("cluster main", "failure", "can't see other roles' sessions")
        assert report.says("cluster main", "failure", "can't end other roles' sessions")
        assert "\u202e" not in report.printed
        first, second = report.remedies
        assert first == 'grant pg_read_all_stats to U&"my ""bot""; \\+00202etob";'
        await admin.execute(first)
        report = await check(status=FAILED, DATABASE_URL=url)
        assert report.remedies == [second]
        await admin.execute(second)
        report = await check(DATABASE_URL=url)
        assert report.remedies == []
        assert report.says("cluster main", "ok", "sees all sessions")
        assert report.says("cluster main", "ok", "can end sessions, except superusers'")


async def test_a_bot_that_only_looks_is_warned(
    check: Check, admin: asyncpg.Connection, server: PostgresServer
) -> None:
    async with role(admin, "looks", SEES):
        report = await check(DATABASE_URL=server.dsn(user="looks"), PG_KILL_ALLOWLIST="")
        assert report.says("cluster main", "warning", "can't end other roles' sessions")


async def test_a_grant_that_is_not_inherited_gives_nothing(
    check: Check, admin: asyncpg.Connection, server: PostgresServer
) -> None:
    inherits = "with inherit false" if await version_of(server) >= 16 else ""
    grants = (f"{SEES} {inherits}", f"{SIGNALS} {inherits}")
    async with role(admin, "heir", *grants, options="noinherit"):
        url = server.dsn(user="heir")
        report = await check(status=FAILED, DATABASE_URL=url)
        assert report.says("cluster main", "failure", "can't see other", "doesn't inherit")
        assert report.says("cluster main", "failure", "can't end other", "doesn't inherit")
        for statement in set(report.remedies):
            await admin.execute(statement)
        assert not (await check(DATABASE_URL=url)).failures


async def version_of(server: PostgresServer) -> int:
    connection = await asyncpg.connect(server.dsn())
    try:
        return connection.get_server_version().major
    finally:
        await connection.close()


async def test_functions_revoked_by_an_administrator(
    check: Check, admin: asyncpg.Connection, server: PostgresServer
) -> None:
    await admin.execute("create database strict")
    strict = await asyncpg.connect(server.dsn(database="strict"))
    await strict.execute(
        "revoke execute on function pg_control_system(), pg_terminate_backend(int, bigint)"
        " from public; revoke select on pg_roles from public"
    )
    try:
        url = server.dsn(user=BOT, database="strict")
        report = await check(status=FAILED, DATABASE_URL=url)
        assert report.says("cluster main", "failure", "in the database strict run:")
        assert report.remedies == [
            f'grant execute on function pg_control_system() to "{BOT}";',
            f'grant execute on function pg_terminate_backend(integer, bigint) to "{BOT}";',
            f'grant select on table pg_roles to "{BOT}";',
        ]
        for statement in report.remedies:
            await strict.execute(statement)
        assert (await check(DATABASE_URL=url)).says("cluster main", "ok", "connections left")
    finally:
        await strict.close()
        await admin.execute("drop database strict with (force)")


async def test_a_superuser_is_more_than_needed(check: Check, server: PostgresServer) -> None:
    report = await check(DATABASE_URL=server.dsn())
    assert report.says("cluster main", "warning", "its role postgres is a superuser")


async def test_one_connection_works_but_the_bot_opens_more(
    check: Check, admin: asyncpg.Connection, ledger_url: str, server: PostgresServer
) -> None:
    await admin.execute("grant pg_read_all_stats, pg_signal_backend to keeper")
    await admin.execute("alter role keeper connection limit 1")
    url = server.dsn(user="keeper")
    report = await check(status=FAILED, DATABASE_URL=url)
    assert report.says("cluster main", "failure", "has a limit of 1 connection", "opens 5")
    # The ledger's session and the probe's together would be one too many.
    report = await check(status=FAILED, DATABASE_URL=url, LEDGER_URL=ledger_url)
    assert report.says("ledger", "ok", "not created yet")
    assert report.says("cluster main", "failure", "has a limit of 1 connection", "opens 7")
    await admin.execute(report.remedies[-1])
    report = await check(DATABASE_URL=url, LEDGER_URL=ledger_url)
    assert report.says("cluster main", "ok", "its role has 13 connections left of 14")


async def test_role_without_a_free_slot_is_recognized(
    check: Check, admin: asyncpg.Connection, server: PostgresServer, sessions: Sessions
) -> None:
    async with role(admin, "crowded", SEES, SIGNALS, options="connection limit 5"):
        url = server.dsn(user="crowded")
        held = [await sessions.open("crowded", app="pg-sessions-bot") for _ in range(5)]
        report = await check(status=FAILED, DATABASE_URL=url)
        assert report.says("cluster main", "failure", "no free connection slot for the bot")
        for connection in held:
            await connection.close()
        await until(lambda: no_sessions(admin, "crowded"))
        assert not (await check(DATABASE_URL=url)).failures


async def test_other_software_on_the_bots_role(
    check: Check, admin: asyncpg.Connection, server: PostgresServer, sessions: Sessions
) -> None:
    async with role(admin, "shared_role", SEES, SIGNALS):
        url = server.dsn(user="shared_role")
        own = await sessions.open("shared_role", app="pg-sessions-bot")
        other = await sessions.open("shared_role", app="billing \x1b[2J")
        report = await check(DATABASE_URL=url)
        assert report.says("cluster main", "warning", "other software connects as shared_role")
        assert "billing" in report.printed
        await other.close()
        await until(lambda: no_sessions(admin, "shared_role", but="pg-sessions-bot"))
        assert not (await check(DATABASE_URL=url)).says("cluster main", "warning")
        await own.close()
        await until(lambda: no_sessions(admin, "shared_role"))


async def no_sessions(admin: asyncpg.Connection, name: str, *, but: str = "") -> bool:
    return await admin.fetchval(
        "select not exists (select from pg_stat_activity"
        " where usename = $1 and application_name <> $2)",
        name,
        but,
    )


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await holds():
            await asyncio.sleep(0.02)


async def test_silent_servers_do_not_affect_the_others(
    check: Check, server: PostgresServer, tmp_path: Path
) -> None:
    def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    held: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(hold, "127.0.0.1")
    port = silent.sockets[0].getsockname()[1]
    try:
        report = await check(
            status=FAILED,
            DATABASE_URL_SILENT=f"postgresql://bot:hunter2@127.0.0.1:{port}/postgres",
            DATABASE_URL_DOWN="postgresql://bot:hunter2@127.0.0.1:1/postgres",
            DATABASE_URL_NOBODY=server.dsn(user="nobody_here", password="hunter2"),
            DATABASE_URL_NOWHERE=server.dsn(user=BOT, database="nowhere"),
            DATABASE_URL_PLAIN=server.dsn(user=BOT, password="hunter2") + "?sslmode=require",
        )
    finally:
        silent.close()
        for writer in held:
            writer.close()
    assert report.says("cluster silent", "failure", f"127.0.0.1:{port}: did not answer within 5 s")
    assert report.says("cluster down", "failure", "nothing listens at its address")
    assert report.says("cluster nobody", "failure", "refuses the bot's login: the role is NOLOGIN")
    assert report.says("cluster nowhere", "failure", "the database that its URL names")
    assert report.says("cluster plain", "failure", "it offers no TLS", "sslmode of its URL")
    assert report.says("cluster main", "ok", "sees all sessions")
    assert len(report.failures) == 5
    assert "hunter2" not in report.printed


async def test_check_does_not_wait_for_a_stopped_server(check: Check) -> None:
    async with postgres() as stopped:
        os.kill(stopped.pid, signal.SIGSTOP)
        try:
            report = await check(status=FAILED, DATABASE_URL_STOPPED=stopped.dsn())
        finally:
            os.kill(stopped.pid, signal.SIGCONT)
        assert report.says("cluster stopped", "failure", "did not answer within 5 s")
        assert report.says("cluster main", "ok", "sees all sessions")


async def test_check_does_not_wait_for_a_server_that_falls_silent(
    check: Check, server: PostgresServer
) -> None:
    ready_for_query = b"Z\x00\x00\x00\x05I"

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            if ready_for_query in data:
                return

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection(server.host, server.port)
        up = asyncio.create_task(carry(reader, to_server))
        await carry(from_server, writer)
        await up
        for each in (writer, to_server):
            each.close()

    proxy = await asyncio.start_server(serve, "127.0.0.1")
    port = proxy.sockets[0].getsockname()[1]
    report = await check(
        status=FAILED, DATABASE_URL_SILENT=f"postgresql://{BOT}@127.0.0.1:{port}/postgres"
    )
    proxy.close()
    assert report.says("cluster silent", "failure", "did not answer in time (connected, no reply)")
    assert report.says("cluster main", "ok", "sees all sessions")


async def test_a_connection_that_is_not_encrypted(check: Check, server: PostgresServer) -> None:
    # 127.1 is the same address, in a form that isn't recognized as this machine's own.
    url = server.dsn(user=BOT)
    report = await check(DATABASE_URL=url.replace("127.0.0.1", "127.1"))
    assert report.says("cluster main", "warning", "not encrypted")
    assert not (await check(DATABASE_URL=url)).says("cluster main", "warning")


async def test_two_names_for_one_server_and_a_standby(check: Check, server: PostgresServer) -> None:
    url = server.dsn(user=BOT, database="some_db")
    report = await check(DATABASE_URL_PROD=url)
    assert report.says("all clusters", "warning", "main and prod are the same server under 2 names")
    assert report.says("cluster prod", "ok", "the bot opens 10")
    async with Standby(server) as standby:
        report = await check(DATABASE_URL_REPLICA=standby.dsn(user=BOT))
        assert report.says("cluster replica", "ok", "standby")
        assert report.says("cluster main", "ok", "primary")
        assert report.says("cluster main", "ok", "the bot opens 5")
        assert report.says("all clusters", "ok", "main (primary) and replica (standby)")
        assert not report.says("all clusters", "warning")


class Standby(PostgresServer):
    """A standby of another server, from a base backup."""

    def __init__(self, primary: PostgresServer) -> None:
        super().__init__(bin_dir=bin_dir())
        self._primary = primary

    async def _init(self, den) -> None:
        backup = den.spawn(
            "pg_basebackup",
            f"--pgdata={den.data}",
            f"--dbname={self._primary.dsn()}",
            "--checkpoint=fast",
            "--write-recovery-conf",
            "--no-sync",
        )
        async with asyncio.timeout(PATIENCE):
            while backup.poll() is None:
                await asyncio.sleep(0.02)
        assert backup.returncode == 0, den.read_log()
        den.append_settings(
            {
                "listen_addresses": self.host,
                "unix_socket_directories": str(den.directory),
            }
        )


async def test_protected_role_that_exists_nowhere(check: Check) -> None:
    report = await check(PROTECTED_ROLES="web,replic*", PROTECTED_APPLICATIONS="Rück*")
    assert report.says("PROTECTED_ROLES", "warning", "no role on main is called replic*")
    assert report.says("PROTECTED_APPLICATIONS", "ok", "is called Rück* now")
    fine = await check(PROTECTED_ROLES="Web,bat*")
    assert fine.says("PROTECTED_ROLES", "ok", "all 2 names match roles")


async def test_reserved_slots_and_for_whom(check: Check) -> None:
    async with postgres(settings={"max_connections": 12}) as small:
        if await version_of(small) < 16:
            pytest.skip("PostgreSQL has such a reserve since 16")
        url = small.dsn(user=BOT)
        await run(small, f"create role {BOT} login")
        await run(small, f"grant pg_read_all_stats, pg_signal_backend to {BOT}")
        assert "reserved" not in str((await check(DATABASE_URL=url)).of("cluster main"))

        await run(small, f"grant pg_use_reserved_connections to {BOT}")
        report = await check(DATABASE_URL=url)
        assert report.says("cluster main", "warning", "has no effect", "is 0")
        await run(small, report.remedies[0])
        await small.restart()
        report = await check(DATABASE_URL=url)
        assert report.says("cluster main", "ok", "8 slots are reserved, and its role can use them")

        await run(small, f"revoke pg_use_reserved_connections from {BOT}")
        report = await check(DATABASE_URL=url)
        assert report.says(
            "cluster main", "warning", "8 slots are reserved, but its role can't use"
        )
        assert report.says("cluster main", "warning", "has 0 connections left of 1")
        keeps_the_slot = await asyncpg.connect(small.dsn())
        report = await check(status=FAILED, DATABASE_URL=url)
        assert report.says("cluster main", "failure", "no free connection slot for the bot")
        await keeps_the_slot.close()

        await run(small, "grant pg_use_reserved_connections to " + BOT)
        assert not (await check(DATABASE_URL=url)).says("cluster main", "warning")


async def run(server: PostgresServer, statement: str) -> None:
    connection = await asyncpg.connect(server.dsn())
    await connection.execute(statement)
    await connection.close()


@pytest.mark.skipif(shutil.which("pgbouncer") is None, reason="pgbouncer is not installed")
@pytest.mark.parametrize("pool_mode", ["session", "transaction"])
async def test_a_pooler_is_advised_against(
    check: Check, server: PostgresServer, pool_mode: str
) -> None:
    async with PgBouncer(server, pool_mode=pool_mode) as bouncer:
        report = await check(DATABASE_URL=bouncer.dsn(user=BOT))
        assert report.says("cluster main", "warning", "the URL leads to a pooler")
        assert report.says("cluster main", "ok", "sees all sessions")
    assert "pooler" not in str((await check()).of("cluster main"))


async def test_check_says_what_would_be_told_where(check: Check, slack: Workspace) -> None:
    report = await check(ALERT_CHANNEL=slack.channel("incidents").id, ALERT_AFTER="limit=90")
    assert report.says("ALERT_CHANNEL", "ok", "main: told in #incidents (C0INCIDENTS); the bot is")
    assert report.says("ALERT_CHANNEL", "ok", "limit 90 s")
    report = await check(ALERT_CHANNEL=slack.channel("random").id, SAMPLE_EVERY="0")
    assert report.says("ALERT_CHANNEL", "warning", "SAMPLE_EVERY is 0")
    shared = slack.channel("shared").id
    report = await check(status=FAILED, ALERT_CHANNEL=shared)
    assert report.says("ALERT_CHANNEL", "failure", "another workspace shares it")
