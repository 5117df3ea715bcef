"""Boards on a simulated clock: how often they are drawn, by whom, and how they end."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, cast

import aiohttp
import pytest
import sqlalchemy
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.background import Tasks
from bot.domain import boards as domain
from bot.domain.boards import Board, End
from bot.domain.kills import Actor, Place
from bot.domain.people import Allowlist, Right
from bot.errors import ClusterDown, ClusterError, NotAllowed, TargetError
from bot.grammar.parser import read_sessions
from bot.grammar.watching import WatchRequest
from bot.ledger.sql import SqlLedger
from bot.operations import Operations, Rules, glances
from bot.ports import Cluster
from bot.postgres.cluster import PostgresCluster
from bot.service.metrics import Metrics
from bot.slack import boards as module
from bot.slack import drawing
from bot.slack.api_errors import Client
from bot.slack.authorization import Admitted, Authorization
from bot.slack.delivery import Delivery
from bot.slack.directory import Directory
from bot.slack.layouts import Layouts
from bot.slack.objects import Identity
from bot.slack.payloads import Command
from bot.slack.runner import Runner
from bot.slack.speech import Speech
from tests.integration.conftest import BOT, Sessions
from tests.integration.ledger.test_leases import pass_time
from tests.rights import EVERYWHERE, rights
from workspace import Workspace
from workspace.postgres import PostgresServer
from workspace.state import Channel, Message

ANA, TEAM = "U0ANA", "T0ACME"
BEN = Actor("U0BEN", TEAM)
INCIDENTS = "C0INCIDENTS"
START = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
MINUTE = 60.0


class SimulatedClock:
    """Whoever sleeps makes the time pass."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        await asyncio.sleep(0)


class TimedClient(Client):
    """Notes when `chat.update` was called, on the simulated clock."""

    clock: SimulatedClock
    updates: list[tuple[float, str]]

    async def chat_update(self, **arguments: Any) -> AsyncSlackResponse:
        self.updates.append((self.clock.seconds, arguments["channel"]))
        return await super().chat_update(**arguments)


@dataclass
class Replica:
    """A bot without its transport, on the simulated clock."""

    clock: SimulatedClock
    operations: Operations
    runner: Runner
    boards: drawing.Drawing
    directory: Directory
    held_at: float = float("-inf")

    async def watch(
        self, text: str = "main/", channel_id: str = INCIDENTS, thread_ts: str = ""
    ) -> None:
        request = read_sessions(f"watch {text}")
        assert isinstance(request, WatchRequest)
        command = Command(
            command="/pg-sessions",
            text=f"watch {text}",
            actor=Actor(ANA, TEAM),
            channel_id=channel_id,
            channel_name="",
            response_url="",
            thread_ts=thread_ts,
        )
        admitted = await self.runner.authorization.admit(Right.LOOK, command)
        assert isinstance(admitted, Admitted)
        await module.answer(self.runner, command, request, admitted)

    async def run(self, seconds: float) -> None:
        """Draw what is due for so long."""
        until = self.clock.seconds + seconds
        while self.clock.seconds < until:
            if self.clock.seconds - self.held_at >= 10:
                await self.operations.speaker.hold()
                await self.directory.refresh_groups()
                self.held_at = self.clock.seconds
            wait = await self.boards.step()
            await self.boards.settled()
            self.clock.seconds += wait


class Quiet:
    """A cluster on which nothing is wrong, or that doesn't answer."""

    def __init__(self, cluster: PostgresCluster) -> None:
        self._cluster = cluster
        self.trouble: ClusterError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cluster, name)

    async def look(self, *arguments: Any, **options: Any) -> Any:
        if self.trouble is not None:
            raise self.trouble
        return await self._cluster.look(*arguments, **options)


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock()


@pytest.fixture(scope="module")
async def sampled(pg: PostgresServer) -> AsyncIterator[PostgresCluster]:
    cluster = PostgresCluster("main", pg.dsn(user=BOT), "db-1.internal", sampled=True)
    await cluster.open()
    yield cluster
    await cluster.close()


