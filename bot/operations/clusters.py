"""The clusters: which one a name means, what may be asked of it, and for how long."""

import asyncio
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from bot.background import in_background
from bot.domain.filters import as_role
from bot.domain.people import NOWHERE, Reach, Right
from bot.domain.protection import Protection
from bot.domain.sessions import Look, Names, ServerId
from bot.errors import (
    ClusterError,
    ClusterRefused,
    ClusterTimeout,
    NotAllowed,
    TargetError,
    TwoServers,
)
from bot.grammar.requests import KillRequest, SessionsRequest
from bot.grammar.requests import Target as Named
from bot.grammar.suggest import near
from bot.grammar.values import meant_words
from bot.operations.conditions import HIDDEN
from bot.operations.results import Choice
from bot.ports import Clock, Cluster, Ledger, Rules

_T = TypeVar("_T")

NamesOf = Callable[[Cluster], Coroutine[Any, Any, Names]]
"""Where the names of a cluster come from: always read, or kept for a moment."""


async def names_of_now(cluster: Cluster) -> Names:
    """The names of a cluster, read now."""
    return await cluster.names()


ANSWER_WITHIN = 4.5
"""Seconds that one cluster has for everything that an answer needs from it.

Together with the way to Slack, the answer arrives within 5 s."""

RESOLVE_WITHIN = 2.0
"""Seconds that a cluster has to say whether it has a database that was named without a cluster."""


@dataclass(frozen=True, slots=True)
class Health:
    """What is known about a cluster in trouble, and about the others."""

    last_seen_ago: timedelta | None
    others: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """The clusters that a target may mean, and those that could not be asked.

    `namesake` is a cluster whose name was typed where a database is expected: it may be meant, too.
    """

    clusters: tuple[Cluster, ...]
    troubles: tuple[ClusterError, ...] = ()
    namesake: Cluster | None = None

    def targets(self, database: str | None) -> list[tuple[Cluster, Named]]:
        """All that may be meant, as it can be typed."""
        targets = [(each, Named(each.name, database)) for each in self.clusters]
        return [*targets, (self.namesake, Named(database))] if self.namesake else targets

    def counted(self, database: str | None) -> list[tuple[Cluster, Named]]:
        """What is counted by its groups, which asks nobody to choose: databases, if there are any.

        A session must not count twice.
        """
        return self.targets(database)[: len(self.clusters) or None]


def but_for(asked: Iterable[str], silent: Iterable[ClusterError]) -> str:
    """Where something was not found, and who couldn't be asked: silence must not hide a typo."""
    unasked = ", ".join(trouble.cluster for trouble in silent)
    return f" on {', '.join(asked)}; no answer from {unasked}"


