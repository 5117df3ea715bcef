"""The page serves only the browser that its owner opened. These tests need no browser."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from yarl import URL

from tests.browser.conftest import Story
from workspace import Workspace
from workspace.blocks import complete
from workspace.page import STATIC
from workspace.page import Page as Site
from workspace.page.cast import COMMANDS, ROLES
from workspace.state import Message

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def slack() -> AsyncIterator[Workspace]:
    async with Workspace() as started:
        yield started


@pytest.fixture
def scenario() -> Story:
    return Story()


@pytest.fixture
async def client(site: Site) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(base_url=site.url) as session:
        yield session


def asked(**more: Any) -> dict[str, Any]:
    return {"person": "ana", "channel": "C0INCIDENTS", "text": "hello", **more}


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "[", "127.0.0.2"])
async def test_another_name_for_loopback_is_refused(
    client: aiohttp.ClientSession, site: Site, slack: Workspace, host: str
) -> None:
    headers = {"Host": f"{host}:{URL(site.url).port}"}
    for path in ("/", "/static/js/main.js", "/events?person=ana"):
        async with client.get(path, headers=headers) as answer:
            assert answer.status in {400, 403}, path
    async with client.post("/act/say", json=asked(), headers=headers) as answer:
        assert answer.status in {400, 403}
    assert slack.messages("incidents") == []


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1"])
async def test_other_sites_can_neither_act_nor_listen(
    client: aiohttp.ClientSession, slack: Workspace, origin: str
) -> None:
    headers = {"Origin": origin}
    async with client.post("/act/say", json=asked(), headers=headers) as answer:
        assert answer.status == 403
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await client.ws_connect("/events?person=ana", headers=headers)
    assert refused.value.status == 403
    assert slack.messages("incidents") == []


async def test_a_form_of_another_site_can_not_act(
    client: aiohttp.ClientSession, slack: Workspace
) -> None:
    for content_type in ("text/plain", "application/x-www-form-urlencoded"):
        headers = {"Content-Type": content_type}
        async with client.post("/act/say", data=b'{"person": "ana"}', headers=headers) as answer:
            assert answer.status == 415
    assert slack.messages("incidents") == []


async def test_page_may_act_under_each_of_its_names(
    client: aiohttp.ClientSession, site: Site, slack: Workspace
) -> None:
    port = URL(site.url).port
    for host in (f"127.0.0.1:{port}", f"localhost:{port}"):
        headers = {"Host": host, "Origin": f"http://{host}"}
        async with client.post("/act/say", json=asked(), headers=headers) as answer:
            assert answer.status == 204
    assert len(slack.messages("incidents")) == 2


async def test_only_the_pages_own_scripts_run(client: aiohttp.ClientSession) -> None:
    for path in ("/?as=ana", "/static/js/main.js", "/nosuch"):
        async with client.get(path) as answer:
            policy = dict(
                part.strip().split(" ", 1)
                for part in answer.headers["Content-Security-Policy"].split(";")
            )
            assert policy["default-src"] == "'none'"
            assert policy["script-src"] == policy["style-src"] == "'self'"
            assert policy["require-trusted-types-for"] == "'script'"
            assert policy["frame-ancestors"] == "'none'"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_address_without_a_person_means_the_first_one(
    client: aiohttp.ClientSession,
) -> None:
    for path in ("/", "/?as=nobody", "/?as=pg_sessions"):
        async with client.get(path) as answer:
            assert answer.url.query == {"as": "ana", "in": "incidents"}
    async with client.get("/?in=random") as answer:
        assert answer.url.query == {"as": "ana", "in": "random"}


ACTION = {"type": "actions", "block_id": "a", "elements": []}
SELECT = {
    "type": "static_select",
    "action_id": "pick",
    "options": [{"text": {"type": "plain_text", "text": "One"}, "value": "1"}],
}


@pytest.fixture
def offered(slack: Workspace) -> Message:
    """A message that only Vera sees, with a menu."""
    return slack.state.post(
        Message(
            channel="C0INCIDENTS",
            ts=slack.state.new_ts(),
            user=slack.state.app.user_id,
            text="",
            blocks=tuple(complete([{**ACTION, "elements": [SELECT]}])),
            receiver="U0VERA",
        )
    )


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"person": "ana"}, 404),  # a person who doesn't see a message can't press anything in it
        ({"person": "nobody"}, 404),
        ({"person": "pg_sessions"}, 404),
        ({"person": 7}, 400),
        ({"channel": "C0NOWHERE"}, 404),
        ({"channel": "C0SECRET"}, 403),
        ({"ts": "1.000000"}, 404),
        ({"action_id": "other"}, 404),
        ({"given": "2"}, 404),  # this was never offered
        ({"given": ["1"]}, 404),
        ({"values": []}, 400),
    ],
)
async def test_nobody_presses_what_was_not_offered_to_them(
    client: aiohttp.ClientSession,
    slack: Workspace,
    offered: Message,
    wrong: dict[str, Any],
    status: int,
) -> None:
    body = {
        "person": "vera",
        "channel": "C0INCIDENTS",
        "ts": offered.ts,
        "block_id": "a",
        "action_id": "pick",
        "given": "1",
    }
    async with client.post("/act/click", json=body | wrong) as answer:
        assert answer.status == status
    assert not any(change.kind == "interaction_sent" for change in slack.state.log)
    async with client.post("/act/click", json=body) as answer:
        assert answer.status == 204
    assert any(change.kind == "interaction_sent" for change in slack.state.log)


async def test_nobody_writes_where_they_are_not(
    client: aiohttp.ClientSession, slack: Workspace
) -> None:
    for person, channel in (("olga", "C0INCIDENTS"), ("vera", "C0SECRET"), ("gus", "C0SHARED")):
        body = asked(person=person, channel=channel)
        async with client.post("/act/say", json=body) as answer:
            assert answer.status == 403
    assert slack.messages("incidents") == []


async def test_nobody_closes_the_modal_of_another(
    client: aiohttp.ClientSession, slack: Workspace
) -> None:
    body = {"type": "modal", "title": {"type": "plain_text", "text": "Hers"}, "blocks": []}
    view = slack.state.open_view("U0VERA", body, None)
    for what in ("close", "submit"):
        asked_for = {"person": "ana", "view": view.id}
        async with client.post(f"/act/modal/{what}", json=asked_for) as answer:
            assert answer.status == 404
    assert slack.state.view(view.id) == view


@pytest.mark.parametrize("body", [b"", b"no json", b"[]", b"7"])
async def test_body_that_is_not_a_json_object_is_refused(
    client: aiohttp.ClientSession, body: bytes
) -> None:
    headers = {"Content-Type": "application/json"}
    async with client.post("/act/say", data=body, headers=headers) as answer:
        assert answer.status == 400


async def test_unknown_fault_is_refused(client: aiohttp.ClientSession, scenario: Story) -> None:
    async with client.post("/act/fault", json={"id": "nosuch"}) as answer:
        assert answer.status == 404
    async with client.post("/act/fault", json={"id": "hang"}) as answer:
        assert answer.status == 204
    assert scenario.pressed == ["hang"]


async def test_a_workspace_without_a_scenario_has_nothing_to_break(slack: Workspace) -> None:
    async with (
        Site(slack) as site,
        aiohttp.ClientSession(base_url=site.url) as client,
        client.post("/act/reset", json={}) as answer,
    ):
        assert answer.status == 404


async def test_a_port_in_use_is_an_error_that_the_caller_sees(site: Site, slack: Workspace) -> None:
    with pytest.raises(OSError, match="address already in use"):
        async with Site(slack, port=URL(site.url).port or 0):
            pass


async def test_stream_shows_a_person_only_what_they_may_see(
    client: aiohttp.ClientSession, slack: Workspace, offered: Message
) -> None:
    slack.state.open_view("U0VERA", {"type": "modal", "blocks": []}, None)
    async with client.ws_connect("/events?person=sam") as stream:
        snapshot = await stream.receive_json()
        assert {each["name"] for each in snapshot["channels"]} >= {"incidents", "shared"}
        assert "secret" not in {each["name"] for each in snapshot["channels"]}
        assert snapshot["messages"]["C0INCIDENTS"] == []
        assert snapshot["views"] == []
        slack.person("ana").say("hidden", channel="secret")
        slack.state.change(offered)
        slack.person("ana").say("shown", channel="incidents")
        while (event := await stream.receive_json())["type"] != "message":
            assert event["type"] == "scenario"
        assert event["message"]["text"] == "shown"


# The sources


def sources(*suffixes: str) -> dict[str, str]:
    return {
        str(path.relative_to(STATIC)): path.read_text()
        for path in STATIC.rglob("*")
        if path.suffix in suffixes
    }


def test_text_never_becomes_markup() -> None:
    ways = ("innerHTML", "outerHTML", "insertAdjacentHTML", "write", "DOMParser", "srcdoc", "eval")
    for name, text in sources(".js").items():
        assert re.findall(rf"\b(?:{'|'.join(ways)})\b", text) == [], name


def test_nothing_is_fetched_from_elsewhere() -> None:
    allowed = {"http://www.w3.org/2000/svg"}
    for name, text in sources(".js", ".css", ".html", ".svg").items():
        found = re.findall(r"(?:https?|wss?):\/\/[^\s`\"'()<>]+", text)
        assert {each for each in found if "${" not in each} <= allowed, name


def test_nothing_is_inline() -> None:
    for name, text in sources(".html", ".svg").items():
        assert not re.search(r"\son\w+=|style=|<style|<script(?![^>]*\bsrc=)", text), name


def test_the_composer_offers_what_the_manifest_says() -> None:
    manifest = yaml.safe_load((ROOT / "manifest.yml").read_text())
    offered = [(each.name, each.description, each.usage_hint) for each in COMMANDS]
    assert offered == [
        (each["command"], each["description"], each["usage_hint"])
        for each in manifest["features"]["slash_commands"]
    ]


async def test_everybody_on_the_list_is_in_the_workspace(slack: Workspace) -> None:
    assert {role.name for role in ROLES} == {
        user.name for user in slack.state.users.values() if not user.is_bot
    }
