"""Who waits for whom, what is full, and which backend is which."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.backends import Backend, BackendId, Limit, LimitOf, Server, ServerId, Waits

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
    def test_a_backend_whose_start_is_not_to_be_seen_has_no_identity(self) -> None:
        assert Backend(pid=1).id is None
        assert Backend(pid=1, backend_start=NOW).id == BackendId(1, NOW)

    def test_a_microsecond_makes_another_backend(self) -> None:
        assert BackendId(1, NOW) != BackendId(1, NOW + timedelta(microseconds=1))

    def test_ages_are_unknown_where_the_instant_is(self) -> None:
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
    def test_idle_is_in_a_transaction_or_not(self, state: str | None, idle: bool) -> None:
        assert Backend(pid=1, state=state).is_idle is idle


class TestLimits:
    @pytest.mark.parametrize(
        ("used", "limit", "near", "reached"),
        [
            (0, 0, False, True),  # on purpose: nobody is to log in
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

    def test_ordinary_roles_have_what_is_not_reserved(self) -> None:
        assert server(reserved_connections=2).ordinary == Limit(
            "connections", 62, 95, LimitOf.SERVER
        )

    def test_pressing_are_roles_and_databases_from_eighty_percent(self) -> None:
        roles = (Limit("some_user", 1, 1), Limit("batch", 14, 20))
        databases = (Limit("some_db", 9, 10),)
        pressing = server(roles=roles, databases=databases).pressing
        assert [limit.name for limit in pressing] == ["some_user", "some_db"]

    def test_a_roles_limit_is_found_by_its_name(self) -> None:
        one = server(roles=(Limit("some_user", 1, 1),))
        assert one.role_limit("some_user") == Limit("some_user", 1, 1)
        assert one.role_limit("web") is one.role_limit(None) is None


class TestWaits:
    def test_behind_are_all_who_wait_for_one_or_for_one_who_waits(self) -> None:
        waits = Waits({2: (1,), 3: (2,), 4: (3, 9)})
        assert waits.behind([1]) == {2, 3, 4}
        assert waits.behind([3]) == {4}
        assert waits.behind([4]) == frozenset()

    def test_freed_are_those_whose_every_blocker_is_gone_or_freed(self) -> None:
        waits = Waits({2: (1,), 3: (2,), 4: (3, 9)})
        assert waits.freed_by([1]) == {2, 3}
        assert waits.freed_by([1, 9]) == {2, 3, 4}

    def test_a_cycle_ends(self) -> None:
        waits = Waits({1: (2,), 2: (1,), 3: (1,)})
        assert waits.behind([1]) == {2, 3}
        assert waits.freed_by([1]) == {2, 3}

    @given(
        st.dictionaries(
            st.integers(1, 12), st.lists(st.integers(0, 12), min_size=1, max_size=4).map(tuple)
        ),
        st.sets(st.integers(0, 12), max_size=3),
    )
    def test_whoever_is_freed_waited_behind(
        self, blocked_by: dict[int, tuple[int, ...]], gone: set[int]
    ) -> None:
        waits = Waits(blocked_by)
        freed, behind = waits.freed_by(gone), waits.behind(gone)
        assert freed <= behind
        assert not behind & gone
        for waiter in freed:
            assert all(b in gone or b in freed for b in blocked_by[waiter])