class Clusters:
    """The clusters in the settings, the rules for kills on them, and where a person has rights."""

    def __init__(
        self,
        by_name: Mapping[str, Cluster],
        ledger: Ledger,
        clock: Clock,
        rules: Rules,
        reach: Reach = NOWHERE,
    ) -> None:
        self.by_name = by_name
        self.reach = reach
        self.rules = rules
        self._ledger = ledger
        self._clock = clock

    def within(self, reach: Reach) -> "Clusters":
        """The same, for somebody who holds a right where `reach` says."""
        theirs = copy(self)
        theirs.reach = reach
        return theirs

    def require(self, right: Right, name: str, server: ServerId | None = None) -> None:
        """Raise `NotAllowed` unless the right is held on a cluster.

        It goes by the server, as every rule does: it must be held under each name of `server`,
        or of the one that the cluster's own name leads to.
        """
        for each in self._names_of_server(name, server):
            if not self.reach.may(right, each):
                raise NotAllowed(right, each)

    def may(self, right: Right, name: str, server: ServerId | None = None) -> bool:
        """Whether `require` would raise nothing."""
        try:
            self.require(right, name, server)
        except NotAllowed:
            return False
        return True

    async def names_to_look(self, cluster: Cluster) -> Names:
        """The names of a cluster, read now, for a person who may look at the server that has them.

        Raises `NotAllowed`: only a reading tells for sure where an address leads.
        """
        names = await cluster.names()
        self.require(Right.LOOK, cluster.name, names.server)
        return names

    def allowed(self, right: Right) -> Mapping[str, Cluster]:
        """The clusters on which the right is held. Raises `NotAllowed` if there are none."""
        found = {name: each for name, each in self.by_name.items() if self.may(right, name)}
        if not found:
            self.require(right, min(self.by_name, key=lambda name: not self.reach.may(right, name)))
        return found

    def _names_of_server(self, name: str, server: ServerId | None) -> Iterator[str]:
        """A cluster's name, and the others that lead to the same server.

        One that has not answered since the start is known by the address in its URL.
        """
        yield name
        cluster = self.by_name.get(name)
        server = server or (cluster.server if cluster else None)
        for other_name, other in self.by_name.items():
            if other_name == name:
                continue
            if server is not None and other.server is not None:
                is_same = _may_be(server, other, other.server)
            else:
                is_same = cluster is not None and other.host.lower() == cluster.host.lower()
            if is_same:
                yield other_name

    def health(self, cluster_name: str) -> Health:
        """When a cluster last answered, and which others that the person may look at did since."""
        last_seen = {name: cluster.last_seen for name, cluster in self.by_name.items()}
        mine, now = last_seen.get(cluster_name), self._clock.now()
        return Health(
            last_seen_ago=None if mine is None else now - mine,
            others=tuple(
                name
                for name, seen in last_seen.items()
                if name != cluster_name and seen is not None and (mine is None or seen > mine)
                if self.may(Right.LOOK, name)
            ),
        )

    def left_out(self) -> int:
        """How many clusters an answer about all is not about: they are not theirs to look at."""
        return len(self.by_name) - len(self.allowed(Right.LOOK))

    def named(self, name: str, right: Right) -> Cluster:
        """The cluster of this name, to be acted on by the right.

        Raises `TargetError` with the nearest names, of those that may be told, and `NotAllowed`.
        """
        if name in self.by_name:
            self.require(right, name)
            return self.by_name[name]
        allowed = self.allowed(right)
        nearest = near(name, allowed) or tuple(allowed)
        raise TargetError(f"{name}/", "no such cluster", tuple(f"{n}/" for n in nearest))

    def only(self, name: str | None, right: Right) -> Cluster:
        """The cluster of this name, or the only one where the right is held.

        Raises `TargetError` if there are several, and as `named` does.
        """
        allowed = self.allowed(right)
        if name is not None or len(allowed) == 1:
            return self.named(name or next(iter(allowed)), right)
        raise TargetError("", "name the cluster", tuple(f"{each}/" for each in allowed))

    def on_record(self, name: str) -> Cluster:
        """The cluster of a kill that an authorized person has confirmed. Raises `TargetError`."""
        if name not in self.by_name:
            raise TargetError(f"{name}/", "no such cluster")
        return self.by_name[name]

    async def resolve(self, target: Named, right: Right, names_of: NamesOf = names_of_now) -> Found:
        """The clusters that a target may mean, among those where the person has the right.

        None are found if the name typed for a database belongs only to a cluster. Raises
        `TargetError` if nothing has the name, and `NotAllowed` if the named cluster isn't allowed.
        """
        if target.cluster is not None:
            return Found((self.named(target.cluster, right),))
        allowed = self.allowed(right)
        if target.database is None:
            return Found(tuple(allowed.values()))

        read, troubles = await self._names_of(allowed.values(), target.database, names_of)
        # Now it is known which servers these are.
        known = [(c, a) for c, a in read if self.may(right, c.name, a.server)]
        if read and not known and not troubles:
            self.require(right, read[0][0].name, read[0][1].server)
        having = tuple(c for c, a in known if a.database_named(target.database) is not None)
        namesake = allowed.get(target.database)
        if having or namesake is not None:
            return Found(having, troubles, namesake)
        if not known:
            raise troubles[0]
        everywhere = {d.datname for _, a in known for d in a.databases.values()}
        everywhere |= {f"{name}/" for name in allowed}
        is_role = any(r.rolname == target.database for _, a in known for r in a.roles.values())
        problem = "no such database, but a role" if is_role else "no such database"
        if len(allowed) < len(self.by_name) and not troubles:
            problem += f" on {', '.join(allowed)}"  # the person may not look into the others
        if troubles:
            problem += but_for((c.name for c, _ in known), troubles)
        if is_role:
            raise TargetError(target.database, problem, (as_role(target.database),))
        meant = (*near(target.database, everywhere), *meant_words(target.database))
        if not meant and right is not Right.LOOK:
            problem += "; a reason comes after `--`"
        raise TargetError(target.database, problem, meant)

    def choice(
        self,
        what: str,
        requests: tuple[SessionsRequest, ...] | tuple[KillRequest, ...],
        troubles: tuple[ClusterError, ...],
    ) -> Choice:
        """The choice between clusters, each with what distinguishes it from the others."""
        about = {name: c.about for name, c in self.by_name.items() if c.about is not None}
        return Choice(what=what, requests=requests, troubles=troubles, about=about)

    async def _names_of(
        self, clusters: Iterable[Cluster], datname: str, names_of: NamesOf
    ) -> tuple[list[tuple[Cluster, Names]], tuple[ClusterError, ...]]:
        """The names that the clusters have, and the trouble of those that don't answer.

        Nobody waits for a cluster that hangs: either its last reading shows that it has no such
        database, or its trouble is reported. The read continues in the background, because giving
        up a slow answer costs a held connection.
        """
        asked = {in_background(names_of(c), f"names-{c.name}"): c for c in clusters}
        await asyncio.wait(asked, timeout=RESOLVE_WITHIN)
        known: list[tuple[Cluster, Names]] = []
        silent: list[ClusterError] = []
        troubles: list[ClusterError] = []
        for task, cluster in asked.items():
            trouble: ClusterError | None = None
            if not task.done():
                trouble = ClusterTimeout(
                    cluster.name, f"did not answer within {RESOLVE_WITHIN:g} s"
                )
            else:
                try:
                    names = task.result()
                except ClusterError as error:
                    trouble = error
                else:
                    if names.databases:
                        known.append((cluster, names))
                    else:
                        trouble = ClusterRefused(cluster.name, HIDDEN)
            last = cluster.last_names
            lacks = last is not None and last.databases and last.database_named(datname) is None
            if trouble is not None:
                silent.append(trouble)
                if not lacks:
                    troubles.append(trouble)
        # If nobody answers, that is what to report.
        return known, tuple(troubles if known else silent)

    async def protection(self, cluster: Cluster, look: Look) -> Protection:
        """What is never ended on this server: by the settings, and the bot's own sessions."""
        system = look.server.id.system_identifier
        if system not in cluster.own_roles:
            raise ClusterRefused(cluster.name, "the bot can't see its own role there")
        own = {oid for each in self.by_name.values() for oid in each.own_roles.get(system, ())}
        home = self._ledger.home
        if home is not None and home.system_identifier == system:
            own.add(home.usesysid)
        return Protection(
            roles=self.rules.protected_roles,
            applications=self.rules.protected_applications,
            own_roles=frozenset(own),
            known_roles=look.names.roles,
        )

    def needs_second_person(self, cluster_name: str, server: ServerId) -> bool:
        """Whether the person who asked for a kill on this server may not confirm it.

        SECOND_PERSON_CLUSTERS names servers: each counts under every name that it has. So do its
        standbys and other copies, which share its identifier. A server that has not answered since
        the start is recognized by the address in its URL.
        """
        cluster = self.by_name.get(cluster_name)
        for name in self.rules.second_person:
            other = self.by_name.get(name)
            if name == cluster_name:
                return True
            if other is None:
                continue
            if other.system_identifier is not None:
                if other.system_identifier == server.system_identifier:
                    return True
            elif cluster is not None and other.host.lower() == cluster.host.lower():
                return True
        return False


