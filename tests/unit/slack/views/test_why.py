"""The diagnosis and the horizon, whatever everything is called and however much there is."""

from dataclasses import replace
from itertools import cycle
from typing import Any, get_args

from hypothesis import given
from hypothesis import strategies as st

from bot.domain.blocking import HeldLock, LockWait, Prepared
from bot.domain.findings.diagnosis import Diagnosis
from bot.domain.findings.model import (
    Blocks,
    Builds,
    Cancel,
    End,
    Evidence,
    Finding,
    Full,
    HoldsBack,
    Idle,
    Question,
    Queue,
    Refusal,
    Refused,
    Rule,
    Run,
    Severity,
    Subject,
    SubjectOf,
    Waits,
)
from bot.domain.findings.survey import Group, Held, Holder, IndexBuild, Part, Survey, Unread
from bot.domain.kills import Action
from bot.domain.sessions import Limit, LimitOf, SpareReason
from bot.domain.sql_text import identifier, literal
from bot.domain.waits import Waits as WaitsFor
from bot.errors import ClusterDown
from bot.grammar.requests import HorizonRequest, Target, WhyRequest
from bot.operations.results import Horizon, Why
from bot.slack.views.findings import told
from bot.slack.views.horizon import horizon
from bot.slack.views.why import MOST, why
from tests.unit.builders import ALICE, NOW, ago, backend, look, server, waiter
from tests.unit.reading import lines, parsed, pressable, table
from tests.unit.slack.views.test_any_input import (
    few_texts,
    holds,
    rows_of,
    server_of,
    typed,
    views,
)


def survey(*rows: Any, **values: Any) -> Survey:
    return Survey(look=look(*rows), **values)


def findings(names: list[str]) -> list[Finding]:
    """One of each kind of evidence, with these names in every place."""
    name = cycle(names)
    rows = rows_of(names, 8)
    lock = LockWait("relation", "AccessExclusiveLock", ago(minutes=1), 1, None, next(name))
    held = HeldLock("relation", next(name), True, 1, 1, None, next(name))
    blocks = Blocks(
        pid=rows[0].pid, behind=5, freed=2, backend=rows[0], on=lock, since=ago(minutes=2)
    )
    prepared = Prepared(next(name) * 3, ago(hours=1), next(name), next(name))
    build = IndexBuild(
        pid=7,
        command="CREATE INDEX CONCURRENTLY",
        phase=next(name),
        lockers_done=1,
        lockers_total=4,
        current_locker_pid=rows[1].pid,
        index_relname=next(name),
    )
    group = Group(next(name), next(name), next(name), 5)
    full = Full(
        limit=Limit(next(name), 10, 10, LimitOf.DATABASE),
        error=f'FATAL: too many connections for database "{next(name)}"',
        holders=tuple(rows[:3]),
        behind=3,
        groups=(group,) * 3,
    )
    sql = f"rollback prepared {literal(next(name))};"
    told: list[tuple[Rule, Evidence]] = [
        (Rule.LIMIT, full),
        (Rule.LIMIT, replace(full, limit=Limit(next(name), 1, 1), groups=())),
        (Rule.LIMIT, replace(full, limit=Limit(next(name), 0, 0), holders=())),
        (Rule.SERVER_FULL, replace(full, limit=Limit("c", 9, 9, LimitOf.SERVER))),
        *(
            (
                Rule.LOGIN,
                Refused(
                    why=each,
                    error=next(name),
                    rolname=next(name),
                    datname=next(name),
                    valid_until=ago(days=3),
                ),
            )
            for each in Refusal
        ),
        (Rule.BLOCKER, blocks),
        (Rule.BLOCKER, replace(blocks, backend=None)),
        (Rule.WRAPAROUND_VACUUM, blocks),
        (Rule.PREPARED_TRANSACTION, replace(blocks, pid=-9, backend=None, prepared=prepared)),
        (
            Rule.DDL_QUEUE,
            Queue(
                head=rows[2], wait=lock, behind=9, freed=7, blocker=blocks, further=(rows[3],) * 4
            ),
        ),
        (Rule.IDLE_IN_TRANSACTION, Idle(backend=rows[4], locks=(held,) * 5, xids=3)),
        (Rule.IDLE_IN_TRANSACTION, Idle(backend=rows[4], locks=None, xids=None)),
        (Rule.CONCURRENT_INDEX, Builds(build=build, backend=None, locker=rows[1])),
        (
            Rule.WAITING,
            Waits(event_type=next(name), event=next(name), backends=(rows[5],), number=1),
        ),
        *(
            (
                Rule.HORIZON,
                HoldsBack(held=Held(kind=kind, xids=3_200_000, name=next(name), pid=rows[6].pid)),
            )
            for kind in Holder
        ),
    ]
    return [
        Finding(
            rule=rule,
            severity=Severity.ERROR,
            subject=Subject(SubjectOf.ROLE, next(name)),
            evidence=evidence,
            since=ago(minutes=3),
            acts=(Cancel(rows[0]), End(rows[1]), Run(sql, next(name), next(name))),
            prevention=(f"alter role {identifier(next(name))} connection limit 5;",),
        )
        for rule, evidence in told
    ]


