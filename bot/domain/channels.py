"""A channel of Slack, and whether it takes alerts."""

from collections.abc import Collection
from dataclasses import dataclass

NO_CHANNEL = (
    "Slack knows no such channel, or it is private and the bot isn't a member: invite the bot"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A channel that a setting names. An `is_shared` of None means that Slack didn't say."""

    id: str
    name: str
    is_private: bool = False
    is_member: bool = False
    is_archived: bool = False
    is_direct: bool = False
    is_read_only: bool = False
    is_shared: bool | None = False


def wrong_with(channel: Channel, allowed: Collection[str]) -> str:
    """What keeps alerts out of a channel; empty if nothing does."""
    if channel.is_archived:
        return "it is archived"
    if channel.is_read_only:
        return "the bot may not post there. Ask whoever manages the channel to let it"
    if channel.id in allowed:
        return ""
    if channel.is_direct:
        return "it is a direct message"
    if channel.is_shared is None:
        return "Slack didn't say whether another workspace shares it"
    if channel.is_shared:
        return "another workspace shares it; ALLOWED_CHANNELS would have to name it"
    return ""
