"""What a frozen filter is, and that the ledger returns it unchanged."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.filters import (
    TEXT_COLUMNS,
    AddressIn,
    Before,
    InLock,
    InTree,
    OidIn,
    PidIn,
    TextLike,
    arrived_since,
    freeze,
    from_json,
    to_json,
)
from bot.domain.matching import meets
from bot.domain.sessions import Database, Names, Role, ServerId
from bot.domain.waits import Waits
from bot.errors import TargetError
from bot.grammar.parser import parse_kill
from bot.grammar.requests import KillRequest
from bot.grammar.suggest import near
from bot.grammar.terms import AgeOf, Pattern, Tagged, Word
from tests.unit.builders import ago, backend

NOW = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
NAMES = Names(
    roles={
        10: Role(10, "postgres", True, -1),
        20: Role(20, "web", False, -1),
        21: Role(21, "web_reader", False, 5),
        30: Role(30, "some_user", False, 1),
    },
    databases={1: Database(1, "postgres", -1), 5: Database(5, "some_db", -1)},
    read_at=NOW,
    server=ServerId(1, NOW),
)


def read_kill_request(text: str) -> KillRequest:
    request = parse_kill(text)
    assert isinstance(request, KillRequest)
    return request


def frozen(text: str):
    request = read_kill_request(text)
    return freeze(request.terms, NAMES, NOW, database=request.target.database)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("user=web", OidIn("usesysid", (20,))),
        ("user=web*", OidIn("usesysid", (20, 21))),
        ("user!=some_user", OidIn("usesysid", (30,), negated=True)),
        ("db=some_*", OidIn("datid", (5,))),
        ("db!=postgres", OidIn("datid", (1,), negated=True)),
        ("app=psql*", TextLike("application_name", ("psql", ""))),
        ("state!=idle_tx", TextLike("state", ("idle in transaction",), negated=True)),
        ("type=client", TextLike("backend_type", ("client backend",))),
        ("wait=Lock", TextLike("wait_event", ("Lock",))),
        ("client=10.0.0.0/8", AddressIn("10.0.0.0/8")),
        ("client!=10.0.0.0/8", AddressIn("10.0.0.0/8", negated=True)),
        ("client=10.*", TextLike("client_addr", ("10.", ""))),
        ("xact>5m", Before(AgeOf.XACT, NOW - timedelta(minutes=5))),
        ("age<1h", Before(AgeOf.AGE, NOW - timedelta(hours=1), older=False)),
        ("blocked", InLock(Word.BLOCKED)),
        ("blocking", InLock(Word.BLOCKING)),
    ],
)
def test_a_term_freezes_to_oids_and_instants(text: str, expected: object) -> None:
    assert frozen(text) == (expected,)


def test_named_database_comes_first() -> None:
    assert frozen("main/some_db user=web") == (OidIn("datid", (5,)), OidIn("usesysid", (20,)))


@pytest.mark.parametrize(
    ("text", "problem", "nearest"),
    [
        ("user=some_usr", "no such role", ("user=some_user",)),
        ("user=SOME_USER", "no such role", ("user=some_user",)),
        ("user!=webb", "no such role", ("user!=web",)),
        ("db=some_bd", "no such database", ("db=some_db",)),
        ("db=nothing_like_it", "no such database", ()),
        # `user!=admin*` with a typo would match everyone.
        ("user!=nobody*", "no role has such a name", ()),
        ("user!=webb*", "no role has such a name", ("user!=web",)),
        ("db=some*bd", "no database has such a name", ("db=some_db",)),
    ],
)
def test_unknown_name_is_an_error_with_the_nearest_names(
    text: str, problem: str, nearest: tuple[str, ...]
) -> None:
    with pytest.raises(TargetError) as unknown:
        frozen(text)
    assert unknown.value.name == text
    assert unknown.value.problem == problem
    assert unknown.value.nearest == nearest


def test_a_kill_by_tag_is_refused_rather_than_widened() -> None:
    with pytest.raises(TargetError) as refused:
        freeze([Tagged("job", Pattern(("Mailer", "")))], NAMES, NOW)
    assert refused.value.name == "tag.job=Mailer*"
    assert refused.value.problem == "only a look takes tags"


def test_unknown_database_of_a_cluster_is_an_error_with_the_nearest_names() -> None:
    with pytest.raises(TargetError) as unknown:
        frozen("main/some_bd user=web")
    assert unknown.value.name == "some_bd"
    assert unknown.value.problem == "no such database"
    assert unknown.value.nearest == ("some_db",)


def test_role_in_place_of_a_database_is_told_to_be_one() -> None:
    with pytest.raises(TargetError) as unknown:
        frozen("main/web user=web")
    assert unknown.value.name == "web"
    assert unknown.value.problem == "no such database, but a role"
    assert unknown.value.nearest == ("user=web",)


@pytest.mark.parametrize(
    ("wanted", "names", "nearest"),
    [
        ("wbe", ["web", "xyz"], ("web",)),
        ("webx", ["webxyz", "other", "webxy"], ("webxy", "webxyz")),
        ("web0", ["web1", "web2", "web3", "web4"], ("web4", "web3", "web2")),
        ("STRASSE", ["straße"], ("straße",)),
        # Names that differ only in case are all near, but at most three are suggested.
        ("web", ["Web", "WEB"], ("WEB", "Web")),
        ("web", ["wEb", "Web", "WEB", "weB"], ("WEB", "Web", "wEb")),
        ("web", ["WEB", "WEB"], ("WEB",)),
    ],
)
def test_nearest_names_ignore_case(wanted: str, names: list[str], nearest: tuple[str, ...]) -> None:
    assert near(wanted, names) == nearest


def test_of_many_names_the_likest_are_compared() -> None:
    """Not the last, nor the longest, though each of those has more of what was typed."""
    many = [f"the_accounting_of_region_{n}" for n in range(99)]
    assert near("acounts", [*many, "accounts"]) == ("accounts",)


instants = st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2200, 1, 1)).map(  # noqa: DTZ001
    lambda naive: naive.replace(tzinfo=UTC)
)
parts = st.lists(st.text(max_size=5), min_size=1, max_size=4).map(tuple)
conditions = st.one_of(
    st.builds(
        OidIn,
        st.sampled_from(["usesysid", "datid"]),
        st.lists(st.integers(0, 2**32 - 1), max_size=4).map(tuple),
        st.booleans(),
    ),
    st.builds(TextLike, st.sampled_from(sorted(TEXT_COLUMNS)), parts, st.booleans()),
    st.builds(AddressIn, st.just("10.0.0.0/8"), st.booleans()),
    st.builds(Before, st.sampled_from(AgeOf), instants, st.booleans()),
    st.builds(InLock, st.sampled_from(Word)),
    st.builds(PidIn, st.lists(st.integers(1, 2**31 - 1), max_size=4).map(tuple)),
    st.builds(InTree),
)


@given(st.lists(conditions, max_size=5).map(tuple))
def test_the_ledger_gives_back_what_it_was_given(given: tuple) -> None:
    assert from_json(to_json(given)) == given


@pytest.mark.parametrize(
    "unknown",
    [
        {},
        {"is": "newer"},
        {"is": "oid_in", "oids": []},
        {"is": "oid_in", "column": "query", "oids": [1], "negated": False},
        {"is": "oid_in", "column": "datid", "oids": ["1"], "negated": False},
        {"is": "oid_in", "column": "datid", "oids": [1], "negated": 0},
        {"is": "like", "column": "a.state or true", "parts": ["x"], "negated": False},
        {"is": "before", "of": "weather", "instant": 0, "older": True},
        {"is": "before", "of": "xact", "instant": 2**80, "older": True},
        {"is": "in_lock", "word": "all"},
        # This has more than this version knows: it would end more than was meant.
        {"is": "in_lock", "word": "blocked", "longer_than": 60},
        {"is": "in_tree", "below": 7},
        None,
        "in_tree",
    ],
)
def test_unknown_condition_is_never_skipped(unknown: object) -> None:
    reasons = r"^a condition (was written by another version|can't be read)|not a valid"
    with pytest.raises(ValueError, match=reasons):
        from_json([unknown])


def test_only_clients_that_connected_since_have_arrived():
    sessions = (
        backend(1, backend_start=ago(seconds=9)),
        backend(2, backend_start=ago(seconds=11)),
        backend(3, backend_start=ago(seconds=9), backend_type="parallel worker"),
    )
    arrived = arrived_since(ago(seconds=10))
    assert [row.pid for row in sessions if meets(row, arrived, Waits())] == [1]
    assert Before(AgeOf.AGE, ago(seconds=10), older=False) in arrived
