"""Which layouts Slack takes: what was refused, and where.

A `data_table` is new, and Slack's reference doesn't say whether every way to a message takes one.
What a workspace has refused isn't tried there again for a day, so that it costs no second call each
time. This is in memory alone: another replica learns it by a refusal of its own.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

import structlog
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.ports import Clock
from bot.slack.api_errors import code_of, is_refusal, may_be_the_layout, objections, status_of
from bot.slack.views.message import Message

log = structlog.get_logger(__name__)

AGAIN_AFTER = 24 * 3600.0
"""Seconds after which a layout that was refused is tried again."""


class Send(Protocol):
    """Sends the first shape of a message that Slack takes. Raises one of `FAILURES`.

    `last` says whether this is the last try of this way.
    """

    def __call__(self, message: Message, *, last: bool) -> Awaitable[AsyncSlackResponse]: ...


class Refusal(NamedTuple):
    """A shape that wasn't taken, and whether Slack has certainly refused it."""

    shape: Message
    certain: bool


@dataclass(frozen=True, slots=True)
class Layouts:
    """What one workspace takes; what is known of the others is shared.

    A way is a method of the Web API, or a response_url with what it is asked for.
    """

    clock: Clock
    team_id: str = ""
    _refused: dict[tuple[str, str], float] = field(default_factory=dict)
    _doubted: set[tuple[str, str]] = field(default_factory=set)

    def of(self, team_id: str) -> "Layouts":
        """The same for another workspace."""
        return replace(self, team_id=team_id)

    def shapes(self, message: Message, way: str) -> Iterator[Message]:
        """A message's shapes, without what was refused within a day."""
        refused_at = self._refused.get((self.team_id, way))
        wait = refused_at is not None and self.clock.monotonic() < refused_at + AGAIN_AFTER
        return (shape for shape in message.shapes() if not (wait and shape.has_data_table))

    def taken(self, shape: Message, way: str, refused: Sequence[Refusal]) -> None:
        """Learn from a shape that Slack took, maybe after it had refused others.

        Trouble of Slack's own is no refusal, unless it comes twice in a row.
        """
        here = self.team_id, way
        if shape.has_data_table:
            self._doubted.discard(here)
        # If Slack took no blocks at all, its refusal says nothing about one kind of them.
        elif shape.blocks and (tables := [each for each in refused if each.shape.has_data_table]):
            if tables[0].certain or here in self._doubted:
                self._refused[here] = self.clock.monotonic()
                log.info("layouts.data_table_refused", team=self.team_id, way=way)
            else:
                self._doubted.add(here)

    def sender(self, method: str, call: Callable[[Message], Awaitable[AsyncSlackResponse]]) -> Send:
        """Make a `Send` of a call to the Web API."""

        async def send(message: Message, *, last: bool) -> AsyncSlackResponse:
            refused: list[Refusal] = []
            for shape in self.shapes(message, method):
                try:
                    answer = await call(shape)
                except SlackApiError as error:
                    code, status, certain = code_of(error), status_of(error), is_refusal(error)
                    if not goes_on(shape, code, status, certain=certain, last=last):
                        raise
                    log.warning("delivery.layout_refused", error=code, why=objections(error))
                    refused.append(Refusal(shape, certain))
                else:
                    self.taken(shape, method, refused)
                    return answer
            raise AssertionError  # the last shape returns or raises

        return send


def goes_on(shape: Message, code: str, status: int, *, certain: bool, last: bool) -> bool:
    """Whether to try a simpler shape after this one was refused.

    Plain text has no buttons, so it is kept for the last try, unless Slack has certainly refused
    the layout.
    """
    if not shape.blocks:
        return False
    if not shape.has_table and not (certain or last):
        return False
    return may_be_the_layout(code, status) or (last and status >= 500)
