"""What Slack sends, read once at the door into what the listeners need.

Everything here comes from outside; a field that is missing reads as empty, and what is
empty is refused later, never guessed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.kills import Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A slash command. `text` is escaped by Slack (`&`, `<`, `>`)."""

    command: str
    text: str
    actor: Actor
    channel_id: str
    channel_name: str
    response_url: str

    @property
    def direct(self) -> bool:
        """Whether it was typed in a direct message, the bot's own or another's."""
        return self.channel_id.startswith("D") or self.channel_name == "directmessage"


@dataclass(frozen=True, slots=True)
class View:
    """The modal in which a button was pressed; `hash` guards an update against a newer one."""

    id: str
    hash: str
    private_metadata: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Click:
    """One pressed button or chosen menu entry of a message.

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

    @property
    def command(self) -> str:
        """The command whose help speaks of this."""
        return "/pg-kill" if self.action_id.startswith(("kill.", "history.")) else "/pg-sessions"

    @property
    def direct(self) -> bool:
        """Whether the message stands in a direct message."""
        return self.channel_id.startswith("D") or self.channel_name == "directmessage"


def command(payload: Mapping[str, Any]) -> Command:
    """Read a slash command's payload."""
    return Command(
        command=_text(payload, "command"),
        text=_text(payload, "text"),
        actor=Actor(_text(payload, "user_id"), _text(payload, "team_id")),
        channel_id=_text(payload, "channel_id"),
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
        actor=Actor(_text(user, "id"), _text(user, "team_id")),
        channel_id=_text(container, "channel_id") or _text(channel, "id"),
        channel_name=_text(channel, "name"),
        message_ts="" if ephemeral else _text(container, "message_ts"),
        ephemeral=ephemeral,
        response_url=_text(body, "response_url"),
        trigger_id=_text(body, "trigger_id"),
        view=_view(_map(body, "view")),
    )


def _view(view: Mapping[str, Any]) -> View | None:
    if not view:
        return None
    return View(_text(view, "id"), _text(view, "hash"), _text(view, "private_metadata"))


def _text(payload: Mapping[str, Any], key: str) -> str:
    value = payload.get(key)
    return value if isinstance(value, str) else ""


def _map(payload: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = payload.get(key)
    return value if isinstance(value, Mapping) else {}


def _first(items: object) -> Mapping[str, Any]:
    if isinstance(items, list) and items and isinstance(items[0], Mapping):
        return items[0]
    return {}
