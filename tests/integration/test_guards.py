"""What a session must be to be signalled: each guard of the signal, and each filter.

The clock stands still and the test defines the sessions (see `rehearsal`). `test_mutated_guards`
shows that these cases would notice any change of a guard.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from itertools import product
from typing import Any

import asyncpg
import pytest

from bot.domain.filters import (
    AddressIn,
    Before,
    Condition,
    InLock,
    InTree,
    OidIn,
    PidIn,
    TextLike,
)
from bot.domain.kept_names import Applications
from bot.domain.kills import Action, Basis
from bot.domain.sessions import Backend, BackendId, Cost, ServerId
from bot.domain.signals import Guard, Verdict
from bot.grammar.terms import AgeOf, Word
from bot.postgres import queries
from bot.postgres.statements import signal_statement
from bot.postgres.where import Parameters, where
from tests.integration.rehearsal import NOW, SESSION, Scene, Seen, play, session

pytestmark = pytest.mark.sql

MICROSECOND = timedelta(microseconds=1)
DEADLINE = NOW + timedelta(seconds=5)
SERVER = ServerId(0, NOW)
"""Stands for the server that the tests run on; `real` replaces it."""


def guard(**changes: Any) -> Guard:
    """The guard of a click on the story's session, named by its pid."""
    shown: dict[str, Any] = {
        "server": SERVER,
        "target": BackendId(100, SESSION["backend_start"]),
        "action": Action.TERMINATE,
        "basis": Basis.PID,
        "xact_start": SESSION["xact_start"],
        "backend_xid": SESSION["backend_xid"],
        "virtualtransaction": None,
        "query_start": SESSION["query_start"],
        "conditions": (),
        "cost": None,
        "protected_roles": frozenset(),
        "protected_applications": Applications(),
        "deadline": DEADLINE,
    }
    return Guard(**{**shown, **changes})


def at(scene: Scene | None = None, /, **changes: Any) -> Scene:
    """The scene with these values in its one session."""
    return replace(scene or Scene(), sessions=(session(**changes),))


by_filter = partial(guard, basis=Basis.FILTER)
by_identity = partial(guard, basis=Basis.IDENTITY, xact_start=None, backend_xid=None)
cancel = partial(guard, action=Action.CANCEL)
then = partial(guard, action=Action.CANCEL_THEN_TERMINATE)
"""The guard of the second step."""
GONE_SERVER = ServerId(1, NOW)
NOBODY = Scene(sessions=())
ANOTHER_START = SESSION["backend_start"] + MICROSECOND
OTHER_WORK = {"xact_start": NOW}
LATE = Scene(now=DEADLINE)
reading = partial(guard, backend_xid=None, virtualtransaction="3/7")


def numbered(*locks: tuple[int, str, bool, str]) -> Scene:
    """A session that has not written, with these locks."""
    names = ("pid", "locktype", "granted", "virtualtransaction")
    held = tuple(dict(zip(names, lock, strict=True)) for lock in locks)
    return replace(at(backend_xid=None), locks=held)


RUNNING = {"state": "active"}
STILL = {"state": "active", "backend_xid": None}
COSTS_MORE = Verdict.COSTS_MORE
DOES: dict[str, tuple[Cost, dict[str, Any]]] = {
    "nothing": (Cost.NOTHING, {"state": "idle", "xact_start": None, "backend_xid": None}),
    "runs a query": (Cost.OPEN, {"state": "active", "backend_xid": None}),
    "runs what has no xact_start": (
        Cost.OPEN,
        {"state": "active", "xact_start": None, "backend_xid": None},
    ),
    "idle, in a transaction by xact_start": (Cost.OPEN, {"state": "idle", "backend_xid": None}),
    "in a transaction": (Cost.OPEN, {"state": "idle in transaction", "backend_xid": None}),
    "in a broken one": (
        Cost.NOTHING,
        {"state": "idle in transaction (aborted)", "xact_start": None, "backend_xid": None},
    ),
    "in a broken one, by xact_start still open": (
        Cost.OPEN,
        {"state": "idle in transaction (aborted)", "backend_xid": None},
    ),
    "calls a function": (Cost.OPEN, {"state": "fastpath function call", "backend_xid": None}),
    "has written": (Cost.WRITTEN, {}),
    "has written, and runs": (Cost.WRITTEN, {"state": "active"}),
    "says it is idle, and has written": (Cost.WRITTEN, {"state": "idle", "xact_start": None}),
    "does what a later version has a word for": (
        Cost.OPEN,
        {"state": "resting", "xact_start": None, "backend_xid": None},
    ),
    "says nothing": (Cost.UNSEEN, {"state": "disabled", "xact_start": None, "backend_xid": None}),
    "says nothing, and has written": (Cost.WRITTEN, {"state": "disabled", "xact_start": None}),
}
"""What a session may do, and what ending it then costs."""