def answer(*diagnoses: Diagnosis, **values: Any) -> Why:
    request = WhyRequest(Target(None, "some_user"))
    given = {"request": request, "troubles": (), "asked_by": ALICE, "now": NOW, **values}
    return Why(diagnoses=diagnoses, **given)


def every(_: str) -> Action:
    return Action.TERMINATE


@views
@given(few_texts, st.booleans(), st.integers(0, 100))
def test_why_takes_any_names(names: list[str], narrow: bool, start: int) -> None:
    found = findings(names)
    seen = replace(
        survey(*rows_of(names, 10)),
        unread=(Unread(Part.SLOTS, names[0]),),
        spared={2_147_000_000: SpareReason.SUPERUSER},
    )
    seen = replace(seen, look=replace(seen.look, server=replace(server_of(names), cluster="main")))
    question = Question(role=typed(names[0])) if narrow else Question()
    for some in (found[start % len(found) :][:1], found, []):
        holds(why(answer(Diagnosis(question, seen, tuple(some))), every))
    several = [Diagnosis(question, seen, tuple(some)) for some in (found[:2], [], found)]
    trouble = ClusterDown("prod", names[-1])
    holds(why(answer(*several, troubles=(trouble,) * 8), every))
    without_acts = [replace(each, acts=()) for each in found]
    for each in without_acts:
        holds(why(answer(Diagnosis(question, seen, (each,))), every))


@views
@given(few_texts, st.integers(0, 60))
def test_horizon_takes_any_names(names: list[str], number: int) -> None:
    name = cycle(names)
    rows = rows_of(names, 12)
    kinds = cycle(Holder)
    held = tuple(
        Held(
            kind=next(kinds),
            xids=10 * at,
            since=ago(hours=at) if at % 3 else None,
            name=next(name),
            pid=rows[at % 12].pid,
            datname=next(name),
            usename=next(name),
            active=at % 2 == 0,
            wal_status=next(name),
        )
        for at in reversed(range(number))
    )
    seen = replace(survey(*rows), holders=held, unread=(Unread(Part.SLOTS, names[0]),))
    seen = replace(seen, look=replace(seen.look, server=replace(server_of(names), cluster="main")))
    for surveys in ((seen,), (seen, seen)):
        asked = Horizon(
            request=HorizonRequest(),
            surveys=surveys,
            troubles=(ClusterDown("prod", names[0]),),
            asked_by=ALICE,
            now=NOW,
        )
        holds(horizon(asked, every))


def test_every_kind_of_evidence_has_its_words() -> None:
    assert set(told.HEADLINES) == set(told.EVIDENCE) == set(get_args(Evidence))
    assert {each.rule for each in findings(["x"])} == set(Rule)


def test_five_findings_are_told_and_the_others_counted() -> None:
    found = findings(["x"])
    message = why(answer(Diagnosis(Question(), survey(), tuple(found))), every)
    assert f"main: {len(found)} problems" in lines(message)
    assert f"the worst {MOST} are shown; {len(found) - MOST} more" in lines(message)


def test_finding_about_a_role_and_a_database_of_one_name_is_told_once() -> None:
    found = tuple(findings(["x"])[:2])
    both = [Diagnosis(each, survey(), found) for each in (Question("web"), Question(None, "web"))]
    assert "the role and the database web on main: 2 problems" in lines(why(answer(*both), every))
    elsewhere = replace(survey(), look=replace(survey().look, server=server(cluster="prod")))
    both[1] = replace(both[1], survey=elsewhere)
    assert "the role and the database web on 2 clusters: 4 problems" in lines(
        why(answer(*both), every)
    )


