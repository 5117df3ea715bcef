"""How interactions reach the app: one interface, implemented by socket_mode.py and http_mode.py."""

import uuid
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from workspace.blocks import Json

EnvelopeType: TypeAlias = Literal["slash_commands", "interactive", "events_api"]


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
        """Send an interaction; return the payload of its acknowledgement, or None.

        This waits as long as it takes; the caller knows how long Slack waits. Raises
        `DispatchFailed` if nobody is there to accept it.
        """
        ...
