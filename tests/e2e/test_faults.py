"""Slack at its worst: what is asked is still answered."""

import pytest

from tests.e2e.conftest import Bot
from tests.integration.conftest import Sessions
from workspace import Person, Workspace

LONG = 40.0


ON_THE_SOCKET = pytest.mark.parametrize("mode", ["socket"])


@ON_THE_SOCKET
async def test_after_the_socket_is_cut_the_bot_comes_back(
    bot: Bot, slack: Workspace, ana: Person
) -> None:
    slack.server.sockets.cut()
    await slack.connected(seconds=LONG)
    await ana.command("/pg-sessions some_db", channel="incidents", seconds=LONG)
    await ana.sees("some_db on main")


@ON_THE_SOCKET
async def test_after_slack_refreshes_the_socket_the_bot_goes_on(
    bot: Bot, slack: Workspace, ana: Person
) -> None:
    await slack.server.sockets.disconnect("refresh_requested")
    await slack.connected(seconds=LONG)
    await ana.command("/pg-sessions some_db", channel="incidents", seconds=LONG)
    await ana.sees("some_db on main")


@ON_THE_SOCKET
async def test_a_socket_that_slack_refuses_is_asked_for_anew(
    bot: Bot, slack: Workspace, ana: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its URL is good once, and not for long: whoever comes too late has to ask again."""
    with monkeypatch.context() as late:
        late.setattr(slack.server.sockets, "new_ticket", lambda: "a-ticket-of-yesterday")
        slack.server.sockets.cut()
        await bot.says("Failed to connect")
    await slack.connected(seconds=LONG)
    await ana.command("/pg-sessions some_db", channel="incidents", seconds=LONG)
    await ana.sees("some_db on main")
    assert "a-ticket-of-yesterday" not in bot.output


async def test_a_rate_limit_is_waited_out(bot: Bot, slack: Workspace, ana: Person) -> None:
    slack.faults.rate_limit("chat.postMessage", retry_after=1)
    await ana.command("/pg-sessions some_db", channel="incidents")
    await ana.sees("some_db on main")
    assert len(slack.calls("chat.postMessage")) == 2


async def test_where_posting_fails_the_answer_comes_by_the_response_url(
    bot: Bot, slack: Workspace, ana: Person, vera: Person
) -> None:
    slack.faults.fail("chat.postMessage", times=100)
    await ana.command("/pg-sessions some_db", channel="incidents")
    await vera.sees("some_db on main", channel="incidents")


async def test_a_preview_that_was_deleted_gets_its_outcome_anew(
    bot: Bot, slack: Workspace, ana: Person, sessions: Sessions
) -> None:
    await sessions.open("batch", app="deleted")
    preview = await ana.command("/pg-kill app=deleted", channel="incidents")
    slack.faults.slow("chat.update", seconds=0.5)
    slack.faults.drop("chat.update", times=1)
    await ana.click("Terminate 1 session")
    slack.state.delete(preview)
    await ana.sees("Terminated 1 of 1 on main")


async def test_in_a_channel_without_the_bot_the_outcome_replaces_the_preview(
    bot: Bot, slack: Workspace, ana: Person, sessions: Sessions
) -> None:
    """Without `chat:write.public` nothing can be posted there but by response_url."""
    await sessions.open("batch", app="no member")
    slack.state.set_scopes("commands", "chat:write", "channels:read", "users:read")
    await ana.command('/pg-kill app="no member"', channel="random")
    await ana.click("Terminate 1 session", channel="random")
    await ana.sees("Terminated 1 of 1 on main", channel="random")
    assert ana.does_not_see("Terminate 1 session on main?", channel="random")


async def test_a_proxys_page_in_slacks_place_is_a_failure_like_any_other(
    bot: Bot, slack: Workspace, ana: Person, vera: Person, sessions: Sessions
) -> None:
    """A 503 with a text for a body: the SDK gives no code for it."""
    await sessions.open("batch", app="proxy")
    slack.faults.fail("chat.postMessage", times=1)
    await ana.command("/pg-kill app=proxy", channel="incidents")
    await vera.sees("Terminate 1 session on main?", channel="incidents")
    slack.faults.fail("chat.update", times=100)
    await ana.click("Terminate 1 session")
    await vera.sees("Terminated 1 of 1 on main")
    assert vera.does_not_see("Terminate 1 session on main?")


async def test_a_long_rate_limit_is_not_waited_out(
    bot: Bot, slack: Workspace, ana: Person, vera: Person
) -> None:
    slack.faults.rate_limit("chat.postMessage", times=100, retry_after=60)
    await ana.command("/pg-sessions some_db", channel="incidents")
    await vera.sees("some_db on main", channel="incidents")
