"""All the clusters of the settings, opened together."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack

import structlog

from bot import pg_url
from bot.domain.sessions import ServerId
from bot.postgres.cluster import PostgresCluster

log = structlog.get_logger(__name__)


async def open_fleet(urls: Mapping[str, str], stack: AsyncExitStack) -> dict[str, PostgresCluster]:
    """Hold connections to every cluster, in the settings' order; closed with the stack.

    A cluster that is down costs 5 s here and is tried again in the background.
    """
    clusters = {}
    for name, url in urls.items():
        server = pg_url.read(url)
        clusters[name] = PostgresCluster(name, url, server.shown)
        if server.left_out:
            log.info("cluster.url_left_out", cluster=name, parameters=server.left_out)
    for cluster in clusters.values():
        stack.push_async_callback(cluster.close)
    await asyncio.gather(*(cluster.open() for cluster in clusters.values()))
    _warn_of_twins(clusters.values())
    return clusters


def _warn_of_twins(clusters: Iterable[PostgresCluster]) -> None:
    names = defaultdict[ServerId, list[str]](list)
    for cluster in clusters:
        if cluster.last_names is not None:
            names[cluster.last_names.server].append(cluster.name)
    for twins in names.values():
        if len(twins) > 1:
            log.warning("cluster.one_server_under_two_names", clusters=twins)
