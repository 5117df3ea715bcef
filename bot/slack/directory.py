"""Who someone is and where they stand, as far as Slack says it.

Groups are read at the start and every minute in the background, so that a click is judged
from memory; the last answer is good for fifteen minutes when Slack fails, then it denies.
People are asked for when they are first met, and remembered; so are channels, but for a
kill, before which Slack is asked anew. What Slack leaves unsaid lets nobody in.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import structlog
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.background import every
from bot.domain.kills import Actor
from bot.domain.people import Allowlist, Home, Person, Right, may
from bot.ports import Clock
from bot.slack import objects
from bot.slack.api_errors import FAILURES, code_of, is_refusal
from bot.slack.objects import Identity
from bot.slack.views.errors import Obstacle

log = structlog.get_logger(__name__)

GROUPS_EVERY = 60.0
GOOD_FOR = 15 * 60.0
"""Seconds for which an answer of Slack's stands in while Slack fails."""

CHANNEL_FRESH = 60.0
"""Seconds for which a look's answer may go by what Slack said of the channel. A kill's may not."""

PERSON_FRESH = 15 * 60.0
ASK_WITHIN = 2.4
"""Seconds for all that a request asks of Slack: a command's acknowledgement is due in three."""

NO_GROUP = frozenset({"no_such_subteam", "subteam_not_found", "usergroup_not_found"})
_NOT_SEEN = frozenset({"channel_not_found", "not_in_channel"})

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Kept(Generic[T]):
    answer: T
    at: float


def ask_by() -> float:
    """When Slack must have answered all that a request asks, on the loop's clock."""
    return asyncio.get_running_loop().time() + ASK_WITHIN