CASES: dict[str, tuple[Scene, Guard, Verdict]] = {
    # the server
    "as shown": (Scene(), guard(), Verdict.SIGNALLED),
    "another system": (
        Scene(),
        guard(server=replace(SERVER, system_identifier=1)),
        Verdict.SERVER_CHANGED,
    ),
    "an earlier start of the server": (
        Scene(),
        guard(server=replace(SERVER, postmaster_start_time=NOW - MICROSECOND)),
        Verdict.SERVER_CHANGED,
    ),
    "a later start of the server": (
        Scene(),
        guard(server=replace(SERVER, postmaster_start_time=NOW + MICROSECOND)),
        Verdict.SERVER_CHANGED,
    ),
    "another server, where nobody has the pid": (
        NOBODY,
        guard(server=GONE_SERVER),
        Verdict.SERVER_CHANGED,
    ),
    # the backend
    "nobody": (NOBODY, guard(), Verdict.GONE),
    "others": (
        Scene(sessions=(session(pid=99), session(pid=101))),
        guard(),
        Verdict.GONE,
    ),
    "among others": (
        Scene(sessions=(session(pid=99, state=None), SESSION, session(pid=101, state=None))),
        guard(),
        Verdict.SIGNALLED,
    ),
    "a pid that means everyone": (
        Scene(sessions=(SESSION, session(pid=101))),
        guard(target=BackendId(-1, SESSION["backend_start"])),
        Verdict.GONE,
    ),
    "gone before the signal": (Scene(is_there=False), guard(), Verdict.GONE),
    "a later backend": (at(backend_start=ANOTHER_START), guard(), Verdict.GONE),
    "an earlier backend": (
        at(backend_start=SESSION["backend_start"] - MICROSECOND),
        guard(),
        Verdict.GONE,
    ),
    "another backend, unseen": (
        at(backend_start=ANOTHER_START, backend_type=None, state=None),
        guard(),
        Verdict.GONE,
    ),
    "another backend, a walsender": (
        at(backend_start=ANOTHER_START, backend_type="walsender"),
        guard(),
        Verdict.GONE,
    ),
    # what can't be seen
    "its start unseen": (at(backend_start=None), guard(), Verdict.NOT_VISIBLE),
    "its type unseen": (at(backend_type=None), guard(), Verdict.NOT_VISIBLE),
    "its state unseen": (at(state=None), guard(), Verdict.NOT_VISIBLE),
    "its role unseen": (at(usesysid=None), guard(), Verdict.NOT_VISIBLE),
    "its state unseen, by identity": (at(state=None), by_identity(), Verdict.NOT_VISIBLE),
    "its state and role unseen": (at(state=None, usesysid=None), guard(), Verdict.NOT_VISIBLE),
    "its state unseen, its role protected": (
        at(state=None),
        guard(protected_roles=frozenset({20})),
        Verdict.NOT_VISIBLE,
    ),
    # its type
    "a walsender": (at(backend_type="walsender"), guard(), Verdict.NOT_CLIENT),
    "an autovacuum worker": (at(backend_type="autovacuum worker"), guard(), Verdict.NOT_CLIENT),
    "a worker without a state": (
        at(backend_type="checkpointer", state=None, usesysid=None),
        guard(),
        Verdict.NOT_CLIENT,
    ),
    # what is protected
    "a protected role": (
        Scene(),
        guard(protected_roles=frozenset({7, 20, 33})),
        Verdict.PROTECTED,
    ),
    "other protected roles": (
        Scene(),
        guard(protected_roles=frozenset({7, 33})),
        Verdict.SIGNALLED,
    ),
    "a protected application": (
        at(application_name="backup of the night"),
        guard(protected_applications=Applications((("cron",), ("backup", "")))),
        Verdict.PROTECTED,
    ),
    "other protected applications": (
        Scene(),
        guard(protected_applications=Applications((("cron",), ("backup", "")))),
        Verdict.SIGNALLED,
    ),
    "a protected application, in capitals": (
        at(application_name="PSQL"),
        guard(protected_applications=Applications((("psql",),))),
        Verdict.SIGNALLED,
    ),
    "no application, where no name is protected": (
        at(application_name=None),
        guard(protected_applications=Applications((("",),))),
        Verdict.PROTECTED,
    ),
    "no application, where one is protected": (
        at(application_name=None),
        guard(protected_applications=Applications((("psql",),))),
        Verdict.SIGNALLED,
    ),
    "protected, and at other work": (
        at(**OTHER_WORK),
        guard(protected_roles=frozenset({20})),
        Verdict.PROTECTED,
    ),
    # the transaction that was shown
    "a later transaction": (
        at(xact_start=SESSION["xact_start"] + MICROSECOND),
        guard(),
        Verdict.CHANGED,
    ),
    "an earlier transaction": (
        at(xact_start=SESSION["xact_start"] - MICROSECOND),
        guard(),
        Verdict.CHANGED,
    ),
    "no transaction any more": (
        at(xact_start=None, backend_xid=None, state="idle"),
        guard(),
        Verdict.CHANGED,
    ),
    "no transaction then, one now": (
        Scene(),
        guard(xact_start=None, backend_xid=None),
        Verdict.CHANGED,
    ),
    "no transaction then and now": (
        at(xact_start=None, backend_xid=None, state="idle"),
        guard(xact_start=None, backend_xid=None),
        Verdict.SIGNALLED,
    ),
    "another transaction id": (at(backend_xid=743), guard(), Verdict.CHANGED),
    "another transaction id, smaller": (at(backend_xid=741), guard(), Verdict.CHANGED),
    "no transaction id any more": (at(backend_xid=None), guard(), Verdict.CHANGED),
    "a transaction id that came since": (Scene(), guard(backend_xid=None), Verdict.SIGNALLED),
    "its transaction untold": (
        at(state="disabled", xact_start=None, backend_xid=None),
        guard(xact_start=None, backend_xid=None),
        Verdict.CHANGED,
    ),
    "a state that sorts before": (
        at(**RUNNING),
        guard(),
        Verdict.SIGNALLED,
    ),
    "whatever it runs": (at(**OTHER_WORK), by_identity(), Verdict.SIGNALLED),
    "another transaction, and late": (at(LATE, **OTHER_WORK), guard(), Verdict.CHANGED),
    # the filter
    "no filter at all": (Scene(), by_filter(), Verdict.SIGNALLED),
    "still in the filter": (
        at(**OTHER_WORK),
        by_filter(conditions=(OidIn("usesysid", (20,)), PidIn((100,)))),
        Verdict.SIGNALLED,
    ),
    "in one half of the filter": (
        Scene(),
        by_filter(conditions=(OidIn("usesysid", (20,)), PidIn((1,)))),
        Verdict.NO_LONGER_MATCHES,
    ),
    "in the other half of the filter": (
        Scene(),
        by_filter(conditions=(PidIn((1,)), OidIn("usesysid", (20,)))),
        Verdict.NO_LONGER_MATCHES,
    ),
    "a filter on what is unknown": (
        at(wait_event=None, wait_event_type=None),
        by_filter(conditions=(TextLike("wait_event", ("Lock",), negated=True),)),
        Verdict.NO_LONGER_MATCHES,
    ),
    # what ending it would undo
    **{
        f"{now}, where {most.name} was shown": (
            at(**does),
            by_filter(cost=most),
            COSTS_MORE if cost > most else Verdict.SIGNALLED,
        )
        for most in Cost
        for now, (cost, does) in DOES.items()
    },
    "it costs more, and matches no longer": (
        at(**DOES["has written"][1]),
        by_filter(cost=Cost.NOTHING, conditions=(PidIn((1,)),)),
        Verdict.NO_LONGER_MATCHES,
    ),
    "it costs more, and is late": (
        at(LATE, **DOES["has written"][1]),
        by_filter(cost=Cost.NOTHING),
        COSTS_MORE,
    ),
    "whatever it costs": (at(**DOES["has written"][1]), by_identity(), Verdict.SIGNALLED),
    # the query that was shown
    "the number of its transaction": (
        numbered((100, "virtualxid", True, "3/7")),
        reading(),
        Verdict.SIGNALLED,
    ),
    "another number": (
        numbered((100, "virtualxid", True, "3/8")),
        reading(),
        Verdict.CHANGED,
    ),
    "no number": (numbered(), reading(), Verdict.CHANGED),
    "another's number": (
        numbered((101, "virtualxid", True, "3/7"), (100, "virtualxid", True, "3/8")),
        reading(),
        Verdict.CHANGED,
    ),
    "a number that is only waited for": (
        numbered((100, "virtualxid", False, "3/7")),
        reading(),
        Verdict.CHANGED,
    ),
    "a lock that is no number": (
        numbered((100, "relation", True, "3/7")),
        reading(),
        Verdict.CHANGED,
    ),
    "a smaller number": (
        numbered((100, "virtualxid", True, "3/6")),
        reading(),
        Verdict.CHANGED,
    ),
    "its number among others' smaller ones": (
        numbered(
            (99, "virtualxid", True, "3/6"),
            (101, "virtualxid", True, "3/6"),
            (100, "a", True, "3/6"),
            (100, "z", True, "3/6"),
            (100, "virtualxid", True, "3/7"),
        ),
        reading(),
        Verdict.SIGNALLED,
    ),
    "its number, and nothing known of its transaction": (
        replace(
            numbered((100, "virtualxid", True, "3/7")),
            sessions=(session(backend_xid=None, xact_start=None),),
        ),
        reading(xact_start=None),
        Verdict.SIGNALLED,
    ),
    "its number in a transaction of another start": (
        replace(
            numbered((100, "virtualxid", True, "3/7")),
            sessions=(session(backend_xid=None, xact_start=NOW),),
        ),
        reading(),
        Verdict.CHANGED,
    ),
    **{
        f"its number where the state is {state}": (
            replace(
                numbered((100, "virtualxid", True, "3/7")),
                sessions=(session(backend_xid=None, state=state),),
            ),
            reading(),
            verdict,
        )
        for state, verdict in (
            ("a", Verdict.SIGNALLED),
            ("z", Verdict.SIGNALLED),
            ("Xdisabled", Verdict.SIGNALLED),
            ("disabled", Verdict.CHANGED),
        )
    },
    "the least of two numbers": (
        numbered((100, "virtualxid", True, "3/7"), (100, "virtualxid", True, "3/8")),
        reading(),
        Verdict.SIGNALLED,
    ),
    "its query to cancel": (at(**RUNNING), cancel(), Verdict.SIGNALLED),
    "a later query": (
        at(**RUNNING, query_start=SESSION["query_start"] + MICROSECOND),
        cancel(),
        Verdict.FINISHED,
    ),
    "an earlier query": (
        at(**RUNNING, query_start=SESSION["query_start"] - MICROSECOND),
        cancel(),
        Verdict.FINISHED,
    ),
    "a query that has ended": (Scene(), cancel(), Verdict.FINISHED),
    "a state that is no query": (at(state="a"), cancel(), Verdict.FINISHED),
    "its query in another transaction": (at(**RUNNING, **OTHER_WORK), cancel(), Verdict.SIGNALLED),
    "its query, whatever its transaction": (
        at(**RUNNING, **OTHER_WORK),
        by_identity(action=Action.CANCEL),
        Verdict.SIGNALLED,
    ),
    "another query, whatever its transaction": (
        at(**RUNNING, query_start=NOW),
        by_identity(action=Action.CANCEL),
        Verdict.FINISHED,
    ),
    "its query in the filter": (
        at(**RUNNING),
        by_filter(action=Action.CANCEL, conditions=(PidIn((100,)),)),
        Verdict.SIGNALLED,
    ),
    "its query, no longer in the filter": (
        at(**RUNNING),
        by_filter(action=Action.CANCEL, conditions=(PidIn((1,)),)),
        Verdict.NO_LONGER_MATCHES,
    ),
    "a query that has ended, of one who is protected": (
        Scene(),
        cancel(protected_roles=frozenset({SESSION["usesysid"]})),
        Verdict.PROTECTED,
    ),
    "a query that has ended, no longer in the filter": (
        Scene(),
        by_filter(action=Action.CANCEL, conditions=(PidIn((1,)),)),
        Verdict.FINISHED,
    ),
    "a query whose start was not shown": (
        at(**RUNNING, query_start=None),
        cancel(query_start=None),
        Verdict.FINISHED,
    ),
    # the second step
    **{
        f"{who} after a cancel, named by {basis}": (
            replace(numbered((100, "virtualxid", True, number)), sessions=(session(**now),)),
            then(
                basis=basis,
                backend_xid=None,
                virtualtransaction="3/7",
                conditions=(PidIn((100,)),) if basis is Basis.FILTER else (),
                cost=Cost.OPEN if basis is Basis.FILTER else None,
            ),
            verdict,
        )
        for basis in Basis
        for who, now, number, verdict in (
            ("its query", STILL, "3/7", Verdict.SIGNALLED),
            ("what it runs next", {**STILL, "query_start": NOW}, "3/7", Verdict.FINISHED),
            ("its next transaction", {**STILL, **OTHER_WORK}, "3/7", Verdict.CHANGED),
            ("its next transaction by number", STILL, "3/8", Verdict.CHANGED),
            ("nothing that runs", {**STILL, "state": "idle"}, "3/7", Verdict.FINISHED),
        )
    },
    "its query, no longer in the filter after a cancel": (
        at(**STILL),
        then(basis=Basis.FILTER, backend_xid=None, conditions=(PidIn((1,)),)),
        Verdict.NO_LONGER_MATCHES,
    ),
    "its query, which has written since, after a cancel": (
        at(**RUNNING),
        then(basis=Basis.FILTER, backend_xid=None, conditions=(PidIn((100,)),), cost=Cost.OPEN),
        Verdict.COSTS_MORE,
    ),
    "its query, which has written since in its next transaction, after a cancel": (
        at(**RUNNING, **OTHER_WORK),
        then(basis=Basis.FILTER, backend_xid=None, conditions=(PidIn((100,)),), cost=Cost.OPEN),
        Verdict.COSTS_MORE,
    ),
    "its query, which has written since, before a cancel": (
        at(**RUNNING),
        cancel(basis=Basis.FILTER, conditions=(PidIn((100,)),), cost=Cost.OPEN),
        Verdict.COSTS_MORE,
    ),
    "its query, too late after a cancel": (
        replace(at(**RUNNING), now=DEADLINE),
        then(),
        Verdict.LATE,
    ),
    "its query after a cancel, of one who is protected": (
        at(**RUNNING),
        then(protected_roles=frozenset({SESSION["usesysid"]})),
        Verdict.PROTECTED,
    ),
    # the deadline
    "a microsecond before the deadline": (
        Scene(now=DEADLINE - MICROSECOND),
        guard(),
        Verdict.SIGNALLED,
    ),
    "at the deadline": (LATE, guard(), Verdict.LATE),
    "past the deadline": (Scene(now=DEADLINE + MICROSECOND), guard(), Verdict.LATE),
}


