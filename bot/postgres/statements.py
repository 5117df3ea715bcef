"""The signalling statement, guarded by all that a kill promises; and one of each, to rehearse."""

from datetime import UTC, datetime
from typing import Any

from bot.domain.filters import InLock
from bot.domain.kept_names import Applications
from bot.domain.kills import Action, Basis
from bot.domain.sessions import BackendId, Names, ServerId
from bot.domain.signals import Guard, Verdict
from bot.grammar.requests import Word
from bot.postgres import queries
from bot.postgres.where import COST, EVERYTHING, Parameters, likes, order, where

_FUNCTIONS = {
    Action.TERMINATE: "pg_terminate_backend",
    Action.CANCEL: "pg_cancel_backend",
}


def every_statement() -> tuple[tuple[str, list[Any]], ...]:
    """The statements of looks and kills, with parameters by which they find and end nobody."""
    long_ago = datetime.fromtimestamp(0, UTC)
    nobody = Guard(
        server=ServerId(0, long_ago),
        target=BackendId(0, long_ago),
        action=Action.TERMINATE,
        basis=Basis.IDENTITY,
        xact_start=None,
        backend_xid=None,
        virtualtransaction=None,
        query_start=None,
        conditions=(),
        cost=None,
        protected_roles=frozenset(),
        protected_applications=Applications(),
        deadline=long_ago,
    )
    by_pain = order((), Names({}, {}, long_ago, nobody.server), Parameters())
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
        (queries.get("sight"), [[], []]),
        signal_statement(nobody),
    )


def signal_statement(guard: Guard) -> tuple[str, list[Any]]:
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
        .replace("{blocking}", f"{queries.get('blocking').rstrip()}," if asks_of_waits else "")
        .replace("{running}", _running(guard, parameters))
        .replace("{match}", _match(guard, parameters))
        .replace("{mismatch}", _mismatch(guard).value)
        .replace("{cost}", _cost(guard, parameters))
        .replace("{function}", _FUNCTIONS[guard.action])
    )
    return statement, list(parameters)


def _match(guard: Guard, parameters: Parameters) -> str:
    """What the target must still be, by rule 2."""
    parts = []
    match guard.basis:
        case Basis.FILTER:
            parts.append(where(guard.conditions, parameters, strict=True))
        case Basis.PID if guard.action is Action.CANCEL:
            # A procedure may have begun another transaction: the query is the one shown.
            parts.append("true")
        case Basis.PID:
            xact_start = parameters.add(guard.xact_start, "timestamptz")
            # Without track_activities PostgreSQL says nothing of the transaction.
            parts.append(
                f"a.state <> 'disabled' and a.xact_start is not distinct from {xact_start}"
            )
            if guard.backend_xid is not None:
                xid = parameters.add(str(guard.backend_xid), "text")
                parts.append(f"a.backend_xid::text = {xid}")
            elif guard.virtualtransaction is not None:
                # One that has not written has no xid. Asked for last: it takes the server's lock
                # table. These locks come first in it, and no further row is made.
                vxid = parameters.add(guard.virtualtransaction, "text")
                parts.append(
                    "(select (lock).virtualtransaction"
                    " from (select pg_lock_status() as lock offset 0) as locks"
                    " where (lock).pid = a.pid and (lock).locktype = 'virtualxid'"
                    f" and (lock).granted limit 1) = {vxid}"
                )
        case Basis.IDENTITY:
            parts.append("true")
    return " and ".join(f"({part})" for part in parts)


def _running(guard: Guard, parameters: Parameters) -> str:
    """What a cancel ends: the query that was shown, not whatever runs now."""
    if guard.action is Action.TERMINATE:
        return "true"
    query_start = parameters.add(guard.query_start, "timestamptz")
    return f"a.state = 'active' and a.query_start = {query_start}"


def _cost(guard: Guard, parameters: Parameters) -> str:
    """That its end undoes no more than was shown."""
    return "true" if guard.cost is None else f"{COST} <= {parameters.add(guard.cost, 'int')}"


def _mismatch(guard: Guard) -> Verdict:
    return Verdict.NO_LONGER_MATCHES if guard.basis is Basis.FILTER else Verdict.CHANGED


def literal(value: bool) -> str:
    """A flag in a statement's text: the planner leaves out what it rules out."""
    return "true" if value else "false"
