"""What Slack sends, reduced on arrival to what the listeners need.

Everything here comes from outside. A missing field reads as empty; an empty value is refused later,
never guessed.
"""

import re
import secrets
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.domain.kills import Actor, Place
from bot.grammar.requests import SESSIONS
from bot.slack.buttons import TS

_COMMAND = (
    *("command", "text", "user_id", "team_id", "channel_id", "channel_name"),
    *("response_url", "trigger_id"),
)
_CLICK = ("response_url", "trigger_id")
_CLICK_OBJECTS = ("user", "team", "enterprise", "channel", "view")

HOME_OPENED = "app_home_opened"

_ID_MOST = 64
"""Maximum characters of a Slack id, four times what Slack uses. Ids go into log and ledger."""

_UNFIT = re.compile("[\x00\ud800-\udfff]")
"""Characters that JSON can hold, but neither UTF-8 nor PostgreSQL can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What every request has from the moment it arrives.

    `reference` is in each of its log lines; `since` is an instant on the process's monotonic clock.
    `thread_ts` is the message in whose thread the answer goes, empty for the channel; until that
    thread is begun, Slack shows nobody an ephemeral message in it.
    """

    thread_ts: str = ""
    thread_begun: bool = True

    reference: str = field(default_factory=lambda: secrets.token_hex(4), compare=False)
    since: float = field(default_factory=time.monotonic, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(Request):
    """A slash command. Slack escapes `text` (`&`, `<`, `>`), but not what is typed in a form."""

    command: str
    text: str
    actor: Actor
    channel_id: str
    channel_name: str
    response_url: str

    @property
    def direct(self) -> bool:
        """Whether it was typed in a direct message: with the bot, another person or a group."""
        return _is_direct(self.channel_id, self.channel_name)


@dataclass(frozen=True, slots=True)
class View:
    """The modal or the Home tab in which a button was pressed.

    `hash` protects a newer view from an update.
    """

    id: str
    hash: str
    private_metadata: str
    is_home: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Click(Request):
    """One pressed button or chosen menu entry of a message, or a submitted modal.

    For a modal, `action_id` is its callback_id, `value` its private_metadata, and `inputs` is what
    was typed or chosen, by action_id. Its `response_url` is for the channel that was chosen.
    `command` is the command whose help explains it.

    `message_ts` is empty for a click on an ephemeral message, which can be replaced only through
    `response_url`.
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
        """Where the message is. `message_ts` is empty if only one person sees it."""
        return Place(self.channel_id, self.message_ts, self.thread_ts)

    @property
    def direct(self) -> bool:
        """Whether the message is in a direct message."""
        return _is_direct(self.channel_id, self.channel_name)


def _is_direct(channel_id: str, channel_name: str) -> bool:
    """Slack names a group's direct message after its members: `mpdm-ana--ben--vera-1`."""
    return channel_id.startswith("D") or channel_name.startswith(("directmessage", "mpdm-"))


def received(body: object, commands: Collection[str]) -> dict[str, Any] | None:
    """The part of a request that the bot reads: a click, or one of these commands.

    None for anything else. A message shortcut counts as a command, under its callback_id.

    Bolt gets nothing else, because it trusts every field to be as Slack's documentation says.
    """
    if not isinstance(body, Mapping):
        return None
    if body.get("command") in tuple(commands):
        return {name: _text(body, name) for name in _COMMAND if name in body}
    if body.get("type") == "view_submission" and _text(view := _map(body, "view"), "callback_id"):
        urls = [_first(body.get("response_urls"))]
        user = _map(body, "user")
        texts = {name: _text(view, name) for name in ("callback_id", "private_metadata")}
        modal = {"type": "modal", "state": _map(view, "state"), **texts}
        return {"type": "view_submission", "user": user, "view": modal, "response_urls": urls}
    if body.get("type") == "event_callback":
        return _event(_map(body, "event"))
    if body.get("type") == "message_action" and body.get("callback_id") in tuple(commands):
        return _shortcut(body)
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


def _event(event: Mapping[str, Any]) -> dict[str, Any] | None:
    """An event that the bot has subscribed to: somebody opened its Home tab."""
    if event.get("type") != HOME_OPENED or event.get("tab") != "home":
        return None
    kept = {name: _id(event, name) for name in ("user", "channel")}
    return {"type": "event_callback", "event": {"type": HOME_OPENED, **kept}}


def challenge(body: object) -> str | None:
    """The challenge that Slack wants back before it sends events to an address; otherwise None."""
    if not isinstance(body, Mapping) or body.get("type") != "url_verification":
        return None
    return _text(body, "challenge")


def _shortcut(body: Mapping[str, Any]) -> dict[str, Any]:
    """A message shortcut, with the ids of its message and nothing of its content.

    An ephemeral message has no thread of its own; Slack offers no shortcuts on one.
    """
    message = _map(body, "message")
    own_ts = "" if message.get("is_ephemeral") is True else _ts(message, "ts")
    return {
        "type": "message_action",
        "callback_id": _text(body, "callback_id"),
        "user": _map(body, "user"),
        "channel": _map(body, "channel"),
        "message": {"ts": own_ts, "thread_ts": _ts(message, "thread_ts")},
        **{name: _text(body, name) for name in _CLICK if name in body},
    }


def _container(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Where it was pressed, in which thread, and whether only one person sees that message.

    If Slack doesn't say, assume so unless a copy of the message came along: Slack never copies an
    ephemeral one.
    """
    container, message = _map(body, "container"), _map(body, "message")
    told = container.get("is_ephemeral")
    ephemeral = told if isinstance(told, bool) else not message
    thread_ts = _ts(container, "thread_ts") or _ts(message, "thread_ts")
    if thread_ts == container.get("message_ts"):
        thread_ts = ""  # it stands in the channel, and others have replied to it
    thread = {"thread_ts": thread_ts} if thread_ts else {}
    return {k: v for k, v in container.items() if k != "thread_ts"} | {
        "is_ephemeral": ephemeral,
        **thread,
    }


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
    # A person's own workspace is `user.team_id`; `team` is the message's and can't replace it.
    return Click(
        action_id=_text(action, "action_id"),
        value=_text(_map(action, "selected_option") or action, "value"),
        actor=Actor(_id(user, "id"), _id(user, "team_id")),
        channel_id=_id(container, "channel_id") or _id(channel, "id"),
        channel_name=_text(channel, "name"),
        message_ts="" if ephemeral else _id(container, "message_ts"),
        ephemeral=ephemeral,
        thread_ts=_ts(container, "thread_ts"),
        response_url=_text(body, "response_url"),
        trigger_id=_text(body, "trigger_id"),
        view=_view(_map(body, "view")),
    )


def shortcut(body: Mapping[str, Any]) -> Click:
    """Read a message shortcut's payload. Its thread is begun if its message names it."""
    user, channel, message = (_map(body, name) for name in ("user", "channel", "message"))
    thread_ts = _ts(message, "thread_ts")
    return Click(
        action_id=_text(body, "callback_id"),
        value="",
        actor=Actor(_id(user, "id"), _id(user, "team_id")),
        channel_id=_id(channel, "id"),
        channel_name=_text(channel, "name"),
        message_ts="",
        ephemeral=False,
        thread_ts=thread_ts or _ts(message, "ts"),
        thread_begun=bool(thread_ts),
        response_url=_text(body, "response_url"),
        trigger_id=_text(body, "trigger_id"),
    )


def submission(body: Mapping[str, Any]) -> Click:
    """Read a `view_submission` payload. It names no channel; the modal's metadata may."""
    user, view = _map(body, "user"), _map(body, "view")
    url = _first(body.get("response_urls"))
    values = _map(_map(view, "state"), "values")
    typed = (_map(values, block_id) for block_id in values)
    return Click(
        action_id=_text(view, "callback_id"),
        value=_text(view, "private_metadata"),
        actor=Actor(_id(user, "id"), _id(user, "team_id")),
        channel_id=_id(url, "channel_id"),
        channel_name="",
        message_ts="",
        ephemeral=False,
        response_url=_text(url, "response_url"),
        trigger_id="",
        inputs={name: _given(_map(block, name)) for block in typed for name in block},
    )


def _given(held: Mapping[str, Any]) -> str:
    return _text(held, "value") or _text(held, "selected_conversation")


def home_opened(body: Mapping[str, Any], action_id: str) -> Click:
    """Read the event of an opened Home tab, as a press of the button that draws it.

    It doesn't say where the person belongs: whoever decides about them has to ask Slack.
    """
    event = _map(body, "event")
    return Click(
        action_id=action_id,
        value="",
        actor=Actor(_id(event, "user"), ""),
        channel_id=_id(event, "channel"),
        channel_name="",
        message_ts="",
        ephemeral=True,
        response_url="",
        trigger_id="",
    )


def _view(view: Mapping[str, Any]) -> View | None:
    if not view:
        return None
    return View(
        id=_text(view, "id"),
        hash=_text(view, "hash"),
        private_metadata=_text(view, "private_metadata"),
        is_home=view.get("type") == "home",
    )


def _text(payload: Mapping[str, Any], key: str) -> str:
    value = payload.get(key)
    return _UNFIT.sub("\ufffd", value) if isinstance(value, str) else ""


def _id(payload: Mapping[str, Any], key: str) -> str:
    return _text(payload, key)[:_ID_MOST]


def _ts(payload: Mapping[str, Any], key: str) -> str:
    """A message's timestamp, which is its id in its channel; empty if it isn't one."""
    text = _text(payload, key)
    return text if TS.fullmatch(text) else ""


def _map(payload: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = payload.get(key)
    return value if isinstance(value, Mapping) else {}


def _first(items: object) -> Mapping[str, Any]:
    if isinstance(items, list) and items and isinstance(items[0], Mapping):
        return items[0]
    return {}
