"""Two bots that share a ledger and a channel, and what befalls them."""

from collections.abc import Mapping
from datetime import timedelta
from random import Random
from typing import Any, cast

import aiohttp

from bot.background import Tasks
from bot.domain.alerts import Alert
from bot.domain.findings.model import Cancel, End, Rule
from bot.domain.kills import Action, Actor, Conclusion
from bot.domain.people import Allowlist, Right
from bot.domain.samples import Sample
from bot.errors import LedgerError, Unsaid
from bot.grammar.parser import read_sessions
from bot.grammar.watching import WatchRequest
from bot.ledger.sql import SqlLedger
from bot.operations import AlertRules, Operations, Rules
from bot.operations.results import Preview
from bot.ports import Cluster, Ledger
from bot.postgres.cluster import PostgresCluster
from bot.service.clock import SystemClock
from bot.service.metrics import Metrics
from bot.slack import boards, drawing
from bot.slack.alerts import SlackVoice
from bot.slack.api_errors import Client
from bot.slack.authorization import Admitted, Authorization
from bot.slack.delivery import Delivery
from bot.slack.directory import Directory
from bot.slack.layouts import Layouts
from bot.slack.objects import Identity
from bot.slack.payloads import Command
from bot.slack.runner import Runner
from bot.slack.speech import Speech
from tests.integration.day.clock import DayClock, DayCluster
from tests.integration.ledger.test_leases import pass_time
from tests.integration.test_alerts import Crash, Steps
from tests.rights import EVERYWHERE, rights
from workspace import Workspace

TEAM, CHANNEL = "T0ACME", "C0INCIDENTS"
ANA = Actor("U0ANA", TEAM)
TICK = 10
"""Seconds between two samples."""

STEPS = 4

AFTER: Mapping[Rule, timedelta] = {
    Rule.LIMIT: timedelta(seconds=20),
    Rule.DDL_QUEUE: timedelta(seconds=30),
    Rule.BLOCKER: timedelta(seconds=60),
    Rule.IDLE_IN_TRANSACTION: timedelta(seconds=150),
}


