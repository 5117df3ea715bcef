"""The world of the machine: the servers, the bot's processes, and what happens to them."""

import asyncio
import os
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

import aiohttp
import asyncpg
from slack_sdk.web.async_client import AsyncWebClient
from sqlalchemy import BigInteger, bindparam, type_coerce

from bot import pg_url
from bot.background import Tasks
from bot.domain.kills import LEASE, Conclusion, Draft
from bot.domain.people import Allowlist, Right
from bot.domain.record import RefusalNote
from bot.domain.sessions import BackendId
from bot.domain.signals import Guard
from bot.errors import BotError, ClusterTimeout, LedgerError, NotSent
from bot.ledger.schema import Instant
from bot.ledger.sql import TIME_LIMIT, Made, SqlLedger
from bot.operations import Operations, Rules
from bot.ports import Cluster, Ledger
from bot.postgres.cluster import PostgresCluster
from bot.service.clock import SystemClock
from bot.service.metrics import Metrics
from bot.slack.authorization import Authorization
from bot.slack.delivery import Delivery
from bot.slack.directory import Directory
from bot.slack.layouts import Layouts
from bot.slack.objects import Identity
from bot.slack.runner import Runner
from bot.slack.speech import Speech
from tests.integration.machine.judge import CONFIRM_TTL, Judge, JudgedCluster, JudgedLedger
from tests.integration.machine.processes import (
    WORK,
    Fate,
    Life,
    LifeClock,
    Mortal,
    Time,
    What,
    Work,
)
from tests.integration.machine.scene import (
    ANA,
    BOT,
    CORA,
    ELSEWHERE,
    HERE,
    HOME,
    IDA,
    KEEPER,
    OLGA,
    SUPERUSER,
    VERA,
    Doing,
    Eyes,
    Frozen,
    Kind,
    Record,
    Shown,
)
from tests.integration.machine.victims import Session, Victim
from tests.rights import rights
from tests.servers import postgres
from workspace import Workspace
from workspace.people import PATIENCE

RULES = Rules(
    protected_roles=(("vi", ""),),
    protected_applications=(("backup", ""),),
    confirm_ttl=CONFIRM_TTL,
)

LISTS = {
    # Olga is listed, but belongs to another workspace.
    Right.KILL: Allowlist(frozenset({ANA.user_id, OLGA.user_id}), frozenset({"S0ONCALL"})),
    Right.CANCEL: Allowlist(frozenset({CORA.user_id})),
    Right.LOOK: Allowlist(frozenset({VERA.user_id})),
}
ELSEWHERES = {Right.KILL: {"prod": Allowlist(frozenset({IDA.user_id}))}}
RIGHTS = rights(LISTS, clusters=("main", "prod"), of=ELSEWHERES)
"""There are people with a right on `prod`, which this bot has no connection to."""

REPLICAS = 3

SETUP = f"""
    create role {BOT} login;
    grant pg_read_all_stats, pg_signal_backend to {BOT};
    create role {KEEPER} login;
    create role web login;
    create role batch login;
    create role vip login;
    create role standby login replication;
    create database some_db;
    create database ledger owner {KEEPER};
    create database other_ledger owner {KEEPER}
"""

ELSEWHERE_SETUP = f"""
    create role {BOT} login;
    grant pg_read_all_stats, pg_signal_backend to {BOT};
    create role {KEEPER} login;
    create role vip login;
    create role batch login;
    create role web login;
    create database some_db
"""
"""On another server: `vip`, who is protected, has the number there that `web` has here."""

GIVEN_UP_AFTER = 0.04
"""Seconds that a call waits for a ledger that another process keeps locked."""

TABLE = """
    create table accounts (id int primary key, balance int not null);
    insert into accounts select n, 100 from generate_series(1, 10) as n;
    grant all on accounts to public
"""

LAST_PID = Path("/proc/sys/kernel/ns_last_pid")


@dataclass(eq=False)
class Replica:
    """One process of the bot, and what it holds."""

    life: Life
    clock: LifeClock
    cluster: PostgresCluster
    ledger: SqlLedger
    operations: Operations
    runner: Runner
    directory: Directory

    @property
    def has_lost(self) -> bool:
        """Whether it lacks a connection to the cluster."""
        return len(set(self.cluster.connections)) > 1

    async def close(self) -> None:
        await self.cluster.close()
        await self.ledger.close()


