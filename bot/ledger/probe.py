"""Check the ledger for `python -m bot check`: one connection, and every write is rolled back."""

import asyncio
from dataclasses import replace

import structlog
from sqlalchemy import select, update

from bot.check.facts import LedgerFacts
from bot.errors import LedgerError
from bot.ledger.migrations import IDENTITY_SINCE, SCHEMA_VERSION, migrate, refuse_later, version_of
from bot.ledger.schema import ledger_identity, ledger_version
from bot.ledger.store import TROUBLE, AsyncConnection, Store
from bot.ledger.stores import store_of

log = structlog.get_logger(__name__)

WITHIN = 5.0
"""Seconds for the whole check."""


async def probe(url: str) -> LedgerFacts:
    """Check the ledger for at most 5 s. Never raises: a failure is one of the facts it returns."""
    try:
        store = store_of(url)
    except LedgerError as error:
        return LedgerFacts(
            kind="LEDGER_URL",
            place="as it stands",
            holds=0,
            known_version=SCHEMA_VERSION,
            problem=str(error),
        )
    known = LedgerFacts(
        kind=store.kind,
        place=store.place,
        is_local=store.is_local,
        left_out=store.left_out,
        holds=store.size,
        known_version=SCHEMA_VERSION,
    )
    try:
        store.check()
        if store.is_absent():
            return replace(known, version=0)
        known = replace(known, is_open_to_others=store.is_open_to_others)
        async with asyncio.timeout(WITHIN):
            return await _asked(store, known)
    except LedgerError as error:
        return replace(known, problem=str(error))
    except TimeoutError:
        return replace(known, problem=f"did not answer within {WITHIN:g} s")
    except TROUBLE as error:
        return replace(known, problem=store.problem(error))
    except Exception as error:
        log.critical("check.failed", exc_info=True)
        return replace(known, problem=f"the check itself failed ({type(error).__name__})")


async def _asked(store: Store, known: LedgerFacts) -> LedgerFacts:
    engine = store.engine()
    try:
        async with engine.connect() as connection, connection.begin():
            await store.lock(connection)
            version = await connection.run_sync(version_of)
            await connection.run_sync(refuse_later, version)
            await _write(store, connection, version)
            identity = ""
            if version >= IDENTITY_SINCE:
                identity = await connection.scalar(select(ledger_identity.c.identity)) or ""
            home = await store.home(connection)
            terms = await store.terms(connection)
            await connection.rollback()
    finally:
        await engine.dispose()
    return replace(
        known,
        version=version,
        identity=identity,
        home=home,
        connection_limit=terms.connection_limit,
        is_encrypted=terms.is_encrypted,
    )


async def _write(store: Store, connection: AsyncConnection, version: int) -> None:
    """Write what the bot would write at its start; to an existing ledger, one row.

    Doesn't try the steps to a newer schema: they would lock the tables of a running bot.
    """
    if version == 0:
        await connection.run_sync(
            migrate, identity=store.identity, random=store.random, clock=store.clock
        )
    await connection.execute(update(ledger_version).values(at=store.clock))