def test_state_of_a_server_without_findings_is_told_once_with_its_limits() -> None:
    both = [Diagnosis(each, survey(), ()) for each in (Question("web"), Question(None, "web"))]
    assert lines(why(answer(*both), every))[:3] == [
        "the role and the database web on main: nothing found",
        (
            "0 waiting for a lock · oldest transaction 32 min · connections ■■■■■■□□□□ 62 of 97"
            " · batch 14 of 20 · set aside: 3 for superusers"
        ),
        "⚠ some_user 1 of 1: at its limit, new logins fail",
    ]
    full = survey()
    full = replace(full, look=replace(full.look, server=server(client_backends=97, roles=())))
    told = lines(why(answer(Diagnosis(Question(), full, ())), every))
    assert told[2] == "⚠ connections ■■■■■■■■■■ 97 of 97: full, new logins fail"


def test_deadlock_is_told_where_no_rule_finds_anything() -> None:
    circle = WaitsFor({1: (2,), 2: (1,)}, {})
    seen = Survey(look=look(waiter(1), waiter(2), waits=circle, server=server(waiting=2)))
    told = lines(why(answer(Diagnosis(Question(), seen, ())), every))
    assert told[0] == "main: nothing found"
    deadlock = (
        "⚠ A deadlock: PostgreSQL itself ends one of the transactions after deadlock_timeout."
    )
    assert deadlock in told


def test_session_that_was_asked_for_is_told_once() -> None:
    holder, other = backend(), backend(1, usename="web")
    found = findings(["x"])[0]
    asked = Question(pid=holder.pid)
    for told_of, times in ((holder, 1), (other, 2)):
        finding = replace(found, evidence=Idle(backend=told_of, locks=(), xids=None))
        told = lines(why(answer(Diagnosis(asked, survey(holder, other), (finding,))), every))
        who = [line for line in told if line.startswith(("pid 33507 · ", "pid 1 · "))]
        assert len(who) == times


def test_problems_come_before_where_nothing_was_found() -> None:
    prod = replace(survey(), look=replace(survey().look, server=server(cluster="prod")))
    found = tuple(findings(["x"])[:1])
    both = Diagnosis(Question(), prod, ()), Diagnosis(Question(), survey(), found)
    told = lines(why(answer(*both), every))
    assert told[0] == "2 clusters: 1 problem"
    fine, checked = (
        next(at for at, line in enumerate(told) if line.startswith(words))
        for words in ("nothing found: prod", "checked: ")
    )
    assert 1 < fine < checked
    assert not any("nothing found" in line for line in lines(why(answer(both[1]), every)))


def test_who_may_only_cancel_is_offered_only_the_cancel() -> None:
    finding = replace(findings(["x"])[0], acts=(Cancel(backend()), End(backend())))
    asked = answer(Diagnosis(Question(), survey(backend()), (finding,)))
    both = [*pressable(why(asked, every))]
    one = [*pressable(why(asked, lambda _: Action.CANCEL))]
    none = [*pressable(why(asked, lambda _: None))]
    assert [each for each in both if "Preview" in each] == [
        "Preview the cancel of pid 33507",
        "Preview the end of pid 33507",
    ]
    assert len([each for each in one if "Preview" in each]) == 1
    assert not [each for each in none if "Preview" in each]


def test_standby_and_active_slot_have_nothing_to_press_or_run() -> None:
    held = (
        Held(kind=Holder.STANDBY, xids=3_200_000, name="replica-2", pid=9),
        Held(kind=Holder.SLOT, xids=41_000, name="sub", active=True, wal_status="reserved"),
    )
    asked = Horizon(
        request=HorizonRequest(),
        surveys=(survey(holders=held),),
        troubles=(),
        asked_by=ALICE,
        now=NOW,
    )
    message = horizon(asked, every)
    assert table(message)[1:] == [
        [
            "standby replica-2",
            "3.2 million",
            " ",
            "the end of a query there",
            "by hot_standby_feedback: a query there still needs old rows",
        ],
        [
            "replication slot sub",
            "41,000",
            " ",
            "its consumer",
            "active · WAL reserved · it holds back every table",
        ],
    ]
    assert list(pressable(message)) == ["Refresh"]
    assert "main: vacuum can't remove what was deleted in the last 3.2 million transactions" in (
        parsed(message)
    )