@pytest.fixture
def main(sampled: PostgresCluster) -> Quiet:
    return Quiet(sampled)


@pytest.fixture
async def client(slack: Workspace, clock: SimulatedClock) -> AsyncIterator[TimedClient]:
    async with aiohttp.ClientSession() as session:
        made = TimedClient(
            token=slack.bot_token, base_url=slack.api_url, session=session, retry_handlers=[]
        )
        made.clock, made.updates = clock, []
        yield made


@pytest.fixture
async def replicas(
    client: TimedClient,
    clock: SimulatedClock,
    main: Quiet,
    ledger: SqlLedger,
    slack: Workspace,
    monkeypatch: pytest.MonkeyPatch,
) -> list[Replica]:
    # Looks are shared for a second of real time, in which minutes pass here.
    monkeypatch.setattr(glances, "SHARED_FOR", 0.0)
    made = []
    group = Allowlist(groups=frozenset({slack.group("oncall").id}))
    for owner in ("one", "two"):
        operations = Operations(
            {"main": cast("Cluster", main)},
            ledger,
            clock,
            rules=Rules(sample_every=timedelta(seconds=5)),
            owner=owner,
        )
        assert client.session is not None
        directory = Directory(client, Identity(TEAM, ""), rights({Right.LOOK: group}), clock)
        await directory.refresh_groups()
        layouts = Layouts(clock)
        runner = Runner(
            operations=operations,
            authorization=Authorization(directory, frozenset()),
            delivery=Delivery(client, client.session, layouts),
            tasks=Tasks(),
            meter=Metrics(dict),
            speech=Speech(client, layouts),
        )
        made.append(Replica(clock, operations, runner, drawing.Drawing(runner, clock), directory))
    return made


@pytest.fixture
def one(replicas: list[Replica]) -> Replica:
    return replicas[0]


def most_in_a_minute(times: Iterable[float]) -> int:
    every = sorted(times)
    return max(sum(1 for each in every if at <= each <= at + MINUTE) for at in every)


def shown(slack: Workspace, channel_id: str = INCIDENTS) -> list[str]:
    ana = slack.person("ana")
    return [ana.text_of(each) for each in slack.state.messages(channel_id)]


def message(slack: Workspace) -> Message:
    (only,) = slack.state.messages(INCIDENTS)
    return only


def told(slack: Workspace) -> list[str]:
    """What ana was told alone: in the channel, or in her direct messages with the bot."""
    direct = slack.state.direct_message(ANA)
    here = [each for each in slack.state.messages(INCIDENTS) if each.receiver == ANA]
    ana = slack.person("ana")
    return [ana.text_of(each) for each in [*here, *slack.state.messages(direct.id)]]


async def only(ledger: SqlLedger) -> Board:
    (board,) = await ledger.boards.unclosed()
    return board


async def ends(ledger: SqlLedger) -> list[str]:
    """Why the boards that are closed have ended."""
    async with ledger._transactions.read() as connection:
        rows = await connection.execute(
            sqlalchemy.text("SELECT ended_why FROM boards WHERE closed_at IS NOT NULL ORDER BY id")
        )
        return [row.ended_why for row in rows]


async def test_quiet_board_is_drawn_each_minute_and_a_troubled_one_each_ten_seconds(
    one: Replica, client: TimedClient, main: Quiet, slack: Workspace
):
    await one.watch()
    await one.run(5 * MINUTE)
    (board,) = shown(slack)
    assert "Watching main" in board
    assert "redrawn every 1 min" in board
    assert "since 12:00 UTC, by @ana" in board
    times = [at for at, _ in client.updates]
    assert 5 <= len(times) <= 7

    main.trouble = ClusterDown("main", "does not answer")
    await one.run(2 * MINUTE)
    client.updates.clear()
    await one.run(5 * MINUTE)
    (board,) = shown(slack)
    assert "redrawn every 10 s" in board
    assert "main: does not answer" in board
    assert 29 <= len(client.updates) <= 30

    main.trouble = None
    while "does not answer" in shown(slack)[0]:
        await one.run(1)
    assert "redrawn every 1 min" in shown(slack)[0]


