"""A hostile server, and the bot that looks at it.

`FUZZ_CASES` is how many cases there are in all, `FUZZ_SEED` what they follow from, and
`FUZZ_FIRST` the number of the first: a case that failed is found again by its number.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from random import Random

import asyncpg
import pytest

import workspace.interactions
from tests.e2e.conftest import MODES, Bot
from tests.e2e.fuzz import making
from tests.integration.conftest import BOT
from tests.servers import postgres
from workspace import Workspace
from workspace.postgres import PostgresServer
from workspace.state import Channel, User

CASES = int(os.environ.get("FUZZ_CASES", "400"))
SEED = os.environ.get("FUZZ_SEED", "1")
FIRST = int(os.environ.get("FUZZ_FIRST", "0"))

SHARES = {"commands": 0.4, "names": 0.2, "payloads": 0.4}
"""What part of the cases is of which kind."""

CHUNK = 250
"""Cases of one bot and one workspace: these remember everything."""

LANES = 4
"""How many go on beside each other, each in a channel and with people of its own."""

SESSIONS = 16


@dataclass
class Held:
    """A session that nothing may end but a confirmed kill. `started` is in microseconds."""

    connection: asyncpg.Connection
    pid: int
    started: int
    at_work: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass
class World:
    """A server's names, and sessions that are called by them."""

    server: PostgresServer
    random: Random
    roles: list[str]
    databases: list[str]
    stack: AsyncExitStack
    held: list[Held] = field(default_factory=list)

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
                continue  # a role at its limit, for the bot to tell of
            self.stack.callback(connection.terminate)
            started = await connection.fetchval(
                "select (extract(epoch from backend_start) * 1000000)::bigint"
                " from pg_stat_get_activity(pg_backend_pid())"
            )
            self.held.append(Held(connection, connection.get_server_pid(), started))
            await self.busy(self.held[-1], self.random)

    async def busy(self, held: Held, random: Random) -> None:
        """Have a session run something, in a transaction or not; it may fail, or be dead."""
        async with held.at_work:
            # A query that is comments alone has no tag: asyncpg ends in an AttributeError then.
            expected = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, AttributeError)
            with suppress(*expected):
                if random.random() < 0.5:
                    await held.connection.execute("rollback; begin; select txid_current()")
                await held.connection.execute(making.query(random))


@dataclass
class Lane:
    """A channel with people of its own: `ana` and `ben` may kill, `vera` may look."""

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
    """The numbers of a chunk's cases, each with its own source of chance."""
    for number in range(first, min(first + CHUNK, _end(kind))):
        yield number, Random(f"{SEED} {kind} {number}")


def _end(kind: str) -> int:
    return FIRST + max(1, round(CASES * SHARES[kind]))


@pytest.fixture(scope="session")
async def hostile() -> AsyncIterator[PostgresServer]:
    async with postgres(settings={"max_connections": 60}) as server:
        connection = await asyncpg.connect(server.dsn())
        await connection.execute(
            f"create role {BOT} login; grant pg_read_all_stats, pg_signal_backend to {BOT};"
            "create role keeper login"
        )
        await connection.close()
        yield server


@pytest.fixture
async def world(hostile: PostgresServer, first: int, kind: str) -> AsyncIterator[World]:
    random = Random(f"{SEED} world {kind} {first // CHUNK}")  # that of a case found again, too
    roles = sorted({making.name(random) for _ in range(14)})
    databases = sorted({making.name(random) for _ in range(4)})
    admin = await asyncpg.connect(hostile.dsn())

    def quoted(name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    for at, role in enumerate(roles):
        limit = random.choice((-1, -1, 4, SESSIONS)) if at else -1
        await admin.execute(f"create role {quoted(role)} login connection limit {limit}")
    for database in databases:
        await admin.execute(f"create database {quoted(database)} connection limit 30")
    async with AsyncExitStack() as stack:
        world = World(hostile, random, roles, databases, stack)
        await world.fill()
        yield world
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
            for name in ("ana", "ben", "vera", "sam")
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
    """A busy machine may take its time: what counts is that there is an answer."""
    monkeypatch.setattr(workspace.interactions, "ACKNOWLEDGE_SECONDS", 60.0)


@pytest.fixture
async def ledger(hostile: PostgresServer) -> AsyncIterator[asyncpg.Connection]:
    """A ledger on a server that waits for no disk, as a reader of its own sees it."""
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
    """A bot that tells everything: all that any library logs goes out."""
    url = hostile.dsn(user=BOT, database="postgres")
    return await start(
        LEDGER_URL=hostile.dsn(user="keeper", database="ledger"),
        DATABASE_URL=url,
        DATABASE_URL_PROD=url,
        PG_KILL_ALLOWLIST=",".join(each for lane in lanes for each in lane.killers),
        PG_SESSIONS_ALLOWLIST=",".join(lane.people["vera"].id for lane in lanes),
        LOG_LEVEL="DEBUG",
    )
