"""Who someone is and where they stand, as far as Slack says it.

Groups are read at the start and every minute in the background, so that a click is judged
from memory; the last answer is good for fifteen minutes when Slack fails, then it denies.
Channels and people are asked for when they are first met, and remembered.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import structlog
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.kills import Actor
from bot.policy import Allowlist, Person, Right, may
from bot.ports import Clock
from bot.slack.failures import FAILURES, code_of

log = structlog.get_logger(__name__)

GROUPS_EVERY = 60.0
GOOD_FOR = 15 * 60.0
"""Seconds for which an answer of Slack's stands in while Slack fails."""

CHANNEL_FRESH = 5 * 60.0
PERSON_FRESH = 15 * 60.0
ASK_TIMEOUT = 2.0
"""Seconds: an acknowledgement is due in three."""

NO_GROUP = frozenset({"no_such_subteam", "subteam_not_found", "usergroup_not_found"})
_NO_CHANNEL = frozenset({"channel_not_found", "not_in_channel", "missing_scope"})

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Identity:
    """The bot's own workspace, as `auth.test` names it."""

    team_id: str
    enterprise_id: str


@dataclass(frozen=True, slots=True)
class Channel:
    """What Slack says of a channel. `is_ext_shared` None: it won't say."""

    id: str
    is_ext_shared: bool | None


@dataclass(frozen=True, slots=True)
class _Kept(Generic[T]):
    answer: T
    at: float


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
        self._channels: dict[str, _Kept[Channel]] = {}
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
        """Ask Slack who is in each listed group; keeps the last answer where it fails."""
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
                members = (
                    frozenset(answer.get("users") or ())
                    if group_id not in disabled
                    else frozenset()
                )
            self._groups[group_id] = _Kept(members, self._clock.monotonic())

    async def _disabled_groups(self) -> frozenset[str]:
        """The groups that are switched off; the names of all are learned on the way.

        Best effort: `usergroups.users.list` refuses a disabled group by itself.
        """
        if not self._group_ids:
            return frozenset()
        try:
            answer = await self._client.usergroups_list(include_disabled=True)
        except FAILURES as error:
            log.info("groups.list_not_read", error=code_of(error))
            return frozenset()
        groups = [group for group in answer.get("usergroups") or () if isinstance(group, Mapping)]
        self._group_names = {
            str(group["id"]): str(group["handle"])
            for group in groups
            if group.get("id") and group.get("handle")
        }
        return frozenset(str(group.get("id")) for group in groups if group.get("date_delete"))

    async def keep_groups(self) -> None:
        """Refresh the groups for ever."""
        while True:
            await self._clock.sleep(GROUPS_EVERY)
            try:
                await self.refresh_groups()
            except Exception:
                # A defect here must not end the loop: in 15 minutes all groups would deny.
                log.exception("groups.failed")

    def _groups_of(self, user_id: str) -> frozenset[str]:
        now = self._clock.monotonic()
        return frozenset(
            group_id
            for group_id, kept in self._groups.items()
            if user_id in kept.answer and now - kept.at <= GOOD_FOR
        )

    # --- people --------------------------------------------------------------------

    async def person(self, right: Right, actor: Actor) -> Person:
        """What must be known of someone to judge whether they hold a right."""
        person = Person(
            user_id=actor.user_id,
            is_own=await self._is_own(actor),
            is_guest=None,
            groups=self._groups_of(actor.user_id),
        )
        if may(right, person, self._lists) or not (person.is_own and self._lists[right].everyone):
            return person
        # Only `*` leaves guests out, and only then Slack is asked about somebody.
        return replace(person, is_guest=await self._is_guest(actor.user_id))

    async def _is_own(self, actor: Actor) -> bool:
        if not actor.user_id:
            return False
        team_id = actor.team_id or (await self._user(actor.user_id) or {}).get("team_id")
        if team_id is not None and team_id == self._identity.team_id:
            return True
        if not self._identity.enterprise_id:
            return False
        # On Enterprise Grid people of a sister workspace belong to us; strangers don't.
        user = await self._user(actor.user_id)
        enterprise_user = (user or {}).get("enterprise_user") or {}
        return enterprise_user.get("enterprise_id") == self._identity.enterprise_id

    async def _is_guest(self, user_id: str) -> bool | None:
        user = await self._user(user_id)
        if user is None or user.get("deleted") or user.get("is_bot"):
            return None
        if user.get("is_stranger"):
            return None
        return bool(user.get("is_restricted") or user.get("is_ultra_restricted"))

    async def _user(self, user_id: str) -> Mapping[str, Any] | None:
        kept = self._people.get(user_id)
        if kept is not None and self._clock.monotonic() - kept.at <= PERSON_FRESH:
            return kept.answer
        try:
            async with asyncio.timeout(ASK_TIMEOUT):
                answer = await self._client.users_info(user=user_id)
        except FAILURES as error:
            log.warning("person.not_read", user=user_id, error=code_of(error))
            return None
        user: Mapping[str, Any] = answer.get("user") or {}
        self._people[user_id] = _Kept(user, self._clock.monotonic())
        return user

    # --- channels ------------------------------------------------------------------

    async def channel(self, channel_id: str) -> Channel:
        """What Slack says of a channel; `is_ext_shared` None where it won't."""
        now = self._clock.monotonic()
        kept = self._channels.get(channel_id)
        if kept is not None and now - kept.at <= CHANNEL_FRESH:
            return kept.answer
        try:
            async with asyncio.timeout(ASK_TIMEOUT):
                answer = await self._client.conversations_info(channel=channel_id)
        except FAILURES as error:
            code = code_of(error)
            log.warning("channel.not_read", channel=channel_id, error=code)
            if kept is not None and now - kept.at <= GOOD_FOR and code not in _NO_CHANNEL:
                return kept.answer
            return Channel(channel_id, None)
        shared = (answer.get("channel") or {}).get("is_ext_shared")
        channel = Channel(channel_id, bool(shared))
        self._channels[channel_id] = _Kept(channel, now)
        return channel
