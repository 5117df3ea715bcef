"""What a preview offers and spares, and when it expires."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest

from bot.domain.kills import Outcome, Unclaimable
from bot.domain.record import Record
from bot.domain.sessions import BackendId, SpareReason
from bot.errors import TargetError, UsageError
from bot.grammar.requests import KillRequest, SessionsRequest, Target
from bot.ledger.sql import SqlLedger
from bot.operations import Operations, Rules
from bot.operations.results import (
    Choice,
    NotClaimed,
    NothingToKill,
    Preview,
    TooMany,
)
from bot.postgres.cluster import PostgresCluster
from bot.slack.views.choice import choice
from tests.integration.conftest import BOT, Bench, Sessions
from tests.integration.kills import (
    ANA,
    BEN,
    CHANNEL,
    QuickClock,
    confirm,
    lives,
    outcomes,
    preview,
    typed,
)
from tests.rights import EVERYWHERE
from tests.servers import postgres
from tests.unit.reading import walk
from workspace.postgres import PostgresServer


async def test_an_expired_preview_signals_nothing_and_can_be_renewed(
    bench: Bench, sessions: Sessions
) -> None:
    victim = await sessions.open("batch", app="slow")
    ops = bench(confirm_ttl=timedelta(0))
    shown = await preview(ops, "app=slow")

    answer = await ops.confirm(ANA, CHANNEL, shown.proposal.key)

    assert isinstance(answer, NotClaimed)
    assert answer.why == Unclaimable.EXPIRED
    assert await lives(victim)
    again = await bench().preview_again(ANA, CHANNEL, shown.proposal.key)
    assert isinstance(again, Preview)
    assert [t.id for t in again.proposal.targets] == [t.id for t in shown.proposal.targets]


async def test_a_dismissed_preview_can_not_be_confirmed(bench: Bench, sessions: Sessions) -> None:
    victim = await sessions.open("batch", app="spare")
    ops = bench()
    shown = await preview(ops, "app=spare")

    elsewhere = await ops.dismiss(BEN, "another channel", shown.proposal.key)
    assert isinstance(elsewhere, NotClaimed)
    assert elsewhere.why == Unclaimable.ANOTHER_CHANNEL
    await ops.dismiss(BEN, CHANNEL, shown.proposal.key)

    answer = await ops.confirm(ANA, CHANNEL, shown.proposal.key)
    assert isinstance(answer, NotClaimed)
    assert answer.why == Unclaimable.DISMISSED
    assert answer.entry is not None
    assert answer.entry.proposal.dismissed_by == BEN
    assert await lives(victim)


async def test_a_click_in_another_channel_is_not_this_preview(
    bench: Bench, sessions: Sessions
) -> None:
    victim = await sessions.open("batch", app="elsewhere")
    ops = bench()
    shown = await preview(ops, "app=elsewhere")

    answer = await ops.confirm(ANA, "C2", shown.proposal.key)

    assert isinstance(answer, NotClaimed)
    assert await lives(victim)


async def test_protected_sessions_are_spared_in_preview_and_at_the_click(
    bench: Bench, sessions: Sessions
) -> None:
    kept = await sessions.open("web", app="group")
    other = await sessions.open("batch", app="group")
    ops = bench(protected_roles=(("we", ""),), protected_applications=(("backup", ""),))
    shown = await preview(ops, "user!=some_user client=127.0.0.1 app=group")
    assert [(s.seen.usename, s.why) for s in shown.proposal.spared] == [("web", "PROTECTED_ROLES")]

    by_pid = await preview(ops, f"{other.get_server_pid()}")
    await other.execute("set application_name = 'backup of the night'")
    conclusion = await confirm(ops, by_pid)

    assert outcomes(conclusion) == {other.get_server_pid(): Outcome.PROTECTED}
    assert await lives(other)
    assert await lives(kept)


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("glob", "name"),
    [
        (("Rückmeldung",), "Rückmeldung"),
        (("x" * 71,), "x" * 71),
        (("payments", "-nightly"), f"payments-{'x' * 60}-nightly"),
    ],
)
async def test_application_is_protected_by_its_clients_name(
    bench: Bench, sessions: Sessions, glob: tuple[str, ...], name: str
) -> None:
    """Not by PostgreSQL's rewritten form of it."""
    kept, other = await sessions.open("web", app=name), await sessions.open("web", app="group")
    pids = f"{kept.get_server_pid()} {other.get_server_pid()}"
    ops = bench(protected_applications=(glob,))
    shown = await preview(ops, pids)
    assert [spared.why for spared in shown.proposal.spared] == ["PROTECTED_APPLICATIONS"]
    assert [target.id.pid for target in shown.proposal.targets] == [other.get_server_pid()]

    await other.execute(f"set client_min_messages = error; set application_name = '{name}'")
    conclusion = await confirm(ops, shown)
    assert outcomes(conclusion) == {other.get_server_pid(): Outcome.PROTECTED}
    assert await lives(other)
    assert await lives(kept)


