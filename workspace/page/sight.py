"""What one person sees of the workspace, as JSON for the page."""

from collections.abc import Iterator
from dataclasses import asdict

from workspace.blocks import Json
from workspace.delivery import Envelope
from workspace.interactions import Settled
from workspace.log import Change
from workspace.page.cast import COMMANDS, ROLES
from workspace.screen import Screen, notifies
from workspace.slack import Workspace
from workspace.state import ApiCall, Channel, InputKey, Message, User, View

_EVERYBODY = frozenset({"channel", "here", "everyone"})


class Sight:
    """One person's view: first everything as a `snapshot`, then what each change adds."""

    def __init__(self, workspace: Workspace, viewer: User) -> None:
        self._workspace = workspace
        self._state = workspace.state
        self._viewer = viewer
        self._screen = Screen(self._state, viewer)
        self._known: frozenset[str] = frozenset()

    def snapshot(self) -> Json:
        """Everything. Later changes refer to it."""
        state = self._state
        channels = self._channels()
        self._known = frozenset(channel.id for channel in channels)
        return {
            "type": "snapshot",
            "me": self._viewer.id,
            "team": state.teams[self._viewer.team_id].name,
            "url": state.team.url,
            "app": {"user": state.app.user_id, "name": state.app.name},
            "roles": [{"id": self._workspace.user(r.name).id, **asdict(r)} for r in ROLES],
            "users": {user.id: self._user(user) for user in state.users.values()},
            "groups": {group.id: group.handle for group in state.groups.values()},
            "commands": [asdict(command) for command in COMMANDS],
            "shortcuts": [asdict(shortcut) for shortcut in state.app.shortcuts],
            "channels": [self._channel(channel) for channel in channels],
            "messages": {
                channel.id: [self._message(each) for each in self._screen.messages(channel.id)]
                for channel in channels
            },
            "views": self._views(),
            "home": self._home(),
            "connections": len(self._workspace.server.sockets),
        }

    def after(self, change: Change) -> Iterator[Json]:
        """What the page needs to know about a change; often nothing."""
        match change.kind, change.subject:
            case "message_posted" | "message_changed", Message() as message:
                yield from self._after_message(message)
            case "message_deleted", Message() as message:
                yield {"type": "gone", "channel": message.channel, "ts": message.ts}
            case "view_opened" | "view_changed" | "view_closed", View() as view:
                if view.user == self._viewer.id:
                    yield {"type": "views", "views": self._views()}
            case "home_published", View() as view:
                if view.user == self._viewer.id:
                    yield {"type": "home", "home": self._home()}
            case "input_changed", (str() as where, self._viewer.id, _, _):
                yield from self._after_input(where)
            case "member_joined" | "member_left" | "user_changed" | "group_changed", _:
                yield self.snapshot()
            case "connection_opened" | "connection_closed", int() as connections:
                yield {"type": "connections", "connections": connections}
                yield _wire(change, change.kind.replace("_", " "), f"{connections} open")
            case "interaction_sent", Envelope() as envelope:
                yield _wire(change, _kind(envelope), "sent to the app")
            case "interaction_settled", Settled() as settled:
                failed = settled.failure is not None
                said = str(settled.failure or "acknowledged")
                yield _wire(change, _kind(settled.envelope), said, bad=failed)
            case "api_called", ApiCall() as call:
                said = f"{call.status or 'cut'} {call.error or 'ok'}"
                yield _wire(change, call.method, said, bad=call.error is not None)
            case _:
                pass

    def _after_message(self, message: Message) -> Iterator[Json]:
        if message.receiver not in {None, self._viewer.id}:
            return
        if message.channel in self._known:
            yield {"type": "message", "message": self._message(message)}
        elif self._state.may_see(self._viewer.id, self._state.channels[message.channel]):
            # A conversation that was just opened.
            yield self.snapshot()

    def _after_input(self, where: str) -> Iterator[Json]:
        """Menus show the same choice in all tabs of this person; modals keep their own."""
        for channel_id in self._known:
            message = self._state.message(channel_id, where)
            if message is not None:
                yield from self._after_message(message)

    def _channels(self) -> list[Channel]:
        """The channels that the person may see, then conversations, always with the bot's."""
        state, viewer = self._state, self._viewer
        if viewer.team_id == state.team.id and not _is_guest(viewer):
            state.direct_message(viewer.id)
        seen = [each for each in state.channels.values() if state.may_see(viewer.id, each)]
        return sorted(seen, key=lambda channel: channel.is_direct)

    def _channel(self, channel: Channel) -> Json:
        others = channel.members - {self._viewer.id}
        return {
            "id": channel.id,
            "name": self._name(channel),
            "kind": channel.kind,
            "direct": channel.is_direct,
            "peer": next(iter(others), None) if channel.kind == "im" else None,
            "members": len([each for each in channel.members if not self._is_bot(each)]),
            "joined": self._viewer.id in channel.members,
            "may_post": channel.may_post(self._viewer.id),
            "has_bot": self._state.bot_is_in(channel),
            "shared_with": [
                self._state.teams[team].name
                for team in (self._state.team.id, *channel.connected_team_ids)
                if channel.is_ext_shared and team != self._viewer.team_id
            ],
        }

    def _name(self, channel: Channel) -> str:
        """A group's direct message is named after its members."""
        if channel.kind != "mpim":
            return channel.name
        others = sorted(channel.members - {self._viewer.id})
        return ", ".join(self._state.users[each].real_name for each in others)

    def _is_bot(self, user_id: str) -> bool:
        return self._state.users[user_id].is_bot

    def _user(self, user: User) -> Json:
        return {
            "name": user.name,
            "real_name": user.real_name,
            "is_bot": user.is_bot,
            "team": self._state.teams[user.team_id].name,
            "foreign": user.team_id != self._viewer.team_id,
        }

    def _message(self, message: Message) -> Json:
        return {
            "channel": message.channel,
            "ts": message.ts,
            "user": message.user,
            "text": message.text,
            "blocks": message.blocks,
            "attachments": message.attachments,
            "kind": message.kind,
            "ephemeral": message.is_ephemeral,
            "edited": message.edited_ts is not None,
            "thread": message.thread_ts,
            "broadcast": message.broadcast,
            "mentions_me": self._mentions_me(message),
            "inputs": _nested(self._state.inputs(message.ts, self._viewer.id)),
        }

    def _mentions_me(self, message: Message) -> bool:
        pinged = notifies(message)
        groups = (each for each in self._state.groups.values() if each.enabled)
        return (
            self._viewer.id in pinged
            or not pinged.isdisjoint(_EVERYBODY)
            or any(self._viewer.id in group.users for group in groups if group.id in pinged)
        )

    def _views(self) -> list[Json]:
        """The person's stack of modals, the top one last."""
        return [self._view(view) for view in self._state.views_of(self._viewer.id)]

    def _home(self) -> Json | None:
        """The person's Home tab, if the app has published one."""
        view = self._state.home(self._viewer.id)
        return self._view(view) if view else None

    def _view(self, view: View) -> Json:
        return {
            "id": view.id,
            "hash": view.hash,
            "body": view.body,
            "errors": dict(view.errors),
            "inputs": _nested(self._state.inputs(view.id, view.user)),
        }


def _is_guest(user: User) -> bool:
    return user.is_restricted or user.is_ultra_restricted


def _nested(inputs: dict[InputKey, Json]) -> Json:
    """Inputs by block_id and then action_id, as `state.values` has them."""
    nested: Json = {}
    for (block_id, action_id), value in inputs.items():
        nested.setdefault(block_id, {})[action_id] = value
    return nested


def _kind(envelope: Envelope) -> str:
    """The command, or what kind of interaction it was."""
    return str(envelope.payload.get("command") or envelope.payload.get("type", envelope.type))


def _wire(change: Change, what: str, said: str, *, bad: bool = False) -> Json:
    return {"type": "wire", "at": change.at, "what": what, "said": said, "bad": bad}