def drifts() -> Iterator[tuple[str, tuple[Scene, Guard, Verdict]]]:
    """Every way to be shown, and every way to have changed since, one at a time."""
    shown = SESSION | RUNNING
    started = shown["query_start"]
    changes: list[dict[str, Any]] = [
        {},
        *({"state": state} for state in ("idle", "idle in transaction", "a", "b", "disabled")),
        *({"query_start": other} for other in (None, started - MICROSECOND, started + MICROSECOND)),
        *({"xact_start": other} for other in (None, NOW, SESSION["backend_start"])),
        *({"backend_xid": other} for other in (None, 741, 743, 7)),
        {"xact_start": None, "backend_xid": None},
    ]
    for action, basis in product(Action, (Basis.PID, Basis.IDENTITY, Basis.FILTER)):
        for xact_start, xid in product((None, shown["xact_start"]), (None, 742)):
            one = guard(action=action, basis=basis, xact_start=xact_start, backend_xid=xid)
            base = {**shown, "xact_start": xact_start, "backend_xid": xid}
            for change in changes:
                now = {**base, **change}
                name = f"{action} by {basis}, shown at {xact_start} in {xid}, now {change}"
                yield name, (Scene((now,)), one, drifted(one, now))


def drifted(one: Guard, now: dict[str, Any]) -> Verdict:
    """The rule for kills without conditions, stated independently."""
    runs_it = now["state"] == "active" and now["query_start"] == one.query_start
    is_in_it = (
        now["state"] != "disabled"
        and now["xact_start"] == one.xact_start
        and one.backend_xid in (None, now["backend_xid"])
    )
    if one.action is not Action.TERMINATE and not runs_it:
        return Verdict.FINISHED
    asks_of_it = one.action is Action.CANCEL_THEN_TERMINATE or one.basis is Basis.PID
    if one.action is not Action.CANCEL and asks_of_it and not is_in_it:
        return Verdict.CHANGED
    return Verdict.SIGNALLED


