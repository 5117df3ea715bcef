"""Alerts over the real ledger and Slack's protocol: a crash at every step, on the test's clock."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
import sqlalchemy

from bot.domain.alerts import AlertState, Saying, Thresholds
from bot.domain.findings.model import (
    AT_ONCE,
    End,
    Finding,
    Full,
    Rule,
    Severity,
    Subject,
    SubjectOf,
)
from bot.domain.findings.survey import Survey
from bot.domain.groups import Groups
from bot.domain.kills import Actor
from bot.domain.people import Allowlist, Right
from bot.domain.samples import Sample, Seen
from bot.domain.sessions import Limit
from bot.errors import LedgerError, Unsaid
from bot.ledger import schema
from bot.ledger.sql import SqlLedger
from bot.operations import AlertRules, Operations, Rules
from bot.operations.alerts import Alerting
from bot.operations.speaker import LEASE, Speaker
from bot.ports import UNMEASURED
from bot.postgres.cluster import PostgresCluster
from bot.service.metrics import Metrics
from bot.slack.alerts import SlackVoice
from bot.slack.api_errors import Client
from bot.slack.directory import Directory
from bot.slack.layouts import Layouts
from bot.slack.objects import Identity
from tests.integration.conftest import Sessions
from tests.integration.kills import HandClock
from tests.integration.ledger.building import claimed
from tests.integration.ledger.test_leases import pass_time
from tests.integration.test_holdings import until
from tests.rights import rights
from tests.unit.builders import backend, look
from workspace import Workspace
from workspace.state import Message

CHANNEL = "C0INCIDENTS"
AFTER = timedelta(seconds=10)
LONG = 60.0


class Crash(BaseException):
    """What SIGKILL does: nobody handles it."""


class Steps:
    """Counts the calls that a process makes, and what befalls each."""

    def __init__(self, befalls: Callable[[int, str], BaseException | None]) -> None:
        self.number = 0
        self._befalls = befalls

    def of(self, inner: Any) -> Any:
        """The same object, with each call in two steps: before it is made, and after."""
        return _Counted(inner, self)

    def take(self, when: str) -> None:
        self.number += 1
        if (error := self._befalls(self.number, when)) is not None:
            raise error


class _Counted:
    def __init__(self, inner: Any, steps: Steps) -> None:
        self._inner, self._steps = inner, steps

    def __getattr__(self, name: str) -> Any:
        async def call(*arguments: Any, **options: Any) -> Any:
            self._steps.take(f"before {name}")
            done = await getattr(self._inner, name)(*arguments, **options)
            self._steps.take(f"after {name}")
            return done

        return call


def nothing(number: int, when: str) -> None:
    del number, when


class Replica:
    """One process that may speak; `steps` befall what it does."""

    def __init__(self, stage: "Stage", owner: str, steps: Steps) -> None:
        self.stage = stage
        self.speaker = Speaker(stage.ledger.leases, stage.clock, owner)
        alerts = AlertRules({"main": CHANNEL}, {Rule.LIMIT: AFTER})
        self.alerting = Alerting(
            steps.of(stage.ledger.alerts), self.speaker, stage.clock, alerts, UNMEASURED
        )
        self.voice = steps.of(stage.voice)
        self._held_at = float("-inf")

    async def step(self, *findings: Finding) -> None:
        """Take a sample and say what is due."""
        if self.stage.clock.seconds - self._held_at >= 10:
            await self.speaker.hold()
            self._held_at = self.stage.clock.seconds
        self.alerting.sampled("main", sample(*findings))
        await self.alerting.work(self.voice)


class Stage:
    """A ledger, a Slack and a clock, and the processes on them."""

    def __init__(self, ledger: SqlLedger, slack: Workspace, client: Client) -> None:
        self.ledger, self.slack, self.clock = ledger, slack, HandClock()
        directory = Directory(
            client, Identity("T0ACME", ""), rights({Right.LOOK: Allowlist()}), self.clock
        )
        self.voice = SlackVoice(client, directory, (CHANNEL,), self.clock, Layouts(self.clock))

    def replica(
        self, owner: str, befalls: Callable[[int, str], BaseException | None] = nothing
    ) -> Replica:
        return Replica(self, owner, Steps(befalls))

    async def run(self, seconds: float, *replicas: Replica, findings: tuple[Finding, ...]) -> None:
        until = self.clock.seconds + seconds
        while self.clock.seconds < until:
            self.clock.seconds += 5
            for replica in replicas:
                await replica.step(*findings)

    @property
    def told(self) -> list[Message]:
        return [m for m in self.slack.state.messages(CHANNEL) if m.metadata and not m.thread_ts]

    @property
    def replies(self) -> list[str]:
        vera = self.slack.person("vera")
        found = [m for m in self.slack.state.messages(CHANNEL) if m.thread_ts]
        return [vera.text_of(each) for each in found]

    def shown(self, message: Message) -> str:
        now = self.slack.state.message(message.channel, message.ts)
        assert now is not None
        return self.slack.person("vera").text_of(now)


@pytest.fixture
def stage(ledger: SqlLedger, slack: Workspace, client: Client) -> Stage:
    return Stage(ledger, slack, client)


def finding(hurt: int = 1, name: str = "some_user") -> Finding:
    holder = backend()
    return Finding(
        rule=Rule.LIMIT,
        severity=Severity.ERROR,
        subject=Subject(SubjectOf.ROLE, name),
        evidence=Full(limit=Limit(name, 1, 1), error="FATAL", holders=(holder,)),
        hurt=hurt,
        involved=frozenset({holder.pid}),
        acts=(End(holder),),
    )


def sample(*findings: Finding) -> Sample:
    return Sample.of(Seen(Survey(look=look(backend())), findings, Groups((), 0, 0)))


BAD, WORSE = (finding(2),), (finding(20),)


async def story(stage: Stage, replica: Replica) -> None:
    """It holds, gets worse, and is over."""
    await stage.run(20, replica, findings=())
    await stage.run(90, replica, findings=BAD)
    await stage.run(90, replica, findings=WORSE)
    await stage.run(60, replica, findings=())


@pytest.mark.parametrize("as_text", [False, True], ids=["", "as text: Slack refuses its layout"])
async def test_alert_is_told_gets_worse_and_is_over(stage: Stage, as_text: bool) -> None:
    if as_text:
        stage.slack.faults.refuse_blocks()
    await story(stage, stage.replica("one"))
    (message,) = stage.told
    worse, over = stage.replies
    assert "⚠ Worse: main: some_user is at its limit" in worse
    assert "✓ main: some_user was at its limit" in over
    assert "✓ main: some_user was at its limit" in stage.shown(message)


@pytest.mark.parametrize("answers", [True, False])
async def test_alert_says_that_its_finding_is_out_of_sight(stage: Stage, answers: bool) -> None:
    """It came and went, so that it is over late; or its server says nothing."""
    replica = stage.replica("one")
    for _ in range(2 if answers else 0):
        await stage.run(60, replica, findings=BAD)
        await stage.run(120, replica, findings=())
    await stage.run(60, replica, findings=BAD)
    last = stage.clock.now()
    for _ in range(20):
        if answers:
            await stage.run(5, replica, findings=())
        else:
            stage.clock.seconds += 5
            replica.alerting.sampled("main", Sample(cluster="main", taken_at=last, problem="-"))
            await replica.speaker.hold()
            await replica.alerting.work(replica.voice)
    (message,) = stage.told
    shown = stage.shown(message)
    assert "⚠ main: some_user was at its limit" in shown
    assert f"last seen {last:%H:%M} UTC" in shown
    assert "New logins fail" not in shown
    await stage.run(60, replica, findings=BAD)
    assert "⚠ main: some_user is at its limit" in stage.shown(message)


async def test_alert_whose_end_no_process_saw_is_told_for_as_long_as_it_was_seen(
    stage: Stage,
) -> None:
    await stage.run(10, one := stage.replica("one"), findings=())
    await stage.run(120, one, findings=BAD)
    # It dies, and what it told of ends before another takes its place.
    await pass_time(stage.ledger, LEASE.total_seconds())
    await stage.run(60, stage.replica("two"), findings=())
    *_, over = stage.replies
    assert "was at its limit for 1 min " in over or "was at its limit for 2 min " in over


@pytest.mark.parametrize("days", [-1, 1])
async def test_alerts_keep_their_times_although_the_clock_is_set(stage: Stage, days: int) -> None:
    await stage.run(60, replica := stage.replica("one"), findings=())
    await stage.run(5, replica, findings=BAD)
    stage.clock.ahead += timedelta(days=days)
    await stage.run(5, replica, findings=BAD)
    assert not stage.told  # it has held for 5 s
    await stage.run(20, replica, findings=BAD)
    assert len(stage.told) == 1
    stage.clock.ahead += timedelta(days=days)
    await stage.run(25, replica, findings=())
    assert not stage.replies  # it has been gone for 20 s
    await stage.run(20, replica, findings=())
    assert len(stage.replies) == 1


async def test_opened_and_closed_alerts_are_counted_by_finding(stage: Stage) -> None:
    replica, metrics = stage.replica("one"), Metrics(dict)
    replica.alerting._meter = metrics
    opened = b'pg_sessions_alerts_opened_total{finding="limit"} 1.0'
    closed = b'pg_sessions_alerts_closed_total{finding="limit"} 1.0'
    await stage.run(60, replica, findings=BAD)
    assert opened in metrics.exposed()
    assert closed not in metrics.exposed()
    await stage.run(60, replica, findings=())
    assert closed in metrics.exposed()
    # It comes back, and is over again: as many as are open lie between the two.
    await stage.run(60, replica, findings=BAD)
    assert opened.replace(b"1.0", b"2.0") in metrics.exposed()
    await stage.run(120, replica, findings=())
    assert closed.replace(b"1.0", b"2.0") in metrics.exposed()


async def test_crash_at_any_step_tells_everything_once(stage: Stage) -> None:
    """Each step of the story is the last one of some process; another goes on from there."""
    every: list[str] = []

    def note(number: int, when: str) -> None:
        del number
        every.append(when)

    await story(stage, stage.replica("counting", note))
    kinds = sorted(set(every))
    assert {"after open", "after post", "after posted", "after reply", "before replied"} <= {*kinds}
    # The first and the last of each kind of step, which is where anything can differ.
    chosen = {at for kind in kinds for at in (every.index(kind), _last(every, kind))}
    for at in sorted(chosen):
        await _crash_at(stage, at + 1, every[at])


def _last(every: list[str], kind: str) -> int:
    return len(every) - 1 - every[::-1].index(kind)


async def _crash_at(stage: Stage, step: int, kind: str) -> None:
    for message in [*stage.slack.state.messages(CHANNEL)]:
        stage.slack.state.delete(message)
    await pass_time(stage.ledger, LEASE.total_seconds())
    stage.clock.seconds += 7200  # of what was before, nothing matters any more

    def die(number: int, when: str) -> BaseException | None:
        return Crash(when) if number == step else None

    name = f"{kind} ({step})"
    dying, heir = stage.replica(f"dying at {step}", die), stage.replica(f"heir of {step}")
    said: list[tuple[Finding, ...]] = [(), *(BAD,) * 18, *(WORSE,) * 18, *((),) * 12]
    alive: Replica | None = dying
    for findings in [(), (), (), *said]:
        stage.clock.seconds += 5
        if alive is dying:
            try:
                await dying.step(*findings)
            except Crash:
                alive = None
                await pass_time(stage.ledger, LEASE.total_seconds())
        # Another replica watches all the time, and speaks once the lease is its own.
        await heir.step(*findings)
    await stage.run(60, heir, findings=())
    assert alive is None, f"nobody died at {name}"
    assert len(stage.told) == 1, f"{name}: told {len(stage.told)} times"
    assert "✓ main" in stage.shown(stage.told[0]), name
    told = ["worse" if "Worse" in each else "over" for each in stage.replies]
    assert told == ["worse", "over"], f"{name}: {told}"
    (alert,) = await stage.ledger.alerts.current(stage.clock.now() - timedelta(hours=1), NEVER)
    assert (alert.state, alert.news) == (AlertState.OVER, None), name
    assert alert.drawn == alert.revision, name


NEVER = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("seed", range(6))
async def test_replicas_that_pass_on_the_lease_never_tell_twice(stage: Stage, seed: int) -> None:
    """Replicas die, Slack loses answers, and the ledger is away, at random."""
    chance = random.Random(seed)

    def befalls(_: int, when: str) -> BaseException | None:
        drawn = chance.random()
        if drawn < 0.01:
            return Crash(when)
        if drawn < 0.06 and any(word in when for word in ("post", "reply", "redraw", "replied")):
            surely = when.startswith("before")
            return Unsaid("lost", surely=surely)
        return LedgerError("away") if drawn < 0.09 else None

    numbers = iter(range(1000))
    replicas = [stage.replica(f"{next(numbers)}", befalls) for _ in range(2)]
    names = ("a", "b", "c")
    for _ in range(12):
        present = tuple(finding(name=each) for each in names if chance.random() < 0.5)
        for _ in range(chance.randrange(4, 20)):
            stage.clock.seconds += 5
            for at, replica in enumerate(replicas):
                try:
                    await replica.step(*present)
                except Crash:
                    replicas[at] = stage.replica(f"{next(numbers)}", befalls)
                    await pass_time(stage.ledger, LEASE.total_seconds())
    calm = stage.replica("calm")
    await pass_time(stage.ledger, LEASE.total_seconds())
    await stage.run(900, calm, findings=())
    since = stage.clock.now() - timedelta(hours=3)
    alerts = await stage.ledger.alerts.current(since, since)
    assert all(each.state is AlertState.OVER and each.news is None for each in alerts)
    keys = [m.metadata["event_payload"]["key"] for m in stage.told if m.metadata]
    assert len(keys) == len(set(keys))
    assert set(keys) <= {each.key for each in alerts}
    assert {each.key for each in alerts if each.message_ts} == set(keys)
    said = [
        (m.thread_ts, m.metadata["event_payload"]["reply"])
        for m in stage.slack.state.messages(CHANNEL)
        if m.thread_ts and m.metadata
    ]
    assert len(said) == len(set(said))
    assert all("✓ main" in stage.shown(each) for each in stage.told)


async def test_post_whose_answer_is_lost_is_not_repeated(stage: Stage) -> None:
    lost = iter([Unsaid("lost", surely=False)])

    def befalls(_: int, when: str) -> BaseException | None:
        return next(lost, None) if when == "after post" else None

    replica = stage.replica("one", befalls)
    await stage.run(90, replica, findings=BAD)
    assert len(stage.told) == 1
    (alert,) = await stage.ledger.alerts.current(NEVER, NEVER)
    assert alert.message_ts == stage.told[0].ts


async def test_alert_that_is_over_before_it_is_found_is_closed_all_the_same(stage: Stage) -> None:
    looking = False

    def befalls(_: int, when: str) -> BaseException | None:
        is_lookup = when == "before posted" and not looking
        unsure = when == "after post" or is_lookup
        return Unsaid("lost", surely=False) if unsure else None

    replica = stage.replica("one", befalls)
    await stage.run(60, replica, findings=BAD)
    await stage.run(120, replica, findings=())
    (message,) = stage.told
    assert "⚠ main" in stage.shown(message)
    looking = True
    await stage.run(180, replica, findings=())
    assert "✓ main" in stage.shown(message)


async def test_what_slack_does_not_take_is_counted(stage: Stage) -> None:
    metrics, channel = Metrics(dict), stage.slack.state.channels[CHANNEL]
    replica = stage.replica("one")
    replica.alerting._telling._meter = metrics
    stage.slack.state.put_channel(replace(channel, is_archived=True))
    await stage.run(60, replica, findings=BAD)
    assert stage.told == []
    assert b"pg_sessions_alerts_unsaid_total 0.0" not in metrics.exposed()
    stage.slack.state.put_channel(channel)
    await stage.run(90, replica, findings=BAD)
    assert len(stage.told) == 1  # once the channel takes it


async def test_alert_that_slack_took_late_is_not_worse_at_once(stage: Stage) -> None:
    failing = True

    def befalls(_: int, when: str) -> BaseException | None:
        return Unsaid("lost", surely=True) if failing and when == "before post" else None

    replica = stage.replica("one", befalls)
    await stage.run(120, replica, findings=BAD)
    failing = False
    await stage.run(90, replica, findings=WORSE)
    assert len(stage.told) == 1
    await stage.run(30, replica, findings=WORSE)
    assert stage.replies == []
    (alert,) = await stage.ledger.alerts.current(stage.clock.now(), stage.clock.now())
    assert (alert.told_hurt, alert.worst) == (20, 20)
    assert alert.told_at - alert.since >= timedelta(minutes=2)


async def test_message_that_slack_refuses_holds_up_no_other(stage: Stage) -> None:
    class Stubborn:
        """Refuses to redraw one alert."""

        def __getattr__(self, name: str) -> Any:
            return getattr(stage.voice, name)

        async def redraw(self, saying: Saying) -> None:
            if saying.alert.topic.subject.name == "a":
                raise Unsaid("msg_too_long", surely=True)
            await stage.voice.redraw(saying)

    replica = stage.replica("one")
    replica.voice = Stubborn()
    await stage.run(60, replica, findings=(finding(name="a"), finding(name="b")))
    await stage.run(90, replica, findings=())
    shown = [stage.shown(each) for each in stage.told]
    assert ["✓ main: b was at its limit" in each for each in shown] == [False, True]


async def test_without_the_ledger_nothing_is_told_until_it_is_back(stage: Stage) -> None:
    away = True

    def befalls(_: int, when: str) -> BaseException | None:
        return LedgerError("away") if away and "post" not in when else None

    replica = stage.replica("one", befalls)
    await stage.run(60, replica, findings=BAD)
    assert stage.told == []
    away = False
    await stage.run(10, replica, findings=BAD)
    assert len(stage.told) == 1


async def test_alert_of_a_cluster_that_has_no_channel_any_more_is_closed(stage: Stage) -> None:
    replica = stage.replica("one")
    await stage.run(60, replica, findings=BAD)
    (message,) = stage.told
    unwatched = stage.replica("one")
    unwatched.alerting = Alerting(
        stage.ledger.alerts, unwatched.speaker, stage.clock, AlertRules(), UNMEASURED
    )
    await stage.run(10, unwatched, findings=BAD)
    assert "The bot no longer watches this" in stage.shown(message)
    assert stage.replies == []


async def test_alert_grows_older_in_its_message_but_not_at_every_sample(stage: Stage) -> None:
    replica = stage.replica("one")
    await stage.run(60, replica, findings=BAD)
    before = len(stage.slack.calls("chat.update"))
    await stage.run(300, replica, findings=BAD)
    (message,) = stage.told
    assert "(5 min " in stage.shown(message)
    assert 4 <= len(stage.slack.calls("chat.update")) - before <= 6


async def test_many_alerts_together_stay_under_their_bound_of_redraws(stage: Stage) -> None:
    replica = stage.replica("one")
    every = tuple(finding(name=f"role {number}") for number in range(6))
    await stage.run(120, replica, findings=every)
    assert len(stage.told) == 6
    for _ in range(3):
        before = len(stage.slack.calls("chat.update"))
        for hurt in (2, 1) * 2:
            much = tuple(replace(each, hurt=hurt) for each in every)
            await stage.run(15, replica, findings=much)
        assert 8 <= len(stage.slack.calls("chat.update")) - before <= 12


async def test_targets_of_a_kill_within_the_last_minute_are_not_told(stage: Stage) -> None:
    replica = stage.replica("one")
    await stage.run(20, replica, findings=())
    kill = await claimed(stage.ledger, "one")  # of the finding's session
    await stage.run(60, replica, findings=BAD)
    assert stage.told == []
    async with stage.ledger._transactions.write() as connection:
        earlier = stage.ledger._store.after(-timedelta(seconds=61))
        done = sqlalchemy.update(schema.kills).where(schema.kills.c.id == kill.id)
        await connection.execute(done.values(claimed_at=earlier))
    await stage.run(10, replica, findings=BAD)
    assert len(stage.told) == 1


class Watched:
    """A bot that samples a real server, on the test's clock."""

    def __init__(self, stage: Stage, cluster: PostgresCluster, after: Thresholds) -> None:
        self._stage = stage
        self.operations = Operations(
            {"main": cluster},
            stage.ledger,
            stage.clock,
            rules=Rules(sample_every=timedelta(seconds=5), patience=AT_ONCE),
            owner="me",
            alerts=AlertRules({"main": CHANNEL}, after),
        )

    async def pass_by(self, seconds: float) -> None:
        clock = self._stage.clock
        until = clock.seconds + seconds
        while clock.seconds < until:
            clock.seconds += 5
            await self.operations.speaker.hold()
            await self.operations.samples.take("main")
            await self.operations.alerting.work(self._stage.voice)


