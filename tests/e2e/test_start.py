"""How the bot starts, refuses to start, and stops."""

import json
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.conftest import Bot
from tests.e2e.warm import Warm
from workspace import Workspace

REFUSED = 2


async def test_every_bad_setting_is_named_at_once(start: Callable) -> None:
    bot: Bot = await start(
        wait=False,
        SLACK_BOT_TOKEN="xoxp-secret-one",
        DATABASE_URL="postgresql://bot:hunter2@a,b/postgres",
        PG_KILL_ALLOWLIST="*",
        CONFIRM_TTL="soon",
    )
    assert await bot.ended() == REFUSED
    for variable in ("SLACK_BOT_TOKEN", "DATABASE_URL", "PG_KILL_ALLOWLIST", "CONFIRM_TTL"):
        assert variable in bot.output
    assert "Traceback" not in bot.output
    assert "hunter2" not in bot.output
    assert "secret-one" not in bot.output


async def test_missing_settings_are_all_named(tmp_path: Path, warm: Warm) -> None:
    bot = Bot({}, tmp_path, warm=warm)
    await bot.start()
    assert await bot.ended() == REFUSED
    assert "SLACK_BOT_TOKEN" in bot.output
    assert "DATABASE_URL" in bot.output
    assert "Traceback" not in bot.output


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
async def test_a_dotenv_in_another_encoding_is_named(
    tmp_path: Path, warm: Warm, encoding: str
) -> None:
    (tmp_path / ".env").write_bytes("PROTECTED_ROLES=Rückmeldung\n".encode(encoding))
    bot = Bot({}, tmp_path, warm=warm)
    await bot.start()
    assert await bot.ended() == REFUSED
    assert ".env: is" in bot.output
    assert "save it as UTF-8" in bot.output
    assert "Traceback" not in bot.output
    assert "not UTF-8" in await bot.run("check", status=REFUSED)


async def test_invalid_line_in_dotenv_stops_the_bot(tmp_path: Path, warm: Warm) -> None:
    (tmp_path / ".env").write_text("PORT=many\nPROTECTED_ROLES: admin\n")
    bot = Bot({}, tmp_path, warm=warm)
    await bot.start()
    assert await bot.ended() == REFUSED
    assert ".env: line 2 can't be read; write NAME=value" in bot.output
    assert "PORT: must be a port" in bot.output


@pytest.mark.parametrize(
    ("mode", "variable", "value"),
    [
        ("socket", "SLACK_BOT_TOKEN", "xoxb-not-this"),
        ("http", "SLACK_BOT_TOKEN", "xoxb-not-this"),
        ("socket", "SLACK_APP_TOKEN", "xapp-not-this"),
    ],
)
async def test_refused_token_is_reported_at_the_start(
    start: Callable, variable: str, value: str
) -> None:
    bot: Bot = await start(wait=False, **{variable: value})
    assert await bot.ended() == REFUSED
    assert f"{variable}: Slack refuses" in bot.output
    assert value not in bot.output
    assert "Traceback" not in bot.output


async def test_server_that_names_no_workspace_is_not_slack(
    start: Callable, slack: Workspace
) -> None:
    slack.faults.leave_out("auth.test", "team_id")
    bot: Bot = await start(wait=False)
    assert await bot.ended() == REFUSED
    assert "(SLACK_API_URL): what answers there is not Slack" in bot.output


async def test_installation_for_an_organization_that_is_in_no_workspace_is_refused_at_the_start(
    start: Callable, slack: Workspace
) -> None:
    slack.install_for_the_organization()
    bot: Bot = await start(wait=False)
    assert await bot.ended() == REFUSED
    assert "SLACK_BOT_TOKEN: the app is installed for a whole organization" in bot.output
    assert "add it to one" in bot.output


