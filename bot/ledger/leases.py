"""Leases: what only one process may do at a time, by the ledger's clock."""

from datetime import timedelta

from sqlalchemy import ColumnElement, exists, or_, select, update

from bot.ledger import migrations
from bot.ledger.schema import leases, ledger_marks
from bot.ledger.store import CLOCK_TOLERANCE, Store
from bot.ledger.transactions import Transactions


class SqlLeases:
    """`bot.ports.Leases`."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def hold(self, name: str, owner: str, lease: timedelta) -> bool:
        """Take a lease that is free or has run out, or renew one's own; False if another has it.

        False too if a later version of the bot has the ledger and doesn't serve this one.
        """
        store = self._transactions.store
        mine = update(leases).where(leases.c.name == name)
        serves = select(ledger_marks.c.serves).scalar_subquery()
        taken = mine.where(
            or_(leases.c.owner == owner, leases.c.until <= store.clock),
            serves <= migrations.SCHEMA_VERSION,
        ).values(owner=owner, until=store.after(lease))
        # A lease can end later than this only if the clock was set back. Its owner may still work,
        # for as long as a lease lasts.
        too_long = mine.where(leases.c.until > store.after(lease + CLOCK_TOLERANCE))
        async with self._transactions.write() as connection:
            await connection.execute(too_long.values(until=store.after(lease)))
            return (await connection.execute(taken)).rowcount == 1

    async def release(self, name: str, owner: str) -> None:
        mine = update(leases).where(leases.c.name == name, leases.c.owner == owner)
        async with self._transactions.write() as connection:
            await connection.execute(mine.values(until=self._transactions.store.clock))


def held(store: Store, name: str, owner: str) -> ColumnElement[bool]:
    """Whether this owner has a lease: a condition for an UPDATE that only its holder may make."""
    return exists().where(
        leases.c.name == name, leases.c.owner == owner, leases.c.until > store.clock
    )
