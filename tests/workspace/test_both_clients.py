"""The newer methods, called by Slack's official clients for Python and for Node.js."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from tests.processes import TIED
from tests.workspace.conftest import FOLDER
from workspace import Workspace

Json = dict[str, Any]
Ask = Callable[..., Awaitable[Json]]

INCIDENTS = "C0INCIDENTS"
GROUP_CHAT = "G0ANABENVERA"


def _by_python(client: AsyncWebClient) -> Ask:
    async def ask(method: str, **given: Any) -> Json:
        try:
            answer = await getattr(client, method.replace(".", "_"))(**given)
        except SlackApiError as error:
            answer = error.response
        return dict(answer.data)

    return ask


def _by_node(process: asyncio.subprocess.Process, slack: Workspace) -> Ask:
    place = {"token": slack.bot_token, "url": slack.api_url}

    async def ask(method: str, **given: Any) -> Json:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{json.dumps([place, method, given])}\n".encode())
        return dict(json.loads(await process.stdout.readline()))

    return ask


@pytest.fixture(scope="module")
async def asker(node: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The client for Node.js: to load it takes longer than all that the tests do with it."""
    process = await asyncio.create_subprocess_exec(
        *(*TIED, node, "ask.js"),
        cwd=FOLDER,
        env={"PATH": os.environ["PATH"]},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    yield process
    process.kill()
    await process.wait()


@pytest.fixture(params=["python", "node"])
def ask(request: pytest.FixtureRequest, slack: Workspace, client: AsyncWebClient) -> Ask:
    """Call a method; the answer, or the refusal."""
    if request.param == "python":
        return _by_python(client)
    return _by_node(request.getfixturevalue("asker"), slack)


def section(text: str) -> Json:
    return {"type": "section", "text": {"type": "plain_text", "text": text}}


def table() -> Json:
    return {"type": "table", "rows": [[{"type": "raw_text", "text": "pid"}]]}


async def test_blocks_are_validated(ask: Ask) -> None:
    assert (await ask("blocks.validate", blocks=[section("x")]))["ok"]
    assert (await ask("blocks.validate", message={"blocks": [table()]}))["ok"]
    refused = await ask("blocks.validate", view={"type": "home", "blocks": [table()]})
    assert refused["error"] == "invalid_view"
    assert refused["errors"][0]["pointer"] == "/blocks/0"


async def test_second_table_counts_as_an_invalid_attachment(ask: Ask) -> None:
    refused = await ask("chat.postMessage", channel=INCIDENTS, text="x", blocks=[table()] * 2)
    assert refused["error"] == "invalid_attachments"
    assert "only_one_table_allowed" in refused["errors"][0]


async def test_reply_has_a_link_that_names_its_thread(slack: Workspace, ask: Ask) -> None:
    parent = slack.person("ana").say("Logins fail", "incidents")
    reply = await ask(
        "chat.postMessage",
        channel=INCIDENTS,
        thread_ts=parent.ts,
        reply_broadcast=True,
        text="looking",
    )
    assert reply["message"]["subtype"] == "thread_broadcast"
    found = await ask("chat.getPermalink", channel=INCIDENTS, message_ts=parent.ts)
    link = f"https://acme.slack.com/archives/{INCIDENTS}/p{parent.ts.replace('.', '')}"
    assert (found["channel"], found["permalink"]) == (INCIDENTS, link)
    found = await ask("chat.getPermalink", channel=INCIDENTS, message_ts=reply["ts"])
    thread = f"?thread_ts={parent.ts}&cid={INCIDENTS}"
    assert (
        found["permalink"] == f"{link.rpartition('/')[0]}/p{reply['ts'].replace('.', '')}{thread}"
    )
    thread_of = await ask("conversations.replies", channel=INCIDENTS, ts=parent.ts)
    assert [each["text"] for each in thread_of["messages"]] == ["Logins fail", "looking"]


async def test_what_the_bot_cannot_see_has_no_link(slack: Workspace, ask: Ask) -> None:
    ana = slack.person("ana")
    secret = ana.say("hidden", "secret")
    refused = await ask("chat.getPermalink", channel="C0SECRET", message_ts=secret.ts)
    assert refused["error"] == "channel_not_found"
    alone = await ask("chat.postEphemeral", channel=INCIDENTS, user=ana.id, text="for her")
    refused = await ask("chat.getPermalink", channel=INCIDENTS, message_ts=alone["message_ts"])
    assert refused["error"] == "message_not_found"


async def test_home_tab_is_published_over_the_version_that_is_known(
    slack: Workspace, ask: Ask
) -> None:
    ana = slack.person("ana")
    view = {"type": "home", "blocks": [section("Good evening")]}
    first = await ask("views.publish", user_id=ana.id, view=view)
    assert "Good evening" in ana.home_text()
    later = {"type": "home", "blocks": [section("Good night")]}
    published = await ask("views.publish", user_id=ana.id, view=later, hash=first["view"]["hash"])
    assert published["view"]["id"] == first["view"]["id"]
    refused = await ask("views.publish", user_id=ana.id, view=view, hash=first["view"]["hash"])
    assert refused["error"] == "hash_conflict"
    assert "Good night" in ana.home_text()


async def test_organization_names_the_workspace_of_a_user_group(slack: Workspace, ask: Ask) -> None:
    slack.install_for_the_organization("T0ACME")
    assert (await ask("auth.test"))["is_enterprise_install"] is True
    teams = await ask("auth.teams.list")
    assert [each["id"] for each in teams["teams"]] == ["T0ACME"]
    group = {"usergroup": "S0ONCALL"}
    assert (await ask("usergroups.users.list", **group))["error"] == "missing_argument"
    listed = await ask("usergroups.users.list", **group, team_id="T0ACME")
    assert listed["users"] == ["U0ANA", "U0BEN"]
    groups = await ask("usergroups.list", team_id="T0ACME")
    assert [each["handle"] for each in groups["usergroups"]] == ["oncall"]
    refused = await ask("usergroups.list", team_id="T0ACMELABS")
    assert refused["error"] == "team_access_not_granted"


async def test_group_direct_message_is_described_and_takes_a_message(
    slack: Workspace, ask: Ask
) -> None:
    slack.state.join(GROUP_CHAT, slack.state.app.user_id)
    refused = await ask("conversations.info", channel=GROUP_CHAT)
    assert (refused["error"], refused["needed"]) == ("missing_scope", "mpim:read")
    slack.state.set_scopes(*slack.state.scopes, "mpim:read")
    channel = (await ask("conversations.info", channel=GROUP_CHAT))["channel"]
    assert (channel["is_mpim"], channel["name"]) == (True, "mpdm-ana--ben--vera-1")
    await ask("chat.postMessage", channel=GROUP_CHAT, text="psst")
    await slack.person("vera").sees("psst", channel=GROUP_CHAT)
