"""A network in trouble, and servers behind it that come and go: what is said, what goes on."""

import asyncio
import os
import re
import signal
import subprocess
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import asyncpg
import pytest
from structlog.testing import capture_logs

from bot.domain.kills import Actor, Conclusion, Outcome, State
from bot.domain.record import Entry
from bot.driver import APPLICATION_NAME
from bot.errors import ClusterError, LedgerError
from bot.grammar.parser import parse_kill
from bot.grammar.requests import KillRequest, SessionsRequest, Target
from bot.ledger.sql import SqlLedger
from bot.operations import Operations, Rules, claims
from bot.operations import clusters as clusters_module
from bot.operations.results import NothingToKill, Preview
from bot.operations.results import Sessions as Shown
from bot.postgres import bounded, connections
from bot.postgres import cluster as cluster_module
from bot.postgres.cluster import PostgresCluster
from tests.integration.conftest import BOT, Sessions
from tests.integration.kills import QuickClock, lives
from tests.proxy import Proxy, signal_to
from tests.rights import EVERYWHERE
from tests.servers import postgres
from workspace.people import PATIENCE
from workspace.postgres import PostgresServer

ANA = Actor("UANA", "T1")
CHANNEL = "C1"
PASSWORD = "right"
CLAIM = b"confirmed_action="
OUTCOME = b"took="


@dataclass
class Scene:
    """A cluster `main` behind a proxy, one `prod` beside it, and a session to end."""

    server: PostgresServer
    proxy: Proxy
    main: PostgresCluster
    ops: Operations
    victim: asyncpg.Connection

    async def look(self, cluster: str = "main") -> Shown:
        shown = await self.ops.look(ANA, CHANNEL, SessionsRequest(target=Target(cluster)))
        assert isinstance(shown, Shown), shown
        return shown

    async def preview(self, text: str = "main/ app=victim") -> Preview:
        request = parse_kill(text)
        assert isinstance(request, KillRequest)
        shown = await self.ops.propose(ANA, CHANNEL, request)
        assert isinstance(shown, Preview), shown
        return shown

    async def confirm(self, shown: Preview) -> Conclusion:
        done = await self.ops.confirm(ANA, CHANNEL, shown.proposal.key)
        assert isinstance(done, Conclusion), done
        return done

    @staticmethod
    async def session(server: PostgresServer) -> asyncpg.Connection:
        return await asyncpg.connect(
            server.dsn(user="batch"), server_settings={"application_name": "victim"}
        )

    async def recovers(self) -> None:
        """Wait until the cluster answers by itself, and has all of its connections."""
        async with asyncio.timeout(PATIENCE):
            while True:
                with suppress(ClusterError):
                    await self.main.names()
                    if self.main.connections == (4, 4):
                        return
                await asyncio.sleep(0.02)


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[SqlLedger]:
    ledger = SqlLedger(f"sqlite:///{tmp_path / 'ledger.db'}")
    await ledger.open()
    yield ledger
    await ledger.close()


@pytest.fixture(scope="module")
async def shaky() -> AsyncIterator[PostgresServer]:
    """A server that is stopped, restarted and crashed."""
    async with postgres() as server:
        await set_up(server)
        yield server


async def set_up(server: PostgresServer) -> None:
    await administer(
        server,
        f"create role {BOT} login password '{PASSWORD}'",
        "create role batch login",
        f"grant pg_read_all_stats, pg_signal_backend to {BOT}",
    )


async def administer(server: PostgresServer, *statements: str) -> None:
    admin = await asyncpg.connect(server.dsn())
    for statement in statements:
        await admin.execute(statement)
    await admin.close()


@pytest.fixture
async def scene(
    shaky: PostgresServer, cluster: PostgresCluster, ledger: SqlLedger
) -> AsyncIterator[Scene]:
    async with Proxy(shaky) as proxy:
        dsn = proxy.dsn(user=BOT, password=PASSWORD)
        main = PostgresCluster("main", dsn, "db-1.internal")
        await main.open()
        clusters = {"main": main, "prod": cluster}
        ops = Operations(
            clusters, ledger, QuickClock(), rules=Rules(), owner="me", reach=EVERYWHERE
        )
        victim = await Scene.session(shaky)
        yield Scene(shaky, proxy, main, ops, victim)
        await ops.settle()
        victim.terminate()
        await main.close()


