"""The signalling statement, with all that a kill promises; and all statements, to rehearse."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from bot.domain.filters import InLock
from bot.domain.kept_names import Applications
from bot.domain.kills import Action, Basis
from bot.domain.sessions import Backend, BackendId, Names, ServerId
from bot.domain.signals import Guard
from bot.grammar.terms import Word
from bot.postgres import queries
from bot.postgres.where import COST, EVERYTHING, Parameters, likes, order, where

Statement = tuple[str, list[Any]]
"""Its text, and its parameters."""

MOST_PREPARED = 50
"""How many prepared transactions are read, the oldest first."""

_FUNCTIONS = {
    Action.TERMINATE: "pg_terminate_backend",
    Action.CANCEL: "pg_cancel_backend",
    Action.CANCEL_THEN_TERMINATE: "pg_terminate_backend",  # the second step
}


_LONG_AGO = datetime.fromtimestamp(0, UTC)
_NOWHERE = ServerId(0, _LONG_AGO)


def every_statement() -> tuple[Statement, ...]:
    """The statements of looks and kills, with parameters that match and end nobody."""
    by_pain = order((), Names({}, {}, _LONG_AGO, _NOWHERE), Parameters())
    look = queries.get("look").replace("{where}", EVERYTHING).replace("{hidden}", "false")
    for flag in ("{strict}", "{locks}", "{logins_by_locks}"):
        look = look.replace(flag, "true")
    return (
        (queries.get("roles"), []),
        (queries.get("databases"), []),
        (look.replace("{order}", by_pain), [[], [], 1, 0, [], []]),
        (queries.get("texts"), [0]),
        (queries.get("locks"), []),
        (queries.get("prepared"), []),
        (queries.get("locks_of"), [0, 1]),
        (queries.get("held"), [[], 1]),
        (queries.get("horizon"), [1]),
        (queries.get("slots"), [1]),
        (queries.get("builds"), [1]),
        (queries.get("groups"), [1]),
        (queries.get("login"), [None]),
        (queries.get("holdings"), [[], [], 1]),
        (queries.get("sight"), [[], []]),
        *map(rehearsal, _usual_guards()),
    )


def _usual_guards() -> tuple[Guard, ...]:
    """Guards whose statements have the texts of all that is known by its pid: a filter's vary."""
    idle = Guard(
        server=_NOWHERE,
        target=BackendId(0, _LONG_AGO),
        action=Action.TERMINATE,
        basis=Basis.PID,
        xact_start=None,
        backend_xid=None,
        virtualtransaction=None,
        query_start=None,
        conditions=(),
        cost=None,
        protected_roles=frozenset(),
        protected_applications=Applications(),
        deadline=_LONG_AGO,
    )
    return (
        idle,
        replace(idle, backend_xid=0),
        replace(idle, virtualtransaction=""),
        replace(idle, action=Action.CANCEL),
        replace(idle, action=Action.CANCEL_THEN_TERMINATE),
        replace(idle, basis=Basis.IDENTITY),
    )


def rehearsal(guard: Guard) -> Statement:
    """The signalling statement of a guard, about a backend that no server has, and too late."""
    nobody = BackendId(0, _LONG_AGO)
    return signal_statement(replace(guard, server=_NOWHERE, target=nobody, deadline=_LONG_AGO))


def holdings_statement(backends: Sequence[Backend]) -> Statement:
    """What reads what these have besides their transactions."""
    pids = [backend.pid for backend in backends]
    owners = {backend.usesysid for backend in backends if backend.usesysid is not None}
    return queries.get("holdings"), [pids, sorted(owners), MOST_PREPARED]


def signal_statement(guard: Guard) -> Statement:
    """The signalling statement of a guard, and its parameters."""
    parameters = Parameters(
        [
            guard.server.system_identifier,
            guard.server.postmaster_start_time,
            guard.target.pid,
            guard.target.backend_start,
            sorted(guard.protected_roles),
            likes(guard.protected_applications),
            guard.deadline,
        ]
    )
    asks_of_waits = InLock(Word.BLOCKING) in guard.conditions
    statement = (
        queries.get("signal")
        .replace("{blocking}", f"{queries.get('blocking')}," if asks_of_waits else "")
        .replace("{transaction}", _transaction(guard, parameters))
        .replace("{running}", _running(guard, parameters))
        .replace("{match}", _match(guard, parameters))
        .replace("{cost}", _cost(guard, parameters))
        .replace("{function}", _FUNCTIONS[guard.action])
    )
    return statement, list(parameters)


def _match(guard: Guard, parameters: Parameters) -> str:
    """The frozen filter, if the target was named by one."""
    if guard.basis is not Basis.FILTER:
        return "true"
    return where(guard.conditions, parameters, strict=True)


def _transaction(guard: Guard, parameters: Parameters) -> str:
    """The transaction that was shown, if the target must still be in it."""
    match guard.action:
        case Action.CANCEL:
            # A procedure may have begun another transaction; the query is still the one shown.
            return "true"
        case Action.TERMINATE if guard.basis is not Basis.PID:
            return "true"
        case Action.TERMINATE | Action.CANCEL_THEN_TERMINATE:
            return _same_transaction(guard, parameters)


def _same_transaction(guard: Guard, parameters: Parameters) -> str:
    xact_start = parameters.add(guard.xact_start, "timestamptz")
    parts = [
        # Without track_activities PostgreSQL doesn't report the transaction.
        f"a.state <> 'disabled' and a.xact_start is not distinct from {xact_start}"
    ]
    if guard.backend_xid is not None:
        xid = parameters.add(str(guard.backend_xid), "text")
        parts.append(f"a.backend_xid::text = {xid}")
    elif guard.virtualtransaction is not None:
        # A transaction that has not written has no xid. This comes last, because it locks
        # the server's lock table. These locks come first in it, so no further row is
        # built.
        vxid = parameters.add(guard.virtualtransaction, "text")
        parts.append(
            "(select (lock).virtualtransaction"
            " from (select pg_lock_status() as lock offset 0) as locks"
            " where (lock).pid = a.pid and (lock).locktype = 'virtualxid'"
            f" and (lock).granted limit 1) = {vxid}"
        )
    return " and ".join(f"({part})" for part in parts)


def _running(guard: Guard, parameters: Parameters) -> str:
    """What a cancel ends, and the step after it: the query that was shown, not what runs now."""
    if guard.action is Action.TERMINATE:
        return "true"
    query_start = parameters.add(guard.query_start, "timestamptz")
    return f"a.state = 'active' and a.query_start = {query_start}"


def _cost(guard: Guard, parameters: Parameters) -> str:
    """The condition that ending the target undoes no more than was shown."""
    return "true" if guard.cost is None else f"{COST} <= {parameters.add(guard.cost, 'int')}"
