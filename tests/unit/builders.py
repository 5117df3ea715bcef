"""Domain objects for the tests of the pure packages: each with the values of one story.

The story: `some_user` may have one connection. A psql that is idle in a transaction holds it, and
two sessions wait behind it.
"""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

from bot.domain.findings.model import Finding, Full, Rule, Severity, Subject, SubjectOf
from bot.domain.kills import (
    Action,
    Actor,
    Basis,
    Conclusion,
    Outcome,
    Proposal,
    Result,
    State,
    Target,
)
from bot.domain.sessions import (
    CLIENT_BACKEND,
    Backend,
    BackendId,
    Counts,
    Limit,
    Look,
    Names,
    Server,
    ServerId,
)
from bot.domain.waits import Waits
from bot.grammar.requests import SessionsRequest
from bot.grammar.requests import Target as Named
from bot.operations.results import Preview, Sessions

NOW = datetime(2026, 1, 31, 12, 0, 1, tzinfo=UTC)
KEY = "0123456789abcdef0123456789abcdef-fedcba9876543210fedcba9876543210"
SERVER_ID = ServerId(7_000_000_000_000_000_001, NOW - timedelta(days=40))
ALICE = Actor("U0ALICE", "T0HOME")
CAROL = Actor("U0CAROL", "T0HOME")


def ago(**length: float) -> datetime:
    """The instant this long before `NOW`."""
    return NOW - timedelta(**length)


def backend(pid: int = 33507, **values: Any) -> Backend:
    """The session that holds `some_user`'s only connection."""
    story: dict[str, Any] = {
        "datid": 16_384,
        "datname": "some_db",
        "usesysid": 16_385,
        "usename": "some_user",
        "application_name": "psql",
        "client_addr": ip_address("127.0.0.1"),
        "client_port": 43_512,
        "backend_start": ago(hours=2),
        "xact_start": ago(minutes=32),
        "query_start": ago(minutes=32),
        "state_change": ago(minutes=32),
        "wait_event_type": "Client",
        "wait_event": "ClientRead",
        "state": "idle in transaction",
        "backend_xid": 742,
        "query": "update accounts set balance = balance - ? where id = ?",
        "backend_type": CLIENT_BACKEND,
    }
    return Backend(pid=pid, **{**story, **values})


def waiter(pid: int = 33911, **values: Any) -> Backend:
    """A session of `web` that waits for a lock."""
    story: dict[str, Any] = {
        "usesysid": 16_386,
        "usename": "web",
        "application_name": "web-1",
        "client_addr": ip_address("10.0.0.7"),
        "xact_start": ago(minutes=4),
        "query_start": ago(minutes=4),
        "state_change": ago(minutes=4),
        "wait_event_type": "Lock",
        "wait_event": "transactionid",
        "state": "active",
        "backend_xid": None,
        "query": "select * from accounts where id = ? for update",
    }
    return backend(pid, **{**story, **values})


NAMES = Names(roles={}, databases={}, read_at=NOW, server=SERVER_ID)


def server(**values: Any) -> Server:
    """The server `main`, on which `some_user` is at its limit."""
    story: dict[str, Any] = {
        "cluster": "main",
        "host": "db-1.internal",
        "id": SERVER_ID,
        "version": "18.6",
        "in_recovery": False,
        "now": NOW,
        "max_connections": 100,
        "superuser_reserved_connections": 3,
        "reserved_connections": 0,
        "client_backends": 62,
        "roles": (Limit("some_user", 1, 1), Limit("batch", 14, 20)),
    }
    return Server(**{**story, **values})


def look(*rows: Backend, **values: Any) -> Look:
    """One look at that server, with these rows."""
    story: dict[str, Any] = {
        "server": server(),
        "names": NAMES,
        "counts": Counts(
            total=len(rows),
            by_state={"active": 3, "idle": 30, "idle in transaction": 9},
            waiting=2,
            oldest_xact=ago(minutes=32),
        ),
        "waits": Waits({33911: (33507,), 33912: (33911,)}),
        "rows": rows,
    }
    return Look(**{**story, **values})