End = Callable[[], Awaitable[None]]


async def swallowed(scene: Scene) -> End:
    scene.proxy.swallow()
    return scene.proxy.heal


async def newcomers_swallowed(scene: Scene) -> End:
    scene.proxy.swallow(old=False)
    scene.proxy.cut()
    return scene.proxy.heal


async def half_closed(scene: Scene) -> End:
    scene.proxy.half_close()
    scene.proxy.swallow()
    return scene.proxy.heal


async def delayed(scene: Scene) -> End:
    scene.proxy.delay = 4.0  # longer than one statement may take
    return scene.proxy.heal


async def refused(scene: Scene) -> End:
    scene.proxy.refuse()
    scene.proxy.cut()
    return scene.proxy.heal


async def without_a_server(scene: Scene) -> End:
    """A load balancer with nothing behind it: it accepts, and closes the connection."""
    scene.proxy.lead_to(None)
    scene.proxy.cut()

    async def end() -> None:
        scene.proxy.lead_to(scene.server)

    return end


async def stopped(scene: Scene) -> End:
    """The postmaster and the bot's backends are stopped; the kernel accepts for them."""
    own = await backends(scene.server)
    for pid in (scene.server.pid, *own):
        os.kill(pid, signal.SIGSTOP)

    async def end() -> None:
        for pid in (*own, scene.server.pid):
            os.kill(pid, signal.SIGCONT)

    return end


async def password_refused(scene: Scene) -> End:
    """The role's password differs from the one that the bot was given."""
    hba = scene.server.directory / "data/pg_hba.conf"
    trusting = hba.read_text()
    hba.write_text(f"host all {BOT} 127.0.0.1/32 scram-sha-256\n{trusting}")
    await administer(
        scene.server, f"alter role {BOT} password 'another'", "select pg_reload_conf()"
    )
    scene.proxy.cut()

    async def end() -> None:
        await administer(scene.server, f"alter role {BOT} password '{PASSWORD}'")

    return end


async def backends(server: PostgresServer) -> list[int]:
    """The bot's own backends, on a server that only this bot watches."""
    admin = await asyncpg.connect(server.dsn())
    rows = await admin.fetch(
        "select pid from pg_stat_activity where application_name = $1", APPLICATION_NAME
    )
    await admin.close()
    return [row["pid"] for row in rows]


NO_REPLY = "did not answer in time|did not answer within 5 s"
LOST = f"the connection was lost|{NO_REPLY}"


@pytest.mark.parametrize(
    ("begin", "words"),
    [
        (swallowed, NO_REPLY),
        (newcomers_swallowed, LOST),
        (half_closed, LOST),
        (delayed, NO_REPLY),
        (stopped, NO_REPLY),
        (refused, "nothing listens at its address"),
        (without_a_server, "it, or a pooler in front of it, closed the connection"),
        (password_refused, "it refuses the bot's login"),
    ],
    ids=lambda case: getattr(case, "__name__", ""),
)
async def test_unreachable_cluster_is_named_and_comes_back_by_itself(
    scene: Scene, begin: Callable[[Scene], Awaitable[End]], words: str
) -> None:
    shown = await scene.preview()
    end = await begin(scene)
    try:
        async with asyncio.timeout(PATIENCE):
            *first, other, nothing = await asyncio.gather(
                scene.look(),
                scene.preview(),
                scene.confirm(shown),
                scene.look("prod"),
                scene.ops.propose(ANA, CHANNEL, KillRequest(target=Target("prod"), pids=(1,))),
                return_exceptions=True,
            )
            second = await asyncio.gather(scene.look(), scene.preview(), return_exceptions=True)
    finally:
        await end()
    for answers, told in ((first, f"{words}|the connection was lost"), (second, words)):
        for answer in answers:
            assert isinstance(answer, ClusterError), answer
            assert re.fullmatch(f"main: ({told}).*", str(answer))
    assert isinstance(other, Shown)
    assert isinstance(nothing, NothingToKill)
    assert await lives(scene.victim)

    await scene.recovers()
    assert (await scene.confirm(shown)).counts == {Outcome.TERMINATED: 1}


