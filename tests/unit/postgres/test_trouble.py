"""What the driver's errors mean, when connecting and for a statement that may have signalled."""

import errno
import socket
import ssl

import asyncpg
import pytest

from bot.errors import ClusterDown, ClusterError, ClusterRefused, ClusterTimeout
from bot.pg_url import UnreadableFileError
from bot.postgres.trouble import of_connecting, of_statement


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (asyncpg.ConnectionDoesNotExistError("closed in the middle of operation"), ClusterDown),
        (asyncpg.ConnectionFailureError("broken"), ClusterDown),
        (asyncpg.AdminShutdownError("by an administrator"), ClusterDown),
        (asyncpg.CrashShutdownError("because another one crashed"), ClusterDown),
        (asyncpg.DatabaseDroppedError("in recovery"), ClusterDown),
        (asyncpg.TransactionTimeoutError("due to transaction timeout"), ClusterDown),
        (asyncpg.InterfaceError("the driver's own"), ClusterDown),
        (ConnectionResetError(), ClusterDown),
        (asyncpg.QueryCanceledError("on request, or by a time limit"), ClusterTimeout),
        (asyncpg.SerializationError("conflict with recovery"), ClusterTimeout),
        (TimeoutError(), ClusterTimeout),
        (asyncpg.InsufficientPrivilegeError("permission denied"), ClusterRefused),
        (asyncpg.LockNotAvailableError("due to lock timeout"), ClusterRefused),
        (asyncpg.UndefinedFunctionError("no such function"), ClusterRefused),
    ],
)
def test_error_after_a_signal_is_not_a_refusal(
    error: Exception, meaning: type[ClusterError]
) -> None:
    told = of_statement("main", error)
    assert type(told) is meaning
    assert told.cluster == "main"


def no_name(name: str) -> Exception:
    """What looking up such a name raises, which the system is never asked for."""
    with pytest.raises(UnicodeError) as raised:
        socket.getaddrinfo(name, 5432)
    return raised.value


def test_defect_does_not_count_as_server_trouble() -> None:
    with pytest.raises(ZeroDivisionError):
        of_statement("main", ZeroDivisionError())


def not_verified(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed: not valid for 'db-1'")
    error.verify_code = code
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            ConnectionError('PostgreSQL server at "10.0.0.1:5432" rejected SSL upgrade'),
            "it offers no TLS, which the sslmode",
        ),
        (ConnectionError("unexpected connection_lost() call"), "closed the connection"),
        (ConnectionResetError(), "closed the connection"),
        (ConnectionRefusedError(), "nothing listens at its address"),
        (not_verified(10), "has expired or is not valid yet"),
        (not_verified(19), "from an authority that the bot does not trust"),
        (not_verified(62), "for another host than its URL names"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] at 10.0.0.1"), "(no reason given)"),
        (FileNotFoundError(2, "No such file"), "its socket is missing, or the bot may not use it"),
        (
            PermissionError(13, "Permission denied"),
            "its socket is missing, or the bot may not use it",
        ),
        (UnreadableFileError("the file that sslcert names"), "the file that sslcert names"),
        (asyncpg.TargetServerAttributeNotMatched("None of"), "than target_session_attrs in its"),
        (asyncpg.ClientConfigurationError("what else"), "failed (ClientConfigurationError)"),
        (OSError("No route to host 10.0.0.1"), "its address can't be reached"),
        (
            OSError(
                "Multiple exceptions: [Errno 111] Connect call failed ('::1', 5432, 0, 0), "
                "[Errno 111] Connect call failed ('10.0.0.1', 5432)"
            ),
            "nothing listens at its address",
        ),
        (
            OSError(
                "Multiple exceptions: [Errno 111] Connect call failed ('::1', 5432, 0, 0), "
                "[Errno 113] Connect call failed ('10.0.0.1', 5432)"
            ),
            "its address can't be reached",
        ),
        (socket.gaierror(-2, "Name or service not known: db-1"), "its host's name is not found"),
        (OSError(errno.EMFILE, "Too many open files: db-1"), "may open no more files"),
        (no_name("db-1..internal"), "its host's name is not found"),
        (asyncpg.InvalidPasswordError("for user db-1"), "its password is wrong, missing or exp"),
        (
            asyncpg.InvalidAuthorizationSpecificationError("no entry for db-1"),
            "the role is NOLOGIN",
        ),
    ],
)
def test_connection_error_shows_no_address(error: Exception, words: str) -> None:
    told = of_connecting(error)
    assert words in told
    assert "10.0.0.1" not in told
    assert "db-1" not in told
