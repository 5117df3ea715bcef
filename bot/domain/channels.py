"""A channel of Slack, and whether it takes alerts."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum


class Closed(StrEnum):
    """Why a channel takes no alerts."""

    UNKNOWN = "unknown"  # to Slack, or to the bot: it is private and the bot isn't a member
    ARCHIVED = "archived"
    READ_ONLY = "read-only"
    DIRECT = "direct"
    SHARED = "shared"
    MAYBE_SHARED = "maybe shared"  # Slack didn't say


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


def closed(channel: Channel, allowed: Collection[str]) -> Closed | None:
    """What keeps alerts out of a channel; None if nothing does."""
    if channel.is_archived:
        return Closed.ARCHIVED
    if channel.is_read_only:
        return Closed.READ_ONLY
    if channel.id in allowed:
        return None
    if channel.is_direct:
        return Closed.DIRECT
    if channel.is_shared is None:
        return Closed.MAYBE_SHARED
    return Closed.SHARED if channel.is_shared else None
