"""`/pg-sessions by=`: what people read, and what the menu opens."""

import re
from itertools import cycle

from hypothesis import given
from hypothesis import strategies as st

from bot.domain.groups import MOST_GROUPS, Group, Groups
from bot.errors import ClusterDown
from bot.grammar.parser import read_sessions
from bot.grammar.requests import GroupsRequest, Target
from bot.grammar.terms import Field
from bot.operations.results import Counted, Grouped
from bot.slack.buttons import unseal
from bot.slack.views import groups as view
from tests.unit.builders import ALICE, NOW, ago, look, server
from tests.unit.reading import lines, pressable, table
from tests.unit.slack.views.test_any_input import few_texts, holds, server_of, views

APP_AND_STATE = GroupsRequest((Field.APPLICATION_NAME, Field.STATE))


def grouped(*groups, request=APP_AND_STATE, number=None, sessions=None, **values):
    found = Groups(
        groups, number or len(groups), sessions or sum(group.sessions for group in groups)
    )
    target = values.pop("target", Target("main", "some_db"))
    counted = Counted(target=target, look=look(), groups=found)
    story = {"counted": (counted,), "troubles": (), "asked_by": ALICE, "now": NOW}
    return Grouped(request=request, **{**story, **values})


def test_groups_show_count_share_and_oldest_transaction() -> None:
    message = view.groups(
        grouped(
            Group(("celery", "idle"), 38, None),
            Group(("gunicorn", "active"), 9, ago(minutes=4)),
            Group(("gunicorn", "idle in transaction"), 6, ago(minutes=12)),
            sessions=62,
            number=7,
        )
    )
    assert lines(message)[0] == "some_db on main: 62 sessions · connections 62 of 97"
    assert table(message) == [
        ["sessions", "application_name", "state", "share", "oldest_xact"],
        ["38", "celery", "idle", "61 %", " "],
        ["9", "gunicorn", "active", "15 %", "4 min"],
        ["6", "gunicorn", "idle in transaction", "10 %", "12 min"],
    ]
    assert "3 of 7 groups shown · 4 more have 9 of the sessions" in lines(message)
    assert list(pressable(message)) == ["Refresh", "Show a group…"]
    options = pressable(message)["Show a group…"]["options"]
    assert [each["text"]["text"] for each in options] == [
        "celery · idle · 38",
        "gunicorn · active · 9",
        "gunicorn · idle in transaction · 6",
    ]
    assert unseal(options[0]["value"]) == "main/some_db app=celery state=idle"


def test_groups_beyond_a_table_of_twenty_are_counted() -> None:
    found = [Group((f"worker-{at}", "idle"), 50 - at, None) for at in range(23)]
    message = view.groups(grouped(*found))
    assert len(table(message)) == 1 + MOST_GROUPS
    assert "20 of 23 groups shown · 3 more have 87 of the sessions" in lines(message)


def test_null_and_empty_are_told_from_clients_that_are_called_so() -> None:
    values = ("", None, "NULL", '""', '"NULL"')
    by = GroupsRequest((Field.APPLICATION_NAME,))
    message = view.groups(grouped(*(Group((v,), 1, None) for v in values), request=by))
    assert [row[1] for row in table(message)[1:]] == [
        '""',
        '""""""',
        '"""NULL"""',
        '"NULL"',
        "NULL",
    ]


def test_null_says_what_it_means() -> None:
    by = GroupsRequest((Field.CLIENT_ADDR, Field.STATE))
    message = view.groups(grouped(Group((None, "idle"), 1, None), request=by))
    assert "NULL: no client_addr (a Unix socket, or no client)" in lines(message)
    message = view.groups(grouped(Group(("10.0.0.1", None), 1, None), request=by))
    assert "NULL: no state (a background process, or not visible to the bot)" in lines(message)


def test_no_session_has_no_table_and_no_menu() -> None:
    message = view.groups(grouped())
    assert "no session matches" in lines(message)
    assert (table(message), list(pressable(message))) == ([], ["Refresh"])


def test_several_clusters_share_one_table() -> None:
    one = Counted(
        target=Target("main"),
        look=look(),
        groups=Groups((Group(("a", "idle"), 1, None),), 1, 1),
    )
    two = Counted(
        target=Target("prod"),
        look=look(server=server(cluster="prod")),
        groups=Groups((Group(("b", None), 3, None),), 1, 3),
    )
    trouble = ClusterDown("third", "refused the connection")
    message = view.groups(grouped(counted=(one, two), troubles=(trouble,)))
    assert [row[:4] for row in table(message)] == [
        ["sessions", "cluster", "application_name", "state"],
        ["3", "prod", "b", "NULL"],
        ["1", "main", "a", "idle"],
    ]
    assert lines(message)[:2] == [
        "main: 1 session · connections 62 of 97",
        "⚠ some_user 1 of 1: at its limit, new logins fail",
    ]
    assert "No answer from third: refused the connection" in lines(message)
    options = pressable(message)["Show a group…"]["options"]
    assert unseal(options[0]["value"]) == "prod/ app=b state!=*"


def test_clusters_that_the_asker_may_not_look_at_are_counted() -> None:
    message = view.groups(grouped(Group(("a", "idle"), 1, None), left_out=2))
    assert "2 more clusters that the one who asked may not look at" in lines(message)


def test_a_group_whose_filter_is_too_long_is_only_counted() -> None:
    by = GroupsRequest((Field.USENAME, Field.DATNAME, Field.APPLICATION_NAME))
    long = Group(("u" * 63, "d" * 63, "a" * 63), 1, None)
    message = view.groups(grouped(long, request=by, target=Target("main")))
    assert "1 group not in the menu: type their filters" in lines(message)
    assert list(pressable(message)) == ["Refresh"]


@views
@given(
    few_texts,
    st.integers(0, 99),
    st.lists(st.sampled_from(Field), min_size=1, max_size=3, unique=True).map(tuple),
)
def test_groups_of_any_names_are_a_message(names, number, by) -> None:
    name = cycle([*names, None])
    groups = [Group(tuple(next(name) for _ in by), at + 1, ago(days=at)) for at in range(number)]
    counted = Counted(
        target=Target("main", re.sub(r"\W", "", names[0])),
        look=look(server=server_of(names)),
        groups=Groups(tuple(groups), number + 3, 10_000),
    )
    message = view.groups(grouped(request=GroupsRequest(by), counted=(counted,)))
    assert holds(message)
    for option in pressable(message).get("Show a group…", {}).get("options", ()):
        read_sessions(unseal(option["value"]))
