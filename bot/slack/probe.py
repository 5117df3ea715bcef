"""Check Slack for `python -m bot check`: read-only calls, and a socket that is closed again.

While a bot runs, Slack may send a click to any socket of its app. So this socket is closed as soon
as Slack has said hello.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from typing import Any

import aiohttp
import structlog
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.check.facts import (
    Bot,
    Group,
    Layouts,
    Member,
    SlackFacts,
    Socket,
    Unknown,
    Untold,
)
from bot.domain.channels import Channel
from bot.domain.people import Home, Right
from bot.errors import WORKSPACES_UNTOLD
from bot.scopes import granted
from bot.slack.api_errors import (
    FAILURES,
    Client,
    ShortRateLimits,
    code_of,
    in_words,
    is_refusal,
    place,
)
from bot.slack.app import SlackSettings
from bot.slack.channels import channel_of
from bot.slack.directory import NO_GROUP
from bot.slack.objects import (
    NOT_SLACK,
    Identity,
    home,
    identity,
    is_enabled,
    is_guest,
    items,
    mapping,
    members,
    text,
)
from bot.slack.validation import validate
from bot.slack.workspaces import asked_by, with_workspaces

log = structlog.get_logger(__name__)

WITHIN = 15.0
"""Seconds for the whole check; what isn't answered by then is reported as such."""

CALL_WITHIN = 5.0
CLOSE_WITHIN = 1.0
AT_ONCE = 8
MOST_PEOPLE = 60
MOST_CHANNELS = 40
"""Slack allows about 100 questions a minute about people and 50 about channels. A running bot needs
some of these."""

_NO_PERSON = frozenset({"user_not_found", "user_not_visible"})
_TOO_MANY = Untold("not asked: Slack takes few such questions a minute")


async def probe(settings: SlackSettings) -> SlackFacts:
    """Check Slack for at most 15 s. Never raises: a failure is one of the facts it returns."""
    try:
        async with aiohttp.ClientSession() as session:
            return await _Probe(settings, session).run()
    except Exception as error:
        log.critical("check.failed", exc_info=True)
        return SlackFacts(bot=Untold(f"the check itself failed ({type(error).__name__})"))