CASES |= drifts()


def real(one: Guard, server: ServerId) -> Guard:
    """The guard for this server, differing from it as the case differs from `SERVER`."""
    off = one.server.postmaster_start_time - SERVER.postmaster_start_time
    identifier = server.system_identifier + one.server.system_identifier
    return replace(one, server=ServerId(identifier, server.postmaster_start_time + off))


@pytest.mark.parametrize("does", DOES)
def test_cost_of_a_session_is_what_the_guard_computes(does: str) -> None:
    cost, values = DOES[does]
    seen = session(**values)
    assert (
        Backend(
            pid=100,
            state=seen["state"],
            xact_start=seen["xact_start"],
            backend_xid=seen["backend_xid"],
        ).cost
        is cost
    )


@pytest.mark.parametrize("case", CASES)
async def test_the_verdict_and_the_signal(
    stage: asyncpg.Connection, server_id: ServerId, case: str
) -> None:
    scene, one, verdict = CASES[case]

    seen = await play(stage, scene, *signal_statement(real(one, server_id)))

    assert isinstance(seen.rows, tuple), seen
    ((said, now, xact_start, _, state),) = seen.rows
    assert said == verdict.value
    assert now == scene.now
    target = next((s for s in scene.sessions if s["pid"] == one.target.pid), {})
    assert (xact_start, state) == (target.get("xact_start"), target.get("state"))
    is_signalled = verdict is Verdict.SIGNALLED or not scene.is_there
    signal = "cancel" if one.action is Action.CANCEL else "terminate"
    assert seen.notes == (f"{signal} 100; " if is_signalled else "")