def _of_cluster(after: bool) -> BotError:
    if after:
        return ClusterTimeout("main", "did not answer in time (connected, no reply)")
    return NotSent("main", "the connection was lost")


def _of_ledger(after: bool) -> BotError:
    return LedgerError("no reply" if after else "the disk is full")


def _held_by(cluster: PostgresCluster) -> list[Session]:
    """The connections that it holds, alive or not."""
    slots = (*cluster._work._slots, *cluster._kept._slots)
    return [slot.connection for slot in slots if slot.connection is not None]


class Twins:
    """Another bot's ledger: it has the same numbers as this one, for other kills."""

    def __init__(self, ledger: SqlLedger) -> None:
        self._ledger = ledger
        self._before: Draft | None = None

    async def keep_up(self, kill_id: int, draft: Draft) -> None:
        """Add a kill with that number, for the targets that were shown the time before."""
        twin, self._before = self._before or draft, draft
        while (await self._ledger.propose(twin, CONFIRM_TTL)).id < kill_id:
            pass


class Lock:
    """Another process's lock on a ledger: nobody can write it."""

    def __init__(self, file: Path | None, dsn: str) -> None:
        self._file = file
        self._dsn = dsn
        self._free: Callable[[], None] | None = None

    async def take(self) -> None:
        """Lock it, once nobody is writing."""
        if self._free is not None:
            return
        if self._file is not None:
            holder = sqlite3.connect(
                self._file, timeout=PATIENCE, isolation_level=None, check_same_thread=False
            )
            self._free = holder.close
            # A writer may need the event loop to finish.
            await asyncio.to_thread(holder.execute, "begin immediate")
        else:
            session = await asyncpg.connect(self._dsn)
            self._free = session.terminate
            await session.execute("begin; lock table kills in exclusive mode")

    def let_go(self) -> None:
        """Release it; harmless if it isn't held."""
        if self._free is not None:
            self._free()
            self._free = None


