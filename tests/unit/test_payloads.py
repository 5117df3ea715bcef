"""What is read of Slack's requests, and what gets no further than the door."""

from functools import partial
from typing import Any

import pytest

from bot.domain.kills import Actor
from bot.slack import payloads
from bot.slack.payloads import View, click, command
from bot.slack.routes import COMMANDS

received = partial(payloads.received, commands=COMMANDS)

COMMAND = {
    "command": "/pg-kill",
    "text": "33507",
    "user_id": "U0ALICE",
    "team_id": "T0HOME",
    "channel_id": "C0OPS",
    "channel_name": "ops",
    "response_url": "https://hooks/1",
    "trigger_id": "1.2.3",
}
CLICK: dict[str, Any] = {
    "type": "block_actions",
    "user": {"id": "U0ALICE", "team_id": "T0HOME"},
    "team": {"id": "T0HOME"},
    "container": {"type": "message", "channel_id": "C0OPS", "message_ts": "1.2"},
    "channel": {"id": "C0OPS", "name": "ops"},
    "response_url": "https://hooks/2",
    "trigger_id": "1.2.3",
    "actions": [{"action_id": "kill.terminate", "type": "button", "value": "41"}],
}


def test_a_command_and_a_click_pass_with_what_is_read_of_them():
    assert received(COMMAND | {"token": "x", "user_name": "alice"}) == COMMAND
    said = CLICK | {"container": CLICK["container"] | {"is_ephemeral": False}}
    assert received(said | {"message": {"text": "…"}, "state": {}, "enterprise": None}) == said


@pytest.mark.parametrize(
    ("told", "message", "ephemeral"),
    [
        ({"is_ephemeral": True}, {"text": "…"}, True),
        ({"is_ephemeral": False}, None, False),
        ({}, {"text": "…"}, False),
        ({}, None, True),
        ({"is_ephemeral": None}, None, True),
        ({"is_ephemeral": "false"}, {}, True),
    ],
)
def test_one_persons_message_is_never_taken_for_the_channels(told, message, ephemeral):
    container = {"type": "message", "channel_id": "C0OPS", "message_ts": "1.2", **told}
    body = received(CLICK | {"container": container, "message": message})
    assert body is not None
    read = click(body)
    assert (read.ephemeral, read.message_ts) == (ephemeral, "" if ephemeral else "1.2")


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "x",
        {},
        {"command": "/other", "text": "all"},
        {"command": ["/pg-kill"]},
        {"type": "view_submission", "view": {}},
        {"type": "event_callback", "event": {}},
        CLICK | {"type": None},
        CLICK | {"actions": None},
        CLICK | {"actions": []},
        CLICK | {"actions": [None]},
        CLICK | {"actions": {"0": {}}},
        CLICK | {"actions": [{"action_id": 1}]},
    ],
)
def test_nothing_else_does(body):
    assert received(body) is None


@pytest.mark.parametrize("odd", [None, 0, True, [], "x", ["x"], {"id": 1}, {"id": None}])
def test_what_is_not_of_its_kind_reads_as_missing(odd):
    for name in ("user", "team", "container", "channel", "view", "enterprise"):
        body = received(CLICK | {name: odd})
        assert body is not None
        assert all(isinstance(body[key], dict) for key in body if key == name)
        read = click(body)
        assert isinstance(read.actor, Actor)
        assert (read.view is None) == (name != "view" or not isinstance(odd, dict))
    assert click(CLICK | {"user": odd}).actor == Actor("")
    assert command(COMMAND | {"user_id": odd, "text": odd}).text == ("x" if odd == "x" else "")


def test_what_neither_utf_8_nor_postgresql_can_hold_is_replaced():
    assert command(COMMAND | {"text": "a\0b\ud800c"}).text == "a\ufffdb\ufffdc"
    read = click(CLICK | {"view": {"id": "V\0", "hash": "\udfff", "private_metadata": "é😀"}})
    assert read.view == View("V\ufffd", "\ufffd", "é😀")
    body = received(CLICK | {"actions": [{"action_id": "kill\ud800", "value": "1"}]})
    assert body is not None
    assert click(body).action_id == "kill\ufffd"


def test_an_id_is_no_longer_than_ids_are():
    assert len(command(COMMAND | {"user_id": "U" * 5000}).actor.user_id) == 64
    assert len(click(CLICK | {"container": {"channel_id": "C" * 5000}}).channel_id) == 64