async def test_fifty_boards_stay_under_the_bound_and_none_is_older_than_it_says(
    one: Replica, client: TimedClient, main: Quiet, slack: Workspace
):
    main.trouble = ClusterDown("main", "does not answer")
    bot = slack.state.app.user_id
    channels = [f"C{number:09}" for number in range(50)]
    for each in channels:
        members = frozenset({ANA, bot})
        slack.state.put_channel(Channel(id=each, name=each, kind="public", members=members))
        await one.watch(channel_id=each)
    claims: dict[str, list[tuple[float, float]]] = {each: [] for each in channels}
    before = 0
    until = one.clock.seconds + 12 * MINUTE
    while one.clock.seconds < until:
        await one.run(1)
        for at, channel_id in client.updates[before:]:
            (text,) = shown(slack, channel_id)
            claims[channel_id].append((at, _claimed(text)))
        before = len(client.updates)

    assert 26 <= most_in_a_minute(at for at, _ in client.updates) < domain.MOST
    for drawn in claims.values():
        assert len(drawn) >= 5
        for (at, claimed), (then, _) in pairwise(drawn):
            assert then - at <= claimed + 5  # to the five seconds that it is rounded to
    assert max(claimed for drawn in claims.values() for _, claimed in drawn) <= 120


async def test_bound_is_kept_while_the_lease_passes_on(
    replicas: list[Replica],
    client: TimedClient,
    main: Quiet,
    slack: Workspace,
    ledger: SqlLedger,
):
    one, two = replicas
    main.trouble = ClusterDown("main", "does not answer")
    members = frozenset({ANA, slack.state.app.user_id})
    for each in [f"C{number:09}" for number in range(15)]:
        slack.state.put_channel(Channel(id=each, name=each, kind="public", members=members))
        await one.watch(channel_id=each)
    await one.run(3 * MINUTE)
    await ledger.leases.release("speaker", "one")
    await two.run(3 * MINUTE)
    assert 26 <= most_in_a_minute(at for at, _ in client.updates) < domain.MOST


def _claimed(text: str) -> float:
    """The seconds of `redrawn every 1 min 50 s`."""
    words = text.partition("redrawn every ")[2].partition(" · ")[0].split()
    units = {"s": 1, "min": 60}
    return float(sum(int(n) * units[u] for n, u in zip(words[::2], words[1::2], strict=True)))


async def test_rate_limit_is_kept_and_each_refusal_counts_as_a_call(
    one: Replica, client: TimedClient, main: Quiet, slack: Workspace
):
    main.trouble = ClusterDown("main", "does not answer")
    await one.watch()
    await one.run(MINUTE)
    slack.faults.rate_limit("chat.update", times=2, retry_after=45)
    client.updates.clear()
    await one.run(4 * MINUTE)
    times = [at for at, _ in client.updates]
    first, second, third = times[:3]
    assert min(second - first, third - second) >= 44.999
    (board,) = shown(slack)
    assert "redrawn every 10 s" in board
    assert most_in_a_minute(times) <= 7


async def test_late_board_says_how_old_it_was(
    one: Replica, client: TimedClient, main: Quiet, slack: Workspace
):
    main.trouble = ClusterDown("main", "does not answer")
    await one.watch()
    await one.run(MINUTE)
    slack.faults.rate_limit("chat.update", times=1, retry_after=40)
    client.updates.clear()
    while len(client.updates) < 2:
        await one.run(1)
    (board,) = shown(slack)
    assert _claimed(board) >= client.updates[1][0] - client.updates[0][0]


