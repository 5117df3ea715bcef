"""The check for every command and every click: may this person do it, and here?"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from bot.domain.kills import Actor
from bot.domain.people import Person, Reach, Right, Rights
from bot.slack.directory import Directory, ask_by
from bot.slack.views.errors import Obstacle, for_you_alone, refusal, wrong_place
from bot.slack.views.message import Message


@dataclass(frozen=True, slots=True)
class Admitted:
    """They may, and `reach` says where.

    `alone_for` is why only they get the answer; None: the channel gets it.
    """

    reach: Reach = field(default_factory=Reach)
    alone_for: Obstacle | None = None

    @property
    def public(self) -> bool:
        """Whether the channel may read the answer."""
        return self.alone_for is None

    def told_alone(self, message: Message) -> Message:
        """The message; if the place is why only they see it, with a line that says so."""
        return message if self.alone_for is None else for_you_alone(message, self.alone_for)


@dataclass(frozen=True, slots=True)
class Denied:
    """They may not. `why` goes on record, `message` goes only to them.

    `person` is who lacks the right; None if it is the place that forbids it.
    """

    why: str
    message: Message
    person: Person | None = None


class Asking(Protocol):
    """Who asks for something, and where: a command, a click, or what goes on for somebody."""

    @property
    def actor(self) -> Actor: ...
    @property
    def channel_id(self) -> str: ...
    @property
    def direct(self) -> bool:
        """Whether it is in a direct message."""


class Authorization:
    """Decides by the allowlists and by what Slack says about people and channels."""

    def __init__(self, directory: Directory, allowed_channels: frozenset[str]) -> None:
        self._directory = directory
        self._allowed_channels = allowed_channels

    async def admit(
        self, right: Right, request: Asking, cluster: str | None = None
    ) -> Admitted | Denied:
        """Authorize at the moment of the act. The person first, then the place.

        The right must be held on `cluster`, or on any if it isn't known which one is meant:
        then whoever acts on one compares it with the `reach`.
        """
        until = ask_by()
        admitted = await self.admit_person(right, request.actor, cluster, until)
        if isinstance(admitted, Denied):
            return admitted
        place = await self._place(right, request, until)
        return place if isinstance(place, Denied) else Admitted(admitted.reach, place)

    async def admit_person(
        self, right: Right, actor: Actor, cluster: str | None = None, until: float | None = None
    ) -> Admitted | Denied:
        """The same for what has no place: only this person sees it, and it does nothing."""
        person = await self._directory.person(right, actor, until)
        reach = self.rights.reach(right, person)
        if not (reach.anywhere(right) if cluster is None else reach.may(right, cluster)):
            return self.denied(right, cluster, person)
        return Admitted(reach)

    async def person(self, right: Right, actor: Actor) -> Person:
        """What decides about a right of theirs, as far as Slack says."""
        return await self._directory.person(right, actor)

    async def reach(self, right: Right, actor: Actor) -> Reach:
        """Where somebody holds a right, wherever they are."""
        return self.rights.reach(right, await self._directory.person(right, actor))

    async def anew(self, admitted: Admitted, actor: Actor) -> Admitted:
        """The same for somebody who may look, once Slack was asked as before a kill."""
        await self._directory.person(Right.KILL, actor)
        return replace(admitted, reach=await self.reach(Right.LOOK, actor))

    async def is_member(self, actor: Actor, channel_id: str) -> bool | None:
        """Whether somebody is in a channel; None if Slack doesn't say."""
        return await self._directory.is_member(actor.user_id, channel_id)

    def denied(
        self, right: Right, cluster: str | None = None, person: Person | None = None
    ) -> Denied:
        """The refusal of somebody who does not hold a right on a cluster, or on any."""
        known = cluster if cluster in self.rights.clusters else None
        message = refusal(right, self.rights, known, group_names=self.group_names, asking=person)
        asked = (self.rights.setting(each, known) for each in self.rights.asked(right, known))
        return Denied(f"not in {' or '.join(asked)}", message, person)

    @property
    def rights(self) -> Rights:
        """The allowlists, as the settings have them."""
        return self._directory.rights

    @property
    def group_names(self) -> Mapping[str, str]:
        """The handles of the listed groups that Slack has named."""
        return self._directory.group_names

    async def _place(self, right: Right, request: Asking, until: float) -> Obstacle | Denied | None:
        """Whether this is a place for it, and why the answer is for them alone.

        A channel that another workspace shares, or about which Slack says nothing, sees no answer
        and no kill unless the settings name it. Before a kill Slack is asked again.
        """
        is_kill = right is not Right.LOOK
        if is_kill and request.direct:
            return self._elsewhere(Obstacle.DIRECT)
        named = request.channel_id in self._allowed_channels
        if self._allowed_channels and not named:
            return self._elsewhere(Obstacle.NOT_ALLOWED)
        if request.direct:
            return Obstacle.DIRECT
        if named:
            return None
        why = await self._directory.obstacle(request.channel_id, afresh=is_kill, until=until)
        return self._elsewhere(why) if is_kill and why is not None else why

    def _elsewhere(self, why: Obstacle) -> Denied:
        return Denied(why, wrong_place(why, channels=sorted(self._allowed_channels)))
