"""All the clusters of the settings, opened together."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from urllib.parse import parse_qs, urlsplit

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


def host_of(url: str) -> str:
    """The host that a URL names, to be shown on every card; never more of the URL."""
    parts = urlsplit(url)
    host = parts.hostname or next(iter(parse_qs(parts.query).get("host", [])), "local socket")
    return host if parts.port in (None, 5432) else f"{host}:{parts.port}"