async def test_refused_layout_is_drawn_simpler_within_the_bound(
    one: Replica, client: TimedClient, slack: Workspace, sessions: Sessions
):
    await sessions.open("web")
    await one.watch()
    slack.faults.refuse_tables()
    await one.run(3 * MINUTE)
    (board,) = shown(slack)
    assert "usename" in board
    kinds = {block["type"] for block in message(slack).blocks}
    assert kinds.isdisjoint({"table", "data_table"})
    # Each refusal is a call, and a layout that was refused isn't tried again.
    times = [at for at, _ in client.updates]
    assert min(b - a for a, b in pairwise(times)) >= domain.APART - 0.001
    assert len(times) <= 5


async def test_trouble_of_slacks_takes_nothing_from_the_next_drawing(
    one: Replica, slack: Workspace, sessions: Sessions
):
    await sessions.open("web")
    await one.watch()
    await one.run(10)
    slack.faults.refuse("chat.update", "internal_error", times=2)
    await one.run(3 * MINUTE)
    assert slack.faults.in_force() == []
    assert {"data_table", "actions"} <= {block["type"] for block in message(slack).blocks}


async def test_asking_again_moves_the_board_and_says_so(
    one: Replica, slack: Workspace, ledger: SqlLedger
):
    await one.watch()
    await one.run(10)
    await one.watch("user=web")
    await one.run(10)
    before, now = shown(slack)
    assert "The board of main has moved" in before
    assert "@ana asked again" in before
    assert "Watching main/ user=web" in now
    assert (await only(ledger)).wording == "watch main/ user=web"
    assert await ends(ledger) == [End.MOVED]


async def test_board_ends_after_thirty_quiet_minutes(
    one: Replica, client: TimedClient, main: Quiet, slack: Workspace, ledger: SqlLedger
):
    await one.watch()
    await one.run(20 * MINUTE)
    main.trouble = ClusterDown("main", "does not answer")
    await one.run(3 * MINUTE)
    main.trouble = None
    await one.run(28 * MINUTE)
    assert "Watching main" in shown(slack)[0]
    await one.run(4 * MINUTE)
    assert "Stopped watching main: nothing was wrong for 30 min" in shown(slack)[0]
    assert "/pg-sessions watch main/" in shown(slack)[0]
    assert not [each for each in message(slack).blocks if each["type"] == "actions"]
    assert await ends(ledger) == [End.QUIET]
    client.updates.clear()
    await one.run(5 * MINUTE)
    assert client.updates == []


async def test_board_ends_after_four_hours_of_trouble(
    one: Replica, main: Quiet, slack: Workspace, ledger: SqlLedger
):
    main.trouble = ClusterDown("main", "does not answer")
    await one.watch()
    for _ in range(12):
        await one.run(MINUTE)
        one.clock.seconds += 19 * MINUTE  # soon enough for the trouble to last
    one.clock.seconds -= MINUTE
    await one.run(10)
    assert "Watching main" in shown(slack)[0]
    await one.run(2 * MINUTE)
    assert "Stopped watching main: a board lasts 4 h at most" in shown(slack)[0]
    assert await ends(ledger) == [End.LONGEST]


async def test_second_replica_goes_on_in_the_same_message_when_the_first_dies(
    replicas: list[Replica], client: TimedClient, slack: Workspace, ledger: SqlLedger
):
    one, two = replicas
    await one.watch()
    await one.run(30)
    drawn = message(slack)
    await two.run(30)  # it has no lease
    count = len(client.updates)
    assert message(slack) == drawn

    await pass_time(ledger, 21)  # one is dead
    await two.run(30)
    assert len(client.updates) > count
    (board,) = shown(slack)
    assert "since 12:00 UTC, by @ana" in board
    assert message(slack).ts == drawn.ts
    count = len(client.updates)
    one.held_at = one.clock.seconds  # it wakes up, and hasn't asked the ledger yet
    await one.run(4)
    assert len(client.updates) == count
    await one.operations.speaker.hold()
    assert not one.operations.speaker.speaks