async def test_installation_for_an_organization_that_lists_no_workspaces_says_what_to_do(
    start: Callable, slack: Workspace
) -> None:
    slack.install_for_the_organization("T0ACME")
    slack.faults.refuse("auth.teams.list", "unknown_method", times=2)
    bot: Bot = await start(wait=False)
    assert await bot.ended() == REFUSED
    assert "installed for a whole organization" in bot.output
    assert "(unknown_method). Install it in one workspace instead" in bot.output
    told = " ".join((await bot.run("check", status=1)).split())
    assert "(unknown_method). Install it in one workspace instead" in told


async def test_installation_for_an_organization_serves_the_workspaces_that_it_was_added_to(
    start: Callable, slack: Workspace
) -> None:
    slack.install_for_the_organization("T0ACME", "T0ACMELABS")
    # The group on call is of the sister workspace, and so is one of its members.
    group = replace(slack.group("oncall"), team_id="T0ACMELABS", users=("U0ANA", "U0UMA"))
    slack.state.put_group(group)
    bot: Bot = await start(PG_SESSIONS_ALLOWLIST="*")
    for name in ("ana", "uma"):
        person = slack.person(name)
        await person.command("/pg-kill state=idle -- nothing", channel="org")
        await person.sees("Nothing to terminate on main")
    sam = slack.person("sam")
    await sam.command("/pg-sessions main/", channel="incidents")
    await sam.sees("PostgreSQL")
    told = await bot.run("check", status=0)
    assert "in workspaces of" in " ".join(told.split())
    assert "T0ACME and T0ACMELABS" in " ".join(told.split())


async def test_bot_starts_while_a_cluster_is_down(start: Callable, slack: Workspace) -> None:
    bot = await start(DATABASE_URL_PROD="postgresql://bot@127.0.0.1:1/postgres")
    ana = slack.person("ana")
    await ana.command("/pg-sessions", channel="incidents")
    await ana.sees("main", "prod", "nothing listens at its address")
    await ana.command("/pg-sessions prod/", channel="incidents")
    await ana.sees("prod: nothing listens", "/pg-sessions main/")
    assert await bot.stop() == 0


async def test_bot_asks_slack_and_can_stop_while_a_server_is_silent(
    start: Callable, slack: Workspace
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts nobody
        url = f"postgresql://bot@127.0.0.1:{silent.getsockname()[1]}/postgres"
        bot: Bot = await start(wait=False, DATABASE_URL=url)
        await slack.called("auth.test")
        assert "cluster.down" not in bot.output
        assert await bot.stop() == 0
    assert "bot.stopped_while_starting" in bot.output
    assert "bot.ready" not in bot.output


async def test_protected_role_that_no_server_has_is_logged(start: Callable) -> None:
    bot: Bot = await start(PROTECTED_ROLES="web,replic*,Batch")
    line = json.loads(await bot.says("settings.protects_nothing"))
    assert (line["variable"], line["names"]) == ("PROTECTED_ROLES", ["replic*"])
    assert line["level"] == "warning"


async def test_no_secret_reaches_the_log(start: Callable, slack: Workspace) -> None:
    bot = await start(LOG_LEVEL="DEBUG")
    ana = slack.person("ana")
    await ana.command("/pg-kill user=nobody_here -- my secret reason", channel="incidents")
    await ana.command("/pg-sessions some_db", channel="incidents")
    assert await bot.stop() == 0
    for secret in (slack.bot_token, slack.app_token, "my secret reason", "postgresql://"):
        assert secret not in bot.output


@pytest.mark.parametrize("tells", [True, False], ids=["with alerts", "without"])
async def test_missing_scopes_are_in_the_log_with_what_needs_them(
    start: Callable, slack: Workspace, tells: bool
) -> None:
    slack.state.set_scopes(*slack.state.scopes - {"groups:history", "chat:write.public"})
    bot: Bot = await start(ALERT_CHANNEL=slack.channel("incidents").id if tells else "")
    (line,) = [json.loads(each) for each in bot.lines if "slack.scopes_missing" in each]
    assert line["level"] == "warning"
    assert "public channels" in line["scopes"]["chat:write.public"]
    assert ("groups:history" in line["scopes"]) is tells
    assert len(slack.calls("auth.test")) == 1
