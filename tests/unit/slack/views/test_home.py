"""The Home tab and its modal: what they say, and that Slack takes them at any size."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.channels import Closed
from bot.domain.kills import Action
from bot.domain.people import Grant, Home, Person, Right
from bot.domain.sessions import Counts, Limit
from bot.errors import ClusterDown
from bot.grammar.requests import KILL, SESSIONS
from bot.operations.results import ClusterCard
from bot.slack.buttons import ActionId, Ask
from bot.slack.objects import Identity
from bot.slack.views import home as view
from bot.slack.views.home import Contents, Standing
from tests.unit.builders import ALICE, NOW, look, proposal, server, target, waiter
from tests.unit.reading import walk
from tests.unit.slack.views.test_alert import alert
from tests.unit.slack.views.test_any_input import MARK, few_texts, server_of, views
from tests.unit.slack.views.test_board import WATCHED
from workspace.blocks import elements, plain_rich_text, problems_of_home, problems_of_view

BY_NAME = Grant("PG_KILL_ALLOWLIST", by_name=True, groups=(), everyone=False)


def standing(cluster: str = "main", right: Right = Right.KILL, **values: Any) -> Standing:
    story: dict[str, Any] = {
        "cluster": cluster,
        "host": "db-1.internal",
        "look": look(server=server(cluster=cluster), counts=Counts(31, {}, 3, None)),
        "trouble": None,
        "last_seen": NOW,
    }
    return Standing(ClusterCard(**{**story, **values}), right, (BY_NAME,))


def contents(*standings: Standing, **values: Any) -> Contents:
    story: dict[str, Any] = {
        "standings": standings or (standing(),),
        "left_out": 0,
        "previews": (),
        "now": NOW,
    }
    return Contents(**{**story, **values})


def texts(drawn: view.View) -> str:
    """What a reader sees, but for the buttons."""
    return "\n".join(_text(block) for block in drawn["blocks"])


def _text(block: dict[str, Any]) -> str:
    if block["type"] == "rich_text":
        return plain_rich_text(block)
    return "\n".join(each["text"] for each in walk(block) if isinstance(each.get("text"), str))


def labels(drawn: view.View) -> list[str]:
    return [each.element["text"]["text"] for each in elements(drawn["blocks"])]


def test_cluster_tells_how_it_stands_and_why_a_person_may_act_there() -> None:
    grants = (
        Grant("PG_KILL_ALLOWLIST_MAIN", by_name=True, groups=("S1", "S2"), everyone=False),
        Grant("PG_SESSIONS_ALLOWLIST", by_name=False, groups=(), everyone=True),
    )
    said = texts(
        view.home(
            contents(
                Standing(standing().card, Right.CANCEL, grants),
                group_names={"S1": "oncall"},
                left_out=2,
            )
        )
    )
    assert "31 sessions · connections 62 of 97 · 3 waiting for a lock" in said
    assert "some_user 1 of 1: at its limit, new logins fail" in said
    assert (
        "You may look, and cancel queries: PG_KILL_ALLOWLIST_MAIN has you by name, @oncall and S2;"
        " PG_SESSIONS_ALLOWLIST has everyone in this workspace except guests"
    ) in said
    assert "2 more clusters that you may not look at" in said


def test_clusters_in_trouble_come_first() -> None:
    down = standing(
        "prod",
        look=None,
        trouble=ClusterDown("prod", "refuses connections"),
        last_seen=NOW - timedelta(minutes=2),
    )
    said = texts(view.home(contents(standing(), down)))
    assert said.index("prod · ⚠ refuses connections; last seen 2 min ago") < said.index("main · ")


def test_channel_that_takes_no_alerts_is_named_before_the_open_ones() -> None:
    drawn = view.home(contents(closed={"C0INCIDENTS": Closed.ARCHIVED}, alerts=((alert(), ""),)))
    said = texts(drawn)
    assert "No alert can be posted in <#C0INCIDENTS>: it is archived." in said
    assert said.index("No alert can be") < said.index("is at its limit · since")


@pytest.mark.parametrize(
    ("right", "verb"),
    [(Right.LOOK, None), (Right.CANCEL, "Cancel a query…"), (Right.KILL, "End a session…")],
)
def test_only_what_a_person_may_do_is_offered(right: Right, verb: str | None) -> None:
    drawn = view.home(contents(standing(right=right)))
    offered = {each for each in labels(drawn) if each.endswith("…")}
    assert offered == ({verb} if verb else set())
    assert (KILL in texts(drawn)) is (verb is not None)


def test_buttons_carry_commands_and_nothing_ends_a_session() -> None:
    drawn = view.home(contents(standing("prod")))
    ids = [each.action_id for each in elements(drawn["blocks"])]
    assert len(set(ids)) == len(ids)
    for each in elements(drawn["blocks"]):
        if each.action_id == ActionId.HOME_REFRESH:
            continue
        assert ActionId.of(each.action_id) is ActionId.HOME_ASK
        asked = Ask.decode(each.element["value"])
        assert asked.command in {SESSIONS, KILL}
        assert each.element["accessibility_label"].endswith(f"{asked.command} {asked.text}".strip())
    there = [
        Ask.decode(each.element["value"]).text
        for each in elements(drawn["blocks"])
        if "prod" in each.element["value"]
    ]
    assert there[:3] == ["prod/", "why prod/", "prod/"]


def test_open_previews_link_to_their_messages() -> None:
    link = Identity("T1", url="https://acme.slack.com/").permalink
    one = proposal(message_ts="171.000200")
    other = proposal(target(waiter()), action=Action.CANCEL)
    previews = [(each, link(each.place)) for each in (one, other)]
    drawn = view.home(contents(previews=previews))
    assert "Terminate 1 session on main · asked by " in texts(drawn)
    assert "Cancel 1 query on main" in texts(drawn)
    links = [each for each in walk(drawn) if each.get("type") == "link"]
    assert [each["url"] for each in links] == ["https://acme.slack.com/archives/C0OPS/p171000200"]
    channels = [each["channel_id"] for each in walk(drawn) if each.get("type") == "channel"]
    assert channels == ["C0OPS", "C0OPS"]


def test_boards_link_to_their_messages() -> None:
    assert "Boards" not in texts(view.home(contents()))
    url = "https://acme.slack.com/archives/C0OPS/p11"
    drawn = view.home(contents(boards=[(WATCHED, url), (WATCHED, "")]))
    assert "main · since 11:40 UTC, by " in texts(drawn)
    assert [each["url"] for each in walk(drawn) if each.get("type") == "link"] == [url]
    many = view.home(contents(boards=[(WATCHED, url)] * 10))
    assert "2 more" in texts(many)


def test_open_alerts_come_before_the_clusters_and_link_to_their_messages() -> None:
    told = alert()
    drawn = view.home(contents(alerts=[(told, "https://acme.slack.com/archives/C0OPS/p11")] * 9))
    said = texts(drawn)
    assert "⚠ main: some_user is at its limit · since 11:58 UTC · open it in " in said
    assert said.index("Alerts") < said.index("Clusters")
    assert "1 more" in said
    assert "Alerts" not in texts(view.home(contents()))


def test_previews_say_that_there_are_none_or_that_this_is_unknown() -> None:
    assert "None waits for a click." in texts(view.home(contents()))
    assert "The record of kills can't be read" in texts(view.home(contents(previews=None)))
    many = [(proposal(id=each), "") for each in range(20)]
    assert "at least 12 more" in texts(view.home(contents(previews=many)))


@views
@given(few_texts, st.integers(1, 60), st.integers(0, 30), st.sampled_from(Right))
def test_any_number_of_clusters_of_any_name_is_a_home_tab(names, number, waiting, right) -> None:
    standings = [
        Standing(
            ClusterCard(
                cluster=f"{names[at % len(names)][:30]}{at}",
                host=names[0],
                look=look(server=server_of(names), counts=Counts(1, {}, 0, NOW))
                if at % 3
                else None,
                trouble=None if at % 3 else ClusterDown("x", names[0]),
                last_seen=None,
            ),
            right,
            (Grant("PG_KILL_ALLOWLIST", by_name=False, groups=(names[0],), everyone=False),),
        )
        for at in range(number)
    ]
    previews = [(proposal(cluster=names[0], channel_id=names[-1]), "") for _ in range(waiting)]
    boards = [(replace(WATCHED, wording=names[0]), "") for _ in range(waiting)]
    drawn = view.home(
        contents(
            *standings,
            previews=previews,
            boards=boards,
            left_out=waiting,
            group_names={names[0]: names[0]},
        )
    )
    assert problems_of_home(json.loads(json.dumps(drawn))) == []
    assert f"{waiting} more cluster" in texts(drawn) or not waiting
    assert drawn["blocks"][-1]["type"] == "context"  # nothing was cut off
    for each in walk(drawn):
        if each.get("type") == "mrkdwn":
            assert MARK not in each["text"]
            assert each["verbatim"] is True
        if each.get("type") == "plain_text":
            assert each["emoji"] is False


@pytest.mark.parametrize(
    ("home", "is_guest", "why"),
    [
        (Home.ELSEWHERE, None, "only people of the bot's own workspace may"),
        (None, None, "as long as Slack doesn't tell the bot who you are"),
        (Home.WORKSPACE, True, "A guest must be on a list by name."),
        (Home.WORKSPACE, False, "You are on none of its lists."),
        (Home.ENTERPRISE, None, "You are on none of its lists."),
    ],
)
def test_refusal_names_no_cluster_and_nobody(home: Home | None, is_guest, why: str) -> None:
    drawn = view.refused(Person(ALICE.user_id, home, is_guest))
    assert why in texts(drawn)
    assert not list(elements(drawn["blocks"]))
    assert not [each for each in walk(drawn) if each.get("type") == "user"]
    assert problems_of_home(drawn) == []


@pytest.mark.parametrize("asked", [Ask(SESSIONS), Ask(KILL, "prod/"), Ask(SESSIONS, "why <&>")])
def test_modal_asks_for_text_and_channel(asked: Ask) -> None:
    form = view.asking(asked)
    assert problems_of_view(form) == []
    text, channel = (block["element"] for block in form["blocks"])
    assert text.get("initial_value", "") == asked.text
    assert channel["response_url_enabled"] is True
    assert problems_of_view(view.on_its_way(asked.command, "C0OPS")) == []


def test_unlimited_roles_hide_no_cluster() -> None:
    full = server(roles=tuple(Limit(f"role{at}", 1, 1) for at in range(300)))
    drawn = view.home(contents(standing(look=look(server=full))))
    assert "295 more at or near their limit" in texts(drawn)
