"""Threads: where a reply goes, who sees it, and what a parent tells of its replies. Pure."""

from dataclasses import replace

from workspace.blocks import Json
from workspace.rules import Refused
from workspace.state import Message, State


def parent_of(state: State, channel_id: str, thread_ts: object) -> str | None:
    """The `thread_ts` that a new message gets.

    None if there is no such message any more: Slack then posts to the channel without a word. A
    reply's ts means its parent. Raises `Refused` for a message that can't have replies.
    """
    if thread_ts in (None, ""):
        return None
    named = state.message(channel_id, str(thread_ts))
    if named is None or named.is_ephemeral:
        return None
    if named.kind in {"command", "notice"}:
        raise Refused("cannot_reply_to_message")
    return named.thread_ts or named.ts


def replies(state: State, channel_id: str, ts: str) -> list[Message]:
    """The replies that everyone sees, oldest first."""
    return [
        each
        for each in state.messages(channel_id)
        if each.thread_ts == ts and not each.is_ephemeral
    ]


def is_begun(state: State, channel_id: str, ts: str) -> bool:
    """Whether the thread has a reply. An ephemeral message in one that hasn't is never shown."""
    return bool(replies(state, channel_id, ts))


def thread_fields(message: Message, state: State) -> Json:
    """What a message says of the thread that it is in, or that hangs on it."""
    if message.thread_ts is not None:
        parent = state.message(message.channel, message.thread_ts)
        made: Json = {"thread_ts": message.thread_ts}
        if parent is not None:
            made["parent_user_id"] = parent.user
        return made | ({"subtype": "thread_broadcast"} if message.broadcast else {})
    answers = replies(state, message.channel, message.ts)
    if not answers:
        return {}
    people = list(dict.fromkeys(each.user for each in answers))
    return {
        "thread_ts": message.ts,
        "reply_count": len(answers),
        "reply_users_count": len(people),
        "latest_reply": answers[-1].ts,
        "reply_users": people[:5],
        "is_locked": False,
        "subscribed": False,
    }


def permalink(message: Message, state: State) -> str:
    """The link to a message, as chat.getPermalink gives it; to a reply, it names the thread."""
    link = f"{state.team.url}archives/{message.channel}/p{message.ts.replace('.', '')}"
    if message.thread_ts is None:
        return link
    return f"{link}?thread_ts={message.thread_ts}&cid={message.channel}"


def delete(state: State, message: Message) -> None:
    """Delete a message. The parent of a thread leaves a tombstone, as in Slack."""
    if not is_begun(state, message.channel, message.ts):
        state.delete(message)
        return
    state.change(
        replace(
            message,
            user="USLACKBOT",
            text="This message was deleted.",
            blocks=(),
            attachments=(),
            kind="tombstone",
        )
    )