async def test_the_bots_own_sessions_are_never_offered(bench: Bench, sessions: Sessions) -> None:
    mine = await sessions.open(BOT, "postgres", app="anything")
    answer = await bench().propose(ANA, CHANNEL, KillRequest(pids=(mine.get_server_pid(),)))

    assert isinstance(answer, NothingToKill)
    assert [spared.why for spared in answer.spared] == [SpareReason.OWN_ROLE]


async def test_refused_person_cant_fill_the_ledger(bench: Bench, ledger: SqlLedger) -> None:
    ops = bench()
    ops.refused(ANA, CHANNEL, "kill.terminate " + "9" * 60_000, "not in it")
    await ops.settle()
    (noted,) = await ledger.noted(Record.REFUSALS, since=None, limit=2)
    assert noted.what.startswith("kill.terminate 999")
    assert len(noted.what) == 300


async def test_more_than_a_hundred_ask_for_a_narrower_filter(ledger: SqlLedger) -> None:
    async with postgres(settings={"max_connections": 130}) as own:
        cluster = PostgresCluster("main", own.dsn(), "db-1.internal")
        await cluster.open()
        admin = await asyncpg.connect(own.dsn())
        await admin.execute("create role web login")
        crowd = [await asyncpg.connect(own.dsn(user="web")) for _ in range(101)]
        ops = Operations(
            {"main": cluster}, ledger, QuickClock(), rules=Rules(), owner="me", reach=EVERYWHERE
        )
        try:
            answer = await ops.propose(ANA, CHANNEL, typed("user=web"))
            assert isinstance(answer, TooMany)
            assert answer.total == 101
            crowd.pop().terminate()
            while await admin.fetchval(
                "select count(*) > 100 from pg_stat_activity where usename = 'web'"
            ):
                await asyncio.sleep(0.01)
            conclusion = await confirm(ops, await preview(ops, "user=web"))
            assert conclusion.counts == {Outcome.TERMINATED: 100}
        finally:
            for connection in crowd:
                connection.terminate()
            await admin.close()
            await cluster.close()


async def test_row_menu_never_reaches_another_backend_with_its_pid(
    bench: Bench, sessions: Sessions
) -> None:
    victim = await sessions.open("batch", app="recycled")
    shown = (await preview(bench(), "app=recycled")).proposal.targets[0].id
    earlier = BackendId(shown.pid, shown.backend_start - timedelta(seconds=1))

    answer = await bench().propose_backends(ANA, CHANNEL, cluster_name="main", ids=(earlier,))

    assert isinstance(answer, NothingToKill)
    assert answer.gone == (shown.pid,)
    assert await lives(victim)


