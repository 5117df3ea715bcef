"""What Slack sends, read once at the door into what the listeners need.

Everything here comes from outside; a field that is missing reads as empty, and what is
empty is refused later, never guessed.
"""

import re
import secrets
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.domain.kills import Actor, Place
from bot.grammar.requests import SESSIONS

_COMMAND = (
    *("command", "text", "user_id", "team_id", "channel_id", "channel_name"),
    *("response_url", "trigger_id"),
)
_CLICK = ("response_url", "trigger_id")
_CLICK_OBJECTS = ("user", "team", "enterprise", "channel", "view")

_ID_MOST = 64
"""Characters of an id of Slack's: theirs have a quarter of it. They stand in log and ledger."""

_UNFIT = re.compile("[\x00\ud800-\udfff]")
"""What neither UTF-8 nor PostgreSQL can hold, though JSON can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What every request has from the moment in which it came.

    `reference` stands in each line that the log has of it; `since` is an instant of the
    process's monotonic clock.
    """

    reference: str = field(default_factory=lambda: secrets.token_hex(4), compare=False)
    since: float = field(default_factory=time.monotonic, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(Request):
    """A slash command. `text` is escaped by Slack (`&`, `<`, `>`)."""

    command: str
    text: str
    actor: Actor
    channel_id: str
    channel_name: str
    response_url: str

    @property
    def direct(self) -> bool:
        """Whether it was typed in a direct message, the bot's own, another's or a group's."""
        return _is_direct(self.channel_id, self.channel_name)


@dataclass(frozen=True, slots=True)
class View:
    """The modal in which a button was pressed; `hash` guards an update against a newer one."""

    id: str
    hash: str
    private_metadata: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Click(Request):
    """One pressed button or chosen menu entry of a message, or a modal that was submitted.

    Of a modal `action_id` is its callback_id, `value` its private_metadata, and `inputs` is
    what was typed, by action_id. `command` is the one whose help speaks of it.

    `message_ts` is empty for a click on an ephemeral message, which can only be replaced
    by way of `response_url`.
    """

    action_id: str
    value: str
    actor: Actor
    channel_id: str
    channel_name: str
    message_ts: str
    ephemeral: bool
    response_url: str
    trigger_id: str
    view: View | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    command: str = SESSIONS

    @property
    def place(self) -> Place:
        """Where the message stands. Its `message_ts` is empty for one that one person sees."""
        return Place(self.channel_id, self.message_ts)

    @property
    def direct(self) -> bool:
        """Whether the message stands in a direct message."""
        return _is_direct(self.channel_id, self.channel_name)


def _is_direct(channel_id: str, channel_name: str) -> bool:
    """Slack names a group's direct message after who is in it: `mpdm-ana--ben--vera-1`."""
    return channel_id.startswith("D") or channel_name.startswith(("directmessage", "mpdm-"))


def received(body: object, commands: Collection[str]) -> dict[str, Any] | None:
    """The part of a request that is read; None for what is no command of these and no click.

    Nothing else gets to Bolt, which takes every field for what Slack's documentation says.
    """
    if not isinstance(body, Mapping):
        return None
    if body.get("command") in tuple(commands):
        return {name: _text(body, name) for name in _COMMAND if name in body}
    if body.get("type") == "view_submission" and _text(view := _map(body, "view"), "callback_id"):
        return {"type": "view_submission", "user": _map(body, "user"), "view": view}
    action = _first(body.get("actions"))
    if body.get("type") != "block_actions" or not isinstance(action.get("action_id"), str):
        return None
    return {
        "type": "block_actions",
        "actions": [{**action, "action_id": _text(action, "action_id")}],
        **{name: _text(body, name) for name in _CLICK if name in body},
        **{name: value for name in _CLICK_OBJECTS if (value := _map(body, name))},
        "container": _container(body),
    }


def _container(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Where it was pressed, and whether only one person sees that.

    If Slack doesn't say, it is so unless a copy of the message came along: an ephemeral one's
    never does.
    """
    container = _map(body, "container")
    told = container.get("is_ephemeral")
    ephemeral = told if isinstance(told, bool) else not _map(body, "message")
    return {**container, "is_ephemeral": ephemeral}


def command(payload: Mapping[str, Any]) -> Command:
    """Read a slash command's payload."""
    return Command(
        command=_text(payload, "command"),
        text=_text(payload, "text"),
        actor=Actor(_id(payload, "user_id"), _id(payload, "team_id")),
        channel_id=_id(payload, "channel_id"),
        channel_name=_text(payload, "channel_name"),
        response_url=_text(payload, "response_url"),
    )


def click(body: Mapping[str, Any]) -> Click:
    """Read a `block_actions` payload; Slack sends one action at a time."""
    action = _first(body.get("actions"))
    container, channel = _map(body, "container"), _map(body, "channel")
    user = _map(body, "user")
    ephemeral = container.get("is_ephemeral") is True
    # A person's own workspace is `user.team_id`; `team` is the message's, and no stand-in.
    return Click(
        action_id=_text(action, "action_id"),
        value=_text(_map(action, "selected_option") or action, "value"),
        actor=Actor(_id(user, "id"), _id(user, "team_id")),
        channel_id=_id(container, "channel_id") or _id(channel, "id"),
        channel_name=_text(channel, "name"),
        message_ts="" if ephemeral else _id(container, "message_ts"),
        ephemeral=ephemeral,
        response_url=_text(body, "response_url"),
        trigger_id=_text(body, "trigger_id"),
        view=_view(_map(body, "view")),
    )


def submission(body: Mapping[str, Any]) -> Click:
    """Read a `view_submission` payload. It says nothing of a channel: the modal's metadata may."""
    user, view = _map(body, "user"), _map(body, "view")
    values = _map(_map(view, "state"), "values")
    typed = (_map(values, block_id) for block_id in values)
    return Click(
        action_id=_text(view, "callback_id"),
        value=_text(view, "private_metadata"),
        actor=Actor(_id(user, "id"), _id(user, "team_id")),
        channel_id="",
        channel_name="",
        message_ts="",
        ephemeral=False,
        response_url="",
        trigger_id="",
        inputs={name: _text(_map(block, name), "value") for block in typed for name in block},
    )


def _view(view: Mapping[str, Any]) -> View | None:
    if not view:
        return None
    return View(_text(view, "id"), _text(view, "hash"), _text(view, "private_metadata"))


def _text(payload: Mapping[str, Any], key: str) -> str:
    value = payload.get(key)
    return _UNFIT.sub("\ufffd", value) if isinstance(value, str) else ""


def _id(payload: Mapping[str, Any], key: str) -> str:
    return _text(payload, key)[:_ID_MOST]


def _map(payload: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = payload.get(key)
    return value if isinstance(value, Mapping) else {}


def _first(items: object) -> Mapping[str, Any]:
    if isinstance(items, list) and items and isinstance(items[0], Mapping):
        return items[0]
    return {}