async def test_real_limit_is_told_in_one_message_from_begin_to_end(
    sampled: PostgresCluster, stage: Stage, sessions: Sessions
) -> None:
    bot = Watched(stage, sampled, {Rule.LIMIT: AFTER})
    holder = await sessions.open("some_user")
    pid = holder.get_server_pid()
    await bot.pass_by(30)
    (message,) = stage.told
    assert f"held by pid {pid}" in stage.shown(message)
    (alert,) = await stage.ledger.alerts.current(NEVER, NEVER)
    assert alert.topic.subject == Subject(SubjectOf.ROLE, "some_user")
    assert await bot.operations.alerting.mute(alert.key, Actor("U0VERA", "T0ACME"))
    await holder.close()
    await bot.pass_by(60)
    assert "some_user was at its limit" in stage.shown(message)
    assert stage.replies == []  # it was muted


@pytest.mark.parametrize("limit", [{}, {Rule.LIMIT: timedelta(hours=1)}], ids=["off", "later"])
async def test_real_blocker_is_told_although_its_role_is_at_its_limit(
    sampled: PostgresCluster,
    stage: Stage,
    sessions: Sessions,
    admin: asyncpg.Connection,
    limit: Thresholds,
) -> None:
    bot = Watched(stage, sampled, {Rule.BLOCKER: AFTER, **limit})
    holder, waiter = await sessions.open("some_user"), await sessions.open("web")
    await holder.execute("begin; update accounts set balance = 0 where id = 1")
    waiting = asyncio.ensure_future(waiter.execute("update accounts set balance = 1 where id = 1"))
    await until(admin, "select exists (select from pg_locks where not granted)")
    await bot.pass_by(30)
    (message,) = stage.told
    assert f"pid {holder.get_server_pid()} holds up others" in stage.shown(message)
    await holder.execute("rollback")
    await waiting
