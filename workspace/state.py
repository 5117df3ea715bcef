"""What the workspace holds: people, channels, messages, modals, urls and triggers.

Everything here is a plain value; nothing here knows HTTP, sockets or what Slack refuses. Every
change goes through a method of `State`, which writes it to the `Log` that the page, the people and
the tests watch. This module is long because nothing changes anywhere else.
"""

import itertools
import secrets
import string
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from workspace.blocks import Json, elements
from workspace.clock import Clock
from workspace.log import Log

ChannelKind: TypeAlias = Literal["public", "private", "mpim", "im"]
MessageKind: TypeAlias = Literal["message", "command", "notice", "tombstone"]
# A block_id and an action_id.
InputKey: TypeAlias = tuple[str, str]

ALL_SCOPES = (
    "commands",
    "chat:write",
    "chat:write.public",
    "usergroups:read",
    "users:read",
    "channels:read",
    "groups:read",
    "channels:history",
    "groups:history",
)


@dataclass(frozen=True, slots=True)
class Team:
    """A workspace: the bot's own, or one that shares a channel with it.

    `enterprise_id` is its organization on Enterprise Grid.
    """

    id: str
    domain: str
    name: str
    enterprise_id: str = ""

    @property
    def url(self) -> str:
        """Where its messages are, as auth.test says and permalinks begin."""
        return f"https://{self.domain}.slack.com/"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person or the bot. Guests are restricted (multi-channel) or ultra-restricted (single)."""

    id: str
    team_id: str
    name: str
    real_name: str
    is_restricted: bool = False
    is_ultra_restricted: bool = False
    is_bot: bool = False
    is_admin: bool = False
    deleted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UserGroup:
    """A user group. A disabled one keeps its members, as in Slack.

    It is of the bot's own workspace unless `team_id` names another. `updated_by` is who changed it
    last. If `is_editing_restricted` is None, it is left out.
    """

    id: str
    handle: str
    name: str
    users: tuple[str, ...] = ()
    enabled: bool = True
    updated_by: str = "USLACKBOT"
    auto_type: str | None = None
    is_editing_restricted: bool | None = None
    is_membership_locked: bool = False
    team_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A conversation. `members` are ids of users, including the bot's if it was invited.

    Attributes:
        connected_team_ids: workspaces of other organizations that can read it.
        is_pending_ext_shared: another workspace has been invited.
        org_team_ids: other workspaces of the same enterprise that can read it.
        posters: ids of those who may post; None means everyone.
    """

    id: str
    name: str
    kind: ChannelKind
    members: frozenset[str] = frozenset()
    is_archived: bool = False
    connected_team_ids: tuple[str, ...] = ()
    is_pending_ext_shared: bool = False
    org_team_ids: tuple[str, ...] = ()
    posters: frozenset[str] | None = None

    @property
    def is_ext_shared(self) -> bool:
        return bool(self.connected_team_ids)

    @property
    def is_direct(self) -> bool:
        return self.kind in {"im", "mpim"}

    def may_post(self, user_id: str) -> bool:
        return self.posters is None or user_id in self.posters


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One version of a message.

    `receiver` is the one person who sees it; None if everyone does. `kind` distinguishes an app's
    message, the command as a person typed it, a notice from Slack itself, and what a deleted
    message leaves above its replies. A reply that is `broadcast` also stands in the channel.
    """

    channel: str
    ts: str
    user: str
    text: str
    blocks: tuple[Json, ...] = ()
    attachments: tuple[Json, ...] = ()
    thread_ts: str | None = None
    broadcast: bool = False
    metadata: Json | None = None
    receiver: str | None = None
    kind: MessageKind = "message"
    edited_ts: str | None = None
    link_names: bool = False

    @property
    def is_ephemeral(self) -> bool:
        return self.receiver is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One version of a modal that one person has open, or of their Home tab.

    `body` is what the app sent, completed.
    """

    id: str
    user: str
    root_id: str
    previous_id: str | None
    hash: str
    body: Json
    errors: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseUrl:
    """A url that came with a command or a click. `ts` is that of the clicked message, if any."""

    secret: str
    channel: str
    user: str
    ts: str | None
    created: float
    uses: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """A ticket to open one modal. `view_id` is set if it came from a modal."""

    id: str
    user: str
    created: float
    used: bool = False
    view_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialog:
    """The confirm dialog that a person saw before a click went out."""

    user: str
    title: str
    text: str
    confirm: str
    deny: str
    style: str | None
    accepted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiCall:
    """One call to the Web API or a response_url, with its tokens masked."""

    method: str
    args: Json
    status: int
    error: str | None
    response: Json


