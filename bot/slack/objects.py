"""Slack's objects, as its Web API returns them: a workspace, a person, a group, a conversation.

Pure. A field counts only if it is there with the type that Slack's reference gives. Anything else
is unknown (None), and never a value that lets somebody in or shows something.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from bot.domain.kills import Place
from bot.domain.people import Home

NOT_SLACK = "what answers there is not Slack: it names no workspace"


_URL = re.compile(r"https://[A-Za-z0-9.-]{1,200}/")


class Fields(Protocol):
    """An answer, or an object in one."""

    def get(self, key: str, /) -> Any:  # noqa: ANN401  others' JSON
        """The field with that name; None if there is none."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The bot's own workspace, and the enterprise that it belongs to (empty if none).

    `url` is where its messages are, with a slash at its end; empty if Slack didn't say.

    `workspaces` is None for an installation in one workspace. One for a whole organization has
    those that the app was added to, which may be none.
    """

    team_id: str
    enterprise_id: str = ""
    workspaces: tuple[str, ...] | None = None
    url: str = ""

    def permalink(self, place: Place) -> str:
        """The link to a message, which Slack opens in the app; empty if it isn't known."""
        channel_id, ts, thread_ts = place.channel_id, place.message_ts, place.thread_ts
        if not (self.url and channel_id and ts):
            return ""
        thread = f"?thread_ts={thread_ts}&cid={channel_id}" if thread_ts else ""
        return f"{self.url}archives/{channel_id}/p{ts.replace('.', '')}{thread}"

    def owns(self, team_id: str) -> bool:
        """Whether that is a workspace of the bot's own."""
        return team_id in ((self.team_id,) if self.workspaces is None else self.workspaces)


def identity(answer: Fields) -> Identity | None:
    """The workspace of a token, from `auth.test`; None if it names none, so it isn't Slack's.

    Of a token for an organization, the workspaces are still to be asked for.
    """
    team_id, enterprise_id = text(answer.get("team_id")), text(answer.get("enterprise_id"))
    if answer.get("is_enterprise_install") is True:
        # The token belongs to no workspace, so `team_id` may be the organization's own.
        enterprise_id = enterprise_id or team_id
        if not enterprise_id:
            return None
        return Identity(team_id or enterprise_id, enterprise_id, (), url=_url(answer))
    return Identity(team_id, enterprise_id, url=_url(answer)) if team_id else None


def _url(answer: Fields) -> str:
    """A workspace's address, if it is one: links to it go into messages."""
    url = text(answer.get("url"))
    return url if _URL.fullmatch(url) else ""


def next_cursor(answer: Fields) -> str:
    """Where a list goes on; empty at its end."""
    return text(mapping(answer.get("response_metadata")).get("next_cursor"))


def home(user: Mapping[str, Any], own: Identity) -> Home | None:
    """Where a person belongs, from `users.info`. None if it doesn't say.

    According to the reference, `is_stranger` and `deleted` may be absent.
    """
    team_id, enterprise = text(user.get("team_id")), mapping(user.get("enterprise_user"))
    if not team_id:
        return None
    if user.get("is_stranger") or user.get("deleted"):
        return Home.ELSEWHERE
    if own.owns(team_id):
        return Home.WORKSPACE
    if not own.enterprise_id or text(enterprise.get("enterprise_id")) != own.enterprise_id:
        return Home.ELSEWHERE
    # On Enterprise Grid a person may be in several workspaces.
    is_here = any(own.owns(text(each)) for each in items(enterprise.get("teams")))
    return Home.WORKSPACE if is_here else Home.ENTERPRISE


def is_guest(user: Mapping[str, Any]) -> bool | None:
    """Whether a user is a guest, from `users.info`. None if it doesn't say, or names nobody.

    Without `is_bot` it is a person: no bot types commands or clicks.
    """
    if user.get("is_bot", False) is not False or user.get("is_stranger") or user.get("deleted"):
        return None
    restricted = (user.get("is_restricted"), user.get("is_ultra_restricted"))
    if True in restricted:
        return True
    return False if restricted == (False, False) else None


def members(answer: Fields, name: str = "users") -> tuple[str, ...] | None:
    """The ids in a group or a channel. None if it doesn't say.

    From `usergroups.users.list`; from `conversations.members`, where their `name` is `members`.
    """
    users = answer.get(name)
    return tuple(filter(None, map(text, users))) if isinstance(users, list) else None


def is_enabled(group: Mapping[str, Any]) -> bool:
    """Whether a group is enabled, from `usergroups.list`: its `date_delete` is 0 or missing.

    `usergroups.users.list` says who is in it, and refuses a disabled group.
    """
    deleted = group.get("date_delete", 0)
    return deleted == 0 and deleted is not False


def is_shared(channel: Mapping[str, Any]) -> bool | None:
    """Whether another organization reads a channel, from `conversations.info`; None if unknown.

    A channel that is about to be shared counts, as Slack's reference advises: those who come later
    read what was said before. A channel shared by workspaces of one enterprise does not count.
    """
    if channel.get("is_ext_shared") is True or channel.get("is_pending_ext_shared") is True:
        return True
    if channel.get("is_ext_shared") is not False:
        return None
    if channel.get("is_shared") is True and channel.get("is_org_shared") is not True:
        return None  # shared, but it doesn't say with whom
    return False


def is_direct(channel: Mapping[str, Any]) -> bool:
    """Whether a conversation is a direct message, between two people or in a group."""
    return channel.get("is_im") is True or channel.get("is_mpim") is True


def text(value: object) -> str:
    """The value if it is a text, otherwise an empty one."""
    return value if isinstance(value, str) else ""


def mapping(value: object) -> Mapping[str, Any]:
    """The value if it is an object, otherwise an empty one."""
    return value if isinstance(value, Mapping) else {}


def items(value: object) -> Iterable[Any]:
    """The value if it is a list, otherwise an empty one."""
    return value if isinstance(value, list) else ()
