"""A hostile server, and the bot that looks at it.

Its names and queries are hostile, some in other encodings and some unterminated; hundreds of
sessions wait for one row; and a database's owner has planted code for the bot to run.

`FUZZ_CASES` is the total number of cases, `FUZZ_SEED` their seed, and `FUZZ_FIRST` the number of
the first: with its number, a failed case can be repeated.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from random import Random

import asyncpg
import pytest

import workspace.interactions
from tests.e2e.conftest import MODES, Bot
from tests.e2e.fuzz import making
from tests.integration.conftest import BOT
from tests.integration.hostile import SETTINGS, plant, set_all
from tests.raw import Raw
from tests.servers import postgres
from workspace import Workspace
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer
from workspace.state import Channel, User

CASES = int(os.environ.get("FUZZ_CASES", "400"))
SEED = os.environ.get("FUZZ_SEED", "1")
FIRST = int(os.environ.get("FUZZ_FIRST", "0"))

SHARES = {"commands": 0.4, "names": 0.2, "payloads": 0.4}
"""The share of each kind of case."""

CHUNK = 250
"""Cases for one bot and one workspace, both of which remember everything."""

LANES = 4
"""How many cases run side by side, each in its own channel with its own people."""

SESSIONS = 16

ENCODINGS = ("SQL_ASCII", "LATIN1", "WIN1251", "UTF8")
"""The encodings of the databases in turn; the first accepts any bytes."""

STRANGER = f"{making.MARK} caf".encode() + b"\xe9"
"""A role whose name isn't valid UTF-8."""

PLANTED, LANDLORD = "planted", "landlord"
"""A database for the bot, whose owner wants the bot to run their code."""

SNARE = """
    create table public.prey (pid int);
    grant select on public.prey to public;
    create or replace function public.tell(what text) returns boolean
    language plpgsql set search_path = pg_catalog, pg_temp as $$ begin
        perform pg_terminate_backend(pid) from public.prey;
        insert into public.calls (what) values (what);
        return true;
    end $$;
"""
"""It ends a session, which even a read-only transaction may do, and which no rollback undoes."""

QUEUE, WAITERS = f"{making.MARK} queue", 150
"""A role, and how many of its sessions wait for a row that another session has written."""

LIKE_ANY = {
    "search_path": "pg_catalog",
    "exit_on_error": "off",
    "lock_timeout": "0",
    "default_transaction_isolation": "read committed",
}
"""What one of our sessions resets of that owner's settings, to do its work."""

SOON = "limit=1,server_full=1,blocker=1,idle_in_transaction=1,horizon=1,waiting=1"

GONE = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError)


@dataclass
class Held:
    """A session that only a confirmed kill may end. `started` is in microseconds."""

    connection: asyncpg.Connection | Raw
    pid: int
    started: int
    at_work: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass
