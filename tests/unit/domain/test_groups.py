import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.groups import Group, members, merged
from bot.grammar.columns import STATES
from bot.grammar.parser import parse_sessions, read_sessions
from bot.grammar.requests import GroupsRequest, Target
from bot.grammar.terms import Field
from tests.unit.builders import ago

MAIN = Target("main")


def request(text: str) -> GroupsRequest:
    read = parse_sessions(text)
    assert isinstance(read, GroupsRequest)
    return read


def group(*values: str | None) -> Group:
    return Group(values, 1, None)


@pytest.mark.parametrize(
    ("text", "target", "values", "look"),
    [
        ("by=app,state", MAIN, ("celery", "idle"), "main/ app=celery state=idle"),
        ("by=app", MAIN, ("",), 'main/ app=""'),
        ("by=app", MAIN, ("a*b",), 'main/ app="a*b"'),
        ("by=client", MAIN, ("::1",), "main/ client=::1"),
        ("by=client,user", MAIN, (None, None), "main/ client!=* user!=*"),
        ("by=state xact>5m", MAIN, ("idle in transaction",), "main/ xact>5m state=idle_tx"),
        ("by=db,app", Target("main", "a b"), ("a b", "x"), 'main/"a b" app=x'),
        ("by=user user=web", MAIN, ("web",), "main/ user=web"),
        ("by=wait all private", MAIN, ("ClientRead",), "main/ wait=ClientRead all private"),
    ],
)
def test_a_group_opens_the_look_at_its_sessions(text, target, values, look) -> None:
    assert str(members(request(text), target, group(*values))) == look


@pytest.mark.parametrize(("text", "value"), [("by=user", "a\u202eb"), ("by=type", "walsende")])
def test_a_group_that_no_command_can_name_opens_nothing(text, value) -> None:
    assert members(request(text), MAIN, group(value)) is None


@given(
    st.lists(st.sampled_from(Field), min_size=1, max_size=3, unique=True).map(tuple),
    st.lists(st.none() | st.text() | st.sampled_from([*STATES, "::1", ""]), min_size=3),
)
def test_whatever_a_group_is_called_its_look_reads_back(by, values) -> None:
    of = GroupsRequest(by)
    found = members(of, MAIN, group(*values[: len(by)]))
    assert found is None or read_sessions(str(found)) == found


def test_roles_without_a_name_are_one_group() -> None:
    old = Group((None, "idle"), 2, ago(hours=1))
    new = Group((None, "idle"), 3, ago(hours=2))
    other = Group(("web", "idle"), 4, None)
    assert merged([other, old, new]) == (Group((None, "idle"), 5, ago(hours=2)), other)
