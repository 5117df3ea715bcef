"""Diagnose a cluster, a database, a role or a session."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

from bot.background import answers_of
from bot.domain.filters import PidIn
from bot.domain.findings.diagnosis import Diagnosis, again, diagnose
from bot.domain.findings.model import PATIENCE, Finding, Patience, Question, Rule, Subject
from bot.domain.findings.survey import Survey
from bot.domain.kills import Actor
from bot.domain.people import Right
from bot.domain.sessions import Look, Names
from bot.domain.shown import redacted
from bot.errors import ClusterError, NotAllowed, TargetError
from bot.grammar.requests import HorizonRequest, Target, WhyRequest
from bot.grammar.suggest import near
from bot.grammar.terms import Field
from bot.operations.clusters import Clusters, answer_by, but_for, read_together
from bot.operations.journal import Journal
from bot.operations.results import Horizon, Why
from bot.ports import Clock, Cluster

ROWS = 500
"""How many sessions of a server are read, the most harmful first."""

NAMES_WITHIN = 1.1
"""Seconds reserved for the names of relations in other databases, and for the answer."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for; `either` is the name of a role or a database."""

    cluster: str | None
    role: str | None = None
    database: str | None = None
    pid: int | None = None
    either: str | None = None


class Unknown(Exception):  # noqa: N818  another may have it
    """One cluster doesn't have what was named."""

    def __init__(self, what: str, name: str, valid: Iterable[str] = ()) -> None:
        super().__init__(what)
        self.what = what
        self.name = name
        self.valid = tuple(valid)


Read = Callable[[Cluster, Wanted], Awaitable[tuple[Diagnosis, ...]]]
"""Answers what is wanted of one cluster. Raises `ClusterError`, `NotAllowed` and `Unknown`."""