class _Probe:
    def __init__(self, settings: SlackSettings, session: aiohttp.ClientSession) -> None:
        self._settings = settings
        self._session = session
        self._client = Client(
            token=settings.bot_token,
            base_url=settings.api_url,
            session=session,
            retry_handlers=[ShortRateLimits(max_retry_count=1)],
        )
        self._free = asyncio.Semaphore(AT_ONCE)
        self._until = asyncio.get_running_loop().time() + WITHIN
        self._identity: Identity | None = None

    async def run(self) -> SlackFacts:
        """Ask everything, with a time limit for each question."""
        facts, socket = await asyncio.gather(self._by_bot_token(), self._socket())
        # Last, because making the samples would hold up what matters more.
        return replace(facts, socket=socket, layouts=await self._layouts())

    async def _by_bot_token(self) -> SlackFacts:
        bot, scopes = await self._bot()
        if isinstance(bot, Untold):
            return SlackFacts(bot=bot)
        channels, groups = await asyncio.gather(self._channels(), self._groups())
        people = await self._people(groups.values())
        return SlackFacts(bot=bot, scopes=scopes, people=people, groups=groups, channels=channels)

    async def _ask(self, call: Callable[[], Awaitable[AsyncSlackResponse]]) -> AsyncSlackResponse:
        """Make one call to the Web API. Raises one of `FAILURES`."""
        async with asyncio.timeout_at(self._until), self._free, asyncio.timeout(CALL_WITHIN):
            return await call()

    async def _layouts(self) -> Layouts:
        api_url, proxy = self._settings.api_url, self._client.proxy
        return await validate(self._session, api_url, self._until, proxy=proxy)

    def _untold(self, error: BaseException) -> Untold:
        return Untold(in_words(error, self._settings.api_url))

    # --- tokens --------------------------------------------------------------------

    async def _bot(self) -> tuple[Bot | Untold, frozenset[str] | None]:
        client = self._client
        try:
            me = await self._ask(client.auth_test)
        except FAILURES as error:
            return self._untold(error), None
        known = identity(me)
        if known is None:
            return Untold(f"{place(self._settings.api_url)}: {NOT_SLACK}"), None
        try:
            async with asyncio.timeout_at(self._until), asyncio.timeout(CALL_WITHIN):
                known = await with_workspaces(client, known)
        except FAILURES as error:
            why = in_words(error, self._settings.api_url)
            return Untold(WORKSPACES_UNTOLD.format(why=why) if is_refusal(error) else why), None
        self._identity = known
        scopes = granted(me.headers.get("x-oauth-scopes"))
        bot = Bot(
            name=text(me.get("user")),
            workspace=text(me.get("team")),
            team_id=known.team_id,
            app_id=await self._app_of(text(me.get("bot_id"))),
            workspaces=known.workspaces,
        )
        return bot, scopes

    async def _app_of(self, bot_id: str) -> str | None:
        client = self._client
        try:
            answer = await self._ask(lambda: client.bots_info(bot=bot_id))
        except FAILURES:
            return None
        return text(mapping(answer.get("bot")).get("app_id")) or None

    async def _socket(self) -> Socket | Untold | None:
        token, client = self._settings.app_token, self._client
        if token is None:
            return None
        try:
            answer = await self._ask(lambda: client.apps_connections_open(app_token=token))
        except FAILURES as error:
            return self._untold(error)
        try:
            hello = await self._hello(text(answer.get("url")))
        except TimeoutError:
            return Untold(f"the socket does not open, or says nothing, for {CALL_WITHIN:g} s")
        except (*FAILURES, ValueError, TypeError) as error:
            return Untold(f"the socket can't be opened ({type(error).__name__})")
        if hello.get("type") != "hello":
            return Untold(f"Slack closes the socket ({text(hello.get('reason'))})")
        connections = hello.get("num_connections")
        return Socket(
            connections=connections if isinstance(connections, int) else None,
            app_id=text(mapping(hello.get("connection_info")).get("app_id")) or None,
        )

    async def _hello(self, url: str) -> Mapping[str, Any]:
        """Slack's first message on a socket."""
        connect = self._session.ws_connect(
            url,
            proxy=self._client.proxy,
            timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_WITHIN),
        )
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(CALL_WITHIN):
                socket = await stack.enter_async_context(connect)
                return mapping(await socket.receive_json())

    # --- ids -----------------------------------------------------------------------

    async def _groups(self) -> dict[str, Group | Unknown | Untold]:
        client = self._client
        ids = sorted(self._settings.rights.groups)
        if not ids:
            return {}
        listed: dict[str, Group] = {}
        for team_id in self._teams:
            ask = partial(client.usergroups_list, include_disabled=True, include_users=True)
            try:
                answer = await self._ask(partial(ask, team_id=team_id))
            except FAILURES as error:
                return dict.fromkeys(ids, self._untold(error))
            found = map(_group, map(mapping, items(answer.get("usergroups"))))
            listed |= {group.id: group for group in found if group.id}
        return {one: listed.get(one) or await self._unlisted(one) for one in ids}

    @property
    def _teams(self) -> tuple[str | None, ...]:
        return (None,) if self._identity is None else asked_by(self._identity)

    async def _unlisted(self, group_id: str) -> Group | Unknown | Untold:
        """A group that isn't listed; it may belong to an enterprise. The bot asks the same way."""
        client = self._client
        if self._teams != (None,):
            return Unknown()
        try:
            answer = await self._ask(lambda: client.usergroups_users_list(usergroup=group_id))
        except FAILURES as error:
            return Unknown() if code_of(error) in NO_GROUP else self._untold(error)
        told = members(answer)
        if told is None:
            return Untold("no users in the answer")
        return Group(id=group_id, handle="", name="", members=told)

    async def _people(
        self, groups: Iterable[Group | Unknown | Untold]
    ) -> dict[str, Member | Unknown | Untold]:
        """Listed people, then the groups' editors, then their members, up to Slack's rate limit."""
        known = [group for group in groups if isinstance(group, Group)]
        rights = self._settings.rights
        listed = [one for right in reversed(Right) for one in sorted(rights.users(right))]
        met = [group.editor for group in known if group.editor]
        met += [member for group in known for member in group.members]
        ids = list(dict.fromkeys((*listed, *met)))
        asked = ids[:MOST_PEOPLE]
        answers = await asyncio.gather(*map(self._person, asked))
        left = dict.fromkeys(set(listed).difference(asked), _TOO_MANY)
        return {**dict(zip(asked, answers, strict=True)), **left}

    async def _person(self, user_id: str) -> Member | Unknown | Untold:
        client = self._client
        try:
            answer = await self._ask(lambda: client.users_info(user=user_id))
        except FAILURES as error:
            return Unknown() if code_of(error) in _NO_PERSON else self._untold(error)
        user = mapping(answer.get("user"))
        if not user or self._identity is None:
            return Untold("no user in the answer")
        return _member(user_id, user, home(user, self._identity))

    async def _channels(self) -> dict[str, Channel | Unknown | Untold]:
        ids = sorted({*self._settings.allowed_channels, *self._settings.alert_channels})
        asked = ids[:MOST_CHANNELS]
        answers = await asyncio.gather(*map(self._channel, asked))
        return {**dict.fromkeys(ids, _TOO_MANY), **dict(zip(asked, answers, strict=True))}

    async def _channel(self, channel_id: str) -> Channel | Unknown | Untold:
        client = self._client
        try:
            answer = await self._ask(lambda: client.conversations_info(channel=channel_id))
        except FAILURES as error:
            is_unknown = code_of(error) == "channel_not_found"
            return Unknown() if is_unknown else self._untold(error)
        return channel_of(channel_id, answer)


def _member(user_id: str, user: Mapping[str, Any], its_home: Home | None) -> Member:
    profile = mapping(user.get("profile"))
    is_admin = None
    if "is_admin" in user:  # Slack omits it for some
        is_admin = bool(user.get("is_admin") or user.get("is_owner"))
    return Member(
        id=user_id,
        name=text(user.get("real_name") or profile.get("real_name") or user.get("name")),
        handle=text(profile.get("display_name") or user.get("name")),
        home=its_home,
        deleted=bool(user.get("deleted")),
        is_guest=is_guest(user),
        is_bot=bool(user.get("is_bot")),
        is_admin=is_admin,
    )


def _group(group: Mapping[str, Any]) -> Group:
    restricted = group.get("is_editing_restricted")
    return Group(
        id=text(group.get("id")),
        handle=text(group.get("handle")),
        name=text(group.get("name")),
        members=members(group) or (),
        disabled=not is_enabled(group),
        is_locked=any(map(group.get, ("auto_type", "is_idp_group", "is_membership_locked"))),
        is_restricted=restricted if isinstance(restricted, bool) else None,
        editor=text(group.get("updated_by") or group.get("created_by")) or None,
    )
