"""Rules over surveys that no test brings about on a real server."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from bot.domain.blocking import Locks, LockWait, Prepared
from bot.domain.findings.diagnosis import diagnose
from bot.domain.findings.model import (
    AT_ONCE,
    Blocks,
    Cancel,
    End,
    Finding,
    Full,
    Idle,
    Question,
    Queue,
    Refused,
    Rule,
    Run,
    Severity,
    Subject,
)
from bot.domain.findings.survey import Held, Holder, LoginDatabase, LoginFacts, Survey
from bot.domain.findings.transactions import lets_go
from bot.domain.findings.wait_events import EVENTS, TYPES, meaning
from bot.domain.sessions import Limit, SpareReason
from bot.domain.waits import Waits
from bot.slack.views.findings.told import cheapest, evidence
from bot.slack.views.lines import Line, Quoted
from tests.unit.builders import NOW, ago, backend, look, server, waiter

QUIET = server(roles=())


def survey(*rows: Any, waits: Waits | None = None, **values: Any) -> Survey:
    seen = look(*rows, server=values.pop("server", QUIET), waits=waits or Waits())
    return Survey(look=seen, **values)


def asked(seen: Survey, **question: Any) -> list[Finding]:
    return list(diagnose(seen, Question(**question)).findings)


def named(found: list[Finding]) -> list[tuple[str, str]]:
    return [(str(each.rule), each.subject.name) for each in found]


def as_read(line: Line) -> str:
    return "".join(part.text if isinstance(part, Quoted) else str(part) for part in line)


def test_deadlock_is_postgresqls_to_break() -> None:
    circle = Waits({1: (2,), 2: (1,)}, {1: ago(minutes=1), 2: ago(minutes=1)})
    seen = survey(waiter(1), waiter(2), waits=circle)
    assert asked(seen, patience=AT_ONCE) == []


def test_blocker_that_was_not_read_is_named_by_its_pid() -> None:
    seen = survey(waiter(2), waits=Waits({2: (1,)}, {2: ago(minutes=1)}))
    (finding,) = asked(seen)
    assert named([finding]) == [("blocker", "1")]
    assert finding.acts == ()
    assert finding.since == ago(minutes=1)


def test_wait_of_less_than_a_second_is_no_finding() -> None:
    waits = Waits({33911: (33507,)}, {33911: NOW - timedelta(milliseconds=999)})
    holder = backend(state_change=ago(seconds=2))
    assert asked(survey(holder, waiter(), waits=waits)) == []
    longer = Waits(waits.blocked_by, {33911: NOW - timedelta(seconds=1)})
    assert named(asked(survey(holder, waiter(), waits=longer))) == [("blocker", "33507")]


def test_ordinary_autovacuum_is_left_to_give_way() -> None:
    worker = backend(
        1, backend_type="autovacuum worker", state="active", query="autovacuum: VACUUM public.t"
    )
    seen = survey(worker, waiter(2), waits=Waits({2: (1,)}, {2: ago(seconds=5)}))
    (finding,) = asked(seen)
    assert named([finding]) == [("blocker", "1")]
    assert finding.acts == ()


def test_blocker_of_a_superuser_is_for_a_superuser_to_end() -> None:
    waits = Waits({33911: (33507,)}, {33911: ago(minutes=1)})
    seen = survey(backend(), waiter(), waits=waits, spared={33507: SpareReason.SUPERUSER})
    (finding,) = asked(seen)
    assert said(finding, seen).endswith("a superuser's session: only a superuser can end it.")


def test_wraparound_vacuum_with_a_queue_behind_the_ddl_is_one_finding() -> None:
    worker = backend(
        1,
        usename=None,
        backend_type="autovacuum worker",
        state="active",
        query="autovacuum: VACUUM public.orders (to prevent wraparound)",
    )
    waits = Waits({2: (1,), 3: (2,), 4: (2,)}, {pid: ago(minutes=1) for pid in (2, 3, 4)})
    locks = Locks(
        {
            2: LockWait("relation", "AccessExclusiveLock", ago(minutes=1), 9),
            3: LockWait("relation", "AccessShareLock", ago(seconds=50), 9),
            4: LockWait("relation", "AccessShareLock", ago(seconds=40), 9),
        }
    )
    seen = survey(worker, waiter(2), waiter(3), waiter(4), waits=waits, locks=locks)
    (finding,) = asked(seen)
    assert named([finding]) == [("wraparound_vacuum", "1")]
    assert (finding.hurt, finding.acts, finding.prevention) == (3, (Cancel(waiter(2)),), ())
    told = [as_read(line) for line in evidence(finding, seen)]
    assert told[0].startswith("pid 1 · autovacuum worker · ")
    (ddl,) = [line for line in told if line.startswith("in its way: ")]
    assert "pid 2 · " in ddl
    assert told[told.index(ddl) + 1].startswith("statement  ")


def queued(*databases: int, **values: Any) -> Survey:
    """1 holds a table; 2 and 3 would alter it, 4 and 5 wait behind them; one for each database."""
    blocked = {2: (1,), 3: (1, 2), 4: (2, 3), 5: (2, 3)}
    locks = {
        pid: LockWait(
            "relation", mode, ago(minutes=9 - pid), 16385, None, "public.orders", database
        )
        for pid, mode, database in zip(
            blocked,
            ("AccessExclusiveLock",) * 2 + ("AccessShareLock",) * 2,
            databases,
            strict=True,
        )
    }
    rows = (backend(1), *map(waiter, blocked))
    waits = Waits(blocked, {pid: ago(minutes=9 - pid) for pid in blocked})
    return survey(*rows, waits=waits, locks=Locks(locks), **values)


def said(finding: Finding, seen: Survey) -> str:
    return "".join(map(str, cheapest(finding, seen)))


def test_requests_of_one_queue_go_on_once_all_are_cancelled() -> None:
    seen = queued(5, 5, 5, 5)
    (finding,) = (each for each in asked(seen) if each.rule is Rule.DDL_QUEUE)
    assert finding.acts == (Cancel(waiter(2)), Cancel(waiter(3)), End(backend(1)))
    assert "Once all 2 such requests are cancelled, 2 sessions go on." in said(finding, seen)


def test_what_cant_be_cancelled_promises_nothing_of_its_cancel() -> None:
    both = {2: SpareReason.PROTECTED_ROLES, 3: SpareReason.PROTECTED_ROLES}
    seen = queued(5, 5, 5, 5, spared=both)
    (finding,) = (each for each in asked(seen) if each.rule is Rule.DDL_QUEUE)
    assert finding.acts == (End(backend(1)),)
    assert said(finding, seen).endswith(" 4 sessions go on.")
    seen = queued(5, 5, 5, 5, spared={**both, 1: SpareReason.SUPERUSER})
    (finding,) = (each for each in asked(seen) if each.rule is Rule.DDL_QUEUE)
    assert finding.acts == ()
    assert said(finding, seen).startswith("the bot won't end ")


def test_tables_of_two_databases_have_two_queues_though_oid_and_name_agree() -> None:
    """As in databases that were made from one template."""
    queues = [
        [each.subject.name for each in asked(seen) if each.rule is Rule.DDL_QUEUE]
        for seen in (queued(5, 5, 5, 5), queued(5, 6, 5, 5))
    ]
    assert queues == [["2"], []]


def test_root_that_was_not_read_is_called_a_prepared_transaction() -> None:
    blocks = Blocks(pid=-900, behind=1, freed=1)
    lock = LockWait("relation", "AccessExclusiveLock", ago(minutes=1), 9, None, "public.t")
    queue = Queue(head=waiter(2), wait=lock, behind=1, freed=1, blocker=blocks)
    finding = Finding(
        rule=Rule.DDL_QUEUE,
        severity=Severity.ERROR,
        subject=Subject.session(2, waiter(2)),
        evidence=queue,
    )
    assert ("it waits for ", "a prepared transaction") in [*evidence(finding, survey())]


def test_worst_finding_is_the_one_that_hurts_most() -> None:
    waits = Waits({2: (1,), 4: (3,), 5: (3,)}, {pid: ago(minutes=1) for pid in (2, 4, 5)})
    rows = [backend(1), waiter(2), backend(3), waiter(4), waiter(5)]
    found = asked(survey(*rows, waits=waits))
    assert named(found) == [("blocker", "3"), ("blocker", "1")]
    assert [each.hurt for each in found] == [2, 1]


def test_holder_that_the_bot_may_end_comes_before_one_that_it_may_not() -> None:
    full = server(roles=(Limit("some_user", 2, 2),))
    idle = backend(1, state="idle", xact_start=None, backend_xid=None)
    busy = backend(2)
    spared = {1: SpareReason.PROTECTED_APPLICATIONS}
    (finding,) = asked(survey(idle, busy, server=full, spared=spared))
    assert finding.acts == (End(busy),)
    both = {**spared, 2: SpareReason.OWN_ROLE}
    limit, *_ = asked(survey(idle, busy, server=full, spared=both))
    assert limit.acts == ()


def full(version: str, used: int, reserved: int = 0) -> str:
    seen = server(version=version, roles=(), client_backends=used, reserved_connections=reserved)
    (finding,) = asked(survey(server=seen))
    assert isinstance(finding.evidence, Full)
    return finding.evidence.error


def test_full_server_is_told_in_the_words_of_its_version() -> None:
    assert full("18.6", 100) == "FATAL: sorry, too many clients already"
    reserved = "FATAL: remaining connection slots are reserved for "
    assert full("14.23", 97) == f"{reserved}non-replication superuser connections"
    assert full("16.15", 97) == f"{reserved}roles with the SUPERUSER attribute"
    assert full("16.15", 92, 5) == (
        f'{reserved}roles with privileges of the "pg_use_reserved_connections" role'
    )
    assert full("16.15", 96, 5) == full("16.15", 92, 5)
    assert full("16.15", 97, 5) == full("16.15", 97)
    assert full("16.15", 100, 5) == "FATAL: sorry, too many clients already"


def test_invalid_database() -> None:
    facts = LoginFacts("", True, None, False, (LoginDatabase("half_gone", True, -2, True),))
    found = asked(survey(login=facts), database="half_gone")
    assert named(found) == [("login", "half_gone")]
    evidence = found[0].evidence
    assert isinstance(evidence, Refused)
    assert evidence.error == 'FATAL: cannot connect to invalid database "half_gone"'
    assert found[0].acts == (Run("drop database half_gone;"),)


def test_role_that_may_connect_nowhere() -> None:
    databases = (LoginDatabase("a", True, -1, False), LoginDatabase("b", False, -1, False))
    facts = LoginFacts("web", True, None, False, databases)
    found = asked(survey(login=facts), role="web")
    assert found[0].acts == (Run("grant connect on database a to web;"),)
    somewhere = replace(facts, databases=(*databases, LoginDatabase("c", True, -1, True)))
    assert asked(survey(login=somewhere), role="web") == []


def test_standby_and_active_slot_need_to_be_further_behind() -> None:
    for held in (
        Held(kind=Holder.STANDBY, xids=999_999, name="replica"),
        Held(kind=Holder.SLOT, xids=999_999, name="sub", active=True),
    ):
        assert asked(survey(holders=(held,))) == []
        far = replace(held, xids=1_000_000)
        assert named(asked(survey(holders=(far,)))) == [("horizon", held.name)]
    unused = Held(kind=Holder.SLOT, xids=100_000, name="sub", active=False)
    assert named(asked(survey(holders=(unused,)))) == [("horizon", "sub")]


def test_database_is_held_back_by_its_own_and_by_what_belongs_to_none() -> None:
    def held(kind: Holder, name: str, datname: str | None = None) -> Held:
        return Held(kind=kind, xids=1, name=name, datname=datname)

    holders = (
        held(Holder.SESSION, "own", "some_db"),
        held(Holder.SESSION, "of none"),
        held(Holder.SESSION, "other's", "other_db"),
        held(Holder.PREPARED, "own prepared", "some_db"),
        held(Holder.PREPARED, "other's prepared", "other_db"),
        held(Holder.SLOT, "slot", "other_db"),
        held(Holder.STANDBY, "standby"),
    )
    seen = survey(holders=holders)
    assert [each.name for each in seen.of_database("some_db").holders] == [
        *("own", "of none", "own prepared", "slot", "standby"),
    ]
    standby = survey(holders=holders, server=server(roles=(), in_recovery=True))
    assert standby.of_database("some_db").holders == holders


def test_slot_is_dropped_only_when_its_consumer_has_long_been_gone() -> None:
    def acts(**values: Any) -> list[tuple[Any, ...]]:
        held = Held(kind=Holder.SLOT, xids=999_999, name="sub", active=False)
        told = asked(survey(holders=(replace(held, **values),)))
        return [(each.acts, bool(each.prevention)) for each in told]

    drop = (Run("select pg_drop_replication_slot('sub');"),)
    assert acts(since=ago(minutes=10)) == [(drop, True)]
    assert acts(since=ago(seconds=599)) == []
    assert lets_go(survey(), Held(kind=Holder.SLOT, xids=9, active=False, since=ago(hours=1)))
    assert not lets_go(survey(), Held(kind=Holder.SLOT, xids=9, active=False, since=ago(minutes=1)))
    # PostgreSQL 16 doesn't say since when.
    assert acts() == [((), True)]
    unknown = Held(kind=Holder.SLOT, xids=1_000_000, name="sub", active=False)
    (finding,) = asked(survey(holders=(unknown,)))
    assert "it may have been read just now" in str([*evidence(finding, survey())])
    assert acts(xids=1_000_000) == [(drop, True)]
    assert acts(xids=1_000_000, active=True) == [((), False)]
    assert acts(xids=1_000_000, is_copy=True) == [((), False)]


def test_autovacuum_holds_back_vacuum_only_while_it_analyzes() -> None:
    worker = {"backend_type": "autovacuum worker", "usename": None, "state": "active"}
    held = (Held(kind=Holder.SESSION, xids=999_999, pid=7, since=ago(hours=2)),)

    def told(query: str) -> list[tuple[str, str]]:
        return named(asked(survey(backend(7, query=query, **worker), holders=held)))

    assert told("autovacuum: ANALYZE public.orders") == [("horizon", "7")]
    assert told("autovacuum: VACUUM ANALYZE public.orders") == []
    assert told("autovacuum: VACUUM public.orders (to prevent wraparound)") == []


def test_prepared_transaction_is_told_to_its_owner_and_for_its_database() -> None:
    prepared = Prepared("tx7", ago(hours=2), "web", "some_db")
    held = Held(kind=Holder.PREPARED, xids=200_000, name="tx7", since=ago(hours=2))
    held = replace(held, usename="web", datname="some_db")
    for seen in (survey(locks=Locks({}, {-900: prepared})), survey(holders=(held,))):
        assert [each.subject.name for each in asked(seen, role="web")] == ["tx7"]
        assert [each.subject.name for each in asked(seen, database="some_db")] == ["tx7"]
        assert [each.subject.name for each in asked(seen, role="web", database="some_db")]
        assert asked(seen, role="batch") == []
        assert asked(seen, role="web", database="other_db") == []
        assert asked(seen, pid=7) == []


def test_transaction_whose_horizon_was_not_read_pins_it_by_an_unknown_number() -> None:
    row = backend(1, state="idle in transaction", backend_xid=900, state_change=ago(minutes=9))
    (finding,) = asked(survey(row))
    assert isinstance(finding.evidence, Idle)
    assert (finding.evidence.holds_back, finding.evidence.xids) == (True, None)
    told = [*evidence(finding, survey(row))]
    assert ("it holds back vacuum",) in told


def test_horizon_does_not_hide_that_others_wait() -> None:
    blocker = backend(1, state_change=ago(minutes=40), xact_start=ago(minutes=40))
    waits = Waits({2: (1,)}, {2: ago(minutes=1)})
    held = Held(kind=Holder.SESSION, xids=200_000, since=ago(minutes=40), pid=1)
    found = asked(survey(blocker, waiter(2), waits=waits, holders=(held,)))
    assert named(found) == [("blocker", "1"), ("horizon", "1")]


def test_slot_in_use_does_not_hide_the_transaction_that_it_waits_for() -> None:
    slot = Held(kind=Holder.SLOT, xids=200_001, name="sub", active=True, catalog_only=True)
    session = Held(kind=Holder.SESSION, xids=200_000, since=ago(minutes=40), pid=1)
    busy = backend(1, state="active", xact_start=ago(minutes=40))
    assert named(asked(survey(busy, holders=(slot, session)))) == [("horizon", "1")]


def test_prepared_transaction_is_not_told_again_by_the_horizon() -> None:
    prepared = Prepared("tx7", ago(hours=2), "web", "some_db")
    held = Held(
        kind=Holder.PREPARED, xids=200_000, name="tx7", since=ago(hours=2), datname="some_db"
    )
    seen = survey(holders=(held,), locks=Locks({}, {-900: prepared}))
    assert len(asked(seen)) == 1


def test_every_event_is_a_line_with_a_type_to_fall_back_on() -> None:
    for words in (*EVENTS.values(), *TYPES.values()):
        assert words == words.strip()
        assert "\n" not in words
        assert len(words) <= 120
    assert len(EVENTS) >= 40
    assert meaning("IO", "WalSync") == meaning("IO", "WALSync") == EVENTS["WALSync"]
    assert meaning("LWLock", "SyncRep") == TYPES["LWLock"]
    assert meaning("IO", "SomethingNew") == TYPES["IO"]
    assert meaning("SomethingNew", "SomethingNew") is None
