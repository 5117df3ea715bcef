"""Leases: what only one process may do at a time, by the ledger's clock."""

from datetime import timedelta

from sqlalchemy import BigInteger, ColumnElement, bindparam, exists, or_, select, update

from bot.ledger import migrations
from bot.ledger.schema import leases, ledger_marks, microseconds
from bot.ledger.store import CLOCK_TOLERANCE, Store, Transactions


class SqlLeases:
    """`bot.ports.Leases`."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions, store = transactions, transactions.store
        # Made once: every replica asks for one every few seconds, and to make them takes longer.
        mine = update(leases).where(leases.c.name == bindparam("its_name"))
        serves = select(ledger_marks.c.serves).scalar_subquery()
        span = bindparam("span", type_=BigInteger)
        until = store.after(span)
        self._take = mine.where(
            or_(leases.c.owner == bindparam("taker"), leases.c.until <= store.clock),
            serves <= migrations.SCHEMA_VERSION,
        ).values(owner=bindparam("taker"), until=until)
        # A lease can end later than this only if the clock was set back. Its owner may still work,
        # for as long as a lease lasts.
        too_long = store.after(span + microseconds(CLOCK_TOLERANCE))
        self._shorten = mine.where(leases.c.until > too_long).values(until=until)

    async def hold(self, name: str, owner: str, lease: timedelta) -> bool:
        """Take a lease that is free or has run out, or renew one's own; False if another has it.

        False too if a later version of the bot has the ledger and doesn't serve this one.
        """
        asked = {"its_name": name, "span": microseconds(lease)}
        async with self._transactions.write() as connection:
            await connection.execute(self._shorten, asked)
            taken = await connection.execute(self._take, asked | {"taker": owner})
            return taken.rowcount == 1

    async def release(self, name: str, owner: str) -> None:
        mine = update(leases).where(leases.c.name == name, leases.c.owner == owner)
        async with self._transactions.write() as connection:
            await connection.execute(mine.values(until=self._transactions.store.clock))


def held(store: Store, name: str, owner: str) -> ColumnElement[bool]:
    """Whether this owner has a lease: a condition for an UPDATE that only its holder may make."""
    return exists().where(
        leases.c.name == name, leases.c.owner == owner, leases.c.until > store.clock
    )
