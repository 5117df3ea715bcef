"""Who may, and what is never killed."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from bot.domain.people import Allowlist, Home, Person, Right, may
from bot.domain.protection import Barrier, Ender, Protection, require_narrow
from bot.domain.sessions import Backend, Names, Role, ServerId, SpareReason
from bot.errors import UsageError
from bot.grammar.parser import parse_kill
from bot.grammar.requests import KillRequest

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
    knowing = replace(
        protection,
        known_roles={
            10: Role(10, "postgres", True, -1, may_end=False),
            20: Role(20, "web", False, -1, may_end=True),
            30: Role(30, "other", False, -1, may_end=False),
        },
    )

    @pytest.mark.parametrize(
        ("changes", "why"),
        [
            ({}, None),
            ({"usename": "replicator"}, SpareReason.PROTECTED_ROLES),
            ({"usename": "admin"}, SpareReason.PROTECTED_ROLES),
            ({"usename": "xadmin"}, None),
            ({"application_name": "backup of the night"}, SpareReason.PROTECTED_APPLICATIONS),
            ({"application_name": None}, None),
            ({"usesysid": 99}, SpareReason.OWN_ROLE),
            ({"usesysid": None}, SpareReason.ROLE_UNSEEN),
            ({"usename": None}, SpareReason.ROLE_NAME_UNSEEN),
            ({"backend_type": "walsender"}, SpareReason.NOT_A_CLIENT),
            ({"backend_type": "checkpointer", "state": None}, SpareReason.NOT_A_CLIENT),
            ({"backend_start": None}, SpareReason.UNSEEN),
            ({"backend_type": None}, SpareReason.UNSEEN),
            ({"state": None}, SpareReason.UNSEEN),
        ],
    )
    def test_why(self, changes: dict, why: SpareReason | None) -> None:
        assert self.protection.why(backend(**changes)) == why

    def test_no_application_name_is_the_empty_one(self) -> None:
        unnamed = Protection(applications=(("",),))
        assert unnamed.why(backend(application_name=None)) == SpareReason.PROTECTED_APPLICATIONS
        assert unnamed.why(backend()) is None

    def test_a_role_without_a_name_matters_only_where_roles_are_protected_by_name(self) -> None:
        assert Protection().why(backend(usename=None)) is None

    @pytest.mark.parametrize(
        ("changes", "barrier"),
        [
            ({}, None),
            ({"usesysid": 10}, Barrier(SpareReason.SUPERUSER, Ender.SUPERUSER)),
            (
                {"usename": "admin", "usesysid": 21},
                Barrier(SpareReason.PROTECTED_ROLES, Ender.SUPERUSER),
            ),
            (
                {"usename": "other", "usesysid": 30},
                Barrier(SpareReason.NO_RIGHT, Ender.SIGNAL_BACKEND),
            ),
            # Of a role that isn't known PostgreSQL decides.
            ({"usename": "new", "usesysid": 31}, None),
            (
                {"application_name": "backup-3"},
                Barrier(SpareReason.PROTECTED_APPLICATIONS, Ender.SIGNAL_BACKEND),
            ),
            (
                {"backend_type": "walsender"},
                Barrier(SpareReason.NOT_A_CLIENT, Ender.SIGNAL_BACKEND),
            ),
            (
                {"backend_type": "walsender", "usesysid": 10},
                Barrier(SpareReason.NOT_A_CLIENT, Ender.SUPERUSER),
            ),
            (
                {"backend_type": "autovacuum worker", "usesysid": None, "usename": None},
                Barrier(SpareReason.NOT_A_CLIENT, Ender.SIGNAL_AUTOVACUUM_WORKER),
            ),
        ],
    )
    def test_who_can_end_what_the_bot_does_not(
        self, changes: dict, barrier: Barrier | None
    ) -> None:
        assert self.knowing.barrier(backend(**changes)) == barrier

    def test_session_that_the_bot_may_not_end_is_spared_but_for_a_better_reason(self) -> None:
        assert self.knowing.why(backend(usesysid=10)) is SpareReason.SUPERUSER
        assert self.knowing.why(backend(usesysid=30)) is SpareReason.NO_RIGHT
        backup = backend(usesysid=10, application_name="backup-3")
        assert self.knowing.why(backup) is SpareReason.PROTECTED_APPLICATIONS

    def test_a_bot_that_is_a_superuser_ends_superusers_sessions(self) -> None:
        roles = {10: Role(10, "postgres", True, -1, may_end=True)}
        assert replace(self.protection, known_roles=roles).why(backend(usesysid=10)) is None

    def test_the_statement_is_given_the_oids_as_the_names_are_now(self) -> None:
        roles = {20: Role(20, "web", False, -1), 21: Role(21, "admin", False, -1)}
        names = Names(roles, {}, NOW, ServerId(1, NOW))
        nameless = backend(usesysid=77, usename=None)
        assert self.protection.role_oids(names, [backend(), nameless]) == {21, 77, 99}
        assert Protection(own_roles=frozenset({99})).role_oids(names, [nameless]) == {99}


WHOLE_DATABASE = "to end every session of a database, add the word `all`; to end some, add a filter"
ONE_DATABASE = "it ends every session of a database; name the database too"
NO_SESSION = "this names no session: add a pid, or a filter that selects some"


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