class Directory:
    """Slack's people, groups and channels, remembered."""

    def __init__(
        self,
        client: AsyncWebClient,
        identity: Identity,
        lists: Mapping[Right, Allowlist],
        clock: Clock,
    ) -> None:
        self._client = client
        self._identity = identity
        self._lists = lists
        self._clock = clock
        self._group_ids = sorted({g for one in lists.values() for g in one.groups})
        self._groups: dict[str, _Kept[frozenset[str]]] = {}
        self._channels: dict[str, _Kept[Obstacle | None]] = {}
        self._people: dict[str, _Kept[Mapping[str, Any]]] = {}
        self._group_names: Mapping[str, str] = {}

    @property
    def lists(self) -> Mapping[Right, Allowlist]:
        """The allowlists, as the settings have them."""
        return self._lists

    @property
    def group_names(self) -> Mapping[str, str]:
        """The handles of the listed groups (`oncall`), as far as Slack told them."""
        return self._group_names

    # --- groups --------------------------------------------------------------------

    async def refresh_groups(self) -> None:
        """Ask Slack who is in each listed group; keep the last answer if it fails."""
        disabled = await self._disabled_groups()
        for group_id in self._group_ids:
            try:
                answer = await self._client.usergroups_users_list(usergroup=group_id)
            except SlackApiError as error:
                code = code_of(error)
                if code not in NO_GROUP:
                    log.warning("groups.not_read", group=group_id, error=code)
                    continue
                # Disabled or unknown: nobody is in it.
                members: frozenset[str] = frozenset()
            except FAILURES as error:
                log.warning("groups.not_read", group=group_id, error=type(error).__name__)
                continue
            else:
                told = objects.members(answer)
                if told is None:
                    log.warning("groups.not_read", group=group_id, error="no users in the answer")
                    continue
                members = frozenset(told) if group_id not in disabled else frozenset()
            self._groups[group_id] = _Kept(members, self._clock.monotonic())

    async def _disabled_groups(self) -> frozenset[str]:
        """The groups that are not said to be switched on; all names are learned on the way.

        Best effort: `usergroups.users.list` refuses a disabled group by itself.
        """
        if not self._group_ids:
            return frozenset()
        try:
            answer = await self._client.usergroups_list(include_disabled=True)
        except FAILURES as error:
            log.info("groups.list_not_read", error=code_of(error))
            return frozenset()
        groups = {
            objects.text(group.get("id")): group
            for group in map(objects.mapping, objects.items(answer.get("usergroups")))
        }
        self._group_names = {
            group_id: handle
            for group_id, group in groups.items()
            if (handle := objects.text(group.get("handle")))
        }
        return frozenset(one for one, group in groups.items() if not objects.is_enabled(group))

    async def keep_groups(self) -> None:
        """Refresh the groups for ever: else, in 15 minutes, all of them would deny."""
        await every(
            GROUPS_EVERY, self.refresh_groups, failed="groups.failed", sleep=self._clock.sleep
        )

    def _groups_of(self, user_id: str) -> frozenset[str]:
        now = self._clock.monotonic()
        return frozenset(
            group_id
            for group_id, kept in self._groups.items()
            if user_id in kept.answer and now - kept.at <= GOOD_FOR
        )

    # --- people --------------------------------------------------------------------

    async def person(self, right: Right, actor: Actor, until: float | None = None) -> Person:
        """What must be known of someone to judge whether they hold a right.

        `until` is when Slack must have answered, on the loop's clock.
        """
        until = ask_by() if until is None else until
        person = Person(
            user_id=actor.user_id,
            home=await self._home(actor, until),
            is_guest=None,
            groups=self._groups_of(actor.user_id),
        )
        by_star = person.home is Home.WORKSPACE and self._lists[right].everyone
        if may(right, person, self._lists) or not by_star:
            return person
        # Only `*` leaves guests out, and only then Slack is asked about somebody.
        user = await self._user(actor.user_id, until)
        return replace(person, is_guest=None if user is None else objects.is_guest(user))

    async def _home(self, actor: Actor, until: float) -> Home | None:
        if not actor.user_id:
            return None
        if actor.team_id == self._identity.team_id:
            return Home.WORKSPACE
        if actor.team_id and not self._identity.enterprise_id:
            return Home.ELSEWHERE
        # The request doesn't say, or it may be a sister workspace of the same enterprise.
        user = await self._user(actor.user_id, until)
        return None if user is None else objects.home(user, self._identity)

    async def _user(self, user_id: str, until: float) -> Mapping[str, Any] | None:
        kept = self._people.get(user_id)
        if kept is not None and self._clock.monotonic() - kept.at <= PERSON_FRESH:
            return kept.answer
        try:
            answer = await _asked(lambda: self._client.users_info(user=user_id), until)
        except FAILURES as error:
            log.warning("person.not_read", user=user_id, error=code_of(error))
            return None
        user = objects.mapping(answer.get("user"))
        if not user:
            log.warning("person.not_read", user=user_id, error="no user in the answer")
            return None
        self._people[user_id] = _Kept(user, self._clock.monotonic())
        return user

    # --- channels ------------------------------------------------------------------

    async def obstacle(
        self, channel_id: str, *, afresh: bool, until: float | None = None
    ) -> Obstacle | None:
        """What keeps a channel from being one of the bot's own people only, by what Slack says.

        Asked `afresh`, nothing that was said before counts.
        """
        now = self._clock.monotonic()
        kept = None if afresh else self._channels.get(channel_id)
        if kept is not None and now - kept.at <= CHANNEL_FRESH:
            return kept.answer
        try:
            answer = await _asked(
                lambda: self._client.conversations_info(channel=channel_id),
                ask_by() if until is None else until,
            )
        except FAILURES as error:
            code = code_of(error)
            log.warning("channel.not_read", channel=channel_id, error=code)
            if code == "missing_scope":
                return Obstacle.NO_SCOPE
            if code in _NOT_SEEN:
                return Obstacle.NOT_SEEN
            if kept is not None and now - kept.at <= GOOD_FOR:
                return kept.answer
            return Obstacle.NOT_TOLD
        told = _obstacle(objects.mapping(answer.get("channel")))
        if told is Obstacle.NOT_TOLD:
            log.warning("channel.not_read", channel=channel_id, error="no sharing in the answer")
            self._channels.pop(channel_id, None)
        else:
            self._channels[channel_id] = _Kept(told, now)
        return told


def _obstacle(channel: Mapping[str, Any]) -> Obstacle | None:
    if objects.is_direct(channel):
        return Obstacle.DIRECT
    shared = objects.is_shared(channel)
    if shared is None:
        return Obstacle.NOT_TOLD
    return Obstacle.SHARED if shared else None


async def _asked(
    call: Callable[[], Awaitable[AsyncSlackResponse]], until: float
) -> AsyncSlackResponse:
    """Ask Slack, once more if the first answer was lost. Raises what `FAILURES` holds."""
    async with asyncio.timeout_at(until):
        try:
            return await call()
        except FAILURES as error:
            if is_refusal(error) or isinstance(error, TimeoutError):
                raise
            return await call()
