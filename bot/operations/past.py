"""What was there some minutes ago: answers from the samples, which act on nothing.

Rights are asked for now: whoever may look at a cluster may see what it was like.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple, assert_never

from bot.domain.blocking import tree
from bot.domain.findings.diagnosis import Diagnosis
from bot.domain.findings.model import PATIENCE
from bot.domain.findings.survey import Part, Unread
from bot.domain.groups import MOST_GROUPS
from bot.domain.kills import Actor
from bot.domain.matching import counted_by, counts_of, matching, meets
from bot.domain.people import Right
from bot.domain.query_tags import carried
from bot.domain.samples import Sample, Seen
from bot.domain.sessions import Counts, Look, Names
from bot.errors import BotError, ClusterError, NoSample, NotAllowed, TargetError
from bot.grammar.requests import (
    GroupsRequest,
    PastRequest,
    SessionsRequest,
    TreeRequest,
    WhyRequest,
)
from bot.grammar.requests import Target as Named
from bot.grammar.terms import Match, Tagged
from bot.operations.clusters import Clusters, Found
from bot.operations.conditions import conditions_of, refuse_hidden_tags
from bot.operations.diagnose import Diagnosing, Unknown, Wanted, answers
from bot.operations.grouping import of_all
from bot.operations.journal import Journal
from bot.operations.results import (
    ClusterCard,
    Counted,
    Grouped,
    Overview,
    Past,
    Sessions,
    Tree,
    Why,
)
from bot.operations.samples import Samples
from bot.ports import Clock, Cluster

NOT_SAMPLED = "samples don't have it"


@dataclass(frozen=True, slots=True)
class LookingBack:
    """What anyone who may look can ask of the past. Reads no server and ends nothing."""

    _clusters: Clusters
    _samples: Samples
    _journal: Journal
    _clock: Clock

    async def past(
        self, actor: Actor, channel_id: str, request: PastRequest, *, reference: str = ""
    ) -> Past:
        """The answer to a request with `at=`.

        Raises `NoSample` if there is no sample from then, `TargetError` for a name that nothing
        had then.
        """
        shown: Sessions | Overview | Grouped | Why | Tree
        then = _Then(self._clusters, self._samples, timedelta(seconds=request.ago))
        match request.now:
            case SessionsRequest():
                shown = await self._look(actor, request.now, then)
            case GroupsRequest():
                shown = await self._groups(actor, request.now, then)
            case WhyRequest():
                shown = await self._why(actor, request.now, then)
            case TreeRequest():
                shown = self._tree(actor, request.now, then)
            case _:
                assert_never(request.now)
        for each in then.shown:
            self._journal.remember(
                actor, channel_id, each.seen.survey.look, str(request), reference=reference
            )
        return Past(
            request=request.now,
            shown=shown,
            ago=then.shown[0].age,
            taken_at=then.taken_at,
            kept=tuple(
                (sample.cluster, len(seen.look.rows), sample.total)
                for sample, seen, _ in then.shown
            ),
        )

    # --- a look

    async def _look(
        self, actor: Actor, request: SessionsRequest, then: "_Then"
    ) -> Sessions | Overview:
        allowed = self._clusters.allowed(Right.LOOK)
        if request.target == Named() and len(allowed) > 1:
            if request.pids:
                choices = tuple(f"{name}/" for name in allowed)
                raise TargetError(str(request.pids[0]), "name the cluster", choices)
            return self._overview(actor, request, then)
        cluster, target = await self._one(request.target, then)
        seen = then.of(cluster)
        look = self._matching(cluster, replace(request, target=target), seen)
        return Sessions(
            request=request,
            cluster=cluster.name,
            database=target.database,
            look=replace(look, rows=look.rows[: request.limit]),
            endable=frozenset(),
            offset=0,
            matched=look.counts.total,
            asked_by=actor,
        )

    def _overview(self, actor: Actor, request: SessionsRequest, then: "_Then") -> Overview:
        def card(cluster: Cluster) -> ClusterCard | NotAllowed:
            look: Look | None = None
            trouble: ClusterError | TargetError | None = None
            try:
                look = replace(self._matching(cluster, request, then.of(cluster)), rows=())
            except NotAllowed as error:
                return error
            except (ClusterError, TargetError) as error:
                trouble = error
            return ClusterCard(
                cluster=cluster.name, host=cluster.host, look=look, trouble=trouble, last_seen=None
            )

        every = list(map(card, self._clusters.allowed(Right.LOOK).values()))
        cards = tuple(each for each in every if isinstance(each, ClusterCard))
        if not any(card.look for card in cards):
            troubles = [card.trouble for card in cards if card.trouble is not None]
            raise next(iter((*troubles, *(e for e in every if isinstance(e, NotAllowed)))))
        return Overview(
            request=request,
            cards=cards,
            left_out=len(self._clusters.by_name) - len(cards),
            asked_by=actor,
            now=then.taken_at,
        )

    def _matching(self, cluster: Cluster, request: SessionsRequest, seen: Seen) -> Look:
        """What a look showed then, as far as the worst sessions were kept.

        The counts are of all sessions if the filters compare only columns that are counted by;
        otherwise they are of the sessions that were kept.
        """
        look = seen.look
        tags = [term for term in request.terms if isinstance(term, Tagged)]
        refuse_hidden_tags(tags, self._clusters.rules.query_tags)
        names = replace(look.names, read_at=look.server.now)
        conditions = conditions_of(cluster, request, names)
        rows = tuple(
            row
            for row in look.rows
            if meets(row, conditions, look.waits) and carried(look.tags.get(row.pid, {}), tags)
        )
        if not conditions and not tags:
            return look
        matches = [term for term in request.terms if isinstance(term, Match)]
        if len(matches) < len(request.terms) or request.pids:
            counts = Counts(len(rows), {}, sum(row.is_waiting for row in rows), None)
            return replace(look, rows=rows, counts=counts)
        found = matching(seen.crowd, matches, request.target.database)
        return replace(look, rows=rows, counts=counts_of(found))

    # --- the others

    async def _groups(self, actor: Actor, request: GroupsRequest, then: "_Then") -> Grouped:
        counted: list[Counted] = []
        troubles: list[BotError] = []
        terms = [term for term in request.of.terms if isinstance(term, Match)]
        targets = (await self._found(request.target, then)).counted(request.target.database)
        for cluster, target in targets:
            try:
                seen = then.of(cluster)
                of = replace(request.of, target=target)
                names = replace(seen.look.names, read_at=seen.look.server.now)
                conditions_of(cluster, of, names)  # refuses names that nothing has
                found = matching(seen.crowd, terms, target.database)
            except (ClusterError, NotAllowed, TargetError) as error:
                troubles.append(error)
                continue
            groups = counted_by(found, request.by, MOST_GROUPS)
            look = replace(seen.look, rows=())
            counted.append(Counted(target=target, look=look, groups=groups))
        if not counted:
            raise troubles[0]
        return Grouped(
            request=request,
            counted=tuple(counted),
            troubles=tuple(each for each in troubles if isinstance(each, ClusterError)),
            left_out=self._clusters.left_out() if of_all(request, targets) else 0,
            asked_by=actor,
            now=then.taken_at,
        )

    async def _why(self, actor: Actor, request: WhyRequest, then: "_Then") -> Why:
        diagnosing = Diagnosing(self._clusters, self._journal, self._clock)

        async def read(cluster: Cluster, wanted: Wanted) -> tuple[Diagnosis, ...]:
            seen = then.of(cluster)
            questions = diagnosing.questions(cluster, wanted, seen.look.names, PATIENCE)
            if not questions[0].is_narrow:
                return (seen.diagnosis,)
            survey = seen.survey
            if wanted.pid is None:
                survey = replace(survey, unread=(*survey.unread, Unread(Part.LOGIN, NOT_SAMPLED)))
            elif survey.backend(wanted.pid) is None:
                raise Unknown("not among the sessions that the sample kept", str(wanted.pid))
            return answers(survey, questions)

        answer = await diagnosing.found(actor, request, read)
        return replace(answer, past=True, now=then.taken_at)

    def _tree(self, actor: Actor, request: TreeRequest, then: "_Then") -> Tree:
        cluster = self._clusters.only(request.target.cluster, Right.LOOK)
        survey = then.of(cluster).survey
        branches = tree(survey.waits)
        return Tree(
            look=survey.look,
            branches=branches,
            rows={row.pid: row for row in survey.look.rows},
            locks=survey.locks,
            barriers={},
            freed={b.pid: len(survey.waits.freed_by([b.pid])) for b in branches if b.is_root},
            asked_by=actor,
            past=True,
        )

    async def _one(self, target: Named, then: "_Then") -> tuple[Cluster, Named]:
        """The only one that a target meant then. Raises `TargetError` if there are several."""
        targets = (await self._found(target, then)).targets(target.database)
        if len(targets) > 1:
            choices = tuple(str(each) for _, each in targets)
            raise TargetError(str(target), "more than one has this name", choices)
        return targets[0]

    async def _found(self, target: Named, then: "_Then") -> Found:
        """The clusters that a target meant then."""

        async def names_of(cluster: Cluster) -> Names:
            return then.names(cluster)

        found = await self._clusters.resolve(target, Right.LOOK, names_of)
        if not found.clusters and found.namesake is None:
            raise found.troubles[0]
        return found


class _At(NamedTuple):
    """A cluster's sample of that moment, and how old it is."""

    sample: Sample
    seen: Seen
    age: timedelta