# --- the sessions that others wait for

LOCK = {"wait_event_type": "Lock", "wait_event": "transactionid"}
SNAPSHOT = {"wait_event_type": "IPC", "wait_event": "SafeSnapshot"}

BLOCKING: dict[str, tuple[Scene, list[tuple[int]], str]] = {
    "nobody waits": (Scene(blockers={100: (1,)}), [], ""),
    "for a lock": (
        Scene((session(**LOCK), session(pid=101)), blockers={100: (101,)}),
        [(101,)],
        "who blocks 100; ",
    ),
    "for a lock of two that share it": (
        Scene((session(**LOCK),), blockers={100: (103, 101)}),
        [(101,), (103,)],
        "who blocks 100; ",
    ),
    "for a lock that is free by now": (Scene((session(**LOCK),)), [], "who blocks 100; "),
    "for a safe snapshot": (
        Scene((session(**SNAPSHOT),), blockers={100: (101,)}),
        [(101,)],
        "whose snapshot blocks 100; ",
    ),
    "for events whose names sort elsewhere": (
        Scene(
            (
                session(wait_event_type="Activity", wait_event="AutovacuumMain"),
                session(wait_event_type="Timeout", wait_event="VacuumDelay"),
                session(wait_event_type=None, wait_event=None),
            ),
            blockers={100: (101,)},
        ),
        [],
        "",
    ),
    "one for the other": (
        Scene(
            (session(**LOCK), session(pid=101, **LOCK), session(pid=102, **SNAPSHOT)),
            blockers={100: (101, 9), 101: (8,), 102: (100,)},
        ),
        [(8,), (9,), (100,), (101,)],
        "who blocks 100; who blocks 101; whose snapshot blocks 102; ",
    ),
}


