"""The workspaces of an installation: one, or those of an organization that the app was added to.

Slack's reference: an organization's token reaches all of them, so questions about user groups must
name one (`team_id`), and `auth.teams.list` lists them.
"""

from dataclasses import replace

from slack_sdk.web.async_client import AsyncWebClient

from bot.slack.objects import Identity, items, mapping, next_cursor, text

PAGE = 1000


async def with_workspaces(client: AsyncWebClient, identity: Identity) -> Identity:
    """The identity, with the workspaces that it has now. Raises one of `FAILURES`."""
    if identity.workspaces is None:
        return identity
    found: list[str] = []
    cursor = ""
    while True:
        answer = await client.auth_teams_list(limit=PAGE, cursor=cursor or None)
        found += (text(mapping(team).get("id")) for team in items(answer.get("teams")))
        cursor = next_cursor(answer)
        if not cursor:
            return replace(identity, workspaces=tuple(filter(None, found)))


def asked_by(identity: Identity) -> tuple[str | None, ...]:
    """The `team_id` of each question that every workspace must be asked; None if there is one."""
    return (None,) if identity.workspaces is None else identity.workspaces
