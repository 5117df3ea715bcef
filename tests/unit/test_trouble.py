"""What the driver's errors mean for a statement that may have signalled."""

import asyncpg
import pytest

from bot.errors import ClusterDown, ClusterError, ClusterRefused, ClusterTimeout
from bot.postgres.trouble import of_statement


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
def test_what_may_come_after_a_signal_is_no_refusal(
    error: Exception, meaning: type[ClusterError]
) -> None:
    told = of_statement("main", error)
    assert type(told) is meaning
    assert told.cluster == "main"


def test_a_defect_is_no_trouble_of_the_server() -> None:
    with pytest.raises(ZeroDivisionError):
        of_statement("main", ZeroDivisionError())
