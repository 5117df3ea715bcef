"""What Slack refuses, and in which words. Pure: reads the state, changes nothing.

`Refused.error` is Slack's own error code. The README names the source of each.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from workspace.blocks import (
    ONE_TABLE,
    Json,
    complete,
    problems_of_home,
    problems_of_message,
    problems_of_view,
    too_long,
)
from workspace.state import (
    Channel,
    ChannelKind,
    Message,
    ResponseUrl,
    State,
    Trigger,
    View,
)

POST_CHARACTERS = 40_000
UPDATE_CHARACTERS = 4_000
ATTACHMENTS = 100
VIEW_BYTES = 250_000
VIEW_STACK = 3
TRIGGER_SECONDS = 3.0
ACKNOWLEDGE_SECONDS = 3.0
RESPONSE_URL_USES = 5
RESPONSE_URL_SECONDS = 30 * 60
CONNECTIONS = 10

ANY_BLOCK = "*"

Where: TypeAlias = Literal["ephemeral", "everywhere"]


@dataclass(frozen=True, slots=True)
class BlocksRefused:
    """Kinds of blocks that are refused for now (`ANY_BLOCK` for all), where, and Slack's code."""

    kinds: frozenset[str] = frozenset()
    where: Where = "everywhere"
    error: str = "invalid_blocks"

    def check(self, blocks: list[Json], *, ephemeral: bool) -> None:
        """Raise `Refused` for the blocks of a message, or of a modal."""
        if self.where == "ephemeral" and not ephemeral:
            return
        problems = [
            f"unsupported type: {block.get('type')} [json-pointer:/blocks/{index}]"
            for index, block in enumerate(blocks)
            if not self.kinds.isdisjoint({block.get("type"), ANY_BLOCK})
        ]
        if problems:
            raise Refused(self.error, problems)


@dataclass(eq=False)
class Refused(Exception):  # noqa: N818 - it reads as what Slack did
    """Slack refused. `messages` are the complaints about a payload's parts."""

    error: str
    messages: list[str] = field(default_factory=list)
    more: Json = field(default_factory=dict)

    def __str__(self) -> str:
        return ": ".join([self.error, *self.messages])

    def body(self) -> Json:
        """The answer's JSON."""
        made: Json = {"ok": False, "error": self.error, **self.more}
        if self.messages:
            made["errors"] = list(self.messages)
            made["response_metadata"] = {"messages": [f"[ERROR] {m}" for m in self.messages]}
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What an app wants a message to say, checked and completed. None: it did not say."""

    text: str | None
    blocks: tuple[Json, ...] | None
    attachments: tuple[Json, ...] | None


def without_nulls(value: Any) -> Any:  # noqa: ANN401 - JSON of any shape
    """JSON without the fields that are null, which Slack treats as absent."""
    if isinstance(value, dict):
        return {name: without_nulls(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [without_nulls(inner) for inner in value]
    return value


def parsed(value: object, error: str) -> object:
    """JSON given as JSON, or as text in a form's field; raises `error` if it is neither."""
    if not isinstance(value, str):
        return without_nulls(value)
    try:
        return without_nulls(json.loads(value))
    except json.JSONDecodeError:
        raise Refused(error) from None


def checked_blocks(raw: object, *, ephemeral: bool, refused: BlocksRefused) -> tuple[Json, ...]:
    """The blocks of a message, or `invalid_blocks_format`, `invalid_blocks`, too long."""
    blocks = parsed(raw, "invalid_blocks_format")
    if not isinstance(blocks, list) or not all(isinstance(each, dict) for each in blocks):
        raise Refused("invalid_blocks_format")
    refused.check(blocks, ephemeral=ephemeral)
    problems = problems_of_message(blocks)
    if problems:
        # By report: a second table is refused as if it stood in an attachment.
        second_table = any(each.startswith(ONE_TABLE) for each in problems)
        raise Refused("invalid_attachments" if second_table else "invalid_blocks", problems)
    if too_long(blocks):
        raise Refused("msg_blocks_too_long")
    return tuple(complete(blocks))


