"""What the use cases share: the clusters, the ledger, and how a name is resolved."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

import structlog

from bot.domain.filters import Before, Condition, PidIn, TextLike, freeze
from bot.domain.kills import Actor, Conclusion, Proposal, Result, State, Unclaimable
from bot.domain.people import Glob, Protection
from bot.domain.record import Entry, LookNote
from bot.domain.sessions import CLIENT_BACKEND, Look, Names, ServerId
from bot.errors import (
    ClusterError,
    ClusterRefused,
    ClusterTimeout,
    LedgerError,
    TargetError,
    TwoServers,
)
from bot.grammar.requests import AgeOf, Field, KillRequest, Match, SessionsRequest
from bot.grammar.requests import Target as Named
from bot.grammar.suggest import near
from bot.grammar.values import state_filter
from bot.operations.notes import Notes
from bot.operations.results import Choice, NotClaimed
from bot.operations.signatures import Signatures
from bot.ports import Clock, Cluster, Ledger, Meter, Urgency

log = structlog.get_logger(__name__)

_T = TypeVar("_T")

_HIDDEN = "somebody's lock hides the names of its roles or databases"

ANSWER_WITHIN = 4.5
"""Seconds that one cluster has for everything that an answer needs of it.

With the way to Slack the answer stands within 5 s."""

NOTE_WITHIN = 2.0
"""Seconds that an answer waits for the ledger to take notes that it depends on."""

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


class Parts:
    """The clusters, the ledger and the rules. `owner` names this process."""

    def __init__(  # noqa: PLR0913  keyword-only, each with its own meaning
        self,
        clusters: Mapping[str, Cluster],
        ledger: Ledger,
        clock: Clock,
        *,
        rules: Rules,
        owner: str,
        meter: Meter | None = None,
    ) -> None:
        self._clusters = clusters
        self._ledger = ledger
        self._clock = clock
        self._rules = rules
        self._owner = owner
        self._meter = meter
        self._notes = Notes(ledger, clock)
        self._signatures = Signatures(ledger, clock, self._notes)
        self._asking: set[asyncio.Task[Names]] = set()  # clusters slow to say their names
        self._working: set[int] = set()  # claims that this process is at work on
        self._unwritten: dict[int, Conclusion] = {}  # outcomes that the ledger has not taken
        self._following: set[int] = set()  # kills that this process will look at once more
        # What a second look saw of these, before their outcomes could be written.
        self._second_looks: dict[int, tuple[tuple[Result, ...], tuple[str, ...]]] = {}

    def health(self, cluster_name: str) -> Health:
        """When a cluster last answered, and which others have done so since."""
        last_seen = {name: cluster.last_seen for name, cluster in self._clusters.items()}
        mine, now = last_seen.get(cluster_name), self._clock.now()
        return Health(
            last_seen_ago=None if mine is None else now - mine,
            others=tuple(
                name
                for name, seen in last_seen.items()
                if name != cluster_name and seen is not None and (mine is None or seen > mine)
            ),
        )

    def _cluster(self, name: str) -> Cluster:
        try:
            return self._clusters[name]
        except KeyError:
            nearest = near(name, self._clusters) or tuple(self._clusters)
            raise TargetError(
                f"{name}/", "no such cluster", tuple(f"{n}/" for n in nearest)
            ) from None

    async def _resolve(self, target: Named, urgency: Urgency = Urgency.LOOK) -> Found:
        """The clusters that a target may mean. Raises `TargetError` if none does.

        None if only a cluster has the name that was typed for a database's.
        """
        if target.cluster is not None:
            cluster = self._cluster(target.cluster)
            return Found((cluster,))
        if target.database is None:
            return Found(tuple(self._clusters.values()))

        known, troubles = await self._names_of(self._clusters.values(), target.database, urgency)
        having = tuple(c for c, a in known if a.database_named(target.database) is not None)
        if having or target.database in self._clusters:
            return Found(having, troubles)
        if not known:
            raise troubles[0]
        everywhere = {d.datname for _, a in known for d in a.databases.values()}
        everywhere |= {f"{name}/" for name in self._clusters}
        problem = "no such database"
        if troubles:
            # One that is silent must not hide a slip of the pen.
            silent = ", ".join(trouble.cluster for trouble in troubles)
            problem += f" on {', '.join(c.name for c, _ in known)}; no answer from {silent}"
        nearest = near(target.database, everywhere)
        raise TargetError(
            target.database, problem, (*state_filter(target.database.lower()), *nearest)
        )

    def _choice(
        self,
        what: str,
        requests: tuple[SessionsRequest, ...] | tuple[KillRequest, ...],
        troubles: tuple[ClusterError, ...],
    ) -> Choice:
        """The choice between clusters, each with what tells it from the others."""
        about = {name: c.about for name, c in self._clusters.items() if c.about is not None}
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
                trouble = ClusterTimeout(cluster.name, "is slow to answer")
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

    @asynccontextmanager
    async def _in_time(self, cluster: Cluster, until: float | None = None) -> AsyncIterator[None]:
        """Bound what one answer asks of a cluster. Raises `ClusterTimeout`.

        `until` is an instant of the loop's clock, where the answer's time began before.
        """
        try:
            async with asyncio.timeout_at(answer_by() if until is None else until):
                yield
        except TimeoutError:
            raise ClusterTimeout(cluster.name, "did not answer within 5 s") from None

    async def _read(
        self, cluster: Cluster, read: Callable[[], Awaitable[_T]], until: float | None = None
    ) -> _T:
        """What belongs together, within the time of an answer.

        It is read once more where it came from two servers: an address may just be moving.
        """
        async with self._in_time(cluster, until):
            try:
                return await read()
            except TwoServers:
                return await read()

    def _conditions(
        self, cluster: Cluster, request: SessionsRequest | KillRequest, names: Names
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

    async def _protection(self, cluster: Cluster, look: Look) -> Protection:
        system = look.server.id.system_identifier
        if system not in cluster.own_roles:
            raise ClusterRefused(cluster.name, "the bot's own role there can't be seen")
        own = {oid for each in self._clusters.values() for oid in each.own_roles.get(system, ())}
        home = self._ledger.home
        if home is not None and home.system_identifier == system:
            own.add(home.usesysid)
        return Protection(
            roles=self._rules.protected_roles,
            applications=self._rules.protected_applications,
            own_roles=frozenset(own),
            known_roles=look.names.roles,
        )

    def _takes_two(self, cluster_name: str, server: ServerId) -> bool:
        """Whether who asked for a kill on this server may not confirm it.

        SECOND_PERSON_CLUSTERS names servers: each counts under every name that it has, and so do
        its standbys and other copies, which have its identifier. One that has not answered since
        the start is known by the address in its URL.
        """
        cluster = self._clusters.get(cluster_name)
        for name in self._rules.second_person:
            other = self._clusters.get(name)
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

    def _not_claimed(self, key: str, entry: Entry | None) -> NotClaimed:
        """Why a click on a preview that is not open did nothing."""
        if entry is not None:
            return NotClaimed(why=closed(entry) or Unclaimable.MISSING, entry=entry)
        made_here = self._ledger.made(key)
        why = Unclaimable.MISSING if made_here else Unclaimable.ANOTHER_LEDGER
        return NotClaimed(why=why, entry=None)

    def _remember(
        self, actor: Actor, channel_id: str, look: Look, what: str, *, reference: str
    ) -> None:
        """Note the look; a ledger in trouble must not keep anyone from looking."""
        self._notes.add(_look_note(actor, channel_id, look, what, reference))

    async def _is_recorded(
        self, actor: Actor, channel_id: str, look: Look, what: str, *, reference: str
    ) -> bool:
        """Record the look at once, before what was seen is shown; whether it is on record."""
        note = _look_note(actor, channel_id, look, what, reference)
        try:
            async with asyncio.timeout(NOTE_WITHIN):
                await self._ledger.note([(0.0, note)])
        except (LedgerError, TimeoutError):
            log.warning("ledger.look_not_recorded", cluster=look.server.cluster, exc_info=True)
            return False
        return True


def _look_note(actor: Actor, channel_id: str, look: Look, what: str, reference: str) -> LookNote:
    return LookNote(
        actor=actor,
        channel_id=channel_id,
        cluster=look.server.cluster,
        cluster_at=look.server.now,
        what=what,
        reference=reference,
    )


def named(proposal: Proposal) -> dict[str, int | str]:
    """What the log's lines carry of a kill: its number, and the reference that it has.

    That is the one of the command that asked for it, whichever replica it came to.
    """
    reference = {"reference": proposal.reference} if proposal.reference else {}
    return {"kill": proposal.id, **reference}


def follow(proposal: Proposal) -> None:
    """Have this task's lines in the log carry what a kill is named by, from here on."""
    structlog.contextvars.bind_contextvars(**named(proposal))


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


def closed(entry: Entry) -> Unclaimable | None:
    """Why a proposal can't be claimed, or None where it is open."""
    match entry.proposal.state:
        case State.PROPOSED:
            return Unclaimable.EXPIRED if entry.expired else None
        case State.CLAIMED:
            return Unclaimable.CLAIMED
        case State.DONE:
            return Unclaimable.DONE
        case State.DISMISSED:
            return Unclaimable.DISMISSED
