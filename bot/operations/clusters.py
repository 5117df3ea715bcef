"""The clusters: which one a name means, what each may be asked, and for how long."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from bot.domain.filters import Before, Condition, PidIn, TextLike, freeze
from bot.domain.people import Glob
from bot.domain.protection import Protection
from bot.domain.sessions import CLIENT_BACKEND, Look, Names, ServerId
from bot.errors import ClusterError, ClusterRefused, ClusterTimeout, TargetError, TwoServers
from bot.grammar.requests import AgeOf, Field, KillRequest, Match, SessionsRequest
from bot.grammar.requests import Target as Named
from bot.grammar.suggest import near
from bot.grammar.values import state_filter
from bot.operations.results import Choice
from bot.ports import Clock, Cluster, Ledger, Urgency

_T = TypeVar("_T")

_HIDDEN = "a lock on a catalog hides the names of its roles or databases"

ANSWER_WITHIN = 4.5
"""Seconds that one cluster has for everything that an answer needs of it.

With the way to Slack the answer stands within 5 s."""

RESOLVE_WITHIN = 2.0
"""Seconds that a cluster has to say whether it has a database that was named without one."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings say of kills."""

    protected_roles: tuple[Glob, ...] = ()
    protected_applications: tuple[Glob, ...] = ()
    second_person: frozenset[str] = frozenset()
    confirm_ttl: timedelta = timedelta(seconds=600)


@dataclass(frozen=True, slots=True)
class Health:
    """What is known of a cluster in trouble, and of the others."""

    last_seen_ago: timedelta | None
    others: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """The clusters that a target may mean, and those that could not be asked."""

    clusters: tuple[Cluster, ...]
    troubles: tuple[ClusterError, ...] = ()