def blocking_statement(blocking: str) -> str:
    return f"with {blocking} select pid from blocking order by pid"


@pytest.mark.parametrize("case", BLOCKING)
async def test_sessions_that_others_wait_for(stage: asyncpg.Connection, case: str) -> None:
    scene, expected, asked = BLOCKING[case]

    seen = await play(stage, scene, blocking_statement(queries.get("blocking")), ())

    assert seen == Seen(tuple(expected), asked)


@pytest.mark.parametrize(
    ("blocker", "verdict", "notes"),
    [
        (100, Verdict.SIGNALLED, "who blocks 101; terminate 100; "),
        (99, Verdict.NO_LONGER_MATCHES, "who blocks 101; "),
    ],
)
async def test_kill_of_blockers_asks_at_the_signal_who_waits(
    stage: asyncpg.Connection, server_id: ServerId, blocker: int, verdict: Verdict, notes: str
) -> None:
    one = by_filter(conditions=(InLock(Word.BLOCKING),))
    scene = waiting(session(), session(pid=101, **LOCK), _101=(blocker,))

    seen = await play(stage, scene, *signal_statement(real(one, server_id)))

    assert isinstance(seen.rows, tuple), seen
    assert [row[0] for row in seen.rows] == [verdict.value]
    assert seen.notes == notes


# --- what a filter means

INSTANT = NOW - timedelta(minutes=15)
BEFORE, AFTER = INSTANT - MICROSECOND, INSTANT + MICROSECOND


@dataclass(frozen=True)
class Reading:
    """A request, with sessions that satisfy it, that don't, and that leave it unknown."""

    conditions: Condition | tuple[Condition, ...]
    yes: tuple[Scene, ...]
    no: tuple[Scene, ...] = ()
    unknown: tuple[Scene, ...] = ()


def each(column: str, *values: object) -> tuple[Scene, ...]:
    return tuple(at(**{column: value}) for value in values)


def waiting(*sessions: dict[str, Any], **blockers: tuple[int, ...]) -> Scene:
    return Scene(sessions, blockers={int(pid.lstrip("_")): by for pid, by in blockers.items()})