async def test_over_a_slow_network_connections_are_made_and_both_commands_work(
    reads_ahead: None, scene: Scene
) -> None:
    """Each of the server's answers takes 0.3 s longer, as if from the other end of the world."""
    scene.proxy.delay = 0.3
    scene.proxy.cut()
    await scene.recovers()
    _, shown = await asyncio.gather(scene.look(), scene.preview())
    assert (await scene.confirm(shown)).counts == {Outcome.TERMINATED: 1}


async def test_one_request_at_most_meets_a_lost_connection(
    scene: Scene,
) -> None:
    """A firewall forgot them all: the next requests get working connections."""
    shown = await scene.preview()
    scene.proxy.swallow(new=False)
    with pytest.raises(ClusterError, match="did not answer in time"):
        await scene.look()

    await scene.look()
    await scene.preview()
    assert (await scene.confirm(shown)).counts == {Outcome.TERMINATED: 1}
    await scene.recovers()


async def test_second_look_says_why_it_saw_nothing(scene: Scene) -> None:
    done = await scene.confirm(await scene.preview())
    await refused(scene)
    later = await scene.ops.follow_up(done)
    assert later is not None
    (note,) = later.notes
    assert re.fullmatch(r"\d+ s later: who came back isn't known \(main: [^()]+\)", note), note
    await scene.proxy.heal()