def sessions(*rows: Backend, **values: Any) -> Sessions:
    """The answer to `/pg-sessions some_db` with these rows; `look` may be given instead."""
    seen = values.pop("look", None) or look(*rows)
    story: dict[str, Any] = {
        "request": SessionsRequest(target=Named(database="some_db")),
        "cluster": "main",
        "database": "some_db",
        "look": seen,
        "endable": frozenset(row.pid for row in seen.rows),
        "offset": 0,
        "matched": seen.counts.total,
        "asked_by": ALICE,
    }
    return Sessions(**{**story, **values})


def target(seen: Backend | None = None, **values: Any) -> Target:
    """A target as a preview freezes it."""
    seen = seen or backend()
    assert seen.id is not None
    return Target(id=seen.id, seen=seen, **values)


def proposal(*targets: Target, **values: Any) -> Proposal:
    """The proposal of `/pg-kill user=some_user -- blocks the deploy`."""
    story: dict[str, Any] = {
        "cluster": "main",
        "host": "db-1.internal",
        "server": SERVER_ID,
        "action": Action.TERMINATE,
        "basis": Basis.FILTER,
        "wording": "user=some_user",
        "conditions": (),
        "targets": targets or (target(waiting_behind=2),),
        "reason": "blocks the deploy",
        "asked_by": ALICE,
        "channel_id": "C0OPS",
        "seen_at": NOW,
        "before": (Limit("some_user", 1, 1), Limit("connections", 62, 97)),
        "waiting": 2,
        "freed": 2,
        "id": 41,
        "key": KEY,
        "created_at": NOW,
        "expires_at": NOW + timedelta(minutes=10),
    }
    return Proposal(**{**story, **values})


def preview(*targets: Target, **values: Any) -> Preview:
    """That proposal, ready to be shown; values that aren't the preview's own go to the proposal."""
    own: dict[str, Any] = {
        name: values.pop(name)
        for name in ("server", "second_person", "names", "gone", "through_pooler", "holdings")
        if name in values
    }
    story: dict[str, Any] = {"server": server(), "names": NAMES, "second_person": False, **own}
    return Preview(proposal=proposal(*targets, **values), **story)


def confirmed(*targets: Target, **values: Any) -> Proposal:
    """That proposal, confirmed by Carol."""
    story: dict[str, Any] = {
        "state": State.CLAIMED,
        "confirmed_by": CAROL,
        "claimed_at": NOW + timedelta(seconds=99),
    }
    return proposal(*targets, **{**story, **values})


def conclusion(
    *outcomes: Outcome, targets: tuple[Target, ...] | None = None, **values: Any
) -> Conclusion:
    """What became of that proposal's targets, in their order; terminated by default."""
    targets = targets or tuple(target(backend(33507 + at)) for at in range(max(1, len(outcomes))))
    outcomes = outcomes or (Outcome.TERMINATED,) * len(targets)
    results = tuple(Result(t.id, o) for t, o in zip(targets, outcomes, strict=True))
    story: dict[str, Any] = {
        "proposal": confirmed(*targets),
        "results": results,
        "took": timedelta(milliseconds=12),
        "limits": (
            (Limit("some_user", 1, 1), Limit("some_user", 0, 1)),
            (Limit("connections", 62, 97), Limit("connections", 61, 97)),
        ),
        "waiting": (2, 0),
        "concluded_at": NOW + timedelta(seconds=100),
    }
    return Conclusion(**{**story, **values})


def identity(pid: int = 33507) -> BackendId:
    """The identity of the story's session."""
    return BackendId(pid, ago(hours=2))


def full_role(name: str = "some_user", **values: object) -> Finding:
    """A role at its limit, which one login hurts."""
    story: dict[str, object] = {
        "rule": Rule.LIMIT,
        "severity": Severity.ERROR,
        "subject": Subject(SubjectOf.ROLE, name),
        "evidence": Full(limit=Limit(name, 1, 1), error="FATAL"),
        "hurt": 1,
        "involved": frozenset({33507}),
    }
    return Finding(**{**story, **values})  # type: ignore[arg-type]
