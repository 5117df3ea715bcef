"""The driver's errors in words fit for a channel: no address, password or query."""

import asyncpg

from bot import pg_url
from bot.driver import login, tls
from bot.errors import ClusterDown, ClusterError, ClusterRefused, ClusterTimeout
from bot.postgres.passwords import NoPasswordError

NO_REPLY = "did not answer in time (connected, no reply)"


def of_connecting(error: BaseException) -> str:  # noqa: C901, PLR0912  one case an error
    if (refused := tls.problem(error)) is not None:
        return f"it {refused}"
    if (refused := login.refusal(getattr(error, "sqlstate", None))) is not None:
        return f"it {refused}"
    if login.is_refused(error):
        return "nothing listens at its address; PostgreSQL may not be running"
    if login.has_too_many_files(error):
        return login.TOO_MANY_FILES
    if login.is_unknown_name(error):
        return "its host's name is not found (DNS)"
    match error:
        case asyncpg.TooManyConnectionsError():
            return "it has no free connection slot for the bot"
        case asyncpg.InvalidCatalogNameError():
            return "the database that its URL names does not exist there"
        case asyncpg.InsufficientPrivilegeError():
            return "the bot's role may not read what it needs there"
        case asyncpg.CannotConnectNowError():
            return "it is starting up, shutting down or recovering"
        case asyncpg.ProtocolViolationError():
            # PgBouncer uses this code for everything that it refuses; PostgreSQL hardly uses it.
            return "a pooler in front of it refuses the connection; the pooler's log says why"
        case asyncpg.PostgresConnectionError() | ConnectionError():
            return "it, or a pooler in front of it, closed the connection without an answer"
        case asyncpg.PostgresError():
            return f"it refuses the connection (SQLSTATE {error.sqlstate})"
        case asyncpg.ClientConfigurationError() if "root certificate" in str(error):
            return "its sslmode needs a root certificate, and there is none (see sslrootcert)"
        case asyncpg.TargetServerAttributeNotMatched():
            return "it is another kind of server than target_session_attrs in its URL asks for"
        case pg_url.UnreadableFileError() | NoPasswordError():
            return str(error)
        case FileNotFoundError() | PermissionError():
            return "its socket is missing, or the bot may not use it; PostgreSQL may not be running"
        case TimeoutError():
            return "did not answer within 5 s"
        case OSError():
            return "its address can't be reached"
        case _:
            return f"the connection failed ({type(error).__name__})"


def of_statement(cluster: str, error: BaseException) -> ClusterError:
    """What a failed statement means for the cluster.

    It is `ClusterRefused` only if the error ends the statement at the point where it is. An error
    that may come from outside, at any moment, is not: a signal may already have been sent.
    """
    match error:
        case TimeoutError() | asyncpg.QueryCanceledError():
            return ClusterTimeout(cluster, NO_REPLY)
        case asyncpg.SerializationError():
            return ClusterTimeout(cluster, "it cancelled the statement because of its recovery")
        case asyncpg.OperatorInterventionError() | asyncpg.TransactionTimeoutError():
            return ClusterDown(cluster, "it shut the connection down")
        case asyncpg.InsufficientPrivilegeError():
            return ClusterRefused(cluster, "the bot's role may not read what it needs there")
        case asyncpg.LockNotAvailableError():
            return ClusterRefused(cluster, "a lock on a catalog is in the way")
        case (
            asyncpg.PostgresConnectionError()
            | asyncpg.InterfaceError()
            | asyncpg.InternalClientError()
            | OSError()
        ):
            # Not a reply of the server's, though the driver gives some of these an SQLSTATE. The
            # driver's own state is also wrong when a connection breaks during a statement.
            return ClusterDown(cluster, "the connection was lost")
        case asyncpg.PostgresError():
            return ClusterRefused(cluster, f"it refused a statement (SQLSTATE {error.sqlstate})")
        case _:
            raise error
