"""asyncpg, as the bot uses it for its clusters and its ledger.

A session inherits settings from the server, the database and the role, and the database's owner
chooses those of the database. One of them, `search_path`, decides whose functions, operators,
types and tables a statement means. PostgreSQL calls the function whose parameters fit best, from
any schema on the path: `public.array_position(oid[], oid)` instead of
`pg_catalog.array_position(anycompatiblearray, anycompatible)`, and it runs with the bot's rights.
So the bot's statements see only pg_catalog.

https://www.postgresql.org/docs/current/ddl-schemas.html#DDL-SCHEMAS-PATH
https://www.postgresql.org/docs/current/typeconv-func.html
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import asyncpg

from bot.driver import wire

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection  # generic only in its stubs

APPLICATION_NAME = "pg-sessions-bot"

PATH = {"search_path": "pg_catalog, pg_temp"}
"""Unless pg_temp is named, it is searched first: a pooler's backend may hold another's tables."""

PINNED = {
    # A standby can't run serializable transactions.
    "default_transaction_isolation": "read committed",
    # Our statements are written for this.
    "standard_conforming_strings": "on",
    "quote_all_identifiers": "off",
    # Nobody reads notices.
    "client_min_messages": "error",
    # An expected error, such as a lock timeout, must not cost the connection.
    "exit_on_error": "off",
    # Our statements are short: to compile them, or start workers for them, takes longer.
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    # If the bot hangs within a transaction, it must not keep a pooler's backend.
    "idle_in_transaction_session_timeout": "5s",
}
"""Other settings that the bot's statements would inherit. Two kinds are left alone: those for
values as text (`DateStyle`, `bytea_output`, …), because values come in binary, and those that can
only cost time (`work_mem`, `enable_*`), which the time limits bound. The role isn't set either:
the bot may get its rights from `alter role … set role`."""

LOST_AFTER = {"idle_session_timeout": "5min"}
"""The bot says something on each connection every half minute. If the server hears nothing for much
longer, the network has lost the connection, or the bot's machine has died: the server ends the
session, which would otherwise keep its slot for hours, until TCP gives up. The server's own limit
may be so short that it ends a connection that is only held."""

_AT_STARTUP_ONLY = {"local_preload_libraries": "", **LOST_AFTER}


class PinnedConnection(Connection):
    """A connection whose settings apply to one transaction or to the whole session.

    Attributes:
        pooled: whether a pooler lends its backends to applications, which would keep what a session
            sets. True until the backend's pid shows that there is no pooler.
    """

    pooled = True

    async def begin(self, settings: Mapping[str, str]) -> None:
        """Begin a read-only transaction with these settings."""
        # The mode comes first: a setting would change only the default for later transactions.
        mode = "begin isolation level read committed read only;"
        await self.execute(mode + self.sets(settings, "local"))

    def sets(self, settings: Mapping[str, str], scope: Literal["local", "session"]) -> str:
        """The settings as SQL. SET resolves no names, so it may come first under any path."""
        # This timeout may expire meanwhile, so it goes first; PostgreSQL has it from 17 on.
        is_new = self.get_server_version().major >= 17
        every = {**({"transaction_timeout": "0"} if is_new else {}), **settings}
        return "".join(f"set {scope} {name} = {_value(name, of)};" for name, of in every.items())


def encoding_of(connection: Connection) -> str:
    """The encoding of the connection's database, by PostgreSQL's name."""
    return str(connection.get_settings().server_encoding)


def _value(name: str, value: str) -> str:
    return value if name in PATH else f"'{value}'"  # quotes would turn a list into one item


ConnectionT = TypeVar("ConnectionT", bound=PinnedConnection)


async def connect(  # noqa: PLR0913  keyword-only, each with its own meaning
    where: Mapping[str, Any],
    settings: Mapping[str, str],
    *,
    required: Mapping[str, str] | None = None,
    connection_class: type[ConnectionT],
    timeout: float,  # noqa: ASYNC109  the driver's own
    at_startup: bool = True,
) -> ConnectionT:
    """Open a connection with these settings, from its first packet on if the server takes them.

    Poolers refuse settings there (PgBouncer with 08P01, RDS Proxy with 0A000) or silently drop
    them, and PostgreSQL before 14 has no idle_session_timeout (42704). So the caller's first
    statement must set them as well. Pass `at_startup` as False for an address that is known to
    lead to a pooler. Settings in `required` are always sent.

    `where` holds asyncpg's arguments for the address and the user; `timeout` is in seconds. Raises
    what asyncpg raises.
    """
    wire.prepare()
    always = {"application_name": APPLICATION_NAME, **(required or {})}

    async def opened(server_settings: dict[str, str]) -> ConnectionT:
        return await asyncpg.connect(
            **where,
            timeout=timeout,
            # Named statements don't survive a transaction pooler, and we have few statements.
            statement_cache_size=0,
            server_settings=server_settings,
            connection_class=connection_class,
        )

    if at_startup:
        try:
            return await opened({**_AT_STARTUP_ONLY, **settings, **always})
        except (
            asyncpg.ProtocolViolationError,
            asyncpg.FeatureNotSupportedError,
            asyncpg.UndefinedObjectError,
        ):
            pass
    return await opened(always)
