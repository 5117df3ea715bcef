"""The form of a message shortcut: one field, which takes what the command takes.

Pure.
"""

import json
from dataclasses import dataclass
from typing import Any

from bot.grammar.requests import KILL
from bot.slack.buttons import ActionId, check_place, url_in_modal
from bot.slack.views import blocks
from bot.slack.views.lines import Line
from bot.slack.views.message import Message

FIELD = "request"
"""The field's block_id and action_id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """The modal's metadata: the message on which the shortcut was used.

    `thread_ts` is the message in whose thread the answer goes, empty for the channel; `begun` is
    whether that thread has replies. `response_url` is the shortcut's.
    """

    channel_id: str
    channel_name: str = ""
    thread_ts: str = ""
    begun: bool = False
    response_url: str = ""

    def encode(self) -> str:
        """As `private_metadata`."""
        url = url_in_modal(self.response_url)
        name = self.channel_name[:100]
        return json.dumps([self.channel_id, name, self.thread_ts, self.begun, url])

    @classmethod
    def decode(cls, text: str) -> "Here":
        """The inverse. Raises `ValueError`."""
        try:
            channel_id, name, thread_ts, begun, url = json.loads(text)
        except (TypeError, RecursionError) as error:
            raise ValueError("not from one of our modals") from error
        texts = all(isinstance(each, str) for each in (channel_id, name, thread_ts, url))
        if not texts or not isinstance(begun, bool):
            raise ValueError("not from one of our modals")
        check_place(channel_id, thread_ts)
        return cls(
            channel_id=channel_id,
            channel_name=name,
            thread_ts=thread_ts,
            begun=begun,
            response_url=url,
        )


def form(shortcut: ActionId, command: str, here: Here) -> dict[str, Any]:
    """Ask what the command should do here."""
    is_kill = command == KILL
    title, submit = _BUTTONS[is_kill]
    label, example = _FIELDS[is_kill]
    return {
        "type": "modal",
        "callback_id": shortcut,
        "private_metadata": here.encode(),
        "title": blocks.plain_text(title, 24),
        "submit": blocks.plain_text(submit),
        "close": blocks.plain_text("Cancel"),
        "blocks": [
            {
                "type": "input",
                "block_id": FIELD,
                "optional": not is_kill,
                "label": blocks.plain_text(label),
                "hint": blocks.plain_text(
                    f"What {command} takes, such as {example}. Type help for more."
                ),
                "element": {
                    "type": "plain_text_input",
                    "action_id": FIELD,
                    "focus_on_load": True,
                },
            },
            blocks.foot(_where(here, is_kill=is_kill)),
        ],
    }


_BUTTONS = {
    False: ("Show PostgreSQL sessions", "Show"),
    True: ("End a PostgreSQL session", "Preview"),
}
_FIELDS = {
    False: ("Which sessions", "some_db, why some_user or user=web idle>10m"),
    True: ("Which session", "33507, user=some_user or app=psql -- blocks the deploy"),
}


def _where(here: Here, *, is_kill: bool) -> Line:
    if not here.thread_ts:
        return ("The answer goes to the channel.",)
    if is_kill:
        return (
            "The preview goes into this message's thread, and the channel sees it too.",
            " Nothing ends until someone confirms.",
        )
    return ("The answer goes into this message's thread.",)


def beside(message: Message) -> dict[str, Any]:
    """An answer on top of the form, which keeps what was typed."""
    return {
        "type": "modal",
        "title": blocks.plain_text("pg-sessions"),
        "close": blocks.plain_text("Back"),
        "blocks": list(message.blocks),
    }