def test_autovacuum_worker_that_holds_back_vacuum_says_of_which_table() -> None:
    query = "autovacuum: VACUUM public.orders"
    worker = backend(7, usename=None, backend_type="autovacuum worker", state="active", query=query)
    held = (Held(kind=Holder.SESSION, xids=8, pid=7),)
    asked = Horizon(
        request=HorizonRequest(),
        surveys=(survey(worker, holders=held),),
        troubles=(),
        asked_by=ALICE,
        now=NOW,
    )
    assert table(horizon(asked, every))[1][0] == f"pid 7 · {query}"


def test_session_that_holds_back_vacuum_unseen_does_not_let_go_by_itself() -> None:
    unseen = {"backend_type": None, "backend_start": None, "state": None, "state_change": None}
    rows = (
        backend(7, usename="web", **unseen),
        backend(8, usename=None, **unseen),
    )
    held = tuple(Held(kind=Holder.SESSION, xids=8, pid=row.pid) for row in rows)
    spared = dict.fromkeys((7, 8), SpareReason.UNSEEN)
    asked = Horizon(
        request=HorizonRequest(),
        surveys=(survey(*rows, holders=held, spared=spared),),
        troubles=(),
        asked_by=ALICE,
        now=NOW,
    )
    head, *told = table(horizon(asked, every))
    ends = [row[head.index("lets go by")] for row in told]
    assert ends == ["its own end; the bot won't end it", "itself"]


def test_diagnosis_marks_what_is_through_a_pooler() -> None:
    row = backend()
    pooled = survey(row)
    pooled = replace(pooled, look=replace(pooled.look, through_pooler=frozenset({row.pid})))
    finding = replace(findings(["x"])[0], evidence=Idle(backend=row, locks=(), xids=None))
    for seen, marked in ((pooled, True), (survey(row), False)):
        message = why(answer(Diagnosis(Question(), seen, (finding,))), every)
        assert any("port 43512 through a pooler" in line for line in lines(message)) is marked


def test_locks_that_were_not_read_are_among_what_is_not_visible() -> None:
    rows = backend(1), backend(2), backend(3)
    finding = findings(["x"])[0]
    told = tuple(
        replace(finding, evidence=Idle(backend=row, locks=locks, xids=None))
        for row, locks in zip(rows, [None, None, ()], strict=True)
    )
    seen = survey(*rows, looked_at=frozenset({Part.TRANSACTIONS}))
    said = lines(why(answer(Diagnosis(Question(), seen, told)), every))
    assert any(line.endswith("not visible: the locks of 2 sessions") for line in said)
    unread = replace(seen, looked_at=frozenset(), unread=(Unread(Part.TRANSACTIONS, "locked"),))
    said = lines(why(answer(Diagnosis(Question(), unread, told)), every))
    assert any(line.endswith("not visible: transactions (locked)") for line in said)


def test_groups_are_called_most_only_if_they_are() -> None:
    groups = tuple(Group(name, None, "idle", 2) for name in "abc")
    for taken, label in ((6, "all"), (7, "most"), (11, "most"), (12, "the largest")):
        full = Full(limit=Limit("web", taken, taken), error="FATAL", groups=groups)
        said = lines(why(answer(Diagnosis(Question(), survey(), (full_finding(full),))), every))
        heads = {"all": "all of them", "most": "most of them", "the largest": "the largest groups"}
        assert f"{heads[label]}: 2 a idle, 2 b idle and 2 c idle" in said


def full_finding(full: Full) -> Finding:
    return Finding(
        rule=Rule.LIMIT,
        severity=Severity.ERROR,
        subject=Subject(SubjectOf.ROLE, "web"),
        evidence=full,
    )


def test_one_that_waits_behind_is_not_one_of_them() -> None:
    lock = LockWait("advisory", "ExclusiveLock", ago(minutes=1), None, None, None)
    head, blocker = backend(1, state="active"), Blocks(pid=2, behind=2, freed=2)
    for behind, freed, told_of in ((1, 1, ""), (3, 2, "2 of them "), (3, 3, "all of them ")):
        queue = Queue(head=head, wait=lock, behind=behind, freed=freed, blocker=blocker)
        finding = replace(findings(["x"])[0], rule=Rule.DDL_QUEUE, evidence=queue, since=None)
        said = lines(why(answer(Diagnosis(Question(), survey(head), (finding,))), every))
        assert any(
            line.endswith(f"behind it on main: {told_of}only because of it") for line in said
        )
        assert "it asks for ExclusiveLock on advisory lock" in said
