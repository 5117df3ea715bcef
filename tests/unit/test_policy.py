"""Who may, and what is never killed."""

from datetime import UTC, datetime
from typing import Any

import pytest

from bot.backends import Backend, Names, Role
from bot.errors import UsageError
from bot.grammar import KillRequest, parse_kill
from bot.policy import Allowlist, Barrier, Person, Protection, Right, may, require_narrow

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def person(**changes: Any) -> Person:
    values: dict[str, Any] = {"user_id": "U1", "is_own": True, "is_guest": False}
    return Person(**{**values, **changes})


def lists(look: Allowlist = Allowlist(), kill: Allowlist = Allowlist()) -> dict:  # noqa: B008
    return {Right.LOOK: look, Right.KILL: kill}


LISTED = Allowlist(users=frozenset({"U1"}))
GROUPED = Allowlist(groups=frozenset({"S1"}))
EVERYONE = Allowlist(everyone=True)


class TestMay:
    def test_empty_is_nobody(self) -> None:
        assert not may(Right.KILL, person(), lists())
        assert not may(Right.LOOK, person(), lists())

    def test_listed_people_may(self) -> None:
        assert may(Right.KILL, person(), lists(kill=LISTED))
        assert not may(Right.KILL, person(user_id="U2"), lists(kill=LISTED))

    def test_members_of_a_listed_group_may(self) -> None:
        assert may(Right.KILL, person(groups=frozenset({"S1"})), lists(kill=GROUPED))
        assert not may(Right.KILL, person(groups=frozenset({"S2"})), lists(kill=GROUPED))

    def test_who_may_kill_may_look_and_not_the_reverse(self) -> None:
        assert may(Right.LOOK, person(), lists(kill=LISTED))
        assert not may(Right.KILL, person(), lists(look=LISTED))

    def test_everyone_are_those_of_whom_it_is_known_that_they_are_no_guests(self) -> None:
        assert may(Right.LOOK, person(is_guest=False), lists(look=EVERYONE))
        assert not may(Right.LOOK, person(is_guest=True), lists(look=EVERYONE))
        assert not may(Right.LOOK, person(is_guest=None), lists(look=EVERYONE))

    def test_a_guest_who_is_named_may(self) -> None:
        assert may(Right.LOOK, person(is_guest=True), lists(look=LISTED))

    @pytest.mark.parametrize("is_own", [False, None])
    @pytest.mark.parametrize("right", Right)
    def test_nobody_of_another_workspace_may_even_where_listed(
        self, right: Right, is_own: bool | None
    ) -> None:
        stranger = person(is_own=is_own, groups=frozenset({"S1"}))
        for each in (LISTED, GROUPED, EVERYONE):
            assert not may(right, stranger, lists(look=each, kill=each))


def backend(**changes: Any) -> Backend:
    values: dict[str, Any] = {
        "pid": 7,
        "backend_start": NOW,
        "backend_type": "client backend",
        "state": "idle",
        "usesysid": 20,
        "usename": "web",
        "application_name": "psql",
    }
    return Backend(**{**values, **changes})


class TestProtection:
    protection = Protection(
        roles=(("replicator",), ("adm", "")),
        applications=(("backup", ""),),
        own_roles=frozenset({99}),
    )

    @pytest.mark.parametrize(
        ("changes", "why"),
        [
            ({}, None),
            ({"usename": "replicator"}, "PROTECTED_ROLES"),
            ({"usename": "admin"}, "PROTECTED_ROLES"),
            ({"usename": "xadmin"}, None),
            ({"application_name": "backup of the night"}, "PROTECTED_APPLICATIONS"),
            ({"application_name": None}, None),
            ({"usesysid": 99}, "the bot's own role"),
            ({"usesysid": None}, "its role can't be seen"),
            ({"usename": None}, "its role's name can't be seen"),
            ({"backend_type": "walsender"}, "walsender, not a client backend"),
            ({"backend_type": "checkpointer", "state": None}, "checkpointer, not a client backend"),
            ({"backend_start": None}, "the bot may not see it: grant pg_read_all_stats"),
            ({"backend_type": None}, "the bot may not see it: grant pg_read_all_stats"),
            ({"state": None}, "the bot may not see it: grant pg_read_all_stats"),
        ],
    )
    def test_why(self, changes: dict, why: str | None) -> None:
        assert self.protection.why(backend(**changes)) == why

    def test_a_role_without_a_name_matters_only_where_roles_are_protected_by_name(self) -> None:
        assert Protection().why(backend(usename=None)) is None

    @pytest.mark.parametrize(
        ("changes", "barrier"),
        [
            ({}, None),
            ({"usesysid": 10}, Barrier("a superuser's session", "a superuser")),
            ({"usename": "admin", "usesysid": 21}, Barrier("PROTECTED_ROLES", "a superuser")),
            (
                {"application_name": "backup-3"},
                Barrier("PROTECTED_APPLICATIONS", "a member of pg_signal_backend"),
            ),
            (
                {"backend_type": "walsender"},
                Barrier("walsender, not a client backend", "a member of pg_signal_backend"),
            ),
            (
                {"backend_type": "walsender", "usesysid": 10},
                Barrier("walsender, not a client backend", "a superuser"),
            ),
            (
                {"backend_type": "autovacuum worker", "usesysid": None, "usename": None},
                Barrier(
                    "autovacuum worker, not a client backend",
                    "a superuser, from PostgreSQL 18 on a member of "
                    "pg_signal_autovacuum_worker too",
                ),
            ),
        ],
    )
    def test_who_can_end_what_the_bot_does_not(
        self, changes: dict, barrier: Barrier | None
    ) -> None:
        roles = {20: Role(20, "web", False, -1), 10: Role(10, "postgres", True, -1)}
        assert self.protection.barrier(backend(**changes), roles) == barrier

    def test_a_bot_that_is_a_superuser_ends_superusers_sessions(self) -> None:
        roles = {10: Role(10, "postgres", True, -1), 99: Role(99, "bot", True, -1)}
        assert self.protection.barrier(backend(usesysid=10), roles) is None

    def test_the_statement_is_given_the_oids_as_the_names_are_now(self) -> None:
        names = Names({20: Role(20, "web", False, -1), 21: Role(21, "admin", False, -1)}, {}, NOW)
        nameless = backend(usesysid=77, usename=None)
        assert self.protection.role_oids(names, [backend(), nameless]) == {21, 77, 99}
        assert Protection(own_roles=frozenset({99})).role_oids(names, [nameless]) == {99}


class TestNarrow:
    @pytest.mark.parametrize(
        "text",
        [
            "33507",
            "user=web",
            "some_db user=web",
            "some_db all",
            "db=some_db all",
            "some_db state!=idle",
            "xact>5m",
            "age<1h",
            "blocking",
            "some_db user=web all",
        ],
    )
    def test_a_kill_that_tells_some_from_others(self, text: str) -> None:
        require_narrow(typed(text))

    @pytest.mark.parametrize(
        "text",
        [
            "some_db",
            "db=some_db",
            "db=*",
            "main/",
            "main/ all",
            "all",
            "db=* all",
            "db!=some_db all",
            "user=*",
            "some_db app=*",
            "some_db type=client",
            "some_db type=client*",
            "age>0s",
        ],
    )
    def test_a_kill_that_would_end_everyone(self, text: str) -> None:
        with pytest.raises(UsageError):
            require_narrow(typed(text))


def typed(text: str) -> KillRequest:
    request = parse_kill(text)
    assert isinstance(request, KillRequest)
    return request
