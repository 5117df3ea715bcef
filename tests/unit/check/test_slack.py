"""What the check says about tokens, people, groups and channels, from Slack's answers."""

from dataclasses import replace
from typing import Any

import pytest

from bot.check.facts import Bot, Group, Member, SlackFacts, Socket, Unknown, Untold
from bot.check.findings import Finding, Level
from bot.check.slack import able, of_allowlists, of_channels, of_slack
from bot.domain.channels import Channel
from bot.domain.people import Allowlist, Home, Right
from bot.scopes import SCOPES
from tests.rights import rights

BOT = Bot("pg_sessions", "Acme", "T1", "A1")
ALL = frozenset(SCOPES)


def slack(**changes: Any) -> SlackFacts:
    return SlackFacts(**{"bot": BOT, "scopes": ALL, "socket": Socket(1, "A1"), **changes})


def member(user_id: str, name: str, **changes: Any) -> Member:
    usual = {
        "id": user_id,
        "name": name,
        "handle": name.split(maxsplit=1)[0].lower(),
        "home": Home.WORKSPACE,
    }
    return Member(**{**usual, **changes})


def group(*members: str, **changes: Any) -> Group:
    usual = {"id": "S1", "handle": "oncall", "name": "On call", "members": members}
    return Group(**{**usual, **changes})


def kept(findings: Any) -> list[tuple[Level, str]]:
    return [(finding.level, finding.text) for finding in findings]


def worst(findings: Any) -> list[Finding]:
    return [finding for finding in findings if finding.level is not Level.OK]


# --- tokens


def test_all_is_well():
    assert kept(of_slack(slack()).findings) == [
        (Level.OK, "SLACK_BOT_TOKEN: the bot is pg_sessions, in the workspace Acme (T1)"),
        (Level.OK, "scopes: all 7 that the bot needs"),
        (Level.OK, "SLACK_APP_TOKEN: the socket opens, and Slack says hello"),
    ]


def test_refused_token():
    facts = SlackFacts(bot=Untold("Slack refuses this token"), socket=Untold("it is closed"))
    assert kept(of_slack(facts).findings) == [
        (Level.FAILURE, "SLACK_BOT_TOKEN: Slack refuses this token"),
        (Level.FAILURE, "SLACK_APP_TOKEN: it is closed"),
    ]


def test_a_token_for_a_whole_organization_names_its_workspaces():
    wide = replace(BOT, team_id="E1", workspaces=("T1", "T2"))
    told = "SLACK_BOT_TOKEN: the bot is pg_sessions, in workspaces of Acme (E1): T1 and T2"
    assert (Level.OK, told) in kept(of_slack(slack(bot=wide)).findings)
    (found,) = worst(of_slack(slack(bot=replace(wide, workspaces=()))).findings)
    assert found.level is Level.FAILURE
    assert "added to none of its workspaces" in found.text


def test_missing_scope_is_named_with_what_fails_without_it():
    found = worst(of_slack(slack(scopes=ALL - {"users:read", "commands"})).findings)
    assert [finding.level for finding in found] == [Level.FAILURE] * 2
    words = "scopes: commands is missing: the commands and shortcuts don't exist. Add it"
    assert found[0].text.startswith(words)
    assert "users:read is missing" in found[1].text


def test_more_scopes_than_needed_and_none_at_all():
    (spare,) = worst(of_slack(slack(scopes=ALL | {"files:write", "admin"})).findings)
    assert (spare.level, spare.text) == (
        Level.WARNING,
        "scopes: the token has more than the bot needs: admin and files:write",
    )
    (unsaid,) = worst(of_slack(slack(scopes=None)).findings)
    assert unsaid.level is Level.WARNING


@pytest.mark.parametrize(
    ("socket", "level", "words"),
    [
        (Socket(None, None), Level.OK, "Slack says hello"),
        (Socket(3, "A1"), Level.OK, "2 other sockets are open"),
        (Socket(10, "A1"), Level.WARNING, "the last of the 10"),
        (
            Socket(1, "A2"),
            Level.FAILURE,
            "different apps: SLACK_BOT_TOKEN to A1, SLACK_APP_TOKEN to A2",
        ),
        (None, Level.OK, "HTTP mode"),
    ],
)
def test_sockets(socket, level, words):
    last = of_slack(slack(socket=socket)).findings[-1]
    assert (last.level, words in last.text) == (level, True), last


# --- people


def people(*members: Member | tuple[str, Unknown | Untold], **facts: Any) -> SlackFacts:
    by_id = dict(one if isinstance(one, tuple) else (one.id, one) for one in members)
    return slack(people=by_id, **facts)


