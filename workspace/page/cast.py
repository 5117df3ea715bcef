"""The people that a visitor can be on the page, and what Slack says about the app's commands.

Slack takes the commands' words from the app's manifest; a test compares these with `manifest.yml`.
"""

from dataclasses import dataclass

from aiohttp import web

from workspace.state import State, User


@dataclass(frozen=True, slots=True)
class Role:
    """A person to be: the user's name, and what to expect of them."""

    name: str
    title: str
    may: str


ROLES = (
    Role("ana", "operator", "may look and terminate"),
    Role("ben", "second operator", "may look and terminate"),
    Role("vera", "viewer", "may look, not terminate"),
    Role("sam", "stranger", "on no allowlist"),
    Role("gus", "guest", "a guest of this workspace"),
    Role("olga", "outsider", "of another workspace, in #shared only"),
)


@dataclass(frozen=True, slots=True)
class Command:
    """A slash command, as the composer offers it."""

    name: str
    description: str
    usage_hint: str


COMMANDS = (
    Command(
        "/pg-sessions",
        "Show who is connected to PostgreSQL",
        "[some_db | prod/some_db | prod/] [state=idle_tx xact>5m …] | help",
    ),
    Command(
        "/pg-kill",
        "Show which sessions would end, and ask to confirm",
        "[some_db] pid… | user=some_user … [-- reason] | history | help",
    ),
)


def person(state: State, name: str) -> User:
    """The person that a request names. Raises 404 if there is none; nobody can be the app."""
    for user in state.users.values():
        if user.name == name and not user.is_bot:
            return user
    raise web.HTTPNotFound(text="No such person.")