def checked_content(
    args: Json, *, ephemeral: bool, refused: BlocksRefused, characters: int | None
) -> Content:
    """The text, blocks and attachments in `args`, or Slack's objections.

    `characters` is the maximum length of `text`; None cuts it at 40,000 as chat.postMessage does.
    """
    text = args.get("text")
    if text is not None and not isinstance(text, str):
        text = str(text)
    if text is not None and characters is not None and len(text) > characters:
        raise Refused("msg_too_long")
    blocks = attachments = None
    if args.get("blocks") is not None:
        blocks = checked_blocks(args["blocks"], ephemeral=ephemeral, refused=refused)
    if args.get("attachments") is not None:
        attachments = _checked_attachments(
            args["attachments"], ephemeral=ephemeral, refused=refused
        )
    if not text and not blocks and not attachments:
        raise Refused("no_text")
    return Content(
        text=text[:POST_CHARACTERS] if text is not None else None,
        blocks=blocks,
        attachments=attachments,
    )


def _checked_attachments(
    raw: object, *, ephemeral: bool, refused: BlocksRefused
) -> tuple[Json, ...]:
    attachments = parsed(raw, "invalid_attachments")
    if not isinstance(attachments, list) or not all(isinstance(a, dict) for a in attachments):
        raise Refused("invalid_attachments")
    if len(attachments) > ATTACHMENTS:
        raise Refused("too_many_attachments")
    return tuple(
        {
            **each,
            "blocks": list(checked_blocks(each["blocks"], ephemeral=ephemeral, refused=refused)),
        }
        if "blocks" in each
        else each
        for each in attachments
    )


def checked_view(raw: object, refused: BlocksRefused, *, home: bool = False) -> Json:
    """A modal or a Home tab, completed; or `invalid_arguments` with what is wrong, or too large."""
    view = parsed(raw, "invalid_arguments")
    if len(json.dumps(view).encode()) > VIEW_BYTES:
        raise Refused("view_too_large")
    problems = problems_of_home(view) if home else problems_of_view(view)
    if problems:
        raise Refused("invalid_arguments", problems)
    assert isinstance(view, dict)
    refused.check(view["blocks"], ephemeral=True)
    return {**view, "blocks": complete(view["blocks"])}


def problems_of(kind: str, raw: object, refused: BlocksRefused) -> list[Json]:
    """What blocks.validate says about a `blocks`, a `message` or a `view`; empty if it is fine."""
    value = parsed(raw, "invalid_arguments")
    try:
        if kind == "view":
            is_home = isinstance(value, dict) and value.get("type") == "home"
            checked_view(value, refused, home=is_home)
        else:
            blocks = value.get("blocks", []) if isinstance(value, dict) else value
            checked_blocks(blocks, ephemeral=False, refused=refused)
    except Refused as error:
        return [_problem(kind, each) for each in error.messages or [error.error]]
    return []


def _problem(kind: str, complaint: str) -> Json:
    message, _, pointer = complaint.removesuffix("]").partition(" [json-pointer:")
    if kind != "message":
        pointer = pointer.removeprefix(f"/{kind}")
    return {"pointer": pointer, "code": "failed_constraint", "message": message}


def need_scope(state: State, *any_of: str) -> None:
    """Refuse with `missing_scope` unless the bot's token has one of these scopes."""
    if not state.scopes.intersection(any_of):
        raise Refused(
            "missing_scope",
            more={"needed": ",".join(any_of), "provided": ",".join(sorted(state.scopes))},
        )


def channel_to_post(state: State, name: str) -> Channel:
    """The channel, if the bot's token may post to it.

    A public channel without the bot needs `chat:write.public`, otherwise it is `not_in_channel`. A
    channel that the bot can't see (a private channel, other people's direct message) is
    `channel_not_found`. If only others may post, it is `restricted_action`.
    """
    channel = _find_channel(state, name)
    if not state.bot_is_in(channel):
        if channel.kind != "public":
            raise Refused("channel_not_found")
        if "chat:write.public" not in state.scopes:
            raise Refused("not_in_channel")
    if channel.is_archived:
        raise Refused("is_archived")
    need_posting(state, channel)
    return channel


def channel_of_bot(state: State, name: str) -> Channel:
    """A channel that the bot is in and may post to, with the codes of `channel_to_post`."""
    channel = _find_channel(state, name)
    if not state.bot_is_in(channel):
        raise Refused("not_in_channel" if channel.kind == "public" else "channel_not_found")
    if channel.is_archived:
        raise Refused("is_archived")
    need_posting(state, channel)
    return channel


def need_posting(state: State, channel: Channel) -> None:
    """Refuse with `restricted_action` if only some may post and the bot isn't one of them."""
    if not channel.may_post(state.app.user_id):
        raise Refused("restricted_action")


