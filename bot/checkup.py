"""`python -m bot check`: ask Slack, the ledger and each server, and say what the answers mean."""

import asyncio
from collections.abc import AsyncIterator, Iterator

from bot import config
from bot.check.alerts import of_alerts
from bot.check.facts import ClusterFacts, LedgerFacts, Port
from bot.check.findings import Section, lines, passed, summary
from bot.check.layouts import of_layouts
from bot.check.ledger import of_ledger
from bot.check.postgres import needed, of_all, of_cluster
from bot.check.protection import of_protection
from bot.check.settings import of_settings
from bot.check.slack import of_allowlists, of_channels, of_slack
from bot.domain.people import Right
from bot.ledger.probe import probe as probe_ledger
from bot.listening import in_the_way, is_the_bot
from bot.postgres.probe import probe as probe_cluster
from bot.serve import password_commands, slack_settings
from bot.slack.probe import probe as probe_slack
from bot.terminal import EX_FAILED, EX_OK


async def check(settings: config.Settings) -> int:
    """Check everything that the bot needs and print the findings; change nothing."""
    sections = []
    async for section in _looked_at(settings):
        print_section(section)
        sections.append(section)
    print(summary(sections))  # noqa: T201
    return EX_OK if passed(sections) else EX_FAILED


async def _looked_at(settings: config.Settings) -> AsyncIterator[Section]:
    """Each section as soon as it is ready; Slack and all servers are asked at the same time."""
    asked_slack = asyncio.create_task(probe_slack(slack_settings(settings)))
    asked_servers = asyncio.create_task(_servers(settings))
    ports = [await _port(*each) for each in _ports(settings)]
    yield of_settings(clusters=settings.clusters, mode=_mode(settings), ports=ports)
    slack = await asked_slack
    yield of_slack(slack)
    for section in of_allowlists(
        settings.rights, slack, second_person=settings.second_person_clusters
    ):
        yield section
    yield of_channels(settings.allowed_channels, slack)
    yield of_alerts(
        settings.alert_channel_by_cluster,
        {str(rule): span for rule, span in settings.alert_after.items()},
        slack,
        allowed=settings.allowed_channels,
        sampled=bool(settings.sample_every),
    )
    yield of_layouts(slack.layouts)
    clusters, ledger = await asked_servers
    yield of_ledger(ledger, clusters)
    opened = needed(clusters, ledger)
    for cluster in clusters:
        lists = settings.rights.granting(Right.CANCEL, cluster.name)
        may_kill = not all(one.empty for one in lists)
        yield of_cluster(cluster, needed=opened[cluster.name], may_kill=may_kill)
    if (together := of_all(clusters)).findings:
        yield together
    for section in of_protection(
        clusters, settings.protected_roles, settings.protected_applications
    ):
        yield section


async def _servers(settings: config.Settings) -> tuple[list[ClusterFacts], LedgerFacts]:
    passwords = password_commands(settings)
    clusters = await asyncio.gather(
        *(
            probe_cluster(
                name,
                url.revealed,
                passwords.get(name),
                sampled=bool(settings.sample_every),
            )
            for name, url in settings.clusters.items()
        )
    )
    # Afterwards: otherwise the ledger's session would count as another program's.
    return clusters, await probe_ledger(settings.ledger_url.revealed)


def _mode(settings: config.Settings) -> str:
    return "HTTP mode" if settings.slack_app_token is None else "Socket Mode"


def _ports(settings: config.Settings) -> Iterator[tuple[str, int]]:
    """The ports that the bot listens on, by variable."""
    if settings.slack_app_token is None:
        yield "PORT", settings.port
    if settings.health_port is not None:
        yield "HEALTH_PORT", settings.health_port


async def _port(variable: str, port: int) -> Port:
    problem = in_the_way(port)
    is_the_bots = problem is not None and await is_the_bot(port)
    return Port(variable, port, problem, is_the_bots=is_the_bots)


def print_section(section: Section) -> None:
    """Print without buffering, even into a pipe."""
    print(*lines(section), sep="\n", flush=True)  # noqa: T201  this is the command's answer
