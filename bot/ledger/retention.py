"""Delete from the ledger what has been kept for long enough.

Batches are small and start with the oldest rows, so that a kill never waits long for the ledger.
Replicas may do this at the same time.
"""

from datetime import timedelta

from sqlalchemy import delete, func, select

from bot.domain.kills import State
from bot.ledger.schema import (
    alerts,
    amendments,
    boards,
    kills,
    looks,
    notes,
    outcomes,
    refusals,
    targets,
)
from bot.ledger.store import AsyncConnection, Store

KILLS_AT_ONCE = 20
"""Each has up to a hundred targets, each with its outcome."""

NOTES_AT_ONCE = 500

NOTES_KEPT = timedelta(days=90)
"""Looks, refusals, boards and alerts are kept for at most this long."""


async def drop_old(connection: AsyncConnection, store: Store, keep: timedelta) -> bool:
    """Delete one batch of what is older than `keep`; return whether there may be more.

    Never deletes an open kill, however old: one that is claimed and not concluded, or whose
    preview can still be confirmed.
    """
    dropped = [
        await _drop_notes(connection, store, min(keep, NOTES_KEPT)),
        await _drop_ended(connection, store, min(keep, NOTES_KEPT)),
        await _drop_kills(connection, store, keep),
    ]
    return any(dropped)


async def _drop_notes(connection: AsyncConnection, store: Store, keep: timedelta) -> bool:
    is_full = False
    for table in (looks, refusals):
        # Ids increase with time, so it is enough to read the oldest.
        oldest = select(table.c.id).order_by(table.c.id).limit(NOTES_AT_ONCE)
        is_old = table.c.at < store.after(-keep)
        found = await connection.execute(delete(table).where(table.c.id.in_(oldest), is_old))
        is_full |= found.rowcount == NOTES_AT_ONCE
    return is_full


async def _drop_ended(connection: AsyncConnection, store: Store, keep: timedelta) -> bool:
    """Boards and alerts. One that hasn't ended stays, however old."""
    is_full = False
    for table, ended_at in ((boards, boards.c.closed_at), (alerts, alerts.c.over_at)):
        oldest = select(table.c.id).order_by(table.c.id).limit(NOTES_AT_ONCE)
        is_old = ended_at < store.after(-keep)
        found = await connection.execute(delete(table).where(table.c.id.in_(oldest), is_old))
        is_full |= found.rowcount == NOTES_AT_ONCE
    return is_full


async def _drop_kills(connection: AsyncConnection, store: Store, keep: timedelta) -> bool:
    oldest = (
        select(kills.c.id)
        .where(kills.c.state != State.CLAIMED)
        .order_by(kills.c.id)
        .limit(KILLS_AT_ONCE)
    )
    # Its outcome is kept for as long, however late its preview was confirmed.
    ended_at = func.coalesce(kills.c.concluded_at, kills.c.dismissed_at, kills.c.expires_at)
    old = await connection.scalars(
        select(kills.c.id)
        .where(kills.c.id.in_(oldest), ended_at < store.after(-keep))
        .with_for_update(skip_locked=True)
    )
    ids = old.all()
    for table in (amendments, outcomes, notes, targets):
        await connection.execute(delete(table).where(table.c.kill_id.in_(ids)))
    await connection.execute(delete(kills).where(kills.c.id.in_(ids)))
    return len(ids) == KILLS_AT_ONCE