def channel_to_see(state: State, channel_id: str) -> Channel:
    """A channel that the bot is in, or that is public: any other is `channel_not_found`."""
    channel = state.channels.get(channel_id)
    if channel is None or (channel.kind != "public" and not state.bot_is_in(channel)):
        raise Refused("channel_not_found")
    return channel


def channel_to_read(state: State, channel_id: str) -> Channel:
    """The channel whose description the bot may read."""
    channel = channel_to_see(state, channel_id)
    need_scope(state, READ_SCOPES[channel.kind])
    return channel


READ_SCOPES: Mapping[ChannelKind, str] = {
    "public": "channels:read",
    "private": "groups:read",
    "mpim": "mpim:read",
    "im": "im:read",
}


HISTORY_SCOPES: Mapping[ChannelKind, str] = {
    "public": "channels:history",
    "private": "groups:history",
    "mpim": "mpim:history",
    "im": "im:history",
}


def checked_metadata(given: object) -> Json | None:
    """A message's metadata, as an object or as its JSON text."""
    if given in (None, ""):
        return None
    try:
        made: Any = json.loads(given) if isinstance(given, str) else given
        event_type, payload = made["event_type"], made["event_payload"]
    except (ValueError, KeyError, TypeError):
        raise Refused("invalid_metadata_format") from None
    if not isinstance(event_type, str) or not isinstance(payload, dict):
        raise Refused("invalid_metadata_schema")
    return {"event_type": event_type, "event_payload": payload}


def channel_to_recall(state: State, channel_id: str) -> Channel:
    """The channel whose messages the bot may read: one that it is in."""
    channel = channel_to_see(state, channel_id)
    need_scope(state, HISTORY_SCOPES[channel.kind])
    if not state.bot_is_in(channel):
        raise Refused("not_in_channel")
    return channel


def _find_channel(state: State, name: str) -> Channel:
    if name in state.channels:
        return state.channels[name]
    if name in state.users and not state.users[name].is_bot:
        if not state.is_own(state.users[name]):
            raise Refused("channel_not_found")
        return state.direct_message(name)
    for channel in state.channels.values():
        if channel.kind in {"public", "private"} and channel.name == name.removeprefix("#"):
            return channel
    raise Refused("channel_not_found")


def own_message(state: State, channel_id: str, ts: str, error: str) -> Message:
    """A message that the bot posted and that its token reaches; `error` if it is another's.

    An ephemeral message is `message_not_found`: the Web API can't address it by its ts.
    """
    message = state.message(channel_to_see(state, channel_id).id, ts)
    if message is None or message.is_ephemeral:
        raise Refused("message_not_found")
    if message.user != state.app.user_id:
        raise Refused(error)
    return message


def fresh_trigger(state: State, trigger_id: str) -> Trigger:
    """A trigger that may still open a modal: known, unused and at most 3 s old."""
    trigger = state.trigger(trigger_id)
    if trigger is None:
        raise Refused("invalid_trigger_id")
    if trigger.used:
        raise Refused("exchanged_trigger_id")
    if state.clock.now() - trigger.created > TRIGGER_SECONDS:
        raise Refused("expired_trigger_id")
    return trigger


def view_to_change(state: State, args: Json) -> View:
    """The open modal that `view_id` or `external_id` names, unless `hash` is outdated."""
    if args.get("view_id"):
        view = state.view(str(args["view_id"]))
    elif args.get("external_id"):
        view = state.view_with_external_id(str(args["external_id"]))
    else:
        raise Refused("invalid_arguments", ["missing required field: view_id"])
    if view is None:
        raise Refused("not_found")
    if args.get("hash") not in (None, "", view.hash):
        raise Refused("hash_conflict")
    return view


def new_external_id(state: State, body: Json, view: View | None = None) -> None:
    """Refuse an `external_id` that another open modal has."""
    external_id = body.get("external_id")
    if not external_id:
        return
    other = state.view_with_external_id(external_id)
    if other is not None and (view is None or other.id != view.id):
        raise Refused("duplicate_external_id")


def usable_response_url(state: State, secret: str) -> ResponseUrl:
    """A response_url that is known, at most 30 minutes old and used fewer than 5 times."""
    url = state.response_url(secret)
    if url is None or state.clock.now() - url.created > RESPONSE_URL_SECONDS:
        raise Refused("expired_url")
    if url.uses >= RESPONSE_URL_USES:
        raise Refused("used_url")
    return url