async def test_server_ends_what_the_network_has_lost(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would otherwise hold the bot's slots for hours, and as many again at each loss."""
    name = "idle_session_timeout"
    milliseconds = f"select setting::int from pg_settings where name = '{name}'"
    async with scene.main._work.acquire(within=PATIENCE) as connection:
        kept = await connection.fetchval(milliseconds)
    assert isinstance(kept, int)
    assert kept >= 2000 * (connections.PROBE_EVERY + connections.PROBE_TIMEOUT)

    monkeypatch.setitem(bounded._SESSION, name, "3s")
    monkeypatch.setattr(connections, "PROBE_EVERY", 0.3)
    scene.proxy.cut()
    await scene.recovers()
    scene.proxy.swallow(new=False)
    with pytest.raises(ClusterError, match="did not answer in time"):
        await scene.look()
    await scene.recovers()
    async with asyncio.timeout(PATIENCE):
        while len(await backends(scene.server)) > scene.main.connections[1]:
            await asyncio.sleep(0.05)


async def test_signal_is_not_sent_over_a_dead_connection(scene: Scene) -> None:
    """Only the connection reserved for kills was lost, silently."""
    shown = await scene.preview()
    kept: Any = scene.main._kept._slots[0].connection
    scene.proxy.swallow_from(kept._transport.get_extra_info("sockname")[1])

    with pytest.raises(ClusterError, match="did not answer in time"):
        await scene.confirm(shown)

    assert await lives(scene.victim)
    assert (await scene.confirm(shown)).counts == {Outcome.TERMINATED: 1}


async def test_bot_does_not_wait_forever_for_a_server_silent_after_a_signal(
    scene: Scene,
) -> None:
    shown = await scene.preview()
    hold = scene.proxy.hold(b"signalled", answer=True)
    work = asyncio.ensure_future(scene.confirm(shown))
    await hold.reached()
    scene.proxy.swallow()

    conclusion = await work

    assert conclusion.counts == {Outcome.UNKNOWN: 1}
    assert "did not answer in time" in conclusion.results[0].detail
    await scene.proxy.heal()
    amended = await scene.ops.follow_up(conclusion)
    assert amended is not None
    assert "gone now" in amended.results[0].detail


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_everything_works_again_after_a_restart_or_crash(
    scene: Scene, mode: Literal["fast", "immediate"]
) -> None:
    shown = await scene.preview()
    await scene.server.restart(mode)
    successor = await scene.session(scene.server)

    await scene.recovers()
    assert (await scene.confirm(shown)).counts == {Outcome.SERVER_CHANGED: 1}
    assert await lives(successor)
    assert (await scene.confirm(await scene.preview())).counts == {Outcome.TERMINATED: 1}
    assert not await lives(successor)


async def test_after_a_failover_the_preview_of_the_old_server_kills_nothing(scene: Scene) -> None:
    """The address leads to another server, whose sessions may have the very same pids."""
    shown = await scene.preview()
    async with postgres() as heir:
        await set_up(heir)
        other = await scene.session(heir)
        scene.proxy.lead_to(heir)
        scene.proxy.cut()
        await scene.recovers()

        assert (await scene.confirm(shown)).counts == {Outcome.SERVER_CHANGED: 1}
        assert await lives(scene.victim)
        assert await lives(other)
        fresh = await scene.preview()
        assert fresh.server.id.system_identifier != shown.server.id.system_identifier
        assert (await scene.confirm(fresh)).counts == {Outcome.TERMINATED: 1}
        assert await lives(scene.victim)
        assert not await lives(other)


async def terminated(scene: Scene) -> None:
    """Somebody ends all of the bot's sessions."""
    await administer(
        scene.server,
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
        f" where application_name = '{APPLICATION_NAME}'",
    )


async def terminated_unseen(scene: Scene) -> None:
    """Nothing of it has been read yet when the next command comes."""
    statement = (
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
        f" where application_name = '{APPLICATION_NAME}'"
    )
    psql = str(scene.server.bin_dir / "psql")
    subprocess.run(  # noqa: ASYNC221  the loop is to see nothing meanwhile
        [psql, "-qc", statement, scene.server.dsn()], check=True, capture_output=True
    )


async def restarted(scene: Scene) -> None:
    await scene.server.restart("fast")


async def crashed(scene: Scene) -> None:
    await scene.server.restart("immediate")


async def cut(scene: Scene) -> None:
    scene.proxy.cut()


LOSSES = (terminated, terminated_unseen, restarted, crashed, cut)


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine, a server takes longer to restart than people wait for an answer."""
    for limit in ("ALIVE_WITHIN", "REMADE_WITHIN", "TURN_WITHIN"):
        monkeypatch.setattr(cluster_module, limit, PATIENCE)
    monkeypatch.setattr(clusters_module, "ANSWER_WITHIN", PATIENCE)


@pytest.mark.usefixtures("reads_ahead", "unhurried")
@pytest.mark.parametrize("lose", LOSSES, ids=lambda lose: lose.__name__)
@pytest.mark.parametrize("by", ["a look", "a preview", "a click"])
async def test_the_first_to_ask_after_all_connections_were_lost_is_answered(
    scene: Scene, lose: Callable[[Scene], Awaitable[None]], by: str
) -> None:
    for _ in range(3):
        await scene.recovers()
        both = [await scene.session(scene.server) for _ in range(2)]
        shown = await scene.preview(f"main/ {both[0].get_server_pid()}")
        await lose(scene)
        if lose in (restarted, crashed):
            both.append(await scene.session(scene.server))
        try:
            if by == "a look":
                await scene.look()
            elif by == "a preview":
                await scene.preview(f"main/ {both[-1].get_server_pid()}")
            else:
                await scene.confirm(shown)
        finally:
            for each in both:
                each.terminate()


@pytest.mark.usefixtures("reads_ahead", "unhurried")
async def test_the_first_to_ask_after_a_failover_is_answered(scene: Scene) -> None:
    async with postgres() as heir:
        await set_up(heir)
        scene.proxy.lead_to(heir)
        scene.proxy.cut()
        await scene.look()
        await scene.recovers()


async def test_request_triggers_a_reconnect_to_a_long_dead_server(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "RETRY_EVERY", ((0.0, 0.2),))
    monkeypatch.setattr(connections, "RETRY_AT_LAST", 3600.0)
    scene.proxy.refuse()
    scene.proxy.cut()
    with pytest.raises(ClusterError):
        await scene.look()
    async with asyncio.timeout(PATIENCE):
        while scene.main.connections[0]:
            await asyncio.sleep(0.02)
    await scene.proxy.heal()
    await scene.look()


CROWD = 20


async def test_bot_gets_its_slots_before_the_crowd_after_a_restart() -> None:
    """Twenty clients ask every five seconds for the eleven slots available to them and the bot."""
    async with postgres(
        settings={"max_connections": 14, "superuser_reserved_connections": 3}
    ) as full:
        await set_up(full)
        main = PostgresCluster("main", full.dsn(user=BOT), "db-1.internal")
        await main.open()
        crowd = [asyncio.ensure_future(insist(full, 5 * n / CROWD)) for n in range(CROWD)]
        try:
            assert await full_house(full) == {BOT: 4, "batch": 7}
            os.kill(full.pid, signal.SIGINT)
            await asyncio.sleep(2)  # as long as a restart may take; the crowd keeps asking
            await full.restart()
            assert await full_house(full) == {BOT: 4, "batch": 7}
        finally:
            for client in crowd:
                client.cancel()
            await asyncio.gather(*crowd, return_exceptions=True)
            await main.close()


async def insist(server: PostgresServer, phase: float) -> None:
    """Stay connected; if that fails or ends, try again every five seconds."""
    await asyncio.sleep(phase)
    while True:
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            connection = await asyncpg.connect(server.dsn(user="batch"))
            try:
                while True:
                    await connection.fetchval("select 1")
                    await asyncio.sleep(0.5)
            finally:
                connection.terminate()
        await asyncio.sleep(5)


async def full_house(server: PostgresServer) -> dict[str, int]:
    """Who has the slots, once none is free. The caller's own connection doesn't stay longer."""
    async with asyncio.timeout(PATIENCE):
        while True:
            admin = await asyncpg.connect(server.dsn())
            rows = await admin.fetch(
                "select usename, count(*) from pg_stat_activity"
                " where backend_type = 'client backend' and usename <> 'postgres' group by usename"
            )
            await admin.close()
            if sum(row["count"] for row in rows) == 11:
                return {row["usename"]: row["count"] for row in rows}
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("arrives", [False, True])
async def test_a_signal_whose_reply_is_lost_with_its_connection_is_unknown(
    scene: Scene, arrives: bool
) -> None:
    """Nobody can know here whether the statement reached the server, so nothing else is said."""
    shown = await scene.preview()
    hold = scene.proxy.hold(
        b"signalled" if arrives else signal_to(scene.victim.get_server_pid()), answer=arrives
    )
    work = asyncio.ensure_future(scene.confirm(shown))
    await hold.reached()
    scene.proxy.cut()

    conclusion = await work

    assert conclusion.counts == {Outcome.UNKNOWN: 1}
    assert "the connection was lost" in conclusion.results[0].detail
    amended = await scene.ops.follow_up(conclusion)
    assert amended is not None
    assert amended.results[0].outcome is Outcome.UNKNOWN
    assert ("gone now" if arrives else "still there") in amended.results[0].detail
    assert await lives(scene.victim) is not arrives


@dataclass
class Far:
    """A ledger in PostgreSQL behind a proxy, and a kill to record there."""

    proxy: Proxy
    ledger: SqlLedger
    ops: Operations
    victim: asyncpg.Connection

    async def preview(self) -> Preview:
        request = parse_kill(f"{self.victim.get_server_pid()}")
        assert isinstance(request, KillRequest)
        shown = await self.ops.propose(ANA, CHANNEL, request)
        assert isinstance(shown, Preview), shown
        return shown

    async def confirm(self, shown: Preview) -> Conclusion:
        done = await self.ops.confirm(ANA, CHANNEL, shown.proposal.key)
        assert isinstance(done, Conclusion), done
        return done

    async def recorded(self, shown: Preview) -> Entry:
        async with asyncio.timeout(PATIENCE):
            while True:
                with suppress(LedgerError):
                    entry = await self.ledger.get(shown.proposal.key)
                    assert entry is not None
                    return entry
                await asyncio.sleep(0.05)


@pytest.fixture
async def far(shaky: PostgresServer, cluster: PostgresCluster, sessions: Sessions) -> AsyncIterator:
    name = f"ledger_{uuid.uuid4().hex}"
    await administer(shaky, f"create schema {name}")
    async with Proxy(shaky) as proxy:
        ledger = SqlLedger(f"{proxy.dsn()}?search_path={name}", time_limit=2.0)
        await ledger.open()
        ops = Operations(
            {"main": cluster}, ledger, QuickClock(), rules=Rules(), owner="me", reach=EVERYWHERE
        )
        yield Far(proxy, ledger, ops, await sessions.open("batch"))
        await proxy.heal()
        await ops.settle()
        await ledger.close()


async def test_no_preview_without_an_answer_from_the_ledger(far: Far) -> None:
    far.proxy.swallow()
    async with asyncio.timeout(PATIENCE):
        assert isinstance(await far.ops.look(ANA, CHANNEL, SessionsRequest()), Shown)
        with pytest.raises(LedgerError, match="did not answer within"):
            await far.preview()

    await far.proxy.heal()
    shown = await far.preview()
    assert shown.proposal.id == 1
    assert (await far.confirm(shown)).recorded


@pytest.mark.parametrize("arrives", [False, True])
async def test_unconfirmed_claim_signals_nothing(
    far: Far, arrives: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claim is lost on its way, or it arrives and its reply is lost."""
    monkeypatch.setattr(claims, "LEASE", timedelta(seconds=1))
    shown = await far.preview()
    # The preview is kept for its first click, so the first commit is the claim's.
    hold = far.proxy.hold(b"COMMIT", answer=True) if arrives else far.proxy.hold(CLAIM)
    work = asyncio.ensure_future(far.confirm(shown))
    await hold.reached()
    far.proxy.swallow()
    with pytest.raises(LedgerError):
        await work

    await far.proxy.heal()
    assert await lives(far.victim)
    entry = await far.recorded(shown)
    assert entry.proposal.state is (State.CLAIMED if arrives else State.PROPOSED)
    if not arrives:
        assert (await far.confirm(shown)).counts == {Outcome.TERMINATED: 1}
        return
    async with asyncio.timeout(PATIENCE):
        while not (taken := await far.ops.recover()):
            await asyncio.sleep(0.1)
    assert taken[0].counts == {Outcome.INTERRUPTED: 1}
    assert "the session is still there" in taken[0].results[0].detail
    assert await lives(far.victim)


async def test_outcome_refused_by_the_ledger_is_shown_and_recorded_later(
    far: Far,
) -> None:
    shown = await far.preview()
    hold = far.proxy.hold(OUTCOME)
    work = asyncio.ensure_future(far.confirm(shown))
    await hold.reached()
    far.proxy.swallow()

    with capture_logs() as logs:
        conclusion = await work

    assert not conclusion.recorded
    assert conclusion.counts == {Outcome.TERMINATED: 1}
    tries = [each for each in logs if each["event"] == "kill.not_recorded"]
    # An outage of the ledger is a line with the reason, no stack trace.
    assert all("did not answer" in each["problem"] and "exc_info" not in each for each in tries)
    assert tries
    assert not await lives(far.victim)
    await far.proxy.heal()
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(LedgerError):
                if written := await far.ops.recover():
                    break
            await asyncio.sleep(0.1)
    assert written[0].recorded
    entry = await far.recorded(shown)
    assert entry.proposal.state is State.DONE
    assert [result.outcome for result in entry.results] == [Outcome.TERMINATED]
