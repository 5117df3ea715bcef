"""All the clusters of the settings, opened together."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack

from bot.addresses import host_of
from bot.postgres.cluster import PostgresCluster


async def open_fleet(urls: Mapping[str, str], stack: AsyncExitStack) -> dict[str, PostgresCluster]:
    """Hold connections to every cluster, in the settings' order; closed with the stack.

    A cluster that is down costs 5 s here and is tried again in the background.
    """
    clusters = {name: PostgresCluster(name, url, host_of(url)) for name, url in urls.items()}
    for cluster in clusters.values():
        stack.push_async_callback(cluster.close)
    await asyncio.gather(*(cluster.open() for cluster in clusters.values()))
    return clusters