@pytest.mark.parametrize("died", ["before posting", "before recording"])
async def test_board_whose_replica_died_before_its_message_was_on_record_appears(
    one: Replica, slack: Workspace, ledger: SqlLedger, died: str, monkeypatch: pytest.MonkeyPatch
):
    async def dies(*_: object) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as now:
        if died == "before posting":
            now.setattr(one.runner.speech, "post", dies)
        else:
            now.setattr(ledger.boards, "posted", dies)
        with pytest.raises(asyncio.CancelledError):
            await one.watch()
    await one.operations.samples.take("main")  # nothing is wrong: it would be drawn each minute
    await one.run(28)
    assert not any("Watching" in each for each in shown(slack))
    await one.run(17)
    assert sum("Watching main" in each for each in shown(slack)) == 1


async def test_board_whose_replica_died_before_closing_it_is_closed(
    one: Replica, slack: Workspace, ledger: SqlLedger
):
    await one.watch()
    await one.run(10)
    board = await only(ledger)
    await ledger.boards.end(board.id, End.STOPPED, one.clock.now(), Actor("U0BEN", TEAM))
    await one.run(10)
    assert "Stopped watching main: @ben stopped it" in shown(slack)[0]
    assert await ledger.boards.unclosed() == ()


async def test_board_whose_thread_is_gone_is_in_the_channel_and_its_person_is_told(
    one: Replica, slack: Workspace
):
    said = Message(channel=INCIDENTS, ts=slack.state.new_ts(), user="U0BEN", text="it is slow")
    alarm = slack.state.post(said)
    slack.state.delete(alarm)
    await one.watch(thread_ts=alarm.ts)
    await one.run(10)
    (line,) = told(slack)
    assert "in the channel, not in the thread" in line
    assert [each for each in shown(slack) if "Watching main" in each]


async def deleted(slack: Workspace) -> None:
    slack.state.delete(message(slack))


async def archived(slack: Workspace) -> None:
    slack.state.put_channel(replace(slack.state.channels[INCIDENTS], is_archived=True))


async def removed(slack: Workspace) -> None:
    slack.state.put_channel(replace(slack.state.channels[INCIDENTS], kind="private"))
    slack.state.leave(INCIDENTS, slack.state.app.user_id)


@pytest.mark.parametrize(
    ("happens", "end", "words"),
    [
        (deleted, End.DELETED, "its message was deleted"),
        (archived, End.ARCHIVED, "the channel was archived"),
        (removed, End.REMOVED, "the bot isn't in the channel any more"),
    ],
)
async def test_board_that_cannot_be_drawn_any_more_ends_and_its_person_is_told(
    one: Replica, slack: Workspace, ledger: SqlLedger, happens: Any, end: End, words: str
):
    await one.watch()
    await one.run(10)
    await happens(slack)
    await one.run(3 * MINUTE)
    assert await ends(ledger) == [end]
    (line,) = told(slack)
    assert "The board of main has ended" in line
    assert words in line


@pytest.mark.parametrize("code", sorted(drawing._ENDS))
async def test_every_code_for_a_lost_message_ends_its_board(
    one: Replica, slack: Workspace, ledger: SqlLedger, code: str
):
    await one.watch()
    await one.run(10)
    slack.faults.refuse("chat.update", code)
    await one.run(3 * MINUTE)
    assert await ends(ledger) == [drawing._ENDS[code]]
    assert len(told(slack)) == 1


@pytest.mark.parametrize("fault", ["fail", "drop", "invalid_auth"])
async def test_trouble_of_slack_ends_no_board(
    one: Replica, slack: Workspace, ledger: SqlLedger, fault: str
):
    await one.watch()
    await one.run(10)
    if fault == "invalid_auth":
        slack.faults.refuse("chat.update", fault, times=3)
    else:
        getattr(slack.faults, fault)("chat.update", times=3)
    await one.run(10 * MINUTE)
    assert (await only(ledger)).end is None
    assert slack.faults.in_force() == []
    assert "redrawn every 1 min" in shown(slack)[0]