@dataclass(frozen=True, slots=True)
class Diagnosing:
    """What anyone who may look can ask. Ends nothing."""

    _clusters: Clusters
    _journal: Journal
    _clock: Clock

    async def why(
        self,
        actor: Actor,
        channel_id: str,
        request: WhyRequest,
        *,
        patience: Patience = PATIENCE,
        reference: str = "",
    ) -> Why:
        """The answer to `/pg-sessions why`.

        Raises `TargetError` for a name that no cluster has, `ClusterError` if no cluster that may
        have it answers.
        """
        until = answer_by()
        found = await self.found(
            actor, request, lambda cluster, wanted: self._on(cluster, wanted, patience, until)
        )
        looks = {d.survey.server.cluster: d.survey.look for d in found.diagnoses}
        for look in looks.values():
            self._journal.remember(actor, channel_id, look, str(request), reference=reference)
        return found

    async def found(self, actor: Actor, request: WhyRequest, read: Read) -> Why:
        """What `read` finds on each cluster that is asked about; raises as `why` does."""
        wanted = self._wanted(request)
        asked = (read(cluster, wanted) for cluster in self._asked(wanted.cluster))
        found, failed = await answers_of(asked, ClusterError, NotAllowed, Unknown)
        diagnoses = tuple(diagnosis for each in found for diagnosis in each)
        if not diagnoses:
            self._raise(wanted, failed)
        return Why(
            request=request,
            diagnoses=diagnoses,
            troubles=tuple(each for each in failed if isinstance(each, ClusterError)),
            left_out=self._left_out(wanted.cluster),
            asked_by=actor,
            now=self._clock.now(),
        )

    async def finding(self, cluster_name: str, rule: Rule, subject: Subject) -> Finding | None:
        """What a rule finds about one subject now, read afresh; None if it finds nothing.

        Needs the right to look. Raises `TargetError` for an unknown cluster, or `ClusterError`.
        """
        until, cluster = answer_by(), self._clusters.named(cluster_name, Right.LOOK)
        survey, _ = await self._read(cluster, Wanted(cluster_name), until)
        return await asyncio.to_thread(again, survey, rule, subject)

    async def horizon(
        self, actor: Actor, channel_id: str, request: HorizonRequest, *, reference: str = ""
    ) -> Horizon:
        """What holds back vacuum on one cluster, or on each; of one database, if it is named.

        Raises `TargetError` for an unknown name, `ClusterError` if none answers.
        """
        until, target = answer_by(), self._cluster_first(request.target)
        wanted = Wanted(target.cluster, either=target.database)
        asked = (self._holders(c, target.database, until) for c in self._asked(target.cluster))
        found, failed = await answers_of(asked, ClusterError, NotAllowed, Unknown)
        troubles = tuple(each for each in failed if isinstance(each, ClusterError))
        if not found:
            self._raise(wanted, failed)
        surveys = tuple(survey for survey, _ in found)
        for survey in surveys:
            self._journal.remember(
                actor, channel_id, survey.look, str(request), reference=reference
            )
        return Horizon(
            request=request,
            surveys=surveys,
            database=target.database,
            elsewhere=sum(elsewhere for _, elsewhere in found),
            troubles=troubles,
            left_out=self._left_out(wanted.cluster),
            asked_by=actor,
            now=self._clock.now(),
        )

    def _cluster_first(self, target: Target) -> Target:
        """The target; a single name means a cluster if there is one."""
        name = target.database or ""
        if target.cluster is None and name.lower() in self._clusters.by_name:
            return Target(name.lower())
        return target

    async def _holders(
        self, cluster: Cluster, datname: str | None, until: float
    ) -> tuple[Survey, int]:
        """What holds back vacuum, and how much else holds back only other databases."""
        survey, _ = await self._read(cluster, Wanted(cluster.name), until)
        if datname is None:
            return survey, 0
        if survey.names.database_named(datname) is None:
            every = (database.datname for database in survey.names.databases.values())
            raise Unknown("no such database", datname, every)
        narrowed = survey.of_database(datname)
        return narrowed, len(survey.holders) - len(narrowed.holders)

    def _asked(self, name: str | None) -> tuple[Cluster, ...]:
        if name is not None:
            return (self._clusters.named(name, Right.LOOK),)
        return tuple(self._clusters.allowed(Right.LOOK).values())

    def _left_out(self, name: str | None) -> int:
        return self._clusters.left_out() if name is None else 0

    async def _guarded(self, cluster: Cluster, survey: Survey) -> Survey:
        """The survey, with the sessions that the bot never ends."""
        protection = await self._clusters.protection(cluster, survey.look)
        return replace(survey, spared=protection.spared(survey.look.rows))

    def _wanted(self, request: WhyRequest) -> Wanted:
        user, database = request.named(Field.USENAME), request.named(Field.DATNAME)
        name = request.target.database
        if database is not None or name is None:
            return Wanted(request.target.cluster, role=user, database=database, pid=request.pid)
        if user is not None or request.pid is not None:
            return Wanted(request.target.cluster, role=user, database=name, pid=request.pid)
        return Wanted(request.target.cluster, either=name)

    def _raise(self, wanted: Wanted, failed: Sequence[Exception]) -> None:
        """Raise what kept every cluster from answering, an unknown name before trouble."""
        unknown = [each for each in failed if isinstance(each, Unknown)]
        troubles = [each for each in failed if isinstance(each, ClusterError)]
        if not unknown:
            raise (troubles or failed)[0]
        what, name = unknown[0].what, unknown[0].name
        if troubles:
            silent = {trouble.cluster for trouble in troubles}
            asked = (each.name for each in self._asked(wanted.cluster))
            what += but_for((each for each in asked if each not in silent), troubles)
        every = {each for one in unknown for each in one.valid}
        if wanted.either:
            every |= {f"{cluster}/" for cluster in self._clusters.allowed(Right.LOOK)}
        raise TargetError(name, what, near(name, every))

    async def _on(
        self, cluster: Cluster, wanted: Wanted, patience: Patience, until: float
    ) -> tuple[Diagnosis, ...]:
        survey, questions = await self._read(cluster, wanted, until, patience)
        # Off the event loop: a server may have thousands of waiters.
        told = await asyncio.to_thread(answers, survey, questions)
        pause = patience.wait.total_seconds()
        is_late = asyncio.get_running_loop().time() + 2 * pause > until - NAMES_WITHIN
        if is_late or not _may_be_early(survey, told, patience):
            return told
        await asyncio.sleep(pause)  # by then whoever still waits has waited long enough
        with suppress(ClusterError, Unknown):
            survey, questions = await self._read(cluster, wanted, until, patience)
            told = await asyncio.to_thread(answers, survey, questions)
        return told

    async def _read(
        self, cluster: Cluster, wanted: Wanted, until: float, patience: Patience = PATIENCE
    ) -> tuple[Survey, tuple[Question, ...]]:
        """What answers the questions about what is wanted, and these questions."""

        async def read() -> tuple[Survey, tuple[Question, ...]]:
            names = await self._clusters.names_to_look(cluster)
            questions = self.questions(cluster, wanted, names, patience)
            look = await self._look(cluster, names, wanted.pid)
            return await self._survey(cluster, look, questions, until), questions

        survey, questions = await read_together(cluster, read, until)
        return await self._guarded(cluster, survey), questions

    async def _look(self, cluster: Cluster, names: Names, pid: int | None) -> Look:
        look = await cluster.look((), names=names, everything=True, limit=ROWS)
        rows = look.rows
        if pid is not None and not any(row.pid == pid for row in rows):
            if look.counts.total > len(rows):
                asked = await cluster.look(
                    (PidIn((pid,)),), names=names, everything=True, waits=False, limit=1
                )
                rows += asked.rows
            if not any(row.pid == pid for row in rows):
                raise Unknown("no such session", str(pid))
        rules = self._clusters.rules
        return redacted(replace(look, rows=rows), rules.query_tags, rules.poolers)

    async def _survey(
        self, cluster: Cluster, look: Look, questions: Iterable[Question], until: float
    ) -> Survey:
        roles = [question.role for question in questions if question.role is not None]
        oid = next((r.oid for r in look.names.roles.values() if r.rolname in roles), None)
        asks = any(
            question.role is not None or question.database is not None for question in questions
        )
        return await cluster.survey(look, login=asks, role=oid, until=until - NAMES_WITHIN)

    def questions(
        self, cluster: Cluster, wanted: Wanted, names: Names, patience: Patience
    ) -> tuple[Question, ...]:
        """The questions for this cluster. Raises `Unknown` for a name that it lacks."""
        roles = [role.rolname for role in names.roles.values()]
        databases = [database.datname for database in names.databases.values()]
        if (name := wanted.either) is not None:
            found = (
                *((Question(role=name, patience=patience),) if name in roles else ()),
                *((Question(database=name, patience=patience),) if name in databases else ()),
            )
            if not found and name.lower() == cluster.name:
                return (Question(patience=patience),)
            if not found:
                raise Unknown("no such database or role", name, (*databases, *roles))
            return found
        if wanted.role is not None and wanted.role not in roles:
            raise Unknown("no such role", wanted.role, roles)
        if wanted.database is not None and wanted.database not in databases:
            raise Unknown("no such database", wanted.database, databases)
        return (Question(wanted.role, wanted.database, wanted.pid, patience),)


def _may_be_early(survey: Survey, told: Iterable[Diagnosis], patience: Patience) -> bool:
    """Whether nothing is found although somebody waits: perhaps not yet long enough to tell."""
    waits = survey.server.waiting > 0 and patience.wait > timedelta(0)
    return waits and all(each.question.pid is None and not each.findings for each in told)


def answers(survey: Survey, questions: Iterable[Question]) -> tuple[Diagnosis, ...]:
    return tuple(diagnose(survey, question) for question in questions)
