"""Choose between a ledger in SQLite and one in PostgreSQL."""

from bot.errors import LedgerError
from bot.ledger.postgres_store import PostgresStore
from bot.ledger.sqlite_store import SqliteStore
from bot.ledger.store import Store


def store_of(url: str) -> Store:
    """The store for a LEDGER_URL. Raises `LedgerError`, without showing the URL."""
    scheme = url.partition(":")[0]
    if scheme == "sqlite":
        return SqliteStore(url)
    if scheme.startswith("postgres"):
        return PostgresStore(url)
    raise LedgerError("the ledger's URL must begin with sqlite:/// or postgresql://")
