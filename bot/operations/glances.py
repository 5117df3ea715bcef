"""Looks that are shared: what a crowd asks of one cluster at the same time is read once.

Only `look.py` may know this module; `.importlinter` holds all others to that. A kill decides by
what the server says at that moment: its use cases have the `Cluster` port, whose every call reads.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol

from bot.domain.people import Right
from bot.domain.sessions import Look, Names
from bot.errors import TargetError, TwoServers
from bot.grammar.requests import SessionsRequest
from bot.grammar.requests import Target as Named
from bot.operations.clusters import Clusters, Found, in_time, read_together
from bot.ports import Cluster
from bot.sharing import Sharing

SHARED_FOR = 1.0
"""Seconds for which a look is given to those who ask the same. It says of when it is."""

NAMES_KEPT = 5.0
"""Seconds for which the names and limits of roles and databases stand in for a new reading."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a cluster, whoever asks it and however it will be shown.

    `limit` and `offset` are the page; without `waits` nobody asks who waits for whom.
    """

    cluster: Cluster
    request: SessionsRequest
    limit: int
    offset: int = 0
    waits: bool = True


@dataclass(frozen=True, slots=True)
class Glance:
    """A look as anyone may see it, redacted, and the pids of those that the bot may end.

    It may be a second old.
    """

    look: Look
    endable: frozenset[int]


Ask = Callable[[Names], Awaitable[Glance]]


class Glances(Protocol):
    """Where looks come from."""

    async def resolve(self, clusters: Clusters, target: Named) -> Found:
        """Those of a person's clusters that a target may mean. Raises `TargetError`."""

    async def glance(
        self, cluster: Cluster, question: Question, ask: Ask, until: float | None = None
    ) -> Glance:
        """The answer to a question, which `ask` reads by the names that it is given.

        `until` is on the event loop's clock. Raises `ClusterError` and `TargetError`.
        """


class Fresh:
    """Everything is read now: what is clicked on shows what is."""

    async def resolve(self, clusters: Clusters, target: Named) -> Found:
        """By names that are read now."""
        return await clusters.resolve(target, Right.LOOK)

    async def glance(
        self, cluster: Cluster, question: Question, ask: Ask, until: float | None = None
    ) -> Glance:
        """A look of now, which nobody else is given."""
        del question

        async def read() -> Glance:
            return await ask(await cluster.names())

        return await read_together(cluster, read, until)


class Shared:
    """Names are kept for a few seconds, and a look is given to all who ask the same at once.

    Who may ask it of a cluster is asked of each one before.
    """

    def __init__(self) -> None:
        self._names = Sharing[Cluster, tuple[Names, float]](kept=NAMES_KEPT)
        self._glances = Sharing[Question, Glance](kept=SHARED_FOR)

    async def resolve(self, clusters: Clusters, target: Named) -> Found:
        """By the names that are kept, unless none of them has the target's."""
        kept = [each for each in clusters.by_name.values() if self._names.last(each)]
        try:
            return await clusters.resolve(target, Right.LOOK, self._names_of)
        except TargetError:
            if not kept:
                raise
        for each in kept:
            self._names.forget(each)
        return await clusters.resolve(target, Right.LOOK, self._names_of)

    async def glance(
        self, cluster: Cluster, question: Question, ask: Ask, until: float | None = None
    ) -> Glance:
        """A look that is under way or has just been had, or else a new one."""
        return await self._glances.answer(question, lambda: self._read(cluster, ask, until))

    def forget(self) -> None:
        """Look anew at every cluster: two names may lead to one server."""
        self._glances.forget_all()

    async def _read(self, cluster: Cluster, ask: Ask, until: float | None) -> Glance:
        """By the names that are kept, unless something has a name that they lack."""
        if (kept := self._names.last(cluster)) is not None:
            try:
                async with in_time(cluster, until):
                    glance = await ask(_of_now(*kept))
            except (TargetError, TwoServers):
                pass
            else:
                if not _lacks_names(glance.look):
                    return glance
            self._names.forget(cluster)

        async def read() -> Glance:
            try:
                return await ask(await self._names_of(cluster))
            except TwoServers:
                self._names.forget(cluster)
                raise

        return await read_together(cluster, read, until)

    async def _names_of(self, cluster: Cluster) -> Names:
        async def read() -> tuple[Names, float]:
            names = await cluster.names()
            return names, asyncio.get_running_loop().time()

        kept = await self._names.answer(cluster, read)
        if kept[0].stale:
            self._names.forget(cluster)
        return _of_now(*kept)


def _of_now(names: Names, read_at: float) -> Names:
    """The same, for conditions that are frozen now, on the server's clock."""
    passed = timedelta(seconds=asyncio.get_running_loop().time() - read_at)
    return replace(names, read_at=names.read_at + passed)


def _lacks_names(look: Look) -> bool:
    """Whether a session has a role or a database that came after the names were read."""
    return any(
        (row.usesysid and row.usename is None) or (row.datid and row.datname is None)
        for row in look.rows
    )
