"""All the clusters of the settings, opened together."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack

import structlog

from bot import pg_url
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
    return clusters