@dataclass(frozen=True, slots=True)
class Shortcut:
    """A message shortcut, as a message's menu offers it."""

    callback_id: str
    name: str
    description: str


@dataclass(frozen=True, slots=True)
class App:
    """The app's own numbers and secrets, as the app's settings page would show them."""

    id: str = "A0PGSESSION"
    name: str = "pg-sessions"
    user_id: str = "U0PGSESSBOT"
    bot_id: str = "B0PGSESSION"
    bot_token: str = field(default_factory=lambda: f"xoxb-{_random(40)}")
    app_token: str = field(default_factory=lambda: f"xapp-1-A0PGSESSION-{_random(40)}")
    signing_secret: str = field(default_factory=lambda: secrets.token_hex(16))
    verification_token: str = field(default_factory=lambda: _random(24))
    commands: tuple[str, ...] = ("/pg-sessions", "/pg-kill")
    events: tuple[str, ...] = ("app_home_opened",)
    home_tab: bool = True
    shortcuts: tuple[Shortcut, ...] = (
        Shortcut(
            "pg_sessions_here",
            "Show PostgreSQL sessions",
            "Who is connected, in this message's thread",
        ),
        Shortcut(
            "pg_kill_here",
            "End a PostgreSQL session",
            "Preview a kill in this message's thread",
        ),
    )


def _random(count: int) -> str:
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(count))


