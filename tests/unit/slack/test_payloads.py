"""What the bot reads of Slack's requests, and what it drops on arrival."""

from functools import partial
from typing import Any

import pytest

from bot.domain.kills import Actor
from bot.slack import payloads
from bot.slack.payloads import View, click, command, shortcut
from bot.slack.routes import KNOWN

received = partial(payloads.received, commands=KNOWN)

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

HOME = {"type": "app_home_opened", "user": "U0ALICE", "channel": "D0ALICE", "tab": "home"}


def test_opened_home_passes_without_saying_where_its_person_belongs():
    event = HOME | {"view": {"id": "V1"}, "event_ts": "1.2"}
    body = received({"type": "event_callback", "team_id": "T0HOME", "event": event})
    assert body is not None
    assert body["event"] == {each: HOME[each] for each in ("type", "user", "channel")}
    opened = payloads.home_opened(body, "home.refresh")
    assert opened.actor == Actor("U0ALICE", "")
    assert (opened.channel_id, opened.ephemeral, opened.message_ts) == ("D0ALICE", True, "")


def test_submission_names_the_channel_that_was_chosen():
    values = {
        "where": {"channel": {"selected_conversation": "C0OPS"}},
        "t": {"text": {"value": "x"}},
    }
    url = {"channel_id": "C0OPS", "response_url": "https://hooks/3", "action_id": "channel"}
    view = {
        "callback_id": "home.asked",
        "state": {"values": values},
        "private_metadata": "/pg-kill",
    }
    asked = {"type": "view_submission", "user": CLICK["user"], "view": view}
    body = received(asked | {"response_urls": [url]})
    assert body is not None
    read = payloads.submission(body)
    assert read.inputs == {"channel": "C0OPS", "text": "x"}
    assert (read.channel_id, read.response_url) == ("C0OPS", "https://hooks/3")
    odd: Any
    for odd in (None, [], {}, [None], "x"):
        body = received(asked | {"response_urls": odd})
        assert body is not None
        assert payloads.submission(body).response_url == ""


def test_form_passes_with_only_the_fields_that_are_read():
    # Bolt fails on a view without a type.
    form = {"callback_id": "home.asked", "private_metadata": "/pg-kill", "state": {"values": {}}}
    for odd in ({}, {"type": None}, {"type": "home", "blocks": [1], "id": "V0"}):
        body = received({"type": "view_submission", "view": form | odd})
        assert body is not None
        assert body["view"] == form | {"type": "modal"}


def test_challenge_is_read_back_of_a_verification_only():
    assert payloads.challenge({"type": "url_verification", "challenge": "abc"}) == "abc"
    other: Any
    for other in (None, [], {"type": "event_callback", "challenge": "abc"}, {"challenge": "abc"}):
        assert payloads.challenge(other) is None


def test_commands_and_clicks_pass_with_only_the_fields_that_are_read():
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
def test_ephemeral_message_is_never_taken_for_a_public_one(told, message, ephemeral):
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
        {"type": "event_callback", "event": {"type": "message", "user": "U0ALICE"}},
        {"type": "event_callback", "event": HOME | {"tab": "messages"}},
        {"type": "event_callback", "event": [HOME]},
        CLICK | {"type": None},
        CLICK | {"actions": None},
        CLICK | {"actions": []},
        CLICK | {"actions": [None]},
        CLICK | {"actions": {"0": {}}},
        CLICK | {"actions": [{"action_id": 1}]},
    ],
)
def test_other_payloads_do_not_pass(body):
    assert received(body) is None


