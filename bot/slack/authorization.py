"""The question asked of every command and every click: may they, and may they here?"""

from collections.abc import Mapping
from dataclasses import dataclass

from bot.domain.kills import Actor
from bot.domain.people import Allowlist, Right, may
from bot.slack.directory import Directory, ask_by
from bot.slack.payloads import Click, Command
from bot.slack.views.errors import Obstacle, for_you_alone, refusal, wrong_place
from bot.slack.views.message import Message


@dataclass(frozen=True, slots=True)
class Admitted:
    """They may. `alone_for` is why only they get the answer; None: the channel gets it."""

    alone_for: Obstacle | None = None

    @property
    def public(self) -> bool:
        """Whether the channel may read the answer."""
        return self.alone_for is None

    def told_alone(self, message: Message) -> Message:
        """The message, with a line on why it is for them alone where the place is the reason."""
        return message if self.alone_for is None else for_you_alone(message, self.alone_for)


@dataclass(frozen=True, slots=True)
class Denied:
    """They may not; `why` is for the record, `message` for them alone."""

    why: str
    message: Message


class Authorization:
    """Judges by the allowlists and by what Slack says of people and channels."""

    def __init__(self, directory: Directory, allowed_channels: frozenset[str]) -> None:
        self._directory = directory
        self._allowed_channels = allowed_channels

    async def admit(self, right: Right, request: Command | Click) -> Admitted | Denied:
        """Authorize at the moment of the act. The person first, then the place."""
        directory, until = self._directory, ask_by()
        person = await directory.person(right, request.actor, until)
        if not may(right, person, directory.lists):
            message = refusal(
                right, directory.lists, group_names=directory.group_names, asking=person
            )
            return Denied(f"not in {right}", message)
        return await self._place(right, request, until)

    async def may(self, right: Right, actor: Actor) -> bool:
        """Whether someone holds a right, wherever they are."""
        return may(right, await self._directory.person(right, actor), self._directory.lists)

    @property
    def lists(self) -> Mapping[Right, Allowlist]:
        """The allowlists, as the settings have them."""
        return self._directory.lists

    @property
    def group_names(self) -> Mapping[str, str]:
        """The handles of the listed groups, as far as Slack told them."""
        return self._directory.group_names

    async def _place(
        self, right: Right, request: Command | Click, until: float
    ) -> Admitted | Denied:
        """Whether this is a place for it.

        A channel that another workspace shares, or of which Slack doesn't say, sees no
        answer and no kill, unless the settings name it. Before a kill Slack is asked anew.
        """
        is_kill = right is Right.KILL
        if is_kill and request.direct:
            return self._elsewhere(Obstacle.DIRECT)
        named = request.channel_id in self._allowed_channels
        if self._allowed_channels and not named:
            return self._elsewhere(Obstacle.NOT_ALLOWED)
        if request.direct:
            return Admitted(alone_for=Obstacle.DIRECT)
        if named:
            return Admitted()
        why = await self._directory.obstacle(request.channel_id, afresh=is_kill, until=until)
        return self._elsewhere(why) if is_kill and why is not None else Admitted(alone_for=why)

    def _elsewhere(self, why: Obstacle) -> Denied:
        return Denied(why, wrong_place(why, channels=sorted(self._allowed_channels)))
