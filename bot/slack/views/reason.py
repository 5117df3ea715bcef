"""The modal between a row's menu and its preview: who is meant, and why it should end.

Pure. The reason goes into the preview and the ledger. It is optional.
"""

import json
from dataclasses import dataclass
from typing import Any

from bot.domain.kills import Action
from bot.grammar.requests import MAX_REASON
from bot.slack.buttons import ActionId, RowRef, check_place, url_in_modal
from bot.slack.views import blocks
from bot.slack.views.lines import Quoted


@dataclass(frozen=True, slots=True)
class Asked:
    """The modal's metadata: the session, and the click's channel, thread and response_url."""

    row: RowRef
    channel_id: str
    channel_name: str = ""
    response_url: str = ""
    thread_ts: str = ""

    def encode(self) -> str:
        """As `private_metadata`."""
        url = url_in_modal(self.response_url)
        name = self.channel_name[:100]
        return json.dumps([self.row.encode(), self.channel_id, name, url, self.thread_ts])

    @classmethod
    def decode(cls, text: str) -> "Asked":
        """The inverse. Raises `ValueError`."""
        try:
            row, channel_id, channel_name, url, thread_ts = json.loads(text)
        except (TypeError, RecursionError) as error:
            raise ValueError("not from one of our modals") from error
        texts = (row, channel_id, channel_name, url, thread_ts)
        if not all(isinstance(each, str) for each in texts):
            raise ValueError("not from one of our modals")
        check_place(channel_id, thread_ts)
        return cls(RowRef.decode(row), channel_id, channel_name, url, thread_ts)


def ask(asked: Asked, action: Action | None = Action.TERMINATE) -> dict[str, Any]:
    """Ask for the reason of what they may do; `Preview` doesn't end anything yet."""
    row = asked.row
    what = "Cancel query of" if action is Action.CANCEL else "Terminate pid"
    return {
        "type": "modal",
        "callback_id": ActionId.SESSIONS_KILL_REASON,
        "private_metadata": asked.encode(),
        "title": blocks.plain_text(f"{what} {row.id.pid}", 24),
        "submit": blocks.plain_text("Preview"),
        "close": blocks.plain_text("Keep it"),
        "blocks": [
            blocks.paragraph(
                (
                    *(f"pid {row.id.pid} on ", Quoted(row.cluster), ". The preview in the channel"),
                    " shows what its end costs. Nothing ends until someone confirms.",
                )
            ),
            {
                "type": "input",
                "optional": True,
                "label": blocks.plain_text("Reason"),
                "hint": blocks.plain_text("Everyone in the channel can read it."),
                "element": {
                    "type": "plain_text_input",
                    "action_id": "reason",
                    "max_length": MAX_REASON,
                    "focus_on_load": True,
                    "placeholder": blocks.plain_text("blocks the deploy"),
                },
            },
        ],
    }