class Weather:
    """What befalls the bots' calls: while it is bad, answers are lost and the ledger is away."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self.bad = False
        self.dies_in: int | None = None  # calls

    def befalls(self, _: int, when: str) -> BaseException | None:
        if self.dies_in is not None:
            self.dies_in -= 1
            if self.dies_in <= 0:
                self.dies_in = None
                return Crash(when)
        if not self.bad or self._chance.random() > 0.2:
            return None
        to_slack = any(word in when for word in ("post", "reply", "redraw", "replied"))
        if to_slack and self._chance.random() < 0.7:
            return Unsaid("lost", surely=when.startswith("before"))
        return LedgerError("away")


class FaultyLedger:
    """A ledger to which something may happen at each call about alerts."""

    def __init__(self, ledger: SqlLedger, steps: Steps) -> None:
        self._ledger = ledger
        self.alerts = steps.of(ledger.alerts)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)


class Bot:
    """One process."""

    def __init__(self, bots: "Bots", owner: str) -> None:
        self.owner, self._clock = owner, bots.clock
        steps = Steps(bots.weather.befalls)
        self.operations = Operations(
            {"main": cast("Cluster", bots.cluster)},
            cast("Ledger", FaultyLedger(bots.ledger, steps)),
            bots.clock,
            rules=Rules(sample_every=timedelta(seconds=TICK)),
            owner=owner,
            alerts=AlertRules({"main": CHANNEL}, AFTER),
        )
        client, session = bots.client, bots.session
        lists = rights({Right.LOOK: Allowlist(frozenset({ANA.user_id}))})
        directory = Directory(client, Identity(TEAM, ""), lists, bots.clock)
        layouts = Layouts(bots.clock)
        self.runner = Runner(
            operations=self.operations,
            authorization=Authorization(directory, frozenset()),
            delivery=Delivery(client, session, layouts),
            tasks=Tasks(),
            meter=Metrics(dict),
            speech=Speech(client, layouts),
        )
        self._voice = steps.of(SlackVoice(client, directory, (CHANNEL,), bots.clock, layouts))
        self._boards = drawing.Drawing(self.runner, bots.clock)
        self.began = self._clock.seconds
        self.first: dict[tuple[Rule, str], float] = {}  # of its samples in a row with a problem
        self.speaks_since: float | None = None

    async def sample(self) -> Sample:
        await self.operations.speaker.hold()
        if not self.operations.speaker.speaks:
            self.speaks_since = None
        elif self.speaks_since is None:
            self.speaks_since = self._clock.seconds
        return await self.operations.samples.take("main")

    async def work(self) -> None:
        """Say what is due. Raises `Crash`."""
        await self.operations.alerting.work(self._voice)
        await self.draw()

    async def draw(self) -> None:
        """Draw the board that is due."""
        await self._boards.step()
        await self._boards.settled()

    async def watch(self) -> None:
        request = read_sessions("watch main/")
        assert isinstance(request, WatchRequest)
        command = Command(
            command="/pg-sessions",
            text="watch main/",
            actor=ANA,
            channel_id=CHANNEL,
            channel_name="",
            response_url="",
        )
        admitted = await self.runner.authorization.admit(Right.LOOK, command)
        assert isinstance(admitted, Admitted)
        await boards.answer(self.runner, command, request, admitted)


class Bots:
    """The bots, and the person who uses one of them."""

    def __init__(
        self,
        cluster: PostgresCluster,
        ledger: SqlLedger,
        slack: Workspace,
        session: aiohttp.ClientSession,
        weather: Random,
    ) -> None:
        self.clock = DayClock()
        self.cluster, self.ledger = DayCluster(cluster, self.clock), ledger
        self.session, self.weather = session, Weather(weather)
        self.client = Client(
            token=slack.bot_token, base_url=slack.api_url, session=session, retry_handlers=[]
        )
        self._started = 0
        self.alive = [self._start(), self._start()]
        self._person = Operations(
            {"main": cluster},
            ledger,
            SystemClock(),
            rules=Rules(),
            owner="a person's",
            reach=EVERYWHERE,
        )

    def _start(self) -> Bot:
        self._started += 1
        return Bot(self, f"bot {self._started}")

    async def time_passes(self, *, drawing: bool) -> None:
        """Until the next sample. A board is drawn when it is due, and that may be meanwhile."""
        for _ in range(STEPS - 1 if drawing else 0):
            self.clock.skip(TICK / STEPS)
            for bot in self.alive:
                await bot.draw()
        self.clock.skip(TICK / STEPS if drawing else TICK)
        await pass_time(self.ledger, TICK)

    def dies(self, bot: Bot) -> None:
        """Another process is started in its place."""
        self.alive[self.alive.index(bot)] = self._start()

    async def press(self, alert: Alert) -> Conclusion | None:
        """Do what an alert's first button offers; None if nothing can be done any more."""
        rule = alert.topic.rule
        assert rule is not None
        found = await self._person.finding("main", rule, alert.topic.subject)
        act = found.acts[0] if found is not None and found.acts else None
        if not isinstance(act, End | Cancel) or act.backend.id is None:
            return None
        shown = await self._person.propose_backends(
            ANA, CHANNEL, cluster_name="main", ids=[act.backend.id]
        )
        assert isinstance(shown, Preview), shown
        action = Action.CANCEL if isinstance(act, Cancel) else Action.TERMINATE
        done = await self._person.confirm(ANA, CHANNEL, shown.proposal.key, action=action)
        assert isinstance(done, Conclusion), done
        return done

    async def settle(self) -> None:
        for operations in (self._person, *(bot.operations for bot in self.alive)):
            await operations.settle()
