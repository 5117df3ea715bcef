"""The day's clock, and a cluster whose past is as long as the day makes it.

Hours pass in seconds: only the day, and whoever sleeps, makes the time pass. What the server says
of its sessions is dated by that clock, too: a session that became idle at nine is idle since nine.
"""

import asyncio
from bisect import bisect_right
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.domain.blocking import Locks
from bot.domain.findings.survey import Survey
from bot.domain.groups import Groups
from bot.domain.sessions import Look
from bot.domain.waits import Waits
from bot.errors import ClusterDown
from bot.postgres.cluster import PostgresCluster

MORNING = datetime(2026, 1, 31, 6, tzinfo=UTC)


class DayClock:
    """Counts the seconds of the day, and remembers when on the real clock they began."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = [datetime.min.replace(tzinfo=UTC)]
        self._then = [0.0]

    def now(self) -> datetime:
        return MORNING + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.skip(seconds)
        await asyncio.sleep(0)

    def skip(self, seconds: float) -> None:
        self.seconds += seconds
        self._began.append(datetime.now(UTC))
        self._then.append(self.seconds)

    def of(self, real: datetime | None) -> Any:
        """When it was on this clock."""
        if real is None:
            return None
        at = bisect_right(self._began, real) - 1
        return MORNING + timedelta(seconds=self._then[at])


class DayCluster:
    """A cluster on the day's clock. What hasn't changed since is not sampled anew."""

    def __init__(self, cluster: PostgresCluster, clock: DayClock) -> None:
        self._cluster, self._clock = cluster, clock
        self.answers = True
        self._sampled: tuple[Survey, Groups] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cluster, name)

    def has_changed(self) -> None:
        self._sampled = None

    async def sample(self, *, until: float, idle_for: timedelta) -> tuple[Survey, Groups]:
        self._answer()
        if self._sampled is None:
            self._sampled = await self._cluster.sample(until=until, idle_for=idle_for)
        survey, crowd = self._sampled
        return self._dated(survey), self._counted(crowd)

    async def look(self, *arguments: Any, **options: Any) -> Look:
        self._answer()
        return self._look(await self._cluster.look(*arguments, **options))

    def _answer(self) -> None:
        if not self.answers:
            raise ClusterDown("main", "does not answer")

    def _dated(self, survey: Survey) -> Survey:
        of, locks = self._clock.of, survey.locks
        waits = {pid: replace(each, since=of(each.since)) for pid, each in locks.waits.items()}
        return replace(
            survey,
            look=self._look(survey.look),
            locks=Locks(waits, locks.prepared),
            holders=tuple(replace(each, since=of(each.since)) for each in survey.holders),
        )

    def _look(self, look: Look) -> Look:
        of = self._clock.of
        # Not `backend_start`: a button carries it, and what is pressed acts on the server itself.
        rows = (
            replace(
                row,
                xact_start=of(row.xact_start),
                query_start=of(row.query_start),
                state_change=of(row.state_change),
            )
            for row in look.rows
        )
        waits = look.waits
        since = {pid: of(each) for pid, each in waits.since.items()}
        return replace(
            look,
            server=replace(look.server, now=self._clock.now()),
            counts=replace(look.counts, oldest_xact=of(look.counts.oldest_xact)),
            waits=Waits(waits.blocked_by, since),
            rows=tuple(rows),
        )

    def _counted(self, crowd: Groups) -> Groups:
        of = self._clock.of
        largest = (replace(each, oldest_xact=of(each.oldest_xact)) for each in crowd.largest)
        return replace(crowd, largest=tuple(largest))
