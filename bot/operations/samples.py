"""Sample every cluster, and keep what was seen for a quarter of an hour.

Each cluster has a loop and a connection of its own, so that one that hangs delays nobody.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import structlog

from bot.background import every, together
from bot.domain.findings.diagnosis import find
from bot.domain.findings.model import Question
from bot.domain.findings.survey import Survey
from bot.domain.groups import Groups
from bot.domain.protection import Protection
from bot.domain.samples import APART, MOST_BYTES, Ring, Sample, Seen
from bot.domain.shown import redacted
from bot.errors import ClusterError, NoSample
from bot.operations.clusters import Clusters, read_together
from bot.ports import Clock, Cluster, Meter, Rules

log = structlog.get_logger(__name__)

SAMPLE_WITHIN = 4.0
"""Seconds that a cluster has to answer."""

ROWS = 100
"""How many sessions are kept, what hurts most first, of those that the rules went by."""

NAMES_WITHIN = 1.1
"""Of these, how many are for the names of relations in other databases."""

NO_ANSWER = "no answer"

Follower = Callable[[str, Sample], None]


class Samples:
    """The samples of the last 15 minutes, by cluster.

    One is taken of each cluster `every` so often; with 0 there are none.
    """

    def __init__(self, clusters: Clusters, clock: Clock, every: timedelta, meter: Meter) -> None:
        self._clusters = clusters
        self._clock = clock
        self._meter = meter
        self._due: dict[str, float] = {}  # when the next one of a cluster is, on `monotonic()`
        self.seconds = every.total_seconds()
        self._rings = defaultdict[str, Ring](Ring)
        self._followers: list[Follower] = []

    def latest(self, cluster: str) -> Sample | None:
        """The newest sample, which may say that the cluster didn't answer."""
        return self._rings[cluster].newest

    def then(self, cluster: str, age: timedelta) -> tuple[Sample, timedelta]:
        """The sample nearest to that long ago, and how old it is.

        Raises `NoSample` if there was none about then; it says why.
        """
        if not self.seconds:
            raise NoSample(cluster, "no samples are taken (SAMPLE_EVERY=0): the past isn't known")
        now, ring = self._clock.monotonic(), self._rings[cluster]
        then = now - age.total_seconds()
        kept = min(ring, key=lambda each: abs(each.at - then), default=None)
        if kept is None or abs(kept.at - then) > max(self.seconds, APART) + SAMPLE_WITHIN:
            raise NoSample(cluster, self._none(ring, now, age))
        return kept.sample, timedelta(seconds=now - kept.at)

    def _none(self, ring: Ring, now: float, age: timedelta) -> str:
        """Why there is no sample of that age."""
        first = next(iter(ring), None)
        oldest = "there is none yet"
        if first is not None:
            oldest = f"the oldest is {_minutes(now - first.at)} old"
        less = f", or less if they take more than {MOST_BYTES / 1e6:.0f} MB, as these do"
        return (
            f"no sample is {_minutes(age.total_seconds())} old: {oldest}. One is taken every"
            f" {self.seconds:g} s (SAMPLE_EVERY) while the bot runs, and kept for 15 min"
            f"{less if ring.is_cut(now) else ''}"
        )

    def of(self, cluster: str) -> tuple[Sample, ...]:
        """All samples, the oldest first."""
        return tuple(kept.sample for kept in self._rings[cluster])

    def late(self) -> dict[str, float]:
        """By how many seconds the next sample of each cluster is late."""
        now = self._clock.monotonic()
        return {name: max(0.0, now - due) for name, due in self._due.items()}

    def follow(self, callback: Follower) -> None:
        """Have this called with the cluster and the sample after each one.

        It must not block. If it fails, that is logged.
        """
        self._followers.append(callback)

    async def run(self) -> None:
        """Sample all clusters until cancelled; returns at once if there is nothing to do."""
        if not self.seconds:
            return
        clusters = self._clusters.by_name
        apart = self.seconds / max(1, len(clusters))
        await together(
            *(self._keep(each, number * apart) for number, each in enumerate(clusters.values()))
        )

    async def _keep(self, cluster: Cluster, after: float) -> None:
        self._due[cluster.name] = self._clock.monotonic() + after
        await self._clock.sleep(after)  # not all at the same moment
        await every(
            self.seconds,
            lambda: self.take(cluster.name),
            failed="sample.failed",
            at_once=True,
            sleep=self._clock.sleep,
        )

    async def take(self, name: str) -> Sample:
        """Take one sample of a cluster now.

        A line of the log says when it ceases to answer and when it answers again, none says that
        nothing has changed: a server may be gone for weeks.
        """
        cluster, at = self._clusters.by_name[name], self._clock.monotonic()
        before = None if (latest := self.latest(name)) is None else latest.problem
        try:
            seen = await self._seen(cluster)
        except ClusterError as error:
            problem = f"{NO_ANSWER} ({error.problem})"
            sample = Sample(cluster=name, taken_at=self._clock.now(), problem=problem)
            if problem != before:
                log.info("sample.no_answer", cluster=name, why=error.problem)
        else:
            sample = Sample.of(seen)
            if before is not None:
                log.info("sample.answers", cluster=name)
        self._due[name] = at + self.seconds
        self._meter.sampled(name, findings_of(sample))
        self._rings[name].add(at, sample)
        for follower in self._followers:
            try:
                follower(name, sample)
            except Exception:
                log.exception("sample.follower_failed", cluster=name)
        return sample

    async def _seen(self, cluster: Cluster) -> Seen:
        until = asyncio.get_running_loop().time() + SAMPLE_WITHIN
        rules = self._clusters.rules
        survey, crowd = await read_together(
            cluster,
            lambda: cluster.sample(until=until - NAMES_WITHIN, idle_for=rules.patience.idle),
            until,
        )
        protection = await self._clusters.protection(cluster, survey.look)
        # Off the event loop: a server may have thousands of sessions.
        return await asyncio.to_thread(_seen, survey, crowd, protection, rules)


def _minutes(seconds: float) -> str:
    """`1 min 43 s`."""
    minutes, rest = divmod(round(seconds), 60)
    parts = (f"{minutes} min" if minutes else "", f"{rest} s" if rest or not minutes else "")
    return " ".join(part for part in parts if part)


def findings_of(sample: Sample) -> Counter[str] | None:
    """How many findings of each name it has; None without an answer."""
    diagnosis = sample.diagnosis
    return None if diagnosis is None else Counter(str(each.rule) for each in diagnosis.findings)


def _seen(survey: Survey, crowd: Groups, protection: Protection, rules: Rules) -> Seen:
    look = redacted(survey.look, rules.query_tags, rules.poolers)
    survey = replace(survey, look=look, spared=protection.spared(look.rows))
    findings = tuple(find(survey, Question(patience=rules.patience)))
    kept = replace(survey, look=replace(look, rows=look.rows[:ROWS]))
    return Seen(kept, findings, crowd)
