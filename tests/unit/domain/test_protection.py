"""What is never ended, and how narrow a kill must be."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from bot.domain.protection import Barrier, Ender, Protection, require_narrow, roles_named
from bot.domain.sessions import Backend, Names, Role, ServerId, SpareReason
from bot.errors import UsageError
from bot.grammar.parser import parse_kill
from bot.grammar.requests import KillRequest

NOW = datetime(2026, 1, 1, tzinfo=UTC)


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
    def test_reason_a_backend_is_spared(self, changes: dict, why: SpareReason | None) -> None:
        assert self.protection.why(backend(**changes)) == why

    def test_spared_sessions_are_told_by_pid_with_the_reason(self) -> None:
        sessions = [backend(pid=1), backend(pid=2, usename="admin"), backend(pid=3, usesysid=99)]
        assert self.protection.spared(sessions) == {
            2: SpareReason.PROTECTED_ROLES,
            3: SpareReason.OWN_ROLE,
        }

    def test_missing_application_name_counts_as_empty(self) -> None:
        unnamed = Protection(applications=(("",),))
        assert unnamed.why(backend(application_name=None)) == SpareReason.PROTECTED_APPLICATIONS
        assert unnamed.why(backend()) is None

    def test_unnamed_role_is_spared_only_if_roles_are_protected_by_name(self) -> None:
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
            # PostgreSQL decides about an unknown role.
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
    def test_who_can_end_spared_backends(self, changes: dict, barrier: Barrier | None) -> None:
        assert self.knowing.barrier(backend(**changes)) == barrier

    def test_missing_right_is_the_last_reason_to_spare_a_session(self) -> None:
        assert self.knowing.why(backend(usesysid=10)) is SpareReason.SUPERUSER
        assert self.knowing.why(backend(usesysid=30)) is SpareReason.NO_RIGHT
        backup = backend(usesysid=10, application_name="backup-3")
        assert self.knowing.why(backup) is SpareReason.PROTECTED_APPLICATIONS

    def test_a_bot_that_is_a_superuser_ends_superusers_sessions(self) -> None:
        roles = {10: Role(10, "postgres", True, -1, may_end=True)}
        assert replace(self.protection, known_roles=roles).why(backend(usesysid=10)) is None

    def test_statement_gets_the_oids_of_the_current_names(self) -> None:
        roles = {20: Role(20, "web", False, -1), 21: Role(21, "admin", False, -1)}
        names = Names(roles, {}, NOW, ServerId(1, NOW))
        nameless = backend(usesysid=77, usename=None)
        assert self.protection.role_oids(names, [backend(), nameless]) == {21, 77, 99}
        assert Protection(own_roles=frozenset({99})).role_oids(names, [nameless]) == {99}


def test_roles_are_named_by_any_of_the_globs() -> None:
    globs = (("web", ""), ("admin",))
    assert roles_named(globs, ["web_1", "batch", "admin", "Admin"]) == ("web_1", "admin")


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
    def test_narrow_kills_are_accepted(self, text: str) -> None:
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
    def test_kill_of_everyone_is_refused(self, text: str, word: str, problem: str) -> None:
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
            ("idle_tx", "state=idle_tx"),
            ("active", "state=active"),
            ("usename", "usename="),
        ],
    )
    def test_mistyped_keyword_reads_as_a_database(self, slip: str, word: str) -> None:
        assert refused(slip).nearest[0] == word

    @pytest.mark.parametrize("text", ["some_db", "hello", "db=hepl", "db=*"])
    def test_database_unlike_any_keyword_is_accepted(self, text: str) -> None:
        assert refused(text).nearest == ()


def refused(text: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        require_narrow(typed(text))
    return caught.value


def typed(text: str) -> KillRequest:
    request = parse_kill(text)
    assert isinstance(request, KillRequest)
    return request
