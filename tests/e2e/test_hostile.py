"""Text that others chose: it mentions nobody, links nowhere, formats nothing, reveals nothing."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from tests.e2e.conftest import IN_BOTH_MODES, Bot
from tests.integration.conftest import Sessions
from workspace import Person, Workspace
from workspace.blocks import elements

NAMES = [
    "<!channel>",
    "<@U0VERA>",
    "<https://evil.example|click>",
    "https://evil.example",
    "*bold* _it_ ~no~ `code`",
    ":rotating_light:",
    "&lt;!here&gt;",
    "@here @channel",
]


def mrkdwn(node: Any) -> Iterator[str]:
    """Every text that Slack would format."""
    if isinstance(node, dict):
        if node.get("type") == "mrkdwn":
            yield node["text"]
        for value in node.values():
            yield from mrkdwn(value)
    elif isinstance(node, list):
        for value in node:
            yield from mrkdwn(value)


async def test_an_application_name_is_shown_and_does_nothing(
    bot: Bot, slack: Workspace, ana: Person, sessions: Sessions
) -> None:
    for name in NAMES:
        await shown_and_ended(ana, sessions, name)
    await ana.command("/pg-kill history", channel="incidents")

    for message in slack.messages("incidents"):
        if message.kind == "command":
            continue
        for text in mrkdwn(list(message.blocks)):
            assert not any(name in text for name in NAMES)
        assert "<!" not in message.text
        assert "evil.example|" not in message.text
        assert "Zanzibar" not in json.dumps(list(message.blocks)) + message.text
    for call in slack.calls("chat.postMessage"):
        assert call.args["unfurl_links"] in (False, "false", "0")
        assert call.args["unfurl_media"] in (False, "false", "0")


async def shown_and_ended(ana: Person, sessions: Sessions, name: str) -> None:
    held = await sessions.open("batch", app=name)
    pid = str(held.get_server_pid())
    await held.execute("begin; select 'a literal of Zanzibar'")
    await ana.command("/pg-sessions some_db", channel="incidents")
    await ana.sees(pid, name)
    await ana.command(f"/pg-kill {pid} -- {name}", channel="incidents")
    await ana.sees("Terminate 1 session on main?", pid, name)
    await ana.click("Terminate 1 session")
    await ana.sees("Terminated 1 of 1 on main", pid)


async def test_usage_error_is_shown_only_to_the_person_who_asked(
    bot: Bot, ana: Person, vera: Person
) -> None:
    for text in (
        "stat=idle",
        "user='; drop table accounts; --",
        "xact>5parsecs",
        "client=300.1.2.3",
        "columns=pid,nonsense",
        "a b c",
        "limit=0",
        'db="unclosed',
        "\u202eevil",
    ):
        answer = await ana.command(f"/pg-sessions {text}", channel="incidents")
        assert answer.receiver == ana.id
        assert vera.messages("incidents") == []


@IN_BOTH_MODES
async def test_text_changed_by_slack_or_phones_keeps_its_meaning(
    bot: Bot, ana: Person, sessions: Sessions
) -> None:
    held = await sessions.open("batch", app="on call")
    await held.execute("begin; select 1")
    pid = str(held.get_server_pid())
    await ana.command("/pg-kill app=“on call” xact>0s — it’s in the way", channel="incidents")
    await ana.sees("Terminate 1 session on main?", pid, "it’s in the way")


@IN_BOTH_MODES
async def test_a_button_of_another_version_says_so(
    bot: Bot, slack: Workspace, ana: Person, sessions: Sessions
) -> None:
    """Its id or value isn't from this version: nothing is done, and the click is answered."""
    held = await sessions.open("batch", app="old button")
    preview = await ana.command('/pg-kill app="old button"', channel="incidents")
    button = next(e for e in elements(list(preview.blocks)) if e.action_id == "kill.terminate")
    said = preview
    for changed in (
        {"action_id": "kill.all"},
        {"value": "v2:1"},
        {"value": "1"},  # only a number, as in buttons from before kills had keys
        {"action_id": "kill.terminate\n"},
    ):
        await slack.interactions.click_in_message(
            ana.user, preview, replace(button, element={**button.element, **changed}), {}
        )
        said = await ana.sees("from another version of the bot", "Only visible to you", after=said)
    assert "Unhandled" not in bot.output
    assert await held.fetchval("select true")
