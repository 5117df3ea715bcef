"""Who may."""

from typing import Any

import pytest

from bot.domain.people import NOWHERE, Allowlist, Allowlists, Grant, Home, Person, Right, Rights
from tests.rights import rights


def person(**changes: Any) -> Person:
    values: dict[str, Any] = {"user_id": "U1", "home": Home.WORKSPACE, "is_guest": False}
    return Person(**{**values, **changes})


def lists(look: Allowlist = Allowlist(), kill: Allowlist = Allowlist()) -> Rights:  # noqa: B008
    return rights({Right.LOOK: look, Right.KILL: kill})


def may(right: Right, someone: Person, known: Rights) -> bool:
    return known.may(right, someone, "main")


LISTED = Allowlist(users=frozenset({"U1"}))


GROUPED = Allowlist(groups=frozenset({"S1"}))


EVERYONE = Allowlist(everyone=True)


class TestMay:
    def test_a_right_is_named_after_the_setting_that_grants_it(self) -> None:
        assert Right.LOOK.value == "PG_SESSIONS_ALLOWLIST"
        assert Right.CANCEL.value == "PG_CANCEL_ALLOWLIST"
        assert Right.KILL.value == "PG_KILL_ALLOWLIST"

    @pytest.mark.parametrize("someone", [LISTED, GROUPED, EVERYONE])
    def test_a_list_that_allows_somebody_is_not_empty(self, someone: Allowlist) -> None:
        assert someone.empty is False

    def test_default_list_allows_nobody(self) -> None:
        assert Allowlist() == Allowlist(frozenset(), frozenset(), everyone=False)
        assert Allowlist().empty is True
        assert Allowlists() == Allowlists(Allowlist(), {})

    def test_empty_list_allows_nobody(self) -> None:
        assert not may(Right.KILL, person(), lists())
        assert not may(Right.LOOK, person(), lists())

    def test_right_without_a_list_is_nobodys(self) -> None:
        known = Rights(("main",))
        for right in Right:
            assert not may(right, person(), known)
            assert known.allowlist(right) == Allowlist()
            assert known.users(right) == frozenset()
            assert not known.varies(right)
            assert not known.has_own(right, "main")

    def test_listed_people_may(self) -> None:
        assert may(Right.KILL, person(), lists(kill=LISTED))
        assert not may(Right.KILL, person(user_id="U2"), lists(kill=LISTED))

    def test_members_of_a_listed_group_may(self) -> None:
        assert may(Right.KILL, person(groups=frozenset({"S1"})), lists(kill=GROUPED))
        assert not may(Right.KILL, person(groups=frozenset({"S2"})), lists(kill=GROUPED))

    def test_right_to_kill_includes_looking_but_not_the_reverse(self) -> None:
        assert may(Right.LOOK, person(), lists(kill=LISTED))
        assert not may(Right.KILL, person(), lists(look=LISTED))

    def test_star_excludes_guests(self) -> None:
        assert may(Right.LOOK, person(is_guest=False), lists(look=EVERYONE))
        assert not may(Right.LOOK, person(is_guest=True), lists(look=EVERYONE))
        assert not may(Right.LOOK, person(is_guest=None), lists(look=EVERYONE))

    def test_a_guest_who_is_named_may(self) -> None:
        assert may(Right.LOOK, person(is_guest=True), lists(look=LISTED))

    def test_sister_workspace_members_need_to_be_named(self) -> None:
        sister = person(home=Home.ENTERPRISE, groups=frozenset({"S1"}))
        for right in Right:
            for each in (LISTED, GROUPED):
                assert may(right, sister, lists(look=each, kill=each))
        assert not may(Right.LOOK, sister, lists(look=EVERYONE))

    @pytest.mark.parametrize("home", [Home.ELSEWHERE, None])
    @pytest.mark.parametrize("right", Right)
    def test_other_workspaces_are_refused_even_if_listed(
        self, right: Right, home: Home | None
    ) -> None:
        stranger = person(home=home, groups=frozenset({"S1"}))
        for each in (LISTED, GROUPED, EVERYONE):
            assert not may(right, stranger, lists(look=each, kill=each))


ON_PROD = {"prod": LISTED}


