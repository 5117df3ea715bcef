"""`/pg-sessions watch [target] [filters]`: what a board shows."""

from dataclasses import dataclass, field

from bot.grammar.requests import SESSIONS, SessionsRequest, Target
from bot.grammar.tokens import fault

WATCH = f"{SESSIONS} watch"


@dataclass(frozen=True, slots=True)
class WatchRequest:
    """A board of the sessions that `of` would show.

    `of` has no pids, nothing that arranges a table, and isn't private.
    """

    of: SessionsRequest = field(default_factory=SessionsRequest)

    @property
    def target(self) -> Target:
        """Where it looks."""
        return self.of.target

    @property
    def private(self) -> bool:
        """Never: a board is for the channel."""
        return False

    def __str__(self) -> str:
        return f"watch {self.of}".rstrip()


def watch(of: object) -> WatchRequest:
    """What a board of this look shows. Raises `UsageError` if there can't be one."""
    if not isinstance(of, SessionsRequest):
        raise fault("by=", f"can't be combined with {WATCH}, which has its own table")
    if of.private:
        raise fault("private", "a board is a message that the whole channel sees")
    if of.pids:
        raise fault(str(of.pids[0]), f"{WATCH} takes filters, not pids")
    for name in ("columns", "sort", "limit"):
        if getattr(of, name):
            raise fault(f"{name}=", f"can't be combined with {WATCH}, which has its own table")
    return WatchRequest(of)