def ages(
    of: AgeOf, column: str, states: tuple[str, ...], others: tuple[str, ...]
) -> Iterator[tuple[str, Reading]]:
    """Over and under an age, for sessions in these states but not in others."""
    for older, (first, second) in ((True, (BEFORE, AFTER)), (False, (AFTER, BEFORE))):
        yield (
            f"{of} {'over' if older else 'under'} an age",
            Reading(
                Before(of, INSTANT, older),
                yes=tuple(at(**{column: first}, state=state) for state in states),
                no=(
                    *(at(**{column: instant}, state=states[0]) for instant in (INSTANT, second)),
                    *(at(**{column: first}, state=state) for state in others),
                ),
                unknown=(at(**{column: None}, state=states[0]),),
            ),
        )


BUSY = ("active", "fastpath function call")
IDLE = ("idle", "idle in transaction", "idle in transaction (aborted)")
NEITHER = ("disabled", "starting", "IDLE")

READINGS: dict[str, Reading] = {
    "a role": Reading(
        OidIn("usesysid", (7, 20)),
        yes=each("usesysid", 7, 20),
        no=each("usesysid", 6, 8, 19, 21),
        unknown=each("usesysid", None),
    ),
    "a database": Reading(
        OidIn("datid", (5, 9)),
        yes=each("datid", 5, 9),
        no=each("datid", 4, 6, 8, 10),
        unknown=each("datid", None),
    ),
    "an application": Reading(
        TextLike("application_name", ("psql",)),
        yes=each("application_name", "psql"),
        no=each("application_name", "PSQL", "psql2", "xpsql", "a", "z", ""),
        unknown=each("application_name", None),
    ),
    "no application": Reading(
        TextLike("application_name", ("",)),
        yes=each("application_name", ""),
        no=each("application_name", "psql"),
        unknown=each("application_name", None),
    ),
    "applications": Reading(
        TextLike("application_name", ("ps", "q", "l")),
        yes=each("application_name", "psql", "psqql", "ps and a query tool"),
        no=each("application_name", "PSQL", "psl", "xpsql", "psql2"),
        unknown=each("application_name", None),
    ),
    "applications with the marks of LIKE in their names": Reading(
        TextLike("application_name", ("a_%\\", "")),
        yes=each("application_name", "a_%\\", "a_%\\b"),
        no=each("application_name", "ax%\\", "a_x\\", "a_%", "a_%b", "a_"),
    ),
    "an application in characters that not every encoding has": Reading(
        TextLike("application_name", ("aΩ",)),
        yes=each("application_name", "a\x7f"),  # which never occurs there
        no=each("application_name", "a", "aO", "a?"),
    ),
    "a state": Reading(
        TextLike("state", ("idle in transaction",)),
        yes=each("state", "idle in transaction"),
        no=each("state", "idle", "active", "idle in transaction (aborted)"),
        unknown=each("state", None),
    ),
    "a type": Reading(
        TextLike("backend_type", ("client backend",)),
        yes=each("backend_type", "client backend"),
        no=each("backend_type", "walsender", "autovacuum worker"),
        unknown=each("backend_type", None),
    ),
    "addresses that look alike": Reading(
        TextLike("client_addr", ("10.1.", "")),
        yes=each("client_addr", "10.1.2.3", "10.1.0.1"),
        no=each("client_addr", "10.2.1.3", "110.1.2.3", "fe80::1"),
        unknown=each("client_addr", None),
    ),
    "addresses as PostgreSQL does not write them": Reading(
        TextLike("client_addr", ("FE80:", "")),
        yes=(),
        no=each("client_addr", "fe80::1"),
    ),
    "what it waits for, by its type": Reading(
        TextLike("wait_event", ("Lock",)),
        yes=(at(**LOCK),),
        no=(
            at(),
            at(wait_event_type="LWLock", wait_event="LockManager"),
            at(wait_event_type="Timeout", wait_event="VacuumDelay"),
        ),
        unknown=(at(wait_event_type=None, wait_event=None),),
    ),
    "what it waits for, by its event": Reading(
        TextLike("wait_event", ("transactionid",)),
        yes=(at(**LOCK),),
        no=(at(), at(wait_event_type="Lock", wait_event="tuple")),
        unknown=(at(wait_event_type=None, wait_event=None),),
    ),
    "a network": Reading(
        AddressIn("10.0.0.0/8"),
        yes=each("client_addr", "10.0.0.0", "10.1.2.3", "10.255.255.255"),
        no=each("client_addr", "9.255.255.255", "11.0.0.0", "fe80::1"),
        unknown=each("client_addr", None),
    ),
    "an address": Reading(
        AddressIn("10.1.2.3"),
        yes=each("client_addr", "10.1.2.3"),
        no=each("client_addr", "10.1.2.2", "10.1.2.4", "fe80::1"),
        unknown=each("client_addr", None),
    ),
    **dict(ages(AgeOf.AGE, "backend_start", (*BUSY, *IDLE, *NEITHER), ())),
    **dict(ages(AgeOf.XACT, "xact_start", (*BUSY, *IDLE, *NEITHER), ())),
    **dict(ages(AgeOf.QUERY, "query_start", BUSY, (*IDLE, *NEITHER))),
    **dict(ages(AgeOf.IDLE, "state_change", IDLE, (*BUSY, *NEITHER))),
    "blocked": Reading(
        InLock(Word.BLOCKED),
        yes=(at(**LOCK), at(**SNAPSHOT)),
        no=(
            at(wait_event_type="Activity", wait_event="AutovacuumMain"),
            at(wait_event_type="Timeout", wait_event="VacuumDelay"),
            waiting(session(), session(pid=101, **LOCK), _101=(100,)),
        ),
        unknown=(at(wait_event_type=None, wait_event=None),),
    ),
    "blocking": Reading(
        InLock(Word.BLOCKING),
        yes=(
            waiting(session(), session(pid=101, **LOCK), _101=(100,)),
            waiting(session(), session(pid=101, **LOCK), _101=(99, 100)),
        ),
        no=(
            Scene(),
            waiting(session(**LOCK), _100=(101,)),
            waiting(session(), session(pid=101, **LOCK), _101=(99, 102)),
        ),
    ),
    "blocked or blocking": Reading(
        InTree(),
        yes=(
            waiting(session(**LOCK), _100=(101,)),
            waiting(session(), session(pid=101, **LOCK), _101=(100,)),
        ),
        no=(Scene(), waiting(session(), session(pid=101, **LOCK), _101=(99,))),
    ),
    "pids": Reading(PidIn((7, 100)), yes=(Scene(),)),
    "a pid": Reading(PidIn((100,)), yes=(Scene(),)),
    "other pids": Reading(PidIn((99, 101)), yes=(), no=(Scene(),)),
    "an earlier pid": Reading(PidIn((99,)), yes=(), no=(Scene(),)),
    "nothing": Reading((), yes=(Scene(),)),
    "one thing and another": Reading(
        (OidIn("usesysid", (7, 20)), OidIn("datid", (5, 9))),
        yes=(Scene(), at(usesysid=7, datid=9)),
        no=(
            *each("usesysid", 6, 8, 19, 21),
            *each("datid", 4, 6, 8, 10),
            at(usesysid=21, datid=6),
        ),
        unknown=(at(datid=None),),
    ),
}


