"""Incidents that begin by a button, beside the login that fails."""

from collections.abc import Callable, Sequence
from typing import Protocol

from workspace.postgres import PostgresServer
from workspace.scenario import cast
from workspace.scenario.clients import Clients
from workspace.scenario.connections import superuser


class Incident(Protocol):
    """What goes wrong at a button; `id` is the button's and the guide's step."""

    @property
    def id(self) -> str:
        """The button's id."""

    @property
    def is_on(self) -> bool:
        """Whether it is in force."""

    async def begin(self) -> None:
        """Let it go wrong."""

    async def end(self) -> None:
        """Put everything back; harmless if nothing is wrong."""

    def is_told_by(self, texts: Sequence[str]) -> bool:
        """Whether a message with these texts tells of it."""


class Queue:
    """A report holds a table, a migration waits for it, and readers wait behind that."""

    id = "queue"

    def __init__(self, server: PostgresServer, changed: Callable[[], None]) -> None:
        parts = (cast.REPORT, cast.MIGRATION, *cast.QUEUED)
        self._clients = Clients(server, parts, changed)
        self._server = server

    @property
    def is_on(self) -> bool:
        """Whether somebody of it is connected."""
        return bool(self._clients.there)

    async def begin(self) -> None:
        """Open the sessions, in the order in which they wait."""
        await self._clients.open()

    async def end(self) -> None:
        """End the sessions, and take back what the migration did."""
        await self._clients.leave()
        async with superuser(self._server, "shop") as connection:
            await connection.execute("alter table orders drop column if exists note")

    def is_told_by(self, texts: Sequence[str]) -> bool:
        """Whether the migration is named as the head of the queue."""
        pid = self._clients.of(cast.MIGRATION).pid
        return self.is_on and any(f"pid {pid} waits, and" in text for text in texts)


class HeldVacuum:
    """A replication slot that nobody reads, and a transaction that somebody forgot."""

    id = "vacuum"

    def __init__(self, server: PostgresServer, changed: Callable[[], None]) -> None:
        self._clients = Clients(server, (cast.FORGOTTEN,), changed)
        self._server = server

    @property
    def is_on(self) -> bool:
        """Whether the transaction is open."""
        return bool(self._clients.there)

    async def make_slot(self) -> None:
        """Make the slot, unless it is there; nobody may have a transaction open that writes."""
        async with superuser(self._server, cast.FORGOTTEN.datname) as connection:
            await connection.execute(_MAKE_SLOT)

    async def begin(self) -> None:
        """Let the server work, open the transaction, and let the server work on."""
        async with superuser(self._server, cast.FORGOTTEN.datname) as connection:
            await connection.execute(_WORK)
            await self._clients.open()
            await connection.execute(_WORK)

    async def end(self) -> None:
        """End the transaction."""
        await self._clients.leave()

    def is_told_by(self, texts: Sequence[str]) -> bool:
        """Whether the slot is named."""
        return self.is_on and any(cast.SLOT in text for text in texts)


_MAKE_SLOT = f"""
    select pg_create_logical_replication_slot('{cast.SLOT}', 'pgoutput')
    where not exists (select from pg_replication_slots where slot_name = '{cast.SLOT}')
"""

# Two thousand transactions.
_WORK = """
    do $$ begin
        for i in 1..2000 loop
            perform pg_current_xact_id();
            commit;
        end loop;
    end $$
"""