class World:
    """Everything that the machine's rules act on."""

    judge: Judge
    eyes: Eyes
    holder: Session
    replicas: list[Replica]
    stranger: Replica
    """A bot like these, with its own ledger; nothing happens to it."""

    def __init__(self, kind: Kind, folder: Path) -> None:
        self._kind = kind
        self._folder = folder
        self._stack = AsyncExitStack()
        self._born = 0
        self._patience = 0
        self.time = Time()
        self.tally: Counter[str] = Counter()
        self.adrift: list[tuple[Doing, Guard]] = []
        self._lost: set[Session] = set()  # connections that were cut
        self._residents: list[Session] = []  # on the other server

    # --- from before the first example until after the last -----------------------------

    async def open(self) -> None:
        """Start the servers and the processes."""
        stack = self._stack
        settings: dict[str, str | int] = {
            "max_connections": 80,
            "client_connection_check_interval": "100ms",
            "wal_level": "logical",
            # There are no deadlocks here, and the check would only disturb.
            "deadlock_timeout": "60s",
        }
        self._pg = await stack.enter_async_context(postgres(settings=settings))
        admin = await asyncpg.connect(self._pg.dsn())
        stack.callback(admin.terminate)
        for statement in SETUP.split(";"):
            await admin.execute(statement)
        self.eyes = Eyes(admin)
        self.holder = await self._connect(SUPERUSER, "holder")
        stack.callback(self.holder.terminate)
        await self.holder.execute(TABLE)
        await self._open_elsewhere()
        self._ledger_url, self._record = await self._make_ledger("ledger")
        self._other_url, self._other_record = await self._make_ledger("other_ledger")
        file = self._folder / "ledger.db" if self._kind == "sqlite" else None
        self._lock = Lock(file, self._pg.dsn(database="ledger"))
        stack.callback(self._lock.let_go)
        self._slack = await stack.enter_async_context(Workspace())
        self._http = await stack.enter_async_context(aiohttp.ClientSession())
        self._network = PostgresCluster("main", self._pg.dsn(user=BOT), "db-1.internal")
        await self._network.open()
        stack.push_async_callback(self._network.close)
        self.judge = Judge(self.eyes, self._record, self.time, self.tally, self._kind)
        self.stranger = await self._replica(of_stranger=True)
        self._twins = Twins(self.stranger.ledger)
        self.replicas = []
        for _ in range(REPLICAS):
            self.replicas.append(await self._replica())

    async def _open_elsewhere(self) -> None:
        """Start another server, to which an address may come to lead."""
        stack = self._stack
        self._elsewhere = await stack.enter_async_context(postgres())
        admin = await asyncpg.connect(self._elsewhere.dsn())
        stack.callback(admin.terminate)
        for statement in ELSEWHERE_SETUP.split(";"):
            await admin.execute(statement)
        self._eyes_elsewhere = Eyes(admin)
        oid = "select $1::regrole::oid::int8 as oid"
        (here,) = await self.eyes.fetch(oid, "web")
        (there,) = await self._eyes_elsewhere.fetch(oid, "vip")
        assert here == there

    async def _make_ledger(self, database: str) -> tuple[str, Record]:
        """The URL of a ledger, and a reader of it."""
        if self._kind == "sqlite":
            file = self._folder / f"{database}.db"
            return f"sqlite:///{file}", Record(file)
        reader = await asyncpg.connect(self._pg.dsn(database=database))
        self._stack.callback(reader.terminate)
        return self._pg.dsn(user=KEEPER, database=database), Record(Eyes(reader))

    @property
    def _everyone(self) -> tuple[Replica, ...]:
        return (*self.replicas, self.stranger)

    async def close(self) -> None:
        """Stop them."""
        for replica in self._everyone:
            await replica.close()
        await self._stack.aclose()

    async def _connect(self, user: str, app: str, **options: str) -> Session:
        return await asyncpg.connect(
            self._pg.dsn(user=user, database="some_db"),
            statement_cache_size=0,
            server_settings={"application_name": app, **options},
        )

    async def _replica(self, *, of_stranger: bool = False) -> Replica:
        self._born += 1
        life = Life(f"process-{self._born}", self.time)
        cluster = PostgresCluster("main", self._pg.dsn(user=BOT), "db-1.internal")
        await cluster.open()
        ledger = SqlLedger(self._other_url if of_stranger else self._ledger_url)
        self._share_the_time(ledger)
        await ledger.open()
        judged = JudgedCluster(self.judge, cluster)
        recorded: object = ledger
        if not of_stranger:
            recorded = JudgedLedger(self.judge, ledger, life.owner, self.time, self._twins.keep_up)
        mischief = {
            What.CUT: partial(self._cut_off, cluster),
            What.MOVED: partial(self._mislead, life, cluster, 1),
            What.SPLIT: partial(self._mislead, life, cluster, 2),
            What.LOCKED: partial(self._lock_out, ledger),
        }
        clock = LifeClock(life, self.time)
        asked = Mortal(judged, life, _of_cluster, mischief, self._set_adrift)
        operations = Operations(
            {"main": cast("Cluster", asked)},
            cast("Ledger", Mortal(recorded, life, _of_ledger, mischief)),
            clock,
            rules=self._rules,
            owner=life.owner,
        )
        client = AsyncWebClient(
            token=self._slack.bot_token,
            base_url=self._slack.api_url,
            session=self._http,
            retry_handlers=[],
        )
        directory = Directory(client, Identity(HOME, ""), RIGHTS, SystemClock())
        await directory.refresh_groups()
        layouts = Layouts(clock)
        runner = Runner(
            operations=operations,
            authorization=Authorization(directory, frozenset({HERE, ELSEWHERE})),
            delivery=Delivery(client, self._http, layouts),
            tasks=Tasks(),
            meter=Metrics(dict),
            speech=Speech(client, layouts),
        )
        return Replica(life, clock, cluster, ledger, operations, runner, directory)

    def _share_the_time(self, ledger: SqlLedger) -> None:
        """Apply skipped time to the ledger's clock as well."""
        store = ledger._store
        skipped = bindparam(
            "skipped", callable_=self.time.skipped_us, type_=BigInteger, unique=True
        )
        store.clock = type_coerce(type_coerce(store.clock, BigInteger) + skipped, Instant)
        ledger._made = Made(store)

    @property
    def _rules(self) -> Rules:
        """The settings of this example."""
        clusters = frozenset({"main"}) if self.judge.second_person else frozenset[str]()
        return replace(RULES, second_person=clusters)

    # --- one example ----------------------------------------------------------------------

    async def begin(self, *, second_person: bool, patience: int) -> None:
        """Begin an example: nobody is connected, and nothing is under way.

        At its end this many seconds pass before paused work goes on.
        """
        self._patience = patience
        self.adrift.clear()
        await self._all_written()
        await self.judge.begin(second_person=second_person)
        for replica in self._everyone:
            replica.operations.clusters.rules = self._rules
        await self._settle_elsewhere()
        await self.duty(on=True)
        await self._meet(self.holder, SUPERUSER, "holder", since=0.0)
        await self.arrive("standby", "walsender", replication="database")

    async def end(self) -> None:
        """End an example: everything finishes and is judged."""
        for seconds in (0, self._patience):
            await self.time.skip(seconds)
            await self.recover_all()
        await self.lead_back()
        for victim in self.judge.victims:
            self.wake(victim)
        while self.adrift:
            await self.arrives()
        for number, replica in enumerate(self.replicas):
            replica.life.has_ledger = True
            works = [w for w in self.judge.works if w.life is replica.life and not w.background]
            for work in works:
                for _ in range(3):
                    await self.go_on(work)
            if replica.life.works:
                await self._told_to_stop(number)
        for _ in range(3):
            await self.time.skip(LEASE.total_seconds() + 1)
            await self.recover_all()
        await self.judge.look_around()
        await self._all_written()
        await self.judge.read_the_record()
        await self._look_elsewhere()
        self.judge.raise_wrongs()

    async def _all_written(self) -> None:
        """Notes gather for a moment: write them now, in the example that they belong to."""
        for replica in self.replicas:
            await replica.operations._journal._notes.written(within=PATIENCE)

    async def clear(self) -> None:
        """Clean up after an example, however it ended."""
        self._let_in()
        await self.lead_back()
        victims = self.judge.victims
        for victim in victims:
            self.wake(victim)
        for number, replica in enumerate(self.replicas):
            if not replica.life.runs or replica.life.works or not replica.life.has_ledger:
                await self.die(number)
        await self.holder.execute("select pg_advisory_unlock_all()")
        for role in sorted(self.judge.superusers - {SUPERUSER}):
            await self.promote(role, superuser=False)
        for victim in victims:
            if victim.connection is not self.holder:
                await self.leave(victim)
        await self._record.rows("update kills set state = 'done' where state = 'claimed'")

    # --- elsewhere ------------------------------------------------------------------------

    async def _settle_elsewhere(self) -> None:
        """Open sessions on the other server that nobody may end: they are protected."""
        for resident in self._residents:
            resident.terminate()
        dsn = self._elsewhere.dsn(user="vip", database="some_db")
        self._residents = [
            await asyncpg.connect(dsn, server_settings={"application_name": app})
            for app in ("psql", "etl")
        ]
        for resident in self._residents[1:]:
            await resident.execute("begin; select 1")
        self.judge.residents = await self._there_elsewhere()

    async def _there_elsewhere(self) -> set[BackendId]:
        rows = await self._eyes_elsewhere.fetch(
            "select pid, backend_start from pg_stat_activity where pid = any($1::int[])",
            [resident.get_server_pid() for resident in self._residents],
        )
        return {BackendId(row["pid"], row["backend_start"]) for row in rows}

    async def _look_elsewhere(self) -> None:
        """Check that the other server's sessions and its ledger are unchanged."""
        for gone in self.judge.residents - await self._there_elsewhere():
            self.judge.wrong(f"{gone} was protected, on another server, and is gone")
        for row in await self._other_record.rows(
            "select id, state from kills where state <> 'proposed'"
        ):
            self.judge.wrong(f"kill {row['id']} of another ledger is {row['state']}")

    # --- sessions -------------------------------------------------------------------------

    async def arrive(self, user: str, app: str, **options: str) -> Victim:
        came = time.time()
        return await self._meet(await self._connect(user, app, **options), user, app, since=came)

    async def _meet(self, connection: Session, user: str, app: str, *, since: float) -> Victim:
        (row,) = await self.eyes.fetch(
            "select pid, backend_start from pg_stat_activity where pid = $1",
            connection.get_server_pid(),
        )
        changed = (since, time.time())
        victim = Victim(connection, row["pid"], row["backend_start"], user, app, changed)
        self.judge.met(victim)
        return victim

    async def leave(self, victim: Victim) -> None:
        """A session leaves by itself, and is seen to be gone."""
        self.wake(victim)
        victim.left = True
        victim.connection.terminate()
        if victim.message is not None:
            await asyncio.gather(victim.message.done, return_exceptions=True)
            victim.message = None
        await self.judge.until_gone([victim])

    async def reuse(self, victim: Victim) -> None:
        """A session leaves, and another gets its pid, if the system allows that."""
        await self.leave(victim)
        for _ in range(5):
            try:
                await asyncio.to_thread(LAST_PID.write_text, str(victim.pid - 1))
            except OSError:
                return
            successor = await self.arrive(victim.usename, victim.app)
            if successor.pid == victim.pid:
                self.tally["pid reused"] += 1
                return
            await self.leave(successor)

    async def forge(self, shown: Shown, *, server: bool) -> None:
        """Make a preview show sessions that were there before, or an earlier run."""
        for replica in self.replicas:
            replica.operations.claims.previews.take(shown.key)
        if server:
            shown.of_this_server = False
            await self._record.rows(
                "update kills set postmaster_start_time = postmaster_start_time - 1000000"
                " where id = $1",
                shown.id,
            )
            return
        earlier = timedelta(seconds=1)
        shown.targets = {
            BackendId(one.pid, one.backend_start - earlier): Frozen(None) for one in shown.targets
        }
        await self._record.rows(
            "update targets set backend_start = backend_start - 1000000 where kill_id = $1",
            shown.id,
        )

    async def deafen(self, victim: Victim) -> None:
        """Let a session run a query that heeds no cancel."""
        await victim.run_deaf(self.holder, self.eyes)
        self._set_pace()

    async def undeafen(self, *, goes_on: bool = False) -> None:
        """Such queries end; and `goes_on`: their sessions send others."""
        for victim in self.judge.victims:
            if victim.is_deaf and not victim.stopped:
                await victim.hear(self.holder, self.eyes)
                if goes_on and victim.free:
                    await victim.run(self.eyes)
        self._set_pace()

    def stun(self, victim: Victim) -> None:
        """Stop a backend: it takes no signal until it is resumed."""
        os.kill(victim.pid, signal.SIGSTOP)
        victim.stopped = True
        self._set_pace()

    def wake(self, victim: Victim) -> None:
        """Resume a stopped backend."""
        if victim.stopped:
            victim.stopped = False
            os.kill(victim.pid, signal.SIGCONT)
            self._set_pace()

    def _set_pace(self) -> None:
        """Don't wait in real time for sessions that won't end, or are sought on another server."""
        stays = any(victim.stopped or victim.is_deaf for victim in self.judge.victims)
        for replica in self.replicas:
            replica.clock.hurry = stays or replica.life.is_elsewhere

    async def promote(self, role: str, *, superuser: bool = True) -> None:
        """Make a role a superuser, or an ordinary one again."""
        await self.eyes.fetch(f"alter role {role} {'' if superuser else 'no'}superuser")
        (self.judge.superusers.add if superuser else self.judge.superusers.discard)(role)

    # --- processes ------------------------------------------------------------------------

    async def duty(self, *, on: bool) -> None:
        """Ben joins or leaves the group that may kill; the processes read it again."""
        self.judge.on_duty = on
        members = ("U0ANA", "U0BEN") if on else ("U0ANA",)
        self._slack.state.put_group(replace(self._slack.group("oncall"), users=members))
        for replica in self._everyone:
            await replica.directory.refresh_groups()

    def process(self, number: int) -> Replica:
        """A running process: this one, or the next that runs; or this one is resumed."""
        for step in range(REPLICAS):
            replica = self.replicas[(number + step) % REPLICAS]
            if replica.life.runs:
                return replica
        replica = self.replicas[number % REPLICAS]
        replica.life.go_on()
        return replica

    async def perform(self, doing: Doing, work: Callable[[], Awaitable[Any]]) -> None:
        """Let a process do something, until it is done, paused, or dead."""
        self.judge.begun(doing)
        doing.start(work)
        if not doing.background:
            await self._rest(doing)

    async def _rest(self, doing: Doing) -> None:
        await doing.until_it_rests()
        self._let_in()
        await self.judge.judge(doing)
        for number, replica in enumerate(self.replicas):
            if replica.life is doing.life:
                if replica.life.dead:
                    await self._reborn(number)
                elif replica.life.told_to_stop:
                    await self._told_to_stop(number)
                else:
                    await self._whole(replica)

    async def _cut_off(self, cluster: PostgresCluster) -> None:
        """A process loses its connections to the cluster."""
        await self._end_of(_held_by(cluster))

    async def _end_of(self, lost: Iterable[Session]) -> None:
        """End these connections of a process, on whichever server they are."""
        self._lost |= set(lost)
        for eyes in (self.eyes, self._eyes_elsewhere):
            await eyes.fetch(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where pid = any($1::int[]) and usename = $2",
                [connection.get_server_pid() for connection in lost],
                BOT,
            )

    async def _mislead(self, life: Life, cluster: PostgresCluster, every: int) -> None:
        """Make its address lead to another server, and every n-th of its connections too."""
        life.lose_its_way()
        self._set_pace()
        cluster._url = pg_url.read(self._elsewhere.dsn(user=BOT))
        await self._end_of(_held_by(cluster)[::every])

    async def lead_back(self) -> None:
        """Make every address lead to its own server again."""
        for replica in self.replicas:
            if replica.life.is_elsewhere and not replica.life.dead:
                replica.cluster._url = pg_url.read(self._pg.dsn(user=BOT))
                await self._end_of(_held_by(replica.cluster))
                await self._whole(replica)
                replica.life.is_elsewhere = False
        self._set_pace()

    async def _lock_out(self, ledger: SqlLedger) -> None:
        """Another process locks the ledger."""
        for work in self.judge.works:
            if work.under_way:
                work.calm = work.keeps_its_lease = False
        ledger._transactions._time_limit = GIVEN_UP_AFTER
        await self._lock.take()

    def _let_in(self) -> None:
        """Unlock the ledger."""
        self._lock.let_go()
        for replica in self.replicas:
            replica.ledger._transactions._time_limit = TIME_LIMIT

    async def _whole(self, replica: Replica) -> None:
        """Wait until lost connections are remade, so that the next request meets no trouble."""
        async with asyncio.timeout(PATIENCE):
            while self._lost.intersection(_held_by(replica.cluster)) or replica.has_lost:
                await asyncio.sleep(0.01)

    async def go_on(self, doing: Doing) -> None:
        """Paused work goes on, until it is done, paused again, or dead."""
        doing.life.go_on()
        doing.release()
        if doing.under_way:
            await self._rest(doing)

    async def die(self, number: int) -> None:
        """A process is killed, whatever it is doing."""
        self.replicas[number].life.die()
        await self._reborn(number)

    async def _told_to_stop(self, number: int) -> None:
        """A process stops in order: its work is cancelled and recorded."""
        replica = self.replicas[number]
        life = replica.life
        life.go_on()
        replica.operations.stop()
        for work in list(life.works):
            work.calm = work.keeps_its_lease = False
            await self._break_off(work)
        settling = Doing(life, name="settle", calm=False)
        self.judge.begun(settling)
        settling.start(replica.operations.settle)
        await settling.until_it_rests()
        await self.die(number)

    async def _break_off(self, work: Work) -> None:
        assert work.task is not None
        self._let_in()
        work.task.cancel()
        _, pending = await asyncio.wait({work.task}, timeout=PATIENCE)
        assert not pending, "a work that is broken off does not end"
        await self.judge.judge(cast("Doing", work))
        if work in work.life.works:
            work.life.works.remove(work)

    async def _reborn(self, number: int) -> None:
        """Replace a dead process with a new one, which looks at once for what is left."""
        replica = self.replicas[number]
        for work in list(replica.life.works):
            await self._break_off(work)
        waiting = replica.operations._journal._notes._waiting
        self.judge.lost(sum(isinstance(note, RefusalNote) for _, note in waiting))
        await replica.close()
        self.replicas[number] = await self._replica()
        self._set_pace()
        await self.recover(self.replicas[number])

    async def recover_all(self) -> None:
        """Every running process looks for claims whose owner has died."""
        for replica in list(self.replicas):
            if replica.life.runs:
                await self.recover(replica)

    async def recover(self, replica: Replica, fate: Fate | None = None) -> None:
        """A process looks for claims whose owner has died, unless it is still doing so."""
        if any(cast("Doing", work).name == "recover" for work in replica.life.works):
            return
        unwritten = set(replica.operations.claims.unwritten)
        doing = Doing(replica.life, fate, name="recover", calm=replica.life.is_well)

        async def recover() -> tuple[Conclusion, ...]:
            is_due = await replica.operations.recovery_is_due()
            return await replica.operations.recover() if is_due else ()

        await self.perform(doing, recover)
        if doing.calm and unwritten & set(replica.operations.claims.unwritten):
            self.judge.wrong(f"{replica.life.owner} has outcomes that it does not write")

    def _set_adrift(self, work: Work, guard: Guard) -> None:
        self.adrift.append((cast("Doing", work), guard))

    async def arrives(self) -> None:
        """A delayed statement reaches the server after all."""
        doing, guard = self.adrift.pop()
        WORK.set(doing)
        await self.judge.signal(self._network, guard)