class _Then:
    """The samples of one moment, as they are asked for. Each is unpacked once."""

    def __init__(self, clusters: Clusters, samples: Samples, ago: timedelta) -> None:
        self._clusters = clusters
        self._samples = samples
        self._ago = ago
        self._found: dict[str, _At] = {}
        self._shown: dict[str, _At] = {}

    @property
    def shown(self) -> tuple[_At, ...]:
        """Those that the answer is from."""
        return tuple(self._shown.values())

    @property
    def taken_at(self) -> datetime:
        """When the first of these was taken."""
        return self.shown[0].sample.taken_at

    def of(self, cluster: Cluster) -> Seen:
        """What a cluster was like then. Raises `NoSample`, and `NotAllowed` by its server."""
        then = self._then(cluster)
        self._clusters.require(Right.LOOK, cluster.name, then.seen.survey.server.id)
        self._shown[cluster.name] = then
        return then.seen

    def names(self, cluster: Cluster) -> Names:
        """The roles and databases that it had then. Raises `NoSample`."""
        return self._then(cluster).seen.look.names

    def _then(self, cluster: Cluster) -> _At:
        if cluster.name not in self._found:
            sample, age = self._samples.then(cluster.name, self._ago)
            seen = sample.seen
            if seen is None:
                problem = f"{sample.problem} when it was sampled (SAMPLE_EVERY)"
                raise NoSample(cluster.name, problem)
            self._found[cluster.name] = _At(sample, seen, age)
        return self._found[cluster.name]