class State:
    """The workspace itself. Readers may look at anything; writers use the methods."""

    def __init__(self, clock: Clock, team: Team, app: App) -> None:
        self.clock = clock
        self.log = Log(clock.now)
        self.team = team
        self.app = app
        self.teams = {team.id: team}
        self.users: dict[str, User] = {}
        self.groups: dict[str, UserGroup] = {}
        self.channels: dict[str, Channel] = {}
        self.scopes = frozenset(ALL_SCOPES)
        self.granted_to: tuple[str, ...] | None = None
        """The workspaces of an installation for a whole organization; None for any other."""
        self._messages: dict[str, dict[str, Message]] = {}
        self._views: dict[str, View] = {}
        self._homes: dict[str, View] = {}
        self._urls: dict[str, ResponseUrl] = {}
        self._triggers: dict[str, Trigger] = {}
        self._inputs: dict[tuple[str, str], dict[InputKey, Json]] = {}
        self._last_ts = (0, 0)
        self._count = itertools.count(1)
        self.put_user(
            User(
                id=app.user_id,
                team_id=team.id,
                name=app.name.replace("-", "_"),
                real_name=app.name,
                is_bot=True,
            )
        )

    # People, groups and channels

    def put_user(self, user: User) -> None:
        """Add a person, or change one."""
        self.users[user.id] = user
        self.log.append("user_changed", user)

    def put_group(self, group: UserGroup) -> None:
        """Add a user group, or change one."""
        self.groups[group.id] = group
        self.log.append("group_changed", group)

    def put_team(self, team: Team) -> None:
        """Add a workspace, or change one, which may be the app's own."""
        self.teams[team.id] = team
        if team.id == self.team.id:
            self.team = team

    def put_channel(self, channel: Channel) -> None:
        """Add a channel, or change one. To change its members, use `join` and `leave`."""
        self.channels[channel.id] = channel
        self._messages.setdefault(channel.id, {})

    def join(self, channel_id: str, user_id: str) -> None:
        """Invite somebody, the bot included."""
        channel = self.channels[channel_id]
        self.channels[channel_id] = replace(channel, members=channel.members | {user_id})
        self.log.append("member_joined", self.channels[channel_id])

    def leave(self, channel_id: str, user_id: str) -> None:
        """Remove somebody, the bot included."""
        channel = self.channels[channel_id]
        self.channels[channel_id] = replace(channel, members=channel.members - {user_id})
        self.log.append("member_left", self.channels[channel_id])

    def direct_message(self, user_id: str) -> Channel:
        """A person's conversation with the bot, created if it doesn't exist."""
        members = frozenset({user_id, self.app.user_id})
        for channel in self.channels.values():
            if channel.kind == "im" and channel.members == members:
                return channel
        channel = Channel(
            id=self.new_id("D"),
            name=f"{self.users[user_id].name}-bot",
            kind="im",
            members=members,
        )
        self.put_channel(channel)
        return channel

    def is_own(self, user: User) -> bool:
        """Whether a person belongs to the app's workspace, or to its enterprise."""
        theirs = self.teams[user.team_id]
        together = bool(theirs.enterprise_id) and theirs.enterprise_id == self.team.enterprise_id
        return theirs.id == self.team.id or together

    def set_scopes(self, *scopes: str) -> None:
        """Grant the bot's token only these scopes."""
        self.scopes = frozenset(scopes)
        self.log.append("scopes_changed", self.scopes)

    def bot_is_in(self, channel: Channel) -> bool:
        return self.app.user_id in channel.members

    def may_see(self, user_id: str, channel: Channel) -> bool:
        """Members see a channel; everyone in the bot's workspace can see a public one."""
        if user_id in channel.members:
            return True
        user = self.users[user_id]
        guest = user.is_restricted or user.is_ultra_restricted
        return channel.kind == "public" and user.team_id == self.team.id and not guest

    # Messages

    def new_id(self, letter: str) -> str:
        """An id in Slack's format: a letter, then capitals and digits."""
        return f"{letter}0{next(self._count):05d}{_random(3).upper()}"

    def new_ts(self) -> str:
        """A `ts` later than any other in this workspace, so unique in its channel."""
        seconds, micros = divmod(int(self.clock.now() * 1_000_000), 1_000_000)
        last_seconds, last_micros = self._last_ts
        if (seconds, micros) <= self._last_ts:
            seconds, micros = last_seconds, last_micros + 1
        self._last_ts = (seconds, micros)
        return f"{seconds}.{micros:06d}"

    def post(self, message: Message) -> Message:
        """Put a new message into its channel."""
        self._messages[message.channel][message.ts] = message
        self.log.append("message_posted", message)
        return message

    def change(self, message: Message) -> Message:
        """Replace the version with the same `ts`."""
        self._messages[message.channel][message.ts] = message
        self._keep_inputs(message.ts, list(message.blocks))
        self.log.append("message_changed", message)
        return message

    def delete(self, message: Message) -> None:
        """Remove a message for everyone who saw it."""
        del self._messages[message.channel][message.ts]
        self.log.append("message_deleted", message)

    def message(self, channel_id: str, ts: str) -> Message | None:
        return self._messages[channel_id].get(ts)

    def messages(self, channel_id: str) -> Iterator[Message]:
        """Every message of a channel, oldest first, including everyone's ephemeral ones."""
        return iter(tuple(self._messages[channel_id].values()))

    # Modals

    def open_view(self, user_id: str, body: Json, previous: View | None) -> View:
        """Show a modal to a person, on top of `previous` if there is one."""
        view_id = self.new_id("V")
        view = View(
            id=view_id,
            user=user_id,
            root_id=previous.root_id if previous else view_id,
            previous_id=previous.id if previous else None,
            hash=self.new_hash(),
            body=body,
        )
        self._views[view_id] = view
        self.log.append("view_opened", view)
        return view

    def change_view(self, view: View, body: Json) -> View:
        """Replace the body of an open modal. Inputs whose ids stay keep what was typed."""
        changed = replace(view, body=body, hash=self.new_hash(), errors=())
        self._views[view.id] = changed
        self._keep_inputs(view.id, body["blocks"])
        self.log.append("view_changed", changed)
        return changed

    def show_errors(self, view: View, errors: dict[str, str]) -> None:
        """Mark inputs of a modal as wrong; the keys are block_ids."""
        changed = replace(view, errors=tuple(errors.items()))
        self._views[view.id] = changed
        self.log.append("view_changed", changed)

    def close_view(self, view: View) -> None:
        """Remove one modal from its stack."""
        del self._views[view.id]
        self._inputs.pop((view.id, view.user), None)
        self.log.append("view_closed", view)

    # Home tabs

    def publish_home(self, user_id: str, body: Json) -> View:
        """Replace a person's Home tab; it keeps its id, and what was chosen in what stays."""
        before = self._homes.get(user_id)
        view_id = before.id if before else self.new_id("V")
        view = View(
            id=view_id,
            user=user_id,
            root_id=view_id,
            previous_id=None,
            hash=self.new_hash(),
            body=body,
        )
        self._homes[user_id] = view
        self._keep_inputs(view_id, body["blocks"])
        self.log.append("home_published", view)
        return view

    def home(self, user_id: str) -> View | None:
        """A person's Home tab; None if the app has published none."""
        return self._homes.get(user_id)

    # Open modals

    def view(self, view_id: str) -> View | None:
        return self._views.get(view_id)

    def views_of(self, user_id: str) -> list[View]:
        """A person's stack of modals, the top one last."""
        return [view for view in self._views.values() if view.user == user_id]

    def view_with_external_id(self, external_id: str) -> View | None:
        for view in self._views.values():
            if view.body.get("external_id") == external_id:
                return view
        return None

    def new_hash(self) -> str:
        """A hash for a view's version, in Slack's format."""
        return f"{int(self.clock.now())}.{_random(8)}"

    # What people typed and chose, before they press anything

    def set_input(self, where: str, user_id: str, key: InputKey, value: Json) -> None:
        """Store what a person put into one input of a message (`where` is its ts) or a modal."""
        self._inputs.setdefault((where, user_id), {})[key] = value
        self.log.append("input_changed", (where, user_id, key, value))

    def inputs(self, where: str, user_id: str) -> dict[InputKey, Json]:
        """What a person has put into the inputs of a message or a modal so far."""
        return dict(self._inputs.get((where, user_id), {}))

    def _keep_inputs(self, where: str, blocks: list[Json]) -> None:
        """Forget the inputs that are gone. Inputs whose ids stay keep their value, as in Slack."""
        alive = {(each.block_id, each.action_id) for each in elements(blocks)}
        for (place, user_id), values in self._inputs.items():
            if place == where:
                self._inputs[place, user_id] = {k: v for k, v in values.items() if k in alive}

    # Urls and triggers

    def new_response_url(self, channel_id: str, user_id: str, ts: str | None) -> ResponseUrl:
        """A new url for one command or one click."""
        made = ResponseUrl(
            secret=_random(24),
            channel=channel_id,
            user=user_id,
            ts=ts,
            created=self.clock.now(),
        )
        self._urls[made.secret] = made
        return made

    def response_url(self, secret: str) -> ResponseUrl | None:
        return self._urls.get(secret)

    def use_response_url(self, url: ResponseUrl) -> None:
        self._urls[url.secret] = replace(url, uses=url.uses + 1)

    def new_trigger(self, user_id: str, view_id: str | None = None) -> Trigger:
        """A new trigger, in Slack's format."""
        number = next(self._count)
        made = Trigger(
            id=f"{number:011d}.{secrets.randbelow(10**12):012d}.{secrets.token_hex(16)}",
            user=user_id,
            created=self.clock.now(),
            view_id=view_id,
        )
        self._triggers[made.id] = made
        return made

    def trigger(self, trigger_id: str) -> Trigger | None:
        return self._triggers.get(trigger_id)

    def use_trigger(self, trigger: Trigger) -> None:
        self._triggers[trigger.id] = replace(trigger, used=True)

    # The record of calls

    def record_call(self, call: ApiCall) -> None:
        self.log.append("api_called", call)

    def calls(self, method: str | None = None) -> list[ApiCall]:
        """The calls that the app has made so far, all or those to one method."""
        every = (change.subject for change in self.log if change.kind == "api_called")
        return [
            call for call in every if isinstance(call, ApiCall) and method in {None, call.method}
        ]
