"""Values as large as they get, for samples of messages: the longest names, the most rows. Pure."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

from bot.domain.blocking import LockWait
from bot.domain.boards import Board
from bot.domain.findings.survey import Held, Holder
from bot.domain.kills import (
    Action,
    Actor,
    Basis,
    Proposal,
)
from bot.domain.kills import Target as Doomed
from bot.domain.sessions import (
    CLIENT_BACKEND,
    About,
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
from bot.grammar.requests import SessionsRequest, Target

NOW = datetime(2026, 1, 31, 12, 0, 1, tzinfo=UTC)
NAME = "ä😀<@!here>*_`" + "x" * 50
ROWS = 100
WHO = Actor("U0000000000", "T0000000000")
KEY = "0" * 32 + "-" + "0" * 32
SERVER = ServerId(2**63 - 1, NOW - timedelta(days=400))


def anything(cluster: str) -> Action:
    del cluster
    return Action.TERMINATE


def backend_id(pid: int) -> BackendId:
    return BackendId(pid, NOW - timedelta(days=1))


def backend(pid: int) -> Backend:
    return Backend(
        pid=pid,
        datid=1,
        datname=NAME,
        usesysid=1,
        usename=NAME,
        application_name=NAME,
        client_addr=ip_address("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
        client_port=65_535,
        backend_start=NOW - timedelta(days=1),
        xact_start=NOW - timedelta(minutes=32),
        query_start=NOW - timedelta(minutes=32),
        state_change=NOW - timedelta(minutes=32),
        wait_event_type="Client",
        wait_event="ClientRead",
        state="active",
        backend_xid=2**32 - 1,
        query=NAME * 20,
        backend_type=CLIENT_BACKEND,
    )


def names() -> Names:
    return Names(roles={}, databases={}, read_at=NOW, server=SERVER)


def server() -> Server:
    return Server(
        cluster="main",
        host=NAME,
        id=SERVER,
        version="18.6",
        in_recovery=False,
        now=NOW,
        max_connections=100,
        superuser_reserved_connections=3,
        reserved_connections=0,
        client_backends=97,
        roles=tuple(Limit(f"{NAME[:60]}{at}", 1, 1) for at in range(30)),
    )


def about() -> About:
    return About(host=NAME, version="18.6", in_recovery=True)


def look(*, waits: Waits | None = None) -> Look:
    rows = tuple(backend(pid) for pid in range(1, ROWS + 1))
    counts = Counts(
        total=ROWS,
        by_state={"active": ROWS},
        waiting=2,
        oldest_xact=NOW - timedelta(minutes=32),
    )
    waits = waits or Waits({2: (1,)})
    return Look(server=server(), names=names(), counts=counts, waits=waits, rows=rows)


def sessions(*, columns: tuple[str, ...] = ()) -> dict[str, Any]:
    seen = look()
    return {
        "request": SessionsRequest(target=Target("main", NAME), columns=columns),
        "cluster": "main",
        "database": NAME,
        "look": seen,
        "endable": frozenset(row.pid for row in seen.rows),
        "offset": ROWS,
        "matched": 10 * ROWS,
        "asked_by": WHO,
    }


def board() -> Board:
    return Board(
        id=1,
        channel_id="C0000000000",
        cluster="main",
        wording="main/",
        message_ts="1.2",
        asked_by=WHO,
        since=NOW,
        until=NOW,
        troubled_at=NOW,
    )


def wait() -> LockWait:
    return LockWait("relation", "AccessExclusiveLock", NOW, 1, None, NAME)


def held() -> Held:
    return Held(kind=Holder.SLOT, xids=2**31 - 1, name=NAME, active=False, wal_status="lost")


def doomed(pid: int) -> Doomed:
    return Doomed(id=backend_id(pid), seen=backend(pid), waiting_behind=2, is_new=True)


def proposal(*targets: Doomed, **values: Any) -> Proposal:  # noqa: ANN401  any of its fields
    story: dict[str, Any] = {
        "cluster": "main",
        "host": NAME,
        "server": SERVER,
        "action": Action.TERMINATE,
        "basis": Basis.FILTER,
        "wording": f"user='{NAME}'",
        "conditions": (),
        "targets": targets,
        "reason": NAME * 8,
        "asked_by": WHO,
        "channel_id": "C0000000000",
        "seen_at": NOW,
        "before": (Limit(NAME, 1, 1),),
        "id": 2**31,
        "key": KEY,
        "created_at": NOW,
        "expires_at": NOW + timedelta(minutes=10),
    }
    return Proposal(**{**story, **values})
