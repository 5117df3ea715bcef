"""The bot speaks first: one alert, its buttons, its end; and goes on after any crash."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial

import asyncpg
import pytest

from tests.e2e.conftest import Bot, becomes
from tests.e2e.test_health import get, ready
from tests.integration.conftest import Sessions
from tests.ports import free_port
from workspace import Person, Workspace
from workspace.people import PATIENCE
from workspace.state import Message

SOON = {"SAMPLE_EVERY": "1", "ALERT_AFTER": "limit=2,idle_in_transaction=off"}


@pytest.fixture
def telling(slack: Workspace) -> dict[str, str]:
    """What a bot needs to speak first, in #incidents."""
    return {**SOON, "ALERT_CHANNEL": slack.channel("incidents").id}


@pytest.fixture
def replica(start: Callable, telling: dict[str, str], ledger_url: str) -> Callable:
    """Starts a bot that speaks first, on the ledger that all of them share."""
    return partial(start, **telling, LEDGER_URL=ledger_url)


@pytest.fixture
async def ledger(ledger_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(ledger_url)
    yield connection
    await connection.close()


def alerts(slack: Workspace) -> list[Message]:
    """The alerts that were posted, without the replies in their threads."""
    channel = slack.channel("incidents").id
    return [
        each
        for each in slack.state.messages(channel)
        if each.metadata is not None and each.thread_ts is None
    ]


def replies(slack: Workspace, to: Message) -> list[Message]:
    return [m for m in slack.state.messages(to.channel) if m.thread_ts == to.ts]


async def replied(slack: Workspace, to: Message) -> list[Message]:
    """Wait for a reply."""
    assert await slack.state.log.until(lambda: bool(replies(slack, to)), PATIENCE)
    return replies(slack, to)


async def ends(slack: Workspace, person: Person, message: Message) -> Message:
    """Wait until an alert is over."""

    def now() -> bool:
        found = slack.state.message(message.channel, message.ts)
        return found is not None and "✓ main" in person.text_of(found)

    await slack.state.log.until(now, PATIENCE)
    found = slack.state.message(message.channel, message.ts)
    assert found is not None
    return found


async def recorded(ledger: asyncpg.Connection, where: str) -> asyncpg.Record:
    """Wait for an alert in the ledger."""
    async with asyncio.timeout(PATIENCE):
        while True:
            row = await ledger.fetchrow(f"select * from alerts where {where}")
            if row is not None:
                return row
            await asyncio.sleep(0.02)


async def test_login_that_fails_is_told_and_mended_from_its_alert(
    start: Callable,
    telling: dict[str, str],
    slack: Workspace,
    ana: Person,
    vera: Person,
    sessions: Sessions,
) -> None:
    holder = await sessions.open("some_user")
    pid = holder.get_server_pid()
    bot: Bot = await start(**telling)

    told = await vera.sees("main: some_user is at its limit, 1 of 1", channel="incidents")
    assert "New logins fail" in vera.text_of(told)
    assert f"held by pid {pid}" in vera.text_of(told)
    assert "some_user is at its limit" in told.text
    assert "33507" not in json.dumps(told.blocks)

    # The button carries no target.
    buttons = [e for block in told.blocks for e in block.get("elements", ()) if "value" in e]
    assert not any(str(pid) in button["value"] for button in buttons)

    await vera.click(f"Preview the end of pid {pid}")
    await vera.sees("You may not end sessions here")
    await ana.click(f"Preview the end of pid {pid}", in_message=told)
    await ana.sees("Terminate 1 session on main", str(pid))
    await ana.click("Terminate 1 session")
    await ana.sees("Terminated 1 of 1 on main")

    over = await ends(slack, vera, told)
    words = vera.text_of(over)
    assert "some_user was at its limit for" in words
    assert "Ended by kill 1, @" in words
    assert "Preview" not in words
    (reply,) = await replied(slack, told)
    assert "✓ main: some_user was at its limit" in vera.text_of(reply)
    assert len(alerts(slack)) == 1

    await slack.person("sam").click("Timeline", in_message=over)
    await slack.person("sam").sees("PG_SESSIONS_ALLOWLIST")
    await vera.click("Timeline", in_message=over)
    timeline = vera.text_of(await vera.sees("The last two hours on main"))
    for words in ("alert: `limit` of role `some_user`", "kill 1: preview", "alert over after"):
        assert words in timeline
    assert slack.person("sam").does_not_see("The last two hours on main")
    assert "request.failed" not in bot.output
    assert bot.errors == []


async def test_button_of_an_alert_goes_by_what_is_found_now(
    start: Callable,
    telling: dict[str, str],
    slack: Workspace,
    ana: Person,
    sessions: Sessions,
) -> None:
    holder = await sessions.open("some_user")
    pid = holder.get_server_pid()
    await start(**telling)
    await ana.sees("main: some_user is at its limit", channel="incidents")
    await holder.close()
    await ana.click(f"Preview the end of pid {pid}")
    await ana.sees("That is over", "Nothing was done")
    another = await sessions.open("some_user")
    await ana.click("Preview the end of pid")
    preview = await ana.sees("Terminate 1 session on main")
    assert str(another.get_server_pid()) in ana.text_of(preview)


async def test_why_and_mute_are_for_those_who_may_look(
    replica: Callable,
    slack: Workspace,
    vera: Person,
    sessions: Sessions,
    ledger: asyncpg.Connection,
) -> None:
    await sessions.open("some_user")
    bot = await replica()
    told = await vera.sees("main: some_user is at its limit", channel="incidents")
    await vera.click("Why", in_message=told)
    await vera.sees("some_user can't log in on main")
    sam = slack.person("sam")
    await sam.click("Mute 1 h", in_message=told)
    await sam.sees("You may not look")
    await vera.click("Mute 1 h", in_message=told)
    await vera.sees("Muted until", "no replies in its thread")
    muted = await becomes(slack, vera, told, "muted until")
    assert "Mute 1 h" not in vera.text_of(muted)
    row = await recorded(ledger, "muted_until is not null")
    assert row["muted_by"] == vera.id
    # What is muted ends in silence.
    await sessions.stack.aclose()
    await ends(slack, vera, told)
    assert replies(slack, told) == []
    assert bot.errors == []


async def test_without_a_channel_the_bot_says_nothing_unasked(
    start: Callable, slack: Workspace, ana: Person, sessions: Sessions
) -> None:
    await sessions.open("some_user")
    bot: Bot = await start(**SOON)
    await bot.says("speaker.speaks")
    await ana.command("/pg-sessions why some_user", channel="incidents")
    await ana.sees("some_user can't log in on main")
    assert alerts(slack) == []
    assert len(slack.calls("chat.postMessage")) == 1


# --- crashes -------------------------------------------------------------------------


async def killed(bot: Bot) -> None:
    await bot.stop(signal.SIGKILL)


async def test_crash_before_posting_is_told_once_by_the_next_one(
    replica: Callable,
    slack: Workspace,
    vera: Person,
    sessions: Sessions,
    ledger: asyncpg.Connection,
) -> None:
    await sessions.open("some_user")
    slack.faults.drop("chat.postMessage", times=1000)
    bot = await replica()
    await recorded(ledger, "state = 'telling'")
    await bot.says("alerts.unsaid")
    await killed(bot)
    assert alerts(slack) == []
    slack.faults.clear()
    again = await replica()
    await vera.sees("some_user is at its limit", channel="incidents")
    row = await recorded(ledger, "state = 'open'")
    assert row["message_ts"] == alerts(slack)[0].ts
    assert len(alerts(slack)) == 1
    assert again.errors == []


async def test_crash_after_posting_goes_on_in_the_same_message(
    replica: Callable,
    slack: Workspace,
    vera: Person,
    sessions: Sessions,
    ledger: asyncpg.Connection,
) -> None:
    holder = await sessions.open("some_user")
    # Slack has posted it, but its answer is lost, and nobody can look whether it was.
    slack.faults.drop("chat.postMessage", after=True)
    slack.faults.fail("conversations.history", times=1000)
    bot = await replica()
    told = await vera.sees("some_user is at its limit", channel="incidents")
    row = await recorded(ledger, "state = 'telling'")
    assert row["message_ts"] is None
    await killed(bot)
    slack.faults.clear()
    again = await replica()
    await again.says("alert.found")
    row = await recorded(ledger, "state = 'open'")
    assert row["message_ts"] == told.ts
    # The next crash: between the record of the end and the reply in the thread.
    slack.faults.drop("chat.postMessage", times=1000)
    await holder.close()
    await recorded(ledger, "state = 'over'")
    await ends(slack, vera, told)
    await killed(again)
    assert replies(slack, told) == []
    slack.faults.clear()
    third = await replica()
    await recorded(ledger, "state = 'over' and news is null")
    assert len(replies(slack, told)) == 1
    assert len(alerts(slack)) == 1
    assert third.errors == []


async def test_without_the_scope_to_look_it_is_told_again_rather_than_never(
    replica: Callable,
    slack: Workspace,
    vera: Person,
    sessions: Sessions,
    ledger: asyncpg.Connection,
) -> None:
    await sessions.open("some_user")
    slack.state.set_scopes(*(s for s in slack.state.scopes if not s.endswith(":history")))
    slack.faults.drop("chat.postMessage", times=1000)
    bot = await replica()
    await bot.says("alerts.unsaid")
    await killed(bot)
    slack.faults.clear()
    again = await replica()
    await again.says("alert.may_not_look")
    await vera.sees("some_user is at its limit", channel="incidents")
    assert len(alerts(slack)) == 1


async def test_of_two_replicas_only_one_tells(
    replica: Callable,
    slack: Workspace,
    vera: Person,
    sessions: Sessions,
) -> None:
    bots = [await replica() for _ in range(2)]
    await bots[0].says("speaker.speaks")
    holder = await sessions.open("some_user")
    told = await vera.sees("some_user is at its limit", channel="incidents")
    await killed(bots[0])
    await bots[1].says("speaker.speaks")
    await holder.close()
    await ends(slack, vera, told)
    assert len(alerts(slack)) == 1
    assert len(await replied(slack, told)) == 1
    assert bots[1].errors == []


# --- trouble -------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["fails", "limits", "refuses"])
async def test_alert_goes_on_after_slack_was_in_trouble(
    how: str,
    start: Callable,
    telling: dict[str, str],
    slack: Workspace,
    vera: Person,
    sessions: Sessions,
) -> None:
    if how == "fails":
        slack.faults.fail("chat.postMessage", times=2)
    elif how == "limits":
        slack.faults.rate_limit("chat.postMessage", times=2, retry_after=1)
    else:
        slack.faults.refuse("chat.postMessage", "is_archived", times=2)
    await sessions.open("some_user")
    bot: Bot = await start(**telling)
    await vera.sees("some_user is at its limit", channel="incidents")
    await bot.says("alerts.said_again")
    (line,) = [line for line in bot.lines if "alerts.unsaid" in line]
    code = {"fails": "internal_error", "limits": "ratelimited", "refuses": "is_archived"}[how]
    assert json.loads(line)["error"] == code
    assert len(alerts(slack)) == 1


async def test_channel_that_others_read_gets_no_alert(
    start: Callable, telling: dict[str, str], slack: Workspace, sessions: Sessions
) -> None:
    await sessions.open("some_user")
    shared = slack.channel("shared")
    bot: Bot = await start(**{**telling, "ALERT_CHANNEL": shared.id})
    line = await bot.says("alerts.unsaid")
    assert json.loads(line)["error"] == "shared channel"
    assert not any(m.metadata for m in slack.state.messages(shared.id))


async def test_archived_channel_leaves_the_bot_ready_and_says_so_elsewhere(
    start: Callable, telling: dict[str, str], slack: Workspace, ana: Person
) -> None:
    """No restart unarchives a channel, and the bot still takes commands and clicks."""
    incidents, port = slack.channel("incidents"), free_port()
    slack.state.put_channel(replace(incidents, is_archived=True))
    bot: Bot = await start(**telling, HEALTH_PORT=str(port))
    line = json.loads(await bot.says("alerts.channel_takes_nothing"))
    assert (line["channel"], line["why"]) == (incidents.id, "it is archived")
    assert await ready(port) == {"slack": True, "ledger": True}
    _, exposed = await get(port, "/metrics")
    assert f'pg_sessions_alert_channel_ok{{channel="{incidents.id}"}} 0.0' in exposed
    await ana.opens_home()
    await ana.sees_home("No alert can be posted in #incidents: it is archived.")


async def test_message_that_was_deleted_is_not_posted_again(
    replica: Callable,
    slack: Workspace,
    vera: Person,
    sessions: Sessions,
    ledger: asyncpg.Connection,
) -> None:
    holder = await sessions.open("some_user")
    bot: Bot = await replica()
    told = await vera.sees("some_user is at its limit", channel="incidents")
    await recorded(ledger, "state = 'open'")
    slack.state.delete(told)
    await holder.close()
    await bot.says("alert.message_gone")
    await recorded(ledger, "state = 'over' and news is null")
    assert alerts(slack) == []
    assert bot.errors == []
