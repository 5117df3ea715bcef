"""asyncpg, as the bot opens it: to its clusters and to its ledger.

A session inherits settings from the server, the database and the role, and the owner of a
database chooses those of the database. One of them, `search_path`, decides whose functions,
operators, types and tables a statement means. PostgreSQL takes the function whose parameters fit
best, from any schema on the path: `public.array_position(oid[], oid)` is called instead of
`pg_catalog.array_position(anycompatiblearray, anycompatible)`, and runs as the bot's role. So the
bot's statements see pg_catalog and nothing else.

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
"""Unless pg_temp is named, it is searched first: a pooler's backend may have another's tables."""

PINNED = {
    # A standby can't read serializably.
    "default_transaction_isolation": "read committed",
    # The texts of our statements mean this.
    "standard_conforming_strings": "on",
    "quote_all_identifiers": "off",
    # Nobody reads notices.
    "client_min_messages": "error",
    # An error that is expected, such as a lock's, must not cost the connection.
    "exit_on_error": "off",
    # What the bot asks is short: compiling it, or starting processes for it, takes longer.
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    # A bot that stands still within a transaction must not keep a pooler's backend.
    "idle_in_transaction_session_timeout": "5s",
}
"""What else the bot's statements would inherit. How PostgreSQL writes values as text
(`DateStyle`, `bytea_output`, …) is left alone, since they come in binary; so is what can only
cost time (`work_mem`, `enable_*`), which the time limits bound. `alter role … set role` may be how
the bot gets its rights."""

_AT_STARTUP_ONLY = {"local_preload_libraries": "", "idle_session_timeout": "0"}


class PinnedConnection(Connection):
    """A connection on which settings are set for a transaction, or for the whole session.

    Attributes:
        pooled: A pooler lends its backends to applications, and what is set for the session
            stays for them. Taken for granted until the backend's pid shows that there is none.
    """

    pooled = True

    async def begin(self, settings: Mapping[str, str]) -> None:
        """Begin a transaction that only reads, under these settings."""
        # Its mode comes first: a setting changes the default of those that begin later.
        mode = "begin isolation level read committed read only;"
        await self.execute(mode + self.sets(settings, "local"))

    def sets(self, settings: Mapping[str, str], scope: Literal["local", "session"]) -> str:
        """The settings as SQL. SET resolves no name: it may come first, whatever the path is."""
        # Its time may run out meanwhile, so it goes first; PostgreSQL has it from 17 on.
        is_new = self.get_server_version().major >= 17
        every = {**({"transaction_timeout": "0"} if is_new else {}), **settings}
        return "".join(f"set {scope} {name} = {_value(name, of)};" for name, of in every.items())


def encoding_of(connection: Connection) -> str:
    """Tell the encoding of the database that it is to, by PostgreSQL's name."""
    return str(connection.get_settings().server_encoding)


def _value(name: str, value: str) -> str:
    return value if name in PATH else f"'{value}'"  # of a list each item would be quoted


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
    """Open a connection with these settings from its first packet on, if that is taken.

    Poolers refuse settings there (PgBouncer by 08P01, RDS Proxy by 0A000) or drop them in
    silence, and PostgreSQL before 14 has no idle_session_timeout (42704), so the caller's first
    statement sets them as well. `at_startup` is False for an address that is known to lead to a
    pooler. Those that are `required` are sent in any case.

    `where` are asyncpg's arguments that say where and as whom, `timeout` is in seconds. Raises
    what asyncpg raises.
    """
    wire.prepare()
    always = {"application_name": APPLICATION_NAME, **(required or {})}

    async def opened(server_settings: dict[str, str]) -> ConnectionT:
        return await asyncpg.connect(
            **where,
            timeout=timeout,
            # Named statements don't survive a transaction pooler; ours are few.
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