def listed(facts: SlackFacts, *, second_person: tuple[str, ...] = (), right: Right = Right.KILL):
    """The findings about a list of everyone and every group that Slack was asked about."""
    users = frozenset(facts.people).difference(*(g.members for g in groups_of(facts)))
    allowlist = Allowlist(users=users, groups=frozenset(facts.groups))
    lists = {right: allowlist}
    return said(lists, facts, second_person=second_person)[right]


def said(lists: dict[Right, Allowlist], facts: SlackFacts, **options: Any) -> dict[str, Any]:
    """The findings on each list, by its name, and on who may do what."""
    known = rights(lists, clusters=("main", "prod"))
    return {each.title: each.findings for each in of_allowlists(known, facts, **options)}


def groups_of(facts: SlackFacts) -> list[Group]:
    return [one for one in facts.groups.values() if isinstance(one, Group)]


BEN = member("U2", "Ben Baker")


@pytest.mark.parametrize(
    ("one", "level", "text"),
    [
        (BEN, Level.OK, "U2 is Ben Baker (@ben)"),
        (
            member("U1", "Gus Gray", is_guest=True),
            Level.WARNING,
            "U1 is Gus Gray (@gus), a guest, who may end sessions because this list has their id",
        ),
        (
            member("U1", "Olga", home=Home.ELSEWHERE),
            Level.WARNING,
            "U1 is Olga (@olga), from another workspace: the bot refuses such people",
        ),
        (
            member("U1", "Olga", home=None),
            Level.WARNING,
            "U1 is Olga (@olga), whose workspace Slack doesn't say: the bot may refuse them",
        ),
        (member("U1", "Olga", home=Home.ENTERPRISE), Level.OK, "U1 is Olga (@olga)"),
        (member("U1", "Gus", is_guest=None), Level.OK, "U1 is Gus (@gus)"),
        (member("U1", "Ed", deleted=True), Level.WARNING, "U1 is Ed (@ed), deactivated"),
        (
            member("U1", "Deploy", is_bot=True),
            Level.WARNING,
            "U1 is Deploy (@deploy), an app, which can't send commands",
        ),
        (("U1", Unknown()), Level.WARNING, "U1: Slack knows nobody with this id"),
        (
            ("U1", Untold("ratelimited")),
            Level.WARNING,
            "U1: Slack didn't say what this is (ratelimited)",
        ),
    ],
)
def test_who_is_behind_an_id(one, level, text):
    assert (level, text) in kept(listed(people(one)))


def test_people_whom_slack_does_not_describe_share_a_line():
    untold = [(f"U{number}", Untold("ratelimited")) for number in range(7)]
    (only,) = worst(listed(people(*untold)))
    assert only.text.startswith("U0, U1, U2, U3, U4 and 2 more: Slack didn't say")


def test_an_empty_list_and_everyone():
    nobody = said({}, slack())
    (kill,), (look,) = nobody[Right.KILL], nobody[Right.LOOK]
    assert (kill.level, look.level) == (Level.WARNING, Level.OK)
    assert "nobody may end sessions" in kill.text
    (look,) = said({Right.LOOK: Allowlist(everyone=True)}, slack())[Right.LOOK]
    assert look.text == "*: everyone in the workspace may look, except guests"


def test_list_on_which_nobody_is_admitted():
    found = listed(people(member("U1", "Ed", deleted=True), ("U3", Unknown())))
    assert (Level.WARNING, "nobody on this list may end sessions") in kept(found)
    look = listed(people(member("U1", "Ed", deleted=True)), right=Right.LOOK)
    assert "nobody" not in look[-1].text


# --- groups


def test_group_is_shown_with_name_and_members():
    facts = people(BEN, groups={"S1": group("U2", "U9", is_locked=True)})
    assert kept(listed(facts)) == [
        (Level.OK, "S1 is @oncall (On call), 2 people: Ben Baker (@ben) and U9"),
    ]


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (group("U2", disabled=True), "S1 is @oncall (On call), a disabled group"),
        (group(), "S1 is @oncall (On call), a group without members"),
        (Unknown(), "S1: Slack knows no user group with this id"),
        (Untold("missing_scope"), "S1: Slack didn't say what this is (missing_scope)"),
    ],
)
def test_a_group_that_lets_nobody_in(one, words):
    found = worst(listed(people(BEN, groups={"S1": one})))
    assert found[0].level is Level.WARNING
    assert words in found[0].text


