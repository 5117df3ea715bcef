"""How the bot starts, refuses to start, and stops."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Bot
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


async def test_nothing_set_at_all_is_said_too(tmp_path) -> None:
    bot = Bot({}, tmp_path)
    await bot.start()
    assert await bot.ended() == REFUSED
    assert "SLACK_BOT_TOKEN" in bot.output
    assert "DATABASE_URL" in bot.output
    assert "Traceback" not in bot.output


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
async def test_a_dotenv_in_another_encoding_is_named(tmp_path: Path, encoding: str) -> None:
    (tmp_path / ".env").write_bytes("PROTECTED_ROLES=Rückmeldung\n".encode(encoding))
    bot = Bot({}, tmp_path)
    await bot.start()
    assert await bot.ended() == REFUSED
    assert ".env: is" in bot.output
    assert "save it as UTF-8" in bot.output
    assert "Traceback" not in bot.output
    assert "not UTF-8" in await bot.run("check", status=REFUSED)


async def test_a_line_of_dotenv_that_cant_be_read_stops_the_bot(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=many\nPROTECTED_ROLES: admin\n")
    bot = Bot({}, tmp_path)
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
async def test_a_token_that_slack_refuses_is_said_at_the_start(
    start: Callable, variable: str, value: str
) -> None:
    bot: Bot = await start(wait=False, **{variable: value})
    assert await bot.ended() == REFUSED
    assert f"{variable}: Slack refuses" in bot.output
    assert value not in bot.output
    assert "Traceback" not in bot.output


async def test_what_names_no_workspace_is_not_slack(start: Callable, slack: Workspace) -> None:
    slack.faults.leave_out("auth.test", "team_id")
    bot: Bot = await start(wait=False)
    assert await bot.ended() == REFUSED
    assert "(SLACK_API_URL): what answers there is not Slack" in bot.output


async def test_an_installation_for_a_whole_organization_is_refused_at_the_start(
    start: Callable, slack: Workspace
) -> None:
    slack.state.is_enterprise_install = True
    bot: Bot = await start(wait=False)
    assert await bot.ended() == REFUSED
    assert "SLACK_BOT_TOKEN: the app is installed for a whole organization" in bot.output
    assert "install it in one workspace" in bot.output


async def test_a_cluster_that_is_down_does_not_keep_the_bot_from_starting(
    start: Callable, slack: Workspace
) -> None:
    bot = await start(DATABASE_URL_PROD="postgresql://bot@127.0.0.1:1/postgres")
    ana = slack.person("ana")
    await ana.command("/pg-sessions", channel="incidents")
    await ana.sees("main", "prod", "nothing listens at its address")
    await ana.command("/pg-sessions prod/", channel="incidents")
    await ana.sees("prod: nothing listens", "/pg-sessions main/")
    assert await bot.stop() == 0


async def test_a_protected_role_that_no_server_knows_is_warned_of(start: Callable) -> None:
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