class World:
    """A server's names, and sessions with these names."""

    server: PostgresServer
    random: Random
    roles: list[str]
    databases: list[str]
    stack: AsyncExitStack
    held: list[Held] = field(default_factory=list)
    queue: list[Held] = field(default_factory=list)
    """The sessions that wait for a row, the one that holds it, and one that others may target."""

    @property
    def names(self) -> list[str]:
        return [*self.roles, *self.databases]

    @property
    def pids(self) -> list[int]:
        return [held.pid for held in self.held]

    async def fill(self) -> None:
        """Open sessions until there are enough, each with something to hide."""
        while len(self.held) < SESSIONS:
            try:
                connection = await asyncpg.connect(
                    self.server.dsn(),
                    user=self.random.choice(self.roles),
                    database=self.random.choice(self.databases),
                    server_settings={
                        "application_name": making.application(self.random),
                        "standard_conforming_strings": self.random.choice(("on", "on", "off")),
                    },
                )
            except asyncpg.TooManyConnectionsError:
                continue  # a role at its limit, which the bot reports
            except (asyncpg.UntranslatableCharacterError, asyncpg.CharacterNotInRepertoireError):
                continue  # a role whose name that database can't represent
            self.stack.callback(connection.terminate)
            started = await connection.fetchval(
                "select (extract(epoch from backend_start) * 1000000)::bigint"
                " from pg_stat_get_activity(pg_backend_pid())"
            )
            self.held.append(Held(connection, connection.get_server_pid(), started))
            await self.busy(self.held[-1], self.random)

        while sum(isinstance(held.connection, Raw) for held in self.held) < len(ENCODINGS) - 1:
            await self._arrive_in_bytes()

    async def _arrive_in_bytes(self) -> None:
        """Open a session that sends what no driver would, if its database accepts it."""
        at = self.random.randrange(min(len(ENCODINGS) - 1, len(self.databases)))
        user = self.random.choice((STRANGER, self.roles[0].encode()))
        app = making.MARK.encode() + b" \xe9"
        raw = await Raw.open(self.server, user, self.databases[at].encode(), app)
        self.stack.callback(raw.close)
        self.held += await self._as_held([raw], [raw.pid])
        await self.busy(self.held[-1], self.random)

    async def _as_held(
        self, connections: Sequence[asyncpg.Connection | Raw], pids: Sequence[int]
    ) -> list[Held]:
        admin = await asyncpg.connect(self.server.dsn())
        rows = await admin.fetch(
            "select pid, (extract(epoch from backend_start) * 1000000)::bigint as started"
            " from pg_stat_activity where pid = any($1::int[])",
            list(pids),
        )
        await admin.close()
        started = {row["pid"]: row["started"] for row in rows}
        return [
            Held(connection, pid, started[pid])
            for connection, pid in zip(connections, pids, strict=True)
        ]

    async def line_up(self) -> None:
        """Make one session write a row, many wait for it, and one be idle beside them."""
        opening = asyncio.Semaphore(8)
        dsn = self.server.dsn(user=QUEUE, database=PLANTED)

        async def arrive() -> asyncpg.Connection:
            async with opening:
                name = {"application_name": making.application(self.random)}
                settings = LIKE_ANY | name
                return await asyncpg.connect(dsn, timeout=PATIENCE, server_settings=settings)

        async def wait(one: asyncpg.Connection) -> None:
            with suppress(*GONE):
                await one.execute(f"update public.row set n = 1 /* {making.SECRET} */")

        prey, root = await arrive(), await arrive()
        owner = await asyncpg.connect(
            self.server.dsn(user=LANDLORD, database=PLANTED), server_settings=LIKE_ANY
        )
        await owner.execute(
            f"delete from public.prey; insert into public.prey values ({prey.get_server_pid()})"
        )
        await owner.close()
        await root.execute(f"begin; update public.row set n = 2 /* {making.SECRET} */")
        waiters = await asyncio.gather(*(arrive() for _ in range(WAITERS)))
        tasks = [asyncio.create_task(wait(one)) for one in waiters]
        self.stack.push_async_callback(asyncio.wait, tasks, timeout=PATIENCE)
        there = (prey, root, *waiters)
        for one in there:
            self.stack.callback(one.terminate)
        self.queue = await self._as_held(there, [one.get_server_pid() for one in there])

    async def busy(self, held: Held, random: Random) -> None:
        """Make a session run something, in a transaction or not; it may fail, or be dead."""
        if isinstance(held.connection, Raw):
            held.connection.say(making.foreign(random))
            return
        async with held.at_work:
            # A query that consists only of comments has no tag, which makes asyncpg raise
            # AttributeError.
            with suppress(*GONE, AttributeError):
                if random.random() < 0.5:
                    await held.connection.execute("rollback; begin; select txid_current()")
                await held.connection.execute(making.query(random))


@dataclass
class Lane:
    """A channel with its own people: `ana` and `ben` may kill, `vera` may look."""

    channel: Channel
    people: dict[str, User]

    @property
    def killers(self) -> list[str]:
        return [self.people[name].id for name in ("ana", "ben")]


