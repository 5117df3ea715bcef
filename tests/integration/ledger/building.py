"""Kills, looks and refusals for the tests of the ledger."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import sqlalchemy

from bot.domain.kills import (
    Action,
    Actor,
    Basis,
    Conclusion,
    Draft,
    Outcome,
    Proposal,
    Result,
    Target,
)
from bot.domain.record import Entry, HistoryFilter, LookNote, RefusalNote, Unreadable
from bot.domain.sessions import Backend, BackendId, ServerId
from bot.ledger import schema
from bot.ledger.sql import SqlLedger
from workspace.postgres import PostgresServer

THEN = datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC)

LONG = timedelta(hours=1)

MAIN = ("main",)

OVER = timedelta(0)  # a time to live, or a lease, that is over as it begins

Make = Callable[..., SqlLedger]

Opened = Callable[..., Awaitable[SqlLedger]]

ANA, BEN = Actor("U0ANA", "T0OWN"), Actor("U0BEN", "T0OWN")


async def administer(server: PostgresServer, *statements: str) -> None:
    connection = await asyncpg.connect(server.dsn())
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


async def rows(ledger: SqlLedger, table: sqlalchemy.Table) -> list[dict[str, Any]]:
    async with ledger._transactions._reader.connect() as connection:
        return [dict(row._mapping) for row in await connection.execute(sqlalchemy.select(table))]


def backend(pid: int = 33507, **known: Any) -> Backend:
    usual: dict[str, Any] = {"pid": pid, "backend_start": THEN, "usename": "some_user"}
    return Backend(**usual | known)


def target(pid: int = 33507, **known: Any) -> Target:
    return Target(BackendId(pid, THEN), backend(pid, **known))


def draft(*targets: Target, **other: Any) -> Draft:
    asked: dict[str, Any] = {
        "cluster": "main",
        "host": "db.example",
        "server": ServerId(7_711_127_644_599_381_035, THEN),
        "action": Action.TERMINATE,
        "basis": Basis.PID,
        "wording": "main/ 33507",
        "conditions": (),
        "targets": targets or (target(),),
        "asked_by": ANA,
        "channel_id": "C0INCIDENT",
        "seen_at": THEN,
    }
    return Draft(**asked | other)


def conclusion(
    proposal: Proposal, outcome: Outcome = Outcome.TERMINATED, **other: Any
) -> Conclusion:
    results = tuple(Result(target.id, outcome, "") for target in proposal.targets)
    usual: dict[str, Any] = {"proposal": proposal, "results": results, "took": LONG}
    return Conclusion(**usual | other)


def refusal_note(what: str, **other: str) -> RefusalNote:
    usual: dict[str, Any] = {"actor": ANA, "channel_id": "C1", "why": "PG_KILL_ALLOWLIST"}
    return RefusalNote(what=what, **usual | other)


def look_note(what: str, **other: Any) -> LookNote:
    usual: dict[str, Any] = {"actor": ANA, "channel_id": "C1", "cluster": "main"}
    return LookNote(what=what, **{"cluster_at": THEN} | usual | other)


async def history(ledger: SqlLedger, where: HistoryFilter, **page: Any) -> list[Entry]:
    """The latest kills, all of which must be readable."""
    found = await ledger.history(where, **page)
    assert not any(isinstance(each, Unreadable) for each in found)
    return [each for each in found if isinstance(each, Entry)]


async def claimed(ledger: SqlLedger, owner: str, lease: timedelta = LONG) -> Proposal:
    """A proposal that this owner has claimed."""
    proposal = await ledger.propose(draft(), LONG)
    claim = await ledger.claim(proposal.key, BEN, owner, lease)
    assert claim is not None
    return claim


async def done(ledger: SqlLedger, owner: str, ago: timedelta) -> Proposal:
    """A kill that this owner concluded this long ago."""
    claim = await claimed(ledger, owner)
    assert await ledger.conclude(conclusion(claim, Outcome.STILL_RUNNING), owner)
    async with ledger._transactions.write() as connection:
        us = ago // timedelta(microseconds=1)
        earlier = {
            name: sqlalchemy.type_coerce(schema.kills.c[name], sqlalchemy.BigInteger) - us
            for name in ("concluded_at", "lease_until")
        }
        await connection.execute(
            sqlalchemy.update(schema.kills).where(schema.kills.c.id == claim.id).values(earlier)
        )
    return claim
