"""Knobs that make Slack misbehave, for tests and for the page's buttons."""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from workspace.rules import ANY_BLOCK, BlocksRefused, Where

RESPONSE_URL = "response_url"

How: TypeAlias = Literal["rate_limit", "fail", "refuse", "leave_out", "drop", "drop_after", "slow"]

TABLE_ERRORS = (
    "invalid_blocks",
    "invalid_attachments",
    "invalid_arguments",
    "msg_too_long",
    "internal_error",
    "fatal_error",
    "a_new_code",
)
"""Codes with which Slack has refused messages with tables, and one that nobody knows yet."""

_TAKEN = BlocksRefused()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What happens to the next `times` calls of a method."""

    method: str
    how: How
    times: int = 1
    status: int = 200
    seconds: float = 0.0
    error: str = "internal_error"
    path: str = ""


class Faults:
    """The faults in force. A method is one of the Web API's, `response_url`, or `*` for any."""

    def __init__(self, changed: Callable[["Faults"], object] = lambda _: None) -> None:
        self._changed = changed
        self._calls: list[Fault] = []
        self._blocks_refused = _TAKEN
        self._rate_limits = False
        self._twice = 0
        self._ack_seconds = 0.0
        self._acks = math.inf

    # Calls of the app

    def rate_limit(self, method: str, *, times: int = 1, retry_after: int = 1) -> None:
        """Answer 429 with `Retry-After`."""
        self._add(Fault(method=method, how="rate_limit", times=times, seconds=retry_after))

    def fail(self, method: str, *, times: int = 1, status: int = 503) -> None:
        """Answer with a server error."""
        self._add(Fault(method=method, how="fail", times=times, status=status))

    def refuse(self, method: str, error: str, *, times: int = 1, status: int = 200) -> None:
        """Refuse, with one of Slack's codes."""
        self._add(Fault(method=method, how="refuse", times=times, status=status, error=error))

    def leave_out(self, method: str, path: str, *, times: int = 1) -> None:
        """Answer without a field: `channel`, or `channel.is_ext_shared`."""
        self._add(Fault(method=method, how="leave_out", times=times, path=path))

    def drop(self, method: str, *, times: int = 1, after: bool = False) -> None:
        """Cut the connection before anything is done, or `after` it is done but not answered."""
        self._add(Fault(method=method, how="drop_after" if after else "drop", times=times))

    def slow(self, method: str, *, seconds: float, times: int = 1) -> None:
        """Wait `seconds` on the workspace's clock before answering."""
        self._add(Fault(method=method, how="slow", times=times, seconds=seconds))

    def take(self, method: str) -> Fault | None:
        """The fault for this call, if one is set; `times` calls use it up."""
        for index, fault in enumerate(self._calls):
            if fault.method in {method, "*"}:
                if fault.times > 1:
                    self._calls[index] = replace(fault, times=fault.times - 1)
                else:
                    del self._calls[index]
                self._changed(self)
                return fault
        return None

    def _add(self, fault: Fault) -> None:
        self._calls.append(fault)
        self._changed(self)

    # What Slack accepts

    @property
    def blocks_refused(self) -> BlocksRefused:
        """Which kinds of blocks are refused."""
        return self._blocks_refused

    def refuse_tables(self, where: Where = "everywhere", error: str = "invalid_blocks") -> None:
        """Refuse every message that has a table of either kind."""
        self.refuse_blocks("table", "data_table", where=where, error=error)

    def refuse_blocks(
        self, *kinds: str, where: Where = "everywhere", error: str = "invalid_blocks"
    ) -> None:
        """Refuse messages and modals with blocks of these kinds; without kinds, with any block."""
        self._blocks_refused = BlocksRefused(frozenset(kinds or {ANY_BLOCK}), where, error)
        self._changed(self)

    @property
    def rate_limits(self) -> bool:
        """Whether Slack's own rate limits apply. They are off by default."""
        return self._rate_limits

    def keep_rate_limits(self, on: bool = True) -> None:
        self._rate_limits = on
        self._changed(self)

    # Interactions

    def deliver_twice(self, times: int = 1) -> None:
        """Send each of the next `times` interactions a second time, in its own envelope."""
        self._twice = times
        self._changed(self)

    def take_twice(self) -> bool:
        """Whether this interaction is sent twice."""
        if self._twice == 0:
            return False
        self._twice -= 1
        self._changed(self)
        return True

    @property
    def ack_seconds(self) -> float:
        """How long acknowledgements are delayed, on the workspace's clock."""
        return self._ack_seconds

    def delay_acks(self, seconds: float, *, times: float = math.inf) -> None:
        """Delay the next `times` acknowledgements; by default all of them."""
        self._ack_seconds, self._acks = seconds, times
        self._changed(self)

    def take_ack_delay(self) -> float:
        """How many seconds this acknowledgement is delayed."""
        seconds = self._ack_seconds
        if seconds and math.isfinite(self._acks):
            self._acks -= 1
            if self._acks <= 0:
                self._ack_seconds = 0.0
            self._changed(self)
        return seconds

    def clear(self) -> None:
        """End all faults."""
        self._calls.clear()
        self._blocks_refused = _TAKEN
        self._rate_limits = False
        self._twice = 0
        self._ack_seconds = 0.0
        self._changed(self)

    def in_force(self) -> list[str]:
        """A line for each fault, for people."""
        lines = [f"{f.method}: {f.how}, {f.times} more" for f in self._calls]
        refused = self._blocks_refused
        if refused.kinds:
            kinds = ", ".join(sorted(refused.kinds))
            lines.append(f"blocks refused: {kinds}, {refused.where}, {refused.error}")
        if self._rate_limits:
            lines.append("rate limits kept")
        if self._twice:
            lines.append(f"interactions delivered twice: {self._twice} more")
        if self._ack_seconds:
            more = f", {self._acks:g} more" if math.isfinite(self._acks) else ""
            lines.append(f"acknowledgements held back {self._ack_seconds:g} s{more}")
        return lines


# Slack's published tiers, as calls in seconds. chat.postMessage counts per channel.
_LIMITS = {
    "chat.postMessage": (1, 1),
    "chat.update": (50, 60),
    "chat.delete": (50, 60),
    "chat.postEphemeral": (100, 60),
    "conversations.info": (50, 60),
    "conversations.history": (50, 60),
    "conversations.replies": (50, 60),
    "conversations.list": (20, 60),
    "conversations.members": (100, 60),
    "users.info": (100, 60),
    "users.list": (20, 60),
    "usergroups.list": (20, 60),
    "usergroups.users.list": (20, 60),
    "views.open": (100, 60),
    "views.update": (100, 60),
    "views.push": (100, 60),
    "views.publish": (100, 60),
    "apps.connections.open": (50, 60),
    "bots.info": (50, 60),
}


@dataclass(eq=False)
class RateLimited(Exception):  # noqa: N818 - it reads as what Slack did
    """One call too many; after `seconds` calls are allowed again."""

    seconds: int


class RateLimits:
    """Counts the calls of each method in a sliding window."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], deque[float]] = {}

    def count(self, method: str, channel: str, now: float) -> None:
        """Count this call, or raise `RateLimited` if it is one too many."""
        if method not in _LIMITS:
            return
        calls, seconds = _LIMITS[method]
        key = (method, channel if method == "chat.postMessage" else "")
        seen = self._seen.setdefault(key, deque())
        while seen and now - seen[0] >= seconds:
            seen.popleft()
        if len(seen) >= calls:
            raise RateLimited(max(1, math.ceil(seconds - (now - seen[0]))))
        seen.append(now)
