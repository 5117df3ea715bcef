"""Who may, and what is never killed."""

from datetime import UTC, datetime
from typing import Any

import pytest

from bot.backends import Backend, Names, Role
from bot.errors import UsageError
from bot.grammar import KillRequest, parse_kill
from bot.policy import Allowlist, Barrier, Home, Person, Protection, Right, may, require_narrow

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def person(**changes: Any) -> Person:
    values: dict[str, Any] = {"user_id": "U1", "home": Home.WORKSPACE, "is_guest": False}
    return Person(**{**values, **changes})


def lists(look: Allowlist = Allowlist(), kill: Allowlist = Allowlist()) -> dict:  # noqa: B008
    return {Right.LOOK: look, Right.KILL: kill}


LISTED = Allowlist(users=frozenset({"U1"}))
GROUPED = Allowlist(groups=frozenset({"S1"}))
EVERYONE = Allowlist(everyone=True)


class TestMay:
    def test_a_right_is_named_after_the_setting_that_grants_it(self) -> None:
        assert Right.LOOK.value == "PG_SESSIONS_ALLOWLIST"
        assert Right.KILL.value == "PG_KILL_ALLOWLIST"

    @pytest.mark.parametrize("someone", [LISTED, GROUPED, EVERYONE])
    def test_a_list_that_allows_somebody_is_not_empty(self, someone: Allowlist) -> None:
        assert someone.empty is False

    def test_a_list_allows_nobody_unless_told(self) -> None:
        assert Allowlist() == Allowlist(frozenset(), frozenset(), everyone=False)
        assert Allowlist().empty is True

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

    def test_of_a_sister_workspace_those_may_who_are_named_and_not_everyone(self) -> None:
        sister = person(home=Home.ENTERPRISE, groups=frozenset({"S1"}))
        for right in Right:
            for each in (LISTED, GROUPED):
                assert may(right, sister, lists(look=each, kill=each))
        assert not may(Right.LOOK, sister, lists(look=EVERYONE))

    @pytest.mark.parametrize("home", [Home.ELSEWHERE, None])
    @pytest.mark.parametrize("right", Right)
    def test_nobody_of_another_workspace_may_even_where_listed(
        self, right: Right, home: Home | None
    ) -> None:
        stranger = person(home=home, groups=frozenset({"S1"}))
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

    def test_no_application_name_is_the_empty_one(self) -> None:
        unnamed = Protection(applications=(("",),))
        assert unnamed.why(backend(application_name=None)) == "PROTECTED_APPLICATIONS"
        assert unnamed.why(backend()) is None

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


WHOLE_DATABASE = "ending every session of a database takes the word `all`; or add a filter"
ONE_DATABASE = "ends every session of one database: name the database too"
NO_SESSION = "names no session: add a pid, or a filter that tells some from others"


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
            "age>1s",
            "age<1h",
            "some_db type=walsender",
            "some_db type!=client",
            "blocking",
            "some_db user=web all",
        ],
    )
    def test_a_kill_that_tells_some_from_others(self, text: str) -> None:
        require_narrow(typed(text))

    @pytest.mark.parametrize(
        ("text", "word", "problem"),
        [
            ("some_db", "some_db", WHOLE_DATABASE),
            ("some_db -- because", "some_db", WHOLE_DATABASE),
            ("db=some_db", "db=some_db", WHOLE_DATABASE),
            ("db=*", "db=*", WHOLE_DATABASE),
            ("main/", "main/", NO_SESSION),
            ("main/ all", "all", ONE_DATABASE),
            ("all", "all", ONE_DATABASE),
            ("db=* all", "all", ONE_DATABASE),
            ("db!=some_db all", "all", ONE_DATABASE),
            ("user=*", "user=*", NO_SESSION),
            ("some_db app=*", "some_db app=*", WHOLE_DATABASE),
            ("some_db type=client", "some_db type=client", WHOLE_DATABASE),
            ("some_db type=client*", "some_db type=client*", WHOLE_DATABASE),
            ("some_db type!=walsender", "some_db type!=walsender", WHOLE_DATABASE),
            ("main/ type!=io*", "main/ type!=io*", NO_SESSION),
            ("age>0s", "age>0s", NO_SESSION),
        ],
    )
    def test_a_kill_that_would_end_everyone(self, text: str, word: str, problem: str) -> None:
        refusal = refused(text)
        assert (refusal.word, refusal.problem) == (word, problem)

    @pytest.mark.parametrize(
        ("slip", "word"),
        [
            ("Histroy", "history"),
            ("HEPL", "help"),
            ("blokced", "blocked"),
            ("blokcing", "blocking"),
            ("alll", "all"),
        ],
    )
    def test_a_word_of_the_grammar_that_was_mistyped_reads_as_a_database(
        self, slip: str, word: str
    ) -> None:
        assert refused(slip).nearest[0] == word

    @pytest.mark.parametrize("text", ["some_db", "hello", "db=hepl", "db=*"])
    def test_a_database_that_is_like_no_such_word_is_taken_for_one(self, text: str) -> None:
        assert refused(text).nearest == ()


def refused(text: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        require_narrow(typed(text))
    return caught.value


def typed(text: str) -> KillRequest:
    request = parse_kill(text)
    assert isinstance(request, KillRequest)
    return request
