"""Who a person is and where they are, as far as Slack says.

Groups are read at the start and every minute in the background, people and channels when they are
first met, and all are remembered. Before a kill, Slack is asked again about the channel, and about
the groups that decide. If Slack fails, its last answer about groups is valid for fifteen minutes;
after that, access is denied. Whatever Slack leaves unsaid lets nobody in.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

import structlog
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.background import every
from bot.domain.kills import Actor
from bot.domain.people import Home, Person, Right, Rights
from bot.ports import Clock
from bot.sharing import Sharing
from bot.slack import objects
from bot.slack.api_errors import FAILURES, code_of, is_refusal
from bot.slack.objects import Identity
from bot.slack.views.errors import Obstacle
from bot.slack.workspaces import asked_by, with_workspaces

log = structlog.get_logger(__name__)

GROUPS_EVERY = 60.0
GROUP_FRESH = 10.0
"""Seconds for which somebody may be refused a kill by what Slack said about a group; before it lets
them, Slack is asked each time. It answers twenty such questions a minute."""

GOOD_FOR = 15 * 60.0
"""Seconds for which Slack's last answer is used while Slack fails."""

CHANNEL_FRESH = 60.0
"""Seconds for which a look may rely on what Slack said about the channel. A kill may not."""

PERSON_FRESH = 15 * 60.0
ASK_WITHIN = 2.4
"""Seconds for everything that a request asks Slack: an acknowledgement is due within three."""

MEMBERS_WITHIN = 1.0
"""Seconds of these for the members of groups. If they run out, the last answer counts, and there is
time left to ask about the channel, of which no earlier answer counts before a kill."""

MEMBERS = 1000
"""How many members of a channel Slack lists at a time, at most."""

NO_GROUP = frozenset({"no_such_subteam", "subteam_not_found", "usergroup_not_found"})
_NOT_SEEN = frozenset({"channel_not_found", "not_in_channel"})

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Kept(Generic[T]):
    answer: T
    at: float


def ask_by() -> float:
    """When Slack must have answered everything that a request asks, on the event loop's clock."""
    return asyncio.get_running_loop().time() + ASK_WITHIN