def test_group_members_who_should_not_be_there():
    gus = member("U5", "Gus Gray", is_guest=True)
    (only,) = worst(listed(people(gus, BEN, groups={"S1": group("U5", "U2")})))
    assert only.text.startswith("@oncall: its member Gus Gray (@gus) is a guest")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"is_restricted": False}, "can edit @oncall and add themselves to this list"),
        ({"editor": "U3"}, "can edit @oncall (last edited by Sam (@sam), who isn't an admin) and"),
        ({"editor": "U4"}, None),
        ({"editor": "U3", "is_restricted": True}, None),
        ({"editor": "U3", "is_locked": True}, None),
        ({"editor": "UBOT"}, None),
        ({"editor": "U3", "disabled": True}, None),
    ],
)
def test_people_who_can_add_themselves_to_the_list(changes, words):
    facts = people(
        BEN,
        member("U3", "Sam", is_admin=False),
        member("U4", "Vera", is_admin=True),
        member("UBOT", "Deploy", is_bot=True, is_admin=False),
        groups={"S1": group("U2", **changes)},
    )
    lists = {Right.KILL: Allowlist(groups=frozenset({"S1"}))}
    found = [each.text for each in said(lists, facts)[Right.KILL]]
    assert any("add themselves" in text for text in found) is (words is not None)
    assert words is None or any(words in text for text in found)


# --- the second person


@pytest.mark.parametrize(
    ("members", "warned"),
    [(("U2",), True), (("U2", "U3"), False), (("U2", "U5"), True), (("U2", "U9"), False)],
)
def test_second_person_needs_two_able_people(members, warned):
    ed = member("U5", "Ed", deleted=True)
    facts = people(BEN, ed, groups={"S1": group(*members, is_locked=True)})
    lists = {Right.KILL: Allowlist(groups=frozenset({"S1"}))}
    findings = said(lists, facts, second_person=["prod"])[Right.KILL]
    found = [each for each in findings if "SECOND_PERSON_CLUSTERS" in each.text]
    assert [each.level for each in found] == [Level.WARNING] * warned
    assert not warned or "only Ben Baker (@ben) may end sessions" in found[0].text
    none = said(lists, facts)[Right.KILL]
    assert not any("SECOND" in each.text for each in none)


def test_able_people_are_unknown_if_slack_does_not_say():
    allowlist = Allowlist(users=frozenset({"U1", "U2"}), groups=frozenset({"S1"}))
    told = people(BEN, ("U1", Unknown()), groups={"S1": group("U2", disabled=True)})
    assert able([allowlist], told) == frozenset({"U2"})
    assert able([allowlist], people(BEN, ("U1", Untold("x")), groups={"S1": group()})) is None
    assert able([allowlist], people(BEN, ("U1", Unknown()))) is None


# --- channels


@pytest.mark.parametrize(
    ("one", "level", "words"),
    [
        (Channel(id="C1", name="incidents", is_member=True), Level.OK, "C1 is #incidents, public"),
        (Channel(id="C1", name="random"), Level.OK, "the bot isn't a member, and need not be"),
        (
            Channel(id="C1", name="war", is_private=True, is_member=True),
            Level.OK,
            "C1 is #war, private",
        ),
        (Channel(id="C1", name="war", is_private=True), Level.WARNING, "invite it"),
        (
            Channel(id="C1", name="x", is_member=True, is_archived=True),
            Level.WARNING,
            "archived",
        ),
        (
            Channel(id="C1", name="x", is_member=True, is_shared=True),
            Level.WARNING,
            "shared with another workspace",
        ),
        (
            Channel(id="C1", name="x", is_member=True, is_shared=None),
            Level.WARNING,
            "Slack didn't say whether another workspace shares it",
        ),
        (
            Channel(id="C1", name="x", is_member=True, is_read_only=True),
            Level.WARNING,
            "where the bot may not post: no kill can be confirmed there",
        ),
        (Channel(id="C1", name="mpdm-a--b-1", is_direct=True), Level.WARNING, "direct message"),
        (Unknown(), Level.WARNING, "C1: Slack knows no such channel, or it is private"),
        (Untold("missing_scope"), Level.WARNING, "C1: Slack didn't say what this is"),
    ],
)
def test_channels(one, level, words):
    (only,) = of_channels({"C1"}, slack(channels={"C1": one})).findings
    assert (only.level, words in only.text) == (level, True), only


def test_no_channels_mean_any():
    (only,) = of_channels((), slack()).findings
    assert (only.level, "in all channels" in only.text) == (Level.OK, True)