@dataclass(frozen=True)
class Asked:
    """Conditions as they are asked, and for each scene whether they are satisfied."""

    conditions: tuple[Condition, ...]
    strict: bool
    scenes: tuple[tuple[Scene, bool], ...]

    @property
    def sql(self) -> tuple[str, list[Any]]:
        parameters = Parameters()
        return where(self.conditions, parameters, strict=self.strict), parameters


def asked() -> Iterator[tuple[str, Asked]]:
    """Each reading as it is and negated, for a kill (strict) and for a look."""
    for name, reading in READINGS.items():
        given = reading.conditions
        for strict in (True, False):
            of = f"{name}, for a {'kill' if strict else 'look'}"
            scenes = [(scene, True) for scene in reading.yes]
            scenes += [(scene, False) for scene in (*reading.no, *reading.unknown)]
            yield of, Asked(given if isinstance(given, tuple) else (given,), strict, tuple(scenes))
            if isinstance(given, OidIn | TextLike | AddressIn):
                scenes = [(scene, False) for scene in reading.yes]
                scenes += [(scene, True) for scene in reading.no]
                scenes += [(scene, not strict) for scene in reading.unknown]
                yield f"not {of}", Asked((replace(given, negated=True),), strict, tuple(scenes))


ASKED = dict(asked())


def match_statement(condition: str) -> str:
    """`waits` replaces what a look finds in the lock table."""
    everyone = "pg_stat_get_activity(null) as a"
    waiting = where((InLock(Word.BLOCKED),), Parameters(), strict=True)
    waits = f"waits as (select pid from blocking union select pid from {everyone} where {waiting})"
    with_ = f"with {queries.get('blocking')}, {waits}"
    return f"{with_} select pid from {everyone} where ({condition}) order by pid"


@pytest.mark.parametrize("case", ASKED)
async def test_sessions_that_satisfy_a_condition(stage: asyncpg.Connection, case: str) -> None:
    condition, parameters = ASKED[case].sql
    for scene, satisfied in ASKED[case].scenes:
        seen = await play(stage, scene, match_statement(condition), parameters)
        assert ((100,) in seen.rows) is satisfied, (scene, seen)
