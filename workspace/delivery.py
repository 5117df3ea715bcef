"""How interactions reach the app: one interface, two ways: socket_mode.py and http_mode.py."""

import uuid
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from workspace.blocks import Json

EnvelopeType: TypeAlias = Literal["slash_commands", "interactive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One interaction on its way. A second delivery is another envelope with the same payload."""

    type: EnvelopeType
    payload: Json
    accepts_response_payload: bool = False
    id: str = field(default_factory=lambda: str(uuid.uuid4()))


class DispatchFailed(Exception):  # noqa: N818 - Slack's own word for it
    """The app could not be reached, or answered with an error."""


class Delivery(Protocol):
    """A way to the app."""

    async def deliver(self, envelope: Envelope) -> object:
        """Hand it over and wait for the acknowledgement, whose payload (or None) is returned.

        It waits as long as it takes: how long Slack waits is the caller's affair. Raises
        `DispatchFailed` where nobody is there to take it.
        """
        ...
