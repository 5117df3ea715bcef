"""All clusters in the settings, opened together."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

import structlog

from bot import pg_url
from bot.domain.sessions import ServerId
from bot.postgres.cluster import PostgresCluster
from bot.postgres.passwords import PasswordCommand

log = structlog.get_logger(__name__)


def fleet_of(
    urls: Mapping[str, str],
    passwords: Mapping[str, PasswordCommand] | None = None,
    *,
    sampled: bool = False,
) -> dict[str, PostgresCluster]:
    """The clusters, in the settings' order, not yet opened."""
    clusters = {}
    for name, url in urls.items():
        server = pg_url.read(url)
        password = (passwords or {}).get(name)
        clusters[name] = PostgresCluster(name, url, server.shown, password, sampled=sampled)
        if server.left_out:
            log.info("cluster.url_parameters_ignored", cluster=name, parameters=server.left_out)
    return clusters


async def open_fleet(clusters: Collection[PostgresCluster]) -> None:
    """Hold connections to every cluster.

    A cluster that is down takes 5 s here, and is then tried again in the background.
    """
    await asyncio.gather(*(cluster.open() for cluster in clusters))
    _warn_of_twins(clusters)


def _warn_of_twins(clusters: Iterable[PostgresCluster]) -> None:
    names = defaultdict[ServerId, list[str]](list)
    for cluster in clusters:
        if cluster.last_names is not None:
            names[cluster.last_names.server].append(cluster.name)
    for twins in names.values():
        if len(twins) > 1:
            log.warning("cluster.one_server_under_two_names", clusters=twins)