class TestByCluster:
    """A right is always one on a cluster."""

    def known(self, of: dict[Right, dict[str, Allowlist]], **general: Allowlist) -> Rights:
        lists = {Right[name.upper()]: one for name, one in general.items()}
        return rights(lists, clusters=("main", "prod"), of=of)

    def test_a_clusters_own_list_stands_in_place_of_the_general_one(self) -> None:
        known = self.known({Right.KILL: ON_PROD}, kill=GROUPED)
        ana, ben = person(), person(user_id="U2", groups=frozenset({"S1"}))
        assert known.reach(Right.KILL, ana).on == {Right.KILL: {"prod"}}
        assert known.reach(Right.KILL, ben).on == {Right.KILL: {"main"}}

    def test_list_is_the_general_one_where_a_cluster_has_none_of_its_own(self) -> None:
        known = self.known({Right.KILL: ON_PROD}, kill=GROUPED)
        assert known.allowlist(Right.KILL, "prod") == LISTED
        assert known.allowlist(Right.KILL, "main") == known.allowlist(Right.KILL) == GROUPED
        assert [right for right in Right if known.varies(right)] == [Right.KILL]
        assert known.has_own(Right.KILL, "prod")
        assert not known.has_own(Right.KILL, "main")

    def test_blank_list_for_a_cluster_means_nobody_there(self) -> None:
        known = self.known({Right.KILL: {"prod": Allowlist()}}, kill=LISTED)
        assert not known.may(Right.KILL, person(), "prod")
        assert known.may(Right.KILL, person(), "main")

    def test_a_cluster_that_the_settings_do_not_name_goes_by_the_general_list(self) -> None:
        known = self.known({Right.KILL: ON_PROD}, kill=GROUPED)
        assert not known.may(Right.KILL, person(), "gone")

    @pytest.mark.parametrize("right", Right)
    def test_each_right_includes_those_before_it(self, right: Right) -> None:
        every = tuple(Right)
        known = self.known({right: ON_PROD})
        for other in every:
            includes = every.index(other) <= every.index(right)
            assert known.may(other, person(), "prod") is includes
            assert known.reach(other, person()).may(other, "prod") is includes
            assert not known.reach(other, person()).may(other, "main")

    def test_a_reach_has_no_right_that_was_not_asked_for(self) -> None:
        known = self.known({}, look=EVERYONE, cancel=LISTED)
        reach = known.reach(Right.CANCEL, person())
        assert reach.anywhere(Right.CANCEL)
        assert reach.may(Right.LOOK, "main")  # who may cancel may look
        assert not known.reach(Right.KILL, person()).anywhere(Right.LOOK)

    def test_a_grant_tells_the_list_and_as_whom_it_holds_somebody(self) -> None:
        known = self.known({Right.KILL: {"prod": GROUPED}}, look=EVERYONE, kill=LISTED)
        ana = person(groups=frozenset({"S1", "S9"}), is_guest=False)
        general, everyone = known.grants(Right.LOOK, ana, "main")
        assert general == Grant("PG_KILL_ALLOWLIST", by_name=True, groups=(), everyone=False)
        assert everyone == Grant("PG_SESSIONS_ALLOWLIST", by_name=False, groups=(), everyone=True)
        assert sorted(each.setting for each in known.grants(Right.LOOK, ana, "prod")) == [
            "PG_KILL_ALLOWLIST_PROD",
            "PG_SESSIONS_ALLOWLIST",
        ]
        (prod,) = known.grants(Right.KILL, ana, "prod")
        assert prod == Grant(
            "PG_KILL_ALLOWLIST_PROD", by_name=False, groups=("S1",), everyone=False
        )
        (there_only,) = self.known({Right.KILL: ON_PROD}).grants(Right.KILL, ana, "prod")
        assert there_only.by_name
        for home in (Home.ELSEWHERE, None):
            assert known.grants(Right.LOOK, person(home=home), "main") == ()

    def test_nowhere_is_nowhere(self) -> None:
        assert not any(NOWHERE.may(right, "main") or NOWHERE.anywhere(right) for right in Right)

    def test_a_list_is_called_by_its_variable(self) -> None:
        known = self.known({Right.CANCEL: ON_PROD})
        assert known.setting(Right.CANCEL, "prod") == "PG_CANCEL_ALLOWLIST_PROD"
        assert known.setting(Right.CANCEL, "main") == "PG_CANCEL_ALLOWLIST"
        assert known.setting(Right.CANCEL) == "PG_CANCEL_ALLOWLIST"
        assert known.setting(Right.KILL, "prod") == "PG_KILL_ALLOWLIST"

    def test_cancelling_is_mentioned_if_a_list_names_somebody_for_it(self) -> None:
        known = self.known({Right.CANCEL: ON_PROD})
        assert known.asked(Right.CANCEL, "main") == (Right.KILL,)
        assert known.asked(Right.CANCEL, "prod") == (Right.KILL, Right.CANCEL)
        assert known.asked(Right.CANCEL) == (Right.KILL, Right.CANCEL)
        assert known.asked(Right.LOOK) == (Right.LOOK,)

    def test_groups_and_people_of_every_list_are_known(self) -> None:
        known = self.known({Right.CANCEL: {"prod": GROUPED}}, look=LISTED)
        assert known.groups == {"S1"}
        assert known.users(Right.LOOK) == {"U1"}
        assert known.users(Right.CANCEL) == frozenset()