class Clusters:
    """The clusters of the settings, and the rules for kills on them."""

    def __init__(
        self, by_name: Mapping[str, Cluster], ledger: Ledger, clock: Clock, rules: "Rules"
    ) -> None:
        self.by_name = by_name
        self.rules = rules
        self._ledger = ledger
        self._clock = clock
        self._asking: set[asyncio.Task[Names]] = set()  # clusters slow to say their names

    def health(self, cluster_name: str) -> Health:
        """When a cluster last answered, and which others have done so since."""
        last_seen = {name: cluster.last_seen for name, cluster in self.by_name.items()}
        mine, now = last_seen.get(cluster_name), self._clock.now()
        return Health(
            last_seen_ago=None if mine is None else now - mine,
            others=tuple(
                name
                for name, seen in last_seen.items()
                if name != cluster_name and seen is not None and (mine is None or seen > mine)
            ),
        )

    def named(self, name: str) -> Cluster:
        """The cluster of this name. Raises `TargetError` with the nearest names."""
        try:
            return self.by_name[name]
        except KeyError:
            nearest = near(name, self.by_name) or tuple(self.by_name)
            raise TargetError(
                f"{name}/", "no such cluster", tuple(f"{n}/" for n in nearest)
            ) from None

    async def resolve(self, target: Named, urgency: Urgency = Urgency.LOOK) -> Found:
        """The clusters that a target may mean. Raises `TargetError` if none does.

        None if only a cluster has the name that was typed for a database's.
        """
        if target.cluster is not None:
            cluster = self.named(target.cluster)
            return Found((cluster,))
        if target.database is None:
            return Found(tuple(self.by_name.values()))

        known, troubles = await self._names_of(self.by_name.values(), target.database, urgency)
        having = tuple(c for c, a in known if a.database_named(target.database) is not None)
        if having or target.database in self.by_name:
            return Found(having, troubles)
        if not known:
            raise troubles[0]
        everywhere = {d.datname for _, a in known for d in a.databases.values()}
        everywhere |= {f"{name}/" for name in self.by_name}
        problem = "no such database"
        if troubles:
            # One that is silent must not hide a slip of the pen.
            silent = ", ".join(trouble.cluster for trouble in troubles)
            problem += f" on {', '.join(c.name for c, _ in known)}; no answer from {silent}"
        nearest = near(target.database, everywhere)
        raise TargetError(
            target.database, problem, (*state_filter(target.database.lower()), *nearest)
        )

    def choice(
        self,
        what: str,
        requests: tuple[SessionsRequest, ...] | tuple[KillRequest, ...],
        troubles: tuple[ClusterError, ...],
    ) -> Choice:
        """The choice between clusters, each with what tells it from the others."""
        about = {name: c.about for name, c in self.by_name.items() if c.about is not None}
        return Choice(what=what, requests=requests, troubles=troubles, about=about)

    async def _names_of(
        self, clusters: Iterable[Cluster], datname: str, urgency: Urgency
    ) -> tuple[list[tuple[Cluster, Names]], tuple[ClusterError, ...]]:
        """The names that the clusters have, and the trouble of those that don't say.

        Nobody waits for one that hangs: by its last reading it is known to have no such
        database, or its trouble is told. It is asked on in the background, since a slow
        answer that is given up costs a held connection.
        """
        asked = {
            asyncio.create_task(c.names(urgency=urgency), name=f"names-{c.name}"): c
            for c in clusters
        }
        self._asking.update(asked)
        for task in asked:
            task.add_done_callback(self._asked)
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
                        trouble = ClusterRefused(cluster.name, _HIDDEN)
            last = cluster.last_names
            lacks = last is not None and last.databases and last.database_named(datname) is None
            if trouble is not None:
                silent.append(trouble)
                if not lacks:
                    troubles.append(trouble)
        # Where nobody answers, that is what there is to tell.
        return known, tuple(troubles if known else silent)

    def _asked(self, task: "asyncio.Task[Names]") -> None:
        self._asking.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, so that nothing is said of it at the end

    async def protection(self, cluster: Cluster, look: Look) -> Protection:
        """What of this server is never ended: by the settings, and what is the bot's own."""
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

    def takes_two(self, cluster_name: str, server: ServerId) -> bool:
        """Whether who asked for a kill on this server may not confirm it.

        SECOND_PERSON_CLUSTERS names servers: each counts under every name that it has, and so do
        its standbys and other copies, which have its identifier. One that has not answered since
        the start is known by the address in its URL.
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
    """Bound what one answer asks of a cluster. Raises `ClusterTimeout`.

    `until` is an instant of the loop's clock, where the answer's time began before.
    """
    try:
        async with asyncio.timeout_at(answer_by() if until is None else until):
            yield
    except TimeoutError:
        raise ClusterTimeout(cluster.name, "did not answer within 5 s") from None


async def read_together(
    cluster: Cluster, read: Callable[[], Awaitable[_T]], until: float | None = None
) -> _T:
    """What belongs together, within the time of an answer.

    It is read once more where it came from two servers: an address may just be moving.
    """
    async with in_time(cluster, until):
        try:
            return await read()
        except TwoServers:
            return await read()


def conditions_of(
    cluster: Cluster, request: SessionsRequest | KillRequest, names: Names
) -> tuple[Condition, ...]:
    """The request's terms, frozen. Raises `TargetError` for a name that is not there.

    `ClusterRefused` where it could not be seen whether it is.
    """
    datid = None
    try:
        if request.target.database is not None:
            datid = database_of(names, request.target.database)
        conditions = freeze(request.terms, names, names.read_at, datid=datid)
    except TargetError:
        if names.known_at is None and names.stale:
            raise ClusterRefused(cluster.name, _HIDDEN) from None
        raise
    return (*conditions, PidIn(request.pids)) if request.pids else conditions


def answer_by() -> float:
    """When an answer that is begun now must stand, on the loop's clock."""
    return asyncio.get_running_loop().time() + ANSWER_WITHIN


def database_of(names: Names, datname: str) -> int:
    """The oid of a database. Raises `TargetError` with the nearest names."""
    database = names.database_named(datname)
    if database is None:
        every = (d.datname for d in names.databases.values())
        raise TargetError(datname, "no such database", near(datname, every))
    return database.oid


def names_type(request: SessionsRequest | KillRequest) -> bool:
    """Whether a request speaks of `backend_type`, and so of background processes too."""
    return any(
        isinstance(term, Match) and term.field is Field.BACKEND_TYPE for term in request.terms
    )


def arrived_since(instant: datetime) -> tuple[Condition, ...]:
    """Client backends that started after an instant of the server's clock."""
    return (
        Before(AgeOf.AGE, instant, older=False),
        TextLike("backend_type", (CLIENT_BACKEND,)),
    )
