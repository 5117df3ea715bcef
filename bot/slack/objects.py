"""Slack's objects, as its Web API gives them: a workspace, a person, a group, a conversation.

Pure. A field counts only if it is there with the type that Slack's reference gives it.
Anything else is unknown (None), never a value that lets somebody in or shows something.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from bot.domain.people import Home

NOT_SLACK = "what answers there is not Slack: it names no workspace"


class Fields(Protocol):
    """An answer, or an object in one."""

    def get(self, key: str, /) -> Any:  # noqa: ANN401  others' JSON
        """The field of that name; None without one."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The bot's own workspace, and the enterprise that it belongs to, empty for none."""

    team_id: str
    enterprise_id: str = ""


def identity(answer: Fields) -> Identity | None:
    """Whose a token is, by `auth.test`; None: what answers names no workspace, so is not Slack."""
    team_id = text(answer.get("team_id"))
    return Identity(team_id, text(answer.get("enterprise_id"))) if team_id else None


def is_org_wide(answer: Fields) -> bool:
    """Whether the app is installed for a whole organization, by `auth.test`."""
    return answer.get("is_enterprise_install") is True


def home(user: Mapping[str, Any], own: Identity) -> Home | None:
    """Where somebody belongs, by `users.info`. None: it doesn't say.

    `is_stranger` and `deleted` may be absent, as the reference has it.
    """
    team_id, enterprise = text(user.get("team_id")), mapping(user.get("enterprise_user"))
    if not team_id:
        return None
    if user.get("is_stranger") or user.get("deleted"):
        return Home.ELSEWHERE
    if team_id == own.team_id:
        return Home.WORKSPACE
    if not own.enterprise_id or text(enterprise.get("enterprise_id")) != own.enterprise_id:
        return Home.ELSEWHERE
    # On Enterprise Grid somebody may be in several of its workspaces.
    is_here = own.team_id in items(enterprise.get("teams"))
    return Home.WORKSPACE if is_here else Home.ENTERPRISE


def is_guest(user: Mapping[str, Any]) -> bool | None:
    """Whether somebody is a guest, by `users.info`. None: it doesn't say, or is no person's."""
    if user.get("is_bot") is not False or user.get("is_stranger") or user.get("deleted"):
        return None
    restricted = (user.get("is_restricted"), user.get("is_ultra_restricted"))
    if True in restricted:
        return True
    return False if restricted == (False, False) else None


def members(answer: Fields) -> tuple[str, ...] | None:
    """The ids in a group, by `usergroups.users.list`. None: it doesn't say."""
    users = answer.get("users")
    return tuple(filter(None, map(text, users))) if isinstance(users, list) else None


def is_enabled(group: Mapping[str, Any]) -> bool:
    """Whether a group is switched on, by `usergroups.list`: its `date_delete` is 0."""
    deleted = group.get("date_delete")
    return deleted == 0 and deleted is not False


def is_shared(channel: Mapping[str, Any]) -> bool | None:
    """Whether another organization reads a channel, by `conversations.info`. None: it doesn't say.

    One that is about to be shared counts: Slack's reference advises so, and who comes later
    reads what was said before. A channel that workspaces of one enterprise share does not.
    """
    if channel.get("is_ext_shared") is True or channel.get("is_pending_ext_shared") is True:
        return True
    if channel.get("is_ext_shared") is not False:
        return None
    if channel.get("is_shared") is True and channel.get("is_org_shared") is not True:
        return None  # shared, and not said with whom
    return False


def is_direct(channel: Mapping[str, Any]) -> bool:
    """Whether a conversation is a direct message, of two or of a group."""
    return channel.get("is_im") is True or channel.get("is_mpim") is True


def text(value: object) -> str:
    """A text; of anything else nothing."""
    return value if isinstance(value, str) else ""


def mapping(value: object) -> Mapping[str, Any]:
    """An object; of anything else an empty one."""
    return value if isinstance(value, Mapping) else {}


def items(value: object) -> Iterable[Any]:
    """A list; of anything else an empty one."""
    return value if isinstance(value, list) else ()