@pytest.mark.parametrize("odd", [None, 0, True, [], "x", ["x"], {"id": 1}, {"id": None}])
def test_field_of_the_wrong_type_reads_as_missing(odd):
    for name in ("user", "team", "container", "channel", "view", "enterprise"):
        body = received(CLICK | {name: odd})
        assert body is not None
        assert all(isinstance(body[key], dict) for key in body if key == name)
        read = click(body)
        assert isinstance(read.actor, Actor)
        assert (read.view is None) == (name != "view" or not isinstance(odd, dict))
    assert click(CLICK | {"user": odd}).actor == Actor("")
    assert command(COMMAND | {"user_id": odd, "text": odd}).text == ("x" if odd == "x" else "")


def test_characters_that_utf_8_or_postgresql_cant_hold_are_replaced():
    assert command(COMMAND | {"text": "a\0b\ud800c"}).text == "a\ufffdb\ufffdc"
    read = click(CLICK | {"view": {"id": "V\0", "hash": "\udfff", "private_metadata": "é😀"}})
    assert read.view == View("V\ufffd", "\ufffd", "é😀")
    body = received(CLICK | {"actions": [{"action_id": "kill\ud800", "value": "1"}]})
    assert body is not None
    assert click(body).action_id == "kill\ufffd"


def test_id_length_is_limited():
    assert len(command(COMMAND | {"user_id": "U" * 5000}).actor.user_id) == 64
    assert len(click(CLICK | {"container": {"channel_id": "C" * 5000}}).channel_id) == 64


@pytest.mark.parametrize(
    ("container", "message", "thread_ts"),
    [
        ({"thread_ts": "1.1"}, {}, "1.1"),
        ({}, {"thread_ts": "1.1"}, "1.1"),  # the message says so, if the container doesn't
        ({"thread_ts": "1.2"}, {"thread_ts": "1.2"}, ""),  # it has replies, but isn't one
        ({"thread_ts": "1.1"}, None, "1.1"),  # seen by one person
        ({"thread_ts": "../x"}, {"thread_ts": 7}, ""),
        ({}, {}, ""),
    ],
)
def test_click_knows_the_thread_of_its_message(container, message, thread_ts):
    body = received(
        CLICK | {"container": CLICK["container"] | container, "message": message or None}
    )
    assert body is not None
    assert click(body).thread_ts == thread_ts
    assert click(body).place.thread_ts == thread_ts


SHORTCUT: dict[str, Any] = {
    "type": "message_action",
    "callback_id": "pg_kill_here",
    "user": {"id": "U0ALICE", "team_id": "T0HOME"},
    "channel": {"id": "C0OPS", "name": "ops"},
    "response_url": "https://hooks/3",
    "trigger_id": "1.2.3",
    "message": {"ts": "1.2", "thread_ts": "1.1"},
}


def test_shortcut_passes_without_its_message():
    message = SHORTCUT["message"] | {"text": "s3cret", "user": "U0BOB", "blocks": [{}]}
    assert received(SHORTCUT | {"message": message, "token": "x"}) == SHORTCUT
    assert received(SHORTCUT | {"callback_id": "theirs"}) is None


@pytest.mark.parametrize(
    ("message", "thread_ts", "begun"),
    [
        ({"ts": "1.2"}, "1.2", False),
        ({"ts": "1.2", "thread_ts": "1.2", "reply_count": 2}, "1.2", True),
        ({"ts": "1.2", "thread_ts": "1.1"}, "1.1", True),
        # Nobody can reply to what one person sees, except in a thread that it is in.
        ({"ts": "1.2", "is_ephemeral": True}, "", False),
        ({"ts": "1.2", "thread_ts": "1.1", "is_ephemeral": True}, "1.1", True),
        ({"ts": "<!here>"}, "", False),
        (None, "", False),
    ],
)
def test_shortcut_knows_the_thread_of_its_message(message, thread_ts, begun):
    body = received(SHORTCUT | {"message": message})
    assert body is not None
    read = shortcut(body)
    assert (read.thread_ts, read.thread_begun) == (thread_ts, begun)
    assert (read.actor.user_id, read.channel_id, read.trigger_id) == ("U0ALICE", "C0OPS", "1.2.3")