def chunks(kind: str) -> list[tuple[str, int, str]]:
    """Kind, the number of its first case and the mode of each chunk: one mode, then the other."""
    firsts = range(FIRST, _end(kind), CHUNK)
    return [(kind, first, MODES[first // CHUNK % len(MODES)]) for first in firsts]


def cases(kind: str, first: int) -> Iterator[tuple[int, Random]]:
    """The numbers of a chunk's cases, each with its own random generator."""
    for number in range(first, min(first + CHUNK, _end(kind))):
        yield number, Random(f"{SEED} {kind} {number}")


def _end(kind: str) -> int:
    return FIRST + max(1, round(CASES * SHARES[kind]))


@pytest.fixture(scope="session")
async def hostile() -> AsyncIterator[PostgresServer]:
    settings: dict[str, str | int] = {
        "max_connections": WAITERS + 80,
        "track_activity_query_size": making.QUERY_KEPT,
        "deadlock_timeout": "1h",  # there are no deadlocks here
    }
    async with postgres(settings=settings) as server:
        connection = await asyncpg.connect(server.dsn())
        await connection.execute(
            f"create role {BOT} login; grant pg_read_all_stats, pg_signal_backend to {BOT};"
            f'create role keeper login; create role {LANDLORD} login; create role "{QUEUE}" login'
        )
        await connection.execute(f"create database {PLANTED} owner {LANDLORD}")
        owner = await asyncpg.connect(server.dsn(user=LANDLORD, database=PLANTED))
        await owner.execute("create table row (n int); insert into row values (0)")
        await owner.execute("grant all on row to public")
        await plant(owner)
        await owner.execute(SNARE)
        await set_all(owner, PLANTED, SETTINGS)
        await owner.close()
        await connection.close()
        yield server


@pytest.fixture
async def world(hostile: PostgresServer, first: int, kind: str) -> AsyncIterator[World]:
    random = Random(f"{SEED} world {kind} {first // CHUNK}")  # the same when a case is repeated
    roles = sorted({making.name(random) for _ in range(14)})
    databases = sorted({making.name(random) for _ in range(4)})
    admin = await asyncpg.connect(hostile.dsn())

    def quoted(name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    for at, role in enumerate(roles):
        limit = random.choice((-1, -1, 4, SESSIONS)) if at else -1
        await admin.execute(f"create role {quoted(role)} login connection limit {limit}")
    for database, encoding in zip(databases, ENCODINGS, strict=False):
        await admin.execute(
            f"create database {quoted(database)} connection limit 30"
            f" encoding '{encoding}' template template0 locale 'C'"
        )
    stranger = b'role "' + STRANGER + b'"'
    setup = await Raw.open(hostile, b"postgres", databases[0].encode(), b"setup")
    await setup.run(b"create " + stranger + b" login")
    setup.close()
    async with AsyncExitStack() as stack:
        world = World(hostile, random, roles, databases, stack)
        await world.fill()
        await world.line_up()
        yield world
    setup = await Raw.open(hostile, b"postgres", databases[0].encode(), b"setup")
    await setup.run(b"drop " + stranger)
    setup.close()
    for database in databases:
        await admin.execute(f"drop database {quoted(database)} with (force)")
    for role in roles:
        await admin.execute(f"drop role {quoted(role)}")
    await admin.close()


@pytest.fixture
def lanes(slack: Workspace) -> list[Lane]:
    made = []
    for at in range(LANES):
        people = {
            name: User(
                id=f"U0{name.upper()}{at}", team_id=slack.state.team.id, name=name, real_name=name
            )
            for name in ("ana", "ben", "vera", "sam", "cora", "ida")
        }
        people["olga"] = User(
            id=f"U0OLGA{at}", team_id="T0GLOBEX", name="olga", real_name="Olga of elsewhere"
        )
        for user in people.values():
            slack.state.put_user(user)
        channel = Channel(
            id=f"C0LANE{at}",
            name=f"lane-{at}",
            kind="public",
            members=frozenset({slack.state.app.user_id, *(u.id for u in people.values())}),
        )
        slack.state.put_channel(channel)
        made.append(Lane(channel, people))
    return made


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take its time: what matters is that there is an answer."""
    monkeypatch.setattr(workspace.interactions, "ACKNOWLEDGE_SECONDS", 60.0)


@pytest.fixture
async def ledger(hostile: PostgresServer) -> AsyncIterator[asyncpg.Connection]:
    """A ledger on a server that doesn't wait for the disk, seen by a separate reader."""
    admin = await asyncpg.connect(hostile.dsn())
    await admin.execute("create database ledger owner keeper")
    reader = await asyncpg.connect(hostile.dsn(database="ledger"))
    yield reader
    await reader.close()
    await admin.execute("drop database ledger with (force)")
    await admin.close()


@pytest.fixture
async def watched(
    world: World,
    lanes: list[Lane],
    hostile: PostgresServer,
    ledger: asyncpg.Connection,
    patient: None,
    start: Callable,
) -> Bot:
    """A bot that logs everything, including the debug lines of all libraries."""
    url = hostile.dsn(user=BOT, database="postgres")
    return await start(
        LEDGER_URL=hostile.dsn(user="keeper", database="ledger"),
        DATABASE_URL=url,
        DATABASE_URL_PROD=hostile.dsn(user=BOT, database=PLANTED),
        PG_KILL_ALLOWLIST=",".join(each for lane in lanes for each in lane.killers),
        # Ida may kill on `prod`, but not under the other name of its server; cora only cancels.
        PG_KILL_ALLOWLIST_PROD=",".join(
            each for lane in lanes for each in (*lane.killers, lane.people["ida"].id)
        ),
        PG_CANCEL_ALLOWLIST=",".join(lane.people["cora"].id for lane in lanes),
        PG_SESSIONS_ALLOWLIST=",".join(lane.people["vera"].id for lane in lanes),
        ALERT_CHANNEL=lanes[0].channel.id,
        ALERT_AFTER=SOON,
        SAMPLE_EVERY="1",
        LOG_LEVEL="DEBUG",
    )