@asynccontextmanager
async def in_time(cluster: Cluster, until: float | None = None) -> AsyncIterator[None]:
    """Limit the time that one answer spends on a cluster. Raises `ClusterTimeout`.

    `until` is an instant on the event loop's clock, for an answer whose time began earlier.
    """
    try:
        async with asyncio.timeout_at(answer_by() if until is None else until):
            yield
    except TimeoutError:
        raise ClusterTimeout(cluster.name, "did not answer within 5 s") from None


async def read_together(
    cluster: Cluster, read: Callable[[], Awaitable[_T]], until: float | None = None
) -> _T:
    """Read what belongs together, within the time of an answer.

    If it came from two servers, it is read once more: an address may just be moving.
    """
    async with in_time(cluster, until):
        try:
            return await read()
        except TwoServers:
            return await read()


def answer_by() -> float:
    """The deadline of an answer that begins now, on the event loop's clock."""
    return asyncio.get_running_loop().time() + ANSWER_WITHIN


def _may_be(server: ServerId, other: Cluster, known: ServerId) -> bool:
    """Whether another name may lead to this server, too.

    A standby or a copy has the same identifier and another start. So has a server that was
    restarted since `other` has asked it; that counts as the same until `other` has an answer.
    """
    if server.system_identifier != known.system_identifier:
        return False
    started = max(server.postmaster_start_time, known.postmaster_start_time)
    asked = other.server_known_at
    return server == known or asked is None or asked <= started
