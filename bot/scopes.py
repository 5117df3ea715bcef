"""The scopes of manifest.yml, and what doesn't work without each."""

from collections.abc import Mapping

SCOPES: Mapping[str, str] = {
    "channels:read": "the bot can't see whether another workspace shares a public channel",
    "chat:write": "the bot can't post answers",
    "chat:write.public": "the bot can't post in public channels that it isn't a member of",
    "commands": "the commands and shortcuts don't exist",
    "groups:read": "the bot can't see whether another workspace shares a private channel",
    "usergroups:read": "the user groups of the allowlists count as empty",
    "users:read": "the bot can't tell guests and people of other workspaces from members",
}
"""Those that the bot token needs."""

OPTIONAL_SCOPES: Mapping[str, str] = {
    "channels:history": "in public channels, an alert may come twice if the bot dies while posting",
    "groups:history": "in private channels, an alert may come twice if the bot dies while posting",
}
"""Those that only alerts use."""


def granted(header: str | None) -> frozenset[str] | None:
    """The scopes of a token, from the header `x-oauth-scopes`; None if Slack didn't send it."""
    if header is None:
        return None
    return frozenset(scope for scope in map(str.strip, header.split(",")) if scope)