async def test_a_database_on_two_clusters_is_a_choice(
    bench: Bench, pg: PostgresServer, cluster: PostgresCluster, sessions: Sessions
) -> None:
    await sessions.open("batch", app="both")
    prod = PostgresCluster("prod", pg.dsn(user=BOT), "db-2.internal")
    await prod.open()
    sessions.stack.push_async_callback(prod.close)
    ops = bench(clusters={"main": cluster, "prod": prod})

    answer = await ops.look(ANA, CHANNEL, SessionsRequest(target=Target(database="some_db")))
    assert isinstance(answer, Choice)
    assert [r.target for r in answer.requests] == [
        Target("main", "some_db"),
        Target("prod", "some_db"),
    ]
    kill = await ops.propose(ANA, CHANNEL, typed("app=both"))
    assert isinstance(kill, Choice)
    assert len(kill.requests) == 2


async def test_name_of_a_cluster_is_offered_as_the_cluster(
    bench: Bench, cluster: PostgresCluster
) -> None:
    ops = bench(clusters={"main": cluster, "prod": cluster})

    look = await ops.look(ANA, CHANNEL, SessionsRequest(target=Target(database="prod")))
    assert isinstance(look, Choice)
    assert [request.target for request in look.requests] == [Target("prod")]
    message = choice(look)
    assert message.text.startswith("prod is a cluster; no database with that name was found")
    assert len([each for each in walk(message.blocks) if each.get("type") == "button"]) == 1

    kill = await ops.propose(ANA, CHANNEL, typed("prod user=web -- why"))
    assert isinstance(kill, Choice)
    assert [str(request) for request in kill.requests] == ["prod/ user=web -- why"]
    with pytest.raises(UsageError, match="ends every session of a database"):
        await ops.propose(ANA, CHANNEL, typed("prod all"))


async def test_unknown_name_suggests_the_nearest(bench: Bench) -> None:
    with pytest.raises(TargetError) as unknown:
        await bench().look(ANA, CHANNEL, SessionsRequest(target=Target(database="some_bd")))
    assert unknown.value.nearest[0] == "some_db"
    for cluster in (None, "main"):
        asked = SessionsRequest(target=Target(cluster, "some_user"))
        with pytest.raises(TargetError, match="no such database, but a role") as role:
            await bench().look(ANA, CHANNEL, asked)
        assert role.value.nearest == ("user=some_user",)
    for text, says in (("web stuck", True), ("web some_bd", False)):
        with pytest.raises(TargetError, match="no such database") as unknown:
            await bench().propose(ANA, CHANNEL, typed(f"user={text}"))
        assert ("a reason comes after `--`" in unknown.value.problem) is says
    with pytest.raises(TargetError) as role:
        await bench().propose(ANA, CHANNEL, typed("user!=some_usr"))
    assert role.value.nearest[0] == "user!=some_user"


async def test_sessions_since_the_channels_last_look_are_marked(
    bench: Bench, sessions: Sessions
) -> None:
    ops = bench()
    old = await sessions.open("batch", app="seen")
    await ops.look(ANA, CHANNEL, SessionsRequest(target=Target(database="some_db")))
    new = await sessions.open("batch", app="seen")

    shown = await preview(ops, "app=seen")

    marks = {t.id.pid: t.is_new for t in shown.proposal.targets}
    assert marks == {old.get_server_pid(): False, new.get_server_pid(): True}


async def test_record_says_what_was_looked_at(
    bench: Bench, cluster: PostgresCluster, ledger: SqlLedger
) -> None:
    ops = bench(clusters={"main": cluster, "prod": cluster})
    await ops.look(ANA, CHANNEL, SessionsRequest())
    await ops.tree(ANA, CHANNEL, "main")
    await ops.look(ANA, CHANNEL, SessionsRequest(target=Target("main")), alone=True)
    await ops.settle()
    noted = await ledger.noted(Record.LOOKS, since=None, limit=9)
    expected = ["sessions, for one alone", "tree", "all clusters", "all clusters"]
    assert [each.what for each in noted] == expected
    assert await ledger.last_look(CHANNEL, "main") is None
