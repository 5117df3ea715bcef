"""The question asked of every command and every click: may they, and may they here?"""

from dataclasses import dataclass

from bot.kills import Actor
from bot.policy import Right
from bot.slack.access import Directory
from bot.slack.payloads import Click, Command
from bot.slack.views import errors
from bot.slack.views.message import Message


@dataclass(frozen=True, slots=True)
class Admitted:
    """They may. `public` is whether the channel may read the answer."""

    public: bool


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
        if not await self.may(right, request.actor):
            return Denied(right.value, errors.refusal(right, self._directory.lists))
        return await self.place(right, request)

    async def may(self, right: Right, actor: Actor) -> bool:
        """Whether someone holds a right, wherever they are."""
        return await self._directory.may(right, actor)

    async def place(self, right: Right, request: Command | Click) -> Admitted | Denied:
        """Whether this is a place for it.

        A channel that another workspace shares, or that Slack won't tell of, sees no
        answer and no kill, unless the settings name it.
        """
        if right is Right.KILL and request.direct:
            return _wrong_place("direct message")
        named = request.channel_id in self._allowed_channels
        if self._allowed_channels and not named:
            return _wrong_place("not in ALLOWED_CHANNELS")
        if request.direct:
            return Admitted(public=False)
        if named:
            return Admitted(public=True)
        channel = await self._directory.channel(request.channel_id)
        if channel.is_ext_shared is False:
            return Admitted(public=True)
        if right is Right.LOOK:
            return Admitted(public=False)
        return _wrong_place("shared channel" if channel.is_ext_shared else "unknown channel")


def _wrong_place(why: errors.Place) -> Denied:
    return Denied(why, errors.wrong_place(why))