class Directory:
    """Slack's people, groups and channels, remembered."""

    def __init__(
        self,
        client: AsyncWebClient,
        identity: Identity,
        rights: Rights,
        clock: Clock,
    ) -> None:
        self._client = client
        self._identity = identity
        self._rights = rights
        self._clock = clock
        self._group_ids = sorted(rights.groups)
        self._groups: dict[str, _Kept[frozenset[str]]] = {}
        self._disabled: frozenset[str] = frozenset()
        self._asking_members = Sharing[str, None]()
        self._channels: dict[str, _Kept[Obstacle | None]] = {}
        self._asking = Sharing[str, Obstacle | None]()  # about a channel, for looks
        self._people: dict[str, _Kept[Mapping[str, Any]]] = {}
        self._group_names: Mapping[str, str] = {}
        self._workspace_of: dict[str, str] = {}  # listed groups, in an organization's workspaces

    @property
    def rights(self) -> Rights:
        """The allowlists from the settings."""
        return self._rights

    @property
    def group_names(self) -> Mapping[str, str]:
        """The handles of the listed groups (`oncall`) that Slack has named."""
        return self._group_names

    # --- groups --------------------------------------------------------------------

    async def refresh_groups(self) -> None:
        """Ask Slack who is in each listed group; keep the last answer if it fails.

        For an organization, ask also which workspaces are the bot's own.
        """
        try:
            self._identity = await with_workspaces(self._client, self._identity)
        except FAILURES as error:
            log.warning("workspaces.not_read", error=code_of(error))
        of, owns = self._workspace_of, self._identity.owns
        self._workspace_of = {group_id: each for group_id, each in of.items() if owns(each)}
        self._disabled = await self._disabled_groups()
        for group_id in self._group_ids:
            await self._read_members(group_id)

    async def _read_members(self, group_id: str) -> None:
        """Ask Slack who is in a group; keep the last answer if it fails."""
        team_id, asked_at = self._workspace_of.get(group_id), self._clock.monotonic()
        if team_id is None and self._identity.workspaces is not None:
            log.warning("groups.not_read", group=group_id, error="in no workspace of the bot's")
            return
        try:
            answer = await self._client.usergroups_users_list(usergroup=group_id, team_id=team_id)
        except SlackApiError as error:
            code = code_of(error)
            if code not in NO_GROUP:
                log.warning("groups.not_read", group=group_id, error=code)
                return
            # Disabled or unknown, so nobody is in it; or it has moved to another workspace.
            self._workspace_of.pop(group_id, None)
            members: frozenset[str] = frozenset()
        except FAILURES as error:
            log.warning("groups.not_read", group=group_id, error=type(error).__name__)
            return
        else:
            told = objects.members(answer)
            if told is None:
                log.warning("groups.not_read", group=group_id, error="no users in the answer")
                return
            members = frozenset(told) if group_id not in self._disabled else frozenset()
        kept = self._groups.get(group_id)
        if kept is None or kept.at <= asked_at:  # otherwise a later question was answered sooner
            self._groups[group_id] = _Kept(members, asked_at)

    async def _disabled_groups(self) -> frozenset[str]:
        """The listed groups that are disabled; also learns all groups' names.

        Best effort: `usergroups.users.list` refuses a disabled group anyway.
        """
        groups: dict[str, Mapping[str, Any]] = {}
        for team_id in self._workspaces_to_ask():
            try:
                answer = await self._client.usergroups_list(include_disabled=True, team_id=team_id)
            except FAILURES as error:
                log.info("groups.list_not_read", error=code_of(error))
                continue
            found = {
                objects.text(group.get("id")): group
                for group in map(objects.mapping, objects.items(answer.get("usergroups")))
            }
            groups |= found
            if team_id is not None:
                self._workspace_of |= dict.fromkeys(found.keys() & self._group_ids, team_id)
        if groups:
            self._group_names = {
                group_id: handle
                for group_id, group in groups.items()
                if (handle := objects.text(group.get("handle")))
            }
        return frozenset(one for one, group in groups.items() if not objects.is_enabled(group))

    def _workspaces_to_ask(self) -> Iterable[str | None]:
        """Where the listed groups are; everywhere while one of them was found nowhere.

        Slack takes twenty such questions a minute, and an organization may have more workspaces.
        """
        if not self._group_ids:
            return ()
        if self._workspace_of.keys() >= set(self._group_ids):
            return dict.fromkeys(self._workspace_of.values())
        return asked_by(self._identity)

    async def keep_groups(self) -> None:
        """Refresh the groups forever; otherwise all of them would deny after 15 minutes."""
        await every(
            GROUPS_EVERY, self.refresh_groups, failed="groups.failed", sleep=self._clock.sleep
        )

    async def _ask_again(self, right: Right, person: Person, until: float) -> None:
        """Ask Slack about the groups that decide on which clusters somebody has a right.

        On each these are the groups by which they have it or, if by none, might. The same goes for
        the rights that include it: a preview shows whether they may kill.
        """
        named = replace(person, groups=frozenset())
        deciding: set[str] = set()
        for each in right.and_more:
            for cluster in self._rights.clusters:
                if not self._rights.may(each, named, cluster):
                    lists = self._rights.granting(each, cluster)
                    groups = frozenset[str]().union(*(one.groups for one in lists))
                    deciding |= groups & person.groups or groups
        now = self._clock.monotonic()
        old = [
            group_id
            for group_id in deciding
            if group_id in person.groups
            or (kept := self._groups.get(group_id)) is None
            or now - kept.at > GROUP_FRESH
        ]
        by = min(until, asyncio.get_running_loop().time() + MEMBERS_WITHIN)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(by):
                await asyncio.gather(
                    *(
                        self._asking_members.answer(each, partial(self._read_members, each))
                        for each in old
                    )
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
        """What must be known about a person to decide whether they have a right.

        `until` is when Slack must have answered, on the event loop's clock.
        """
        until = ask_by() if until is None else until
        person = Person(
            user_id=actor.user_id,
            home=await self._home(actor, until),
            is_guest=None,
            groups=self._groups_of(actor.user_id),
        )
        if right is not Right.LOOK and person.home in {Home.WORKSPACE, Home.ENTERPRISE}:
            await self._ask_again(right, person, until)
            person = replace(person, groups=self._groups_of(actor.user_id))
        if person.home is not Home.WORKSPACE or not any(
            any(one.everyone for one in self._rights.granting(right, cluster))
            for cluster in self._rights.clusters
            if not self._rights.may(right, person, cluster)
        ):
            return person
        # Only `*` excludes guests, so only then Slack must be asked about the person.
        user = await self._user(actor.user_id, until)
        return replace(person, is_guest=None if user is None else objects.is_guest(user))

    async def _home(self, actor: Actor, until: float) -> Home | None:
        if not actor.user_id:
            return None
        if self._identity.owns(actor.team_id):
            return Home.WORKSPACE
        if actor.team_id and not self._identity.enterprise_id:
            return Home.ELSEWHERE
        # The request doesn't say, or it may be another workspace of the same enterprise.
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

    async def is_member(self, user_id: str, channel_id: str) -> bool | None:
        """Whether a person is in a channel; None if Slack doesn't say.

        It doesn't say of a private channel without the bot.
        """
        until, cursor = ask_by(), ""
        try:
            while True:
                page = partial(
                    self._client.conversations_members,
                    channel=channel_id,
                    limit=MEMBERS,
                    cursor=cursor or None,
                )
                answer = await _asked(page, until)
                told = objects.members(answer, "members")
                if told is None:
                    log.warning("members.not_read", channel=channel_id, error="none in the answer")
                    return None
                if user_id in told:
                    return True
                if not (cursor := objects.next_cursor(answer)):
                    return False
        except FAILURES as error:
            log.info("members.not_read", channel=channel_id, error=code_of(error))
            return None

    async def obstacle(
        self, channel_id: str, *, afresh: bool, until: float | None = None
    ) -> Obstacle | None:
        """Why a channel may be read by more than the bot's own people, according to Slack.

        With `afresh`, earlier answers don't count.
        """
        until = ask_by() if until is None else until
        if afresh:
            return await self._ask_about(channel_id, None, until)
        kept = self._channels.get(channel_id)
        if kept is not None and self._clock.monotonic() - kept.at <= CHANNEL_FRESH:
            return kept.answer
        return await self._asking.answer(
            channel_id, lambda: self._ask_about(channel_id, kept, until)
        )

    async def _ask_about(
        self, channel_id: str, kept: "_Kept[Obstacle | None] | None", until: float
    ) -> Obstacle | None:
        """Ask Slack; if that fails, `kept` is the answer while it is good."""
        now = self._clock.monotonic()
        try:
            answer = await _asked(
                lambda: self._client.conversations_info(channel=channel_id), until
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
    """Ask Slack, a second time if the first answer was lost. Raises one of `FAILURES`."""
    async with asyncio.timeout_at(until):
        try:
            return await call()
        except FAILURES as error:
            if is_refusal(error) or isinstance(error, TimeoutError):
                raise
            return await call()
