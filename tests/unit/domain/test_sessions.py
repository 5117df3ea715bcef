"""Who waits for whom, what is full, and which backend is which."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.domain.sessions import (
    Backend,
    BackendId,
    Database,
    Limit,
    LimitOf,
    Names,
    Role,
    Server,
    ServerId,
)

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def server(**changes: Any) -> Server:
    values: dict[str, Any] = {
        "cluster": "main",
        "host": "db-1",
        "id": ServerId(1, NOW),
        "version": "18.6",
        "in_recovery": False,
        "now": NOW,
        "max_connections": 100,
        "superuser_reserved_connections": 3,
        "reserved_connections": 0,
        "client_backends": 62,
    }
    return Server(**{**values, **changes})


class TestBackend:
    def test_backend_without_visible_start_has_no_identity(self) -> None:
        assert Backend(pid=1).id is None
        assert Backend(pid=1, backend_start=NOW).id == BackendId(1, NOW)

    def test_backends_differ_by_a_microsecond(self) -> None:
        assert BackendId(1, NOW) != BackendId(1, NOW + timedelta(microseconds=1))

    def test_age_is_unknown_if_the_instant_is(self) -> None:
        backend = Backend(pid=1, xact_start=NOW - timedelta(minutes=5))
        assert backend.xact_age(NOW) == timedelta(minutes=5)
        assert backend.age(NOW) is backend.query_age(NOW) is backend.state_age(NOW) is None

    def test_an_age_is_never_negative(self) -> None:
        assert Backend(pid=1, backend_start=NOW + timedelta(seconds=1)).age(NOW) == timedelta(0)

    @pytest.mark.parametrize(
        ("state", "idle"),
        [
            ("idle", True),
            ("idle in transaction", True),
            ("idle in transaction (aborted)", True),
            ("active", False),
            (None, False),
        ],
    )
    def test_idle_includes_idle_in_transaction(self, state: str | None, idle: bool) -> None:
        assert Backend(pid=1, state=state).is_idle is idle


class TestLimits:
    @pytest.mark.parametrize(
        ("used", "limit", "near", "reached"),
        [
            (0, 0, False, True),  # on purpose: nobody should log in
            (1, 0, True, True),
            (1, 1, True, True),
            (2, 1, True, True),
            (15, 20, False, False),
            (16, 20, True, False),
            (0, 1, False, False),
        ],
    )
    def test_near_is_eighty_percent(self, used: int, limit: int, near: bool, reached: bool) -> None:
        assert Limit("x", used, limit).near is near
        assert Limit("x", used, limit).reached is reached

    def test_ordinary_roles_get_the_unreserved_slots(self) -> None:
        assert server(reserved_connections=2).ordinary == Limit(
            "connections", 62, 95, LimitOf.SERVER
        )

    def test_clients_logging_in_take_slots_but_are_not_counted_as_used(self) -> None:
        ordinary = server(client_backends=5, logging_in=92).ordinary
        assert (ordinary.used, ordinary.taken, ordinary.reached) == (5, 97, True)
        assert not server(client_backends=5, logging_in=91).ordinary.reached
        assert server(client_backends=5, logging_in=91).ordinary.near

    def test_limits_are_pressing_from_eighty_percent(self) -> None:
        roles = (Limit("some_user", 1, 1), Limit("batch", 14, 20))
        databases = (Limit("some_db", 9, 10),)
        pressing = server(roles=roles, databases=databases).pressing
        assert [limit.name for limit in pressing] == ["some_user", "some_db"]

    def test_a_roles_limit_is_found_by_its_name(self) -> None:
        one = server(roles=(Limit("some_user", 1, 1),))
        assert one.role_limit("some_user") == Limit("some_user", 1, 1)
        assert one.role_limit("web") is one.role_limit(None) is None


def test_equal_names_share_their_memory() -> None:
    first = Names({1: Role(1, "web", False, -1)}, {}, NOW, ServerId(1, NOW))
    later = replace(first, roles=dict(first.roles), read_at=NOW + timedelta(seconds=30))
    shared = later.sharing(first)
    assert shared.roles is first.roles
    assert shared == later
    changed = replace(later, roles={1: Role(1, "web", False, 5)})
    assert changed.sharing(first) == changed
    databases = {5: Database(5, "some_db", -1)}
    one = replace(first, databases=databases)
    assert replace(one, databases=dict(databases)).sharing(one).databases is databases
    assert one.sharing(first).databases is databases