async def test_board_ends_when_its_person_may_not_look_any_more(
    one: Replica, slack: Workspace, ledger: SqlLedger
):
    await one.watch()
    await one.run(10)
    slack.state.put_group(replace(slack.group("oncall"), users=("U0BEN",)))
    await one.directory.refresh_groups()
    await one.run(3 * MINUTE)
    (line,) = shown(slack)
    assert "Stopped watching main: @ana may not look there any more" in line
    assert await ends(ledger) == [End.RIGHT]


async def test_board_ends_when_another_workspace_shares_its_channel(
    one: Replica, slack: Workspace, ledger: SqlLedger, sessions: Sessions
):
    await sessions.open("web")
    await one.watch()
    await one.run(10)
    assert "web" in shown(slack)[0]
    shared = replace(slack.state.channels[INCIDENTS], connected_team_ids=("T0GLOBEX",))
    slack.state.put_channel(shared)
    await one.run(3 * MINUTE)
    (line,) = shown(slack)
    assert "Stopped watching main: this channel may not see the bot's answers any more" in line
    assert "web" not in line
    assert await ends(ledger) == [End.PLACE]


async def test_board_ends_when_its_channel_leaves_allowed_channels(
    one: Replica, slack: Workspace, ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
):
    await one.watch()
    await one.run(10)
    monkeypatch.setattr(one.runner.authorization, "_allowed_channels", frozenset({"C0RANDOM"}))
    await one.run(3 * MINUTE)
    assert "this channel may not see the bot's answers any more" in shown(slack)[0]
    assert await ends(ledger) == [End.PLACE]


async def test_board_is_neither_drawn_nor_ended_while_slack_does_not_say_who_reads_it(
    one: Replica, slack: Workspace, client: TimedClient, ledger: SqlLedger
):
    await one.watch()
    await one.run(10)
    slack.faults.leave_out("conversations.info", "channel.is_ext_shared", times=100)
    await one.run(2 * MINUTE)
    client.updates.clear()
    await one.run(3 * MINUTE)
    assert client.updates == []
    assert (await only(ledger)).end is None
    slack.faults.clear()
    await one.run(2 * MINUTE)
    assert client.updates != []


async def test_board_of_an_unknown_cluster_or_version_ends(
    one: Replica, slack: Workspace, ledger: SqlLedger
):
    await one.watch()
    await one.run(10)
    board = await only(ledger)
    async with ledger._transactions.write() as connection:
        await connection.execute(sqlalchemy.text("UPDATE boards SET wording = 'gaze main/'"))
    assert (await only(ledger)) != board
    await one.run(3 * MINUTE)
    assert "the bot's version or settings have changed" in shown(slack)[0]
    assert await ends(ledger) == [End.UNREADABLE]


async def test_lines_come_from_the_samples(
    one: Replica, slack: Workspace, clock: SimulatedClock, sessions: Sessions
):
    await one.watch()
    await one.operations.samples.take("main")
    holder = await sessions.open("web")
    await holder.execute("begin; update accounts set balance = 1 where id = 1")
    waiter = await sessions.open("web")
    blocked = asyncio.create_task(waiter.execute("update accounts set balance = 2 where id = 1"))
    while not (await one.operations.samples.take("main")).waiting:
        await asyncio.sleep(0.01)
    await one.run(15)
    (board,) = shown(slack)
    assert "waiting 1 ▇" in board
    assert "oldest xact" in board
    assert "redrawn every 10 s" in board
    await holder.execute("rollback")
    await blocked


