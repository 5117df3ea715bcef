"""Instants as integer microseconds since 1970, UTC, as the ledger and the buttons carry them.

SQLite keeps no time zone and a float loses PostgreSQL's microseconds; an integer loses neither.
"""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_us(instant: datetime) -> int:
    """Microseconds since 1970 of an aware datetime. Raises `ValueError` for a naive one."""
    if instant.tzinfo is None:
        raise ValueError("a naive datetime has no time zone")
    return (instant - _EPOCH) // _MICROSECOND


def from_us(microseconds: int) -> datetime:
    """The inverse of `to_us`, in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)
