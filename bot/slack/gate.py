"""The question asked of every command and every click: may they, and may they here?"""

from collections.abc import Mapping
from dataclasses import dataclass

from bot.kills import Actor
from bot.policy import Allowlist, Right, may
from bot.slack.access import Directory
from bot.slack.payloads import Click, Command
from bot.slack.views.errors import Place, refusal, wrong_place
from bot.slack.views.message import Message


@dataclass(frozen=True, slots=True)
class Admitted:
    """They may. `alone_for` is why the answer is for them alone, where it is."""

    alone_for: Place | None = None

    @property
    def public(self) -> bool:
        """Whether the channel may read the answer."""
        return self.alone_for is None


@dataclass(frozen=True, slots=True)
class Denied:
    """They may not; `why` is for the record, `message` for them alone."""

    why: str
    message: Message


class Gate:
    """Judges by the allowlists and by what Slack says of people and channels."""

    def __init__(self, directory: Directory, allowed_channels: frozenset[str]) -> None:
        self._directory = directory
        self._allowed_channels = allowed_channels

    async def admit(self, right: Right, request: Command | Click) -> Admitted | Denied:
        """Authorize at the moment of the act. The person first, then the place."""
        directory = self._directory
        person = await directory.person(right, request.actor)
        if not may(right, person, directory.lists):
            message = refusal(
                right, directory.lists, group_names=directory.group_names, asking=person
            )
            return Denied(f"not in {right}", message)
        return await self.place(right, request)

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

    async def place(self, right: Right, request: Command | Click) -> Admitted | Denied:
        """Whether this is a place for it.

        A channel that another workspace shares, or that Slack won't tell of, sees no
        answer and no kill, unless the settings name it.
        """
        if right is Right.KILL and request.direct:
            return self._elsewhere("direct message")
        named = request.channel_id in self._allowed_channels
        if self._allowed_channels and not named:
            return self._elsewhere("not in ALLOWED_CHANNELS")
        if request.direct:
            return Admitted(alone_for="direct message")
        if named:
            return Admitted()
        channel = await self._directory.channel(request.channel_id)
        if channel.is_ext_shared is False:
            return Admitted()
        why: Place = "shared channel" if channel.is_ext_shared else "unknown channel"
        return self._elsewhere(why) if right is Right.KILL else Admitted(alone_for=why)

    def _elsewhere(self, why: Place) -> Denied:
        return Denied(why, wrong_place(why, channels=sorted(self._allowed_channels)))