async def test_channel_has_seen_what_its_board_showed(
    one: Replica,
    client: TimedClient,
    ledger: SqlLedger,
    main: Quiet,
    monkeypatch: pytest.MonkeyPatch,
):
    main.trouble = ClusterDown("main", "does not answer")
    await one.watch()
    await one.operations.settle()
    assert await ledger.last_look(INCIDENTS, "main") is None
    main.trouble = None
    monkeypatch.setattr(domain, "WHILE_QUIET", 10.0)
    await one.run(10 * MINUTE)
    assert len(client.updates) > 50
    await one.operations.settle()
    assert await ledger.last_look(INCIDENTS, "main") is not None
    async with ledger._transactions.read() as connection:
        (number,) = (await connection.execute(sqlalchemy.text("SELECT count(*) FROM looks"))).one()
    assert 8 <= number <= 11


async def test_end_of_the_trouble_is_shown_soon(one: Replica, main: Quiet, slack: Workspace):
    main.trouble = ClusterDown("main", "does not answer")
    await one.operations.samples.take("main")
    await one.watch()
    await one.run(30)
    assert "main: does not answer" in shown(slack)[0]
    main.trouble = None
    await one.operations.samples.take("main")
    await one.run(12)
    assert "main: does not answer" not in shown(slack)[0]


async def test_board_that_is_stopped_while_it_is_drawn_stays_stopped(
    one: Replica, slack: Workspace, ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
):
    await one.watch()
    await one.run(10)
    board = await only(ledger)
    redraw = one.runner.speech.redraw

    async def stopped_meanwhile(*arguments: Any, **options: Any) -> int:
        await one.operations.within(EVERYWHERE).stop_watching(BEN, board.place, "main")
        return await redraw(*arguments, **options)

    with monkeypatch.context() as now:
        now.setattr(Speech, "redraw", stopped_meanwhile)
        one.boards._timetable = domain.Timetable()
        await one.boards.step()
        await one.boards.settled()
    assert "Watching main" in shown(slack)[0]
    await one.run(10)
    assert "Stopped watching main: @ben stopped it" in shown(slack)[0]


async def test_button_stops_only_the_board_of_its_message_and_cluster(
    one: Replica, slack: Workspace, ledger: SqlLedger
):
    await one.watch()
    await one.run(10)
    board = await only(ledger)
    theirs = one.operations.within(EVERYWHERE)
    assert await theirs.stop_watching(BEN, board.place, "prod") is None
    assert await theirs.stop_watching(BEN, Place("C0RANDOM", board.message_ts), "main") is None
    with pytest.raises(NotAllowed):
        await one.operations.stop_watching(BEN, board.place, "main")
    assert await only(ledger) == board
    ended = await theirs.stop_watching(BEN, board.place, "main")
    assert ended is not None
    assert (ended.end, ended.ended_by) == (End.STOPPED, BEN)
    again = await theirs.stop_watching(Actor(ANA, TEAM), board.place, "main")
    assert again is not None
    assert (again.end, again.ended_by) == (End.STOPPED, BEN)


@pytest.mark.parametrize(
    ("text", "error"),
    [("nowhere", TargetError), ("user=nobody_of_this_name", TargetError), ("prod/", TargetError)],
)
async def test_board_of_an_unknown_name_is_refused(
    one: Replica, slack: Workspace, ledger: SqlLedger, text: str, error: type[Exception]
):
    with pytest.raises(error):
        await one.watch(text)
    assert await ledger.boards.unclosed() == ()
    assert shown(slack) == []


async def test_cluster_is_found_by_the_database_that_is_watched(
    one: Replica, slack: Workspace, ledger: SqlLedger
):
    await one.watch("some_db user=web")
    await one.run(10)
    assert (await only(ledger)).wording == "watch main/some_db user=web"
    assert "Watching main/some_db user=web" in shown(slack)[0]


async def test_board_that_cannot_be_posted_is_refused_and_its_person_is_told(
    one: Replica, slack: Workspace, ledger: SqlLedger
):
    slack.faults.refuse("chat.postMessage", "restricted_action")
    await one.watch()
    (line,) = told(slack)
    assert "There is no board of main" in line
    assert "restricted_action" in line
    await one.run(60)
    assert await ends(ledger) == [End.NOT_POSTED]
    assert len(told(slack)) == 1
