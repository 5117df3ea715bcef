"""What Slack's objects say and leave unsaid: an unsaid value lets nobody in."""

from typing import Any

import pytest

from bot.domain.kills import Place
from bot.domain.people import Home
from bot.slack.objects import (
    Identity,
    home,
    identity,
    is_direct,
    is_enabled,
    is_guest,
    is_shared,
    members,
)

OWN = Identity("T1")
GRID = Identity("T1", "E1")
WIDE = Identity("E1", "E1", ("T1", "T2"))
UNSAID: list[Any] = [None, "", 0, [], {}, "false", "T1"]
"""Values that may be in place of a boolean. The first one means that the field is missing."""


def without(fields: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    """The same object with another value or, for None, without the field."""
    kept = {key: each for key, each in fields.items() if key != name}
    return kept if value is None else {**kept, name: value}


def test_owner_of_a_token() -> None:
    assert identity({"team_id": "T1"}) == OWN
    assert identity({"team_id": "T1", "enterprise_id": "E1"}) == GRID
    assert identity({"team_id": "T1", "enterprise_id": None}) == OWN
    for team_id in (None, "", 7, ["T1"]):
        assert identity({"team_id": team_id}) is None
    assert identity({}) is None


def test_owner_of_a_token_for_an_organization_is_its_workspaces() -> None:
    wide = {"is_enterprise_install": True}
    assert identity({**wide, "team_id": "T1", "enterprise_id": "E1"}) == Identity("T1", "E1", ())
    assert identity({**wide, "team_id": "E1"}) == Identity("E1", "E1", ())
    assert identity({**wide, "enterprise_id": "E1"}) == Identity("E1", "E1", ())
    assert identity(wide) is None
    assert identity({"team_id": "T1", "is_enterprise_install": False}) == OWN
    assert not Identity("T1", "E1", ()).owns("T1")  # the app was not added to it
    assert WIDE.owns("T1")
    assert WIDE.owns("T2")
    assert not WIDE.owns("E1")
    assert not WIDE.owns("")


def enterprise(*teams: str, enterprise_id: str = "E1") -> dict[str, Any]:
    return {"enterprise_id": enterprise_id, "teams": list(teams)}


@pytest.mark.parametrize(
    ("own", "user", "expected"),
    [
        (OWN, {"team_id": "T1"}, Home.WORKSPACE),
        (OWN, {"team_id": "T2"}, Home.ELSEWHERE),
        (OWN, {"team_id": "T2", "enterprise_user": enterprise("T2")}, Home.ELSEWHERE),
        (OWN, {"team_id": "T2", "enterprise_user": {"enterprise_id": ""}}, Home.ELSEWHERE),
        (OWN, {"team_id": "T1", "is_stranger": True}, Home.ELSEWHERE),
        (OWN, {"team_id": "T1", "deleted": True}, Home.ELSEWHERE),
        (GRID, {"team_id": "T2", "enterprise_user": enterprise("T2")}, Home.ENTERPRISE),
        (GRID, {"team_id": "T2", "enterprise_user": {"enterprise_id": "E1"}}, Home.ENTERPRISE),
        (GRID, {"team_id": "T2", "enterprise_user": enterprise("T2", "T1")}, Home.WORKSPACE),
        (
            GRID,
            {"team_id": "T3", "enterprise_user": enterprise("T1", enterprise_id="E2")},
            Home.ELSEWHERE,
        ),
        (GRID, {"team_id": "T2"}, Home.ELSEWHERE),
        (GRID, {"team_id": "T2", "enterprise_user": "E1"}, Home.ELSEWHERE),
        (WIDE, {"team_id": "T2"}, Home.WORKSPACE),
        (WIDE, {"team_id": "T3", "enterprise_user": enterprise("T3", "T2")}, Home.WORKSPACE),
        (WIDE, {"team_id": "T3", "enterprise_user": enterprise("T3")}, Home.ENTERPRISE),
        (WIDE, {"team_id": "T3"}, Home.ELSEWHERE),
        (GRID, {}, None),
        (GRID, {"team_id": ""}, None),
        (GRID, {"team_id": None, "enterprise_user": enterprise("T1")}, None),
    ],
)
def test_home_of_a_person(own: Identity, user: dict, expected: Home | None) -> None:
    assert home(user, own) is expected


MEMBER = {"is_bot": False, "is_restricted": False, "is_ultra_restricted": False}


def test_a_guest_is_known_by_either_field() -> None:
    assert is_guest(MEMBER) is False
    assert is_guest({**MEMBER, "deleted": False, "is_stranger": False}) is False
    for name in ("is_restricted", "is_ultra_restricted"):
        assert is_guest({**MEMBER, name: True}) is True
    for name in ("is_bot", "is_stranger", "deleted"):
        assert is_guest({**MEMBER, name: True}) is None


def test_a_user_who_is_not_said_to_be_a_bot_is_a_person() -> None:
    person = {name: value for name, value in MEMBER.items() if name != "is_bot"}
    assert is_guest(person) is False
    assert is_guest({**person, "is_restricted": True}) is True
    assert is_guest({**person, "is_bot": None}) is None


@pytest.mark.parametrize("name", ["is_restricted", "is_ultra_restricted"])
@pytest.mark.parametrize("value", [value for value in UNSAID if value != 0])
def test_missing_fields_make_nobody_a_member(name: str, value: Any) -> None:
    assert is_guest(without(MEMBER, name, value)) is None


def test_who_is_in_a_group() -> None:
    assert members({"users": ["U1", "U2"]}) == ("U1", "U2")
    assert members({"users": ["U1", None, 7, ""]}) == ("U1",)
    assert members({"users": []}) == ()
    for users in (None, "U1", {"U1": True}):
        assert members({"users": users}) is None
    assert members({}) is None


@pytest.mark.parametrize("value", [1_700_000_000, "0", None, False, []])
def test_a_group_is_off_if_slack_says_anything_else_than_that_it_is_on(value: Any) -> None:
    assert is_enabled({"date_delete": 0})
    assert not is_enabled({"date_delete": value})


def test_a_group_is_on_if_slack_tells_no_more_than_its_name() -> None:
    assert is_enabled({"id": "S1", "handle": "oncall"})


CHANNEL = {
    "is_ext_shared": False,
    "is_pending_ext_shared": False,
    "is_shared": False,
    "is_org_shared": False,
}


@pytest.mark.parametrize(
    ("changes", "shared"),
    [
        ({}, False),
        ({"is_ext_shared": True, "is_shared": True}, True),
        ({"is_pending_ext_shared": True}, True),
        ({"is_shared": True, "is_org_shared": True}, False),
        ({"is_shared": True}, None),
    ],
)
def test_who_else_reads_a_channel(changes: dict, shared: bool | None) -> None:
    assert is_shared({**CHANNEL, **changes}) is shared


@pytest.mark.parametrize("value", UNSAID)
def test_missing_fields_make_no_channel_unshared(value: Any) -> None:
    assert is_shared(without(CHANNEL, "is_ext_shared", value)) is None
    assert is_shared({}) is None
    # A channel that is shared, or about to be, counts as shared whatever else is missing.
    assert is_shared({"is_pending_ext_shared": True}) is True
    assert is_shared({"is_ext_shared": True}) is True


def test_direct_messages_between_two_or_in_a_group() -> None:
    assert is_direct({"is_im": True})
    assert is_direct({"is_mpim": True, "is_im": False})
    assert not is_direct(CHANNEL)


def test_permalink_leads_to_a_message_or_into_its_thread():
    own = Identity("T1", url="https://acme.slack.com/")
    there = "https://acme.slack.com/archives/C1/p171000200"
    assert own.permalink(Place("C1", "171.000200")) == there
    assert own.permalink(Place("C1", "171.000200", "170.1")) == f"{there}?thread_ts=170.1&cid=C1"
    assert own.permalink(Place("C1")) == ""
    assert Identity("T1").permalink(Place("C1", "171.000200")) == ""


@pytest.mark.parametrize(
    "url", [None, "", "http://acme.slack.com/", "https://a|b/", "https://x/y/"]
)
def test_invalid_address_makes_no_links(url):
    told = identity({"team_id": "T1", "url": url})
    assert told is not None
    assert told.url == ""
