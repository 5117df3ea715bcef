"""The modal between a row's menu and its preview: who is meant, and why it should end.

Pure. The reason stands in the preview and on record, and may be left out.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from bot.grammar.requests import MAX_REASON
from bot.slack.buttons import ActionId, RowRef
from bot.slack.views import blocks
from bot.slack.views.lines import Quoted

_CHANNEL_ID = re.compile("[A-Z0-9]{1,64}")
_URL = 2000
"""Characters of a response_url that go into a modal, which takes 3000 in all."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the modal carries: the session, the channel of the menu, and the click's way back."""

    row: RowRef
    channel_id: str
    channel_name: str = ""
    response_url: str = ""

    def encode(self) -> str:
        """As `private_metadata`."""
        url = self.response_url if len(self.response_url) <= _URL else ""
        return json.dumps([self.row.encode(), self.channel_id, self.channel_name[:100], url])

    @classmethod
    def decode(cls, text: str) -> "Asked":
        """The inverse. Raises `ValueError`."""
        try:
            row, channel_id, channel_name, url = json.loads(text)
        except (TypeError, RecursionError) as error:
            raise ValueError("nothing that a modal of ours carries") from error
        if not all(isinstance(each, str) for each in (row, channel_id, channel_name, url)):
            raise ValueError("nothing that a modal of ours carries")
        if not _CHANNEL_ID.fullmatch(channel_id):
            raise ValueError("no channel")
        return cls(RowRef.decode(row), channel_id, channel_name, url)


def ask(asked: Asked) -> dict[str, Any]:
    """Ask for the reason; `Preview` ends nothing yet."""
    row = asked.row
    return {
        "type": "modal",
        "callback_id": ActionId.SESSIONS_KILL_REASON,
        "private_metadata": asked.encode(),
        "title": blocks.plain_text(f"Terminate pid {row.id.pid}", 24),
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
